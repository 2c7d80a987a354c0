"""Scores against retraining: does a matrix of "who helps whom" say what happens when users are left out?"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from minivae.errors import InputError, check_whole


@dataclass(frozen=True)
class Lds:
    """The linear datamodeling score of a matrix of scores.

    Attributes
    ----------
    per_user : ndarray
        (R,) Spearman correlation over the subsets of ``Σ_{v∈D_k} score(u, v)`` and minus u's loss.
    mean : float
        Over users; 0 is chance, 1 a perfect order.
    low, high : float
        95 % interval of the mean, by a percentile bootstrap over users and over subsets; it need not be symmetric.
    """

    per_user: np.ndarray
    mean: float
    low: float
    high: float


def halves(n_users: int, n_subsets: int, seed: int = 0) -> np.ndarray:
    """(K, U) bool: K random halves of the users, each of exactly ``n_users // 2`` of them."""
    check_whole(2, n_users=n_users, n_subsets=n_subsets)
    rng = np.random.default_rng(seed)
    subsets = np.zeros((n_subsets, n_users), bool)
    for row in subsets:
        row[rng.permutation(n_users)[: n_users // 2]] = True
    return subsets


def lds(scores: np.ndarray, subsets: np.ndarray, losses: np.ndarray, n_bootstrap: int = 300, seed: int = 0) -> Lds:
    """Linear datamodeling score (Park et al., ICML 2023): the order of losses that a sum of scores predicts.

    ``mean_u Spearman_k( Σ_{v∈D_k} score(u, v), −loss_u(D_k) )``.

    Parameters
    ----------
    scores : ndarray
        (R, U) how much training user v is said to help user u; larger is more help.
    subsets : ndarray
        (K, U) bool, the users that run k was trained on.
    losses : ndarray
        (K, R) loss of each user after run k; anything of which less is better.
    n_bootstrap : int, default 300
        Draws for the interval; users and subsets are drawn again with replacement, independently.

    Raises
    ------
    InputError
        If the shapes do not fit, fewer than 3 subsets are given, or a number is NaN.

    Examples
    --------
    >>> helps = np.array([[3.0, 2.0, 1.0, 0.5]])
    >>> subsets = halves(4, 6, seed=1)
    >>> lds(helps, subsets, -(subsets @ helps.T)).mean
    1.0
    """
    scores, subsets, losses = np.asarray(scores), np.asarray(subsets, bool), np.asarray(losses, float)
    fit = scores.ndim == losses.ndim == 2 and subsets.shape == (len(losses), scores.shape[1])
    if not fit or losses.shape[1] != len(scores) or len(losses) < 3:
        raise InputError(
            f"scores {scores.shape}, subsets {subsets.shape} and losses {losses.shape} do not fit; "
            "expected (R, U), (K, U) and (K, R) with K >= 3"
        )
    if not (np.isfinite(scores).all() and np.isfinite(losses).all()):
        raise InputError("scores or losses hold NaN or infinity; leave out the users without a loss")
    predicted = scores.astype(np.float64) @ subsets.T.astype(np.float64)  # (R, K)
    return _summary(predicted, -losses.T, n_bootstrap, seed)


def lds_of_sums(sums: np.ndarray, losses: np.ndarray, n_bootstrap: int = 300, seed: int = 0) -> Lds:
    """`lds` from sums that were taken before: (R, K) ``Σ_{v∈D_k} score(u, v)``, and (K, R) losses."""
    return _summary(np.asarray(sums, float), -np.asarray(losses, float).T, n_bootstrap, seed)


def personal(values: np.ndarray) -> np.ndarray:
    """What in a table (R, K) is not common to all users: rows standardised over K, then the column's mean taken off.

    A half may be good for nearly all of them; without this part, a score has to know whom it helps.
    A row that does not vary becomes 0 before the means are taken.
    """
    values = np.asarray(values, float)
    spread = values.std(1, keepdims=True)
    standard = np.divide(values - values.mean(1, keepdims=True), spread, out=np.zeros_like(values), where=spread > 0)
    return standard - standard.mean(0)


def ceiling(losses: np.ndarray, again: np.ndarray, n_bootstrap: int = 300, seed: int = 0) -> Lds:
    """How well a second run of the same subsets predicts the first; a score can be expected to reach its square root.

    Both losses hold the chance of a seed and a score holds none, so a score may lie above this correlation itself.

    Parameters
    ----------
    losses, again : ndarray
        (K, R) losses after training on the same subsets with two seeds.

    Raises
    ------
    InputError
        If the two do not fit each other.
    """
    losses, again = np.asarray(losses, float), np.asarray(again, float)
    if losses.ndim != 2 or losses.shape != again.shape or 0 in losses.shape:
        raise InputError(f"losses {losses.shape} and again {again.shape} do not fit; expected (K, R) both")
    return _summary(-again.T, -losses.T, n_bootstrap, seed)


def _summary(predicted: np.ndarray, seen: np.ndarray, n_bootstrap: int, seed: int) -> Lds:
    """Spearman per row, and the bootstrap interval of its mean."""
    per_user = _spearman(predicted, seen)
    rng = np.random.default_rng(seed)
    n_users, n_subsets = seen.shape
    means = []
    for _ in range(n_bootstrap):
        k = rng.integers(n_subsets, size=n_subsets)
        again = _spearman(predicted[:, k], seen[:, k])
        means.append(again[rng.integers(n_users, size=n_users)].mean())
    low, high = np.quantile(means, (0.025, 0.975)) if means else (np.nan, np.nan)
    return Lds(per_user, float(per_user.mean()), float(low), float(high))


def _spearman(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Rank correlation of each row of a with that of b; 0 where one of them is constant."""
    ranks = (rankdata(t, axis=1) for t in (a, b))
    a, b = (r - r.mean(1, keepdims=True) for r in ranks)
    size = np.sqrt((a**2).sum(1) * (b**2).sum(1))
    return np.divide((a * b).sum(1), size, out=np.zeros(len(a)), where=size > 0)
