"""The stated resolution of a study is that of the stored studies, and shrinks as it should."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from minivae.study import resolution

RESULTS = Path(__file__).parents[2] / "chapters" / "results"
CLOSED_FORM = {"ease", "ials"}
FIVE_SEEDS = ("planted", "planted-multdae", "ml-1m", "ml-1m-tuned")


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
