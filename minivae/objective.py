"""Terms of the training objective: the multinomial likelihood, Gaussian densities and their KL, the schedule of β.

``E_b[ ℓ(x; z) + β KL(q(z|x_h) ‖ p) + λ_A L_A ]``, summed over items and latent dimensions, averaged over users; L_A is
in `minivae.anchors`.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from minivae.batches import UserBatch
from minivae.errors import InputError
from minivae.output_layer import largest, output_layer

CHUNK_CELLS = 1 << 25
# Up to here e^|log σ²| and the square of a distance are floats of full precision, in float32 as well.
LOGVAR_LIMIT, DISTANCE_LIMIT = 80.0, 1e18


def _added(total: Tensor | None, block: Tensor, like: Tensor) -> Tensor:
    """The sum so far and a block of it, in the dtype of `like`."""
    block = block.to(like.dtype)
    return block if total is None else total.add_(block)


class _MultinomialNLL(torch.autograd.Function):
    """Σ_u w_u ℓ_u and its gradients in one pass over blocks of users; only one block of logits ever lives.

    The gradient with respect to the logits is ``w_u (N_u π − x_u)``, x_u smoothed where that is asked for, so it is
    made where the logits were, in the precision of the item-sized products, and used at once. Gradients that are not
    asked for are not made: a fixed decoder saves one product of three. Sums run in float32, but for bf16 products on a
    GPU: there cuBLAS may round partial sums to bf16 unless
    ``torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction`` is False.
    """

    @staticmethod
    def forward(
        ctx: Any,
        h: Tensor,
        weight: Tensor,
        bias: Tensor,
        batch: UserBatch,
        user_weights: Tensor,
        products: torch.dtype,
        smoothing: float,
    ) -> Tensor:
        n_users, n_items = h.shape[0], weight.shape[0]
        layer = output_layer(h, weight, bias, products)
        for_h, for_weight, for_bias = ctx.needs_input_grad[:3]
        loss = torch.zeros((), dtype=h.dtype, device=h.device)
        step = max(1, CHUNK_CELLS // n_items)
        bounds = batch.bounds.tolist()
        d_h = torch.empty_like(h) if for_h else None
        d_weight = d_bias = None
        for a in range(0, n_users, step):
            b = min(a + step, n_users)
            at = batch.rows[bounds[a] : bounds[b]] - a, batch.items[bounds[a] : bounds[b]]
            w, counts = user_weights[a:b], batch.counts[a:b].to(h.dtype)
            logits = layer.logits(slice(a, b))  # (b-a, I)
            top = largest(logits).to(h.dtype)
            positives = torch.zeros(b - a, dtype=h.dtype, device=h.device)
            positives.index_add_(0, at[0], logits[at].to(h.dtype))
            if smoothing > 0:
                everywhere = logits.sum(1, dtype=h.dtype) * counts / n_items
                positives = (1 - smoothing) * positives + smoothing * everywhere
            pi = torch.softmax(logits, 1)  # (b-a, I), accumulated in float32 whatever its dtype
            del logits
            # log of the normaliser from the largest probability: it is at least 1/I, so this never underflows
            lse = top - torch.log(largest(pi).to(h.dtype))
            loss += w @ (counts * lse - positives)
            if not (for_h or for_weight or for_bias):
                continue
            scale = w * counts
            delta = layer.delta(pi, w, counts, smoothing, at)
            if d_h is not None:
                d_h[a:b] = layer.to_h(delta, scale)
            if for_weight or for_bias:
                block_weight, block_bias = layer.to_weight_and_bias(delta, slice(a, b), scale)
                d_weight = _added(d_weight, block_weight, weight) if for_weight else None
                d_bias = _added(d_bias, block_bias, bias) if for_bias else None
        ctx.save_for_backward(d_h, d_weight, d_bias)
        return loss

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (one output has one gradient)
        ctx: Any, grad: Tensor
    ) -> tuple[Tensor | None, ...]:
        grads = ctx.saved_tensors
        if not grad.is_cpu or grad.item() != 1:
            grads = tuple(g if g is None else g * grad for g in grads)
        return (*grads, None, None, None, None)


def multinomial_nll(
    h: Tensor,
    weight: Tensor,
    bias: Tensor,
    batch: UserBatch,
    user_weights: Tensor | None = None,
    products: torch.dtype | None = None,
    smoothing: float = 0.0,
) -> Tensor:
    """Weighted sum of multinomial negative log-likelihoods, without a dense target.

    ``Σ_u w_u ( N_u logsumexp(f_u) − Σ_{i∈S_u} f_ui )`` with ``f_u = W h_u + b``; the constant of the multinomial
    coefficient is dropped (Liang et al. 2018, eq. 2). Gradients are computed in the forward pass, once: the result
    cannot be differentiated twice.

    With label smoothing α the target x_u, N_u ones, gives way to ``y_u = (1 − α) x_u + α N_u / I``, which has the same
    sum. Then the loss of a user is ``N_u logsumexp(f_u) − (1 − α) Σ_{i∈S_u} f_ui − (α N_u / I) Σ_i f_ui``, and its
    gradient with respect to the logits is ``N_u π_u − y_u``: at the optimum no probability is 0.

    Parameters
    ----------
    h : Tensor
        (B, hidden), last hidden layer of the decoder.
    weight, bias : Tensor
        (I, hidden) and (I,), its output layer.
    batch : UserBatch
        The users; the target is their full history, whatever is masked in the input.
    user_weights : Tensor, optional
        (B,) w_u, constants: no gradient goes to them. 1/B each if None, which gives the mean over users.
    products : dtype, optional
        Dtype of the three item-sized products, for instance ``torch.bfloat16``; that of `h` if None.
    smoothing : float, default 0.0
        α in [0, 1).

    Returns
    -------
    Tensor
        Scalar in nats, dtype of `h`.

    Raises
    ------
    InputError
        If `user_weights` asks for a gradient, or `smoothing` is not in [0, 1).

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> from minivae.batches import DeviceCSR
    >>> batch = DeviceCSR(sp.csr_matrix(np.array([[1, 1, 0, 0]]))).batch(torch.tensor([0]))  # 2 of 4 items
    >>> nll = multinomial_nll(torch.zeros(1, 3), torch.zeros(4, 3), torch.zeros(4), batch)
    >>> float(nll / math.log(4))  # equal logits: log 4 for each of the two
    2.0
    """
    if not 0 <= smoothing < 1:
        raise InputError(f"smoothing={smoothing} is not possible; it must be in [0, 1)")
    if user_weights is None:
        user_weights = torch.full_like(h[:, 0], 1 / h.shape[0]).detach()
    elif user_weights.requires_grad and torch.is_grad_enabled():
        raise InputError("user_weights are constants here and would get no gradient; pass user_weights.detach()")
    return _MultinomialNLL.apply(h, weight, bias, batch, user_weights, products or h.dtype, smoothing)


def kl_to_standard_normal(mu: Tensor, logvar: Tensor) -> Tensor:
    """``KL(N(μ, diag σ²) ‖ N(0, I)) = ½ Σ_j (μ_j² + σ_j² − 1 − log σ_j²)`` in nats: (..., d) -> (...).

    Infinite where μ², σ² or their sum is above the largest float.
    """
    return 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(-1)


def kl_to_gaussian(mu: Tensor, logvar: Tensor, mu_p: Tensor, logvar_p: Tensor) -> Tensor:
    """``KL(N(μ, diag σ²) ‖ N(μ_p, diag σ_p²))`` in nats: (..., d) -> (...).

    Infinite where the sum is above the largest float; very large and very small variances may meet, see `_far`.
    """
    d = mu - mu_p
    far = _far(d, logvar, logvar_p)
    square = torch.where(far, 0, d).square()
    near = logvar_p - logvar - 1 + (_usual(logvar).exp() + square) * torch.exp(-_usual(logvar_p))
    wide_d, v, v_p = (torch.where(far, t, 0).double() for t in (d, logvar, logvar_p))
    wide = v_p - v - 1 + torch.exp(v - v_p) + _over_variance(wide_d, v_p)
    return 0.5 * torch.where(far, wide.to(near.dtype), near).sum(-1)


def log_normal(z: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """``log N(z; μ, σ²)`` of each coordinate in nats; shapes broadcast. A variance may be as small as e^-100, and less.

    Examples
    --------
    >>> log_normal(torch.zeros(1), torch.zeros(1), torch.tensor([-100.0]))  # ½ (100 − log 2π)
    tensor([49.0811])
    """
    d = z - mu
    far = _far(d, logvar)
    square = torch.where(far, 0, d).square()
    near = -0.5 * (math.log(2 * math.pi) + logvar + square * torch.exp(-_usual(logvar)))
    wide_d, v = (torch.where(far, t, 0).double() for t in (d, logvar))
    wide = -0.5 * (math.log(2 * math.pi) + v + _over_variance(wide_d, v))
    return torch.where(far, wide.to(near.dtype), near)


def _far(d: Tensor, *logvars: Tensor) -> Tensor:
    """Where a term needs float64: ``e^100`` is infinite in float32 and ``e^-100`` has lost its digits.

    Their product is 1 all the same. The usual formula runs beside it on factors that are finite, so that the side
    which is not chosen has the gradient 0, and no NaN.
    """
    far = d.abs() > DISTANCE_LIMIT
    for logvar in logvars:
        far = far | (logvar.abs() > LOGVAR_LIMIT)
    return far


def _usual(logvar: Tensor) -> Tensor:
    return logvar.clamp(-LOGVAR_LIMIT, LOGVAR_LIMIT)


def _over_variance(d: Tensor, logvar: Tensor) -> Tensor:
    """``d² / σ²`` in float64; beyond e^±700 a distance of float32 other than 0 is infinite or 0 anyway."""
    return d.square() * torch.exp(-logvar.clamp(-700, 700))


def beta_at(step: int, beta: float, anneal_steps: int) -> float:
    """β of update `step` (0, 1, ...): rises linearly from 0 and stays at `beta` from `anneal_steps` on.

    Liang et al. use ``min(0.2, step / 200000)``, which is ``beta_at(step, 0.2, 40000)``.
    """
    if step >= anneal_steps:
        return beta
    value = beta * step / anneal_steps
    return value if math.isfinite(value) else beta * (step / anneal_steps)
