"""Theorem 2.5: what two users with different content pay for sharing a place in latent space, over all of it.

The gap at one place is in `minivae.theory.compromise`, for other decoders in `minivae.theory.exponential_families`;
Lemma 2.4, the other half of local collaboration, in `minivae.theory.numerics.smoothness`. All are exported here.
"""

from dataclasses import dataclass
from typing import Any, Generic, overload

import torch

from minivae.errors import InputError, check_whole
from minivae.theory.compromise import check_distributions, compromise_gap, compromise_gap_numerical, jensen_shannon
from minivae.theory.exponential_families import (
    bernoulli_conjugate,
    exponential_family_gap,
    gaussian_conjugate,
    multinomial_conjugate,
    poisson_conjugate,
)
from minivae.theory.numerics.arrays import (
    Array,
    Kind,
    Same,
    as_tensors,
    check_broadcast,
    check_finite,
    check_fit,
    check_sd,
)
from minivae.theory.numerics.quadrature import grid, log_density
from minivae.theory.numerics.smoothness import (
    EncoderConstants,
    ObservedSmoothness,
    encoder_constants,
    normalisation_constant,
    observed_smoothness,
    without_one,
)

__all__ = [
    "EncoderConstants",
    "GapEstimate",
    "ObservedSmoothness",
    "bernoulli_conjugate",
    "compromise_gap",
    "compromise_gap_numerical",
    "compromise_integral",
    "compromise_monte_carlo",
    "encoder_constants",
    "exponential_family_gap",
    "gap_against_distance",
    "gaussian_conjugate",
    "multinomial_conjugate",
    "normalisation_constant",
    "observed_smoothness",
    "poisson_conjugate",
    "shared_profile",
    "without_one",
]


@overload
def shared_profile(n_common: Kind, n_u: Kind, n_v: Kind) -> tuple[Kind, Kind]: ...
@overload
def shared_profile(n_common: Array, n_u: Array, n_v: Array) -> tuple[Same, Same]: ...
def shared_profile(n_common: Array, n_u: Array, n_v: Array) -> tuple[Same, Same]:
    """Item distributions of two binary users with the items merged into common, only u, only v: (..., 3) each.

    The gap needs no more: merging items whose probabilities have the same ratio leaves a Jensen–Shannon divergence
    unchanged. `n_common = |S_u ∩ S_v|`, `n_u = |S_u|`, `n_v = |S_v|`.

    Examples
    --------
    >>> p_u, p_v = shared_profile(1, 2, 4)
    >>> p_u.tolist(), p_v.tolist()
    ([0.5, 0.5, 0.0], [0.25, 0.0, 0.75])
    """
    tensors, back = as_tensors(n_common, n_u, n_v)
    check_broadcast(**dict(zip(("n_common", "n_u", "n_v"), tensors, strict=True)))
    s, a, b = torch.broadcast_tensors(*tensors)
    if not bool(((s >= 0) & (s <= a) & (s <= b) & (a > 0) & (b > 0) & a.isfinite() & b.isfinite()).all()):
        raise InputError("users need at least one item each and no more in common than either has")
    none = torch.zeros_like(s)
    p_u, p_v = torch.stack([s, a - s, none], -1), torch.stack([s, none, b - s], -1)
    return back(p_u / a[..., None]), back(p_v / b[..., None])


