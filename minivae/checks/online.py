"""Self-checks of chapter 10: the click model, clicks from before, and when one may stop."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from minivae.checks.comparison import Compared, self_check
from minivae.online import Outcome, analyse, boundary


@self_check
def check_click_probability(fn: Callable[[Tensor, float, float], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 10, exercise 1: ``fn(a, go_on, after_click)`` gives P(click at rank r) of one visit, (B, K)."""
    a = 0.1 + 0.8 * torch.rand(4, 6, generator=generator, dtype=torch.float64)
    go_on, after_click = (0.2 + 0.7 * torch.rand(2, generator=generator, dtype=torch.float64)).tolist()

    def walk(go_on: float, after_click: float) -> Tensor:
        looks, out = torch.ones(4, dtype=a.dtype), torch.empty_like(a)
        for rank in range(6):
            out[:, rank] = looks * a[:, rank]
            looks = looks * go_on * (1 - a[:, rank] + a[:, rank] * after_click)
        return out

    want = walk(go_on, after_click)
    wrong = {
        "the probability of a look, not of a click": want / a,
        "a pure position bias: after a click people go on less often": walk(go_on, 1.0),
        "the cascade, in which a click ends the visit": walk(go_on, 0.0),
        "looks that are one rank late: the first item is always looked at": want * go_on * (1 - a + a * after_click),
    }
    return Compared(fn(a, go_on, after_click), want, wrong)


@self_check
def check_cuped(fn: Callable[[Tensor, Tensor, Tensor], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 10, exercise 2: ``fn(clicks, before, treated)`` gives (difference, standard error), (2,)."""
    before = torch.rand(40, generator=generator, dtype=torch.float64)
    treated = torch.arange(40) % 3 == 0
    before[treated] += 0.5  # an unlucky draw, so that it matters where θ is centred
    clicks = 2 * before + torch.randn(40, generator=generator, dtype=torch.float64) + 3 * treated
    shown = np.ones(40)
    outcome = Outcome(treated.numpy(), shown.astype(int), shown, clicks.numpy(), before.numpy())

    def result(cuped: bool) -> Tensor:
        effect = analyse(outcome, "clicks", cuped=cuped)
        return torch.tensor([effect.difference, effect.se], dtype=torch.float64)

    def with_theta(theta: Tensor) -> Tensor:
        arms = [(clicks - theta * before)[arm] for arm in (~treated, treated)]
        spread = torch.stack([arm.var() / len(arm) for arm in arms]).sum()
        return torch.stack([arms[1].mean() - arms[0].mean(), spread.sqrt()])

    want, plain = result(True), result(False)
    b, c = before - before.mean(), clicks - clicks.mean()
    opposite = plain - (want - plain)
    wrong = {
        "the plain difference: nothing was taken away": plain,
        "a θ centred over all persons: the effect itself leaks into it": with_theta((b @ c) / (b @ b)),
        "a θ of wrong sign": torch.stack([opposite[0], with_theta(-_theta(clicks, before, treated))[1]]),
        "an adjusted error of a difference that was not adjusted": torch.stack([plain[0], want[1]]),
        "the sum of the two standard errors, not the root of the sum of squares": torch.stack(
            [want[0], _summed(clicks - _theta(clicks, before, treated) * before, treated)]
        ),
    }
    return Compared(fn(clicks, before, treated), want, wrong)


def _theta(clicks: Tensor, before: Tensor, treated: Tensor) -> Tensor:
    """Least squares within arms."""
    b, c = (v - torch.where(treated, v[treated].mean(), v[~treated].mean()) for v in (before, clicks))
    return (b @ c) / (b @ b)


def _summed(value: Tensor, treated: Tensor) -> Tensor:
    return torch.stack([(value[arm].var() / arm.sum()).sqrt() for arm in (~treated, treated)]).sum()


@self_check
def check_first_success(fn: Callable[[Tensor, Tensor, float], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 10, exercise 3: ``fn(difference, se, scale)`` gives the first look beyond the boundary, or −1, (R,)."""
    days = torch.arange(1, 31, dtype=torch.float64)
    drift = torch.linspace(-1.2, 1.2, 25, dtype=torch.float64)
    walk = (drift[:, None] + torch.randn(25, 30, generator=generator, dtype=torch.float64)).cumsum(1)
    difference, se = walk / days, (days**-0.5).expand(25, 30).clone()  # (25, 30)
    # Two experiments whose answers are known whatever the draw: nothing ever happens; it happens at once, once.
    difference[12], difference[13] = 0, 0
    difference[13, 4] = 9 * se[13, 4]
    scale = 0.5
    z = difference / se

    def first(limit: Tensor) -> Tensor:
        beyond = z.abs() > limit
        return torch.where(beyond.any(1), beyond.int().argmax(1), -1).to(z)

    limit = torch.from_numpy(boundary(se.numpy(), scale))
    want = first(limit)
    wrong = {
        "the first look beyond ±1.96, which is peeking": first(torch.full_like(z, 1.959964)),
        "0 where the interval never excludes 0; that should be −1": want.clamp_min(0),
        "the number of the look, counted from 1": torch.where(want >= 0, want + 1, want),
        "successes of the treatment only: an interval below 0 excludes 0 too": first(
            torch.where(z > 0, limit, torch.inf)
        ),
    }
    return Compared(fn(difference, se, scale), want, wrong)
