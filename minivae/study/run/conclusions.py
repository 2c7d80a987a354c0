"""What a paired difference allows to be said, and what has to be run before more may be said.

An interval over users says nothing of a training that was too short, of settings that were searched for one model
alone, or of the luck of a seed. Where one of these is in doubt, a difference whose interval lies on one side of 0 is
"not decided", with the reason and the command that removes it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from minivae.study.run.runs import Result

SEEDS = 3
"""Runs of a trained model that a conclusion needs at least."""
TIED, OPEN = "cannot be told apart", "not decided"


class Interval(Protocol):
    """Anything with the two ends of an interval."""

    @property
    def low(self) -> float:
        """Lower end."""
        ...

    @property
    def high(self) -> float:
        """Upper end."""
        ...


@dataclass(frozen=True)
class Doubt:
    """Why the runs of a model do not allow a conclusion.

    Attributes
    ----------
    model : str
        Its name.
    what : str
        In some words, for a table.
    detail : str
        A sentence.
    flags : Mapping[str, int]
        Flags of `minivae study` that remove the doubt.
    search : bool
        Whether a search is needed first.
    """

    model: str
    what: str
    detail: str
    flags: Mapping[str, int]
    search: bool = False


def of_training(name: str, runs: Sequence[Result], training: Mapping[str, Any]) -> list[Doubt]:
    """Doubts about the seeds and the length of training; none for a model that is not trained step by step.

    Parameters
    ----------
    runs : Sequence[Result]
        All runs of the model, over seeds, draws and folds.
    training : Mapping[str, Any]
        Its `TrainConfig` as a mapping; empty for a baseline.
    """
    if not training:
        return []
    found = []
    if (n := len(runs)) < SEEDS:
        many = f"{n} seed" if n == 1 else f"{n} seeds"
        found.append(Doubt(name, many, f"{name} ran with {many}; at least {SEEDS} are needed.", {"seeds": SEEDS}))
    limit = training["epochs"]
    if any(r.metrics["best_epoch"] == r.metrics["epochs"] for r in runs):
        detail = f"The best epoch of {name} is the last one that ran, {limit}: longer training may be better."
        found.append(Doubt(name, "best epoch is the last", detail, {"epochs": 2 * limit}))
    steps = max(
        training["anneal_steps"] if training["beta"] > 0 else 0,
        training["anchor_steps"] if training["anchor"] > 0 else 0,
    )
    short = [r for r in runs if r.log and r.log[-1]["updates"] < steps]
    if short:
        last = short[0].log[-1]
        needed = math.ceil(steps * last["epoch"] / last["updates"])
        detail = f"{name} stopped after {last['updates']:,} updates, but its weights rise over {steps:,}."
        flags = {"epochs": max(limit, needed + training["patience"]), "patience": max(training["patience"], needed)}
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


def better(a: str, b: str, d: Mapping[str, Any]) -> str:
    """What is said of a row a − b with `low`, `high` and `doubts`: which is better, as far as that may be said.

    >>> better("x", "y", {"low": 0.01, "high": 0.02})
    'x is better'
    >>> better("x", "y", {"low": 0.01, "high": 0.02, "doubts": [{"what": "1 seed"}]})
    'not decided: 1 seed'
    """
    if not (d["low"] > 0 or d["high"] < 0):
        return TIED
    return because(d) if d.get("doubts") else f"{a if d['low'] > 0 else b} is better"


def because(d: Mapping[str, Any]) -> str:
    """The words "not decided" with the reasons, each once."""
    return f"{OPEN}: {', '.join(dict.fromkeys(doubt['what'] for doubt in d['doubts']))}"


def as_dicts(doubts: Iterable[Doubt]) -> list[dict[str, Any]]:
    """For JSON."""
    return [asdict(d) for d in doubts]


def remedy(rows: Iterable[Mapping[str, Any]]) -> tuple[dict[str, int], list[str]]:
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
        if row["low"] > 0 or row["high"] < 0:
            for doubt in row.get("doubts", ()):
                flags |= {k: max(v, flags.get(k, 0)) for k, v in doubt["flags"].items()}
                models += [row["a"], row["b"]] if doubt["search"] else []
    return flags, list(dict.fromkeys(models))
