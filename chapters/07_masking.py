# %% [markdown]
# # 7. What does a mask do to distances?
# **Study** 95 min · **runs** 13 CPU seconds (13 s when it was built), 0.6 GB on 1 core · **needs** [chapter 04](04_sharing_radius.ipynb), the binomial distribution
#
# **You will be able to** (1) derive the exact law of a masked distance and say which pairs come closer, (2) place
# users on the map of [contraction](GLOSSARY.md#contraction-expansion), (3) say what the *scale* of the input does to the sign, (4) measure how much a
# [mask](GLOSSARY.md#mask) moves a user's neighbours, (5) say what masks carry from user to user, and how much of it at ρ = ½. [Glossary](GLOSSARY.md).

# %% [markdown]
# ## 7.1 Question
#
# In training, Mult-VAE hides a random half of a user's items from the encoder. The probability to keep an item is
# $\rho$; every user draws a new mask at every step. So the encoder sees only [**views**](GLOSSARY.md#view).
# [Chapter 04](04_sharing_radius.ipynb) compared views of *one* user. What happens between two users?

# %% tags=["setup"]
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.stats import binom

import minivae as mv
from minivae.masks import input_weights, mask_input
from minivae.theory import conventions, masking

rng = torch.Generator().manual_seed(0)

# %%
pairs = {"near-duplicates": (12, 4), "strangers": (2, 24)}  # s common items, d different ones

