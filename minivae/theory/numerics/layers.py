"""The decoder's gradient in layer pieces, and all-pairs inner products of users' gradients made from them.

The gradient of a linear layer is an outer product, error × input, so for two losses a and b

    ⟨∇ℓ_a, ∇ℓ_b⟩ = Σ_layers ⟨δ_a, δ_b⟩ (⟨h_a, h_b⟩ + 1)        (the 1 is the bias).

No gradient of a user is ever formed: matrix products of errors and inputs are all that is needed.
"""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from minivae.data.users import Users, shape_of
from minivae.errors import InputError
from minivae.models.vae import VAE
from minivae.theory.adapter import Wrapped

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


def gram(
    model: VAE | Wrapped,
    x: Users,
    n_samples: int = 8,
    generator: torch.Generator | None = None,
    z: Tensor | np.ndarray | None = None,
    unbiased: bool = False,
) -> Tensor | np.ndarray:
    """Inner products ⟨g_u, g_v⟩ of all users' decoder gradients, ``g_u = ∇_θ E_{z~q_u} ℓ(θ; z, x_u)``.

    ``⟨∇ℓ_a, ∇ℓ_b⟩ = Σ_layers ⟨δ_a, δ_b⟩ (⟨h_a, h_b⟩ + 1)``, averaged over the S × S pairs of samples. The result is
    exact for the empirical posteriors (those S samples). As an estimate for the true ones its diagonal is too large on
    average, ``E‖ĝ‖² = ‖g‖² + tr Cov(∇ℓ)/S``; entries of two different users have no bias.

    Parameters
    ----------
    model : VAE
        A VAE with `encode` and a `decoder`. A decoder of linear layers and pointwise activations, whose θ are the
        weights and biases, needs matrix products only; any other goes through `torch.func`, tile by tile.
    x : Users
        (U, I) users, scipy CSR or dense.
    n_samples : int, default 8
        S, samples ``z = μ + sd ⊙ ε`` per user with ``ε = randn(U, S, d)``; 0: ``z = μ``.
    generator : Generator, optional
        Torch generator of ε.
    z : Tensor | ndarray, optional
        (U, S, d) to be used as it is, instead of samples.
    unbiased : bool, default False
        Leave the pairs of a sample with itself out of the diagonal (needs S ≥ 2); the diagonal is then unbiased, but
        the matrix may lose its positive semidefiniteness.

    Returns
    -------
    Tensor | ndarray
        (U, U) in the dtype of the model, a numpy array if `x` is one, else a tensor. ℓ is not divided by N_x.

    Raises
    ------
    InputError
        If `x` and `z` do not fit the model or each other, or S is too small for `unbiased`.

    Notes
    -----
    Theorem 2.3 of the paper needs these numbers. Memory: the result and a few tiles of `TILE_BYTES`, whatever the
    number of parameters; time grows with (U·S)².

    Examples
    --------
    >>> from minivae.models import MultVAE
    >>> gram(MultVAE(5, hidden=3, latent=2), torch.eye(5), n_samples=2).shape
    torch.Size([5, 5])
    """
    like = next(model.decoder.parameters())
    with still(model), torch.no_grad():
        z = draw(model, x, n_samples, generator) if z is None else torch.as_tensor(z)
        check_rows(model, x, z)
        g, each = tiled_gram(model.decoder, z.to(like), lambda part: dense(x, part, like))
        if unbiased:
            n = z.shape[1]
            if n < 2:
                raise InputError(f"an unbiased diagonal needs at least 2 samples per user, got {n}")
            # ‖mean_s g_s‖² = (1/n²) Σ_s ‖g_s‖² + (1/n²) Σ_{s≠t} ⟨g_s, g_t⟩: keep the second sum, over n(n − 1) pairs
            g.diagonal().sub_(each / n).mul_(n / (n - 1))
    return g.cpu().numpy() if isinstance(x, np.ndarray) else g


