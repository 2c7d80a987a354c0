"""The self-checks of chapter 01; the right answers are found by loops, by trying every order, and by simulation."""

import math
from itertools import permutations
from statistics import NormalDist, stdev

import pytest
import torch

from minivae import checks


def mean_recall(hits, n_heldout, k):
    shares = [sum(row[:k]) / min(k, n) for row, n in zip(hits.tolist(), n_heldout.tolist(), strict=True) if n > 0]
    return sum(shares) / len(shares)


def ndcg_of_order(order, heldout, k):
    gained = sum(heldout[i] / math.log2(r + 2) for r, i in enumerate(order[:k]))
    return gained / sum(1 / math.log2(r + 2) for r in range(min(k, int(sum(heldout)))))


def fair_ndcg(scores, heldout, k):
    """Item by item: the mean gain of the ranks that its tie may take."""
    scores, heldout = scores.tolist(), heldout.tolist()
    gained = 0.0
    for s, h in zip(scores, heldout, strict=True):
        first = 1 + sum(other > s for other in scores)
        ranks = range(first, first + scores.count(s))
        gained += h * sum(1 / math.log2(r + 1) for r in ranks if r <= k) / len(ranks)
    return gained / sum(1 / math.log2(r + 1) for r in range(1, min(k, int(sum(heldout))) + 1))


def users_needed(differences, smallest):
    z = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(0.8)
    return (z * stdev(differences.tolist()) / smallest) ** 2


RIGHT = [
    (checks.check_mean_recall, mean_recall),
    (checks.check_fair_ndcg, fair_ndcg),
    (checks.check_users_needed, users_needed),
]


def first_column_first(scores, heldout, k):
    return ndcg_of_order(sorted(range(len(scores)), key=lambda i: -float(scores[i])), heldout.tolist(), k)


def lucky(scores, heldout, k):
    best = sorted(range(len(scores)), key=lambda i: (-float(scores[i]), -float(heldout[i])))
    return ndcg_of_order(best, heldout.tolist(), k)


def unlucky(scores, heldout, k):
    worst = sorted(range(len(scores)), key=lambda i: (-float(scores[i]), float(heldout[i])))
    return ndcg_of_order(worst, heldout.tolist(), k)


def gain_of_mean_rank(scores, heldout, k):
    gained = 0.0
    for s, h in zip(scores.tolist(), heldout.tolist(), strict=True):
        rank = 1 + float((scores > s).sum()) + (float((scores == s).sum()) - 1) / 2
        gained += h / math.log2(rank + 1) if rank <= k else 0.0
    return gained / sum(1 / math.log2(r + 1) for r in range(1, min(k, int(heldout.sum())) + 1))


def share_of_found(hits, n, k, denominator):
    some = n > 0
    return (hits[some, :k].sum(1) / denominator(n[some], k)).mean()


MISTAKES = [
    (checks.check_mean_recall, lambda h, n, k: share_of_found(h, n, k, lambda n, k: n), "with denominator n"),
    (checks.check_mean_recall, lambda h, n, k: share_of_found(h, n, k, lambda n, k: k), "precision"),
    (
        checks.check_mean_recall,
        lambda h, n, k: (h[:, :k].sum(1) / n.clamp(1, k)).mean(),
        "without held-out items count as 0",
    ),
    (
        checks.check_mean_recall,
        lambda h, n, k: h[n > 0, :k].sum() / n[n > 0].clamp(max=k).sum(),
        "all hits of all users",
    ),
    (checks.check_mean_recall, lambda h, n, k: (h[n > 0].sum(1) / n[n > 0].clamp(max=k)).mean(), "cut the ranking"),
    (checks.check_fair_ndcg, lucky, "luckiest"),
    (checks.check_fair_ndcg, unlucky, "unluckiest"),
    (checks.check_fair_ndcg, first_column_first, "that of the columns"),
    (checks.check_fair_ndcg, gain_of_mean_rank, "gain of the mean rank"),
    (
        checks.check_fair_ndcg,
        lambda s, h, k: fair_ndcg(s, h, k) * sum(1 / math.log2(r + 2) for r in range(min(k, int(h.sum())))),
        "divide by the best sum",
    ),
    (checks.check_users_needed, lambda d, m: (1.9599639845400545 * d.std() / m) ** 2, "without the power"),
    (
        checks.check_users_needed,
        lambda d, m: ((NormalDist().inv_cdf(0.95) + NormalDist().inv_cdf(0.8)) * d.std() / m) ** 2,
        "one-sided",
    ),
    (checks.check_users_needed, lambda d, m: math.sqrt(users_needed(d, m)), "root"),
    (checks.check_users_needed, lambda d, m: users_needed(d, m) * (len(d) - 1) / len(d), "n − 1"),
    (
        checks.check_users_needed,
        lambda d, m: users_needed(d, m) / d.var() * d.square().mean(),
        "subtract the mean first",
    ),
]


def test_the_fair_ndcg_is_the_mean_over_all_orders():
    """Every permutation of the columns, ranked with ties in column order."""
    scores, heldout = torch.tensor([1.0, 2, 2, 1, 2, 0]), torch.tensor([1.0, 0, 1, 0, 0, 1])
    for k in (1, 2, 4, 6):
        marks = []
        for columns in permutations(range(6)):
            order = sorted(columns, key=lambda i: -float(scores[i]))
            marks.append(ndcg_of_order(order, heldout.tolist(), k))
        assert fair_ndcg(scores, heldout, k) == pytest.approx(sum(marks) / len(marks))


def test_so_many_users_find_the_difference_in_four_of_five_experiments():
    generator = torch.Generator().manual_seed(0)
    pilot = 0.1 * torch.randn(4000, generator=generator, dtype=torch.float64)
    n = math.ceil(users_needed(pilot, 0.02))
    runs = 4000
    d = 0.02 + pilot.std() * torch.randn(runs, n, generator=generator, dtype=torch.float64)
    found = (d.mean(1).abs() > NormalDist().inv_cdf(0.975) * d.std(1) / n**0.5).double().mean()
    # the t distribution is a little wider than the normal one: half a percent at this n
    assert abs(float(found) - 0.8) < 4 * math.sqrt(0.8 * 0.2 / runs) + 0.005
