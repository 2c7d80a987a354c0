# %% [markdown]
# # 3. How far apart are two posteriors?
# **Study** 105 min · **runs** 15 CPU seconds (16 s when it was built), 0.6 GB on 1 core · **needs** [chapter 00](00_quickstart.ipynb); expectation, covariance, Gaussians
#
# **You will be able to** (1) define $W_1$ and $W_2$ by [couplings](GLOSSARY.md#coupling), (2) derive $W_2$ of diagonal Gaussians, (3) bracket
# $W_1$ and prove both sides, (4) say why $W_1$ from samples is too large on average, and how the excess depends on the dimension,
# (5) prove what $W_1$ bounds, (6) tell when the [KL divergence](GLOSSARY.md#kl-divergence) grows without limit and $W$ does not. [Glossary](GLOSSARY.md).

# %% [markdown]
# ## 3.1 Question
#
# The encoder of a [VAE](GLOSSARY.md#vae) turns a user into a cloud: the [posterior](GLOSSARY.md#posterior)
# $q_u = \mathcal N(\mu_u, \mathrm{diag}\,\sigma_u^2)$. The mean $\mu_u$ says where the user is, the spreads
# $\sigma_u$ say how sure the model is. Several theorems of this course ask how **close** users are. What is the
# distance of two clouds?

# %% tags=["setup"]
from itertools import combinations, permutations

import matplotlib.pyplot as plt
import numpy as np
import ot
import torch
from scipy.stats import spearmanr

import minivae as mv
from minivae.theory import distances, toy, transfer

mv.plots.course_style()
rng = torch.Generator().manual_seed(0)
BLUE, ORANGE, GREEN, RED = mv.plots.COLOURS[:4]


def noise(*shape):
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


# %%
pairs = {  # name -> μ_u, σ_u, μ_v, σ_v
    "shifted": ([-1.0, 0.0], [1.0, 1.0], [1.0, 0.0], [1.0, 1.0]),
    "wider": ([0.0, 0.0], [0.75, 0.75], [0.0, 0.0], [2.25, 2.25]),
    "needles": ([-0.25, 0.0], [0.05, 1.5], [0.25, 0.0], [0.05, 1.5]),
}
pairs = {name: [torch.tensor(t, dtype=torch.float64) for t in q] for name, q in pairs.items()}
fig, axes = plt.subplots(1, 3, figsize=(8.4, 3), sharex=True, sharey=True)
for ax, (name, (mu_u, sd_u, mu_v, sd_v)) in zip(axes, pairs.items(), strict=True):
    ax.scatter(*(mu_v + sd_v * noise(120, 2)).T, s=14, color=ORANGE, marker="^", linewidths=0, label="v")
    ax.scatter(*(mu_u + sd_u * noise(120, 2)).T, s=14, color=BLUE, marker="o", linewidths=0, label="u")
    ax.set(title=name, xlabel="$z_1$", aspect="equal")
axes[0].set_ylabel("$z_2$")
axes[0].legend(*(entries[::-1] for entries in axes[0].get_legend_handles_labels()), markerscale=2)  # u first
plt.show()

# %% [markdown]
# **Predict.** Put the three pairs in order, from nearest to farthest. Then write down: which pair would a statistician, who compares densities point by point,
# call the most different?
#
# ## 3.2 Moving sand
#
# Think of $q_u$ as a heap of sand that must become $q_v$. A **coupling** is a plan: a joint law of two points
# $(a, b)$ with $a\sim q_u$ and $b\sim q_v$; the grain at $a$ goes to $b$. The **[Wasserstein
# distance](GLOSSARY.md#wasserstein-distance)** is what the best one costs:
#
# $$W_p(q_u,q_v) = \Big(\inf_{\text{couplings}} \mathbb E\,\|a-b\|^p\Big)^{1/p}, \qquad p = 1, 2.$$
#
# $W_1$ is the mean distance that a grain moves; $W_2$ gives long distances more weight. For two heaps of $n$ grains each some plan that keeps
# grains whole is best (a theorem of Birkhoff), so we can try all $n!$ of them.


# %% tags=["from-scratch"]
def wasserstein(a, b, p):  # two heaps of n grains, (n, d) each
    cost = (a[:, None] - b).norm(dim=-1) ** p  # (n, n) from every grain to every place
    grains = range(len(a))
    plans = permutations(grains)
    return min(cost[grains, plan].mean() for plan in plans) ** (1 / p)


# %% tags=["nbval-check-output"]
# 7 grains have 5,040 plans; for a thousand grains one needs a solver, and the package calls the library POT.
a, b = noise(7, 2), 1 + noise(7, 2)
torch.testing.assert_close(wasserstein(a, b, 1), distances.w1_empirical(a, b))
torch.testing.assert_close(float(wasserstein(a, b, 2)), ot.emd2([], [], ot.dist(a.numpy(), b.numpy())) ** 0.5)
print("all plans tried = solver:", True)

# %% tags=["figure"] jupyter={"source_hidden": true}
mu_u, sd_u, mu_v, sd_v = pairs["shifted"]
a, b = mu_u + sd_u * noise(25, 2), mu_v + sd_v * noise(25, 2)
cost = torch.cdist(a, b)  # (25, 25)
plans = {"some plan": torch.arange(25), "the best plan": torch.from_numpy(ot.emd([], [], cost.numpy())).argmax(1)}
fig, axes = plt.subplots(2, 1, figsize=(7, 6.4), sharex=True, sharey=True)
for ax, (name, to) in zip(axes, plans.items(), strict=True):
    ax.plot(*torch.stack([a, b[to]], 1).permute(2, 1, 0), color="0.6", linewidth=0.8, zorder=0)
    ax.scatter(*a.T, s=22, color=BLUE, marker="o")
    ax.scatter(*b.T, s=22, color=ORANGE, marker="^")
    ax.set(title=f"{name}: mean distance {cost[range(25), to].mean():.2f}", ylabel="$z_2$", aspect="equal")
axes[1].set_xlabel("$z_1$")
plt.show()


