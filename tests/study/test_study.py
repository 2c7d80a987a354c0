"""Studies: what is run, what is kept, what the numbers in the report are."""

import csv
import json
import mmap
import re
from dataclasses import replace
from importlib.resources import files
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from matplotlib.figure import Figure
from msgspec.structs import replace as changed
from scipy import stats

import minivae as mv
from minivae import plots
from minivae.cli.main import main
from minivae.data import lookup
from minivae.data.catalogue import DATASETS, Description
from minivae.errors import InputError
from minivae.ranking import METRICS, Difference, activity_groups
from minivae.runtime.memory import peak, status
from minivae.runtime.storage import load_arrays
from minivae.runtime.table import as_markdown as as_text
from minivae.study import runner
from minivae.study.output import published as published_results
from minivae.study.output import report, tables
from minivae.study.run import presets
from minivae.study.run import results as results_of
from minivae.study.run.conclusions import effect
from minivae.study.run.records import BothRecalls, Group, Level, Study
from minivae.study.run.results import ModelResult, recall_definitions
from minivae.study.run.sources import Source
from tests.report_pages import dead_links

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
        "multvae+anchor": (0.5, presets.for_data("planted").model("multvae+anchor").settings["anchor"]),
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
    for name in ("metrics", "anchors", "differences", "curves", "latent"):
        assert (study / f"{name}.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert f"({name}.png)" in text
    sections = ("Does PIA help?", "Paired differences", "The paper's ablation", "By activity", "Coverage", "Cost")
    for word in (*MODELS, *sections, "What the definition of Recall changes", "averaged over seeds"):
        assert word in text
    assert "Published" not in text
    assert "by epoch; EASE needs no epochs.*" in text
    assert f"Made from `{results['data']['source']['data']}`." in text
    page = (study / "report.html").read_text(encoding="utf-8")
    assert page.count("src=") == page.count('src="data:image/svg+xml;base64,') == 5
    assert "://" not in re.sub(r"base64,[^\"]+", "", page)
    assert dead_links(page) == []
    assert len(set(re.findall(r'href="(#model-[^"]*)"', page))) == len(MODELS)
    assert len(re.findall(r'href="#row-[^"]*"', page)) == len(MODELS)  # and back, to the first row of each
    assert page.count("<table>") == len(re.findall(r"^\| -{3}", text, re.M))


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
    before = json.loads(json.dumps(results))
    assert before.pop("date").endswith(" UTC")
    again.pop("date")
    for value in (before, again):
        value.pop("sha256")
    for r in (*before["runs"], *again["runs"]):
        r.pop("seconds")
        r.pop("peak_memory")
    assert again == before
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
    spec = presets.for_data("planted").model("multvae")
    h, d = spec.value("hidden"), spec.value("latent")
    count = (2 * n_items * h + h + n_items) + (h * 2 * d + 2 * d) + (d * h + h)
    rows = {line.split()[0]: line for line in shown.splitlines() if line.strip() and line.split()[0] in MODELS}
    assert f" {count:,} " in rows["multvae"]
    assert f" {count + d * n_items:,} " in rows["multvae+anchor"]
    assert rows["multvae"].rstrip().endswith((" s", " min"))
    assert "How early a run stops is not known" in " ".join(shown.split())


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_makes_every_model(name, split):
    preset = presets.load(name)
    assert list(preset.models)[: len(MODELS)] == MODELS
    chosen = [spec.name for spec in preset.pick(None)]
    if name in ("ml-20m", "netflix", "msd"):  # the paper's tables: each VAE with and without anchors
        vaes = ["multdae", "multvae", "recvae", *(["hvamp"] if name != "msd" else [])]
        assert {*MODELS, *vaes, *(f"{vae}+anchor" for vae in vaes)} == set(chosen)
    elif not name.startswith(("ablation", "anchor-law")):
        assert chosen == MODELS
    for spec in preset.models.values():
        assert spec.config(seed=1).seed == 1
        if spec.kind == "IALS" and find_spec("implicit") is None:
            continue
        assert spec.build(7).__class__.__name__ == spec.kind
    assert preset.data in {"", "planted", "debian", *DATASETS}


def waits_for_its_warm_up(spec, users):
    """Whether no run of it can stop before β is at its end, with ten more epochs in which to be better."""
    config = spec.config()
    return config.patience >= 10 + config.anneal_steps // -(-users // config.batch_size)


@pytest.mark.parametrize("name", ["ml-1m", "ml-20m", "netflix", "msd"])
def test_hvamp_is_not_stopped_during_its_warm_up(name):
    spec, users = presets.load(name).model("hvamp"), DATASETS[name].counts["training users"]
    assert waits_for_its_warm_up(spec, users)
    twin = replace(spec, settings={**spec.settings, "patience": 10})  # as it was on MovieLens-1M
    assert not waits_for_its_warm_up(twin, users)


def test_a_model_like_another_takes_over_what_the_data_set_says_of_that_one():
    model = presets.load("msd").models
    for name in ("recvae", "recvae+anchor", "recvae-wsdm", "recvae-vamp"):
        assert model[name].settings["gamma"] == 0.01
        assert model[name].kind == "RecVAE"
    assert model["recvae-wsdm"].arguments == {"norm_eps": 1e-5}
    assert set(model["recvae+anchor"].search) >= {"keep", "gamma", "anchor"}


def test_the_wider_model_has_as_many_parameters_as_the_one_with_anchors():
    """At least as many, and no more than the layers between need: 100 units × (3d + 2)."""
    model, n_items = presets.load("ablation").models, 5000
    plain, wide = (sum(p.numel() for p in model[n].build(n_items).parameters()) for n in ("multvae", "wider-no-anchor"))
    anchored = plain + 200 * n_items
    assert anchored <= wide <= anchored + 100 * (3 * 200 + 2)


def test_a_preset_with_an_unknown_setting_is_refused():
    with pytest.raises(InputError, match="'depth'"):
        presets._spec("m", {"class": "MultVAE", "depth": 3}, {}, "x.toml")
    with pytest.raises(InputError, match="'Oracle'"):
        presets._spec("m", {"class": "Oracle"}, {}, "x.toml")


def test_one_user_alone_has_no_standard_error():
    levels = {"ndcg@100": Level(0.25, 0.0)}
    table = tables.groups({"m": {"5–10": Group(1, levels), "11–50": Group(2, levels), "51–100": Group(0, {})}})
    assert table.header == ["model", "5–10 (1 user)", "11–50 (2 users)", "51–100 (0 users)"]
    (cells,) = table.cells()
    assert cells == ["m", ".2500", ".2500 ± .0000", "–"]


def test_a_split_without_heldout_users_to_compare_is_refused(split, tmp_path):
    empty = mv.FoldIn(split.test.history, split.test.heldout * 0)
    bare = mv.StrongSplit(split.train, split.validation, empty, split.item_labels)
    plan = runner.StudyPlan.make(presets.load("default"), presets.load("default").pick("popularity"), 1)
    with pytest.raises(InputError, match="test users have held-out items"):
        runner.run_study(plan, bare, Source(), tmp_path / "s", False)
    assert not (tmp_path / "s").exists()


def test_the_claim_that_anchors_help_has_an_interval_and_a_verdict(study, results, split):
    (claim,) = results["claims"]
    assert (claim["with"], claim["without"]) == ("multvae+anchor", "multvae")
    x, y = (per_user(study, m, "ndcg@100").mean(0) for m in ("multvae+anchor", "multvae"))
    interval = stats.ttest_rel(x, y).confidence_interval(0.95)
    assert (claim["low"], claim["high"]) == pytest.approx((interval.low, interval.high))
    assert claim["verdict"] in (study / "report.md").read_text(encoding="utf-8")
    for label, of in activity_groups(split.test).items():
        group = claim["groups"][label]
        assert group["users"] == of.sum()
        if of.sum() > 1:
            wanted = stats.ttest_rel(x[of], y[of]).confidence_interval(0.95)
            assert (group["low"], group["high"]) == pytest.approx((wanted.low, wanted.high))


@pytest.mark.parametrize(
    ("low", "high", "said"), [(0.001, 0.02, "helps"), (-0.02, -0.001, "hurts"), (-0.001, 0.02, "cannot be told apart")]
)
def test_the_verdict_follows_the_interval(low, high, said):
    assert effect(Difference((low + high) / 2, 0.0, low, high)) == said


def assert_recall_by_definition(value, split, pooled):
    """Against hits counted from scores, user by user."""
    model = mv.EASE(presets.load("default").model("ease").arguments["l2"]).fit(split.train)
    scores = model.score(split.test.history).numpy()
    scores[split.test.history.toarray() > 0] = -np.inf
    heldout = split.test.heldout.toarray() > 0
    (row,) = (r for r in value.rows if r.model == pooled)
    for k in (20, 50):
        top = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        hits, n = np.take_along_axis(heldout, top, 1).sum(1), heldout.sum(1)
        there = n > 0
        assert row.at(k).min == pytest.approx((hits / np.minimum(n, k).clip(1))[there].mean())
        assert row.at(k).n == pytest.approx((hits / n.clip(1))[there].mean())
        assert value.users[str(k)] == (n > k).sum()


def test_both_definitions_of_recall_come_from_the_ranking():
    rng = np.random.default_rng(0)
    x = sp.csr_matrix((rng.random((90, 160)) < 0.4).astype(np.float32))  # many items each, so that n > 20 is common
    hidden = sp.csr_matrix(x[60:].multiply(rng.random((30, 160)) < 0.6).astype(np.float32))
    users = mv.FoldIn(x[60:] - hidden, hidden)
    split = mv.StrongSplit(x[:60], users, users, np.arange(160))
    scored = mv.evaluate(mv.EASE(400.0).fit(split.train), split.test)
    model = ModelResult("ease", [SimpleNamespace(scored={"test": scored})])
    value = recall_definitions([model], split.n_items)
    assert value.users["20"] > 20
    assert_recall_by_definition(value, split, "ease")
    (row,) = value.rows
    twin = changed(value, rows=[changed(row, at_20=BothRecalls(row.at_20.min, row.at_20.min))])
    with pytest.raises(AssertionError):
        assert_recall_by_definition(twin, split, "ease")


def test_tables_are_written_as_csv_too(study, results):
    with (study / "metrics.csv").open(encoding="utf-8", newline="") as f:
        rows = list(csv.DictReader(f))
    assert len(rows) == len(results["runs"]) * 2 * len(METRICS)
    for run in results["runs"]:
        (row,) = (
            r
            for r in rows
            if (r["model"], r["seed"], r["part"], r["metric"]) == (run["model"], str(run["seed"]), "test", "ndcg@100")
        )
        assert float(row["mean"]) == run["metrics"]["ndcg@100"]["mean"]
        assert int(row["parameters"]) == run["parameters"]
    with (study / "differences.csv").open(encoding="utf-8", newline="") as f:
        assert [float(r["low"]) for r in csv.DictReader(f)] == [d["low"] for d in results["differences"]]


def test_each_run_knows_its_own_peak_of_memory(results):
    assert all(r["peak_memory"]["process"] > 1e8 and r["peak_memory"]["device"] is None for r in results["runs"])


def test_the_peak_is_that_of_the_work_and_not_of_what_was_before():
    if status("VmHWM") is None:
        pytest.skip("the system does not tell")
    found = {}
    for mb in (300, 30):  # the larger first: without a reset the second would show it again
        before = status("VmRSS")
        with peak(torch.device("cpu")) as memory, mmap.mmap(-1, mb * 10**6) as block:  # goes back when it is closed
            np.frombuffer(block, np.uint8).fill(1)
        found[mb] = (memory.process - before) / 1e6
    assert found[300] == pytest.approx(300, abs=15)
    assert found[30] == pytest.approx(30, abs=15)


def test_the_ablation_lies_on_the_preset_of_the_data(split):
    here, there = (presets.load("ablation", data=d) for d in ("ml-1m", "ml-20m"))
    assert there.model("anchor-3").config().batch_size == 500
    assert here.model("anchor-3").config().batch_size == 100
    full, plain = here.model("multvae+anchor").config(), here.model("multvae").config()
    differing = {}
    for spec in here.pick(None):
        base = full if spec.config().anchor else plain
        differing[spec.name] = {k for k in presets.CONFIG_KEYS if getattr(spec.config(), k) != getattr(base, k)}
    assert differing["anchor-0.1"] == {"anchor"}
    assert differing["anchor-centroid"] == {"anchor_variant"}
    assert differing["mask-raw"] == {"mask"}
    assert differing["anchor-idf"] == {"anchor_weights"}
    anchored, wider = (here.model(n).build(1000) for n in ("multvae+anchor", "wider-no-anchor"))
    anchored.add_anchors()
    counts = [sum(p.numel() for p in m.parameters()) for m in (anchored, wider)]
    assert counts[1] == pytest.approx(counts[0], rel=0.05)
    named = {n for s in here.sections for n in s.names}
    assert named == {s.name for s in here.pick(None)}
    pairs = results_of.comparisons([s.name for s in here.pick(None)], here.sections)
    assert set(pairs) >= {pair for s in here.sections for pair in s.pairs}


def test_steps_compare_with_the_one_before_and_models_with_their_reference():
    steps = presets._section({"title": "t", "steps": ["a", "b", "c"]}, "x.toml")
    assert steps.pairs == (("b", "a"), ("c", "b"), ("c", "a"))
    against = presets._section({"title": "t", "models": ["a", "b"], "against": "c"}, "x.toml")
    assert against.pairs == (("a", "c"), ("b", "c"))
    for bad in (
        {"title": "t"},
        {"steps": ["a", "b"]},
        {"title": "t", "steps": ["a", "b"], "models": ["c"], "against": "d"},
    ):
        with pytest.raises(InputError, match="section"):
            presets._section(bad, "x.toml")


@pytest.mark.parametrize("text", ["[models.x]\nlike = 'x'", "[models.x]\nlike = 'y'\n[models.y]\nlike = 'x'"])
def test_a_model_like_itself_is_refused(text, tmp_path):
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="which is no other model"):
        presets.load("default", tmp_path / "mine.toml")


