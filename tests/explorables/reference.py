"""What the Python library computes for the settings of an explorable: the truth that its `math.js` has to meet.

Each function takes the settings of one explorable, as its `compute` does, and gives some of the values that it returns.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from minivae.theory import anchoring, masking, transfer

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


REFERENCE: dict[str, Callable[[Settings], Values]] = {
    "masked-distance": masked_distance,
    "sharing-disc": sharing_disc,
    "anchors": anchors,
}
