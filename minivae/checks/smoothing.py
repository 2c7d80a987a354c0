"""Self-checks of chapter 13: the loss without a scale, the graph of users behind anchors, the best anchors."""

from collections.abc import Callable

import torch
from torch import Tensor

from minivae.checks.comparison import Compared, self_check


def _users(generator: torch.Generator) -> Tensor:
    """(6, 9) users with at least one item each; no user has the last item."""
    x = (torch.rand(6, 9, generator=generator) < 0.4).to(torch.float64)
    x[torch.arange(8) % 6, torch.arange(8)] = 1
    x[:, 8] = 0
    return x


@self_check
def check_direction_loss(fn: Callable[[Tensor, Tensor], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 13, exercise 1: ``fn(mu, centroid)`` gives ``‖ μ/‖μ‖ − ē/‖ē‖ ‖²``, (B,), from (B, d) twice."""
    mu, centroid = (torch.randn(6, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    mu[5] *= 1e-9  # very short, and no zero
    cosine = (mu * centroid).sum(1) / (mu.square().sum(1) * centroid.square().sum(1)).sqrt()
    half = (mu - centroid / centroid.norm(dim=1, keepdim=True)).square().sum(1)
    wrong = {
        "the distance of the vectors as they are; it grows with the scale": (mu - centroid).square().sum(1),
        "a loss in which only the centroid has length 1; μ must have it too": half,
        "the distance; its square is asked for": (2 - 2 * cosine).sqrt(),
        "half of the squared distance, 1 − cosine": 1 - cosine,
        "a cosine that takes very short vectors for zeros; it needs a smaller eps": (
            2 - 2 * torch.cosine_similarity(mu, centroid)
        ),
    }
    return Compared(fn(mu, centroid), 2 - 2 * cosine, wrong)


@self_check
def check_smoothing_matrix(fn: Callable[[Tensor], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 13, exercise 2: ``fn(x)`` gives ``S = P diag(1/w) Pᵀ``, (U, U), from users (U, I)."""
    x = _users(generator)
    profile = x / x.sum(1, keepdim=True)
    taken = profile.sum(0)
    want = torch.zeros(6, 6, dtype=torch.float64)
    for u in range(6):
        for v in range(6):
            for i in range(8):  # no user has the last item
                want[u, v] += profile[u, i] * profile[v, i] / taken[i]
    wrong = {
        "PPᵀ: a rare item that two users share says more than a popular one": profile @ profile.T,
        "a matrix with the number of users of an item in place of the sum of their shares": (
            profile / x.sum(0).clamp_min(1)
        )
        @ profile.T,
    }
    return Compared(fn(x), want, wrong)


@self_check
def check_anchors_in_closed_form(fn: Callable[[Tensor, Tensor], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 13, exercise 3: ``fn(mu, x)`` gives the best anchors ``e_i = Σ_u P_ui μ_u / Σ_u P_ui``, (I, d).

    An item without users gets zeros.
    """
    x = _users(generator)
    mu = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    want, plain = torch.zeros(9, 3, dtype=torch.float64), torch.zeros(9, 3, dtype=torch.float64)
    for i in range(8):
        who = x[:, i].nonzero()[:, 0]
        share = 1 / x[who].sum(1)
        want[i] = (share[:, None] * mu[who]).sum(0) / share.sum()
        plain[i] = mu[who].mean(0)
    wrong = {"the plain mean over an item's users; a user's loss gives each item the weight 1/N_u": plain}
    return Compared(fn(mu, x), want, wrong)
