"""What a command shows on the terminal."""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table

from minivae.runtime.text import PlainConsole
from minivae.study.output import figures, tables

WIDTH_OF_A_FILE = 10_000  # a table that is piped into a file is neither cut nor folded


def print_table(rows: tables.Table, title: str | None = None) -> None:
    """Rows of text on standard output, header first, numbers to the right."""
    console = PlainConsole()
    if not console.is_terminal:
        console = PlainConsole(width=WIDTH_OF_A_FILE)
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for k, name in enumerate(rows[0]):
        numeric = all(row[k][:1] in "0123456789.+−–-" for row in rows[1:]) and len(rows) > 1
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows[1:]:
        table.add_row(*row)
    console.print(table)


def print_metrics(metrics: Mapping[str, Mapping[str, float]], title: str) -> None:
    """One row of mean ± standard error."""
    cells = [f"{tables.number(v['mean'])} ± {tables.number(v['se'])}" for v in metrics.values()]
    print_table([[figures.shown(m) for m in metrics], cells], title)


def fact(value: Any) -> str:
    """A plain value for people.

    >>> fact(6034), fact(0.0123456), fact(True)
    ('6,034', '0.01235', 'yes')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
