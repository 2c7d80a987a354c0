"""When two users merge under β-KL: the threshold against the objective itself, by quadrature."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from minivae import InputError
from minivae.theory.merging import merging_threshold

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(20)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def pair(n_u, n_v, common):
    x = np.zeros((2, n_u + n_v - common))
    x[0, :n_u] = 1
    x[1, n_u - common :] = 1
    return x


def change(x, beta, w, positions):
    """Objective of a decoder b + z w at the given means, least over the spreads, minus that of the merged state."""
    pooled = x.sum(0) / x.sum()
    total = 0.0
    for row, mu in zip(x, positions, strict=True):

        def cost(log_sd, row=row, mu=mu):
            sd = np.exp(log_sd[0])
            logits = np.log(pooled) + (mu + sd * NODES)[:, None] * w
            fit = row.sum() * np.log(np.exp(logits).sum(1)) - logits @ row
            return WEIGHTS @ fit + beta * 0.5 * (mu**2 + sd**2 - 1 - 2 * np.log(sd))

        total += minimize(cost, [0.0], method="BFGS", tol=1e-14).fun
    return total - (-(x @ np.log(pooled))).sum()


def gain(x, beta, size=0.01):
    """Change along the theorem's direction, each user at its best mean for it to first order."""
    p = x / x.sum(1, keepdims=True)
    pooled = x.sum(0) / x.sum()
    w = size * (p[0] - p[1]) / pooled
    a = x @ w - x.sum(1) * (pooled @ w)
    return change(x, beta, w, a / beta)


def test_the_merged_state_loses_its_hold_at_the_threshold():
    for sizes in [(5, 80, 4), (10, 30, 9), (20, 20, 10), (3, 3, 0)]:
        x = pair(*sizes)
        beta = float(merging_threshold(*x))
        assert gain(x, 0.97 * beta) < 0  # apart is better
        assert gain(x, 1.03 * beta) > 0
        for twin in (beta * sum(sizes[:2]) / (2 * max(sizes[:2])), 2 * beta):  # equal N assumed; a factor of two
            if abs(twin / beta - 1) > 0.05:
                assert (gain(x, 0.97 * twin) < 0) != (gain(x, 1.03 * twin) > 0)


def test_no_direction_gains_above_the_threshold():
    x = pair(6, 14, 3)
    beta = 1.03 * float(merging_threshold(*x))
    rng = np.random.default_rng(0)
    for _ in range(6):
        w = 0.01 * rng.standard_normal(x.shape[1])
        a = x @ w - x.sum(1) * (x.sum(0) @ w / x.sum())
        assert change(x, beta, w, a / beta) > 0


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 50), st.integers(0, 50))
def test_equal_numbers_merge_up_to_twice_beta(n, common):
    common = min(common, n)
    differ = 2 * (n - common)
    assert merging_threshold(*pair(n, n, common)) == pytest.approx(differ / 2)


def test_unequal_numbers_by_hand():
    """N = 1 and 3: p = (1, 0) and (1/3, 2/3), m = (1/2, 1/2), so 2 · 9 / 64 · 2 (2/3)² / (1/2) = 1/2."""
    assert merging_threshold([1.0, 0.0, 0.0], [1.0, 2.0, 0.0]) == pytest.approx(0.5)
    many = merging_threshold(np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([1.0, 2.0]))
    assert many.tolist() == pytest.approx([0.5, 2 * 36 / 125 * ((1 / 6) ** 2 / (2 / 5) + (1 / 6) ** 2 / (3 / 5))])


def test_symmetry_scale_and_bad_input():
    x = pair(5, 30, 4)
    assert merging_threshold(*x) == pytest.approx(merging_threshold(*x[::-1]))
    assert merging_threshold(*(3 * x)) == pytest.approx(3 * merging_threshold(*x))
    assert merging_threshold(x[0], x[0]) == 0
    with pytest.raises(InputError, match="at least one interaction"):
        merging_threshold([0.0, 0.0], [1.0, 0.0])


@pytest.mark.parametrize(
    ("x_u", "x_v", "says"),
    [
        ([[1.0, 0.0], [0.0, 0.0]], [1.0, 0.0], "at least one interaction"),  # one user of several is enough
        ([1.0, 0.0], [[1.0, 0.0], [0.0, 0.0]], "at least one interaction"),
        ([2.0, -1.0], [1.0, 0.0], "no count may be negative"),
        ([1.0, 0.0], [2.0, -1.0], "no count may be negative"),
        ([1.0, 0.0], [1.0, 0.0, 0.0], "do not fit"),
        ([1.0, np.nan], [1.0, 0.0], "x_u holds NaN"),
        ([1.0, 0.0], [1.0, np.inf], "x_v holds NaN or infinity"),
    ],
)
def test_counts_that_cannot_be_are_one_sentence(x_u, x_v, says):
    with pytest.raises(InputError, match=says):
        merging_threshold(x_u, x_v)
