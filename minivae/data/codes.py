"""Long arrays of codes, numbers that stand for labels: their order, counts, look-ups, and the CSR of their pairs."""

from __future__ import annotations  # so that scipy.sparse is loaded at its first use, not for its name

import numpy as np
import scipy

PIECE = 1 << 16  # of a long array, so that what is made of it stays near the processor


def rank(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Position (int32) of each integer among the sorted distinct ones, and those (int64)."""
    low, high = int(values.min()), int(values.max())
    widest = max(10 * values.size, 1 << 20)
    if high - low >= widest:
        distinct, codes = np.unique(values, return_inverse=True)
        return codes.astype(np.int32), distinct.astype(np.int64)
    if low >= 0 and high < widest and values.dtype != np.uint64:  # which cannot be an index
        low = 0
    else:
        values = np.subtract(values, low, dtype=np.int64)
    seen = np.zeros(high - low + 1, bool)  # the range is small: a table instead of sorting
    seen[values] = True
    return lookup(np.cumsum(seen, dtype=np.int32) - np.int32(1), values), np.flatnonzero(seen) + low


def order_of_appearance(codes: np.ndarray, n: int) -> np.ndarray:
    """The codes out of 0..n-1 that occur, in the order of their first occurrence.

    >>> order_of_appearance(np.array([4, 1, 4, 0]), 6).tolist()
    [4, 1, 0]
    """
    seen = np.zeros(n, bool)
    order = [np.empty(0, np.int64)]
    for start in range(0, codes.size, PIECE):
        block = codes[start : start + PIECE]
        new = block[~seen[block]]  # soon hardly any
        _, first = np.unique(new, return_index=True)
        order.append(new[np.sort(first)])
        seen[new] = True
    return np.concatenate(order)


def binary_csr(row: np.ndarray, column: np.ndarray, shape: tuple[int, int]) -> scipy.sparse.csr_matrix:
    """Ones at (row, column) as float32 CSR with sorted int32 indices; repeated pairs count once."""
    rows, columns = shape
    narrow = rows * columns < 2**32
    place = row.astype(np.uint32 if narrow else np.int64)  # in reading order
    place *= columns
    np.add(place, column, out=place, casting="unsafe")
    place.sort()
    if (repeated := place[1:] == place[:-1]).any():
        place = place[np.append(True, ~repeated)]
    indptr = np.append(np.searchsorted(place, np.arange(rows, dtype=place.dtype) * columns), place.size)
    place %= columns
    indices = place.view(np.int32) if narrow else place.astype(np.int32)
    m = scipy.sparse.csr_matrix((np.ones(place.size, np.float32), indices, indptr), shape=shape)
    m.has_canonical_format = True
    return m


def occurrences(codes: np.ndarray, n: int) -> np.ndarray:
    """How often each of 0..n-1 occurs, int64; as np.bincount, but without its copy of all codes as int64."""
    counts = np.zeros(n, np.int64)
    step = max(PIECE, n)
    for start in range(0, codes.size, step):
        counts += np.bincount(codes[start : start + step], minlength=n)
    return counts


def lookup(table: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """table[codes] for codes within 0..table.size - 1, without NumPy's copy of all codes as int64."""
    found = np.empty(codes.size, table.dtype)
    for start in range(0, codes.size, PIECE):
        part = slice(start, start + PIECE)
        np.take(table, codes[part], out=found[part], mode="clip")
    return found


def refuse_false_pointers(indptr: np.ndarray, indices: np.ndarray, n_rows: int, n_columns: int) -> None:
    """Raise ValueError if the parts of a compressed sparse matrix do not fit each other.

    scipy looks less closely, at a negative end of `indptr` not at all, and then writes outside of its arrays.
    """
    ends = indptr.astype(np.int64)
    if not (len(ends) == n_rows + 1 and ends[0] == 0 and ends[-1] == len(indices) and (ends[1:] >= ends[:-1]).all()):
        raise ValueError(f"indptr does not cut {len(indices)} entries into {n_rows} rows")
    if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < n_columns:
        raise ValueError(f"indices {indices.min()} to {indices.max()} are not all in 0..{n_columns - 1}")
