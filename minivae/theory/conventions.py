"""What masks do to the input distance of two users, for the three ways to feed a masked row to an encoder.

* ``raw``: x⊙b. Contracts every pair with ``d > 2ρs`` in the 1-norm (Theorem 2.6).
* ``normalize-then-mask`` (Mult-VAE): ``x̃ = (x/‖x‖)⊙b/ρ`` is unbiased, so by Jensen ``E‖x̃_u − x̃_v‖ ≥ ‖E x̃_u − E x̃_v‖``,
  the clean distance, in every norm and for every joint law of the masks: no pair contracts in expectation.
* ``mask-then-normalize``: x⊙b/‖x⊙b‖, where an empty x⊙b gives the zero vector.

All expectations are exact except the 2-norm of mask-then-normalize, which is simulated and carries a standard error.
"""

from dataclasses import dataclass
from typing import Any, Generic, Literal, get_args, overload

import numpy as np
import torch
from scipy.stats import binom

from minivae.errors import InputError, check_whole
from minivae.options import Mask
from minivae.theory.masking import binomial
from minivae.theory.numerics.arrays import Array, Kind, as_tensors

Norm = Literal["l1", "l2", "l2-squared"]


@dataclass(frozen=True)
class InputDistance(Generic[Kind]):
    """Clean and expected masked distance of the encoder inputs of pairs of users.

    Attributes
    ----------
    clean : Array
        Distance at ρ = 1 under the same convention.
    masked : Array
        Expectation over independent masks.
    se : Array
        Standard error of `masked`: 0 where it is exact.

    Examples
    --------
    >>> InputDistance(clean=np.float64(4.0), masked=np.float64(3.0), se=np.float64(0.0)).ratio
    np.float64(0.75)
    """

    clean: Kind
    masked: Kind
    se: Kind

    @property
    def ratio(self) -> Kind:
        """masked / clean: below 1, masks bring the pair together."""
        return self.masked / self.clean


