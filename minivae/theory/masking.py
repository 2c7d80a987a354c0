"""Theorem 2.6: what an input mask does to the distance of two users, as an exact law and in latent space.

Two users share ``s = |S_u ∩ S_v|`` items and differ in ``d = |S_u △ S_v|``, so ``‖x_u − x_v‖_1 = d``. With independent
masks of keep probability ρ the masked distance is ``D_h ~ Binomial(d, ρ) + Binomial(s, 2ρ(1−ρ))``: far pairs come
closer, near-duplicates drift apart. What that means for other input conventions is in `minivae.theory.conventions`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy.sparse as sp
import torch
from scipy.stats import binom, hypergeom
from torch import Tensor

from minivae.batches import Mask, as_csr, mask_input
from minivae.errors import InputError
from minivae.theory.arrays import Array, as_tensors

KNN_BLOCK = 1024


class Encoder(Protocol):
    """What this module asks of a model."""

    def encode(self, x: sp.csr_matrix, normalize: bool) -> tuple[Tensor, Tensor]:
        """Ready encoder input (B, I) -> mu, sd, each (B, d)."""


@dataclass(frozen=True)
class MaskedDistance:
    """The law of ``D_h = ‖x_u⊙b_u − x_v⊙b_v‖_1``; made by `masked_distance`.

    Moments and probabilities broadcast over arrays of pairs; `pmf` is for one pair.
    """

    n_common: Array
    n_different: Array
    keep: Array
    shared: bool = False

    @property
    def mean(self) -> Array:
        """``ρ d + 2ρ(1−ρ) s`` (shared mask: ``ρ d``), in items."""
        (s, d, keep), back = as_tensors(self.n_common, self.n_different, self.keep)
        return back(keep * d + self._differ(keep) * s)

    @property
    def var(self) -> Array:
        """``ρ(1−ρ) d + q(1−q) s`` with ``q = 2ρ(1−ρ)`` (shared mask: q = 0), in items squared."""
        (s, d, keep), back = as_tensors(self.n_common, self.n_different, self.keep)
        q = self._differ(keep)
        return back(keep * (1 - keep) * d + q * (1 - q) * s)

    @property
    def contracts(self) -> Array:
        """Whether ``E D_h < d``: ρ < 1 and ``d > 2ρs`` (shared mask: ρ < 1 and d > 0).

        Because ``E D_h − d = (1−ρ)(2ρs − d)``; in terms of the Jaccard index see `contraction_threshold`.
        """
        (s, d, keep), back = as_tensors(self.n_common, self.n_different, self.keep)
        return back((keep < 1) & (d > (0 if self.shared else 2 * keep * s)))

    def pmf(self) -> Array:
        """``P(D_h = k)`` for k = 0 … s+d, (s+d+1,).

        The convolution of two binomials, summed directly: all terms are positive, so nothing cancels and every entry
        above 1e-290 is right to a relative error of about 1e-12 for s, d up to 5,000 (an FFT would leave noise of
        1e-17 in the tails).

        Raises
        ------
        InputError
            If the counts are arrays of more than one pair.
        """
        (s, d, keep), back = as_tensors(self.n_common, self.n_different, self.keep)
        if max(t.numel() for t in (s, d, keep)) > 1:
            raise InputError("pmf() needs one pair, so n_common, n_different and keep must be single numbers")
        return back(torch.from_numpy(_pmf(s.item(), d.item(), keep.item(), self.shared)).to(s))

    def prob_contract(self) -> Array:
        """``P(D_h < d)``, exactly."""
        return self._probability(lambda k, d, mean: k < d)

    def prob_expand(self) -> Array:
        """``P(D_h > d)``, exactly."""
        return self._probability(lambda k, d, mean: k > d)

    def tail(self, t: float) -> Array:
        """``P(|D_h − E D_h| ≥ t)``, exactly; an atom at distance t (up to rounding) counts."""
        return self._probability(lambda k, d, mean: np.abs(k - mean) >= t - 1e-13 * len(k))

    def hoeffding(self, t: Array) -> Array:
        """``2 exp(−2t²/(d+s))``, an upper bound on `tail`; with a shared mask s does not count.

        ``D_h`` is a sum of d+s independent variables in [0, 1].
        """
        (s, d, _, t), back = as_tensors(self.n_common, self.n_different, self.keep, t)
        n = d if self.shared else d + s
        return back(2 * torch.exp(torch.where(t == 0, 0.0, -2 * t.square() / n)))

    def _differ(self, keep: Tensor) -> Tensor:
        """Probability that a common item is kept for one user only."""
        return torch.zeros_like(keep) if self.shared else 2 * keep * (1 - keep)

    def _probability(self, event: Callable[[np.ndarray, float, float], np.ndarray]) -> Array:
        (s, d, keep), back = as_tensors(self.n_common, self.n_different, self.keep)
        shape = torch.broadcast_shapes(s.shape, d.shape, keep.shape)
        pairs = torch.stack([t.expand(shape).reshape(-1) for t in (s, d, keep)], 1).cpu().numpy()  # (pairs, 3)
        distinct, where = np.unique(pairs, axis=0, return_inverse=True)
        p = np.empty(len(distinct))
        for j, (s_j, d_j, keep_j) in enumerate(distinct):
            law = _pmf(s_j, d_j, keep_j, self.shared)
            k = np.arange(len(law))
            p[j] = min(1.0, law[event(k, d_j, k @ law)].sum())
        return back(torch.from_numpy(p[where.reshape(-1)]).to(s).reshape(shape))


def masked_distance(n_common: Array, n_different: Array, keep: Array, shared: bool = False) -> MaskedDistance:
    """The exact law of the distance of two masked users (Theorem 2.6).

    ``D_h = ‖x_u⊙b_u − x_v⊙b_v‖_1 ~ Binomial(d, ρ) + Binomial(s, 2ρ(1−ρ))``, independent; with one mask shared by both
    users ``Binomial(d, ρ)``, which never exceeds d.

    Parameters
    ----------
    n_common : s = |S_u ∩ S_v|.
    n_different : d = |S_u △ S_v| = ‖x_u − x_v‖_1.
    keep : ρ in [0, 1], the probability to keep an item.
    shared : whether both users have the same mask.

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
    for name, n in (("n_common", s), ("n_different", d)):
        if not ((n >= 0) & (n == n.round())).all():
            raise InputError(f"{name} must be numbers of items, whole and not negative; its smallest is {n.min():g}")
    if not ((rho >= 0) & (rho <= 1)).all():
        raise InputError("keep is no probability of keeping an interaction; it must be in [0, 1]")
    return MaskedDistance(n_common, n_different, keep, shared)


