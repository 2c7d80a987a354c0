"""The words of the explorables agree with their own numbers and curves, over grids of settings with their edges."""

import re
from itertools import product

import pytest

from minivae import explorables
from tests.explorables import engines

pytestmark = pytest.mark.skipif(engines.why_no_browser() is not None, reason=engines.why_no_browser() or "")
SAID = """(settings) => settings.map((change) => {
    explorable.update({ ...explorable.start, ...change });
    const marks = [...document.querySelectorAll('.picture text')].map((node) => node.textContent);
    return [change, document.querySelector('.reading').textContent, explorable.values(), marks];
})"""


@pytest.fixture(scope="module")
def tab():
    with engines.browser() as chromium:
        yield chromium.new_context(reduced_motion="reduce").new_page()


def said(tab, name, **grid):
    """Settings, reading, values and words of the picture, for all combinations of the settings."""
    tab.set_content(explorables.page(name))
    tab.wait_for_function("globalThis.explorable")
    return tab.evaluate(SAID, [dict(zip(grid, values, strict=True)) for values in product(*grid.values())])


def test_disc_is_certified_only_inside(tab):
    for s, words, _, _ in said(
        tab, "sharing-disc", g=[0.2, 1.55, 1.6], w=[0, 0.5, 1.5], mismatch=[0, 0.2, 0.4, 1.4], lipschitz=[0.1, 0.8]
    ):
        room = s["g"] - s["lipschitz"] * s["w"] - s["mismatch"]
        assert ("less than" in words and "not less" not in words) == (room > 1e-9), (s, words)
        assert ("may hurt" in words) == (room < -1e-9), (s, words)
        assert not re.search(r"= ([\d.]+) is less than the sharing radius \1\b", words)
    [[_, words, v, _]] = said(tab, "sharing-disc", w=[2], along=[0], across=[1])
    assert v["inner"] == 0
    assert "neither helps nor hurts" in words


def test_distance_is_exact_for_equal_shapes_only(tab):
    for s, words, _, _ in said(tab, "transport", thin=[0.02, 0.8, 1.48, 1.5], turn=[0, 1, 5, 90], shift=[0.1, 1.5]):
        assert ("exactly" in words) == (s["turn"] == 0 or s["thin"] == 1.5), (s, words)
        ends = re.search(r"between ([\d.]+) and ([\d.]+)\.", words)
        assert ends is None or float(ends[1]) < float(ends[2]), (s, words)


def test_who_merges_is_what_the_curve_says(tab):
    """With the borders of the two rules, D = 2β and the stable β of unequal numbers, which rounding may tip."""
    pairs = {20: (0, 2, 14, 20), 4: (16, 22), 30: (10, 12), 60: (40,)}
    for heavy, differ in ((heavy, d) for heavy, list_ in pairs.items() for d in list_):
        for s, words, v, marks in said(
            tab, "compromise", heavy=[heavy], differ=[differ], beta=[0, 1, 2.75, 3, 4, 5, 7, 10]
        ):
            [low] = [m for m in marks if m.startswith(("lowest", "level"))]
            assert ("They merge" in words) == (low == "lowest: merged"), (s, words, low)
            assert ("costs the same" in words) == (low == "level: nothing costs") == (differ == s["beta"] == 0)
            if heavy == 20:
                assert ("They merge" in words) == (s["beta"] > 0 and differ <= 2 * s["beta"]), (s, words)
                assert ("at most" in words) == (differ <= 2 * s["beta"]), (s, words)
            if "is stable" in words:
                assert s["beta"] > v["threshold"] + 1e-9
            if s["beta"] == 0 and differ:
                assert low == "lowest: 8.0 or more apart"


def test_ball_leaves_the_top(tab):
    said(tab, "compromise", t=[0], differ=[12], beta=[3])
    tab.click(".buttons button")
    assert tab.evaluate("explorable.state.t") > 3