def tiled_gram(decoder: nn.Module, z: Tensor, rows: Callable[[slice], Tensor]) -> tuple[Tensor, Tensor]:
    """`gram` for given samples z (..., U, S, d) and targets ``rows(part)`` (..., part, I).

    Returns
    -------
    tuple[Tensor, Tensor]
        (..., U, U) inner products of the users' mean gradients; (..., U) mean over s of ‖∇ℓ(z_us, x_u)‖².
    """
    *lead, n_users, n_samples, _ = z.shape
    groups = math.prod(lead)
    cells = TILE_BYTES // z.element_size() // groups
    n_rows = min(cells // width(decoder), math.isqrt(cells))  # a tile of errors, and the products of two tiles
    tile = max(1, min(n_users, n_rows // n_samples))

    def factors(part: slice) -> Gradient:
        x = rows(part).repeat_interleave(n_samples, -2)  # (..., u·S, I)
        return gradients(decoder, z[..., part, :, :].flatten(-3, -2), x)

    result, each = z.new_empty(*lead, n_users, n_users), z.new_empty(*lead, n_users)
    for first in range(0, n_users, tile):
        a = slice(first, min(first + tile, n_users))
        of_a = factors(a)
        for second in range(first, n_users, tile):  # symmetric: the upper triangle of tiles is enough
            b = slice(second, min(second + tile, n_users))
            of_b = of_a if second == first else factors(b)
            pairs = of_a.inner(of_b).unflatten(-1, (-1, n_samples)).unflatten(-3, (-1, n_samples))
            block = pairs.mean((-3, -1))  # (..., a, b)
            result[..., a, b] = block
            result[..., b, a] = block.mT
        each[..., a] = of_a.squared_norms().unflatten(-1, (-1, n_samples)).mean(-1)
    return result, each


def draw(model: VAE | Wrapped, x: Users, n_samples: int, generator: torch.Generator | None) -> Tensor:
    """Samples of the posteriors, (U, S, d): ``z = μ + sd ⊙ ε``, ``ε = randn(U, S, d)``; z = μ for S = 0."""
    if n_samples < 0:
        raise InputError(f"n_samples={n_samples} is negative; 0 means the posterior means")
    mu, sd = model.encode(x)  # (U, d) each
    if n_samples == 0:
        return mu[:, None]
    noise = torch.randn(len(mu), n_samples, mu.shape[-1], generator=generator, dtype=mu.dtype)
    return mu[:, None] + sd[:, None] * noise.to(mu.device)


def check_rows(model: VAE | Wrapped, x: Users, z: Tensor) -> None:
    """Refuse users and samples that do not belong together."""
    if len(getattr(x, "shape", ())) != 2 or shape_of(x)[1] != model.n_items:
        raise InputError(f"x must be users × {model.n_items} items, got shape {tuple(getattr(x, 'shape', ()))}")
    if z.ndim != 3 or z.shape[0] != shape_of(x)[0] or z.shape[1] == 0:
        raise InputError(f"z must be (U, S, d) with U = {shape_of(x)[0]} users as in x and S ≥ 1, got {tuple(z.shape)}")
    if z.shape[2] != model.latent:
        raise InputError(f"z has {z.shape[2]} latent dimensions, but the model {model.latent}")


def dense(x: Users, part: slice, like: Tensor) -> Tensor:
    """Rows `part` of the users as a dense tensor, in the dtype and on the device of `like`."""
    rows = sp.csr_matrix(x)[part].toarray() if sp.issparse(x) else cast("np.ndarray | Tensor", x)[part]
    return torch.as_tensor(rows).to(like)


@contextmanager
def still(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode, and back as it was: no dropout in a theorem."""
    modes = [(m, m.training) for m in model.modules()] if isinstance(model, nn.Module) else []
    for m, _ in modes:
        m.training = False
    try:
        yield
    finally:
        for m, mode in modes:
            m.training = mode


def float64_decoder(model: VAE | Wrapped) -> nn.Module:
    """A copy of the decoder in float64 and evaluation mode, for differences that float32 would lose."""
    return copy.deepcopy(model.decoder).double().eval()
