"""The one loop over runs: side by side or one after the other the same bytes, an interruption loses nothing."""

import os
import signal
import subprocess
import sys
import time

import pytest

from minivae.errors import Diverged, InputError
from minivae.runtime import progress
from minivae.runtime.records import read_record
from minivae.runtime.storage import load_arrays
from minivae.study.run import loop
from minivae.study.run.loop import Task, number_of_jobs, run_all
from minivae.study.run.model_spec import ModelSpec
from minivae.study.run.runs import Job

SMALL = {"batch_size": 50, "epochs": 2, "device": "cpu", "precision": "fp32", "anneal_steps": 10}


def tasks(split, out, epochs=2):
    specs = [
        ModelSpec("ease", "EASE"),
        ModelSpec("m", "MultVAE", {"hidden": 8, "latent": 4}, SMALL | {"epochs": epochs}),
    ]
    jobs = [Job(spec, spec.config(seed=seed)) for spec in specs for seed in range(2 if spec.trained else 1)]
    return [Task(job, out / job.name, job.name, job.note(split, "digest", "")) for job in jobs]


def content(folder):
    """Everything that a run is, without what differs from one time to the next."""
    metrics = read_record(folder / "metrics.json")
    arrays = [
        {k: v.tobytes() for k, v in load_arrays(folder / "users.safetensors", "per-user metrics")[0].items()},
        (folder / "model.safetensors").read_bytes() if (folder / "model.safetensors").is_file() else b"",
    ]
    return {k: v for k, v in metrics.items() if k not in ("seconds", "peak_memory", "files")}, arrays


def test_side_by_side_gives_the_same_bytes_as_one_after_the_other(toy_split, tmp_path):
    lines = []
    for name, jobs in (("one", 1), ("several", 3)):
        run_all(tasks(toy_split, tmp_path / name), toy_split, jobs, lambda task: lines.append(task.label) or "")
    assert sorted(lines[:3]) == sorted(lines[3:]) == ["ease-seed0", "m-seed0", "m-seed1"]
    for folder in (tmp_path / "one").iterdir():
        assert content(folder) == content(tmp_path / "several" / folder.name)
        assert not (tmp_path / "several" / folder.name / "checkpoint.safetensors").exists()
    assert content(tmp_path / "one/m-seed0") != content(tmp_path / "one/m-seed1")  # the comparison can fail


def test_what_is_finished_is_kept_and_what_is_missing_is_made(toy_split, tmp_path):
    todo = tasks(toy_split, tmp_path)
    run_all(todo, toy_split)
    kept = (tmp_path / "m-seed0/metrics.json").stat().st_mtime_ns
    (tmp_path / "m-seed1/metrics.json").unlink()
    told = []
    run_all(todo, toy_split, 2, lambda task: told.append(task.label) or "")
    assert (tmp_path / "m-seed0/metrics.json").stat().st_mtime_ns == kept
    assert (tmp_path / "m-seed1/metrics.json").is_file()
    assert sorted(told) == ["ease-seed0", "m-seed0", "m-seed1"]


def test_a_folder_of_another_run_is_refused_before_anything_runs(toy_split, tmp_path):
    run_all(tasks(toy_split, tmp_path)[-1:], toy_split)
    with pytest.raises(InputError, match="epochs 2, now 3"):
        run_all(tasks(toy_split, tmp_path, epochs=3), toy_split)
    assert [p.name for p in tmp_path.iterdir()] == ["m-seed1"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_divergence_is_an_error_or_a_result_as_the_task_says(toy_split, tmp_path, jobs):
    def wild(keep):
        made = []
        for seed in (0, 1):
            spec = ModelSpec("m", "MultVAE", {"hidden": 8, "latent": 4}, SMALL | {"lr": 1e30})
            job = Job(spec, spec.config(seed=seed))
            folder = tmp_path / f"{keep}-{seed}"
            made.append(Task(job, folder, job.name, job.note(toy_split, "d", ""), keep_divergence=keep))
        return made

    run_all(wild(True), toy_split, jobs)
    assert "NaN" in read_record(tmp_path / "True-1/metrics.json")["diverged"]
    with pytest.raises(Diverged, match="NaN"):
        run_all(wild(False), toy_split, jobs)


def test_the_number_of_jobs(toy_split, tmp_path):
    todo = tasks(toy_split, tmp_path)
    assert number_of_jobs("auto", todo) == loop.cores() >= 1
    assert number_of_jobs(3, todo) == 3
    with pytest.raises(InputError, match="jobs=0"):
        number_of_jobs(0, todo)


SCRIPT = """
import sys
from pathlib import Path
from minivae.data.splits import StrongSplit
from minivae.runtime import progress
from minivae.study.run.loop import Task, run_all
from minivae.study.run.model_spec import ModelSpec
from minivae.study.run.runs import Job

if __name__ == "__main__":
    progress.use_lines()
    split = StrongSplit.load(sys.argv[1])
    settings = {"batch_size": 50, "epochs": int(sys.argv[3]), "device": "cpu", "precision": "fp32", "patience": 10_000}
    spec = ModelSpec("m", "MultVAE", {"hidden": 8, "latent": 4}, settings)
    jobs = [Job(spec, spec.config(seed=seed)) for seed in (0, 1)]
    out = Path(sys.argv[2])
    run_all([Task(j, out / j.name, j.name, j.note(split, "d", "")) for j in jobs], split, 2)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_leaves_a_checkpoint_of_every_run(toy_split, tmp_path, number):
    toy_split.save(tmp_path / "split.safetensors")
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    out, argv = tmp_path / "runs", [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "split.safetensors")]
    program = subprocess.Popen([*argv, str(out), "5000"], stderr=subprocess.PIPE, text=True)
    seen = set()
    for line in program.stderr:
        seen.add(line.partition(":")[0])
        if seen >= {"m-seed0", "m-seed1"}:  # both are at work
            break
    os.kill(program.pid, number)
    program.communicate(timeout=60)
    assert program.returncode != 0
    for name in ("m-seed0", "m-seed1"):
        assert (out / name / "checkpoint.safetensors").is_file()
        assert not (out / name / "metrics.json").exists()


def test_lines_without_a_terminal_say_what_is_left(monkeypatch, capsys):
    monkeypatch.setattr(progress, "_display", progress._Display(lines=True))
    clock = iter([0.0, 2.0, 2.5, 4.0, 5.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    with progress.progress("m (1 of 2)", 10, "epoch") as show:
        show(1, "nDCG@100 .4000")
        show(1.5)
        show(2)
    assert capsys.readouterr().err.splitlines() == [
        "m (1 of 2): epoch 1 of 10, nDCG@100 .4000, 18 s left at most",
        "m (1 of 2): epoch 2 of 10, 16 s left at most",
    ]
    assert all(len(line) <= 80 for line in capsys.readouterr().err.splitlines())


def test_nothing_is_shown_unless_the_program_asks_for_it(capsys):
    with progress.progress("m", 10) as show:
        show(1, "note")
    assert capsys.readouterr().err == ""
