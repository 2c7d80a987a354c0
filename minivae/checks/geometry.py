"""Self-checks of chapter 03: distances of posteriors, their middle, a lower bound of W1."""

from collections.abc import Callable

import torch
from torch import Tensor

from minivae.checks.comparison import Compared, self_check
from minivae.theory import distances


def _posteriors(generator: torch.Generator, n: int, d: int) -> tuple[Tensor, Tensor]:
    mu, log_sd = torch.randn(2, n, d, generator=generator, dtype=torch.float64)
    return mu, log_sd.exp()


@self_check
def check_all_distances(fn: Callable[[Tensor, Tensor], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 03, exercise 1: ``fn(mu, sd)`` gives W2 of all pairs of diagonal Gaussians, (U, d) twice -> (U, U)."""
    mu, sd = _posteriors(generator, 6, 3)
    want = distances.w2_gaussian(mu[:, None], sd[:, None], mu, sd)
    means = (mu[:, None] - mu).norm(dim=-1)
    wrong = {
        "the squared distance": want.square(),
        "the distance of the means alone": means,
        "with variances where spreads belong": distances.w2_gaussian(mu[:, None], sd[:, None] ** 2, mu, sd**2),
        "the sum of both distances, not the root of the sum of squares": means + (sd[:, None] - sd).norm(dim=-1),
    }
    return Compared(fn(mu, sd), want, wrong)


@self_check
def check_middle(fn: Callable[[Tensor, Tensor, Tensor], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 03, exercise 2: ``fn(mu, sd, w)`` gives mean and spreads of the W2 barycentre, (2, d).

    The posteriors are (U, d), their weights (U,).
    """
    mu, sd = _posteriors(generator, 5, 3)
    w = 0.2 + torch.rand(5, generator=generator, dtype=torch.float64)
    share = w[:, None] / w.sum()
    want = torch.stack([(share * mu).sum(0), (share * sd).sum(0)])
    second = (share * sd.square()).sum(0)
    precision = share / sd.square()
    wrong = {
        "weighted sums: divide by the sum of the weights": want * w.sum(),
        "the middle without the weights": torch.stack([mu.mean(0), sd.mean(0)]),
        "averaged variances: it is the spreads that are averaged": torch.stack([want[0], second.sqrt()]),
        "the mixture's moments: a mixture is wider than the middle": torch.stack(
            [want[0], (second + (share * mu.square()).sum(0) - want[0].square()).sqrt()]
        ),
        "the normalised product of the densities, a middle for KL": torch.stack(
            [(precision * mu).sum(0) / precision.sum(0), precision.sum(0).rsqrt()]
        ),
    }
    return Compared(fn(mu, sd, w), want, wrong)


@self_check
def check_lower_bound(
    fn: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor], generator: torch.Generator
) -> Compared:
    """Chapter 03, exercise 3: ``fn(mu_u, sd_u, mu_v, sd_v, along)`` gives the largest W1 of projections, (P,).

    The posteriors are (P, d), the directions the columns of ``along`` (d, T).
    """
    q = (*_posteriors(generator, 4, 3), *_posteriors(generator, 4, 3))
    along = distances.directions(3, 7, generator)
    each = torch.stack([distances.sliced_w1_gaussian(*q, t[:, None]) for t in along.mT], dim=1)  # (P, T)
    mu_u, sd_u, mu_v, sd_v = q
    linear = distances.w1_gaussian_1d(mu_u @ along, (sd_u @ along).abs(), mu_v @ along, (sd_v @ along).abs())
    wrong = {
        "sliced W1: the mean over directions, not the best of them": each.mean(1),
        "the smallest of the bounds": each.amin(1),
        "with spreads projected like means: variances add up, t_j² σ_j²": linear.amax(1),
        "with the means alone": ((mu_u - mu_v) @ along).abs().amax(1),
    }
    return Compared(fn(*q, along), each.amax(1), wrong)
