"""The report over several draws of held-out users."""

from pathlib import Path

from matplotlib.figure import Figure

from minivae import plots
from minivae.metrics import shown
from minivae.options import SELECTION
from minivae.runtime.storage import write_json, write_text
from minivae.runtime.table import Part, Table, numbers, words
from minivae.runtime.text import markdown
from minivae.study.draws.pooling import Pooled
from minivae.study.draws.records import Combined
from minivae.study.output import figures, tables
from minivae.study.output.figures import save
from minivae.study.output.page import to_html
from minivae.study.output.report import figure as in_markdown
from minivae.study.output.report import page_source
from minivae.study.run.conclusions import Estimate, better
from minivae.study.run.results import ANCHORED

METHOD = (
    "Pooled: the mean over draws with a 95 % interval, the wider of two. Over users: a user who is tested in several "
    "draws is one cluster and counts once. Over draws: a t interval over the means of the draws, their variance "
    "enlarged by n_test / n_train, since draws share training users (Nadeau and Bengio 2003). The first is too narrow "
    "if draws differ by more than their users, the second knows as many numbers as there are draws."
)

FOLDS = (
    "Every user is tested once, by models that saw neither this user nor the fold that validates. Pooled: the mean "
    "over folds with a 95 % t interval over the means of the folds: a hierarchical model in which users and the "
    "training of a fold are both random. Simulated with trainings that vary independently, it covers in 94 to 96 of "
    "100 cases; the corrected variance of Nadeau and Bengio (2003) in 98 to 99. But folds share training users: "
    "simulated with as much chance in these as in the tested users, it covers in 75 only, the corrected variance in 89."
)


def write(value: Combined, out: Path) -> None:
    """combined.json, .csv, .md, .html and .png into `out`."""
    write_json(out / "combined.json", value)
    write_text(out / "combined.csv", tables.csv_text(rows(value)))
    figure = forest(value)
    if figure is not None:
        save(figure, out, "combined")
    text = page_source(compose(value, figure is not None), out, "combined")
    write_text(out / "combined.html", to_html(text, out, ["combined.png"]))


def levels(value: Combined, metric: str = SELECTION) -> Table:
    """Model by draw, and pooled."""
    each = [numbers(f"{value.kind} {d}", tables.level) for d in value.draws]
    return Table.make(
        [words("model"), numbers("fewest seeds"), *each, numbers("pooled", _pooled)],
        ([row.model, value.seeds[row.model], *row.draws, row.pooled] for row in value.levels if row.metric == metric),
    )


def _pooled(p: Pooled) -> str:
    """A level with its interval."""
    return f"{tables.number(p.difference)} [{tables.number(p.low)}, {tables.number(p.high)}]"


def differences(value: Combined, metric: str = SELECTION) -> Table:
    """Pair by draw, pooled, and the conclusion."""
    each = [numbers(f"{value.kind} {d}", tables.interval) for d in value.draws]
    of = [row for row in value.differences if row.metric == metric]
    rows = [[f"{row.a} − {row.b}", *row.draws, row.pooled, better(row)] for row in of]
    return Table.make([words("difference"), *each, numbers("pooled", tables.interval), words("conclusion")], rows)


def claims(value: Combined) -> Table:
    """Every VAE with anchors against the same without, pooled."""
    rows = [row for row in value.differences if row.metric == SELECTION and row.a == row.b + ANCHORED]
    return tables.claims(rows, "difference of nDCG@100, pooled")


def _searched(value: Combined) -> str:
    """On whose validation users the settings were chosen, if a search chose them."""
    on = value.searched_on
    if not on:
        others = "another draw of held-out users, or of other data"
        said = f" Settings were searched on the validation users of {others}: some of them may be test users here."
        return said if value.searched_elsewhere else ""
    if len(on) == len(value.draws):
        return " Settings were searched on the validation users of each draw."
    return (
        f" Settings were searched on the validation users of draw {', '.join(map(markdown, on))} alone; some of them "
        "may be test users of another draw."
    )


def compose(value: Combined, figure: bool) -> list[Part]:
    """The report, from top to bottom."""
    users, kind = value.test_users, value.kind
    parts: list[Part] = [
        f"# {markdown(value.data)}: {len(value.draws)} {kind}s of users",
        f"{kind.capitalize()}s {', '.join(map(markdown, value.draws))}: {sum(users.each):,} test users, "
        f"{users.different:,} different ones.{_searched(value)} In each {kind} ± is a standard error over test users, "
        "and brackets a paired 95 % t interval; a user's value is averaged over seeds first.",
        FOLDS if kind == "fold" else METHOD,
        f"## Test {shown(SELECTION)}",
        levels(value),
    ]
    pia = claims(value)
    if pia.rows:
        parts += ["## Does PIA help?", pia]
    if value.differences:
        parts += ["## Paired differences", differences(value)]
    if figure:
        caption = f"Differences of test {shown(SELECTION)} in each {kind} (grey) and pooled, 95 % intervals."
        parts += in_markdown("combined.png", caption)
    others = dict.fromkeys(row.metric for row in value.levels if row.metric != SELECTION)
    for m in others:
        parts += [f"## Test {shown(m)}", levels(value, m)]
    return parts


def rows(value: Combined) -> tables.Lines:
    """One row per difference, metric and draw, "pooled" among the draws."""
    keys = ["difference", "low", "high"]
    table = [["a", "b", "metric", "draw", *keys]]
    for row in value.differences:
        for label, d in zip([*value.draws, "pooled"], [*row.draws, row.pooled], strict=True):
            table.append([row.a, row.b, row.metric, label, *(str(getattr(d, k)) for k in keys)])
    return table


def forest(value: Combined) -> Figure | None:
    """A forest: every pair in each draw, then pooled."""
    lines: list[tuple[str, Estimate, str]] = []
    for row in value.differences:
        if row.metric == SELECTION:
            lines += [(f"{value.kind} {label}", d, "0.6") for label, d in zip(value.draws, row.draws, strict=True)]
            lines.append((f"{row.a} − {row.b}", row.pooled, plots.COLOURS[0]))
    return figures.forest(lines, row_height=0.3)
