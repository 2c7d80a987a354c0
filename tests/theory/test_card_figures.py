"""Figures of the report card and of the observations draw the numbers that they are given, each where it belongs."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.patches import Circle

from minivae.plots import card, kl_term, masking, theory
from minivae.plots.style import COLOURS


@pytest.fixture
def ax():
    _, ax = plt.subplots()
    yield ax
    plt.close("all")


def lines_of(ax):
    """Label -> x and y of every line that has a name."""
    return {
        line.get_label(): (np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist())
        for line in ax.lines
        if not line.get_label().startswith("_")
    }


def dots_of(ax):
    return {c.get_label(): np.asarray(c.get_offsets()).tolist() for c in ax.collections}


def test_the_largest_ratio_and_the_proved_constant_are_lines_through_their_ends(ax):
    """Ratios 0.5, 2 and 1; pairs of equal inputs or posteriors have no place on logarithmic axes."""
    inputs, latent = np.array([2.0, 1.0, 4.0, 0.0, 5.0]), np.array([1.0, 2.0, 4.0, 1.0, 0.0])
    theory.lipschitz_line(inputs, latent, 123.4, ax=ax)
    assert lines_of(ax) == {
        "proved: slope 120": ([1, 4], [123.4, 4 * 123.4]),
        "largest seen: slope 2": ([1, 4], [2, 8]),
    }
    assert sorted(map(tuple, dots_of(ax)["_child0"])) == [(1, 2), (2, 1), (4, 4)]
    ax.clear()
    theory.lipschitz_line(inputs, latent, None, ax=ax)
    assert list(lines_of(ax)) == ["largest seen: slope 2"]
    ax.clear()
    theory.lipschitz_line(np.array([1.0, 2.0]), np.array([1234.0, 10.0]), 0.123, ax=ax)
    assert list(lines_of(ax)) == ["proved: slope 0.12", "largest seen: slope 1,200"]


def test_the_chain_is_a_waterfall_that_writes_down_what_each_link_loses(ax):
    """0.9, then 0.5 (0.40 lost), then 0.5 and 0.496 (too little to write): the first link is on top."""
    chain = {"inner product": 0.9, "gradient distance": 0.5, "coupling": 0.5, "own": 0.496}
    other = dict.fromkeys(chain, 0.25) | {"inner product": 0.125}
    theory.certificate_chain({"pairs": chain, "views": other}, ax=ax)
    bars = [(p.get_x(), p.get_width(), round(p.get_y() + p.get_height() / 2, 6)) for p in ax.patches]
    first, lost, second, gained = (bars[k : k + 4] for k in (0, 4, 8, 12))
    assert first == [(0, 0.9, 3.2), (0, 0.5, 2.2), (0, 0.5, 1.2), (0, 0.496, 0.2)]
    assert [(left, at) for left, _, at in lost] == [(0.9, 3.2), (0.5, 2.2), (0.5, 1.2), (0.496, 0.2)]
    assert [width for _, width, _ in lost] == pytest.approx([0, 0.4, 0, 0.004])
    assert second == [(0, 0.125, 2.8), (0, 0.25, 1.8), (0, 0.25, 0.8), (0, 0.25, -0.2)]
    assert [width for _, width, _ in gained] == [0, 0, 0, 0]  # a link that certifies more loses nothing
    assert [(t.get_text(), *map(float, t.get_position())) for t in ax.texts] == [(" −0.40", 0.9, 2.2)]
    named = dict(zip(ax.get_yticks(), (t.get_text() for t in ax.get_yticklabels()), strict=True))
    assert named[3] == theory.LINKS["inner product"]
    assert named[1] == theory.LINKS["coupling"]
    assert named[0] == "own"
    assert ax.get_xlim() == (0, 1)
    ax.clear()
    theory.certificate_chain({"pairs": chain}, {"pairs": dict.fromkeys(chain, 0.1)}, ax=ax)
    assert ax.texts[0].get_position()[0] == pytest.approx(0.9)  # left + lost = 0.9 is beyond 0.5 + 0.1


def test_pairs_that_pay_nothing_are_counted_and_not_drawn(ax):
    at, curves = np.array([0.0, 1.0]), np.array([[1.0, 0.5], [1.0, 0.25]])
    share, distance = np.array([0.5, 1e-17, 0.0, 1e-16]), np.array([1.0, 20.0, 30.0, 9.0])
    theory.compromise_curve(at, curves, distance, share, ax=ax)
    assert [line.get_ydata().tolist() for line in ax.lines] == [[1, 0.5], [1, 0.25]]
    assert dots_of(ax) == {"pairs of this model": [[1, 0.5], [9, 1e-16]]}
    (text,) = ax.texts
    assert text.get_text().startswith("2 of 4 pairs are not drawn")
    assert text.get_text().endswith("(median distance 25)")
    assert ax.get_ylim() == pytest.approx((0.3e-16, 3))
    ax.clear()
    theory.compromise_curve(at, curves, np.ones(1), np.full(1, 0.5), ax=ax)
    assert not ax.texts
    assert ax.get_ylim() == pytest.approx((0.3e-3, 3))


def test_the_closing_radius_is_a_line_a_seed_and_a_colour_a_constant(ax):
    rows = [
        {"local same 0": 0.9, "local same 10": 0.5, "local other 0": 0.1, "proved same 0": 0.2, "proved same 10": 0.0},
        {"local same 0": 0.8, "local same 10": 0.4, "local other 0": 0.1, "proved same 0": 0.3, "proved same 10": 0.1},
    ]
    theory.closing_radius(rows, ax=ax)
    drawn = [(*np.asarray(line.get_data()).tolist(), COLOURS.index(line.get_color())) for line in ax.lines]
    assert drawn == [
        ([0, 10], [0.9, 0.5], 0),
        ([0, 10], [0.8, 0.4], 0),
        ([0, 10], [0.2, 0.0], 3),
        ([0, 10], [0.3, 0.1], 3),
    ]
    assert list(lines_of(ax)) == ["constant of each pair (measured)", "proved constant"]


def test_shrinkage_stands_over_the_square_of_tau(ax):
    theory.shrinkage_bound(np.array([0.5, 0.9]), np.array([0.2, 0.3]), np.array([0.1, 0.06]), ax=ax)
    dots = dots_of(ax)
    assert dots["trace"] == [pytest.approx([0.25, 0.2]), pytest.approx([0.81, 0.3])]
    assert dots["spectral norm"] == [pytest.approx([0.25, 0.1]), pytest.approx([0.81, 0.06])]
    x, y = lines_of(ax)["bound $\\tau^2$"]
    assert x == y == pytest.approx([0.04, 1])


def test_terms_of_the_anchor_loss_are_stacked_by_their_sum(ax):
    """Sums 6, 3 and 9: the second user first; scatter at the bottom, the mean's distance on top."""
    mean, variance, scatter = np.array([1.0, 1.0, 4.0]), np.array([2.0, 1.0, 3.0]), np.array([3.0, 1.0, 2.0])
    theory.anchor_terms(mean, variance, scatter, ax=ax)
    tops = [np.array([c.get_paths()[0].vertices[:, 1].max()]).item() for c in ax.collections]
    assert tops == [3, 5, 9]  # of scatter; with variance 3 + 2 = 5 and 2 + 3 = 5; of all
    assert [to_hex(c.get_facecolor()[0]) for c in ax.collections] == [to_hex(COLOURS[k]) for k in (2, 1, 0)]
    assert [c.get_label() for c in ax.collections] == [
        "scatter of the user's anchors",
        "spread of the posterior",
        "distance of $\\mu$ from the centroid",
    ]
    assert ax.get_xlim() == (0, 2)
    assert ax.get_ylim() == pytest.approx((0, 1.35 * 9))


