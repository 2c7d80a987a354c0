"""Delimited text, every line accounted for: CSV after RFC 4180; TSV, `::` and the like without quoting.

A row must have as many fields as the first line. The separators and line feeds of the file, with everything else left
out, must therefore be the same few bytes for each row; that is compared as a whole, and costs little.
"""

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from minivae.data.columns import Columns, found_columns
from minivae.data.grid import SAMPLE, by_position, is_number, refuse_grid
from minivae.errors import InputError, option

SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".dat": "::", ".inter": "\t"}
WORDS = {"tab": "\t", "\\t": "\t", "space": " "}
LONGEST_HEAD = 1 << 17
FEWEST_LINES = 4  # from which on sizes that fit are no accident
TYPED = re.compile(r"\w+:(token|float|token_seq|float_seq)")


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
class Layout:
    """How the text is cut into fields.

    Parameters
    ----------
    separator : str
        One character.
    quoted : bool
        Whether quotation marks mean anything.
    names : list of str
        Of the columns; positions if there is no header.
    header : bool
        Whether the first line names the columns.
    skipped : int
        Lines before it.
    """

    separator: str
    quoted: bool
    names: list[str]
    header: bool
    skipped: int


def read_delimited(
    path: Path, raw: bytes, suffix: str, columns: Columns, separator: str | None, header: bool | None
) -> Rows:
    """The chosen columns as strings.

    Raises
    ------
    InputError
        If a line has more or fewer fields than the first, a quotation mark is not closed, or a column is not there.
    """
    raw, others = without_blank_end(raw)
    given = separator
    raw, comments, blank, separator = without_preamble(path, raw, columns, separator)
    skipped = comments + blank
    separator = WORDS.get(separator, separator) if separator else find_separator(head(raw, path)[0], suffix)
    raw, separator = single_byte(path, raw, separator)
    layout = find_layout(path, head(raw, path), separator, columns, header, skipped)
    others |= {"header": int(layout.header), "comment lines": comments, "blank lines at the start": blank}
    try:
        found = found_columns(path, columns, layout.names, by_position=not layout.header)
    except InputError as e:
        raise InputError(f"{e}{another_reading(head(raw, path), layout, given, header)}") from None
    marks = b'"' in raw
    quoted = layout.quoted and marks
    if not quoted or every_line_is_a_row(raw, layout):
        refuse_comment(path, raw, skipped)
        height = raw.count(b"\n") if quoted else refuse_ragged(path, raw, layout)
        table, lines = fast(raw, layout, found, height, quoted), None
    else:
        table, lines = slow(path, raw, layout, found)
        others["lines inside quoted fields"] = raw.count(b"\n") - layout.header - table.height
    if not layout.quoted and marks:
        table = unwrapped(table)
    if not layout.header and {"user", "item"} <= set(columns):
        refuse_sizes(path, table, raw, layout)
    if by_position(columns):
        refuse_grid(str(path), len(layout.names), first_rows(raw, layout), table["user"])
    first = 1 + skipped + layout.header
    repeated = repeated_headers(raw, layout, table, found)
    if repeated is not None:
        lines = np.arange(first, first + table.height) if lines is None else lines
        table, lines = table.filter(~repeated), lines[~repeated.to_numpy()]
        others["repeated headers"] = int(repeated.sum())
    return Rows(table.select(*columns), lines, first, "line", others)


def without_blank_end(raw: bytes) -> tuple[bytes, dict[str, int]]:
    """The text ended by one line feed, and how many blank lines stood after it."""
    if raw.endswith(b"\n\n"):
        whole = len(raw)
        raw = raw.rstrip(b"\n") + b"\n"
        return raw, {"blank lines at the end": whole - len(raw)}
    return raw if raw.endswith(b"\n") else raw + b"\n", {}


