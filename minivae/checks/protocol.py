"""Self-checks of chapter 01: Recall over users, ties, and how many users an experiment needs."""

from collections.abc import Callable

import torch
from torch import Tensor

from minivae.checks.comparison import Compared, self_check


@self_check
def check_mean_recall(fn: Callable[[Tensor, Tensor, int], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 01, exercise 1: ``fn(hits, n_heldout, k)`` gives the mean Recall@k, a scalar.

    ``hits`` (U, K) says at each rank whether the item is held out; users with ``n_heldout`` = 0 do not count.
    """
    n_users, k, n_ranks = 9, 4, 10
    n_heldout = torch.randint(1, 9, (n_users,), generator=generator)
    n_heldout[:3] = torch.tensor([0, k - 2, k + 3])
    places = torch.rand(n_users, 30, generator=generator).argsort(1)[
        :, :n_ranks
    ]  # ranks of 30 items, the first n hidden
    hits = places < n_heldout[:, None]
    hits[1], hits[2] = False, True
    hits[1, : k - 2] = True  # everything found
    found, counts = hits[:, :k].sum(1).double(), n_heldout > 0

    def mean(denominator: Tensor | int) -> Tensor:
        return (found[counts] / denominator).mean()

    n = n_heldout[counts]
    best = n.clamp_max(k)
    wrong = {
        "Recall with denominator n: with more than k held-out items no user can reach 1": mean(n),
        "the share of the k places that are hits (precision): the denominator is min(k, n)": mean(k),
        "a mean in which users without held-out items count as 0": mean(best) * counts.double().mean(),
        "all hits of all users over all denominators: take each user's share first, then the mean": found.sum()
        / best.sum(),
        "Recall at the last rank given: cut the ranking at k": (hits[counts].sum(1).double() / best).mean(),
    }
    return Compared(fn(hits, n_heldout, k), mean(best), wrong, atol=1e-6)


@self_check
def check_fair_ndcg(fn: Callable[[Tensor, Tensor, int], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 01, exercise 2: ``fn(scores, heldout, k)``: the mean of nDCG@k over all orders of the ties, a scalar.

    ``scores`` (I,) with many equal values, ``heldout`` (I,) zeros and ones.
    """
    n_items, k = 12, 5
    scores = torch.randint(0, 4, (n_items,), generator=generator).double()
    scores[:3] = scores.max()  # a tie at the top, and below one that reaches over the cut
    heldout = torch.zeros(n_items, dtype=torch.float64)
    heldout[torch.randperm(n_items, generator=generator)[:4]] = 1
    heldout[:3] = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)  # the columns are neither lucky nor unlucky
    heldout[(scores < scores.max()).nonzero()[0, 0]] = 1
    gain = 1 / torch.log2(torch.arange(n_items, dtype=torch.float64) + 2)
    gain[k:] = 0
    best = gain[: int(heldout.sum())].sum()
    groups = [scores == s for s in scores.unique().flip(0)]
    sizes = torch.tensor([int(g.sum()) for g in groups])
    hidden = torch.stack([heldout[g].sum() for g in groups])
    ends = sizes.cumsum(0)
    means = torch.stack([gain[e - s : e].mean() for s, e in zip(sizes, ends, strict=True)])
    middle = ends - (sizes - 1) / 2  # mean rank of a group, counted from 1
    at_middle = torch.where(middle <= k, 1 / torch.log2(middle.double() + 1), 0)

    def broken(preference: Tensor) -> Tensor:
        order = preference.argsort(descending=True, stable=True)
        order = order[scores[order].argsort(descending=True, stable=True)]
        return (gain * heldout[order]).sum() / best

    wrong = {
        "the luckiest order of the ties": broken(heldout),
        "the unluckiest order of the ties": broken(-heldout),
        "one order of the ties, that of the columns": broken(-torch.arange(n_items, dtype=torch.float64)),
        "the gain of the mean rank, not the mean of the gains": (hidden * at_middle).sum() / best,
        "the sum of the gains: divide by the best sum possible": (hidden * means).sum(),
    }
    return Compared(fn(scores, heldout, k), (hidden * means).sum() / best, wrong)


@self_check
def check_users_needed(fn: Callable[[Tensor, float], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 01, exercise 3: ``fn(differences, smallest)`` gives the number of users, a scalar, not rounded.

    So many users show a true difference `smallest` with probability .8 in a two-sided test of 5 %:
    ``((z_.975 + z_.8) sd / smallest)²``, normal approximation, sd with n − 1.
    """
    d = 0.02 + 0.1 * torch.randn(40, generator=generator, dtype=torch.float64)
    smallest = 0.005
    level, power = torch.special.ndtri(torch.tensor([0.975, 0.8], dtype=torch.float64))
    one_sided = torch.special.ndtri(torch.tensor(0.95, dtype=torch.float64))
    variance = d.var() / smallest**2
    want = (level + power).square() * variance
    wrong = {
        "the number without the power: half of such experiments would miss the difference": level.square() * variance,
        "the number of a one-sided test": (one_sided + power).square() * variance,
        "the root of the number": want.sqrt(),
        "the number with the variance divided by n: take n − 1": want * (len(d) - 1) / len(d),
        "the number with the mean square: subtract the mean first": (level + power).square()
        * d.square().mean()
        / smallest**2,
    }
    return Compared(fn(d, smallest), want, wrong)
