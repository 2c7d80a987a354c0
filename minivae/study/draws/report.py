"""The report over several draws of held-out users."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from minivae import plots
from minivae.runtime.storage import write_json, write_text
from minivae.runtime.text import markdown
from minivae.study.output import tables
from minivae.study.output.figures import save, shown
from minivae.study.output.page import to_html
from minivae.study.output.report import figure as in_markdown
from minivae.study.run.conclusions import OPEN, because, better
from minivae.study.run.results import ANCHORED
from minivae.training import SELECTION

METHOD = (
    "Pooled: the mean over draws with a 95 % interval, the wider of two. Over users: a user who is tested in several "
    "draws is one cluster and counts once. Over draws: a t interval over the means of the draws, their variance "
    "enlarged by n_test / n_train, since draws share training users (Nadeau and Bengio 2003). The first is too narrow "
    "if draws differ by more than their users, the second knows as many numbers as there are draws."
)

FOLDS = (
    "Every user is tested once, by models that saw neither this user nor the fold that validates. Pooled: the mean "
    "over folds with a 95 % t interval over the means of the folds: a hierarchical model in which users and the "
    "training of a fold are both random. Simulated, it covers in 94 to 96 of 100 cases; the corrected variance of "
    "Nadeau and Bengio (2003) in 98 to 99."
)


def _kind(value: Mapping[str, Any]) -> str:
    """Draw or fold."""
    return "fold" if value.get("design") == "folds" else "draw"


def write(value: Mapping[str, Any], out: Path) -> None:
    """combined.json, .csv, .md, .html and .png into `out`."""
    write_json(out / "combined.json", value)
    write_text(out / "combined.csv", tables.csv_text(rows(value)))
    figure = draw(value)
    if figure is not None:
        save(figure, out, "combined")
    text = compose(value, figure is not None)
    write_text(out / "combined.md", text)
    write_text(out / "combined.html", to_html(text, out, ["combined.png"]))


def levels(value: Mapping[str, Any], metric: str = SELECTION) -> tables.Table:
    """Model by draw, and pooled."""
    table = [["model", "seeds", *(f"{_kind(value)} {d}" for d in value["draws"]), "pooled"]]
    for row in value["levels"]:
        if row["metric"] == metric:
            cells = [f"{tables.number(e['mean'])} ± {tables.number(e['se'])}" for e in row["draws"]]
            p = row["pooled"]
            cells.append(f"{tables.number(p['difference'])} [{tables.number(p['low'])}, {tables.number(p['high'])}]")
            table.append([row["model"], str(value["seeds"][row["model"]]), *cells])
    return table


def differences(value: Mapping[str, Any], metric: str = SELECTION) -> tables.Table:
    """Pair by draw, pooled, and the conclusion."""
    table = [["difference", *(f"{_kind(value)} {d}" for d in value["draws"]), "pooled", "conclusion"]]
    for row in value["differences"]:
        if row["metric"] == metric:
            cells = [tables.interval(d) for d in (*row["draws"], row["pooled"])]
            table.append(
                [
                    f"{row['a']} − {row['b']}",
                    *cells,
                    better(row["a"], row["b"], {**row["pooled"], "doubts": row["doubts"]}),
                ]
            )
    return table


def claims(value: Mapping[str, Any]) -> tables.Table:
    """Every VAE with anchors against the same without, pooled."""
    table = [["with anchors", "without", "difference of nDCG@100, pooled", "PIA"]]
    for row in value["differences"]:
        if row["metric"] == SELECTION and row["a"] == row["b"] + ANCHORED:
            said = because(row) if row["verdict"] == OPEN else row["verdict"]
            table.append([row["a"], row["b"], tables.interval(row["pooled"]), said])
    return table


def _searched(value: Mapping[str, Any]) -> str:
    """On whose validation users the settings were chosen, if a search chose them."""
    on = value["searched on"]
    if not on:
        return ""
    if len(on) == len(value["draws"]):
        return " Settings were searched on the validation users of each draw."
    return (
        f" Settings were searched on the validation users of draw {', '.join(map(markdown, on))} alone; some of them "
        "may be test users of another draw."
    )


def compose(value: Mapping[str, Any], figure: bool) -> str:
    """The report in Markdown."""
    each, different = value["test users"]["each"], value["test users"]["different"]
    searched, kind = _searched(value), _kind(value)
    parts = [
        f"# {markdown(value['data'])}: {len(value['draws'])} {kind}s of users",
        f"{kind.capitalize()}s {', '.join(map(markdown, value['draws']))}: {sum(each):,} test users, {different:,} "
        f"different ones.{searched} In each {kind} ± is a standard error over test users, and brackets a paired 95 % t "
        "interval; a user's value is averaged over seeds first.",
        FOLDS if kind == "fold" else METHOD,
        f"## Test {shown(SELECTION)}",
        tables.markdown(levels(value)),
    ]
    if len(claims(value)) > 1:
        parts += ["## Does PIA help?", tables.markdown(claims(value))]
    if value["differences"]:
        parts += ["## Paired differences", tables.markdown(differences(value))]
    if figure:
        caption = f"Differences of test {shown(SELECTION)} in each {kind} (grey) and pooled, 95 % intervals."
        parts += in_markdown("combined.png", caption)
    parts += [f"## Test {shown(m)}\n\n{tables.markdown(levels(value, m))}" for m in _others(value)]
    return "\n\n".join(parts) + "\n"


def _others(value: Mapping[str, Any]) -> list[str]:
    return [m for m in dict.fromkeys(row["metric"] for row in value["levels"]) if m != SELECTION]


def rows(value: Mapping[str, Any]) -> tables.Table:
    """One row per difference, metric and draw, "pooled" among the draws."""
    keys = ["difference", "low", "high"]
    table = [["a", "b", "metric", "draw", *keys]]
    for row in value["differences"]:
        for label, d in zip([*value["draws"], "pooled"], [*row["draws"], row["pooled"]], strict=True):
            table.append([row["a"], row["b"], row["metric"], label, *(str(d[k]) for k in keys)])
    return table


def draw(value: Mapping[str, Any]) -> Figure | None:
    """A forest: every pair in each draw, then pooled."""
    lines = []
    for row in value["differences"]:
        if row["metric"] == SELECTION:
            lines += [
                (f"{_kind(value)} {label}", d, "0.6") for label, d in zip(value["draws"], row["draws"], strict=True)
            ]
            lines.append((f"{row['a']} − {row['b']}", row["pooled"], plots.COLOURS[0]))
    if not lines:
        return None
    figure = Figure(figsize=(8, 1.4 + 0.3 * len(lines)), layout="constrained")
    centres, low, high = ([d[k] for _, d, _ in lines] for k in ("difference", "low", "high"))
    labels, colours = [label for label, _, _ in lines], [colour for _, _, colour in lines]
    plots.intervals(
        labels,
        centres,
        low,
        high,
        f"difference of test {shown(SELECTION)}",
        reference=0.0,
        colours=colours,
        ax=figure.subplots(),
    )
    return figure
