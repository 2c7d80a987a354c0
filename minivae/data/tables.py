"""Reading tables of events: CSV and its relatives, Parquet, sparse matrices; every fault named by row and column."""

import csv
import difflib
import gzip
import os
import subprocess
import sys
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
import scipy

from minivae.data.codes import refuse_false_pointers
from minivae.errors import InputError

SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".dat": "::"}
LONGEST_HEAD = 1 << 17
CHILD_ENVIRONMENT = {"PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "TEMP", "TMP", "POLARS_MAX_THREADS"}
NOT_TABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, csv.Error, OSError, EOFError, zlib.error)
NOT_NPZ = (  # what zipfile, numpy's parser of headers and scipy raise at bytes that are no matrix
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError, MemoryError, OSError, EOFError, SyntaxError),
    *(RuntimeError, zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)


def read_table(
    path: Path, columns: Mapping[str, str | int], separator: str | None = None, header: bool | None = None
) -> pl.DataFrame:
    """The chosen `columns` (role → name or position) of a text or Parquet table, named by their roles.

    Labels come as integers or stripped strings, ratings as finite float64, titles as strings; only titles may be null.

    Raises
    ------
    InputError
        See `minivae.read_interactions`.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist; check the path")
    if not path.is_file():
        raise InputError(f"{path} is a folder, not a file; give the table itself")
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    try:
        if suffix in {".parquet", ".pq"}:
            table, first_row = read_parquet(path, columns), 1
        else:
            table, first_row = read_text(path, columns, suffix, separator, header)
    except pl.exceptions.NoDataError as e:
        raise InputError(f"{path} has no rows; expected one row per interaction") from e
    except NOT_TABLE as e:
        reason = next(iter(str(e).strip().splitlines()), type(e).__name__)
        if 'parse `"' in reason or "malformed" in reason:
            reason = "a quotation mark inside a field, or one that is never closed"
        raise InputError(f"{path} cannot be read as a table: {reason}") from e
    if table.height == 0:
        raise InputError(f"{path} has no rows; expected one row per interaction")
    if table.height >= 2**31 - 1:
        raise InputError(f"{path} has {table.height:,} rows; at most {2**31 - 2:,} fit the 32-bit indices")
    return table.select(
        (as_number if role == "rating" else as_title if role == "title" else as_label)(
            table[role], f"{path}, column {columns[role]!r}", first_row
        )
        for role in table.columns
    )


def read_parquet(path: Path, columns: Mapping[str, str | int]) -> pl.DataFrame:
    """The chosen columns of a Parquet file, named by their role."""
    with path.open("rb") as f:
        names = pl.read_parquet_schema(f)
    found = {role: locate(column, list(names), path) for role, column in columns.items()}
    refuse_same(found, path)
    check_parquet(path, list(dict.fromkeys(found.values())))
    chosen = [pl.col(name).alias(role) for role, name in found.items()]
    return pl.scan_parquet(path, glob=False).select(chosen).collect()


def check_parquet(path: Path, names: list[str]) -> None:
    """Read the columns in a child process first: some damaged pages make the Parquet library abort.

    It aborts, past every `except`, when a page asks for more memory than there is. The second reading costs half a
    second and as long again as the first. The child finds no module in the current folder, where the table may lie
    beside a file that is called like one.

    Raises
    ------
    InputError
        If the process does not survive; an error that it reports is left to the reader.
    """
    library = Path(pl.__file__).parents[1]
    program = (
        "import sys; sys.path.append(sys.argv[1]); import polars as pl; "
        "pl.scan_parquet(sys.argv[2], glob=False).select(sys.argv[3:]).collect()"
    )
    kept = {k: v for k, v in os.environ.items() if k in CHILD_ENVIRONMENT}
    command = [sys.executable, "-I", "-c", program, str(library), str(path.absolute()), *names]
    done = subprocess.run(command, capture_output=True, text=True, env=kept, errors="replace")
    if done.returncode not in (0, 1):  # 1: an exception
        said = next(iter(done.stderr.strip().splitlines()), f"status {done.returncode}")
        raise InputError(f"{path} cannot be read as a table: its damage kills the Parquet library ({said})")


def read_text(
    path: Path, columns: Mapping[str, str | int], suffix: str, separator: str | None, header: bool | None
) -> tuple[pl.DataFrame, int]:
    """The columns as strings, and the number of the line on which the first row stands."""
    raw = content(path)
    head = first_lines(raw, path)
    separator = separator or find_separator(head[0], SEPARATORS.get(suffix))
    if separator == "::":
        raw, separator = raw.replace(b"::", b"\t"), "\t"
        head = first_lines(raw, path)
    if len(separator.encode()) != 1:
        raise InputError(f"separator must be one character, not {separator!r}")
    fields = [next(csv.reader([line], delimiter=separator), [""]) for line in head]
    if header is None:
        header = find_header(path, fields, columns)
    names = fields[0] if header else [str(k) for k in range(len(fields[0]))]
    if not head[-1].strip():
        raise InputError(f"{path}: line {len(head)} is empty; expected one row per interaction")
    found = {role: locate(column, names, path, by_position=not header) for role, column in columns.items()}
    refuse_same(found, path)
    roles = {names.index(name): role for role, name in found.items()}
    table = pl.read_csv(
        raw,
        has_header=False,
        skip_rows=int(header),
        separator=separator,
        columns=sorted(roles),
        infer_schema=False,
    )
    table.columns = [roles[k] for k in sorted(roles)]
    blank = table.select(pl.all_horizontal(pl.all().is_null())).to_series()
    rows = table.height if not blank.any() else int((~blank).arg_true()[-1]) + 1 if not blank.all() else 0
    return table.head(rows).select(*columns), 1 + int(header)  # blank lines at the end are no rows


def content(path: Path) -> bytes:
    """A text file, decompressed; refuse what is no text.

    Not left to polars: older versions take a truncated .gz for a short table.
    """
    raw = path.read_bytes()
    if path.suffix.lower() == ".gz":
        raw = gzip.decompress(raw)
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    start = raw[:4096].lstrip().lower()
    if not start:
        raise InputError(f"{path} is empty; expected one row per interaction")
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise InputError(f"{path} is a web page, not a table; fetch the data file itself")
    if raw.startswith((b"PK\x03\x04", b"\xff\xfe", b"\xfe\xff")) or b"\x00" in raw:
        raise InputError(
            f"{path} is not plain UTF-8 text (a spreadsheet, an archive or UTF-16); export it as UTF-8 CSV"
        )
    return raw


def first_lines(raw: bytes, path: Path) -> list[str]:
    """The first two lines, or the one there is."""
    lines = raw[:LONGEST_HEAD].removesuffix(b"\n").split(b"\n")[:2]
    if len(lines) == 1 and len(raw) > LONGEST_HEAD:
        raise InputError(
            f"{path} has a first line of over {LONGEST_HEAD:,} bytes; is it a table, one interaction a row?"
        )
    try:
        return [line.rstrip(b"\r").decode() for line in lines]
    except UnicodeDecodeError as e:
        raise InputError(f"{path} is not UTF-8 text ({e.reason} at byte {e.start} of a line); save it as UTF-8") from e


def find_separator(line: str, expected: str | None) -> str:
    """The format's own separator if line 1 has it, else the one that line 1 has most of."""
    if expected and expected in line:
        return expected
    if "::" in line:
        return "::"
    count = {s: line.count(s) for s in "\t,;|"}
    best = max(count, key=count.__getitem__)
    return best if count[best] else expected or ","


