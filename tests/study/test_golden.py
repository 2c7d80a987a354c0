"""Whole reports, word for word: every table and every conclusion of a study whose numbers are made up by hand.

`python tests/study/test_golden.py` writes the files anew; read the difference before it is committed.
"""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from minivae.ranking import METRICS, Evaluation, paired_difference
from minivae.runtime.memory import Peak
from minivae.runtime.table import as_latex
from minivae.runtime.table import as_markdown as as_text
from minivae.runtime.text import PlainConsole
from minivae.study.draws import report as draws_report
from minivae.study.draws.pooling import Pooled, pool, pool_folds
from minivae.study.draws.records import Combined, MeanDifference, PooledDifference, UsersTested
from minivae.study.output import report, tables
from minivae.study.run import conclusions, results
from minivae.study.run.records import Environment, Metrics, ModelSettings, PresetNote, Study, StudyData
from minivae.study.run.results import ModelResult
from minivae.study.run.runs import Result, by_activity, means
from minivae.study.run.settings import Section
from minivae.training import TrainConfig
from tests.study.rows import fold_in_of

FOLDER = Path(__file__).parent / "golden"
SIZES = np.array([6, 9, 20, 20, 40, 60, 70, 120, 130, 5])  # interactions of each test user: all groups of activity
TRAINING = {
    "anneal_steps": 100,
    "beta": 0.2,
    "anchor_steps": 0,
    "anchor": 0.0,
    "epochs": 40,
    "patience": 10,
    "keep": 0.5,
    "seed": 0,
}
ENVIRONMENT = Environment("0", "3", "0", "2", "a system", "one", 1, 1, "cpu", "float32")


