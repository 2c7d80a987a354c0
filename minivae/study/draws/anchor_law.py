"""When do anchors help? Each form of the anchor loss, its weight chosen on validation users, against no anchors."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from msgspec import field

from minivae.data.splits import StrongSplit
from minivae.data.users import shape_of
from minivae.errors import InputError
from minivae.models import VAE, load_model
from minivae.options import SELECTION
from minivae.ranking import activity_groups, compare, paired_difference
from minivae.runtime.records import MeanInterval, Record
from minivae.runtime.table import Table, numbers, words
from minivae.study.draws.draws import split_of
from minivae.study.draws.pooling import pool
from minivae.study.run.runs import Result, read_note, refuse_other_users

NAME = re.compile(r"(?P<model>[a-z]+)-(?P<form>full|centroid\+variance|direction)-(?P<weight>[\d.]+)")


class LawRow(Record, frozen=True, omit_defaults=True):
    """One draw, model and form of the anchor loss: test nDCG@100 without anchors, and what each weight λ adds.

    `events` is the fingerprint of the draw; files of before December 2026 have none.
    """

    study: str
    seed: int | float | str | None = field(name="seed of the draw")
    model: str
    form: str
    without: float = field(name="without anchors")
    chosen: float = field(name="chosen weight")
    difference: MeanInterval
    at_every_weight: Mapping[str, MeanInterval] = field(name="at every weight")
    by_activity: Mapping[str, MeanInterval] = field(name="by activity")
    norm_of_codes: Mapping[str, float] = field(name="norm of codes")
    events: str = ""


class LawMean(Record, frozen=True):
    """The mean over draws of one data set, its interval that of `minivae.study.draws.pooling.pool`."""

    data: str
    draws: Sequence[int | float | str | None] = field(name="seeds of the draws")
    model: str
    form: str
    difference: MeanInterval
    by_activity: Mapping[str, MeanInterval] = field(name="by activity")


class Law(Record, frozen=True, omit_defaults=True):
    """anchors.json."""

    rows: Sequence[LawRow]
    over_draws: Sequence[LawMean] = field(name="over draws", default=())


@dataclass(frozen=True)
class _Measured:
    """A row with what it was made from.

    Attributes
    ----------
    data : str
        Name of the data.
    row : LawRow
        What is kept.
    each : ndarray
        (U,) difference of every test user at the chosen weight, NaN without held-out items.
    users : ndarray, optional
        (U,) labels.
    groups : dict[str, ndarray]
        Activity group -> (U,) bool.
    n_train : int
        Training users.
    """

    data: str
    row: LawRow
    each: np.ndarray
    users: np.ndarray | None
    groups: dict[str, np.ndarray]
    n_train: int


def collect(studies: Sequence[Path]) -> Law:
    """One row for every study (a draw of held-out users), model and form; and means over the draws of a data set.

    The weight λ is the one with the highest nDCG@100 of validation users among those that ran; a model without anchors
    is not among them. The difference to the model without anchors is paired over test users, one seed each. Studies are
    of one data set if its name is the same.

    Raises
    ------
    InputError
        If a folder is no study of the preset anchor-law, or two are of the same draw.
    """
    measured = [m for folder in studies for m in _of_study(folder)]
    alike: dict[tuple[str, str, str], list[_Measured]] = {}
    for m in measured:
        if m.row.seed is None or m.users is None:  # no draw of known users
            continue
        alike.setdefault((m.data, m.row.model, m.row.form), []).append(m)
    return Law([m.row for m in measured], [_mean_of(of) for of in alike.values() if len(of) > 1])


def _mean_of(of: Sequence[_Measured]) -> LawMean:
    seeds = [m.row.seed for m in of]
    if len(set(seeds)) < len(seeds):
        raise InputError(
            f"two studies of {of[0].data} have the same seed of the draw ({', '.join(map(str, seeds))}); give one of "
            "each"
        )

    def pooled(values: list[np.ndarray]) -> MeanInterval:
        p = pool(values, [m.users for m in of if m.users is not None], [m.n_train for m in of])
        return MeanInterval(p.difference, p.low, p.high)

    shown = [g for g in of[0].row.by_activity if all(g in m.row.by_activity for m in of)]
    within = {g: pooled([np.where(m.groups[g], m.each, np.nan) for m in of]) for g in shown}
    first = of[0].row
    return LawMean(of[0].data, seeds, first.model, first.form, pooled([m.each for m in of]), within)


def _of_study(folder: Path) -> list[_Measured]:
    done = [Result.load(p) for p in sorted((folder / "runs").glob("*-seed0"))]
    runs = {r.metrics.model: r for r in done}
    found = {name: m.groupdict() for name in runs if (m := NAME.fullmatch(name))}
    if not found:
        raise InputError(f"{folder} holds no finished run of the preset anchor-law; run minivae study with it first")
    data = read_note(next(iter(runs.values())).folder).data
    split = split_of(data, folder)
    for result in done:
        refuse_other_users(result, split)
    groups = activity_groups(split.test)
    rows = []
    for model, form in dict.fromkeys((f["model"], f["form"]) for f in found.values()):
        tried = {n: f["weight"] for n, f in found.items() if (f["model"], f["form"]) == (model, form)}
        if model not in runs:
            raise InputError(f"{folder} has no run of {model} without anchors to compare with")
        none = runs[model]
        chosen = max(tried, key=lambda n: runs[n].metrics.validation[SELECTION].mean)
        at = {n: compare(runs[n].scored["test"], none.scored["test"])[SELECTION] for n in tried}
        each = runs[chosen].scored["test"].per_user[SELECTION] - none.scored["test"].per_user[SELECTION]
        counts = ~np.isnan(each)  # a user without held-out items has no value
        norms = {"0": none.folder} | {w: runs[n].folder for n, w in tried.items()}
        row = LawRow(
            study=folder.name,
            seed=split.protocol.get("seed"),
            model=model,
            form=form,
            without=none.metrics.levels()[SELECTION].mean,
            chosen=float(tried[chosen]),
            difference=at[chosen].interval(),
            at_every_weight={w: at[n].interval() for n, w in tried.items()},
            by_activity={
                g: paired_difference(each[of]).interval() for g, of in groups.items() if (of & counts).sum() > 1
            },
            norm_of_codes={w: norm_of_codes(run, split) for w, run in norms.items()},
            events=data.sha256,
        )
        rows.append(_Measured(split.name, row, each, split.test.user_labels, groups, shape_of(split.train)[0]))
    return rows


def norm_of_codes(folder: Path, split: StrongSplit) -> float:
    """Mean ‖μ‖ of the test users under a saved model."""
    model = load_model(folder)
    assert isinstance(model, VAE)  # a study of anchors trains no other
    with torch.no_grad():
        mu, _ = model.encode(split.test.history)
    return float(mu.norm(dim=1).mean())


def conclusion(rows: Sequence[LawRow]) -> str:
    """For each form of the anchor loss: in how many rows it helps, hurts, or cannot be told from none."""
    lines = []
    for form in dict.fromkeys(r.form for r in rows):
        of = [r.difference for r in rows if r.form == form]
        helps, hurts = sum(d.low > 0 for d in of), sum(d.high < 0 for d in of)
        lines.append(f"* **{form}**: helps in {helps}, hurts in {hurts}, not told apart in {len(of) - helps - hurts}.")
    head = (
        f"{len(rows)} comparisons, one for each draw of held-out users, model and form of the anchor loss, its weight "
        "chosen on validation users. A form helps if the 95 % interval over test users lies above 0; one seed each."
    )
    return "\n".join([head, "", *lines])


def table(rows: Sequence[LawRow]) -> Table:
    """One row for each of `collect`."""
    columns = [words("draw"), words("model"), words("form"), numbers("λ chosen", "{:g}".format)]
    columns += [numbers("none", "{:.4f}".format), numbers("difference", _mean), numbers("95 % interval", _interval)]
    columns += [numbers("5–10 items", _mean), numbers("101+ items", _mean)]
    return Table.make(
        columns,
        (
            [str(r.seed), r.model, r.form, r.chosen, r.without, r.difference, r.difference]
            + [r.by_activity.get(g) for g in ("5–10", "101+")]
            for r in rows
        ),
    )


def means(of: Sequence[LawMean]) -> Table:
    """One row for each mean over draws."""
    columns = [words("data"), numbers("draws"), words("model"), words("form"), numbers("difference", _mean)]
    columns += [numbers("95 % interval", _interval), numbers("5–10 items", _mean), numbers("101+ items", _mean)]
    return Table.make(
        columns,
        (
            [m.data, len(m.draws), m.model, m.form, m.difference, m.difference]
            + [m.by_activity.get(g) for g in ("5–10", "101+")]
            for m in of
        ),
    )


def _mean(gain: MeanInterval) -> str:
    return f"{gain.mean:+.4f}"


def _interval(gain: MeanInterval) -> str:
    return f"{gain.low:+.4f} … {gain.high:+.4f}"
