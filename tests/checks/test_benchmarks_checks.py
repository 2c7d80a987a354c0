"""Self-checks of chapter 09: right answers pass, wrong ones are called by their name."""

import math

import pytest
import torch

from minivae import checks


def needed_correlation(difference, se_a, se_b):
    low, high = -50.0, 50.0  # the paired error falls as r grows: bisect
    for _ in range(200):
        r = (low + high) / 2
        variance = se_a**2 + se_b**2 - 2 * r * se_a * se_b
        low, high = (r, high) if 4 * variance > difference**2 else (low, r)
    return (low + high) / 2


def holm(p):
    out, so_far = torch.zeros_like(p), 0.0
    left = sorted(range(len(p)), key=lambda k: float(p[k]))
    for done, k in enumerate(left):
        so_far = max(so_far, (len(p) - done) * float(p[k]))
        out[k] = min(so_far, 1.0)
    return out


def expected_test(validation, test, budget):
    n, total = len(test), 0.0
    for k, j in enumerate(sorted(range(n), key=lambda j: -float(validation[j]))):
        total += math.comb(n - k - 1, budget - 1) / math.comb(n, budget) * float(test[j])
    return torch.tensor(total, dtype=test.dtype)


RIGHT = [
    (checks.check_needed_correlation, needed_correlation),
    (checks.check_holm, holm),
    (checks.check_expected_test, expected_test),
]


def no_maximum(p):
    order = p.argsort()
    product = torch.arange(len(p), 0, -1) * p[order]
    return torch.empty_like(p).scatter(0, order, product.clamp(max=1))


def false_discovery_rate(p):
    order, k = p.argsort(), len(p)
    product = k * p[order] / torch.arange(1, k + 1)
    return torch.empty_like(p).scatter(0, order, product.flip(0).cummin(0).values.flip(0).clamp(max=1))


def not_clamped(p):
    order = p.argsort()
    product = torch.arange(len(p), 0, -1) * p[order]
    return torch.empty_like(p).scatter(0, order, product.cummax(0).values)


def with_replacement(validation, test, budget):
    order, n, total = validation.argsort(), len(test), 0.0
    for k, j in enumerate(order.tolist()):  # k trials are below: all draws among k + 1, but not all among k
        total += (((k + 1) / n) ** budget - (k / n) ** budget) * float(test[j])
    return total


MISTAKES = [
    (checks.check_needed_correlation, lambda d, a, b: 2 * needed_correlation(d, a, b), "twice too large"),
    (checks.check_needed_correlation, lambda d, a, b: (a * a + b * b - d / 2) / (2 * a * b), "variance of the diff"),
    (checks.check_holm, false_discovery_rate, "false discovery rate"),
    (checks.check_holm, not_clamped, "values above 1"),
    (checks.check_expected_test, with_replacement, "with replacement"),
    (checks.check_needed_correlation, lambda d, a, b: needed_correlation(2 * d, a, b), "one standard error"),
    (checks.check_needed_correlation, lambda d, a, b: -needed_correlation(d, a, b), "sign"),
    (checks.check_needed_correlation, lambda d, a, b: max(needed_correlation(d, a, b), -1.0), "cut off at"),
    (checks.check_needed_correlation, lambda d, a, b: min(needed_correlation(d, a, b), 1.0), "cut off at"),
    (checks.check_holm, lambda p: (len(p) * p).clamp(max=1), "Bonferroni"),
    (checks.check_holm, lambda p: holm(p).sort().values, "sorted order"),
    (checks.check_holm, no_maximum, "may fall"),
    (checks.check_expected_test, lambda v, t, b: t[v.argmax()], "whatever the budget"),
    (checks.check_expected_test, lambda v, t, b: t.mean(), "the mean test score"),
    (checks.check_expected_test, lambda v, t, b: expected_test(t, t, b), "the expected best test score"),
    (checks.check_expected_test, lambda v, t, b: expected_test(v, v, b), "the expected validation score"),
]


def test_no_draw_is_in_order_by_chance():
    for seed in range(100):
        with pytest.raises(AssertionError, match="sorted order"):
            checks.check_holm(lambda p: holm(p).sort().values, seed)
