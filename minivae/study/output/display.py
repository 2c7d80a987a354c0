"""What a command shows of a result on the terminal."""

from typing import Any

from minivae.metrics import shown
from minivae.runtime.table import Table, numbers, print_table
from minivae.study.output import tables
from minivae.study.run.records import Levels


def print_metrics(metrics: Levels, title: str) -> None:
    """One row of mean ± standard error."""
    columns = [numbers(shown(m), tables.level) for m in metrics]
    print_table(Table.make(columns, [list(metrics.values())]), title)


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
