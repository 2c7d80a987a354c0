"""Parts of a search on runs made up by hand: what a trial of several seeds gives, lines that are shown, the choice."""

import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minivae.errors import InputError
from minivae.options import METRICS, SELECTION
from minivae.ranking import Evaluation
from minivae.runtime.memory import Peak
from minivae.runtime.records import write_record
from minivae.study.run import presets, space
from minivae.study.run.model_spec import ModelSpec
from minivae.study.run.records import DivergedTrial, Level, Metrics
from minivae.study.run.runs import Job
from minivae.study.run.space import Choice, Range
from minivae.study.search import report as search_report
from minivae.study.search import search
from minivae.study.search.records import Tried
from minivae.study.search.search import SearchPlan
from minivae.study.search.trial import Trial


def metrics(score, seed=0, epochs=9, best=4, seconds=1.5):
    levels = {m: Level(min(max(score + k / 10, 0.0), 1.0), 0.01) for k, m in enumerate(METRICS)}
    return Metrics(model="m", seed=seed, validation=levels, epochs=epochs, best_epoch=best, seconds=seconds,
                   parameters=77, peak_memory=Peak(1, None), files={}, recommended={})  # fmt: skip


def trial(number=0, settings=None, seeds=(0,)):
    spec = ModelSpec(
        "m", "MultVAE", {"hidden": 8}, {"lr": 0.002}, {"lr": Range(1e-4, 1e-2), "keep": Choice((0.3, 0.5))}
    )
    changed = spec.changed(settings or {})
    return Trial(spec, number, settings or {}, tuple(Job(changed, changed.config(seed=s)) for s in seeds))


def test_a_trial_knows_its_values_and_folders():
    one = trial(7, {"keep": 0.3}, (4, 5))
    assert one.values() == {"lr": 0.002, "keep": 0.3}
    assert trial().values() == {"lr": 0.002, "keep": 0.5}
    assert one.name == "m, trial 7"
    assert [one.folder(Path("o"), job) for job in one.jobs] == [Path("o/trials/m/007"), Path("o/trials/m/007-seed5")]


def test_several_seeds_are_a_mean_over_users_a_sum_of_costs_and_the_middle_epoch(monkeypatch):
    """Users 1, 2, 3 and 3, 4, 8: means 2, 3, 5.5 with population sd / √3."""
    several = trial(3, {}, (4, 5, 6))
    runs = {job.config.seed: metrics(0.1 * job.config.seed, job.config.seed, epochs=job.config.seed,
                                     best=[7, None, 3][k], seconds=1.0 + k)
            for k, job in enumerate(several.jobs)}  # fmt: skip
    values = {4: [1.0, 2.0, 3.0, np.nan], 5: [3.0, 4.0, 8.0, np.nan], 6: [2.0, 3.0, 5.5, np.nan]}
    seed_of = {several.folder(Path("o"), job): job.config.seed for job in several.jobs}
    monkeypatch.setattr(search, "_read", lambda folder, job: runs[seed_of[folder]])

    def load(folder):
        of = np.array(values[seed_of[folder]])
        return SimpleNamespace(
            scored={"validation": Evaluation({m: of for m in METRICS}, np.array([1, 1, 1, 0]), 0, 0), "test": None}
        )

    monkeypatch.setattr(search, "Result", SimpleNamespace(load=load))
    found = search._tried(several, Path("o"))
    mean = np.array([2.0, 3.0, 5.5])
    for m in METRICS:
        assert found.validation[m] == Level(mean.mean(), pytest.approx(mean.std() / 3**0.5))
    assert (found.trial, found.epochs, found.seconds, found.parameters) == (3, 15, 6.0, 77)
    assert found.best_epoch == 3  # of 0, 3 and 7
    assert found.seeds == pytest.approx({str(s): m.validation[SELECTION].mean for s, m in runs.items()})
    runs[5] = DivergedTrial("NaN in epoch 2")
    lost = search._tried(several, Path("o"))
    assert (lost.diverged, lost.score) == ("NaN in epoch 2", -np.inf)
    assert lost.settings == several.values()


def test_one_seed_gives_what_its_run_gave(monkeypatch):
    monkeypatch.setattr(search, "_read", lambda folder, job: metrics(0.3, epochs=9, best=4, seconds=2.5))
    found = search._tried(trial(2, {"keep": 0.3}), Path("o"))
    assert (found.trial, found.epochs, found.best_epoch, found.seconds, found.parameters) == (2, 9, 4, 2.5, 77)
    assert found.settings == {"lr": 0.002, "keep": 0.3}
    assert found.validation == metrics(0.3).validation


