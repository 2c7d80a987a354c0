"""Other reports word for word: a study of every kind of outcome, draws together, a search, observations, anchors.

`python -m tests.study.test_golden_others` writes the files anew; read the difference before it is committed.
"""

from pathlib import Path

import numpy as np
import pytest

from minivae.data.audit import Finding
from minivae.data.catalogue import DATASETS
from minivae.options import METRICS, SELECTION
from minivae.ranking import Evaluation
from minivae.runtime.memory import Peak
from minivae.runtime.records import MeanInterval
from minivae.runtime.table import as_markdown
from minivae.study.draws import anchor_law
from minivae.study.draws import report as draws_report
from minivae.study.draws.pooling import Pooled
from minivae.study.draws.records import Combined, MeanDifference, PooledDifference, PooledLevel, UsersTested
from minivae.study.observations import prototype
from minivae.study.output import report, tables
from minivae.study.output.figures import Drawn
from minivae.study.run import results
from minivae.study.run.records import (
    Doubt,
    Environment,
    Level,
    Metrics,
    ModelSettings,
    PresetNote,
    Study,
    StudyData,
)
from minivae.study.run.runs import Result, by_activity, means
from minivae.study.run.settings import Section
from minivae.study.search import report as search_report
from minivae.study.search.records import Design, SearchData, Searched, SearchResults, Tried
from tests.study.rows import fold_in_of

FOLDER = Path(__file__).parent / "golden"
SIZES = np.array([6, 9, 20, 20, 40, 60, 70, 90, 300, 5])
"""Interactions of each test user; the last but one is alone in its group, with 60 held-out items."""
FACTOR = {"recall@20": 1.0, "recall@50": 1.1, "ndcg@100": 0.9}
MODELS = {  # level over users, its pattern over users, what the ninth user has more, seeds
    "popularity": (0.10, 3, 0.0, 1),
    "ease": (0.41, 1, 0.0, 1),
    "multvae": (0.40, 7, 0.0, 3),
    "multvae+anchor": (0.47, 9, 0.0, 3),
    "recvae": (0.44, 9, 0.0, 4),
    "recvae+anchor": (0.37, 7, 0.0, 4),
    "multdae": (0.43, 1, 0.0, 2),
    "multdae+anchor": (0.39, 3, 0.4, 2),
}


def per_user(level, pattern, more, seed):
    """Metrics of ten users: each has its own place in a pattern, and seeds differ by a few thousandths."""
    k = np.arange(10)
    values = level + (pattern * k % 10 - 4.5) / 100 + seed * (k % 3 - 0.5) / 500
    values[8] += more
    values[9] = np.nan  # nothing is held out
    return {m: values * FACTOR[m] for m in METRICS}


def made_run(name, seed, test):
    level, pattern, more, _ = MODELS[name]
    scored = Evaluation(
        per_user(level, pattern, more, seed), np.diff(test.heldout.indptr), level + seed / 100, 50 + 100 * level + seed
    )
    checked = Evaluation(per_user(level - 0.02, pattern, 0.0, seed), scored.n_heldout, 0.9, 9.0)
    trained = name not in ("popularity", "ease")
    metrics = Metrics(
        model=name,
        seed=seed,
        test=means(scored),
        validation=means(checked),
        epochs=30 + seed if trained else 0,
        best_epoch=20 - seed if trained else None,
        seconds=100 * level + seed,
        parameters=int(1e6 * level),
        peak_memory=Peak(int(1e9 * (1 + level)) if trained else 999_400_000, int(1e9 * level) if trained else None),
        files={},
        recommended={},
        groups=by_activity(scored, test),
    )
    log = [{"epoch": e, "updates": 5 * e, "validation": level} for e in range(1, 31 + seed)] if trained else []
    return Result(Path(name), metrics, {"test": scored, "validation": checked}, log)


def training(name):
    return {
        "anneal_steps": 100,
        "beta": 0.5 if name.startswith("recvae") else 0.2,
        "anchor_steps": 0,
        "anchor": 1.0 if name.endswith("+anchor") else 0.0,
        "epochs": 40,
        "patience": 10,
        "seed": 0,
    }


