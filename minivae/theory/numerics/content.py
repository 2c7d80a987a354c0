"""★ The content part of Theorem 2.3 with the norm outside the expectation: ``‖E_{z~q_v}[∇ℓ(z, x_u) − ∇ℓ(z, x_v)]‖``.

Δ_x is the mean of the norms; this is the norm of the mean, at most as large. The theorem's proof needs no more.
"""

import torch
from torch import Tensor, nn

from minivae.theory.numerics.layers import TILE_BYTES, Stack, gradients, stack_of, width


def mean_content(decoder: nn.Module, z: Tensor, x: Tensor) -> Tensor:
    """``‖mean_s [∇ℓ(z_vs, x_u) − ∇ℓ(z_vs, x_v)]‖`` for all pairs, entry [u, v] of (..., U, U).

    ∇ℓ is linear in the target, so the bracket is the gradient for the target ``x_u − x_v``, whose error is
    ``(N_u − N_v) π − (x_u − x_v)``.

    Parameters
    ----------
    decoder : Module
        As in `minivae.theory.numerics.layers.gradients`.
    z : Tensor
        (..., U, S, d) samples.
    x : Tensor
        (..., U, I) targets.
    """
    stack = stack_of(decoder)
    squares = _layered(stack, z, x) if stack else _flat(decoder, z, x)
    return squares.clamp_min(0).sqrt()


def _layered(stack: Stack, z: Tensor, x: Tensor) -> Tensor:
    """Squares of the norms, one column v after the other."""
    output, biases = stack.linears[-1], [m.bias is not None for m in stack.linears]
    n, pushed = x.sum(-1), x @ output.weight  # (..., U), and x W (..., U, H)
    apart = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").square()  # (..., U, U)
    columns = []
    for v in range(x.shape[-2]):
        inputs, slopes, logits = stack.forward(z[..., v, :, :])
        pi, more = torch.softmax(logits, -1), n - n[..., v : v + 1]  # (..., S, I), and N_u − N_v (..., U)

        # Output layer: the mean of δ ⊗ (h, 1) is (N_u − N_v) P − (x_u − x_v) ⊗ (h̄, 1), with P the mean of π ⊗ (h, 1).
        h, mean = inputs[-1], inputs[-1].mean(-2, keepdim=True)
        p_p = ((pi @ pi.mT) * (h @ h.mT + biases[-1])).mean((-2, -1))[..., None]
        x_p = (x @ (pi * (h @ mean.mT + biases[-1])).mean(-2)[..., None])[..., 0]  # (..., U), ⟨x_u ⊗ (h̄, 1), P⟩
        size = (mean.square().sum((-2, -1)) + biases[-1])[..., None]
        total = more.square() * p_p - 2 * more * (x_p - x_p[..., v : v + 1]) + apart[..., v] * size

        # Below it δ, a row for each sample, is pushed back by W and the slopes.
        delta = more[..., None, None] * (pi @ output.weight)[..., None, :, :]
        delta = delta - (pushed - pushed[..., v : v + 1, :])[..., None, :]  # (..., U, S, H)
        for layer in range(len(slopes) - 1, -1, -1):
            delta = delta * slopes[layer][..., None, :, :]
            common = inputs[layer] @ inputs[layer].mT + biases[layer]  # (..., S, S)
            total = total + ((delta @ delta.mT) * common[..., None, :, :]).mean((-2, -1))
            if layer:
                delta = delta @ stack.linears[layer].weight
        columns.append(total)
    return torch.stack(columns, -1)


def _flat(decoder: nn.Module, z: Tensor, x: Tensor) -> Tensor:
    """The same from explicit gradients, for decoders without layers to read; in blocks, sample by sample."""
    n_users = x.shape[-2]
    side = max(1, TILE_BYTES // 8 // width(decoder) // max(1, x.shape[:-2].numel()))
    squares = x.new_empty(*x.shape[:-1], n_users)
    for v in range(n_users):
        for first in range(0, n_users, side):
            u = slice(first, first + side)
            apart = x[..., u, :] - x[..., v : v + 1, :]
            total = x.new_zeros(())
            for at in z[..., v, :, :].unbind(-2):  # (..., d)
                total = total + gradients(decoder, at[..., None, :], apart).errors[0]  # (..., u, P)
            squares[..., u, v] = (total / z.shape[-2]).square().sum(-1)
    return squares
