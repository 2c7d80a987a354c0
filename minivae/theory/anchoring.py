"""The anchor regularizer (PIA): alignment (Proposition 3.1), shrinkage over masks (Proposition 3.2), anchor norms.

``L_A = (1/N_x) Σ_{i∈S_x} E_{z~q(·|x_h)} ‖z − e_i‖²`` with learnable anchors e_i and the FULL item set S_x.
The variance over masks of a trained encoder, which Proposition 3.2 is about, is `minivae.theory.drift.mask_variance`.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor

from minivae.data.users import Users, as_csr, shape_of
from minivae.errors import InputError
from minivae.theory.drift import MaskVariance, mask_variance
from minivae.theory.numerics.arrays import Array, Same, as_tensors, check_finite, check_sd

__all__ = [
    "Alignment",
    "AnchorNorms",
    "MaskVariance",
    "QuadraticModel",
    "Shrinkage",
    "alignment",
    "anchor_norms",
    "loewner_counterexample",
    "mask_variance",
    "shrinkage",
]


@dataclass(frozen=True)
class Alignment:
    """The anchor loss per user and its three terms, each (..., B); made by `alignment`.

    Attributes
    ----------
    mean_term : Array
        ``‖μ(x_h) − ē_x‖²``
    variance_term : Array
        ``tr Σ(x_h)``
    scatter_term : Array
        ``(1/N_x) Σ_{i∈S_x} ‖e_i − ē_x‖²``, which no encoder can change.

    Examples
    --------
    >>> Alignment(np.array([16.0]), np.array([2.0]), np.array([1.0])).total
    array([19.])
    """

    mean_term: Same
    variance_term: Same
    scatter_term: Same

    @property
    def total(self) -> Same:
        """L_A, the sum of the three."""
        return self.mean_term + self.variance_term + self.scatter_term


def alignment(mu: Array, sd: Array, anchors: Array, x: Users) -> Alignment:
    """The anchor loss in closed form (Proposition 3.1, an identity).

    ``L_A = ‖μ(x_h) − ē_x‖² + tr Σ(x_h) + (1/N_x) Σ_{i∈S_x} ‖e_i − ē_x‖²`` with ``ē_x = (1/N_x) Σ_{i∈S_x} e_i``.
    One sparse (B, I) × (I, d+1) product, not N_x distances per user. Differentiable in mu, sd and anchors.

    Parameters
    ----------
    mu, sd : Array
        (..., B, d) of q(z|x_h) = N(μ, diag sd²); leading axes, for instance mask draws, broadcast.
    anchors : Array
        (I, d).
    x : Users
        (B, I) full (unmasked) item sets, CSR or dense; every nonzero entry counts once, whatever its value.

    Returns
    -------
    Alignment
        Alignment, each term (..., B). A user without items has no anchor to be pulled to: all terms are zero.

    Raises
    ------
    InputError
        If the shapes do not fit.

    Examples
    --------
    >>> anchors = np.array([[3.0, 0.0], [5.0, 0.0]])
    >>> a = alignment(mu=np.zeros((1, 2)), sd=np.ones((1, 2)), anchors=anchors, x=np.ones((1, 2)))
    >>> a.mean_term, a.variance_term, a.scatter_term, a.total
    (array([16.]), array([2.]), array([1.]), array([19.]))
    """
    (mu, sd, anchors), back = as_tensors(mu, sd, anchors)
    x = as_csr(x)
    if anchors.ndim != 2 or mu.ndim < 2 or x.shape != (mu.shape[-2], len(anchors)) or sd.shape[-2:] != mu.shape[-2:]:
        raise InputError(
            f"x {x.shape}, mu {tuple(mu.shape)}, sd {tuple(sd.shape)} and anchors {tuple(anchors.shape)} do not fit; "
            "expected (B, I), (B, d), (B, d) and (I, d)"
        )
    if mu.shape[-1] != anchors.shape[1]:
        raise InputError(f"mu has {mu.shape[-1]} latent dimensions, but the anchors have {anchors.shape[1]}")
    check_sd(sd)
    check_finite(mu=mu, anchors=anchors)
    centroid, scatter, some = _centroids(anchors, x)
    mean_term = (mu - centroid).square().sum(-1) * some
    variance_term = sd.square().sum(-1) * some
    terms = torch.broadcast_tensors(mean_term, variance_term, scatter)
    return Alignment(*(back(t) for t in terms))


def _centroids(anchors: Tensor, x: sp.csr_matrix) -> tuple[Tensor, Tensor, Tensor]:
    """ē_x (B, d), the scatter around it (B,), and 1 for users with items, 0 for the others (B,)."""
    origin = anchors.detach().mean(
        0
    )  # mean ‖e‖² − ‖ē‖² loses its digits when all anchors are far out; centred, it does not
    centred = anchors - origin  # (I, d)
    table = torch.cat([centred, centred.square().sum(-1, keepdim=True)], -1)  # (I, d+1)
    items, offsets = (torch.from_numpy(a.astype(np.int64)).to(anchors.device) for a in (x.indices, x.indptr))
    some = (offsets.diff() > 0).to(anchors)
    means = F.embedding_bag(items, table, offsets, mode="mean", include_last_offset=True)  # (B, d+1), empty row: 0
    scatter = (means[:, -1] - means[:, :-1].square().sum(-1)).clamp_min(0)
    return (means[:, :-1] + origin) * some[:, None], scatter, some


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
class Shrinkage:
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

    free: Same
    anchored: Same
    trace_ratio: Same
    spectral_ratio: Same
    tau: Same
    loewner_gap: Same


@dataclass(frozen=True)
class QuadraticModel:
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

    H: Same
    lam: float
    centroid: Same

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
    def tau(self) -> Same:
        """``L/(L+2λ)``, L the largest eigenvalue of H."""
        (H, lam), back = as_tensors(self.H, self.lam)
        return back(shrinkage(torch.linalg.eigvalsh(H)[-1].clamp_min(0), lam))

    def minimizer(self, m: Array) -> Same:
        """``μ*_h = (H+2λI)^{-1}(H m_h + 2λ ē)`` of free minimisers m_h, (..., d) -> (..., d).

        So ``‖μ*_h − ē‖ ≤ τ ‖m_h − ē‖``.
        """
        (m, H, lam, centroid), back = as_tensors(m, self.H, self.lam, self.centroid)
        check_finite(m=m)
        A = H + 2 * lam * torch.eye(len(H)).to(H)
        b = m @ H + 2 * lam * centroid  # (..., d); H is symmetric
        return back(torch.linalg.solve(A, b[..., None])[..., 0])

    def shrink(self, m: Array) -> Shrinkage:
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


def loewner_counterexample() -> tuple[QuadraticModel, np.ndarray]:
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


@dataclass(frozen=True)
class AnchorNorms:
    """Collapse watch: the scatter term pulls anchors together and only the decoder's need to separate users resists.

    Attributes
    ----------
    norms : Array
        (I,) ‖e_i‖.
    frobenius : Array
        ‖E‖.
    scatter : Array
        Mean ‖e_i − ē‖² over all items, ē their mean.
    user_scatter : Array
        Mean over users with items of ``(1/N_x) Σ_{i∈S_x} ‖e_i − ē_x‖²``.

    Examples
    --------
    >>> norms = anchor_norms(np.array([[3.0, 4.0], [3.0, 4.0]]), np.ones((1, 2)))
    >>> norms.norms.tolist(), float(norms.scatter)  # both anchors at one place: collapsed
    ([5.0, 5.0], 0.0)
    """

    norms: Same
    frobenius: Same
    scatter: Same
    user_scatter: Same

    @property
    def ratio(self) -> Same:
        """user_scatter / scatter, scale-free.

        For independent anchors of one law the two expectations have the ratio ``(1 − mean 1/N_x) I / (I − 1)``; it is 0
        if each user's items share one place.
        """
        return self.user_scatter / self.scatter


def anchor_norms(anchors: Array, x: Users) -> AnchorNorms:
    """Norms and scatter of anchors (I, d), over all items and within the item sets of users x (B, I).

    Raises
    ------
    InputError
        If x and the anchors do not have the same items, or no user has any.

    Examples
    --------
    >>> apart = anchor_norms(np.array([[-1.0], [1.0]]), np.ones((1, 2)))
    >>> float(apart.scatter), float(apart.user_scatter)
    (1.0, 1.0)
    """
    (anchors,), back = as_tensors(anchors)
    x = as_csr(x)
    if anchors.ndim != 2 or shape_of(x)[1] != len(anchors) or x.nnz == 0:
        raise InputError(
            f"x {x.shape} with {x.nnz} interactions does not fit anchors {tuple(anchors.shape)}, one per item"
        )
    check_finite(anchors=anchors)
    _, scatter, some = _centroids(anchors, x)
    norms = torch.linalg.vector_norm(anchors, dim=-1)
    return AnchorNorms(
        norms=back(norms),
        frobenius=back(torch.linalg.vector_norm(norms)),
        scatter=back((anchors - anchors.mean(0)).square().sum(-1).mean()),
        user_scatter=back(scatter.sum() / some.sum()),
    )
