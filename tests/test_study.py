"""Studies: what is run, what is kept, what the numbers in the report are."""

import csv
import json
import re
from importlib.resources import files

import numpy as np
import pytest
from scipy import stats

import minivae as mv
from minivae.catalogue import DATASETS
from minivae.cli import main
from minivae.errors import InputError
from minivae.ranking import METRICS, activity_groups
from minivae.storage import load_arrays
from minivae.study import lookup, presets, report, runner, tables
from minivae.study.sources import Source

MODELS = ["popularity", "ease", "multvae-clean", "multvae", "multvae+anchor"]
TINY = ["--epochs", "2", "--device", "cpu", "--precision", "fp32"]


@pytest.fixture(scope="module")
def split():
    return mv.strong_split(mv.planted(n_users=300, n_items=120, n_events=6000), n_heldout=60)


@pytest.fixture(scope="module")
def data(split, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "tiny.safetensors"
    split.save(path)
    return path


@pytest.fixture(scope="module")
def study(data, tmp_path_factory):
    """The folder of a study of all models with two seeds."""
    out = tmp_path_factory.mktemp("study") / "out"
    assert main(["study", "--data", str(data), *TINY, "--seeds", "2", "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def results(study):
    return json.loads((study / "results.json").read_text(encoding="utf-8"))


def per_user(study, model, metric):
    """(seeds, U) from the files of the runs."""
    folders = sorted((study / "runs").glob(f"{model}-seed*"))
    return np.array([load_arrays(f / "users.safetensors", "per-user metrics")[0][f"test/{metric}"] for f in folders])


def test_each_trained_model_runs_once_per_seed_and_each_baseline_once(results):
    runs = [(r["model"], r["seed"]) for r in results["runs"]]
    assert runs == [("popularity", 0), ("ease", 0)] + [(m, s) for m in MODELS[2:] for s in (0, 1)]
    for r in results["runs"]:
        assert r["split"] == "test"
        assert r["epochs"] == (0 if r["model"] in MODELS[:2] else 2)
        assert set(r["metrics"]) == set(METRICS)
        assert set(r["metrics"]["ndcg@100"]) == {"mean", "se"}
        assert r["seconds"] >= 0
    assert results["data"]["users"]["test"] == 60
    assert results["environment"]["device"] == "cpu"


def test_metrics_are_those_of_the_model_that_was_kept(study, results, split):
    for r in results["runs"]:
        folder = study / "runs" / f"{r['model']}-seed{r['seed']}"
        if r["model"] == "popularity":
            model = mv.Popularity().fit(split.train)
        elif r["model"] == "ease":
            model = mv.EASE(json.loads((folder / "config.json").read_text())["arguments"]["l2"]).fit(split.train)
        else:
            model = mv.load_model(folder)
        scored = mv.evaluate(model, split.test)
        for metric in METRICS:
            assert (r["metrics"][metric]["mean"], r["metrics"][metric]["se"]) == pytest.approx(scored[metric])
        for label, of in activity_groups(split.test).items():
            group = r["groups"][label]
            values = scored.per_user["ndcg@100"][of]
            assert group["users"] == (~np.isnan(values)).sum()
            if group["users"]:
                assert group["metrics"]["ndcg@100"]["mean"] == pytest.approx(np.nanmean(values))


def test_the_three_settings_differ_in_mask_and_anchors_only(study):
    training = {m: json.loads((study / f"runs/{m}-seed1/config.json").read_text())["training"] for m in MODELS[2:]}
    assert {m: (t.pop("keep"), t.pop("anchor")) for m, t in training.items()} == {
        "multvae-clean": (1.0, 0.0),
        "multvae": (0.5, 0.0),
        "multvae+anchor": (0.5, 1.0),
    }
    assert training["multvae"] == training["multvae-clean"] == training["multvae+anchor"]


def assert_paired(row, x, y):
    """A row of differences against scipy's paired t interval of per-user values, seeds averaged first."""
    x, y = x.mean(0), y.mean(0)
    there = ~np.isnan(x)
    test = stats.ttest_rel(x[there], y[there])
    interval = test.confidence_interval(0.95)
    assert row["users"] == there.sum()
    wanted = (np.nanmean(x) - np.nanmean(y), interval.low, interval.high)
    assert (row["difference"], row["low"], row["high"]) == pytest.approx(wanted)


def test_differences_are_paired_over_users_after_the_mean_over_seeds(study, results):
    pairs = {(d["a"], d["b"]) for d in results["differences"]}
    assert pairs == {(m, "ease") for m in MODELS[2:]} | {
        ("multvae", "multvae-clean"),
        ("multvae+anchor", "multvae"),
        ("multvae+anchor", "multvae-clean"),
    }
    for row in results["differences"]:
        x, y = (per_user(study, row[k], row["metric"]) for k in ("a", "b"))
        assert_paired(row, x, y)
        unpaired = {**row, "low": row["low"] - row["se"], "high": row["high"] + row["se"]}
        with pytest.raises(AssertionError):
            assert_paired(unpaired, x, y)
        if len(x) > 1:
            with pytest.raises(AssertionError):
                assert_paired(row, x[:1], y)  # the first seed alone


def test_the_summary_gives_errors_over_users_and_over_seeds(study, results):
    for row in results["summary"]:
        values = per_user(study, row["model"], "ndcg@100")
        of = row["metrics"]["ndcg@100"]
        users = values.mean(0)[~np.isnan(values[0])]
        assert of["mean"] == pytest.approx(users.mean())
        assert of["se"] == pytest.approx(users.std() / np.sqrt(len(users)))
        if row["model"] in MODELS[:2]:
            assert "seed_se" not in of
        else:
            assert of["seed_se"] == pytest.approx(np.nanmean(values, 1).std(ddof=1) / np.sqrt(2))


def test_the_report_holds_tables_and_figures_and_html_needs_no_other_file(study, results):
    text = (study / "report.md").read_text(encoding="utf-8")
    for name in ("metrics", "differences", "curves", "latent"):
        assert (study / f"{name}.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert f"({name}.png)" in text
    for word in (*MODELS, "Paired differences", "By activity", "Coverage", "Cost", "averaged over seeds"):
        assert word in text
    assert "Published" not in text
    assert f"Made from `{results['data']['source']['data']}`." in text
    page = (study / "report.html").read_text(encoding="utf-8")
    assert page.count("src=") == page.count('src="data:image/png;base64,') == 4
    assert "http" not in re.sub(r"base64,[^\"]+", "", page)
    assert page.count("<table>") == text.count("| --- |")


def test_a_resumed_study_keeps_what_is_done_and_repeats_what_is_lost(data, study, results, capsys):
    runs = study / "runs"
    kept = {p: p.stat().st_mtime_ns for p in runs.glob("*/model.safetensors")}
    lost = runs / "multvae-seed1"
    (lost / "metrics.json").unlink()
    (lost / "model.safetensors").unlink()
    kept.pop(lost / "model.safetensors")
    assert main(["study", "--data", str(data), *TINY, "--seeds", "2", "--out", str(study), "--resume"]) == 0
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    again = json.loads((study / "results.json").read_text(encoding="utf-8"))
    for r in (*results["runs"], *again["runs"]):
        r.pop("seconds")
    assert again == results
    assert str(study) in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (["--epochs", "3"], "epochs 2, now 3"),
        (["--preset", "ml-1m"], "preset"),
        (["--data", "{other}"], "made from other data"),
    ],
)
def test_a_study_is_not_mixed_with_another(change, expected, data, study, tmp_path, capsys):
    other = tmp_path / "other.safetensors"
    mv.strong_split(mv.planted(n_users=300, n_items=120, n_events=6000), n_heldout=50).save(other)
    before = (study / "results.json").read_bytes()
    argv = ["study", "--data", str(data), *TINY, "--seeds", "2", "--out", str(study), "--resume"]
    assert main([*argv, *(c.format(other=other) for c in change)]) == 2
    assert expected in capsys.readouterr().err
    assert (study / "results.json").read_bytes() == before


def test_models_can_be_added_later(data, tmp_path):
    argv = ["study", "--data", str(data), *TINY, "--out", str(tmp_path / "s")]
    assert main([*argv, "--models", "popularity"]) == 0
    assert not (tmp_path / "s/differences.png").exists()
    assert main([*argv, "--models", "ease,multvae", "--resume"]) == 0
    assert [s["model"] for s in json.loads((tmp_path / "s/results.json").read_text())["summary"]] == ["ease", "multvae"]


def test_a_dry_run_writes_nothing_and_counts_parameters(data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["study", "--data", str(data), *TINY, "--dry-run"]) == 0
    assert not list(tmp_path.iterdir())
    shown = capsys.readouterr().out
    n_items = mv.StrongSplit.load(data).n_items
    count = (2 * n_items * 600 + 600 + n_items) + (600 * 400 + 400) + (200 * 600 + 600)
    rows = {line.split()[0]: line for line in shown.splitlines() if line.strip() and line.split()[0] in MODELS}
    assert f" {count:,} " in rows["multvae"]
    assert f" {count + 200 * n_items:,} " in rows["multvae+anchor"]
    assert "min" in rows["multvae"]


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_makes_every_model(name, split):
    preset = presets.load(name)
    assert list(preset.models) == MODELS
    for spec in preset.pick(None):
        assert spec.config(seed=1).seed == 1
        assert spec.build(7).__class__.__name__ == spec.kind
    assert preset.data in {"", "planted", *DATASETS}


def test_a_preset_with_an_unknown_setting_is_refused():
    with pytest.raises(InputError, match="'depth'"):
        presets._spec("m", {"class": "MultVAE", "depth": 3}, {}, "x.toml")
    with pytest.raises(InputError, match="'Oracle'"):
        presets._spec("m", {"class": "Oracle"}, {}, "x.toml")


def test_one_user_alone_has_no_standard_error():
    metrics = {"ndcg@100": {"mean": 0.25, "se": 0.0}}
    some = {"5–10": {"users": 1, "metrics": metrics}, "11–50": {"users": 2, "metrics": metrics}}
    row = {"model": "m", "groups": some | {"51–100": {"users": 0, "metrics": {}}}}
    header, cells = tables.groups([row])
    assert header == ["model", "5–10 (1 user)", "11–50 (2 users)", "51–100 (0 users)"]
    assert cells == ["m", ".2500", ".2500 ± .0000", "–"]


def test_a_split_without_heldout_users_to_compare_is_refused(split, tmp_path):
    empty = mv.FoldIn(split.test.history, split.test.heldout * 0)
    bare = mv.StrongSplit(split.train, split.validation, empty, split.item_labels)
    plan = runner.Plan.make(presets.load("default"), presets.load("default").pick("popularity"), 1)
    with pytest.raises(InputError, match="test users have held-out items"):
        runner.run(plan, bare, Source(), tmp_path / "s", False)
    assert not (tmp_path / "s").exists()


def published():
    text = (files("minivae.study") / "published.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def test_every_published_figure_has_a_source_and_a_tag():
    rows = published()
    assert {r["data"] for r in rows} == {"ml-20m", "netflix", "msd"} <= set(DATASETS)
    assert {r["tag"] for r in rows} <= set(tables.TAGS)
    assert all(r["source"] and 0 < float(r["value"]) < 1 and r["metric"] in METRICS for r in rows)
    keys = [(r["data"], r["model"], r["metric"]) for r in rows]
    assert len(set(keys)) == len(keys)


def test_published_figures_stand_apart_and_only_beside_their_data(study, results):
    models = runner.results.group(runner.Result.load(p) for p in sorted((study / "runs").iterdir()))
    counts = DATASETS["msd"].counts
    described = results["data"] | {"name": "msd"}
    assert "Published" not in report.compose(results | {"data": described}, models, {})  # only the name is the same
    described |= {"items": counts["vocabulary"], "users": described["users"] | {"training": counts["training users"]}}
    text = report.compose(results | {"data": described}, models, {})
    ours, _, theirs = text.partition("## Published figures")
    assert ".389 [M]" in theirs
    assert "arXiv 1905.03375" in theirs
    assert "[M]" not in ours
    assert ".442 [S]" not in text  # of ML-20M
    assert len(tables.published("ml-1m")) == len(tables.published("planted")) == 1


@pytest.mark.parametrize(
    ("value", "shown"), [(0.41354, ".4135"), (-0.01, "−.0100"), (1.0, "1.0000"), (-0.00001, ".0000"), (0.0, ".0000")]
)
def test_numbers_are_written_as_in_the_field(value, shown):
    assert tables.number(value) == shown


def test_items_are_found_by_title_label_or_part():
    x = np.ones((3, 4), np.float32)
    titles = np.array(["Toy Story (1995)", "Toy Story 2 (1999)", "Heat (1995)", "Heat"])
    users = mv.FoldIn(x, x)
    split = mv.StrongSplit(x, users, users, np.array([1, 3114, 6, 9]), titles)
    found = {"Toy Story (1995)": 0, " toy story 2 (1999) ": 1, "story 2": 1, "3114": 1, "heat": 3, "HEAT (": 2}
    assert {text: lookup.find_item(split, text) for text in found} == found
    refused = {
        "Toy Story": r"matches 2 items: Toy Story \(1995\); Toy Story 2 \(1999\);",
        "Toi Story (1995)": r"did you mean Toy Story \(1995\)",
        "zzz": "no item is called 'zzz'; titles look like",
        " ": "empty title",
    }
    for text, message in refused.items():
        with pytest.raises(InputError, match=message):
            lookup.find_item(split, text)


def test_a_user_is_found_with_everything_that_is_known(split):
    for labels, matrix in (
        (split.test.user_labels, split.test.history + split.test.heldout),
        (split.validation.user_labels, split.validation.history + split.validation.heldout),
        (split.train_labels, split.train),
    ):
        assert (lookup.history_of(split, str(labels[7])) != matrix[7]).nnz == 0
    with pytest.raises(InputError, match="some that are"):
        lookup.history_of(split, "nobody")
