"""The planted population: exact sizes, the sampling law by brute force, statistics near MovieLens-1M, a true truth."""

import hashlib
import importlib.util
import itertools
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minivae.data import population
from minivae.data.codes import order_of_appearance
from minivae.data.population import Truth, planted
from minivae.data.population_draws import PlantedItems, successive_sample
from minivae.data.population_law import SHAPES, Law
from minivae.data.strong_split import strong_split
from minivae.errors import InputError

SCRIPT = Path(__file__).parents[2] / "data_scripts" / "match_population.py"


@pytest.fixture(scope="module")
def default():
    return planted()


@pytest.fixture(scope="module")
def small():
    return planted(seed=3, n_users=700, n_items=300, n_events=21_000)


def check_valid(data, n_users, n_items, n_events):
    assert (data.n_users, data.n_items, data.n_events) == (n_users, n_items, n_events)
    assert (np.diff(data.user) >= 0).all()
    assert np.unique(data.user.astype(np.int64) * n_items + data.item).size == n_events
    assert np.bincount(data.user, minlength=n_users).min() >= 5
    assert np.bincount(data.item, minlength=n_items).min() >= 1
    assert order_of_appearance(data.item, n_items).tolist() == list(range(n_items))
    assert data.user_labels.dtype == data.item_labels.dtype == np.int64
    assert data.user.dtype == data.item.dtype == np.int32
    assert np.unique(data.item_titles).size == n_items


def test_default_is_valid(default):
    check_valid(default, 8_000, 1_500, 480_000)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_any_size_is_exact(data):
    n_users = data.draw(st.integers(2, 80))
    law = Law(
        niches=data.draw(st.integers(1, 50)),
        communities=data.draw(st.integers(1, 6)),
        taste=data.draw(st.floats(0, 20)),
        longest=data.draw(st.floats(0.2, 1)),
    )
    n_items = data.draw(st.integers(5, min(60, 5 * n_users)))
    longest = max(5, int(law.longest * n_items))
    n_events = data.draw(st.integers(max(5 * n_users, n_items), longest * n_users))
    check_valid(
        planted(data.draw(st.integers(0, 99)), None, n_users, n_items, n_events, law), n_users, n_items, n_events
    )


def test_shape_has_the_sizes_of_the_original():
    check_valid(planted(shape="ml-1m"), *SHAPES["ml-1m"])
    assert SHAPES["ml-20m"] == (136_677, 20_720, 9_990_682)
    assert SHAPES["netflix"] == (463_435, 17_769, 56_880_037)
    assert SHAPES["msd"] == (571_355, 41_140, 33_633_450)


def test_same_arguments_same_population(small, monkeypatch):
    """One core gives what many give: every chunk of users has its own stream."""
    monkeypatch.setattr(population.os, "cpu_count", lambda: 1)
    again = planted(seed=3, n_users=700, n_items=300, n_events=21_000)
    other = planted(seed=4, n_users=700, n_items=300, n_events=21_000)
    for name in ("user", "item", "item_titles"):
        assert (getattr(again, name) == getattr(small, name)).all()
    assert (again.truth.logits([0, 699]) == small.truth.logits([0, 699])).all()
    assert (again.truth.far_pairs == small.truth.far_pairs).all()
    assert (other.item != small.item).mean() > 0.5


def fingerprint(data):
    truth = data.truth
    parts = [data.user, data.item, truth.far_pairs, truth.near_pairs]
    return hashlib.sha256(b"".join(np.ascontiguousarray(x, np.int64).tobytes() for x in parts)).hexdigest()[:16]


def test_the_default_is_the_same_everywhere(default):
    """What the chapters compute is made with it; a change of it is a change of the package."""
    assert fingerprint(default) == "128fba6a9b0dc8cb"


KERNELS = """
import hashlib
from test_population import fingerprint
from minivae.data.population import planted
data = planted(n_users=3_000, n_items=600)
product = data.truth.user_factors @ data.truth.item_factors.T
print(fingerprint(data), hashlib.sha256(product.tobytes()).hexdigest()[:16], product.dtype)
"""


@pytest.mark.slow
@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="kernels of another kind cannot be chosen here"
)
def test_same_population_with_the_kernels_of_other_processors():
    """Sums run in another order there; the products in 32 bits, which the law does not use, show it."""
    from numpy._core._multiarray_umath import __cpu_dispatch__ as faster

    oldest = {"OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": " ".join(faster)}
    found = []
    for kernels in ({}, oldest):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", KERNELS],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, **kernels},
            cwd=Path(__file__).parent,
        )
        found.append(done.stdout.split())
    populations, products, dtypes = map(set, zip(*found, strict=True))
    assert dtypes == {"float32"}
    assert len(products) > 1
    assert len(populations) == 1


