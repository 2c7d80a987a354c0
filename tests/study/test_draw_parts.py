"""Parts of combining draws and of the table of anchors, on numbers made up by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

import minivae as mv
from minivae.options import METRICS, SELECTION
from minivae.ranking import Evaluation, activity_groups
from minivae.runtime.records import MeanInterval
from minivae.study.draws import anchor_law, draws
from minivae.study.draws.pooling import pool, pool_folds
from minivae.study.run import conclusions
from minivae.study.run.records import Doubt


def only(place, content):
    """Reads one place and no other."""

    def read(path, *schema):
        assert path == place
        return content

    return read


def test_a_split_that_is_no_longer_that_of_the_study_is_refused(tmp_path, monkeypatch):
    """The split is there, and can be read, but its numbers are not those that the study wrote down."""
    split = mv.strong_split(mv.planted(n_users=60, n_items=40, n_events=900), n_heldout=10)
    split.save(tmp_path / "split.safetensors")
    (tmp_path / "results.json").touch()
    note = SimpleNamespace(data=SimpleNamespace(split=str(tmp_path / "split.safetensors"), sha256="0" * 64))
    results = SimpleNamespace(runs=[SimpleNamespace(model="ease", seed=0)])
    monkeypatch.setattr(draws, "read_record", only(tmp_path / "results.json", results))
    monkeypatch.setattr(draws, "read_note", only(tmp_path / "runs" / "ease-seed0", note))
    with pytest.raises(mv.InputError, match=r"is no longer the split that .* was made from; make it again"):
        draws.SplitStudy.load(tmp_path)


def test_metrics_of_other_users_than_those_of_the_split_are_refused(tmp_path, monkeypatch):
    """The split is that of the study, but one run was scored on users with other numbers of held-out items."""
    split = mv.strong_split(mv.planted(n_users=60, n_items=40, n_events=900), n_heldout=10)
    split.save(tmp_path / "split.safetensors")
    (tmp_path / "results.json").touch()
    sha256 = draws.fingerprint(split)
    note = SimpleNamespace(data=SimpleNamespace(split=str(tmp_path / "split.safetensors"), sha256=sha256))
    results = SimpleNamespace(
        runs=[SimpleNamespace(model="ease", seed=0)],
        data=SimpleNamespace(protocol={"seed": 3}),
        preset=SimpleNamespace(models={"ease": None}),
    )
    counts = {part: np.diff(getattr(split, part).heldout.indptr) for part in ("validation", "test")}
    scored = {part: Evaluation({}, n, 0.5, 1.0) for part, n in counts.items()}
    done = SimpleNamespace(folder=tmp_path / "runs" / "ease-seed0", scored=scored)
    monkeypatch.setattr(draws, "read_record", only(tmp_path / "results.json", results))
    monkeypatch.setattr(draws, "read_note", only(tmp_path / "runs" / "ease-seed0", note))
    monkeypatch.setattr(draws.Result, "load", lambda folder: done)
    monkeypatch.setattr(draws, "group", lambda runs: [SimpleNamespace(name="ease", runs=runs)])
    assert draws.SplitStudy.load(tmp_path).label == "3"
    scored["test"] = Evaluation({}, counts["test"] + 1, 0.5, 1.0)
    with pytest.raises(mv.InputError, match="holds metrics of other test users"):
        draws.SplitStudy.load(tmp_path)


def made(label, sha256, l2, searched, name="ml-1m"):
    """A study of EASE alone, as `check` sees it."""
    record = SimpleNamespace(kind="EASE", as_dict=lambda: {"arguments": {"l2": l2}, "training": None, "trials": None})
    data, preset = SimpleNamespace(name=name), SimpleNamespace(models={"ease": record})
    results = SimpleNamespace(data=data, preset=preset)
    return SimpleNamespace(label=label, sha256=sha256, results=results, models={"ease": None}, searched=searched)


@pytest.mark.parametrize("searched", [(True, False), (False, True), (False, False)])
def test_other_settings_need_a_search_in_both_draws(searched):
    """A search on one draw explains why that one is different; the other must have been searched as well."""
    one, other = (made(str(k), str(k), 100.0 * (k + 1), was) for k, was in enumerate(searched))
    said = (
        r"ease was run with arguments\.l2 100\.0 in draw 0 and 200\.0 in draw 1; combine studies with the same settings"
    )
    with pytest.raises(mv.InputError, match=said):
        draws.check([one, other])
    third = made("2", "2", 100.0, searched[0])
    with pytest.raises(mv.InputError, match=said):
        draws.check([one, other, third])
    assert draws.check([made("0", "0", 100.0, True), made("1", "1", 200.0, True)]) == ["ease"]
    assert draws.check([made("0", "0", 100.0, False), made("1", "1", 100.0, False)]) == ["ease"]


@pytest.mark.parametrize(
    ("origin", "answer"), [({"sha256": "x", "data": "d"}, True), ({"sha256": "y"}, False), (None, False), ({}, False)]
)
def test_a_study_was_searched_if_its_settings_come_from_its_own_validation_users(origin, answer):
    results = SimpleNamespace(preset=SimpleNamespace(origin=origin), data=SimpleNamespace(searchable="x"))
    assert draws.SplitStudy("0", results, "", {}, np.array([])).searched is answer


def scored_of(split, values):
    """Accuracies by hand of the users of a split, of those who validate none."""
    counts = {part: np.diff(getattr(split, part).heldout.indptr) for part in ("validation", "test")}
    return {
        "test": Evaluation({SELECTION: values}, counts["test"], 0.5, 1.0),
        "validation": Evaluation({}, counts["validation"], 0.5, 1.0),
    }


def law_runs(split, names):
    """Runs with an accuracy by hand: validation 0.1, 0.3, 0.2 in turn, test 0.5 + 0.01 (position + user)."""
    n = split.test.heldout.shape[0]
    found = {}
    for k, name in enumerate(names):
        values = 0.5 + 0.01 * (k + np.arange(n) % 3 * k)
        metrics = SimpleNamespace(
            model=name,
            validation={SELECTION: SimpleNamespace(mean=[0.1, 0.3, 0.2][k])},
            levels=lambda k=k: {SELECTION: SimpleNamespace(mean=0.123 + k)},
        )
        found[name] = SimpleNamespace(folder=name, metrics=metrics, scored=scored_of(split, values))
    return found


def test_a_weight_is_chosen_on_validation_users_and_judged_on_test_users(tmp_path, monkeypatch):
    split = mv.strong_split(mv.planted(n_users=60, n_items=40, n_events=900), n_heldout=10)
    split.save(tmp_path / "split.safetensors")
    runs = law_runs(split, ["multdae", "multdae-full-1", "multdae-full-10"])
    for name in runs:
        (tmp_path / "runs" / f"{name}-seed0").mkdir(parents=True)
    monkeypatch.setattr(anchor_law.Result, "load", lambda p: runs[p.name.removesuffix("-seed0")])
    note = SimpleNamespace(data=SimpleNamespace(split=tmp_path / "split.safetensors", sha256=draws.fingerprint(split)))
    monkeypatch.setattr(anchor_law, "read_note", lambda folder: note)
    monkeypatch.setattr(anchor_law, "norm_of_codes", lambda folder, split: float(len(folder)))
    (row,) = anchor_law.collect([tmp_path]).rows
    gain = 0.01 * (1 + np.arange(10) % 3)  # of λ = 1, the best on validation users; λ = 10 is better on test users
    assert (row.model, row.form, row.chosen, row.seed) == ("multdae", "full", 1.0, split.protocol["seed"])
    assert row.without == 0.123
    assert row.difference.mean == pytest.approx(gain.mean())
    assert {w: d.mean for w, d in row.at_every_weight.items()} == pytest.approx(
        {"1": gain.mean(), "10": 2 * gain.mean()}
    )
    groups = {g: of for g, of in activity_groups(split.test).items() if of.sum() > 1}
    assert {g: d.mean for g, d in row.by_activity.items()} == pytest.approx(
        {g: gain[of].mean() for g, of in groups.items()}
    )
    assert row.norm_of_codes == {"0": 7.0, "1": 14.0, "10": 15.0}
    assert row.events == draws.fingerprint(split)
    group, of = next((g, of) for g, of in groups.items() if of.sum() > 1)
    without_heldout = np.flatnonzero(of)[1:]  # all but one user of the group: no difference, so no interval
    for run in runs.values():
        run.scored["test"].per_user[SELECTION][without_heldout] = np.nan
    (row,) = anchor_law.collect([tmp_path]).rows
    assert set(row.by_activity) == set(groups) - {group}
    (tmp_path / "runs" / "multdae-seed0").rmdir()
    with pytest.raises(mv.InputError, match="no run of multdae without anchors"):
        anchor_law.collect([tmp_path])


def fold(k, folds=3, seed=0):
    return {"fold": k, "folds": folds, "seed": seed}


@pytest.mark.parametrize(
    ("protocols", "answer"),
    [
        ([{"seed": 1}, {"seed": 2}], False),
        ([fold(1), fold(2), fold(3)], True),
        ([fold(3), fold(1), fold(2)], True),
        ([fold(1), fold(2)], None),  # one is missing
        ([fold(1), fold(2), fold(2)], None),  # one comes twice
        ([fold(1), fold(2), fold(3), fold(3)], None),
        ([fold(1), fold(2), fold(3, seed=1)], None),  # of another partition
        ([fold(1, folds=2), fold(2, folds=3)], None),
        ([fold(1), fold(2), {"seed": 0}], None),  # a draw among folds
    ],
)
def test_folds_count_together_only_if_they_are_a_whole_partition(protocols, answer):
    studies = [SimpleNamespace(results=SimpleNamespace(data=SimpleNamespace(protocol=p))) for p in protocols]
    if answer is None:
        with pytest.raises(mv.InputError, match="not all folds of one partition"):
            draws.are_folds(studies)
    else:
        assert draws.are_folds(studies) is answer


def test_the_table_of_anchors_has_each_number_in_its_column():
    def gain(mean, half):
        return MeanInterval(mean, mean - half, mean + half)

    groups = {"5–10": gain(-0.0045, 0.001), "11–50": gain(0.5, 0.1), "101+": gain(0.0067, 0.001)}
    rows = [
        anchor_law.LawRow("a", 7, "multvae", "full", 0.41234, 10.0, gain(0.0123, 0.002), {}, by_activity, {})
        for by_activity in (groups, {"11–50": groups["11–50"]})
    ]
    text = anchor_law.table(rows).markdown()
    first, second = text.strip().splitlines()[-2:]
    cells = [c.strip() for c in first.strip("|").split("|")]
    assert cells[:7] == ["7", "multvae", "full", "10", "0.4123", "+0.0123", "+0.0103 … +0.0143"]
    assert cells[7:] == ["-0.0045", "+0.0067"]
    assert "0.5" not in second  # a group that is not there is left empty, not filled by another


@pytest.mark.parametrize("known", [(), (Doubt("m", "too short", "It was stopped.", {"epochs": 9}, False),)])
@pytest.mark.parametrize("protocols", [[{"seed": 1}, {"seed": 2}], [fold(1, 2), fold(2, 2)]])
def test_draws_and_folds_are_pooled_each_in_their_own_way(protocols, known, monkeypatch):
    """Two studies of two models, five users each, two of whom are in both draws; against the pooling functions."""
    rng = np.random.default_rng(0)
    folds = "fold" in protocols[0]
    users = [np.arange(5), np.arange(5, 10) if folds else np.arange(3, 8)]
    studies, values = [], {}
    for k, protocol in enumerate(protocols):
        models = {}
        for name in ("m", "ease"):
            values[k, name] = {m: rng.random(5) for m in METRICS}
            scored = Evaluation(values[k, name], np.ones(5, int), 0.5, 1.0)
            models[name] = SimpleNamespace(pooled=lambda s=scored: s, runs=["run"] * (3 - k))
        data = SimpleNamespace(name="some", protocol=protocol, users=SimpleNamespace(training=100 * (k + 1)))
        pair = SimpleNamespace(a="m", b="ease")
        results = SimpleNamespace(data=data, differences=[pair, pair], preset=SimpleNamespace(models={}))
        studies.append(SimpleNamespace(label=f"s{k}", results=results, models=models, users=users[k], searched=k == 1))
    monkeypatch.setattr(draws, "check", lambda studies: ["m", "ease"])
    doubted = []
    monkeypatch.setattr(draws, "doubts", lambda *of: doubted.append(of) or dict.fromkeys(of[2], known))
    found = draws.combine(studies)

    def over(of):
        return pool_folds(of) if folds else pool(of, users, [100, 200])

    assert [(m.name, len(m.runs)) for m in doubted[0][0]] == [("m", 2 + 3), ("ease", 2 + 3)]  # those of both draws
    assert doubted[0][2] == [("m", "ease")]
    assert (found.data, found.draws, found.design) == ("some", ["s0", "s1"], "folds" if folds else "draws")
    assert (found.seeds, found.searched_on, found.training_users) == ({"m": 2, "ease": 2}, ["s1"], [100, 200])
    assert (found.test_users.each, found.test_users.different) == ([5, 5], 10 if folds else 8)
    assert [(v.model, v.metric) for v in found.levels] == [(n, m) for n in ("m", "ease") for m in METRICS]
    for v in found.levels:
        of = [values[k, v.model][v.metric] for k in range(2)]
        assert v.pooled == over(of)
        assert [d.mean for d in v.draws] == pytest.approx([x.mean() for x in of])
    assert [(d.a, d.b, d.metric) for d in found.differences] == [("m", "ease", m) for m in METRICS]
    for d in found.differences:
        of = [values[k, "m"][d.metric] - values[k, "ease"][d.metric] for k in range(2)]
        assert d.pooled == over(of)
        assert d.doubts == known
        assert d.verdict == conclusions.effect(d.pooled, known)
        assert (d.difference, d.low, d.high) == (d.pooled.difference, d.pooled.low, d.pooled.high)
        for each, x in zip(d.draws, of, strict=True):
            interval = stats.ttest_1samp(x, 0).confidence_interval(0.95)
            assert (each.difference, each.low, each.high) == pytest.approx((x.mean(), interval.low, interval.high))
    assert not found.searched_elsewhere
    for origin in ({}, {"sha256": "of another draw"}):
        for study in studies:
            study.searched, study.results.preset.origin = False, origin
        assert draws.combine(studies).searched_elsewhere == bool(origin)


def test_means_over_draws_are_pooled_by_user_and_draw(tmp_path, monkeypatch):
    data = mv.planted(n_users=60, n_items=40, n_events=900)
    splits, values, folders = {}, {}, []
    for seed in (1, 2, 3):
        folder = tmp_path / f"draw-{seed}"
        splits[folder] = mv.strong_split(data, n_heldout=10, seed=seed)
        for name in ("multvae", "multvae-full-1"):
            (folder / "runs" / f"{name}-seed0").mkdir(parents=True)
        splits[folder].save(folder / "split.safetensors")
        values[folder] = np.random.default_rng(seed).normal(0.01 * seed, 0.02, 10)
        folders.append(folder)

    def load(run):
        folder, anchored = run.parents[1], "full" in run.name
        scored = 0.5 + anchored * values[folder]
        metrics = SimpleNamespace(
            model=run.name.removesuffix("-seed0"),
            validation={SELECTION: SimpleNamespace(mean=0.1)},
            levels=lambda: {SELECTION: SimpleNamespace(mean=0.5)},
        )
        return SimpleNamespace(folder=run, metrics=metrics, scored=scored_of(splits[folder], scored))

    def note(run):
        folder = run.parents[1]
        sha256 = draws.fingerprint(splits[folder])
        return SimpleNamespace(data=SimpleNamespace(split=folder / "split.safetensors", sha256=sha256))

    monkeypatch.setattr(anchor_law.Result, "load", load)
    monkeypatch.setattr(anchor_law, "read_note", note)
    monkeypatch.setattr(anchor_law, "norm_of_codes", lambda folder, split: 1.0)
    (mean,) = anchor_law.collect(folders).over_draws
    expected = pool([values[f] for f in folders], [splits[f].test.user_labels for f in folders], [40, 40, 40])
    assert (mean.draws, mean.model, mean.form) == ([1, 2, 3], "multvae", "full")
    assert mean.difference == MeanInterval(*map(pytest.approx, (expected.difference, expected.low, expected.high)))
    alone = pool([values[f] for f in folders], [np.arange(10) + 10 * k for k in range(3)], [40, 40, 40])
    assert alone.high != pytest.approx(mean.difference.high)  # the twin: users of three draws taken for different ones
    group = next(iter(mean.by_activity))
    assert mean.by_activity[group].mean == pytest.approx(
        np.mean([values[f][activity_groups(splits[f].test)[group]].mean() for f in folders])
    )
    assert len(anchor_law.means([mean]).rows) == 1
    with pytest.raises(mv.InputError, match="the same seed of the draw"):
        anchor_law.collect([folders[0], folders[0]])
    assert anchor_law.collect(folders[:1]).over_draws == []
