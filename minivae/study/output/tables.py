"""The tables of a report."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

from minivae.data.audit import Finding
from minivae.errors import counted
from minivae.metrics import shown
from minivae.options import METRICS, SELECTION
from minivae.runtime import text
from minivae.runtime.table import Table, numbers, words
from minivae.study.output import published as published_results
from minivae.study.run.conclusions import OPEN, Estimate, Judged, because, better
from minivae.study.run.records import Claim, Comparison, Group, Level, ModelSummary, RecallDefinitions, Study
from minivae.study.run.results import ModelResult


def number(value: float, digits: int = 4) -> str:
    """A share without its leading zero: .4135, −.0100."""
    text = f"{abs(value):.{digits}f}"
    text = text[1:] if text.startswith("0.") else text
    return f"−{text}" if value < 0 and float(f"{value:.{digits}f}") != 0 else text


def signed(value: float) -> str:
    """The same with a plus sign where it is positive."""
    return number(value) if value < 0 else f"+{number(value)}"


def level(v: Level) -> str:
    """A mean with its standard error over users; in brackets that over seeds, if there are several."""
    seeds = "" if v.seed_se is None else f" ({number(v.seed_se)})"
    return f"{number(v.mean)} ± {number(v.se)}{seeds}"


def interval(d: Estimate) -> str:
    """A difference with its interval."""
    return f"{signed(d.difference)} [{signed(d.low)}, {signed(d.high)}]"


def count(n: int) -> str:
    """A whole number with separators."""
    return f"{n:,}"


def size(n: float) -> str:
    """Bytes for people.

    >>> size(1_234_000_000), size(56_700_000)
    ('1.23 GB', '57 MB')
    """
    return f"{n / 1e9:.2f} GB" if n >= 1e9 else f"{n / 1e6:.0f} MB"


def metrics(summary: Sequence[ModelSummary]) -> Table:
    """Model by metric: mean ± standard error over users; over seeds in brackets where there are several."""
    several = any(row.seeds > 1 for row in summary)
    columns = [words("model"), *([numbers("seeds")] if several else []), *(numbers(shown(m), level) for m in METRICS)]
    rows = [[row.model, *([row.seeds] if several else []), *(row.metrics[m] for m in METRICS)] for row in summary]
    return Table.make(columns, rows)


def differences(rows: Sequence[Comparison]) -> Table:
    """Paired differences with 95 % intervals and what they say about nDCG@100."""
    columns = [words("difference"), *(numbers(shown(m), interval) for m in METRICS), words("by nDCG@100")]
    by_pair: dict[tuple[str, str], dict[str, Comparison]] = {}
    for d in rows:
        by_pair.setdefault((d.a, d.b), {})[d.metric] = d
    return Table.make(
        columns,
        ([f"{a} − {b}", *(of[m] for m in METRICS), better(of[SELECTION])] for (a, b), of in by_pair.items()),
    )


def groups(by_model: Mapping[str, Mapping[str, Group]], name: str = "model") -> Table:
    """nDCG@100 by activity group, with the number of users in each; one user alone has no standard error."""
    sizes = {label: g.users for label, g in next(iter(by_model.values())).items()}
    columns = [numbers(f"{label} ({counted(n, 'user')})", _group) for label, n in sizes.items()]
    return Table.make([words(name), *columns], ([model, *of.values()] for model, of in by_model.items()))


def _group(group: Group) -> str:
    v = group.metrics.get(SELECTION)
    if not v:
        return "–"
    return level(v) if group.users > 1 else number(v.mean)


def coverage(summary: Sequence[ModelSummary]) -> Table:
    """What is recommended: share of the catalogue, and how popular it is."""
    columns = [
        words("model"),
        numbers("items in the top 100 of any user", "{:.1%}".format),
        numbers("mean training users of the top 20", "{:,.0f}".format),
    ]
    return Table.make(columns, ([row.model, row.coverage, row.popularity] for row in summary))


def claims(rows: Sequence[Judged], difference: str = "difference of nDCG@100") -> Table:
    """Every VAE with anchors against the same without: difference of nDCG@100, interval, conclusion."""
    columns = [words("with anchors"), words("without"), numbers(difference, interval), words("PIA")]
    said = [because(r.doubts) if r.verdict == OPEN else r.verdict for r in rows]
    return Table.make(columns, ([r.a, r.b, r, what] for r, what in zip(rows, said, strict=True)))


def claims_by_group(rows: Sequence[Claim]) -> Table:
    """The same differences by activity of the users."""
    sizes = {label: g.users for label, g in rows[0].groups.items()}
    columns = [numbers(f"{label} ({counted(n, 'user')})", interval) for label, n in sizes.items()]
    return Table.make(
        [words("with anchors − without"), *columns],
        ([f"{r.a} − {r.b}", *(g.found for g in r.groups.values())] for r in rows),
    )


def section(pairs: Sequence[tuple[str, str]], results: Study) -> Table:
    """The models of a section, each with its difference to its reference; no row if none ran."""
    summary = {row.model: row for row in results.summary}
    found = {(d.a, d.b): d for d in results.differences if d.metric == SELECTION}
    columns = [words("model"), numbers(f"test {shown(SELECTION)}", level), words("against")]
    columns += [numbers("difference", interval), words("conclusion")]
    rows = []
    for a, b in pairs:
        if (a, b) in found:
            v, d = summary[a].metrics[SELECTION], found[a, b]
            rows.append([a, Level(v.mean, v.se), b, d, better(d)])
    return Table.make(columns, rows)


def recall_definitions(value: RecallDefinitions) -> Table:
    """Recall with min(k, n) and with n below the line."""
    cuts = list(value.users)
    columns = [numbers(f"Recall@{k}, {below}", number) for k in cuts for below in ("min(k, n)", "n")]
    rows = [[row.model, *(v for k in cuts for v in (row.at(int(k)).min, row.at(int(k)).n))] for row in value.rows]
    return Table.make([words("model"), *columns], rows)


def cost(models: Sequence[ModelResult]) -> Table:
    """Parameters, epochs, time and peak memory of each run."""
    columns = [words("model"), numbers("seed"), numbers("parameters", count), numbers("epochs"), numbers("best epoch")]
    columns += [numbers("seconds", "{:.1f}".format), numbers("peak memory", size), numbers("of the GPU", size)]
    rows = []
    for v in (r.metrics for m in models for r in m.runs):
        epochs = [v.epochs, v.best_epoch] if v.epochs else [None, None]
        rows.append([v.model, v.seed, v.parameters, *epochs, v.seconds, v.peak_memory.process, v.peak_memory.device])
    return Table.make(columns, rows)


def published(data: str) -> Table:
    """Published figures for a data set, each with its evidence tag and source; no row if there are none."""
    by_model: dict[str, dict[str, Mapping[str, str]]] = {}
    for row in published_results.metrics(data):
        by_model.setdefault(row["model"], {})[row["metric"]] = row
    columns = [words("model"), *(numbers(shown(m), _published) for m in METRICS), words("source")]
    return Table.make(
        columns,
        ([model, *map(of.get, METRICS), next(iter(of.values()))["source"]] for model, of in by_model.items()),
    )


def _published(row: Mapping[str, str]) -> str:
    """A published figure with its standard error, where one was published, and its evidence tag."""
    error = f" ± {_digits(row['se'])}" if row["se"] else ""
    return f"{_digits(row['value'])}{error} [{row['tag']}]"


def _digits(value: str) -> str:
    """A published number with at least three digits, none added beyond."""
    return f".{value.partition('.')[2]:<03}"


def leakage(rows: Sequence[Finding]) -> Table:
    """The audit of a split, one row per question and part."""
    shown = []
    for r in rows:
        number = "not known" if r.number is None else f"{r.number:,} of {r.of:,}"
        shown.append([r.part, r.question, number, "leak" if r.leak else ""])
    return Table.make([words("part"), words("question"), numbers("number"), words("")], shown)


Lines = list[list[str]]
"""The lines of a CSV file, header first."""


def metrics_rows(results: Study) -> Lines:
    """One row per run, part and metric, with what the run cost."""
    costs = ("parameters", "epochs", "best_epoch", "seconds")
    table = [["data", "model", "seed", "part", "metric", "mean", "se", *costs, "peak_memory", "peak_memory_gpu"]]
    for run in results.runs:
        spent = [*(getattr(run, k) for k in costs), run.peak_memory.process, run.peak_memory.device]
        for part, levels in (("test", run.metrics), ("validation", run.validation)):
            for metric, v in levels.items():
                who = [results.data.name, run.model, run.seed, part, metric]
                table.append(["" if x is None else str(x) for x in (*who, v.mean, v.se, *spent)])
    return table


def difference_rows(rows: Sequence[Comparison]) -> Lines:
    """One row per pair and metric."""
    keys = ["a", "b", "metric", "difference", "se", "low", "high", "users"]
    return [keys, *([str(getattr(d, k)) for k in keys] for d in rows)]


def csv_text(lines: Iterable[Sequence[str]]) -> str:
    """Lines as CSV."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([text.csv_cell(cell) for cell in row] for row in lines)
    return out.getvalue()