def test_a_trial_of_a_trained_model_has_a_run_for_every_seed_and_a_baseline_one():
    """EASE has its own setting and two more, the VAE takes all five; in each turn they stand as they were named."""
    specs = [
        ModelSpec("vae", "MultVAE", {"hidden": 8}, {}, {"lr": Range(1e-4, 1e-2)}),
        ModelSpec("ease", "EASE", {}, {}, {"l2": Choice((50, 90))}),
    ]
    made = SearchPlan.make(presets.load("default"), specs, "random", 5, 4, seeds=3, epochs=2, device="cpu")
    assert [(t.spec.name, t.number) for t in made.trials] == [
        *(("vae", 0), ("ease", 0), ("vae", 1), ("ease", 1), ("vae", 2), ("ease", 2), ("vae", 3), ("vae", 4))
    ]
    for t in made.trials:
        assert [job.config.seed for job in t.jobs] == ([4, 5, 6] if t.spec.name == "vae" else [4])
    assert {job.config.epochs for t in made.trials if t.spec.name == "vae" for job in t.jobs} == {2}
    assert (made.budget, made.seed, made.seeds, dict(made.options)) == (5, 4, 3, {"epochs": 2, "device": "cpu"})


def test_a_run_is_read_as_what_it_is(tmp_path):
    for kind in (metrics(0.3), DivergedTrial("NaN in epoch 2")):
        write_record(tmp_path / "metrics.json", kind)
        assert search._read(tmp_path, trial().job) == kind
    assert [search._score(kind) for kind in (metrics(0.3), DivergedTrial("NaN"))] == [
        metrics(0.3).validation[SELECTION].mean,
        -np.inf,
    ]


@pytest.fixture
def plan():
    """Three trials of a VAE whose second is best and fourth as good, and two of EASE; the second of them diverged."""
    preset = presets.load("default")
    vae = [trial(k, {} if not k else {"lr": 0.001 * k, "keep": 0.5}) for k in range(6)]
    spec = ModelSpec("ease", "EASE", {"l2": 400.0}, {}, {"l2": Range(50, 2000, True)})
    ease = [Trial(spec.changed({"l2": v}), k, {"l2": v}, (Job(spec.changed({"l2": v}), spec.config()),))
            for k, v in enumerate((90.0, 70.0))]  # fmt: skip
    return SearchPlan(preset, [*vae, *ease], "random", 6, 3, {"epochs": 9}), vae, ease


def done(plan, scores, diverged=()):
    every = [*plan[1], *plan[2]]
    found = []
    for k, (t, score) in enumerate(zip(every, scores, strict=True)):
        levels = {m: Level(score, 0.01) for m in METRICS}
        lost = {"diverged": "NaN"} if k in diverged else {"validation": levels}
        found.append((t, Tried(t.number, t.values(), **lost)))
    return found


def test_the_choice_is_the_first_of_the_best(plan, toy_split):
    found = search.summarize(plan[0], toy_split, "abc", done(plan, [0.1, 0.5, 0.3, 0.5, 0.2, 0.1, 0.9, 0.2], {6}))
    vae, ease = found.models["m"], found.models["ease"]
    assert (vae.chosen, vae.settings, vae.kind) == (1, {"lr": 0.001, "keep": 0.5}, "MultVAE")
    assert vae.all_settings == {"hidden": 8, "lr": 0.001, "keep": 0.5}
    assert (vae.epochs_limit, ease.epochs_limit) == (plan[1][0].job.config.epochs, None)
    assert (vae.own_first, ease.own_first) == (True, False)
    assert (ease.chosen, ease.settings) == (1, {"l2": 70.0})
    assert dict(vae.space) == {"lr": {"low": 1e-4, "high": 1e-2}, "keep": [0.3, 0.5]}
    assert dict(ease.space) == {"l2": {"low": 50, "high": 2000, "log": True}}
    assert list(vae.at_an_end) == ["lr"]
    assert [t.trial for t in vae.trials] == list(range(6))
    assert vae.best.trial == 1
    data = found.data
    users = {"training": toy_split.train.shape[0], "validation": toy_split.validation.n_users}
    assert (data.name, data.sha256, data.items, dict(data.users)) == (toy_split.name, "abc", toy_split.n_items, users)
    design = found.search
    assert (design.method, design.budget, design.seed, design.seeds, design.metric) == ("random", 6, 3, 1, SELECTION)
    with pytest.raises(InputError, match="all 2 trials of ease diverged"):
        search.summarize(plan[0], toy_split, "abc", done(plan, [0.1] * 8, {6, 7}))


def test_each_finished_trial_says_the_best_so_far_of_its_model(plan, toy_split, tmp_path, monkeypatch):
    scores = dict(
        zip([t.folder(tmp_path, t.job) for t in [*plan[1], *plan[2]]], [0.3, 0.5, 0.4] + [0.1] * 5, strict=True)
    )
    said = []
    lost = plan[1][3].folder(tmp_path, plan[1][3].job)
    monkeypatch.setattr(
        search, "_read", lambda folder, job: DivergedTrial("NaN") if folder == lost else metrics(scores[folder] - 0.2)
    )
    monkeypatch.setattr(
        search, "run_all", lambda tasks, split, jobs, line_of: said.extend((t.label, line_of(t), jobs) for t in tasks)
    )
    monkeypatch.setattr(search, "summarize", lambda *a: None)
    search.run_search(plan[0], toy_split, tmp_path, False)
    assert [line for _, line, _ in said[:5]] == [
        "m, trial 0: validation nDCG@100 0.3000, best so far 0.3000",
        "m, trial 1: validation nDCG@100 0.5000, best so far 0.5000",
        "m, trial 2: validation nDCG@100 0.4000, best so far 0.5000",
        "m, trial 3: validation nDCG@100 diverged, best so far 0.5000",
        "m, trial 4: validation nDCG@100 0.1000, best so far 0.5000",
    ]
    assert said[6][1] == "ease, trial 0: validation nDCG@100 0.1000, best so far 0.1000"
    assert [label for label, _, _ in said[:2]] == ["m, trial 0 (1 of 8)", "m, trial 1 (2 of 8)"]
    assert {jobs for *_, jobs in said} == {1}
    assert (tmp_path / "search.json").is_file()


