# %% [markdown]
# # 5. What do clean inputs share?
# **Study** 150 min · **runs** 22 CPU seconds (119 s when it was built), 0.9 GB on 1 core · **needs** [chapter 03](03_latent_geometry.ipynb), [chapter 04](04_sharing_radius.ipynb); convex functions, entropy
#
# **You will be able to** (1) prove a [Lipschitz](GLOSSARY.md#lipschitz) constant of an encoder and say which part of it is weak, (2) derive the
# [compromise gap](GLOSSARY.md#compromise-gap) of Theorem 2.5, (3) compute it as a [Jensen-Shannon divergence](GLOSSARY.md#jensen-shannon-divergence) and integrate it over the [latent space](GLOSSARY.md#latent-space),
# (4) predict when two users are driven apart and when they merge, (5) say which pairs of users [clean input](GLOSSARY.md#clean-input) leaves alone.

# %% [markdown]
# ## 5.1 Question
#
# Two kinds of pairs are hard for a recommender. Our data is [planted](GLOSSARY.md#planted), so we can find them: `data.truth` knows everybody's
# taste. *Far but related:* much the same taste, and at most one item in common. *Near but unrelated:* foreign
# tastes, and most items in common, because both take what everybody takes. We add the two easy kinds, and take 100
# pairs of each among the training users.

# %% tags=["setup"]
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.stats import spearmanr

import minivae as mv
from minivae.theory import bottleneck, distances, locality, transfer

mv.plots.course_style()
rng = torch.Generator().manual_seed(0)
BLUE, ORANGE, GREEN, RED, PINK = mv.plots.COLOURS[:5]


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


# %%
data = mv.planted(n_users=2_000, n_items=300, n_events=60_000, seed=0)
split = mv.strong_split(data, n_heldout=200)
x = split.train  # (U, I)
n = torch.from_numpy(np.diff(x.indptr)).double()  # N_u
common = torch.from_numpy((x @ x.T).toarray()).double()
jaccard = common / (n[:, None] + n - common)
differ = n[:, None] + n - 2 * common  # ‖x_u − x_v‖₁: items that one of the two has and the other has not
taste = torch.from_numpy(data.truth.similarity(split.train_labels[:, None], split.train_labels))  # cosines
above = torch.ones_like(common, dtype=torch.bool).triu(1)  # every pair once
little = above & (common <= 1) & (torch.minimum(n[:, None], n) >= 10)
much = above & (jaccard >= np.quantile(jaccard[above], 0.99))
row = {label: k for k, label in enumerate(split.train_labels.tolist())}


def known(pairs):  # the pairs of `data.truth` that were trained on
    return torch.tensor([[row[a], row[b]] for a, b in pairs.tolist() if a in row and b in row])[:100]


def some(mask):
    pairs = mask.nonzero()
    return pairs[torch.randperm(len(pairs), generator=rng)[:100]]


groups = {
    "far, related": known(data.truth.far_pairs),
    "far, unrelated": some(little & (taste <= 0)),
    "near, related": some(much & (taste >= 0.5)),
    "near, unrelated": known(data.truth.near_pairs),
}
print("means of 100 pairs   items N   common   differ   cosine of true tastes")
for name, pairs in groups.items():
    u, v = pairs.T
    numbers = (n[pairs].mean(), common[u, v].mean(), differ[u, v].mean(), taste[u, v].mean())
    print("{:20} {:7.0f} {:8.0f} {:8.0f} {:12.2f}".format(name, *numbers))

# %%
fig, axes = plt.subplots(2, 1, figsize=(7.6, 3.4), sharex=True)
popular = np.argsort(np.argsort(-np.asarray(x.sum(0)).ravel(), kind="stable"))  # rank of every item
for ax, name in zip(axes, ("far, related", "near, unrelated"), strict=True):
    u, v = groups[name][0].tolist()
    for y, (one, other, colour) in enumerate(((v, u, ORANGE), (u, v, BLUE))):
        own, shared = np.setdiff1d(x[one].indices, x[other].indices), np.intersect1d(x[one].indices, x[other].indices)
        ax.vlines(popular[own], y + 0.1, y + 0.9, color=colour, label=f"only {'vu'[y]} has it")
        ax.vlines(popular[shared], y + 0.1, y + 0.9, color="black", linewidth=1, label="both have it" if y else None)
    ax.set_yticks([0.5, 1.5], ["user v", "user u"])
    title = name.replace(",", " but")
    ax.set_title(f"{title} (cosine of tastes {taste[u, v]:.2f})".replace("-", "−"), loc="left", fontsize=11)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
axes[1].set_xlabel("rank of the item by popularity (0: most popular)")
axes[0].legend(loc="lower right", ncols=3, fontsize=10)
plt.show()

