"""The forecast of a study: the memory model beside a measured peak, and the parts that time is made of."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import minivae as mv
from minivae.cli import main
from minivae.runtime.memory import status
from minivae.study import forecast, memory_forecast
from minivae.study.run import presets
from minivae.study.run.runs import Job

ROOT = Path(__file__).parents[1]
BRIEF = {"epochs": 1, "device": "cpu", "precision": "fp32"}
MEASURE = """
import json, sys, tempfile
from pathlib import Path
import numpy as np, scipy.sparse as sp
import minivae as mv
from minivae.study import forecast
from minivae.study.run import presets
from minivae.runtime.memory import status
from minivae.study.run.runs import Job, execute
name, n_users, n_items, batch = sys.argv[1], *map(int, sys.argv[2:])
rng = np.random.default_rng(0)
def some(n):
    return sp.csr_matrix((rng.random((n, n_items)) < 20 / n_items).astype(np.float32))
def part():
    history, heldout = some(50), some(50)
    return mv.FoldIn(history, heldout - heldout.multiply(history))
split = mv.StrongSplit(some(n_users), part(), part(), np.arange(n_items))
spec = presets.load("default").model(name)
job = Job(spec, spec.config(epochs=1, batch_size=batch, device="cpu", precision="fp32"))
held = status("VmRSS")
with tempfile.TemporaryDirectory() as folder:
    peak = execute(job, split, Path(folder), name).metrics.peak_memory.process
