"""The draws behind a planted population, one after the other: by loops, by another way of solving, by their moments."""

import numpy as np
import pytest
from scipy.optimize import brentq

from minivae.data import population, population_draws
from minivae.data.codes import order_of_appearance
from minivae.data.population import Truth, planted
from minivae.data.population_draws import (
    PlantedItems,
    community_shares,
    draw_activity,
    draw_users,
    factor_scales,
    successive_sample,
)
from minivae.data.population_law import LIMITS, SHAPES, Law, longest_history, sizes
from minivae.errors import InputError


def rng(seed=0):
    return np.random.default_rng(seed)


def test_what_is_not_said_is_that_of_movielens():
    assert Law() == Law(12, 800, 32, 1.67, 0.58, 0.29, 0.29, 0.34, 7.8, 0.56, 1.05, 0.4)
    assert SHAPES == {  # users, items and events that Liang et al. (2018) state; of ml-1m counted here
        "ml-1m": (6_034, 3_533, 575_272),
        "ml-20m": (136_677, 20_720, 9_990_682),
        "netflix": (463_435, 17_769, 56_880_037),
        "msd": (571_355, 41_140, 33_633_450),
    }
    assert sizes(None, None, None, None, Law()) == (8_000, 1_500, 480_000)
    assert LIMITS == ((2, 2**30), (5, 2**24), (1, 2**31 - 1))
    assert (population.CHUNK, population.POOL, population.PAIRS) == (2048, 2000, 200)
    assert (population.FAR_SIMILARITY, population.NEAR_QUANTILE) == (0.5, 0.99)


@pytest.mark.parametrize(
    ("names", "low", "high", "below", "above"),
    [
        (("communities", "niches", "rank"), 1, 100_000, 0, 100_001),
        (("user_community", "item_community", "longest"), 0, 1, -1e-9, 1 + 1e-9),
        (("taste", "decay", "tilt", "popularity_exponent", "activity"), 0, 20, -1e-9, 20 + 1e-9),
        (("popularity_shift",), 1e-6, 1e6, 0.9e-6, 1.1e6),
    ],
)
def test_parameters_at_their_limits(names, low, high, below, above):
    for name in names:
        for value in (low, high):
            assert getattr(Law(**{name: value}), name) == value
        for value in (below, above):
            with pytest.raises(InputError, match=f"{name} must"):
                Law(**{name: value})


def test_sizes_that_fit_exactly():
    """Of 20 items a user may have 8, 40 %; ten users then have 50 to 80 events, and by default at most all of them."""
    law = Law()
    assert [longest_history(n, law) for n in (5, 12, 13, 20, 1500)] == [5, 5, 5, 8, 600]
    for events in (50, 80):
        assert sizes(None, 10, 20, events, law) == (10, 20, events)
    for events in (49, 81):
        with pytest.raises(InputError, match="10 users and 20 items can have between 50 and 80 events"):
            sizes(None, 10, 20, events, law)
    assert sizes(None, 10, 20, None, law) == (10, 20, 80)
    assert sizes(None, 100, 1500, None, law) == (100, 1500, 6000)
    assert sizes(None, 10, 1500, None, law) == (10, 1500, 1500)  # every item has a user
    assert sizes(None, 2, 5, None, law) == (2, 5, 10)
    assert sizes(None, 2, 10, 10, law) == (2, 10, 10)
    for name, value, limits in (("n_users", 1, LIMITS[0]), ("n_items", 4, LIMITS[1]), ("n_events", 0, LIMITS[2])):
        with pytest.raises(InputError, match=f"{name} must be an integer from {limits[0]} to {limits[1]:,}, not"):
            sizes(**({"shape": None, "n_users": None, "n_items": None, "n_events": None, "law": law} | {name: value}))


def test_communities_fall_with_the_root_of_their_rank():
    share = np.array([1, 2**-0.5, 3**-0.5, 0.5])
    np.testing.assert_allclose(community_shares(4), share / share.sum())