def crossings(a, b):  # pairs of lines a–b that properly cross
    def side(p, q, r):
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    lines = [*zip(a.tolist(), b.tolist(), strict=True)]
    pairs = [(p, q, r, s) for k, (p, q) in enumerate(lines) for r, s in lines[:k]]
    return sum(side(p, q, r) * side(p, q, s) < 0 > side(r, s, p) * side(r, s, q) for p, q, r, s in pairs)


print(*(f"{name}: {crossings(a, b[to])} crossings" for name, to in plans.items()), sep="; ")
assert crossings(a, b[plans["the best plan"]]) == 0

# %% [markdown]
# **Reading.** In the best plan for $p=1$ no two of the lines cross: where two cross, exchanging their ends is
# shorter (triangle inequality). The best plan of these 25 grains costs 2.27; the $W_1$ of the two Gaussians that they
# were drawn from is 2.
#
# ## 3.3 $W_2$ of two Gaussians
#
# **Claim** (*exact*). For diagonal Gaussians
# $W_2(q_u,q_v)^2 = \|\mu_u-\mu_v\|^2 + \|\sigma_u-\sigma_v\|^2 .$
#
# **Derivation.** Split off the means, then look at one coordinate $j$ after the other:
#
# $$\mathbb E\|a-b\|^2 = \|\mu_u-\mu_v\|^2 + \sum_j \big(\sigma_{uj}^2 + \sigma_{vj}^2 - 2\mathrm{Cov}(a_j,b_j)\big).$$
#
# By Cauchy and Schwarz $\mathrm{Cov}(a_j,b_j)\le\sigma_{uj}\sigma_{vj}$, so no plan costs less than the claim. And
# one plan attains it: **common noise**, $a=\mu_u+\sigma_u\odot\varepsilon$ and $b=\mu_v+\sigma_v\odot\varepsilon$ with
# the same $\varepsilon\sim\mathcal N(0,I)$. $\blacksquare$
#
# So a posterior is a point $(\mu_u,\sigma_u)\in\mathbb R^{2d}$, and $W_2$ is the ordinary distance of these points.
# Spreads enter, not variances. For full covariances $\Sigma$ the same idea ends in the **Bures formula**,
# $\|\mu_u-\mu_v\|^2 + \mathrm{tr}\big(\Sigma_u+\Sigma_v-2(\Sigma_u^{1/2}\Sigma_v\Sigma_u^{1/2})^{1/2}\big)$.


# %% tags=["from-scratch"]
def w2(mu_u, sd_u, mu_v, sd_v):
    return ((mu_u - mu_v).square().sum(-1) + (sd_u - sd_v).square().sum(-1)).sqrt()


def root(matrix):  # of a symmetric matrix without negative eigenvalues
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp_min(0).sqrt() @ vectors.T


def w2_full(mu_u, cov_u, mu_v, cov_v):  # the Bures formula
    middle = root(root(cov_u) @ cov_v @ root(cov_u))
    return ((mu_u - mu_v).square().sum() + (cov_u + cov_v - 2 * middle).trace()).sqrt()


# %% tags=["nbval-check-output"]
turn = torch.linalg.qr(noise(2, 2)).Q  # turn space: distances stay, covariances are diagonal no more
eps = noise(100_000, 2)
for mu_u, sd_u, mu_v, sd_v in pairs.values():
    exact = w2(mu_u, sd_u, mu_v, sd_v)
    torch.testing.assert_close(exact, distances.w2_gaussian(mu_u, sd_u, mu_v, sd_v))
    full = [turn @ mu_u, turn @ sd_u.square().diag() @ turn.T, turn @ mu_v, turn @ sd_v.square().diag() @ turn.T]
    torch.testing.assert_close(exact, w2_full(*full))
    torch.testing.assert_close(exact, distances.w2_gaussian_full(*full))
    library = ot.gaussian.bures_wasserstein_distance(*(full[k].numpy() for k in (0, 2, 1, 3)))
    torch.testing.assert_close(float(exact), float(library), atol=1e-6, rtol=0)
    moved = (mu_u - mu_v + (sd_u - sd_v) * eps).square().sum(1)  # squared distances under common noise
    assert abs(moved.mean() - exact**2) < 5 * moved.std() / len(eps) ** 0.5 + 1e-12
print("from scratch = package = Bures formula, turned = POT; common noise attains it:", True)

# %% [markdown] tags=["fault"]
# **Find the fault.** Somebody writes $W_2$ of two diagonal Gaussians. A distance has a unit: with all lengths doubled, means and spreads, it must
# be doubled. The cell prints `all lengths doubled: the distance is 3.89 times what it was`.


# %% tags=["fault", "nbval-check-output"]
def distance(mu_u, sd_u, mu_v, sd_v):
    return ((mu_u - mu_v).square().sum() + (sd_u.square() - sd_v.square()).square().sum()).sqrt()


q = [torch.tensor(t) for t in ([0.0, 1.0], [0.5, 2.0], [1.0, 1.0], [1.5, 1.0])]
doubled = [2 * t for t in q]
print(f"all lengths doubled: the distance is {distance(*doubled) / distance(*q):.2f} times what it was")

# %% [markdown] tags=["fault"]
# <details><summary>Hint</summary>
#
# A number that grows fourfold where lengths grow twofold is the square of a length. Which term has the wrong unit?
#
# </details>
#
# <details><summary>Solution</summary>
#
# Write `(sd_u - sd_v).square()`, not `(sd_u.square() - sd_v.square()).square()`; then it prints `all lengths doubled: the distance is 2.00 times what it was`. $W_2$ compares spreads, not
# variances (3.3).
#
# </details>

