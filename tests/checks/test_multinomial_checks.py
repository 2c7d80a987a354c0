"""The self-checks of chapter 02; the right answers come from torch.distributions and from loops."""

import math

import torch
from torch.distributions import Multinomial, Normal, kl_divergence

from minivae import checks


def kl_to_prior(mu, sd, s):
    return kl_divergence(Normal(mu, sd), Normal(torch.zeros_like(mu), s)).sum(1)


def nll_of_lists(logits, items, offsets):
    out = []
    for u in range(len(logits)):
        x = torch.zeros(logits.shape[1], dtype=logits.dtype)
        x[items[offsets[u] : offsets[u + 1]]] = 1
        n = int(x.sum())
        out.append(math.lgamma(n + 1) - Multinomial(n, logits=logits[u]).log_prob(x) if n else torch.tensor(0.0))
    return torch.stack([torch.as_tensor(v, dtype=logits.dtype) for v in out])


def importance_bound(log_w):
    columns = []
    for column in log_w.T.tolist():
        top = max(column)
        columns.append(top + math.log(math.fsum(math.exp(v - top) for v in column) / len(column)))
    return torch.tensor(columns, dtype=log_w.dtype)


RIGHT = [
    (checks.check_kl_to_prior, kl_to_prior),
    (checks.check_nll_of_lists, nll_of_lists),
    (checks.check_importance_bound, importance_bound),
]


def rows_of(offsets):
    return torch.repeat_interleave(torch.arange(len(offsets) - 1), offsets.diff())


def taken(logits, items, offsets):
    return logits.new_zeros(len(logits)).index_add(0, rows_of(offsets), logits[rows_of(offsets), items])


MISTAKES = [
    (checks.check_kl_to_prior, lambda m, sd, s: 2 * kl_to_prior(m, sd, s), "where is the ½"),
    (checks.check_kl_to_prior, lambda m, sd, s: kl_to_prior(m, sd, 1.0), "standard deviation s"),
    (
        checks.check_kl_to_prior,
        lambda m, sd, s: kl_divergence(Normal(torch.zeros_like(m), s), Normal(m, sd)).sum(1),
        "the order matters",
    ),
    (checks.check_kl_to_prior, lambda m, sd, s: kl_to_prior(m, sd.sqrt(), s), "where the variance belongs"),
    (checks.check_kl_to_prior, lambda m, sd, s: kl_to_prior(m, sd, s**0.5), "where its square belongs"),
    (checks.check_kl_to_prior, lambda m, sd, s: kl_to_prior(m, sd, s) / 3, "mean over dimensions"),
    (
        checks.check_nll_of_lists,
        lambda f, i, o: nll_of_lists(f, i, o) / o.diff().clamp_min(1),
        "mean over a user's items",
    ),
    (checks.check_nll_of_lists, lambda f, i, o: f.logsumexp(1) - taken(f, i, o), "one logsumexp a user"),
    (checks.check_nll_of_lists, lambda f, i, o: -nll_of_lists(f, i, o), "negative is asked for"),
    (checks.check_nll_of_lists, lambda f, i, o: nll_of_lists(f, i, o).sum(), "the sum over all users"),
    (checks.check_nll_of_lists, lambda f, i, o: o.diff() * f.exp().sum(1).log() - taken(f, i, o), "expected"),
    (checks.check_importance_bound, lambda w: w.mean(0), "the ELBO"),
    (checks.check_importance_bound, lambda w: w.logsumexp(0), "divide by the number of draws"),
    (checks.check_importance_bound, lambda w: w.amax(0), "the largest draw"),
    (checks.check_importance_bound, lambda w: w.exp().mean(0).log(), "is -inf, expected"),
]
