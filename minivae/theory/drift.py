"""Masks and neighbours in latent space: how far μ moves over masks, and whose neighbours change (after Theorem 2.6)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy.sparse as sp
import torch
from scipy.stats import hypergeom
from torch import Tensor

from minivae.data.users import Users, as_csr, shape_of
from minivae.errors import InputError, check_whole
from minivae.masks import mask_input
from minivae.options import Mask

KNN_BLOCK = 1024


class Encoder(Protocol):
    """What this module asks of a model."""

    def encode(self, x: sp.csr_matrix, normalize: bool) -> tuple[Tensor, Tensor]:
        """Ready encoder input (B, I) -> mu, sd, each (B, d)."""
        ...


@dataclass(frozen=True)
class MaskVariance:
    """Variance components of μ over users and masks, traces over the d latent dimensions; both unbiased.

    Attributes
    ----------
    per_user : ndarray
        (U,) variance of a user's μ over mask draws.
    within : float
        Their mean, in absolute units of the latent space.
    between : float
        Variance over users of the mean of μ over masks (the noise of that mean subtracted).

    Examples
    --------
    >>> MaskVariance(per_user=np.array([1.0, 3.0]), within=2.0, between=4.0).ratio
    0.5
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
    overlap : float
        Mean Jaccard index of a user's k-nearest-neighbour sets under two mask draws, 1 = stable.
    overlap_per_user : ndarray
        (U,)
    chance : float
        The expected index of two random sets of k of the U−1 other users.
    variance : MaskVariance
        `MaskVariance` over the same draws.

    Examples
    --------
    >>> from minivae.models import MultVAE
    >>> found = neighbourhood_drift(MultVAE(6, hidden=4, latent=2), np.eye(6), keep=1.0, k=2)
    >>> found.within, found.overlap > found.chance  # nothing hidden, nothing moved
    (0.0, True)
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
    x: Users,
    keep: float,
    *,
    n_masks: int = 10,
    mask: Mask = "normalize-then-mask",
    generator: torch.Generator | None = None,
) -> MaskVariance:
    """Variance of μ(x_h) over masks within a user, and between users, of a trained encoder.

    ``within = mean_u tr Cov_b μ(x_u⊙b)``, ``between = tr Cov_u E_b μ(x_u⊙b)`` (estimated as in a one-way analysis of
    variance: the variance of the users' means over M draws, minus within / M). Proposition 3.2 is about `within`;
    `ratio` shows whether more than the scale of the latent space has changed.

    Parameters
    ----------
    model : Encoder
        With ``encode(x, normalize=False) -> (mu, sd)``.
    x : Users
        (U, I) users, CSR or dense.
    keep : float
        ρ, the probability to keep an interaction.
    n_masks : int, default 10
        M >= 2 draws; all users are re-masked each time.
    mask : Mask, default 'normalize-then-mask'
        Input convention, see `minivae.masks.input_weights`.
    generator : Generator, optional
        Of the masks.

    Raises
    ------
    InputError
        If there are fewer than two users or two draws.

    Examples
    --------
    >>> from minivae.models import MultVAE
    >>> mask_variance(MultVAE(6, hidden=4, latent=2), np.eye(6), keep=1.0).within  # nothing hidden, nothing moved
    0.0
    """
    variance = _Variance()
    for mu in _masked_means(model, x, keep, n_masks, mask, generator):
        variance.add(mu)
    return variance.result()


def neighbourhood_drift(
    model: Encoder,
    x: Users,
    keep: float,
    k: int = 10,
    *,
    n_masks: int = 10,
    mask: Mask = "normalize-then-mask",
    generator: torch.Generator | None = None,
) -> NeighbourhoodDrift:
    """Overlap of a user's k nearest neighbours (Euclidean, in μ) between mask draws, and the variance of μ over masks.

    All users are re-masked at every draw; the overlap is averaged over all pairs of draws.

    Parameters
    ----------
    model : Encoder
        With ``encode(x, normalize=False) -> (mu, sd)``.
    x : Users
        (U, I) users, CSR or dense.
    keep : float
        ρ, the probability to keep an interaction.
    k : int, default 10
        Neighbours, fewer than users.
    n_masks : int, default 10
        Draws, at least 2.
    mask : Mask, default 'normalize-then-mask'
        Input convention, see `minivae.masks.input_weights`.
    generator : Generator, optional
        Of the masks.

    Raises
    ------
    InputError
        If `k` is not in 1 … U−1, or there are fewer than two users or two draws.

    Examples
    --------
    >>> from minivae.models import MultVAE
    >>> neighbourhood_drift(MultVAE(6, hidden=4, latent=2), np.eye(6), keep=1.0, k=2).overlap
    1.0
    """
    x = as_csr(x)
    x = as_csr(x)
    n_users = shape_of(x)[0]
    check_whole(1, k=k)
    if k >= n_users:
        raise InputError(f"k={k} neighbours cannot be found among {n_users} users; k must be in 1 … U−1")
    variance, neighbours = _Variance(), []
    for mu in _masked_means(model, x, keep, n_masks, mask, generator):
        variance.add(mu)
        neighbours.append(_nearest(mu, k))  # (U, k)
    overlap = torch.zeros(n_users, dtype=torch.float64, device=neighbours[0].device)
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
    x: Users,
    keep: float,
    n_masks: int,
    mask: Mask,
    generator: torch.Generator | None,
) -> Iterator[Tensor]:
    """μ of all users, (U, d) float64, under one fresh set of masks after the other."""
    x = sp.csr_matrix(as_csr(x), dtype=np.float64)
    check_whole(2, n_masks=n_masks)
    if shape_of(x)[0] < 2:
        raise InputError(f"{shape_of(x)[0]} users have no variance between them; at least 2 are needed")
    for _ in range(n_masks):
        with torch.no_grad():
            mu, _ = model.encode(mask_input(x, keep, mask, generator), normalize=False)
        yield mu.to(torch.float64)


class _Variance:
    """Running mean and sum of squares over draws (Welford), so that no draw has to be kept."""

    def __init__(self) -> None:
        self.n, self.mean, self.square = 0, torch.zeros(()), torch.zeros(())

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
