"""A study whose numbers say little is named after its results, in the report and on the terminal."""

import random
from types import SimpleNamespace

import pytest

from minivae.cli import main
from minivae.study.output.report import degenerate
from minivae.study.run.records import Level, ModelSummary

MODELS = ["--models", "popularity,ease"]


def study(folder, rows, capsys, *words):
    (folder / "t.csv").write_text("user,item\n" + "".join(f"{u},{i}\n" for u, i in rows))
    out = folder / "study"
    assert main(["study", "--data", str(folder / "t.csv"), *MODELS, *words, "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    conclusion = (out / "report.md").read_text(encoding="utf-8").partition("## Data")[0]
    return shown[shown.index("popularity") :], conclusion


@pytest.mark.parametrize(
    ("rows", "words", "sentence"),
    [
        ([(u, i) for u in range(120) for i in range(20)], (), "every test user has every item"),
        ([(u, i) for u in range(120) for i in range(20)], (), "all 2 models have the same nDCG@100"),
        (
            [(u, i) for u in range(60) for i in random.Random(u).sample(range(20), 8)],
            ("--heldout", "28"),
            "only 4 train",
        ),
    ],
)
def test_it_is_said_after_the_results(tmp_path, capsys, rows, words, sentence):
    shown, conclusion = study(tmp_path, rows, capsys, *words)
    assert f"warning: {sentence}" in shown
    assert f"**Warning:** {sentence}" in conclusion


def test_sound_data_are_not_doubted(tmp_path, capsys):
    draw = random.Random(1)
    rows = [(u, i) for u in range(300) for i in draw.sample(range(40), draw.randint(6, 12))]
    shown, conclusion = study(tmp_path, rows, capsys)
    assert "warning" not in shown
    assert "Warning" not in conclusion


def test_ties_and_perfection_are_seen():
    def results(*means):
        levels = [{"ndcg@100": Level(mean, 0.01)} for mean in means]
        summary = [ModelSummary(f"m{k}", 1, of, {}, 0.5, 10.0) for k, of in enumerate(levels)]
        return SimpleNamespace(data=SimpleNamespace(warnings=[]), summary=summary)

    assert degenerate(results(0.3, 0.4)) == []
    assert len(degenerate(results(0.3, 0.3))) == 1
    assert len(degenerate(results(1.0, 0.4))) == 1
    assert len(degenerate(results(1.0, 1.0))) == 2
    assert degenerate(results(0.3)) == []