# %% [markdown]
# ## 3.4 $W_1$: a bracket
#
# Theorem 2.3 (chapter 04) needs $W_1$; for Gaussians in $d>1$ no general closed form is known, but there are bounds:
#
# $$\|\mu_u-\mu_v\| \;\le\; W_1(q_u,q_v) \;\le\; \mathbb E\,\|\mu_u-\mu_v+(\sigma_u-\sigma_v)\odot\varepsilon\| \;\le\; W_2(q_u,q_v).$$
#
# *Left:* for every plan $\mathbb E\|a-b\|\ge\|\mathbb E(a-b)\|=\|\mu_u-\mu_v\|$ (Jensen). *Middle:* common noise is a
# plan, so the best costs no more. *Right:* Jensen again, $\mathbb E\,r\le\sqrt{\mathbb E\,r^2}$. For equal spreads both
# ends meet.
#
# In $d=1$ common noise costs $W_1$, *exactly*. The sand lies on a line. To the left of a point $x$
# lies the fraction $F_u(x)$ of it now, and $F_v(x)$ must lie there in the end ($F$: distribution function). So at least
# $|F_u(x)-F_v(x)|$ must pass $x$, whatever the plan, and $W_1\ge\int|F_u-F_v|\,dx$. The plan that keeps the order of
# the grains, quantile to quantile, sends nothing in both directions and attains it. For Gaussians this plan is common
# noise.


# %% tags=["from-scratch"]
def w1_line(mu_u, sd_u, mu_v, sd_v, n=200_001):  # ∫ |F_u − F_v| dx by the trapezoid rule
    x = torch.linspace(-30, 30, n, dtype=torch.float64)
    below = [torch.special.ndtr((x - mu) / sd) for mu, sd in ((mu_u, sd_u), (mu_v, sd_v))]
    return torch.trapezoid((below[0] - below[1]).abs(), x)


# %% tags=["figure"] jupyter={"source_hidden": true}
m, s = 1.0, torch.linspace(0, 3, 31, dtype=torch.float64)  # difference of means, of spreads
one = torch.ones(31, 1, dtype=torch.float64)
low, high = distances.w1_bounds(0 * one, one, m * one, one + s[:, None])
exact = distances.w1_gaussian_1d(0.0, 1.0, m, 1 + s)
fig, ax = plt.subplots(figsize=(5.4, 3.1))
ax.fill_between(s, low, high, color="0.9", label="bracket")
ax.plot(s, high, "--", color=ORANGE, label="$W_2$")
ax.plot(s, exact, "-", color=BLUE, linewidth=2, label="$W_1$, exact")
ax.plot(s, low, ":", color=RED, linewidth=2, label="difference of means")
ax.set(xlabel="difference of spreads  (difference of means: 1)", ylabel="distance", ylim=(0, None))
ax.legend()
plt.show()

# %% tags=["checks", "nbval-check-output"] jupyter={"source_hidden": true}
by_hand = torch.stack([w1_line(0.0, 1.0, m, 1 + t) for t in s])
torch.testing.assert_close(by_hand, exact, rtol=1e-6, atol=1e-6)
assert (low <= exact + 1e-12).all()
assert (exact <= high + 1e-12).all()
assert abs(exact[0] - low[0]) + abs(exact[0] - high[0]) < 1e-12  # equal spreads: the ends meet
print("d = 1: sand passing = package, inside the bracket:", True)

# %% [markdown]
# **Reading.** Here ($d=1$, means 1 apart) small differences of spreads hardly count; large ones do, and then the bracket is wide: *how much* $W_1$ is below
# $W_2$ it does not say.
#
# ## 3.5 $W_1$ from samples
#
# Draw $n$ points of each cloud and use the solver? Try it where $W_1=2$ is known: equal spreads 1, means at distance 2.
#
# **Predict.** With 100 points from each cloud in 16 dimensions: is the estimate above or below 2, and by how much?

# %%
sizes, dims = (10, 30, 100, 300), (1, 2, 8, 16)
found = {}
for d in dims:
    one, shift = torch.ones(d, dtype=torch.float64), torch.full((d,), 2 / d**0.5, dtype=torch.float64)
    found[d] = distances.empirical_bias(0 * one, one, shift, one, sizes, repeats=10, generator=rng)
    assert abs(found[d].low - 2) + abs(found[d].high - 2) < 1e-12  # the bracket is one point

# %% tags=["figure"] jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(6, 3.2))
for (d, f), colour, marker in zip(found.items(), (BLUE, ORANGE, GREEN, RED), "o^sD", strict=True):
    ax.errorbar(sizes, f.estimate, f.estimate_se, fmt=f"{marker}-", color=colour, capsize=3, label=f"$d={d}$")
ax.axhline(2, color="black", linestyle="--", label="truth")
ax.set(xscale="log", xlabel="samples of each cloud", ylabel="$W_1$ of the samples", ylim=(0, None))
ax.set_xticks(sizes, map(str, sizes))
ax.minorticks_off()
ax.legend(loc="upper left", bbox_to_anchor=(1, 1), title="mean of 10 repeats\nbar: standard error")
plt.show()

# %% tags=["checks", "nbval-check-output"] jupyter={"source_hidden": true}
for f in found.values():
    assert (f.estimate > 2 - 4 * f.estimate_se).all()
    assert (f.estimate - f.floor < 2 + 4 * (f.estimate_se + f.floor_se)).all()
excess = {d: f.estimate - 2 for d, f in found.items()}
assert excess[2][-1] < 0.1
assert excess[8][-1] > 0.3
assert excess[16][2] > 1.5
left = float(excess[16][-1] / excess[16][1])  # what ten times the samples leave of the excess
assert 0.7 < left < 0.85
assert 0.5 < float(excess[8][-1] / excess[8][1]) < 0.65
assert 1.9 < found[16].estimate[-1] / 2 < 2.1
print(
    f"300 samples: near the truth in the plane; in 16 dimensions {float(found[16].estimate[-1]) / 2:.0f} times the truth;",
    f"100 samples in 16 dimensions: {float(found[16].estimate[2]):.2f}",
)