def without_preamble(
    path: Path, raw: bytes, columns: Columns, separator: str | None
) -> tuple[bytes, int, int, str | None]:
    """The text without Excel's `sep=;` and without comments and blank lines before the table; how many these were."""
    skipped = blank = 0
    first = head(raw, path)[0]
    if match := re.fullmatch(r'"?sep=(.|\\t)"?', first.strip("\ufeff")):
        raw, skipped = raw[raw.index(b"\n") + 1 :], 1
        separator = separator or match[1]
    asked = {c for c in columns.values() if isinstance(c, str) and not c.isdecimal()}
    while raw[:1] in (b"#", b"%", b"\n") and len(raw) > 1:
        if raw.startswith(b"\n"):
            raw, blank = raw[1:], blank + 1
            continue
        lines = head(raw, path)
        named = set(map(str.strip, re.split(r"[\t,;|: ]", lines[0].lstrip("#% "))))
        if asked & named or len(lines) < 2:
            break
        if asked or re.match(r"[#%]+(\s|$)", lines[0]) or lines[0].startswith("%"):
            raw, skipped = raw[raw.index(b"\n") + 1 :], skipped + 1
            continue
        break
    return raw, skipped, blank, separator


def refuse_comment(path: Path, raw: bytes, skipped: int) -> None:
    """A line between rows that begins as comments do; of a file whose every line is a row."""
    for mark in (b"#", b"%"):
        if mark in raw and (at := raw.find(b"\n" + mark + b" ")) >= 0:
            line = raw[at + 1 : at + 61].partition(b"\n")[0].decode(errors="replace")
            raise InputError(
                f"{path}, line {raw.count(10, 0, at + 1) + 1 + skipped:,} looks like a comment: {line!r}; remove it"
            )


def head(raw: bytes, path: Path) -> list[str]:
    """The first two lines, or the one there is."""
    lines = raw[:LONGEST_HEAD].removesuffix(b"\n").split(b"\n")[:2]
    if len(lines) == 1 and len(raw) > LONGEST_HEAD:
        raise InputError(
            f"{path} has a first line of over {LONGEST_HEAD:,} bytes; is it a table, one interaction a row?"
        )
    return [line.decode(errors="replace") for line in lines]


def find_separator(line: str, suffix: str) -> str:
    """The format's own separator if line 1 has it, else the one that line 1 has most of, else blanks."""
    expected = SEPARATORS.get(suffix)
    if expected and expected in line:
        return expected
    if "::" in line:
        return "::"
    count = {s: line.count(s) for s in "\t,;|\x01"}
    best = max(count, key=count.__getitem__)
    return best if count[best] else " " if " " in line.strip() else expected or ","


def single_byte(path: Path, raw: bytes, separator: str) -> tuple[bytes, str]:
    """The text with one byte between fields."""
    if separator == "::":
        single = "\x1f" if b"\t" in raw else "\t"
        return raw.replace(b"::", single.encode()), single
    if separator == " " and (b"  " in raw or b" \n" in raw or b"\n " in raw or raw.startswith(b" ")):
        raw = re.sub(rb"(?m)^ +| +$", b"", re.sub(rb" {2,}", b" ", raw))
    if len(separator.encode()) != 1 or separator in '"\n\r':
        raise InputError(f"{option('separator')} must be one character, or ::, not {separator!r}")
    return raw, separator


def find_layout(
    path: Path, lines: list[str], separator: str, columns: Columns, header: bool | None, skipped: int
) -> Layout:
    """Quoting, header and names, from the first two lines."""
    quoted = separator in ",;" or all(f[:1] == f[-1:] == '"' and len(f) > 1 for f in lines[0].split(separator))
    fields = [
        next(csv.reader([x], delimiter=separator, skipinitialspace=True), [""]) if quoted else x.split(separator)
        for x in lines
    ]
    if len(lines) > 1 and re.fullmatch(r"[-=+|: ]*(---|===)[-=+|: ]*", lines[1]):
        raise InputError(
            f"{path}, line {2 + skipped} is a rule drawn between header and rows, not a row: remove it, or save the "
            "table as CSV"
        )
    typed = all(TYPED.fullmatch(f.strip()) for f in fields[0])
    if header is None:
        header = typed or find_header(path, fields, columns)
    if not header:
        return Layout(separator, quoted, [str(k) for k in range(len(fields[0]))], False, skipped)
    names = [f.partition(":")[0] for f in fields[0]] if typed else fields[0]
    if lines[0].startswith("#"):
        names = [names[0].lstrip("# "), *names[1:]]
    return Layout(separator, quoted, names, True, skipped)


