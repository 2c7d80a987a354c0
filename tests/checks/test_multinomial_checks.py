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


def expected(logits, x):
    """ℓ of every user from a dense target."""
    return -(x.to(logits) * logits.log_softmax(1)).sum(1)


def of_zeros(logits, items, offsets):
    x = torch.zeros_like(logits)
    x[rows_of(offsets), items] = 1
    return expected(logits, x)


def of_one_hot(logits, items, offsets):
    rows = torch.nn.functional.one_hot(items, logits.shape[1])
    return expected(logits, torch.zeros(logits.shape, dtype=torch.long).index_add(0, rows_of(offsets), rows))


def of_bincount(logits, items, offsets):
    at = rows_of(offsets) * logits.shape[1] + items
    return expected(logits, torch.bincount(at, minlength=logits.numel()).view(logits.shape))


def of_sparse(logits, items, offsets):
    at, ones = torch.stack([rows_of(offsets), items]), torch.ones(len(items), dtype=logits.dtype)
    x = torch.sparse_coo_tensor(at, ones, logits.shape, check_invariants=True)
    return expected(logits, x.to_dense())


DENSE = [of_zeros, of_one_hot, of_bincount, of_sparse]


def of_softmax(logits, items, offsets):
    """Every logarithm is made, which takes more than is needed but no target."""
    taken = logits.log_softmax(1)[rows_of(offsets), items]
    return -logits.new_zeros(len(logits)).index_add(0, rows_of(offsets), taken)


def of_members(logits, items, offsets):
    """Users × entries of the lists, and the row of its user for every entry."""
    at = torch.arange(len(items))
    mine = (at >= offsets[:-1, None]) & (at < offsets[1:, None])
    rows = logits[mine.long().argmax(0)]
    each = rows.logsumexp(1) - rows.gather(1, items[:, None])[:, 0]
    return torch.where(mine, each, 0).sum(1)


def of_rows(logits, items, offsets):
    """The softmax of each user alone, put together again."""
    log_pi = torch.stack([row.log_softmax(0) for row in logits])
    return -logits.new_zeros(len(logits)).index_add(0, rows_of(offsets), log_pi[rows_of(offsets), items])


def of_parts(logits, items, offsets):
    log_pi = torch.cat([part.log_softmax(1) for part in logits.split(2)])
    return -logits.new_zeros(len(logits)).index_add(0, rows_of(offsets), log_pi[rows_of(offsets), items])


def test_lists_without_a_dense_target_are_right_whatever_the_way():
    for answer in (of_softmax, of_members, of_rows, of_parts):
        for seed in range(20):
            checks.check_nll_of_lists(answer, seed)


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
    *((checks.check_nll_of_lists, answer, "makes a dense target, 6 × 61") for answer in DENSE),
    (checks.check_importance_bound, lambda w: w.mean(0), "the ELBO"),
    (checks.check_importance_bound, lambda w: w.logsumexp(0), "divide by the number of draws"),
    (checks.check_importance_bound, lambda w: w.amax(0), "the largest draw"),
    (checks.check_importance_bound, lambda w: w.exp().mean(0).log(), "is -inf, expected"),
]
