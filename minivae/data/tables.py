"""Reading tables of events in every format; every row accounted for, every fault named by line or row and column."""

import csv
import lzma
import re
import zipfile
import zlib
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import polars as pl

from minivae.data.adjacency import is_adjacency, read_adjacency
from minivae.data.columnar import SCAN, read_columnar, read_matrix
from minivae.data.columns import Columns, as_number, as_time, as_title, refuse_missing
from minivae.data.content import inner_suffix, text_of, unpacked
from minivae.data.delimited import read_delimited
from minivae.data.reading import Rows
from minivae.data.records import read_records
from minivae.errors import InputError, option

NOT_TABLE = (
    *(pl.exceptions.PolarsError, pl.exceptions.PanicException, csv.Error, OSError, EOFError, zlib.error),
    *(lzma.LZMAError, zipfile.BadZipFile, RuntimeError, NotImplementedError),
)


@dataclass(frozen=True)
class Form:
    """How a text file is cut into columns, where the file itself does not show it.

    Parameters
    ----------
    separator : str, optional
        Character between fields.
    header : bool, optional
        Whether line 1 names the columns.
    encoding : str, optional
        UTF-8 if not given.
    adjacency : bool, optional
        Whether each line is `user item item …`.
    comments : bool, optional
        Whether lines between rows that begin with # or % are none.
    """

    separator: str | None = None
    header: bool | None = None
    encoding: str | None = None
    adjacency: bool | None = None
    comments: bool | None = None

    def __post_init__(self) -> None:
        for f in fields(self):
            value, text = getattr(self, f.name), f.name in ("separator", "encoding")
            if value is not None and not isinstance(value, str if text else bool | np.bool_):
                raise InputError(f"{option(f.name)} is {value!r}; give {'a text' if text else 'True or False'}")


def read_table(path: Path, columns: Columns, form: Form) -> Rows:
    """The chosen `columns` of a file, by their roles; values of ratings, times and titles are checked.

    Raises
    ------
    InputError
        See `minivae.read_interactions`.
    """
    if not path.exists():
        address = re.match(r"[a-z0-9]+:/", str(path))
        raise InputError(
            f"{path} {'is an address; fetch the file first' if address else 'does not exist; check the path'}"
        )
    if not path.is_file():
        raise InputError(f"{path} is a folder or a device, not a file; give the table itself")
    try:
        rows = read_rows(path, columns, form)
    except pl.exceptions.NoDataError as e:
        raise InputError(f"{path} has no rows; expected one row per interaction") from e
    except NOT_TABLE as e:
        reason = next(iter(str(e).strip().splitlines()), type(e).__name__)
        raise InputError(f"{path} cannot be read as a table: {reason}; fetch or write it again") from e
    if rows.table.height == 0 and rows.unit == "entry":
        raise InputError(f"{path} holds no interaction: every entry is zero")
    if rows.table.height == 0:
        raise InputError(f"{path} has no rows; expected one row per interaction")
    if rows.table.height >= 2**31 - 1:
        raise InputError(
            f"{path} has {rows.table.height:,} rows; at most {2**31 - 2:,} fit the 32-bit indices; leave some out"
        )
    return checked(rows, columns, str(path))


def read_rows(path: Path, columns: Columns, form: Form) -> Rows:
    """The chosen columns as they stand in the file."""
    with path.open("rb") as f:
        magic = f.read(6)
    suffix = inner_suffix(path)
    scan = {b"PAR1": "scan_parquet", b"ARRO": "scan_ipc"}.get(magic[:4]) or SCAN.get(path.suffix.lower())
    if scan:
        refuse_given(path, form, ("separator", "header", "encoding", "adjacency", "comments"))
        return read_columnar(path, scan, columns)
    if path.suffix.lower() == ".npz":
        refuse_given(path, form, ("separator", "header", "encoding", "adjacency", "comments"))
        return read_matrix(path)
    raw = text_of(path, unpacked(path), form.encoding)
    if is_json(raw, suffix):
        refuse_given(path, form, ("separator", "header", "adjacency", "comments"))
        return read_records(path, raw, columns)
    linked = form.adjacency
    if linked is None:
        linked = is_adjacency(path, raw, suffix, columns, form.separator, form.header)
    if linked:
        refuse_given(path, form, ("comments",), "holds a user and its items on each line")
        return read_adjacency(path, raw, columns, form.separator)
    return read_delimited(path, raw, suffix, columns, form.separator, form.header, form.comments)


def is_json(raw: bytes, suffix: str) -> bool:
    """Whether it begins as an object or a list of objects does; with a name that says JSON, as any list."""
    start = raw[:4096].lstrip()
    listed = suffix in (".json", ".jsonl", ".ndjson") or start[1:].lstrip()[:1] == b"{"
    return start[:1] == b"{" or (start[:1] == b"[" and listed)


def refuse_given(path: Path, form: Form, names: tuple[str, ...], why: str = "is no text of lines and fields") -> None:
    """Options that a format has no use for."""
    given = [name for name in names if getattr(form, name) is not None]
    if given:
        raise InputError(f"{path} {why}; leave {option(given[0])} out")


def checked(rows: Rows, columns: Columns, source: str) -> Rows:
    """The same rows with ratings and times as numbers, titles as text; labels must be there."""
    values = []
    for role in rows.table.columns:
        name = f"{source}, column {columns.get(role, role)!r}"
        column = rows.table[role]
        if role == "rating":
            column = as_number(column, name, rows.where)
        elif role == "time":
            column = as_time(column, name, rows.where)
        elif role == "title":
            column = as_title(column)
        else:
            refuse_missing(column, name, rows.where)
        values.append(column.alias(role))
    return replace(rows, table=pl.DataFrame(values))