def test_both_sides_of_the_kl_term(ax):
    kl_term.kl_sides(5.0, 3.0, 2.0, 4.0, ax=ax)
    assert [(p.get_y(), p.get_height()) for p in ax.patches] == [(0, 5), (0, 3), (3, 2)]
    centres = [p.get_x() + p.get_width() / 2 for p in ax.patches]
    assert centres == pytest.approx([0, 1, 1])
    assert [c.get_label() for c in ax.containers] == [
        "$E\\,KL(q_u \\| p)$, analytic",
        "$I(U; Z)$",
        "$KL(\\bar q \\| p)$",
    ]
    (ceiling,) = ax.collections
    assert np.asarray(ceiling.get_segments()[0])[:, 1].tolist() == [4, 4]
    assert ax.get_ylim() == pytest.approx((0, 1.45 * 5))


def test_dimensions_and_beta(ax):
    kl_term.kl_by_dimension(np.array([0.1, 2.0, 0.5]), ax=ax)
    assert ax.lines[0].get_xydata().tolist() == [[1, 2.0], [2, 0.5], [3, 0.1]]
    ax.clear()
    beta, active = np.array([1.0, 0.1, 1.0]), np.array([2.0, 9.0, 4.0])
    kl_term.active_over_beta(beta, active, 10, ax=ax)
    assert ax.lines[0].get_xydata().tolist() == [[0.1, 9], [1, 3]]
    assert ax.collections[0].get_offsets().tolist() == [[1, 2], [0.1, 9], [1, 4]]
    assert lines_of(ax)["all 10"][1] == [10, 10]
    ax.clear()
    kl_term.information_over_beta(beta, np.array([5.0, 8.0, 7.0]), np.array([1.0, 2.0, 2.0]), ax=ax)
    assert lines_of(ax) == {
        "$E\\,KL(q_u \\| p)$": ([0.1, 1], [8, 6]),
        "$I(U; Z)$": ([0.1, 1], [2, 1.5]),
    }


