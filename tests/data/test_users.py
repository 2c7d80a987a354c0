"""Users × items in every form that people have them, and the binary rows that are made of it."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import torch

from minivae import EASE, InputError, MultVAE, planted, recommend, strong_split
from minivae.data.users import as_csr, binary
from minivae.theory import transfer


@pytest.mark.parametrize(
    "convert",
    [
        np.asarray,
        lambda x: x.astype(bool),
        lambda x: x.astype(np.uint8),
        torch.from_numpy,
        lambda x: torch.from_numpy(x).bool(),
        lambda x: torch.from_numpy(x).requires_grad_(),
        sp.csr_matrix,
        sp.csr_array,
        sp.coo_matrix,
        sp.csc_matrix,
        np.ndarray.tolist,
        lambda x: [torch.from_numpy(row) for row in x],
        pd.DataFrame,
        lambda x: pd.DataFrame(x, dtype="Int64"),
        lambda x: pd.DataFrame({"tea": x[:, 0].astype(bool), **{f"{k}": x[:, k] for k in range(1, 7)}}),
        lambda x: pd.DataFrame(x).astype(pd.SparseDtype("float64", 0)),
        lambda x: pl.DataFrame(x, schema=[f"{k}" for k in range(7)]),
    ],
)
def test_as_csr_takes_what_users_have(convert):
    x = (np.random.default_rng(0).random((5, 7)) < 0.4).astype(np.float64)
    out = as_csr(convert(x))
    assert isinstance(out, sp.csr_matrix)
    assert out.has_canonical_format
    np.testing.assert_array_equal(out.toarray().astype(float), x)
    np.testing.assert_array_equal(binary(convert(x), "x").toarray(), x)  # the same rule


def test_as_csr_drops_explicit_zeros_and_merges_duplicates_in_a_copy():
    given_ = sp.csr_matrix((np.float32([1, 0, 1, 1]), np.int32([3, 1, 0, 0]), np.int32([0, 2, 4])), shape=(2, 4))
    before = [a.copy() for a in (given_.data, given_.indices, given_.indptr)]
    out = as_csr(given_)
    assert out.indices.tolist() == [3, 0]
    assert out.indptr.tolist() == [0, 1, 2]
    assert out.has_sorted_indices
    for a, b in zip(before, (given_.data, given_.indices, given_.indptr), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("data", "indices", "entries"), [([2.0, 3.0], [1, 1], 1), ([0.0, 3.0], [0, 1], 1)])
def test_duplicates_alone_are_merged_and_zeros_alone_dropped(data, indices, entries):
    given = sp.csr_matrix((data, indices, [0, 2]), shape=(1, 3))
    found = as_csr(given)
    assert found.nnz == entries
    assert found.has_canonical_format
    np.testing.assert_array_equal(found.toarray(), given.toarray())


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int16, np.uint16, np.int32])
def test_repeated_entries_of_short_integers_do_not_run_over(dtype):
    """256 repeats of 1 are 0 in uint8, and 128 are negative in int8."""
    for n in (128, 256, 1 << 16):
        ones = np.ones(n, dtype)
        coo = sp.coo_matrix((ones, (np.zeros(n, int), np.full(n, 2))), shape=(1, 3))
        csr = sp.csr_matrix((ones, np.full(n, 2, np.int32), np.int32([0, n])), shape=(1, 3))
        for x in (coo, csr):
            assert as_csr(x).toarray().tolist() == [[0, 0, n]]
            assert binary(x, "x").toarray().tolist() == [[0, 0, 1]]
            assert (x.nnz, x.dtype) == (n, dtype)
            assert (x.data == 1).all()


@pytest.mark.parametrize("dtype", [torch.bool, torch.int8, torch.uint8, torch.int16, torch.float16, torch.bfloat16])
def test_repeated_entries_of_sparse_tensors_do_not_run_over(dtype):
    for n in (128, 257, 1 << 16):
        at = torch.tensor([[0] * n, [2] * n])
        x = torch.sparse_coo_tensor(at, torch.ones(n, dtype=dtype), (1, 3), check_invariants=True)
        assert as_csr(x).toarray().tolist() == [[0, 0, n]]
        assert x.dtype == dtype


@pytest.mark.parametrize("x", [np.ones(3), np.ones((2, 2, 2)), [1, 0], None, [[1], [2, 3]]])
def test_as_csr_refuses_what_is_no_matrix(x):
    with pytest.raises(InputError, match="users × items"):
        as_csr(x)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_as_csr_refuses_nan(bad):
    with pytest.raises(InputError, match="NaN"):
        as_csr(np.array([[1, bad]]))


def test_as_csr_takes_every_dtype_of_a_binary_matrix():
    for dtype in [torch.float16, torch.bfloat16, torch.bool, torch.int64]:
        x = torch.tensor([[1, 0, 1], [0, 0, 0]]).to(dtype)
        assert as_csr(x).toarray().tolist() == [[1, 0, 1], [0, 0, 0]]
        assert as_csr(np.array([[1, 0]], np.float16)).toarray().tolist() == [[1, 0]]


@pytest.mark.parametrize("convert", [torch.Tensor.to_sparse, torch.Tensor.to_sparse_csr])
@pytest.mark.filterwarnings("ignore:Sparse CSR")
def test_sparse_tensors_are_users_too(convert):
    x = torch.tensor([[0.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    assert as_csr(convert(x)).toarray().tolist() == x.tolist()


@pytest.mark.parametrize(
    ("x", "got"),
    [([1, 0], "list; for one user"), (None, "NoneType"), (np.ones(3), r"ndarray of shape \(3,\); for one user give")],
)
def test_what_is_no_matrix_is_named(x, got):
    with pytest.raises(InputError, match=f"got a {got}"):
        as_csr(x)


def test_what_has_the_matrix_in_it_is_named_with_its_part():
    data = planted(n_users=60, n_items=40, n_events=900)
    split = strong_split(data, n_heldout=10)
    for x, part in (
        (split, r"a StrongSplit; give split\.train or split\.test\.history"),
        (split.test, "a FoldIn; give its history or heldout"),
        (data, "a Planted; give its matrix"),
    ):
        for call in (lambda x: recommend(EASE().fit(split.train), x), EASE().fit, as_csr):
            with pytest.raises(InputError, match=f"users × items, sparse or dense, got {part}"):
                call(x)


def test_a_data_frame_with_text_or_empty_places_is_one_sentence():
    with pytest.raises(InputError, match=r"got a DataFrame of shape \(1, 2\) that is none"):
        as_csr(pd.DataFrame({"user": ["ann"], "item": [3]}))
    with pytest.raises(InputError, match="holds NaN"):
        as_csr(pd.DataFrame({"tea": [1.0, None]}))
    for refused in (as_csr, lambda x: binary(x, "x")):
        with pytest.raises(InputError, match="real numbers"):
            refused(np.array([["a"]]))
        with pytest.raises(InputError, match="real numbers"):
            refused(np.array([[1j]]))


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_matrix, torch.from_numpy, np.ndarray.tolist])
def test_binary_counts_what_is_positive(convert):
    x = np.array([[0.0, 0.5, 1.0], [0.0, 0.0, 7.0]])
    out = binary(convert(x), "purchases")
    assert out.toarray().tolist() == [[0, 1, 1], [0, 0, 1]]
    assert (out.dtype, out.indices.dtype) == (np.float32, np.int32)
    with pytest.raises(InputError, match=r"purchases holds negative entries \(1 of 4\)"):
        binary(convert(x - np.array([[0, 0, 0], [1, 0, 0]])), "purchases")


@pytest.mark.parametrize("bad", [np.full((2, 2), np.nan), np.ones(3), [[1], [2, 3]], [["a"]], np.array([[1j]])])
def test_binary_names_what_it_refuses(bad):
    with pytest.raises(InputError, match=r"^history"):
        binary(bad, "history")


def test_the_theory_reads_lists_and_frames_too():
    x = (np.random.default_rng(0).random((6, 9)) < 0.4).astype(np.float64)
    x[:, 0] = 1
    model = MultVAE(9, hidden=4, latent=2)
    want = transfer.gram(model, x, n_samples=0)
    for users in (x.tolist(), pd.DataFrame(x), sp.csr_matrix(x)):
        np.testing.assert_array_equal(np.asarray(transfer.gram(model, users, n_samples=0)), want)
        assert transfer.sharing(model, users).exact.shape == (6, 6)
