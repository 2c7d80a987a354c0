"""The folder a command runs in and variables that libraries read: what is odd about them is one sentence, and early."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import minivae as mv
from minivae.cli.main import main
from minivae.runtime.surroundings import FORMS, THREADS


def program(*argv, folder, before="pass", **variables):
    """`minivae` as a process of its own, as its entry point starts it; `before` is done in it first."""
    start = f"import os, sys; {before}; from minivae.cli.main import program; sys.exit(program())"
    environment = {**os.environ, "PYTHONPATH": str(Path(mv.__file__).parents[1]), **variables}
    words = [sys.executable, "-c", start, *argv]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("name", THREADS)
@pytest.mark.parametrize("value", ["0", "-1", "abc", "1.5", "999999", "9" * 5000])
def test_a_number_of_threads_that_is_none_is_refused(monkeypatch, capsys, name, value):
    """polars ended in a backtrace or never began, others took what they liked."""
    monkeypatch.setenv(name, value)
    assert main(["data", "list"]) == 2
    assert capsys.readouterr().err.startswith(f"error: {name}={value} is no number of threads; unset it, or ")


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("value", ["x", "1.5", "1e3"])
def test_what_a_library_hangs_with_is_refused(monkeypatch, capsys, name, value):
    monkeypatch.setenv(name, value)
    assert main(["data", "list"]) == 2
    assert capsys.readouterr().err == f"error: {name}={value} cannot be read by the library that it is for; unset it\n"


SOUND = [("OMP_NUM_THREADS", "2,1"), ("MKL_NUM_THREADS", "4"), ("POLARS_MAX_THREADS", "")]
SOUND += [("GOMP_CPU_AFFINITY", "0 3 1-2 4-15:2"), ("POLARS_OVERRIDE_TOTAL_MEMORY_MB", "4096")]


@pytest.mark.parametrize(("name", "value"), SOUND)
def test_a_sound_value_is_taken_and_an_empty_number_of_threads_is_none(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert main(["data", "list"]) == 0
    assert os.environ.get(name, "") == value
    assert value or name not in os.environ


def test_no_library_is_loaded_before_the_number_of_threads_is_looked_at(tmp_path):
    (tmp_path / "t.csv").write_text("user,item\nu,i\n")
    ended = program("data", "info", "t.csv", folder=tmp_path, POLARS_MAX_THREADS="0")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: POLARS_MAX_THREADS=0")
    assert ended.stderr.count("\n") == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows does not remove a folder that is in use")
def test_a_folder_that_has_been_removed_is_said_before_torch_is_loaded(tmp_path):
    """torch's own end was a fatal error of oneMKL that names a library."""
    (gone := tmp_path / "gone").mkdir()
    ended = program("data", "info", "planted", folder=gone, before="os.rmdir(os.getcwd())")
    assert ended.returncode == 2
    assert ended.stderr == "error: the current folder has been removed; change to one that exists and start again\n"


@pytest.mark.parametrize("value", ["", "0", "-1", "x", "9" * 5000])
def test_a_number_of_processes_that_is_none_is_refused(monkeypatch, capsys, value):
    monkeypatch.setenv("WORLD_SIZE", value)
    monkeypatch.setenv("RANK", "0")
    assert main(["data", "list"]) == 2
    assert "is no number of processes" in capsys.readouterr().err
