"""Proposition 3.2: an anchor pulls the minimisers under all masks to one place, so their covariance over masks shrinks.

The statement is about a local quadratic model. The variance over masks of a trained encoder is
`minivae.theory.drift.mask_variance`.
"""

from dataclasses import dataclass
from typing import Generic, overload

import numpy as np
import torch

from minivae.errors import InputError
from minivae.theory.numerics.arrays import Array, Kind, Same, as_tensors, check_finite


@overload
def shrinkage(L: Kind, lam: Kind | float) -> Kind: ...
@overload
def shrinkage(L: Array, lam: Array) -> Same: ...
def shrinkage(L: Array, lam: Array) -> Same:
    """``τ = L/(L+2λ)``: how far at most the anchored minimiser keeps from the centroid (Proposition 3.2).

    Parameters
    ----------
    L : Array
        Largest curvature of the reconstruction and KL terms in μ, ``0 ⪯ H ⪯ L·I``; broadcasts with `lam`.
    lam : Array
        λ_A, weight of the anchor loss.

    Raises
    ------
    InputError
        If one is negative or both are zero.

    Examples
    --------
    >>> shrinkage(L=2.0, lam=1.0)
    np.float64(0.5)
    """
    (L, lam), back = as_tensors(L, lam)
    if not ((L >= 0) & (lam >= 0) & (L + lam > 0) & L.isfinite() & lam.isfinite()).all():
        raise InputError("L and lam must be finite numbers, not negative nor both zero, for τ = L/(L+2λ) to exist")
    scale = torch.where(torch.maximum(L, lam) > 1, 0.25, 1.0).to(L)  # so that no sum overflows
    return back(L * scale / (L * scale + 2 * (lam * scale)))


@dataclass(frozen=True)
class Shrinkage(Generic[Kind]):
    """What the anchor did to the minimisers' covariance over masks; see `QuadraticModel.shrink`.

    Attributes
    ----------
    free, anchored : Array
        (..., d, d) covariance of m_h and of μ*_h over masks.
    trace_ratio, spectral_ratio : Array
        Anchored over free, at most `tau` squared.
    tau : Array
        ``L/(L+2λ)`` with L the largest eigenvalue of H.
    loewner_gap : Array
        Smallest eigenvalue of ``τ²·free − anchored``; it may be negative: no inequality of matrices holds.

    Examples
    --------
    >>> model = QuadraticModel(H=np.eye(2), lam=0.5, centroid=np.zeros(2))
    >>> shrunk = model.shrink(np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0]]))
    >>> float(shrunk.tau), float(shrunk.trace_ratio)  # τ² where all curvatures are equal
    (0.5, 0.25)
    """

    free: Kind
    anchored: Kind
    trace_ratio: Kind
    spectral_ratio: Kind
    tau: Kind
    loewner_gap: Kind


@dataclass(frozen=True)
class QuadraticModel(Generic[Kind]):
    """Proposition 3.2's local model: under mask h, ``F_h(μ) = ½(μ−m_h)ᵀH(μ−m_h) + λ‖μ−ē‖²``, one H for all masks.

    Why m_h varies with the mask although the target is the full x: one amortised encoder serves all inputs; and even an
    unrestricted encoder gives one answer to a view that several users may have. The fixed centroid ē is exact only
    where a view belongs to one user; otherwise the mean of ē_x over the users behind the view takes its place.

    Parameters
    ----------
    H : Array
        (d, d) symmetric, positive semidefinite.
    lam : float
        λ_A > 0.
    centroid : Array
        (d,) ē_x, the mean anchor of the full item set.

    Raises
    ------
    InputError
        If H is not a symmetric positive semidefinite matrix that fits the centroid, or `lam` is not positive.

    Examples
    --------
    >>> model = QuadraticModel(H=np.diag([2.0, 0.0]), lam=1.0, centroid=np.zeros(2))
    >>> model.minimizer(np.array([4.0, 4.0]))
    array([2., 0.])
    """

    H: Kind
    lam: float
    centroid: Kind

    def __post_init__(self) -> None:
        (H, lam, centroid), _ = as_tensors(self.H, self.lam, self.centroid)
        check_finite(H=H, lam=lam, centroid=centroid)
        if H.ndim != 2 or centroid.ndim != 1 or H.shape != (len(centroid),) * 2 or not torch.allclose(H, H.T):
            raise InputError(f"H {tuple(H.shape)} must be symmetric and fit the centroid {tuple(centroid.shape)}")
        eigenvalues = torch.linalg.eigvalsh(H)
        if eigenvalues[0] < -1e-6 * eigenvalues[-1].abs() or not lam > 0:
            raise InputError(
                f"lam={self.lam} must be positive and H have no negative eigenvalue (smallest: {eigenvalues[0]:g})"
            )

    @property
    def tau(self) -> Kind:
        """``L/(L+2λ)``, L the largest eigenvalue of H."""
        (H, lam), back = as_tensors(self.H, self.lam)
        return back(shrinkage(torch.linalg.eigvalsh(H)[-1].clamp_min(0), lam))

    def minimizer(self, m: Array) -> Kind:
        """``μ*_h = (H+2λI)^{-1}(H m_h + 2λ ē)`` of free minimisers m_h, (..., d) -> (..., d).

        So ``‖μ*_h − ē‖ ≤ τ ‖m_h − ē‖``.
        """
        (m, H, lam, centroid), back = as_tensors(m, self.H, self.lam, self.centroid)
        check_finite(m=m)
        A = H + 2 * lam * torch.eye(len(H)).to(H)
        b = m @ H + 2 * lam * centroid  # (..., d); H is symmetric
        return back(torch.linalg.solve(A, b[..., None])[..., 0])

    def shrink(self, m: Array) -> Shrinkage[Kind]:
        """Covariance over masks of free minimisers (M, d) and of the anchored ones.

        ``Cov μ* = (H+2λI)^{-1} H Cov(m) H (H+2λI)^{-1}``: trace and spectral norm shrink to at most τ² times.
        ``τ² Cov m − Cov μ*`` need not be positive semidefinite: see `loewner_counterexample`.
        """
        (m, tau, anchored), back = as_tensors(m, self.tau, self.minimizer(m))
        if m.ndim != 2 or len(m) < 2:
            raise InputError(f"free minimisers {tuple(m.shape)} have no covariance; expected (M, d) with M >= 2 masks")
        free, anchored = (torch.atleast_2d(torch.cov(a.T)) for a in (m, anchored))  # (d, d)
        top = [torch.linalg.eigvalsh(c)[-1] for c in (free, anchored)]
        return Shrinkage(
            free=back(free),
            anchored=back(anchored),
            trace_ratio=back(anchored.trace() / free.trace()),
            spectral_ratio=back(top[1] / top[0]),
            tau=back(tau),
            loewner_gap=back(torch.linalg.eigvalsh(tau**2 * free - anchored)[0]),
        )


def loewner_counterexample() -> tuple[QuadraticModel[np.ndarray], np.ndarray]:
    """A model and free minimisers (2, 2) whose covariance does not shrink to τ² times in the Loewner order.

    ``H = diag(1, .01)``, λ = ½, m_h at ±(1, 1): along the flat direction the anchor wins nearly everything, so the
    anchored minimisers lie on another line, where τ² Cov(m) has no variance.

    Examples
    --------
    >>> model, m = loewner_counterexample()
    >>> bool(model.shrink(m).loewner_gap < -0.1)
    True
    """
    return QuadraticModel(H=np.diag([1.0, 0.01]), lam=0.5, centroid=np.zeros(2)), np.array([[1.0, 1.0], [-1.0, -1.0]])
