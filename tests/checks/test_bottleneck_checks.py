"""The self-checks of chapter 06 take what is right, and say of what is wrong what is wrong with it."""

import math

import torch

from minivae import checks


def kl_of(mu, sd):
    q = torch.distributions.Normal(mu, sd)
    p = torch.distributions.Normal(torch.zeros_like(mu), torch.ones_like(sd))
    return torch.distributions.kl_divergence(q, p)


def pair_bound(mu, sd):
    kl = kl_of(mu, sd).sum(1).tolist()
    return torch.tensor([[math.sqrt(2 * a) + math.sqrt(2 * b) for b in kl] for a in kl], dtype=mu.dtype)


def batch_bracket(log_q):
    inside, outside = [], []
    for u, row in enumerate(log_q.tolist()):
        shifted = [math.exp(value - row[u]) for value in row]
        others = [value for v, value in enumerate(shifted) if v != u]
        inside.append(-math.log(sum(shifted) / len(shifted)))
        outside.append(-math.log(sum(others) / len(others)))
    return torch.tensor([sum(inside) / len(inside), sum(outside) / len(outside)], dtype=log_q.dtype)


def water_filling(variances, beta, noise):
    level = beta * noise
    rate = [0.5 * math.log(v / level) if v > level else 0.0 for v in variances.tolist()]
    return torch.tensor([rate, [min(v, level) for v in variances.tolist()]], dtype=variances.dtype)


def test_directions_lie_on_both_sides_of_the_water():
    """Else an answer that forgets one of the two cases would pass."""
    asked = []

    def answer(*given):
        asked.append(given)
        return water_filling(*given)

    for seed in range(20):
        checks.check_water_filling(answer, seed)
    for variances, beta, noise in asked:
        assert (variances > 2 * beta * noise).any()
        assert (variances < beta * noise / 2).any()


RIGHT = [
    (checks.check_pair_bound, pair_bound),
    (checks.check_batch_bracket, batch_bracket),
    (checks.check_water_filling, water_filling),
]


def mean_first(log_q):
    ratio = (log_q - log_q.diagonal()[:, None]).exp()
    off = ratio[~torch.eye(len(ratio), dtype=bool)]
    return -torch.stack([ratio.mean(), off.mean()]).log()


def roots(kl):
    return (2 * kl).sqrt()[:, None] + (2 * kl).sqrt()


def joint(mu, sd):
    kl = kl_of(mu, sd).sum(1)
    return (2 * (kl[:, None] + kl)).sqrt()


def bracket(mean_inside, mean_outside):
    def estimates(log_q):
        n = len(log_q)
        others = log_q.masked_fill(torch.eye(n, dtype=torch.bool), -torch.inf)
        return torch.stack([mean_inside(log_q, n), mean_outside(log_q.diagonal(), others, n)])

    return estimates


def inside(log_q, n):
    return (log_q.diagonal() - log_q.logsumexp(1) + math.log(n)).mean()


def outside(own, others, n):
    return (own - others.logsumexp(1) + math.log(n - 1)).mean()


def underflowing(log_q):
    n = len(log_q)
    q = log_q.exp()
    return torch.stack(
        [(q.diagonal() / q.mean(1)).log().mean(), (q.diagonal() * (n - 1) / (q.sum(1) - q.diagonal())).log().mean()]
    )


MISTAKES = [
    (checks.check_pair_bound, lambda mu, sd: roots(kl_of(mu, sd).sum(1) / 2), "the 2 under the root"),
    (checks.check_pair_bound, lambda mu, sd: roots(kl_of(mu, sd).mean(1)), "mean over dimensions"),
    (checks.check_pair_bound, joint, "one root"),
    (checks.check_pair_bound, lambda mu, sd: joint(mu, sd) ** 2, "without roots"),
    (checks.check_pair_bound, lambda mu, sd: roots(0.5 * (mu**2 + sd**2 - 1 - sd.log()).sum(1)), "in place of log σ²"),
    (checks.check_pair_bound, lambda mu, sd: roots(kl_of(mu, sd.sqrt()).sum(1)), "as a variance"),
    (
        checks.check_batch_bracket,
        bracket(lambda log_q, n: inside(log_q, n) - math.log(n), lambda a, b, n: outside(a, b, n) - math.log(n - 1)),
        "sums in place of means",
    ),
    (checks.check_batch_bracket, lambda log_q: batch_bracket(log_q).flip(0), "wrong order"),
    (checks.check_batch_bracket, mean_first, "ratio before the log"),
    (
        checks.check_batch_bracket,
        bracket(inside, lambda a, b, n: outside(a, b, n) + math.log(n / (n - 1))),
        "divided by B",
    ),
    (checks.check_batch_bracket, lambda log_q: batch_bracket(log_q.T), "means over the samples"),
    (checks.check_batch_bracket, underflowing, "is nan"),
    (
        checks.check_water_filling,
        lambda v, beta, noise: torch.stack([0.5 * (v / (beta * noise)).log(), v.clamp_max(beta * noise)]),
        "negative KL",
    ),
    (
        checks.check_water_filling,
        lambda v, beta, noise: water_filling(v, beta, noise) * torch.tensor([[2.0], [1.0]]),
        "factor ½",
    ),
    (checks.check_water_filling, lambda v, beta, noise: water_filling(v, 1.0, noise), "the level of β = 1"),
    (
        checks.check_water_filling,
        lambda v, beta, noise: torch.stack([water_filling(v, beta, noise)[0], 0 * v + beta * noise]),
        "as the error",
    ),
    (
        checks.check_water_filling,
        lambda v, beta, noise: water_filling(v, beta, noise) / torch.tensor([[1.0], [2 * noise]]),
        "as in a distortion",
    ),
    (checks.check_water_filling, lambda v, beta, noise: water_filling(v, beta, noise).flip(0), "error first"),
]
