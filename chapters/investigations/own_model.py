"""Open tasks about what one finds in a model of one's own: chapters 11 and 12."""

import tempfile
from pathlib import Path
from typing import Any

import torch

import minivae as mv
from minivae.explain import experiment

from .chapter import names_of


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
    """12: the LDS with and without what is the same for everybody, on twenty halves."""
    space = names_of("12", "people = mv.planted")
    with tempfile.TemporaryDirectory() as folder:
        made = experiment.measure(
            lambda: mv.MultVAE(200, 50, 16), space["split"], space["config"], Path(folder), 20, 0, 100, sharing=False
        )
    names = ("transfer", "activity", "last checkpoint")
    return {
        kind: {name: made.scores[kind][name].as_dict() for name in names}
        for kind in ("reconstruction", "reconstruction, personal")
    }
