"""iALS: fold-in against the normal equations, the objective it lowers, and a clear sentence without the library."""

from importlib.util import find_spec

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from minivae import IALS, InputError, Popularity, compare, evaluate
from minivae.models import ials

needs_implicit = pytest.mark.skipif(find_spec("implicit") is None, reason="the extra ials is not installed")


def users():
    return (np.random.default_rng(0).random((60, 25)) < 0.25).astype(np.float64)


def fold_in(x, items, alpha, l2):
    """Each user's ridge regression on all items, written out: (Hᵀ C H + l2·I) w = Hᵀ C x."""
    scores = []
    for row in x:
        c = np.where(row > 0, alpha, 1.0)
        w = np.linalg.solve(items.T @ (c[:, None] * items) + l2 * np.eye(items.shape[1]), items.T @ (c * row))
        scores.append(items @ w)
    return np.array(scores)


@needs_implicit
def test_new_users_are_folded_in_exactly():
    model = IALS(factors=6, l2=3.0, alpha=8.0).fit(sp.csr_matrix(users()))
    items = model._als.item_factors.astype(np.float64)
    new = (np.random.default_rng(1).random((9, 25)) < 0.3).astype(np.float64)
    new[4] = 0  # a user without items
    got = model.score(sp.csr_matrix(new)).numpy()
    np.testing.assert_allclose(got, fold_in(new, items, 8.0, 3.0), rtol=0, atol=1e-4)
    np.testing.assert_array_equal(got, model.score(new).numpy())
    for twin in (fold_in(new, items, 7.0, 3.0), fold_in(new, items, 8.0, 3.5)):
        with pytest.raises(AssertionError):
            np.testing.assert_allclose(got, twin, rtol=0, atol=1e-4)


def objective(x, w, h, alpha, l2):
    c = np.where(x > 0, alpha, 1.0)
    return (c * (x - w @ h.T) ** 2).sum() + l2 * ((w**2).sum() + (h**2).sum())


@needs_implicit
def test_it_minimises_the_documented_objective():
    """After many rounds nothing in any direction is lower, up to the few steps of conjugate gradients."""
    x = users()
    model = IALS(factors=4, l2=2.0, alpha=5.0, iterations=200).fit(x)
    w, h = (f.astype(np.float64) for f in (model._als.user_factors, model._als.item_factors))
    found = objective(x, w, h, 5.0, 2.0)
    g = np.random.default_rng(2)
    for _ in range(50):
        dw, dh = (0.02 * g.standard_normal(f.shape) for f in (w, h))
        assert objective(x, w + dw, h + dh, 5.0, 2.0) > found
    other = [objective(x, (1 + s) * w, (1 + s) * h, 5.0, 4.0) for s in (-0.02, 0.0)]
    assert other[0] < other[1]  # twin: with another penalty it is no minimum


@needs_implicit
def test_it_ranks_better_than_popularity(toy_split):
    model = IALS(factors=12, l2=5.0).fit(toy_split.train)
    popularity = evaluate(Popularity().fit(toy_split.train), toy_split.test)
    gain = compare(evaluate(model, toy_split.test), popularity)["ndcg@100"]
    assert gain.difference > 5 * gain.se
    assert model.size(*toy_split.train.shape) == (400 + 120) * 12


@needs_implicit
def test_one_thread_is_the_same_to_the_bit(toy_split):
    scores = [IALS(factors=8, seed=seed).fit(toy_split.train).score(toy_split.test.history) for seed in (3, 3, 4)]
    assert torch.equal(scores[0], scores[1])
    assert not torch.equal(scores[0], scores[2])


@needs_implicit
def test_bad_input_is_one_sentence(toy_split):
    for bad in ({"factors": 0}, {"alpha": 1.0}, {"l2": 0}, {"iterations": 0}, {"threads": 0}):
        with pytest.raises(InputError, match=r"must be (a whole number, at least 1|positive)"):
            IALS(**bad)
    with pytest.raises(InputError, match="columns"):
        IALS(factors=2).fit(toy_split.train).score(toy_split.test.history[:, :-1])


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(ials, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'needs the library implicit; install it with: pip install "minivae\[ials\]"'):
        IALS()
