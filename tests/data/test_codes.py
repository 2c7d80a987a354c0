"""Long arrays of codes, in pieces of every size: each function against the line of NumPy that it stands for."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from minivae.data import codes

CODES = st.lists(st.integers(0, 11), max_size=60).map(lambda values: np.array(values, np.int32))
PIECES = st.sampled_from([1, 2, 7, 1 << 16])


@given(CODES, PIECES)
def test_counts_are_those_of_bincount(values, piece):
    with pytest.MonkeyPatch.context() as m:
        m.setattr(codes, "PIECE", piece)
        found = codes.occurrences(values, 12)
        assert found.tolist() == [int((values == k).sum()) for k in range(12)]
        assert found.dtype == np.int64
        assert codes.occurrences(values[:0], 0).tolist() == []


@given(CODES, PIECES)
def test_codes_appear_in_the_order_of_their_first_occurrence(values, piece):
    with pytest.MonkeyPatch.context() as m:
        m.setattr(codes, "PIECE", piece)
        assert codes.order_of_appearance(values, 12).tolist() == list(dict.fromkeys(values.tolist()))


@given(CODES, PIECES)
def test_a_look_up_is_an_index(values, piece):
    table = np.arange(12, dtype=np.float32) ** 2
    with pytest.MonkeyPatch.context() as m:
        m.setattr(codes, "PIECE", piece)
        found = codes.lookup(table, values)
    assert found.tolist() == [table[k] for k in values]
    assert found.dtype == np.float32


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 8)), max_size=40), st.booleans())
def test_pairs_are_a_matrix_of_ones(pairs, wide):
    """With so many columns that a place needs 64 bits, too."""
    columns = (1 << 31) - 1 if wide else 9
    far = columns - 9
    row, column = (np.array([p[k] for p in pairs], np.int64) for k in (0, 1))
    found = codes.binary_csr(row, column + far, (6, columns))
    assert found.shape == (6, columns)
    assert sorted(zip(*(a.tolist() for a in found.nonzero()), strict=True)) == sorted({(r, c + far) for r, c in pairs})
    assert (found.data == 1).all()
    assert (found.dtype, found.indices.dtype) == (np.float32, np.int32)
    assert all((np.diff(found[k].indices) > 0).all() for k in range(6))
    found.check_format()
    assert found.has_canonical_format  # so that nobody sorts it again


@pytest.mark.parametrize(
    "values",
    [
        [5, 3, 3, 9],
        [-4, 7, 0, -4],
        [0],
        [2**40, 2**40 + 3, 2**40],  # far from 0 and near each other
        [0, 2**40, 17, 0],  # so far apart that they are sorted
        [-(2**62), 2**62, 0],
        [(1 << 20) - 1, 0],
        [1 << 20, 0],
        [1 << 20, 1],
    ],
)
def test_ranks_are_places_among_the_distinct_values(values):
    found, distinct = codes.rank(np.array(values))
    assert distinct.tolist() == sorted(set(values))
    assert found.tolist() == [sorted(set(values)).index(v) for v in values]
    assert (found.dtype, distinct.dtype) == (np.int32, np.int64)
    unsigned = np.array([abs(v) for v in values], np.uint64)
    assert codes.rank(unsigned)[1].tolist() == sorted(set(unsigned.tolist()))


def test_pointers_that_do_not_cut_the_entries_are_refused():
    """SciPy's own check passes over a negative end."""
    good = np.array([0, 2, 2, 3])
    indices = np.array([0, 4, 3])
    codes.refuse_false_pointers(good, indices, 3, 5)
    codes.refuse_false_pointers(np.array([0, 0]), indices[:0], 1, 5)
    for pointers, rows in (
        (good, 2),
        (good, 4),
        (np.array([1, 2, 2, 3]), 3),
        (np.array([0, 2, 2, 2]), 3),
        (np.array([0, 2, 2, 4]), 3),
        (np.array([0, 2, 1, 3]), 3),
        (np.array([0, -1, 2, 3]), 3),
        (np.array([0, 2, 2, -1]), 3),
        (np.array([0, 3, 2, 3], np.uint32), 3),
    ):
        with pytest.raises(ValueError, match=f"indptr does not cut 3 entries into {rows} rows"):
            codes.refuse_false_pointers(pointers, indices, rows, 5)
    for wrong in ([0, 5, 3], [-1, 4, 3]):
        with pytest.raises(ValueError, match=rf"indices {min(wrong)} to {max(wrong)} are not all in 0..4"):
            codes.refuse_false_pointers(good, np.array(wrong), 3, 5)
    m = sp.csr_matrix((np.ones(3), indices, good), shape=(3, 5))
    assert m.toarray().sum() == 3
