"""Grids, one row for each user and one column for each item, are no tables of interactions, whatever is in them."""

from collections.abc import Iterable, Sequence

import polars as pl

from minivae.data.columns import Columns
from minivae.errors import InputError

FEWEST_COLUMNS = 5  # user, item, rating and time are four
FEWEST_ROWS = 3
SAMPLE = 200  # rows that are looked at
MOST_VALUES = 50  # different ones of a grid: ratings, counts, 0 and 1
MOST_RATINGS = 11  # 0 to 10


def by_position(columns: Columns) -> bool:
    """Whether users and items are asked for as "the first column" and the like, so that any table would do."""
    chosen = [columns.get(role) for role in ("user", "item")]
    return all(isinstance(c, int) or (isinstance(c, str) and c.isdecimal()) for c in chosen)


def refuse_grid(source: str, width: int, sample: Iterable[Sequence[str]], users: pl.Series) -> None:
    """Raise if a table whose columns were chosen by position is a grid.

    All its fields, but perhaps the first of each row, are then numbers, few of them different; and the first ones are
    either different users, or as few numbers as the others.

    Parameters
    ----------
    source : str
        What messages call the table.
    width : int
        How many columns it has.
    sample : iterable of rows
        Fields of the first rows as text, empty where something is missing.
    users : Series
        What was taken for the labels of users, of all rows.
    """
    if width < FEWEST_COLUMNS:
        return
    rows = list(sample)
    values = {field for row in rows for field in row[1:]} - {""}
    if len(rows) < FEWEST_ROWS or len(values) > MOST_VALUES or not all(map(is_number, values)):
        return
    alone = len(values) <= MOST_RATINGS and {row[0] for row in rows} <= values | {""}
    if alone or not users.is_duplicated().any():
        each = "no labels" if alone else "another user in each row"
        raise InputError(
            f"{source} looks like a grid of users and items, {width} columns of numbers with {each}, not like a table "
            "of interactions; write one row for each user and item (in pandas: melt), or give the two columns by name"
        )


def is_number(text: str) -> bool:
    """Whether a field reads as a finite number."""
    try:
        return abs(float(text)) < float("inf")
    except ValueError:
        return False
