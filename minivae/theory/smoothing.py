"""★ What the anchor loss is once the anchors have done their best: Laplacian smoothing of users over shared items.

With ``P_ui = x_ui / N_u``, ``w_i = Σ_u P_ui`` and ``W = P diag(1/w) Pᵀ``, a symmetric, doubly stochastic matrix of
users,

    min_E Σ_u L_A(u) = Σ_u tr Σ_u + ½ Σ_uv W_uv ‖μ_u − μ_v‖².

So PIA pulls together users who share items, rare items most, and where the graph of users is connected the loss alone
would bring all of them to one place: it shrinks the variance between users, not only the variance over masks.
"""

from typing import overload

import numpy as np
import scipy.sparse as sp
import torch

from minivae.data.users import Users, as_csr, shape_of
from minivae.errors import InputError
from minivae.theory.numerics.arrays import Array, Kind, Same, as_tensors, check_finite


def smoothing_weights(x: Users) -> sp.csr_matrix:
    """``W = P diag(1/w) Pᵀ``, sparse (U, U): how strongly the anchor loss pulls two users together.

    Symmetric, not negative, and every row sums to 1. ``W_uv = Σ_{i∈S_u∩S_v} 1/(N_u N_v w_i)``: an item that few users
    have, and users who have few items, count most.

    Parameters
    ----------
    x : sparse matrix | ndarray | Tensor
        (U, I) users, CSR or dense; every nonzero entry counts once.

    Raises
    ------
    InputError
        If a user has no items: nothing pulls that user, and its row could not sum to 1.

    Examples
    --------
    >>> smoothing_weights(np.array([[1, 1, 0], [0, 1, 1]])).toarray()
    array([[0.75, 0.25],
           [0.25, 0.75]])
    """
    profile, w = _profiles(x)
    weights = sp.csr_matrix(profile @ sp.diags(1 / w) @ profile.T)
    weights.sort_indices()
    return weights


@overload
def best_anchors(mu: Kind, x: Users) -> Kind: ...
@overload
def best_anchors(mu: Array, x: Users) -> Same: ...
def best_anchors(mu: Array, x: Users) -> Same:
    """``e_i = Σ_u P_ui μ_u / w_i``, (I, d): the anchors that minimise the loss for given posterior means.

    An item without users gets the zero vector: no data say where its anchor should be.

    Parameters
    ----------
    mu : Array
        (U, d) posterior means.
    x : sparse matrix | ndarray | Tensor
        (U, I) users.

    Examples
    --------
    >>> best_anchors(np.array([[0.0], [2.0]]), np.array([[1, 1, 0], [0, 1, 1]]))  # the shared item stands between
    array([[0.],
           [1.],
           [2.]])
    """
    (mu,), back = as_tensors(mu)
    profile, w = _profiles(x)
    _check(mu, profile)
    return back(torch.from_numpy((sp.diags(1 / w) @ profile.T) @ mu.detach().cpu().double().numpy()).to(mu))


@overload
def smoothing_energy(mu: Kind, x: Users) -> Kind: ...
@overload
def smoothing_energy(mu: Array, x: Users) -> Same: ...
def smoothing_energy(mu: Array, x: Users) -> Same:
    """``½ Σ_uv W_uv ‖μ_u − μ_v‖²``, a number: what is left of the anchor loss, variances apart, with the best anchors.

    As ``Σ_u ‖μ_u‖² − Σ_i w_i ‖e_i‖²`` with the best anchors: one sparse product, and W is never formed.

    Parameters
    ----------
    mu : Array
        (U, d) posterior means.
    x : sparse matrix | ndarray | Tensor
        (U, I) users.

    Examples
    --------
    >>> smoothing_energy(np.array([[0.0], [2.0]]), np.array([[1, 1, 0], [0, 1, 1]]))
    np.float64(1.0)
    """
    (mu,), back = as_tensors(mu)
    profile, w = _profiles(x)
    _check(mu, profile)
    centred = mu - mu.mean(0)  # the energy does not change, and large means do not cancel
    anchors = as_tensors(best_anchors(centred, x))[0][0].to(mu)
    w = torch.from_numpy(np.where(np.isinf(w), 0.0, w)).to(mu)
    return back((centred.square().sum() - (w * anchors.square().sum(-1)).sum()).clamp_min(0))


def _profiles(x: Users) -> tuple[sp.csr_matrix, np.ndarray]:
    """P, and w with ∞ for items without users."""
    csr = as_csr(x)
    n = np.diff(csr.indptr)
    if (n == 0).any():
        raise InputError(f"user {int(np.flatnonzero(n == 0)[0])} has no items, so no anchor pulls it; leave it out")
    profile = sp.csr_matrix((np.repeat(1 / n, n), csr.indices, csr.indptr), csr.shape)
    w = np.asarray(profile.sum(0)).ravel()
    return profile, np.where(w > 0, w, np.inf)


def _check(mu: torch.Tensor, profile: sp.csr_matrix) -> None:
    if mu.ndim != 2 or len(mu) != shape_of(profile)[0]:
        raise InputError(f"mu has shape {tuple(mu.shape)}, but x {shape_of(profile)[0]} users; expected (U, d)")
    check_finite(mu=mu)