def contraction_threshold(keep: Array) -> Array:
    """The Jaccard index ``1/(1+2ρ)`` below which a pair contracts in expectation (ρ < 1, raw independent masks).

    ``d > 2ρs`` is the same as ``J = s/(s+d) < 1/(1+2ρ)``: pairs with J < 1/3 contract at every ρ < 1.

    Examples
    --------
    >>> contraction_threshold(0.5)
    np.float64(0.5)
    """
    (keep,), back = as_tensors(keep)
    return back(1 / (1 + 2 * keep))


def _pmf(s: float, d: float, keep: float, shared: bool) -> np.ndarray:
    s, d = int(s), int(d)
    different = binom.pmf(np.arange(d + 1), d, keep)
    common = np.zeros(s + 1)
    common[0] = 1.0
    if not shared:
        common = binom.pmf(np.arange(s + 1), s, 2 * keep * (1 - keep))
    return np.convolve(different, common)


@dataclass(frozen=True)
class LatentContraction:
    """Latent distances under masks, by quantile of the clean distance; each array is (Q,), near → far.

    Attributes
    ----------
    clean : mean clean distance ‖μ_u − μ_v‖ of the pairs in the quantile.
    ratio, ratio_se : mean masked over mean clean distance; its standard error over mask draws.
    prob_contract, prob_contract_se : share of (pair, draw) with a masked distance below the clean one; likewise.
    n_pairs : pairs in each quantile.
    """

    clean: np.ndarray
    ratio: np.ndarray
    ratio_se: np.ndarray
    prob_contract: np.ndarray
    prob_contract_se: np.ndarray
    n_pairs: np.ndarray


