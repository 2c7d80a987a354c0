"""The anchor regularizer (PIA): its loss, its variants, and the schedule of its weight λ_A.

``L_A = Σ_{i∈S_x} w_i E_{z~q(·|x_h)} ‖z − e_i‖²`` with one learnable anchor e_i ∈ R^d per item, the FULL item set S_x,
and weights w_i that sum to 1 over it: 1/N_x in the paper.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from minivae.batches import UserBatch
from minivae.errors import InputError
from minivae.options import AnchorSchedule, AnchorVariant
from minivae.runtime.registry import Registry

# A user's anchors are far from 0 and near each other: a scatter below this share of Σ w_i ‖e_i‖² has lost its digits.
FAR, LOST_SHARE = 1024.0, 1 / 1024
HOT = 1024.0  # a temperature is hot from so many times the largest squared distance on
TEMPERATURES = (1e-38, 1e38)  # beyond, softmin changes by nothing that float32 can hold


def anchor_at(step: int, anchor: float, start: float, steps: int, schedule: AnchorSchedule) -> float:
    """λ_A of update `step` (0, 1, ...): from `start` to `anchor` over `steps` updates, and `anchor` from then on.

    With t = step / steps: linear ``start + (anchor − start) t``; geometric ``start^{1−t} anchor^t``, a constant factor
    per update. ``steps = 0`` is a constant λ_A.
    """
    if step >= steps:
        return anchor
    t = step / steps
    return start + (anchor - start) * t if schedule == "linear" else start ** (1 - t) * anchor**t


def shares(batch: UserBatch, like: Tensor) -> Tensor:
    """w_i of every interaction, (n,): they sum to 1 over each user, and are 1/N_x if the batch has no item weights."""
    if batch.item_weights is None:
        return (1 / batch.counts.to(like.dtype).clamp_min(1))[batch.rows]
    w = batch.item_weights.to(like.dtype)
    return w / torch.zeros_like(like[:, 0]).index_add(0, batch.rows, w)[batch.rows]


def centroids(anchors: Tensor, batch: UserBatch, share: Tensor) -> Tensor:
    """``ē_x = Σ_{i∈S_x} w_i e_i`` of the full item sets, (B, d); the zero vector for a user without items."""
    return torch.nn.functional.embedding_bag(
        batch.items, anchors, batch.offsets, mode="sum", per_sample_weights=share, include_last_offset=True
    )


class _SquaredNorms(torch.autograd.Function):
    """``‖e_i‖²``, (I, d) -> (I,); its gradient ``2 g_i e_i`` in one pass over the anchors, not in autograd's three."""

    @staticmethod
    def forward(ctx: Any, anchors: Tensor) -> Tensor:
        ctx.save_for_backward(anchors)
        return anchors.square().sum(-1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride] (one output)
        (anchors,) = ctx.saved_tensors
        return anchors * (2 * grad)[:, None]


def anchor_terms(mu: Tensor, variance: Tensor, anchors: Tensor, batch: UserBatch) -> tuple[Tensor, Tensor, Tensor]:
    """The three terms of the anchor loss per user (Proposition 3.1), each (B,).

    ``L_A = ‖μ − ē_x‖² + tr Σ + Σ_{i∈S_x} w_i ‖e_i − ē_x‖²`` with the centroid ``ē_x = Σ_{i∈S_x} w_i e_i`` of the full
    set, for any weights that sum to 1. The last term is ``Σ w_i ‖e_i‖² − ‖ē_x‖²``: one sparse product, not N_x
    distances. A user without items costs nothing.

    The difference is rounded to about 1e-7 ``Σ w_i ‖e_i‖²``. On a CPU it gives way to the N_x distances for users whose
    anchors are so far from 0, and so near each other, that nothing of it would be left; a GPU is not asked for that,
    because the host would have to wait for its answer.

    Parameters
    ----------
    mu, variance : Tensor
        (B, d) of q(z|x_h).
    anchors : Tensor
        (I, d).
    batch : UserBatch
        Users with their full item sets.

    Returns
    -------
    tuple[Tensor, Tensor, Tensor]
        Mean_term, variance_term, scatter_term
    """
    items, share = batch.items, shares(batch, mu)
    centroid = centroids(anchors, batch, share)  # (B, d)
    square = torch.zeros_like(mu[:, 0]).index_add(0, batch.rows, _SquaredNorms.apply(anchors)[items] * share)
    some = (batch.counts > 0).to(mu.dtype)
    mean_term = (mu - centroid).square().sum(-1) * some
    scatter_term = square - centroid.square().sum(-1)
    lost = (square > FAR) & ~(scatter_term > LOST_SHARE * square)
    if lost.is_cpu and bool(lost.any()):
        scatter_term = torch.where(lost, _scatter_by_distances(centroid, anchors, batch, share, lost), scatter_term)
    return mean_term, variance.sum(-1) * some, scatter_term