def test_the_law_of_a_masked_distance_beside_its_draws(ax):
    pmf = np.array([0.0, 0.25, 0.5, 0.25, 1e-9])
    masking.masked_law(np.array([1.0, 2.0, 2.0, 2.0]), pmf, 3.0, ax=ax)
    assert [bar.get_height() for bar in ax.containers[0]] == [0, 0.25, 0.75, 0, 0]
    drawn = lines_of(ax)
    assert drawn["exact law"] == ([0, 1, 2, 3, 4], pmf.tolist())
    assert drawn["without masks: 3"][0] == [3, 3]
    assert ax.containers[0].get_label() == "4 simulated masks"
    assert ax.get_xlim() == (0, 4)  # from one before the likely to one behind
    assert ax.get_ylim() == pytest.approx((0, 1.45 * 0.75))


def test_ratios_of_latent_distances_have_their_errors(ax):
    masking.contraction_by_distance(np.array([1.0, 2.0]), np.array([0.9, 1.1]), np.array([0.1, 0.3]), "β", 2, ax=ax)
    (bar,) = ax.containers
    line, _, (ends,) = bar.lines
    assert line.get_xydata().tolist() == [[1, 0.9], [2, 1.1]]
    assert [segment[:, 1].tolist() for segment in ends.get_segments()] == [
        pytest.approx([0.8, 1.0]),
        pytest.approx([0.8, 1.4]),
    ]
    assert to_hex(line.get_color()) == to_hex(COLOURS[2])


def test_a_star_its_radii_and_what_steps_on_the_others_do(ax):
    """Two communities; the third user is certified; nothing finite, no circle."""
    mu = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0], [2.0, 2.0]])
    change, certified = np.array([9.0, -0.02, 0.04, 0.01]), np.array([False, False, True, False])
    theory.sharing_plane(mu, np.array([0, 0, 1, 1]), change, certified, 0, 1.5, 0.5, ax=ax)
    circles = [(p.center, p.radius, p.get_linestyle()) for p in ax.patches if isinstance(p, Circle)]
    assert [(tuple(c), r, style) for c, r, style in circles] == [((0, 0), 1.5, "--"), ((0, 0), 0.5, "-")]
    own, other, star = ax.collections[:3]
    assert own.get_offsets().tolist() == [[1, 2]]
    assert other.get_offsets().tolist() == [[3, 1], [2, 2]]
    assert star.get_offsets().tolist() == [[0, 0]]
    assert other.get_array().tolist() == [0.04, 0.01]
    assert (own.norm.vmin, own.norm.vmax) == (-0.04, 0.04)  # the star's own change is no matter
    assert [to_hex(c) for c in other.get_edgecolors()] == [to_hex(COLOURS[5]), to_hex("0.7")]
    assert "10^{-2}" in ax.figure.axes[-1].get_ylabel()
    fresh = plt.subplots()[1]
    theory.sharing_plane(mu, np.zeros(4), 0 * change, certified, 0, np.inf, None, ax=fresh)
    assert not [p for p in fresh.patches if isinstance(p, Circle)]


# ------------------------------------------------------------------------------------------------- from card to figure