@overload
def compromise_integral(
    mu_u: Kind, sd_u: Kind, mu_v: Kind, sd_v: Kind, p_u: Kind, p_v: Kind, n_u: Kind | float, n_v: Kind | float
) -> Kind: ...
@overload
def compromise_integral(
    mu_u: Array, sd_u: Array, mu_v: Array, sd_v: Array, p_u: Array, p_v: Array, n_u: Array, n_v: Array
) -> Same: ...
def compromise_integral(
    mu_u: Array, sd_u: Array, mu_v: Array, sd_v: Array, p_u: Array, p_v: Array, n_u: Array, n_v: Array
) -> Same:
    """The gap over the whole latent space, `∫ gap(z) dz` with weights `q(z) N`, by quadrature for d = 1 or 2.

    Falls as the means move apart with the spreads held: the gap at z is concave, homogeneous and zero on the axes in
    its two weights, hence a positive mixture of `min(s w_u, t w_v)`, and the overlap `∫ min(s q_u, t q_v)` of two
    centrally symmetric unimodal densities falls along every ray. It is not a function of W2 alone: a common change of
    variable of the latent space changes every distance and leaves the integral as it is.

    Parameters
    ----------
    mu_u, sd_u, mu_v, sd_v : Array
        Posteriors, (..., d).
    p_u, p_v : Array
        Item distributions, (..., I). Use `shared_profile` for binary users: the grid has up to 140,000 points.
    n_u, n_v : Array
        Interactions, (...).

    Raises
    ------
    InputError
        If d > 2 (`compromise_monte_carlo` takes any d) or a distribution does not sum to one.

    Examples
    --------
    >>> import math
    >>> p_u, p_v = shared_profile(0, 1, 1)
    >>> together = compromise_integral([0.0], [1.0], [0.0], [1.0], p_u, p_v, 1.0, 1.0)
    >>> apart = compromise_integral([0.0], [1.0], [9.0], [1.0], p_u, p_v, 1.0, 1.0)
    >>> round(float(together / math.log(2)), 6), bool(apart < 1e-4)
    (2.0, True)
    """
    (mu_u, sd_u, mu_v, sd_v, p_u, p_v, n_u, n_v), back = as_tensors(mu_u, sd_u, mu_v, sd_v, p_u, p_v, n_u, n_v)
    check_distributions(p_u, p_v)
    mu_u, sd_u, mu_v, sd_v = _posteriors(mu_u, sd_u, mu_v, sd_v)
    z, weight = grid(torch.stack([mu_u, mu_v], dim=-2), torch.stack([sd_u, sd_v], dim=-2))
    w_u = n_u[..., None] * log_density(z, mu_u[..., None, :], sd_u[..., None, :]).exp()  # (..., G)
    w_v = n_v[..., None] * log_density(z, mu_v[..., None, :], sd_v[..., None, :]).exp()
    return back((weight * compromise_gap(p_u[..., None, :], p_v[..., None, :], w_u, w_v)).sum(-1))


@overload
def gap_against_distance(
    p_u: Kind,
    p_v: Kind,
    n_u: Kind | float,
    n_v: Kind | float,
    distance: Kind | float,
    sd_u: Kind | float = ...,
    sd_v: Kind | float = ...,
) -> Kind: ...
@overload
def gap_against_distance(
    p_u: Array, p_v: Array, n_u: Array, n_v: Array, distance: Array, sd_u: Array = ..., sd_v: Array = ...
) -> Same: ...
def gap_against_distance(
    p_u: Array, p_v: Array, n_u: Array, n_v: Array, distance: Array, sd_u: Array = 1.0, sd_v: Array = 1.0
) -> Same:
    """The integrated gap of two posteriors whose means are `distance` (...) apart along one axis: the theorem's curve.

    In one dimension it is exact. In d dimensions with equal spreads ``sd_u = sd_v = sd`` it is exact for `distance =
    ||(mu_u - mu_v) / sd||` with `sd_u` and `sd_v` left at 1: the gap depends on the posteriors through
    `q_u(z) / q_v(z)` only, and that is a function of one projection of z / sd. At distance zero it is the full
    `compromise_gap(p_u, p_v, n_u, n_v)`, far away it is zero.

    Examples
    --------
    >>> import math
    >>> p_u, p_v = shared_profile(0, 1, 1)
    >>> near, far = gap_against_distance(p_u, p_v, 1.0, 1.0, [0.0, 2.0])
    >>> round(float(near / math.log(2)), 6), bool(far < near)
    (2.0, True)
    """
    (p_u, p_v, n_u, n_v, distance, sd_u, sd_v), back = as_tensors(p_u, p_v, n_u, n_v, distance, sd_u, sd_v)
    sd_u, sd_v = sd_u[..., None], sd_v[..., None]
    return back(compromise_integral(torch.zeros_like(sd_u), sd_u, distance[..., None], sd_v, p_u, p_v, n_u, n_v))


@dataclass(frozen=True)
class GapEstimate(Generic[Kind]):
    """A sampled compromise integral, (...) each, of the kind given.

    Examples
    --------
    >>> p_u, p_v = shared_profile(0, 1, 1)
    >>> together = compromise_monte_carlo([0.0], [1.0], [0.0], [1.0], p_u, p_v, 1.0, 1.0, n_samples=10)
    >>> round(float(together.value / together.full), 9)  # one place: all of the gap is paid
    1.0
    """

    value: Kind
    """`∫ gap(z) dz` in nats."""
    se: Kind
    """Its standard error."""
    full: Kind
    """The gap if both posteriors coincided: the most that overlap can cost."""


