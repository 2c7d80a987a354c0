"""The simulated experiment: people behave as said, planning and intervals keep their promises, peeking does not."""

import math
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

import minivae as mv
from minivae import online
from minivae.online import Behaviour, Experiment, Outcome, Shelf

ONE_VISIT = {"visits": 1.0, "loyalty": 0.0, "mood": 0.0}


def shelf(n, depth=40, seed=0, appeal=None):
    """Random tastes over 60 items, best first."""
    if appeal is None:
        taste = np.random.default_rng(seed).dirichlet(np.full(60, 0.3), n)
        appeal = np.sort(taste, 1)[:, ::-1][:, :depth].copy()
    return Shelf(np.arange(n), np.tile(np.arange(appeal.shape[1]), (n, 1)), appeal)


def far(estimate, truth, se, limit=4.5):
    return abs(estimate - truth) > limit * se


# People


@settings(max_examples=25, deadline=None)
@given(
    p=st.floats(0.05, 0.95),
    go_on=st.floats(0.2, 1),
    after=st.floats(0, 1),
    slots=st.integers(1, 8),
    seed=st.integers(0, 10**6),
)
def test_one_visit_follows_the_click_model(p, go_on, after, slots, seed):
    """P(look at rank r) = q^{r−1}, q = go_on (1 − p + p · after_click), if every item is clicked with probability p."""
    n = 4000
    behaviour = Behaviour(slots=slots, go_on=go_on, after_click=after, outside=1, **ONE_VISIT)
    same = shelf(n, appeal=np.full((n, slots), p / (1 - p)))
    out = online.simulate(same, same, Experiment(seed=seed), behaviour)
    looks = (go_on * (1 - p + p * after)) ** np.arange(slots)
    assert (out.shown == slots).all()
    assert not far(out.clicks.mean(), p * looks.sum(), out.clicks.std() / n**0.5 + 1e-9, 5.5)


def test_the_check_of_the_click_model_notices_a_click_that_ends_nothing():
    behaviour = Behaviour(go_on=0.9, after_click=0.2, outside=1, **ONE_VISIT)
    same = shelf(4000, appeal=np.full((4000, 10), 1.0))
    out = online.simulate(same, same, None, behaviour)
    ignored = 0.5 * (0.9 ** np.arange(10)).sum()
    assert far(out.clicks.mean(), ignored, out.clicks.std() / 4000**0.5)


def test_what_was_clicked_is_not_shown_again():
    eager = Behaviour(slots=3, visits=4, loyalty=0, go_on=1, after_click=1, outside=1e-9, mood=0)
    same = shelf(500, depth=7)
    out = online.simulate(same, same, None, eager)
    assert out.clicks.max() <= 7
    assert (out.shown == out.clicks).all()  # everything shown was clicked, so each item was shown once
    visits_enough = out.clicks == 7
    assert visits_enough.any()


def test_what_was_clicked_before_is_not_shown_in_the_experiment():
    """One visit of three places before, all clicked; then each arm shows what is left of its own list."""
    n = 200
    lists = [np.tile(items, (n, 1)) for items in ([0, 1, 2, 3], [2, 1, 4, 5])]
    control, treatment = (Shelf(np.arange(n), items, np.ones((n, 4))) for items in lists)
    eager = Behaviour(slots=3, go_on=1, after_click=1, outside=1e-15, **ONE_VISIT)
    out = online.simulate(control, treatment, Experiment(before=1), eager)
    assert (out.before == 3).all()
    left = np.where(out.treated, 2, 1)  # of the treatment's list items 4 and 5, of the control's item 3
    np.testing.assert_array_equal(out.shown, left)
    np.testing.assert_array_equal(out.clicks, left)


def test_nobody_sees_the_list_of_the_other_arm():
    good, nothing = shelf(300), shelf(300, appeal=np.zeros((300, 40)))
    out = online.simulate(good, nothing, Experiment(seed=1))
    assert out.clicks[out.treated].sum() == 0
    assert out.shown[out.treated].sum() == 0
    assert out.clicks[~out.treated].sum() > 0
    np.testing.assert_array_equal(out.treated, online.assign(np.arange(300), "experiment"))