def test_spaces_of_the_command_line_go_to_the_models_that_have_the_key():
    specs = [
        ModelSpec("a", "MultVAE"),
        ModelSpec("b", "MultVAE", {}, {}, {"keep": Choice((0.5,))}),
        ModelSpec("e", "EASE"),
    ]
    wide = search.widened(specs, ["lr=0.1,0.2", "b.keep=0.3:0.6", "l2=1:9"])
    assert [dict(s.search) for s in wide] == [
        {"lr": Choice((0.1, 0.2))},
        {"keep": Range(0.3, 0.6), "lr": Choice((0.1, 0.2))},
        {"l2": Range(1, 9)},
    ]
    assert [s.name for s in wide] == ["a", "b", "e"]


def test_numbers_that_are_no_range_are_refused_at_their_limits():
    assert space.parse("k", {"low": -(2**53), "high": 2**53}, "x") == Range(-(2**53), 2**53)
    for low, high, log in ((0, 2**53 + 2, False), (-(2**53) - 2, 0, False), (0, 9, True), (-1, 9, True), (3, 3, False)):
        with pytest.raises(InputError, match="is no range"):
            space.parse("k", {"low": low, "high": high, "log": log}, "x")
    with pytest.raises(InputError, match="is no range; it needs low < high"):
        space.parse("k", {"low": True, "high": 3}, "x")
    with pytest.raises(InputError, match="is no range; it needs 0 < low < high"):
        space.parse("k", {"low": 0, "high": 3, "log": True}, "x")
    with pytest.raises(InputError, match="is no range"):
        space.parse("k", {"low": 1, "high": 3, "log": 1}, "x")
    assert space.parse("k", [3, 1, 3], "x") == Choice((3, 1))
    for bad in ([], [[1]], {"low": 1}, {"low": 1, "high": 2, "step": 1}, 3):
        with pytest.raises(InputError, match="must be a list of values or a table"):
            space.parse("k", bad, "x")


def test_a_small_space_is_one_of_at_most_a_hundred_points():
    """100 points are gone through whole; of 101 the draws alone are taken, at most a hundred times as many as asked."""
    whole = space.trials({"n": Range(1, 100)}, "random", 500, 0)
    assert sorted(t["n"] for t in whole[1:]) == list(range(1, 101))
    narrow = {"n": Range(1.5, 1.5003)}  # of four digits there is one
    assert {t["n"] for t in space.trials(narrow, "random", 50, 0)[1:]} == {1.5}
    assert space.trials({"n": Range(1, 3)}, "random", 2, 0)[0] == {}
    assert len(space.trials({"n": Range(1, 3)}, "random", 1, 0)) == 1
    with pytest.raises(InputError, match="the grid has 4 points for 3 trials"):
        space.trials({"a": Choice((1, 2)), "b": Choice((1, 2))}, "grid", 3, 0)
    assert len(space.trials({"a": Choice((1, 2)), "b": Choice((1, 2))}, "grid", 4, 0)) == 4


@given(st.text(st.characters(exclude_categories=[]), max_size=8) | st.integers(-(2**63), 2**63 - 1) | st.booleans())
@example("\N{GRINNING FACE}")
@example('\x7f " \\ \n')
def test_any_scalar_is_read_from_toml_as_it_was_written(value):
    """But for lone surrogates, which no file in UTF-8 can hold: each is a question mark."""
    written = search_report._toml(value).encode("utf-8").decode()
    kept = value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
    assert tomllib.loads(f"x = {written}")["x"] == kept


def test_the_expected_best_by_hand():
    """Of .3, .1 and .25: their mean; of two of them (.3 + .3 + .25) / 3; of all .3."""
    assert search_report.expected_best([0.3, 0.1, 0.25]).tolist() == pytest.approx([0.65 / 3, 0.85 / 3, 0.3])
    assert search_report.expected_best([0.5]).tolist() == [0.5]


def test_points_fall_one_in_each_cell_anywhere_in_it():
    """Of 2^m points one lies in each of 2^m cells; where in its cell it lies is uniform, so not always at its start."""
    points = np.array([space.stratified(3, "lr", k) for k in range(64)])
    for n in (1, 2, 8, 64):
        assert sorted((points[:n] * n).astype(int)) == list(range(n))
    inside = points * 64 % 1
    assert 0.3 < inside.mean() < 0.7  # a standard error is .04
    assert len({space.stratified(s, "lr", 0) for s in range(5)} | {space.stratified(3, "keep", 0)}) == 6