cost = forecast.forecast(job, split)
print(json.dumps({"measured": peak - held, "model": cost.memory.total, "state": cost.memory.state}))
"""


@pytest.fixture(scope="module")
def split():
    return mv.strong_split(mv.planted(n_users=300, n_items=120, n_events=6000), n_heldout=60)


def measured(*case):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", MEASURE, *map(str, case)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def assert_within(model, found, factor=1.5):
    assert 1 / factor <= model / found <= factor


@pytest.mark.skipif(status("VmHWM") is None, reason="the system does not tell its peak")
@pytest.mark.parametrize(
    "case", [("multvae", 200, 8000, 100), ("recvae+anchor", 200, 5000, 100), ("ease", 200, 3000, 100)]
)
def test_the_memory_model_is_near_the_measured_peak(case):
    found = measured(*case)
    assert_within(found["model"], found["measured"])
    with pytest.raises(AssertionError):  # the twin that forgets what lives beside the weights
        assert_within(found["state"] / 5, found["measured"])


@pytest.mark.parametrize("settings", [{}, {"batch_size": 50}, {"batch_size": 100_000}])
def test_an_epoch_has_the_updates_that_training_makes(settings, split):
    for name in ("multvae", "multvae+anchor"):
        spec = presets.load("default").model(name).changed({"hidden": 8, "latent": 4})
        job = Job(spec, spec.config(**BRIEF, **settings))
        cost = forecast.forecast(job, split)
        run = mv.fit(spec.build(split.n_items), split, job.config)
        assert cost.updates == run.log[0]["updates"]
        assert cost.parameters == sum(p.numel() for p in run.model.parameters())


def test_alternating_phases_are_all_counted(split):
    spec = presets.ModelSpec(
        "recvae", "RecVAE", {"hidden": 8, "latent": 4}, {"batch_size": 50, "beta": 0.0, "gamma": 0.01}
    )
    job = Job(spec, spec.config(**BRIEF))
    passes = sum(phase.passes for phase in spec.build(split.n_items).phases)
    cost = forecast.forecast(job, split)
    assert passes > 1
    assert cost.updates == passes * -(-split.train.shape[0] // 50)
    assert cost.updates == mv.fit(spec.build(split.n_items), split, job.config).log[0]["updates"]


def test_a_fake_clock_gives_exactly_its_seconds(split):
    """A clock that ticks once per look: an update takes one tick, so do all rankings together."""
    spec = presets.load("default").model("multvae").changed({"hidden": 8, "latent": 4})
    ticks = iter(range(10**6))
    cost = forecast.forecast(Job(spec, spec.config(epochs=7, device="cpu", batch_size=50)), split, lambda: next(ticks))
    held = split.validation.n_users + split.test.n_users
    assert cost.update == 1
    assert cost.validation == 1
    assert cost.epoch == cost.updates + 1
    saved = 2 * 4 + 1  # two checkpoints with model, best epoch and two moments, and the model at the end
    assert cost.setup == 1 + held / split.validation.n_users + saved
    assert cost.longest == cost.setup + 7 * cost.epoch


def test_memory_grows_with_what_it_is_made_of():
    def of(parameters=10**7, item_sized=10**6, shape=(10**4, 10**3), events=10**6, batch=100, products=torch.float32):
        return memory_forecast.vae_memory(parameters, parameters, item_sized, shape, events, batch, products)

    assert of(parameters=2 * 10**7).total - of().total == 20 * 10**7
    assert of(events=2 * 10**6).data - of().data == 8 * 10**6
    block = {"parameters": 1, "shape": (10**5, 10**5), "events": 0}
    assert of(**block, batch=400).passing == of(**block, batch=10**4).passing  # blocks bound the logits
    assert of(**block, batch=200).passing < of(**block, batch=300).passing
    assert memory_forecast.ease_memory(4000, 0).state == 4 * memory_forecast.ease_memory(2000, 0).state == 64 * 10**6


def test_the_table_sums_runs_and_takes_the_largest_memory(split):
    preset = presets.load("default")
    spec = preset.model("multvae").changed({"hidden": 8, "latent": 4})
    jobs = [Job(spec, spec.config(seed=seed, **BRIEF)) for seed in (0, 1, 2)]
    jobs.append(Job(preset.model("ease"), preset.model("ease").config()))
    table = forecast.table(jobs, split)
    header, (vae, ease, total) = table.header, table.cells()
    assert [row[0] for row in (vae, ease, total)] == ["multvae", "ease", "together"]
    assert vae[header.index("seeds")] == "3"
    assert ease[header.index("epoch")] == "–"
    memory = header.index("peak memory")
    assert total[memory] in (vae[memory], ease[memory])


def test_a_long_study_says_its_cost_before_its_first_run(split, tmp_path, monkeypatch, capsys):
    """What is done already is not forecast again; a short study says nothing (the twin)."""
    split.save(tmp_path / "split.safetensors")
    (tmp_path / "small.toml").write_text("[models.multvae]\nhidden = 16\nlatent = 4\n", encoding="utf-8")
    argv = ["study", "--data", str(tmp_path / "split.safetensors"), "--settings", str(tmp_path / "small.toml")]
    argv += ["--models", "popularity,multvae", "--epochs", "1", "--device", "cpu"]
    assert main([*argv, "--out", str(tmp_path / "short")]) == 0
    assert "forecast before the runs" not in capsys.readouterr().out
    monkeypatch.setattr(forecast, "LONG", 1.0)
    assert main([*argv, "--out", str(tmp_path / "long")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said.index("forecast before the runs") < said.index("test metrics")
    table = said[said.index("forecast before the runs") : said.index(forecast.NOTE)]
    assert "multvae" in table
    assert "together" in table
    assert main([*argv, "--seeds", "2", "--out", str(tmp_path / "long"), "--resume"]) == 0
    again = " ".join(capsys.readouterr().out.split())
    table = again[again.index("forecast before the runs") : again.index(forecast.NOTE)]
    assert "popularity" not in table
    same = [path.read_bytes() for path in sorted(tmp_path.glob("*/runs/multvae-seed0/model.safetensors"))]
    assert same[0] == same[1]  # a forecast changes nothing in the runs


def test_operations_are_those_of_the_output_layer(split):
    specs = presets.load("default")
    jobs = [Job(specs.model(name), specs.model(name).config(epochs=3)) for name in ("ease", "multvae", "hvamp")]
    last = [specs.model(name).build(split.n_items).decoder[-1] for name in ("multvae", "hvamp")]
    wide = [layer.weight.numel() + layer.bias.numel() for layer in last]
    assert forecast.operations(jobs, split) == 6 * 3 * split.train.shape[0] * sum(wide)
    assert forecast.operations(jobs[:1], split) == 0
    assert forecast.operations(jobs * 2, split) == 2 * forecast.operations(jobs, split)