def _scatter_by_distances(centroid: Tensor, anchors: Tensor, batch: UserBatch, share: Tensor, chosen: Tensor) -> Tensor:
    """``Σ w_i ‖e_i − ē_x‖²`` of the chosen users, 0 for the others, (B,)."""
    some = chosen[batch.rows]
    rows = batch.rows[some]
    distance = (anchors[batch.items[some]] - centroid[rows]).square().sum(-1)
    return torch.zeros_like(centroid[:, 0]).index_add(0, rows, distance * share[some])


def softmin_loss(mu: Tensor, variance: Tensor, anchors: Tensor, batch: UserBatch, temperature: float) -> Tensor:
    """The loss for users of several tastes: a soft minimum over the anchors of their items instead of the mean, (B,).

    ``L = −τ log Σ_{i∈S_x} w_i exp(−E‖z − e_i‖² / τ)``. As τ → ∞ it is the full L_A; as τ → 0 the distance to the
    nearest anchor. Proposition 3.1 for it: with responsibilities ``r_i ∝ w_i exp(−‖μ − e_i‖² / τ)``,

        ``L = ‖μ − ē_r‖² + tr Σ + Σ_i r_i ‖e_i − ē_r‖² + τ KL(r ‖ w)``,

    and r is the best choice: any other weights make the right side larger (Gibbs). So the user is pulled to the
    centroid of the taste that is near, not to the middle between tastes.

    Parameters
    ----------
    mu : Tensor
    variance : Tensor
    anchors : Tensor
    batch : UserBatch
        As in `anchor_terms`; N_x distances per user are computed.
    temperature : float
        τ > 0, in squared units of z. Where it is more than 1024 times the largest distance, the logarithm of a number
        that rounds to 1 gives way to the first two cumulants, ``L = m − s²/(2τ)`` with m and s² the weighted mean and
        variance of the distances; what is left out is below 1e-6 of it. Where every distance is above 1e30 τ, L is the
        least distance.

    Raises
    ------
    InputError
        If `temperature` is not above 0.
    """
    if not temperature > 0:
        raise InputError(f"temperature={temperature} is not possible; it must be above 0")
    temperature = min(max(temperature, TEMPERATURES[0]), TEMPERATURES[1])
    rows, some, none = batch.rows, batch.counts > 0, torch.zeros_like(mu[:, 0])
    share = shares(batch, mu)
    distance = (mu[rows] - anchors[batch.items]).square().sum(-1)  # (n,)
    nearest = none.scatter_reduce(0, rows, distance, "amin", include_self=False)  # (B,)
    widest = none.scatter_reduce(0, rows, distance.detach(), "amax")
    hot, cold = widest <= temperature / HOT, ~(nearest / temperature < 1e30)

    usual = torch.where((hot | cold)[rows], 0, distance)
    a = share.log() - usual / temperature
    top = torch.full_like(none, -torch.inf).scatter_reduce(0, rows, a.detach(), "amax")
    total = none.index_add(0, rows, torch.exp(a - top[rows]))
    log_sum = torch.where(some, top, 0) + torch.where(some, total, 1).log()

    warm = torch.where(hot[rows], distance, 0)
    mean = none.index_add(0, rows, share * warm)
    off = warm - mean[rows]
    by_cumulants = mean - none.index_add(0, rows, share * off * (off / temperature)) / 2
    value = torch.where(hot, by_cumulants, torch.where(cold, nearest, -temperature * log_sum))
    return value + variance.sum(-1) * some


