"""What the Python library computes for the settings of an explorable: the truth that its `math.js` has to meet.

Each function takes the settings of one explorable, as its `compute` does, and gives some of the values that it returns.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from minivae.theory import anchoring, bottleneck, distances, locality, masking, transfer
from minivae.theory.numerics.quadrature import grid, log_density

Settings = dict[str, Any]
Values = dict[str, Any]
FREE_PLACES = [[-1.5, -0.7], [1.6, -0.5], [0.1, 1.3]]


def masked_distance(t: Settings) -> Values:
    """Theorem 2.6; items of two kinds are two independent parts of the distance."""
    if t["masks"] == "popular":
        different = masking.masked_distance(0, t["d"], t["rho"])
        common = masking.masked_distance(t["s"], 0, t["common"])
        pmf = np.convolve(different.pmf(), common.pmf())
        mean, var = different.mean + common.mean, different.var + common.var
        k = np.arange(len(pmf))
        closer, farther = pmf[k < t["d"]].sum(), pmf[k > t["d"]].sum()
        threshold = (1 - t["rho"]) / ((1 - t["rho"]) + 2 * t["common"] * (1 - t["common"]))
    else:
        law = masking.masked_distance(t["s"], t["d"], t["rho"], shared=t["masks"] == "shared")
        mean, var, pmf, closer, farther = law.mean, law.var, law.pmf(), law.prob_contract(), law.prob_expand()
        threshold = 1.0 if t["masks"] == "shared" else masking.contraction_threshold(t["rho"])
    return {
        "mean": mean,
        "sd": np.sqrt(var),
        "change": mean - t["d"],
        "closer": closer,
        "farther": farther,
        "threshold": threshold,
        "pmf": pmf,
    }


def sharing_disc(t: Settings) -> Values:
    """Theorem 2.3 for one pair, by the functions with which the library draws its conclusions."""
    g, w, lipschitz, mismatch, along, across, smoothness = (
        torch.tensor(float(t.get(k, 1.0)), dtype=torch.float64)
        for k in ("g", "w", "lipschitz", "mismatch", "along", "across", "smoothness")
    )
    penalty = lipschitz * w + mismatch
    norm = torch.stack([g, torch.hypot(along, across)])
    bound = penalty.expand(2, 2)
    certified = transfer._cauchy_schwarz(norm, bound)[0, 1]
    least = g * (g - penalty)
    return {
        "penalty": penalty,
        "radius": transfer._radius(g, mismatch, lipschitz),
        "least": least,
        "inner": g * along,
        "slack": g * along - least,
        "certified": certified.double(),
        "polarised": transfer._polarised(norm, bound)[0, 1].double(),
        "step": torch.where(certified, 2 * least / (smoothness * norm[1].square()), 0.0),
    }


def free_minimisers() -> np.ndarray:
    """(3 users, 10 masks, 2): directions by the golden angle, sizes by the golden ratio, centred on the user."""
    h, user = np.arange(10), np.arange(3)[:, None]
    angle, size = 2.399963229728653 * h + user, 0.4 + 0.45 * (h * 0.6180339887498949 % 1)
    around = np.stack([size * np.cos(angle), 0.85 * size * np.sin(angle)], -1)
    return around - around.mean(1, keepdims=True) + np.array(FREE_PLACES)[:, None]


def anchors(t: Settings) -> Values:
    """Proposition 3.2 for three users."""
    free, hessian = free_minimisers(), np.diag([t["steep"], t["flat"]])
    if t["lambda"] == 0:
        models, moved = None, free
    else:
        models = [anchoring.QuadraticModel(hessian, t["lambda"], t["apart"] * np.array(home)) for home in FREE_PLACES]
        moved = np.stack([model.minimizer(m) for model, m in zip(models, free, strict=True)])
    within = [np.mean([np.trace(np.cov(cloud.T)) for cloud in clouds]) for clouds in (free, moved)]
    between = [np.trace(np.cov(clouds.mean(1).T)) for clouds in (free, moved)]
    values = {
        "tau": anchoring.shrinkage(max(t["steep"], t["flat"]), t["lambda"]),
        "bound": anchoring.shrinkage(max(t["steep"], t["flat"]), t["lambda"]) ** 2,
        "shrink": within[1] / within[0],
        "between": between[1] / between[0],
        "relative": within[1] / between[1] / (within[0] / between[0]),
    }
    if models:
        shrunk = [model.shrink(m) for model, m in zip(models, free, strict=True)]
        values["ratios"] = [s.trace_ratio for s in shrunk]
        values["tops"] = [s.spectral_ratio for s in shrunk]
        values["gap"] = shrunk[0].loewner_gap
    return values


def compromise(t: Settings) -> Values:
    """Theorem 2.5 for two users with 20 items each, and the price of their distance."""
    n, distance, differ = 20.0, t["t"], float(t["differ"])
    p_u, p_v = locality.shared_profile(n - differ / 2, n, n)
    gap = locality.gap_against_distance(p_u, p_v, n, n, distance)
    spread = (1 + distance**2 / 4) ** -0.5  # the one that makes both divergences least
    pull = 2 * t["beta"] * distances.gaussian_kl([spread * distance / 2], [spread])
    full = locality.compromise_gap(p_u, p_v, n, n)
    share = gap / full if differ else np.float64("nan")
    return {"gap": gap, "full": full, "share": share, "pull": pull, "total": gap + pull, "line": 2 * t["beta"]}


def beta(t: Settings) -> Values:
    """Both sides of the decomposition by quadrature, and the bound on the distance of the two outer users."""
    tastes = np.array([-2.1, -1.3, -0.5, 0.2, 0.7, 1.4, 2.2])
    h, b = t["surety"], t["beta"]
    mu = (h * tastes / (h + b))[:, None]
    sd = np.full_like(mu, (b / (h + b)) ** 0.5)
    parts, pairs = bottleneck.kl_decomposition_quadrature(mu, sd), bottleneck.contraction(mu, sd)
    return {
        "kl": parts.mean_kl,
        "information": parts.mutual_information,
        "marginal": parts.marginal_kl,
        "ceiling": parts.mi_ceiling,
        "distance": pairs.w2[0, -1],
        "bound": pairs.radius[0] + pairs.radius[-1],
    }


def transport(t: Settings) -> Values:
    """W2 by the Bures formula of the library, KL by torch.distributions."""
    angle = np.deg2rad(t["turn"])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    upright = np.diag([t["thin"] ** 2, 1.5**2])
    means, covs = [np.zeros(2), np.array([t["shift"], 0.0])], [upright, turn @ upright @ turn.T]
    u, v = (
        torch.distributions.MultivariateNormal(torch.from_numpy(m), torch.from_numpy(c))
        for m, c in zip(means, covs, strict=True)
    )
    return {
        "w2": distances.w2_gaussian_full(means[0], covs[0], means[1], covs[1]),
        "low": t["shift"],
        "kl": torch.distributions.kl_divergence(u, v),
    }


def elbo(t: Settings) -> Values:
    """The bound of the decoder of chapter 02, by quadrature."""
    items = torch.tensor({"light": [0, 0, 0, 0, 1, 0], "heavy": [0, 0, 1, 1, 1, 1]}[t["user"]], dtype=torch.float64)
    centre = torch.linspace(-3, 3, 6, dtype=torch.float64)
    mu, sd = (torch.tensor([[t[k], p]], dtype=torch.float64).T for k, p in (("mu", 0.0), ("sd", 1.0)))
    z, weight = grid(mu, sd)
    likelihood = torch.log_softmax(centre * z - centre.square() / 2, -1) @ items
    prior, q = (log_density(z, m[None], s[None]) for m, s in ((mu[1], sd[1]), (mu[0], sd[0])))
    evidence = (weight @ (prior + likelihood).exp()).log()
    fit = -(weight @ (q.exp() * likelihood))
    kl = distances.gaussian_kl(mu[0], sd[0])
    gap = weight @ (q.exp() * (q - (prior + likelihood - evidence)))
    return {
        "fit": fit,
        "kl": kl,
        "gap": gap,
        "elbo": -fit - kl,
        "evidence": evidence,
        "objective": fit + t["beta"] * kl,
    }


REFERENCE: dict[str, Callable[[Settings], Values]] = {
    "masked-distance": masked_distance,
    "sharing-disc": sharing_disc,
    "anchors": anchors,
    "compromise": compromise,
    "beta": beta,
    "transport": transport,
    "elbo": elbo,
}
