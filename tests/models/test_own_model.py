"""The example of docs/examples/own_model: its commands as they stand there, on a small split."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import minivae as mv

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "own_model"


def commands():
    """The lines of the first block of shell, without the export."""
    block = (EXAMPLE / "README.md").read_text().split("```bash\n")[1].split("```")[0]
    return [shlex.split(line) for line in block.splitlines() if line.startswith("minivae ")]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The folder in which the commands were run, and what they said."""
    folder = tmp_path_factory.mktemp("own")
    for name in ("own_model.py", "settings.toml"):
        (folder / name).write_text((EXAMPLE / name).read_text())
    split = mv.strong_split(mv.planted(n_users=400, n_items=60, n_events=6000), n_heldout=60)
    split.save(folder / "small.safetensors")
    path = os.pathsep.join([str(folder), str(EXAMPLE.parents[2])])
    env = {**os.environ, "PYTHONPATH": path, "MINIVAE_PLUGINS": "own_model"}
    said = []
    for words in commands():
        more = ["--data", "small.safetensors", "--device", "cpu"] if words[1] == "study" else []
        done = subprocess.run(
            [sys.executable, "-m", *words, *more], cwd=folder, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    return folder, said


def test_the_example_runs_as_it_stands(results):
    folder, said = results
    assert len(said) == 3
    for name in ("linear", "linear-laplace"):
        note = json.loads((folder / "study" / "runs" / f"{name}-seed0" / "config.json").read_text())
        assert note["class"] == "linear-vae"
    assert note["arguments"] == {"latent": 16, "prior": "laplace"}
    assert "longtail@20" in said[1].lower()
    table = pl.read_parquet(folder / "recommended.parquet")
    assert table["user"].n_unique() == 400


def test_the_prior_takes_effect(results):
    """Broken twin of the example: were the prior not used, both models would be the same."""
    folder, _ = results
    read = [(folder / "study" / "runs" / f"{n}-seed0" / "log.jsonl").read_text() for n in ("linear", "linear-laplace")]
    first, second = (json.loads(text.splitlines()[-1])["kl"] for text in read)
    assert abs(first - second) > 1e-3
