"""The comparison with other libraries: what it refuses, and a real round of two of its peers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import minivae as mv

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
