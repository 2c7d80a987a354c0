"""Self-checks of chapter 11: right answers pass, wrong ones are called by their name."""

import torch

from minivae import checks


def epoch_operations(users, interactions, batch, items, hidden):
    total, done = 4 * interactions * hidden, 0
    while done < users:
        rows = min(batch, users - done)
        total += 3 * (2 * rows * hidden * items) + 12 * (2 * hidden * items)
        done += rows
    return total


def global_gradient(means, rows):
    total = torch.zeros_like(means[0])
    for mean, n in zip(means, rows.tolist(), strict=True):
        if n:
            total += n * mean
    return total / int(rows.sum())


def entropy(p):
    return -(p * p.log()).sum()


def heard_noise(decode, mu, sd, eps):
    values = []
    for u in range(len(mu)):
        p = torch.softmax(decode(mu[u]), 0)
        for e in eps[u]:
            q = torch.softmax(decode(mu[u] + sd[u] * e), 0)
            values.append(entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2)
    return sum(values) / len(values)


RIGHT = [
    (checks.check_epoch_operations, epoch_operations),
    (checks.check_global_gradient, global_gradient),
    (checks.check_heard_noise, heard_noise),
]


def kl_to_the_mean(decode, mu, sd, eps):
    at_mean, at_sample = both(decode, mu, sd, eps)
    return (at_sample * (at_sample / at_mean).log()).sum() / eps[..., 0].numel()


def kl_from_the_mean(decode, mu, sd, eps):
    at_mean, at_sample = both(decode, mu, sd, eps)
    return (at_mean * (at_mean / at_sample).log()).sum() / eps[..., 0].numel()


def both(decode, mu, sd, eps):
    return decode(mu)[:, None].softmax(-1), decode(mu[:, None] + sd[:, None] * eps).softmax(-1)


MISTAKES = [
    (checks.check_epoch_operations, lambda u, n, b, i, h: (6 * b + 24) * h * i + 4 * n * h, "one update, not an epoch"),
    (
        checks.check_epoch_operations,
        lambda u, n, b, i, h: epoch_operations(u, n, b, i, h) + ((u - 1) // b) * 4 * n * h,
        "input layer once an update",
    ),
    (checks.check_global_gradient, lambda g, n: global_gradient(g, n) / len(n), "divided by their number"),
    (checks.check_heard_noise, kl_to_the_mean, "KL.sample"),
    (checks.check_heard_noise, kl_from_the_mean, "KL.mean"),
    (checks.check_heard_noise, lambda *a: a[3][..., 0].numel() * heard_noise(*a), "the sum over users and samples"),
    (
        checks.check_epoch_operations,
        lambda u, n, b, i, h: epoch_operations(-(-u // b) * b, n, b, i, h),
        "as if it were full",
    ),
    (
        checks.check_epoch_operations,
        lambda u, n, b, i, h: 6 * u * h * i + 4 * n * h + 24 * (u // b) * h * i,
        "last update left out",
    ),
    (
        checks.check_epoch_operations,
        lambda u, n, b, i, h: 6 * u * h * i + 4 * n * h + 24 * u * h * i,
        "Adam once a user",
    ),
    (checks.check_global_gradient, lambda g, n: g[n > 0].mean(0), "the mean of means"),
    (checks.check_global_gradient, lambda g, n: n.to(g) @ g, "is nan"),
    (checks.check_global_gradient, lambda g, n: n[n > 0].to(g) @ g[n > 0], "the sum over rows"),
    (checks.check_heard_noise, lambda *a: heard_noise(*a) / torch.tensor(2.0).log(), "bits"),
    (checks.check_heard_noise, lambda *a: 2 * heard_noise(*a), "the sum of both halves"),
    (checks.check_heard_noise, lambda d, m, s, e: len(m) * heard_noise(d, m, s, e), "the sum over users of"),
]
