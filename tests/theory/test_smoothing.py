"""PIA is Laplacian smoothing: the identity, the best anchors, and the matrix behind it."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minivae import InputError
from minivae.theory.anchoring import alignment
from minivae.theory.smoothing import best_anchors, smoothing_energy, smoothing_weights


def users(seed, n_users=12, n_items=20):
    rng = np.random.default_rng(seed)
    x = (rng.random((n_users, n_items)) < 0.3).astype(float)
    x[np.arange(n_users), rng.integers(n_items, size=n_users)] = 1
    return x, rng.standard_normal((n_users, 3)), 0.1 + rng.random((n_users, 3))


def check_identity(weights_of):
    """The anchor loss at its best anchors, item by item, is the energy of the graph of users."""
    for seed in range(4):
        x, mu, sd = users(seed)
        total = alignment(mu, sd, best_anchors(mu, x), x).total.sum()
        w = weights_of(x)
        pairs = sum(w[u, v] * ((mu[u] - mu[v]) ** 2).sum() for u in range(12) for v in range(12))
        np.testing.assert_allclose(total, (sd**2).sum() + pairs / 2, rtol=1e-10)
        np.testing.assert_allclose(smoothing_energy(mu, x), pairs / 2, rtol=1e-10)


def test_the_anchor_loss_at_its_best_is_the_energy_of_a_graph():
    check_identity(lambda x: smoothing_weights(x).toarray())


@pytest.mark.parametrize(
    "twin",
    [
        lambda x: (x / x.sum(1, keepdims=True)) @ (x / x.sum(1, keepdims=True)).T,  # rare items count as others
        lambda x: x @ np.diag(1 / np.maximum(x.sum(0), 1)) @ x.T,  # long users count more
        lambda x: np.full((len(x), len(x)), 1 / len(x)),  # everybody with everybody
    ],
)
def test_other_graphs_are_rejected(twin):
    with pytest.raises(AssertionError):
        check_identity(twin)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_no_other_anchors_are_better_and_the_matrix_is_doubly_stochastic(seed):
    x, mu, sd = users(seed)
    best = best_anchors(mu, x)
    least = alignment(mu, sd, best, x).total.sum()
    rng = np.random.default_rng(seed)
    for size in (1e-2, 1.0):
        assert alignment(mu, sd, best + size * rng.standard_normal(best.shape), x).total.sum() >= least - 1e-9
    w = smoothing_weights(x).toarray()
    np.testing.assert_allclose(w, w.T, atol=1e-15)
    np.testing.assert_allclose(w.sum(1), 1)
    assert (w >= 0).all()
    np.testing.assert_allclose(smoothing_energy(mu + 1e6, x), smoothing_energy(mu, x), rtol=1e-5)


def test_rare_items_pull_more_and_nobodys_item_pulls_nobody():
    x = np.zeros((6, 5))
    x[:, 0] = 1  # everybody has it
    x[:2, 1] = 1  # two users only
    w = smoothing_weights(x).toarray()
    assert w[0, 1] > w[0, 2]
    assert (best_anchors(np.ones((6, 2)), x)[4] == 0).all()
    with pytest.raises(InputError, match="user 1 has no items"):
        smoothing_weights(sp.csr_matrix(np.array([[1, 0], [0, 0]])))
    with pytest.raises(InputError, match="expected"):
        smoothing_energy(np.ones((3, 2)), x)


@pytest.mark.parametrize("of", [best_anchors, smoothing_energy])
def test_means_that_do_not_fit_the_users_are_one_sentence(of):
    x, mu, _ = users(0)
    with pytest.raises(InputError, match="12 users; expected"):
        of(mu[:5], x)
    with pytest.raises(InputError, match="mu holds NaN"):
        of(np.where(np.arange(12)[:, None] == 3, np.nan, mu), x)


def test_half_precision_costs_only_its_own_rounding():
    """The product is taken in float64: what is left is that of the means, 2⁻⁸, and of the result."""
    x, mu, _ = users(1)
    low = torch.from_numpy(mu).bfloat16()
    got = best_anchors(low, x)
    assert got.dtype == torch.bfloat16
    np.testing.assert_allclose(got.double(), best_anchors(low.double(), x), rtol=2**-8)


def test_columns_of_the_sparse_matrix_are_in_order():
    w = smoothing_weights(users(2)[0])
    assert all((np.diff(w.indices[a:b]) > 0).all() for a, b in zip(w.indptr, w.indptr[1:], strict=False))


def test_users_who_share_nothing_have_no_energy_and_never_less():
    """Three items each, of their own: every difference is 0, and what rounding leaves of it is not negative."""
    x = np.kron(np.eye(12), np.ones((1, 3)))
    for seed in range(40):
        energy = float(smoothing_energy(np.random.default_rng(seed).standard_normal((12, 3)), x))
        assert 0 <= energy < 1e-12
