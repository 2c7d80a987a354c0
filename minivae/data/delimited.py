"""Delimited text, every line accounted for: CSV after RFC 4180; TSV, `::` and the like without quoting.

A row must have as many fields as the first line. The separators and line feeds of the file, with everything else left
out, must therefore be the same few bytes for each row; that is compared as a whole, and costs little.
"""

import csv
import io
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from minivae.data.columns import Columns, found_columns
from minivae.data.comments import comment, refuse_comment, without_comments
from minivae.data.grid import SAMPLE, by_position, refuse_grid
from minivae.data.layout import (
    LONGEST_HEAD,
    WORDS,
    Layout,
    another_reading,
    find_layout,
    find_separator,
    head,
    single_byte,
    without_blank_end,
    without_preamble,
)
from minivae.data.reading import Rows
from minivae.errors import InputError, counted, option

FEWEST_LINES = 4  # from which on sizes that fit are no accident


def read_delimited(
    path: Path,
    raw: bytes,
    suffix: str,
    columns: Columns,
    separator: str | None,
    header: bool | None,
    comments: bool | None = None,
) -> Rows:
    """The chosen columns as strings.

    Raises
    ------
    InputError
        If a line has more or fewer fields than the first, a quotation mark is not closed, or a column is not there.
    """
    raw, others = without_blank_end(raw)
    given = separator
    raw, left_out, blank, separator = without_preamble(path, raw, columns, separator, comments is not False)
    skipped = left_out + blank
    separator = WORDS.get(separator, separator) if separator else find_separator(head(raw, path)[0], suffix)
    raw, separator = single_byte(raw, separator)
    numbers = None
    if comments:
        before = raw.count(b"\n")
        raw, numbers = without_comments(raw, separator in ",;", skipped)
        left_out += before - len(numbers)
    layout = find_layout(path, head(raw, path), separator, columns, header, skipped, numbers)
    others |= {"header": int(layout.header), "comment lines": left_out, "blank lines at the start": blank}
    try:
        found = found_columns(path, columns, layout.names, by_position=not layout.header)
    except InputError as e:
        raise InputError(f"{e}{another_reading(head(raw, path), layout, given, header)}") from None
    marks = b'"' in raw
    quoted = layout.quoted and marks
    if not quoted or every_line_is_a_row(raw, layout):
        if comments is None:
            refuse_comment(path, raw, layout)
        height = raw.count(b"\n") if quoted else refuse_ragged(path, raw, layout)
        table, lines = fast(raw, layout, found, height, quoted), None
    else:
        table, lines = slow(path, raw, layout, found, comments is None)
        others["lines inside quoted fields"] = raw.count(b"\n") - layout.header - table.height
    if not layout.quoted and marks:
        table = unwrapped(table)
    if not layout.header and {"user", "item"} <= set(columns):
        refuse_sizes(path, table, raw, layout)
    if by_position(columns):
        refuse_grid(str(path), len(layout.names), first_rows(raw, layout), table["user"], layout.header)
    first = 1 + skipped + layout.header
    if numbers is not None and lines is None:
        lines = numbers[layout.header :]
    repeated = repeated_headers(raw, layout, table, found)
    if repeated is not None:
        lines = np.arange(first, first + table.height) if lines is None else lines
        table, lines = table.filter(~repeated), lines[~repeated.to_numpy()]
        others["repeated headers"] = int(repeated.sum())
    return Rows(table.select(*columns), lines, first, "line", others)


def unwrapped(table: pl.DataFrame) -> pl.DataFrame:
    """Fields without the quotation marks that stand around all of a column, where the format knows no quoting."""
    for role in table.columns:
        labels = table[role]
        if len(labels) and labels.str.contains(r'^".*"$').fill_null(False).all() and (labels.str.len_chars() > 2).all():
            table = table.with_columns(
                labels.str.slice(1, labels.str.len_chars() - 2).str.replace_all('""', '"').alias(role)
            )
    return table


def refuse_ragged(path: Path, raw: bytes, layout: Layout) -> int:
    """How many lines there are, if the skeleton of the text is that of a table."""
    skeleton = skeleton_of(raw, layout.separator)
    if (bad := first_ragged(raw, skeleton, layout.separator, len(layout.names))) is not None:
        raise ragged(path, layout, bad, raw.split(b"\n", bad + 1)[bad].decode(errors="replace"))
    return len(skeleton) // len(layout.names)