def test_visits_and_moods_have_the_moments_that_were_asked_for():
    n = 40_000
    one = shelf(n, appeal=np.ones((n, 1)) * 1e-12)  # nobody clicks, one slot: impressions are visits
    four = [(Behaviour(slots=1, visits=4, loyalty=loyalty), 4, loyalty) for loyalty in (0.0, 0.7)]
    for behaviour, visits, loyalty in [*four, (Behaviour(slots=1), 5, 1)]:  # by default 5, as dispersed as their mean
        out = online.simulate(one, one, None, behaviour)
        assert not far(out.shown.mean(), visits, out.shown.std() / n**0.5)
        want = (visits - 1) + (visits - 1) ** 2 * loyalty**2  # Poisson, and Poisson mixed by a Gamma
        spread = (out.shown - visits) ** 2.0
        assert not far(spread.mean(), want, spread.std() / n**0.5)


class Spy:
    def __init__(self, n_items):
        self.n_items, self.seen = n_items, []

    def score(self, history):
        self.seen.append(history.copy())
        return torch.arange(self.n_items, dtype=torch.float64).repeat(history.shape[0], 1)


@pytest.fixture(scope="module")
def people():
    data = mv.planted(n_users=300, n_items=60, n_events=4_000, seed=0)
    items = np.random.default_rng(0).permutation(60)[:50]
    who = np.arange(200, 300)
    return data, who, items, online.Audience.planted(data, who, items)


def test_a_recommender_sees_the_history_and_nothing_else(people):
    data, who, items, audience = people
    spy = Spy(50)
    first = audience.shelf(spy, depth=20)
    np.testing.assert_array_equal(sp.vstack(spy.seen).toarray(), data.matrix.toarray()[np.ix_(who, items)])
    other = replace(audience, preference=np.random.default_rng(1).standard_normal(audience.preference.shape))
    again = other.shelf(Spy(50), depth=20)
    np.testing.assert_array_equal(first.items, again.items)
    assert not np.allclose(first.appeal, again.appeal)


def test_appeal_is_the_true_preference_among_the_new_items(people):
    data, who, items, audience = people
    got = audience.shelf(Spy(50), depth=20)
    for k, u in enumerate(who[:20]):
        new = data.matrix[u].toarray()[0, items] == 0
        share = np.where(new, np.exp(data.truth.logits(np.array([u]))[0, items]), 0)
        share /= share.sum()
        wanted = [i for i in reversed(range(50)) if new[i]][:20]
        np.testing.assert_array_equal(got.items[k], wanted)
        np.testing.assert_allclose(got.appeal[k], share[wanted])


def test_an_audience_cannot_be_changed(people):
    """Its tastes are computed once, so that other preferences would leave the old ones."""
    *_, audience = people
    with pytest.raises(FrozenInstanceError):
        audience.preference = np.zeros_like(audience.preference)


def test_a_short_catalogue_leaves_empty_places(people):
    *_, audience = people
    got = audience.shelf(Spy(50), depth=60)
    assert (got.items[:, -1] == -1).all()
    assert (got.appeal[got.items == -1] == 0).all()
    np.testing.assert_allclose(got.appeal.sum(1), 1)
    out = online.simulate(got, got, None, Behaviour(slots=60, **ONE_VISIT))
    np.testing.assert_array_equal(out.shown, (got.items >= 0).sum(1))


# Assignment


def agreement(assign, n=20_000):
    """Standard errors by which two experiments agree more often than by chance."""
    a, b = (assign(np.arange(n), salt) for salt in ("one", "two"))
    return abs((a == b).mean() - 0.5) / (0.25 / n) ** 0.5


def test_assignment_is_a_function_of_salt_and_label():
    labels = np.array(["ann", "bob", "cem", "dan", "eve", "fay"])
    arms = dict(zip(labels, online.assign(labels, "x"), strict=True))
    order = [4, 2, 0]
    assert online.assign(labels[order], "x").tolist() == [arms[labels[k]] for k in order]
    assert online.assign(np.arange(6), "x").tolist() == online.assign([0, 1, 2, 3, 4, 5], "x").tolist()


