"""W2 of Gaussians in closed form, for one pair, for all pairs, and for full covariances."""

from typing import Any, overload

import torch

from minivae.errors import InputError, check_whole
from minivae.theory.numerics.arrays import Array, Kind, Same, as_tensors, check_finite, check_fit, check_sd


@overload
def w2_gaussian(mu_u: Kind, sd_u: Kind | float, mu_v: Kind, sd_v: Kind | float) -> Kind: ...
@overload
def w2_gaussian(mu_u: Array, sd_u: Array, mu_v: Array, sd_v: Array) -> Same: ...
def w2_gaussian(mu_u: Array, sd_u: Array, mu_v: Array, sd_v: Array) -> Same:
    """W2 (not squared) of diagonal Gaussians, `sqrt(||mu_u - mu_v||^2 + ||sd_u - sd_v||^2)`.

    Parameters
    ----------
    mu_u, sd_u, mu_v, sd_v : Array
        Means and standard deviations, (..., d); leading axes broadcast, and one spread stands for all d dimensions.

    Returns
    -------
    Array
        (...) distances, of the kind given.

    Raises
    ------
    InputError
        If a spread is negative or NaN, or the shapes do not fit together.

    Examples
    --------
    >>> float(w2_gaussian([0.0, 0.0], [1.0, 1.0], [3.0, 0.0], [1.0, 5.0]))
    5.0
    """
    (mu_u, sd_u, mu_v, sd_v), back = as_tensors(mu_u, sd_u, mu_v, sd_v)
    check_fit(mu_u=mu_u, sd_u=sd_u, mu_v=mu_v, sd_v=sd_v)
    check_sd(sd_u, sd_v)
    check_finite(mu_u=mu_u, mu_v=mu_v)
    mean, spread = torch.broadcast_tensors(*torch.atleast_1d(mu_u - mu_v, sd_u - sd_v))
    return back(torch.linalg.vector_norm(torch.cat([mean, spread], dim=-1), dim=-1))


@overload
def w2_gaussian_full(mu_u: Kind, cov_u: Kind, mu_v: Kind, cov_v: Kind) -> Kind: ...
@overload
def w2_gaussian_full(mu_u: Array, cov_u: Array, mu_v: Array, cov_v: Array) -> Same: ...
def w2_gaussian_full(mu_u: Array, cov_u: Array, mu_v: Array, cov_v: Array) -> Same:
    """W2 (not squared) of Gaussians with full covariances, singular ones included (the Bures formula).

    `W2^2 = ||mu_u - mu_v||^2 + min_Q ||A - B Q||_F^2` with `cov_u = A A'`, `cov_v = B B'` and Q orthogonal, which
    equals `||mu_u - mu_v||^2 + tr(cov_u + cov_v - 2 (cov_u^½ cov_v cov_u^½)^½)` but loses no digits when the two
    covariances are close: the minimum is a sum of squares, the trace a difference of large numbers.

    Parameters
    ----------
    mu_u, mu_v : Array
        Means, (..., d).
    cov_u, cov_v : Array
        Covariances, (..., d, d), symmetric positive semi-definite, singular ones included. What float32 leaves of
        zero counts as zero whatever the dtype: covariances are often estimated in float32 and cast afterwards.

    Raises
    ------
    InputError
        If a covariance is not symmetric or has a negative eigenvalue, or the dimensions differ.

    Examples
    --------
    >>> import numpy as np
    >>> round(float(w2_gaussian_full(np.zeros(2), np.eye(2), np.zeros(2), 4 * np.eye(2))) ** 2, 12)
    2.0
    """
    (mu_u, cov_u, mu_v, cov_v), back = as_tensors(mu_u, cov_u, mu_v, cov_v)
    check_finite(mu_u=mu_u, cov_u=cov_u, mu_v=mu_v, cov_v=cov_v)
    _check_covariance(cov_u, "cov_u")
    _check_covariance(cov_v, "cov_v")
    rows = {"each row of cov_u": cov_u[..., 0], "each row of cov_v": cov_v[..., 0]}
    check_fit(mu_u=mu_u, mu_v=mu_v, **rows)
    a, b = torch.broadcast_tensors(_Root.apply(cov_u), _Root.apply(cov_v))
    with torch.no_grad():  # Q is a minimiser, so the gradient is that of the norm with Q held fixed (envelope theorem)
        w, _, vh = torch.linalg.svd(b.mT @ a)  # the rotation of B that comes closest to A (Procrustes)
    bures = torch.linalg.matrix_norm(a - b @ w @ vh)
    means = torch.linalg.vector_norm(mu_u - mu_v, dim=-1)
    return back(torch.linalg.vector_norm(torch.stack(torch.broadcast_tensors(means, bures), -1), dim=-1))


def _check_covariance(cov: torch.Tensor, name: str) -> None:
    """Square, symmetric, no negative eigenvalue beyond what d float32 numbers of its size leave."""
    if cov.ndim < 2 or cov.shape[-1] != cov.shape[-2]:
        raise InputError(f"{name} has shape {tuple(cov.shape)}, expected (..., d, d)")
    values = torch.linalg.eigvalsh(cov.detach())
    eps = max(torch.finfo(torch.float32).eps, torch.finfo(cov.dtype).eps)
    tolerance = 8 * cov.shape[-1] * eps * values.abs().amax(-1)
    asymmetry = (cov - cov.mT).abs().amax((-2, -1))
    if not bool(((asymmetry <= tolerance) & (values[..., 0] >= -tolerance)).all()):
        raise InputError(f"{name} is not symmetric positive semi-definite; pass covariances, not standard deviations")


