"""From finished runs to numbers: means, standard errors, paired differences."""

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from minivae.ranking import METRICS, Evaluation, compare
from minivae.splits import FoldIn
from minivae.study.runs import Result, by_activity, means
from minivae.training import product_dtype, resolve_device
from minivae.version import __version__

COMPARISONS = (
    ("multvae-clean", "ease"),
    ("multvae", "ease"),
    ("multvae+anchor", "ease"),
    ("multvae", "multvae-clean"),
    ("multvae+anchor", "multvae"),
    ("multvae+anchor", "multvae-clean"),
)


@dataclass(frozen=True)
class ModelResult:
    """The runs of one model.

    Attributes
    ----------
    name : of the model.
    runs : one per seed.
    """

    name: str
    runs: list[Result]

    def pooled(self, part: str = "test") -> Evaluation:
        """Metrics of each user, averaged over seeds."""
        scored = [r.scored[part] for r in self.runs]
        return Evaluation(
            {m: np.mean([s.per_user[m] for s in scored], axis=0) for m in METRICS},
            scored[0].n_heldout,
            float(np.mean([s.coverage for s in scored])),
            float(np.mean([s.popularity for s in scored])),
        )

    def seed_se(self, metric: str) -> float | None:
        """Standard error over seeds, sd (n − 1) / sqrt(n); None for a single run."""
        values = [r.metrics["test"][metric]["mean"] for r in self.runs]
        return float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else None


def group(results: Iterable[Result]) -> list[ModelResult]:
    """The runs by model, in the order of first appearance."""
    by_model: dict[str, list[Result]] = {}
    for r in results:
        by_model.setdefault(r.metrics["model"], []).append(r)
    return [ModelResult(name, runs) for name, runs in by_model.items()]


def differences(models: Sequence[ModelResult]) -> list[dict[str, Any]]:
    """Paired differences a − b over test users with 95 % t intervals, per-user values averaged over seeds first.

    Every VAE against EASE and the three settings against each other, as far as they are there; a model that
    `COMPARISONS` does not know is compared with EASE.
    """
    there = {m.name: m for m in models}
    known = {name for pair in COMPARISONS for name in pair} | {"popularity"}
    pairs = [*COMPARISONS, *((name, "ease") for name in there if name not in known)]
    rows = []
    for a, b in pairs:
        if a in there and b in there:
            users = there[a].pooled().n_users
            for metric, d in compare(there[a].pooled(), there[b].pooled()).items():
                rows.append({"a": a, "b": b, "metric": metric, **d._asdict(), "users": users})
    return rows


def summary(models: Sequence[ModelResult], test: FoldIn) -> list[dict[str, Any]]:
    """One row per model: test metrics with the standard error over users, and over seeds where there are several."""
    rows = []
    for m in models:
        pooled = m.pooled()
        metrics = means(pooled)
        for metric, of in metrics.items():
            if m.seed_se(metric) is not None:
                of["seed_se"] = m.seed_se(metric)
        row = {"model": m.name, "seeds": len(m.runs), "metrics": metrics, "groups": by_activity(pooled, test)}
        rows.append(row | {"coverage": pooled.coverage, "popularity": pooled.popularity})
    return rows


def run_rows(models: Sequence[ModelResult]) -> list[dict[str, Any]]:
    """One row per run: the content of its metrics.json with the test metrics under "metrics"."""
    rows = []
    for m in models:
        for r in m.runs:
            rest = {k: v for k, v in r.metrics.items() if k not in ("model", "seed", "test")}
            start = {"model": m.name, "seed": r.metrics["seed"], "split": "test"}
            rows.append(start | {"metrics": r.metrics["test"]} | rest)
    return rows


def environment(device: str, precision: str) -> dict[str, Any]:
    """Machine and versions, as far as they bear on the numbers."""
    chosen = resolve_device(device)
    return {
        "minivae": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "processor": torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": str(chosen),
        "products": str(product_dtype(precision, chosen)).removeprefix("torch."),
    }


def processor() -> str:
    """The processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
