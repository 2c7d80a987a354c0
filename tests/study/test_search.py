"""The search for settings: what is tried, on whom, with which budget, and what is chosen."""

import csv
import dataclasses
import json
import tomllib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as changed
from scipy import stats

import minivae as mv
from minivae.cli.main import main
from minivae.errors import Diverged, InputError
from minivae.study.run import loop, presets, space
from minivae.study.run.space import Choice, Range
from minivae.study.search import report as search_report
from minivae.study.search import search

BRIEF = {"epochs": 2, "device": "cpu", "precision": "fp32"}
SMALL = """
[models.multvae]
hidden = 16
latent = 8
batch_size = 50

[models.tiny]
class = "MultVAE"
hidden = 8
latent = 4
"""


@pytest.fixture(scope="module")
def split():
    return mv.strong_split(mv.planted(n_users=300, n_items=120, n_events=6000), n_heldout=60)


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    """Small networks, so that a trial takes a moment."""
    path = tmp_path_factory.mktemp("settings") / "small.toml"
    path.write_text(SMALL, encoding="utf-8")
    return presets.load("default", path)


def plan(preset, models="ease,multvae", budget=4, seed=0, method="random", extra=(), **more):
    return search.SearchPlan.make(preset, preset.pick(models), method, budget, seed, extra, **(BRIEF | more))


def without_times(results):
    """A search, or what it found for one model."""
    copy = json.loads(json.dumps(results.as_dict()))
    for of in copy["models"].values() if "models" in copy else [copy]:
        for t in of["trials"]:
            t.pop("seconds", None)
    return copy


def is_log_uniform(values, low, high):
    """Kolmogorov and Smirnov's test of the logarithms at the level of one in a million."""
    scaled = np.log(np.asarray(values) / low) / np.log(high / low)
    return stats.kstest(scaled, "uniform").pvalue > 1e-6


def test_a_log_range_is_drawn_log_uniformly():
    low, high, n = 0.01, 100.0, 2000
    what = Range(low, high, log=True)
    values = [what.at(space.stratified(3, "lr", k)) for k in range(n)]
    assert is_log_uniform(values, low, high)
    twin = Range(low, high)  # forgets the logarithm
    assert not is_log_uniform([twin.at(space.stratified(3, "lr", k)) for k in range(n)], low, high)


def one_in_each_cell(points):
    return sorted((np.asarray(points) * len(points)).astype(int)) == list(range(len(points)))


@given(st.integers(0, 10**6), st.text(min_size=1), st.integers(0, 6))
def test_the_first_powers_of_two_fall_one_in_each_cell(seed, key, m):
    assert one_in_each_cell([space.stratified(seed, key, k) for k in range(2**m)])


def test_independent_draws_do_not_and_the_streams_of_two_keys_are_independent():
    assert not one_in_each_cell(np.random.default_rng(0).random(64))
    first, second = (np.array([space.stratified(s, key, 5) for s in range(4000)]) for key in ("lr", "beta"))
    for values in (first, second):  # point 5 alone is uniform: neither its cell nor its place in it is fixed
        assert stats.kstest(values, "uniform").pvalue > 1e-6
    assert abs(stats.spearmanr(first, second).statistic) < 5 / np.sqrt(4000)  # five standard errors


@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 30), st.sampled_from([1, 2, 5, 9, 30, 150]))
def test_more_trials_of_a_small_space_only_lengthen_the_list_too(seed, n, more, points):
    what = {"l2": Choice(tuple(range(points)))}
    short, long = (space.trials(what, "random", size, seed, own={"l2": 0}) for size in (n, n + more))
    assert long[: len(short)] == short
    for found, size in ((short, n), (long, n + more)):
        assert len(found) == min(size, points)
        assert len({t.get("l2", 0) for t in found}) == len(found)


@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 30))
def test_more_trials_only_lengthen_the_list(seed, n, more):
    what = {"lr": Range(1e-4, 1e-2, log=True), "keep": Range(0.3, 0.9), "mask": Choice(("raw", "normalize-then-mask"))}
    short, long = (space.trials(what, "random", size, seed) for size in (n, n + more))
    assert len(short) == n
    assert long[:n] == short
    assert short[0] == {}
    assert all(1e-4 <= t["lr"] <= 1e-2 and 0.3 <= t["keep"] <= 0.9 for t in short[1:])