def find_header(path: Path, fields: list[list[str]], columns: Mapping[str, str | int]) -> bool:
    """Does line 1 name the columns? Yes if a column is asked for by name; else the numbers in it must tell."""
    names = [c for c in columns.values() if isinstance(c, str)]
    if any(c in map(str.strip, fields[0]) or not c.isdecimal() for c in names):
        return True
    at = [int(c) for c in columns.values()]
    numeric = [[is_number(line[k]) for k in at if -len(line) <= k < len(line)] for line in fields]
    if any(numeric[0]):
        return False
    if "rating" in columns or any(numeric[-1]):
        return True
    raise InputError(f"{path}: cannot tell whether line 1 names the columns; say header=True or header=False")


def is_number(field: str) -> bool:
    """Whether a field reads as a number."""
    try:
        float(field)
    except ValueError:
        return False
    return True


def locate(column: str | int, names: list[str], path: Path, by_position: bool = False) -> str:
    """The name under which the table holds `column`."""
    stripped = [name.strip() for name in names]
    if isinstance(column, str) and not by_position:
        if stripped.count(column) > 1:
            raise InputError(
                f"{path} has {stripped.count(column)} columns called {column!r}; choose one by its position"
            )
        if column in stripped:
            return names[stripped.index(column)]
    try:
        return names[int(column)]
    except (ValueError, IndexError):
        near = difflib.get_close_matches(str(column), stripped, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        shown = ", ".join(map(repr, stripped[:20])) + (", …" if len(names) > 20 else "")
        raise InputError(f"{path} has no column {column!r} among its {len(names)}: {shown}{hint}") from None


def refuse_same(found: Mapping[str, str], path: Path) -> None:
    """One column cannot have two roles."""
    for role, name in found.items():
        twin = next((r for r, n in found.items() if n == name and r != role), None)
        if twin:
            raise InputError(f"{path}: column {name!r} cannot be both {role} and {twin}; choose two columns")


def as_label(values: pl.Series, where: str, first_row: int) -> pl.Series:
    """Integers or stripped strings, nothing missing."""
    if values.dtype == pl.Boolean or not (
        values.dtype.is_numeric() or values.dtype in (pl.String, pl.Categorical, pl.Enum)
    ):
        raise InputError(f"{where} holds {values.dtype}; labels must be integers or text")
    refuse_missing(values, where, first_row)
    if values.dtype.is_integer():
        return values
    if values.dtype.is_float() or values.dtype.is_decimal():
        whole = values.cast(pl.Int64, strict=False)
        odd = ((whole.cast(pl.Float64) != values.cast(pl.Float64)) | whole.is_null()).arg_true()
        if len(odd):
            raise InputError(
                f"{where}, row {odd[0] + first_row}: {values[odd[0]]} is no label; they must be integers or text"
            )
        return whole
    return values.cast(pl.String).str.strip_chars()


def as_number(values: pl.Series, where: str, first_row: int) -> pl.Series:
    """Finite float64, nothing missing."""
    refuse_missing(values, where, first_row)
    if values.dtype == pl.String:
        values = values.str.strip_chars()
    elif not values.dtype.is_numeric():
        raise InputError(f"{where} holds {values.dtype}; ratings must be numbers")
    number = values.cast(pl.Float64, strict=False)
    odd = (~number.is_finite().fill_null(False)).arg_true()
    if len(odd):
        shown = str(values[odd[0]])[:40]
        raise InputError(
            f"{where}, row {odd[0] + first_row}: {shown!r} is no finite number; correct or remove that row"
        )
    return number


def as_title(values: pl.Series, where: str, first_row: int) -> pl.Series:
    """Titles as text, without spaces around them."""
    return values.cast(pl.String).str.strip_chars()


def refuse_missing(values: pl.Series, where: str, first_row: int) -> None:
    """A field that must not be empty."""
    missing = values.is_null()
    if missing.any():
        raise InputError(f"{where}, row {missing.arg_true()[0] + first_row} is empty; fill it in or remove the row")


def read_matrix(path: Path) -> pl.DataFrame:
    """The stored non-zero entries of a scipy sparse matrix, row by row: user, item, rating.

    Raises
    ------
    InputError
        If it is no such file, or an entry is no finite number.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist; check the path")
    try:
        m = scipy.sparse.load_npz(path)
        if m.format in ("csr", "csc", "bsr"):
            of_rows, of_columns = m.blocksize if m.format == "bsr" else (1, 1)
            n_rows, n_columns = m.shape[0] // of_rows, m.shape[1] // of_columns
            axes = (n_columns, n_rows) if m.format == "csc" else (n_rows, n_columns)
            refuse_false_pointers(m.indptr, m.indices, *axes)
        m = scipy.sparse.csr_matrix(m)
    except NOT_NPZ as e:
        why = " ".join(str(e).split()) or type(e).__name__
        raise InputError(f"{path} is no scipy sparse matrix ({why}); write it with scipy.sparse.save_npz") from e
    if m.dtype.kind not in "biuf":
        raise InputError(f"{path} holds {m.dtype}; ratings must be real numbers")
    m.sum_duplicates()
    m.eliminate_zeros()
    rating = m.data.astype(np.float64)
    row = np.repeat(np.arange(m.shape[0]), np.diff(m.indptr))
    odd = np.flatnonzero(~np.isfinite(rating))
    if odd.size:
        at = odd[0]
        raise InputError(f"{path}: entry ({row[at]}, {m.indices[at]}) is {rating[at]}, no finite number; remove it")
    return pl.DataFrame({"user": row, "item": m.indices, "rating": rating})
