"""The linear datamodeling score: against a linear world where the truth is known, and against SciPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from minivae import InputError
from minivae.explain import ceiling, halves, lds
from minivae.explain.datamodel import lds_of_sums, personal


def world(seed=0, n_receivers=12, n_users=30, n_subsets=25):
    """Losses that are exactly linear in who took part: ``loss_u(D) = c_u − Σ_{v∈D} A(u, v)``."""
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal((n_receivers, n_users))
    subsets = halves(n_users, n_subsets, seed)
    losses = 10 * rng.standard_normal(n_receivers) - subsets @ truth.T
    return truth, subsets, losses


def check_perfect(scores_of):
    """A score that says the truth has LDS 1 for every user, with an interval of no width."""
    for seed in range(3):
        truth, subsets, losses = world(seed)
        result = lds(scores_of(truth), subsets, losses, n_bootstrap=20)
        np.testing.assert_allclose(result.per_user, 1)
        np.testing.assert_allclose((result.mean, result.low, result.high), 1)


def test_the_truth_of_a_linear_world_scores_one():
    check_perfect(lambda truth: truth)


def test_scale_shift_and_a_constant_per_user_do_not_matter():
    """Halves have equal sizes, so a constant added to a user's row is the same in every sum."""
    check_perfect(lambda truth: 3 * truth + np.arange(len(truth))[:, None])


@pytest.mark.parametrize(
    "twin",
    [
        lambda truth: -truth,
        lambda truth: np.roll(truth, 1, axis=0),  # the scores of somebody else
        lambda truth: np.roll(truth, 1, axis=1),  # the helpers mixed up
        lambda truth: np.abs(truth),
    ],
)
def test_other_scores_do_not(twin):
    with pytest.raises(AssertionError):
        check_perfect(twin)


def test_the_sign_is_that_of_help():
    truth, subsets, losses = world()
    np.testing.assert_allclose(lds(-truth, subsets, losses, n_bootstrap=0).per_user, -1)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_per_user_it_is_scipys_spearman(seed):
    rng = np.random.default_rng(seed)
    scores, subsets = rng.integers(0, 3, (4, 9)), halves(9, 7, seed)  # with ties
    losses = rng.integers(0, 4, (7, 4)).astype(float) + np.linspace(0, 0.1, 7)[:, None]
    got = lds(scores, subsets, losses, n_bootstrap=0).per_user
    for u in range(4):
        predicted = subsets @ scores[u]
        if np.ptp(predicted) == 0:
            assert got[u] == 0
        else:
            assert got[u] == pytest.approx(spearmanr(predicted, -losses[:, u]).statistic)


def test_scores_without_a_bearing_are_near_chance():
    """Independent scores: the mean over users has a standard error of 1/sqrt((K−1) R)."""
    truth, subsets, losses = world(1, n_receivers=400, n_subsets=40)
    random = np.random.default_rng(9).standard_normal(truth.shape)
    result = lds(random, subsets, losses, n_bootstrap=100)
    assert abs(result.mean) < 4 / np.sqrt(39 * 400)
    assert result.low < 0 < result.high


def test_noise_lowers_score_and_ceiling_alike():
    """With noise in the losses the truth reaches about the square root of what a second run reaches."""
    truth, subsets, losses = world(2, n_receivers=300, n_subsets=60)
    rng = np.random.default_rng(3)
    a, b = (losses + rng.standard_normal(losses.shape) * losses.std(0) for _ in range(2))
    best, again = lds(truth, subsets, a, 0).mean, ceiling(a, b, 0).mean
    assert 0.3 < again < best < 1
    assert best**2 == pytest.approx(again, abs=0.05)


def test_halves_are_halves():
    subsets = halves(11, 400, seed=2)
    assert (subsets.sum(1) == 5).all()
    share = subsets.mean(0)
    assert np.abs(share - 5 / 11).max() < 4.5 * np.sqrt(5 / 11 * 6 / 11 / 400)
    assert (halves(11, 400, seed=2) == subsets).all()
    with pytest.raises(InputError, match="n_users=1 is not possible"):
        halves(1, 10)


def test_what_is_personal_has_no_common_part():
    common = np.random.default_rng(0).standard_normal(20)
    own = np.random.default_rng(1).standard_normal((50, 20))
    left = personal(own + 30 * common)
    np.testing.assert_allclose(left.mean(0), 0, atol=1e-12)
    before, after = (np.corrcoef(t)[np.triu_indices(50, 1)].mean() for t in (own + 30 * common, left))
    assert before > 0.9
    assert abs(after) < 0.1


def test_bad_input_is_one_sentence():
    truth, subsets, losses = world()
    for wrong in ((truth[:-1], subsets, losses), (truth, subsets[:2], losses[:2]), (truth, subsets[:, 1:], losses)):
        with pytest.raises(InputError, match="do not fit"):
            lds(*wrong)
    assert lds(truth, subsets[:3], losses[:3], 0).per_user.shape == (12,)  # three subsets have an order
    with pytest.raises(InputError, match="NaN"):
        lds(truth, subsets, np.full_like(losses, np.nan))


def test_what_is_not_given_is_as_the_documentation_says():
    """300 draws of the bootstrap, seed 0: the interval of a report is that of the same call with both written out."""
    truth, subsets, losses = world(4)
    noise = truth + 3 * np.random.default_rng(0).standard_normal(truth.shape)
    again = losses + np.random.default_rng(1).standard_normal(losses.shape)
    sums = noise @ subsets.T
    for short, full in (
        (lds(noise, subsets, losses), lds(noise, subsets, losses, 300, 0)),
        (lds_of_sums(sums, losses), lds_of_sums(sums, losses, 300, 0)),
        (ceiling(losses, again), ceiling(losses, again, 300, 0)),
    ):
        assert (short.low, short.mean, short.high) == (full.low, full.mean, full.high)
        assert short.low < short.mean < short.high


@pytest.mark.parametrize(
    "call",
    [
        lambda: lds(np.ones(3), np.ones((4, 3), bool), np.ones((4, 1))),
        lambda: lds(np.ones((1, 3)), np.ones((4, 3), bool), np.ones(4)),
        lambda: ceiling(np.ones((4, 3)), np.ones((3, 3))),
        lambda: ceiling(np.ones(4), np.ones(4)),
        lambda: ceiling(np.ones((0, 3)), np.ones((0, 3))),
    ],
)
def test_tables_of_other_shapes_are_refused(call):
    with pytest.raises(InputError, match="do not fit"):
        call()
