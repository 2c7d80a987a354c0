"""Distances between Gaussian posteriors: W2 in closed form, W1 bracketed, exact in one dimension, or from samples.

`W_p(q, r) = inf (E ||a - b||^p)^(1/p)` over all couplings of `a ~ q` and `b ~ r`, Euclidean ground cost. Section 1 of
the theory: Villani (2009), chapters 6 and 22; Peyré and Cuturi (2019), remarks 2.30 and 2.31.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import ot
import torch

from minivae.errors import InputError
from minivae.theory.numerics.arrays import (
    Array,
    Numbers,
    Same,
    as_tensors,
    check_finite,
    check_fit,
    check_sd,
    check_whole,
)


@overload
def w2_gaussian(mu_u: torch.Tensor, sd_u: Array, mu_v: Array, sd_v: Array) -> torch.Tensor: ...
@overload
def w2_gaussian(mu_u: Numbers, sd_u: Numbers, mu_v: Numbers, sd_v: Numbers) -> np.ndarray: ...
@overload
def w2_gaussian(mu_u: Array, sd_u: Array, mu_v: Array, sd_v: Array) -> Same: ...
def w2_gaussian(mu_u: Array, sd_u: Array, mu_v: Array, sd_v: Array) -> Same:
    """W2 (not squared) of diagonal Gaussians, `sqrt(||mu_u - mu_v||^2 + ||sd_u - sd_v||^2)`.

    Parameters
    ----------
    mu_u, sd_u, mu_v, sd_v : Array
        Means and standard deviations, (..., d); leading axes broadcast.

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
    mean, spread = torch.broadcast_tensors(mu_u - mu_v, sd_u - sd_v)
    return back(torch.linalg.vector_norm(torch.cat([mean, spread], dim=-1), dim=-1))


@overload
def w2_gaussian_full(mu_u: torch.Tensor, cov_u: Array, mu_v: Array, cov_v: Array) -> torch.Tensor: ...
@overload
def w2_gaussian_full(mu_u: Numbers, cov_u: Numbers, mu_v: Numbers, cov_v: Numbers) -> np.ndarray: ...
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
    check_fit(mu_u=mu_u[..., None], cov_u=cov_u, mu_v=mu_v[..., None], cov_v=cov_v)
    check_finite(mu_u=mu_u, cov_u=cov_u, mu_v=mu_v, cov_v=cov_v)
    _check_covariance(cov_u, "cov_u")
    _check_covariance(cov_v, "cov_v")
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
def w1_bounds(mu_u: torch.Tensor, sd_u: Array, mu_v: Array, sd_v: Array) -> tuple[torch.Tensor, torch.Tensor]: ...
@overload
def w1_bounds(mu_u: Numbers, sd_u: Numbers, mu_v: Numbers, sd_v: Numbers) -> tuple[np.ndarray, np.ndarray]: ...
@overload
def w1_bounds(mu_u: Array, sd_u: Array, mu_v: Array, sd_v: Array) -> tuple[Same, Same]: ...
def w1_bounds(mu_u: Array, sd_u: Array, mu_v: Array, sd_v: Array) -> tuple[Same, Same]:
    """Bracket W1 of diagonal Gaussians: `||mu_u - mu_v|| <= W1 <= W2`.

    Below: the means are expectations of a 1-Lipschitz map. Above: Jensen. Tight at both ends when `sd_u = sd_v`.

    Parameters
    ----------
    mu_u, sd_u, mu_v, sd_v : Array
        Means and standard deviations, (..., d); leading axes broadcast.

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
    low = torch.linalg.vector_norm(mu_u - mu_v, dim=-1).expand(high.shape)
    return back(low), back(high)


def w2_matrix(mu_u: Array, sd_u: Array, mu_v: Array | None = None, sd_v: Array | None = None) -> Same:
    """W2 of every user in the first set to every user in the second (by default the first again), (U, V).

    Matrix products; see `distance_matrix` for why it is safe. The lower end of the W1 bracket for all pairs is
    `distance_matrix(mu_u, mu_v)`.

    Examples
    --------
    >>> w2_matrix([[0.0], [3.0]], [[1.0], [5.0]]).tolist()
    [[0.0, 5.0], [5.0, 0.0]]
    """
    (mu_u, sd_u), back = as_tensors(mu_u, sd_u)
    check_sd(sd_u)
    u = torch.cat([mu_u, sd_u], dim=-1)  # (U, 2d)
    if mu_v is None or sd_v is None:
        return back(distance_matrix(u))
    (mu_v, sd_v), _ = as_tensors(mu_v, sd_v)
    check_sd(sd_v)
    return back(distance_matrix(u, torch.cat([mu_v, sd_v], dim=-1).to(u)))


def distance_matrix(a: Array, b: Array | None = None, block: int = 1024) -> Same:
    """Euclidean distances of all rows of `a` (U, k) to all rows of `b` (V, k), by default `a` again.

    `||a||^2 + ||b||^2 - 2<a, b>` is one matrix product but cancels for close rows. So it is taken in float64 around
    the common mean, and every pair whose square comes out below 1e-6 of its terms is computed again from the
    difference. The relative error stays near 1e-9 at worst, for equal rows it is zero.

    Examples
    --------
    >>> distance_matrix([[0.0, 0.0], [3.0, 4.0]]).tolist()
    [[0.0, 5.0], [5.0, 0.0]]
    """
    (a, b), back = as_tensors(a, a if b is None else b)
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
    check_sd(sd_u, sd_v)
    check_finite(mu_u=mu_u, mu_v=mu_v)
    return back(_folded_mean(mu_u - mu_v, (sd_u - sd_v).abs()))


def _folded_mean(m: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
    """E|m + s eps|, eps ~ N(0, 1)."""
    t = m / torch.where(s > 0, s, 1) / math.sqrt(2)
    mean = s * math.sqrt(2 / math.pi) * torch.exp(-t.square()) + m * torch.erf(t)
    return torch.where(s > 0, mean, m.abs())


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
    flat = (s.detach().cpu().expand(*lead, s.shape[-1]).reshape(-1, s.shape[-1]).numpy().T for s in (u, v))
    return back(torch.as_tensor(ot.wasserstein_1d(*flat, p=1)).to(u).reshape(lead))


@overload
def w1_empirical(samples_u: torch.Tensor, samples_v: Array) -> torch.Tensor: ...
@overload
def w1_empirical(samples_u: Numbers, samples_v: Numbers) -> np.ndarray: ...
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
    cost = torch.cdist(u, v, compute_mode="donot_use_mm_for_euclid_dist").detach()  # (..., n, m)
    solved = [_transport(c) for c in cost.double().cpu().numpy().reshape(-1, *cost.shape[-2:])]
    return back(torch.tensor(solved, dtype=u.dtype, device=u.device).reshape(lead))


def _transport(cost: np.ndarray) -> float:
    value, log = ot.emd2([], [], np.ascontiguousarray(cost), numItermax=10_000_000, log=True)
    if log["warning"]:
        raise InputError(
            f"the transport problem of {cost.shape[0]} x {cost.shape[1]} samples did not converge; use fewer"
        )
    return float(value)


@dataclass(frozen=True)
class EmpiricalBias:
    """Empirical W1 against the number of samples, with what is known of the truth. Arrays of length `len(sizes)`.

    In expectation `estimate - floor <= W1 <= estimate` for every n: the estimate is convex in its two measures, and
    `floor = W1(u, u') + W1(v, v')`, clouds against second clouds of the same law, is at least what both fall short.

    Examples
    --------
    >>> bias = empirical_bias([0.0], [1.0], [3.0], [1.0], sizes=(5, 50), repeats=4)
    >>> bias.sizes.tolist(), float(bias.low), float(bias.high)
    ([5, 50], 3.0, 3.0)
    """

    sizes: Same
    """Samples in each cloud, n."""
    estimate: Same
    """Mean over repeats of W1 between a cloud of u and a cloud of v."""
    estimate_se: Same
    floor: Same
    """Mean over repeats of W1 between two clouds of u plus W1 between two clouds of v: zero in truth."""
    floor_se: Same
    low: Same
    """Closed-form bracket of the true W1, `||mu_u - mu_v||`."""
    high: Same
    """Closed-form bracket of the true W1, W2."""


def empirical_bias(
    mu_u: Array,
    sd_u: Array,
    mu_v: Array,
    sd_v: Array,
    sizes: Sequence[int] = (10, 30, 100, 300, 1000),
    repeats: int = 10,
    generator: torch.Generator | None = None,
) -> EmpiricalBias:
    """How the empirical W1 of two diagonal Gaussians (d,) returns to its bracket as the samples grow.

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
    m_u, s_u, m_v, s_v = torch.broadcast_tensors(*tensors)

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


