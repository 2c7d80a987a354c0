"""The report over several draws or folds: which number stands where, on numbers made up by hand."""

import csv
import io
import json

import pytest

from minivae import plots
from minivae.study.draws import report
from minivae.study.draws.pooling import Pooled
from minivae.study.draws.records import Combined, MeanDifference, PooledDifference, PooledLevel, UsersTested
from minivae.study.run.records import Doubt, Level

SHORT = Doubt("multvae", "best epoch is the last", "It was stopped.", {"epochs": 9})
DRAWN = [MeanDifference(0.012, 0.001, 0.010, 0.015), MeanDifference(-0.02, 0.002, -0.024, -0.017)]


def difference(a, b, metric, pooled, doubts=(), verdict="helps"):
    return PooledDifference(a, b, metric, DRAWN, Pooled(*pooled, 0.7, 0.8), verdict, doubts)


def level(model, metric, first):
    """Levels that follow from the first, so that no two are alike."""
    each = [Level(first, 0.001, 0.003), Level(first + 0.01, 0.002)]
    return PooledLevel(model, metric, each, Pooled(first + 0.002, first - 0.03, first + 0.04, 0.5, 0.6))


def combined(design="draws", **changes):
    wins, loses, open_ = (0.005, 0.001, 0.011), (-0.006, -0.013, -0.002), (0.003, -0.001, 0.008)
    known = {
        "data": "toys",
        "draws": ["7", "9"],
        "design": design,
        "seeds": {"multvae+anchor": 3, "multvae": 2, "ease": 1},
        "test_users": UsersTested([1200, 1300], 2222),
        "training_users": [5000, 6000],
        "searched_on": [],
        "levels": [
            level("multvae+anchor", "ndcg@100", 0.31),
            level("multvae+anchor", "recall@20", 0.61),
            level("multvae", "ndcg@100", 0.35),
            level("ease", "ndcg@100", 0.41),
            level("ease", "recall@20", 0.71),
        ],
        "differences": [
            difference("multvae+anchor", "multvae", "ndcg@100", wins),
            difference("multvae", "ease", "ndcg@100", loses, verdict="hurts"),
            difference("multvae", "ease", "recall@20", wins, [SHORT], "not decided"),
            difference("ease", "multvae+anchor", "ndcg@100", open_, verdict="cannot be told apart"),
        ],
    }
    return Combined(**known | changes)


@pytest.mark.parametrize(("design", "kind"), [("draws", "draw"), ("folds", "fold")])
def test_a_level_stands_under_its_draw_and_beside_its_model(design, kind):
    table = report.levels(combined(design))
    assert table.header == ["model", "fewest seeds", f"{kind} 7", f"{kind} 9", "pooled"]
    assert table.cells() == [
        ["multvae+anchor", "3", ".3100 ± .0010 (.0030)", ".3200 ± .0020", ".3120 [.2800, .3500]"],
        ["multvae", "2", ".3500 ± .0010 (.0030)", ".3600 ± .0020", ".3520 [.3200, .3900]"],
        ["ease", "1", ".4100 ± .0010 (.0030)", ".4200 ± .0020", ".4120 [.3800, .4500]"],
    ]
    recall = report.levels(combined(design), "recall@20").cells()
    assert [(row[0], row[2][:5]) for row in recall] == [("multvae+anchor", ".6100"), ("ease", ".7100")]


@pytest.mark.parametrize(("design", "kind"), [("draws", "draw"), ("folds", "fold")])
def test_a_difference_is_first_minus_second_and_names_the_better_one(design, kind):
    table = report.differences(combined(design))
    assert table.header == ["difference", f"{kind} 7", f"{kind} 9", "pooled", "conclusion"]
    drawn = ["+.0120 [+.0100, +.0150]", "−.0200 [−.0240, −.0170]"]
    assert table.cells() == [
        ["multvae+anchor − multvae", *drawn, "+.0050 [+.0010, +.0110]", "multvae+anchor is better"],
        ["multvae − ease", *drawn, "−.0060 [−.0130, −.0020]", "ease is better"],
        ["ease − multvae+anchor", *drawn, "+.0030 [−.0010, +.0080]", "cannot be told apart"],
    ]
    (doubted,) = report.differences(combined(design), "recall@20").cells()
    assert (doubted[0], doubted[-1]) == ("multvae − ease", "not decided: best epoch is the last")


def test_only_a_model_against_itself_without_anchors_answers_whether_they_help():
    table = report.claims(combined())
    assert table.header == ["with anchors", "without", "difference of nDCG@100, pooled", "PIA"]
    assert table.cells() == [["multvae+anchor", "multvae", "+.0050 [+.0010, +.0110]", "helps"]]
    pair = difference("multvae+anchor", "multvae", "recall@20", (0.005, 0.001, 0.011))
    assert report.claims(combined(differences=[pair])).rows == ()


def test_the_csv_has_a_line_for_each_draw_and_for_the_pooled_value():
    first, *lines = report.rows(combined())
    assert first == ["a", "b", "metric", "draw", "difference", "low", "high"]
    assert len(lines) == 4 * 3
    assert lines[:3] == [
        ["multvae+anchor", "multvae", "ndcg@100", "7", "0.012", "0.01", "0.015"],
        ["multvae+anchor", "multvae", "ndcg@100", "9", "-0.02", "-0.024", "-0.017"],
        ["multvae+anchor", "multvae", "ndcg@100", "pooled", "0.005", "0.001", "0.011"],
    ]
    assert lines[8] == ["multvae", "ease", "recall@20", "pooled", "0.005", "0.001", "0.011"]