# %% [markdown]
# **Predict.** A [Mult-VAE](GLOSSARY.md#mult-vae) is trained on clean input. Which of the two pairs lies closer in latent space? And in which of
# them does a training step on $v$ help $u$?
#
# ## 5.2 Lemma 2.4: near inputs, near posteriors
#
# **Lemma 2.4.** If $\mu$ and $\sigma$ are Lipschitz with constants $K_\mu$ and $K_\sigma$, from
# $\|\cdot\|_1$ to the Euclidean norm, then
#
# $$W_1(q_u,q_v) \;\le\; W_2(q_u,q_v) \;\le\; \sqrt{K_\mu^2+K_\sigma^2}\;\|x_u-x_v\|_1 .$$
#
# *Proof:* $W_2^2=\|\mu_u-\mu_v\|^2+\|\sigma_u-\sigma_v\|^2$, chapter 03. $\blacksquare$
#
# The norm on the right counts the items in which the two differ. But *are* there such constants? The encoder is a chain,
# and the constants of a chain multiply:
#
# * $x\mapsto x/\|x\|$ (nobody has an empty row): $\sqrt{2-\sqrt2}=.77$. Rows that differ in two items or more are at most
#   $\sqrt2$ apart, so their ratio is at most $\sqrt2/2=.71$. With $n$ items and one more it is $\sqrt{2-2\sqrt{n/(n+1)}}$, largest for $n=1$.
# * $h=\tanh(V_1x+b_1)$ with a matrix $V_1$: its largest singular value $\|V_1\|$, since $|\tanh'|\le1$.
# * $\mu=V_\mu h+b_\mu$: $\|V_\mu\|$.
# * $\sigma=e^{s/2}$ with $s=\log\sigma^2=V_sh+b_s$. The exponential has no Lipschitz constant, but $s$ is bounded: the
#   input has length 1, so each hidden unit stays in an interval, and so does each $s_j$. Below its largest value the slope
#   is at most $\frac12e^{s_{\max}/2}$.


# %% tags=["from-scratch"]
def constants(model):  # K_μ, K_σ
    w1, b1 = model.encoder_input.weight, model.encoder_input.bias  # (I, H), (H,)
    to_mu, to_s = model.encoder_output.weight.chunk(2)  # (d, H) each
    hidden = torch.linalg.matrix_norm(w1, 2)
    low = torch.tanh(b1 - w1.clamp_max(0).norm(dim=0))  # Cauchy–Schwarz, with x ≥ 0 and ‖x‖ = 1
    high = torch.tanh(b1 + w1.clamp_min(0).norm(dim=0))
    by_interval = to_s.clamp_min(0) @ high + to_s.clamp_max(0) @ low
    by_norm = to_s @ torch.tanh(b1) + hidden * to_s.norm(dim=1)
    s_max = model.encoder_output.bias.chunk(2)[1] + torch.minimum(by_interval, by_norm)  # (d,)
    slope = 0.5 * (0.5 * s_max).exp()
    both = [torch.linalg.matrix_norm(w, 2) for w in (to_mu, slope[:, None] * to_s)]
    return [float((2 - 2**0.5) ** 0.5 * hidden * w) for w in both]


# %% [markdown]
# We train five models on clean input (`keep=1`) and stop them after 1, 4 and 25 [epochs](GLOSSARY.md#epoch); the early ones are needed in
# 5.7.

# %%
epochs = (1, 4, 25)
models = {}
for seed in range(5):
    for stop in epochs:
        config = mv.TrainConfig(keep=1.0, lr=3e-3, batch_size=100, epochs=stop, anneal_steps=300, seed=seed)
        vae = mv.MultVAE(split.n_items, hidden=100, latent=16)
        models[seed, stop] = mv.fit(vae, split, config).model.double().requires_grad_(False)

# %% tags=["nbval-check-output"]
rows = torch.cartesian_prod(*[tensor([0, 1])] * 6)[1:]  # (63, 6) all users of 6 items
unit = rows / rows.norm(dim=1, keepdim=True)
ratios = torch.cdist(unit, unit) / torch.cdist(rows, rows, p=1).fill_diagonal_(torch.inf)
torch.testing.assert_close(float(ratios.max()), (2 - 2**0.5) ** 0.5)
worst = (ratios > ratios.max() - 1e-6).nonzero()  # pairs of users
assert (rows.sum(1)[worst].sort().values == tensor([1, 2])).all()  # one has 1 item, the other 2
assert ((rows[worst[:, 0]] - rows[worst[:, 1]]).abs().sum(1) == 1).all()  # and they differ in one
seen = []
for seed in range(5):
    proved = locality.encoder_constants(models[seed, 25])
    l_mu, l_sd = constants(models[seed, 25])
    torch.testing.assert_close([l_mu, l_sd], [proved.mu, proved.sd], rtol=1e-9, atol=0)
    every = locality.observed_smoothness(models[seed, 25], x[:500])
    one_less = locality.observed_smoothness(models[seed, 25], *locality.without_one(x[:500], rng))
    largest = max(every.largest, one_less.largest)
    assert largest < proved.joint <= proved.separate
    assert proved.sd_max.max() > 100
    assert models[seed, 25].encode(x)[1].max() < 1.5
    assert (every.latent_distance <= proved.unit * every.unit_distance + 1e-12).all()
    order = spearmanr(every.input_distance[above[:500, :500]], every.latent_distance[above[:500, :500]]).statistic
    seen.append((l_mu, l_sd, every.largest, one_less.largest, order))
print(
    "normalisation: worst of all pairs of 6 items is √(2 − √2); encoder: from scratch = package; Lemma 2.4 holds:", True
)

