"""What the data should be, what it is, and the first step at which they part."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from rich.table import Column, Table

from minivae.errors import InputError
from minivae.runtime.table import screen

Value = int | str | None
OTHER_DATA = "--no-verify prepares other data"


@dataclass
class Verification:
    """A list of (step, expected, got); expected is None where nothing is published.

    Parameters
    ----------
    strict : bool
        A mismatch is an error
    """

    strict: bool = True
    rows: list[tuple[str, Value, Value]] = field(default_factory=list)

    def stage(self, rows: Iterable[tuple[str, Value, Value]], advice: str = OTHER_DATA) -> None:
        """Add the steps of one stage; stop here if one of them differs, and give the advice.

        Raises
        ------
        InputError
            Names the first step that differs; the table has been printed before.
        """
        start = len(self.rows)
        self.rows += rows
        differing = [row for row in self.rows[start:] if agreement(*row[1:]) == "differs"]
        if differing and self.strict:
            self.print()
            step, expected, got = differing[0]
            raise InputError(
                f"verification failed at {step!r}, the first step that differs: expected {shown(expected)}, "
                f"got {shown(got)}; nothing was written ({advice})"
            )

    def print(self) -> None:
        """The table, to standard output."""
        table = Table(
            *(Column(c, overflow="fold") for c in ("step", "expected", "got", "agreement")), title="Verification"
        )
        for step, expected, got in self.rows:
            table.add_row(step, shown(expected), shown(got), agreement(expected, got))
        screen(200).print(table)


def agreement(expected: Value, got: Value) -> str:
    """What a count or checksum is against its reference."""
    return "no reference" if expected is None else "equal" if expected == got else "differs"


def shown(value: Value) -> str:
    """A count or checksum as text."""
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else value