def test_each_statement_has_its_figure_with_its_numbers(monkeypatch):
    """What the panels are given, by name, is what the card has under that name."""
    seen = {}
    for module in (theory, kl_term, masking):
        for name in vars(module):
            if callable(getattr(module, name)) and getattr(getattr(module, name), "__module__", "") == module.__name__:
                monkeypatch.setattr(module, name, lambda *a, name=name, ax=None: seen.setdefault(name, []).append(a))
    plane = SimpleNamespace(
        **{"mu": np.zeros((4, 2)), "community": np.array([0, 0, 0, 1]), "user": 1, "reach": 7.0},
        **{"change": "change", "certified": "certified", "radius": np.array([1.0, 50.0, 3.0, 9.0])},
    )
    decomposition = SimpleNamespace(mean_kl=5, mutual_information=3, marginal_kl=2, mi_ceiling=4)
    latent = SimpleNamespace(clean="clean", ratio="ratio", ratio_se="error")
    terms = SimpleNamespace(**{f"{k}_term": torch.full((2,), v) for v, k in enumerate(("mean", "variance", "scatter"))})
    shown = {
        "Theorem 2.3": SimpleNamespace(plane=plane, chains="chains"),
        "Lemma 2.4": SimpleNamespace(inputs="inputs", latent="latent", constant="constant"),
        "Theorem 2.5": SimpleNamespace(at="at", curves="curves", distance="distance", share="share"),
        "β-KL": SimpleNamespace(decomposition=decomposition, kl="kl"),
        "Theorem 2.6": SimpleNamespace(draws="draws", pmf="pmf", clean="clean", common=3, keep=0.5, latent=latent),
        "Proposition 3.1": SimpleNamespace(terms=terms),
        "Proposition 3.2": SimpleNamespace(tau="tau", trace="trace", spectral="spectral"),
    }
    figures = card.theory_figures(SimpleNamespace(figures=shown))
    assert list(figures) == [
        *("theorem-2.3", "lemma-2.4", "theorem-2.5", "beta-kl", "theorem-2.6", "proposition-3.1", "proposition-3.2")
    ]
    ((mu, community, change, certified, user, reach, typical),) = seen.pop("sharing_plane")
    assert mu is plane.mu
    assert community is plane.community
    assert (change, certified, user, reach, typical) == ("change", "certified", 1, 7.0, 2.0)  # the median of 1 and 3
    (anchor,) = seen.pop("anchor_terms")
    assert [v.tolist() for v in anchor] == [[0, 0], [1, 1], [2, 2]]
    assert seen == {
        "certificate_chain": [("chains",)],
        "lipschitz_line": [("inputs", "latent", "constant")],
        "compromise_curve": [("at", "curves", "distance", "share")],
        "kl_sides": [(5.0, 3.0, 2.0, 4.0)],
        "kl_by_dimension": [("kl",)],
        "masked_law": [("draws", "pmf", "clean")],
        "contraction_by_distance": [("clean", "ratio", "error")],
        "shrinkage_bound": [("tau", "trace", "spectral")],
    }


def test_observations_are_drawn_as_means_and_spreads_over_seeds():
    """Two seeds of one β and one of another: a line for the variant with β = 0.2 alone, with the sd of two seeds."""

    def seed(beta, active, first):
        return {"beta": beta, "active": active, "kl": 4.0, "information": 3.0, "latent": 8} | {
            f"ratio {q}": first + q for q in range(1, 6)
        }

    found = {
        "masked β=0.2": [seed(0.2, 6.0, 0.0), seed(0.2, 8.0, 2.0)],
        "masked β=1": [seed(1.0, 2.0, 9.0)],
        "PIA λ=3 β=0.2": [seed(0.2, 1.0, 7.0)],
    }
    toys = [{"local same 0": 1.0, "proved same 0": 0.5}]
    figures = card.observation_figures(found, toys)
    assert list(figures) == ["observed-beta", "observed-contraction", "observed-radius"]
    left, right = figures["observed-beta"].axes
    assert left.lines[0].get_xydata().tolist() == [[0.2, 7], [1, 2]]
    assert "all 8" in lines_of(left)
    assert lines_of(right)["$I(U; Z)$"] == ([0.2, 1], [3, 3])
    (ax,) = figures["observed-contraction"].axes
    (bar,) = ax.containers
    assert bar.get_label() == "masked"
    assert bar.lines[0].get_xydata().tolist() == [[q, q + 1] for q in range(1, 6)]
    spread = [float(np.ptp(segment[:, 1])) for segment in bar.lines[2][0].get_segments()]
    assert spread == pytest.approx([2 * 2**0.5] * 5)
    one = card.observation_figures({"masked β=0.2": [seed(0.2, 6.0, 0.0)]}, toys)
    assert list(one) == ["observed-contraction", "observed-radius"]