# %%
stored = mv.course.stored("theory-ml-1m-observations.json")["models"]
clean = {key: np.array([row[key] for row in stored["clean β=0.2"]]) for key in ("largest ratio", "proved")}
labels = ("K_mu (bound)", "K_sigma (bound)", "largest ratio, all pairs", "largest ratio, one item removed")
print("W2 per item, 5 seeds                    mean  [lowest, highest]")
for label, values in zip((*labels, "rank correlation, input and latent"), zip(*seen, strict=True), strict=True):
    print(f"  {label:35} {np.mean(values):7.2f}  [{min(values):.2f}, {max(values):.2f}]")

many = clean["proved"] / 1e6
print(
    f"MovieLens-1M, 5 seeds: largest ratio {clean['largest ratio'].mean():.1f} ± {clean['largest ratio'].std(ddof=1):.1f}; constant",
    end=" ",
)
print(
    f"{many.mean():.1f} ± {many.std(ddof=1):.1f} million, from {many.min():.1f} to {many.max():.1f} (mean ± standard deviation)"
)

fig, ax = plt.subplots(figsize=(7, 3.6))
shown = [
    torch.cat([t.flatten(), near])
    for t, near in zip(
        (every.input_distance[:4], every.latent_distance[:4]),
        (one_less.input_distance, one_less.latent_distance),
        strict=True,
    )
]
ax = mv.plots.lipschitz_line(shown[0].numpy(), shown[1].numpy(), proved.joint, ax=ax)

# %% [markdown]
# **Reading.** The lemma holds, and its constant is about two thousand times the largest ratio seen. Most of it is
# $K_\sigma$: the intervals allow spreads in the hundreds, those that occur end near 1. $K_\mu$ alone is only about fourteen
# times the largest ratio. The steepest pairs are near-duplicates, one item removed. On MovieLens-1M, with larger models,
# the constant is in the millions and differs between seeds by more than its mean.
#
# What does the lemma give to collaboration? With chapter 04: a step on $v$ surely helps $u$ if
# $W_1<r_{\text{share}}$, hence where $\|x_u-x_v\|_1<r_{\text{share}}/\sqrt{K_\mu^2+K_\sigma^2}$. This
# is **local** collaboration: at best a ball around $x_u$. About users outside of the ball the lemma says *nothing*; it
# does not say that they are far.
#
# ## 5.3 Theorem 2.5: sharing a place has a price
#
# At a point $z$ the decoder gives one answer. If both [posteriors](GLOSSARY.md#posterior) have mass at $z$, it must serve both users.
#
# **Theorem 2.5.** Let $\log p(x|z)=\langle\eta(z),T(x)\rangle-A(\eta(z))+\text{const}$, an exponential family, and let
# the decoder be free: any $\eta(z)$ at each $z$. With $a=q_u(z)$ and $b=q_v(z)$ the best common answer at $z$ costs
# more than two separate ones, by the **compromise gap**
#
# $$a\,A^*(T_u)+b\,A^*(T_v)-(a+b)\,A^*\Big(\frac{aT_u+bT_v}{a+b}\Big)\;\ge\;0,\qquad A^*(T)=\sup_\eta\langle\eta,T\rangle-A(\eta).$$
#
# *Proof.* With $\bar T=(aT_u+bT_v)/(a+b)$ the common cost is
# $a[A(\eta)-\langle\eta,T_u\rangle]+b[A(\eta)-\langle\eta,T_v\rangle]=(a+b)[A(\eta)-\langle\eta,\bar T\rangle]$, at best
# $-(a+b)A^*(\bar T)$. Alone they pay $-aA^*(T_u)$ and $-bA^*(T_v)$. Subtract. $A^*$ is convex: Jensen; strictly, if
# $T_u\ne T_v$, $a,b>0$ and $A^*$ is strictly convex. $\blacksquare$
#
# One $A$ for both seems to ask for $N_u=N_v$. For the **[multinomial](GLOSSARY.md#multinomial)** it does not: with $A=N\log\sum_ie^{\eta_i}$ one
# finds $A^*(T)=\sum_iT_i\log(T_i/\sum_jT_j)$, whatever $N$ is. Directly (ours): let $p_u=x_u/N_u$, $w_u=q_u(z)N_u$. The common cost is $-\sum_i(w_up_{ui}+w_vp_{vi})\log\pi_i$, least at the
# weighted mean $\pi=m$, so for any $N_u,N_v$
#
# $$\text{gap}(z)=w_u\,\mathrm{KL}(p_u\|m)+w_v\,\mathrm{KL}(p_v\|m),\qquad m=\frac{w_up_u+w_vp_v}{w_u+w_v}:$$
#
# $w_u+w_v$ times a weighted **Jensen-Shannon divergence**.


# %% tags=["from-scratch"]
def gap(p_u, p_v, w_u, w_v):  # (I,), (I,) and any number of places (...)
    w_u, w_v = w_u[..., None], w_v[..., None]
    m = (w_u * p_u + w_v * p_v) / (w_u + w_v)  # (..., I)
    terms = [w * (torch.xlogy(p, p) - torch.xlogy(p, m)) for w, p in ((w_u, p_u), (w_v, p_v))]
    return sum(terms).sum(-1)  # (...)


