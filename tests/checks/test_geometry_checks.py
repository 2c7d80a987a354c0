"""The self-checks of chapter 03 take what is right, and say of what is wrong what is wrong with it."""

from itertools import pairwise

import numpy as np
import torch
from scipy import integrate, optimize, special

from minivae import checks


def all_distances(mu, sd):
    """Entry by entry, as the transport cost of common noise."""
    out = torch.zeros(len(mu), len(mu), dtype=mu.dtype)
    for u in range(len(mu)):
        for v in range(len(mu)):
            squares = sum(float(a - b) ** 2 for t in (mu, sd) for a, b in zip(t[u], t[v], strict=True))
            out[u, v] = squares**0.5
    return out


def middle(mu, sd, w):
    """By numerical minimisation of the weighted squared distances."""
    q, weight = np.concatenate([mu.numpy(), sd.numpy()], 1), w.numpy()
    cost = lambda r: (weight @ ((q - r) ** 2).sum(1), 2 * weight @ (r - q))  # noqa: E731
    best = optimize.minimize(cost, q[0], jac=True, method="BFGS", options={"gtol": 1e-12}).x
    return torch.from_numpy(best.reshape(2, -1))


def lower_bound(mu_u, sd_u, mu_v, sd_v, along):
    """The projections' W1 by integrating the difference of their distribution functions."""
    best = []
    for q in zip(mu_u.numpy(), sd_u.numpy(), mu_v.numpy(), sd_v.numpy(), strict=True):
        found = []
        for t in along.numpy().T:
            (m, s), (n, r) = [(t @ m, np.sqrt(t**2 @ s**2)) for m, s in (q[:2], q[2:])]
            cuts = sorted({m - 12 * s, m + 12 * s, n - 12 * r, n + 12 * r, (m * r - n * s) / (r - s)})
            gap = lambda x, m=m, s=s, n=n, r=r: abs(special.ndtr((x - m) / s) - special.ndtr((x - n) / r))  # noqa: E731
            parts = [integrate.quad(gap, *ends, epsabs=1e-12, limit=200)[0] for ends in pairwise(cuts)]
            found.append(sum(parts))
        best.append(max(found))
    return torch.tensor(best, dtype=torch.float64)


RIGHT = [
    (checks.check_all_distances, all_distances),
    (checks.check_middle, middle),
    (checks.check_lower_bound, lower_bound),
]


def moments(mu, sd, w):
    """Mean and spread of the mixture."""
    share = (w / w.sum())[:, None]
    mean = (share * mu).sum(0)
    return torch.stack([mean, (share * (sd**2 + (mu - mean) ** 2)).sum(0).sqrt()])


def averaged_variances(mu, sd, w):
    return torch.stack([(w @ mu) / w.sum(), ((w @ sd**2) / w.sum()).sqrt()])


def product(mu, sd, w):
    precision = (w @ sd**-2) / w.sum()
    return torch.stack([(w @ (mu * sd**-2)) / w.sum() / precision, precision**-0.5])


def projected(mu_u, sd_u, mu_v, sd_v, along):
    return [((a - b) @ along, (s**2 @ along**2) ** 0.5) for a, b, s in ((mu_u, mu_v, sd_u), (mu_u, mu_v, sd_v))]


def folded(m, s):
    return s * (2 / np.pi) ** 0.5 * torch.exp(-((m / s) ** 2) / 2) + m * torch.erf(m / s / 2**0.5)


def each_direction(*q):
    (m, s), (_, r) = projected(*q)
    return folded(m, (s - r).abs())


def linear_spreads(mu_u, sd_u, mu_v, sd_v, along):
    return folded((mu_u - mu_v) @ along, ((sd_u @ along).abs() - (sd_v @ along).abs()).abs()).amax(1)


MISTAKES = [
    (checks.check_all_distances, lambda m, s: all_distances(m, s) ** 2, "the squared distance"),
    (checks.check_all_distances, lambda m, s: torch.cdist(m, m), "means alone"),
    (checks.check_all_distances, lambda m, s: all_distances(m, s**2), "variances where spreads"),
    (checks.check_all_distances, lambda m, s: torch.cdist(m, m) + torch.cdist(s, s), "sum of both"),
    (checks.check_middle, lambda m, s, w: torch.stack([w @ m, w @ s]), "divide by the sum"),
    (checks.check_middle, lambda m, s, w: torch.stack([m.mean(0), s.mean(0)]), "without the weights"),
    (checks.check_middle, averaged_variances, "averaged variances"),
    (checks.check_middle, moments, "the mixture's moments"),
    (checks.check_middle, product, "product of the densities"),
    (checks.check_lower_bound, lambda *q: each_direction(*q).mean(1), "sliced W1"),
    (checks.check_lower_bound, lambda *q: each_direction(*q).amin(1), "the smallest"),
    (checks.check_lower_bound, linear_spreads, "projected like means"),
    (checks.check_lower_bound, lambda *q: projected(*q)[0][0].abs().amax(1), "the means alone"),
]