@overload
def input_distance(
    n_u: Kind | float,
    n_v: Kind | float,
    n_common: Kind | float,
    keep: Kind | float,
    mask: Mask = ...,
    norm: Norm = ...,
    n_draws: int = ...,
    generator: torch.Generator | None = ...,
) -> InputDistance[Kind]: ...
@overload
def input_distance(
    n_u: Array,
    n_v: Array,
    n_common: Array,
    keep: Array,
    mask: Mask = ...,
    norm: Norm = ...,
    n_draws: int = ...,
    generator: torch.Generator | None = ...,
) -> InputDistance[Any]: ...
def input_distance(
    n_u: Array,
    n_v: Array,
    n_common: Array,
    keep: Array,
    mask: Mask = "normalize-then-mask",
    norm: Norm = "l1",
    n_draws: int = 100_000,
    generator: torch.Generator | None = None,
) -> InputDistance[Any]:
    """Expected distance of two independently masked inputs, next to the clean one.

    With ``K_u ~ Binomial(N_u, ρ)`` kept items, ``a = N_u^{-1/2}``, ``b = N_v^{-1/2}``:

    * raw: l1 and l2-squared ``ρd + 2ρ(1−ρ)s``; l2 ``E √D_h``.
    * normalize-then-mask: l1 ``clean + 2(1−ρ) s min(a, b)``; l2-squared ``clean² + 2(1−ρ)/ρ``, the same shift for
      every pair of users with a history, which is why near pairs drift most; l2 by a one-dimensional integral.
    * mask-then-normalize: l1 ``E√K_u + E√K_v − 2sρ² E max(1+K'_u, 1+K'_v)^{-1/2}`` and l2-squared
      ``P(K_u>0) + P(K_v>0) − 2 (s/(N_u N_v)) E√K_u E√K_v`` with ``K' ~ Binomial(N−1, ρ)``; l2 simulated. As
      ``E√K <= √(ρN)``, the expected cosine falls to at most ρ times the clean one: only an empty row can bring a pair
      closer in l2-squared.

    Parameters
    ----------
    n_u, n_v : Array
        N_u, N_v, numbers of items of the two users; broadcast.
    n_common : Array
        ``s = |S_u ∩ S_v|``.
    keep : Array
        ρ in (0, 1].
    mask : Mask, default 'normalize-then-mask'
        Convention.
    norm : Norm, default 'l1'
        Of the difference; "l2-squared" is E‖·‖².
    n_draws : int, default 100000
    generator : Generator, optional
        Of the simulation, where there is one.

    Raises
    ------
    InputError
        If more items are common than a user has, `keep` is no probability, or `mask` or `norm` is unknown.

    Examples
    --------
    >>> raw = input_distance(4, 4, 1, keep=0.5, mask="raw")
    >>> raw.clean, raw.masked
    (np.float64(6.0), np.float64(3.5))
    >>> input_distance(4, 4, 1, keep=0.5).masked
    np.float64(3.5)
    """
    if norm not in get_args(Norm) or mask not in get_args(Mask):
        raise InputError(
            f"norm={norm!r} with mask={mask!r} is unknown; choose a norm of {', '.join(get_args(Norm))} "
            f"and a mask of {', '.join(get_args(Mask))}"
        )
    check_whole(2, n_draws=n_draws)
    tensors, back = as_tensors(n_u, n_v, n_common, keep)
    shape = torch.broadcast_shapes(*(t.shape for t in tensors))
    pairs = torch.stack([t.expand(shape).reshape(-1) for t in tensors], 1).to("cpu", torch.float64).numpy()
    nu, nv, s, rho = pairs.T
    if not (
        (s >= 0) & (s <= nu) & (s <= nv) & (pairs[:, :3] == pairs[:, :3].round()).all(1) & np.isfinite(pairs).all(1)
    ).all():
        raise InputError("n_common must be a whole number of items that both users have, from 0 to min(n_u, n_v)")
    if not ((rho > 0) & (rho <= 1)).all():
        raise InputError("keep is no probability of keeping an interaction; it must be in (0, 1]")
    distinct, where = np.unique(pairs, axis=0, return_inverse=True)
    values = np.empty((len(distinct), 3))
    for j, (nu, nv, s, rho) in enumerate(distinct):
        clean = _clean(nu, nv, s, mask, norm)
        if mask == "mask-then-normalize" and norm == "l2":
            values[j] = (clean, *_simulated(nu, nv, s, rho, n_draws, generator))
        else:
            values[j] = clean, _EXACT[mask, norm](nu, nv, s, rho), 0.0
    columns = torch.from_numpy(values[where.reshape(-1)].T.copy()).to(tensors[0])
    return InputDistance(*(back(c.reshape(shape)) for c in columns))


def _scales(nu: float, nv: float) -> tuple[float, float]:
    return max(nu, 1.0) ** -0.5, max(nv, 1.0) ** -0.5


def _clean(nu: float, nv: float, s: float, mask: Mask, norm: Norm) -> float:
    a, b = (1.0, 1.0) if mask == "raw" else _scales(nu, nv)
    if norm == "l1":
        return a * (nu - s) + b * (nv - s) + s * abs(a - b)
    squared = a * a * (nu - s) + b * b * (nv - s) + s * (a - b) ** 2
    return squared if norm == "l2-squared" else squared**0.5


def _raw_l1(nu: float, nv: float, s: float, rho: float) -> float:
    return rho * (nu + nv - 2 * s) + 2 * rho * (1 - rho) * s


def _raw_l2(nu: float, nv: float, s: float, rho: float) -> float:
    return _expected_root(nu, nv, s, rho, 1.0, 1.0)


def _unbiased_l1(nu: float, nv: float, s: float, rho: float) -> float:
    return _clean(nu, nv, s, "normalize-then-mask", "l1") + 2 * (1 - rho) * s * min(_scales(nu, nv))


def _unbiased_squared(nu: float, nv: float, s: float, rho: float) -> float:
    clean = _clean(nu, nv, s, "normalize-then-mask", "l2-squared")
    return clean + (1 - rho) / rho * sum(n > 0 for n in (nu, nv))


def _unbiased_l2(nu: float, nv: float, s: float, rho: float) -> float:
    return _expected_root(nu, nv, s, rho, *_scales(nu, nv)) / rho