# %% tags=["nbval-check-output"]
for pairs in groups.values():
    u, v = pairs[0].tolist()
    p_u, p_v = (torch.from_numpy(x[k].toarray()[0]).double() / n[k] for k in (u, v))
    w_u, w_v = n[u] * 0.3, n[v] * 0.7
    by_hand = gap(p_u, p_v, w_u, w_v)
    torch.testing.assert_close(by_hand, locality.compromise_gap(p_u, p_v, w_u, w_v))
    numerical = locality.compromise_gap_numerical(p_u, p_v, w_u, w_v)  # L-BFGS over the logits, three times
    assert abs(numerical - by_hand) < 1e-6 * (w_u + w_v)
    # all common items merged into one, all that only u has, all that only v has: 3 items in place of 300
    q = locality.shared_profile(common[u, v], n[u], n[v])
    torch.testing.assert_close(gap(*q, w_u, w_v), by_hand)
t_u, t_v = torch.randn(2, 4, generator=rng, dtype=torch.float64)
normal = locality.exponential_family_gap(t_u, t_v, 2.0, 3.0, locality.gaussian_conjugate)
torch.testing.assert_close(normal, 0.5 * (2 * 3 / 5) * (t_u - t_v).square().sum())
print("from scratch = package = numerical optimisation; only overlap matters; Gaussian decoder: closed form:", True)

# %% [markdown]
# ## 5.4 Over the whole space
#
# Sum up all places: $\int\text{gap}(z)\,dz$. Two users with 20 items each, 10 of them common, on a line:

# %%
N, shared = tensor(20.0), tensor(10.0)
p_u, p_v = locality.shared_profile(shared, N, N)
z = torch.linspace(-7, 11, 901, dtype=torch.float64)


def densities(distance):
    return [torch.exp(-0.5 * (z - mean) ** 2) / (2 * np.pi) ** 0.5 for mean in (0.0, distance)]


fig, axes = plt.subplots(1, 3, figsize=(7.6, 2.4), sharey=True)
for ax, distance in zip(axes, (0.5, 2.0, 5.0), strict=True):
    w_u, w_v = (N * q for q in densities(distance))
    price = gap(p_u, p_v, w_u, w_v)  # (901,)
    whole = locality.compromise_integral(*map(tensor, ([0.0], [1.0], [distance], [1.0])), p_u, p_v, N, N)
    torch.testing.assert_close(torch.trapezoid(price, z), whole, rtol=1e-6, atol=0)
    ax.fill_between(z, price, color=PINK, label="gap")
    ax.plot(z, w_u, "-", color=BLUE, label="$N q_u$")
    ax.plot(z, w_v, "--", color=ORANGE, label="$N q_v$")
    ax.set(title=f"distance {distance:g}: gap {whole:.1f} nats", xlabel="$z$")
axes[0].set_ylabel("per unit of $z$")
axes[0].legend(loc="upper right")
plt.show()

# %% [markdown]
# The pink area is what sharing costs. Gaussians always overlap, so it is never zero. Check it by numerical minimisation at
# each $z$, and in a plane:

# %% tags=["checks", "nbval-check-output"] jupyter={"source_hidden": true}
places = torch.linspace(-6, 8, 43, dtype=torch.float64)
w_u, w_v = (N * torch.exp(-0.5 * (places - mean) ** 2) / (2 * np.pi) ** 0.5 for mean in (0.0, 2.0))
learnt = tensor([locality.compromise_gap_numerical(p_u, p_v, a, b) for a, b in zip(w_u, w_v, strict=True)])
on_the_line = locality.gap_against_distance(p_u, p_v, N, N, 2.0)
assert abs(torch.trapezoid(learnt, places) - on_the_line) < 1e-4
plane = [tensor(t) for t in ([0.0, 0.0], [1.0, 1.0], [1.2, 1.6], [1.0, 1.0])]  # means at distance 2 in the plane
torch.testing.assert_close(locality.compromise_integral(*plane, p_u, p_v, N, N), on_the_line, rtol=1e-9, atol=0)
sampled = locality.compromise_monte_carlo(*plane, p_u, p_v, N, N, 20_000, rng)
assert abs(sampled.value - on_the_line) < 5 * sampled.se
print("numerical optimisation at each z = quadrature; line = plane = sampling:", True)

# %% [markdown] tags=["fault"]
# **Find the fault.** The compromise gap once more. Where $v$ has hardly any mass, the decoder may answer for $u$ alone, and the gap must be near 0.
# The cell prints `gap at a place where v has hardly any mass: 6.9 nats`.


# %% tags=["fault", "nbval-check-output"]
def gap_at(p_u, p_v, w_u, w_v):
    m = (p_u + p_v) / 2
    return sum(w * (torch.xlogy(p, p) - torch.xlogy(p, m)).sum() for w, p in ((w_u, p_u), (w_v, p_v)))


half = torch.tensor([0.5, 0.5, 0.0, 0.0])
print(f"gap at a place where v has hardly any mass: {gap_at(half, half.flip(0), 10.0, 1e-6):.1f} nats")

# %% [markdown] tags=["fault"]
# <details><summary>Hint</summary>
#
# $6.9 = 10\log 2$. Of which two profiles is `m` the mean, and with which weights?
#
# </details>
#
# <details><summary>Solution</summary>
#
# Write `(w_u * p_u + w_v * p_v) / (w_u + w_v)`, not `(p_u + p_v) / 2`; then it prints `gap at a place where v has hardly any mass: 0.0 nats`. The best common answer is the mean of the
# profiles *weighted* by $w_u$ and $w_v$. With the plain mean the cell pays for a compromise that nobody has to make.
#
# </details>

