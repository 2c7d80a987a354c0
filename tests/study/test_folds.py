"""Folds: every user is tested once by models that never saw it, and the interval over folds covers."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

import minivae as mv
from minivae.cli.main import main
from minivae.errors import InputError
from minivae.study.draws.pooling import pool_folds
from minivae.study.run.folds import folds

SMALL = """
[models.multvae]
hidden = 8
latent = 4
"""


@pytest.fixture(scope="module")
def split():
    return mv.strong_split(mv.planted(n_users=200, n_items=90, n_events=4000), n_heldout=40)


def whole(split):
    """label -> set of (item label) of all users."""
    rows = {}
    for x, labels in (
        (split.train, split.train_labels),
        *((p.history + p.heldout, p.user_labels) for p in (split.validation, split.test)),
    ):
        for k, label in enumerate(labels):
            rows[str(label)] = set(split.item_labels[x[k].indices].tolist())
    return rows


def assert_folds(split, parts):
    """Every user tested once and validated once, in no part twice, with all that it has of the vocabulary."""
    everyone = whole(split)
    tested, validated = [], []
    for part in parts:
        seen = [*part.train_labels, *part.validation.user_labels, *part.test.user_labels]
        assert sorted(map(str, seen)) == sorted(everyone)
        tested += part.test.user_labels.tolist()
        validated += part.validation.user_labels.tolist()
        known = set(part.item_labels.tolist())
        assert known == {i for u in part.train_labels for i in everyone[str(u)]}
        for label, items in whole(part).items():
            assert items == everyone[label] & known
    assert sorted(tested) == sorted(validated) == sorted(everyone)


@pytest.mark.parametrize("cut", [mv.leave_last_out, mv.time_split])
def test_users_who_stand_in_two_parts_cannot_be_cut_in_folds(cut):
    """Fold 2 would train on what a user of fold 1 is tested on."""
    rng = np.random.default_rng(0)
    users, items = rng.integers([[60], [40]], size=(2, 900))
    known = cut(mv.Interactions.from_labels(users, items, time=rng.permutation(900).astype(float)))
    for split in (known, replace(known, train_labels=None), replace(known, protocol={})):
        with pytest.raises(InputError, match="tested on users that it was trained on"):
            folds(split, 4)


@pytest.mark.parametrize("k", [3, 6])
def test_every_user_is_tested_once_by_models_that_never_saw_it(split, k):
    parts = folds(split, k)
    assert_folds(split, parts)
    with pytest.raises(AssertionError):
        assert_folds(split, [*parts[:-1], parts[0]])
    with pytest.raises(AssertionError):
        assert_folds(
            split,
            [
                mv.strong_split(mv.planted(n_users=200, n_items=90, n_events=4000), n_heldout=40, seed=s)
                for s in range(k)
            ],
        )


def test_a_user_has_the_same_held_out_items_wherever_it_is_held_out(split):
    parts = folds(split, 3)
    held = {}
    for part in parts:
        for of in (part.validation, part.test):
            for k, label in enumerate(of.user_labels):
                items = {i for i in part.item_labels[of.heldout[k].indices].tolist()}
                held.setdefault(label, []).append((items, set(part.item_labels.tolist())))
    for (a, known_a), (b, known_b) in held.values():
        assert a & known_b == b & known_a
    sizes = np.concatenate([np.diff(p.test.heldout.indptr) for p in parts])
    n = np.concatenate([np.diff((p.test.history + p.test.heldout).indptr) for p in parts])
    assert (np.abs(sizes - n // 5) <= 1).mean() > 0.95  # the vocabulary of a fold may lack some


def test_folds_depend_on_the_seed_alone(split):
    again = folds(split, 3)
    assert all((a.test.user_labels == b.test.user_labels).all() for a, b in zip(folds(split, 3), again, strict=True))
    assert (folds(split, 3, seed=1)[0].test.user_labels != again[0].test.user_labels).any()


@pytest.mark.parametrize("k", [2, 150])
def test_impossible_folds_are_refused(split, k):
    with pytest.raises(InputError, match="folds"):
        folds(split, k)


def coverage(k, tau, interval, n=60, repetitions=2000):
    """How often an interval for δ = 0 holds 0; a_k has `tau` times the standard error of a fold's mean over users."""
    rng = np.random.default_rng([k, int(2 * tau)])
    hits = 0
    for _ in range(repetitions):
        effects = tau / n**0.5 * rng.standard_normal(k)
        values = [rng.standard_normal(n) + a for a in effects]
        mean, half = interval(values)
        hits += abs(mean) <= half
    return hits / repetitions


def by_folds(values):
    p = pool_folds(values)
    return p.difference, p.high - p.difference


def by_users(values):
    p = pool_folds(values)
    return p.difference, p.over_users


def corrected(values):
    """Nadeau and Bengio's."""
    k, means = len(values), np.array([v.mean() for v in values])
    return means.mean(), stats.t.ppf(0.975, k - 1) * means.std(ddof=1) * (1 / k + 1 / (k - 1)) ** 0.5


