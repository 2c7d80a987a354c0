"""Adjacency text, as graph models share their data: `user item item …` on each line."""

import re
from pathlib import Path

import polars as pl

from minivae.data.columns import Columns
from minivae.data.content import line_of
from minivae.data.delimited import first_ragged, skeleton_of
from minivae.data.layout import WORDS, find_separator, head, single_byte
from minivae.data.reading import Rows
from minivae.errors import InputError, option

MOST_FIELDS = 4  # of a table of numbers whose columns have no names: user, item, rating, time
FEWEST_LINES = 3  # of which equal counts are no accident


def is_adjacency(
    path: Path, raw: bytes, suffix: str, columns: Columns, separator: str | None, header: bool | None
) -> bool:
    """Whether lines hold different amounts of numbers, each line another user's.

    Raises
    ------
    InputError
        If that may be a table too: all lines hold equally many, more than a table of interactions has columns; or a
        user has several lines and none is longer than a row.
    """
    first = head(raw, path)
    told = [found for line in first if (found := find_separator(line, suffix)) in line]  # a user may have no items
    wanted = separator or next(iter(told), find_separator(first[0], suffix))
    wanted = WORDS.get(wanted, wanted)
    if header or wanted not in (" ", "\t", ",") or set(columns) > {"user", "item"}:
        return False
    refuse_weights(path, first)
    numbers = all(re.fullmatch(rf"[\d{wanted}]+", line.rstrip()) for line in first)
    if not numbers and not (wanted == " " and all(map(alike, first))):
        return False
    text, _ = single_byte(raw, wanted)
    text = text.rstrip(b"\n") + b"\n"
    k = head(text, path)[0].count(wanted) + 1
    equal = first_ragged(text, skeleton_of(text, wanted), wanted, k) is None
    if (equal and (k <= MOST_FIELDS or wanted != " ")) or not (equal or numbers):
        return False
    lines = text.decode(errors="replace").removesuffix("\n").split("\n")
    users = [line.partition(wanted)[0] for line in lines]
    longest = max(line.count(wanted) + 1 for line in lines)
    if not equal and (longest > MOST_FIELDS or (wanted == " " and len(set(users)) == len(users))):
        return True
    if equal:
        said = f"{k} {'numbers' if numbers else 'fields'} on every line"
    elif wanted == " ":
        said = f"different amounts of numbers on its lines, and several lines of user {repeated(users)}"
    else:
        return False
    raise InputError(
        f"{path} has {said}: say {option('adjacency', True)} if they are a user and its items, "
        f"{option('adjacency', False)} if they are columns"
    )


def refuse_weights(path: Path, lines: list[str]) -> None:
    """`user item:weight item:weight …`, as LibSVM writes it."""
    pairs = [field for line in lines for field in line.split()[1:]]
    if len(pairs) > len(lines) and all(re.fullmatch(r"\w+:[\d.]+", field) for field in pairs):
        raise InputError(
            f"{path}: fields such as {pairs[0]!r} are items with weights, as LibSVM writes them; write one row for "
            "each user and item instead"
        )


def alike(line: str) -> bool:
    """Whether all fields after the first look the same, such as i12 or 12:1.

    >>> alike("u1 i7 i12 i3"), alike("u1 i7 5 2005-04-02")
    (True, False)
    """
    return len({re.sub(r"\d+", "0", re.sub(r"[^\W\d_]+", "a", field)) for field in line.split()[1:]}) == 1


def repeated(users: list[str]) -> str:
    """The first user that has a second line."""
    seen: set[str] = set()
    return next(u for u in users if u in seen or seen.add(u))


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
    if separator is None:
        separator = next((s for s in "\t ,;" if s.encode() in raw), " ")
    refuse_weights(path, head(raw, path))
    raw, separator = single_byte(raw, WORDS.get(separator, separator))
    blank = len(raw) - len(raw.rstrip(b"\n")) - raw.endswith(b"\n")
    raw = raw.rstrip(b"\n") + b"\n"
    if (at := raw.find(b"\n\n")) >= 0 or raw.startswith(b"\n"):
        raise InputError(f"{path}, {line_of(raw, at + 1)} is empty; expected a user and its items: remove it")
    lines = pl.Series(raw.decode().removesuffix("\n").split("\n")).str.split(separator)
    refuse_counts(path, lines)
    refuse_sizes(path, lines)
    table = pl.DataFrame({"line": range(1, len(lines) + 1), "user": lines.list.first(), "item": lines.list.slice(1)})
    alone = int((table["item"].list.len() == 0).sum())
    table = table.filter(pl.col("item").list.len() > 0).explode("item")
    return Rows(
        table.select("user", "item"),
        table["line"].to_numpy(),
        1,
        "line",
        {"blank lines at the end": blank, "users without items": alone},
    )


def refuse_counts(path: Path, lines: pl.Series) -> None:
    """Lines that begin with the number of their items, as in CiteULike's files, say nowhere whose they are."""
    numbers = lines.list.first().cast(pl.Int64, strict=False)
    if len(lines) >= FEWEST_LINES and (numbers == lines.list.len() - 1).fill_null(False).all():
        raise InputError(
            f"{path}: each line begins with the number of its items, not with a user; put a user in its place, for "
            f"instance the number of the line: awk '{{$1 = NR}} 1' OLD > NEW"
        )


def refuse_sizes(path: Path, lines: pl.Series) -> None:
    """A first line that says how many users and items there are, perhaps pairs too, is the list of no user.

    A number alone is a user without items, or how many users there are: it is no event either way.
    """
    first = [int(field) if field.isdecimal() else -1 for field in lines[0].to_list()]
    others = lines.slice(1)
    items = others.list.slice(1).explode().drop_nulls()
    stated = len(first) in (2, 3) and len(others) >= FEWEST_LINES and first[0] >= len(others) and min(first) > 0
    if stated and first[0] in (len(others), (largest(others.list.first()) or -1) + 1):
        highest = largest(items)
        if highest is None or first[1] < highest or first[2:] not in ([], [len(items)]):
            return
        said = f"{' and '.join(map(str, first))}, which look like the numbers of users and items"
        raise InputError(
            f"{path}, line 1 holds {said}: remove it, or put it below another line if it is a user and its items"
        )


def largest(labels: pl.Series) -> int | None:
    """The largest of labels that are all whole numbers."""
    numbers = labels.cast(pl.Int64, strict=False)
    return None if numbers.null_count() or not len(numbers) else int(numbers.max())  # pyright: ignore[reportArgumentType]