def test_scales_of_factors_by_hand():
    """∝ 1, ½, ⅓ with squares that sum to 2²."""
    size = 2 / (1 + 1 / 4 + 1 / 9) ** 0.5
    np.testing.assert_allclose(factor_scales(Law(rank=3, taste=2, decay=1)), [size, size / 2, size / 3], rtol=1e-6)
    np.testing.assert_allclose(factor_scales(Law(rank=2, taste=3, decay=0)), [3 / 2**0.5] * 2, rtol=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.36, 1.0])
def test_a_share_of_the_variance_of_users_is_that_of_their_community(share):
    """What is left of θ/scale without √h times the centre has variance 1 − h; five standard errors."""
    n, law = 40_000, Law(communities=3, rank=2, taste=2, decay=1, user_community=share, tilt=0.7)
    centres = np.array([[1.0, -2.0], [0.5, 3.0], [-4.0, 0.1]])
    community, theta = draw_users(rng(), n, centres, law)
    assert theta.shape == (n, 3)
    assert theta.dtype == np.float32
    frequency, expected = np.bincount(community) / n, community_shares(3)
    assert (np.abs(frequency - expected) < 5 * np.sqrt(expected * (1 - expected) / n)).all()
    left = theta[:, :2] / factor_scales(law) - share**0.5 * centres[community]
    spread = (1 - share) ** 0.5
    assert np.abs(left.mean(0)).max() <= 5 * spread / n**0.5 + 1e-6
    assert np.abs(left.std(0) - spread).max() <= 5 * spread / (2 * n) ** 0.5 + 1e-6
    assert abs(np.corrcoef(theta[:, 2], theta[:, 0])[0, 1]) < 5 / n**0.5
    assert abs(theta[:, 2].mean()) < 5 * 0.7 / n**0.5
    assert theta[:, 2].std() == pytest.approx(0.7, abs=5 * 0.7 / (2 * n) ** 0.5)


@pytest.mark.parametrize("events", [600, 900, 2500, 4000])
def test_activity_is_five_and_a_log_normal_share_of_the_rest(events):
    """Of 100 users and 100 items: the scale by another root finder, then the largest remainders are rounded up."""
    law = Law(activity=1.3)
    spread = np.exp(1.3 * rng(4).standard_normal(100))

    def of(log_scale):
        return np.minimum(5 + np.exp(log_scale) * spread, 40)

    found = draw_activity(rng(4), 100, 100, events, law)
    if events == 4000:
        assert (found == 40).all()
        return
    exact = of(brentq(lambda c: of(c).sum() - events, -30, 30, xtol=1e-14))
    expected = np.floor(exact).astype(int)
    free = [u for u in range(100) if expected[u] < 40]
    for u in sorted(free, key=lambda u: expected[u] - exact[u])[: events - expected.sum()]:
        expected[u] += 1
    assert found.tolist() == expected.tolist()
    assert found.sum() == events


@pytest.fixture(scope="module")
def drawn():
    """600 items in 60 niches of ten; what an item shares with its community is 1/4."""
    law = Law(communities=3, niches=60, rank=2, item_community=0.25, popularity_exponent=3, popularity_shift=0.4)
    centres = np.array([[1.0, -2.0], [0.5, 3.0], [-4.0, 0.1]])
    return law, centres, PlantedItems.draw(rng(1), 600, centres, law)


def test_items_lie_in_niches_of_equal_size_by_community_and_popularity(drawn):
    _, _, items = drawn
    assert np.bincount(items.niche).tolist() == [10] * 60
    assert items.edges.tolist() == list(range(0, 601, 10))
    assert (np.diff(items.niche) >= 0).all()
    assert (np.diff(items.community) >= 0).all()
    assert all(len(set(items.community[items.niche == k])) == 1 for k in range(60))
    for c in range(3):
        assert (np.diff(items.popularity[items.community == c]) < 0).all()  # the most popular first
    few = PlantedItems.draw(rng(1), 7, np.zeros((3, 2)), Law(communities=3, rank=2))
    assert few.niche.tolist() == list(range(7))
    uneven = PlantedItems.draw(rng(1), 7, np.zeros((3, 2)), Law(communities=3, rank=2, niches=3))
    assert sorted(np.bincount(uneven.niche)) == [2, 2, 3]