@torch.no_grad()
def latent_contraction(
    model: Encoder,
    x: sp.spmatrix | np.ndarray | Tensor,
    keep: float,
    mask: Mask = "normalize-then-mask",
    n_pairs: int = 20_000,
    n_masks: int = 10,
    n_quantiles: int = 5,
    generator: torch.Generator | None = None,
) -> LatentContraction:
    """Do masks bring the posterior means of two users together? Measured, by quantile of their clean distance.

    All users are re-masked at every draw and encoded with ``normalize=False``; the clean input is that of the same
    convention at ρ = 1. Under a convention that the model was not trained with, its inputs have an unusual scale.

    Parameters
    ----------
    model : with ``encode(x, normalize=False) -> (mu, sd)``.
    x : (U, I) binary rows, CSR or dense.
    keep : ρ.
    mask : input convention, see `minivae.batches.input_weights`.
    n_pairs : random pairs of distinct users; all pairs if there are no more than that.
    n_masks : mask draws, at least 2 (the standard errors are over draws, for these users and pairs).
    n_quantiles : Q.

    Raises
    ------
    InputError
        If there are fewer than two users, two draws or one pair per quantile.
    """
    x = as_csr(x).astype(np.float64)
    u, v = _pairs(x.shape[0], n_pairs, generator)
    if n_masks < 2 or len(u) < n_quantiles:
        raise InputError(
            f"n_masks={n_masks} or {len(u)} pairs of users are too few; at least 2 and {n_quantiles} are needed"
        )

    def distances(keep: float) -> np.ndarray:
        mu, _ = model.encode(mask_input(x, keep, mask, generator), normalize=False)  # (U, d)
        mu = mu.to(torch.float64)
        return torch.linalg.vector_norm(mu[u] - mu[v], dim=-1).cpu().numpy()  # (P,)

    clean = distances(1.0)
    bins = np.empty(len(u), dtype=np.int64)
    bins[np.argsort(clean, kind="stable")] = np.arange(len(u)) * n_quantiles // len(u)
    size = np.bincount(bins, minlength=n_quantiles)
    mean_clean = np.bincount(bins, clean, n_quantiles) / size
    ratio, closer = np.empty((2, n_masks, n_quantiles))
    for draw in range(n_masks):
        now = distances(keep)
        ratio[draw] = np.bincount(bins, now, n_quantiles) / size / mean_clean
        closer[draw] = np.bincount(bins, now < clean, n_quantiles) / size
    se = n_masks**-0.5
    return LatentContraction(
        clean=mean_clean,
        ratio=ratio.mean(0),
        ratio_se=ratio.std(0, ddof=1) * se,
        prob_contract=closer.mean(0),
        prob_contract_se=closer.std(0, ddof=1) * se,
        n_pairs=size,
    )


