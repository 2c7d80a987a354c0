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
CERTAIN = 3  # times as many rows as values: exp(−9 / 2), one in ninety


def by_position(columns: Columns) -> bool:
    """Whether users and items are asked for as "the first column" and the like, so that any table would do."""
    chosen = [columns.get(role) for role in ("user", "item")]
    return all(isinstance(c, int) or (isinstance(c, str) and c.isdecimal()) for c in chosen)


def refuse_grid(source: str, width: int, sample: Iterable[Sequence[str]], users: pl.Series, named: bool = True) -> None:
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
    named : bool, default True
        Whether the columns have names by which they could be asked for.
    """
    if width < FEWEST_COLUMNS:
        return
    rows = list(sample)
    values = {field for row in rows for field in row[1:]} - {""}
    if len(rows) < FEWEST_ROWS or len(values) > MOST_VALUES or not all(map(is_number, values)):
        return
    alone = len(values) <= MOST_RATINGS and {row[0] for row in rows} <= values | {""} and not pairs_differ(rows)
    if alone or not users.is_duplicated().any():
        each = "no labels" if alone else "another user in each row"
        first = "" if named else "put a line with the names of the columns above and "
        raise InputError(
            f"{source} looks like a grid of users and items, {width} columns of numbers with {each}, not like a table "
            "of interactions; write one row for each user and item (in pandas: melt), or, if each row is one "
            f"interaction, {first}give the two columns by name"
        )


def pairs_differ(rows: Sequence[Sequence[str]]) -> bool:
    """Whether no two rows begin with the same two fields, which is no accident: a user has an item once.

    Of n rows with v values each, drawn alike, that happens with probability below exp(−n(n−1) / (2 v²)).
    """
    pairs = [tuple(row[:2]) for row in rows]
    values = max(len({pair[k] for pair in pairs}) for k in (0, 1))
    return len(set(pairs)) == len(pairs) >= CERTAIN * values


def is_number(text: str) -> bool:
    """Whether a field reads as a finite number."""
    try:
        return abs(float(text)) < float("inf")
    except ValueError:
        return False
