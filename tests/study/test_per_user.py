"""`minivae per-user`: the file says of every held-out user what the runs' reports say of all of them."""

import json
import shutil

import numpy as np
import polars as pl
import pytest

import minivae as mv
from minivae.cli import main
from minivae.options import METRICS

FAST = ["--device", "cpu", "--precision", "fp32", "--epochs", "1", "--seeds", "2"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A study of one split, and one of three folds."""
    root = tmp_path_factory.mktemp("per-user")
    data = mv.planted(n_users=160, n_items=40, n_events=2400)
    mv.strong_split(data, n_heldout=30).save(root / "tiny.safetensors")
    (root / "small.toml").write_text("[models.multvae]\nhidden = 16\nlatent = 4\n")
    argv = ["study", "--data", str(root / "tiny.safetensors"), "--models", "popularity,multvae"]
    argv += ["--settings", str(root / "small.toml"), *FAST]
    assert main([*argv, "--out", str(root / "study")]) == 0
    assert main([*argv, "--folds", "3", "--out", str(root / "folds")]) == 0
    return root


def levels(table, results):
    """Largest difference between means of the file and those in results.json, over runs, parts and metrics."""
    found = []
    for run in results["runs"]:
        of = table.filter((pl.col("model") == run["model"]) & (pl.col("seed") == run["seed"]))
        for part, stated in (("test", run["metrics"]), ("validation", run["validation"])):
            rows = of.filter(pl.col("part") == part)
            found += [abs(rows[m].mean() - stated[m]["mean"]) for m in METRICS]
    return max(found)


def test_the_file_has_every_user_of_every_run(made, tmp_path):
    assert main(["per-user", str(made / "study"), "--out", str(tmp_path / "users.parquet")]) == 0
    table = pl.read_parquet(tmp_path / "users.parquet")
    split = mv.StrongSplit.load(made / "tiny.safetensors")
    assert table.columns == ["study", "model", "seed", "part", "user", "history", "heldout", *METRICS]
    assert table.height == 3 * (split.test.n_users + split.validation.n_users)
    results = json.loads((made / "study/results.json").read_text(encoding="utf-8"))
    assert levels(table, results) < 1e-12
    assert levels(table.with_columns(pl.col("ndcg@100").shuffle(seed=0)), results) > 1e-3  # twin: of other users
    for part in ("test", "validation"):
        rows = table.filter((pl.col("part") == part) & (pl.col("model") == "multvae") & (pl.col("seed") == 1))
        users = getattr(split, part)
        assert rows["user"].to_list() == [str(u) for u in users.user_labels.tolist()]
        assert np.array_equal(rows["history"], users.history.getnnz(axis=1))
        assert np.array_equal(rows["heldout"], users.heldout.getnnz(axis=1))
        alone = rows["ndcg@100"].is_null()
        assert np.array_equal(alone, users.heldout.getnnz(axis=1) == 0)


def test_one_user_by_hand(made, tmp_path):
    """Recall@20 of popularity for the first test user, counted from the split."""
    assert main(["per-user", str(made / "study"), "--out", str(tmp_path / "users.csv")]) == 0
    table = pl.read_csv(tmp_path / "users.csv").filter((pl.col("model") == "popularity") & (pl.col("part") == "test"))
    split = mv.StrongSplit.load(made / "tiny.safetensors")
    history, heldout = (set(m[0].indices.tolist()) for m in (split.test.history, split.test.heldout))
    counts = np.bincount(split.train.indices, minlength=split.n_items)
    new = [i for i in range(split.n_items) if i not in history]
    best = sorted(new, key=lambda i: -counts[i])[:20]
    cut = counts[best[-1]]
    sure = {i for i in new if counts[i] > cut}
    low = len(heldout & sure)
    high = len(heldout & {i for i in new if counts[i] >= cut})
    n = min(20, len(heldout))
    assert low / n <= table["recall@20"][0] <= min(n, high) / n


def test_folds_are_one_file_in_which_every_user_is_tested_once(made, tmp_path):
    assert main(["per-user", str(made / "folds"), "--out", str(tmp_path / "users.jsonl")]) == 0
    table = pl.read_ndjson(tmp_path / "users.jsonl")
    assert table["study"].unique().sort().to_list() == ["fold-1", "fold-2", "fold-3"]
    tested = table.filter((pl.col("part") == "test") & (pl.col("model") == "popularity"))["user"]
    split = mv.StrongSplit.load(made / "tiny.safetensors")
    assert tested.len() == tested.n_unique() == split.n_users


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["study", "--out", "users.txt"], "must end in one of .parquet, .csv, .jsonl"),
        (["--out", "users.csv"], "no study is named"),
        (["nothing", "--out", "users.csv"], "holds no finished study"),
        (["study", "study", "--out", "users.csv"], "two of the studies are called 'study'"),
    ],
)
def test_what_cannot_be_written_is_one_sentence(made, tmp_path, monkeypatch, capsys, argv, words):
    shutil.copytree(made / "study", tmp_path / "study")
    monkeypatch.chdir(tmp_path)
    assert main(["per-user", *argv]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert words in said
    assert said.count("\n") == 1
    assert not list(tmp_path.glob("users*"))


def test_another_split_and_a_damaged_run_are_refused(made, tmp_path, capsys):
    shutil.copytree(made, tmp_path / "copy")
    argv = ["per-user", str(tmp_path / "copy/study"), "--out", str(tmp_path / "users.parquet")]
    users = tmp_path / "copy/study/runs/multvae-seed1/users.safetensors"
    kept = users.read_bytes()
    shutil.copy(tmp_path / "copy/study/runs/multvae-seed0/users.safetensors", users)
    assert main(argv) == 2
    users.write_bytes(kept)
    mv.strong_split(mv.planted(n_users=160, n_items=40, n_events=2500), n_heldout=30).save(
        tmp_path / "copy/tiny.safetensors"
    )
    assert main(argv) == 2
    assert "no longer the split" in capsys.readouterr().err
    assert not (tmp_path / "users.parquet").exists()


def test_a_draw_that_is_not_finished_is_no_part_left_out(made, tmp_path, capsys):
    shutil.copytree(made / "folds", tmp_path / "folds")
    first = sorted((tmp_path / "folds").glob("*/results.json"))[0]
    first.unlink()
    assert main(["per-user", str(tmp_path / "folds"), "--out", str(tmp_path / "users.parquet")]) == 2
    assert f"{first.parent} is not finished" in capsys.readouterr().err
    assert not (tmp_path / "users.parquet").exists()
