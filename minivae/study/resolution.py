"""The smallest difference that a study can tell from nothing, said before it runs."""

import math

from scipy import stats

PERSISTENT, OF_A_SEED = 0.0013, 0.0049
"""Variance over users of nDCG@100 of one setting of a model minus another: what stays when seeds are averaged, and what
each seed adds. From the paired differences of the stored studies, of five seeds and of one."""
UNLIKE, UNLIKE_FEW_ITEMS = 0.09, 0.2
"""Standard deviation over users between models of different kinds: on the planted data and MovieLens-1M, and on the
Debian data, whose test users have few held-out items."""
OVER_USERS = 1.96
"""Standard errors in half of a 95 % interval over many users."""


def half_width(spread: float, n_users: int, errors: float = OVER_USERS) -> float:
    """Half of a 95 % interval of a mean difference over users.

    Parameters
    ----------
    spread : float
        Standard deviation over users of the paired difference.
    n_users : int
        Test users with held-out items.
    errors : float, default 1.96
        Standard errors of a mean over so many users in half of an interval.

    Returns
    -------
    float
        ``errors spread / √n_users``.

    Examples
    --------
    >>> round(half_width(0.09, 2000), 4)
    0.0039
    """
    return errors * spread / math.sqrt(n_users)


def of_folds(n_folds: int) -> float:
    """Standard errors in half of the interval of `pool_folds`: of K means, ``t_{K−1}``.

    >>> round(of_folds(5), 2)
    2.78
    """
    return float(stats.t.ppf(0.975, n_folds - 1))


def of_draws(n_draws: int, n_test: int, n_train: int) -> float:
    """Standard errors, of one draw's mean, in half of the interval of `pool`: ``t_{K−1} √(1/K + n_test/n_train)``.

    Users that are tested in several draws bring the means of the draws nearer to each other and are added again: of
    this, which nearly cancels, nothing is in here.

    >>> round(of_draws(5, 1000, 4000), 2)
    1.86
    """
    return of_folds(n_draws) * math.sqrt(1 / n_draws + n_test / n_train)


def sentence(n_users: int, seeds: int, errors: float = OVER_USERS, parts: str = "") -> str:
    """What a study of so many test users and seeds will leave undecided; `parts` says what is pooled.

    >>> print(sentence(2000, 5)[:98])
    2,000 test users, seeds 5: differences of nDCG@100 below about .0021 between settings of one model
    >>> print(sentence(2000, 5, of_folds(5), "5 folds pooled, ")[:114])
    5 folds pooled, 2,000 test users, seeds 5: differences of nDCG@100 below about .0030 between settings of one model
    """
    alike = half_width(math.sqrt(PERSISTENT + OF_A_SEED / seeds), n_users, errors)
    unlike, few = (half_width(s, n_users, errors) for s in (UNLIKE, UNLIKE_FEW_ITEMS))
    of_one, of_two, of_few = (f"{x:.4f}".removeprefix("0") for x in (alike, unlike, few))
    return (
        f"{parts}{n_users:,} test users, seeds {seeds}: differences of nDCG@100 below about {of_one} between "
        f"settings of one model, and below about {of_two} between models of different kinds ({of_few} where users "
        "have few items), will not be told apart from 0: that is half of a 95 % interval with the spread over users "
        "of earlier studies."
    )
