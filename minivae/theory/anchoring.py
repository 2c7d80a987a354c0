"""The anchor regularizer (PIA): alignment (Proposition 3.1) and anchor norms; Proposition 3.2 is in `shrinkage`.

``L_A = (1/N_x) Σ_{i∈S_x} E_{z~q(·|x_h)} ‖z − e_i‖²`` with learnable anchors e_i and the FULL item set S_x.
The variance over masks of a trained encoder, which Proposition 3.2 is about, is `minivae.theory.drift.mask_variance`.
"""

from dataclasses import dataclass
from typing import Any, Generic, overload

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor

from minivae.data.users import Users, as_csr, shape_of
from minivae.errors import InputError
from minivae.theory.drift import MaskVariance, mask_variance
from minivae.theory.numerics.arrays import Array, Kind, as_tensors, check_finite, check_sd
from minivae.theory.shrinkage import QuadraticModel, Shrinkage, loewner_counterexample, shrinkage

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
class Alignment(Generic[Kind]):
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

    mean_term: Kind
    variance_term: Kind
    scatter_term: Kind

    @property
    def total(self) -> Kind:
        """L_A, the sum of the three."""
        return self.mean_term + self.variance_term + self.scatter_term


@overload
def alignment(mu: Kind, sd: Kind, anchors: Kind, x: Users) -> Alignment[Kind]: ...
@overload
def alignment(mu: Array, sd: Array, anchors: Array, x: Users) -> Alignment[Any]: ...
def alignment(mu: Array, sd: Array, anchors: Array, x: Users) -> Alignment[Any]:
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


@dataclass(frozen=True)
class AnchorNorms(Generic[Kind]):
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

    norms: Kind
    frobenius: Kind
    scatter: Kind
    user_scatter: Kind

    @property
    def ratio(self) -> Kind:
        """user_scatter / scatter, scale-free.

        For independent anchors of one law the two expectations have the ratio ``(1 − mean 1/N_x) I / (I − 1)``; it is 0
        if each user's items share one place.
        """
        return self.user_scatter / self.scatter


@overload
def anchor_norms(anchors: Kind, x: Users) -> AnchorNorms[Kind]: ...
@overload
def anchor_norms(anchors: Array, x: Users) -> AnchorNorms[Any]: ...
def anchor_norms(anchors: Array, x: Users) -> AnchorNorms[Any]:
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
