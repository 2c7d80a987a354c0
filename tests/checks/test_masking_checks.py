"""The self-checks of chapter 07 take what is right, and say of what is wrong what is wrong with it."""

from itertools import product

import torch

from minivae import checks


def break_even(x):
    """Pair by pair, with sets."""
    out = torch.ones(len(x), len(x), dtype=x.dtype)
    for u, v in product(range(len(x)), repeat=2):
        a, b = (set(row.nonzero()[:, 0].tolist()) for row in (x[u], x[v]))
        if a & b:
            out[u, v] = min(1.0, len(a ^ b) / len(a & b) / 2)
    return out


def item_law(x_u, x_v, keep):
    """Item by item, over the four outcomes of the two masks."""
    law = {0: 1.0}
    n = 0
    for a, b, k in zip(x_u.tolist(), x_v.tolist(), keep.tolist(), strict=True):
        n += a + b > 0
        grown = {}
        for at, p in law.items():
            for m_u, m_v in product((0, 1), repeat=2):
                step = at + (a * m_u != b * m_v)
                chance = (k if m_u else 1 - k) * (k if m_v else 1 - k)
                grown[step] = grown.get(step, 0.0) + p * chance
        law = grown
    return torch.tensor([law.get(k, 0.0) for k in range(n + 1)], dtype=torch.float64)


def ideal_answer(views, x, keep):
    """Users one by one, P(K | u) in logarithms."""
    out = []
    for view in views:
        log_p = torch.full((len(x),), float("-inf"), dtype=torch.float64)
        for u, row in enumerate(x):
            if not bool((view > row).any()):
                kept, lost = float(view.sum()), float(row.sum() - view.sum())
                log_p[u] = kept * torch.log(torch.tensor(keep)) + lost * torch.log(torch.tensor(1 - keep).double())
        p = (log_p - log_p.max()).exp()
        out.append((p[:, None] * x).sum(0) / (p[:, None] * x).sum())
    return torch.stack(out)


RIGHT = [
    (checks.check_break_even, break_even),
    (checks.check_item_law, item_law),
    (checks.check_ideal_answer, ideal_answer),
]


def common_and_different(x):
    n, s = x.sum(1), x @ x.T
    return n, s, n[:, None] + n - 2 * s


def halved(x):
    _, s, d = common_and_different(x)
    return torch.where(s > 0, d / s, 1.0).clamp_max(1)


def not_cut(x):
    _, s, d = common_and_different(x)
    return d / (2 * s)


def upside_down(x):
    _, s, d = common_and_different(x)
    return (2 * s / d).clamp_max(1)


def lengths(x):
    n, s, _ = common_and_different(x)
    return ((n[:, None] - n).abs() / (2 * s)).clamp_max(1).nan_to_num(1.0)


def jaccard(x):
    _, s, d = common_and_different(x)
    return s / (s + d)


def with_probabilities(differ):
    def law(x_u, x_v, keep):
        some, both = (x_u + x_v) > 0, (x_u * x_v) > 0
        out = torch.ones(1, dtype=torch.float64)
        for p in differ(both, keep, keep[some].mean())[some]:
            out = (1 - p) * torch.nn.functional.pad(out, (0, 1)) + p * torch.nn.functional.pad(out, (1, 0))
        return out

    return law


def weighted(log_weight, rows=lambda x: x, fits_all=False, normalise=True):
    def answer(views, x, keep):
        fits = torch.stack([(x >= v).all(1) | fits_all for v in views])
        w = torch.softmax(torch.where(fits, log_weight(x.sum(1), keep), -torch.inf), 1)
        out = w @ rows(x)
        return out / out.sum(1, keepdim=True) if normalise else out

    return answer


def log_missing(n, keep):
    return n * torch.log1p(torch.tensor(-keep, dtype=torch.float64))


def underflowing(views, x, keep):
    fits = torch.stack([(x >= v).all(1) for v in views])
    out = (fits * (1 - keep) ** x.sum(1)) @ x
    return out / out.sum(1, keepdim=True)


MISTAKES = [
    (checks.check_break_even, halved, "counts twice"),
    (checks.check_break_even, not_cut, "above 1"),
    (checks.check_break_even, upside_down, "upside down"),
    (checks.check_break_even, lengths, "in place of d"),
    (checks.check_break_even, jaccard, "Jaccard"),
    (
        checks.check_item_law,
        with_probabilities(lambda both, keep, mean: torch.where(both, 2 * mean * (1 - mean), mean)),
        "the mean over items",
    ),
    (checks.check_item_law, with_probabilities(lambda both, keep, mean: keep), "with probability ρ"),
    (
        checks.check_item_law,
        with_probabilities(lambda both, keep, mean: torch.where(both, keep * (1 - keep), keep)),
        "either of the two",
    ),
    (checks.check_item_law, with_probabilities(lambda both, keep, mean: torch.where(both, 0.0, keep)), "shared"),
    (checks.check_item_law, lambda x_u, x_v, keep: item_law(x_u, x_v, keep).flip(0), "backwards"),
    (checks.check_item_law, lambda x_u, x_v, keep: torch.nn.functional.pad(item_law(x_u, x_v, keep), (0, 1)), "shape"),
    (checks.check_ideal_answer, weighted(lambda n, keep: 0 * n), "the plain mean"),
    (checks.check_ideal_answer, weighted(log_missing, fits_all=True), "lack an item"),
    (checks.check_ideal_answer, weighted(log_missing, rows=lambda x: x / x.sum(1, keepdim=True)), "counts items"),
    (checks.check_ideal_answer, weighted(lambda n, keep: log_missing(n, 1 - keep)), "in place of"),
    (checks.check_ideal_answer, weighted(log_missing, normalise=False), "sum to 1"),
    (checks.check_ideal_answer, underflowing, "is nan"),
]
