"""How far apart the decoder gradients of two users are: the part due to latent position and the part due to content.

For users u, v and a common noise ε, with ``z_u = μ_u + σ_u ε`` and ``z_v = μ_v + σ_v ε``,

    ∇ℓ(z_u, x_u) − ∇ℓ(z_v, x_v) = [∇ℓ(z_u, x_u) − ∇ℓ(z_v, x_u)] + [∇ℓ(z_v, x_u) − ∇ℓ(z_v, x_v)].

The mean norm of the first bracket is the latent part, that of the second the content mismatch Δ_x(u, v).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from minivae.theory.numerics.layers import TILE_BYTES, Stack, gradients, stack_of, width

CACHE_BYTES = 1 << 22
"""Memory of one block of elementwise work: small enough to stay in the cache, three times as fast as a large one."""
ROUNDING = 1e-9
"""Samples closer than this, relative to the largest, are the same point up to rounding: no slope is read off them."""


@dataclass(frozen=True)
class Coupled:
    """Means over the coupled samples, entry [u, v].

    Attributes
    ----------
    latent : Tensor
        (..., U, U) mean of ‖∇ℓ(z_u, x_u) − ∇ℓ(z_v, x_u)‖.
    mismatch : Tensor
        (..., U, U) Δ_x(u, v), mean of ‖∇ℓ(z_v, x_u) − ∇ℓ(z_v, x_v)‖.
    ratio : Tensor
        (..., U, U) largest of ‖∇ℓ(z_u, x_u) − ∇ℓ(z_v, x_u)‖ / ‖z_u − z_v‖: the Lipschitz constant of this pair on these
        samples; 0 where the samples coincide up to rounding.
    """

    latent: Tensor
    mismatch: Tensor
    ratio: Tensor


def coupled(decoder: nn.Module, z: Tensor, x: Tensor) -> Coupled:
    """Latent part, content part and local Lipschitz constants of all pairs, without a gradient per pair.

    The gradient is linear in the error ``N π − x``, so the error of every (sample of v, target of u) follows from
    products ``π W`` and ``x W``; of the item-sized errors only inner products are needed.

    Parameters
    ----------
    decoder : Module
        As in `minivae.theory.numerics.layers.gradients`; float64.
    z : Tensor
        (..., U, S, d), sample s of all users made from the same noise.
    x : Tensor
        (..., U, I) targets.
    """
    stack = stack_of(decoder)
    zero = z.new_zeros(*z.shape[:-2], z.shape[-3])
    latent, mismatch, ratio = zero.clone(), zero.clone(), zero.clone()
    for at in z.unbind(-2):  # (..., U, d)
        apart, content = _layered(stack, at, x) if stack else _flat(decoder, at, x)
        move = _distances(at, at)
        latent += apart
        mismatch += content
        real = move > ROUNDING * at.norm(dim=-1).max()
        ratio = torch.maximum(ratio, torch.where(real, apart / move, 0.0))
    return Coupled(latent / z.shape[-2], mismatch / z.shape[-2], ratio)


def _layered(stack: Stack, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Norms of the two brackets at one sample per user, (..., U, U) each; notation of the module docstring."""
    # The gradient of a layer is δ ⊗ (h, 1). Of the output layer δ = N π − x is item-sized: one per pair would be U² I
    # numbers, so its norms are expanded into the inner products of π and x below, which are U² alone.
    inputs, slopes, logits = stack.forward(z)
    pi = torch.softmax(logits, -1)  # (..., U, I)
    n = x.sum(-1)[..., None]  # (..., U, 1), N_u as a column
    biases = [m.bias is not None for m in stack.linears]

    x_pi, pi_pi, x_x = x @ pi.mT, pi @ pi.mT, x @ x.mT  # (..., U, U), [u, v] = ⟨x_u, π_v⟩ and so on
    pi_v = _row(pi_pi)
    turned = (n * _distances(pi, pi)).square()  # ‖N_u (π_u − π_v)‖², not from pi_pi: neighbours would lose all digits
    error = n.square() * pi_v - 2 * n * x_pi + _column(x_x)  # ‖N_u π_v − x_u‖²
    cross = n.square() * (pi_pi - pi_v) - n * (_column(x_pi) - x_pi)  # ⟨N_u (π_u − π_v), N_u π_v − x_u⟩
    # First bracket: the target stays x_u, the sample moves from z_u to z_v, so both δ and h change.
    apart = _outer_change(turned, error, cross, inputs[-1], biases[-1])
    # Second bracket: the sample stays z_v, so h and π_v are common to both: δ changes by (N_u−N_v) π_v − (x_u−x_v).
    more = n - n.mT  # N_u − N_v
    content = more.square() * pi_v - 2 * more * (x_pi - _row(x_pi)) + _column(x_x) + _row(x_x) - 2 * x_x
    content = content.clamp_min(0) * (_row(inputs[-1] @ inputs[-1].mT) + biases[-1])

    if slopes:
        # Below the output layer δ is pushed back by W, a linear map, so π W and x W (hidden-sized) carry everything.
        # Pairs are taken in blocks of v that stay in the cache.
        pushed_pi, pushed_x = pi @ stack.linears[-1].weight, x @ stack.linears[-1].weight  # (..., U, H)
        cells = CACHE_BYTES // 8 // max(1, z.shape[:-2].numel())
        step = max(1, cells // (z.shape[-2] * max(m.in_features for m in stack.linears[1:])))
        for first in range(0, z.shape[-2], step):
            v = slice(first, first + step)
            # error of target u at the sample of v, [u, v]; own: at the sample of u
            there = n[..., None] * pushed_pi[..., None, v, :] - pushed_x[..., :, None, :]  # (..., U, v, H)
            own = n * pushed_pi - pushed_x  # (..., U, H)
            for layer in range(len(slopes) - 1, -1, -1):
                # the chain rule: through the activation's slope at the sample in question, then through the next W
                there = there * slopes[layer][..., None, v, :]
                own = own * slopes[layer]
                turn = own[..., :, None, :] - there
                turned, size_there, both = (t.sum(-1) for t in (turn.square(), there.square(), turn * there))
                apart[..., v] += _outer_change(turned, size_there, both, inputs[layer], biases[layer], v)
                size = inputs[layer].square().sum(-1)[..., None, v] + biases[layer]
                content[..., v] += (there - own[..., None, v, :]).square().sum(-1) * size
                if layer:
                    there, own = there @ stack.linears[layer].weight, own @ stack.linears[layer].weight
    return apart.clamp_min(0).sqrt(), content.sqrt()


def _outer_change(
    turned: Tensor, error: Tensor, cross: Tensor, h: Tensor, bias: bool, part: slice = slice(None)
) -> Tensor:
    """‖δ_u ⊗ h_u − δ ⊗ h_v‖² from ‖δ_u − δ‖², ‖δ‖² and ⟨δ_u − δ, δ⟩, all [u, v]; no loss of digits as h_v → h_u."""
    # δ_u⊗h_u − δ⊗h_v = (δ_u − δ)⊗h_u + δ⊗(h_u − h_v); each term is small by itself where u and v are near, which the
    # difference of two large squares would not be. The bias is an input that is 1 for every user: it adds to the first.
    other = h[..., part, :]
    hh = h @ other.mT
    own = h.square().sum(-1)[..., None]
    return turned * (own + bias) + error * _distances(h, other).square() + 2 * cross * (own - hh)


def _flat(decoder: nn.Module, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """The same from explicit gradients, for decoders without layers to read; block by block of pairs."""
    n_users = z.shape[-2]
    side = max(1, int((TILE_BYTES / 8 / width(decoder) / max(1, z.shape[:-2].numel())) ** 0.5))
    apart = z.new_empty(*z.shape[:-1], n_users)
    content = torch.empty_like(apart)
    for first in range(0, n_users, side):
        u = slice(first, first + side)
        own_u = gradients(decoder, z[..., u, :], x[..., u, :]).errors[0]  # (..., u, P)
        for second in range(0, n_users, side):
            v = slice(second, second + side)
            own_v = gradients(decoder, z[..., v, :], x[..., v, :]).errors[0]  # (..., v, P)
            there = gradients(decoder, z[..., None, v, :], x[..., u, None, :]).errors[0]  # (..., u, v, P)
            apart[..., u, v] = (own_u[..., :, None, :] - there).norm(dim=-1)
            content[..., u, v] = (there - own_v[..., None, :, :]).norm(dim=-1)
    return apart, content


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances of all rows from differences, (..., R, R'); the product form cancels for neighbours."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def _column(matrix: Tensor) -> Tensor:
    """The diagonal, one entry for each row u."""
    return matrix.diagonal(dim1=-2, dim2=-1)[..., :, None]


def _row(matrix: Tensor) -> Tensor:
    """The diagonal, one entry for each column v."""
    return matrix.diagonal(dim1=-2, dim2=-1)[..., None, :]
