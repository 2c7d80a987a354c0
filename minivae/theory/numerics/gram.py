"""All-pairs inner products of users' decoder gradients, tile by tile, made from the layer pieces of `layers`."""

import math
from collections.abc import Callable
from typing import overload

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from minivae.data.users import Users, binary
from minivae.errors import InputError
from minivae.models.vae import VAE
from minivae.theory.adapter import Wrapped
from minivae.theory.numerics.layers import TILE_BYTES, Gradient, gradients, width
from minivae.theory.numerics.samples import check_rows, dense, posterior_samples, still


@overload
def gram(
    model: VAE | Wrapped,
    x: np.ndarray,
    n_samples: int = ...,
    generator: torch.Generator | None = ...,
    z: Tensor | np.ndarray | None = ...,
    unbiased: bool = ...,
    target: Users | None = ...,
) -> np.ndarray: ...
@overload
def gram(
    model: VAE | Wrapped,
    x: Tensor | sp.spmatrix | sp.sparray,
    n_samples: int = ...,
    generator: torch.Generator | None = ...,
    z: Tensor | np.ndarray | None = ...,
    unbiased: bool = ...,
    target: Users | None = ...,
) -> Tensor: ...
def gram(
    model: VAE | Wrapped,
    x: Users,
    n_samples: int = 8,
    generator: torch.Generator | None = None,
    z: Tensor | np.ndarray | None = None,
    unbiased: bool = False,
    target: Users | None = None,
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
        (U, I) users, scipy CSR or dense; counts are taken as "has it", by the encoder and by the loss.
    n_samples : int, default 8
        S, samples ``z = μ + sd ⊙ ε`` per user with ``ε = randn(U, S, d)``; 0: ``z = μ``.
    generator : Generator, optional
        Torch generator of ε.
    z : Tensor | ndarray, optional
        (U, S, d) to be used as it is, instead of samples.
    unbiased : bool, default False
        Leave the pairs of a sample with itself out of the diagonal (needs S ≥ 2); the diagonal is then unbiased, but
        the matrix may lose its positive semidefiniteness.
    target : Users, optional
        (U, I) what the loss reconstructs, weights as they are; None: `x`. Pass ``x / N_x`` for the loss per
        interaction.

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
        z = posterior_samples(model, x, n_samples, generator) if z is None else torch.as_tensor(z)
        goal = binary(x, "x") if target is None else target
        check_rows(model, x, z)
        check_rows(model, goal, z)
        g, each = tiled_gram(model.decoder, z.to(like), lambda part: dense(goal, part, like))
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
