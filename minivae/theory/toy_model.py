"""A VAE small enough to prove its constants: a decoder with bounded features, and a plane of users to look at.

The decoder is ``f_θ(z) = W h(z) + b`` with fixed features ``h(z) = tanh(A z + c)`` and θ = (W, b). Its gradient
``∇_θ ℓ = (N π − x) (h(z), 1)ᵀ`` is bounded and Lipschitz on all of R^d, although Gaussians reach everywhere.
"""

import torch
from torch import Tensor, nn

from minivae.batches import UserBatch
from minivae.errors import InputError
from minivae.models.sparse_linear import SparseLinear
from minivae.models.vae import VAE


class BoundedFeatures(nn.Module):
    """``h(z) = tanh(A z + c)``, fixed: (..., d) -> (..., H), every coordinate in (−1, 1).

    Examples
    --------
    >>> BoundedFeatures(a=torch.ones(3, 2), c=torch.zeros(3))(torch.zeros(1, 2))
    tensor([[0., 0., 0.]])
    """

    a: Tensor
    c: Tensor

    def __init__(self, a: Tensor, c: Tensor) -> None:
        super().__init__()
        self.register_buffer("a", a)
        self.register_buffer("c", c)

    def forward(self, z: Tensor) -> Tensor:
        """Features h(z), every coordinate in (−1, 1): (…, d) → (…, H)."""
        return torch.tanh(z @ self.a.T + self.c)