@pytest.mark.parametrize("user", ["light", "heavy"])
def test_best_q_is_best_and_closes_the_gap_at_beta_one(tab, user):
    gaps = {}
    for beta in (0, 0.2, 0.5, 0.8, 0.9, 1, 1.1, 1.2, 2, 4):
        said(tab, "elbo", user=[user], beta=[beta])
        tab.click(".buttons button")
        found, state = tab.evaluate("[explorable.values(), explorable.state]")
        gaps[beta] = found["gap"]
        near = said(
            tab,
            "elbo",
            user=[user],
            beta=[beta],
            mu=[state["mu"] + k / 20 for k in range(-3, 4)],
            sd=[state["sd"] + k / 20 for k in range(-3, 4) if state["sd"] + k / 20 > 0.099],
        )
        assert found["objective"] <= min(v["objective"] for _, _, v, _ in near) + 1e-12
    assert gaps[1] == min(gaps.values())


def test_collapse_is_said_of_clouds_on_the_prior(tab):
    start = [-2.1, -1.3, -0.5, 0.2, 0.7, 1.4, 2.2]
    for s, words, v, _ in said(
        tab, "beta", tastes=[start, [2] * 7, [0] * 7], beta=[0.01, 0.5, 5, 100], surety=[0.2, 20]
    ):
        assert ("collapsed" in words) == (v["information"] < 0.05 and v["kl"] < 0.1), (s, words)
        assert ("ceiling" in words) == (v["information"] > 0.95 * v["ceiling"])


def test_steadier_only_beside_the_crowd(tab):
    for s, words, v, _ in said(
        tab, "anchors", steep=[0.05, 1, 2], flat=[0.05, 1], turn=[0, 45], apart=[0, 0.05, 1], **{"lambda": [0.05, 1]}
    ):
        assert ("are really steadier" in words) == (v["relative"] <= 0.97), (s, words)
        assert ("only the unit" in words) == (s["steep"] == s["flat"] and abs(v["relative"] - 1) < 1e-9), (s, words)


def test_more_users_or_seeds_or_alike(tab):
    for s, words, v, _ in said(tab, "users-and-seeds", a=[0, 0.05], b=[0, 0.0015, 0.02], m=[1, 5], n=[50, 1000]):
        more = v["twiceUsers"] - v["twiceSeeds"]
        assert ("alike" in words) == (abs(more) < 1e-9), (s, words)
        assert ("users help more" in words) == (more > 1e-9), (s, words)


def test_promise_is_kept_or_not_by_the_number(tab):
    for s, words, v, _ in said(tab, "peeking", seed=[1, 2, 3], evening=[1, 2, 30], effect=[0]):
        assert ("more than the promised" in words and "not more" not in words) == (
            s["evening"] > 1 and v["peeking"] > 0.05
        )
        assert ("one look" in words) == (s["evening"] == 1)
    [[_, _, v, marks]] = said(tab, "peeking", scale=[0.1])
    assert min(v["limits"]) > 4.6
    assert "limit: farther out" in marks


def test_ease_is_larger_for_the_reason_given(tab):
    for s, words, v, _ in said(tab, "cost", users=[1000, 1_000_000, 10_000_000], items=[300, 20_000, 1_000_000]):
        assert ("EASE takes more" in words) == (v["ease"] > v["vae"])
        assert ("its matrix" in words) == (v["ease"] > v["vae"] and 8 * s["items"] ** 2 > v["ease"]), (s, words)


def test_the_prediction_about_user_one_comes_true(tab):
    counts = [v["sure"] for _, _, v, _ in said(tab, "sharing-plane", user=[0], stop=[0, 1, 2, 3])]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] < counts[0]
    for _, words, v, _ in said(tab, "sharing-plane", user=list(range(24)), stop=[0, 2]):
        assert ("the radius is 0" in words) == (v["typical"] == 0)
        assert "closed" not in words
