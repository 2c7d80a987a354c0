"""W1 between clouds of samples: solved exactly, and along single directions."""

from typing import overload

import numpy as np
import torch

from minivae.errors import InputError, check_whole
from minivae.theory.numerics.arrays import Array, Kind, Same, as_tensors, check_finite

EXACT = "donot_use_mm_for_euclid_dist"


@overload
def w1_samples_1d(samples_u: Kind, samples_v: Kind) -> Kind: ...
@overload
def w1_samples_1d(samples_u: Array, samples_v: Array) -> Same: ...
def w1_samples_1d(samples_u: Array, samples_v: Array) -> Same:
    """Exact W1 of one-dimensional empirical measures along the last axis: (..., n) and (..., m) give (...).

    No gradient passes through.

    Examples
    --------
    >>> float(w1_samples_1d([0.0, 1.0], [3.0, 2.0]))
    2.0
    """
    (u, v), back = as_tensors(samples_u, samples_v)
    check_finite(samples_u=u, samples_v=v)
    if 0 in (u.ndim, v.ndim) or 0 in (u.shape[-1], v.shape[-1]):
        raise InputError(f"samples {tuple(u.shape)} and {tuple(v.shape)} must be (..., n) with n >= 1")
    lead = torch.broadcast_shapes(u.shape[:-1], v.shape[:-1])
    import ot  # here, since the rest of the theory need not wait for it

    flat = (s.detach().cpu().expand(*lead, s.shape[-1]).reshape(-1, s.shape[-1]).numpy().T for s in (u, v))
    return back(torch.as_tensor(ot.wasserstein_1d(*flat, p=1)).to(u).reshape(lead))


@overload
def w1_empirical(samples_u: Kind, samples_v: Kind) -> Kind: ...
@overload
def w1_empirical(samples_u: Array, samples_v: Array) -> Same: ...
def w1_empirical(samples_u: Array, samples_v: Array) -> Same:
    """W1 of two clouds of samples, solved exactly (POT's network simplex, Euclidean ground cost).

    Biased upwards as an estimate of the W1 of the sampled laws (W1 is convex in the pair of measures), with an error
    that falls only like `n^(-1/d)`: see `empirical_bias`. No gradient passes through.

    Parameters
    ----------
    samples_u, samples_v : Array
        (..., n, d) and (..., m, d); leading axes broadcast.

    Raises
    ------
    InputError
        If the samples have different dimensions or are not finite, or the solver did not converge.

    Examples
    --------
    >>> float(w1_empirical([[0.0], [1.0]], [[2.0], [3.0]]))
    2.0
    """
    (u, v), back = as_tensors(samples_u, samples_v)
    if min(u.ndim, v.ndim) < 2 or u.shape[-1] != v.shape[-1] or 0 in (u.shape[-2], v.shape[-2]):
        raise InputError(f"samples {tuple(u.shape)} and {tuple(v.shape)} must be (..., n, d) with one d and n >= 1")
    if not bool(u.isfinite().all() & v.isfinite().all()):
        raise InputError("the samples hold NaN or infinity, between which there is no distance")
    lead = torch.broadcast_shapes(u.shape[:-2], v.shape[:-2])
    wide_u, wide_v = (t.detach().to(torch.promote_types(t.dtype, torch.float32)) for t in (u, v))
    cost = torch.cdist(wide_u, wide_v, compute_mode=EXACT)  # (..., n, m)
    solved = [_transport(c) for c in cost.double().cpu().numpy().reshape(-1, *cost.shape[-2:])]
    return back(torch.tensor(solved, dtype=u.dtype, device=u.device).reshape(lead))


def _transport(cost: np.ndarray) -> float:
    import ot

    value, log = ot.emd2([], [], np.ascontiguousarray(cost), numItermax=10_000_000, log=True)
    if log["warning"]:
        raise InputError(
            f"the transport problem of {cost.shape[0]} x {cost.shape[1]} samples did not converge; use fewer"
        )
    return float(value)


def directions(
    d: int, n: int, generator: torch.Generator | None = None, like: torch.Tensor | None = None
) -> torch.Tensor:
    """`n` directions drawn uniformly from the unit sphere of R^d, as columns (d, n).

    Examples
    --------
    >>> bool((directions(3, 5).norm(dim=0) - 1).abs().max() < 1e-12)
    True
    """
    check_whole(1, d=d, n=n)
    dtype, device = (torch.float64, None) if like is None else (like.dtype, like.device)
    drawn = torch.randn(d, n, generator=generator, dtype=dtype, device=device)
    return torch.nn.functional.normalize(drawn, dim=0)


@overload
def sliced_w1(samples_u: Kind, samples_v: Kind, along: Kind) -> Kind: ...
@overload
def sliced_w1(samples_u: Array, samples_v: Array, along: Array) -> Same: ...
def sliced_w1(samples_u: Array, samples_v: Array, along: Array) -> Same:
    """Sliced W1 of two clouds, (..., n, d) and (..., m, d): the mean exact W1 of their projections on `along` (d, L).

    It is at most W1 and in high d lies below `||mu_u - mu_v||`: compare it with `sliced_w1_gaussian`, nothing else.

    Examples
    --------
    >>> axes = np.eye(2)
    >>> float(sliced_w1([[0.0, 0.0]], [[3.0, 1.0]], axes))  # 3 along one axis, 1 along the other
    2.0
    """
    (u, v, along), back = as_tensors(samples_u, samples_v, along)
    if along.ndim != 2 or any(t.ndim < 2 or t.shape[-1] != len(along) for t in (u, v)):
        shapes = ", ".join(str(tuple(t.shape)) for t in (u, v, along))
        raise InputError(f"samples and directions of shapes {shapes} do not fit; expected (..., n, d) and (d, L)")
    check_finite(samples_u=u, samples_v=v, along=along)
    return back(w1_samples_1d((u @ along).mT, (v @ along).mT).mean(-1))