def plackett_luce(p, length):
    """Probability of every ordered draw of `length` items without replacement, by the definition."""
    law = {}
    for order in itertools.permutations(range(len(p)), length):
        rest, probability = 1.0, 1.0
        for i in order:
            probability *= p[i] / rest
            rest -= p[i]
        law[order] = probability
    return law


def check_law(sampler, rounds):
    """Chi-square of the ordered draws of 3 of 5 items against the Plackett–Luce law, five standard errors wide."""
    rng = np.random.default_rng(0)
    items = PlantedItems.draw(
        rng, 5, rng.standard_normal((2, 3)), Law(niches=3, communities=2, rank=3, popularity_shift=0.4)
    )
    theta = np.tile(rng.standard_normal(4).astype(np.float32) * 0.7, (2_000, 1))
    truth = Truth(None, None, theta, items.niche_factors[items.niche], items.popularity)
    p = np.exp(truth.logits([0])[0])
    law = plackett_luce(p / p.sum(), 3)
    size = np.full(2_000, 3)
    drawn = np.concatenate([sampler(theta, size, items, rng, rounds).reshape(-1, 3) for _ in range(20)])
    index = {order: n for n, order in enumerate(law)}
    counts = np.bincount([index[tuple(row)] for row in drawn.tolist()], minlength=len(law))
    expected = np.array(list(law.values())) * len(drawn)
    chi2, degrees = ((counts - expected) ** 2 / expected).sum(), len(law) - 1
    assert chi2 < degrees + 5 * np.sqrt(2 * degrees)


@pytest.mark.parametrize("rounds", [0, 1, 4], ids=["Gumbel only", "both", "rejection only"])
def test_draws_follow_the_plackett_luce_law(rounds):
    check_law(successive_sample, rounds)


def test_the_law_rejects_a_sampler_that_forgets_the_order():
    def sorted_draws(theta, size, items, rng, rounds):
        return np.sort(successive_sample(theta, size, items, rng, rounds).reshape(-1, 3), axis=1)

    with pytest.raises(AssertionError):
        check_law(sorted_draws, 4)


def test_the_law_rejects_a_sampler_that_ignores_taste():
    def untasteful(theta, size, items, rng, rounds):
        return successive_sample(0 * theta, size, items, rng, rounds)

    with pytest.raises(AssertionError):
        check_law(untasteful, 4)


def ndcg100(scores, split):
    """Per user, from the definition."""
    history, heldout = split.test.history.toarray(), split.test.heldout.toarray()
    top = np.argsort(np.where(history > 0, np.inf, -scores), axis=1, kind="stable")[:, :100]
    gain = np.take_along_axis(heldout, top, 1) @ (w := 1 / np.log2(np.arange(2, 102)))
    return gain / np.cumsum(w)[np.minimum(heldout.sum(1), 100).astype(int) - 1]


def test_default_separates_models(default):
    """Oracle > EASE > popularity by wide margins; .005 is more than two paired standard errors of two good models."""
    split = strong_split(default, n_heldout=2_000)
    n = split.n_items

    def ease(l2):
        b = np.linalg.inv((split.train.T @ split.train).toarray().astype(np.float64) + l2 * np.eye(n))
        b /= -np.diag(b)
        np.fill_diagonal(b, 0)
        return ndcg100(split.test.history @ b, split)

    shape = (split.test.n_users, n)
    popular = ndcg100(np.broadcast_to(np.asarray(split.train.sum(0)).ravel(), shape), split)
    oracle = ndcg100(default.truth.logits(split.test.user_labels)[:, split.item_labels], split)
    good, near = ease(400.0), ease(4_000.0)
    se = (good - near).std() / np.sqrt(len(good))
    assert popular.mean() + 0.05 < good.mean() < oracle.mean() - 0.02
    assert 0 < se < 0.0025


def check_truth(truth, data):
    """True preferences rank a user's own items above others better than popularity does."""
    users = np.arange(400)
    own = data.matrix[users].toarray() > 0
    score = truth.logits(users)
    popularity = np.asarray(data.matrix.sum(0))

    def auc(s):
        rank = s.argsort(1).argsort(1)
        n = own.sum(1)
        return ((rank * own).sum(1) - n * (n - 1) / 2) / (n * (own.shape[1] - n))

    gain = auc(score) - auc(np.broadcast_to(popularity, score.shape))
    assert gain.mean() > 5 * gain.std() / np.sqrt(len(gain))