# %% [markdown]
# **Reading.** In 8 and 16 dimensions the estimate lies outside the bracket, far *above* it. Why above? $W_1$ is convex in
# the pair of measures, so by Jensen the mean over random samples is at least the $W_1$ of what the samples are on
# average: the true Gaussians. Two samples of the *same* cloud have a positive distance, too; measure it for each
# cloud, subtract both, and one has, on average, a bound below $W_1$ (triangle inequality, and Jensen again). On the line and in the plane the estimate is near 2, with 100 points in 16 dimensions 4.25. In higher
# dimensions the excess falls slowly: in 16 dimensions ten times the samples (30 to 300) left about three quarters of it, in 8 more than half. In [latent space](GLOSSARY.md#latent-space)
# the bracket has no such error, but may be wide (3.7).
#
# An alternative is **sliced** $W_1$: project on random directions, take the exact $W_1$ there (on a line: sort
# both, 3.4), average. It needs only sorting (300 points: table), but is *another quantity*:


# %% tags=["from-scratch"]
def sliced(a, b, along):  # two heaps (n, d), directions as columns (d, T)
    return ((a @ along).sort(0).values - (b @ along).sort(0).values).abs().mean()


# %%
print("d     truth   sliced, exact   sliced, 300 samples")
for d in dims:
    one, shift = torch.ones(d, dtype=torch.float64), torch.full((d,), 2 / d**0.5, dtype=torch.float64)
    along = distances.directions(d, 500, rng)
    exact = distances.sliced_w1_gaussian(0 * one, one, shift, one, along)
    a, b = noise(300, d), shift + noise(300, d)
    sampled = sliced(a, b, along)
    torch.testing.assert_close(sampled, distances.sliced_w1(a, b, along))
    assert exact < 2 or d == 1
    assert abs(sampled - exact) < 0.08
    print(f"{d:2}    {2:5.2f} {exact:15.2f} {sampled:17.2f}")

# %% [markdown]
# ("Exact" here: for the 500 directions drawn.) A shift of length 2 is seen as $2\,|\cos|$ of an angle, and in high $d$
# almost all angles are nearly right. So here, from $d=2$ on, sliced $W_1$
# lies below $\|\mu_u-\mu_v\|$, the lower end of the bracket. It does not replace $W_1$ in a theorem.
#
# ## 3.6 What $W_1$ bounds
#
# **Theorem (Kantorovich and Rubinstein; the half we need).** If $\|\phi(z)-\phi(z')\|\le K\|z-z'\|$ for all $z, z'$ (the function $\phi$ is $K$-[Lipschitz](GLOSSARY.md#lipschitz); it may be a vector), then
#
# $$\|\mathbb E_{q_u}\phi-\mathbb E_{q_v}\phi\| \le K\,W_1(q_u,q_v).$$
#
# *Proof.* Take the best plan $(a,b)$: $\|\mathbb E[\phi(a)-\phi(b)]\|\le\mathbb E\|\phi(a)-\phi(b)\|\le K\,\mathbb E\|a-b\|$. $\blacksquare$
#
# In [chapter 04](04_sharing_radius.ipynb), $\phi$ is the gradient of the decoder's loss for one list; close users with *other* lists
# may differ. The theorem holds for
# two clouds of samples, too, where both sides are known *exactly*. So test it with random
# networks $\phi(z)=B\tanh(Az+c)$, for which $K=\|A\|\,\|B\|$ is a constant (largest singular values; $|\tanh'|\le1$).


# %% tags=["from-scratch"]
def part_of_the_bound(a, b, distance):  # for a random network φ(z) = B tanh(Az + c)
    A, c, B = noise(10, 8) / 10 ** (2 * torch.rand((), generator=rng)), noise(10), noise(7, 10)
    K = torch.linalg.matrix_norm(A, 2) * torch.linalg.matrix_norm(B, 2)
    moved = torch.tanh(a @ A.T + c).mean(0) - torch.tanh(b @ A.T + c).mean(0)
    return float((B @ moved).norm() / (K * distance))


# %%
a, b = noise(200, 8), noise(8) + (0.5 + noise(8).abs()) * noise(200, 8)
distance = distances.w1_empirical(a, b)
used = [part_of_the_bound(a, b, distance) for _ in range(1000)]
print(f"1,000 random networks: from {min(used):.3f} to {max(used):.2f} of the bound")

# %% tags=["checks", "nbval-check-output"] jupyter={"source_hidden": true}
assert max(used) < 0.25  # a quarter of the bound
step = 5 * torch.eye(8, dtype=torch.float64)[0]
way = distances.w1_empirical(a, a + step)
torch.testing.assert_close((a - (a + step)).mean(0).norm(), way)  # φ(z) = z
print("φ(z) = z and a shift attain the bound:", True)
moved = step[:1].expand(7).norm()  # φ(z) = (z₁, …, z₁) with 7 entries: each 1-Lipschitz, the vector √7-Lipschitz
torch.testing.assert_close(moved, 7**0.5 * way)
assert moved > way
print("the largest constant of the entries is not enough, one needs that of the vector:", bool(moved > way))

# %% [markdown]
# None of these 1,000 networks used more than a quarter of the bound; others may, for the same two clouds, too ($K$ is an upper estimate itself).
#
# ## 3.7 Where KL is large and $W$ small
#
# $\mathrm{KL}(q_u\|q_v)=\mathbb E_{q_u}\log(q_u/q_v)$ compares densities
# point by point, and does not ask *how far* anything is:


# %% tags=["from-scratch"]
def kl(mu_u, sd_u, mu_v, sd_v):
    ratio = (sd_u / sd_v).square()
    return 0.5 * (((mu_u - mu_v) / sd_v).square() + ratio - 1 - ratio.log()).sum(-1)


# %%
print("pair        W1 between        W2    KL(u‖v)  KL(v‖u)   exact")
for name, (*u, mu_v, sd_v) in pairs.items():
    low, high = distances.w1_bounds(*u, mu_v, sd_v)
    print(f"{name:9}  {low:.2f} and {high:.2f}  {high:8.2f} {kl(*u, mu_v, sd_v):9.2f} {kl(mu_v, sd_v, *u):8.2f}")