def test_assignment_is_the_same_on_every_machine():
    got = online.assign(np.arange(16), "anchors")
    assert "".join("ct"[int(t)] for t in got) == "cccctccccttccttt"


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_assignment_has_the_right_share(share):
    treated = online.assign(np.arange(20_000), "x", share)
    assert not far(treated.mean(), share, (share * (1 - share) / 20_000) ** 0.5)
    larger = online.assign(np.arange(20_000), "x", share + 0.2)
    assert (larger >= treated).all()  # widening an experiment moves nobody out of the treatment


def test_two_experiments_are_independent():
    assert agreement(online.assign) < 4.5
    assert agreement(lambda labels, salt: labels % 2 == 0) > 100  # the broken twin forgets the salt


# Planning


def rejects(a, b):
    """Share of two-sided z-tests of two means that reject at 5 %; a, b: (repetitions, persons)."""
    se = np.sqrt(a.var(1, ddof=1) / a.shape[1] + b.var(1, ddof=1) / b.shape[1])
    return (np.abs(b.mean(1) - a.mean(1)) > 1.959964 * se).mean()


def power_by_simulation(n, p, repetitions=20_000, seed=0):
    rng = np.random.default_rng(seed)
    c, t = (rng.binomial(k, q, repetitions) / k for k, q in zip(n, p, strict=True))
    se = np.sqrt(c * (1 - c) / n[0] + t * (1 - t) / n[1])
    return (np.abs(t - c) > 1.959964 * se).mean()


