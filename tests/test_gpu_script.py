"""The script for a GPU, on a toy and the CPU: every part runs, its checks can fail, and its time is kept.

Its path through CUDA graphs needs a GPU; here a stand-in for `torch.cuda` walks through it, and the update that is
captured is tried on the device "meta", where reading a number of the device raises.
"""

import json
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from test_gpu import NoWaiting, fused_adam_on_meta

import minivae as mv

SPEED = Path(__file__).resolve().parent / "speed"
sys.path.insert(0, str(SPEED))
gpu, gpu_parts = import_module("gpu"), import_module("gpu_parts")

__all__ = ["fused_adam_on_meta"]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    made = gpu_parts.Setting(CPU, gpu_parts.SMALL, tmp_path_factory.mktemp("gpu") / "split", time.monotonic() + 60)
    list(gpu_parts.data(made))
    return made


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n == "compile" else n for n in gpu_parts.PARTS]
)
def test_every_part_measures_something(name, setting):
    rows = list(gpu_parts.PARTS[name].measure(setting))
    assert rows
    assert all(row.get("holds", True) for row in rows)
    assert not [row for row in rows if "failed" in str(row.get("ms"))]
    numbers = [row["ms"] for row in rows if "ms" in row]
    assert all(isinstance(ms, float) and ms > 0 for ms in numbers)
    json.dumps(rows)


def test_every_check_is_made_and_a_wrong_loss_does_not_hold(setting, monkeypatch):
    """Broken twin: a loss in float32 that is a thousandth too large; its gradient is too."""
    rows = list(gpu_parts.correctness(setting))
    assert {w for row in rows for w in ("loss", "gradient", "metrics", "nDCG") if w in row["what"]} == {
        *("loss", "gradient", "metrics", "nDCG")
    }
    right = gpu_parts.loss_terms

    def wrong(model, batch, config, step, products):
        terms = right(model, batch, config, step, products)
        return terms if products == torch.float64 else {"loss": terms["loss"] * 1.001}

    monkeypatch.setattr(gpu_parts, "loss_terms", wrong)
    broken = {row["what"]: row["holds"] for row in gpu_parts.correctness(setting)}
    assert not broken["loss of MultVAE, fp32"]
    assert not broken["gradient of HVamp, fp32"]


def test_training_stops_when_the_time_is_up_and_says_so(setting):
    now = replace(setting, end=time.monotonic())
    rows = list(gpu_parts.epochs(now))
    assert [row["epochs run"] for row in rows] == [1, 1]
    assert all(row["that is"] == "extrapolated from 1" for row in rows)
    assert all(row["3 epochs, s"] == pytest.approx(3 * row["first epoch, s"]) for row in rows)
    whole = list(gpu_parts.epochs(replace(setting, end=time.monotonic() + 600)))
    assert {row["that is"] for row in whole} == {"measured"}


def test_the_captured_update_is_that_of_training_and_reads_nothing_from_the_device(setting):
    split = mv.StrongSplit.load(setting.path)
    of = gpu_parts.trainer(setting, split, torch.float32, 1.0)
    twin = gpu_parts.trainer(setting, split, torch.float32, 1.0)
    twin.model.load_state_dict(of.model.state_dict())
    users = torch.arange(30)
    of.update(users, 0)
    gpu_parts.update_of(twin, twin.matrix.batch(users))
    for name, p in of.model.state_dict().items():
        assert torch.equal(p, twin.model.state_dict()[name]), name
    meta = gpu_parts.trainer(replace(setting, device=torch.device("meta")), split, torch.bfloat16, 1.0)
    batch = meta.matrix.batch(users)
    with NoWaiting():
        gpu_parts.update_of(meta, batch)

    def reads(*a):
        terms = gpu_parts.loss_terms(*a)
        return {"loss": terms["loss"] * terms["loss"].item()}

    with pytest.raises((RuntimeError, NotImplementedError)):  # broken twin
        gpu_parts.update_of(meta, batch, reads)


def test_the_way_through_a_graph_with_a_stand_in_for_cuda(setting, monkeypatch):
    """Warm-up on another stream, one capture, and replays that run the captured work."""
    done = []
    stream = SimpleNamespace(wait_stream=lambda other: done.append("wait"))

    class Graph:
        def replay(self):
            done.append("replay")

    stand_in = {
        "Stream": lambda: stream,
        "current_stream": lambda: stream,
        "stream": lambda s: nullcontext(),
        "CUDAGraph": Graph,
        "graph": lambda g: nullcontext(done.append("capture")),
    }
    for name, value in stand_in.items():
        monkeypatch.setattr(gpu_parts.torch.cuda, name, value)
    replay = gpu_parts.captured(lambda: done.append("work"))
    assert done == ["wait", *["work"] * gpu_parts.WARM_UP, "wait", "capture", "work"]
    replay()
    assert done[-1] == "replay"


def test_the_table_holds_every_row():
    rows = [{"batch": 500, "ms": 1.5}, {"batch": 8192, "ms": "failed: no", "GPU GB": 2.0}]
    value = {"command": "x", "seconds": 1.0, "parts": {"steps": {"rows": rows, "cut off": "after 3 s"}}}
    text = gpu.markdown(value)
    assert "| 500 | 1.5 |  |\n| 8,192 | failed: no | 2 |" in text
    assert "cut off: after 3 s." in text


def run(*arguments):
    command = [sys.executable, str(SPEED / "gpu.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=200)


@pytest.mark.slow
def test_the_script_as_a_program(tmp_path):
    """Two parts in processes of their own, and what is printed and written."""
    done = run("--device", "cpu", "--small", "--only", "machine,gram", "--json", str(tmp_path / "gpu.json"))
    assert done.returncode == 0, done.stderr
    value = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert list(value["parts"]) == ["machine", "data", "gram"]
    assert "**Gram matrix of users**" in done.stdout
    assert np.isfinite(value["seconds"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("--device", "cpu", "--small", "--minutes", "0"), 0, "skipped: 0 s were left"),
        (("--device", "cpu", "--only", "nothing"), 2, "there is no part 'nothing'"),
        (("--device", "cuda:77"), 2, "there is no GPU here"),
    ],
)
def test_time_that_is_up_and_a_device_that_is_not_there(arguments, status, words):
    done = run(*arguments)
    assert done.returncode == status
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_part_that_lasts_too_long_or_fails_ends_alone(tmp_path):
    """What it had measured is kept; the reason stands beside it."""
    options = SimpleNamespace(device="cpu", small=True, split=tmp_path / "missing")
    late = gpu.run("correctness", -4.9, options, tmp_path / "late.jsonl")
    assert late["cut off"] == "after -5 s"
    assert late["rows"] == []
    failed = gpu.run("steps", 120, options, tmp_path / "failed.jsonl")
    assert "missing" in failed["failed"]
    found = gpu.run_all(["steps", "machine"], options, time.monotonic() + 120, tmp_path)
    assert found["steps"]["skipped"] == "there is no data"
    assert len(found["machine"]["rows"]) >= 4
