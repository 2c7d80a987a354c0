"""The self-checks of chapter 05 take what is right, and say of what is wrong what is wrong with it."""

import math

import numpy as np
import torch

from minivae import checks


def items_allowed(radius, k_mu, k_sigma):
    """Counted up, one item after the other."""
    found = []
    for r, a, b in zip(radius.tolist(), k_mu.tolist(), k_sigma.tolist(), strict=True):
        items = 0
        while math.hypot(a, b) * (items + 1) < r:
            items += 1
        found.append(float(items))
    return torch.tensor(found)


def deep_constant(weights, n):
    """The first constant by its angle; singular values by numpy's eigenvalues."""
    k = 2 * math.sin(math.acos(math.sqrt(n / (n + 1))) / 2)
    for w in weights:
        k *= math.sqrt(np.linalg.eigvalsh(w.numpy().T @ w.numpy())[-1])
    return torch.tensor(k, dtype=torch.float64)


def steepest(encode, x):
    """One user after the other, one item after the other."""
    found = []
    for row in x:
        largest = 0.0
        for item in range(len(row)):
            if row[item] == 0:
                other = row.clone()
                other[item] = 1
                (mu, sd), (nu, tau) = (tuple(t[0] for t in encode(r[None])) for r in (row, other))
                largest = max(largest, math.dist([*mu, *sd], [*nu, *tau]))
        found.append(largest)
    return torch.tensor(found, dtype=torch.float64)


RIGHT = [
    (checks.check_items_allowed, items_allowed),
    (checks.check_deep_constant, deep_constant),
    (checks.check_steepest, steepest),
]


def factors(weights):
    return [float(torch.linalg.svdvals(w)[0]) for w in weights]


def smaller(n):
    return deep_constant([], n)


def over_items(reduce):
    """Like `steepest`, with something else in place of the largest W2; it gets mu, sd before and after, (M, d) each."""

    def solution(encode, x):
        found = []
        for row in x:
            others = [row + e for e in torch.eye(len(row)).to(row) if row @ e == 0]
            if others:
                (mu, sd), (nu, tau) = encode(row[None]), encode(torch.stack(others).to(row))
                found.append(float(reduce(nu - mu, tau - sd)))
            else:
                found.append(0.0)
        return torch.tensor(found, dtype=torch.float64)

    return solution


def one_less(encode, x):
    at = torch.cat(encode(x), 1)
    found = []
    for user, row in enumerate(x):
        others = torch.stack([row - e for e in torch.eye(len(row)).to(row) if row @ e == 1]).to(row)
        found.append(float((torch.cat(encode(others), 1) - at[user]).norm(dim=1).max()))
    return torch.tensor(found, dtype=torch.float64)


MISTAKES = [
    (checks.check_items_allowed, lambda r, a, b: (r / torch.hypot(a, b)).floor(), "strict"),
    (checks.check_items_allowed, lambda r, a, b: items_allowed(r, a + b, 0 * b), "the root of the sum"),
    (checks.check_items_allowed, lambda r, a, b: items_allowed(r, a, 0 * b), "K_mu alone"),
    (checks.check_items_allowed, lambda r, a, b: items_allowed(r, a * a + b * b, 0 * b), "without the root"),
    (checks.check_items_allowed, lambda r, a, b: (r / torch.hypot(a, b)).ceil() - 1, "no item at all is 0"),
    (checks.check_items_allowed, lambda r, a, b: r / torch.hypot(a, b), "not a whole number"),
    (checks.check_deep_constant, lambda w, n: smaller(n) * math.prod(float(v.norm()) for v in w), "Frobenius"),
    (checks.check_deep_constant, lambda w, n: smaller(n) * factors([w[2] @ w[1] @ w[0]])[0], "the norm of the product"),
    (checks.check_deep_constant, lambda w, n: smaller(1) * math.prod(factors(w)), "a single item"),
    (checks.check_deep_constant, lambda w, n: torch.tensor(math.prod(factors(w))), "without the normalisation"),
    (checks.check_deep_constant, lambda w, n: torch.tensor(math.prod(factors(w)) / n**0.5), "from the Euclidean norm"),
    (checks.check_deep_constant, lambda w, n: smaller(n) * sum(factors(w)), "the sum of the norms"),
    (checks.check_deep_constant, lambda w, n: smaller(n) * deep_constant(w, n), "the square"),
    (checks.check_steepest, over_items(lambda m, s: m.norm(dim=1).max()), "the spreads move, too"),
    (checks.check_steepest, one_less, "one item less"),
    (
        checks.check_steepest,
        over_items(lambda m, s: torch.cat([m, s], 1).norm(dim=1).mean()),
        "the mean over the items",
    ),
    (checks.check_steepest, over_items(lambda m, s: torch.cat([m, s], 1).square().sum(1).max()), "the largest square"),
    (checks.check_steepest, over_items(lambda m, s: torch.cat([m, s], 1).norm(dim=1).min()), "the smallest distance"),
]