@pytest.mark.parametrize(("p", "power", "share"), [((0.1, 0.13), 0.8, 0.5), ((0.3, 0.35), 0.9, 0.3)])
def test_sample_size_of_proportions_gives_the_power_that_was_asked_for(p, power, share):
    n = online.sample_size(*p, power=power, share=share)
    se = (power * (1 - power) / 20_000) ** 0.5
    rough = 0.005  # the binomial is not quite normal
    assert abs(power_by_simulation(n, p) - power) < 4 * se + rough
    halved = tuple(k // 2 for k in n)  # the twin that counts both arms as one
    assert abs(power_by_simulation(halved, p) - power) > 4 * se + rough
    assert n[1] / sum(n) == pytest.approx(share, abs=0.001)


def test_sample_size_of_a_skewed_mean():
    n = online.sample_size(1.0, 1.1, sd=(1.0, 1.1))
    rng = np.random.default_rng(0)
    a, b = (rng.exponential(m, (3000, k)) for m, k in zip((1.0, 1.1), n, strict=True))
    assert not far(rejects(a, b), 0.8, (0.16 / 3000) ** 0.5, 4)


@given(
    control=st.floats(0.02, 0.9),
    lift=st.floats(0.02, 0.5),
    power=st.floats(0.5, 0.99),
    alpha=st.floats(0.001, 0.2),
    sd=st.one_of(st.none(), st.floats(0.1, 10)),
)
def test_sample_size_and_power_are_inverse(control, lift, power, alpha, sd):
    treatment = control + lift * (1 - control)
    n = online.sample_size(control, treatment, sd, power=power, alpha=alpha)
    assert online.achieved_power(control, treatment, n, sd, alpha=alpha) >= power - 1e-9
    if min(n) > 50:
        fewer = tuple(math.floor(0.97 * k) for k in n)
        tail = stats.norm.cdf(2 * stats.norm.ppf(alpha / 2) - stats.norm.ppf(power))  # rejects on the wrong side
        assert online.achieved_power(control, treatment, fewer, sd, alpha=alpha) < power + tail


# Effects


def bootstrap(outcome, metric, repetitions=2000, seed=0):
    """Standard error of the difference when whole persons are drawn again."""
    rng = np.random.default_rng(seed)
    found = []
    for arm in (~outcome.treated, outcome.treated):
        clicks, shown = outcome.clicks[arm], outcome.shown[arm]
        pick = rng.integers(0, len(clicks), (repetitions, len(clicks)))
        c, s = clicks[pick], shown[pick]
        found.append(
            {
                "clicks": c.mean(1),
                "ctr per user": (c / s).mean(1),
                "ctr per impression": c.sum(1) / s.sum(1),
            }[metric]
        )
    return (found[1] - found[0]).std()


def impression_level_se(outcome):
    """The broken twin: every impression counts as an independent unit."""
    total = 0.0
    for arm in (~outcome.treated, outcome.treated):
        n = outcome.shown[arm].sum()
        ratio = outcome.clicks[arm].sum() / n
        total += ratio * (1 - ratio) / n
    return total**0.5


@pytest.fixture(scope="module")
def outcome():
    return online.simulate(shelf(3000), shelf(3000), Experiment(seed=3))


@pytest.mark.parametrize("metric", ["clicks", "ctr per impression", "ctr per user"])
def test_standard_errors_are_those_of_a_bootstrap_over_persons(outcome, metric):
    se, again = online.analyse(outcome, metric).se, bootstrap(outcome, metric)
    assert abs(again / se - 1) < 4 / (2 * 2000) ** 0.5 + 0.01  # error of the bootstrap's sd, and of order 1/n
    if metric == "ctr per impression":
        assert abs(again / impression_level_se(outcome) - 1) > 0.3


@pytest.mark.parametrize("metric", ["clicks", "ctr per user"])
def test_means_agree_with_welch(outcome, metric):
    effect = online.analyse(outcome, metric)
    value = outcome.clicks if metric == "clicks" else outcome.clicks / outcome.shown
    welch = stats.ttest_ind(value[outcome.treated], value[~outcome.treated], equal_var=False)
    assert effect.difference / effect.se == pytest.approx(welch.statistic)
    assert effect.p == pytest.approx(welch.pvalue, abs=1e-3)  # normal here, Student's t there
    low, high = effect.interval()
    assert (low + high) / 2 == pytest.approx(effect.difference)
    assert (high - low) / 2 == pytest.approx(1.959964 * effect.se, rel=1e-6)


def test_a_ratio_is_of_sums_not_a_mean_of_ratios():
    out = Outcome(
        treated=np.array([False, False, True, True]),
        day=np.ones(4, int),
        shown=np.array([10, 90, 10, 90]),
        clicks=np.array([10, 9, 0, 9]),
    )
    assert online.analyse(out, "ctr per impression").control == pytest.approx(19 / 100)
    assert online.analyse(out, "ctr per user").control == pytest.approx(0.55)
    assert online.analyse(out, "clicks").control == pytest.approx(9.5)
    assert online.analyse(out).n == (2, 2)


@pytest.fixture(scope="module")
def a_a():
    """400 A/A tests of 500 persons, eight evenings each, and the errors that count impressions."""
    same, experiment = shelf(500), Experiment(days=8)
    found = online.rehearse(same, same, experiment, repetitions=400)
    naive = np.empty(400)
    for r in range(400):
        once = replace(experiment, salt=f"experiment/{r}", seed=r)
        naive[r] = impression_level_se(online.simulate(same, same, once))
    return found, naive


def test_the_interval_covers_and_that_of_impressions_does_not(a_a):
    found, naive = a_a
    missed, _ = found.fixed()
    assert not far(missed, 0.05, (0.05 * 0.95 / 400) ** 0.5, 3.5)
    by_impressions = (np.abs(found.difference[:, -1]) > 1.959964 * naive).mean()
    assert by_impressions > 0.05 + 3.5 * (0.05 * 0.95 / 400) ** 0.5
    assert by_impressions > 3 * missed


def test_peeking_inflates_and_the_confidence_sequence_does_not(a_a):
    found, _ = a_a
    limit = 0.05 + 3.5 * (0.05 * 0.95 / 400) ** 0.5
    assert found.peeking()[0] > limit
    for scale in (0.002, 0.006, 0.02):
        assert found.always_valid(scale)[0] < limit
    share, se = found.peeking()
    assert se == pytest.approx((share * (1 - share) / 400) ** 0.5)


def test_an_interval_covers_a_real_effect_as_often_as_planned():
    bad, good = shelf(500, appeal=shelf(500).appeal * 0.6), shelf(500)
    found = online.rehearse(bad, good, Experiment(days=1), repetitions=400, metric="clicks")
    alone = [
        [online.simulate(s, s, Experiment(seed=10_000 + r)).clicks for r in range(150)] for s in (bad, good)
    ]  # (2, 150, 500)
    means, spreads = np.mean(alone, axis=(1, 2)), np.std(alone, axis=(1, 2))
    missed, _ = found.fixed(truth=means[1] - means[0])
    assert not far(missed, 0.05, (0.05 * 0.95 / 400) ** 0.5, 3.5)
    power, _ = found.fixed(truth=0.0)
    planned = online.achieved_power(*means, n=(250, 250), sd=tuple(spreads))
    assert not far(power, planned, (planned * (1 - planned) / 400) ** 0.5, 3.5)
    halved = online.achieved_power(*means, n=(125, 125), sd=tuple(spreads))
    assert far(power, halved, (planned * (1 - planned) / 400) ** 0.5, 3.5)


def test_a_lift_covers():
    rng = np.random.default_rng(0)
    missed = 0
    for _ in range(1000):
        clicks = np.concatenate([rng.negative_binomial(1, 1 / 3, 400), rng.negative_binomial(1, 1 / 5, 400)])
        out = Outcome(np.arange(800) >= 400, np.ones(800, int), np.full(800, 10), clicks)
        lift, low, high = online.analyse(out, "clicks").lift()
        assert low < lift < high
        missed += not low < 1.0 < high  # means 2 and 4
    assert not far(missed / 1000, 0.05, (0.05 * 0.95 / 1000) ** 0.5, 4)


# Looking more than once


@given(se=st.floats(1e-3, 10), scale=st.floats(1e-2, 10), level=st.floats(0.5, 0.999))
def test_the_boundary_is_where_the_mixture_of_likelihood_ratios_reaches_one_over_alpha(se, scale, level):
    """Robbins: E over δ ~ N(0, s²) of exp(δ d/se² − δ²/(2 se²)) = 1/α, here by quadrature in units of se."""
    z, s = float(online.boundary(se, scale, level)), scale / se

    def integrand(t):
        return math.exp(min(t * z - t * t / 2 - t * t / (2 * s * s), 700)) / (s * math.sqrt(2 * math.pi))

    middle = z / (1 + s**-2)
    width = 12 / math.sqrt(1 + s**-2)
    value, _ = integrate.quad(integrand, middle - width, middle + width, epsabs=0, epsrel=1e-10, limit=200)
    assert value == pytest.approx(1 / (1 - level), rel=1e-6)


def test_a_confidence_sequence_misses_less_often_than_alpha_whoever_looks_how_often():
    rng = np.random.default_rng(0)
    steps = np.arange(1, 2001)
    missed, peeked = np.zeros(2), 0
    for _ in range(40):
        mean = rng.standard_normal((100, 2000)).cumsum(1) / steps
        se = steps**-0.5
        for k, scale in enumerate((0.03, 0.3)):
            missed[k] += (np.abs(mean) > online.boundary(se, scale) * se).any(1).sum()
        peeked += (np.abs(mean) > 1.959964 * se).any(1).sum()
    assert (missed / 4000 < 0.05 + 3 * (0.05 * 0.95 / 4000) ** 0.5).all()
    assert missed.max() / 4000 > 0.01  # not so wide that it says nothing
    assert peeked / 4000 > 0.4


def test_the_always_valid_interval_is_wider_and_narrowest_near_a_third(outcome):
    effect = online.analyse(outcome)
    low, high = effect.always_valid(0.005)
    inner = effect.interval()
    assert low < inner[0] < inner[1] < high
    hopes = np.geomspace(0.5, 20, 400)
    best = hopes[np.argmin([online.boundary(1.0, hope) for hope in hopes])]
    assert 2.5 < best < 3.2


# Clicks from before


def test_cuped_takes_away_what_is_known_before_and_moves_nothing():
    """Its variance is 1 − ρ² times the plain one, ρ the correlation with the clicks before (Deng et al. 2013)."""
    bad, good = shelf(400, appeal=shelf(400).appeal * 0.8), shelf(400)
    plain, adjusted, errors, rho = [], [], [], []
    for r in range(250):
        out = online.simulate(bad, good, Experiment(before=8, salt=str(r), seed=r))
        a, b = online.analyse(out, "clicks"), online.analyse(out, "clicks", cuped=True)
        plain.append(a.difference)
        adjusted.append(b.difference)
        errors.append(b.se)
        rho.append(np.corrcoef(out.before, out.clicks)[0, 1])
    gap = np.subtract(adjusted, plain)
    assert not far(gap.mean(), 0, gap.std() / 250**0.5)
    assert np.std(adjusted) / np.mean(errors) == pytest.approx(1, abs=4 / 500**0.5)
    pick = np.random.default_rng(0).integers(0, 250, (1000, 250))
    ratios = np.array(adjusted)[pick].var(1) / np.array(plain)[pick].var(1)
    assert not far(np.var(adjusted) / np.var(plain), 1 - np.mean(rho) ** 2, ratios.std(), 3.5)
    assert ratios.mean() + 3.5 * ratios.std() < 1


def test_before_is_none_unless_asked_for(outcome):
    assert outcome.before is None
    with pytest.raises(mv.InputError, match="before=…"):
        online.analyse(outcome, cuped=True)


# A run is a function of its arguments; what is not possible is said


def test_a_run_is_a_function_of_its_arguments():
    a, b = shelf(200), shelf(200, seed=1)
    first, again, other = (online.simulate(a, b, Experiment(seed=s)) for s in (1, 1, 2))
    for x, y in zip(vars(first).values(), vars(again).values(), strict=True):
        np.testing.assert_array_equal(x, y)
    assert not np.array_equal(first.clicks, other.clicks)
    pair = [online.rehearse(a, b, Experiment(days=2), repetitions=3) for _ in range(2)]
    np.testing.assert_array_equal(pair[0].difference, pair[1].difference)


def test_evenings_accumulate(outcome):
    sizes = [len(outcome.until(day)) for day in range(1, 15)]
    assert sizes == sorted(sizes)
    assert sizes[-1] == len(outcome) == 3000
    assert outcome.until(5).day.max() == 5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Behaviour(slots=0), "slots=0"),
        (lambda: Behaviour(visits=0.5), "visits=0.5"),
        (lambda: Behaviour(go_on=1.5), "go_on=1.5"),
        (lambda: Behaviour(outside=0), "outside=0"),
        (lambda: Behaviour(mood=float("nan")), "mood=nan"),
        (lambda: Experiment(days=0), "days=0"),
        (lambda: Experiment(share=1), "share=1"),
        (lambda: Experiment(before=0.5), "before=0.5"),
        (lambda: Experiment(seed=-1), "seed=-1"),
        (lambda: online.sample_size(0.1, 0.1), "equal"),
        (lambda: online.sample_size(0.1, 1.1), "between 0 and 1"),
        (lambda: online.sample_size(1, 2, sd=0), "sd=0"),
        (lambda: online.sample_size(1, 2, sd=1, power=1), "power=1"),
        (lambda: online.achieved_power(1, 2, (0, 5), sd=1), "at least one person"),
        (lambda: online.simulate(shelf(5), shelf(6)), "different people"),
        (lambda: online.simulate(shelf(5, depth=5), shelf(5, depth=5)), "5 items"),
        (lambda: online.simulate(shelf(5), shelf(5, depth=20)), "same depth"),
        (lambda: online.analyse(online.simulate(shelf(2), shelf(2))), "two in each"),
        (lambda: online.analyse(online.simulate(shelf(50), shelf(50)), "ctr"), "ctr per user"),
        (lambda: online.boundary(1.0, 0.0), "scale=0"),
        (lambda: online.rehearse(shelf(50), shelf(50), repetitions=0), "repetitions=0"),
        (lambda: Shelf(np.arange(3), np.zeros((2, 4), int), np.zeros((2, 4))), "do not fit"),
        (lambda: online.Audience.planted(replace(mv.planted(n_users=20, n_items=20), truth=None), [0], [0]), "truth"),
    ],
)
def test_what_is_not_possible_is_said(call, message):
    with pytest.raises(mv.InputError, match=message):
        call()


def test_no_clicks_no_lift():
    out = Outcome(np.array([False, False, True, True]), np.ones(4, int), np.full(4, 5), np.zeros(4, int))
    with pytest.raises(mv.InputError, match="clicks in both arms"):
        online.analyse(out).lift()