def test_sections_show_the_differences_that_ran(study, data, tmp_path):
    (tmp_path / "mine.toml").write_text(
        "[models.small]\nlike = 'multvae'\nhidden = 8\nlatent = 4\n[models.other]\nlike = 'small'\nkeep = 0.9\n"
        "[[sections]]\ntitle = 'Mine'\nmodels = ['other', 'multvae']\nagainst = 'small'\naxis = 'keep'\n",
        encoding="utf-8",
    )
    argv = ["study", "--data", str(data), *TINY, "--settings", str(tmp_path / "mine.toml"), "--models", "small,other"]
    assert main([*argv, "--out", str(tmp_path / "s")]) == 0
    text = (tmp_path / "s/report.md").read_text(encoding="utf-8")
    mine = text.partition("## Mine")[2].partition("##")[0]
    assert "| other |" in mine
    assert "multvae" not in mine  # it did not run
    assert "The paper's ablation" not in text
    assert "by epoch.*" in text  # no line of EASE, and none promised
    used = json.loads((tmp_path / "s/results.json").read_text(encoding="utf-8"))["preset"]["models"]
    assert used["other"]["arguments"] == {"hidden": 8, "latent": 4}


def test_the_axis_of_a_section_is_a_setting_of_all_its_models(tmp_path):
    section = "[[sections]]\ntitle = 'Mine'\nmodels = ['multvae']\nagainst = 'multvae-clean'\naxis = '{}'\n"
    (tmp_path / "good.toml").write_text(section.format("latent"), encoding="utf-8")
    (tmp_path / "bad.toml").write_text(section.format("latnet"), encoding="utf-8")
    assert presets.load("default", tmp_path / "good.toml").sections[-1].axis == "latent"
    with pytest.raises(InputError, match="axis 'latnet', which is no setting of multvae"):
        presets.load("default", tmp_path / "bad.toml")