class ToyVAE(VAE):
    """A VAE with a tanh encoder and the decoder above.

    Parameters
    ----------
    n_items : int
        I.
    features : int, default 16
        H, number of fixed features.
    latent : int, default 2
        d, the latent dimension; 2 can be drawn.
    hidden : int, default 32
        Width of the encoder.
    bias : bool, default True
        Whether the output layer has one.
    generator : Generator, optional
        Draws A, c and the weights.

    Examples
    --------
    >>> model = ToyVAE(n_items=6)
    >>> model.decode(torch.zeros(1, 2, dtype=torch.float64)).shape
    torch.Size([1, 6])
    """

    def __init__(
        self,
        n_items: int,
        features: int = 16,
        latent: int = 2,
        hidden: int = 32,
        bias: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.n_items, self.latent, self.features = n_items, latent, features
        self.encoder_input = SparseLinear(n_items, hidden)
        self.encoder_output = nn.Linear(hidden, 2 * latent)
        a = torch.randn(features, latent, generator=generator) / features**0.5  # so that ‖A‖ is about 1
        c = torch.rand(features, generator=generator) * 2 - 1
        self.decoder = nn.Sequential(BoundedFeatures(a, c), nn.Linear(features, n_items, bias=bias))
        self.reset_parameters(generator)
        self.double()

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Encoder Xavier normal, output layer near zero (so that its proved constants are small), biases zero."""
        for p in self.parameters():
            nn.init.xavier_normal_(p, generator=generator) if p.ndim == 2 else nn.init.zeros_(p)
        nn.init.normal_(_parts(self.decoder)[1].weight, std=0.05, generator=generator)

    def posterior(self, x: UserBatch | Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = self.encoder_output(torch.tanh(self.encoder_input(x))).chunk(2, dim=-1)
        return mu, logvar


def proved_lipschitz(decoder: nn.Sequential, x: Tensor) -> Tensor:
    """A constant K with ``‖∇_θ ℓ(θ; z, x) − ∇_θ ℓ(θ; z', x)‖ ≤ K ‖z − z'‖`` for ALL z, z', one per user.

    ``K = ‖A‖ (N κ ‖W_c‖ sqrt(H) + R)``. By the product rule along a unit direction,
    ``d∇ℓ = N dπ (h, 1)ᵀ + (N π − x) (dh, 0)ᵀ``, where

    * ``‖dh‖ ≤ (1 − t) ‖A‖`` with t the smallest ``h_i²``, since tanh' = 1 − tanh²; at most ``‖A‖``;
    * ``‖(h, 1)‖² ≤ H + t``, since the other ``h_i²`` are below 1. Where features are steep they are small, so
      ``‖(h, 1)‖ ‖dh‖ ≤ sqrt(H + t) (1 − t) ‖A‖ ≤ sqrt(H) ‖A‖``: the product falls in t. Without bias one less
      under the root: ``sqrt(H − 1)``, and for one feature ``max_t sqrt(t) (1 − t) = sqrt(4/27)``;
    * ``‖dπ‖ ≤ κ ‖W_c‖ ‖dh‖``: the softmax Jacobian ``diag π − ππᵀ`` has norm at most κ = min(1/2, max π) and does not
      see a common shift of the logits, so the columns of W may be centred over the items (W_c);
    * ``‖N π − x‖ ≤ R``: convex in π, so largest at a corner of the simplex, ``R² ≤ max_i N² − 2N x_i + ‖x‖²``
      (N² + N for binary x that is not full); and, since ``|h| < 1`` keeps every logit within ``b_i ± ‖W_i‖_1`` and so
      every π_i within an interval, also R² ≤ the sum over items of the largest ``(N π_i − x_i)²`` in it.

    Parameters
    ----------
    decoder : nn.Sequential
        ``Sequential(BoundedFeatures, Linear)``.
    x : Tensor
        (U, I) targets, non-negative.

    Returns
    -------
    Tensor
        (U,)

    Examples
    --------
    >>> from minivae.theory.toy import toy_users
    >>> from minivae.theory.transfer import sharing
    >>> x, _ = toy_users(n_users=3, n_items=6)
    >>> model = ToyVAE(6, features=4)
    >>> s = sharing(model, x, lipschitz="user")  # the largest ratio that these samples show
    >>> bool((s.lipschitz[:, 0] <= proved_lipschitz(model.decoder, x)).all())
    True
    """
    features, output = _parts(decoder)
    with torch.no_grad():
        w, x = output.weight, torch.as_tensor(x).to(output.weight)
        low, high = _probability_range(output)
        n = x.sum(-1)
        corner = n.square() - 2 * n * x.amin(-1) + x.square().sum(-1)
        error = n[:, None] * torch.stack([low, high])[:, None] - x  # (2, U, I)
        r = torch.minimum(corner, error.square().amax(0).sum(-1)).sqrt()
        kappa = min(0.5, float(high.max()))
        turn = n * kappa * torch.linalg.matrix_norm(w - w.mean(0), 2)
        size = max(w.shape[1] - (output.bias is None), 4 / 27) ** 0.5
        return torch.linalg.matrix_norm(features.a, 2) * (turn * size + r)


def proved_smoothness(decoder: nn.Sequential, x: Tensor) -> Tensor:
    """M with ``∇_θ L_u`` M-Lipschitz on all of θ-space, one per user: ``M = N (H + 1)/2``, N H/2 without bias; (U,).

    The Hessian is ``N (diag π − ππᵀ) ⊗ (h, 1)(h, 1)ᵀ``, and a softmax Jacobian has norm at most 1/2.

    Examples
    --------
    >>> proved_smoothness(ToyVAE(6, features=3).decoder, torch.ones(1, 6))  # N (H + 1) / 2
    tensor([12.], dtype=torch.float64)
    """
    _, output = _parts(decoder)
    n = torch.as_tensor(x).to(output.weight).sum(-1)
    return n * (output.in_features + (output.bias is not None)) / 2


def _probability_range(output: nn.Linear) -> tuple[Tensor, Tensor]:
    """Bounds on every π_i over all z, (I,) each: logit differences are within ``b_i − b_j ± ‖W_i − W_j‖_1``."""
    w = output.weight
    bias = w.new_zeros(len(w)) if output.bias is None else output.bias
    reach = torch.cdist(w, w, p=1)  # (I, I)
    ahead = bias[None, :] - bias[:, None]  # [i, j] = b_j − b_i
    return torch.exp(-(ahead + reach).logsumexp(1)), torch.exp(-(ahead - reach).logsumexp(1))


def _parts(decoder: nn.Module) -> tuple[BoundedFeatures, nn.Linear]:
    features, output = decoder if isinstance(decoder, nn.Sequential) and len(decoder) == 2 else (None, None)
    if not isinstance(features, BoundedFeatures) or not isinstance(output, nn.Linear):
        raise InputError("constants are proved for Sequential(BoundedFeatures, Linear) only; measure them for others")
    return features, output
