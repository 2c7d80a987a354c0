"""Theorem 2.5 at one place in latent space: what two users with different content pay for having it in common."""

from typing import overload

import numpy as np
import torch
from scipy import optimize

from minivae.errors import InputError
from minivae.theory.numerics.arrays import Array, Kind, Same, as_tensors, check_fit


@overload
def compromise_gap(p_u: Kind, p_v: Kind, w_u: Kind | float, w_v: Kind | float) -> Kind: ...
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
        If a distribution does not sum to one, anything is negative, or the two are not about the same items.

    Examples
    --------
    >>> gap = compromise_gap([1.0, 0.0], [0.0, 1.0], 1.0, 1.0)
    >>> round(float(gap / np.log(2)), 12)
    2.0
    """
    (p_u, p_v, w_u, w_v), back = as_tensors(p_u, p_v, w_u, w_v)
    check_distributions(p_u, p_v)
    check_weights(w_u, w_v)
    total = w_u + w_v
    safe = torch.where(total > 0, total, 1)
    return back(total * jensen_shannon(p_u, p_v, w_u / safe, w_v / safe))


def check_weights(*weights: torch.Tensor) -> None:
    """Raise `InputError` if a weight is negative or not finite."""
    if not all(bool(((w >= 0) & w.isfinite()).all()) for w in weights):
        raise InputError(
            "a weight of the compromise gap is negative, infinite or missing; weights are densities times counts"
        )


def check_distributions(p_u: torch.Tensor, p_v: torch.Tensor) -> None:
    """Raise `InputError` if the two are not over the same items, or one has a negative entry or no sum of one."""
    check_fit(p_u=p_u, p_v=p_v)
    for p in (p_u, p_v):
        if not p.ndim:
            raise InputError("an item distribution is a number; give one probability for each item, (..., I)")
        tolerance = 100 * p.shape[-1] ** 0.5 * torch.finfo(p.dtype).eps
        if not bool((p >= 0).all() & ((p.sum(-1) - 1).abs() <= tolerance).all()):
            raise InputError(
                "an item distribution has a negative entry or does not sum to one; divide the row by its sum"
            )


def jensen_shannon(p_u: torch.Tensor, p_v: torch.Tensor, a_u: torch.Tensor, a_v: torch.Tensor) -> torch.Tensor:
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
    (p_u, p_v, w_u, w_v), _ = as_tensors(p_u, p_v, w_u, w_v)
    check_distributions(p_u, p_v)
    check_weights(w_u, w_v)
    if p_u.ndim != 1 or w_u.numel() != 1 or w_v.numel() != 1:
        raise InputError("one pair of distributions is needed, (I,) each, and one weight for each")
    u, v = (float(w) * p.detach().double().cpu().numpy() for w, p in ((w_u, p_u), (w_v, p_v)))
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