@pytest.mark.parametrize(("design", "kind"), [("draws", "draw"), ("folds", "fold")])
def test_the_figure_has_the_draws_in_grey_above_the_pooled_value(design, kind):
    (ax,) = report.forest(combined(design)).axes
    labels = {round(t.get_position()[1]): t.get_text() for t in ax.get_yticklabels()}
    drawn = [f"{kind} 7", f"{kind} 9"]
    wanted = ["multvae+anchor − multvae", "multvae − ease", "ease − multvae+anchor"]
    assert [labels[y] for y in range(8, -1, -1)] == [name for pair in wanted for name in (*drawn, pair)]
    bars = {}
    for points, _, (bar,) in ax.containers:
        ((low, y), (high, _)) = bar.get_segments()[0]
        bars[round(y)] = pytest.approx((points.get_xdata()[0], low, high)), points.get_color()
    ends = [(d.difference, d.low, d.high) for d in DRAWN]
    pooled = [(0.005, 0.001, 0.011), (-0.006, -0.013, -0.002), (0.003, -0.001, 0.008)]
    at = [value for whole in pooled for value in (*ends, whole)]
    assert [bars[y] for y in range(8, -1, -1)] == [
        (value, plots.COLOURS[0] if k % 3 == 2 else "0.6") for k, value in enumerate(at)
    ]
    other = [d for d in combined().differences if d.metric != "ndcg@100"]
    assert report.forest(combined(differences=other)) is None
    height = [report.forest(combined(differences=combined().differences[:n])).get_figheight() for n in (1, 2)]
    assert height == pytest.approx([1.4 + 0.9, 1.4 + 1.8])


def headings(parts):
    return [p if isinstance(p, str) and p.startswith("#") else type(p).__name__ for p in parts]


@pytest.mark.parametrize(("design", "kind", "how"), [("draws", "draw", "METHOD"), ("folds", "fold", "FOLDS")])
def test_the_report_has_its_parts_in_their_order(design, kind, how):
    parts = report.compose(combined(design), True)
    assert parts[0] == f"# toys: 2 {kind}s of users"
    assert parts[1] == (
        f"{kind.capitalize()}s 7, 9: 2,500 test users, 2,222 different ones. In each {kind} ± is a standard error over "
        "test users, and brackets a paired 95 % t interval; a user's value is averaged over seeds first."
    )
    assert parts[2] == getattr(report, how)
    assert headings(parts[3:9]) == [
        "## Test nDCG@100", "Table", "## Does PIA help?", "Table", "## Paired differences", "Table",
    ]  # fmt: skip
    assert [parts[k].header[0] for k in (4, 6, 8)] == ["model", "with anchors", "difference"]
    caption = f"Differences of test nDCG@100 in each {kind} (grey) and pooled, 95 % intervals."
    assert any(caption in p for p in parts[9:-2])
    assert parts[-2] == "## Test Recall@20"
    assert [row[0] for row in parts[-1].cells()] == ["multvae+anchor", "ease"]
    assert not any(isinstance(p, str) and "combined.png" in p for p in report.compose(combined(design), False))


def test_a_report_without_anchors_or_without_differences_leaves_their_parts_out():
    pair = difference("multvae", "ease", "ndcg@100", (0.005, 0.001, 0.011))
    assert "## Does PIA help?" not in report.compose(combined(differences=[pair]), False)
    assert "## Paired differences" in report.compose(combined(differences=[pair]), False)
    parts = report.compose(combined(differences=[]), False)
    assert headings(parts[3:]) == ["## Test nDCG@100", "Table", "## Test Recall@20", "Table"]


@pytest.mark.parametrize(
    ("on", "said"),
    [
        ([], "2,222 different ones. In each"),
        (["9"], "Settings were searched on the validation users of draw 9 alone; some of them may be test users of"),
        (["7", "9"], "Settings were searched on the validation users of each draw. In each"),
    ],
)
def test_the_report_names_the_draws_whose_users_were_searched(on, said):
    assert said in report.compose(combined(searched_on=on), False)[1]


def test_the_report_says_that_settings_were_searched_elsewhere():
    there = report.compose(combined("folds", searched_elsewhere=True), False)[1]
    assert "validation users of another draw of held-out users, or of other data: some of them may be test" in there
    assert "Settings" not in report.compose(combined("folds"), False)[1]


def test_each_file_holds_what_its_name_says(tmp_path):
    value = combined()
    report.write(value, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {
        f"combined.{kind}" for kind in ("json", "csv", "md", "tex", "html", "png", "svg", "pdf")
    }
    assert json.loads((tmp_path / "combined.json").read_text(encoding="utf-8"))["test users"]["different"] == 2222
    text = (tmp_path / "combined.csv").read_text(encoding="utf-8")
    assert list(csv.reader(io.StringIO(text))) == report.rows(value)
    page = (tmp_path / "combined.html").read_text(encoding="utf-8")
    assert "<title>toys: 2 draws of users</title>" in page
    assert page.count("data:image/") == 1
    assert "ease is better" in page
    assert (tmp_path / "combined.md").read_text(encoding="utf-8").startswith("# toys: 2 draws of users\n")


def test_without_differences_no_figure_is_written(tmp_path):
    report.write(combined(differences=[]), tmp_path)
    assert not (tmp_path / "combined.png").exists()
    assert "combined.png" not in (tmp_path / "combined.md").read_text(encoding="utf-8")