def another_reading(lines: list[str], layout: Layout, separator: str | None, header: bool | None) -> str:
    """What may be wrong where line 1 does not name a column that was asked for."""
    if layout.header and header is None and any(is_number(name) for name in layout.names):
        return f"; if line 1 is a row, say {option('header', False)} and {option('user', 0)} {option('item', 1)}"
    if separator and len(layout.names) == 1 and (found := find_separator(lines[0], "")) in lines[0]:
        return f"; is {option('separator')} {found!r}?"
    odd = re.search(r"\w *([^\w\s.\"'#-]) *\w", lines[0]) if separator is None and len(layout.names) == 1 else None
    if odd and all(odd[1] in line for line in lines):
        return f"; is {option('separator')} {odd[1]!r}?"
    if len(layout.names) == 1 and not layout.header and find_separator(lines[-1], "") in lines[-1]:
        return f"; if each line is a user and its items, say {option('adjacency', True)}"
    return ""


def unwrapped(table: pl.DataFrame) -> pl.DataFrame:
    """Fields without the quotation marks that stand around all of a column, where the format knows no quoting."""
    for role in table.columns:
        labels = table[role]
        if len(labels) and labels.str.contains(r'^".*"$').fill_null(False).all() and (labels.str.len_chars() > 2).all():
            table = table.with_columns(
                labels.str.slice(1, labels.str.len_chars() - 2).str.replace_all('""', '"').alias(role)
            )
    return table


def find_header(path: Path, fields: list[list[str]], columns: Columns) -> bool:
    """Does line 1 name the columns? Yes if a column is asked for by name; else the numbers decide.

    A column of numbers whose first line is a word has a header; a number in line 1 and in line 2 means there is none.
    """
    names = [c for c in columns.values() if isinstance(c, str)]
    if any(c in map(str.strip, fields[0]) or not c.isdecimal() for c in names):
        return True
    numeric = [[is_number(f) for f in line] for line in fields]
    at = [int(c) for c in columns.values() if -len(fields[0]) <= int(c) < len(fields[0])]
    counted = len(fields[0]) > 1 and [f.strip() for f in fields[0]] == [str(k) for k in range(len(fields[0]))]
    if not counted:
        if any(numeric[0][k] for k in at):
            return False
        both = list(zip(numeric[0], numeric[-1], strict=False))
        if "rating" in columns or any(low and not high for high, low in both):
            return True
        if len(fields) > 1 and any(high and low for high, low in both):
            return False
    ragged_lines = len({len(line) for line in fields}) > 1
    raise InputError(
        f"{path}: cannot tell whether line 1 names the columns; say {option('header', True)} or "
        f"{option('header', False)}"
        + (f", or {option('adjacency', True)} if each line is a user and its items" if ragged_lines else "")
    )


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
    line = f"{path}, line {index + 1 + layout.skipped:,}"
    if not text.strip():
        return InputError(f"{line} is empty; expected one row per interaction: remove it")
    advice = "remove or mend it"
    if n > k and layout.separator in ",;":
        advice = f"put a field that holds {layout.separator!r} in quotation marks"
    elif layout.separator in " \t" and not layout.header:
        advice += f", or say {option('adjacency', True)} if each line is a user and its items"
    return InputError(f"{line} has {n} fields but line {1 + layout.skipped} has {k}: {text[:60]!r}; {advice}")


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


def slow(path: Path, raw: bytes, layout: Layout, found: Mapping[str, int]) -> tuple[pl.DataFrame, np.ndarray]:
    """Row by row with Python's parser: some fields go over several lines, or something is wrong."""
    k, start = len(layout.names), 1 + layout.skipped
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
                over = f", which ends on line {reader.line_num + layout.skipped:,}," if "\n" in text else ""
                raise InputError(
                    f"{path}, line {start:,}{over} has {len(row)} fields but line {1 + layout.skipped} has {k}: "
                    f"{text[:60]!r}; look for a stray quotation mark or separator"
                )
            if row[0].startswith(("# ", "% ")):
                raise InputError(f"{path}, line {start:,} looks like a comment: {text[:60]!r}; remove it")
            if not (layout.header and start == 1 + layout.skipped):
                lines.append(start)
                for role, at in found.items():
                    chosen[role].append(row[at] or None)
                if "\n" in text:
                    long_fields += [(start, f) for f in row if "\n" in f]
            start = reader.line_num + 1 + layout.skipped
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
