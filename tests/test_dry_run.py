"""The dry run of the large data sets: raw files in the original formats, to the final table, killed and continued."""

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

SPEED = Path(__file__).resolve().parent / "speed"
sys.path.insert(0, str(SPEED))
dry_run = import_module("dry_run")

SCALE = {"ml-20m": 0.003, "netflix": 0.001, "msd": 0.002}
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(SPEED.parents[1])}


def arguments(name, work, *more):
    return [name, "--work", str(work), "--scale", str(SCALE[name]), "--models", "popularity,multvae", *more]


def results(work, name):
    """What a run found: counts of the raw file, and metrics of every model."""
    value = json.loads((work / name / "dry_run.json").read_text(encoding="utf-8"))
    return {step: of["found"] for step, of in value["steps"].items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", SCALE)
def test_from_raw_files_to_the_final_table(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["dry_run.py", *arguments(name, tmp_path, "--epochs", "1")])
    dry_run.main()
    said = capsys.readouterr().out
    found = results(tmp_path, name)
    assert found["raw"] == found["prepare"]
    assert found["raw"]["ratings"] > found["raw"]["events"] > 0
    assert f"| multvae | {found['study']['multvae']['recall@20']:.4f}" in said
    assert (tmp_path / name / "study/report.html").is_file()
    dry_run.main()  # nothing is left to do
    assert "…" not in capsys.readouterr().err


@pytest.mark.parametrize("name", SCALE)
def test_the_files_are_those_of_the_original(name, tmp_path):
    """Names, separators, order and value of the first lines."""
    archive = tmp_path / dry_run.ARCHIVES[name]
    dry_run.make_raw(name, SCALE[name], archive)
    if name == "netflix":
        with tarfile.open(archive) as outer:
            members = outer.getnames()
            with tarfile.open(fileobj=outer.extractfile("download/training_set.tar")) as inner:
                first = inner.extractfile("training_set/mv_0000001.txt").read().decode().splitlines()
        assert members == ["download/movie_titles.txt", "download/training_set.tar"]
        assert first[0] == "1:"
        user, rating, day = first[1].split(",")
        assert user.isdigit()
        assert rating in "12345"
        time.strptime(day, "%Y-%m-%d")
        return
    with zipfile.ZipFile(archive) as z:
        member = "ml-20m/ratings.csv" if name == "ml-20m" else "train_triplets.txt"
        lines = z.read(member).decode().splitlines()
    if name == "ml-20m":
        assert lines[0] == "userId,movieId,rating,timestamp"
        rows = np.array([line.split(",") for line in lines[1:]], dtype=float)
        assert (np.diff(rows[:, 0]) >= 0).all()
        assert set(rows[:, 2]) == set(np.arange(1, 11) / 2)
    else:
        user, song, plays = lines[0].split("\t")
        assert (len(user), len(song), song[:2]) == (40, 18, "SO")
        assert int(plays) > 0


def test_the_filter_is_counted_by_hand():
    """Five users, of whom one has four liked movies, and one rating below 4."""
    user = np.repeat(np.arange(5), [5, 5, 4, 6, 5])
    item = np.concatenate([np.arange(n) for n in (5, 5, 4, 6, 5)])
    value = np.full(len(user), 4.0)
    value[-1] = 3.5
    found = dry_run.after_filter("ml-20m", user, item, value)
    assert found == {"ratings": 25, "events": 16, "users": 3, "items": 6}
    assert dry_run.after_filter("msd", user, item, value)["events"] == 0  # no song has 200 listeners


def test_counts_that_differ_end_the_run(tmp_path):
    """Broken twin: an archive with one rating less than was planted."""
    folder = tmp_path / "ml-20m"
    folder.mkdir()
    wanted = dry_run.make_raw("ml-20m", SCALE["ml-20m"], folder / "ml-20m.zip")
    with pytest.raises(SystemExit, match="were planted"):
        dry_run.prepare("ml-20m", folder, 20, wanted | {"events": wanted["events"] + 1})
    assert dry_run.prepare("ml-20m", folder, 20, wanted) == wanted


@pytest.mark.slow
def test_a_killed_run_is_continued_and_finds_the_same(tmp_path):
    script = [sys.executable, str(SPEED / "dry_run.py")]
    whole = [*script, *arguments("ml-20m", tmp_path / "whole", "--epochs", "30")]
    subprocess.run(whole, env=ENVIRONMENT, check=True, capture_output=True)
    cut = [*script, *arguments("ml-20m", tmp_path / "cut", "--epochs", "30")]
    process = subprocess.Popen(cut, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    checkpoint = tmp_path / "cut/ml-20m/study/runs/multvae-seed0/checkpoint.safetensors"
    end = time.monotonic() + 120
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert "study" not in results(tmp_path / "cut", "ml-20m")
    subprocess.run(cut, env=ENVIRONMENT, check=True, capture_output=True)
    assert results(tmp_path / "cut", "ml-20m") == results(tmp_path / "whole", "ml-20m")