def test_models_that_share_a_key_meet_the_same_values():
    a = space.trials({"lr": Range(1e-4, 1e-2, log=True)}, "random", 9, 5)
    b = space.trials({"keep": Range(0.1, 0.9), "lr": Range(1e-4, 1e-2, log=True)}, "random", 9, 5)
    assert [t.get("lr") for t in a] == [t.get("lr") for t in b]
    assert a != space.trials({"lr": Range(1e-4, 1e-2, log=True)}, "random", 9, 6)


def test_a_grid_is_every_combination_and_a_small_space_is_gone_through_whole():
    what = {"a": Choice((1, 2, 3)), "b": Choice(("x", "y"))}
    grid = space.trials(what, "grid", 6, 0)
    assert sorted((t["a"], t["b"]) for t in grid) == [(a, b) for a in (1, 2, 3) for b in "xy"]
    whole = space.trials(what, "random", 10, 0)
    assert whole[0] == {}
    assert sorted(whole[1:], key=str) == sorted(grid, key=str)
    some = space.trials(what, "random", 5, 0)
    assert len(some) == len({tuple(t.items()) for t in some}) == 5  # no point twice
    named = space.trials(what, "random", 10, 0, own={"a": 2, "b": "y"})
    assert {"a": 2, "b": "y"} not in named  # the first trial is that
    assert len(named) == 6
    assert sorted(t.get("n", 0) for t in space.trials({"n": Range(1, 3)}, "random", 10, 0)) == [0, 1, 2, 3]
    assert space.trials({}, "random", 10, 0) == [{}]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("ease.l2=50:2000:log", ("ease", "l2", Range(50, 2000, True))),
        ("multvae+anchor.anchor=0.1:10", ("multvae+anchor", "anchor", Range(0.1, 10))),
        ("lr=1e-4,1e-3", ("", "lr", Choice((1e-4, 1e-3)))),
        ("multvae.mask=raw, normalize-then-mask", ("multvae", "mask", Choice(("raw", "normalize-then-mask")))),
    ],
)
def test_spaces_on_the_command_line(text, wanted):
    assert space.parse_flag(text) == wanted


@pytest.mark.parametrize(
    "text",
    ["", "lr", "lr=", "=1", "lr=2:1", "lr=0:1:log", "lr=a:b", "lr=1:2:lin", "lr=1:2:log:3", "lr=nan:1", "lr=1:1"],
)
def test_bad_spaces_are_refused(text):
    with pytest.raises(InputError, match="space"):
        space.parse_flag(text)


