"""Figures of a transfer matrix and of the experiments that retrain: each number in the row of its own name."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.colors import to_hex

from minivae.plots import explain, retraining
from minivae.plots.style import COLOURS


def rows_of(ax):
    """Label on the vertical axis -> centre and ends of its bar, the first on top."""
    labels = {round(float(y)): t.get_text() for y, t in zip(ax.get_yticks(), ax.get_yticklabels(), strict=True)}
    found = {}
    for bar in ax.containers:
        (x, y), (ends,) = bar.lines[0].get_xydata()[0], bar.lines[2][0].get_segments()
        found[labels[round(float(y))]] = (float(x), float(ends[0][0]), float(ends[1][0]), bar.lines[0].get_color())
    return found


def test_scores_stand_from_the_best_to_the_worst_with_their_own_intervals():
    def score(lds):
        return SimpleNamespace(lds=lds, low=lds - 0.125, high=lds + 0.25)

    value = SimpleNamespace(
        scores={
            "loss": {"popular": score(0.25), "transfer": score(0.5), "ceiling": score(0.75)},
            "loss, of one half": {"transfer": score(9.0)},
            "rank": {"popular": score(0.0), "transfer": score(-0.5), "ceiling": score(1.0)},
        }
    )
    figures, words = retraining.lds_figures(value)
    left, right = figures["lds"].axes
    assert [ax.get_title() for ax in (left, right)] == ["loss", "rank"]
    assert rows_of(left) == {
        "ceiling": (0.75, 0.625, 1.0, "0.45"),
        "transfer": (0.5, 0.375, 0.75, COLOURS[3]),
        "popular": (0.25, 0.125, 0.5, COLOURS[0]),
    }
    assert [t.get_text() for t in left.get_yticklabels()][::-1] != [t.get_text() for t in right.get_yticklabels()][::-1]
    assert words["lds"] == (
        "Agreement of each score with retraining on halves of the users; 0 is chance.",
        "loss: ceiling 0.75, transfer 0.50, popular 0.25. rank: ceiling 1.00, popular 0.00, transfer -0.50",
    )


def test_far_pairs_along_training_have_a_line_a_variant():
    def moment(difference, low=None, high=None):
        return SimpleNamespace(difference=difference, low=low, high=high)

    value = SimpleNamespace(
        variants={
            "masked": {"start": moment(9), "epoch 1": moment(0.01, 0.0, 0.02), "epoch 20": moment(0.03, 0.02, 0.05)},
            "clean": {"epoch 2": moment(-0.02), "epoch 4": moment(-0.01)},
        }
    )
    figures, words = retraining.far_figures(value)
    (ax,) = figures["far"].axes
    assert {line.get_label(): line.get_xydata().tolist() for line in ax.lines[:2]} == {
        "masked": [[1, 0.01], [20, 0.03]],
        "clean": [[2, -0.02], [4, -0.01]],
    }
    (band,) = ax.collections
    corners = {tuple(v) for v in band.get_paths()[0].vertices.tolist()}
    assert corners == {(1, 0), (1, 0.02), (20, 0.02), (20, 0.05)}
    assert to_hex(band.get_facecolor()[0]) == to_hex(ax.lines[0].get_color()) == to_hex(COLOURS[0])
    assert words["far"][1] == (
        "masked from +0.0100 at epoch 1 to +0.0300 at epoch 20; clean from -0.0200 at epoch 2 to -0.0100 at epoch 4"
    )


def test_what_receivers_miss_is_without_helpers_minus_without_others():
    """Differences 1, −0.5 and 0.25, in order; the interval of the mean is the band."""
    value = SimpleNamespace(
        without_helpers=[3.0, 1.0, 2.0],
        without_others=[2.0, 1.5, 1.75],
        difference=SimpleNamespace(mean=0.25, low=-0.5, high=1.0),
    )
    figures, words = retraining.removal_figures(value)
    (ax,) = figures["removal"].axes
    bars = ax.patches[:3]
    assert [bar.get_height() for bar in bars] == [-0.5, 0.25, 1.0]
    assert [to_hex(bar.get_facecolor()) for bar in bars] == [to_hex(COLOURS[k]) for k in (1, 0, 0)]
    band = ax.patches[3].get_extents().transformed(ax.transData.inverted())
    assert (band.ymin, band.ymax) == pytest.approx((-0.5, 1.0))
    assert {line.get_label(): line.get_ydata()[0] for line in ax.lines}["mean, 95 % interval"] == 0.25
    assert words["removal"] == (
        "What each test user misses: above 0 the best helpers, below 0 the others of like activity.",
        "Differences from -0.5000 to +1.0000 nats, 2 of 3 above 0.",
    )


def test_help_between_groups_is_from_the_column_to_the_row():
    segments = {
        name: SimpleNamespace(names=names, between=between)
        for name, names, between in (
            ("activity", ["few", "many"], [[0.5, -2.0], [None, 0.1]]),
            ("taste", ["a"], [[0.0]]),
            ("more", list("abcdef"), np.ones((6, 6)).tolist()),
        )
    }
    common = [
        SimpleNamespace(common=c, cosine=v, transfer=9.0, helped=0.1, pairs=1)
        for c, v in (("0", -0.25), ("1", None), ("2+", 0.5))
    ]
    figures = explain.explain_figures(SimpleNamespace(segments=segments, by_common_items=common))
    panels = [ax for ax in figures["flows"].axes if ax.get_xlabel() == "from"]
    assert [ax.get_title() for ax in panels] == ["activity", "taste", "more"]
    first = panels[0]
    assert {t.get_text(): tuple(map(int, t.get_position())) for t in first.texts} == {
        "0.5": (0, 0),
        "-2": (1, 0),
        "0.1": (1, 1),
    }
    assert (first.get_ylabel(), first.images[0].norm.vmin, first.images[0].norm.vmax) == ("to", -2, 2)
    for labels in (first.get_xticklabels(), first.get_yticklabels()):
        assert [t.get_text() for t in labels] == ["few", "many"]
    assert panels[1].images[0].norm.vmax == 1
    assert not panels[2].texts  # six groups would leave no room for numbers
    assert sum(not ax.get_visible() for ax in figures["flows"].axes) == 1
    (ax,) = figures["common"].axes
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0", "2+"]
    assert [bar.get_height() for bar in ax.patches] == [-0.25, 0.5]
    assert [t.get_text() for t in ax.texts] == ["-0.250", "0.500"]