def test_popularity_is_a_shifted_power_of_the_rank(drawn):
    _, _, items = drawn
    expected = [-3 * np.log(k / 600 + 0.4) for k in range(600)]
    np.testing.assert_allclose(np.sort(items.popularity)[::-1], expected)
    share = np.exp(items.popularity) / np.exp(items.popularity).sum()
    np.testing.assert_allclose(np.diff(items.cumulated), share)
    assert (items.cumulated[0], len(items.cumulated)) == (0, 601)
    assert items.cumulated[-1] == pytest.approx(1)


def test_the_last_factor_of_a_niche_is_its_popularity_less_the_mean_of_all_draws(drawn):
    _, _, items = drawn
    mean = np.array([items.popularity[items.niche == k].mean() for k in range(60)])
    share = np.array([np.exp(items.popularity[items.niche == k]).sum() for k in range(60)])
    expected = mean - (mean * share).sum() / share.sum()
    np.testing.assert_allclose(items.niche_factors[:, -1], expected, rtol=1e-5, atol=1e-6)


def test_a_share_of_the_variance_of_items_is_that_of_their_community():
    """In 20,000 niches; with the share 1 a niche stands at the centre of its community."""
    centres = np.array([[1.0, -2.0], [0.5, 3.0], [-4.0, 0.1]])
    for share in (0.0, 0.25, 1.0):
        law = Law(communities=3, niches=20_000, rank=2, item_community=share)
        items = PlantedItems.draw(rng(2), 20_000, centres, law)
        left = items.niche_factors[:, :2] - share**0.5 * centres[items.community]
        spread = (1 - share) ** 0.5
        assert np.abs(left.mean(0)).max() <= 5 * spread / 20_000**0.5 + 1e-6
        assert np.abs(left.std(0) - spread).max() <= 5 * spread / 40_000**0.5 + 1e-6
        frequency, expected = np.bincount(items.community) / 20_000, community_shares(3)
        assert (np.abs(frequency - expected) < 5 * np.sqrt(expected * (1 - expected) / 20_000)).all()


def test_titles_count_the_items_of_a_community_by_popularity(drawn):
    _, _, items = drawn
    for i, title in enumerate(items.titles()):
        better = sum((items.community == items.community[i]) & (items.popularity > items.popularity[i]))
        assert title == f"Community {items.community[i] + 1} · item {better + 1}"


def test_known_pairs_are_those_of_the_definitions():
    """All pairs of 150 users, one after the other."""
    data = planted(seed=5, n_users=150, n_items=400, n_events=2600)
    has = [set(row.indices) for row in data.matrix]
    taste = data.truth.user_factors[:, :-1].astype(float)
    taste /= np.linalg.norm(taste, axis=1, keepdims=True)
    pairs = [(u, v) for u in range(150) for v in range(u + 1, 150)]
    alike = {p: float(taste[p[0]] @ taste[p[1]]) for p in pairs}
    overlap = {(u, v): len(has[u] & has[v]) / len(has[u] | has[v]) for u, v in pairs}
    least = np.quantile(list(overlap.values()), 0.99)
    far = [(u, v) for u, v in pairs if len(has[u] & has[v]) <= 1 and min(len(has[u]), len(has[v])) >= 10]
    far = sorted((p for p in far if alike[p] >= 0.5), key=lambda p: -alike[p])[:200]
    near = sorted((p for p in pairs if alike[p] <= 0 and overlap[p] >= least), key=lambda p: -overlap[p])[:200]
    assert len(far) > 5
    assert len(near) > 5
    np.testing.assert_allclose([alike[tuple(p)] for p in data.truth.far_pairs], [alike[p] for p in far], atol=1e-6)
    assert {tuple(p) for p in data.truth.far_pairs} == set(far)
    assert [overlap[tuple(p)] for p in data.truth.near_pairs] == [overlap[p] for p in near]
    assert {tuple(p) for p in data.truth.near_pairs} == set(near)


