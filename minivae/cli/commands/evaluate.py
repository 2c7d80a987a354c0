"""`minivae evaluate`."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from msgspec import UNSET, UnsetType, field

from minivae.cli import flags
from minivae.cli.commands.folder import refuse_to_replace
from minivae.cli.commands.sources import load_for, on_device
from minivae.errors import InputError
from minivae.metrics import cutoff, named
from minivae.options import METRICS, SELECTION
from minivae.ranking import evaluate
from minivae.runtime.records import Record
from minivae.runtime.storage import write_json
from minivae.runtime.table import print_table
from minivae.runtime.text import visible
from minivae.study.output import tables
from minivae.study.output.display import print_metrics
from minivae.study.run.records import Group, Levels
from minivae.study.run.runs import by_activity, check_evaluable, means


class Evaluated(Record, frozen=True, kw_only=True):
    """--json-file: metrics of a model, of its own users of one part or of a table of other users."""

    data: str
    part: Literal["test", "validation"] | UnsetType = UNSET
    filters: Mapping[str, tuple[int, int, int]] | UnsetType = UNSET
    trained_on: int | UnsetType | None = field(name="trained on", default=UNSET)
    metrics: Levels
    groups: Mapping[str, Group]
    coverage: float


def evaluate_model(options: flags.Evaluate) -> None:
    """Metrics of a trained model, by activity too."""
    metrics = METRICS if options.metrics is None else [m.strip() for m in options.metrics.split(",") if m.strip()]
    named(metrics)
    if options.json_file:
        refuse_to_replace("--json-file", options.json_file, options.data, options.model)
    model, split, others = load_for(options.model, options)
    if others is None:
        check_evaluable(split)
    fold_in = getattr(split, options.part) if others is None else others.fold_in
    who = f"{split.name}: {{:,}} {options.part} users" if others is None else f"{options.data}: {{:,}} users"
    counts = np.bincount(split.train.indices, minlength=split.n_items)
    scored = evaluate(on_device(model, options.device), fold_in, metrics, counts)
    if scored.n_users < 2:
        raise InputError(
            f"{scored.n_users} of the users of {options.data} have held-out items, but at least 2 are needed: a user "
            "needs 5 items that the model knows"
        )
    levels = means(scored)
    print_metrics(levels, who.format(scored.n_users))
    groups = by_activity(scored, fold_in)
    if SELECTION in scored.per_user:
        print_table(tables.groups({"nDCG@100": groups}, "by activity"))
    print(f"items in the top {max(cutoff(m) for m in metrics)} of any user: {scored.coverage:.1%}")
    if options.json_file:
        value = Evaluated(
            data=split.name if others is None else str(options.data),
            part=options.part if others is None else UNSET,
            filters=UNSET if others is None else dict(others.filters),
            trained_on=UNSET if others is None else others.trained_on,
            metrics=levels,
            groups=groups,
            coverage=scored.coverage,
        )
        write_json(options.json_file, value)
        print(visible(f"results: {options.json_file}"))
