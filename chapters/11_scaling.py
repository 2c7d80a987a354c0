# %% [markdown]
# # 11. What does it cost, and does it apply to my own model?
# **Study** 60 min · **runs** ? s · **needs** [chapter 00](00_quickstart.ipynb), matrix products; chapters 04 to 08 for the report card
#
# **You will be able to** (1) count the operations of one training step and predict what grows with users, items and
# latent size, (2) say how much memory a training needs before you start it, (3) explain why several processes can give
# the same run as one, (4) put your own VAE under the report card and read three common illnesses from it.

# %% [markdown]
# ## 11.1 Question
#
# Your company has ten times more items than MovieLens. Your colleague wants a latent space of 400 dimensions instead of
# 200. You have two cores, perhaps one GPU, perhaps a cluster. What will the night's training cost?
#
# **Predict.** One update of Mult-VAE with 600 hidden units takes one unit of time. Write down how long it takes (a) with
# twice the items, (b) with twice the latent dimensions, (c) with twice the users in the data, the batch held.

# %% tags=["setup"]
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

import minivae as mv
from minivae.training import TrainConfig, loss_terms

rng = torch.Generator().manual_seed(0)

# %% [markdown]
# ## 11.2 Claim: three products and an optimizer
#
# A matrix product of $(B \times H)$ and $(H \times I)$ takes $2BHI$ operations: a multiplication and an addition for
# each triple. Where does an update touch all items?
#
# * **Output layer.** Logits $h W^\top$; their gradient times $W$ for the layer below; their gradient times $h$ for $W$
#   itself. Three products, $6BHI$ operations.
# * **Input layer.** A dense code would pay two more products. But a user has $N_x$ items out of $I$, one in a hundred:
#   the sum of the touched rows of the weight matrix is enough. Forward and backward cost $4nH$, where $n = \sum_u N_u$
#   counts the interactions in the batch.
# * **In between.** The layers $H \to 2d$ and $d \to H$: three products each, $6B \cdot 3dH$.
# * **Adam** touches every parameter about a dozen times, whatever the batch. There are about $2HI$ of them.
#
# So for $I \gg d$ an update is linear in the items, hardly feels the latent size, and does not feel the users at all:
# they only make the epoch longer.

# %% tags=["from-scratch"]
def operations(batch, items, hidden, latent, interactions):
    output = 6 * batch * hidden * items
    between = 6 * batch * 3 * latent * hidden
    bag = 4 * interactions * hidden
    parameters = 2 * hidden * items + 3 * latent * hidden
    return {"output layer": output, "in between": between, "input layer": bag, "Adam": 12 * parameters}


# %%
shares = operations(batch=500, items=20_720, hidden=600, latent=200, interactions=500 * 73)  # like MovieLens-20M
total = sum(shares.values())
for part, n in shares.items():
    print(f"{part:13} {n / 1e9:6.2f} billion operations, {n / total:6.1%}")
dense = 4 * 500 * 600 * 20_720
print(f"a dense input layer would take {dense / 1e9:.1f} billion in place of {shares['input layer'] / 1e9:.2f}")

# %% [markdown]
# The count is *exact* for the products. Is it the truth about the code? A count can be checked: PyTorch's own counter
# watches the operators that run. It does not see the sparse sum nor Adam, so we compare what it does see.

# %% tags=["nbval-check-output"]
from torch.utils.flop_counter import FlopCounterMode

small = mv.strong_split(mv.planted(n_users=2_000, n_items=600, n_events=60_000, seed=0), n_heldout=200)
model = mv.MultVAE(small.n_items, hidden=80, latent=30)
batch = mv.batches.DeviceCSR(small.train).batch(torch.arange(100))
with FlopCounterMode(display=False) as counter:
    loss_terms(model, batch, TrainConfig(), step=0)["loss"].backward()
counted = operations(100, small.n_items, 80, 30, len(batch.items))
seen = counter.get_total_flops()
extra = 2 * 100 * small.n_items  # the gradient of the output's bias, a product with a row of ones
assert seen == counted["output layer"] + counted["in between"] + extra
print("operations of the products, counted by hand = counted by PyTorch:", True)

# %% [markdown]
# ## 11.3 Does time follow the count?
#
# Operations are not seconds. Small products leave the processor waiting for memory, and there are costs per call. So we
# measure: one update, the median of several, with one thing changed at a time. The dashed line is what no code can
# avoid: three products of the same shape, alone.

# %%
def median_seconds(step, repeat=7):
    times = []
    for _ in range(repeat + 2):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return float(np.median(times[2:]))


def population(n_items, n_users=600):
    rows = torch.arange(n_users).repeat_interleave(70)
    columns = torch.randint(0, n_items, (len(rows),), generator=rng)
    x = torch.zeros(n_users, n_items).index_put_((rows, columns), torch.ones(1))
    return mv.batches.DeviceCSR(mv.batches.as_csr(x))


def update_seconds(n_items, hidden=300, latent=100, size=250):
    model, matrix = mv.MultVAE(n_items, hidden, latent), population(n_items)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    users = torch.arange(size)

    def step():
        optimizer.zero_grad()
        loss_terms(model, matrix.batch(users), TrainConfig(precision="fp32"), step=0)["loss"].backward()
        optimizer.step()

    return median_seconds(step)


def floor_seconds(n_items, hidden=300, size=250):
    h, w, delta = torch.randn(size, hidden), torch.randn(n_items, hidden), torch.randn(size, n_items)

    def step():
        h @ w.T, delta @ w, delta.T @ h

    return median_seconds(step)


# %%
items = np.array([500, 1_000, 2_000, 4_000, 8_000])
latents = np.array([25, 50, 100, 200, 400])
by_items = np.array([update_seconds(int(n)) for n in items])
floor = np.array([floor_seconds(int(n)) for n in items])
by_latent = np.array([update_seconds(4_000, latent=int(d)) for d in latents])

fig, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True)
axes[0].loglog(items, 1e3 * by_items, "o-", color=mv.plots.COLOURS[0], label="one update")
axes[0].loglog(items, 1e3 * floor, "s--", color="0.5", label="three products alone")
axes[0].set(xlabel="items I", ylabel="milliseconds (measured here)", title="latent size 100")
axes[0].legend(frameon=False)
axes[1].loglog(latents, 1e3 * by_latent, "o-", color=mv.plots.COLOURS[0])
axes[1].set(xlabel="latent dimensions d", title="4,000 items")
for ax, ticks in zip(axes, (items, latents), strict=True):
    ax.set_xticks(ticks, [f"{t:,}" for t in ticks])
    ax.minorticks_off()
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_yticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
fig.tight_layout()

# %%
slope = np.polyfit(np.log(items[1:]), np.log(by_items[1:]), 1)[0]
flat = np.polyfit(np.log(latents), np.log(by_latent), 1)[0]
print(f"time grows like items^{slope:.2f} and latent^{flat:.2f} (measured here, one run)")
