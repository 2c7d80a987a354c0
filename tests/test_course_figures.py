"""Figures of the course draw what they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.patches import Circle, Ellipse, Rectangle

from minivae import plots


@pytest.fixture
def ax():
    _, ax = plt.subplots()
    yield ax
    plt.close("all")


@pytest.mark.parametrize(("bound", "outside"), [(0.5, True), (2.0, False)])
def test_the_disc_has_the_bound_as_radius_around_the_tip_and_leaves_out_the_origin_or_not(ax, bound, outside):
    plots.gradient_disc(1.0, (0.8, 0.3), bound, ax=ax)
    (disc,) = [p for p in ax.patches if isinstance(p, Circle)]
    assert disc.center == (1.0, 0)
    assert disc.radius == bound
    assert (np.hypot(*disc.center) > disc.radius) == outside


def test_clouds_are_ellipses_of_one_standard_deviation_and_circles_have_the_radii(ax):
    mu, sd = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]]), np.array([[1.0, 2.0], [0.5, 0.5], [0.1, 0.2]])
    change, group = np.array([-1.0, -0.5, 0.7]), np.array([0, 0, 1])
    plots.clouds(mu, sd, group, change, 0, {"a": 0.7, "b": 0.2}, {"ring": np.array([True, True, False])}, ax=ax)
    rings = [p.radius for p in ax.patches if isinstance(p, Circle)]
    assert rings == [0.7, 0.2]
    ellipses = [p for p in ax.patches if isinstance(p, Ellipse) and not isinstance(p, Circle)]
    assert [(e.width, e.height) for e in ellipses] == [(1.0, 1.0), (0.2, 0.4), (2.0, 4.0)]


def test_tangents_of_the_rate_distortion_plane_have_the_slope_minus_beta(ax):
    rate, distortion = np.array([[4.0, 5.0], [1.0, 1.2]]), np.array([[10.0, 10.2], [12.0, 12.4]])
    plots.rate_distortion(rate, distortion, (0.3, 2.0), ax=ax)
    lines = [line for line in ax.lines if len(line.get_xdata()) == 2 and line.get_marker() == "None"]
    slopes = [np.diff(line.get_ydata())[0] / np.diff(line.get_xdata())[0] for line in lines]
    assert slopes == pytest.approx([-0.3, -2.0])
    for line, r, d in zip(lines, rate.mean(1), distortion.mean(1), strict=True):
        assert np.interp(r, line.get_xdata(), line.get_ydata()) == pytest.approx(d)


def test_water_filling_draws_the_prediction_as_a_line_over_what_was_seen(ax):
    before, predicted, after = (np.full((2, 3), v) for v in (3.0, 1.0, 2.0))
    plots.water_filling(before, predicted, after, (0.2, 1.0), ax=ax)
    drawn = {line.get_label(): line.get_ydata()[0] for line in ax.lines}
    assert drawn == {"seen at β = 0.2": 3.0, "predicted for β = 1": 1.0, "seen at β = 1": 2.0}


def test_users_above_the_bound_are_hollow_and_rescaling_is_the_level_line(ax):
    seen = np.array([0.1, 0.3, 0.5])
    plots.predicted_and_seen(np.array([0.2, 0.2, 0.3]), seen, 0.12, bound=np.array([0.2, 0.2, 0.9]), ax=ax)
    counts = {c.get_label(): len(c.get_offsets()) for c in ax.collections}
    assert counts == {"users": 2, "users above $\\tau^2$": 1}
    assert (
        next(line for line in ax.lines if line.get_label() == "ratio of the variance between users").get_ydata()[0]
        == 0.12
    )


def test_no_pull_without_weight_and_arrows_towards_the_centroid_with_it(ax):
    views, centre = np.array([[[1.0, 0.0], [0.0, 1.0]]]), np.array([[0.0, 0.0]])
    plots.pull(views, centre, 0.0, ax=ax)
    assert not ax.collections
    plots.pull(views, centre, 0.5, ax=ax)
    (arrows,) = ax.collections
    np.testing.assert_allclose(np.stack([arrows.U, arrows.V], 1), -0.5 * views[0])


def test_the_direction_that_shrinks_too_little_names_its_variance(ax):
    free = np.array([[1.0, 1.0], [-1.0, -1.0]])
    plots.broken_direction(free, np.array([[0.5, 0.0], [-0.5, 0.0]]), 0.5, ax=ax)
    assert "$\\mu^*_h$ along $(1, -1)$: variance 0.25" in ax.get_legend_handles_labels()[1]


def test_a_heat_map_says_every_number(ax):
    plots.heat_map(np.array([[0.1, np.nan], [0.5, 0.9]]), ["a", "b"], ["c", "d"], ax=ax)
    assert [t.get_text() for t in ax.texts] == ["0.10", "0.50", "0.90"]


def test_the_diagram_and_the_gaps_of_amortisation(ax):
    plots.amortisation_gap({"own": np.array([0.3, 0.1]), "shared": np.array([0.5, 0.4])}, ax=ax)
    assert [list(line.get_ydata()) for line in ax.lines] == [[0.1, 0.3], [0.4, 0.5]]
    ax.clear()
    plots.amortisation_gap(
        {"own": np.array([0.3, 0.1]), "shared": np.array([0.5, 0.4])}, np.array([True, False]), ax=ax
    )
    hollow = [line for line in ax.lines if line.get_markerfacecolor() == "white"]
    assert [list(line.get_ydata()) for line in hollow] == [[0.5]]
    plots.vae_diagram(plt.subplots()[1])


def test_a_line_of_seeds_is_their_mean_with_a_band_from_the_lowest_to_the_highest(ax):
    seeds = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 5.0]])
    plots.lines([0, 1, 2], {"a": seeds, "b": np.ones(3)}, {"b": (np.zeros(3), 2 * np.ones(3))}, ax=ax)
    assert [list(line.get_ydata()) for line in ax.lines] == [[2, 2, 4], [1, 1, 1]]
    ends = [
        (band.get_paths()[0].vertices[:, 1].min(), band.get_paths()[0].vertices[:, 1].max()) for band in ax.collections
    ]
    assert ends == [(1, 5), (0, 2)]
    assert [line.get_marker() for line in plots.lines(range(99), {"a": np.ones(99)}, ax=ax).lines[-1:]] == [""]


def test_values_in_order_and_the_interval_of_their_mean(ax):
    plots.in_order(np.array([0.5, -1.0, 2.0]), 0.5, -0.1, 1.1, ax=ax)
    assert [bar.get_height() for bar in ax.patches[:3]] == [-1.0, 0.5, 2.0]
    assert ax.patches[3].get_extents().transformed(ax.transData.inverted()).ymin == pytest.approx(-0.1)


def test_dots_stand_in_the_row_of_their_name_and_zones_reach_two_errors(ax):
    plots.dots(["a", "b"], {"x": [0.1, 0.2], "y": [0.3, 0.4]}, ax=ax)
    assert [list(line.get_xdata()) for line in ax.lines] == [[0.1, 0.2], [0.3, 0.4]]
    assert [tuple(np.rint(line.get_ydata())) for line in ax.lines] == [(0, 1), (0, 1)]
    other = plt.subplots()[1]
    plots.zones(["near", "far"], [1.0, 52.0], [0.75, 0.75], ax=other)
    bars = [p for p in other.patches if isinstance(p, Rectangle)]
    assert [(bar.get_x(), bar.get_width()) for bar in bars[:2]] == [(-2, 4), (-1, 2)]
    assert [float(np.asarray(line.get_xdata())[0]) for line in other.lines[:2]] == [1.0, 9.0]
    assert [t.get_text() for t in other.texts] == ["+52 →"]


def test_names_of_a_kind_share_a_label_and_the_others_are_written(ax):
    points = {"VAE 0": (0.1, 1.0), "VAE 1": (0.2, 2.0), "EASE": (0.3, 3.0), "random": (0.0, 0.0)}
    plots.named_points(points, {"VAE": "five seeds"}, unnamed=["random"], ax=ax)
    assert [tuple(np.asarray(c.get_offsets())[0]) for c in ax.collections] == list(points.values())
    assert ax.get_legend_handles_labels()[1] == ["five seeds"]
    assert [t.get_text() for t in ax.texts] == ["EASE"]


def test_only_tests_that_were_ever_beyond_the_limit_are_coloured(ax):
    plots.looks(np.array([[0.5, 1.0], [-2.5, 0.0]]), np.array([4.0, 3.0]), ax=ax)
    assert [line.get_color() for line in ax.lines[:2]] == ["0.8", plots.COLOURS[3]]
    assert list(ax.lines[-1].get_ydata()) == [4.0, 3.0]


def test_a_lift_stands_at_the_ratio(ax):
    plots.lifts({"a": [(0.5, 0.4, 0.7)], "b": [(0.0, -0.1, 0.1)]}, ax=ax)
    marks = [line for line in ax.lines if line.get_marker() == "o"]
    assert [float(np.asarray(line.get_xdata())[0]) for line in marks] == [1.5, 1.0]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["-20%", "0", "+50%", "+100%", "+300%", "+700%"]


def test_growth_in_proportion_starts_at_the_first_size(ax):
    plots.growth([10, 20], np.array([0.01, 0.015]), floor=np.array([0.005, 0.01]), ax=ax)
    drawn = {line.get_label(): list(np.asarray(line.get_ydata())) for line in ax.lines}
    assert drawn["if time were proportional"] == pytest.approx([10, 20])
    assert drawn["one update"] == pytest.approx([10, 15])
    assert drawn["three products alone"] == pytest.approx([5, 10])


def test_growth_as_counted_follows_the_operations(ax):
    plots.growth([10, 20], np.array([0.01, 0.015]), count=np.array([100, 130]), ax=ax)
    drawn = {line.get_label(): list(np.asarray(line.get_ydata())) for line in ax.lines}
    assert drawn["if time followed the count"] == pytest.approx([15 / 1.3, 15])


def test_items_of_one_user_only_have_the_third_colour(ax):
    plots.pair_of_rows(np.array([[1, 1, 0], [1, 0, 0]]), ax=ax)
    assert ax.images[0].get_array().tolist() == [[1, 2, 0], [1, 0, 0]]


def test_the_map_of_contraction_and_the_users_beside_it(ax):
    keep = np.linspace(0, 1, 5)
    plots.contraction_map(keep, 1 / (1 + 2 * keep), ax=ax)
    assert list(ax.lines[0].get_ydata()) == pytest.approx(list(1 / (1 + 2 * keep)))
    side = plt.subplots()[1]
    plots.sideways({"a": np.array([0.1, 0.1]), "b": np.array([0.6])}, 0.5, ax=side)
    assert list(np.asarray(side.lines[0].get_ydata())) == [0.5, 0.5]
    assert set(side.get_legend_handles_labels()[1]) == {"a", "b"}


def test_the_latent_plane_shows_everybody_and_the_star(ax):
    mu, sd = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]]), np.array([[1.0, 2.0], [0.5, 0.5], [0.1, 0.2]])
    plots.latent_plane(mu, sd, np.array([0, 0, 1]), 2, ax=ax)
    assert sorted((e.width, e.height) for e in ax.patches) == [(0.2, 0.4), (1.0, 1.0), (2.0, 4.0)]
    assert [len(c.get_offsets()) for c in ax.collections] == [2, 1, 1]
    assert ax.collections[-1].get_offsets().tolist() == [[3, 1]]


def test_a_zoom_centres_the_star(ax):
    mu = np.array([[0.5, -1.0], [4.0, 4.0]])
    plots.clouds(mu, np.ones((2, 2)), np.zeros(2), np.array([-1.0, 1.0]), 0, {}, zoom=2.0, ax=ax)
    assert ax.get_xlim() == (-1.5, 2.5)
    assert ax.get_ylim() == (-3, 1)


def test_a_batch_estimate_off_the_scale_is_written_down(ax):
    plots.batch_bracket([2, 100], np.array([0.6, 4.0]), np.array([99.0, 5.0]), ax=ax)
    assert [t.get_text() for t in ax.texts] == ["99"]
    assert ax.lines[2].get_ydata().tolist() == pytest.approx([np.log(2), np.log(100)])


def test_dots_on_the_diagonal_attain_their_bound(ax):
    plots.against_bound({"a": ([1.0, 4.0], [0.5, 4.0])}, ax=ax)
    line = ax.lines[0].get_xydata()
    assert (line[:, 0] == line[:, 1]).all()
    assert ax.collections[0].get_offsets().tolist() == [[1, 0.5], [4, 4]]


def test_posteriors_on_a_line_show_some_users_and_the_mean_of_all(ax):
    each = np.array([[0.6, 0.0], [0.0, 1.2], [0.6, 0.6]])
    plots.posteriors_on_a_line(np.array([0.0, 1.0]), each, np.array([0.3, 0.4]), shown=2, ax=ax)
    drawn = [line.get_ydata().tolist() for line in ax.lines]
    assert drawn == [[0.6 / 6, 0], [0, 1.2 / 6], pytest.approx([0.4, 0.6]), [0.3, 0.4]]
