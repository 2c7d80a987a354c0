"""Self-checks of chapter 06: the bound for pairs, information from a batch, water-filling."""

from collections.abc import Callable

import torch
from torch import Tensor

from minivae.checks.comparison import Compared, self_check
from minivae.theory.distances import gaussian_kl


@self_check
def check_pair_bound(fn: Callable[[Tensor, Tensor], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 06, exercise 1: ``fn(mu, sd)`` gives √(2 KL_u) + √(2 KL_v) for all pairs, (U, d), (U, d) -> (U, U)."""
    mu = 2 + torch.rand(6, 3, generator=generator, dtype=torch.float64)
    sd = torch.randn(6, 3, generator=generator, dtype=torch.float64).exp().clamp(0.2, 4)

    def bound(kl: Tensor) -> Tensor:
        return (2 * kl).sqrt()[:, None] + (2 * kl).sqrt()

    kl = gaussian_kl(mu, sd)
    joint = kl[:, None] + kl
    wrong = {
        "√KL_u + √KL_v: the 2 under the root is missing": bound(kl / 2),
        "the bound with the mean over dimensions, not the sum": bound(kl / 3),
        "one root for both users, √(2 KL_u + 2 KL_v)": (2 * joint).sqrt(),
        "the sum of the KL, without roots": 2 * joint,
        "the bound with log σ in place of log σ²": bound(kl + 0.5 * sd.log().sum(1)),
        "the bound for sd taken as a variance": bound(gaussian_kl(mu, sd.sqrt())),
    }
    return Compared(fn(mu, sd), bound(kl), wrong)


@self_check
def check_batch_bracket(fn: Callable[[Tensor], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 06, exercise 2: ``fn(log_q)`` gives the two estimates of I(U; Z) from one batch, (B, B) -> (2,).

    Entry [u, v] of ``log_q`` is log q_v(z_u). The densities underflow in floating point.
    """
    log_q = -2000 - 3 * torch.rand(6, 6, generator=generator, dtype=torch.float64)
    log_q.diagonal().add_(1.5)

    ratio = (log_q - log_q.diagonal()[:, None]).exp()  # (B, B) q_v(z_u) / q_u(z_u)
    total, n = ratio.sum(1), len(ratio)
    others = total - 1
    across = (log_q - log_q.diagonal()).exp().sum(0)
    both = [-(total / n).log().mean(), -(others / (n - 1)).log().mean()]
    want = torch.stack(both)
    wrong = {
        "sums in place of means: B and B − 1 are missing": torch.stack([-total.log().mean(), -others.log().mean()]),
        "the two estimates in the wrong order": want.flip(0),
        "the second estimate divided by B: one user has left": torch.stack([both[0], -(others / n).log().mean()]),
        "means over the samples, not over the posteriors: sum along the rows": torch.stack(
            [-(across / n).log().mean(), -((across - 1) / (n - 1)).log().mean()]
        ),
        "the mean of the ratio before the log": torch.stack(
            [-(total.mean() / n).log(), -(others.mean() / (n - 1)).log()]
        ),
    }
    return Compared(fn(log_q), want, wrong)


@self_check
def check_water_filling(fn: Callable[[Tensor, float, float], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 06, exercise 3: ``fn(variances, beta, noise)`` gives KL and mean squared error per direction, (2, d)."""
    beta, noise = (0.5 + torch.rand(2, generator=generator, dtype=torch.float64)).tolist()
    level = beta * noise
    variances = level * torch.tensor([9.0, 3.0, 1.4, 0.7, 0.2], dtype=torch.float64)
    variances = variances * (0.9 + 0.2 * torch.rand(5, generator=generator, dtype=torch.float64))

    # From the optimum of w, a and τ, not from the closed form of KL and error.
    w = (variances - level).clamp_min(0).sqrt()
    a, tau2 = w / (w**2 + level), level / (w**2 + level)
    kl = 0.5 * (a**2 * variances + tau2 - 1 - tau2.log())
    error = (1 - w * a) ** 2 * variances + w**2 * tau2
    unclamped = 0.5 * (variances / level).log()
    wrong = {
        "negative KL under water": torch.stack([unclamped, error]),
        "the KL without the factor ½": torch.stack([2 * kl, error]),
        "the level of β = 1: the water is at β s²": torch.stack(
            [0.5 * (variances / noise).log().clamp_min(0), variances.clamp_max(noise)]
        ),
        "the level of the water as the error, also where less variance is there": torch.stack(
            [kl, torch.full_like(error, level)]
        ),
        "the error as in a distortion, divided by 2 s²": torch.stack([kl, error / (2 * noise)]),
        "error first, KL second": torch.stack([error, kl]),
    }
    return Compared(fn(variances, beta, noise), torch.stack([kl, error]), wrong)