# %% [markdown]
# ## 5.5 One formula, when both have the same number of items
#
# Let $N_u=N_v=N$. Draw $U$, one of the two users, with probability ½ each, and $Z\sim q_U$. Given $Z=z$ it was $u$ with
# probability $\alpha=q_u/(q_u+q_v)$. The **conditional entropy** $H(U|Z)$ is the mean over $Z$ of
# $h(\alpha)=-\alpha\log\alpha-(1-\alpha)\log(1-\alpha)$, what $z$ leaves open. With $D=\|x_u-x_v\|_1$, *exact* (ours):
#
# $$\int\text{gap}\,dz = D\cdot H(U|Z).$$
#
# *Proof.* A common item has $p_{ui}=p_{vi}=m_i$ and costs nothing. An item of $u$ alone has $m_i=\alpha/N$ and costs
# $-q_u\log\alpha$; one of $v$ alone $-q_v\log(1-\alpha)$. There are $D/2$ of each. So
# $\text{gap}(z)=\frac D2(q_u+q_v)h(\alpha)$, and $\frac12(q_u+q_v)$ is the density of $Z$. $\blacksquare$
#
# With equal spreads $H=\log 2$ at distance 0; far apart, $H\to0$. So
# for given spreads the gap falls with distance. It is *no* function of $W_2$ alone: stretch the space by three, and
# $W_2$ triples, while the overlap stays. The figure has one curve for each spread.

# %% tags=["nbval-check-output"]
apart = torch.linspace(0, 6, 61, dtype=torch.float64)  # distance in spreads
curves = {
    int(s): locality.gap_against_distance(*locality.shared_profile(tensor(s), N, N), N, N, apart)
    for s in (0.0, 10.0, 17.0)
}
for s, curve in curves.items():
    unknown = curve / (2 * (20 - s))  # ‖x_u − x_v‖₁ = 2 (N − s)
    for k in (0, 20, 40):  # H(U|Z) = log 2 − I(U; Z), by quadrature of something else
        q = tensor([[0.0], [float(apart[k])]]), torch.ones(2, 1, dtype=torch.float64)
        information = bottleneck.kl_decomposition_quadrature(*q).mutual_information
        torch.testing.assert_close(unknown[k], np.log(2) - information, rtol=1e-8, atol=1e-10)
    assert (curve.diff() < 0).all()
near_but_cheap, far_but_dear = (
    locality.gap_against_distance(p_u, p_v, N, N, w2, spread, spread) for w2, spread in ((2.0, 1.0), (4.0, 3.0))
)
assert near_but_cheap < far_but_dear
print("gap = items that differ × H(U|Z), falls with distance; at W2 = 4 it can be larger than at W2 = 2:", True)

# %%
fig, ax = plt.subplots(figsize=(5.6, 2.8))
for spread, style, colour in ((0.5, ":", GREEN), (1.0, "-", BLUE), (3.0, "--", ORANGE)):
    ax.plot(apart * spread, curves[10], style, color=colour, linewidth=2, label=f"both spreads {spread:g}")
ax.set(xlabel="$W_2$", ylabel="gap (nats), 20 items differ", xlim=(0, 8), ylim=(0, None))
ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %% [markdown]
# ## 5.6 Push and pull
#
# Reconstruction pushes content-different users apart; the KL term pulls all users to the [prior](GLOSSARY.md#prior). Let both
# have $N$ items and let everything be free: the decoder, and the two posteriors, of any shape, in any dimension. Up to
# what each would pay alone, the objective is
#
# $$J = D\,H(U|Z)+\beta(\mathrm{KL}_u+\mathrm{KL}_v),\qquad \mathrm{KL}_u+\mathrm{KL}_v = 2\,[I(U;Z)+\mathrm{KL}(\bar q\|p)],$$
#
# $\bar q$ the mean of both densities ([chapter 06](06_beta_kl.ipynb) derives the second identity). With
# $H(U|Z)=\log2-I(U;Z)$:
#
# $$J \;\ge\; D\log2-(D-2\beta)\,I(U;Z).$$
#
# * **If $D\le2\beta$**, then $J\ge D\log 2$, attained when both are the prior: they **merge**.
# * **If $D>2\beta$**, they **part**. Take Gaussians $t$ spreads apart. The best spread costs
#   $\mathrm{KL}_u+\mathrm{KL}_v=\log(1+t^2/4)$ (set the derivative to zero).
# * For small $t$ one has $I\approx t^2/8$, so $J\approx D\log2-(D-2\beta)\,t^2/8$, which is below $D\log2$.
#
# *Exact* (ours), under these assumptions:
#
# > To merge is best if and only if two users differ in at most $2\beta$ items.
#
# **Predict.** $\beta=5$: users who differ in 8 items, and in 12. Does a *real* network, trained by Adam, follow the rule?

# %%
N, beta, seeds, steps = tensor(20.0), 5.0, 5, 800
levels = tensor([0, 4, 8, 12, 16, 20, 28, 40])  # D
profiles = locality.shared_profile(N - levels.repeat_interleave(seeds) / 2, N, N)  # (R, 3) each
target = N * torch.stack(profiles, 1)[:, :, None]  # (R, 2, 1, 3)
R, hidden = len(target), 32  # R = 8 · 5 pairs of users, each pair with a network of its own


def draw(*shape):
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