def test_published_curves_have_sources_and_stand_only_beside_their_data(results):
    for name in ("ml-20m", "netflix", "msd"):
        curves = published_results.curves(name)
        assert all(re.search(r"\[[VS]\] \w", label) for label in curves)
        for epochs, values in curves.values():
            assert epochs == sorted(set(epochs))
            assert all(0.2 < v < 0.5 for v in values)
    assert not published_results.curves("planted")
    assert not published_results.at_hand(Description.from_dict(results["data"] | {"name": "msd"}))


def test_no_two_learning_curves_look_alike():
    ax = plots.learning_curves({str(k): [[0.1, 0.2]] for k in range(20)}, ax=Figure().subplots())
    looks = {(line.get_color(), line.get_linestyle()) for line in ax.lines if line.get_linestyle() != "None"}
    assert len(looks) == 20 > len({colour for colour, _ in looks})  # more models than colours


def published():
    text = (files("minivae.study") / "published" / "published.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def test_every_published_figure_has_a_source_and_a_tag():
    rows = published()
    assert {r["data"] for r in rows} == {"ml-20m", "netflix", "msd"} <= set(DATASETS)
    assert {r["tag"] for r in rows} <= set(published_results.TAGS)
    assert all(r["source"] and 0 < float(r["value"]) < 1 and r["metric"] in METRICS for r in rows)
    keys = [(r["data"], r["model"], r["metric"]) for r in rows]
    assert len(set(keys)) == len(keys)


def test_published_figures_stand_apart_and_only_beside_their_data(study, results):
    models = runner.results.group(runner.Result.load(p) for p in sorted((study / "runs").iterdir()))
    counts = DATASETS["msd"].counts
    value = Study.from_dict(results)
    named = changed(value.data, name="msd")  # only the name is the same
    assert "Published" not in as_text(report.compose(changed(value, data=named), models, {}))
    users = value.data.users | {"training": counts["training users"]}
    described = changed(named, items=counts["vocabulary"], users=users)
    text = as_text(report.compose(changed(value, data=described), models, {}))
    ours, _, rest = text.partition("### Published figures")
    theirs, _, more = rest.partition("\n## ")
    assert "## Test metrics" in ours
    assert more.startswith("Does PIA help?")
    assert ".389 [M]" in theirs
    assert ".326 ± .0010 [M]" in theirs  # RecVAE, whose error was published
    assert "arXiv 1905.03375" in theirs
    assert "[M]" not in ours + more
    assert ".442 [S]" not in text  # of ML-20M
    assert tables.published("ml-1m").rows == tables.published("planted").rows == ()


def test_numbers_are_written_as_in_the_field():
    for value, shown in [(0.41354, ".4135"), (-0.01, "−.0100"), (1.0, "1.0000"), (-0.00001, ".0000"), (0.0, ".0000")]:
        assert tables.number(value) == shown


def test_items_are_found_by_title_label_or_part():
    x = np.ones((3, 4), np.float32)
    titles = np.array(["Toy Story (1995)", "Toy Story 2 (1999)", "Heat (1995)", "Heat"])
    users = mv.FoldIn(x, 0 * x)
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