def test_similarity_is_the_cosine_without_the_tilt():
    factors = np.array([[3.0, 4.0, 9.0], [4.0, 3.0, -9.0], [0.0, 0.0, 1.0], [-3.0, -4.0, 2.0]], np.float32)
    truth = Truth(None, None, factors, factors, np.zeros(4))
    found = truth.similarity(np.array([0, 0, 0, 2]), np.array([0, 1, 3, 2]))
    np.testing.assert_allclose(found, [1, 24 / 25, -1, 0], atol=1e-6)


def test_every_item_gets_an_event_and_no_item_loses_its_last():
    for seed in range(20):
        item = rng(seed).integers(0, 12, 40).astype(np.int32) ** 2 % 30
        before = item.copy()
        unseen = set(range(30)) - set(before.tolist())
        population_draws.give_every_item_an_event(item, 30, rng(seed))
        assert set(item.tolist()) == set(range(30))
        assert (item != before).sum() == len(unseen)
        assert set(item[item != before].tolist()) == unseen
        assert order_of_appearance(before, 30).size == 30 - len(unseen)
    full = np.arange(5, dtype=np.int32)
    population_draws.give_every_item_an_event(full, 5, rng())
    assert full.tolist() == list(range(5))


def test_events_of_a_user_are_those_of_the_users_factors():
    """In every chunk: the mean preference of the items taken, in spreads of all preferences of the user."""
    data = planted(seed=6, n_users=population.CHUNK + 40, n_items=60, n_events=30_000)
    users = np.r_[0:40, population.CHUNK : population.CHUNK + 40]
    score = data.truth.logits(users)
    score = (score - score.mean(1, keepdims=True)) / score.std(1, keepdims=True)
    has = data.matrix[users].toarray() > 0
    mean = np.array([s[h].mean() for s, h in zip(score, has, strict=True)])
    assert mean[:40].mean() > 0.5
    assert mean[40:].mean() > 0.5
    swapped = np.array([s[h].mean() for s, h in zip(np.roll(score, 40, axis=0), has, strict=True)])
    assert swapped.mean() < mean.mean() - 0.1  # the twin: the factors of somebody in the other chunk


@pytest.mark.parametrize("rounds", [0, 4])
def test_one_item_is_drawn_by_its_preference_and_several_are_different(rounds):
    """Of nine items in three niches, by 20,000 users of one taste: chi-square, five standard errors wide."""
    law = Law(communities=2, niches=3, rank=2, popularity_exponent=2, popularity_shift=0.5)
    items = PlantedItems.draw(rng(3), 9, rng(4).standard_normal((2, 2)), law)
    theta = np.tile(np.array([[0.8, -0.5, 0.3]], np.float32), (20_000, 1))
    p = np.exp(items.popularity + items.niche_factors[items.niche].astype(float) @ theta[0])
    drawn = successive_sample(theta, np.ones(20_000, int), items, rng(5), rounds)
    assert drawn.dtype == np.int32
    expected = 20_000 * p / p.sum()
    assert ((np.bincount(drawn, minlength=9) - expected) ** 2 / expected).sum() < 8 + 5 * 16**0.5
    size = np.arange(40) % 9 + 1
    several = successive_sample(theta[:40], size, items, rng(6), rounds)
    of_user = np.split(several, np.cumsum(size)[:-1])
    assert [len(set(mine.tolist())) for mine in of_user] == size.tolist()
    assert 0 <= several.min() <= several.max() < 9