start = [2 * draw(R, 1, hidden), draw(R, 1, hidden), draw(R, hidden, 3) / hidden**0.5, 0 * draw(R, 1, 3)]
A, b, B, c, mu, log_sd = [t.requires_grad_() for t in (*start, tensor([-0.5, 0.5]).repeat(R, 1), 0 * draw(R, 2))]
adam = torch.optim.Adam([A, b, B, c, mu, log_sd], lr=2e-2)
slower = torch.optim.lr_scheduler.LinearLR(adam, 1, 0.02, steps)
for _ in range(steps):
    z = mu[:, :, None] + log_sd.exp()[:, :, None] * draw(R, 2, 32)  # (R, 2, S)
    logits = torch.tanh(z.reshape(R, 64, 1) @ A + b) @ B + c
    nll = -(target * logits.log_softmax(-1).unflatten(1, (2, 32))).sum(-1).mean(-1)  # (R, 2)
    kl = distances.gaussian_kl(mu[..., None], log_sd.exp()[..., None])
    adam.zero_grad()
    (nll + beta * kl).sum().backward()
    adam.step()
    slower.step()
spread = log_sd.detach().exp().square().mean(1).sqrt()
trained = ((mu[:, 1] - mu[:, 0]).detach().abs() / spread).view(-1, seeds)  # (8, 5) distance in spreads

t = torch.linspace(0, 6, 601, dtype=torch.float64)
unknown = locality.gap_against_distance(*locality.shared_profile(tensor(0.0), N, N), N, N, t) / 40  # H(U|Z)
many = torch.linspace(0, 40, 401, dtype=torch.float64)
best = t[(many[:, None] * unknown + beta * torch.log1p(t**2 / 4)).argmin(1)]

fig, ax = plt.subplots(figsize=(5.6, 3))
ax.plot(many, best, color="black", label="theory, exact")
at = levels.repeat_interleave(seeds)
ax.plot(at, trained.flatten(), "o", color=RED, markersize=5, alpha=0.6, label="trained, 5 seeds")
ax.axvline(2 * beta, color="0.5", linestyle="--", label="$2\\beta$")
ax.set(xlabel="items in which the two differ", ylabel="final distance, in spreads")
ax.legend(loc="lower right")
plt.show()

# %% tags=["checks", "nbval-check-output"] jupyter={"source_hidden": true}
gap_apart = 1.7  # the two identities of this section, at one distance
best_spread = (1 + gap_apart**2 / 4) ** -0.5
at = [tensor([[-m], [m]]) for m in (best_spread * gap_apart / 2, 1.1 * best_spread * gap_apart / 2)]
parts, worse = (bottleneck.kl_decomposition_quadrature(m, m.abs() * 2 / gap_apart) for m in at)
torch.testing.assert_close(parts.mean_kl, parts.mutual_information + parts.marginal_kl)
torch.testing.assert_close(2 * parts.mean_kl, torch.log1p(tensor(gap_apart**2 / 4)))
assert worse.mean_kl > parts.mean_kl
information = np.log(2) - unknown[1:11]  # at t = 0.01 … 0.1
torch.testing.assert_close(information, t[1:11] ** 2 / 8, rtol=2e-3, atol=0)
predicted, merge = best[(10 * levels).long()], levels <= 2 * beta
assert (predicted[merge] == 0).all()
assert (predicted[~merge] > 2).all()
assert (trained[merge] < 0.3).all()
assert ((trained - predicted[:, None]).abs()[~merge] < 0.25).all()
print("trained: merged up to 2β, parted above, at the predicted distance:", True)

# %% [markdown]
# **Reading.** The network merges up to $2\beta$ and finds the distance above; the black curve is the best pair of Gaussians
# with equal spreads. At the usual $\beta=0.2$ only users who do not differ at all would merge. The limits: two users
# alone, equal $N$, and a decoder that is free at each $z$. A real one has 2,000 users and a limited slope.

# %% [markdown] tags=["explorable"]
# **Move it by hand.** With $\beta=3$ raise $D$ two by two: at which $D$ do the two users part? Run the cell; a viewer without scripts shows a picture.

# %% tags=["explorable"]
mv.explorable("compromise")

# %% [markdown]
# ## 5.7 The push in a real model
#
# Back to 5.1 and the five Mult-VAEs. What do the four kinds of pairs pay for their overlap, as a fraction of the full gap at
# distance 0, and where do they lie? Place: the rank of their $W_2$ among all pairs, from 0 (nearest) to 1. Help: the
# fraction of pairs with $\langle g_u,g_v\rangle>0$ (chapter 04). The four kinds differ in several things at once. So we
# also take all pairs of 500 users, and among them those of 10 to 20 items each, by [Jaccard index](GLOSSARY.md#jaccard-index) and taste.

