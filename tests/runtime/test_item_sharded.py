"""The example with split items: equal to the package's loss, small messages, and a table that its page repeats."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

import minivae as mv

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "item_sharded"


def load(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


sizes = load(EXAMPLE / "sizes.py")


def run(script: Path, processes: int) -> str:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes), str(script)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert done.returncode == 0, f"{done.stderr[:3000]} … {done.stderr[-2000:]}"
    return done.stdout


def apart(said: str) -> tuple[float, float]:
    """Differences of loss and gradients to the dense ones."""
    loss, dense = map(float, re.search(r"loss: ([\d.]+), in one process ([\d.]+)", said).groups())
    return abs(loss - dense), float(re.search(r"at most (\S+) apart", said)[1])


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3])
def test_split_items_give_the_loss_and_the_gradients_of_one_process(processes):
    said = run(EXAMPLE / "item_sharded.py", processes)
    loss, gradients = apart(said)
    assert loss <= 1e-6
    assert gradients < 1e-12
    assert re.search(r"over the network: (.*)", said)[1] == "{'c10d_functional.all_reduce': 4}"


@pytest.mark.slow
def test_a_softmax_over_the_items_of_one_process_is_seen(tmp_path):
    text = (EXAMPLE / "item_sharded.py").read_text(encoding="utf-8")
    local = text.replace(".exp().sum(1).full_tensor().log()", ".exp().sum(1).to_local().log()")
    assert local != text
    (tmp_path / "broken.py").write_text(local, encoding="utf-8")
    assert min(apart(run(tmp_path / "broken.py", 2))) > 0.01


def test_the_page_repeats_the_table():
    page = (ROOT / "docs" / "guides" / "beyond-one-machine.md").read_text(encoding="utf-8")
    assert sizes.table() in page


def test_parameters_are_those_of_the_model():
    model = mv.MultVAE(n_items=37, hidden=sizes.HIDDEN, latent=sizes.LATENT)
    assert sizes.Size(1, 37, 1).parameters == sum(p.numel() for p in model.parameters())


def test_splitting_pays_when_the_network_is_larger_than_a_batch():
    few, many = sizes.Size(25_000_000, 4_000, 8), sizes.Size(100_000_000, 10_000_000, 8)
    assert many.split < many.copied / 7  # all of it but the layers between is split
    assert few.sent_split == many.sent_split < few.sent_copied < many.sent_copied
