"""The metrics of every held-out user in every run of a study, as a table for other programs."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from minivae.data.splits import FoldIn
from minivae.errors import InputError
from minivae.options import METRICS
from minivae.ranking import Evaluation
from minivae.study.draws.draws import finished_study
from minivae.study.run.runs import PARTS, Result, refuse_other_users


def studies_in(folder: Path) -> list[Path]:
    """A finished study, or those of its draws or folds in the folder.

    Raises
    ------
    InputError
        If there is none, or one in the folder is not finished.
    """
    if (folder / "results.json").is_file():
        return [folder]
    inside = sorted(path.parent for path in folder.glob("*/results.json"))
    if not inside:
        raise InputError(f"{folder} holds no finished study (no results.json in it); finish it with --resume")
    begun = sorted(path.parent for path in folder.glob("*/study.json") if path.parent not in inside)
    if begun:
        raise InputError(f"{begun[0]} is not finished (no results.json in it); finish it with --resume")
    return inside


def per_user(study: Path) -> Iterator[pl.DataFrame]:
    """Run after run: one row for each test user, then for each validation user.

    Columns: study (name of the folder), model, seed, part ("test" or "validation"), user (label as text; the row where
    the data has no labels), history and heldout (numbers of items), and one column for each metric, null for users
    without held-out items.

    Raises
    ------
    InputError
        If the study is not finished or damaged, or its split is gone or another one.
    """
    _, folders, _, split = finished_study(study)
    for folder in folders:
        result = Result.load(folder)
        refuse_other_users(result, split)
        whose = {"study": study.resolve().name, "model": result.metrics.model, "seed": result.metrics.seed}
        for part in PARTS:
            yield _rows(getattr(split, part), result.scored[part], whose | {"part": part})


def _rows(users: FoldIn, scored: Evaluation, whose: dict[str, str | int]) -> pl.DataFrame:
    """The users of one part in one run."""
    labels = range(users.n_users) if users.user_labels is None else users.user_labels.tolist()
    columns = {
        "user": pl.Series(list(map(str, labels)), dtype=pl.String),
        "history": np.diff(users.history.indptr).astype(np.int32),
        "heldout": scored.n_heldout.astype(np.int32),
    }
    values = pl.DataFrame(columns | {m: scored.per_user[m] for m in METRICS}, nan_to_null=True)
    return values.select(*(pl.lit(v).alias(k) for k, v in whose.items()), pl.all())
