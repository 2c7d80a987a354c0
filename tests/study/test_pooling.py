"""Pooled intervals on numbers worked by hand: users who are tested in several draws, and folds that share none."""

from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from minivae.study.draws.pooling import pool, pool_folds

# Two draws, four users; "b" and "c" are tested in both. NaN: a user without items to be found.
VALUES = [np.array([4.0, 1.0, np.nan, 7.0]), np.array([2.0, 9.0, 4.0])]
USERS = [np.array(["a", "b", "x", "c"]), np.array(["b", "c", "d"])]


def t(df):
    return float(stats.t.ppf(0.975, df))


def check_pool(of):
    """Means 4 and 5. Residuals: a 0, b −3 and −3, c 3 and 4, d −1; each over K n_k = 6."""
    got = of(VALUES, USERS, [6, 12])
    residuals = {"a": [0], "b": [-3, -3], "c": [3, 4], "d": [-1]}
    sums = [sum((Fraction(r, 6) for r in of_user), Fraction()) for of_user in residuals.values()]
    variance = Fraction(4, 3) * sum(s**2 for s in sums)
    assert variance == Fraction(86 * 4, 36 * 3)
    own = (Fraction(9, 3) + Fraction(13, 3)) / 4  # sample variances 9 and 13, over n_k = 3; over K²
    shared = variance - own
    assert shared > 0
    between = Fraction(1, 2)  # of the means 4 and 5
    share = (Fraction(3, 6) + Fraction(3, 12)) / 2  # tested over trained on
    of_draws = (Fraction(1, 2) + share) * between
    assert got.difference == 4.5
    assert got.over_users == pytest.approx(t(3) * float(variance) ** 0.5)
    assert got.over_draws == pytest.approx((t(1) ** 2 * float(of_draws) + t(3) ** 2 * float(shared)) ** 0.5)
    half = max(got.over_users, got.over_draws)
    assert (got.low, got.high) == pytest.approx((4.5 - half, 4.5 + half))


def test_the_interval_over_draws_by_hand():
    check_pool(pool)


@pytest.mark.parametrize(
    "twin",
    [
        lambda v, u, n: pool(v, [np.array([f"{k}{w}" for w in who]) for k, who in enumerate(u)], n),  # nobody twice
        lambda v, u, n: pool(v, u, [3 * k for k in n]),  # other training users
        lambda v, u, n: pool([np.nan_to_num(x) for x in v], u, n),  # users without items count as 0
    ],
)
def test_twins_are_rejected(twin):
    with pytest.raises(AssertionError):
        check_pool(twin)


def test_users_who_come_once_add_nothing_that_is_shared():
    """With as many users as values, V_u is about the sum of the draws' own variances: nothing may be taken off."""
    values = [np.array([1.0, 2.0, 3.0, 10.0]), np.array([2.0, 2.0, 5.0, 5.0])]
    users = [np.array(list("abcd")), np.array(list("efgh"))]
    got = pool(values, users, [8, 8])
    variance = Fraction(8, 7) * sum((Fraction(int(r)) / 8) ** 2 for r in (-3, -2, -1, 6)) + Fraction(8, 7) * sum(
        (Fraction(int(r), 2) / 8) ** 2 for r in (-3, -3, 3, 3)
    )
    own = (Fraction(50, 3) / 4 + Fraction(9, 3) / 4) / 4
    assert variance < own
    of_draws = (Fraction(1, 2) + Fraction(1, 2)) * Fraction(1, 8)  # means 4 and 3.5
    assert got.over_draws == pytest.approx(t(1) * float(of_draws) ** 0.5)
    assert got.over_users == pytest.approx(t(7) * float(variance) ** 0.5)


def test_one_draw_is_the_paired_t_interval():
    values = np.random.default_rng(0).normal(0.1, 1, 30)
    got = pool([values], [np.arange(30)], [100])
    of_scipy = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (got.low, got.high, got.over_draws) == pytest.approx((of_scipy.low, of_scipy.high, 0))


def test_folds_count_as_so_many_numbers():
    """Means of folds 1, 2 and 6 of different size: S² = 7, and the interval is that of three numbers."""
    folds = [np.array([0.0, 2.0]), np.array([2.0, 2.0, np.nan, 2.0]), np.array([5.0, 7.0])]
    got = pool_folds(folds)
    of_scipy = stats.ttest_1samp([1.0, 2.0, 6.0], 0).confidence_interval(0.95)
    assert (got.difference, got.low, got.high) == pytest.approx((3, of_scipy.low, of_scipy.high))
    assert got.over_draws == pytest.approx(t(2) * (7 / 3) ** 0.5)
    everyone = [0, 2, 2, 2, 2, 5, 7]
    assert got.over_users == pytest.approx(t(6) * np.std(everyone, ddof=1) / 7**0.5)