def skeleton_of(raw: bytes, separator: str) -> bytes:
    """The separators and line feeds of the text, everything else left out."""
    return raw.translate(None, bytes(set(range(256)) - set(separator.encode() + b"\n")))


def first_ragged(raw: bytes, skeleton: bytes, separator: str, k: int) -> int | None:
    """The first line, counted from 0, with another number of fields than k; None if there is none."""
    row = separator.encode() * (k - 1) + b"\n"
    empty = raw.find(b"\n\n") if k == 1 else -1
    bad = [] if empty < 0 else [raw.count(b"\n", 0, empty + 1)]
    if skeleton != row * (len(skeleton) // k):
        got = np.frombuffer(skeleton, np.uint8)
        pattern = np.resize(np.frombuffer(row, np.uint8), got.size)
        differs = np.flatnonzero(got != pattern)
        bad.append(int(differs[0] if differs.size else got.size) // k)
    return min(bad, default=None)


def ragged(path: Path, layout: Layout, index: int, text: str) -> InputError:
    """The sentence for a line that does not have the fields of the first."""
    n, k = text.count(layout.separator) + 1, len(layout.names)
    line = f"{path}, line {layout.line(index):,}"
    if not text.strip():
        return InputError(f"{line} is empty; expected one row per interaction: remove it")
    advice = "remove or mend it"
    if n > k and layout.separator in ",;":
        advice = f"put a field that holds {layout.separator!r} in quotation marks"
    elif layout.separator in " \t" and not layout.header:
        advice += f", or say {option('adjacency', True)} if each line is a user and its items"
    return InputError(f"{line} has {counted(n, 'field')} but line {layout.line(0)} has {k}: {text[:60]!r}; {advice}")


def fast(raw: bytes, layout: Layout, found: Mapping[str, int], lines: int, quoted: bool) -> pl.DataFrame:
    """The columns of a text whose every line, of so many, is a row."""
    at = sorted(set(found.values()))
    table = pl.read_csv(
        raw,
        has_header=False,
        skip_rows=int(layout.header),
        separator=layout.separator,
        quote_char='"' if quoted else None,
        columns=at,
        infer_schema=False,
    )
    lines -= layout.header
    if table.height != lines:
        raise InputError(f"{lines:,} lines were read as {table.height:,} rows; save the file again as plain CSV")
    place = {k: n for k, n in zip(at, table.columns, strict=True)}
    return table.select(pl.col(place[k]).alias(role) for role, k in found.items())


def first_rows(raw: bytes, layout: Layout) -> list[list[str]]:
    """The fields of the first lines after the header."""
    lines = raw[:LONGEST_HEAD].decode(errors="replace").split("\n")[:-1][layout.header : layout.header + SAMPLE]
    if not layout.quoted:
        return [line.split(layout.separator) for line in lines]
    return [next(csv.reader([line], delimiter=layout.separator, skipinitialspace=True), []) for line in lines]


def every_line_is_a_row(raw: bytes, layout: Layout) -> bool:
    """Whether each line by itself is a row after RFC 4180 with the fields of the first."""
    mark = next((c for c in map(chr, range(1, 9)) if c.encode() not in raw), None)
    if mark is None:
        return False
    lines = pl.read_csv(raw, has_header=False, separator=mark, quote_char=None, infer_schema=False).to_series()
    s, k = re.escape(layout.separator), len(layout.names)
    one = rf'(?:"(?:[^"]|"")*"|[^"{s}]*)'
    bare = lines.str.replace_all(r'"(?:[^"]|"")*"', "")
    return bool(
        lines.str.contains(f"^{one}(?:{s}{one})*$").all()
        and (bare.str.count_matches(layout.separator, literal=True) == k - 1).all()
        and lines.null_count() == 0
    )


def slow(
    path: Path, raw: bytes, layout: Layout, found: Mapping[str, int], maybe_comments: bool
) -> tuple[pl.DataFrame, np.ndarray]:
    """Row by row with Python's parser: some fields go over several lines, or something is wrong."""
    k, start = len(layout.names), layout.line(0)
    chosen: dict[str, list[str | None]] = {role: [] for role in found}
    lines: list[int] = []
    long_fields: list[tuple[int, str]] = []
    text_file = io.StringIO(raw.decode(), newline="")
    reader = csv.reader(text_file, delimiter=layout.separator, strict=True, skipinitialspace=True)
    try:
        for row in reader:
            text = layout.separator.join(row)
            if not row or (len(row) == 1 and k > 1 and not text.strip()):
                raise InputError(f"{path}, line {start:,} is empty; expected one row per interaction: remove it")
            if len(row) != k:
                over = f", which ends on line {layout.line(reader.line_num - 1):,}," if "\n" in text else ""
                raise InputError(
                    f"{path}, line {start:,}{over} has {counted(len(row), 'field')} but line {layout.line(0)} has {k}: "
                    f"{text[:60]!r}; look for a stray quotation mark or separator"
                )
            if maybe_comments and row[0].startswith(("# ", "% ")):
                raise comment(path, start, text[:60])
            if not (layout.header and start == layout.line(0)):
                lines.append(start)
                for role, at in found.items():
                    chosen[role].append(row[at] or None)
                if "\n" in text:
                    long_fields += [(start, f) for f in row if "\n" in f]
            start = layout.line(reader.line_num)
    except csv.Error as e:
        why = "a quotation mark that is never closed" if "end of data" in str(e) else str(e)
        raise InputError(
            f"{path}, line {start:,}: {why}; double a quotation mark inside a quoted field, or close it"
        ) from None
    refuse_swallowed(path, layout, found, chosen, long_fields)
    return pl.DataFrame(chosen, schema={role: pl.String for role in found}), np.array(lines, np.int64)


def refuse_swallowed(
    path: Path,
    layout: Layout,
    found: Mapping[str, int],
    chosen: Mapping[str, list[str | None]],
    long_fields: list[tuple[int, str]],
) -> None:
    """A field over several lines must not hold rows: a line in it with a known user or a known item."""
    known = {role: set(chosen[role]) for role in ("user", "item") if role in chosen}
    for start, text in long_fields:
        for piece in text.split("\n"):
            fields = piece.split(layout.separator)
            if len(fields) == len(layout.names) and any(fields[found[role]] in of for role, of in known.items()):
                raise InputError(
                    f"{path}, line {start:,}: a quotation mark opens a field that holds the row {piece[:60]!r}; "
                    "close it on its own line"
                )


def refuse_sizes(path: Path, table: pl.DataFrame, raw: bytes, layout: Layout) -> None:
    """A first line of a table without header that says how many users and items, perhaps rows too, is no row.

    Such a line is followed by the first user, so that hardly any file is looked at further.
    """
    fields = raw[: raw.index(b"\n")].decode(errors="replace").split(layout.separator)
    if len(fields) not in (2, 3) or table.height < FEWEST_LINES or not all(f.strip().isdecimal() for f in fields):
        return
    users, items = table["user"], table["item"]
    if users[0] != fields[0] or items[0] != fields[1] or users[1] not in ("0", "1"):
        return
    stated = [int(f) for f in fields]
    if stated[2:] not in ([], [table.height - 1]) or stated[0] < 2:
        return
    for labels, size in ((users, stated[0]), (items, stated[1])):
        numbers = labels.slice(1).cast(pl.Int64, strict=False)
        if numbers.null_count() or not numbers.max() <= size <= max(numbers.n_unique(), numbers.max() + 1):  # pyright: ignore
            return
    said = " and ".join(map(str, stated))
    raise InputError(
        f"{path}, line {1 + layout.skipped} holds {said}, which look like the numbers of users and items: remove it, "
        "or put it below another row if it is one"
    )


def repeated_headers(raw: bytes, layout: Layout, table: pl.DataFrame, found: Mapping[str, int]) -> pl.Series | None:
    """Which rows say what the header says, as in files that were joined; None if there is none."""
    line = raw[: raw.index(b"\n") + 1]
    if not layout.header or b"\n" + line not in raw:
        return None
    fields = next(csv.reader([line.decode().rstrip("\n")], delimiter=layout.separator))
    same = pl.all_horizontal(pl.col(role).str.strip_chars() == fields[at].strip() for role, at in found.items())
    return table.select(same.fill_null(False)).to_series()
