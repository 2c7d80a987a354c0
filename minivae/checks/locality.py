"""Self-checks of chapter 05b: the compromise gap of a Gaussian decoder, of a crowd, and over the latent space."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from minivae.checks.comparison import Compared, self_check
from minivae.theory import locality
from minivae.theory.numerics.quadrature import log_density
from minivae.theory.toy import toy_users


@self_check
def check_gaussian_gap(fn: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 05b, exercise 1: ``fn(t_u, t_v, a, b)`` gives the gap of a unit-variance Gaussian decoder, (P,).

    The statistics are (P, k), the densities (P,).
    """
    t_u, t_v = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    a, b = 0.2 + torch.rand(2, 5, generator=generator, dtype=torch.float64)
    want = locality.exponential_family_gap(t_u, t_v, a, b, locality.gaussian_conjugate)
    wrong = {
        "twice the gap: A* has a factor ½": 2 * want,
        "the gap of equal densities, a = b": 0.25 * (t_u - t_v).square().sum(1),
        "the gap without the weight a + b of the common answer": want / (a + b),
        "a b ‖T_u − T_v‖² / 2: divide by a + b": want * (a + b),
        "A* of the distance without the square": 0.5 * a * b / (a + b) * (t_u - t_v).norm(dim=1),
    }
    return Compared(fn(t_u, t_v, a, b), want, wrong)


@self_check
def check_crowd_gap(fn: Callable[[Tensor, Tensor], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 05b, exercise 2: ``fn(x, q)`` gives the gap of all users at one place, (U, I), (U,) -> a number."""
    x, _ = toy_users(5, 12, seed=generator.initial_seed() % 1000)
    x[0] = x[1].clone()
    x[0, : x.shape[1] // 2] = 1  # users with different numbers of items
    q = 0.2 + torch.rand(5, generator=generator, dtype=torch.float64)
    n = x.sum(1)
    p = x / n[:, None]

    def cost(w: Tensor, m: Tensor) -> Tensor:
        return w @ (torch.xlogy(p, p) - torch.xlogy(p, m)).sum(1)

    w = q * n
    best = w @ p / w.sum()
    want = cost(w, best)
    wrong = {
        "the gap without N_u: the weights are q_u N_u": cost(q, q @ p / q.sum()),
        "the cost of the plain mean of all p_u, which is not the best answer": cost(w, p.mean(0)),
        "the cost of a mean weighted by q_u, not by q_u N_u": cost(w, q @ p / q.sum()),
        "the divergence alone: multiply by the sum of the weights": want / w.sum(),
    }
    return Compared(fn(x, q), want, wrong)


@self_check
def check_sampled_gap(fn: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 05b, exercise 3: ``fn(mu, sd, x, eps)`` gives the integrated gap of two users from samples, a number.

    Posteriors (2, d), users (2, I), noise (2, S, d): the first half for samples of the first user.
    """
    x = torch.zeros(2, 9, dtype=torch.float64)
    x[0, :6] = x[1, 4:7] = 1
    mu = torch.randn(2, 4, generator=generator, dtype=torch.float64) / 2
    sd = (0.3 * torch.randn(2, 4, generator=generator, dtype=torch.float64)).exp()
    eps = torch.randn(2, 6, 4, generator=generator, dtype=torch.float64)

    def gap(counts: Tensor, noise: Tensor) -> Tensor:
        """Mean over samples of gap(z) / q_k(z), summed over both users k, with weights ``counts`` in place of N."""
        total = torch.zeros((), dtype=torch.float64)
        p_u, p_v = x / x.sum(1, keepdim=True)
        for k in range(2):
            z = mu[k] + sd[k] * noise[k]
            log_u, log_v = (log_density(z, mu[j], sd[j]) for j in range(2))
            w_u, w_v = counts[0] * log_u.exp(), counts[1] * log_v.exp()
            divergence = locality.compromise_gap(p_u, p_v, w_u, w_v) / (w_u + w_v)
            total = total + counts[k] * divergence.mean()
        return total

    n = x.sum(1)
    want = gap(n, eps)
    equal = torch.ones(2, dtype=torch.float64)
    wrong = {
        "the gap of users with one item each: the weights are q_u N_u": gap(equal, eps),
        "with the noise of the two users exchanged": gap(n, eps.flip(0)),
        "half of it: the two means are added, not averaged": want / 2,
        "the sum over samples, not their mean": want * eps.shape[1],
        "the gap in bits: the logarithm is natural": want / math.log(2),
    }
    return Compared(fn(mu, sd, x, eps), want, wrong)
