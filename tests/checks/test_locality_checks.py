"""The self-checks of chapter 05b take what is right, and say of what is wrong what is wrong with it."""

import numpy as np
import torch
from scipy import stats

from minivae import checks


def gaussian_gap(t_u, t_v, a, b):
    """Three least costs, the common optimum found by solving for it: a (η − T_u) + b (η − T_v) = 0."""
    eta = (a[:, None] * t_u + b[:, None] * t_v) / (a + b)[:, None]
    cost = lambda weight, t, at: weight * (0.5 * at.square().sum(1) - (at * t).sum(1))  # noqa: E731
    return cost(a, t_u, eta) + cost(b, t_v, eta) - cost(a, t_u, t_u) - cost(b, t_v, t_v)


def entropy(p):
    return float(stats.entropy(np.asarray(p)))


def crowd_gap(x, q):
    """Entropy of the mixture minus the mean entropy, of multinomials that are uniform on their items."""
    n = x.sum(1)
    w = q * n
    m = sum(float(weight) * row.numpy() / float(count) for weight, row, count in zip(w, x, n, strict=True))
    apart = sum(float(weight) * np.log(float(count)) for weight, count in zip(w, n, strict=True))
    return torch.tensor(float(w.sum()) * entropy(m / m.sum()) - apart)


def sampled_gap(mu, sd, x, eps):
    """Sample after sample, densities by scipy."""
    n = x.sum(1).numpy()
    p = x.numpy() / n[:, None]
    q = [stats.multivariate_normal(m, np.diag(s**2)) for m, s in zip(mu.numpy(), sd.numpy(), strict=True)]
    total = 0.0
    for k in range(2):
        each = []
        for noise in eps[k].numpy():
            z = mu[k].numpy() + sd[k].numpy() * noise
            w = np.array([q[j].pdf(z) * n[j] for j in range(2)])
            w /= w.sum()
            each.append(entropy(w @ p) - w @ np.log(n))
        total += n[k] * np.mean(each)
    return torch.tensor(total)


RIGHT = [
    (checks.check_gaussian_gap, gaussian_gap),
    (checks.check_crowd_gap, crowd_gap),
    (checks.check_sampled_gap, sampled_gap),
]


def mixture(weight, x):
    p = x / x.sum(1, keepdim=True)
    return (weight[:, None] * p).sum(0) / weight.sum()


def cost(weight, x, m):
    """Sum of w KL(p_u || m), p_u uniform on the items of u."""
    n = x.sum(1)
    surprise = torch.where(x > 0, -torch.log(torch.where(m > 0, m, 1)), 0).sum(1) / n
    return (weight * (surprise - n.log())).sum()


def uncounted(mu, sd, x, eps):
    p = x / x.sum(1, keepdim=True)
    law = torch.distributions.Independent(torch.distributions.Normal(mu, sd), 1)
    z = mu[:, None] + sd[:, None] * eps
    w = torch.softmax(torch.stack([law.log_prob(t) for t in z.flatten(0, 1)]), 1)  # (2 S, 2)
    h = [entropy(row @ p) - float(row @ x.sum(1).log()) for row in w]
    return torch.tensor(np.mean(h) * 2)


MISTAKES = [
    (checks.check_gaussian_gap, lambda t, s, a, b: 2 * gaussian_gap(t, s, a, b), "a factor ½"),
    (checks.check_gaussian_gap, lambda t, s, a, b: (t - s).square().sum(1) / 4, "equal densities"),
    (checks.check_gaussian_gap, lambda t, s, a, b: gaussian_gap(t, s, a, b) / (a + b), "without the weight"),
    (checks.check_gaussian_gap, lambda t, s, a, b: a * b * (t - s).square().sum(1) / 2, "divide by a"),
    (
        checks.check_gaussian_gap,
        lambda t, s, a, b: a * b / (a + b) / 2 * (t - s).square().sum(1).sqrt(),
        "without the square",
    ),
    (checks.check_crowd_gap, lambda x, q: cost(q, x, mixture(q, x)), "without N_u"),
    (checks.check_crowd_gap, lambda x, q: cost(q * x.sum(1), x, mixture(torch.ones_like(q), x)), "plain mean"),
    (checks.check_crowd_gap, lambda x, q: cost(q * x.sum(1), x, mixture(q, x)), "weighted by q_u, not"),
    (checks.check_crowd_gap, lambda x, q: crowd_gap(x, q) / (x.sum(1) @ q), "the divergence alone"),
    (checks.check_sampled_gap, lambda m, s, x, e: sampled_gap(m, s, x, e.flip(0)), "exchanged"),
    (checks.check_sampled_gap, lambda m, s, x, e: sampled_gap(m, s, x, e) / 2, "added, not averaged"),
    (checks.check_sampled_gap, lambda m, s, x, e: sampled_gap(m, s, x, e) * e.shape[1], "not their mean"),
    (checks.check_sampled_gap, lambda m, s, x, e: sampled_gap(m, s, x, e) / np.log(2), "in bits"),
    (checks.check_sampled_gap, uncounted, "one item each"),
]
