"""Several draws of held-out users: the pooled interval, and what may be combined."""

import csv
import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import minivae as mv
from minivae.cli.main import main
from minivae.ranking import paired_difference
from minivae.runtime.records import write_record
from minivae.study.draws.draws import Pooled, pool

TINY = ["--models", "ease,multvae,multvae+anchor", "--epochs", "2", "--device", "cpu", "--precision", "fp32"]
SMALL = "[models.multvae]\nhidden = 16\nlatent = 8\n[models.'multvae+anchor']\nhidden = 16\nlatent = 8\n"
DELTA, ROUNDS = 0.01, 400


def simulated(rng, n_users, n_test, k, sd_user, sd_draw, sd_noise):
    """Values and labels of k draws of test users from one population, whose true mean is exactly DELTA."""
    own = rng.normal(0, sd_user, n_users)
    own += DELTA - own.mean()
    users = [rng.choice(n_users, n_test, replace=False) for _ in range(k)]
    values = [own[u] + rng.normal(0, sd_draw) + rng.normal(0, sd_noise, n_test) for u in users]
    return values, users


def coverage(interval, seed, **population):
    """In which share of simulated studies the interval holds the truth."""
    rng = np.random.default_rng(seed)
    hits = 0
    for _ in range(ROUNDS):
        values, users = simulated(rng, **population)
        found = interval(values, users)
        hits += found.low <= DELTA <= found.high
    return hits / ROUNDS


def ours(values, users):
    return pool(values, users, [10 * len(v) for v in values])


def users_alone(values, users):
    """The twin that knows no variance between draws: one paired interval over all rows."""
    return paired_difference(np.concatenate(values))


ENOUGH = 0.95 - 3 * (0.95 * 0.05 / ROUNDS) ** 0.5  # three standard errors of a count of hits
POPULATIONS = {
    "draws alike": {"n_users": 5000, "n_test": 200, "k": 3, "sd_user": 0.1, "sd_draw": 0.0, "sd_noise": 0.05},
    "draws differ": {"n_users": 5000, "n_test": 200, "k": 4, "sd_user": 0.1, "sd_draw": 0.02, "sd_noise": 0.05},
    "draws differ much": {"n_users": 5000, "n_test": 400, "k": 3, "sd_user": 0.05, "sd_draw": 0.05, "sd_noise": 0.05},
    "many users in several": {"n_users": 300, "n_test": 200, "k": 4, "sd_user": 0.1, "sd_draw": 0.01, "sd_noise": 0.02},
}


@pytest.mark.parametrize("name", POPULATIONS)
def test_the_pooled_interval_holds_the_truth_as_often_as_it_says(name):
    assert coverage(ours, 1, **POPULATIONS[name]) >= ENOUGH


@pytest.mark.parametrize("name", ["draws differ", "draws differ much"])
def test_an_interval_over_users_alone_is_found_too_narrow(name):
    assert coverage(users_alone, 1, **POPULATIONS[name]) < ENOUGH


def test_users_who_come_again_count_once():
    """The same users, with the same values, in every draw: nothing is learned from the second draw on."""
    rng = np.random.default_rng(0)
    values, users = rng.normal(0.01, 0.1, 300), np.arange(300)
    alone = pool([values], [users], [1000])
    again = pool([values] * 4, [users] * 4, [1000] * 4)
    assert (again.difference, again.low, again.high) == pytest.approx((alone.difference, alone.low, alone.high))
    twin = users_alone([values] * 4, [users] * 4)
    assert twin.high - twin.low < 0.6 * (alone.high - alone.low)


@given(st.integers(0, 10**6), st.integers(3, 40))
def test_one_draw_is_the_paired_t_interval(seed, n):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=n)
    found = pool([np.append(values, np.nan)], [np.arange(n + 1)], [100])
    wanted = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.difference, found.low, found.high) == pytest.approx((values.mean(), wanted.low, wanted.high))
    assert found.over_draws == 0


@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(5, 40))
def test_draws_without_common_users_and_without_differences_add_up(seed, k, n):
    """Disjoint users and equal means: V = Σ var_k / (K² n_k), up to the factor n/(n − 1) of one cluster per user."""
    rng = np.random.default_rng(seed)
    values = [v - v.mean() + 0.3 for v in rng.normal(size=(k, n))]
    found = pool(values, [np.arange(j * n, (j + 1) * n) for j in range(k)], [100] * k)
    variance = sum(v.var(ddof=0) / n for v in values) / k**2 * k * n / (k * n - 1)
    assert found.difference == pytest.approx(0.3)
    assert found.over_users == pytest.approx(stats.t.ppf(0.975, k * n - 1) * variance**0.5)
    assert found.high - 0.3 == pytest.approx(found.over_users)