def test_budgets_are_equal_at_any_moment(preset):
    made = plan(preset, "ease,multvae,multvae+anchor", budget=7)
    for k in range(0, len(made.trials), 3):
        assert [t.spec.name for t in made.trials[k : k + 3]] == ["ease", "multvae", "multvae+anchor"]
        assert {t.number for t in made.trials[k : k + 3]} == {k // 3}
    assert len(made.trials) == 21
    assert {t.job.config.epochs for t in made.trials if t.spec.trained} == {2}
    assert {t.job.config.seed for t in made.trials} == {0}


def test_a_shared_space_leaves_alone_what_makes_a_model_itself(preset):
    shared = presets.load("default")
    assert "keep" not in shared.model("multvae-clean").search
    assert {"lr", "keep", "anchor"} <= set(shared.model("multvae+anchor").search)
    assert "batch_size" not in preset.model("multvae").search  # set in the file of one's own
    assert set(shared.model("ease").search) == {"l2"}
    assert not shared.model("popularity").search


def test_several_seeds_give_a_trial_the_mean_over_them(preset, split, tmp_path):
    """Against searches with one seed each: metrics of a user averaged, then over users; cost added up."""
    many = search.run_search(plan(preset, seeds=3, seed=4), split, tmp_path / "many", False).models
    single = [search.run_search(plan(preset, seed=4), split, tmp_path / "4", False).models]
    for s in (5, 6):
        single.append(search.run_search(plan(preset, models="multvae", seed=s), split, tmp_path / str(s), False).models)
    first = many["multvae"].trials[0]  # the model as it is; the draws after it depend on the seed
    alone = [s["multvae"].trials[0] for s in single]
    means = [t.validation["ndcg@100"].mean for t in alone]
    assert first.seeds == dict(zip("456", means, strict=True))
    assert first.validation["ndcg@100"].mean == pytest.approx(np.mean(means), rel=1e-12)
    assert first.epochs == sum(t.epochs for t in alone)
    per_user = np.mean(
        [
            search.Result.load(tmp_path / "many" / "trials" / "multvae" / f).scored["validation"].per_user["ndcg@100"]
            for f in ("000", "000-seed5", "000-seed6")
        ],
        axis=0,
    )
    valid = per_user[~np.isnan(per_user)]
    assert first.validation["ndcg@100"].se == pytest.approx(valid.std() / np.sqrt(valid.size), rel=1e-12)
    assert without_times(many["ease"]) == without_times(single[0]["ease"])
    assert_chosen_is_the_best(many["multvae"])
    with pytest.raises(InputError, match="another run"):
        search.run_search(plan(preset, seeds=2, seed=4), split, tmp_path / "many", True)
    with pytest.raises(InputError, match="seeds=0 is not possible"):
        plan(preset, seeds=0)
    for seed in (-1, 1 << 63):
        with pytest.raises(InputError, match=r"is not possible; it must be in 0\.\.2\*\*63 - 1"):
            plan(preset, seed=seed)


class Sealed:
    """Test users that nobody may look at."""

    def __getattr__(self, name):
        raise AssertionError(f"the search looked at the test users: {name}")


def test_the_search_never_looks_at_test_users(preset, split, tmp_path):
    sealed = dataclasses.replace(split)
    object.__setattr__(sealed, "test", Sealed())
    found = search.run_search(plan(preset), sealed, tmp_path / "sealed", False)
    assert without_times(found) == without_times(search.run_search(plan(preset), split, tmp_path / "open", False))
    assert "test" not in json.dumps(found.as_dict())
    for path in (tmp_path / "open").rglob("*.json"):
        assert "test" not in json.loads(path.read_text())
    with pytest.raises(AssertionError, match="looked at the test users"):  # the twin that evaluates both parts
        loop.execute(plan(preset).trials[0].job, sealed, tmp_path / "twin", "twin")


def test_other_test_users_change_nothing(preset, split, tmp_path):
    garbage = mv.FoldIn(split.test.heldout[::-1], split.test.history[::-1])
    other = dataclasses.replace(split, test=garbage)
    a, b = (search.run_search(plan(preset), s, tmp_path / name, False) for s, name in ((split, "a"), (other, "b")))
    assert without_times(a) == without_times(b)
    moved = dataclasses.replace(split, validation=garbage)
    assert without_times(search.run_search(plan(preset), moved, tmp_path / "c", False)) != without_times(a)


def assert_chosen_is_the_best(of):
    scores = [t.validation["ndcg@100"].mean for t in of.trials]
    assert of.chosen == int(np.argmax(scores))
    assert of.settings == of.trials[of.chosen].settings


def test_the_choice_is_the_best_on_validation(preset, split, tmp_path):
    found = search.run_search(plan(preset, budget=5), split, tmp_path / "s", False)
    for name, of in found.models.items():
        assert len(of.trials) == 5
        assert_chosen_is_the_best(of)
        worst = int(np.argmin([t.score for t in of.trials]))
        with pytest.raises(AssertionError):
            assert_chosen_is_the_best(changed(of, chosen=worst, settings=of.trials[worst].settings))
        if name == "ease":
            scored = mv.evaluate(mv.EASE(of.settings["l2"]).fit(split.train), split.validation)
            assert of.best.validation["ndcg@100"].mean == pytest.approx(scored["ndcg@100"][0], rel=1e-12)


def test_a_killed_search_goes_on_where_it_was(preset, split, tmp_path, monkeypatch):
    whole = search.run_search(plan(preset), split, tmp_path / "whole", False)
    run_one, calls = loop.execute, []

    def killed(job, *more):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(job)
        return run_one(job, *more)

    monkeypatch.setattr(loop, "execute", killed)
    with pytest.raises(KeyboardInterrupt):
        search.run_search(plan(preset), split, tmp_path / "s", False)
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "s").rglob("metrics.json")}
    assert len(kept) == 3
    monkeypatch.setattr(loop, "execute", lambda *a: calls.append(a[0]) or run_one(*a))
    again = search.run_search(plan(preset), split, tmp_path / "s", True)
    assert len(calls) == 8  # each trial once, although there were two runs
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    assert without_times(again) == without_times(whole)
    longer = search.run_search(plan(preset, budget=5), split, tmp_path / "s", True)
    assert len(calls) == 10
    assert longer.models["ease"].trials[:4] == again.models["ease"].trials
    with pytest.raises(InputError, match="another run"):
        search.run_search(plan(preset, seed=1), split, tmp_path / "s", True)


