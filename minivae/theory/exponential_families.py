"""Theorem 2.5 at one place in latent space, for any decoder of an exponential family."""

from collections.abc import Callable
from typing import overload

import torch

from minivae.errors import InputError
from minivae.theory.compromise import check_weights
from minivae.theory.numerics.arrays import Array, Kind, Same, as_tensors, check_fit

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
    >>> import math
    >>> float(bernoulli_conjugate(torch.tensor([0.5])) / math.log(0.5))
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
    >>> import math
    >>> float(multinomial_conjugate(torch.tensor([1.0, 1.0])) / math.log(2))
    -2.0
    """
    return torch.xlogy(t, t).sum(-1) - torch.xlogy(t.sum(-1), t.sum(-1))


@overload
def exponential_family_gap(
    t_u: Kind, t_v: Kind, w_u: Kind | float, w_v: Kind | float, conjugate: Conjugate
) -> Kind: ...
@overload
def exponential_family_gap(t_u: Array, t_v: Array, w_u: Array, w_v: Array, conjugate: Conjugate) -> Same: ...
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
        If a weight is negative or not finite, the statistics differ in k, or A* is no number at one of them, as a
        Bernoulli's beyond [0, 1].

    Examples
    --------
    >>> float(exponential_family_gap([0.0], [2.0], 1.0, 1.0, gaussian_conjugate))
    1.0
    """
    (t_u, t_v, w_u, w_v), back = as_tensors(t_u, t_v, w_u, w_v)
    check_weights(w_u, w_v)
    check_fit(t_u=t_u, t_v=t_v)
    total = w_u + w_v
    share = (w_u / torch.where(total > 0, total, 1))[..., None]
    between = t_v + share * (t_u - t_v)
    at_u, at_v, at = conjugate(t_u), conjugate(t_v), conjugate(between)
    if bool(at_u.isnan().any() | at_v.isnan().any() | at.isnan().any()):
        raise InputError("the conjugate is no number at a statistic; the family cannot have such a mean")
    return back(w_u * at_u + w_v * at_v - total * at)
