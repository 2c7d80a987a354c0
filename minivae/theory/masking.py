"""Theorem 2.6: what an input mask does to the distance of two users, as an exact law.

Two users share ``s = |S_u ∩ S_v|`` items and differ in ``d = |S_u △ S_v|``, so ``‖x_u − x_v‖_1 = d``. With independent
masks of keep probability ρ the masked distance is ``D_h ~ Binomial(d, ρ) + Binomial(s, 2ρ(1−ρ))``: far pairs come
closer, near-duplicates drift apart. What that means for other input conventions is in `minivae.theory.conventions`,
what is left of it in latent space in `minivae.theory.drift`, whose functions are also found here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, overload

import numpy as np
import torch
from scipy.stats import binom
from torch import Tensor

from minivae.errors import InputError
from minivae.theory.drift import NeighbourhoodDrift, mask_variance, neighbourhood_drift
from minivae.theory.latent_contraction import LatentContraction, latent_contraction
from minivae.theory.masking_by_item import (
    MaskedDistanceByItem,
    check_deviation,
    check_length,
    masked_distance_by_item,
)
from minivae.theory.numerics.arrays import Array, Kind, Same, as_tensors, check_broadcast

__all__ = [
    "LatentContraction",
    "MaskedDistance",
    "MaskedDistanceByItem",
    "NeighbourhoodDrift",
    "contraction_threshold",
    "latent_contraction",
    "mask_variance",
    "masked_distance",
    "masked_distance_by_item",
    "neighbourhood_drift",
]

MOST = 10**8  # items whose probabilities are held at a time: 0.8 GB
KEPT = 5000  # items up to which laws are kept: 40 MB at most


@dataclass(frozen=True)
class MaskedDistance(Generic[Kind]):
    """The law of ``D_h = ‖x_u⊙b_u − x_v⊙b_v‖_1``; made by `masked_distance`.

    Moments and probabilities broadcast over arrays of pairs; `pmf` is for one pair.

    Examples
    --------
    >>> law = masked_distance(n_common=0, n_different=2, keep=0.5)
    >>> law.tail(1.0), law.contracts  # 0 or 2 items differ, with probability 1/4 each
    (np.float64(0.5), np.True_)
    """

    n_common: Kind | float
    n_different: Kind | float
    keep: Kind | float
    shared: bool = False

    @property
    def mean(self) -> Kind:
        """``ρ d + 2ρ(1−ρ) s`` (shared mask: ``ρ d``), in items."""
        (s, d, keep), back = as_tensors(self.n_common, self.n_different, self.keep)
        return back(keep * d + self._differ(keep) * s)

    @property
    def var(self) -> Kind:
        """``ρ(1−ρ) d + q(1−q) s`` with ``q = 2ρ(1−ρ)`` (shared mask: q = 0), in items squared."""
        (s, d, keep), back = as_tensors(self.n_common, self.n_different, self.keep)
        q = self._differ(keep)
        return back(keep * (1 - keep) * d + q * (1 - q) * s)

    @property
    def contracts(self) -> Kind:
        """Whether ``E D_h < d``: ρ < 1 and ``d > 2ρs`` (shared mask: ρ < 1 and d > 0).

        Because ``E D_h − d = (1−ρ)(2ρs − d)``; in terms of the Jaccard index see `contraction_threshold`.
        """
        (s, d, keep), back = as_tensors(self.n_common, self.n_different, self.keep)
        return back((keep < 1) & (d > (0 if self.shared else 2 * keep * s)))

    def pmf(self) -> Kind:
        """``P(D_h = k)`` for k = 0 … s+d, (s+d+1,).

        The convolution of two binomials, summed directly: all terms are positive, so nothing cancels and every entry
        above 1e-290 is right to a relative error of about 1e-12 for s, d up to 5,000 (an FFT would leave noise of
        1e-17 in the tails).

        Raises
        ------
        InputError
            If the counts are arrays of more than one pair, or so large that the sum would not end.
        """
        (s, d, keep), back = as_tensors(self.n_common, self.n_different, self.keep)
        if any(t.numel() != 1 for t in (s, d, keep)):
            raise InputError("pmf() needs one pair, so n_common, n_different and keep must be single numbers")
        return back(torch.from_numpy(_pmf(s.item(), d.item(), keep.item(), self.shared)).to(s))

    def prob_contract(self) -> Kind:
        """``P(D_h < d)``, exactly."""
        return self._outside(lambda d, mean, n: (d, np.inf))

    def prob_expand(self) -> Kind:
        """``P(D_h > d)``, exactly."""
        return self._outside(lambda d, mean, n: (-np.inf, d + 1))

    def tail(self, t: float) -> Kind:
        """``P(|D_h − E D_h| ≥ t)``, exactly; an atom at distance t (up to rounding) counts."""
        check_deviation(t)

        def beyond(d: float, mean: float, n: float) -> tuple[float, float]:
            near = t - 1e-13 * (n + 1)
            return np.floor(mean - near) + 1, np.ceil(mean + near)

        return self._outside(beyond)

    def hoeffding(self, t: Array) -> Kind:
        """``2 exp(−2t²/(d+s))``, an upper bound on `tail`; with a shared mask s does not count.

        ``D_h`` is a sum of d+s independent variables in [0, 1].
        """
        (s, d, _, t), back = as_tensors(self.n_common, self.n_different, self.keep, t)
        check_deviation(t)
        n = d if self.shared else d + s
        return back(2 * torch.exp(torch.where(t == 0, 0.0, -2 * t.square() / n)))

    def _differ(self, keep: Tensor) -> Tensor:
        """Probability that a common item is kept for one user only."""
        return torch.zeros_like(keep) if self.shared else 2 * keep * (1 - keep)

    def _outside(self, limits: Callable[[float, float, float], tuple[float, float]]) -> Kind:
        """``P(D_h < low or D_h ≥ high)`` with the limits that d, the mean and s+d give; no convolution is needed."""
        (s, d, keep), back = as_tensors(self.n_common, self.n_different, self.keep)
        shape = torch.broadcast_shapes(s.shape, d.shape, keep.shape)
        pairs = torch.stack([t.detach().double().expand(shape).reshape(-1) for t in (s, d, keep)], 1).cpu().numpy()
        most = pairs[:, :2].max(initial=0)  # of (pairs, 3)
        if most > MOST:
            raise InputError(f"{int(most):,} items are too many for an exact law; at most {MOST:,} can be taken")
        distinct, where = np.unique(pairs, axis=0, return_inverse=True)
        p = np.empty(len(distinct))
        for j, (s_j, d_j, keep_j) in enumerate(distinct):
            q = 0.0 if self.shared else 2 * keep_j * (1 - keep_j)
            low, high = limits(d_j, keep_j * d_j + q * s_j, s_j + d_j)
            different, common = binomial(int(d_j), keep_j), binomial(int(s_j), q)
            p[j] = min(1.0, _tails(different, common, low, max(low, high)))
        return back(torch.from_numpy(p[where.reshape(-1)]).to(s).reshape(shape))


@overload
def masked_distance(
    n_common: Kind | float, n_different: Kind | float, keep: Kind | float, shared: bool = ...
) -> MaskedDistance[Kind]: ...
@overload
def masked_distance(n_common: Array, n_different: Array, keep: Array, shared: bool = ...) -> MaskedDistance[Any]: ...
def masked_distance(n_common: Array, n_different: Array, keep: Array, shared: bool = False) -> MaskedDistance[Any]:
    """The exact law of the distance of two masked users (Theorem 2.6).

    ``D_h = ‖x_u⊙b_u − x_v⊙b_v‖_1 ~ Binomial(d, ρ) + Binomial(s, 2ρ(1−ρ))``, independent; with one mask shared by both
    users ``Binomial(d, ρ)``, which never exceeds d.

    Parameters
    ----------
    n_common : Array
        ``s = |S_u ∩ S_v|``.
    n_different : Array
        ``d = |S_u △ S_v| = ‖x_u − x_v‖_1``.
    keep : Array
        ρ in [0, 1], the probability to keep an item.
    shared : bool, default False
        Whether both users have the same mask.

    Raises
    ------
    InputError
        If a count is negative or fractional, or `keep` is no probability.

    Examples
    --------
    >>> law = masked_distance(n_common=1, n_different=2, keep=0.5)
    >>> law.mean, law.var
    (np.float64(1.5), np.float64(0.75))
    >>> round(law.prob_contract(), 12)
    np.float64(0.5)
    >>> law.pmf()
    array([0.125, 0.375, 0.375, 0.125])
    """
    (s, d, rho), _ = as_tensors(n_common, n_different, keep)
    check_broadcast(n_common=s, n_different=d, keep=rho)
    for name, n in (("n_common", s), ("n_different", d)):
        if not ((n >= 0) & (n == n.round()) & n.isfinite()).all():
            span = f"{n.min():g} to {n.max():g}"
            raise InputError(f"{name} must be numbers of items, whole and not negative; they run from {span}")
    if not ((rho >= 0) & (rho <= 1)).all():
        raise InputError("keep is no probability of keeping an interaction; it must be in [0, 1]")
    return MaskedDistance[Any](n_common, n_different, keep, shared)


@overload
def contraction_threshold(keep: Kind) -> Kind: ...
@overload
def contraction_threshold(keep: Array) -> Same: ...
def contraction_threshold(keep: Array) -> Same:
    """The Jaccard index ``1/(1+2ρ)`` below which a pair contracts in expectation (ρ < 1, raw independent masks).

    ``d > 2ρs`` is the same as ``J = s/(s+d) < 1/(1+2ρ)``: pairs with J < 1/3 contract at every ρ < 1.

    Examples
    --------
    >>> contraction_threshold(0.5)
    np.float64(0.5)
    """
    (keep,), back = as_tensors(keep)
    if not bool(((keep >= 0) & (keep <= 1)).all()):
        raise InputError("keep is no probability of keeping an interaction; it must be in [0, 1]")
    return back(1 / (1 + 2 * keep))


def _pmf(s: float, d: float, keep: float, shared: bool) -> np.ndarray:
    check_length(s, d)
    return np.convolve(binomial(int(d), keep), binomial(int(s), 0.0 if shared else 2 * keep * (1 - keep)))


def _tails(first: np.ndarray, second: np.ndarray, low: float, high: float) -> float:
    """``P(A + B < low) + P(A + B ≥ high)`` of independent A and B with these laws: only terms that are positive."""
    a, most = np.arange(len(first)), len(second) - 1
    below = np.concatenate([[0.0], np.cumsum(second)])  # P(B < b), b = 0 … most + 1
    above = np.concatenate([np.cumsum(second[::-1])[::-1], [0.0]])  # P(B ≥ b)
    left = below[np.clip(low - a, 0, most + 1).astype(int)]
    right = above[np.clip(high - a, 0, most + 1).astype(int)]
    return float(first @ (left + right))


def binomial(n: int, p: float) -> np.ndarray:
    """``P(Binomial(n, p) = k)``, k = 0 … n, to be read only: pairs of users share their counts, so laws are kept."""
    return _kept(n, p) if n <= KEPT else _binomial(n, p)


@lru_cache(maxsize=1024)
def _kept(n: int, p: float) -> np.ndarray:
    law = _binomial(n, p)
    law.flags.writeable = False
    return law


def _binomial(n: int, p: float) -> np.ndarray:
    """``P(Binomial(n, p) = k)``, k = 0 … n. Where p² is no float, and SciPy overflows, two terms are all there are.

    Examples
    --------
    >>> _binomial(2, 0.5).round(12).tolist(), _binomial(2, 1e-300).tolist()
    ([0.25, 0.5, 0.25], [1.0, 2e-300, 0.0])
    """
    if p < 1e-200:
        return np.array([1.0, n * p, *np.zeros(n)])[: n + 1]
    return binom.pmf(np.arange(n + 1), n, p)
