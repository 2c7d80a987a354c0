"""Distances between Gaussian posteriors: W2 in closed form, W1 bracketed, exact in one dimension, or from samples.

`W_p(q, r) = inf (E ||a - b||^p)^(1/p)` over all couplings of `a ~ q` and `b ~ r`, Euclidean ground cost. Section 1 of
the theory: Villani (2009), chapters 6 and 22; Peyré and Cuturi (2019), remarks 2.30 and 2.31.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, overload

import torch

from minivae.errors import InputError, check_whole
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
from minivae.theory.numerics.gaussian_w2 import distance_matrix, w2_gaussian, w2_gaussian_full, w2_matrix
from minivae.theory.numerics.sampled_w1 import directions, sliced_w1, w1_empirical, w1_samples_1d

__all__ = [
    "EmpiricalBias",
    "directions",
    "distance_matrix",
    "empirical_bias",
    "gaussian_kl",
    "sliced_w1",
    "sliced_w1_gaussian",
    "t1_bound",
    "w1_bounds",
    "w1_empirical",
    "w1_gaussian_1d",
    "w1_samples_1d",
    "w2_gaussian",
    "w2_gaussian_full",
    "w2_matrix",
]


@overload
def w1_bounds(mu_u: Kind, sd_u: Kind | float, mu_v: Kind, sd_v: Kind | float) -> tuple[Kind, Kind]: ...
@overload
def w1_bounds(mu_u: Array, sd_u: Array, mu_v: Array, sd_v: Array) -> tuple[Same, Same]: ...
def w1_bounds(mu_u: Array, sd_u: Array, mu_v: Array, sd_v: Array) -> tuple[Same, Same]:
    """Bracket W1 of diagonal Gaussians: `||mu_u - mu_v|| <= W1 <= W2`.

    Below: the means are expectations of a 1-Lipschitz map. Above: Jensen. Tight at both ends when `sd_u = sd_v`.

    Parameters
    ----------
    mu_u, sd_u, mu_v, sd_v : Array
        Means and standard deviations, (..., d); leading axes broadcast, and one spread stands for all d dimensions.

    Returns
    -------
    low, high
        (...) each, of the kind given.

    Examples
    --------
    >>> low, high = w1_bounds([0.0, 0.0], [1.0, 1.0], [3.0, 0.0], [1.0, 5.0])
    >>> float(low), float(high)
    (3.0, 5.0)
    """
    (mu_u, sd_u, mu_v, sd_v), back = as_tensors(mu_u, sd_u, mu_v, sd_v)
    check_fit(mu_u=mu_u, sd_u=sd_u, mu_v=mu_v, sd_v=sd_v)
    high = w2_gaussian(mu_u, sd_u, mu_v, sd_v)
    mean, _ = torch.broadcast_tensors(*torch.atleast_1d(mu_u - mu_v, sd_u - sd_v))
    low = torch.linalg.vector_norm(mean, dim=-1).expand(high.shape)
    return back(low), back(high)


@overload
def w1_gaussian_1d(mu_u: Kind, sd_u: Kind | float, mu_v: Kind | float, sd_v: Kind | float) -> Kind: ...
@overload
def w1_gaussian_1d(mu_u: Array, sd_u: Array, mu_v: Array, sd_v: Array) -> Same: ...
def w1_gaussian_1d(mu_u: Array, sd_u: Array, mu_v: Array, sd_v: Array) -> Same:
    """Exact W1 of one-dimensional Gaussians, elementwise: the mean of a folded normal.

    The optimal coupling pairs equal quantiles, so `W1 = E|m + s eps|` with `m = mu_u - mu_v`, `s = |sd_u - sd_v|`:
    `s sqrt(2/pi) exp(-m^2 / 2s^2) + m erf(m / (s sqrt 2))`, and `|m|` for `s = 0`.

    Examples
    --------
    >>> float(w1_gaussian_1d(0.0, 1.0, 3.0, 1.0))
    3.0
    """
    (mu_u, sd_u, mu_v, sd_v), back = as_tensors(mu_u, sd_u, mu_v, sd_v)
    check_broadcast(mu_u=mu_u, sd_u=sd_u, mu_v=mu_v, sd_v=sd_v)
    check_sd(sd_u, sd_v)
    check_finite(mu_u=mu_u, mu_v=mu_v)
    return back(_folded_mean(mu_u - mu_v, (sd_u - sd_v).abs()))


def _folded_mean(m: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
    """E|m + s eps|, eps ~ N(0, 1)."""
    t = m / torch.where(s > 0, s, 1) / math.sqrt(2)
    mean = s * math.sqrt(2 / math.pi) * torch.exp(-t.square()) + m * torch.erf(t)
    return torch.where(s > 0, mean, m.abs())


@dataclass(frozen=True)
class EmpiricalBias(Generic[Kind]):
    """Empirical W1 against the number of samples, with what is known of the truth. Arrays of length `len(sizes)`.

    In expectation `estimate - floor <= W1 <= estimate` for every n: the estimate is convex in its two measures, and
    `floor = W1(u, u') + W1(v, v')`, clouds against second clouds of the same law, is at least what both fall short.

    Examples
    --------
    >>> bias = empirical_bias([0.0], [1.0], [3.0], [1.0], sizes=(5, 50), repeats=4)
    >>> bias.sizes.tolist(), float(bias.low), float(bias.high)
    ([5, 50], 3.0, 3.0)
    """

    sizes: Kind
    """Samples in each cloud, n."""
    estimate: Kind
    """Mean over repeats of W1 between a cloud of u and a cloud of v."""
    estimate_se: Kind
    floor: Kind
    """Mean over repeats of W1 between two clouds of u plus W1 between two clouds of v: zero in truth."""
    floor_se: Kind
    low: Kind
    """Closed-form bracket of the true W1, `||mu_u - mu_v||`."""
    high: Kind
    """Closed-form bracket of the true W1, W2."""


@overload
def empirical_bias(
    mu_u: Kind,
    sd_u: Kind,
    mu_v: Kind,
    sd_v: Kind,
    sizes: Sequence[int] = ...,
    repeats: int = ...,
    generator: torch.Generator | None = ...,
) -> EmpiricalBias[Kind]: ...
@overload
def empirical_bias(
    mu_u: Array,
    sd_u: Array,
    mu_v: Array,
    sd_v: Array,
    sizes: Sequence[int] = ...,
    repeats: int = ...,
    generator: torch.Generator | None = ...,
) -> EmpiricalBias[Any]: ...
def empirical_bias(
    mu_u: Array,
    sd_u: Array,
    mu_v: Array,
    sd_v: Array,
    sizes: Sequence[int] = (10, 30, 100, 300, 1000),
    repeats: int = 10,
    generator: torch.Generator | None = None,
) -> EmpiricalBias[Any]:
    """How the empirical W1 of two diagonal Gaussians (d,) returns to its bracket as the samples grow.

    Raises
    ------
    InputError
        If the Gaussians are more than one pair or differ in d, `sizes` is empty, or a number is no count of samples.

    Examples
    --------
    >>> generator = torch.Generator().manual_seed(0)
    >>> bias = empirical_bias([0.0] * 4, [1.0] * 4, [0.0] * 4, [1.0] * 4, sizes=(5, 50), generator=generator)
    >>> bool(bias.estimate[0] > bias.estimate[1] > 0)  # in truth 0, and nearer to it with more samples
    True
    """
    low, high = w1_bounds(mu_u, sd_u, mu_v, sd_v)
    check_whole(2, repeats=repeats)
    if not len(sizes):
        raise InputError("sizes is empty; give at least one number of samples")
    for n in sizes:
        check_whole(1, **{"a size": n})
    tensors, back = as_tensors(mu_u, sd_u, mu_v, sd_v)
    m_u, s_u, m_v, s_v = torch.broadcast_tensors(*torch.atleast_1d(*tensors))
    if m_u.ndim != 1:
        raise InputError(f"the two Gaussians have shape {tuple(m_u.shape)}; give one pair, (d,) each")

    def clouds(n: int) -> tuple[torch.Tensor, torch.Tensor]:
        noise = torch.randn(2, repeats, n, len(m_u), generator=generator, dtype=m_u.dtype, device=m_u.device)
        return m_u + s_u * noise[0], m_v + s_v * noise[1]  # (repeats, n, d) each

    estimate, floor = [], []
    for n in sizes:
        (u, v), (u_one, v_one), (u_two, v_two) = clouds(n), clouds(n), clouds(n)
        estimate.append(w1_empirical(u, v))
        floor.append(w1_empirical(u_one, u_two) + w1_empirical(v_one, v_two))
    estimate, floor = torch.stack(estimate), torch.stack(floor)  # (sizes, repeats)
    (mean, floor_mean), (se, floor_se) = (
        [back(t.mean(1)) for t in (estimate, floor)],
        [back(t.std(1) / repeats**0.5) for t in (estimate, floor)],
    )
    return EmpiricalBias(back(torch.tensor(list(sizes))), mean, se, floor_mean, floor_se, low, high)


@overload
def sliced_w1_gaussian(mu_u: Kind, sd_u: Kind, mu_v: Kind, sd_v: Kind, along: Kind) -> Kind: ...
@overload
def sliced_w1_gaussian(mu_u: Array, sd_u: Array, mu_v: Array, sd_v: Array, along: Array) -> Same: ...
def sliced_w1_gaussian(mu_u: Array, sd_u: Array, mu_v: Array, sd_v: Array, along: Array) -> Same:
    """Sliced W1 of diagonal Gaussians (..., d) over the directions `along` (d, L): exact in every direction.

    The projection on `t` is `N(<t, mu>, sum_j t_j^2 sd_j^2)`, whose W1 is `w1_gaussian_1d`.

    Examples
    --------
    >>> axes = torch.eye(2)
    >>> float(sliced_w1_gaussian([0.0, 0.0], [1.0, 1.0], [3.0, 1.0], [1.0, 1.0], axes))
    2.0
    """
    (mu_u, sd_u, mu_v, sd_v, along), back = as_tensors(mu_u, sd_u, mu_v, sd_v, along)
    check_fit(mu_u=mu_u, sd_u=sd_u, mu_v=mu_v, sd_v=sd_v)
    check_sd(sd_u, sd_v)
    check_finite(mu_u=mu_u, mu_v=mu_v, along=along)
    m_u, s_u, m_v, s_v = torch.broadcast_tensors(*torch.atleast_1d(mu_u, sd_u, mu_v, sd_v))
    if along.ndim != 2 or len(along) != m_u.shape[-1]:
        raise InputError(f"along has shape {tuple(along.shape)}; {m_u.shape[-1]} dimensions need (d, L) directions")
    spread_u, spread_v = ((sd.square() @ along.square()).sqrt() for sd in (s_u, s_v))  # (..., L)
    return back(_folded_mean((m_u - m_v) @ along, (spread_u - spread_v).abs()).mean(-1))


@overload
def gaussian_kl(mu: Kind, sd: Kind | float, per_dimension: bool = ...) -> Kind: ...
@overload
def gaussian_kl(mu: Array, sd: Array, per_dimension: bool = ...) -> Same: ...
def gaussian_kl(mu: Array, sd: Array, per_dimension: bool = False) -> Same:
    """KL of a diagonal Gaussian to N(0, I) in nats, `½ sum_j (mu_j^2 + sd_j^2 - 1 - 2 log sd_j)`.

    Parameters
    ----------
    mu, sd : Array
        (..., d); leading axes broadcast, and one spread stands for all d dimensions.
    per_dimension : bool, default False
        Give the terms, (..., d), instead of their sum, (...).

    Examples
    --------
    >>> float(gaussian_kl([3.0, 4.0], [1.0, 1.0]))
    12.5
    """
    (mu, sd), back = as_tensors(mu, sd)
    check_fit(mu=mu, sd=sd)
    check_sd(sd)
    check_finite(mu=mu)
    # (sd - 1)(sd + 1) keeps the digits near sd = 1; rounding must not make a divergence negative.
    terms = 0.5 * (mu.square() + ((sd - 1) * (sd + 1) - 2 * sd.log()).clamp_min(0))
    return back(terms if per_dimension else terms.sum(-1))


@overload
def t1_bound(mu: Kind, sd: Kind | float) -> Kind: ...
@overload
def t1_bound(mu: Array, sd: Array) -> Same: ...
def t1_bound(mu: Array, sd: Array) -> Same:
    """Talagrand's bound `W1(q, N(0, I)) <= W2(q, N(0, I)) <= sqrt(2 KL(q || N(0, I)))`, (..., d) gives (...).

    N(0, I) satisfies T2, the inequality for W2, and with it T1 (Talagrand 1996).

    Examples
    --------
    >>> float(t1_bound([3.0], [1.0]))  # attained by a shift
    3.0
    """
    (kl,), back = as_tensors(gaussian_kl(mu, sd))
    return back((2 * kl).sqrt())