# %% tags=["checks", "nbval-check-output"] jupyter={"source_hidden": true}
mu_u, sd_u, mu_v, sd_v = pairs["needles"]
torch.testing.assert_close(kl(mu_u, sd_u, mu_v, sd_v), distances.gaussian_kl((mu_u - mu_v) / sd_v, sd_u / sd_v))
other = [torch.tensor(t, dtype=torch.float64) for t in ([0.0, 1.0], [0.5, 2.0], [1.0, 1.0], [1.5, 1.0])]
library = torch.distributions.kl_divergence(*(torch.distributions.Normal(*other[k : k + 2]) for k in (0, 2)))
torch.testing.assert_close(kl(*other), library.sum())
thin = torch.tensor([0.1, 1.0])
assert kl(mu_u, thin * sd_u, mu_v, thin * sd_v) > 99 * kl(mu_u, sd_u, mu_v, sd_v)
torch.testing.assert_close(w2(mu_u, thin * sd_u, mu_v, thin * sd_v), w2(mu_u, sd_u, mu_v, sd_v))
wider = 1.5 * eps.norm(dim=1)  # E‖z‖ differs by its mean, and it is the distance moved under common noise
assert abs(wider.mean() - 1.5 * (np.pi / 2) ** 0.5) < 5 * wider.std() / len(eps) ** 0.5
print(f"wider: W1 = {1.5 * (np.pi / 2) ** 0.5:.2f}, exact")

# %% [markdown]
# **Reading.** The needles are nearest for $W$ and by far most different for KL; $\mathrm{KL}(u\|v)$ puts
# "wider" before "shifted", $\mathrm{KL}(v\|u)$ after it. With thinner needles KL
# grows without limit while $W$ stays $0.5$. A $K$-Lipschitz quantity differs by at most $K/2$ between the needles (3.6). And "wider"? Its bracket, 0 to 2.12, says little, but $\phi(z)=\|z\|$ is 1-Lipschitz, so $W_1\ge\mathbb E_{q_v}\|z\|-\mathbb E_{q_u}\|z\|=1.5\sqrt{\pi/2}$ (3.6), and
# common noise costs just that (3.4). So $W_1=1.88$: "wider" is nearer than "shifted" for $W_1$, and farther for $W_2$.
#
# In the other direction KL does control $W$. **Talagrand's inequality:** for the [prior](GLOSSARY.md#prior) $p=\mathcal N(0,I)$ (this $p$ is no exponent)
#
# $$W_1(q,p) \;\le\; W_2(q,p) \;\le\; \sqrt{2\,\mathrm{KL}(q\|p)} .$$
#
# The paper uses $W_1\le\sqrt{2\,\mathrm{KL}}$, called T1; the sharper statement with $W_2$ is called T2. For diagonal
# Gaussians T2 is one line, with the gap *exact*:
#
# $$2\,\mathrm{KL} - W_2^2 = \sum_j\big(\mu_j^2+\sigma_j^2-1-2\log\sigma_j\big)-\big(\mu_j^2+(\sigma_j-1)^2\big)
# = 2\sum_j(\sigma_j-1-\log\sigma_j) \;\ge\; 0 ,$$
#
# because $\log\sigma\le\sigma-1$. Equality holds if all $\sigma_j=1$: then $W_1=W_2=\|\mu\|=\sqrt{2\mathrm{KL}}$, so no
# constant smaller than 2 would do, not even in T1. And $W$ is a metric, so the triangle inequality over the prior gives
# $W_1(q_u,q_v)\le\sqrt{2\mathrm{KL}_u}+\sqrt{2\mathrm{KL}_v}$, where $\mathrm{KL}_u=\mathrm{KL}(q_u\|p)$: **small KLs of two users bound their distance.** [Chapter 06](06_beta_kl.ipynb) uses this line.

# %% tags=["checks", "nbval-check-output"] jupyter={"source_hidden": true}
mu, sd = 2 * noise(500, 16), noise(500, 16).exp()
divergence, to_prior = distances.gaussian_kl(mu, sd), distances.w2_gaussian(mu, sd, 0 * mu, 0 * sd + 1)
gap = 2 * (sd - 1 - sd.log()).sum(1)
torch.testing.assert_close(2 * divergence - to_prior.square(), gap)
torch.testing.assert_close(
    distances.w1_bounds(mu, 0 * sd + 1, 0 * mu, 0 * sd + 1)[0], distances.t1_bound(mu, 0 * sd + 1)
)
bound = distances.t1_bound(mu, sd)
assert (distances.w2_matrix(mu, sd) <= bound[:, None] + bound).all()
print("gap of T2 exact; T1 attained by shifts; the line over the prior bounds all pairs:", True)

# %% [markdown] tags=["explorable"]
# **Move it by hand.** Find two settings with the same $W_2$ and a KL a hundred times as large. Run the cell; a viewer without scripts shows a picture.

# %% tags=["explorable"]
mv.explorable("transport")

# %% [markdown]
# ## 3.8 The users of a trained model
#
# We train a [Mult-VAE](GLOSSARY.md#mult-vae) as in chapter 00, smaller ($d=16$), five seeds, and look at 600 training users. Our data is
# [planted](GLOSSARY.md#planted), so the truth is known: each user has a hidden community and a hidden taste, a
# vector; how alike two tastes are, their cosine says. Orders are compared by Spearman's [*rank correlation*](GLOSSARY.md#rank-correlation).
#
# **Predict.** ($N$: a user's number of items.) Which fraction of $W_2^2$ comes from the spreads? Do two users with more items in common lie closer? Or does the
# [**Jaccard index**](GLOSSARY.md#jaccard-index) count: common items, divided by the items that at least one of them has?


# %% tags=["from-scratch"]
def in_common(x):  # (U, I) -> (U, U) common items, and their part of the items of either
    common, items = x @ x.T, x.sum(1)
    return common, common / (items[:, None] + items - common)


def neighbours(distance, k=10):  # (U, U) -> (U, k)
    return (distance + torch.diag(torch.full((len(distance),), torch.inf))).topk(k, largest=False).indices


