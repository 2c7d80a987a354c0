"""From finished runs to numbers: means, standard errors, paired differences."""

import os
import platform
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from minivae.data.splits import FoldIn
from minivae.options import METRICS, SELECTION, Precision
from minivae.ranking import Evaluation, activity_groups, compare, paired_difference
from minivae.runtime.device import product_dtype, resolve_device
from minivae.study.run import conclusions
from minivae.study.run.records import (
    BothRecalls,
    Claim,
    Comparison,
    Doubt,
    Environment,
    GroupDifference,
    Level,
    ModelSettings,
    ModelSummary,
    Part,
    RecallDefinitions,
    RecallRow,
    RunRow,
)
from minivae.study.run.runs import Result, by_activity, means
from minivae.study.run.settings import Section
from minivae.version import __version__

REFERENCE, ANCHORED = "ease", "+anchor"
"""What everything is compared with, and what the name of a model with anchors ends in."""
HELD_OUT_CUTS = (20, 50)
Pair = tuple[str, str]


@dataclass(frozen=True)
class ModelResult:
    """The runs of one model.

    Attributes
    ----------
    name : str
        Of the model.
    runs : list[Result]
        One per seed.
    """

    name: str
    runs: list[Result]

    def pooled(self, part: Part = "test") -> Evaluation:
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
        values = [r.metrics.levels()[metric].mean for r in self.runs]
        return float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else None


def group(results: Iterable[Result]) -> list[ModelResult]:
    """The runs by model, in the order of first appearance."""
    by_model: dict[str, list[Result]] = {}
    for r in results:
        by_model.setdefault(r.metrics.model, []).append(r)
    return [ModelResult(name, runs) for name, runs in by_model.items()]


def comparisons(names: Collection[str], sections: Sequence[Section] = ()) -> list[Pair]:
    """Which pairs (a, b) a report compares: with EASE, with and without anchors, and those of its sections.

    A model that a section compares is not compared with EASE too, unless the section is about steps of whole models:
    an ablation has its own reference. If no section compares any two of the models, every pair is compared.
    """
    asked = [(a, b) for s in sections for a, b in s.pairs if a in names and b in names]
    if not asked:
        return every_pair(names)
    inner = {a for s in sections for a, b in s.pairs if s.axis or b.endswith(ANCHORED)}
    pairs = [(a, REFERENCE) for a in names if a not in inner | {REFERENCE, "popularity"}]
    pairs += with_and_without(names)
    pairs += asked
    return [(a, b) for a, b in dict.fromkeys(pairs) if b in names]


def every_pair(names: Collection[str]) -> list[Pair]:
    """All pairs (a, b), each once; b is the simpler one: popularity, EASE, a model without anchors, the earlier one."""
    simple = [n for n in ("popularity", REFERENCE) if n in names]
    order = [*simple, *sorted((n for n in names if n not in simple), key=lambda n: n.endswith(ANCHORED))]
    return [(a, b) for k, b in enumerate(order) for a in order[k + 1 :]]


def with_and_without(names: Collection[str]) -> list[Pair]:
    """(model with anchors, the same without) for every model that is there both ways."""
    return [(a, b) for a in names if a.endswith(ANCHORED) and (b := a.removesuffix(ANCHORED)) in names]


Doubts = Mapping[Pair, Sequence[Doubt]]
"""(a, b) -> why the difference a − b allows no conclusion."""


def doubts(models: Iterable[ModelResult], settings: Mapping[str, ModelSettings], pairs: Iterable[Pair]) -> Doubts:
    """Reasons to doubt a conclusion about each pair, from the runs and the settings of the models."""
    of = {m.name: conclusions.of_training(m.name, m.runs, settings[m.name].config) for m in models}
    trials = {name: of_model.trials for name, of_model in settings.items()}
    return {(a, b): [*of[a], *of[b], *conclusions.of_search(a, b, trials)] for a, b in pairs}


def differences(models: Sequence[ModelResult], pairs: Sequence[Pair], known: Doubts | None = None) -> list[Comparison]:
    """Paired differences a − b over test users with 95 % t intervals, per-user values averaged over seeds first."""
    there = {m.name: m.pooled() for m in models}
    return [
        Comparison(a, b, metric, *d, there[a].n_users, (known or {}).get((a, b), ()))
        for a, b in pairs
        for metric, d in compare(there[a], there[b]).items()
    ]