@overload
def compromise_monte_carlo(
    mu_u: Kind,
    sd_u: Kind,
    mu_v: Kind,
    sd_v: Kind,
    p_u: Kind,
    p_v: Kind,
    n_u: Kind | float,
    n_v: Kind | float,
    n_samples: int = ...,
    generator: torch.Generator | None = ...,
) -> GapEstimate[Kind]: ...
@overload
def compromise_monte_carlo(
    mu_u: Array,
    sd_u: Array,
    mu_v: Array,
    sd_v: Array,
    p_u: Array,
    p_v: Array,
    n_u: Array,
    n_v: Array,
    n_samples: int = ...,
    generator: torch.Generator | None = ...,
) -> GapEstimate[Any]: ...
def compromise_monte_carlo(
    mu_u: Array,
    sd_u: Array,
    mu_v: Array,
    sd_v: Array,
    p_u: Array,
    p_v: Array,
    n_u: Array,
    n_v: Array,
    n_samples: int = 1000,
    generator: torch.Generator | None = None,
) -> GapEstimate[Any]:
    """The gap over the whole latent space by sampling, any d.

    Sampling from the mixture of both posteriors weighted by their counts cancels the densities:
    `∫ gap dz = N_u E_{q_u} J(z) + N_v E_{q_v} J(z)`, J the Jensen–Shannon divergence with shares
    `q_u(z) N_u : q_v(z) N_v`. Samples lie in [0, log 2], so an overlap too rare to be drawn can hide at most about
    `3 / n_samples` of `(N_u + N_v) log 2` (95 %), whatever the standard error says. In other words the gap is
    `(N_u + N_v)` times the information of an item about its user that z does not hold, `I(user; item | z)`.

    Parameters
    ----------
    mu_u, sd_u, mu_v, sd_v : Array
        Posteriors, (..., d).
    p_u, p_v : Array
        Item distributions, (..., I); `shared_profile` for binary users.
    n_u, n_v : Array
        Interactions, (...).
    n_samples : int, default 1000
        Draws from each posterior, at least 2.
    generator : Generator, optional
        Source of the draws.

    Raises
    ------
    InputError
        If `n_samples` is below 2, a spread is negative or a distribution does not sum to one.

    Examples
    --------
    >>> p_u, p_v = shared_profile(0, 1, 1)
    >>> apart = compromise_monte_carlo([0.0], [1.0], [99.0], [1.0], p_u, p_v, 1.0, 1.0)
    >>> float(apart.value)
    0.0
    """
    check_whole(2, n_samples=n_samples)  # one has no standard error
    (mu_u, sd_u, mu_v, sd_v, p_u, p_v, n_u, n_v), back = as_tensors(mu_u, sd_u, mu_v, sd_v, p_u, p_v, n_u, n_v)
    check_distributions(p_u, p_v)
    mu_u, sd_u, mu_v, sd_v = (q[..., None, :] for q in _posteriors(mu_u, sd_u, mu_v, sd_v))  # (..., 1, d)
    value, variance = 0.0, 0.0
    for mu, sd, n in ((mu_u, sd_u, n_u), (mu_v, sd_v, n_v)):
        noise = torch.randn(
            *mu.shape[:-2], n_samples, mu.shape[-1], generator=generator, dtype=mu.dtype, device=mu.device
        )
        z = mu + sd * noise  # (..., S, d)
        odds = (
            log_density(z, mu_u, sd_u)
            - log_density(z, mu_v, sd_v)
            + torch.where(n_u + n_v > 0, n_u / n_v, 1).log()[..., None]
        )  # (..., S)
        divergence = jensen_shannon(p_u[..., None, :], p_v[..., None, :], odds.sigmoid(), (-odds).sigmoid())
        value = value + n * divergence.mean(-1)
        variance = variance + n.square() * divergence.var(-1) / n_samples
    return GapEstimate(back(value), back(variance.sqrt()), back(compromise_gap(p_u, p_v, n_u, n_v).expand(value.shape)))


def _posteriors(*q: torch.Tensor) -> tuple[torch.Tensor, ...]:
    check_fit(mu_u=q[0], sd_u=q[1], mu_v=q[2], sd_v=q[3])
    check_sd(q[1], q[3])
    check_finite(mu_u=q[0], mu_v=q[2])
    return torch.broadcast_tensors(*torch.atleast_1d(*q))
