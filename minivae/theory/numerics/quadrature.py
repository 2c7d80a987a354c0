"""Integrals over a latent space of one or two dimensions, to machine precision: the oracle for sampling."""

import numpy as np
import torch

from minivae.errors import InputError

REACH = 9  # spreads on either side of a mean: N(0, 1) leaves 1e-19 outside
NODES = 10  # Gauss-Legendre nodes between neighbouring breakpoints
FINEST = 1e-7  # spread over the size of the means, below which rounding of a node is no longer small beside the spread


def resolves(mu: torch.Tensor, sd: torch.Tensor) -> bool:
    """Whether float64 can place nodes within the narrowest of these Gaussians."""
    return mu.numel() == 0 or bool((sd > FINEST * mu.abs().amax().clamp_min(1e-300)).all())


def grid(mu: torch.Tensor, sd: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Nodes and weights for smooth integrands that live where the Gaussians `N(mu_k, diag sd_k^2)` live.

    Each axis is cut at `mu_k + t sd_k`, `t = -9 … 9`, for every Gaussian k, so a narrow one inside a wide one gets its
    own panels; Gauss-Legendre on every panel; two axes are crossed.

    Parameters
    ----------
    mu, sd : Tensor
        (..., K, d) with d = 1 or 2.

    Returns
    -------
    z, weight
        (..., G, d) and (..., G), so that `∫ f dz ≈ (f(z) * weight).sum(-1)`.

    Raises
    ------
    InputError
        If d > 2, or a spread is too small beside the means for float64 to place nodes in it: use sampling there.
    """
    d = mu.shape[-1]
    if d > 2:
        raise InputError(f"quadrature needs a latent space of one or two dimensions, not {d}; use the Monte Carlo form")
    if not resolves(mu, sd):
        raise InputError(
            f"the smallest spread {float(sd.min()):.3g} is less than {FINEST:g} of the largest mean "
            f"{float(mu.abs().max()):.3g}; quadrature cannot place its nodes, use the Monte Carlo form"
        )
    steps = torch.arange(-REACH, REACH + 1, dtype=mu.dtype, device=mu.device)
    cuts = (mu[..., None] + sd[..., None] * steps).movedim(-2, -3).flatten(-2).sort(-1).values  # (..., d, 19 K)
    unit, unit_weight = (torch.from_numpy(a).to(cuts) for a in np.polynomial.legendre.leggauss(NODES))
    half, middle = cuts.diff(dim=-1) / 2, (cuts[..., 1:] + cuts[..., :-1]) / 2  # (..., d, panels)
    axis = (middle[..., None] + half[..., None] * unit).flatten(-2)  # (..., d, n)
    weight = (half[..., None] * unit_weight).flatten(-2)
    if d == 1:
        return axis.mT, weight[..., 0, :]
    n = axis.shape[-1]
    first, second = axis[..., 0, :, None].expand(*axis.shape[:-2], n, n), axis[..., 1, None, :]
    z = torch.stack([first, second.expand_as(first)], dim=-1).flatten(-3, -2)  # (..., n², 2)
    return z, (weight[..., 0, :, None] * weight[..., 1, None, :]).flatten(-2)


def log_density(z: torch.Tensor, mu: torch.Tensor, sd: torch.Tensor) -> torch.Tensor:
    """log N(z; mu, diag sd^2), all of shape (..., d) and broadcast, gives (...)."""
    return -0.5 * ((z - mu) / sd).square().sum(-1) - sd.log().sum(-1) - 0.5 * mu.shape[-1] * np.log(2 * np.pi)
