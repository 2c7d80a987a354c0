"""The stated resolution of a study is that of the stored studies, and shrinks as it should."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from minivae.study import resolution
from minivae.study.draws.pooling import pool, pool_folds

RESULTS = Path(__file__).parents[2] / "chapters" / "results"
CLOSED_FORM = {"ease", "ials"}
FIVE_SEEDS = ("planted", "planted-searched", "ml-1m", "ml-1m-tuned")


def spreads(name, alike):
    """Standard deviations over users of nDCG@100 differences, from stored intervals."""
    rows = json.loads((RESULTS / f"benchmark-{name}.json").read_text(encoding="utf-8"))["differences"]
    rows = [r for r in rows if r["metric"] == "ndcg@100" and "popularity" not in (r["a"], r["b"])]
    return [
        (r["high"] - r["low"]) / 2 / 1.96 * math.sqrt(r["users"])
        for r in rows
        if r["metric"] == "ndcg@100"
        and alike != bool(CLOSED_FORM & {r["a"], r["b"]})
        and "popularity" not in (r["a"], r["b"])
    ]


def predicted(seeds):
    return math.sqrt(resolution.PERSISTENT + resolution.OF_A_SEED / seeds)


def test_the_spread_between_settings_of_a_model_is_that_of_stored_studies():
    five = np.median(np.concatenate([spreads(name, alike=True) for name in FIVE_SEEDS]))
    one = np.median(spreads("ml-1m-ablation", alike=True))
    assert predicted(5) == pytest.approx(five, rel=0.1)
    assert predicted(1) == pytest.approx(one, rel=0.1)
    with pytest.raises(AssertionError):  # seeds that did not matter
        assert predicted(5) == pytest.approx(one, rel=0.1)


def test_the_spread_between_kinds_of_models_is_that_of_stored_studies():
    assert np.median(np.concatenate([spreads(n, alike=False) for n in FIVE_SEEDS])) == pytest.approx(
        resolution.UNLIKE, rel=0.1
    )
    assert np.median(spreads("debian", alike=False)) == pytest.approx(resolution.UNLIKE_FEW_ITEMS, rel=0.1)


def test_four_times_the_users_halve_what_stays_undecided():
    assert resolution.half_width(0.1, 4000) == pytest.approx(resolution.half_width(0.1, 1000) / 2)


def test_the_half_width_covers_a_known_difference_in_95_of_100_draws():
    rng = np.random.default_rng(0)
    draws = rng.normal(0.003, 0.09, (4000, 500))
    inside = np.abs(draws.mean(axis=1) - 0.003) < resolution.half_width(0.09, 500)
    assert inside.mean() == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 4000))


def root_mean_square(widths):
    return math.sqrt(np.mean(np.square(widths)))


def test_folds_pooled_resolve_what_is_said():
    """Of 400 simulated studies; the twin takes the interval over users alone."""
    rng = np.random.default_rng(1)
    for k in (3, 6):
        pooled = [pool_folds([rng.normal(0, 0.09, 200) for _ in range(k)]) for _ in range(400)]
        width = root_mean_square([(p.high - p.low) / 2 for p in pooled])
        se = 1 / math.sqrt(2 * (k - 1) * 400)  # relative, of a root of a mean of χ²_{K−1}
        assert width == pytest.approx(resolution.half_width(0.09, 200 * k, resolution.of_folds(k)), rel=4 * se)
        assert abs(width / resolution.half_width(0.09, 200 * k) - 1) > 4 * se


def test_draws_pooled_resolve_about_what_is_said():
    """Of 300 simulated studies: draws of 200 test users from 1,000, each user's value half its own, half the seed's."""
    rng = np.random.default_rng(2)
    for k in (3, 6):
        widths = []
        for _ in range(300):
            own = rng.normal(0, 0.09 / math.sqrt(2), 1000)
            users = [rng.choice(1000, 200, replace=False) for _ in range(k)]
            p = pool([own[u] + rng.normal(0, 0.09 / math.sqrt(2), 200) for u in users], users, [800] * k)
            widths.append((p.high - p.low) / 2)
        said = resolution.half_width(0.09, 200, resolution.of_draws(k, 200, 800))
        assert root_mean_square(widths) == pytest.approx(said, rel=0.1)
