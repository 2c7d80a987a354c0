"""Blocks of raw text to columns, strictly: a line that is not as the publisher writes it is named and refused."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import polars as pl

from minivae.errors import InputError
from minivae.interactions import Interactions


@dataclass(frozen=True, eq=False)
class Raw:
    """What was read from a raw archive.

    Parameters
    ----------
    data : the events above the rating threshold, in file order
    ratings : number of rows read, below the threshold too
    md5 : member → checksum
    """

    data: Interactions
    ratings: int
    md5: Mapping[str, str] = field(default_factory=dict)


def parse(block: bytes, columns: Mapping[str, pl.DataType], use: list[str], separator: str, where: str) -> pl.DataFrame:
    """The columns `use` of a block of whole lines whose fields are exactly `columns`; no field is quoted or empty.

    Raises
    ------
    InputError
        At the first line that has more, fewer or other fields.
    """
    try:
        table = pl.read_csv(block, has_header=False, separator=separator, quote_char=None, schema=dict(columns))
        table = table.select(use)
    except pl.exceptions.PolarsError as e:
        raise InputError(fault(block, columns, separator, where)) from e
    if sum(table.null_count().row(0)):
        raise InputError(fault(block, columns, separator, where))
    return table


def fault(block: bytes, columns: Mapping[str, pl.DataType], separator: str, where: str) -> str:
    """A sentence about the first bad line of a block that polars has refused."""
    form = separator.join(columns)
    number = {True: int, False: float}
    for line in block.split(b"\n"):
        try:
            fields = line.rstrip(b"\r").decode().split(separator)
            if line and len(fields) != len(columns):
                raise ValueError(f"{len(fields)} fields")
            for text, (name, kind) in zip(fields, columns.items(), strict=False):
                if not text.strip():
                    raise ValueError(f"no {name}")
                if kind.is_numeric():
                    number[kind.is_integer()](text)
        except ValueError as e:
            shown = line[:80].decode(errors="replace")
            return f"{where}: the line {shown!r} is not {form} ({e}); is this the right file, unchanged?"
    return f"{where}: a line is not {form}; is this the right file, unchanged?"


def check_range(table: pl.DataFrame, column: str, low: float, high: float, where: str) -> None:
    """Refuse values of `column` outside [low, high]."""
    odd = table.filter(~pl.col(column).is_between(low, high))
    if odd.height:
        raise InputError(f"{where}: {column} {odd[column][0]} is not in {low:g}..{high:g}; is this the right file?")


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
