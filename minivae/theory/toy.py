"""A VAE small enough to prove its constants and to look at: a plane of users, and a decoder with bounded features.

The decoder is ``f_θ(z) = W h(z) + b`` with fixed features ``h(z) = tanh(A z + c)`` and θ = (W, b). Its gradient
``∇_θ ℓ = (N π − x) (h(z), 1)ᵀ`` is bounded and Lipschitz on all of R^d, although Gaussians reach everywhere.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from minivae.batches import UserBatch
from minivae.errors import InputError
from minivae.models.sparse_linear import SparseLinear
from minivae.models.vae import VAE
from minivae.theory.numerics.layers import nll
from minivae.theory.transfer import Sharing, sharing, step_effect


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


def toy_users(
    n_users: int = 60,
    n_items: int = 60,
    n_communities: int = 3,
    inside: float = 0.9,
    outside: float = 0.05,
    seed: int = 0,
) -> tuple[Tensor, np.ndarray]:
    """Dense users of a few communities: (U, I) float64 binary rows, none empty, and the (U,) community of each.

    Items are shared out evenly; a user takes each item of the own community with probability `inside`, any other
    with `outside`.

    Examples
    --------
    >>> x, community = toy_users(n_users=3, n_items=6, inside=1, outside=0)
    >>> x.int().tolist()
    [[1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1]]
    """
    rng = np.random.default_rng(seed)
    community = np.arange(n_users) % n_communities
    own = community[:, None] == np.arange(n_items) * n_communities // n_items
    x = rng.random((n_users, n_items)) < np.where(own, inside, outside)
    x[np.arange(n_users), np.argmax(own, 1)] |= ~x.any(1)
    return torch.from_numpy(x.astype(np.float64)), community


def train_toy(
    model: VAE,
    x: Tensor,
    stops: Sequence[int],
    lr: float = 0.5,
    beta: float = 0.01,
    generator: torch.Generator | None = None,
) -> Iterator[int]:
    """Train by plain full-batch SGD on ``ℓ/N_x + β KL``; yields at each of the `stops` (numbers of steps done).

    Theorem 2.3 is about SGD, so the toy uses it. The loss is per interaction.

    Examples
    --------
    >>> x, _ = toy_users(n_users=6, n_items=6)
    >>> list(train_toy(ToyVAE(6, features=4), x, stops=[0, 3]))
    [0, 3]
    """
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    goal = x / x.sum(1, keepdim=True)
    done = 0
    for stop in stops:
        for _ in range(stop - done):
            mu, sd = model.encode(x)
            z = mu + sd * torch.randn(mu.shape, generator=generator, dtype=mu.dtype)
            kl = 0.5 * (mu.square() + sd.square() - 1 - 2 * sd.log()).sum(1)
            loss = (nll(model.decode(z), goal) + beta * kl).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        done = stop
        yield done


@dataclass(frozen=True)
class SharingMap:
    """What a picture of Theorem 2.3 shows: one user, the others, and what a step on each of them does to the one.

    Attributes
    ----------
    user : int
        U.
    mu : ndarray
        (U, d) posterior means.
    community : ndarray
        (U,)
    change : ndarray
        (U,) L_u(θ − η g_v) − L_u(θ) after a real step on v; negative helps.
    distance : ndarray
        (U,) W2(q_u, q_v).
    radius : ndarray
        (U,) r_share(u, v), smaller where the content of v differs more.
    reach : float
        ‖g_u‖ / L_θz, the radius of a user with the same content: no user farther away is certified.
    certified : ndarray
        (U,) bool.
    eta : float
        The learning rate of the steps.

    Examples
    --------
    >>> x, community = toy_users(n_users=6, n_items=6)
    >>> seen = sharing_map(ToyVAE(6, features=4), x, community, user=0)
    >>> seen.mu.shape, bool(seen.change[0] < 0)  # a step on user 0 helps user 0
    ((6, 2), True)
    """

    user: int
    mu: np.ndarray
    community: np.ndarray
    change: np.ndarray
    distance: np.ndarray
    radius: np.ndarray
    reach: float
    certified: np.ndarray
    eta: float


def sharing_map(
    model: VAE,
    x: Tensor,
    community: np.ndarray,
    user: int,
    eta: float | None = None,
    n_samples: int = 32,
    generator: torch.Generator | None = None,
) -> SharingMap:
    """Data for the figure of Theorem 2.3: loss per interaction, one measured Lipschitz constant for this user.

    `eta` defaults to a tenth of ``1 / max M``, M proved: small enough that the sign of a change is that of −⟨g_u, g_v⟩
    unless the two are almost orthogonal.

    Examples
    --------
    >>> x, community = toy_users(n_users=6, n_items=6)
    >>> float(sharing_map(ToyVAE(6, features=4), x, community, user=2).distance[2])
    0.0
    """
    goal = x / x.sum(1, keepdim=True)
    s: Sharing = sharing(model, x, n_samples, generator, lipschitz="user", target=goal)
    if eta is None:
        eta = 0.1 / float(proved_smoothness(model.decoder, goal).max())
    change = step_effect(model, goal, range(len(x)), eta, s.z)[user]
    return SharingMap(
        user=user,
        mu=s.z.mean(1).numpy(),
        community=community,
        change=change.numpy(),
        distance=s.distance[user].numpy(),
        radius=s.radius[user].numpy(),
        reach=float(s.norm[user] / s.lipschitz[user, user]),
        certified=s.certified[user].numpy(),
        eta=eta,
    )


def closing_radius(
    seed: int, stops: Sequence[int] = (0, 10, 30, 100, 300), n_samples: int = 8, lr: float = 0.5
) -> list[dict[str, float | int | str]]:
    """How the sharing radius closes as the toy is trained: who is certified within and between communities.

    Returns
    -------
    list[dict[str, float | int | str]]
        One row per stop, link of the chain and test ("theorem" or "polarised"): step, link, test, the fractions of
        pairs "same" and "other" (community), and the means of ‖g_u‖ ("norm"), of the proved L_θz ("lipschitz") and of
        the largest ratio seen per user ("seen"); over pairs of one community, the means of Δ_x ("mismatch") and of W2
        ("distance"), and the fraction with Δ_x ≥ ‖g_u‖, whose radius is 0 whatever L is ("covered"). Loss per
        interaction.

    Examples
    --------
    >>> rows = closing_radius(seed=0, stops=[0], n_samples=2)
    >>> {row["test"] for row in rows} == {"theorem", "polarised"}, rows[0]["link"]
    (True, 'inner product')
    """
    generator = torch.Generator().manual_seed(seed)
    x, community = toy_users(seed=seed)
    model = ToyVAE(x.shape[1], generator=generator)
    goal = x / x.sum(1, keepdim=True)
    same = community[:, None] == community
    rows = []
    for step in train_toy(model, x, stops, lr=lr, generator=generator):
        constant = proved_lipschitz(model.decoder, goal)
        s = sharing(model, x, n_samples, generator, constant, target=goal)
        pairs = torch.as_tensor(same) & ~torch.eye(len(x), dtype=torch.bool)
        seen = sharing(model, x, lipschitz="user", target=goal, z=s.z).lipschitz[:, 0]
        common = {"step": step, "norm": float(s.norm.mean()), "lipschitz": float(constant.mean())}
        common |= {"seen": float(seen.mean()), "distance": float(s.distance[pairs].mean())}
        common |= {"mismatch": float(s.mismatch[pairs].mean())}
        common |= {"covered": float((s.mismatch >= s.norm[:, None])[pairs].double().mean())}
        for test in ("theorem", "polarised"):
            inside, outside = (s.chain(among, sharp=test == "polarised") for among in (same, ~same))
            rows += [{"link": k, "test": test, "same": inside[k], "other": outside[k]} | common for k in inside]
    return rows