def study():
    """Anchors help one model, hurt another, and make no difference to the third that could be seen."""
    test = fold_in_of(SIZES, SIZES // 5 * (np.arange(10) < 9), 320)
    runs = [made_run(name, s, test) for name, (*_, n) in MODELS.items() for s in range(n)]
    models = results.group(runs)
    sections = [
        Section("Steps", "Each | with the one before.", (("multvae+anchor", "multvae"), ("multvae", "ease"))),
        Section("By β", "No steps.", (("recvae", "multvae"), ("multdae", "multvae"), ("absent", "ease")), "beta"),
        Section("Nobody ran", "Left out.", (("absent", "ease"),)),
    ]
    specs = {
        m.name: ModelSettings(
            m.name.split("+")[0].title(),
            {"hidden": 8} if m.runs[0].log else {},
            training(m.name) if m.runs[0].log else {},
            {"ease": 9, "recvae": 16, "recvae+anchor": 9}.get(m.name, 0),
        )
        for m in models
    }
    pairs = results.comparisons([m.name for m in models], sections)
    known = results.doubts(models, specs, pairs)
    counts = DATASETS["ml-20m"].counts
    described = StudyData(
        name="ml-20m",
        items=counts["vocabulary"],
        titles=False,
        events={"training": 4000},
        heldout_events={},
        protocol_in_words="Global cut in time.",
        filters={},
        warnings=[],
        leakage=[
            Finding("test", "users that were trained on", 1234, 5678, True),
            Finding("test", "users known", None, 9, False),
        ],
        density=0.02345,
        users={"training": counts["training users"], "validation": 11, "test": 10},
        users_without_heldout={"test": 0},
        items_per_user={},
        users_per_item={},
        protocol={"rule": "time"},
        source={"data": "a.csv", "min_rating": 4},
        searchable="mine",
    )
    origin = {"method": "random", "data": "ml-20m", "trials": 16, "seed": 3, "sha256": "others"}
    return models, Study(
        command="minivae study",
        date="2026-01-02 03:04 UTC",
        to_decide="minivae study --seeds 3",
        data=described,
        environment=Environment("0", "3", "0", "2", "a system", "one", 1, 1, "cpu", "float32"),
        preset=PresetNote("default", "Every outcome", specs, origin),
        runs=results.run_rows(models),
        summary=results.summary(models, test),
        differences=results.differences(models, pairs, known),
        claims=results.claims(models, test, known),
        sections=sections,
        recall_definitions=results.recall_definitions(models, 30),
    )


def combined(design):
    """Two draws of three models; anchors help, and of the other pair it is not decided."""
    names, draws = ("ease", "multvae", "multvae+anchor"), ["5", "x|y"]

    def level(model, metric, k):
        return Level(0.2 + 0.1 * names.index(model) + 0.03 * METRICS.index(metric) + 0.001 * k, 0.004 + 0.001 * k)

    levels = [
        PooledLevel(
            n, m, [level(n, m, k) for k in (0, 1)], Pooled(level(n, m, 2).mean, 0.1, 0.7 - level(n, m, 2).mean, 0, 0)
        )
        for n in names
        for m in METRICS
    ]
    doubts = [Doubt("multvae", "1 seed", "…", {"seeds": 3}), Doubt("multvae", "best epoch is the last", "…", {})]
    rows = []
    for a, b, sign, verdict, against in (
        ("multvae", "ease", -1, "not decided", doubts),
        ("multvae+anchor", "multvae", 1, "helps", []),
        ("multvae+anchor", "ease", 1, "cannot be told apart", []),
    ):
        for m in METRICS:
            middle = sign * (0.03 + 0.01 * METRICS.index(m))
            half = 0.5 if "apart" in verdict else 0.02
            each = [MeanDifference(middle + 0.001 * k, 0.01, middle - 0.002 * k, middle + 0.003 * k) for k in (1, 2)]
            pooled = Pooled(middle, middle - half, middle + half / 2, half, 0.0)
            rows.append(PooledDifference(a, b, m, each, pooled, verdict, against))
    return Combined(
        data="some data",
        draws=draws,
        design=design,
        seeds={"ease": 1, "multvae": 2, "multvae+anchor": 3},
        test_users=UsersTested([1000, 1001], 1900),
        training_users=[9000, 9001],
        searched_on=["5"] if design == "draws" else draws,
        levels=levels,
        differences=rows,
    )


def tried(k, settings, score, **more):
    """A finished trial; recalls lie above its score."""
    levels = {m: Level(score * FACTOR[m] / 0.9, 0.002 + k / 1000) for m in METRICS}
    return Tried(k, settings, levels, **more)


def search():
    """EASE tried three times, one of which diverged; a VAE with two seeds; a model with nothing to choose."""
    ease = [
        tried(0, {"l2": 400}, 0.301, epochs=0, best_epoch=None, seconds=30.0, parameters=9),
        Tried(1, {"l2": 1e9}, diverged="NaN in epoch 1"),
        tried(2, {"l2": 200}, 0.3456, epochs=0, best_epoch=None, seconds=45.0, parameters=9),
    ]
    scores = {"7": 0.4, "8": 0.41}
    vae = [
        tried(k, {"lr": lr, "mask": mask}, score, epochs=e, best_epoch=b, seconds=60.0 * e, parameters=5, seeds=scores)
        for k, (lr, mask, score, e, b) in enumerate(
            [(1e-3, "raw", 0.4, 50, 20), (2.5e-4, "raw", 0.39, 60, 30), (4e-3, "other", 0.41, 70, 33)]
        )
    ]
    models = {
        "ease": Searched("EASE", {"l2": {"low": 50, "high": 2000, "log": True}}, None, 2, ease[2].settings, {"l2": 200},
                         True, [], ease),
        "multvae": Searched("MultVAE", {"lr": [1e-3, 4e-3], "mask": ["raw", "other"]}, 50, 2, vae[2].settings,
                            {"hidden": 8, "lr": 4e-3, "mask": "other"}, False, ["lr"], vae),
        "own+model": Searched("X", {"k": [1]}, None, 0, {}, {}, True, [],
                              [tried(0, {"k": 1}, 0.2, epochs=0, seconds=1.0)]),
    }  # fmt: skip
    data = SearchData("ml|20m", "abc", 100, {"training": 1234, "validation": 567}, {"seed": 11})
    return SearchResults(data, "default", Design("random", 3, 7, 2, SELECTION), {}, models)


def observed():
    """Numbers of three seeds under every key; in the last seed all are alike, so that no strict claim holds there."""
    variants = [*prototype.NAMES.values(), "masked β=4", "masked β=0.02", "masked+PIA λ=5 β=0.2", "clean β=1 (wide)"]
    keys = {key for _, _, key in prototype.published.prototype()} | {"largest ratio", "proved", "active", "kl"}
    keys = sorted(k for k in keys | {"anchor norm", "ndcg"} if not k.startswith("local"))
    rng = np.random.default_rng(4)
    found = {}
    for v in variants:
        beta = float(v.split("β=")[1].split()[0])
        seeds = [{k: round(float(rng.uniform(0.1, 2)), 3) for k in keys} | {"seed": s, "beta": beta} for s in (0, 1)]
        found[v] = [*seeds, dict.fromkeys(keys, 1.0) | {"seed": 2, "beta": beta}]
    found[prototype.PIA] = found[prototype.PIA][::-1]  # rows are matched by seed, not by position
    del found[prototype.CLEAN][1]["proved"]
    toys = [
        {"local same 0": 0.9, "local other 0": 0.004, "local same 100": 0.5, "local same 300": 0.1,
         "proved same 0": 0.3},
        {"local same 0": 0.9, "local other 0": 0.0, "local same 100": 0.9, "local same 300": 0.2, "proved same 0": 0.1},
        {"local same 0": 0.9, "local other 0": 0.001, "local same 100": 0.5, "local same 300": 0.5,
         "proved same 0": 0.0},
    ]  # fmt: skip
    return found, toys


def observations(comparable):
    rows = prototype.compare(*observed(), comparable=comparable)
    return as_markdown([*prototype.compose(rows, "Observations | made up"), prototype.conclusion(rows)])


def law():
    """Two forms; of the first one row helps, one hurts, and two touch 0."""
    ends = {"full": [(0.001, 0.003), (-0.003, -0.001), (0.0, 0.002), (-0.002, 0.0)], "direction": [(0.01, 0.02)]}
    rows = []
    for form, of in ends.items():
        for k, (low, high) in enumerate(of):
            gain, few = MeanInterval((low + high) / 2, low, high), {"5–10": MeanInterval(low, low, low)}
            rows.append(anchor_law.LawRow("s", k, "multvae", form, 0.4, 0.5 * k, gain, {}, few, {}))
    return rows


def composed():
    """Name -> text of every golden file."""
    models, value = study()
    seen = {
        f"{n}.png": Drawn(f"Caption of {n}.", f"Seen: {n}.") for n in ("metrics", "anchors", "differences", "section-2")
    }
    seen |= {f"{n}.png": Drawn(f"Caption of {n}.") for n in ("curves", "latent")}
    law_rows = law()
    return {
        "every-outcome.md": as_markdown(report.compose(value, models, seen)),
        "metrics.csv": tables.csv_text(tables.metrics_rows(value)),
        "differences.csv": tables.csv_text(tables.difference_rows(value.differences)),
        "draws.md": as_markdown(draws_report.compose(combined("draws"), True)),
        "folds.md": as_markdown(draws_report.compose(combined("folds"), False)),
        "draws.csv": tables.csv_text(draws_report.rows(combined("draws"))),
        "search.md": as_markdown(search_report.compose(search(), "minivae tune")),
        "trials.csv": search_report.to_csv(search()),
        "best.toml": search_report.to_toml(search(), "minivae tune"),
        "observations.md": observations(True),
        "observations-elsewhere.md": observations(False),
        "anchors.md": as_markdown([anchor_law.conclusion(law_rows), anchor_law.table(law_rows)]),
    }


GOLDEN = (
    *("every-outcome.md", "metrics.csv", "differences.csv", "draws.md", "folds.md", "draws.csv", "search.md"),
    *("trials.csv", "best.toml", "observations.md", "observations-elsewhere.md", "anchors.md"),
)


@pytest.fixture(autouse=True)
def one_day(monkeypatch):
    """A search says when and where it was made; here that is always the same."""
    monkeypatch.setattr(search_report, "made", lambda: "2026-01-02 03:04 UTC, one.")


@pytest.mark.parametrize("name", GOLDEN)
def test_a_report_is_word_for_word_what_was_read_and_found_right(name):
    assert composed()[name] == (FOLDER / name).read_text(encoding="utf-8")


@pytest.mark.slow
def test_what_is_written_are_these_texts_a_page_and_a_figure(tmp_path, monkeypatch):
    """Beside each text its numbers as JSON, and a page that shows the figure."""
    import json

    texts = composed()
    draws_report.write(combined("draws"), tmp_path / "draws")
    search_report.write(search(), "minivae tune", tmp_path / "search")
    models, value = study()
    seen = {"metrics.png": Drawn("Caption.", "Seen.")}
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "metrics.png").write_bytes((tmp_path / "draws" / "combined.png").read_bytes())
    (tmp_path / "study" / "metrics.svg").write_bytes((tmp_path / "draws" / "combined.svg").read_bytes())
    report.write(value, models, seen, tmp_path / "study")
    for folder, file, golden in (
        *(("draws", "combined.md", "draws.md"), ("draws", "combined.csv", "draws.csv")),
        *(("search", "search.md", "search.md"), ("search", "trials.csv", "trials.csv")),
        ("search", "best.toml", "best.toml"),
    ):
        assert (tmp_path / folder / file).read_text(encoding="utf-8") == texts[golden]
    assert (tmp_path / "study" / "report.md").read_text(encoding="utf-8") == as_markdown(
        report.compose(value, models, seen)
    )
    for name in ("draws/combined", "search/search", "study/report"):
        assert "tabular" in (tmp_path / f"{name}.tex").read_text(encoding="utf-8")
        page = (tmp_path / f"{name}.html").read_text(encoding="utf-8")
        assert page.count("data:image/svg+xml") == 1
    for name in ("draws/combined", "search/search"):
        assert (tmp_path / f"{name}.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert json.loads((tmp_path / "draws/combined.json").read_text())["draws"] == ["5", "x|y"]
    trials = json.loads((tmp_path / "search/trials.json").read_text())
    assert (trials["command"], set(trials["models"])) == ("minivae tune", {"ease", "multvae", "own+model"})


def test_the_verdicts_of_the_made_up_study_are_those_of_its_intervals():
    """The golden file shows them; here they are worked out."""
    _, value = study()
    said = {row.b: row.verdict for row in value.claims}
    assert said == {"multvae": "helps", "recvae": "hurts", "multdae": "cannot be told apart"}


if __name__ == "__main__":
    search_report.made = lambda: "2026-01-02 03:04 UTC, one."
    for file, text in composed().items():
        (FOLDER / file).write_text(text, encoding="utf-8")