def direction_loss(mu: Tensor, anchors: Tensor, batch: UserBatch) -> Tensor:
    """The loss of the directions alone, ``‖ μ/‖μ‖ − ē_x/‖ē_x‖ ‖² = 2 − 2 cos(μ, ē_x)``, (B,).

    It does not change under the scale gauge ``(z, W_dec, E) → (cz, W_dec/c, cE)``, c > 0, which leaves every logit of a
    decoder with a linear first layer as it was and multiplies the full loss by c². So it cannot be lowered by making
    codes small. It looks at the posterior mean, not at a draw of z, and puts no price on the variance; a Mult-DAE has
    z = μ. The zero vector has no direction: it counts as itself, so the loss is 1 where one of the two is zero (with no
    gradient to it), and a user without items costs nothing.

    Parameters
    ----------
    mu, anchors : Tensor
    batch : UserBatch
        As in `anchor_terms`.
    """
    centroid = centroids(anchors, batch, shares(batch, mu))
    some = (batch.counts > 0).to(mu.dtype)
    return (unit(mu) - unit(centroid)).square().sum(-1) * some


def unit(v: Tensor) -> Tensor:
    """``v/‖v‖`` along the last axis; 0, with gradient 0, where v is 0.

    The length is taken after division by a power of two, which is exact: no square leaves the range of floats.
    """
    largest = v.detach().abs().amax(-1, keepdim=True)
    power = largest / (2 * torch.frexp(largest).mantissa)
    v = v / torch.where(largest > 0, power, 1)
    norm = torch.linalg.vector_norm(v, dim=-1, keepdim=True)
    return v / torch.where(norm > 0, norm, torch.inf)


def full_loss(mu: Tensor, variance: Tensor, anchors: Tensor, batch: UserBatch, temperature: float) -> Tensor:
    """All three terms, (B,): what the paper trains with."""
    mean_term, variance_term, scatter_term = anchor_terms(mu, variance, anchors, batch)
    return mean_term + variance_term + scatter_term


def centroid_variance_loss(
    mu: Tensor, variance: Tensor, anchors: Tensor, batch: UserBatch, temperature: float
) -> Tensor:
    """Without the scatter of the anchors, (B,)."""
    mean_term, variance_term, _ = anchor_terms(mu, variance, anchors, batch)
    return mean_term + variance_term


def centroid_loss(mu: Tensor, variance: Tensor, anchors: Tensor, batch: UserBatch, temperature: float) -> Tensor:
    """The distance to the centroid alone, (B,)."""
    return anchor_terms(mu, variance, anchors, batch)[0]


AnchorLoss = Callable[[Tensor, Tensor, Tensor, UserBatch, float], Tensor]
ANCHOR_LOSSES: Registry[AnchorLoss] = Registry(
    "anchor_variant",
    {
        "full": full_loss,
        "centroid+variance": centroid_variance_loss,
        "centroid": centroid_loss,
        "softmin": softmin_loss,
        "direction": lambda mu, variance, anchors, batch, temperature: direction_loss(mu, anchors, batch),
    },
    ("mu", "variance", "anchors", "batch", "temperature"),
)


def register_anchor_loss(name: str) -> Callable[[AnchorLoss], AnchorLoss]:
    """Decorator: make ``fn(mu, variance, anchors, batch, temperature)``, (B,), the `anchor_variant` of that name.

    μ and σ² are (B, d), the anchors (I, d), and the batch holds the full item sets of the B users.

    Examples
    --------
    >>> @register_anchor_loss("distance_in_example")
    ... def distance(mu, variance, anchors, batch, temperature):
    ...     return (mu - centroids(anchors, batch, shares(batch, mu))).norm(dim=-1)
    >>> "distance_in_example" in ANCHOR_LOSSES
    True
    """
    return ANCHOR_LOSSES.register(name)


def anchor_loss(
    mu: Tensor,
    variance: Tensor,
    anchors: Tensor,
    batch: UserBatch,
    variant: AnchorVariant | str,
    temperature: float = 1.0,
) -> Tensor:
    """L_A per user, (B,), of the variant of that name; `temperature` is τ of softmin.

    Raises
    ------
    InputError
        If the variant is unknown, or gives something else than one number for each user.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> from minivae.batches import DeviceCSR
    >>> batch = DeviceCSR(sp.csr_matrix(np.ones((1, 2)))).batch(torch.tensor([0]))  # a user with both items
    >>> anchors = torch.tensor([[3.0, 0.0], [5.0, 0.0]])
    >>> anchor_loss(torch.zeros(1, 2), torch.ones(1, 2), anchors, batch, "full")  # 16 + 2 + 1
    tensor([19.])
    """
    loss = ANCHOR_LOSSES.find(variant)(mu, variance, anchors, batch, temperature)
    if getattr(loss, "shape", None) != mu.shape[:1]:
        got = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
        must = f"for {len(mu)} users; it must give one number for each"
        raise InputError(f"anchor_variant={variant!r} gives {got} {must}")
    return loss
