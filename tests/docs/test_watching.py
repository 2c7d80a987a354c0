"""The callbacks of the guide for TensorBoard, MLflow and W&B: each puts every line of the log where it belongs."""

import re
import sys
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import minivae as mv

GUIDE = (Path(__file__).parents[2] / "docs/guides/own-model.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", GUIDE.partition("## Watching a run")[2], re.DOTALL)
EPOCHS = 3


@pytest.fixture(scope="module")
def names():
    """What the blocks of the guide find around them."""
    split = mv.strong_split(mv.planted(n_users=200, n_items=40, n_events=3000), n_heldout=30)
    config = mv.TrainConfig(epochs=EPOCHS, batch_size=50, device="cpu", precision="fp32")
    return {"mv": mv, "split": split, "config": config, "model": mv.MultVAE(split.n_items, hidden=8, latent=4)}


def block(name):
    """The one block of the guide that imports a module."""
    (found,) = [code for code in BLOCKS if name in code]
    return found


def expected(log):
    """(name, epoch) -> value of every line."""
    return {(name, line["epoch"]): value for line in log for name, value in line.items()}


def test_tensorboard_shows_the_log(names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(code := block("tensorboard"), made := dict(names))
    shown = EventAccumulator("runs/board").Reload()
    values = {(n, e.step): e.value for n in shown.Tags()["scalars"] for e in shown.Scalars(n)}
    assert values == pytest.approx(expected(made["run"].log), rel=1e-6)
    assert len(made["run"].log) == EPOCHS
    wrong = code.replace('line["epoch"])', "0)").replace("runs/board", "runs/wrong")  # the twin: no step
    exec(wrong, dict(names))
    steps = {e.step for e in EventAccumulator("runs/wrong").Reload().Scalars("loss")}
    assert steps == {0}


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_the_other_services_are_given_the_log(name, names, monkeypatch):
    """They are played by recorders with the signatures of mlflow 3 and wandb 0.2x."""
    said, settings = {}, {}

    def log(metrics, step):
        said.update({(n, step): v for n, v in metrics.items()})

    @contextmanager
    def init(project, config):
        settings.update(config)
        yield SimpleNamespace(log=log)

    module = ModuleType(name)
    if name == "mlflow":
        vars(module).update(start_run=nullcontext, log_params=settings.update, log_metrics=log)
    else:
        vars(module).update(init=init)
    monkeypatch.setitem(sys.modules, name, module)
    exec(block(f"import {name}"), made := dict(names))
    assert said == expected(made["run"].log)
    assert settings["epochs"] == EPOCHS


def test_each_is_about_ten_lines():
    assert [len(code.strip().splitlines()) <= 12 for code in BLOCKS] == [True] * 3