def rank_correlation(a, b):  # Spearman's; equal values share the mean of their ranks
    ranks = []
    for _, at, many in (v.unique(return_inverse=True, return_counts=True) for v in (a, b)):
        ranks.append((many.cumsum(0) - (many - 1) / 2).double()[at])
    return float(torch.corrcoef(torch.stack(ranks))[0, 1])


def within_fifths(
    a, b, n
):  # the same over pairs of users whose numbers of items n lie in one fifth; mean of the fifths
    pairs = [torch.combinations(users).T for users in n.argsort(stable=True).chunk(5)]
    return float(np.mean([rank_correlation(a[u, v], b[u, v]) for u, v in pairs]))


# %% tags=["from-scratch"]
def across_fifths(a, b, n):  # and over pairs with one user in each of two fifths; mean of the ten pairs of fifths
    pairs = [torch.cartesian_prod(*two).T for two in combinations(n.argsort(stable=True).chunk(5), 2)]
    return float(np.mean([rank_correlation(a[u, v], b[u, v]) for u, v in pairs]))


# %%
data = mv.planted(n_users=2_000, n_items=300, n_events=60_000, seed=0)
split = mv.strong_split(data, n_heldout=200)
users = split.train_labels[:600]  # rows of the truth
x = torch.from_numpy(split.train[:600].toarray()).double()
items = x.sum(1)
common, jaccard = in_common(x)  # (600, 600) each
apart = ~torch.eye(600, dtype=torch.bool)
mates = torch.from_numpy(data.truth.user_community[users][:, None] == data.truth.user_community[users]) & apart
taste = torch.from_numpy(data.truth.similarity(users[:, None], users)).double()  # (600, 600) cosines of true tastes

models = []
for seed in range(5):
    config = mv.TrainConfig(lr=3e-3, batch_size=100, epochs=25, anneal_steps=300, seed=seed)
    models.append(mv.fit(mv.MultVAE(split.n_items, hidden=100, latent=16), split, config).model)


# %%
rows, posteriors = [], []
for model in models:
    mu, sd = (t.detach().double() for t in model.encode(split.train[:600]))  # (600, 16) each
    posteriors.append((mu, sd))
    far, means = distances.w2_matrix(mu, sd), distances.distance_matrix(mu)  # (600, 600) both ends of the bracket
    to_prior = distances.w2_gaussian(mu, sd, 0 * mu, 0 * sd + 1)
    assert (to_prior <= distances.t1_bound(mu, sd)).all()  # T2, every user
    rows.append(
        {
            "spreads' part of W2 squared": float((1 - (means / far).square()[apart]).mean()),
            "width of the bracket / W2, median": float((1 - means / far)[apart].median()),
            "W2 / root of 2 KL, to the prior": float((to_prior / distances.t1_bound(mu, sd)).mean()),
            "mean W2, same community / others": float(far[mates].mean() / far[apart & ~mates].mean()),
            "rank correlation W2, common items": rank_correlation(far[apart], common[apart]),
            "rank correlation W2, Jaccard": rank_correlation(far[apart], jaccard[apart]),
            "same fifth of N: W2, common items": within_fifths(far, common, items),
            "same fifth of N: W2, Jaccard": within_fifths(far, jaccard, items),
            "two given fifths: W2, common items": across_fifths(far, common, items),
            "rank correlation N, spread": rank_correlation(sd.mean(1), items),
            "rank correlation N, length of mean": rank_correlation(mu.norm(dim=1), items),
            "rank correlation N, mean common items": rank_correlation(common.mean(1), items),
            "rank correlation N, mean W2 to all": rank_correlation(far.mean(1), items),
            "taste of 10 nearest by W2": float(taste.gather(1, neighbours(far)).mean()),
            "taste of 10 nearest by Jaccard": float(taste.gather(1, neighbours(-jaccard)).mean()),
            "taste of all others": float(taste[apart].mean()),
        }
    )


def table(*words):  # the rows whose names hold one of the words
    print("measured (5 seeds)                        mean  [lowest, highest]")
    for name in (name for name in rows[0] if any(word in name for word in words)):
        values = [row[name] for row in rows]
        print(f"  {name:37} {np.mean(values):6.3f}  [{min(values):.3f}, {max(values):.3f}]")


table("part of", "bracket", "2 KL")

# %% [markdown]
# *Means make up nearly all of $W_2$.* About a hundredth of $W_2^2$ comes from the spreads, and the bracket is narrow: for half of the
# pairs it gives $W_1$ to within one percent, for the widest to within about a tenth. So for these models $W_2$ is nearly $W_1$.
# *T2* holds for every user; on average $W_2$ is a fifth below the bound.

# %% tags=["figure"] jupyter={"source_hidden": true}
mu, sd = posteriors[0]
far = distances.w2_matrix(mu, sd)
fig, ax = plt.subplots(figsize=(5.6, 2.9))
bins = np.linspace(0, 9, 37)
for group, style, colour, label in ((apart & ~mates, "-", ORANGE, "others"), (mates, "--", BLUE, "same community")):
    ax.hist(far[group], bins, density=True, histtype="step", linestyle=style, linewidth=2, color=colour, label=label)
ax.set(xlabel="$W_2(q_u, q_v)$ (seed 0)", ylabel="density of pairs")
ax.legend()
plt.show()
table("community")

# %% [markdown]
# *Communities are nearer*, by about a fifth ($N$ not held), but the two histograms overlap widely.

# %% tags=["figure"] jupyter={"source_hidden": true}
fifths = {}
for label, measure in (("Jaccard", jaccard), ("common items", common)):
    order = measure[apart].argsort(stable=True)  # fifths of all pairs, from few to many
    fifths[f"sorted by {label}"] = [
        [float(f.mean()) for f in distances.w2_matrix(*q)[apart][order].chunk(5)] for q in posteriors
    ]
fig, ax = plt.subplots(figsize=(5.6, 2.9))
mv.plots.lines(range(1, 6), fifths, ax=ax)
ax.set(xlabel="fifths of pairs, from little to much in common", ylabel="mean $W_2$")
ax.set(xticks=range(1, 6), ylim=(0, 5.5))
ax.legend(loc="lower left", title="line: mean, band: range of 5 seeds", title_fontsize=9)
plt.show()
table("correlation W2", "fifth")
table("correlation N")