@pytest.mark.parametrize("k", [3, 6, 10])
@pytest.mark.parametrize("tau", [0.0, 1.0, 2.0])
def test_the_interval_covers_in_93_to_97_of_100_cases(k, tau):
    """2,000 repetitions: the standard error of a coverage of 95 % is 0.5 %."""
    assert 0.93 <= coverage(k, tau, by_folds) <= 0.97


def test_other_intervals_do_not():
    assert coverage(6, 2.0, by_users) < 0.7
    assert coverage(6, 0.0, corrected) > 0.97


def test_shared_training_users_make_the_interval_too_short():
    """K = 6, four parts of six train: a fold's mean owes as much chance to its training users as to its tested ones."""
    rng, hits = np.random.default_rng(0), {by_folds: 0, corrected: 0}
    for _ in range(1000):
        own, taught = rng.normal(0, 0.1, 600), rng.normal(0, 0.2, 600)
        order = rng.permutation(600)
        values = []
        for test in np.split(order, 6):
            train = rng.permutation(np.setdiff1d(order, test))[:400]
            values.append(own[test] + taught[train].mean())
        for interval in hits:
            mean, half = interval(values)
            hits[interval] += abs(mean) <= half
    assert 0.71 < hits[by_folds] / 1000 < 0.79
    assert 0.86 < hits[corrected] / 1000 < 0.92


def test_the_pooled_mean_and_its_interval_by_hand():
    """Folds with means 1, 2, 6: mean 3, S² = 7, half = t₂ √(7 / 3)."""
    values = [np.array([0.0, 2.0]), np.array([1.0, np.nan, 3.0]), np.array([5.0, 7.0])]
    p = pool_folds(values)
    half = stats.t.ppf(0.975, 2) * (7 / 3) ** 0.5
    assert (p.difference, p.low, p.high) == pytest.approx((3, 3 - half, 3 + half))
    everyone = np.array([0, 2, 1, 3, 5, 7])
    assert p.over_users == pytest.approx(stats.t.ppf(0.975, 5) * everyone.std(ddof=1) / 6**0.5)


def test_the_command_tests_every_user_and_goes_on_where_it_was(split, tmp_path, capsys):
    split.save(tmp_path / "data.safetensors")
    (tmp_path / "small.toml").write_text(SMALL, encoding="utf-8")
    out = tmp_path / "out"
    argv = ["study", "--data", str(tmp_path / "data.safetensors"), "--models", "popularity,multvae", "--epochs", "1"]
    argv += ["--settings", str(tmp_path / "small.toml"), "--device", "cpu", "--folds", "3", "--out", str(out)]
    assert main([*argv[:-1], str(tmp_path / "dry"), "--dry-run"]) == 0
    assert not (tmp_path / "dry").exists()
    assert main(argv) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if "differences of nDCG@100 below" in line]
    assert len(said) == 2  # once each, of all folds together
    assert all(line.startswith(f"3 folds pooled, in all {split.n_users} test users, seeds 1") for line in said)
    value = json.loads((out / "combined.json").read_text(encoding="utf-8"))
    assert (value["design"], value["draws"]) == ("folds", ["1", "2", "3"])
    assert value["test users"]["different"] == sum(value["test users"]["each"]) == split.n_users
    row = next(d for d in value["differences"] if d["metric"] == "ndcg@100")
    means = np.array([d["difference"] for d in row["draws"]])
    half = stats.t.ppf(0.975, 2) * means.std(ddof=1) / 3**0.5
    assert (row["pooled"]["difference"], row["pooled"]["low"]) == pytest.approx((means.mean(), means.mean() - half))
    assert "best epoch is the last" in {d["what"] for d in row["doubts"]}
    assert "1 seed" not in {d["what"] for d in row["doubts"]}  # three runs, of three folds
    assert "tested once" in (out / "combined.md").read_text(encoding="utf-8")
    kept = (out / "fold-2/runs/multvae-seed0/metrics.json").stat().st_mtime_ns
    (out / "fold-3/runs/multvae-seed0/metrics.json").unlink()
    assert main(argv) == 2
    capsys.readouterr()
    assert main([*argv, "--resume"]) == 0
    assert (out / "fold-2/runs/multvae-seed0/metrics.json").stat().st_mtime_ns == kept
    again = json.loads((out / "combined.json").read_text(encoding="utf-8"))
    assert again["differences"] == value["differences"]
    shutil.rmtree(out / "fold-1")
    shutil.copy(out / "fold-2.safetensors", out / "fold-1.safetensors")
    assert main([*argv, "--resume"]) == 2
    assert "fold-1.safetensors is not that fold; remove it" in capsys.readouterr().err
    (out / "fold-1.safetensors").unlink()
    assert main([*argv, "--resume"]) == 0
    assert json.loads((out / "combined.json").read_text(encoding="utf-8"))["differences"] == value["differences"]
    assert main(["combine", str(out / "fold-1"), str(out / "fold-2"), "--out", str(tmp_path / "two")]) == 2
    assert "not all folds" in capsys.readouterr().err
