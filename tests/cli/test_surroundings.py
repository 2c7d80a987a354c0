"""The folder a command runs in and variables that libraries read: what is odd about them is one sentence, and early."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import minivae as mv
from minivae.cli.main import main
from minivae.runtime.surroundings import FORMS, THREADS, processes, unfit_for_torch


def program(*argv, folder, before="pass", **variables):
    """`minivae` as a process of its own, as its entry point starts it; `before` is done in it first."""
    start = f"import os, sys; {before}; from minivae.cli.main import program; sys.exit(program())"
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("TORCH", "PYTORCH"))}  # torch sets some itself
    environment = {**clean, "PYTHONPATH": str(Path(mv.__file__).parents[1]), **variables}
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
    said = f"error: WORLD_SIZE={value} is no number of processes; unset it, or start several with torchrun\n"
    assert capsys.readouterr().err == said
    assert processes() == 0


def test_the_number_of_processes(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert processes() == 1
    for value, n in (("1", 1), ("2", 2), ("128", 128), ("٢", 0), ("2 ", 0)):
        monkeypatch.setenv("WORLD_SIZE", value)
        assert processes() == n


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("TORCH_LOGS", "x", "ValueError: Invalid log settings: x, must be"),
        ("TORCH_DISTRIBUTED_DEBUG", "x", "ValueError: The value of TORCH_DISTRIBUTED_DEBUG must be"),
        ("TORCHDYNAMO_TRANSLATION_VALIDATION_TIMEOUT", "x", "ValueError: invalid literal for int()"),
    ],
)
def test_a_variable_with_which_torch_cannot_be_loaded_is_one_sentence(tmp_path, name, value, said):
    ended = program("evaluate", "--model", "run", folder=tmp_path, **{name: value})
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"error: torch cannot be loaded ({said}")
    assert ended.stderr.endswith(f"); unset {name}, or correct the value\n")
    assert ended.stderr.count("\n") == 1
    assert len(ended.stderr) < 300
    several = {name: value, "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1", "LOCAL_RANK": "0"}
    said = [
        program("train", "--data", "planted", "--out", "o", folder=tmp_path, **several, RANK=rank).stderr
        for rank in "01"
    ]
    assert said == [ended.stderr, ""]  # once for all processes


def test_only_a_failure_to_load_torch_is_laid_to_its_variables(monkeypatch):
    for name in [n for n in os.environ if n.startswith(("TORCH", "PYTORCH"))]:
        monkeypatch.delenv(name)
    failures = {}
    for file in ("/lib/torch/__init__.py", "/lib/torch/nn/__init__.py"):
        try:
            exec(compile("raise ValueError", file, "exec"))
        except ValueError as e:
            failures[file] = e
    loading, later = failures.values()
    assert unfit_for_torch(loading) == []  # without a variable it is another fault, for those who can mend it
    monkeypatch.setenv("TORCH_LOGS", "x")
    monkeypatch.setenv("PYTORCH_ALLOC_CONF", "x")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    assert unfit_for_torch(loading) == ["PYTORCH_ALLOC_CONF", "TORCH_LOGS"]
    assert unfit_for_torch(later) == []
    with pytest.raises(ImportError) as missing:
        exec(compile("raise ImportError('libcublas.so.12')", "/lib/torch/__init__.py", "exec"))
    assert unfit_for_torch(missing.value) == []  # no variable is to blame
