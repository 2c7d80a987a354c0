"""The decoder's gradient in layer pieces.

The gradient of a linear layer is an outer product, error × input, so for two losses a and b

    ⟨∇ℓ_a, ∇ℓ_b⟩ = Σ_layers ⟨δ_a, δ_b⟩ (⟨h_a, h_b⟩ + 1)        (the 1 is the bias).

No gradient of a user is ever formed: matrix products of errors and inputs are all that is needed.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

TILE_BYTES = 1 << 26
"""Memory of one tile of errors; a few tiles live at a time."""


def nll(logits: Tensor, x: Tensor) -> Tensor:
    """``ℓ = N_x logsumexp(f) − ⟨x, f⟩`` over the last axis; constants dropped, ``N_x = Σ x``."""
    return x.sum(-1) * logits.logsumexp(-1) - (x * logits).sum(-1)


@dataclass(frozen=True)
class Stack:
    """A decoder read as: a parameter-free map of z, then linear layers with pointwise activations between them."""

    front: tuple[nn.Module, ...]
    linears: tuple[nn.Linear, ...]
    activations: tuple[tuple[nn.Module, ...], ...]  # after each linear layer but the last

    def forward(self, z: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Inputs of the linear layers, slopes of the activations between them, logits; z is (..., d)."""
        h = z
        for module in self.front:
            h = module(h)
        inputs, slopes = [h], []
        for linear, activation in zip(self.linears, self.activations, strict=False):
            a = linear(h).detach().requires_grad_()  # (..., H)
            with torch.enable_grad():
                h = a.clone()  # an activation may work in place
                for module in activation:
                    h = module(h)
                slopes.append(torch.autograd.grad(h.sum(), a)[0])
            h = h.detach()
            inputs.append(h)
        return inputs, slopes, self.linears[-1](h)


def stack_of(decoder: nn.Module) -> Stack | None:
    """Read `decoder` as a `Stack`; None for anything else: gates, norms, learnable activations, tied weights."""
    modules = _unfold(decoder)
    linears = {i: m for i, m in enumerate(modules) if isinstance(m, nn.Linear) and type(m) is nn.Linear}
    at = list(linears)
    if not at or at[-1] != len(modules) - 1:
        return None
    others = [m for m in modules if type(m) is not nn.Linear]
    if any(True for m in others for _ in m.parameters()):
        return None
    theta = [id(p) for i in at for p in modules[i].parameters()]
    if len(set(theta)) < len(theta):  # a shared weight collects gradients of two layers
        return None
    between = [tuple(modules[i + 1 : j]) for i, j in pairwise(at)]
    if not all(_is_pointwise(m, linears[at[0]].weight) for group in between for m in group):
        return None
    return Stack(tuple(modules[: at[0]]), tuple(linears.values()), tuple(between))


def _unfold(module: nn.Module) -> list[nn.Module]:
    if type(module) is nn.Sequential:
        return [inner for part in module for inner in _unfold(part)]
    return [module]


def _is_pointwise(module: nn.Module, like: Tensor) -> bool:
    a = torch.linspace(-2, 2, 6, dtype=like.dtype, device=like.device).reshape(2, 3)
    try:
        return torch.equal(module(a.clone()).reshape(-1), module(a.clone().reshape(-1, 1)).reshape(-1))
    except (RuntimeError, IndexError, ValueError):
        return False


@dataclass(frozen=True)
class Gradient:
    """Rows of decoder gradients in factors: row r of a layer is ``error[r] ⊗ (input[r], 1)``, or without the 1."""

    errors: tuple[Tensor, ...]  # (..., R, out) per layer
    inputs: tuple[Tensor, ...]  # (..., R, in) per layer
    bias: tuple[bool, ...]

    def inner(self, other: "Gradient") -> Tensor:
        """Inner products of all rows of the two, (..., R, R')."""
        total: Tensor | None = None
        for d, h, d2, h2, bias in zip(self.errors, self.inputs, other.errors, other.inputs, self.bias, strict=True):
            part = h @ h2.mT  # (..., R, R')
            if bias:
                part += 1
            part *= d @ d2.mT
            total = part if total is None else total.add_(part)
        assert total is not None  # a stack has at least one layer
        return total

    def squared_norms(self) -> Tensor:
        """Squared norm of every row, (..., R)."""
        parts = zip(self.errors, self.inputs, self.bias, strict=True)
        squares = [d.square().sum(-1) * (h.square().sum(-1) + bias) for d, h, bias in parts]
        return torch.stack(squares).sum(0)


def gradients(decoder: nn.Module, z: Tensor, x: Tensor) -> Gradient:
    """``∇_θ ℓ(θ; z, x)`` for every row, in factors.

    Parameters
    ----------
    decoder : Module
        Linear layers and pointwise activations; anything else goes through `torch.func`, with one flat gradient per row
        as the only "layer".
    z : Tensor
        (..., R, d).
    x : Tensor
        (..., R, I) targets; leading axes broadcast.
    """
    stack = stack_of(decoder)
    if stack is None:
        return _flat_gradients(decoder, z, x)
    inputs, slopes, logits = stack.forward(z)
    # ∂ℓ/∂f of ℓ = N logsumexp(f) − ⟨x, f⟩; in place, since this is the largest array of all
    error = torch.softmax(logits, -1).mul_(x.sum(-1, keepdim=True)).sub_(x)  # (..., R, I) = N π − x
    errors = [error]
    # back through the layers, last first; the first layer's own input error is not needed, θ ends there
    for linear, slope in zip(stack.linears[:0:-1], slopes[::-1], strict=True):
        error = (error @ linear.weight) * slope  # (..., R, H)
        errors.append(error)
    return Gradient(tuple(errors[::-1]), tuple(inputs), tuple(m.bias is not None for m in stack.linears))


def _flat_gradients(decoder: nn.Module, z: Tensor, x: Tensor) -> Gradient:
    theta = {name: p.detach() for name, p in decoder.named_parameters()}
    batch = torch.broadcast_shapes(z.shape[:-1], x.shape[:-1])

    def loss(theta: dict[str, Tensor], z: Tensor, x: Tensor) -> Tensor:
        return nll(functional_call(decoder, theta, (z[None],))[0], x)

    per_row = vmap(grad(loss), in_dims=(None, 0, 0))
    rows = per_row(theta, z.expand(*batch, -1).flatten(0, -2), x.expand(*batch, -1).flatten(0, -2))
    flat = torch.cat([g.reshape(len(g), -1) for g in rows.values()], 1).unflatten(0, batch)  # (..., R, P)
    return Gradient((flat,), (flat.new_ones(*batch, 1),), (False,))


def width(decoder: nn.Module) -> int:
    """Numbers that one row of `gradients` holds, in its widest layer."""
    stack = stack_of(decoder)
    if stack is None:
        return sum(p.numel() for p in decoder.parameters())
    return max(max(m.in_features, m.out_features) for m in stack.linears)
