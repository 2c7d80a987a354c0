"""The estimates of an experiment worked by hand, and the seams between its parts."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
from scipy import stats

from minivae import InputError
from minivae.online import (
    Audience,
    Behaviour,
    Effect,
    Experiment,
    Outcome,
    Shelf,
    achieved_power,
    analyse,
    rehearse,
    sample_size,
    simulate,
)
from minivae.online.effects import boundary
from minivae.online.rehearsal import Rehearsal

# Two persons in control with 1 of 2 and 3 of 6 clicks, three treated with 2 of 4, 1 of 4 and 3 of 4.
OUTCOME = Outcome(
    treated=np.array([False, True, True, False, True]),
    day=np.array([1, 1, 2, 2, 3]),
    shown=np.array([2, 4, 4, 6, 4]),
    clicks=np.array([1, 2, 1, 3, 3]),
    before=np.array([0, 2, 1, 4, 3]),
)


def test_clicks_by_hand():
    e = analyse(OUTCOME, "clicks")
    assert (e.control, e.treatment, e.n) == (2, 2, (2, 3))
    assert e.variances == pytest.approx((2 / 2, 1 / 3))
    assert e.se == pytest.approx(math.sqrt(4 / 3))
    assert (e.difference, e.p) == (0, 1)


def test_rates_by_person_by_hand():
    e = analyse(OUTCOME, "ctr per user")
    assert (e.control, e.treatment) == pytest.approx((0.5, 0.5))
    assert e.variances == pytest.approx((0, 0.0625 / 3))  # rates ½, ½ and ½, ¼, ¾


def test_rates_by_impression_by_hand():
    """Parts (c − R n) / mean n: in control (1 − 1, 3 − 3) / 4; treated (2 − 2, 1 − 2, 3 − 2) / 4."""
    e = analyse(OUTCOME, "ctr per impression")
    assert (e.control, e.treatment) == pytest.approx((4 / 8, 6 / 12))
    assert e.variances == pytest.approx((0, (1 / 16) / 3))


def test_what_persons_differ_by_anyway_is_taken_away_by_hand():
    """θ = Σ (x − x̄)(c − c̄) / Σ (x − x̄)² within arms = (4 + 1) / (8 + 2) with x̄ = 2 in both and over all."""
    e = analyse(OUTCOME, "clicks", cuped=True)
    theta = (2 * 1 + 2 * 1 + (0 * 0 + -1 * -1 + 1 * 1)) / (8 + 2)
    assert (e.control, e.treatment) == pytest.approx((2, 2))
    control, treated = (
        np.array([-1, 1]) - theta * np.array([-2, 2]),
        np.array([0, -1, 1]) - theta * np.array([0, -1, 1]),
    )
    assert e.variances == pytest.approx((control.var(ddof=1) / 2, treated.var(ddof=1) / 3))
    more = Outcome(OUTCOME.treated, OUTCOME.day, OUTCOME.shown, OUTCOME.clicks, np.array([0, 5, 4, 4, 6]))
    shifted = analyse(more, "clicks", cuped=True)
    overall, theta = 19 / 5, (4 + (-1 * -1 + 1 * 1)) / (8 + 2)
    assert shifted.control == pytest.approx(2 - theta * (2 - overall))
    assert shifted.treatment == pytest.approx(2 - theta * (5 - overall))


def test_nothing_is_taken_away_where_persons_of_an_arm_do_not_differ():
    """Before the experiment 1 in control, 3 in treatment: no slope can be seen within an arm, and none is made up."""
    flat = Outcome(OUTCOME.treated, OUTCOME.day, OUTCOME.shown, OUTCOME.clicks, np.array([1, 3, 3, 1, 3]))
    plain, adjusted = analyse(OUTCOME, "clicks"), analyse(flat, "clicks", cuped=True)
    assert (adjusted.control, adjusted.treatment) == (plain.control, plain.treatment)
    assert adjusted.variances == plain.variances


def test_one_impression_is_a_rate():
    one = Outcome(np.array([False, False, True, True]), np.ones(4, int), np.array([1, 0, 1, 0]), np.array([1, 0, 0, 0]))
    e = analyse(one, "ctr per impression")
    assert (e.control, e.treatment) == (1, 0)
    e = analyse(one, "ctr per user")
    assert (e.control, e.treatment) == (0.5, 0)


def test_intervals_and_lift_by_hand():
    e = Effect("clicks", 2.0, 3.0, (0.09, 0.16), (10, 10))
    z = stats.norm.ppf(0.95)
    assert e.interval(0.9) == pytest.approx((1 - 0.5 * z, 1 + 0.5 * z))
    assert e.p == pytest.approx(2 * stats.norm.sf(2))
    half = z * math.sqrt(0.09 / 4 + 0.16 / 9)
    assert e.lift(0.9) == pytest.approx((0.5, 1.5 * math.exp(-half) - 1, 1.5 * math.exp(half) - 1))
    third = Effect("clicks", 3.0, 4.0, (0.09, 0.16), (10, 10)).lift(0.9)
    assert math.log((1 + third[2]) / (1 + third[0])) == pytest.approx(z * math.sqrt(0.09 / 9 + 0.16 / 16))
    width = 0.5 * math.sqrt((1 + 0.25 / 4) * math.log((1 + 4 / 0.25) / 0.1**2))
    assert e.always_valid(2.0, 0.9) == pytest.approx((1 - width, 1 + width))
    assert float(boundary(0.5, 2.0, 0.9)) == pytest.approx(2 * width)
    assert (e.interval(), e.lift(), e.always_valid(2.0)) == (e.interval(0.95), e.lift(0.95), e.always_valid(2.0, 0.95))
    assert float(boundary(0.5, 2.0)) == float(boundary(0.5, 2.0, 0.95))


def test_the_evening_of_a_day_knows_that_day():
    known = OUTCOME.until(2)
    assert known.clicks.tolist() == [1, 2, 1, 3]
    assert known.before is not None
    assert known.before.tolist() == [0, 2, 1, 4]


def test_misses_are_counted_at_the_last_look_and_at_any():
    """Three repetitions of two looks, se 1: only the first look of the first one and both of the second are out."""
    r = Rehearsal(np.array([[2.0, 1.0], [-2.5, 2.0], [0.0, 1.9]]), np.ones((3, 2)))
    share = lambda p: (p, math.sqrt(p * (1 - p) / 3))  # noqa: E731
    assert r.fixed() == pytest.approx(share(1 / 3))
    assert r.peeking() == pytest.approx(share(2 / 3))
    assert r.peeking(truth=1.0) == pytest.approx(share(1 / 3))
    assert r.fixed(level=0.5, truth=1.9) == pytest.approx(share(1 / 3))
    assert r.always_valid(1.0)[0] == 0
    once = Rehearsal(np.array([[9.0, 0.0], [0.0, 0.0]]), np.ones((2, 2)))
    assert once.always_valid(1.0) == pytest.approx((0.5, math.sqrt(0.25 / 2)))  # one look out is enough


def test_a_confidence_is_between_0_and_1():
    for level in [0.0, 1.0, 1.5, math.nan]:
        with pytest.raises(InputError, match="between 0 and 1, both excluded"):
            boundary(0.5, 2.0, level)


def test_results_with_arrays_are_one_line_and_equal_only_to_themselves():
    assert repr(OUTCOME) == "Outcome()"
    assert "array" not in repr(Rehearsal(np.ones((1, 2)), np.ones((1, 2))))
    people = crowd(3)
    assert people == people
    assert people != crowd(3)  # and comparing them is no error
    audience = Audience(np.arange(2), sp.csr_matrix(np.eye(2)), np.zeros((2, 2)))
    assert audience == audience
    assert audience != Audience(np.arange(2), sp.csr_matrix(np.eye(2)), np.zeros((2, 2)))
    assert all("array" not in repr(thing) and "<" in repr(thing) for thing in (people, audience))


def crowd(n):
    appeal = np.sort(np.random.default_rng(0).random((n, 30)), 1)[:, ::-1].copy()
    return Shelf(np.arange(n), np.tile(np.arange(30), (n, 1)), appeal)


def test_a_rehearsal_is_of_the_experiment_that_was_given():
    """Each row is the experiment with its own salt and seed, looked at every evening."""
    people, plan = crowd(60), Experiment(days=2, share=0.4, salt="x", seed=5)
    found = rehearse(people, people, plan, Behaviour(slots=3), 2, "clicks")
    assert found.difference.shape == (2, 2)
    for r in range(2):
        outcome = simulate(people, people, Experiment(days=2, share=0.4, salt=f"x/{r}", seed=5 + r), Behaviour(slots=3))
        for day in (1, 2):
            effect = analyse(outcome.until(day), "clicks")
            assert found.difference[r, day - 1] == effect.difference
            assert found.se[r, day - 1] == effect.se


def test_a_rehearsal_gives_each_arm_its_own_list():
    """The treatment's list has nothing that appeals: every difference is what the control's clicks are."""
    people = crowd(60)
    nothing = Shelf(people.labels, people.items, np.zeros_like(people.appeal))
    found = rehearse(people, nothing, Experiment(days=1), Behaviour(slots=3), 2, "clicks")
    assert (found.difference < 0).all()


def test_what_was_done_before_are_clicks_not_impressions():
    people = crowd(60)
    unmoved = Behaviour(slots=3, outside=1e15, mood=0)  # they look, and click nothing
    outcome = simulate(people, people, Experiment(before=2), unmoved)
    assert outcome.shown.min() > 0
    assert outcome.before.tolist() == [0] * 60


def test_each_arm_has_its_own_spread_and_its_own_size():
    """By hand: with spreads 1 and 3, a quarter of the persons treated, z = Φ⁻¹(.975) + Φ⁻¹(.8) = 2.8016."""
    z = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    total = (z / 0.5) ** 2 * (1 / 0.75 + 9 / 0.25)
    asked = sample_size(2.0, 2.5, sd=(1.0, 3.0), share=0.25)
    assert asked == (math.ceil(0.75 * total), math.ceil(0.25 * total))
    away = 0.5 / math.sqrt(1 / 100 + 9 / 400)
    power = stats.norm.sf(1.959963984540054 - away) + stats.norm.cdf(-1.959963984540054 - away)
    assert achieved_power(2.0, 2.5, (100, 400), (1.0, 3.0)) == pytest.approx(power, rel=1e-9)


def test_some_people_of_a_shelf_keep_what_is_theirs():
    people = crowd(5)
    some = people[np.array([3, 1])]
    assert some.labels.tolist() == [3, 1]
    assert len(some) == 2
    np.testing.assert_array_equal(some.appeal, people.appeal[[3, 1]])
    np.testing.assert_array_equal(some.items, people.items[[3, 1]])


def test_tastes_are_shares_over_new_items_however_large_the_preferences_are():
    history = sp.csr_matrix(np.array([[0, 0, 1], [0, 0, 0]]))
    audience = Audience(
        np.arange(2), history, np.array([[1000.0, 1000.0 + math.log(3), 5000.0], [0.0, 0.0, math.log(2)]])
    )
    np.testing.assert_allclose(audience.taste, [[0.25, 0.75, 0], [0.25, 0.25, 0.5]])


def test_people_and_experiments_of_which_nothing_is_said_stay_as_they_are():
    """Stored results and the chapter were made with these: another default is another simulation."""
    usual = Behaviour()
    assert (usual.slots, usual.visits, usual.loyalty, usual.mood) == (10, 5.0, 1.0, 1.5)
    assert (usual.go_on, usual.after_click, usual.outside) == (0.85, 0.5, 0.5)
    plan = Experiment()
    assert (plan.days, plan.share, plan.salt, plan.before, plan.seed) == (14, 0.5, "experiment", 0.0, 0)