def sliced_w1_gaussian(mu_u: Array, sd_u: Array, mu_v: Array, sd_v: Array, along: Array) -> Same:
    """Sliced W1 of diagonal Gaussians (..., d) over the directions `along` (d, L): exact in every direction.

    The projection on `t` is `N(<t, mu>, sum_j t_j^2 sd_j^2)`, whose W1 is `w1_gaussian_1d`.

    Examples
    --------
    >>> axes = np.eye(2)
    >>> float(sliced_w1_gaussian([0.0, 0.0], [1.0, 1.0], [3.0, 1.0], [1.0, 1.0], axes))
    2.0
    """
    (mu_u, sd_u, mu_v, sd_v, along), back = as_tensors(mu_u, sd_u, mu_v, sd_v, along)
    check_sd(sd_u, sd_v)
    check_finite(mu_u=mu_u, mu_v=mu_v, along=along)
    spread_u, spread_v = ((sd.square() @ along.square()).sqrt() for sd in (sd_u, sd_v))  # (..., L)
    return back(_folded_mean((mu_u - mu_v) @ along, (spread_u - spread_v).abs()).mean(-1))


@overload
def gaussian_kl(mu: torch.Tensor, sd: Array, per_dimension: bool = ...) -> torch.Tensor: ...
@overload
def gaussian_kl(mu: Numbers, sd: Numbers, per_dimension: bool = ...) -> np.ndarray: ...
@overload
def gaussian_kl(mu: Array, sd: Array, per_dimension: bool = ...) -> Same: ...
def gaussian_kl(mu: Array, sd: Array, per_dimension: bool = False) -> Same:
    """KL of a diagonal Gaussian to N(0, I) in nats, `½ sum_j (mu_j^2 + sd_j^2 - 1 - 2 log sd_j)`.

    Parameters
    ----------
    mu, sd : Array
        (..., d).
    per_dimension : bool, default False
        Give the terms, (..., d), instead of their sum, (...).

    Examples
    --------
    >>> float(gaussian_kl([3.0, 4.0], [1.0, 1.0]))
    12.5
    """
    (mu, sd), back = as_tensors(mu, sd)
    check_sd(sd)
    check_finite(mu=mu)
    # (sd - 1)(sd + 1) keeps the digits near sd = 1; rounding must not make a divergence negative.
    terms = 0.5 * (mu.square() + ((sd - 1) * (sd + 1) - 2 * sd.log()).clamp_min(0))
    return back(terms if per_dimension else terms.sum(-1))


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
