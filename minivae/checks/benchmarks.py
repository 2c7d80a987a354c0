"""Self-checks of chapter 09: paired errors from a table, many comparisons, the budget of a search."""

from collections.abc import Callable
from itertools import combinations

import torch
from torch import Tensor

from minivae.checks.comparison import Compared, self_check


@self_check
def check_needed_correlation(
    fn: Callable[[float, float, float], float], generator: torch.Generator
) -> tuple[Compared, ...]:
    """Chapter 09, exercise 1: ``fn(difference, se_a, se_b)`` gives r at which the difference is two paired errors."""
    # from the answer to the question: r is drawn, the difference follows
    r, a, b = (torch.rand(3, generator=generator, dtype=torch.float64) * 0.8 + 0.1).unbind()
    a, b = a / 100, b / 100 + 0.001
    # told apart if the users are so much alike; always; never (of unequal errors, else no difference is so small)
    return tuple(_needed(fn, *case) for case in ((r, a, b), (-1 - r, a, b), (1 + r, a, 4 * a)))


def _needed(fn: Callable[[float, float, float], float], r: Tensor, a: Tensor, b: Tensor) -> Compared:
    variance = a**2 + b**2 - 2 * r * a * b
    difference = 2 * variance.sqrt()
    wrong = {
        "the correlation at one standard error": (a**2 + b**2 - difference**2) / (2 * a * b),
        "the correlation with the sign turned": -r,
        "a result twice too large: the formula has 2 r se_a se_b": 2 * r,
        "one from the variance of the difference, not its square root": (a**2 + b**2 - difference / 2) / (2 * a * b),
        "a result cut off at −1 and 1: it may lie beyond them": r.clamp(-1, 1),
    }
    return Compared(fn(float(difference), float(a), float(b)), r, wrong)


@self_check
def check_holm(fn: Callable[[Tensor], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 09, exercise 2: ``fn(p)`` gives Holm's corrected p-values, (K,) -> (K,)."""
    p = torch.rand(7, generator=generator, dtype=torch.float64) * 0.04
    p[3] = p[0] * 1.01  # so close that the larger one would get the smaller product
    p[2], p[5] = 0.9, 0.8  # twice the smaller one is above 1; smaller values follow, so that the order is to be seen
    k = len(p)
    # corrected value = the largest product over all p-values that are not above it
    rank = (p[:, None] > p).sum(1)
    product = (k - rank) * p
    want = torch.stack([product[p <= value].max().clamp(max=1) for value in p])
    wrong = {
        "Bonferroni: all times K": (k * p).clamp(max=1),
        "products that may fall: take the largest so far": product.clamp(max=1),
        "values above 1": torch.stack([product[p <= value].max() for value in p]),
        "the corrected values in sorted order, not in the order given": want.sort().values,
        "the false discovery rate of Benjamini and Hochberg": torch.stack(
            [(k * p / (rank + 1))[p >= value].min().clamp(max=1) for value in p]
        ),
    }
    return Compared(fn(p.clone()), want, wrong)


@self_check
def check_expected_test(fn: Callable[[Tensor, Tensor, int], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 09, exercise 3: ``fn(validation, test, budget)`` gives the expected test score of the chosen trial."""
    n, budget = 8, int(torch.randint(2, 6, (), generator=generator))
    validation = torch.rand(n, generator=generator, dtype=torch.float64)
    test = validation + 0.3 * torch.randn(n, generator=generator, dtype=torch.float64)
    subsets = torch.tensor(list(combinations(range(n), budget)))  # all of them, equally likely
    chosen = subsets.gather(1, validation[subsets].argmax(1, keepdim=True))[:, 0]
    best = validation.argsort(descending=True)
    # with replacement: rank k (0 first) is the best of `budget` draws
    below = (torch.arange(n, 0, -1, dtype=torch.float64) / n) ** budget
    wrong = {
        "the expected best test score: the choice is made on validation": test[subsets].max(1).values.mean(),
        "the expected validation score of the choice": validation[chosen].mean(),
        "draws with replacement": ((below - torch.cat([below[1:], below.new_zeros(1)])) * test[best]).sum(),
        "the choice among all trials, whatever the budget": test[best[0]],
        "the mean test score of the trials": test.mean(),
    }
    return Compared(fn(validation, test, budget), test[chosen].mean(), wrong)
