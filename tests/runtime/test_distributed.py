"""Several processes: the same run up to rounding, one decision for all, and an end that can be continued."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from processes import CONFIG, RUNS, TWINS, make
from safetensors.numpy import load_file

import minivae as mv
from minivae.cli.main import main
from minivae.runtime.distributed import Team
from minivae.runtime.storage import load_arrays

ROOT = Path(__file__).parents[2]
UPDATES = {"multvae": [4, 8], "recvae": [16, 32]}  # after each epoch

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")


def launch(n, *argv, **more):
    """torchrun of tests/processes.py, or of the command line."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    start = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(n)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*start, *map(str, argv)], env=environment, **pipes, **more)


def finish(process):
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


def together(n, *argv):
    code, _, err = finish(launch(n, ROOT / "tests/processes.py", *argv))
    assert code == 0, err


@pytest.fixture(scope="module")
def data(toy_split, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "toy.safetensors"
    toy_split.save(path)
    return path


@pytest.fixture(scope="module")
def alone(data):
    split = mv.StrongSplit.load(data)
    return {name: make(name, split) for name in RUNS}


def check_same_run(alone, out, n):
    """Weights and log of every process against those of one process.

    Only the order of sums differs, 1e-7 of a gradient; seen are 1.2e-7 in the weights after 32 updates. Adam divides a
    gradient by its own size, so a weight whose gradient is nearly zero could go astray by `lr` in an update: a
    hundredth of that is allowed.
    """
    for name, run in alone.items():
        first = load_file(out / name / "0.safetensors")
        for k, v in run.model.state_dict().items():
            difference = np.abs(first[k] - v.numpy())
            assert difference.max() <= CONFIG.lr / 100, (name, k, difference.max())
        logs = [json.loads((out / name / f"{rank}.json").read_text())["log"] for rank in range(n)]
        for log in logs:
            assert [line["updates"] for line in log] == [line["updates"] for line in run.log] == UPDATES[name]
            for line, expected in zip(log, run.log, strict=True):
                for k in expected.keys() - {"seconds", "validation"}:
                    assert line[k] == pytest.approx(expected[k], rel=1e-5), (name, k)
                assert line["validation"] == pytest.approx(expected["validation"], abs=1e-3)  # a near-tie may turn
        for rank in range(1, n):  # among themselves they agree to the last bit
            other = load_file(out / name / f"{rank}.safetensors")
            assert all(np.array_equal(first[k], other[k]) for k in first), (name, rank)
            without = [[{k: v for k, v in line.items() if k != "seconds"} for line in log] for log in logs]
            assert without[rank] == without[0]


@pytest.fixture(scope="module")
def of_two(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("two")
    together(2, "train", data, out, "twins")
    return out


@pytest.fixture(scope="module")
def of_four(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("four")
    together(4, "train", data, out)
    return out


def test_two_processes_make_the_same_run(alone, of_two):
    check_same_run(alone, of_two, 2)


def test_four_processes_make_the_same_run(alone, of_four):
    check_same_run(alone, of_four, 4)


@pytest.mark.parametrize("twin", TWINS)
def test_process_twins_are_rejected(alone, of_two, twin):
    with pytest.raises(AssertionError):
        check_same_run(alone, of_two / twin, 2)


def test_parameters_without_gradient_and_processes_without_rows(of_four):
    """Of four processes one has no row; the mean input of the three rows is 2."""
    mean = np.full((1, 3), 2.0)
    for rank in range(4):
        found = json.loads((of_four / f"phases/{rank}.json").read_text())
        for name, first, second in (("a", 0, 1), ("b", 1, 0)):
            np.testing.assert_allclose(found[name]["gradients"][first], mean, rtol=1e-6)
            assert found[name]["gradients"][second] is None
            assert found[name]["rows"] == 3


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists the threads of a process in /proc")
def test_no_thread_of_the_network_is_left_where_the_interpreter_is_taken_down(of_two):
    """One that let go of a tensor then would abort the process, after the run and without a sentence."""
    for rank in range(2):
        found = json.loads((of_two / f"threads/{rank}.json").read_text())
        assert any("gloo" in name for name in found["during"])
        assert not any("gloo" in name for name in found["after"])


def test_rows_are_shared_out_once_and_shares_add_up():
    for size, n in product([1, 2, 4, 7], [1, 3, 4, 133]):
        users = torch.randperm(n)
        parts = [Team(rank, size).rows(users) for rank in range(size)]
        assert torch.equal(torch.cat([mine for mine, share in parts if share]), users)
        assert sum(share for _, share in parts) == pytest.approx(1)
        assert all(share == (len(mine) / n if share else 0) and len(mine) for mine, share in parts)


FLAGS = ["--epochs", "3", "--device", "cpu", "--precision", "fp32", "--batch-size", "133"]


@pytest.mark.parametrize(("rank", "how"), [(0, "killed"), (1, "killed"), (1, "asked")])
def test_a_process_that_dies_leaves_a_run_to_resume_with_any_number(data, tmp_path, rank, how):
    """Killed in the tenth of twelve updates. The first process saves at once; without it its last checkpoint stands.

    Nor does it matter that the first was asked to end before it saw the loss: the update in hand is lost, no other.
    """
    out = tmp_path / "run"
    train = ["train", "--data", str(data), *FLAGS, "--out"]
    code, said, err = finish(launch(2, ROOT / "tests/processes.py", how, rank, 10, *train, out))
    assert code != 0
    assert said == ""
    told = [line for line in err.splitlines() if line.startswith("error: another process of this run has ended")]
    hint = f"continue with: torchrun --nproc-per-node 2 -m minivae {' '.join(train)} {out} --resume"
    assert len(told) == 1, err
    assert told[0].endswith(hint)
    saved = load_arrays(out / "checkpoint.safetensors", "checkpoint")[1]
    position = json.loads(saved["position"])
    assert (position["epoch"], position["batches"]) == ((1, 0) if rank == 0 else (2, 1))
    assert main([*train, str(tmp_path / "alone")]) == 0
    folders = [out]
    if how == "killed" and rank == 1:
        folders.append(shutil.copytree(out, tmp_path / "again"))
        code, said, err = finish(launch(4, "-m", "minivae", *train, tmp_path / "again", "--resume"))
        assert code == 0, err
        assert said.count("results:") == 1
    assert main([*train, str(out), "--resume"]) == 0
    expected = load_file(tmp_path / "alone/model.safetensors")
    for folder in folders:
        got = load_file(folder / "model.safetensors")
        assert max(float(np.abs(got[k] - v).max()) for k, v in expected.items()) <= CONFIG.lr / 10
        assert len((folder / "log.jsonl").read_text().splitlines()) == 3
        assert not list(folder.glob(".*"))


def test_ctrl_c_ends_all_processes_with_a_checkpoint(data, tmp_path):
    out = tmp_path / "run"
    train = ["train", "--data", data, "--epochs", 10000, "--patience", 10000, "--device", "cpu", "--out", out]
    process = launch(2, "-m", "minivae", *train)
    while not (out / "checkpoint.safetensors").is_file() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, _, err = finish(process)
    told = [line for line in err.splitlines() if line.startswith("interrupted")]
    assert len(told) == 1, err
    assert f"the checkpoint is in {out}; continue with: torchrun --nproc-per-node 2 -m minivae train" in told[0]
    assert (out / "log.jsonl").is_file()


def test_what_does_not_work_with_several_processes_is_refused(monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    for argv in (["study"], ["data", "list"]):
        assert main(argv) == 2
        assert "start the other commands without torchrun" in capsys.readouterr().err
    assert main(["train", "--out", "x"]) == 2
    assert "LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR, MASTER_PORT is not; start" in capsys.readouterr().err


def test_bad_input_is_told_once(data, tmp_path):
    code, said, err = finish(
        launch(2, "-m", "minivae", "train", "--data", data, "--keep", "0", "--out", tmp_path / "x")
    )
    assert code != 0
    assert said == ""
    assert err.count("error: --keep 0.0 is not possible") == 1, err
    assert not (tmp_path / "x").exists()
