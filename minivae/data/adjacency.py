"""Adjacency text, as graph models share their data: `user item item …` on each line."""

import re
from pathlib import Path

import polars as pl

from minivae.data.columns import Columns
from minivae.data.content import line_of
from minivae.data.delimited import Layout, Rows, find_separator, first_ragged, head, single_byte
from minivae.errors import InputError, option

MOST_FIELDS = 4  # of a table of numbers whose columns have no names: user, item, rating, time


def is_adjacency(
    path: Path, raw: bytes, suffix: str, columns: Columns, separator: str | None, header: bool | None
) -> bool:
    """Whether blanks separate numbers of which lines hold different amounts.

    Raises
    ------
    InputError
        If all lines hold equally many, more than a table of interactions has columns: that may be either.
    """
    first = head(raw, path)
    wanted = separator or find_separator(first[0], suffix)
    if header or wanted not in (" ", "space") or set(columns) > {"user", "item"}:
        return False
    if not all(re.fullmatch(r"[\d ]+", line.rstrip()) for line in first):
        return False
    text, _ = single_byte(path, raw, " ")
    text = text.rstrip(b"\n") + b"\n"
    k = head(text, path)[0].count(" ") + 1
    if first_ragged(text, Layout(" ", False, [str(i) for i in range(k)], False, 0)) is not None:
        return True
    if k > MOST_FIELDS:
        raise InputError(
            f"{path} has {k} numbers on every line: say {option('adjacency', True)} if they are a user and its items, "
            f"{option('adjacency', False)} if they are columns"
        )
    return False


def read_adjacency(path: Path, raw: bytes, columns: Columns, separator: str | None) -> Rows:
    """One row for each item of each user.

    Raises
    ------
    InputError
        If other columns than users and items are asked for, or a line is empty.
    """
    others = set(columns) - {"user", "item"}
    if others or columns["user"] not in ("user", 0, "0") or columns["item"] not in ("item", 1, "1"):
        raise InputError(
            f"{path} holds a user and its items on each line and no other columns; leave "
            f"{', '.join(option(c) for c in sorted(others)) or option('user') + ' and ' + option('item')} out"
        )
    raw, separator = single_byte(path, raw, {"space": " ", "tab": "\t"}.get(separator or " ", separator or " "))
    blank = len(raw) - len(raw.rstrip(b"\n")) - raw.endswith(b"\n")
    raw = raw.rstrip(b"\n") + b"\n"
    if (at := raw.find(b"\n\n")) >= 0 or raw.startswith(b"\n"):
        raise InputError(f"{path}, {line_of(raw, at + 1)} is empty; expected a user and its items: remove it")
    lines = pl.Series(raw.decode().removesuffix("\n").split("\n")).str.split(separator)
    table = pl.DataFrame({"line": range(1, len(lines) + 1), "user": lines.list.first(), "item": lines.list.slice(1)})
    alone = int((table["item"].list.len() == 0).sum())
    table = table.filter(pl.col("item").list.len() > 0).explode("item")
    return Rows(
        table.select("user", "item"),
        table["line"].to_numpy(),
        1,
        "line",
        {"blank lines at the end": max(blank, 0), "users without items": alone},
    )
