"""minivae: the mechanisms of collaborative learning in VAE recommenders (arXiv 2511.06781), computed and tested."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# Item-sized buffers span thousands of small pages; with huge pages a float32 product takes a third less time. torch
# reads this at its first allocation, so it must be set before.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

from minivae.runtime.moved import install as _install
from minivae.version import __version__

_install()

if TYPE_CHECKING:
    from minivae import checks, course, explain, explorables, online, plots, theory
    from minivae.anchors import anchor_loss, register_anchor_loss
    from minivae.config import TrainConfig
    from minivae.data.embedded import debian
    from minivae.data.given import given_split
    from minivae.data.interactions import Interactions
    from minivae.data.newcomers import new_users
    from minivae.data.population import Planted, planted
    from minivae.data.read_interactions import read_interactions
    from minivae.data.splits import FoldIn, StrongSplit
    from minivae.data.strong_split import strong_split
    from minivae.data.temporal import leave_last_out, time_split
    from minivae.errors import InputError
    from minivae.explorables import show as explorable
    from minivae.masks import register_mask
    from minivae.metrics import register_metric
    from minivae.models import (
        EASE,
        EDLAE,
        IALS,
        SLIM,
        VAE,
        Baseline,
        HVamp,
        MultDAE,
        MultVAE,
        Popularity,
        Recommender,
        RecVAE,
        load_model,
        register_model,
        register_prior,
        save_model,
    )
    from minivae.objective import multinomial_nll
    from minivae.ranking import Evaluation, compare, evaluate
    from minivae.recommendation import Recommendations, recommend
    from minivae.training import Run, fit

__all__ = [
    "EASE",
    "EDLAE",
    "IALS",
    "SLIM",
    "VAE",
    "Baseline",
    "Evaluation",
    "FoldIn",
    "HVamp",
    "InputError",
    "Interactions",
    "MultDAE",
    "MultVAE",
    "Planted",
    "Popularity",
    "RecVAE",
    "Recommendations",
    "Recommender",
    "Run",
    "StrongSplit",
    "TrainConfig",
    "__version__",
    "anchor_loss",
    "checks",
    "compare",
    "course",
    "debian",
    "evaluate",
    "explain",
    "explorable",
    "explorables",
    "fit",
    "given_split",
    "leave_last_out",
    "load_model",
    "multinomial_nll",
    "new_users",
    "online",
    "planted",
    "plots",
    "read_interactions",
    "recommend",
    "register_anchor_loss",
    "register_mask",
    "register_metric",
    "register_model",
    "register_prior",
    "save_model",
    "strong_split",
    "theory",
    "time_split",
]

# Names are imported at their first use: torch takes seconds, for which --help or preparing data need not wait.
_HOMES = {
    "anchors": ("anchor_loss", "register_anchor_loss"),
    "masks": ("register_mask",),
    "data.embedded": ("debian",),
    "errors": ("InputError",),
    "data.interactions": ("Interactions",),
    "data.read_interactions": ("read_interactions",),
    "models": (
        "EASE",
        "EDLAE",
        "IALS",
        "SLIM",
        "VAE",
        "Baseline",
        "HVamp",
        "MultDAE",
        "MultVAE",
        "Popularity",
        "RecVAE",
        "Recommender",
        "load_model",
        "register_model",
        "register_prior",
        "save_model",
    ),
    "metrics": ("register_metric",),
    "objective": ("multinomial_nll",),
    "data.given": ("given_split",),
    "data.population": ("Planted", "planted"),
    "data.newcomers": ("new_users",),
    "data.temporal": ("leave_last_out", "time_split"),
    "ranking": ("Evaluation", "compare", "evaluate"),
    "recommendation": ("Recommendations", "recommend"),
    "data.splits": ("FoldIn", "StrongSplit"),
    "data.strong_split": ("strong_split",),
    "config": ("TrainConfig",),
    "training": ("Run", "fit"),
}
_ROOMS = ("checks", "course", "explain", "explorables", "online", "plots", "theory")


def __getattr__(name: str) -> Any:
    home = next((module for module, names in _HOMES.items() if name in names), None)
    if home is not None:
        globals()[name] = getattr(import_module(f"minivae.{home}"), name)
    elif name == "explorable":
        globals()[name] = import_module("minivae.explorables").show
    elif name in _ROOMS:
        import_module(f"minivae.{name}")
    else:
        raise AttributeError(f"module 'minivae' has no attribute {name!r}")
    return globals()[name]


def __dir__() -> list[str]:
    return sorted(__all__)
