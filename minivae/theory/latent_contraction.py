"""Do masks bring users together in latent space? Distances by quantile of the clean distance (after Theorem 2.6)."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from minivae.data.users import Users, as_csr, shape_of
from minivae.errors import InputError, check_whole
from minivae.masks import mask_input
from minivae.options import Mask
from minivae.theory.drift import Encoder


@dataclass(frozen=True)
class LatentContraction:
    """Latent distances under masks, by quantile of the clean distance; each array is (Q,), near → far.

    Attributes
    ----------
    clean : ndarray
        Mean clean distance ‖μ_u − μ_v‖ of the pairs in the quantile.
    ratio, ratio_se : ndarray
        Mean masked over mean clean distance; its standard error over mask draws. NaN or infinite where clean is 0.
    prob_contract, prob_contract_se : ndarray
        Share of (pair, draw) with a masked distance below the clean one; likewise.
    n_pairs : ndarray
        Pairs in each quantile.

    Examples
    --------
    >>> from minivae.models import MultVAE
    >>> found = latent_contraction(MultVAE(6, hidden=4, latent=2), np.eye(6), keep=0.5, n_quantiles=3)
    >>> found.ratio.shape, int(found.n_pairs.sum())  # 6 users are 15 pairs
    ((3,), 15)
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
    x: Users,
    keep: float,
    mask: Mask = "normalize-then-mask",
    *,
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
    model : Encoder
        With ``encode(x, normalize=False) -> (mu, sd)``.
    x : Users
        (U, I) binary rows, CSR or dense.
    keep : float
        ρ.
    mask : Mask, default 'normalize-then-mask'
        Input convention, see `minivae.masks.input_weights`.
    n_pairs : int, default 20000
        Random pairs of distinct users; all pairs if there are no more than that.
    n_masks : int, default 10
        Mask draws, at least 2 (the standard errors are over draws, for these users and pairs).
    n_quantiles : int, default 5
        Q.

    Raises
    ------
    InputError
        If there are fewer than two users, two draws or one pair per quantile.

    Examples
    --------
    >>> from minivae.models import MultVAE
    >>> model, x = MultVAE(6, hidden=4, latent=2), np.eye(6)
    >>> latent_contraction(model, x, keep=1.0, n_quantiles=3).ratio  # nothing hidden, nothing moved
    array([1., 1., 1.])
    """
    x = sp.csr_matrix(as_csr(x), dtype=np.float64)
    check_whole(1, n_pairs=n_pairs, n_quantiles=n_quantiles)
    check_whole(2, n_masks=n_masks)
    u, v = _pairs(shape_of(x)[0], n_pairs, generator)
    if len(u) < n_quantiles:
        raise InputError(f"{len(u)} pairs of users are too few for n_quantiles={n_quantiles}; give one pair for each")

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
        with np.errstate(divide="ignore", invalid="ignore"):
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
        u, v = torch.triu_indices(n_users, n_users, 1)
        return u, v
    u = torch.randint(n_users, (n_pairs,), generator=generator)
    return u, (u + 1 + torch.randint(n_users - 1, (n_pairs,), generator=generator)) % n_users
