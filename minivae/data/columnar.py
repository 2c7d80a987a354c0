"""Tables that know their columns: Parquet, Feather (Arrow), sparse matrices, and data frames in memory."""

import tokenize
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import scipy.sparse

from minivae.data.codes import refuse_false_pointers
from minivae.data.columns import Columns, found_columns
from minivae.data.grid import FEWEST_COLUMNS, SAMPLE, by_position, refuse_grid
from minivae.data.labelling import as_series
from minivae.data.reading import Rows
from minivae.errors import InputError
from minivae.runtime.child import run_isolated
from minivae.runtime.limits import COPIES, allowed_memory, refuse_large

SCAN = {".parquet": "scan_parquet", ".pq": "scan_parquet"} | dict.fromkeys((".feather", ".arrow", ".ipc"), "scan_ipc")
BYTES_OF_A_ROW = 8  # of a matrix, for its pointer
BYTES_OF_A_CELL = 48  # 16 in the table, and as many twice while it is made into labels
NOT_NPZ = (  # what zipfile, numpy's parser of headers and scipy raise at bytes that are no matrix
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError, MemoryError, OSError, EOFError, SyntaxError),
    *(RuntimeError, zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)


def read_columnar(path: Path, scan: str, columns: Columns) -> Rows:
    """The chosen columns of a Parquet or Arrow file, named by their role."""
    with path.open("rb") as f:
        schema = pl.read_parquet_schema(f) if scan == "scan_parquet" else pl.read_ipc_schema(f)
    names = list(schema)
    found = found_columns(path, columns, names)
    numbers = all(kind.is_numeric() or kind == pl.Boolean for kind in list(schema.values())[1:])
    maybe_grid = by_position(columns) and len(names) >= FEWEST_COLUMNS and numbers
    check_in_child(path, scan, names if maybe_grid else list(dict.fromkeys(names[at] for at in found.values())))
    chosen = [pl.col(names[at]).alias(role) for role, at in found.items()]
    rows = Rows(getattr(pl, scan)(path, glob=False).select(chosen).collect())
    if maybe_grid:
        sample = getattr(pl, scan)(path, glob=False).head(SAMPLE).collect().rows()
        refuse_grid(str(path), len(names), fields_of(sample), rows.table["user"])
    return rows


def check_in_child(path: Path, scan: str, names: list[str]) -> None:
    """Read the columns in a process that may die of it, as some damaged pages make the library do.

    It aborts, past every `except`, when a page asks for more memory than there is. The second reading costs half a
    second and as long again as the first. How many rows there are is read first: runs of equal values take no place in
    a file.

    Raises
    ------
    InputError
        If the process does not survive, or there is not the memory for so many rows; an error that it reports is left
        to the reader.
    """
    most = allowed_memory()
    rows = int(getattr(pl, scan)(path, glob=False).select(pl.len()).collect().item())
    refuse_large(rows * len(names) * BYTES_OF_A_CELL, most, path)
    program = f"import polars as pl; pl.{scan}(sys.argv[1], glob=False).select(sys.argv[2:]).collect()"
    done = run_isolated(program, [str(path.absolute()), *names], Path(pl.__file__).parents[1], most)
    if done.returncode not in (0, 1):  # 1: an exception
        said = next(iter(done.stderr.strip().splitlines()), f"status {done.returncode}")
        raise InputError(
            f"{path} cannot be read as a table: its damage kills the library that reads it ({said}); fetch or "
            "write it again"
        )


def is_frame(data: object) -> bool:
    """Whether it is a data frame of pandas or polars, or a table of Arrow."""
    return type(data).__module__.partition(".")[0] in ("pandas", "polars", "pyarrow") and hasattr(type(data), "columns")