def test_truth_belongs_to_the_data(default):
    check_truth(default.truth, default)
    t = default.truth
    shuffled = np.random.default_rng(0).permutation(default.n_users)
    with pytest.raises(AssertionError):
        check_truth(
            Truth(t.user_community, t.item_community, t.user_factors[shuffled], t.item_factors, t.popularity), default
        )


def test_titles_tell_the_community(default):
    community = [int(title.split()[1]) - 1 for title in default.item_titles]
    assert (default.truth.item_community == community).all()


def test_users_prefer_their_community(default):
    """The share of a user's events in its own community exceeds what users of other communities give to it."""
    t = default.truth
    same = t.user_community[default.user] == t.item_community[default.item]
    shuffled = np.random.default_rng(0).permutation(t.user_community)[default.user] == t.item_community[default.item]
    assert same.mean() > 1.3 * shuffled.mean()


def common_items(data, pairs):
    rows = data.matrix[pairs[:, 0]].multiply(data.matrix[pairs[:, 1]])
    return np.asarray(rows.sum(1)).ravel()


def check_pairs(data, far, near):
    n = np.bincount(data.user)
    rng = np.random.default_rng(0)
    others = rng.choice(data.n_users, (2_000, 2))
    others = others[others[:, 0] != others[:, 1]]
    typical = data.truth.similarity(*others.T)
    assert len(far) == len(near) == 200
    assert common_items(data, far).max() <= 1
    assert n[far].min() >= 10
    assert data.truth.similarity(*far.T).min() > np.quantile(typical, 0.95)
    assert data.truth.similarity(*near.T).max() <= 0

    def jaccard(pairs):
        c = common_items(data, pairs)
        return c / (n[pairs].sum(1) - c)

    assert jaccard(near).min() > np.quantile(jaccard(others), 0.95)


def test_known_pairs(default):
    far, near = default.truth.far_pairs, default.truth.near_pairs
    check_pairs(default, far, near)
    with pytest.raises(AssertionError):
        check_pairs(default, near, far)


def test_logits_are_the_stored_factors(small):
    t = small.truth
    by_hand = [
        [t.popularity[i] + float(np.dot(t.user_factors[u].astype(float), t.item_factors[i])) for i in range(5)]
        for u in (2, 9)
    ]
    np.testing.assert_allclose(t.logits([2, 9])[:, :5], by_hand, rtol=1e-6)


def test_statistics_lie_near_movielens():
    """MovieLens-1M (ratings >= 4) against the table of `minivae.population`, each statistic within its range."""
    spec = importlib.util.spec_from_file_location("match_population", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    found = script.statistics(planted(seed=1, shape="ml-1m").matrix)
    near = {  # MovieLens-1M, largest relative difference
        "activity": ([14, 27, 58, 124, 299], 0.2),
        "gini": ([0.699], 0.05),
        "singular": ([0.546, 0.455, 0.424, 0.408, 0.358, 0.328, 0.306, 0.289, 0.255, 0.238], 0.25),
    }
    for name, (aim, tolerance) in near.items():
        np.testing.assert_allclose(found[name], aim, rtol=tolerance, err_msg=name)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"shape": "ml-30m"}, "unknown shape 'ml-30m'"),
        ({"shape": "ml-1m", "n_users": 10}, "give either"),
        ({"seed": -1}, "seed must be"),
        ({"seed": 0.5}, "seed must be"),
        ({"n_users": 1}, "n_users must be"),
        ({"n_users": 2.5}, "n_users must be"),
        ({"n_items": 4}, "n_items must be"),
        ({"n_users": 10, "n_items": 10_000, "n_events": 9_000}, "can have between"),
        ({"n_users": 2, "n_items": 11}, "cannot cover"),
        ({"n_users": 100, "n_events": 499}, "can have between"),
    ],
)
def test_bad_arguments(arguments, words):
    with pytest.raises(InputError, match=words) as e:
        planted(**arguments)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    "parameters",
    [
        {"taste": float("nan")},
        {"communities": 0},
        {"longest": 2.0},
        {"popularity_shift": 0.0},
        {"user_community": -0.1},
    ],
)
def test_bad_laws(parameters):
    with pytest.raises(InputError, match=next(iter(parameters))):
        Law(**parameters)