class _Root(torch.autograd.Function):
    """The symmetric square root S of a positive semi-definite matrix, and its gradient.

    ``S dS + dS S = dA``: in the eigenvectors of A an entry of dS is that of dA over ``s_i + s_j``, which exists where
    eigenvalues are equal, and automatic differentiation of the eigenvectors does not.
    """

    @staticmethod
    def forward(ctx: Any, cov: torch.Tensor) -> torch.Tensor:
        values, vectors = torch.linalg.eigh(cov)
        roots = values.clamp_min(0).sqrt()
        ctx.save_for_backward(roots, vectors)
        return vectors * roots[..., None, :] @ vectors.mT

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        roots, vectors = ctx.saved_tensors
        sums = roots[..., :, None] + roots[..., None, :]
        inner = vectors.mT @ (grads[0] + grads[0].mT) @ vectors / 2
        return vectors @ torch.where(sums > 0, inner / sums, 0.0) @ vectors.mT


@overload
def w2_matrix(mu_u: Kind, sd_u: Kind, mu_v: Kind | None = ..., sd_v: Kind | None = ...) -> Kind: ...
@overload
def w2_matrix(mu_u: Array, sd_u: Array, mu_v: Array | None = ..., sd_v: Array | None = ...) -> Same: ...
def w2_matrix(mu_u: Array, sd_u: Array, mu_v: Array | None = None, sd_v: Array | None = None) -> Same:
    """W2 of every user in the first set to every user in the second (by default the first again), (U, V).

    Matrix products; see `distance_matrix` for why it is safe. The lower end of the W1 bracket for all pairs is
    `distance_matrix(mu_u, mu_v)`.

    Parameters
    ----------
    mu_u, sd_u : Array
        Means and standard deviations of the first set, (U, d); a spread that is (U, 1), (d,) or a number broadcasts.
    mu_v, sd_v : Array, optional
        The second set, (V, d): both or neither.

    Raises
    ------
    InputError
        If only one of `mu_v` and `sd_v` is given, the dimensions differ, or a spread is negative or NaN.

    Examples
    --------
    >>> w2_matrix([[0.0], [3.0]], [[1.0], [5.0]]).tolist()
    [[0.0, 5.0], [5.0, 0.0]]
    """
    if (mu_v is None) != (sd_v is None):
        missing, given = ("mu_v", "sd_v") if mu_v is None else ("sd_v", "mu_v")
        raise InputError(f"{given} is given, but {missing} is not; the second set of users needs both")
    first_again = mu_v is None
    second = (mu_u, sd_u) if mu_v is None or sd_v is None else (mu_v, sd_v)
    (mu_u, sd_u, mu_v, sd_v), back = as_tensors(mu_u, sd_u, *second)
    for name, mu, sd in (("u", mu_u, sd_u), ("v", mu_v, sd_v)):
        check_sd(sd)
        check_fit(**{f"mu_{name}": mu, f"sd_{name}": sd})
        if mu.ndim != 2 or sd.ndim > 2:
            raise InputError(f"mu_{name} {tuple(mu.shape)} and sd_{name} {tuple(sd.shape)} must be (users, d) both")
    u, v = (torch.cat(torch.broadcast_tensors(mu, sd), dim=-1) for mu, sd in ((mu_u, sd_u), (mu_v, sd_v)))  # (U, 2d)
    return back(distance_matrix(u, None if first_again else v))


@overload
def distance_matrix(a: Kind, b: Kind | None = ..., block: int = ...) -> Kind: ...
@overload
def distance_matrix(a: Array, b: Array | None = ..., block: int = ...) -> Same: ...
def distance_matrix(a: Array, b: Array | None = None, block: int = 1024) -> Same:
    """Euclidean distances of all rows of `a` (U, k) to all rows of `b` (V, k), by default `a` again.

    `||a||^2 + ||b||^2 - 2<a, b>` is one matrix product but cancels for close rows. So it is taken in float64 around
    the common mean, and every pair whose square comes out below 1e-6 of its terms is computed again from the
    difference. The relative error stays near 1e-9 at worst, for equal rows it is zero.

    Raises
    ------
    InputError
        If `a` or `b` is no matrix, or they do not have the same number of columns.

    Examples
    --------
    >>> distance_matrix([[0.0, 0.0], [3.0, 4.0]]).tolist()
    [[0.0, 5.0], [5.0, 0.0]]
    """
    (a, b), back = as_tensors(a, a if b is None else b)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise InputError(f"a {tuple(a.shape)} and b {tuple(b.shape)} must be (U, k) and (V, k), rows of the same k")
    check_finite(a=a, b=b)
    check_whole(1, block=block)
    dtype = a.dtype
    a, b = a.double(), b.double()
    centre = a.mean(0)
    a, b = a - centre, b - centre
    sa, sb = a.square().sum(-1), b.square().sum(-1)
    out = torch.empty(len(a), len(b), dtype=dtype, device=a.device)
    for i in range(0, len(a), block):
        rows = a[i : i + block]
        terms = sa[i : i + block, None] + sb  # (block, V)
        squared = torch.addmm(terms, rows, b.T, alpha=-2)
        close = (squared <= 1e-6 * terms).nonzero()
        for part in close.split(65_536):
            u, v = part.T
            squared[u, v] = (rows[u] - b[v]).square().sum(-1)
        out[i : i + block] = squared.clamp_min_(0).sqrt_()
    return back(out)
