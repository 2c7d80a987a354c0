"""Self-checks of chapter 05: the ball of Lemma 2.4, the constant of a deeper encoder, the steepest change."""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from minivae.checks.comparison import Compared, self_check
from minivae.theory import locality

Encode = Callable[[Tensor], tuple[Tensor, Tensor]]


@self_check
def check_items_allowed(fn: Callable[[Tensor, Tensor, Tensor], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 05, exercise 1: ``fn(radius, k_mu, k_sigma)`` gives in how many items a neighbour may differ, (P,).

    The largest whole D ≥ 0 with ``√(k_mu² + k_sigma²) D < radius``, or 0.
    """
    k_mu, k_sigma = torch.randint(1, 5, (2, 8), generator=generator).double()
    k_mu[0], k_sigma[0] = 3.0, 4.0
    radius = (k_mu.square() + k_sigma.square()).sqrt() * (0.1 + 4 * torch.rand(8, generator=generator).double())
    radius[:3] = torch.tensor([15.0, 0.0, 0.3])  # three items of 5 exactly, no radius, less than one item
    joint = (k_mu.square() + k_sigma.square()).sqrt()

    def allowed(constant: Tensor) -> Tensor:
        return ((radius / constant).ceil() - 1).clamp_min(0)

    wrong = {
        "D ≤ r / K: the inequality is strict": (radius / joint).floor(),
        "with K_mu + K_sigma: the root of the sum of squares is smaller": allowed(k_mu + k_sigma),
        "with K_mu alone": allowed(k_mu),
        "with K_mu² + K_sigma² without the root": allowed(joint.square()),
        "-1 where the radius is 0: no item at all is 0": (radius / joint).ceil() - 1,
        "r / K, not a whole number of items": radius / joint,
    }
    return Compared(fn(radius, k_mu, k_sigma), allowed(joint), wrong)


@self_check
def check_deep_constant(fn: Callable[[list[Tensor], int], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 05, exercise 2: ``fn(weights, n)`` gives the constant of a deeper encoder, a number."""
    sizes = (7, 5, 6, 3)
    weights = [torch.randn(out, into, generator=generator, dtype=torch.float64) for into, out in pairwise(sizes)]
    n = 3 + int(torch.randint(5, (), generator=generator))
    first = locality.normalisation_constant(n)
    norms = [torch.linalg.matrix_norm(w, 2) for w in weights]
    product = torch.stack(norms).prod()
    wrong = {
        "Frobenius norms: a bound, too, but the largest singular values are smaller": first
        * torch.stack([w.norm() for w in weights]).prod(),
        "the norm of the product of the matrices: tanh stands between them": first
        * torch.linalg.matrix_norm(weights[2] @ weights[1] @ weights[0], 2),
        "the constant for users of a single item, n = 1": locality.normalisation_constant(1) * product,
        "the product without the normalisation": product,
        "the normalisation from the Euclidean norm, 1/√n": n**-0.5 * product,
        "the sum of the norms: constants of a chain multiply": first * torch.stack(norms).sum(),
        "the square of the first constant": first**2 * product,
    }
    return Compared(fn(weights, n), first * product, wrong)


@self_check
def check_steepest(fn: Callable[[Encode, Tensor], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 05, exercise 3: ``fn(encode, x)`` gives the largest W2 between a user and the same with one item more.

    Rows (B, I) of zeros and ones; ``encode`` takes rows (R, I) and returns mu and sd, (R, d) each; the answer is (B,).
    """
    items, hidden, d = 6, 5, 3
    w1 = torch.randn(items, hidden, generator=generator, dtype=torch.float64)
    w2 = torch.randn(hidden, 2 * d, generator=generator, dtype=torch.float64)
    x = (torch.rand(4, items, generator=generator) < 0.5).double()
    x[:, 0], x[:, 1] = 1, 0
    x[3] = 1  # has everything

    def encode(rows: Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = (torch.tanh(torch.nn.functional.normalize(rows) @ w1) @ w2).chunk(2, dim=-1)
        return mu, (logvar / 2).exp()

    def moved(change: float, means_only: bool = False) -> Tensor:
        """(B, I) W2 to the row with one item more (or less); 0 where there is no such row."""
        distance = torch.zeros_like(x)
        for user, item in (x == (change < 0)).nonzero().tolist():
            other = x[user].clone()
            other[item] += change
            (mu, nu), (sd, tau) = encode(torch.stack([x[user], other]))
            spread = 0.0 if means_only else float((sd - tau).square().sum())
            distance[user, item] = math.sqrt(float((mu - nu).square().sum()) + spread)
        return distance

    more = moved(1.0)
    count = (x == 0).sum(1)
    wrong = {
        "the largest distance of the means: the spreads move, too": moved(1.0, means_only=True).max(1).values,
        "one item less, not one item more": moved(-1.0).max(1).values,
        "the mean over the items, not the largest": more.sum(1) / count.clamp_min(1),
        "the largest square": more.square().max(1).values,
        "the smallest distance": more.masked_fill(x > 0, math.inf).min(1).values.nan_to_num(posinf=0.0),
    }
    return Compared(fn(encode, x), more.max(1).values, wrong, atol=1e-7)