def fold_in():
    """Ten users; a fifth of each is held out, of the last nothing."""
    return fold_in_of(SIZES, np.where(np.arange(10) == 9, 0, SIZES // 5), 200)


def made_run(name, seed, level, test, best=30, epochs=40, coverage=0.5):
    """A run whose user k has level + k / 100 ± seed / 1,000, in recall a tenth more; the last has nothing held out."""
    values = level + np.arange(10) / 100 + seed / 1000 * (-1) ** np.arange(10)
    values[9] = np.nan
    per_user = {m: values + (0.1 if m.startswith("recall") else 0.0) for m in METRICS}
    scored = Evaluation(per_user, np.diff(test.heldout.indptr), coverage + seed / 10, 100.0 + seed)
    trained = name not in ("popularity", "ease")
    metrics = Metrics(
        model=name,
        seed=seed,
        test=means(scored),
        validation=means(scored),
        epochs=epochs if trained else 0,
        best_epoch=best if trained else None,
        seconds=12.5,
        parameters=1234,
        peak_memory=Peak(250_000_000, None),
        files={},
        recommended={},
        groups=by_activity(scored, test),
    )
    log = [{"epoch": e, "updates": 5 * e, "validation": level} for e in range(1, epochs + 1)] if trained else []
    return Result(Path(name), metrics, {"test": scored, "validation": scored}, log)


def study(seeds=3, best=30, wobble=0.0):
    """Models and results of a made-up study: EASE .40, clean .30, masked .32, anchors .35, popularity .10."""
    test = fold_in()
    levels = {"popularity": 0.1, "ease": 0.4, "multvae-clean": 0.3, "multvae": 0.32, "multvae+anchor": 0.35}
    runs = [
        made_run(name, s, level + wobble * s, test, best)
        for name, level in levels.items()
        for s in range(1 if level in (0.1, 0.4) else seeds)
    ]
    models = results.group(runs)
    sections = [
        Section("The paper's ablation", "Each step.", (("multvae+anchor", "multvae"), ("multvae", "multvae-clean")))
    ]
    specs = {m.name: ModelSettings("X", {}, TRAINING if len(m.runs[0].log) else {}) for m in models}
    pairs = results.comparisons([m.name for m in models], sections)
    known = results.doubts(models, specs, pairs)
    compared = results.differences(models, pairs, known)
    flags, _ = conclusions.remedy(compared)
    described = StudyData(
        name="made-up",
        items=200,
        titles=False,
        events={"training": 4000},
        heldout_events={},
        protocol_in_words="Strong generalization: test users are new.",
        filters={"read": {"users": 120, "items": 200}},
        warnings=["only 100 training users"],
        leakage=[],
        density=0.02,
        users={"training": 100, "validation": 10, "test": 10},
        users_without_heldout={"test": 1},
        items_per_user={},
        users_per_item={},
        protocol={"seed": 7},
        source={"data": "made-up"},
        searchable="s",
    )
    return models, Study(
        command="minivae study --data made-up",
        date="2026-01-02 03:04 UTC",
        to_decide=f"minivae study {' '.join(f'--{k} {v}' for k, v in flags.items())}" if flags else "",
        data=described,
        environment=ENVIRONMENT,
        preset=PresetNote("default", "Made up", specs, {}),
        runs=results.run_rows(models),
        summary=results.summary(models, test),
        differences=compared,
        claims=results.claims(models, test, known),
        sections=sections,
        recall_definitions=results.recall_definitions(models, 200),
    )


def composed():
    """Name -> text of every golden file."""
    found = {}
    for name, how in {"decided": {}, "one-seed": {"seeds": 1}, "too-short": {"best": 40}}.items():
        models, value = study(**how)
        found[f"{name}.md"] = as_text(report.compose(value, models, {}))
    models, value = study()
    table = replace(tables.metrics(value.summary), title="Test metrics", caption="Made up.")
    found |= {"metrics.tex": table.latex(), "metrics.html": table.html(), "metrics.md": table.markdown()}
    console = PlainConsole(width=100, file=io.StringIO(), record=True)
    console.print(table)
    found["metrics.txt"] = console.export_text()
    found["report.tex"] = as_latex(report.compose(value, models, {}))
    return found


GOLDEN = ("decided.md", "one-seed.md", "too-short.md", "metrics.tex", "metrics.html", "metrics.md", "metrics.txt")


@pytest.mark.parametrize("name", [*GOLDEN, "report.tex"])
def test_a_report_is_word_for_word_what_was_read_and_found_right(name):
    assert composed()[name] == (FOLDER / name).read_text(encoding="utf-8")


def test_groups_and_coverage_by_hand():
    value = study()[1]
    row = next(r for r in value.summary if r.model == "multvae")
    assert row.coverage == pytest.approx(np.mean([0.5, 0.6, 0.7]))
    assert row.popularity == pytest.approx(101)
    assert {k: g.users for k, g in row.groups.items()} == {"5–10": 2, "11–50": 3, "51–100": 2, "101+": 2}
    sign = (-1.0) ** np.arange(9)
    one = 0.32 + np.arange(9) / 100 + 0.001 * sign  # the mean over seeds 0, 1, 2
    assert row.metrics["ndcg@100"].mean == pytest.approx(one.mean())
    assert row.groups["51–100"].metrics["ndcg@100"].mean == pytest.approx(one[[5, 6]].mean())
    (claim,) = value.claims
    assert claim.difference == pytest.approx(0.03)
    assert {k: g.difference for k, g in claim.groups.items()} == pytest.approx(dict.fromkeys(claim.groups, 0.03))


def over_draws(values, users, n_train):
    """Both half widths of `pool`, written down user by user."""
    k = len(values)
    means_ = [np.mean(v) for v in values]
    parts = {}
    for v, names in zip(values, users, strict=True):
        for d, u in zip(v, names, strict=True):
            parts[u] = parts.get(u, 0.0) + (d - np.mean(v)) / (k * len(v))
    n = len(parts)
    variance = n / (n - 1) * sum(p**2 for p in parts.values())
    alone = sum(np.var(v, ddof=1) / len(v) for v in values) / k**2
    shared = max(0.0, variance - alone)
    t_users, t_draws = stats.t.ppf(0.975, n - 1), stats.t.ppf(0.975, k - 1)
    ratio = np.mean([len(v) / m for v, m in zip(values, n_train, strict=True)])
    own = (1 / k + ratio) * np.var(means_, ddof=1)
    return t_users * variance**0.5, (t_draws**2 * own + t_users**2 * shared) ** 0.5


def test_the_pooled_interval_counts_common_users_and_the_variance_between_draws():
    """Users in common, draws that differ: each term of both half widths matters."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        users = [rng.choice(60, 30, replace=False) for _ in range(3)]
        own = rng.standard_normal(60)
        values = [own[u] + 0.3 * rng.standard_normal() + 0.1 * rng.standard_normal(30) for u in users]
        n_train = [100, 120, 90]
        found = pool(values, users, n_train)
        by_users, by_draws = over_draws(values, users, n_train)
        assert (found.over_users, found.over_draws) == pytest.approx((by_users, by_draws))
        assert found.high - found.difference == pytest.approx(max(by_users, by_draws))
        distinct = [np.arange(30) + 100 * k for k in range(3)]
        assert pool(values, distinct, n_train).over_users < by_users  # a user that comes twice says less
        assert pool(values, distinct, n_train).over_draws < by_draws


def test_the_pooled_interval_covers():
    """Simulated draws of 60 from 120 users with effects of the draw: the interval covers in 95 of 100 cases or more."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(3000):
        own = rng.standard_normal(120)
        users = [rng.choice(120, 60, replace=False) for _ in range(4)]
        values = [own[u] + 0.1 * rng.standard_normal() for u in users]
        p = pool(values, users, [400] * 4)
        hits += p.low <= 0 <= p.high
    assert hits / 3000 >= 0.94


@pytest.mark.parametrize("pooling", [pool, lambda v, u, n: pool_folds(v)])
def test_the_sign_of_a_difference_follows_its_arguments(pooling):
    rng = np.random.default_rng(1)
    values = [0.5 + rng.standard_normal(40) for _ in range(3)]
    users, n_train = [np.arange(40) + 100 * k for k in range(3)], [200] * 3
    p, turned = pooling(values, users, n_train), pooling([-v for v in values], users, n_train)
    assert (p.difference, p.low, p.high) == pytest.approx((-turned.difference, -turned.high, -turned.low))
    assert p.difference == pytest.approx(np.mean([paired_difference(v).difference for v in values]))


def test_a_table_over_draws_names_the_winner_by_the_ends_of_the_interval():
    def made(low, verdict):
        pooled, each = Pooled(0.02, low, 0.05, 0.03, 0.0), MeanDifference(0.02, 0.01, 0.01, 0.03)
        row = PooledDifference("x+anchor", "x", "ndcg@100", [each, each], pooled, verdict, [])
        return Combined("d", ["1", "2"], "draws", {}, UsersTested([], 0), [], [], [], [row])

    assert draws_report.differences(made(-0.01, "cannot be told apart")).rows[0][-1] == "cannot be told apart"
    value = made(0.005, "helps")
    assert draws_report.differences(value).rows[0][-1] == "x+anchor is better"
    assert draws_report.claims(value).rows[0][-1] == "helps"


def test_the_made_up_settings_are_settings():
    assert set(TRAINING) <= set(vars(TrainConfig()))
    assert isinstance(study()[0][0], ModelResult)
    assert Study.from_dict(json.loads(json.dumps(study()[1].as_dict()))).as_dict()["claims"]


if __name__ == "__main__":
    for file, text in composed().items():
        (FOLDER / file).write_text(text, encoding="utf-8")