# %%
involved = torch.cat(list(groups.values())).unique()
index = torch.zeros(len(n), dtype=torch.long)
index[involved] = torch.arange(len(involved))
few = (n[:500] >= 10) & (n[:500] <= 20)
band = above[:500, :500] & few[:, None] & few  # both have 10 to 20 items
jaccards, tastes = (0, 0.05, 0.1, 0.2, 1), (-1, 0, 0.5, 1)  # edges
order = {"−W2": [], "Jaccard index": [], "taste": []}  # rank correlation with ⟨g_u, g_v⟩ > 0, per seed
helped = np.zeros((5, len(jaccards) - 1, len(tastes) - 1))  # fraction that helps
paid = {name: np.zeros((5, len(epochs))) for name in groups}
place, helps = ({name: np.zeros(5) for name in groups} for _ in range(2))  # after the last epoch
for (seed, stop), model in models.items():
    at = seed, epochs.index(stop)
    mu, sd = model.encode(x)
    trained_fully = stop == epochs[-1]
    if trained_fully:
        far = distances.w2_matrix(mu, sd)
        ordered = far[above].sort().values
        gram = transfer.gram(model, x[involved.numpy()], n_samples=4, generator=rng)  # noise of its own for each user
        helping = transfer.gram(model, x[:500], n_samples=4, generator=rng) > 0
        pairs = above[:500, :500]
        for name, value in zip(order, (-far, jaccard, taste), strict=True):
            order[name].append(spearmanr(value[:500, :500][pairs], helping[pairs]).statistic)
        for r, c in np.ndindex(*helped.shape[1:]):
            inside = band & (jaccard[:500, :500] >= jaccards[r]) & (jaccard[:500, :500] < jaccards[r + 1])
            inside = inside & (taste[:500, :500] >= tastes[c]) & (taste[:500, :500] < tastes[c + 1])
            helped[seed, r, c] = helping[inside].double().mean()
    for name, pairs in groups.items():
        u, v = pairs.T
        profile = locality.shared_profile(common[u, v], n[u], n[v])
        costs = locality.compromise_monte_carlo(mu[u], sd[u], mu[v], sd[v], *profile, n[u], n[v], 100, rng)
        paid[name][at] = (costs.value / costs.full).mean()
        if trained_fully:
            place[name][seed] = (torch.searchsorted(ordered, far[u, v]).double() / len(ordered)).mean()
            helps[name][seed] = (gram[index[u], index[v]] > 0).double().mean()

# %%
styles = {name: s for name, s in zip(groups, (("o-", RED), ("s--", ORANGE), ("^-", BLUE), ("D--", GREEN)), strict=True)}
fig, axes = plt.subplots(1, 2, figsize=(10, 4))
for name, (style, colour) in styles.items():
    mean = paid[name].mean(0)
    reach = mean - paid[name].min(0), paid[name].max(0) - mean
    axes[0].errorbar(range(len(epochs)), mean, reach, fmt=style, color=colour, label=name, capsize=3)
axes[0].set_xticks(range(len(epochs)), map(str, epochs))
axes[0].set(xlabel="epochs of training (mean and range of 5 seeds)", ylabel="gap paid / full gap", ylim=(0, 1))
axes[0].legend()
axes[0].spines[["top", "right"]].set_visible(False)
intervals = [[f"{a:g} to {b:g}" for a, b in pairwise(edges)] for edges in (jaccards, tastes)]
mv.plots.heat_map(helped.mean(0), *intervals, ax=axes[1])
axes[1].set(xlabel="cosine of true tastes", ylabel="Jaccard index")
axes[1].set_title("fraction of pairs that help, 10 to 20 items each (5 seeds)", fontsize=11)
for name, values in order.items():
    print(f"rank correlation of {name:13} with helping, 500 users: {min(values):5.2f} to {max(values):4.2f} (5 seeds)")
print("measured (5 seeds)   paid after 1 epoch       after 25   place after 25      help after 25")
for name in groups:
    cells = (paid[name][:, 0], paid[name][:, -1], place[name], helps[name])
    print(f"{name:18}", *(f"{c.mean():8.2f} [{c.min():.2f}, {c.max():.2f}]" for c in cells))

# %% tags=["checks", "nbval-check-output"] jupyter={"source_hidden": true}
falls = all((np.diff(paid[name], axis=1) < 0).all() and (paid[name][:, 0] > 0.5).all() for name in groups)
gone = all((paid[name][:, -1] < 0.05).all() for name in groups)
end = {name: (place[name], helps[name]) for name in groups}
between = (end["near, unrelated"][0] < end["far, related"][0]) & (end["far, related"][0] < end["far, unrelated"][0])
wrong_way = (end["far, related"][1] < 0.15) & (end["near, unrelated"][1] > 0.5)
assert 0.07 < end["far, related"][1].mean() < 0.12  # they harm each other in about nine of ten cases
assert 0.2 < np.mean(order["Jaccard index"]) < 0.3  # about a quarter
assert np.abs(order["taste"]).max() < 0.1
competitors = end["far, related"][1] < end["far, unrelated"][1]
assert falls
assert gone
assert between.all()
assert wrong_way.all()
assert competitors.all()
assert np.abs(order["−W2"]).max() < 0.1 < 0.2 < min(order["Jaccard index"])
assert (np.diff(helped, axis=1) > 0).all()  # more common items help more, at every taste, in every seed
assert (helped[:, :3, 0] > helped[:, :3, 2]).all()  # with J below .2, alike tastes help less, in every seed
print("in all 5 seeds: the price falls from over a half to under a twentieth;")
print("far but related lie between; they harm each other, near but unrelated help:", bool(wrong_way.all()))