def test_a_trial_that_diverges_is_counted_and_never_chosen(preset, split, tmp_path, monkeypatch):
    run_one = loop.execute

    def fragile(job, *more):
        if job.spec.name == "ease" and job.spec.arguments["l2"] != 400:
            raise Diverged("too large")
        return run_one(job, *more)

    monkeypatch.setattr(loop, "execute", fragile)
    found = search.run_search(plan(preset, "ease", budget=3), split, tmp_path / "s", False)
    of = found.models["ease"]
    assert [bool(t.diverged) for t in of.trials] == [False, True, True]
    assert [t.score for t in of.trials[1:]] == [-np.inf, -np.inf]
    assert of.chosen == 0
    search_report.write(found, "minivae tune", tmp_path / "s")
    assert "diverged" in (tmp_path / "s/search.md").read_text()
    with pytest.raises(InputError, match="all 1 trials of ease diverged"):
        search.run_search(plan(preset, "ease", 1, method="grid", extra=["ease.l2=7"]), split, tmp_path / "t", False)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        ({"extra": ["multvae.depth=1,2"]}, "no setting 'depth'"),
        ({"extra": ["gpt.lr=1,2"]}, "'gpt' is not searched"),
        ({"extra": ["depth=1,2"]}, "no model has a setting"),
        ({"extra": ["multvae.seed=1,2"]}, "seed of multvae cannot be searched"),
        ({"extra": ["multvae.keep=0.5,2"], "method": "grid", "models": "multvae"}, "a grid needs lists"),
        ({"extra": ["multvae.keep=0.5:2"], "budget": 9}, "keep="),
        ({"extra": ["ease.l2=1,2,3"], "method": "grid", "models": "ease", "budget": 2}, "3 points for 2 trials"),
        ({"models": "popularity"}, "nothing to search"),
        ({"budget": 0}, "trials=0 is not possible"),
    ],
)
def test_impossible_searches_are_refused(make, expected, preset):
    with pytest.raises(InputError, match=expected):
        plan(preset, **make)


def test_expected_best_is_the_mean_maximum_over_all_subsets():
    from itertools import combinations

    scores = [0.3, 0.1, 0.25, 0.4, 0.2]
    wanted = [np.mean([max(c) for c in combinations(scores, n)]) for n in range(1, 6)]
    np.testing.assert_allclose(search_report.expected_best(scores), wanted, rtol=1e-12)


@pytest.fixture(scope="module")
def tuned(split, tmp_path_factory):
    """The folder of a search by the command, its data, and the settings it started from."""
    folder = tmp_path_factory.mktemp("tuned")
    split.save(folder / "data.safetensors")
    (folder / "small.toml").write_text(SMALL, encoding="utf-8")
    argv = [
        "tune",
        "--data",
        str(folder / "data.safetensors"),
        "--settings",
        str(folder / "small.toml"),
        "--trials",
        "3",
    ]
    argv += ["--models", "ease,multvae,tiny", "--epochs", "2", "--device", "cpu", "--out", str(folder / "out")]
    assert main(argv) == 0
    return folder


