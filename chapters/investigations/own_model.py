"""Open tasks about what one finds in a model of one's own: chapters 11 and 12."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

import minivae as mv
from minivae.explain import experiment
from minivae.explain.datamodel import Lds, halves, lds_of_sums, personal

from .chapter import names_of

Table = tuple[np.ndarray, np.ndarray]
"""Sums of scores (R, K) and losses (K, R)."""


def scaling() -> dict[str, Any]:
    """11: the noise that is heard, for the three kinds of the chapter and for healthy models over β."""
    space = names_of(
        "11", "def operations(", "small = mv.strong_split(", "class MyVAE", "def train_mine(", "def heard_noise("
    )
    small, rng = space["small"], torch.Generator().manual_seed(0)
    kinds = {"quiet noise": {"noise": 0.01}, "heavy KL": {"kl_weight": 5.0}}
    kinds |= {f"β = {b:g}": {"kl_weight": b} for b in (0.05, 0.2, 1.0)}
    rows = {}
    for name, settings in kinds.items():
        heard = []
        for seed in range(3):
            mine = space["train_mine"](seed, **settings)
            mu, sd = (t.detach() for t in mine.encode(small.test.history))
            eps = torch.randn(len(mu), 20, mu.shape[1], generator=rng, dtype=mu.dtype)
            with torch.no_grad():
                heard.append(float(space["heard_noise"](mine.decode, mu, sd, eps)))
        rows[name] = heard
    return rows


def helping() -> dict[str, Any]:
    """12: the LDS with and without what is the same for everybody, on twenty halves, and paired differences."""
    space = names_of("12", "people = mv.planted")

    def build() -> mv.MultVAE:
        return mv.MultVAE(200, 50, 16)

    split, config = space["split"], space["config"]
    receivers, subsets = experiment.receivers_of(split, 100), halves(split.train.shape[0], 20)
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder)
        sums = experiment.predict(build, split, config, receivers, subsets, where / "sums.safetensors", sharing=False)
        losses = experiment.outcomes(build, split, config, receivers, subsets, where)["reconstruction"]
    plain = {name: sums[f"reconstruction/{name}"] for name in ("transfer", "activity", "last checkpoint")}
    alone, own = {name: personal(of) for name, of in plain.items()}, personal(losses.T).T
    found: dict[str, Any] = {
        kind: {name: _score(lds_of_sums(of, seen)) for name, of in scores.items()}
        for kind, scores, seen in (("reconstruction", plain, losses), ("reconstruction, personal", alone, own))
    }
    found["paired"] = {
        "activity, with the step − without": _paired((alone["activity"], own), (plain["activity"], losses)),
        "last checkpoint − transfer": _paired((plain["last checkpoint"], losses), (plain["transfer"], losses)),
        "last checkpoint − transfer, personal": _paired((alone["last checkpoint"], own), (alone["transfer"], own)),
    }
    return found


def _score(of: Lds) -> dict[str, float]:
    return {"lds": of.mean, "low": of.low, "high": of.high}


def _paired(one: Table, other: Table, n_bootstrap: int = 300) -> dict[str, float]:
    """Difference of two scores with its interval: the same users and halves are drawn again for both."""
    rng, (n_users, n_halves) = np.random.default_rng(0), one[0].shape
    everything = np.arange(n_users), np.arange(n_halves)

    def difference(users: np.ndarray, k: np.ndarray) -> float:
        a, b = (lds_of_sums(s[users][:, k], of[k][:, users], n_bootstrap=0).mean for s, of in (one, other))
        return a - b

    draws = [
        difference(rng.integers(n_users, size=n_users), rng.integers(n_halves, size=n_halves))
        for _ in range(n_bootstrap)
    ]
    low, high = np.quantile(draws, (0.025, 0.975))
    return {"mean": difference(*everything), "low": float(low), "high": float(high)}