# %% [markdown]
# **Reading.** *The push is real.* After one epoch the clouds overlap and pay most of the full gap, whatever they have in
# common. After 25 epochs they pay next to nothing: their clouds hardly overlap.
#
# *Helping goes with common items, not with nearness and not with taste.* Over all pairs of 500 users the [rank correlation](GLOSSARY.md#rank-correlation)
# of helping with $W_2$ is near 0; with the Jaccard index it is about a quarter. At equal [activity](GLOSSARY.md#activity) (right) more common
# items help more, whatever the tastes; at an equal Jaccard index below .2 users of *alike* taste help each other less.
# Far but related pairs, who should learn from each other, harm each other in about nine of ten cases. In this sense
# the gradients of these clean models are local, as the paper says.
#
# *In place it is not quite so.* Far but related pairs lie clearly nearer than far and unrelated ones. The lemma does not
# forbid it: it bounds from above only. A guess, not measured: the encoder learns which items go together, so users without a
# common item meet through the items of others; and users near each other who want different items then compete for
# probability.
#
# How [masks](GLOSSARY.md#mask) change this is the question of [chapter 07](07_masking.ipynb).
#
# ## 5.8 Recap
#
# * An encoder moves a posterior by at most $K\|x_u-x_v\|_1$. $K$ can be proved and is very coarse; it promises a ball
#   around each user and nothing beyond.
# * A place shared by two users costs a weighted Jensen-Shannon divergence; for equal $N$, the items that differ times
#   $H(U|Z)$. Two users alone, with a free decoder, merge if they differ in at most $2\beta$ items, and else part.
# * After training on clean input, helping rises with common items; with $W_2$ it is all but uncorrelated. Users alike in
#   taste without common items come half-way near, and mostly harm each other.

# %% [markdown]
# ## 5.9 Exercises
#
# `minivae course --out my_work` makes copies with empty cells. The checks draw new numbers each time.
#
# **★ (10 min) Task 5.1.** A Gaussian decoder of variance 1 has $A(\eta)=\frac12\|\eta\|^2$. Find $A^*$ and write
# `gaussian_gap(t_u, t_v, a, b)`: the gap of P pairs at one place, from statistics (P, k) and densities (P,) each; shape
# (P,). Simplify: it is a multiple of $\|T_u-T_v\|^2$.


# %% tags=["solution"] jupyter={"source_hidden": true} nbgrader={"grade": false, "grade_id": "gaussian-gap", "locked": false, "schema_version": 3, "solution": true, "task": false}
def gaussian_gap(t_u, t_v, a, b):
    ### BEGIN SOLUTION
    return 0.5 * a * b / (a + b) * (t_u - t_v).square().sum(1)  # (P,)
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "gaussian-gap-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
mv.checks.check_gaussian_gap(gaussian_gap)

# %% [markdown]
# **★★ (25 min) Task 5.2.** A crowd at one place. Given users `x` (U, I), rows of zeros and ones with different $N_u$, and
# their densities `q` (U,) there, how much does the best common answer cost beyond U separate ones? Write
# `crowd_gap(x, q)`, a number. For two users it is the gap of 5.3. Mind $0\log0$.


# %% tags=["solution"] jupyter={"source_hidden": true} nbgrader={"grade": false, "grade_id": "crowd-gap", "locked": false, "schema_version": 3, "solution": true, "task": false}
def crowd_gap(x, q):
    ### BEGIN SOLUTION
    n = x.sum(1)  # (U,)
    p, w = x / n[:, None], q * n
    m = w @ p / w.sum()  # (I,)
    return w @ (torch.xlogy(p, p) - torch.xlogy(p, m)).sum(1)
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "crowd-gap-check", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
mv.checks.check_crowd_gap(crowd_gap)

# %% [markdown]
# **★★★ (open) Task 5.3.** In many dimensions one must sample. Let $J(z)$ be the Jensen-Shannon divergence with shares
# $w_u:w_v$. Show $\int\text{gap}\,dz=N_u\mathbb E_{q_u}J(z)+N_v\mathbb E_{q_v}J(z)$, and write `sampled_gap(mu, sd, x, eps)`
# for two users: `mu`, `sd` (2, d), `x` (2, I), and noise `eps` (2, S, d), `eps[0]` for the first user; return a number.
# Then investigate: train with $\beta$ from 0.2 to 20. Which pairs of users merge, and does $2\beta$ tell? How does the fraction
# of the gap that is paid grow? Use five seeds. Is there a line for $N_u\ne N_v$?


# %% tags=["solution"] jupyter={"source_hidden": true} nbgrader={"grade": false, "grade_id": "sampled-gap", "locked": false, "schema_version": 3, "solution": true, "task": false}
def sampled_gap(mu, sd, x, eps):
    ### BEGIN SOLUTION
    n = x.sum(1)  # (2,)
    p = x / n[:, None]  # (2, I)
    z = mu[:, None] + sd[:, None] * eps  # (2, S, d)
    log_q = -0.5 * ((z[:, :, None] - mu) / sd).square().sum(-1) - sd.log().sum(1)  # (2, S, 2) of both users at all z
    share = torch.softmax(log_q + n.log(), -1)[..., None]  # (2, S, 2, 1)
    m = (share * p).sum(2, keepdim=True)  # (2, S, 1, I)
    divergence = (share * (torch.xlogy(p, p) - torch.xlogy(p, m))).sum((2, 3))  # (2, S)
    return n @ divergence.mean(1)
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "sampled-gap-check", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
mv.checks.check_sampled_gap(sampled_gap)
