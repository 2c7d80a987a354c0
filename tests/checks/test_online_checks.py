"""The self-checks of chapter 10 take what is right, and say of what is wrong what is wrong with it."""

import math

import torch

from minivae import checks


def click_probability(a, go_on, after_click):
    """Over all ways in which a visit can go, one rank after the other."""

    def ways(row, rank):
        """Probability of a look at `rank`, from every pattern of clicks before."""
        total = 0.0
        for pattern in range(2**rank):
            p = 1.0
            for r in range(rank):
                clicked = pattern >> r & 1
                p *= row[r] * go_on * after_click if clicked else (1 - row[r]) * go_on
            total += p
        return total

    rows = [[ways(row, r) * row[r] for r in range(len(row))] for row in a.tolist()]
    return torch.tensor(rows, dtype=a.dtype)


def cuped(clicks, before, treated):
    """By a regression on arm and clicks before: its slope is θ."""
    design = torch.stack([torch.ones_like(clicks), treated.to(clicks), before], 1)
    theta = torch.linalg.lstsq(design, clicks).solution[2]
    left = clicks - theta * before
    a, b = left[~treated], left[treated]
    return torch.stack([b.mean() - a.mean(), (a.var() / len(a) + b.var() / len(b)).sqrt()])


def first_success(difference, se, scale):
    """By the averaged likelihood ratio itself."""
    out = []
    for d, s in zip(difference.tolist(), se.tolist(), strict=True):
        log_ratios = [
            -0.5 * math.log(1 + scale**2 / b**2) + 0.5 * (a / b) ** 2 / (1 + b**2 / scale**2)
            for a, b in zip(d, s, strict=True)
        ]
        out.append(next((k for k, v in enumerate(log_ratios) if v > math.log(20)), -1))
    return torch.tensor(out)


RIGHT = [
    (checks.check_click_probability, click_probability),
    (checks.check_cuped, cuped),
    (checks.check_first_success, first_success),
]


def plain(clicks, treated):
    a, b = clicks[~treated], clicks[treated]
    return torch.stack([b.mean() - a.mean(), (a.var() / len(a) + b.var() / len(b)).sqrt()])


def centred_over_all(clicks, before, treated):
    b, c = before - before.mean(), clicks - clicks.mean()
    left = clicks - (b @ c) / (b @ b) * b
    a, t = left[~treated], left[treated]
    return torch.stack([t.mean() - a.mean(), (a.var() / len(a) + t.var() / len(t)).sqrt()])


def wrong_sign(clicks, before, treated):
    theta = (clicks - residual(clicks, before, treated)) @ before / (before @ before)  # clicks − residual = θ · before
    return plain(clicks + theta * before, treated)


def residual(clicks, before, treated):
    design = torch.stack([torch.ones_like(clicks), treated.to(clicks), before], 1)
    return clicks - torch.linalg.lstsq(design, clicks).solution[2] * before


def summed_errors(clicks, before, treated):
    left = residual(clicks, before, treated)
    errors = [left[arm].std() / arm.sum().sqrt() for arm in (~treated, treated)]
    return torch.stack([plain(left, treated)[0], errors[0] + errors[1]])


def peeking(difference, se, scale):
    beyond = difference.abs() > 1.959964 * se
    return torch.where(beyond.any(1), beyond.int().argmax(1), -1)


MISTAKES = [
    (checks.check_click_probability, lambda a, g, c: click_probability(a, g, c) / a, "of a look"),
    (checks.check_click_probability, lambda a, g, c: click_probability(a, g, 1.0), "pure position bias"),
    (checks.check_click_probability, lambda a, g, c: click_probability(a, g, 0.0), "the cascade"),
    (checks.check_click_probability, lambda a, g, c: a * (g * (1 - a + a * c)).cumprod(1), "one rank late"),
    (checks.check_cuped, lambda c, b, t: plain(c, t), "the plain difference"),
    (checks.check_cuped, wrong_sign, "wrong sign"),
    (checks.check_cuped, centred_over_all, "centred over all"),
    (checks.check_cuped, summed_errors, "the sum of the two standard errors"),
    (checks.check_cuped, lambda c, b, t: torch.stack([plain(c, t)[0], cuped(c, b, t)[1]]), "was not adjusted"),
    (checks.check_first_success, peeking, "peeking"),
    (checks.check_first_success, lambda *x: first_success(*x).clamp_min(0), "should be −1"),
    (
        checks.check_first_success,
        lambda *x: torch.where(first_success(*x) >= 0, first_success(*x) + 1, -1),
        "counted from 1",
    ),
    (checks.check_first_success, lambda d, se, s: first_success(d.clamp_min(0), se, s), "treatment only"),
]