def read_frame(frame: Any, columns: Columns) -> Rows:
    """The chosen columns of a data frame.

    Raises
    ------
    InputError
        If a column is not there, or holds other things than numbers and text.
    """
    try:
        if isinstance(frame, pl.LazyFrame):
            frame = frame.collect()
        elif type(frame).__module__.startswith("pyarrow"):
            frame = pl.from_arrow(frame)
    except (pl.exceptions.PolarsError, OSError) as e:
        why = next(iter(str(e).strip().splitlines()), type(e).__name__)
        raise InputError(f"the data frame cannot be made: {why}; mend what it is made from") from e
    names = list(frame.columns)
    for role, column in columns.items():
        if isinstance(column, int) and column in names and names.index(column) != column:
            raise InputError(
                f"the data frame has a column called {column} at position {names.index(column)}, so {role}={column} "
                f"may mean either; rename its columns, or give {role}={str(column)!r} for the name"
            )
    found = found_columns("the data frame", columns, [str(n) for n in names])
    get = frame.to_series if isinstance(frame, pl.DataFrame) else lambda at: frame.iloc[:, at]
    try:
        rows = Rows(pl.DataFrame({role: as_series(get(at), role) for role, at in found.items()}))
    except InputError as e:
        raise InputError(f"the data frame: {e}") from None
    if by_position(columns) and len(names) >= FEWEST_COLUMNS:
        sample = []
        with suppress(InputError):  # at cells that no grid has
            first = [as_series(get(at).head(SAMPLE)).alias(str(at)) for at in range(len(names))]
            sample = fields_of(pl.DataFrame(first).rows())
        refuse_grid("the data frame", len(names), sample, rows.table["user"])
    return rows


def fields_of(rows: list[tuple[Any, ...]]) -> list[list[str]]:
    """Rows as text, empty where something is missing."""
    return [["" if v is None or v != v else str(int(v) if isinstance(v, bool) else v) for v in row] for row in rows]


def read_matrix(path: Path) -> Rows:
    """The stored non-zero entries of a scipy sparse matrix, row by row: user, item, rating.

    Raises
    ------
    InputError
        If it is not such a file, or an entry is not a finite number.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist; check the path")
    most = allowed_memory() // COPIES
    try:
        with zipfile.ZipFile(path) as archive:
            refuse_large(sum(member.file_size for member in archive.infolist()), most, path)
        m = scipy.sparse.load_npz(path)
        refuse_large(BYTES_OF_A_ROW * sum(m.shape), most, path)
        if m.format in ("csr", "csc", "bsr"):
            of_rows, of_columns = m.blocksize if m.format == "bsr" else (1, 1)
            n_rows, n_columns = m.shape[0] // of_rows, m.shape[1] // of_columns
            axes = (n_columns, n_rows) if m.format == "csc" else (n_rows, n_columns)
            refuse_false_pointers(m.indptr, m.indices, *axes)
        return entries(m, str(path))
    except InputError:
        raise
    except NOT_NPZ as e:
        why = " ".join(str(e).split()) or type(e).__name__
        raise InputError(f"{path} is no scipy sparse matrix ({why}); write it with scipy.sparse.save_npz") from e


def entries(matrix: Any, source: str) -> Rows:
    """The non-zero entries of a sparse matrix, row by row: user, item, rating; repeated ones are summed.

    Raises
    ------
    InputError
        If an entry is not a finite number.
    """
    if matrix.ndim != 2:
        raise InputError(f"{source} has {matrix.ndim} axes; give two, users and items")
    if matrix.dtype.kind not in "biuf":
        raise InputError(f"{source} holds {matrix.dtype}; ratings must be real numbers")
    stored = matrix.nnz
    m = scipy.sparse.csr_matrix(matrix.astype(np.float64))  # sums of small integers could overflow
    m.sum_duplicates()
    summed = stored - m.nnz
    m.eliminate_zeros()
    row = np.repeat(np.arange(m.indptr.size - 1), np.diff(m.indptr))
    odd = np.flatnonzero(~np.isfinite(m.data))
    if odd.size:
        at = odd[0]
        raise InputError(f"{source}: entry ({row[at]}, {m.indices[at]}) is {m.data[at]}, no finite number; remove it")
    others = {"repeated entries, summed": summed, "entries of zero": stored - summed - m.nnz}
    return Rows(pl.DataFrame({"user": row, "item": m.indices, "rating": m.data}), unit="entry", other_lines=others)