def test_draws_that_differ_much_have_the_t_interval_over_draws():
    """With very many users, all different, it is that of their means, widened for the shared training users."""
    rng = np.random.default_rng(3)
    shifts = np.array([-0.05, 0.0, 0.01, 0.04])
    values = [s + rng.normal(0, 0.1, 40_000) for s in shifts]
    found = pool(values, [np.arange(40_000) + 40_000 * k for k in range(4)], [400_000] * 4)
    plain = stats.ttest_1samp([v.mean() for v in values], 0).confidence_interval(0.95)
    widened = (plain.high - plain.low) / 2 * ((1 / 4 + 0.1) / (1 / 4)) ** 0.5
    assert found.high - found.difference == pytest.approx(found.over_draws) == pytest.approx(widened, rel=1e-3)
    assert found.over_draws > 10 * found.over_users


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Studies of two draws, made by hand, and the same by one command."""
    root = tmp_path_factory.mktemp("draws")
    data = mv.planted(n_users=300, n_items=120, n_events=6000)
    (root / "small.toml").write_text(SMALL, encoding="utf-8")
    for seed in (5, 6):
        mv.strong_split(data, n_heldout=60, seed=seed).save(root / f"{seed}.safetensors")
        argv = ["study", "--data", str(root / f"{seed}.safetensors"), *TINY, "--seeds", "2"]
        argv += ["--settings", str(root / "small.toml")]
        assert main([*argv, "--out", str(root / f"s{seed}")]) == 0
    rng = np.random.default_rng(0)
    rows = [f"{u},{i}" for u in range(200) for i in rng.choice(40, 10, replace=False)]
    (root / "table.csv").write_text("\n".join(["user,item", *rows]) + "\n", encoding="utf-8")
    return root


def test_studies_of_several_draws_are_combined(folders, capsys):
    out = folders / "both"
    assert main(["combine", str(folders / "s5"), str(folders / "s6"), "--out", str(out)]) == 0
    assert str(out) in capsys.readouterr().out.splitlines()[-1]
    value = json.loads((out / "combined.json").read_text(encoding="utf-8"))
    assert value["draws"] == ["5", "6"]
    results = [json.loads((folders / s / "results.json").read_text()) for s in ("s5", "s6")]
    for row in value["differences"]:
        for found, of in zip(row["draws"], results, strict=True):
            one = next(d for d in of["differences"] if all(d[k] == row[k] for k in ("a", "b", "metric")))
            assert (found["difference"], found["low"]) == pytest.approx((one["difference"], one["low"]))
        assert row["pooled"]["difference"] == pytest.approx(np.mean([d["difference"] for d in row["draws"]]))
        p = Pooled(**row["pooled"])
        decided = not row["doubts"] or p.low <= 0 <= p.high
        said = "helps" if p.low > 0 else "hurts" if p.high < 0 else "cannot be told apart"
        assert row["verdict"] == (said if decided else "not decided")
    labels = [set(mv.StrongSplit.load(folders / f"{s}.safetensors").test.user_labels.tolist()) for s in (5, 6)]
    assert value["test users"] == {"each": [60, 60], "different": len(labels[0] | labels[1])}
    text = (out / "combined.md").read_text(encoding="utf-8")
    assert all(word in text for word in ("Pooled:", "Does PIA help?", "draw 5", "draw 6", "multvae+anchor − multvae"))
    rows = list(csv.DictReader((out / "combined.csv").read_text(encoding="utf-8").splitlines()))
    assert {r["draw"] for r in rows} == {"5", "6", "pooled"}
    assert (out / "combined.html").read_text(encoding="utf-8").count("data:image/svg+xml") == 1


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ((), "validation users of another draw of held-out users, or of other data"),
        (("s5",), "validation users of draw 5 alone; some of them may be test users of another draw"),
        (("s5", "s6"), "validation users of each draw"),
    ],
)
def test_the_report_says_on_whose_users_settings_were_searched(own, said, folders, tmp_path):
    """Both studies have one origin, or each its own; an origin alone does not say that a draw was searched."""
    sha = {s: json.loads((folders / s / "results.json").read_text())["data"]["searchable"] for s in ("s5", "s6")}
    for s in ("s5", "s6"):
        shutil.copytree(folders / s, tmp_path / s)
        shutil.copy(folders / f"{s[1:]}.safetensors", tmp_path)  # the data, seen from the runs' folders
        results = json.loads((tmp_path / s / "results.json").read_text())
        results["preset"]["origin"] = {"sha256": sha[s if s in own else "s5"] if own else "another"}
        write_record(tmp_path / s / "results.json", results)
    assert main(["combine", str(tmp_path / "s5"), str(tmp_path / "s6"), "--out", str(tmp_path / "both")]) == 0
    text = (tmp_path / "both/combined.md").read_text(encoding="utf-8")
    assert said in text


def test_one_command_draws_and_combines(folders, capsys):
    argv = ["study", "--data", str(folders / "table.csv"), "--models", "popularity,ease", "--heldout", "40"]
    argv += ["--split-seeds", "1,2,3", "--out", str(folders / "command")]
    assert main(argv) == 0
    value = json.loads((folders / "command/combined.json").read_text(encoding="utf-8"))
    assert value["draws"] == ["1", "2", "3"]
    kept = (folders / "command/draw-2/runs/ease-seed0/metrics.json").stat().st_mtime_ns
    assert main(argv) == 2
    assert "--resume" in capsys.readouterr().err
    assert main([*argv, "--resume"]) == 0
    assert (folders / "command/draw-2/runs/ease-seed0/metrics.json").stat().st_mtime_ns == kept


REFUSED = {
    "one study": (["{s5}"], "at least two"),
    "the same draw twice": (["{s5}", "{s5}"], "same draw"),
    "no study": (["{s5}", "{root}"], "holds no finished study"),
    "other settings": (["{s5}", "{other}"], "multvae was run with training.epochs 2 in draw 5 and 1 in draw 6"),
    "two of one name": (["{s5}", "{again}"], "would both be called 5 in the tables"),
    "a folder of something else": (["{s5}", "{s6}", "--out", "{s5}"], "something else"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_belong_together_is_refused(case, folders, tmp_path, capsys):
    argv, expected = REFUSED[case]
    other = folders / "other"
    if not other.is_dir():
        argv_other = ["study", "--data", str(folders / "6.safetensors"), "--models", "multvae", "--epochs", "1"]
        argv_other += ["--settings", str(folders / "small.toml")]
        assert main([*argv_other, "--device", "cpu", "--precision", "fp32", "--out", str(other)]) == 0
    places = {"root": folders, "s5": folders / "s5", "s6": folders / "s6", "other": other, "again": folders / "again"}
    if case == "two of one name" and not places["again"].is_dir():  # the same seed, after another filter
        data = mv.planted(n_users=300, n_items=120, n_events=6000)
        mv.strong_split(data, n_heldout=60, min_user=8, seed=5).save(folders / "again.safetensors")
        argv_again = ["study", "--data", str(folders / "again.safetensors"), *TINY]
        assert main([*argv_again, "--settings", str(folders / "small.toml"), "--out", str(places["again"])]) == 0
    argv = [a.format(**places) for a in argv]
    argv += [] if "--out" in argv else ["--out", str(tmp_path / "o")]
    capsys.readouterr()
    assert main(["combine", *argv]) == 2
    said = capsys.readouterr().err
    assert expected in said
    assert said.count("\n") == 1
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--split-seeds", "1,x"], "whole numbers"),
        (["--split-seeds", "1,1"], "at least two"),
        (["--split-seeds", "1,-2"], "at least two"),
        (["--split-seeds", "1,2", "--split-seed", "3"], "--split-seed cannot go"),
        (["--split-seeds", "1,2", "--data", "{split}"], "is split already"),
        (["--split-seeds", "1,2", "--models", "gpt"], "gpt"),
    ],
)
def test_impossible_draws_are_refused(argv, expected, folders, tmp_path, capsys):
    argv = [a.format(split=folders / "5.safetensors") for a in argv]
    argv += [] if "--data" in argv else ["--data", str(folders / "table.csv")]
    assert main(["study", *argv, "--out", str(tmp_path / "o")]) == 2
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
