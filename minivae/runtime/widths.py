"""How wide the columns of a table may be on a screen: words stay whole as long as there is any room for them."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

LOOSE, TIGHT = (3, 1), (1, -1)  # characters of the rules and spaces around: for each column, and once
LONGEST_NUMBER = 14  # a number with its error or unit stays on one line


@dataclass(frozen=True)
class Needed:
    """How wide a column would be.

    Attributes
    ----------
    whole : int
        With every cell on one line.
    least : int
        With every word on one line.
    foldable : bool
        Whether its words may be broken where nothing else helps.
    """

    whole: int
    least: int
    foldable: bool

    @classmethod
    def of(cls, cells: Sequence[str], number: bool, wrap: bool) -> "Needed":
        """Of the cells of a column, its header first."""
        whole = max(map(cell_len, cells))
        if not wrap:
            return cls(whole, whole, False)
        short = [cell for cell in cells[1:] if number and cell_len(cell) <= LONGEST_NUMBER]
        return cls(
            whole, max(map(cell_len, [*short, *(word for cell in cells for word in cell.split()), ""])), not number
        )


def fit(columns: Sequence[Needed], screen: int) -> tuple[list[int], bool]:
    """Width of each column, and whether the rules and spaces around them have to be left out.

    >>> fit([Needed(14, 14, True), Needed(10, 10, False)], 40)
    ([14, 10], False)
    >>> fit([Needed(14, 14, True), Needed(10, 10, False)], 20)
    ([9, 10], True)
    """
    for around, tight in ((LOOSE, False), (TIGHT, True)):
        room = screen - around[0] * len(columns) - around[1]
        if sum(c.whole for c in columns) <= room:
            return [c.whole for c in columns], tight
        if (left := room - sum(c.least for c in columns)) >= 0:
            wanted = sum(c.whole - c.least for c in columns)
            return [c.least + left * (c.whole - c.least) // wanted for c in columns], tight
    widths = [c.least for c in columns]
    may_fold = [k for k, c in enumerate(columns) if c.foldable]
    while sum(widths) > room and any(widths[k] > 1 for k in may_fold):
        longest = max(
            may_fold, key=lambda k: (widths[k], columns[k].least)
        )  # of equal ones that which is broken already
        widths[longest] -= 1
    return widths, True
