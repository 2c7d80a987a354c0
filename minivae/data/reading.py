"""What a reader gives: the rows as they stand in the file, and the account that says what became of each of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl


@dataclass(frozen=True, eq=False)
class Rows:
    """The chosen columns of a file, as they stand in it.

    Parameters
    ----------
    table : DataFrame
        Columns named by their roles.
    lines : (n,) int64, optional
        Line of the file on which each row begins; by default they follow each other.
    first : int
        Line, or row, of the first row.
    unit : str
        What `first` counts: "line" or "row".
    other_lines : mapping
        As in `Reading`.
    dropped : mapping
        As in `Reading`: rows that the reader itself left out.
    """

    table: pl.DataFrame
    lines: np.ndarray | None = None
    first: int = 1
    unit: str = "row"
    other_lines: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)

    def where(self, row: int) -> str:
        """How a message names a row, counted from 0."""
        return f"{self.unit} {(self.first + row) if self.lines is None else int(self.lines[row]):,}"


@dataclass(frozen=True)
class Reading:
    """What became of the rows of a table.

    Parameters
    ----------
    rows : int
        Rows of the table; of an adjacency file, pairs of user and item.
    events, users, items : int
        What was made of them.
    dropped : mapping
        Reason -> rows; rows = events + the sum of these.
    other_lines : mapping
        Lines of a text file that are no rows -> how many of them: header, comments, blank lines at the end.
    notes : tuple of str
        What else a person should know.

    Examples
    --------
    >>> print(Reading(7, 4, 2, 3, {"rating below 4": 2, "repeated pair": 1}))
    read 7 rows → 4 events, 2 users, 3 items; dropped 2 (rating below 4), 1 (repeated pair)
    """

    rows: int
    events: int
    users: int
    items: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    other_lines: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        lost = ", ".join(f"{n:,} ({reason})" for reason, n in self.dropped.items() if n) or "nothing"
        lines = ", ".join(f"{n:,} {what}" for what, n in self.other_lines.items() if n and what != "header")
        more = [f"beside the rows: {lines}"] if lines else []
        return "; ".join(
            [
                f"read {self.rows:,} rows → {self.events:,} events, {self.users:,} users, {self.items:,} items",
                f"dropped {lost}",
                *more,
                *self.notes,
            ]
        )
