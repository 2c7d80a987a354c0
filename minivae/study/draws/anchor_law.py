"""When do anchors help? Each form of the anchor loss, its weight chosen on validation users, against no anchors."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from minivae.data.splits import StrongSplit
from minivae.errors import InputError
from minivae.models import VAE, load_model
from minivae.ranking import Difference, activity_groups, compare, paired_difference
from minivae.runtime.table import Table, numbers, words
from minivae.study.run.runs import Result, read_note

SELECTION = "ndcg@100"
NAME = re.compile(r"(?P<model>[a-z]+)-(?P<form>full|centroid\+variance|direction)-(?P<weight>[\d.]+)")


def collect(studies: Sequence[Path]) -> list[dict[str, Any]]:
    """One row for every study (a draw of held-out users), model and form.

    The weight λ is the one with the highest nDCG@100 of validation users among those that ran; a model without anchors
    is not among them. The difference to the model without anchors is paired over test users, one seed each.

    Raises
    ------
    InputError
        If a folder is no study of the preset anchor-law.
    """
    return [row for folder in studies for row in _of_study(folder)]


def _of_study(folder: Path) -> list[dict[str, Any]]:
    runs = {p.name.removesuffix("-seed0"): Result.load(p) for p in sorted((folder / "runs").glob("*-seed0"))}
    found = {name: m.groupdict() for name in runs if (m := NAME.fullmatch(name))}
    if not found:
        raise InputError(f"{folder} holds no finished run of the preset anchor-law; run minivae study with it first")
    split = StrongSplit.load(read_note(next(iter(runs.values())).folder)["data"]["split"])
    groups = activity_groups(split.test)
    rows = []
    for model, form in dict.fromkeys((f["model"], f["form"]) for f in found.values()):
        tried = {n: f["weight"] for n, f in found.items() if (f["model"], f["form"]) == (model, form)}
        if model not in runs:
            raise InputError(f"{folder} has no run of {model} without anchors to compare with")
        none = runs[model]
        chosen = max(tried, key=lambda n: runs[n].metrics["validation"][SELECTION]["mean"])
        at = {n: compare(runs[n].scored["test"], none.scored["test"])[SELECTION] for n in tried}
        each = runs[chosen].scored["test"].per_user[SELECTION] - none.scored["test"].per_user[SELECTION]
        rows.append(
            {
                "study": folder.name,
                "seed of the draw": split.protocol.get("seed"),
                "model": model,
                "form": form,
                "without anchors": none.metrics["test"][SELECTION]["mean"],
                "chosen weight": float(tried[chosen]),
                "difference": _line(at[chosen]),
                "at every weight": {w: _line(at[n]) for n, w in tried.items()},
                "by activity": {g: _line(paired_difference(each[of])) for g, of in groups.items() if of.sum() > 1},
                "norm of codes": {"0": norm_of_codes(none.folder, split)}
                | {w: norm_of_codes(runs[n].folder, split) for n, w in tried.items()},
            }
        )
    return rows


def norm_of_codes(folder: Path, split: StrongSplit) -> float:
    """Mean ‖μ‖ of the test users under a saved model."""
    model = load_model(folder)
    assert isinstance(model, VAE)  # a study of anchors trains no other
    with torch.no_grad():
        mu, _ = model.encode(split.test.history)
    return float(mu.norm(dim=1).mean())


def _line(d: Difference) -> dict[str, float]:
    return {"mean": d.difference, "low": d.low, "high": d.high}


def conclusion(rows: Sequence[Mapping[str, Any]]) -> str:
    """For each form of the anchor loss: in how many rows it helps, hurts, or cannot be told from none."""
    lines = []
    for form in dict.fromkeys(r["form"] for r in rows):
        of = [r["difference"] for r in rows if r["form"] == form]
        helps, hurts = sum(d["low"] > 0 for d in of), sum(d["high"] < 0 for d in of)
        lines.append(f"* **{form}**: helps in {helps}, hurts in {hurts}, not told apart in {len(of) - helps - hurts}.")
    head = (
        f"{len(rows)} comparisons, one for each draw of held-out users, model and form of the anchor loss, its weight "
        "chosen on validation users. A form helps if the 95 % interval over test users lies above 0; one seed each."
    )
    return "\n".join([head, "", *lines])


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """One row for each of `collect`."""
    columns = [words("draw"), words("model"), words("form"), numbers("λ chosen", "{:g}".format)]
    columns += [numbers("none", "{:.4f}".format), numbers("difference", _mean), numbers("95 % interval", _interval)]
    columns += [numbers("5–10 items", _mean), numbers("101+ items", _mean)]
    return Table.make(
        columns,
        (
            [
                str(r["seed of the draw"]),
                *(r[k] for k in ("model", "form", "chosen weight", "without anchors", "difference", "difference")),
                *(r["by activity"].get(g) for g in ("5–10", "101+")),
            ]
            for r in rows
        ),
    )


def _mean(line: Mapping[str, float]) -> str:
    return f"{line['mean']:+.4f}"


def _interval(line: Mapping[str, float]) -> str:
    return f"{line['low']:+.4f} … {line['high']:+.4f}"