def _pairs(n_users: int, n_pairs: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    if n_users < 2:
        raise InputError(f"x has {n_users} users, but a distance needs at least 2")
    if n_users * (n_users - 1) // 2 <= n_pairs:
        return tuple(torch.triu_indices(n_users, n_users, 1))
    u = torch.randint(n_users, (n_pairs,), generator=generator)
    return u, (u + 1 + torch.randint(n_users - 1, (n_pairs,), generator=generator)) % n_users


@dataclass(frozen=True)
class MaskVariance:
    """Variance components of μ over users and masks, traces over the d latent dimensions; both unbiased.

    Attributes
    ----------
    per_user : (U,) variance of a user's μ over mask draws.
    within : their mean, in absolute units of the latent space.
    between : variance over users of the mean of μ over masks (the noise of that mean subtracted).
    """

    per_user: np.ndarray
    within: float
    between: float

    @property
    def ratio(self) -> float:
        """``within / between``: the same in every scale of the latent space; NaN if users do not differ."""
        return self.within / self.between if self.between > 0 else float("nan")


@dataclass(frozen=True)
class NeighbourhoodDrift:
    """How much the neighbours of a user depend on the mask.

    Attributes
    ----------
    overlap : mean Jaccard index of a user's k-nearest-neighbour sets under two mask draws, 1 = stable.
    overlap_per_user : (U,)
    chance : the expected index of two random sets of k of the U−1 other users.
    variance : `MaskVariance` over the same draws.
    """

    overlap: float
    overlap_per_user: np.ndarray
    chance: float
    variance: MaskVariance

    @property
    def within(self) -> float:
        """Within-user variance of μ over masks, absolute."""
        return self.variance.within

    @property
    def between(self) -> float:
        """Variance of μ between users."""
        return self.variance.between

    @property
    def ratio(self) -> float:
        """Scale-free: within / between."""
        return self.variance.ratio


def mask_variance(
    model: Encoder,
    x: sp.spmatrix | np.ndarray | Tensor,
    keep: float,
    n_masks: int = 10,
    mask: Mask = "normalize-then-mask",
    generator: torch.Generator | None = None,
) -> MaskVariance:
    """Variance of μ(x_h) over masks within a user, and between users, of a trained encoder.

    ``within = mean_u tr Cov_b μ(x_u⊙b)``, ``between = tr Cov_u E_b μ(x_u⊙b)`` (estimated as in a one-way analysis of
    variance: the variance of the users' means over M draws, minus within / M). Proposition 3.2 is about `within`;
    `ratio` tells whether more than the scale of the latent space has changed.

    Parameters
    ----------
    model, x, keep, mask : as in `latent_contraction`.
    n_masks : M >= 2 draws; all users are re-masked each time.

    Raises
    ------
    InputError
        If there are fewer than two users or two draws.
    """
    variance = _Variance()
    for mu in _masked_means(model, x, keep, n_masks, mask, generator):
        variance.add(mu)
    return variance.result()


def neighbourhood_drift(
    model: Encoder,
    x: sp.spmatrix | np.ndarray | Tensor,
    keep: float,
    k: int = 10,
    n_masks: int = 10,
    mask: Mask = "normalize-then-mask",
    generator: torch.Generator | None = None,
) -> NeighbourhoodDrift:
    """Overlap of a user's k nearest neighbours (Euclidean, in μ) between mask draws, and the variance of μ over masks.

    All users are re-masked at every draw; the overlap is averaged over all pairs of draws.

    Parameters
    ----------
    model, x, keep, mask : as in `latent_contraction`.
    k : neighbours, fewer than users.
    n_masks : draws, at least 2.

    Raises
    ------
    InputError
        If `k` is not in 1 … U−1, or there are fewer than two users or two draws.
    """
    n_users = x.shape[0]
    if not 1 <= k < n_users:
        raise InputError(f"k={k} neighbours cannot be found among {n_users} users; k must be in 1 … U−1")
    variance, neighbours = _Variance(), []
    for mu in _masked_means(model, x, keep, n_masks, mask, generator):
        variance.add(mu)
        neighbours.append(_nearest(mu, k))  # (U, k)
    overlap = torch.zeros(n_users, dtype=torch.float64, device=mu.device)
    for i, a in enumerate(neighbours):
        for b in neighbours[:i]:
            both = (a[:, :, None] == b[:, None, :]).sum((1, 2)).to(torch.float64)  # (U,)
            overlap += both / (2 * k - both)
    overlap /= n_masks * (n_masks - 1) / 2
    both = np.arange(k + 1)
    return NeighbourhoodDrift(
        overlap=overlap.mean().item(),
        overlap_per_user=overlap.cpu().numpy(),
        chance=float(hypergeom.pmf(both, n_users - 1, k, k) @ (both / (2 * k - both))),
        variance=variance.result(),
    )


def _masked_means(
    model: Encoder,
    x: sp.spmatrix | np.ndarray | Tensor,
    keep: float,
    n_masks: int,
    mask: Mask,
    generator: torch.Generator | None,
) -> Iterator[Tensor]:
    """μ of all users, (U, d) float64, under one fresh set of masks after the other."""
    x = as_csr(x).astype(np.float64)
    if n_masks < 2 or x.shape[0] < 2:
        raise InputError(f"{n_masks} mask draws of {x.shape[0]} users have no variance; at least 2 of each are needed")
    for _ in range(n_masks):
        with torch.no_grad():
            mu, _ = model.encode(mask_input(x, keep, mask, generator), normalize=False)
        yield mu.to(torch.float64)


class _Variance:
    """Running mean and sum of squares over draws (Welford), so that no draw has to be kept."""

    def __init__(self) -> None:
        self.n, self.mean, self.square = 0, 0.0, 0.0

    def add(self, mu: Tensor) -> None:
        self.n += 1
        step = mu - self.mean
        self.mean = self.mean + step / self.n  # (U, d)
        self.square = self.square + (step * (mu - self.mean)).sum(-1)  # (U,)

    def result(self) -> MaskVariance:
        per_user = self.square / (self.n - 1)
        within = per_user.mean().item()
        between = self.mean.var(0).sum().item() - within / self.n
        return MaskVariance(per_user.cpu().numpy(), within, between)


def _nearest(mu: Tensor, k: int) -> Tensor:
    """(U, d) -> (U, k) indices of the nearest other users, in blocks of rows."""
    mu = mu - mu.mean(0)  # distances do not change, and lose fewer digits below
    square = mu.square().sum(-1)
    found = []
    for first in range(0, len(mu), KNN_BLOCK):
        block = mu[first : first + KNN_BLOCK]
        far = square - 2 * block @ mu.T  # (b, U), squared distance less a constant of the row
        far.diagonal(first).fill_(float("inf"))
        found.append(far.topk(k, largest=False).indices)
    return torch.cat(found)
