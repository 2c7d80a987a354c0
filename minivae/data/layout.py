"""How delimited text is cut into fields, from its first two lines: separator, quoting, header, names."""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minivae.data.columns import Columns
from minivae.data.grid import is_number
from minivae.errors import InputError, option

SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".dat": "::", ".inter": "\t"}
WORDS = {"tab": "\t", "\\t": "\t", "space": " "}
LONGEST_HEAD = 1 << 17
TYPED = re.compile(r"\w+:(token|float|token_seq|float_seq)")


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
    numbers : (n,) int64, optional
        Of the lines of the file that are left, where comments between them went.
    """

    separator: str
    quoted: bool
    names: list[str]
    header: bool
    skipped: int
    numbers: np.ndarray | None = None

    def line(self, index: int) -> int:
        """The number in the file of a line of the text, which is counted from 0."""
        if self.numbers is None:
            return index + 1 + self.skipped
        return int(self.numbers[min(index, len(self.numbers) - 1)])


def head(raw: bytes, path: Path) -> list[str]:
    """The first two lines, or the one there is."""
    lines = raw[:LONGEST_HEAD].removesuffix(b"\n").split(b"\n")[:2]
    if len(lines) == 1 and len(raw) > LONGEST_HEAD:
        raise InputError(
            f"{path} has a first line of over {LONGEST_HEAD:,} bytes; is it a table, one interaction a row?"
        )
    return [line.decode(errors="replace") for line in lines]


def without_blank_end(raw: bytes) -> tuple[bytes, dict[str, int]]:
    """The text ended by one line feed, and how many blank lines stood after it."""
    if raw.endswith(b"\n\n"):
        whole = len(raw)
        raw = raw.rstrip(b"\n") + b"\n"
        return raw, {"blank lines at the end": whole - len(raw)}
    return raw if raw.endswith(b"\n") else raw + b"\n", {}


def without_preamble(
    path: Path, raw: bytes, columns: Columns, separator: str | None, comments: bool
) -> tuple[bytes, int, int, str | None]:
    """The text without Excel's `sep=;` and without comments and blank lines before the table; how many these were."""
    skipped = blank = 0
    first = head(raw, path)[0]
    if match := re.fullmatch(r'"?sep=(.|\\t)"?', first.strip("\ufeff")):
        raw, skipped = raw[raw.index(b"\n") + 1 :], 1
        separator = separator or match[1]
    asked = {c for c in columns.values() if isinstance(c, str) and not c.isdecimal()}
    while raw[:1] in ((b"#", b"%", b"\n") if comments else (b"\n",)) and len(raw) > 1:
        if raw.startswith(b"\n"):
            raw, blank = raw[1:], blank + 1
            continue
        lines = head(raw, path)
        named = {f.strip() for x in (lines[0], lines[0].lstrip("#% ")) for f in re.split(r"[\t,;|: ]", x)}
        if asked & named or len(lines) < 2:
            break
        if asked or re.match(r"[#%]+(\s|$)", lines[0]) or lines[0].startswith("%"):
            raw, skipped = raw[raw.index(b"\n") + 1 :], skipped + 1
            continue
        break
    return raw, skipped, blank, separator


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


def single_byte(raw: bytes, separator: str) -> tuple[bytes, str]:
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
    path: Path,
    lines: list[str],
    separator: str,
    columns: Columns,
    header: bool | None,
    skipped: int,
    numbers: np.ndarray | None = None,
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
        return Layout(separator, quoted, [str(k) for k in range(len(fields[0]))], False, skipped, numbers)
    names = [f.partition(":")[0] for f in fields[0]] if typed else fields[0]
    if lines[0].startswith(("#", "%")) and names[0].strip() not in columns.values():
        names = [names[0].lstrip("#% "), *names[1:]]
    return Layout(separator, quoted, names, True, skipped, numbers)


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
