"""The comparison with other libraries: what it refuses, a real round of two of its peers, the columns of all."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

import minivae as mv

pytest.importorskip("resource", reason="the harness reads peak memory with it, which Windows has not")

SCRIPT = Path(__file__).resolve().parent / "peers" / "compare.py"


def compare(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *arguments]
    env = os.environ | {"PYTHONPATH": str(SCRIPT.parents[2])}
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=300)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("speed", "--epochs", "1"), "give --epochs 2 or more"),
        (("accuracy",), "accuracy needs --data"),
        (("speed", "--peers", "minivae"), "no peer is called 'minivae'"),
        (("speed", "--rounds", "0"), "--rounds must be at least 1"),
    ],
)
def test_what_gives_no_figure_is_refused_in_a_sentence(arguments, sentence):
    done = compare(*arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_round_of_the_dense_model_and_of_both_precisions(tmp_path):
    split = mv.strong_split(mv.planted(n_users=300, n_items=60, n_events=6_000, seed=0), n_heldout=50)
    split.save(tmp_path / "small.safetensors")
    peers = "dense,minivae-fp32,minivae-bf16"
    done = compare(
        *("accuracy", "--data", str(tmp_path / "small.safetensors"), "--peers", peers),
        *("--epochs", "2", "--rounds", "1", "--threads", "1", "--json", str(tmp_path / "figures.json")),
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert list(figures) == peers.split(",")
    assert [figures[p]["precision"] for p in figures] == ["fp32", "fp32", "bf16"]
    for row in figures.values():
        assert row["least"] <= row["seconds"] <= row["most"]
        assert 0 < row["ndcg@100"] < 1
        assert row["peak_gb"] > 0.05


@pytest.mark.slow
@pytest.mark.parametrize("peer", ["dense", "recpack", "irspack", "cornac", "recbole", "minivae-fp32", "minivae-bf16"])
def test_scores_stand_in_the_columns_of_the_training_matrix(peer, tmp_path, monkeypatch):
    """Items come in pairs, item 7 never: a new user with one item of a pair wants the other."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    from compare import PRECISIONS, ROOT, installed, run
    from harness import Job

    venvs = ROOT / "build" / "peers"
    if not installed(peer, venvs):
        pytest.skip(f"{peer} is not installed (python tests/peers/compare.py install)")
    pairs = np.array([(12, 3), (1, 11), (2, 5), (0, 9), (4, 10), (8, 6)])
    rng = np.random.default_rng(0)
    train, history = np.zeros((300, 13), np.float32), np.zeros((12, 13), np.float32)
    for row in train:
        row[pairs[rng.choice(6, 2, replace=False)]] = 1
    history[np.arange(12), pairs.ravel()] = 1
    sp.save_npz(tmp_path / "train.npz", sp.csr_matrix(train))
    sp.save_npz(tmp_path / "history.npz", sp.csr_matrix(history))
    files = (str(tmp_path / name) for name in ("train.npz", "history.npz", "scores.npy"))
    job = Job(*files, 50, 10, 20, 3e-3, 0.2, 1500, 1, 60, 0, 1, PRECISIONS.get(peer, "fp32"))
    run(peer, job, venvs, tmp_path)
    scores = np.load(tmp_path / "scores.npy")
    assert scores.shape == history.shape
    scores[history > 0] = -np.inf
    np.testing.assert_array_equal(scores.argmax(1), pairs[:, ::-1].ravel())
