"""The Bayes form of Proposition 3.2, against a minimiser that knows only masks, one after the other."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from minivae import InputError
from minivae.theory.ambiguity import bayes_minimizer, views_of

KEEP, LAM = 0.4, 0.7


def world(seed, users=4, items=5, d=2):
    rng = np.random.default_rng(seed)
    x = (rng.random((users, items)) < 0.5).astype(int)
    x[:, 0] = 1
    root = rng.normal(size=(d, d))
    return x, root @ root.T + 0.1 * np.eye(d), rng.normal(size=(users, d)), 3 * rng.normal(size=(users, d))


def brute_force(x, keep, h, lam, free, centroids):
    """The mean loss over users and masks, written down mask by mask, minimised over a free answer to every view."""
    cases = []
    for u, row in enumerate(x):
        for mask in product((0, 1), repeat=len(row)):
            p = np.prod([keep if b else 1 - keep for b in mask])
            cases.append((tuple(int(a and b) for a, b in zip(row, mask, strict=True)), u, p))
    names = sorted({v for v, _, _ in cases})
    at = {v: k for k, v in enumerate(names)}
    where, who, p = (np.array(t) for t in zip(*((at[v], u, p) for v, u, p in cases), strict=True))

    def cost(flat):
        mu = flat.reshape(len(names), -1)[where]
        away, pull = mu - free[who], mu - centroids[who]
        each = p[:, None] * (away @ h + 2 * lam * pull)
        slope = np.zeros((len(names), free.shape[1]))
        np.add.at(slope, where, each)
        return float(p @ (0.5 * ((away @ h) * away).sum(1) + lam * (pull**2).sum(1))), slope.ravel()

    found = optimize.minimize(cost, np.zeros(len(names) * free.shape[1]), jac=True, method="BFGS", tol=1e-11)
    return np.array(names), found.x.reshape(len(names), -1)


def check_bayes(answer):
    for seed in range(3):
        x, h, free, centroids = world(seed)
        names, found = brute_force(x, KEEP, h, LAM, free, centroids)
        views = views_of(x, KEEP)
        np.testing.assert_array_equal(views.views, names)
        np.testing.assert_allclose(answer(views, h, LAM, free, centroids), found, atol=1e-4)


def test_the_best_answer_is_the_mean_of_those_behind_the_view():
    check_bayes(bayes_minimizer)


def most_likely(views, h, lam, free, centroids):
    """Broken twin: the centroid of one user, as if a view told whose it is."""
    sure = np.eye(len(free))[views.whose.argmax(1)]
    pulled = h + 2 * lam * np.eye(len(h))
    return np.linalg.solve(pulled, h @ views.expected(free).T + 2 * lam * (sure @ centroids).T).T


def half(views, h, lam, free, centroids):
    return bayes_minimizer(views, h, lam / 2, free, centroids)


@pytest.mark.parametrize("twin", [most_likely, half])
def test_twins_are_rejected(twin):
    with pytest.raises(AssertionError):
        check_bayes(twin)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(0.1, 0.9))
def test_laws_sum_to_one_and_the_mean_answer_is_kept(seed, keep):
    x, h, free, _ = world(seed)
    views = views_of(x, keep, np.arange(1.0, 5))
    np.testing.assert_allclose(views.seen.sum(0), 1, atol=1e-12)
    np.testing.assert_allclose(views.whose.sum(1), 1, atol=1e-12)
    told = bayes_minimizer(views, h, 0.0, free, free)
    prior = np.arange(1.0, 5) / 10
    np.testing.assert_allclose(prior @ (views.seen.T @ told), prior @ free, atol=1e-9)  # the law of total expectation


def test_some_variance_over_masks_stays_however_strong_the_anchors_are():
    """Proposition 3.2 with a fixed centroid lets it shrink to τ² → 0."""
    _, h, free, centroids = world(1)
    x = np.array([[1, 1, 0, 0, 1], [1, 0, 1, 0, 0], [1, 1, 1, 1, 0], [1, 0, 0, 1, 1]])
    views = views_of(x, KEEP)
    before = views.variance(bayes_minimizer(views, h, 1e-9, free, centroids))
    strong = views.variance(bayes_minimizer(views, h, 1e9, free, centroids))
    tau = (np.linalg.eigvalsh(h)[-1] / (np.linalg.eigvalsh(h)[-1] + 2e9)) ** 2
    assert (before > 0.01).all()
    assert (strong > 1e6 * tau * before).all()
    np.testing.assert_allclose(strong, views.variance(views.expected(centroids)), rtol=1e-6)


def test_where_a_view_belongs_to_one_user_the_proposition_holds():
    """Users without common items and a view that is not empty: the answer does not depend on the mask."""
    x, h, free, centroids = np.kron(np.eye(3, dtype=int), np.ones((1, 2), int)), np.eye(2), *world(2, 3)[2:]
    views = views_of(x, KEEP)
    told = bayes_minimizer(views, h, LAM, free, centroids)
    by_hand = (free + 2 * LAM * centroids) / (1 + 2 * LAM)
    for u in range(3):
        own = (views.seen[:, u] > 0) & views.views.any(1)
        np.testing.assert_allclose(told[own], np.tile(by_hand[u], (own.sum(), 1)), atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((np.ones((2, 20)), 0.5), "too many masks"),
        ((np.ones((2, 3)), 1.0), "below 1"),
        ((np.ones((2, 3)), 0.5, np.array([1.0, 0.0])), "positive number"),
    ],
)
def test_bad_input_is_one_sentence(arguments, says):
    with pytest.raises(InputError, match=says):
        views_of(*arguments)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"lam": -1.0}, "lam"),
        ({"lam": float("nan")}, "lam"),
        ({"H": np.array([[1.0, 2.0], [0.0, 1.0]])}, "symmetric"),
        ({"H": -np.eye(2)}, "positive definite"),
        ({"H": np.zeros((2, 2)), "lam": 0.0}, "positive definite"),
        ({"H": np.eye(3)}, "do not fit"),
        ({"free": np.zeros((3, 2))}, "do not fit"),
        ({"centroids": np.zeros((2, 1))}, "do not fit"),
    ],
)
def test_what_has_no_best_answer_is_refused(change, says):
    given = {"H": np.eye(2), "lam": 0.5, "free": np.zeros((2, 2)), "centroids": np.zeros((2, 2))} | change
    with pytest.raises(InputError, match=says):
        bayes_minimizer(views_of([[1, 0], [1, 1]], keep=0.5), **given)
