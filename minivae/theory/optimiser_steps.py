"""★ Theorem 2.3 for the steps that training takes: batches of users, and Adam's preconditioner.

A step of SGD on a batch B moves the decoder by ``−η ḡ``, ḡ the mean of the members' gradients. Adam without momentum
moves it by ``−η P ḡ`` with a diagonal P > 0, ``P = 1/(√v̂ + ε)``. Write ``⟨a, b⟩_P = aᵀ P b``. Then

    ``‖g_u − ḡ‖_P ≤ mean_v ‖g_u − g_v‖_P ≤ √p · mean_v D_uv``,   p the largest entry of P,

and a user with ``‖g_u − ḡ‖_P < ‖g_u‖_P`` has ``⟨g_u, P ḡ⟩ ≥ ‖g_u‖_P (‖g_u‖_P − ‖g_u − ḡ‖_P) > 0``: every small enough
step on the batch lowers the loss of u.

*Proof.* The first inequality is the triangle inequality for the mean ``g_u − ḡ = mean_v (g_u − g_v)``; the second is
``‖a‖_P ≤ √p ‖a‖`` and Theorem 2.3's ``‖g_u − g_v‖ ≤ D_uv``. And ``⟨g_u, P ḡ⟩ = ‖g_u‖²_P − ⟨g_u, g_u − ḡ⟩_P``, of which
Cauchy and Schwarz bound the last term. The loss changes by ``−η ⟨g_u, P ḡ⟩ + O(η²)``. ∎

A pair may fail and the batch hold: only the mean of the D_uv counts, and 0 of a user's own is among them. With momentum
the direction is a mean over earlier batches, at earlier parameters, and this says nothing about it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from minivae.errors import InputError


@dataclass(frozen=True)
class BatchStep:
    """Who is sure to gain from one step on a batch.

    Attributes
    ----------
    norm : Tensor
        (U,) ``‖g_u‖_P``.
    apart : Tensor
        (U,) ``‖g_u − ḡ‖_P``.
    spread : Tensor
        (U,) ``mean_v ‖g_u − g_v‖_P`` over the batch, at least `apart`.
    inner : Tensor
        (U,) ``⟨g_u, P ḡ⟩``: to first order, η times this is by how much the loss of u falls.
    certified : Tensor
        (U,) bool, spread < norm: by the distances of the members, one by one.

    Examples
    --------
    >>> step = batch_step(torch.tensor([[3.0, 4.0], [0.0, 1.0]]), [1], torch.tensor([4.0, 1.0]))
    >>> step.norm.square().tolist(), step.inner.tolist()  # 4 · 9 + 16, and 1 · 4 · 1
    ([52.0, 1.0], [4.0, 1.0])
    """

    norm: Tensor
    apart: Tensor
    spread: Tensor
    inner: Tensor
    certified: Tensor


def batch_step(gradients: Tensor, members: Sequence[int], preconditioner: Tensor | None = None) -> BatchStep:
    """The terms of the theorem above for every user, from their gradients.

    Parameters
    ----------
    gradients : Tensor
        (U, P) g_u, flat.
    members : sequence
        Users of the batch.
    preconditioner : Tensor, optional
        (P,) diagonal of P, above 0; ones, plain SGD, if None.

    Raises
    ------
    InputError
        If the batch is empty, or the preconditioner does not fit or is not positive.

    Examples
    --------
    >>> g = torch.tensor([[2.0, 0.0], [1.0, 1.0], [-3.0, 0.0]])
    >>> step = batch_step(g, [0, 1])
    >>> step.certified.tolist(), (step.inner > 0).tolist()
    ([True, True, False], [True, True, False])
    """
    diagonal = torch.ones_like(gradients[0]) if preconditioner is None else preconditioner.to(gradients)
    if len(members) == 0:
        raise InputError("a step on no user is none; give at least one member of the batch")
    if diagonal.shape != gradients.shape[1:] or not bool((diagonal > 0).all()):
        raise InputError(f"a preconditioner {tuple(diagonal.shape)} must be one positive number for each parameter")
    scaled = gradients * diagonal.sqrt()  # norms in P are plain norms of these
    batch = scaled[list(members)]
    norm, mean = scaled.norm(dim=1), batch.mean(0)
    spread = (scaled[:, None] - batch).norm(dim=2).mean(1)
    return BatchStep(norm, (scaled - mean).norm(dim=1), spread, scaled @ mean, spread < norm)


def batch_penalty(penalty: Tensor, members: Sequence[int], largest: float = 1.0) -> Tensor:
    """``√p · mean_v D_uv`` over a batch, (U,), from Theorem 2.3's D (U, U); at least `BatchStep.spread`.

    Examples
    --------
    >>> batch_penalty(torch.tensor([[0.0, 3.0], [5.0, 0.0]]), [0, 1], largest=4.0).tolist()
    [3.0, 5.0]
    """
    return largest**0.5 * penalty[:, list(members)].mean(1)