# %% tags=["checks", "nbval-check-output"] jupyter={"source_hidden": true}
means_rule = all(row["spreads' part of W2 squared"] < 0.05 for row in rows)
communities = all(row["mean W2, same community / others"] < 0.9 for row in rows)
ratio_counts = all(
    row["rank correlation W2, Jaccard"] < -0.25 < -abs(row["rank correlation W2, common items"]) for row in rows
)
among_equals = np.array([[row[f"same fifth of N: W2, {k}"] for k in ("common items", "Jaccard")] for row in rows])
assert (among_equals < -0.5).all()
groups = [torch.combinations(group).T for group in items.argsort(stable=True).chunk(5)]
fifth = torch.empty(600, dtype=torch.long).scatter(0, items.argsort(stable=True), torch.arange(600) * 5 // 600)
unlike = fifth[:, None] != fifth
each, across, widths = [], [], []
for q in posteriors:
    far_q = distances.w2_matrix(*q)
    each.append([[rank_correlation(far_q[u, v], m[u, v]) for u, v in groups] for m in (common, jaccard)])
    across.append(rank_correlation(far_q[unlike], common[unlike]))
    widths.append(float((1 - distances.distance_matrix(q[0]) / far_q)[apart].max()))
each = np.array(each)  # (5 seeds, common or Jaccard, fifths)
assert each.max() < -0.3
assert (each[:, 1] < each[:, 0]).all()
assert np.abs(across).max() < 0.05
assert max(widths) < 0.1
by_fifth = ", ".join(f"{value:.2f}" for value in each[:, 0].mean(0))
of_fifth = ", ".join(f"{int(items[g].min())} to {int(items[g].max())}" for g in groups)
print(f"items N of the users in the five fifths: {of_fifth}")
print(f"W2 and common items, from the lightest fifth to the busiest (mean of 5 seeds): {by_fifth};", end=" ")
print(f"single seeds {each[:, 0].min():.2f} to {each[:, 0].max():.2f}")
assert (each[:, 0].argmax(1) == 4).all()  # weakest in the busiest
held = [row["two given fifths: W2, common items"] for row in rows]
assert max(held) < -0.4
assert -0.55 < np.mean(held) < -0.45
assert -0.66 < among_equals[:, 0].mean() < -0.63
print(
    f"users of two fifths, all together: {min(across):.2f} to {max(across):.2f}; widest bracket: {max(widths):.2f} of W2"
)
assert (among_equals[:, 1] < among_equals[:, 0]).all()
mine, scipys = (f(distances.w2_matrix(mu, sd)[apart], common[apart]) for f in (rank_correlation, spearmanr))
torch.testing.assert_close(mine, float(scipys.statistic))
surer = all(row["rank correlation N, spread"] < -0.8 for row in rows)
surer &= all(row["rank correlation N, length of mean"] > 0.3 for row in rows)
surer &= all(row["rank correlation N, mean common items"] > 0.9 for row in rows)
learnt = all(row["taste of 10 nearest by W2"] > row["taste of 10 nearest by Jaccard"] for row in rows)
assert means_rule
assert all(row["width of the bracket / W2, median"] < 0.01 for row in rows)
assert 0.75 < np.mean([row["W2 / root of 2 KL, to the prior"] for row in rows]) < 0.85
assert 0.75 < np.mean([row["mean W2, same community / others"] for row in rows]) < 0.85
assert communities
assert ratio_counts
assert surer
assert learnt
assert 0.03 < np.mean([r["taste of 10 nearest by W2"] - r["taste of 10 nearest by Jaccard"] for r in rows]) < 0.045
assert 0.009 < np.mean([row["spreads' part of W2 squared"] for row in rows]) < 0.012
print(
    "in all 5 seeds: means make up W2; own community nearer; common items go with nearness among users of like activity;"
)
print("more items, smaller spreads, farther out; nearest by W2 have more alike tastes than nearest by Jaccard:", learnt)

# %% [markdown]
# **Reading.** *Common items go with nearness among users of like [activity](GLOSSARY.md#activity).* Over all pairs their number does not: its rank correlation with $W_2$ is near 0,
# and the curve of the figure falls and rises again. But busy users have many items in common with others on average, and
# lie farther from them (last two rows). Hold $N$ of both: inside a fifth by $N$ the correlation is about −.65 on average, weakest in the busiest (43 to 120 items), and it is there in each fifth and seed;
# with one user in each of two given fifths it is about −.5. So $N$ hides it (akin to *Simpson's paradox*). The Jaccard index shows it even over all pairs, and inside each fifth more strongly.

# %%
table("taste")

# %% [markdown]
# *The ten neighbours by $W_2$* are more alike in true taste than those by Jaccard, one untuned rival. The gain is small, .04 of a cosine, but it is there in all five seeds (one population; no interval over users).
#
# ## 3.9 What a distance does not say
#
# $W$ has a unit. Let the encoder multiply all $z$ by ten and the decoder divide: the same model, ten times the distances.
# KL between users does not change; the KL to the prior does, so the objective differs, but it recommends the same. So "$W_1=4$" says nothing alone. Chapter 04 compares it with a radius, which is a length of the same space. In its toy the gradients of the decoder's last layer stay; their slope in $z$ becomes a tenth, and the radius ten times as large.

# %% tags=["checks", "nbval-check-output"] jupyter={"source_hidden": true}
with torch.no_grad():
    z = torch.randn(5, 16, generator=rng)
    before = models[0].decode(z)
    weight = models[0].decoder[0].weight
    kept = weight.clone()
    weight /= 10
    torch.testing.assert_close(models[0].decode(10 * z), before)
    weight.copy_(kept)  # the model as it was, for the exercises
torch.testing.assert_close(distances.w2_matrix(10 * mu, 10 * sd), 10 * far)
torch.testing.assert_close(kl(10 * mu[0], 10 * sd[0], 10 * mu[1], 10 * sd[1]), kl(mu[0], sd[0], mu[1], sd[1]))
lists, _ = toy.toy_users(30, 30, seed=0)
small = toy.ToyVAE(30, generator=torch.Generator().manual_seed(0))
centres, spreads = (t.detach() for t in small.encode(lists))
at = centres[:, None] + spreads[:, None] * noise(1, 8, 2)  # (30, 8, 2) samples
radius = transfer.sharing(small, lists, z=at, lipschitz="user").radius
small.decoder[0].a /= 10
torch.testing.assert_close(transfer.sharing(small, lists, z=10 * at, lipschitz="user").radius, 10 * radius)
assert (radius > 0).any()
print("same recommendations, same KL between users; distances, and the toy's radius, times ten:", True)

# %% [markdown]
# Near is not alike: users in one place may want different items ([chapter
# 05b](05b_compromise_gap.ipynb)).
#
# ## 3.10 Recap
#
# * A coupling is a plan to move sand; $W_p$ is the cost of the best one. For diagonal Gaussians $W_2$ is the distance of
#   the points $(\mu,\sigma)$, and $\|\mu_u-\mu_v\|\le W_1\le W_2$.
# * $W_1$ bounds how far *any* Lipschitz quantity differs between two users. Samples overestimate it on average, in 16 dimensions by
#   much; sliced $W_1$ is another quantity.
# * $W\le\sqrt{2\,\mathrm{KL}}$ to the prior; no $W>0$ bounds the KL of two users.

# %% [markdown]
# ## 3.11 Exercises
#
# **★ (10 min) Task 3.1.** From `mu` (U, d) and `sd` (U, d) compute $W_2$ of all pairs, shape (U, U), without a loop.


# %% tags=["solution"] jupyter={"source_hidden": true} nbgrader={"grade": false, "grade_id": "all-distances", "locked": false, "schema_version": 3, "solution": true, "task": false}
def all_distances(mu, sd):
    ### BEGIN SOLUTION
    place = torch.cat([mu, sd], 1)  # (U, 2d): a posterior is a point
    return (place[:, None] - place).square().sum(-1).sqrt()  # (U, U)
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "all-distances-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
mv.checks.check_all_distances(all_distances)

# %% [markdown]
# **★★ (25 min) Task 3.2.** What is the middle of several users? Find the diagonal Gaussian $\bar q$ that minimises
# $\sum_u w_u W_2(q_u, \bar q)^2$. Given `mu`, `sd` (U, d) and positive weights `w` (U,), which need not sum to one, return
# (2, d): its mean and its spreads. Derive it from 3.3 before you code. Is it the mixture of the users, with the mixture's
# variance?


# %% tags=["solution"] jupyter={"source_hidden": true} nbgrader={"grade": false, "grade_id": "middle", "locked": false, "schema_version": 3, "solution": true, "task": false}
def middle(mu, sd, w):
    ### BEGIN SOLUTION
    share = w / w.sum()  # (U,)
    return torch.stack([share @ mu, share @ sd])  # (2, d): the mean of points, spreads averaged, not variances
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "middle-check", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
mv.checks.check_middle(middle)

# %% [markdown] tags=["investigation"]
# <details><summary>Solution</summary>
#
# By 3.3 $W_2^2$ is the squared distance of the points $(\mu,\sigma)$, and a weighted sum of squared distances is least at the weighted mean. So means
# and spreads are averaged, not variances. The mixture is another thing: its variance holds the distance of the means, too. Two users of equal weight with spread 1 and means
# at distance 2 have a middle of spread 1; their mixture has the standard deviation $\sqrt2$ in that direction.
#
# </details>

# %% [markdown]
# **★★★ (open) Task 3.3.** Same means, different spreads: the lower end of the bracket is 0, a poor bound. A better one:
# projecting on a unit vector $t$ (spread $\sqrt{\sum_j t_j^2\sigma_j^2}$) never lengthens a distance, so $W_1(q_u,q_v)$ is at least the exact $W_1$ of the two
# projections, which are Gaussians on a line. Write `lower_bound(mu_u, sd_u, mu_v, sd_v, along)`: means and spreads of P
# pairs, (P, d) each, unit vectors as columns of `along` (d, T); return the best bound for each pair, (P,). You may use
# `distances.w1_gaussian_1d` as `mv.theory.distances.w1_gaussian_1d`. Then investigate: with which directions is it never below
# $\|\mu_u-\mu_v\|$? How far does it close the bracket for "wider" and "needles", and for users of the trained model?
# The upper end may be lowered too: 3.4.


# %% tags=["solution"] jupyter={"source_hidden": true} nbgrader={"grade": false, "grade_id": "lower-bound", "locked": false, "schema_version": 3, "solution": true, "task": false}
def lower_bound(mu_u, sd_u, mu_v, sd_v, along):
    ### BEGIN SOLUTION
    spread_u, spread_v = ((sd.square() @ along.square()).sqrt() for sd in (sd_u, sd_v))  # (P, T) of the projections
    each = mv.theory.distances.w1_gaussian_1d(mu_u @ along, spread_u, mu_v @ along, spread_v)
    return each.amax(1)  # (P,)
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "lower-bound-check", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
mv.checks.check_lower_bound(lower_bound)

# %% [markdown] tags=["investigation"]
# <details><summary>Solution</summary>
#
# **One investigation** (`python chapters/investigate.py 03`; 181 directions of the plane). For "wider" projections raise the lower
# end from 0.00 to 1.20, and common noise lowers the upper end from 2.12 to 1.88, the exact $W_1$ of 3.7. For "needles" both ends were
# 0.50 before. With the direction of $\mu_u-\mu_v$ among the columns the bound is never below $\|\mu_u-\mu_v\|$: the projection on it keeps
# the whole difference of means. Users of the
# trained model (1,996 random pairs, 2,000 random directions, five seeds): none of the random directions raises a lower end; it is .996 to .997 of the upper one at the median
# and .945 or more for each of them, and common noise takes less than a thousandth off the upper end at the median (of the first 200 pairs).
#
# </details>
