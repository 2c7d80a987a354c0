"""Self-checks of chapter 12: the effect of a step, the score against retraining, what is not common to all."""

from collections.abc import Callable
from itertools import combinations

import torch
from scipy.stats import spearmanr
from torch import Tensor

from minivae.checks.comparison import Compared, self_check


@self_check
def check_predicted_change(fn: Callable[[Tensor, float], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 12, exercise 1: ``fn(G, eta)`` gives ``−η⟨g_u, g_v⟩``, (U, U), from the gradients (U, P)."""
    G = torch.randn(5, 9, generator=generator, dtype=torch.float64)
    eta = float(0.1 + torch.rand(1, generator=generator, dtype=torch.float64))
    inner = torch.stack([torch.stack([(a * b).sum() for b in G]) for a in G])
    length = G.square().sum(1).sqrt()
    wrong = {
        "how much the loss falls; asked is its change, which is negative where v helps": eta * inner,
        "inner products without the length of the step": -inner,
        "cosines: a long gradient changes a loss more than a short one": -eta * inner / length[:, None] / length,
    }
    return Compared(fn(G, eta), -eta * inner, wrong)


@self_check
def check_lds_score(fn: Callable[[Tensor, Tensor, Tensor], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 12, exercise 2: ``fn(scores, subsets, losses)`` gives the score of each receiver, (R,).

    ``Spearman_k(Σ_{v∈D_k} scores[u, v], −losses[k, u])``.
    """
    scores = torch.randn(4, 12, generator=generator, dtype=torch.float64)
    halves = torch.tensor([*combinations(range(12), 6)])  # (924, 6)
    drawn = halves[torch.randperm(len(halves), generator=generator)[:9]]  # no two alike: equal sums differ by rounding
    subsets = torch.zeros(9, 12, dtype=torch.bool).scatter(1, drawn, True)
    noise = torch.randn(9, 4, generator=generator, dtype=torch.float64)
    losses = (-(subsets.double() @ scores.T) + 2 * noise).exp()  # a curve, so that ranks are not values
    want, straight = [], []
    for u in range(4):
        sums = torch.stack([scores[u][members].sum() for members in subsets])
        ranks = spearmanr(sums.numpy(), -losses[:, u].numpy())
        want.append(float(ranks.statistic))  # pyright: ignore[reportAttributeAccessIssue]  (SciPy hides its class)
        straight.append(float(torch.corrcoef(torch.stack([sums, -losses[:, u]]))[0, 1]))
    right = torch.tensor(want, dtype=torch.float64)
    wrong = {
        "the correlation with the loss itself: less loss is better, so its sign has to be turned": -right,
        "the correlation of the values; ranks are asked for": torch.tensor(straight, dtype=torch.float64),
        "the mean over the receivers; one number for each of them is asked for": right.mean(),
    }
    return Compared(fn(scores, subsets, losses), right, wrong)


@self_check
def check_personal_part(fn: Callable[[Tensor], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 12, exercise 3: ``fn(values)`` standardises the rows of (R, K), then takes off each column's mean."""
    values = 3 + torch.randn(5, 8, generator=generator, dtype=torch.float64) * torch.arange(1.0, 6.0).double()[:, None]
    rows = []
    for row in values:
        centred = row - row.sum() / 8
        rows.append(centred / (centred.square().sum() / 8).sqrt())
    standard = torch.stack(rows)
    wrong = {
        "rows that are standardised; what is common to all receivers is still in them": standard,
        "columns without their mean; receivers with large losses outweigh the others": values - values.mean(0),
        "spreads with K − 1; divide by K": (standard - standard.mean(0)) * (7 / 8) ** 0.5,
    }
    return Compared(fn(values), standard - standard.mean(0), wrong)
