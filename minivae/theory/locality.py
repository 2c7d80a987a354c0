"""Theorem 2.5: what two users with different content pay for sharing a place in latent space.

Lemma 2.4, the other half of local collaboration, is in `minivae.theory.smoothness` and exported here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import overload

import numpy as np
import torch
from scipy import optimize

from minivae.errors import InputError
from minivae.theory.numerics.arrays import Array, Numbers, Same, as_tensors, check_finite, check_sd
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
def compromise_gap(p_u: torch.Tensor, p_v: Array, w_u: Array, w_v: Array) -> torch.Tensor: ...
@overload
def compromise_gap(p_u: Numbers, p_v: Numbers, w_u: Numbers, w_v: Numbers) -> np.ndarray: ...
@overload
def compromise_gap(p_u: Array, p_v: Array, w_u: Array, w_v: Array) -> Same: ...
def compromise_gap(p_u: Array, p_v: Array, w_u: Array, w_v: Array) -> Same:
    """Compromise gap of a multinomial decoder at one z (Theorem 2.5), in nats: a weighted Jensen–Shannon divergence.

    `w_u KL(p_u || m) + w_v KL(p_v || m)` with `m = (w_u p_u + w_v p_v) / (w_u + w_v)`: what the best common item
    distribution costs beyond the two separate optima. The infimum over logits is attained only in the limit where an
    item has no count; the value is the same.

    Parameters
    ----------
    p_u, p_v : Array
        Item distributions `x / N`, (..., I), each summing to one.
    w_u, w_v : Array
        Weights `q_u(z) N_u` and `q_v(z) N_v`, (...), not negative.

    Returns
    -------
    Array
        (...) gaps, zero exactly where the distributions are equal or a weight is zero.

    Raises
    ------
    InputError
        If a distribution does not sum to one or anything is negative.

    Examples
    --------
    >>> gap = compromise_gap([1.0, 0.0], [0.0, 1.0], 1.0, 1.0)
    >>> round(float(gap / np.log(2)), 12)
    2.0
    """
    (p_u, p_v, w_u, w_v), back = as_tensors(p_u, p_v, w_u, w_v)
    _check_distributions(p_u, p_v)
    _check_weights(w_u, w_v)
    total = w_u + w_v
    safe = torch.where(total > 0, total, 1)
    return back(total * _jensen_shannon(p_u, p_v, w_u / safe, w_v / safe))


def _check_weights(*weights: torch.Tensor) -> None:
    if not all(bool(((w >= 0) & w.isfinite()).all()) for w in weights):
        raise InputError(
            "a weight of the compromise gap is negative, infinite or missing; weights are densities times counts"
        )


def _check_distributions(*distributions: torch.Tensor) -> None:
    for p in distributions:
        tolerance = 100 * p.shape[-1] ** 0.5 * torch.finfo(p.dtype).eps
        if not bool((p >= 0).all() & ((p.sum(-1) - 1).abs() <= tolerance).all()):
            raise InputError(
                "an item distribution has a negative entry or does not sum to one; divide the row by its sum"
            )


def _jensen_shannon(p_u: torch.Tensor, p_v: torch.Tensor, a_u: torch.Tensor, a_v: torch.Tensor) -> torch.Tensor:
    """Weighted Jensen–Shannon divergence for shares `a_u + a_v = 1`; `a_v` is passed for its digits near zero.

    With `r = p / m - 1`, the terms `p log(1 + r) - m r` are not negative and their corrections cancel over u and v,
    so that nearly equal distributions keep their digits.
    """
    # KL(p_u ‖ m) = Σ p_u log(p_u / m), and p_u / m = 1 + a_v (p_u − p_v) / m: log1p keeps a small difference's digits
    a_u, a_v = a_u[..., None], a_v[..., None]
    m, difference = a_u * p_u + a_v * p_v, p_u - p_v
    safe = torch.where(m > 0, m, 1)
    largest = torch.finfo(m.dtype).max
    u = torch.special.xlog1py(p_u, (a_v * difference / safe).clamp(-1, largest)) - a_v * difference
    v = torch.special.xlog1py(p_v, (-a_u * difference / safe).clamp(-1, largest)) + a_u * difference
    return torch.where(m > 0, a_u * u + a_v * v, 0).sum(-1)


def compromise_gap_numerical(p_u: Array, p_v: Array, w_u: Array, w_v: Array) -> float:
    """The gap from its definition, by minimising three costs over logits: the oracle for `compromise_gap`.

    `min_f [w_u ℓ_u(f) + w_v ℓ_v(f)] - min_f w_u ℓ_u(f) - min_f w_v ℓ_v(f)`, `ℓ(f) = logsumexp(f) - <p, f>`, one pair
    of distributions (I,). Items without weight are left out, where the infimum sends their logits to minus infinity.

    Examples
    --------
    >>> gap = compromise_gap_numerical([1.0, 0.0], [0.0, 1.0], 1.0, 1.0)
    >>> round(float(gap / np.log(2)), 4)
    2.0
    """
    u, v = (float(w) * np.asarray(p, dtype=np.float64) for w, p in ((w_u, p_u), (w_v, p_v)))
    scale = u.sum() + v.sum()

    def least_cost(weight: np.ndarray) -> float:
        weight = weight[weight > 0] / scale
        if weight.size == 0:
            return 0.0

        def cost(f: np.ndarray) -> tuple[float, np.ndarray]:
            top = f.max()
            e = np.exp(f - top)
            # value and gradient in f; the gradient N π − x vanishes where π is the pooled profile
            return weight.sum() * (top + np.log(e.sum())) - weight @ f, weight.sum() * e / e.sum() - weight

        options = {"maxiter": 10_000, "maxfun": 100_000, "ftol": 0.0, "gtol": 1e-10}
        return optimize.minimize(cost, np.zeros(weight.size), jac=True, method="L-BFGS-B", options=options).fun

    return scale * (least_cost(u + v) - least_cost(u) - least_cost(v))


Conjugate = Callable[[torch.Tensor], torch.Tensor]


def gaussian_conjugate(t: torch.Tensor) -> torch.Tensor:
    """`A*(t) = ½||t||^2` of unit-variance Gaussians, (..., k) gives (...).

    Examples
    --------
    >>> gaussian_conjugate(torch.tensor([3.0, 4.0]))
    tensor(12.5000)
    """
    return 0.5 * t.square().sum(-1)


def bernoulli_conjugate(t: torch.Tensor) -> torch.Tensor:
    """`A*(t) = sum_i t_i log t_i + (1 - t_i) log(1 - t_i)` of independent Bernoullis.

    Examples
    --------
    >>> float(bernoulli_conjugate(torch.tensor([0.5])) / -np.log(2))
    1.0
    """
    return (torch.xlogy(t, t) + torch.special.xlog1py(1 - t, -t)).sum(-1)


def poisson_conjugate(t: torch.Tensor) -> torch.Tensor:
    """`A*(t) = sum_i t_i log t_i - t_i` of independent Poissons.

    Examples
    --------
    >>> poisson_conjugate(torch.tensor([1.0, 1.0]))
    tensor(-2.)
    """
    return (torch.xlogy(t, t) - t).sum(-1)


def multinomial_conjugate(t: torch.Tensor) -> torch.Tensor:
    """`A*(t) = sum_i t_i log(t_i / N)` of a multinomial with N = sum_i t_i trials.

    Examples
    --------
    >>> float(multinomial_conjugate(torch.tensor([1.0, 1.0])) / np.log(2))
    -2.0
    """
    return torch.xlogy(t, t).sum(-1) - torch.xlogy(t.sum(-1), t.sum(-1))


def exponential_family_gap(t_u: Array, t_v: Array, w_u: Array, w_v: Array, conjugate: Conjugate) -> Same:
    """Compromise gap of any exponential-family decoder at one z (Theorem 2.5): Jensen's gap of the conjugate A*.

    `w_u A*(T_u) + w_v A*(T_v) - (w_u + w_v) A*((w_u T_u + w_v T_v) / (w_u + w_v)) >= 0`, strict for `T_u ≠ T_v` where
    A* is strictly convex. One log-partition A serves both users. A multinomial's depends on the number of trials, but
    its conjugate is the same for all: ``A*(c t) = c A*(t)``, so the formula holds for unequal numbers as well and is
    `compromise_gap`; it is strict where the item distributions differ.

    Parameters
    ----------
    t_u, t_v : Array
        Sufficient statistics, (..., k).
    w_u, w_v : Array
        Densities `q_u(z)`, `q_v(z)`, (...).
    conjugate : Conjugate
        A*, from tensors (..., k) to (...): one of the `*_conjugate` here or your own.

    Raises
    ------
    InputError
        If a weight is negative or not finite, or A* is no number at a statistic, as a Bernoulli's beyond [0, 1].

    Examples
    --------
    >>> float(exponential_family_gap([0.0], [2.0], 1.0, 1.0, gaussian_conjugate))
    1.0
    """
    (t_u, t_v, w_u, w_v), back = as_tensors(t_u, t_v, w_u, w_v)
    _check_weights(w_u, w_v)
    total = w_u + w_v
    share = (w_u / torch.where(total > 0, total, 1))[..., None]
    between = t_v + share * (t_u - t_v)
    at_u, at_v, at = conjugate(t_u), conjugate(t_v), conjugate(between)
    if bool(at_u.isnan().any() | at_v.isnan().any() | at.isnan().any()):
        raise InputError("the conjugate is no number at a statistic; the family cannot have such a mean")
    return back(w_u * at_u + w_v * at_v - total * at)


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
    s, a, b = torch.broadcast_tensors(*tensors)
    if not bool(((s >= 0) & (s <= a) & (s <= b) & (a > 0) & (b > 0) & a.isfinite() & b.isfinite()).all()):
        raise InputError("users need at least one item each and no more in common than either has")
    none = torch.zeros_like(s)
    p_u, p_v = torch.stack([s, a - s, none], -1), torch.stack([s, none, b - s], -1)
    return back(p_u / a[..., None]), back(p_v / b[..., None])


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
    >>> p_u, p_v = shared_profile(0, 1, 1)
    >>> together = compromise_integral([0.0], [1.0], [0.0], [1.0], p_u, p_v, 1.0, 1.0)
    >>> apart = compromise_integral([0.0], [1.0], [9.0], [1.0], p_u, p_v, 1.0, 1.0)
    >>> round(float(together / np.log(2)), 6), bool(apart < 1e-4)
    (2.0, True)
    """
    (mu_u, sd_u, mu_v, sd_v, p_u, p_v, n_u, n_v), back = as_tensors(mu_u, sd_u, mu_v, sd_v, p_u, p_v, n_u, n_v)
    mu_u, sd_u, mu_v, sd_v = _posteriors(mu_u, sd_u, mu_v, sd_v)
    z, weight = grid(torch.stack([mu_u, mu_v], dim=-2), torch.stack([sd_u, sd_v], dim=-2))
    w_u = n_u[..., None] * log_density(z, mu_u[..., None, :], sd_u[..., None, :]).exp()  # (..., G)
    w_v = n_v[..., None] * log_density(z, mu_v[..., None, :], sd_v[..., None, :]).exp()
    return back((weight * compromise_gap(p_u[..., None, :], p_v[..., None, :], w_u, w_v)).sum(-1))


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
    >>> p_u, p_v = shared_profile(0, 1, 1)
    >>> near, far = gap_against_distance(p_u, p_v, 1.0, 1.0, [0.0, 2.0])
    >>> round(float(near / np.log(2)), 6), bool(far < near)
    (2.0, True)
    """
    (p_u, p_v, n_u, n_v, distance, sd_u, sd_v), back = as_tensors(p_u, p_v, n_u, n_v, distance, sd_u, sd_v)
    sd_u, sd_v = sd_u[..., None], sd_v[..., None]
    return back(compromise_integral(torch.zeros_like(sd_u), sd_u, distance[..., None], sd_v, p_u, p_v, n_u, n_v))


@dataclass(frozen=True)
class GapEstimate:
    """A sampled compromise integral, (...) each, of the kind given.

    Examples
    --------
    >>> p_u, p_v = shared_profile(0, 1, 1)
    >>> together = compromise_monte_carlo([0.0], [1.0], [0.0], [1.0], p_u, p_v, 1.0, 1.0, n_samples=10)
    >>> round(float(together.value / together.full), 9)  # one place: all of the gap is paid
    1.0
    """

    value: Same
    """`∫ gap(z) dz` in nats."""
    se: Same
    """Its standard error."""
    full: Same
    """The gap if both posteriors coincided: the most that overlap can cost."""


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
) -> GapEstimate:
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
    if n_samples < 2:
        raise InputError(f"n_samples is {n_samples}, but a standard error needs at least two draws")
    (mu_u, sd_u, mu_v, sd_v, p_u, p_v, n_u, n_v), back = as_tensors(mu_u, sd_u, mu_v, sd_v, p_u, p_v, n_u, n_v)
    _check_distributions(p_u, p_v)
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
        divergence = _jensen_shannon(p_u[..., None, :], p_v[..., None, :], odds.sigmoid(), (-odds).sigmoid())
        value = value + n * divergence.mean(-1)
        variance = variance + n.square() * divergence.var(-1) / n_samples
    return GapEstimate(back(value), back(variance.sqrt()), back(compromise_gap(p_u, p_v, n_u, n_v).expand(value.shape)))


def _posteriors(*q: torch.Tensor) -> tuple[torch.Tensor, ...]:
    check_sd(q[1], q[3])
    check_finite(mu_u=q[0], mu_v=q[2])
    return torch.broadcast_tensors(*q)