def test_the_command_writes_every_trial_three_times_over(tuned):
    out = tuned / "out"
    found = json.loads((out / "trials.json").read_text(encoding="utf-8"))
    rows = list(csv.DictReader((out / "trials.csv").read_text(encoding="utf-8").splitlines()))
    text = (out / "search.md").read_text(encoding="utf-8")
    assert len(rows) == 9
    for row in rows:
        trial = found["models"][row["model"]]["trials"][int(row["trial"])]
        assert float(row["ndcg@100 mean"]) == trial["validation"]["ndcg@100"]["mean"]
        assert json.loads(row["settings"]) == trial["settings"]
    assert {(r["model"], int(r["trial"])) for r in rows if r["chosen"] == "1"} == {
        (name, of["chosen"]) for name, of in found["models"].items()
    }
    assert all(f"## {m}" in text for m in ("ease", "multvae", "tiny"))
    assert (out / "search.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert not list(out.rglob("*model.safetensors"))
    assert not list(out.rglob("checkpoint.safetensors"))


def test_a_study_uses_what_was_chosen(tuned, capsys):
    chosen = tomllib.loads((tuned / "out/best.toml").read_text(encoding="utf-8"))
    argv = [
        "study",
        "--data",
        str(tuned / "data.safetensors"),
        "--epochs",
        "2",
        "--device",
        "cpu",
        "--models",
        "ease,multvae",
    ]
    assert main([*argv, "--settings", str(tuned / "out/best.toml"), "--out", str(tuned / "study")]) == 0
    results = json.loads((tuned / "study/results.json").read_text(encoding="utf-8"))
    used = results["preset"]["models"]
    assert used["ease"]["arguments"]["l2"] == chosen["models"]["ease"]["l2"]
    everything = {"class": used["multvae"]["class"], **used["multvae"]["arguments"], **used["multvae"]["training"]}
    assert {k: everything[k] for k in chosen["models"]["multvae"]} == chosen["models"]["multvae"]
    assert used["multvae"]["arguments"] == {"hidden": 16, "latent": 8}
    assert results["preset"]["origin"] == chosen["origin"]
    report = (tuned / "study/report.md").read_text(encoding="utf-8")
    assert "3 trials a model" in report
    assert "another draw" not in report
    assert main([*argv, "--out", str(tuned / "study"), "--resume"]) == 2  # without the settings it is another study
    assert "another run" in capsys.readouterr().err


def test_settings_from_another_draw_are_said_to_be(tuned, tmp_path):
    other = tmp_path / "other.safetensors"
    mv.strong_split(mv.planted(n_users=300, n_items=120, n_events=6000), n_heldout=60, seed=1).save(other)
    argv = ["study", "--data", str(other), "--models", "ease", "--settings", str(tuned / "out/best.toml")]
    assert main([*argv, "--out", str(tmp_path / "study")]) == 0
    assert "another draw" in (tmp_path / "study/report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[models.ease]\nl2 = ", "is no TOML"),
        ("[model.ease]\nl2 = 3", "'model' is no part of a preset"),
        ("[models.ease]\nl3 = 3", "no setting 'l3'"),
        ("[models.mine]\nl2 = 3", "model mine has class None"),
        ("[models.'../x']\nclass = 'EASE'", "cannot name a model"),
        ("[train]\nspeed = 3", r"\[train\] has no setting 'speed'"),
        ("[models.ease.search]\nl2 = 3", "space of l2"),
        ("[models.ease.search]\nl2 = []", "space of l2"),
        ("[models.ease.search]\nl2 = {low = 1, high = 2, step = 1}", "space of l2"),
        ("[models]\nease = 3", "expected a table"),
        ("search = 3", "must be a table"),
        ("[origin]\nday = 2026-01-01", "holds more than words"),
    ],
)
def test_bad_files_of_settings_are_refused(text, expected, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=expected):
        presets.load("default", path)
