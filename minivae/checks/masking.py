"""Self-checks of chapter 07: break-even of a pair, a mask for each item, the best answer to a view."""

from collections.abc import Callable

import torch
from torch import Tensor

from minivae.checks.comparison import Compared, self_check


@self_check
def check_break_even(fn: Callable[[Tensor], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 07, exercise 1: ``fn(x)`` gives the ρ below which each pair contracts on average, (U, I) -> (U, U).

    It is ``min(1, d / 2s)``, and 1 for pairs without a common item; no row of ``x`` is empty.
    """
    x = (torch.rand(7, 12, generator=generator) < 0.5).double()
    x[:, 0] = 1  # no empty row
    x[0] = torch.arange(12) < 2
    x[1] = torch.arange(12) >= 2  # nothing in common with the first
    x[2], x[3] = torch.arange(12) < 11, torch.arange(12) < 9  # near-duplicates
    s = torch.minimum(x[:, None], x).sum(-1)
    d = (x[:, None] - x).abs().sum(-1)
    n = x.sum(1)
    want = torch.where(s > 0, d / (2 * s), torch.inf).clamp_max(1)
    wrong = {
        "d / s: a common item counts twice, once for each mask": torch.where(s > 0, d / s, torch.inf).clamp_max(1),
        "|N_u − N_v| in place of d": torch.where(s > 0, (n[:, None] - n).abs() / (2 * s), torch.inf).clamp_max(1),
        "the Jaccard index, not the break-even": s / (s + d),
        "values above 1, which are no probabilities": torch.where(s > 0, d / (2 * s), torch.inf),
        "2s / d, upside down": torch.where(d > 0, 2 * s / d, torch.inf).clamp_max(1),
    }
    return Compared(fn(x), want, wrong)


@self_check
def check_item_law(fn: Callable[[Tensor, Tensor, Tensor], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 07, exercise 2: ``fn(x_u, x_v, keep)`` gives the law of ``D_h`` with a ``keep`` of its own per item.

    ``x_u``, ``x_v`` and ``keep`` are (I,); the law is (n+1,), n the items that one of the two has at least.
    """
    x_u, x_v = (torch.rand(2, 14, generator=generator) < 0.6).double()
    x_u[:4], x_v[:4] = torch.tensor([1.0, 1.0, 0.0, 0.0]), torch.tensor([1.0, 0.0, 1.0, 0.0])
    keep = 0.05 + 0.9 * torch.rand(14, generator=generator, dtype=torch.float64)
    some, both = (x_u + x_v) > 0, (x_u * x_v) > 0

    def law(q: Tensor) -> Tensor:
        """From its characteristic function, not by convolution."""
        n = len(q)
        angle = 2j * torch.pi * torch.arange(n + 1, dtype=torch.float64) / (n + 1)
        return torch.fft.fft((1 + q * (angle.exp()[:, None] - 1)).prod(1)).real / (n + 1)

    mean = keep[some].mean().expand_as(keep)
    wrong = {
        "with one keep, the mean over items": law(torch.where(both, 2 * mean * (1 - mean), mean)[some]),
        "with a common item that differs with probability ρ": law(keep[some]),
        "with ρ(1−ρ) for a common item: either of the two may be the one who loses it": law(
            torch.where(both, keep * (1 - keep), keep)[some]
        ),
        "for one shared mask": law(torch.where(both, 0.0, keep)[some]),
        "backwards, the law of n − D_h": law(torch.where(both, 2 * keep * (1 - keep), keep)[some]).flip(0),
    }
    want = law(torch.where(both, 2 * keep * (1 - keep), keep)[some])
    return Compared(fn(x_u, x_v, keep), want, wrong)


@self_check
def check_ideal_answer(fn: Callable[[Tensor, Tensor, float], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 07, exercise 3: ``fn(views, x, keep)`` gives the best answer π* to every view, (B, I).

    ``π*_i ∝ Σ_u (1−ρ)^{N_u} x_ui`` over the users who have all items of the view. Histories are long enough that
    ``(1−ρ)^{N_u}`` is zero in floating point.
    """
    x = (torch.rand(6, 900, generator=generator) < 0.5).double()
    x[1] = x[0]
    x[1, x[0].nonzero()[:3, 0]] = 0  # three items less than the first: both may own a view
    x[2] = torch.maximum(x[0], x[2])
    views = x[[0, 1, 1, 3, 4]] * (torch.rand(5, 900, generator=generator) < 0.05)
    views[4] = 0  # a view that is empty fits every user
    keep = 0.9  # 0.1 to the power of 450 is zero

    fits = torch.stack([(x >= view).all(1) for view in views])  # (B, U)
    n = x.sum(1)

    def answer(weight: Tensor, rows: Tensor) -> Tensor:
        mixture = weight @ rows
        return mixture / mixture.sum(1, keepdim=True)

    smallest = torch.where(fits, n, torch.inf).amin(1, keepdim=True)  # a common factor cancels
    weight = fits * (1 - keep) ** (n - smallest).clamp_min(0)
    want = answer(weight, x)
    wrong = {
        "the plain mean over the users who fit: weigh them with (1−ρ)^N": answer(fits.double(), x),
        "the mixture over all users, also those who lack an item of the view": answer(
            ((1 - keep) ** (n - n.min())).expand(len(views), -1), x
        ),
        "a mean of the users' shares x/N: the loss counts items": answer(weight, x / n[:, None]),
        "weights ρ^N in place of (1−ρ)^N": answer(fits * keep ** (n - n.min()), x),
        "a mixture that does not sum to 1 over items": weight / weight.sum(1, keepdim=True) @ x,
    }
    return Compared(fn(views, x, keep), want, wrong)
