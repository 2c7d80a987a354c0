"""The tables of a report, as rows of text: header first."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minivae.ranking import METRICS
from minivae.runtime import text
from minivae.runtime.storage import write_text
from minivae.study.output import published as published_results
from minivae.study.output.figures import shown
from minivae.study.run.conclusions import OPEN, because, better
from minivae.study.run.results import ModelResult
from minivae.training import SELECTION

Table = list[list[str]]


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
        cells = [interval(of[m]) for m in METRICS]
        table.append([f"{a} − {b}", *cells, better(a, b, of["ndcg@100"])])
    return table


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
    table = [["model", "items in the top 100 of any user", "mean training users of the top 20"]]
    return table + [[row["model"], f"{row['coverage']:.1%}", f"{row['popularity']:,.0f}"] for row in summary]


def claims(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Every VAE with anchors against the same without: difference of nDCG@100, interval, conclusion."""
    table = [["with anchors", "without", "difference of nDCG@100", "PIA"]]
    said = [because(r) if r["verdict"] == OPEN else r["verdict"] for r in rows]
    return table + [[r["with"], r["without"], interval(r), what] for r, what in zip(rows, said, strict=True)]


def claims_by_group(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The same differences by activity of the users."""
    sizes = {label: g["users"] for label, g in rows[0]["groups"].items()}
    table = [["with anchors − without", *(f"{label} ({n:,} users)" for label, n in sizes.items())]]
    for r in rows:
        cells = [interval(g) if "low" in g else "–" for g in r["groups"].values()]
        table.append([f"{r['with']} − {r['without']}", *cells])
    return table


def interval(d: Mapping[str, float]) -> str:
    """A difference with its interval."""
    return f"{signed(d['difference'])} [{signed(d['low'])}, {signed(d['high'])}]"


def section(pairs: Sequence[tuple[str, str]], results: Mapping[str, Any]) -> Table:
    """The models of a section, each with its difference to its reference; the header alone if none ran."""
    summary = {row["model"]: row for row in results["summary"]}
    found = {(d["a"], d["b"]): d for d in results["differences"] if d["metric"] == SELECTION}
    table = [["model", f"test {shown(SELECTION)}", "against", "difference", "conclusion"]]
    for a, b in pairs:
        if (a, b) in found:
            v, d = summary[a]["metrics"][SELECTION], found[a, b]
            mean = f"{number(v['mean'])} ± {number(v['se'])}"
            table.append([a, mean, b, interval(d), better(a, b, d)])
    return table


def recall_definitions(value: Mapping[str, Any]) -> Table:
    """Recall with min(k, n) and with n below the line."""
    cuts = list(value["users"])
    table = [["model", *(f"Recall@{k}, {below}" for k in cuts for below in ("min(k, n)", "n"))]]
    for row in value["rows"]:
        table.append([row["model"], *(number(row[f"recall@{k}"][below]) for k in cuts for below in ("min", "n"))])
    return table


def cost(models: Sequence[ModelResult]) -> Table:
    """Parameters, epochs, time and peak memory of each run."""
    table = [["model", "seed", "parameters", "epochs", "best epoch", "seconds", "peak memory", "of the GPU"]]
    for m in models:
        for r in m.runs:
            v = r.metrics
            epochs = [str(v["epochs"]), str(v["best_epoch"])] if v["epochs"] else ["–", "–"]
            memory = [size(v.get("peak_memory", {}).get(k)) for k in ("process", "device")]
            table.append([m.name, str(v["seed"]), f"{v['parameters']:,}", *epochs, f"{v['seconds']:.1f}", *memory])
    return table


def size(n: float | None) -> str:
    """Bytes for people.

    >>> size(1_234_000_000), size(56_700_000), size(None)
    ('1.23 GB', '57 MB', '–')
    """
    if n is None:
        return "–"
    return f"{n / 1e9:.2f} GB" if n >= 1e9 else f"{n / 1e6:.0f} MB"


def metrics_rows(results: Mapping[str, Any]) -> Table:
    """One row per run, part and metric, with what the run cost."""
    costs = ("parameters", "epochs", "best_epoch", "seconds")
    table = [["data", "model", "seed", "part", "metric", "mean", "se", *costs, "peak_memory", "peak_memory_gpu"]]
    for run in results["runs"]:
        memory = run.get("peak_memory", {})
        spent = [run[k] for k in costs] + [memory.get("process"), memory.get("device")]
        for part, metrics in (("test", run["metrics"]), ("validation", run["validation"])):
            for metric, v in metrics.items():
                who = [results["data"]["name"], run["model"], run["seed"], part, metric]
                table.append(["" if x is None else str(x) for x in (*who, v["mean"], v["se"], *spent)])
    return table


def difference_rows(rows: Sequence[Mapping[str, Any]]) -> Table:
    """One row per pair and metric."""
    keys = ["a", "b", "metric", "difference", "se", "low", "high", "users"]
    return [keys, *([str(d[k]) for k in keys] for d in rows)]


def csv_text(table: Table) -> str:
    """A table as CSV."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([text.csv_cell(cell) for cell in row] for row in table)
    return out.getvalue()


def published(data: str) -> Table:
    """Published figures for a data set, each with its evidence tag and source; the header alone if there are none."""
    by_model: dict[str, dict[str, Mapping[str, str]]] = {}
    for row in published_results.metrics(data):
        by_model.setdefault(row["model"], {})[row["metric"]] = row
    table = [["model", *map(shown, METRICS), "source"]]
    for model, of in by_model.items():
        table.append([model, *(_cell(of.get(m)) for m in METRICS), next(iter(of.values()))["source"]])
    return table


def _cell(row: Mapping[str, str] | None) -> str:
    """A published figure with its standard error, where one was published, and its evidence tag."""
    if row is None:
        return "–"
    error = f" ± {_digits(row['se'])}" if row["se"] else ""
    return f"{_digits(row['value'])}{error} [{row['tag']}]"


def _digits(value: str) -> str:
    """A published number with at least three digits, none added beyond."""
    return f".{value.partition('.')[2]:<03}"


def markdown(table: Table) -> str:
    """A table in Markdown, numbers to the right."""
    escaped = [[text.markdown(cell) for cell in row] for row in table]
    rule = ["---", *["---:"] * (len(table[0]) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [escaped[0], rule, *escaped[1:]])


def leakage(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The audit of a split, one row per question and part."""
    shown = []
    for r in rows:
        number = "not known" if r["number"] is None else f"{r['number']:,} of {r['of']:,}"
        shown.append([r["part"], r["question"], number, "leak" if r["leak"] else ""])
    return [["part", "question", "number", ""], *shown]


_LATEX = str.maketrans(
    {"&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}"}
    | {"^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "−": "$-$", "±": r"$\pm$", "–": "--"}
)


def latex(table: Table) -> str:
    """A table in LaTeX (package booktabs), numbers to the right."""
    lines = [" & ".join(cell.translate(_LATEX) for cell in row) + r" \\" for row in table]
    columns = "l" + "r" * (len(table[0]) - 1)
    body = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"]
    return "\n".join([*body, r"\end{tabular}", ""])


def write_latex(out: Path, found: Mapping[str, Table]) -> None:
    """Each table as out/NAME.tex."""
    for name, table in found.items():
        write_text(out / f"{name}.tex", latex(table))
