"""Batches and masks against dense rows: normalise, mask, scale by hand."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minivae import InputError
from minivae.batches import DeviceCSR
from minivae.masks import clean, mask_input, masked, normalizes, register_mask
from minivae.runtime import streams

MASKS = ("normalize-then-mask", "mask-then-normalize", "raw")
binary_rows = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))


def csr(x):
    return sp.csr_matrix(np.asarray(x), dtype=np.float32)


def unit_rows(x):
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    return np.divide(x, norms, out=np.zeros_like(x), where=norms > 0)


def dense_input(x, b, keep, mask):
    """The three conventions on dense float64 rows, as they are written down."""
    x, b = x.astype(float), b.astype(float)
    if mask == "normalize-then-mask":
        return unit_rows(x) * b / keep
    if mask == "mask-then-normalize":
        return unit_rows(x * b)
    return x * b


def dense(batch, n_items):
    out = torch.zeros(batch.size, n_items, dtype=torch.float64)
    out.index_put_((batch.rows, batch.items), batch.weights.double(), accumulate=True)
    return out.numpy()


@given(binary_rows, st.data())
def test_batch_lists_its_users_row_after_row(x, data):
    users = data.draw(st.lists(st.integers(0, len(x) - 1), max_size=8))  # any order, repetitions too
    matrix = csr(x)
    batch = DeviceCSR(matrix).batch(torch.tensor(users, dtype=torch.int64))
    assert batch.size == len(users)
    assert batch.users.tolist() == users
    assert batch.counts.tolist() == [x[u].sum() for u in users]
    for row, user in enumerate(users):
        part = slice(int(batch.offsets[row]), int(batch.offsets[row + 1]))
        assert batch.items[part].tolist() == np.flatnonzero(x[user]).tolist()
        assert batch.rows[part].tolist() == [row] * x[user].sum()
        assert matrix.indices[batch.positions[part].numpy()].tolist() == batch.items[part].tolist()
        assert batch.positions[part].tolist() == list(range(matrix.indptr[user], matrix.indptr[user + 1]))
    np.testing.assert_allclose(dense(batch, x.shape[1]), unit_rows(x[users].astype(float)), rtol=1e-6)


def check_masked(mask_batch, x, keep, mask, seed, step):
    """`masked` against the dense convention, with the mask of interaction j looked up at address j."""
    u = streams.uniform(seed, "mask", step, torch.arange(int(x.sum()))).numpy()
    b = np.zeros(x.shape, dtype=bool)
    b[x] = u < np.float32(keep)  # row-major order is the order of the interactions
    users = torch.from_numpy(np.random.default_rng(seed).permutation(len(x)))
    matrix = DeviceCSR(csr(x))
    expected = dense_input(x, b, keep, mask)
    for part in users.split(3):  # whatever batch a user is in, its mask is the same
        got = dense(mask_batch(matrix.batch(part), keep, mask, seed, step), x.shape[1])
        np.testing.assert_allclose(got, expected[part.numpy()], rtol=1e-6)


@pytest.mark.parametrize("mask", MASKS)
@given(x=binary_rows, keep=st.floats(0.05, 1), seed=st.integers(0, 1000), step=st.integers(0, 10**6))
def test_masked_batch_is_the_dense_convention(mask, x, keep, seed, step):
    check_masked(masked, x, keep, mask, seed, step)


def test_masked_twins_are_rejected():
    x = np.random.default_rng(0).random((9, 12)) < 0.5

    def by_place_in_the_batch(batch, keep, mask, seed, step):
        return masked(replace(batch, positions=torch.arange(len(batch.items))), keep, mask, seed, step)

    def unscaled(batch, keep, mask, seed, step):
        out = masked(batch, keep, mask, seed, step)
        return replace(out, weights=out.weights * keep)

    def same_at_every_step(batch, keep, mask, seed, step):
        return masked(batch, keep, mask, seed, 0)

    check_masked(masked, x, 0.5, "normalize-then-mask", 1, 5)
    for twin in (by_place_in_the_batch, unscaled, same_at_every_step):
        with pytest.raises(AssertionError):
            check_masked(twin, x, 0.5, "normalize-then-mask", 1, 5)


@pytest.mark.parametrize("mask", MASKS)
def test_keep_1_is_clean_whatever_the_stream(mask):
    x = np.random.default_rng(1).random((40, 30)) < 0.3
    x[7] = False
    batch = DeviceCSR(csr(x)).batch(torch.arange(40))
    clean = x.astype(float) if mask == "raw" else unit_rows(x.astype(float))
    runs = [masked(batch, 1.0, mask, seed, step) for seed in (0, 9) for step in (0, 1000)]
    for run in runs:
        assert torch.equal(run.weights, runs[0].weights)
        np.testing.assert_allclose(dense(run, 30), clean, rtol=1e-6)
    np.testing.assert_allclose(mask_input(x, 1.0, mask).toarray(), clean, rtol=1e-6)


def check_unbiased(draw, x, keep):
    """E x̃ = x/‖x‖, entry by entry, within five standard errors of a Bernoulli mean."""
    n = 20000
    rows = draw(np.repeat(x[None], n, 0), keep)
    clean = x / np.linalg.norm(x)
    se = clean * np.sqrt((1 - keep) / keep / n)
    assert (np.abs(np.asarray(rows.mean(axis=0)).ravel() - clean) <= 5 * se + 1e-7).all()


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9])
def test_only_normalize_then_mask_is_unbiased(keep):
    x = np.array([1.0, 0, 1, 1, 1, 0, 1])

    def draw(mask):
        return lambda rows, keep: mask_input(rows, keep, mask, torch.Generator().manual_seed(4))

    check_unbiased(draw("normalize-then-mask"), x, keep)
    for biased in ("mask-then-normalize", "raw"):
        with pytest.raises(AssertionError):
            check_unbiased(draw(biased), x, keep)


@pytest.mark.parametrize("mask", MASKS)
@given(x=binary_rows, keep=st.floats(0.05, 1))
def test_mask_input_follows_the_convention_of_its_own_mask(mask, x, keep):
    for rows in (x.astype(float), csr(x), torch.from_numpy(x.astype(np.float32))):
        out = mask_input(rows, keep, mask, torch.Generator().manual_seed(3))
        assert out.dtype == (np.float64 if rows.dtype == np.float64 else np.float32)
        got = out.toarray()
        b = got != 0
        assert not (b & ~x).any()
        assert out.nnz == b.sum()
        np.testing.assert_allclose(got, dense_input(x, b, keep, mask), rtol=1e-6)
        again = mask_input(rows, keep, mask, torch.Generator().manual_seed(3))
        assert (again != out).nnz == 0


def test_every_row_draws_its_own_mask():
    kept = mask_input(np.ones((2000, 8)), 0.3, "raw", torch.Generator().manual_seed(0)).toarray()
    assert abs(kept.mean() - 0.3) < 5 * np.sqrt(0.3 * 0.7 / kept.size)
    agree = (kept[::2] == kept[1::2]).mean()  # independent rows agree with probability ρ² + (1−ρ)²
    assert abs(agree - 0.58) < 5 * np.sqrt(0.58 * 0.42 / (kept.size / 2))


def test_keep_must_be_a_probability():
    for keep in [0, -0.1, 1.5, float("nan")]:
        with pytest.raises(InputError, match="keep"):
            mask_input(np.ones((1, 2)), keep)


def test_unknown_mask_is_named():
    with pytest.raises(InputError, match="mask='dropout' is unknown; choose one of normalize-then-mask"):
        mask_input(np.ones((1, 2)), 0.5, "dropout")


def test_which_input_a_convention_makes_of_a_whole_row():
    """x/‖x‖ or x is found out from what it makes of users with four items and with one; anything else is refused."""
    assert [normalizes(m) for m in MASKS] == [True, True, False]
    batch = DeviceCSR(csr([[1, 1, 1, 1], [0, 1, 0, 0]])).batch(torch.arange(2))
    for mask, whole in zip(MASKS, ([0.5] * 4 + [1], [0.5] * 4 + [1], [1] * 5), strict=True):
        assert clean(batch, mask).weights.tolist() == whole

    @register_mask("half-in-test")
    def half(rows, counts, kept, keep):
        return 0.5 * kept

    with pytest.raises(InputError, match="mask='half-in-test' makes something else than"):
        normalizes("half-in-test")
