"""The tables of a report, as rows of text: header first."""

import csv
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from minivae.ranking import METRICS
from minivae.study.figures import shown
from minivae.study.results import ModelResult

Table = list[list[str]]
TAGS = {
    "V": "read in a primary artefact",
    "S": "read in a secondary text",
    "C": "computed from primary figures",
    "M": "as published, unverified",
}


def number(value: float, digits: int = 4) -> str:
    """A share without its leading zero: .4135, −.0100."""
    text = f"{abs(value):.{digits}f}"
    text = text[1:] if text.startswith("0.") else text
    return f"−{text}" if value < 0 and float(f"{value:.{digits}f}") != 0 else text


def signed(value: float) -> str:
    """The same with a plus sign where it is positive."""
    return number(value) if value < 0 else f"+{number(value)}"


def metrics(summary: Sequence[Mapping[str, Any]]) -> Table:
    """Model by metric: mean ± standard error over users; over seeds in brackets where there are several."""
    several = any(row["seeds"] > 1 for row in summary)
    rows = [["model", *(["seeds"] if several else []), *(f"{shown(m)}" for m in METRICS)]]
    for row in summary:
        cells = []
        for m in METRICS:
            v = row["metrics"][m]
            seeds = f" ({number(v['seed_se'])})" if "seed_se" in v else ""
            cells.append(f"{number(v['mean'])} ± {number(v['se'])}{seeds}")
        rows.append([row["model"], *([str(row["seeds"])] if several else []), *cells])
    return rows


def differences(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Paired differences with 95 % intervals and what they say about nDCG@100."""
    table = [["difference", *map(shown, METRICS), "by nDCG@100"]]
    by_pair: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for d in rows:
        by_pair.setdefault((d["a"], d["b"]), {})[d["metric"]] = d
    for (a, b), of in by_pair.items():
        cells = [f"{signed(of[m]['difference'])} [{signed(of[m]['low'])}, {signed(of[m]['high'])}]" for m in METRICS]
        table.append([f"{a} − {b}", *cells, verdict(a, b, of["ndcg@100"])])
    return table


def verdict(a: str, b: str, d: Mapping[str, Any]) -> str:
    """Which of two models is better, as far as the interval tells."""
    if d["low"] > 0:
        return f"{a} is better"
    return f"{b} is better" if d["high"] < 0 else "cannot be told apart"


def groups(summary: Sequence[Mapping[str, Any]]) -> Table:
    """nDCG@100 by activity group, with the number of users in each; one user alone has no standard error."""
    sizes = {label: g["users"] for label, g in summary[0]["groups"].items()}
    table = [["model", *(f"{label} ({n:,} user{'' if n == 1 else 's'})" for label, n in sizes.items())]]
    for row in summary:
        cells = []
        for group in row["groups"].values():
            v = group["metrics"].get("ndcg@100")
            error = f" ± {number(v['se'])}" if v and group["users"] > 1 else ""
            cells.append(f"{number(v['mean'])}{error}" if v else "–")
        table.append([row["model"], *cells])
    return table


def coverage(summary: Sequence[Mapping[str, Any]]) -> Table:
    """What is recommended: share of the catalogue, and how popular it is."""
    table = [["model", "items in somebody's top 100", "mean training users of the top 20"]]
    return table + [[row["model"], f"{row['coverage']:.1%}", f"{row['popularity']:,.0f}"] for row in summary]


def cost(models: Sequence[ModelResult]) -> Table:
    """Parameters, epochs and seconds of each run."""
    table = [["model", "seed", "parameters", "epochs", "best epoch", "seconds"]]
    for m in models:
        for r in m.runs:
            v = r.metrics
            epochs = [str(v["epochs"]), str(v["best_epoch"])] if v["epochs"] else ["–", "–"]
            table.append([m.name, str(v["seed"]), f"{v['parameters']:,}", *epochs, f"{v['seconds']:.1f}"])
    return table


def published(data: str) -> Table:
    """Published figures for a data set, each with its evidence tag and source; the header alone if there are none."""
    text = (files(__package__) / "published.csv").read_text(encoding="utf-8")
    by_model: dict[str, dict[str, Mapping[str, str]]] = {}
    for row in csv.DictReader(text.splitlines()):
        if row["data"] == data:
            by_model.setdefault(row["model"], {})[row["metric"]] = row
    table = [["model", *map(shown, METRICS), "source"]]
    for model, of in by_model.items():
        cells = [f"{_digits(of[m]['value'])} [{of[m]['tag']}]" if m in of else "–" for m in METRICS]
        table.append([model, *cells, next(iter(of.values()))["source"]])
    return table


def _digits(value: str) -> str:
    """A published number with at least three digits, none added beyond."""
    digits = value.removeprefix("0.")
    return f".{digits:<03}"


def markdown(table: Table) -> str:
    """A table in Markdown, numbers to the right."""
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in table]
    rule = ["---", *["---:"] * (len(table[0]) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [escaped[0], rule, *escaped[1:]])
