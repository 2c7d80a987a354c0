"""Blocks of raw text to columns, strictly: a line that is not as the publisher writes it is named and refused."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import polars as pl
from polars.datatypes import DataType, DataTypeClass

from minivae.data.interactions import Interactions
from minivae.errors import InputError, counted


@dataclass(frozen=True, eq=False)
class Raw:
    """What was read from a raw archive.

    Parameters
    ----------
    data : Interactions
        The events above the rating threshold, in file order
    ratings : int
        Number of rows read, below the threshold too
    md5 : Mapping[str, str]
        Member → checksum
    """

    data: Interactions
    ratings: int
    md5: Mapping[str, str] = field(default_factory=dict)


class BadLine(InputError):
    """A line that is not as the publisher writes it; `number` counts from 1 in its block."""

    def __init__(self, number: int, what: str) -> None:
        super().__init__(what)
        self.number = number

    def at(self, where: str, before: int) -> InputError:
        """The sentence for a block that comes after `before` lines of `where`."""
        return InputError(f"{where}: line {before + self.number:,}: {self}; is this the right file, unchanged?")


def parse(block: bytes, columns: Mapping[str, DataType | DataTypeClass], separator: str) -> pl.DataFrame:
    """A block of whole lines whose fields are exactly `columns`; no field is quoted or empty.

    Raises
    ------
    BadLine
        The first that has more, fewer or other fields.
    """
    table = table_of(block, columns, separator)
    if table is None:
        raise fault(block, columns, separator)
    return table


def table_of(block: bytes, columns: Mapping[str, DataType | DataTypeClass], separator: str) -> pl.DataFrame | None:
    """The columns of a block; None if a line of it does not have them."""
    try:
        table = pl.read_csv(block, has_header=False, separator=separator, quote_char=None, schema=dict(columns))
    except pl.exceptions.PolarsError:
        return None
    return None if sum(table.null_count().row(0)) else table


def fault(block: bytes, columns: Mapping[str, DataType | DataTypeClass], separator: str) -> BadLine:
    """What is wrong with the first bad line of a block that `table_of` refuses."""
    lines = block.splitlines(keepends=True)
    before = bisect_left(range(1, len(lines)), True, key=lambda n: refused(b"".join(lines[:n]), columns, separator))
    text = lines[before].rstrip(b"\r\n").decode(errors="replace")
    fields = text.split(separator)
    if len(fields) == len(columns):
        pairs = list(zip(columns, fields, strict=True))
        missing = next((name for name, field in pairs if not field.strip()), None)
        odd = (name for name, field in pairs if refused(field.encode(), {name: columns[name]}, separator))
        why = f"no {missing}" if missing else f"no such {next(odd, 'line')}"
    else:
        why = counted(len(fields), "field")
    return BadLine(before + 1, f"{text[:80]!r} is not {separator.join(columns)} ({why})")


def refused(block: bytes, columns: Mapping[str, DataType | DataTypeClass], separator: str) -> bool:
    """Whether a block cannot be read as the columns it should hold."""
    return table_of(block, columns, separator) is None


def check_range(values: pl.Series, low: float, high: float) -> None:
    """Refuse values outside [low, high], one of each line."""
    inside = values.is_between(low, high)
    if not inside.all():
        k = int((~inside).arg_true()[0])
        raise BadLine(k + 1, f"{values.name} {values[k]} is not in {low:g}..{high:g}")


def without_header(text: Iterator[bytes], header: bytes, where: str) -> Iterator[bytes]:
    """The blocks without their first line, which must be `header`."""
    for k, block in enumerate(text):
        if k:
            yield block
            continue
        first, _, rest = block.partition(b"\n")
        if first.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r") != header:
            shown, expected = first[:80].decode(errors="replace"), header.decode()
            raise InputError(f"{where} begins with {shown!r}, expected {expected!r}; is this the right file?")
        if rest:
            yield rest
