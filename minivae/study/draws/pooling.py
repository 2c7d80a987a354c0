"""Means over draws or folds of held-out users, each with a 95 % interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Pooled:
    """A mean over draws with its 95 % interval, the wider of two.

    Attributes
    ----------
    difference : float
        The mean.
    low, high : float
        The interval.
    over_users : float
        Half width of the interval over users.
    over_draws : float
        Half width of the interval over draws; 0 for a single one.
    """

    difference: float
    low: float
    high: float
    over_users: float
    over_draws: float


def pool(values: Sequence[np.ndarray], users: Sequence[np.ndarray], n_train: Sequence[int]) -> Pooled:
    """The mean over K draws of a mean over users, and how sure it is.

    With d_ku the value of user u in draw k, d̄_k its mean over n_k users and δ the mean of the d̄_k, two intervals are
    made, and the wider one counts:

    * over users: ``δ ± t_{n−1} √V_u`` with ``V_u = n/(n − 1) Σ_u (Σ_k (d_ku − d̄_k) / (K n_k))²`` over the n different
      users: a user who is tested in several draws is one cluster, so that no user counts twice. Right if the draws
      differ in nothing but their users; for K = 1 it is the paired t interval;
    * over draws: ``δ ± t_{K−1} √((1/K + n_test/n_train) S²)`` with S² the variance of the d̄_k (K − 1). It holds
      whatever the draws differ by (training users, weights, order), but knows only K numbers. The second term is Nadeau
      and Bengio's (2003): draws share most of their training users, so K of them say less than K independent ones. What
      common test users add to the variance of δ is added under the root.

    An estimate of the variance between draws beyond that of their users would give one interval in between; with three
    to five draws it is too narrow (89 to 93 % instead of 95 in simulations), so it is not used.

    Parameters
    ----------
    values : Sequence[ndarray]
        Per draw (U_k,), NaN for users that do not count.
    users : Sequence[ndarray]
        Per draw (U_k,) labels.
    n_train : Sequence[int]
        Number of training users of each draw.
    """
    there = [~np.isnan(v) for v in values]
    values = [v[t] for v, t in zip(values, there, strict=True)]
    who = np.concatenate([u[t].astype(str) for u, t in zip(users, there, strict=True)])
    k, sizes = len(values), np.array([len(v) for v in values])
    means = np.array([v.mean() for v in values])
    residuals = np.concatenate([(v - v.mean()) / (k * len(v)) for v in values])  # (Σ n_k,)
    _, cluster = np.unique(who, return_inverse=True)
    sums = np.bincount(cluster, residuals)  # (n,)
    n = len(sums)
    t_users = float(stats.t.ppf(0.975, n - 1))
    variance = n / (n - 1) * float((sums**2).sum())
    over_users, over_draws = t_users * variance**0.5, 0.0
    if k > 1:
        own = sum(v.var(ddof=1) / len(v) for v in values) / k**2  # V_u if no user came twice
        shared = max(0.0, variance - own)
        of_draws = (1 / k + float(np.mean(sizes / np.asarray(n_train)))) * means.var(ddof=1)
        over_draws = float((stats.t.ppf(0.975, k - 1) ** 2 * of_draws + t_users**2 * shared) ** 0.5)
    half, mean = max(over_users, over_draws), float(means.mean())
    return Pooled(mean, mean - half, mean + half, over_users, over_draws)


def pool_folds(values: Sequence[np.ndarray]) -> Pooled:
    """The mean over K folds of a mean over users, and how sure it is.

    A hierarchical model: ``d_ku = δ + a_k + e_ku``, where the effect a_k of the training users and the seed of fold k
    is random, and so is a user's e_ku. Each user is in one fold; were the a_k independent, so would be the K means d̄_k,
    and ``δ ± t_{K−1} S / √K`` with S² their variance (K − 1) would cover δ whatever the size of a_k. Simulated so, for
    K = 3, 6, 10 and a_k from nothing to twice the error of a fold's mean, it covers in 94 to 96 of 100 cases
    (tests/study/test_folds.py), the corrected variance of Nadeau and Bengio (2003) in 98 to 99, and the interval over
    users alone, kept as `over_users`, in 95 without a_k and in 62 with the largest.

    But folds share training users, so that the a_k are alike. With K = 6 and as much chance in the training users as in
    the tested ones it covers in 75 of 100 cases, and the corrected variance in 89.

    Parameters
    ----------
    values : Sequence[ndarray]
        Per fold (U_k,), NaN for users that do not count.
    """
    values = [v[~np.isnan(v)] for v in values]
    everyone, k = np.concatenate(values), len(values)
    n = len(everyone)
    means = np.array([v.mean() for v in values])
    over_users = float(stats.t.ppf(0.975, n - 1) * everyone.std(ddof=1) / n**0.5)
    over_folds = float(stats.t.ppf(0.975, k - 1) * means.std(ddof=1) / k**0.5)
    mean = float(means.mean())
    return Pooled(mean, mean - over_folds, mean + over_folds, over_users, over_folds)
