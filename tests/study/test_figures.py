"""Figures of a study: every number that is drawn, every colour and every word that says what is seen."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure
from msgspec.structs import replace

from minivae import plots
from minivae.options import METRICS
from minivae.ranking import Difference
from minivae.runtime.table import as_markdown
from minivae.study.draws import report as draws_report
from minivae.study.output import figures, tables
from minivae.study.run.records import Comparison, GroupDifference, Level
from minivae.study.run.results import ModelResult
from minivae.study.run.settings import Section
from minivae.study.search import report as search_report
from tests.study.test_golden_others import combined, search, study


class Recorded(list):
    """Takes the place of a function that draws."""

    def __call__(self, *arguments, **named):
        self.append((arguments, named))


@pytest.fixture
def drawn(monkeypatch):
    """Every call of the functions that draw, by name."""
    calls = {n: Recorded() for n in ("intervals", "sensitivity", "learning_curves", "latent_map", "tried", "budget")}
    for name, record in calls.items():
        monkeypatch.setattr(plots, name, record)
    return calls


def comparison(a, b, difference, low, high, metric="ndcg@100"):
    return Comparison(a, b, metric, difference, 0.0, low, high, 9)


def test_differences_are_drawn_with_their_ends(drawn):
    rows = [comparison("m", "ease", 0.1, -0.2, 0.3), comparison("m", "ease", 9, 9, 9, "recall@20")]
    figure = figures.paired([*rows, comparison("own", "m", -0.4, -0.5, -0.1)])
    ((labels, middle, low, high, label),), ((named),) = zip(*drawn["intervals"], strict=True)
    assert list(labels) == ["m − ease", "own − m"]
    assert (list(middle), list(low), list(high)) == ([0.1, -0.4], [-0.2, -0.5], [0.3, -0.1])
    assert label == "difference of test nDCG@100"
    assert named["reference"] == 0
    assert list(named["colours"]) == figures.colours(["m", "own"])
    assert figure.get_size_inches().tolist() == pytest.approx([8, 1.4 + 2 * 0.42])
    assert figures.paired([rows[1]]) is None


def test_a_model_keeps_its_colour():
    first = figures.colours(["ease", "popularity", "z", "b"])
    assert first == [plots.COLOURS[k % len(plots.COLOURS)] for k in (1, 0, 6, 5)]
    assert figures.colours(["multvae+anchor"]) == [plots.COLOURS[4 % len(plots.COLOURS)]]


def test_levels_are_drawn_with_half_of_a_95_percent_interval(drawn):
    models, _ = study()
    figure = figures.metrics(models)
    assert len(drawn["intervals"]) == len(METRICS) == len(figure.axes)
    assert figure.get_size_inches().tolist() == pytest.approx([10, 1.2 + 8 * 0.38])
    for metric, ((names, mean, low, high, label), named) in zip(METRICS, drawn["intervals"], strict=True):
        assert names == [m.name for m in models]
        levels = [m.pooled()[metric] for m in models]
        assert mean == pytest.approx([v[0] for v in levels])
        assert low == pytest.approx([v[0] - 1.96 * v[1] for v in levels])
        assert high == pytest.approx([v[0] + 1.96 * v[1] for v in levels])
        assert label.lower() == f"test {metric}"
        assert named["colours"] == figures.colours(names)


def test_anchors_are_drawn_over_all_users_and_by_activity(drawn):
    _, value = study()
    figure = figures.anchors(value.claims)
    assert figure.get_size_inches().tolist() == pytest.approx([8, 1.4 + 12 * 0.36])
    (((labels, middle, low, high, _), named),) = drawn["intervals"]
    wanted = []
    for c in value.claims:
        wanted.append((f"{c.a} − {c.b}", c.difference, c.low, c.high, plots.COLOURS[0]))
        groups = {k: g for k, g in c.groups.items() if g.difference is not None}
        wanted += [(f"{k} interactions", g.difference, g.low, g.high, "0.5") for k, g in groups.items()]
    assert [*zip(labels, middle, low, high, named["colours"], strict=True)] == wanted
    assert figures.anchors([]) is None
    assert GroupDifference(1).found is None


def test_a_sweep_is_drawn_in_the_order_of_its_setting(drawn):
    models, value = study()
    axis = Section("t", "", (("recvae", "multvae"), ("multdae", "multvae")), "beta")
    figures.sensitivity(axis, value)
    (((at, middle, low, high, name, label), _),) = drawn["sensitivity"]
    by = {d.a: d for d in value.differences if d.metric == "ndcg@100" and (d.a, d.b) in axis.pairs}
    order = [by["multdae"], by["recvae"]]  # β = .2 and .5
    assert list(at) == [0.2, 0.5]
    assert (list(middle), list(low), list(high)) == (
        [d.difference for d in order],
        [d.low for d in order],
        [d.high for d in order],
    )
    assert (name, label) == ("beta", "difference of test nDCG@100 to multvae")
    assert figures.sensitivity(Section("t", "", (("recvae", "multvae"),), "beta"), value) is None
    assert models


def test_learning_curves_are_those_of_the_log(drawn):
    models, _ = study()
    others = {"published": ([1], [0.3])}
    figures.curves(models, others)
    (((trained, levels, given), named),) = drawn["learning_curves"]
    assert set(trained) == {m.name for m in models} - {"ease", "popularity"}
    assert [len(run) for run in trained["recvae"]] == [30, 31, 32, 33]
    assert set(trained["recvae"][0]) == {0.44}
    assert levels == {"ease": pytest.approx(models[1].pooled("validation")["ndcg@100"][0])}
    assert given is others
    assert named["colours"] == figures.colours(list(trained))
    assert figures.curves(models[:2], {}) is None
    words = figures._curves_in_words([m for m in models if m.name in ("ease", "recvae")])
    assert words == "recvae is highest, 0.4400, at epoch 20 of 30."


def test_words_say_on_which_side_of_0_an_interval_lies():
    rows = [comparison("a", "b", 0.1, 0.05, 0.2), comparison("a", "c", -0.1, -0.2, -0.05)]
    assert figures._in_words([*rows, comparison("b", "c", 0.01, -0.1, 0.2)]) == (
        "a minus b +0.1000, interval above 0; a minus c -0.1000, interval below 0; "
        "b minus c +0.0100, interval around 0."
    )


def test_latent_spaces_have_a_panel_each_and_users_with_a_history(drawn, monkeypatch, toy_split):
    """Seven models in two rows of five places; the colour bar stands at the last."""
    import torch

    import minivae as mv

    model = mv.MultVAE(toy_split.n_items, hidden=4, latent=2).eval()
    monkeypatch.setattr(figures, "load_model", lambda folder: model)

    class There:
        def __truediv__(self, name):
            return SimpleNamespace(is_file=lambda: name == "model.safetensors")

    runs = [SimpleNamespace(log=[1], folder=There())]
    models = [ModelResult(f"m{k}", runs) for k in range(7)] + [ModelResult("ease", [SimpleNamespace(log=[])])]
    figure = figures.latent(models, toy_split)
    assert len(figure.axes) == 7
    assert figure.get_size_inches().tolist() == pytest.approx([1 + 3.6 * 5, 8])
    names = [a[2] for a, _ in drawn["latent_map"]]
    assert names == [f"m{k}" for k in range(7)]
    assert [n["bar"] for _, n in drawn["latent_map"]] == [False] * 6 + [True]
    activity = np.diff(toy_split.test.history.indptr)
    (mu, of, _), _ = drawn["latent_map"][0]
    np.testing.assert_array_equal(of, activity[activity > 0])
    with torch.no_grad():
        np.testing.assert_allclose(mu, model.encode(toy_split.test.history[activity > 0])[0].numpy())
    assert figures.latent(models[7:], toy_split) is None


def test_what_is_written_has_a_caption_and_what_is_not_is_removed(drawn, monkeypatch, tmp_path, toy_split):
    models, value = study()
    saved = []
    monkeypatch.setattr(figures, "save", lambda figure, out, name: saved.append(name))
    monkeypatch.setattr(figures, "latent", lambda models, split: None)
    for kind in figures.FORMATS:
        (tmp_path / f"latent.{kind}").touch()
    found = figures.write_figures(models, value, toy_split, tmp_path)
    assert saved == ["metrics", "anchors", "differences", "curves", "section-2"]
    assert list(found) == [f"{n}.png" for n in saved]
    assert not list(tmp_path.iterdir())
    levels = {r.model: r.metrics["ndcg@100"].mean for r in value.summary}
    assert found["metrics.png"].seen == f"nDCG@100 of {'; '.join(f'{n} {v:.4f}' for n, v in levels.items())}."
    best = [d for d in value.differences if d.metric == "ndcg@100"]
    assert found["differences.png"].seen == figures._in_words(best)
    assert found["anchors.png"].seen == figures._in_words(value.claims)
    assert found["curves.png"].caption.startswith("Validation nDCG@100 by epoch; EASE needs no epochs.")
    swept = [d for d in best if (d.a, d.b) in {("recvae", "multvae"), ("multdae", "multvae")}]
    assert found["section-2.png"].seen == figures._in_words(swept)


def test_a_forest_of_draws_has_each_draw_and_then_the_pooled_difference(drawn):
    value = combined("draws")
    figure = draws_report.forest(value)
    assert figure.get_size_inches().tolist() == pytest.approx([8, 1.4 + 9 * 0.3])
    (((labels, middle, low, high, _), named),) = drawn["intervals"]
    rows = [r for r in value.differences if r.metric == "ndcg@100"]
    assert list(labels) == [t for r in rows for t in ("draw 5", "draw x|y", f"{r.a} − {r.b}")]
    every = [d for r in rows for d in (*r.draws, r.pooled)]
    assert list(middle) == [d.difference for d in every]
    assert (list(low), list(high)) == ([d.low for d in every], [d.high for d in every])
    assert list(named["colours"]) == ["0.6", "0.6", plots.COLOURS[0]] * 3


def test_draws_of_which_nothing_can_be_drawn_are_a_page_without_a_figure(tmp_path, monkeypatch):
    value = replace(combined("draws"), differences=[])
    assert draws_report.forest(value) is None
    draws_report.write(value, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {f"combined.{kind}" for kind in ("json", "csv", "md", "html", "tex")}
    text = (tmp_path / "combined.md").read_text(encoding="utf-8")
    assert text == as_markdown(draws_report.compose(value, False))
    page = (tmp_path / "combined.html").read_text(encoding="utf-8")
    assert "<h1" in page
    assert "<img" not in page
    assert (tmp_path / "combined.csv").read_text(encoding="utf-8") == tables.csv_text(draws_report.rows(value))


def test_trials_are_drawn_by_setting_and_by_budget(drawn):
    value = search()
    figure = search_report.overview(value)
    assert figure.get_size_inches().tolist() == pytest.approx([6.4, 2.6 * 4])
    calls = [a for a, _ in drawn["tried"]]
    of = {name: [t for t in m.trials if t.validation] for name, m in value.models.items()}
    assert [(values, scores, chosen, key, label, log) for values, scores, chosen, key, label, log, _ in calls] == [
        ([400, 200], [t.score for t in of["ease"]], 1, "l2", "nDCG@100", True),
        ([1e-3, 2.5e-4, 4e-3], [t.score for t in of["multvae"]], 2, "lr", "nDCG@100", False),
        (["raw", "raw", "other"], [t.score for t in of["multvae"]], 2, "mask", "", False),
        ([1], [0.2], 0, "k", "nDCG@100", False),
    ]
    assert [a[6] for a in calls] == [figures.colours(["ease", "multvae", "own+model"])[k] for k in (0, 1, 1, 2)]
    ((curves,), named) = drawn["budget"][0]
    assert curves["multvae"] == pytest.approx(search_report.expected_best([0.4, 0.39, 0.41]))
    assert curves["ease"] == pytest.approx(search_report.expected_best([0.301, 0.3456]))
    assert named["colours"] == figures.colours(["ease", "multvae", "own+model"])
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == ["ease", "multvae", "", "own+model", ""]


def test_a_figure_is_kept_in_three_kinds_and_removed_from_all(tmp_path):
    """Two inches by one at a hundred dots: the width and height stand at bytes 16 to 23 of a PNG."""
    figures.save(Figure(figsize=(2, 1)), tmp_path, "f")
    assert {p.name for p in tmp_path.iterdir()} == {"f.png", "f.svg", "f.pdf"}
    png = (tmp_path / "f.png").read_bytes()
    assert (int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")) == (200, 100)
    assert "<dc:date>" not in (tmp_path / "f.svg").read_text(encoding="utf-8")
    assert b"CreationDate" not in (tmp_path / "f.pdf").read_bytes()
    figures.remove(tmp_path, "f")
    assert not list(tmp_path.iterdir())


def test_an_interval_is_an_estimate():
    assert isinstance(figures.forest([("x", Difference(0.1, 0.0, 0.0, 0.2), "0.5")], 0.3), Figure)
    assert figures.forest([], 0.3) is None
    assert Level(0.1, 0.2).seed_se is None
