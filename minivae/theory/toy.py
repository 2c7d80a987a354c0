"""What the model of `minivae.theory.toy_model` shows of Theorem 2.3: its users, its training, who helps whom in it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from minivae.errors import check_whole
from minivae.models.vae import VAE
from minivae.theory.numerics.layers import nll
from minivae.theory.toy_model import BoundedFeatures, ToyVAE, proved_lipschitz, proved_smoothness
from minivae.theory.transfer import Sharing, sharing, step_effect

__all__ = [
    "BoundedFeatures",
    "SharingMap",
    "ToyVAE",
    "closing_radius",
    "proved_lipschitz",
    "proved_smoothness",
    "sharing_map",
    "toy_users",
    "train_toy",
]


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
    check_whole(1, n_users=n_users, n_items=n_items, n_communities=n_communities)
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
