"""What a paired difference allows to be said, and what has to be run before more may be said.

An interval over users says nothing of a training that was too short, of settings that were searched for one model
alone, or of the seed. Where one of these is in doubt, a difference whose interval lies on one side of 0 is
"not decided", with the reason and the command that removes it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from minivae.config import TrainConfig
from minivae.errors import counted
from minivae.study.run.records import Doubt
from minivae.study.run.runs import Result

SEEDS = 3
"""Runs of a trained model that a conclusion needs at least."""
TIED, OPEN = "cannot be told apart", "not decided"


class Interval(Protocol):
    """Anything with the two ends of an interval."""

    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


class Estimate(Interval, Protocol):
    """A mean difference with its interval."""

    @property
    def difference(self) -> float: ...


class Compared(Interval, Protocol):
    """The interval of a difference a − b of two models, and what is against a conclusion."""

    @property
    def a(self) -> str: ...
    @property
    def b(self) -> str: ...
    @property
    def doubts(self) -> Sequence[Doubt]: ...


class Judged(Compared, Estimate, Protocol):
    """A difference with the verdict that `effect` gives of it."""

    @property
    def verdict(self) -> str: ...


def of_training(name: str, runs: Sequence[Result], config: TrainConfig | None) -> list[Doubt]:
    """Doubts about the seeds and the length of training; none for a model that is not trained step by step.

    Parameters
    ----------
    runs : Sequence[Result]
        All runs of the model, over seeds, draws and folds.
    config : TrainConfig, optional
        How it was trained; None for a baseline.
    """
    if config is None:
        return []
    found = []
    if (n := len(runs)) < SEEDS:
        many = counted(n, "seed")
        found.append(Doubt(name, many, f"{name} ran with {many}; at least {SEEDS} are needed.", {"seeds": SEEDS}))
    limit = config.epochs
    if any(r.metrics.best_epoch == r.metrics.epochs for r in runs):
        detail = f"The best epoch of {name} is the last one that ran, {limit}: longer training may be better."
        found.append(Doubt(name, "best epoch is the last", detail, {"epochs": 2 * limit}))
    steps = max(config.anneal_steps * (config.beta > 0), config.anchor_steps * (config.anchor > 0))
    short = [r for r in runs if r.log and r.log[-1]["updates"] < steps]
    if short:
        last = short[0].log[-1]
        needed = math.ceil(steps * last["epoch"] / last["updates"])
        detail = f"{name} stopped after {last['updates']:,} updates, but its weights rise over {steps:,}."
        flags = {"epochs": max(limit, needed + config.patience), "patience": max(config.patience, needed)}
        found.append(Doubt(name, "annealing unfinished", detail, flags))
    return found


def of_search(a: str, b: str, trials: Mapping[str, int | None]) -> list[Doubt]:
    """A doubt where settings were searched for one of the two models alone.

    Parameters
    ----------
    trials : Mapping[str, int | None]
        Trials that were run for each model; None for one that has nothing to search.
    """
    if trials.get(a) is None or trials.get(b) is None or bool(trials[a]) == bool(trials[b]):
        return []
    searched, other = (a, b) if trials[a] else (b, a)
    detail = f"{searched} was searched with {trials[searched]} trials, {other} with none."
    return [Doubt(other, "unequal search", detail, {}, search=True)]


def sign(d: Interval) -> int:
    """1 if the interval lies above 0, −1 if below, 0 if it holds 0."""
    if d.low > 0:
        return 1
    return -1 if d.high < 0 else 0


def effect(d: Interval, doubts: Sequence[Doubt] = ()) -> str:
    """What is said of a difference with − without: helps, hurts, cannot be told apart, or not decided."""
    if sign(d) == 0:
        return TIED
    return OPEN if doubts else {1: "helps", -1: "hurts"}[sign(d)]


def better(d: Compared) -> str:
    """What is said of a difference a − b: which of the two is better, as far as that may be said."""
    if sign(d) == 0:
        return TIED
    return because(d.doubts) if d.doubts else f"{d.a if sign(d) > 0 else d.b} is better"


def because(doubts: Iterable[Doubt]) -> str:
    """The words "not decided" with the reasons, each once."""
    return f"{OPEN}: {', '.join(dict.fromkeys(doubt.what for doubt in doubts))}"


def remedy(rows: Iterable[Compared]) -> tuple[dict[str, int], list[str]]:
    """What the doubts of all rows that are not decided ask for.

    Returns
    -------
    flags : dict[str, int]
        Of `minivae study`, the largest of each.
    models : list[str]
        Models that have to be searched together first; empty if none.
    """
    flags: dict[str, int] = {}
    models: list[str] = []
    for row in rows:
        for doubt in row.doubts if sign(row) else ():
            flags |= {k: max(v, flags.get(k, 0)) for k, v in doubt.flags.items()}
            models += [row.a, row.b] if doubt.search else []
    return flags, list(dict.fromkeys(models))