def _renormalized_l1(nu: float, nv: float, s: float, rho: float) -> float:
    roots = _mean_root(nu, rho) + _mean_root(nv, rho)
    if s == 0:
        return roots
    k = np.arange(max(nu, nv))
    below = binom.cdf(k, nu - 1, rho) * binom.cdf(k, nv - 1, rho)  # P(max(K'_u, K'_v) <= k)
    return roots - 2 * s * rho**2 * float(np.diff(below, prepend=0) @ (1 + k) ** -0.5)


def _renormalized_squared(nu: float, nv: float, s: float, rho: float) -> float:
    some = sum(1 - (1 - rho) ** n for n in (nu, nv))
    if s == 0:
        return some
    return some - 2 * s * _mean_root(nu, rho) * _mean_root(nv, rho) / (nu * nv)


def _mean_root(n: float, rho: float) -> float:
    """E √K for K ~ Binomial(n, ρ)."""
    k = np.arange(n + 1)
    return float(binomial(int(n), rho) @ np.sqrt(k))


_EXACT = {
    ("raw", "l1"): _raw_l1,
    ("raw", "l2"): _raw_l2,
    ("raw", "l2-squared"): _raw_l1,
    ("normalize-then-mask", "l1"): _unbiased_l1,
    ("normalize-then-mask", "l2"): _unbiased_l2,
    ("normalize-then-mask", "l2-squared"): _unbiased_squared,
    ("mask-then-normalize", "l1"): _renormalized_l1,
    ("mask-then-normalize", "l2-squared"): _renormalized_squared,
}


def _expected_root(nu: float, nv: float, s: float, rho: float, a: float, b: float) -> float:
    """``E √Y`` for ``Y = ‖a x_u⊙b_u − b x_v⊙b_v‖²``.

    ``E √Y = (1/(2√π)) ∫_0^∞ (1 − E e^{−tY}) t^{−3/2} dt``, where Y is a sum of independent terms and so has a product
    for its Laplace transform. With t = e^w the integrand is analytic in |Im w| < π/2 and falls like e^{−|w|/2}: the
    trapezoid rule is exact to rounding.
    """
    mean = rho * (a * a * (nu - s) + b * b * (nv - s)) + s * (rho * (1 - rho) * (a * a + b * b) + (rho * (a - b)) ** 2)
    if mean == 0:
        return 0.0
    w = np.arange(-80.0, 80.0, 0.25) - np.log(mean)
    t = np.exp(w)
    less = [np.expm1(-t * square) for square in (a * a, b * b, (a - b) ** 2)]  # e^{−tY} − 1 of one item
    with np.errstate(divide="ignore"):  # ρ = 1: log 0 where t is large, which is right
        log_transform = sum(
            n * np.log1p(term)
            for n, term in (
                (nu - s, rho * less[0]),
                (nv - s, rho * less[1]),
                (s, rho * (1 - rho) * (less[0] + less[1]) + rho**2 * less[2]),
            )
            if n > 0
        )
    return float(0.25 * (-np.expm1(log_transform) @ np.exp(-w / 2)) / (2 * np.pi**0.5))


def _simulated(
    nu: float, nv: float, s: float, rho: float, n_draws: int, generator: torch.Generator | None
) -> tuple[float, float]:
    """Mean and standard error of ‖x_u⊙b_u/‖·‖ − x_v⊙b_v/‖·‖‖: only the numbers of kept items matter."""

    def draw(n: torch.Tensor | float, p: float) -> torch.Tensor:
        count = torch.as_tensor(n, dtype=torch.float64).expand(n_draws)
        return torch.binomial(count, torch.full_like(count, p), generator=generator)

    both = draw(s, rho**2)
    only_u = draw(s - both, rho / (1 + rho))  # kept for u but not for v, given not for both
    only_v = draw(s - both - only_u, rho)
    k_u, k_v = draw(nu - s, rho) + only_u + both, draw(nv - s, rho) + only_v + both
    cosine = both / (k_u * k_v).clamp_min(1).sqrt()
    distance = ((k_u > 0).to(both) + (k_v > 0).to(both) - 2 * cosine).clamp_min(0).sqrt()
    return distance.mean().item(), distance.std().item() / n_draws**0.5
