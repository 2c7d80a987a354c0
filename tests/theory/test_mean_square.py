"""Contraction in the mean square: the bound, that it is attained, and that a smaller constant is wrong."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minivae import InputError
from minivae.theory.distances import w2_gaussian
from minivae.theory.mean_square import mean_square_contraction


def population(seed):
    rng = np.random.default_rng(seed)
    n = rng.integers(2, 9)
    return rng.standard_normal((n, 3)) * rng.choice([0.1, 1, 5]), np.exp(rng.standard_normal((n, 3)))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 100_000))
def test_the_left_side_is_the_mean_over_pairs_and_below_the_bound(seed):
    mu, sd = population(seed)
    got = mean_square_contraction(mu, sd)
    pairs = [w2_gaussian(mu[u], sd[u], mu[v], sd[v]) ** 2 for u, v in permutations(range(len(mu)), 2)]
    np.testing.assert_allclose(got.distance, np.mean(pairs), rtol=1e-9)
    assert got.distance <= got.bound * (1 + 1e-12)


def check_bound(scale):
    """Opposite means with σ = 1 attain the bound for two users; so no smaller constant will do."""
    for a in (0.1, 2.0):
        got = mean_square_contraction([[-a], [a]], [[1.0], [1.0]])
        assert got.distance <= scale * got.bound * (1 + 1e-12)


def test_it_is_attained():
    check_bound(1.0)
    with pytest.raises(AssertionError):
        check_bound(0.99)


def test_bad_input():
    with pytest.raises(InputError, match="U >= 2"):
        mean_square_contraction([[1.0]], [[1.0]])
