"""Self-checks of chapter 08: the weight of the anchors, weighted and several centroids."""

from collections.abc import Callable

import torch
from torch import Tensor

from minivae.checks.comparison import Compared, self_check
from minivae.theory.anchoring import alignment
from minivae.theory.shrinkage import shrinkage


@self_check
def check_anchor_lambda(fn: Callable[[Tensor, float], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 08, exercise 1: ``fn(L, share)`` gives the λ with ``τ² = (L/(L+2λ))² = share``, shape of `L`."""
    lam = 0.1 + 3 * torch.rand(5, generator=generator, dtype=torch.float64)
    share = float(0.05 + 0.9 * torch.rand(1, generator=generator, dtype=torch.float64))
    tau = share**0.5
    L = 2 * lam * tau / (1 - tau)
    assert torch.allclose(shrinkage(L, lam), torch.tensor(tau, dtype=L.dtype))
    wrong = {
        "the λ for which the distance falls to this share: the variance falls with τ², not with τ": L
        * (1 / share - 1)
        / 2,
        "twice the λ: the gradient of λ‖μ − ē‖² is 2λ(μ − ē)": 2 * lam,
    }
    return Compared(fn(L, share), lam, wrong)


@self_check
def check_weighted_anchor_terms(
    fn: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor], generator: torch.Generator
) -> Compared:
    """Chapter 08, exercise 2: ``fn(mu, sd, anchors, x, w)`` gives the three terms of the weighted loss, (3, B)."""
    mu, sd, anchors = (torch.randn(n, 3, generator=generator, dtype=torch.float64) for n in (6, 6, 11))
    sd = 0.3 + sd.abs()
    x = (torch.rand(6, 11, generator=generator) < 0.5).to(torch.float64)
    x[:, 0], x[4] = 1, 0
    w = 0.2 + torch.rand(11, generator=generator, dtype=torch.float64)

    def terms(weight: Tensor) -> Tensor:
        """From the distances themselves, user by user."""
        out = torch.zeros(3, 6, dtype=torch.float64)
        for u, share in enumerate(x * weight):
            if share.sum() > 0:
                share = share / share.sum()
                centre = share @ anchors
                out[:, u] = torch.stack(
                    [(mu[u] - centre) @ (mu[u] - centre), sd[u] @ sd[u], share @ (anchors - centre).square().sum(1)]
                )
        return out

    want = terms(w)
    equal = alignment(mu, sd, anchors, x.numpy())
    spread = want.clone()
    spread[1] = sd.sum(1) * (x.sum(1) > 0)
    empty = want.clone()
    empty[0, 4], empty[1, 4] = mu[4].square().sum(), sd[4].square().sum()
    only_variance = want.clone()
    only_variance[1, 4] = sd[4].square().sum()
    wrong = {
        "the terms without the weights": torch.stack([equal.mean_term, equal.variance_term, equal.scatter_term]),
        "the sum of the standard deviations: tr Σ is the sum of their squares": spread,
        "a cost for the user without items": empty,
        "a spread for the user without items": only_variance,
    }
    return Compared(fn(mu, sd, anchors, x, w), want, wrong)


@self_check
def check_nearest_centroid(
    fn: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor], generator: torch.Generator
) -> Compared:
    """Chapter 08, exercise 3: ``fn(mu, anchors, x, group)`` gives ``min_g ‖μ − ē_xg‖²``, (B,)."""
    mu, anchors = (torch.randn(n, 3, generator=generator, dtype=torch.float64) for n in (7, 12))
    group = torch.arange(12) % 3
    x = (torch.rand(7, 12, generator=generator) < 0.6).to(torch.float64)
    x[:, 0] = 1
    x[2] = (group == 0).to(x)  # items of one group only
    # Groups without items stand at the origin if one forgets them, so one user lies just there.
    mu[2] *= 1e-3
    square = torch.full((7, 3), float("inf"), dtype=torch.float64)
    forgotten = square.clone()
    for u in range(7):
        for g in range(3):
            own = (x[u] > 0) & (group == g)
            centre = anchors[own].mean(0) if own.any() else torch.zeros(3, dtype=torch.float64)
            forgotten[u, g] = (mu[u] - centre).square().sum()
            square[u, g] = forgotten[u, g] if own.any() else float("inf")
    want = square.amin(1)
    nearest_item = torch.where(x[:, :, None] > 0, (mu[:, None] - anchors).square(), torch.inf).sum(-1).amin(1)
    wrong = {
        "the distance to groups of which the user has no item too": forgotten.amin(1),
        "the distance to the nearest anchor, not to the nearest centroid": nearest_item,
        "the distance to one centroid of all items": (mu - x @ anchors / x.sum(1, keepdim=True)).square().sum(1),
        "the distance, not its square": want.sqrt(),
    }
    return Compared(fn(mu, anchors, x, group), want, wrong)
