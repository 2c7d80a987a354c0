"""EDLAE and SLIM against their objectives: every mask enumerated, gradient descent, and non-negative least squares."""

import itertools
import math
from itertools import product

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from minivae import EASE, EDLAE, SLIM, InputError, Popularity, compare, evaluate
from minivae.models import item_item


def users(seed=0, n_users=40, n_items=6, share=0.4):
    return (np.random.default_rng(seed).random((n_users, n_items)) < share).astype(np.float64)


def expected_loss(x, weights, dropout, l2):
    """E_δ ‖X − (δ(X)/(1−p)) B‖² + l2 ‖B‖², the 2^I masks one by one: rows are independent, one mask for all will do."""
    total = l2 * weights.square().sum()
    for mask in itertools.product((0.0, 1.0), repeat=x.shape[1]):
        kept = int(sum(mask))
        chance = (1 - dropout) ** kept * dropout ** (len(mask) - kept)
        total = total + chance * (x - (x * torch.tensor(mask, dtype=x.dtype) / (1 - dropout)) @ weights).square().sum()
    return total


def by_gradient_descent(x, loss):
    """The zero-diagonal B at which the gradient of `loss` vanishes."""
    free = torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64, requires_grad=True)
    off = 1 - torch.eye(x.shape[1], dtype=torch.float64)
    optimizer = torch.optim.LBFGS(
        [free], max_iter=500, tolerance_grad=1e-12, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        value = loss(free * off)
        value.backward()
        return value

    optimizer.step(closure)
    return (free * off).detach().numpy()


def check_edlae(weights, dropout, l2):
    x = torch.from_numpy(users())
    found = by_gradient_descent(x, lambda b: expected_loss(x, b, dropout, l2))
    np.testing.assert_allclose(weights, found, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("dropout", "l2"), [(0.33, 2.0), (0.6, 0.5)])
def test_edlae_minimises_the_expectation_over_all_masks(dropout, l2):
    check_edlae(EDLAE(dropout, l2).fit(users()).weights.numpy(), dropout, l2)
    x = users()
    twins = [EASE(l2), EDLAE(1 - dropout, l2), EDLAE(dropout, 2 * l2), EASE(l2 + dropout * x.sum(0).mean())]
    for twin in twins:
        with pytest.raises(AssertionError):
            check_edlae(twin.fit(x).weights.numpy(), dropout, l2)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 99), dropout=st.floats(0, 0.9), l2=st.floats(0.5, 50))
def test_edlae_is_ridge_regression_with_a_penalty_for_each_item(seed, dropout, l2):
    x = users(seed, 30, 9)
    weights = EDLAE(dropout, l2).fit(sp.csr_matrix(x)).weights.numpy()
    penalty = x.sum(0) * dropout / (1 - dropout) + l2
    for j in range(x.shape[1]):
        others = np.arange(x.shape[1]) != j
        a = x[:, others]
        b = np.linalg.solve(a.T @ a + np.diag(penalty[others]), a.T @ x[:, j])
        np.testing.assert_allclose(weights[others, j], b, rtol=0, atol=1e-5)
        assert weights[j, j] == 0


def test_without_dropout_edlae_is_ease_to_the_bit():
    x = users()
    assert torch.equal(EDLAE(0, 3.0).fit(x).weights, EASE(3.0).fit(x).weights)


def slim_by_columns(x, l1, l2):
    """Each column by non-negative least squares: ½ l2 b² + l1 b = ½ (√l2 b + l1/√l2)² + a constant is one more row."""
    n = x.shape[1]
    weights = np.zeros((n, n))
    for j in range(n):
        others = np.arange(n) != j
        a = np.vstack([x[:, others], math.sqrt(l2) * np.eye(n - 1)])
        weights[others, j] = nnls(a, np.concatenate([x[:, j], np.full(n - 1, -l1 / math.sqrt(l2))]))[0]
    return weights


def check_slim(weights, x, l1, l2):
    np.testing.assert_allclose(weights, slim_by_columns(x, l1, l2), rtol=0, atol=1e-5)


def dense(model):
    return model.weights.toarray()


def test_slim_is_non_negative_least_squares_of_each_column(monkeypatch):
    for (l1, l2), rho in product([(1.0, 5.0), (0.0, 2.0), (4.0, 0.5)], [10.0, 60.0]):
        monkeypatch.setattr(item_item, "BLOCK", 7)
        x = users(3, 80, 20, 0.3)
        model = SLIM(l1, l2, rho, 5000, 1e-7).fit(sp.csr_matrix(x))
        assert model.rounds < 5000
        check_slim(dense(model), x, l1, l2)
        assert (model.weights.data > 0).all()
        assert not model.weights.diagonal().any()
        twins = [
            SLIM(l1 + 0.1, l2, rho, 5000, 1e-7).fit(x),
            SLIM(l1, 2 * l2, rho, 5000, 1e-7).fit(x),
            SLIM(l1, l2, rho, 2, 1e-7).fit(x),  # too few rounds
        ]
        for twin in [*map(dense, twins), EASE(l2).fit(x).weights.clamp_min(0).numpy(), dense(model).T]:
            with pytest.raises(AssertionError):
                check_slim(twin, x, l1, l2)


def test_slim_meets_the_conditions_of_its_minimum():
    """Karush, Kuhn, Tucker: where B > 0 the gradient is 0, elsewhere it is not negative."""
    x = users(5, 120, 30, 0.2)
    b = dense(SLIM(2.0, 8.0, 40.0, 5000, 1e-7).fit(x)).astype(np.float64)
    gradient = x.T @ (x @ b - x) + 8.0 * b + 2.0
    off = ~np.eye(30, dtype=bool)
    assert np.abs(gradient[(b > 0) & off]).max() < 1e-3
    assert gradient[(b == 0) & off].min() > -1e-3
    assert 0 < (b > 0).sum() < 30 * 29 / 2


def test_a_larger_l1_keeps_fewer_weights():
    x = users(6, 100, 25, 0.25)
    kept = [SLIM(l1, 5.0, 50.0).fit(x).weights.nnz for l1 in (0.0, 1.0, 4.0, 100.0)]
    assert kept == sorted(kept, reverse=True)
    assert kept[-1] == 0 < kept[-2]


@pytest.mark.parametrize("model", [EDLAE(0.3, 20.0), SLIM(0.5, 10.0, 50.0)])
def test_they_rank_better_than_popularity(model, toy_split):
    popularity = evaluate(Popularity().fit(toy_split.train), toy_split.test)
    gain = compare(evaluate(model.fit(toy_split.train), toy_split.test), popularity)["ndcg@100"]
    assert gain.difference > 5 * gain.se


def test_edlae_says_what_is_out_of_range():
    for bad in [{"dropout": 1.0}, {"dropout": -0.1}, {"dropout": math.nan}, {"dropout": True}, {"l2": 0}]:
        with pytest.raises(InputError, match=next(iter(bad))):
            EDLAE(**bad)


def test_slim_says_what_is_out_of_range():
    for bad in [{"l1": -1.0}, {"l2": math.inf}, {"rho": 0.0}, {"iterations": 0}, {"tolerance": math.nan}]:
        with pytest.raises(InputError, match=next(iter(bad))):
            SLIM(**bad)