# %% jupyter={"source_hidden": true}
fig, axes = plt.subplots(2, 2, figsize=(9, 2.6), width_ratios=(16, 26))
for column, (name, (s, d)) in enumerate(pairs.items()):
    x = torch.zeros(2, s + d)
    x[:, :s], x[0, s : s + d // 2], x[1, s + d // 2 :] = 1, 1, 1
    kept = x * (torch.rand(x.shape, generator=rng) < 0.5)
    for ax, rows, when in zip(axes[:, column], (x, kept), ("clean", "masked"), strict=True):
        mv.plots.pair_of_rows(rows.numpy(), ax=ax)
        ax.set_title(f"{name}, {when}: they differ in {int((rows[0] != rows[1]).sum())} items", fontsize=10)
fig.tight_layout()

# %% [markdown]
# A row is a user, a column an item. Grey: both have it. Orange: only one has it; in these the two rows
# **differ**, and their number is the distance $\|x_u-x_v\|_1$.
#
# **Predict.** Both masks remove items. Which pairs come closer, which move apart? Write down a rule.
#
# ## 7.2 Claim
#
# Two users share $s = |S_u\cap S_v|$ items and differ in $d = |S_u\mathbin{\triangle} S_v|$, so $\|x_u-x_v\|_1 = d$. The
# masks $b_u, b_v$ are independent, and keep each item with probability $\rho$; the index $h$ says *masked*. Look at one item at a time:
#
# | the item belongs to | probability that the masked rows differ there | how many |
# |---|---|---:|
# | only $u$ | $\rho$: $u$ must keep it | } $d$ |
# | only $v$ | $\rho$: $v$ must keep it | } |
# | both | $2\rho(1-\rho)$: one keeps it, the other does not | $s$ |
# | neither | 0 | |
#
# Items are independent, so the masked distance is a sum of two independent binomials:
#
# $$D_h = \|x_u\odot b_u - x_v\odot b_v\|_1 \;\sim\; \mathrm{Bin}(d,\,\rho) + \mathrm{Bin}(s,\,2\rho(1-\rho)).$$
#
# Its mean is $\rho d + 2\rho(1-\rho)s$. Subtract $d$:
#
# $$\mathbb E D_h - d = (1-\rho)\,(2\rho s - d).$$
#
# **Theorem 2.6.** For $0\le\rho<1$ a pair contracts in expectation if and only if $d > 2\rho s$. In terms of the
# [Jaccard index](GLOSSARY.md#jaccard-index) $J = s/(s+d)$: if and only if $J < 1/(1+2\rho)$. $\blacksquare$
#
# (The exact law is not in the paper.)
#
# ## 7.3 From scratch
#
# Start with "distance 0 for sure", and add item after item. To check, count *all*
# pairs of masks.


# %% tags=["from-scratch"]
def masked_law(s, d, keep):
    law = torch.ones(1, dtype=torch.float64)  # P(D_h = 0) = 1 without items
    for differ in [keep] * d + [2 * keep * (1 - keep)] * s:
        stays, moves = torch.nn.functional.pad(law, (0, 1)), torch.nn.functional.pad(law, (1, 0))
        law = (1 - differ) * stays + differ * moves
    return law  # (s + d + 1,)


# %% tags=["from-scratch"]
def all_pairs_of_masks(x_u, x_v, keep):  # the same law by counting, (I + 1,)
    masks = torch.tensor(list(product([0, 1], repeat=len(x_u))))  # (2^I, I)
    kept = masks.sum(1).double()
    chance = keep**kept * (1 - keep) ** (len(x_u) - kept)  # (2^I,)
    counted = torch.zeros(len(x_u) + 1, dtype=torch.float64)
    for b, p in zip(masks, chance, strict=True):
        counted.index_add_(0, (x_u * b - x_v * masks).abs().sum(1).long(), p * chance)
    return counted


# %% tags=["nbval-check-output"]
x_u, x_v = torch.tensor([1.0, 1, 0, 1, 1, 1]), torch.tensor([0.0, 0, 1, 1, 1, 1])  # s = 3, d = 3
for keep in (0.3, 0.5, 0.8):  # at ½ alone one could confuse ρ with 1 − ρ
    counted, law = all_pairs_of_masks(x_u, x_v, keep), masking.masked_distance(3, 3, keep)
    torch.testing.assert_close(masked_law(3, 3, keep), counted)
    np.testing.assert_allclose(law.pmf(), counted)
    print(f"ρ = {keep}: from scratch = package = all 4,096 pairs of masks; mean distance {law.mean:.2f}")

# %% tags=["checks"] jupyter={"source_hidden": true}
np.testing.assert_allclose(law.mean, np.arange(7) @ counted.numpy())

# %% [markdown]
# ## 7.4 What the law says
#
# The pairs of 7.1, all masks:

# %% jupyter={"source_hidden": true}
fig, axes = plt.subplots(1, 2, figsize=(8.5, 3.2), sharey=True)
for ax, (name, (s, d)) in zip(axes, pairs.items(), strict=True):
    coins = torch.rand(2, 5000, s + d, generator=rng) < 0.5
    u, v = torch.arange(s + d) < s + d // 2, (torch.arange(s + d) < s) | (torch.arange(s + d) >= s + d // 2)
    drawn = ((coins[0] & u) != (coins[1] & v)).sum(1)
    mv.plots.masked_law(drawn.numpy(), masking.masked_distance(s, d, 0.5).pmf(), d, ax=ax)
    ax.set_title(f"{name}: s = {s}, d = {d}")
    ax.set(xlabel="items in which the masked rows differ", ylim=(0, 0.32))
    ax.legend(frameon=False, loc="upper left" if s < d else "upper right", fontsize=9)
axes[1].set_ylabel("")
fig.tight_layout()

# %% jupyter={"source_hidden": true}
print("exact, ρ = ½        mean   sd    P(closer)  P(farther)")
for name, (s, d) in pairs.items():
    law = masking.masked_distance(s, d, 0.5)
    print(f"{name:15} {law.mean:8.1f} {law.var**0.5:5.1f} {law.prob_contract():9.3f} {law.prob_expand():11.3f}")

# %% [markdown]
# **Reading.** Strangers come closer under practically every mask, near-duplicates move apart under nearly every one: a common item adds 1 to the masked distance if exactly one mask removes it. With the **same** mask for
# both users a common item would never count, and nobody would move apart.

# %% tags=["checks"] jupyter={"source_hidden": true}
assert all(masking.masked_distance(s, d, 0.5, shared=True).prob_expand() == 0 for s, d in pairs.values())

# %% [markdown] tags=["explorable"]
# **Move it by hand.** Move ρ from .95 to .05: which pairs are still driven apart? Then give both users one mask. Run the cell; a viewer without scripts shows a picture.

# %% tags=["explorable"]
mv.explorable("masked-distance")

# %% [markdown] tags=["fault"]
# **Find the fault.** Near-duplicates again, $s=12$ and $d=4$ at ρ = ½, by drawing masks. The law of 7.2 has the mean
# $\rho d+2\rho(1-\rho)s=8$. The cell prints `mean distance of two masked near-duplicates: 2.0`.

# %% tags=["fault", "nbval-check-output"]
s, d, keep = 12, 4, 0.5
position, g = torch.arange(s + d), torch.Generator().manual_seed(0)
u, v = position < s + d // 2, (position < s) | (position >= s + d // 2)
b_u = torch.rand(100_000, s + d, generator=g) < keep
b_v = b_u
print(f"mean distance of two masked near-duplicates: {((b_u & u) != (b_v & v)).sum(1).double().mean():.1f}")

# %% [markdown] tags=["fault"]
# <details><summary>Hint</summary>
#
# 2 is $\rho d$. Which term of the mean is missing, and which masks make it vanish?
#
# </details>
#
# <details><summary>Solution</summary>
#
# Write `b_v = torch.rand(100_000, s + d, generator=g) < keep`, not `b_v = b_u`; then it prints `mean distance of two masked near-duplicates: 8.0`. Both users had *one* mask, so a
# common item never counted. Theorem 2.6 needs independent masks.
#
# </details>

# %% [markdown]
# ## 7.5 Users on the map
#
# Contraction depends on $\rho$ and $J$. The map, and beside it 500 of 2,000 embedded users, each with a random and the most similar one.


# %% tags=["from-scratch"]
def counts(x, some):  # (U, I) rows -> common and different items of `some` users with all, (S, U) each
    common, n = (x[some] @ x.T).toarray(), np.asarray(x.sum(1)).ravel()
    return common, n[some][:, None] + n - 2 * common


def contracts(common, different, keep):  # Theorem 2.6
    return different > 2 * keep * common


# %%
everybody = mv.planted(n_users=2_000, n_items=1_500, n_events=120_000, seed=0)
x = everybody.matrix.astype(np.float64)
some = np.random.default_rng(0).permutation(x.shape[0])[:500]
common, different = counts(x, some)
jaccard = common / (common + different)
jaccard[np.arange(500), some] = np.nan  # a user with themselves
nearest = np.nanmax(jaccard, 1)
one = torch.randint(x.shape[0] - 1, (500,), generator=rng).numpy()
strangers = jaccard[np.arange(500), np.where(one >= some, one + 1, one)]

# %% jupyter={"source_hidden": true}
fig, (ax, side) = plt.subplots(1, 2, figsize=(8.5, 3.4), sharey=True, width_ratios=(3, 2))
keep = np.linspace(0, 1, 101)
mv.plots.contraction_map(keep, masking.contraction_threshold(keep), ax=ax)
mv.plots.sideways({"random pairs": strangers, "most similar user": nearest}, 0.5, ax=side)
side.set_xlabel("pairs, of 500")
fig.tight_layout()

# %% tags=["nbval-check-output"]
inside = ~np.isnan(jaccard)
for keep in (0.2, 0.5, 0.8):
    mine = contracts(common, different, keep)[inside]
    np.testing.assert_array_equal(mine, masking.masked_distance(common, different, keep).contracts[inside])
    print(f"ρ = {keep}: of {mine.size:,} comparisons {mine.mean():.3%} come closer; of the most similar", end=" ")
    print(f"{(nearest < 1 / (1 + 2 * keep)).mean():.1%}")

# %% tags=["checks"] jupyter={"source_hidden": true}
for keep in (0.2, 0.5, 0.8):
    law = masking.masked_distance(common, different, keep)
    np.testing.assert_array_equal(law.contracts[inside], jaccard[inside] < masking.contraction_threshold(keep))
    np.testing.assert_array_equal(law.contracts[inside], law.mean[inside] < different[inside])
assert (nearest < masking.contraction_threshold(0.5)).mean() > 0.95
assert (strangers < 1 / 3).mean() > 0.95

# %% [markdown]
# **Reading.** Below $J=\frac13$ a pair contracts at *every* $\rho<1$. Nearly all random pairs are there, and nearly all the nearest pairs contract at ρ = ½ too.
#
# ## 7.6 Scale matters (not in the paper)
#
# The theorem is about $x\odot b$; Mult-VAE's encoder sees something else. With
# $\hat x = x/\|x\|$ and $k$ the number of items kept there are three inputs:
#
# | input | what the encoder sees | its mean | $c$ |
# |---|---|---|---|
# | normalise, then mask (Mult-VAE) | $\tilde x = \hat x\odot b/\rho$ | $\hat x$ | 1 |
# | mask, then normalise | $\tilde x = x\odot b/\sqrt k$ | $c\,\hat x$ | $\mathbb E\sqrt{k/N}<\sqrt\rho$, near it for large $N$ |
# | raw | $\tilde x = x\odot b$ | $\rho\,x$ | $\rho$ |
#
# In each row $\mathbb E\tilde x = c\cdot$clean ($\hat x$; raw: $x$; given $k$, an item is kept with
# probability $k/N$): a masked input is **signal plus noise**, the signal
# scaled by $c$. In Mult-VAE $c=1$, and Jensen's inequality excludes contraction on average, in any norm, for every pair:
# $\mathbb E\|\tilde x_u-\tilde x_v\| \ge \|\mathbb E\tilde x_u-\mathbb E\tilde x_v\| = \|\hat x_u-\hat x_v\|$.  The variance of $\hat x_i b_i/\rho$ is $\hat x_i^2(1-\rho)/\rho$; over $i$
# these sum to $(1-\rho)/\rho$, since $\|\hat x\|=1$, and the two masks are independent:
#
# $$\mathbb E\|\tilde x_u-\tilde x_v\|^2 = \|\hat x_u-\hat x_v\|^2 + 2\,\frac{1-\rho}{\rho} ,$$
#
# the *same* for every pair, so near pairs grow most in proportion. *Raw* is $\rho\|x\|$ times Mult-VAE's
# input: the same sum with $x_i$ in place of $\hat x_i$, times $\rho^2$. *Mask, then normalise* has length 1, so
# $\|\tilde x_u-\tilde x_v\|^2=2-2\langle\tilde x_u,\tilde x_v\rangle$, and the masks are independent
# (ignoring that a mask may keep nothing; the code does not):
#
# $$\text{raw: } \rho^2\Big(\|x_u-x_v\|^2 + (N_u+N_v)\tfrac{1-\rho}\rho\Big), \qquad
# \text{mask, then normalise: } 2 - 2\,c_uc_v\,\langle\hat x_u,\hat x_v\rangle .$$
#
# So the contraction of Theorem 2.6 is the scale: divide the raw input by $\rho$, and nobody contracts. In the theorem's
# norm, $\mathbb E D_h/\rho = d + 2(1-\rho)s \ge d$. And $c<1$ alone does not contract squared distances: with *mask, then normalise* masked minus clean is
# $2(1-c_uc_v)\langle\hat x_u,\hat x_v\rangle\ge0$. The ratios printed below: 60 and 20 items, 11 in common, ρ = ½.


# %% tags=["from-scratch"]
def squared_distance(n_u, n_v, s, keep, mask):
    if mask == "raw":
        return keep**2 * (n_u + n_v - 2 * s + (n_u + n_v) * (1 - keep) / keep)
    cosine = s / (n_u * n_v) ** 0.5
    if mask == "normalize-then-mask":
        return 2 - 2 * cosine + 2 * (1 - keep) / keep
    c, length = 1.0, 2.0
    for n in (n_u, n_v):
        p = binom.pmf(np.arange(n + 1), n, keep)  # (n + 1,) law of the number of items kept
        c, length = c * (p @ np.arange(n + 1) ** 0.5) / n**0.5, length - p[0]  # a row with nothing kept has length 0
    return length - 2 * c * cosine


# %% tags=["nbval-check-output"]
inputs = {"normalise, then mask": "normalize-then-mask", "mask, then normalise": "mask-then-normalize", "raw": "raw"}
for (n_u, n_v, s), keep, mask in product([(4, 9, 3), (60, 20, 11), (30, 30, 0)], (0.2, 0.5, 0.9), inputs.values()):
    package = conventions.input_distance(n_u, n_v, s, keep, mask, "l2-squared")
    np.testing.assert_allclose(squared_distance(n_u, n_v, s, keep, mask), package.masked)
kinds = {"L1": "l1", "L2": "l2", "L2 squared": "l2-squared"}
distance = {name: conventions.input_distance(60, 20, 11, 0.5, norm=norm) for name, norm in kinds.items()}
print("from scratch = package; Mult-VAE's input, masked / clean:", *(f"{n} {d.ratio:.2f}" for n, d in distance.items()))

# %% tags=["checks"] jupyter={"source_hidden": true}
seen = torch.tensor(list(product([0, 1], repeat=5)))  # (32, 5) all masks of a user with five items
rows, sizes, k = torch.arange(32).repeat_interleave(5), torch.full((32,), 5.0).double(), seen.sum(1).double()
chance = 0.3**k * 0.7 ** (5 - k)
for mask, c in zip(inputs.values(), (1, chance @ (k / 5).sqrt(), 0.3), strict=True):
    tilde = input_weights(rows, sizes, seen.ravel() > 0, 0.3, mask).reshape(32, 5)
    clean = torch.ones(5).double() / (1 if mask == "raw" else 5**0.5)
    torch.testing.assert_close(chance @ tilde, c * clean)  # the mean of a masked input is c times the clean one
assert all(mean.ratio > 1 for mean in distance.values())

# %% [markdown] tags=["mine"]
# **Build your own.** The input of your recommender. From rows `x` (B, I), the probability `keep` $=\rho$ and `coins` (B, I), uniform between 0
# and 1, return $\tilde x=\hat x\odot b/\rho$, (B, I), where $b=1$ if the coin lies below ρ.
#
# <details><summary>Hint</summary>
#
# `torch.nn.functional.normalize(x)` divides rows by their length. First the length, then the mask.
#
# </details>


# %% tags=["solution", "mine"] jupyter={"source_hidden": true} nbgrader={"grade": false, "grade_id": "mine-input", "locked": false, "schema_version": 3, "solution": true, "task": false}
def mine_input(x, keep, coins):
    ### BEGIN SOLUTION
    return torch.nn.functional.normalize(x) * (coins < keep) / keep
    ### END SOLUTION


# %% tags=["mine", "nbval-check-output", "raises-exception"]
mv.checks.check_mine_input(mine_input)

# %% [markdown]
# ## 7.7 In latent space
#
# **Predict**: for each of the three inputs, will the latent distance $\|\mu_u-\mu_v\|$ of two masked users be
# larger or smaller than that of the clean ones?
#
# Three inputs, five seeds, one small Mult-VAE each, trained on masks of its own kind, $\rho=\frac12$. "Clean" is
# the same kind of input at $\rho=1$. Pairs are sorted into fifths by how alike they are (Jaccard).

# %%
data = mv.planted(n_users=1_200, n_items=300, n_events=36_000, seed=0)
split = mv.strong_split(data, n_heldout=100)
users = split.train[:500]
n, common = np.asarray(users.sum(1)).ravel(), (users @ users.T).toarray()
u, v = np.triu_indices(500, 1)
alike = common[u, v] / (n[u] + n[v] - common[u, v])  # Jaccard
fifths = np.array_split(np.argsort(-alike), 5)
settings = {"keep": 0.5, "lr": 6e-3, "batch_size": 100, "epochs": 8, "anneal_steps": 0, "precision": "fp32"}


def train(mask, seed):
    config = mv.TrainConfig(mask=mask, seed=seed, **settings)
    return mv.fit(mv.MultVAE(split.n_items, hidden=100, latent=16), split, config).model


models = {name: [train(mask, seed) for seed in range(5)] for name, mask in inputs.items()}
print(f"pairs below the border of ρ = ½ (Jaccard ½): {(alike < 0.5).mean():.2%}")


# %% tags=["from-scratch"]
def masked_over_clean(model, mask):  # root mean square distance of two masked users, over that of the clean ones
    def places(keep):
        with torch.no_grad():
            return model.encode(mask_input(users.astype(np.float32), keep, mask, rng), normalize=False)[0]

    clean, one, other = places(1.0), places(0.5), places(0.5)  # (500, 16) each
    masked, still = (one[u] - other[v]).square().sum(1), (clean[u] - clean[v]).square().sum(1)
    return [float((masked[f].mean() / still[f].mean()) ** 0.5) for f in fifths]


# %%
exact = {}
for name, mask in inputs.items():
    found = conventions.input_distance(n[u], n[v], common[u, v], 0.5, mask, "l2-squared")
    exact[name] = np.array([np.sqrt(found.masked[f].mean() / found.clean[f].mean()) for f in fifths])
latent = {name: np.array([masked_over_clean(m, inputs[name]) for m in some]) for name, some in models.items()}  # (5, 5)
print("latent distance, masked / clean, measured (5 seeds): lowest to highest")
for name, ratio in latent.items():
    near, far = ratio[:, 0], ratio[:, -1]
    print(f"  {name:21} most alike {near.min():.2f} to {near.max():.2f}   least {far.min():.2f} to {far.max():.2f}")

# %% jupyter={"source_hidden": true}
fig, axes = plt.subplots(1, 2, figsize=(8.5, 3.6), sharey=True)
colours = [mv.plots.COLOURS[k] for k in (0, 3, 2)]
for ax, of, title in zip(
    axes, (exact, latent), ("input, root mean square (exact)", "latent space (5 seeds; thin: $c$)"), strict=True
):
    mv.plots.lines(range(1, 6), of, colours=colours, ax=ax)
    ax.axhline(1, color="0.4", linewidth=1)
    ax.set(title=title, xticks=range(1, 6))
for c, colour in zip((1, 0.7, 0.5), colours, strict=True):  # means of 7.6 over these users
    axes[1].axhline(c, color=colour, linewidth=1, alpha=0.6)
    axes[1].text(5.25, c, f"$c={c:g}$", color=colour, va="center", fontsize=9)
axes[0].set(xlabel="fifths of pairs, most alike (Jaccard) to least", ylabel="masked / clean distance")
axes[1].set_xlabel("the same fifths of pairs")
axes[0].set_ylim(0.3, 1.75)
axes[0].legend(frameon=False, fontsize=9, loc="lower left")
fig.tight_layout()

# %% [markdown]
# Where in the encoder do raw inputs leave $c$? The least alike pairs, before the tanh of the
# hidden layer, after it, and at $\mu$:


# %% tags=["from-scratch"]
def stages(model, mask, far):
    places = []
    for keep in (1.0, 0.5, 0.5):
        seen = mask_input(users.astype(np.float32), keep, mask, rng)
        with torch.no_grad():
            hidden = model.encoder_input(torch.tensor(seen.toarray()))  # (500, 100) before the tanh
            places.append((hidden, hidden.tanh(), model.encode(seen, normalize=False)[0]))

    def apart(a, b):
        return (a[u[far]] - b[v[far]]).square().sum(1).mean()

    return [float((apart(one, other) / apart(clean, clean)) ** 0.5) for clean, one, other in zip(*places, strict=True)]


# %%
at_stage = {name: np.array([stages(m, inputs[name], fifths[-1]) for m in some]) for name, some in models.items()}
print("input (exact), before the tanh, after it, at μ (means of 5 seeds)")
for name, of in at_stage.items():
    print(f"  {name:21}", *(f"{k:.2f}" for k in (exact[name][-1], *of.mean(0))))

# %% tags=["checks"] jupyter={"source_hidden": true}
assert all((np.diff(r.mean(0)) < 0).all() and (r[:, 0] > r[:, -1]).all() for r in latent.values())
moved = {
    name: np.stack(
        [masking.latent_contraction(m, users, 0.5, inputs[name], n_masks=4, generator=rng).ratio for m in some]
    )
    for name, some in models.items()
}  # by the package, and sorted by clean distance
for of in (latent, moved):
    assert all((r[:, 0] > r[:, -1]).all() for r in of.values())
    assert (of["normalise, then mask"].mean(0) > 1).all()
    assert all((of[name] < 1).all() for name in ("mask, then normalise", "raw"))
assert (latent["normalise, then mask"] > 1).all()
assert all((np.diff(r) < 0).all() for r in exact.values())  # most alike to least
assert min(exact["mask, then normalise"]) > 1
assert 0.7 < latent["mask, then normalise"][:, -1].min() < latent["mask, then normalise"][:, -1].max() < 0.82
assert latent["raw"].min() > 0.6
before, after, end = at_stage["raw"].T
assert before.max() < 0.6 < 0.72 < after.min()
assert (before < end).all()
assert (end < after).all()
assert abs(np.diff(at_stage["mask, then normalise"])).max() < 0.06
first, _, last = at_stage["normalise, then mask"].mean(0)
assert abs(exact["normalise, then mask"][-1] - 1.43) < 0.005 > abs(first - 1.14)
assert exact["normalise, then mask"][-1] - first > 3 * (first - last)  # most of the noise goes in the first layer
assert (alike < 0.5).mean() > 0.99

# %% [markdown]
# **Reading.** The *order* is the theorem's, for all three inputs: pairs that are alike move apart relative to pairs that are not. The
# *sign* is not always: in latent space every fifth came closer if $c<1$, moved apart if $c=1$ (three inputs, which differ in more than $c$). With *mask, then
# normalise* pairs move apart in the input and closer
# in latent space, the least alike to a ratio a little above $c\approx0.70$. Raw inputs stay above $c=0.5$.
#
# The stages, for the least alike only. The first, linear layer lowers the ratio of all three inputs. Raw pairs are then at about $c$, and it is at the tanh that they leave it: before it .54, after it .78; the
# last layer takes a little back. For the other two inputs the tanh changes little.
#
# So with Mult-VAE's input masks do not contract distances on average: every fifth moves apart (root mean square), the most alike most. In full-size models the nearest and the farthest fifth move apart too (sorted by clean
# distance, so their order may be regression to the mean):

# %% tags=["nbval-check-output"] jupyter={"source_hidden": true}
stored = {name: mv.course.stored(f"theory-{name}-observations.json") for name in ("planted", "ml-1m")}
for name, what in stored.items():
    rows = np.array([[row[f"ratio {k}"] for k in range(1, 6)] for row in what["models"]["masked β=0.2"]])
    low, high = rows.min(0), rows.max(0)
    print(
        f"{name:8} nearest {low[0]:.2f} to {high[0]:.2f}, farthest {low[-1]:.2f} to {high[-1]:.2f}  measured (5 seeds)"
    )

# %% [markdown]
# ## 7.8 Do the neighbours stay?
#
# To measure [drift](GLOSSARY.md#drift), take a user's ten nearest neighbours under one set of
# masks and under another: how much do the two sets overlap (Jaccard: $m/(20-m)$ if $m$ of the ten stay)? And, free of scale: how large is the
# variance of $\mu$ over masks *within* a user, against that *between* users? (Trained at ρ = ½; the axis is the test's ρ.)


# %% tags=["from-scratch"]
def overlap_of_neighbours(a, b, k=10):  # places of the users under two sets of masks, (U, d) each
    near = [torch.cdist(m, m).fill_diagonal_(torch.inf).topk(k, largest=False).indices for m in (a, b)]
    one, other = (torch.zeros(len(a), len(a)).scatter_(1, rows, 1) for rows in near)
    both = (one * other).sum(1)
    return float((both / (2 * k - both)).mean())


# %%
keeps = (0.1, 0.3, 0.5, 0.7, 0.9)
drift = [
    [masking.neighbourhood_drift(m, users, k, 10, n_masks=3, generator=rng) for k in keeps]
    for m in models["normalise, then mask"]
]
overlap, ratio = (np.array([[getattr(d, what) for d in row] for row in drift]) for what in ("overlap", "ratio"))
chance = drift[0][0].chance
with torch.no_grad():
    seen = [mask_input(users.astype(np.float32), 0.5, "normalize-then-mask", rng) for _ in range(2)]
    places = [[m.encode(s, normalize=False)[0] for s in seen] for m in models["normalise, then mask"]]
scratch = [overlap_of_neighbours(*pair) for pair in places]
print(f"ρ = ½, mean of 5 seeds: from scratch {np.mean(scratch):.3f}, package {overlap[:, 2].mean():.3f} (other masks)")

# %% jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(6, 3.2))
mv.plots.lines(keeps, {"mean and range of 5 seeds": overlap}, ax=ax)
ax.axhline(chance, color="0.4", linestyle="--", label=f"chance, {chance:.3f}")
ax.set(xlabel="$\\rho$", ylabel="overlap of 10 neighbours", ylim=(0, None), xticks=keeps)
ax.legend(frameon=False)
fig.tight_layout()
print("variance of μ within / between users, measured (5 seeds)")
for k, values in zip(keeps, ratio.T, strict=True):
    print(f"  ρ = {k}: {values.min():.2f} to {values.max():.2f}")

# %% tags=["checks"] jupyter={"source_hidden": true}
assert abs(np.mean(scratch) - overlap[:, 2].mean()) < 0.01
assert (np.diff(overlap) > 0).all()
assert (overlap > chance).all()
assert abs(20 * overlap[:, 2] / (1 + overlap[:, 2]) - 2).max() < 0.5  # of the ten neighbours, about two stay
assert overlap[:, 2].min() > 4 * chance
assert (np.diff(ratio) < 0).all()
assert ratio[:, 2].max() < 0.25 < 1 < ratio[:, 0].min()

# %% tags=["nbval-check-output"] jupyter={"source_hidden": true}
steadier = {}
for name, what in stored.items():
    clean, masked = (what["models"][f"{k} β=0.2"] for k in ("clean", "masked"))
    print(f"{name}, trained clean → with masks, asked with masks (means of 5 seeds):")
    for k, label in {"overlap": "overlap of neighbours", "views certified": "views within the radius"}.items():
        before, after = ([r[k] for r in of] for of in (clean, masked))
        steadier[name, k] = sum(m > c for c, m in zip(before, after, strict=True))
        print(f"  {label} {np.mean(before):.3f} → {np.mean(after):.3f}, more in {steadier[name, k]} of 5 seeds")

# %% [markdown]
# **Reading.** The more is kept, the steadier the neighbours. At ρ = ½ the overlap is far above chance, and yet only two or so of the ten neighbours stay. The variance within a user is then less than a quarter of that between users; at ρ = 0.1 it is the larger one.
# In the stored studies training with masks raises the overlap, and the fraction of views within the radius of
# chapter 04, in as many seeds as printed above (by measured slopes, not proved); but the models trained clean see masks there for the first time.
#
# ## 7.9 What do masks carry between users?
#
# In chapter 04's trained Mult-VAEs hardly any two users lay within the radius. What else may masks carry? Let
# the decoder be free: for each input one answer $\pi$, the minimiser of the loss.
#
# With clean input each user has an input of their own (if nobody has the same items), so the best answer to $x_u$ is
# $x_u/N_u$: no other user is in it.
#
# With raw masks the input is a view $V$, a set of items, and *every* user who has all items of $V$ may have produced it, $u$ with
# probability $P(V\mid u) = \rho^{|V|}(1-\rho)^{N_u-|V|}$. The loss at $V$ is $-\sum_i\big(\sum_u P(V\mid
# u)\,x_{ui}\big)\log\pi_i$, and its minimiser is, without the common factor $(\rho/(1-\rho))^{|V|}$,
#
# $$\pi^*_i \;\propto\; \sum_{u:\,V\subseteq S_u} (1-\rho)^{N_u}\, x_{ui} .$$
#
# **The best answer to a view is a mixture of users.** (Not in the paper. What follows is for raw masks. Mult-VAE's input, divided by $\sqrt{N_u}$,
# shows $N_u$ unless it is empty: of the sum only users with as many items remain, so others have at most as large a part.)


# %% tags=["from-scratch"]
def owners(view, x, keep):
    fits = (x >= view).all(1)  # (U,) users who have every item of the view
    weight = torch.where(fits, x.sum(1) * np.log(1 - keep), -torch.inf)
    return torch.softmax(weight, 0)  # (U,) P(u | V), everybody equally likely beforehand


# %% [markdown]
# Five users, six items: a numerical minimiser of the loss must find the same mixture.


# %% tags=["from-scratch"]
def best_answer(view, x, keep):
    likely = (keep ** view.sum() * (1 - keep) ** (x.sum(1) - view.sum())) * (x >= view).all(1)  # (U,) P(V | u)
    logits = torch.zeros(x.shape[1], dtype=x.dtype, requires_grad=True)
    search = torch.optim.LBFGS([logits], max_iter=500, tolerance_change=1e-15, line_search_fn="strong_wolfe")

    def loss():
        search.zero_grad()
        value = -(likely @ x) @ logits.log_softmax(0)
        value.backward()
        return value

    search.step(loss)
    return logits.softmax(0).detach()


# %% tags=["nbval-check-output"]
five = torch.tensor(
    [[1, 1, 1, 0, 0, 0], [1, 1, 0, 1, 1, 1], [1, 0, 1, 1, 0, 0], [0, 1, 1, 0, 1, 0], [1, 1, 1, 1, 1, 0]]
).double()
view = torch.tensor([1, 1, 0, 0, 0, 0]).double()
mixture = owners(view, five, 0.3) @ five
torch.testing.assert_close(best_answer(view, five, 0.3), mixture / mixture.sum(), atol=1e-5, rtol=0)
print("numerical minimum = mixture of the possible owners:", *(f"{p:.3f}" for p in mixture / mixture.sum()))

# %% [markdown]
# The fraction of the ideal answer that is *others'*, for the histories of 7.5:

# %% tags=["from-scratch"]
train = mv.strong_split(everybody, n_heldout=200).train
history = torch.from_numpy(np.diff(train.indptr)).double()
keeps = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
others, alone = [], []
for keep in keeps:
    views = mask_input(train[:600], keep, "raw", rng)
    kept = torch.from_numpy(np.asarray(views.sum(1)))  # (600, 1)
    fits = torch.from_numpy((views @ train.T).toarray()) >= kept  # (600, U)
    alone.append(float((fits.sum(1) == 1).double().mean()))
    if keep == 0.5:
        more = (history - history[:600, None])[fits & ~torch.eye(*fits.shape, dtype=torch.bool)]  # N_v − N_u
    weight = torch.softmax(torch.where(fits, history * np.log(1 - keep), -torch.inf), 1)
    part = weight * history  # (600, U) of the answer, which counts items
    others.append(1 - (part.diagonal() / part.sum(1)).numpy())
others = np.array(others)  # (7, 600)

# %% jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(7, 3.4))
thirds = np.array_split(np.argsort(history[:600].numpy()), 3)
of_thirds = {
    f"{label} histories": others[:, third].mean(1)
    for label, third in zip(("short", "middle", "long"), thirds, strict=True)
}
mv.plots.lines(keeps, of_thirds, ax=ax)
ax.axvline(0.5, color="0.4", linestyle="--", linewidth=1)
ax.set(xlabel="$\\rho$", ylabel="others' fraction of the ideal answer", ylim=(-0.02, 1.02))
ax.legend(title="thirds of 600 users, mean", frameon=False)
fig.tight_layout()

for label, of in of_thirds.items():
    print(
        f"{label}: at ρ = 0.1 {of[keeps.index(0.1)]:.2f} of the answer is others', at ρ = ½ {of[keeps.index(0.5)]:.3f}"
    )
print(f"others whom a view fits, ρ = ½: {(more > 0).double().mean():.0%} have more items than the owner,", end=" ")
print(f"half of them {more.median():.0f} more or above")
print("views that fit their owner only:", *(f"ρ = {k}: {alone[keeps.index(k)]:.0%}" for k in (0.1, 0.5)), sep="   ")

# %% tags=["checks"] jupyter={"source_hidden": true}
at_tenth, at_half = (others[keeps.index(k)].mean() for k in (0.1, 0.5))
assert (np.diff(others.mean(1)) < 0).all()
assert at_tenth > 0.3
assert at_half < 0.02
assert 0.4 < alone[keeps.index(0.5)] < 0.6
short, middle, long = (of[keeps.index(0.1)] for of in of_thirds.values())
assert short > 0.5 > middle > 0.1 > long

# %% [markdown]
# **Reading.** At ρ = 0.1 a large part of the best answer to a view belongs to other users, most of all for short histories; for the long
# third it is less than a tenth. (Others' part includes items that the owner has, too.)
# At ρ = ½, the usual choice, nearly all of it is the owner's, though half of the views fit others, too:
# nearly all these others have more items, $N_v>N_u$, and $2^{-(N_v-N_u)}$ times the owner's weight.
#
# So raw masks, with a free best decoder, carry something between users through views that fit several; at ρ = ½ it is small here, with 60 items a user; with
# ten of 300 (2,000 users, in a test) others have a fifth to a quarter. An indirect effect, through a smooth encoder, was not tested.
#
# ## 7.10 Recap
#
# * Raw masks: $D_h\sim\mathrm{Bin}(d,\rho)+\mathrm{Bin}(s,2\rho(1-\rho))$. For $\rho<1$ a pair contracts on
#   average iff $d>2\rho s$, iff $J<1/(1+2\rho)$. Here nearly all pairs of users do.
# * A masked input is a scale $c$ and noise. In the input of Mult-VAE $c=1$, and no pair contracts on average (exact). In
#   latent space the ratio masked / clean was highest for pairs that are alike, above 1 for $c=1$, below 1 for the two inputs with $c<1$ (measured).
# * The best answer to a raw view is a mixture of all users who may own it. At ρ = ½ the owner has nearly all of it here.

# %% [markdown]
# ## 7.11 Exercises
#
# `minivae course --out my_work` makes copies with empty cells.
#
# **★ (10 min) Task 7.1.** Every pair has a break-even: below this $\rho$ it contracts on average, above it does not.
# Given binary rows `x` (U, I), no row empty, return it for all pairs, (U, U), cut at 1 (also for pairs with nothing in
# common).


# %% tags=["solution"] jupyter={"source_hidden": true} nbgrader={"grade": false, "grade_id": "break-even", "locked": false, "schema_version": 3, "solution": true, "task": false}
def break_even(x):
    ### BEGIN SOLUTION
    n, common = x.sum(1), x @ x.T  # (U,), (U, U)
    different = n[:, None] + n - 2 * common
    return torch.where(common > 0, different / (2 * common.clamp_min(1)), 1.0).clamp_max(1)
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "break-even-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
mv.checks.check_break_even(break_even)

# %% [markdown]
# **★★ (25 min) Task 7.2.** Now item $i$ is
# kept with its own probability `keep[i]`, by both users independently. Write `item_law(x_u, x_v, keep)`, rows of shape
# (I,): the law of $D_h$, shape (n + 1,), where n is the number of items that at least one of the two has. Is it still a sum of two binomials? Under which condition does a pair come closer *on average*?


# %% tags=["solution"] jupyter={"source_hidden": true} nbgrader={"grade": false, "grade_id": "item-law", "locked": false, "schema_version": 3, "solution": true, "task": false}
def item_law(x_u, x_v, keep):
    ### BEGIN SOLUTION
    differ = torch.where(x_u == x_v, 2 * keep * (1 - keep), keep)[(x_u + x_v) > 0]  # (n,)
    law = torch.ones(1, dtype=keep.dtype)
    for p in differ:
        law = (1 - p) * torch.nn.functional.pad(law, (0, 1)) + p * torch.nn.functional.pad(law, (1, 0))
    return law  # (n + 1,)
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "item-law-check", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
mv.checks.check_item_law(item_law)

# %% [markdown]
# **★★★ (open) Task 7.3.** Make a recommender of 7.9. Write `ideal_answer(views, x, keep)`: the minimiser $\pi^*$ for a
# batch of views (B, I), given training users `x` (U, I); shape (B, I). Every view fits at least one user. Long histories
# make $(1-\rho)^{N_u}$ underflow: stay with logarithms. Then investigate: mask the histories of `split.test`, rank by
# $\pi^*$, average over masks. Which $\rho$ is best? What would you do with a view that fits nobody? Compare with [EASE](GLOSSARY.md#ease) and with a Mult-VAE trained at the same $\rho$.


# %% tags=["solution"] jupyter={"source_hidden": true} nbgrader={"grade": false, "grade_id": "ideal-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def ideal_answer(views, x, keep):
    ### BEGIN SOLUTION
    n = x.sum(1)  # (U,)
    fits = views @ x.T >= views.sum(1, keepdim=True)  # (B, U)
    log_weight = n * torch.log1p(-torch.tensor(keep, dtype=x.dtype))
    weight = torch.softmax(torch.where(fits, log_weight, -torch.inf), 1)  # (B, U)
    return weight @ x / (weight @ n)[:, None]  # (B, I)
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "ideal-answer-check", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
mv.checks.check_ideal_answer(ideal_answer)

# %% [markdown] tags=["investigation"]
# <details><summary>Solution</summary>
#
# **One investigation** (`python chapters/investigate.py 07`; the data of 7.5, 200 test users, 20 masks a user, test nDCG@100, one run; ρ = .05, .1, .2, .3, .5;
# the other models are asked with clean histories). The ideal
# answer is best at ρ = 0.1, with .329; at ρ = 0.5 it has .269. A Mult-VAE trained at the same ρ has .388 and .431, EASE .439. The fewer items are
# masked, the more views of a new user fit *nobody*: 12 % at ρ = 0.1, 44 % at ρ = 0.5 (an item more in a view adds nobody whom it fits; such views were left out, and popularity orders
# only what the others leave at nearly 0). The ideal answer is behind both models at all five ρ, and has nothing to say about a view that fits nobody. A smooth encoder gives such a view an answer like that of
# similar ones; that this makes the difference was not tested. Next: users who have *most* items of the view, with a weight.
#
# **The questions of task 7.2.** Each item has its own probability now, so in general the law is no sum of two binomials. On average the *mean* of the law
# decides: a pair comes closer if the sum of $2\rho_i(1-\rho_i)$ over its common items is below the sum of $1-\rho_i$ over the items that only one has, $\rho_i$ being `keep[i]`.
#
# </details>