def claims(models: Sequence[ModelResult], test: FoldIn, known: Doubts | None = None) -> list[Claim]:
    """The claim that PIA helps, for every model that is there with and without anchors: difference of test nDCG@100.

    helps: the 95 % interval lies above 0; hurts: below 0; otherwise they cannot be told apart. Where there are doubts,
    neither is said: not decided. The same difference is given for the activity groups of the paper.
    """
    there = {m.name: m.pooled() for m in models}
    rows = []
    for a, b in with_and_without(there):
        d = there[a].per_user[SELECTION] - there[b].per_user[SELECTION]
        whole, against = paired_difference(d), (known or {}).get((a, b), ())
        groups = {}
        for label, users in activity_groups(test).items():
            n = int((~np.isnan(d[users])).sum())
            groups[label] = GroupDifference(n, *(paired_difference(d[users]) if n > 1 else ()))
        verdict = conclusions.effect(whole, against)
        rows.append(Claim("PIA helps", a, b, SELECTION, *whole, verdict, against, there[a].n_users, groups))
    return rows


def recall_definitions(models: Sequence[ModelResult], n_items: int) -> RecallDefinitions:
    """Recall@k with min(k, n) in the denominator, as everywhere here, and with n, as some libraries have it.

    ``hits / n = (hits / min(k, n)) · min(k, n) / n`` with n held-out items, so both come from the same ranking.
    """
    pooled = {m.name: m.pooled() for m in models}
    n = next(iter(pooled.values())).n_heldout
    some = n > 0

    def both(scored: Evaluation, k: int) -> BothRecalls:
        values = scored.per_user[f"recall@{k}"][some]
        whole = values * np.minimum(min(k, n_items), n[some]) / n[some]
        return BothRecalls(float(values.mean()), float(whole.mean()))

    rows = [RecallRow(name, *(both(scored, k) for k in HELD_OUT_CUTS)) for name, scored in pooled.items()]
    return RecallDefinitions(rows, {str(k): int((n > k).sum()) for k in HELD_OUT_CUTS})


def summary(models: Sequence[ModelResult], test: FoldIn) -> list[ModelSummary]:
    """One row per model: test metrics with the standard error over users, and over seeds where there are several."""
    rows = []
    for m in models:
        pooled = m.pooled()
        levels = {metric: Level(v.mean, v.se, m.seed_se(metric)) for metric, v in means(pooled).items()}
        groups = by_activity(pooled, test)
        rows.append(ModelSummary(m.name, len(m.runs), levels, groups, pooled.coverage, pooled.popularity))
    return rows


def run_rows(models: Sequence[ModelResult]) -> list[RunRow]:
    """One row per run: what its metrics.json says, the test metrics under "metrics"."""
    of = [r.metrics for m in models for r in m.runs]
    kept = [name for name in RunRow.__struct_fields__ if name not in ("split", "metrics")]
    return [RunRow(split="test", metrics=v.levels(), **{name: getattr(v, name) for name in kept}) for v in of]


def searched_here(origin: Mapping[str, object] | None, searchable: str) -> bool:
    """Whether the search that settings have their `origin` in looked at these validation users."""
    return (origin or {}).get("sha256") == searchable


def environment(device: str, precision: Precision) -> Environment:
    """Machine and versions, as far as the numbers depend on them."""
    chosen = resolve_device(device)
    return Environment(
        minivae=__version__,
        python=platform.python_version(),
        torch=str(torch.__version__),  # a class of its own
        numpy=np.__version__,
        platform=platform.platform(),
        processor=torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else processor(),
        cores=os.cpu_count(),
        threads=torch.get_num_threads(),
        device=str(chosen),
        products=str(product_dtype(precision, chosen)).removeprefix("torch."),
    )


def made() -> str:
    """When and where a page was made, in a line."""
    here = environment("cpu", "fp32")
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    return f"{now}, minivae {here.minivae}, torch {here.torch}, {here.processor}."


def processor() -> str:
    """The processor's name where the system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
