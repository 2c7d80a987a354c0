"""The benchmark of several processes, on a toy: what is sent is what the model of a ring says, or more."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import minivae as mv

SCRIPT = Path(__file__).resolve().parent / "speed" / "scaling.py"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="bytes of the loopback device are counted on Linux")
def test_a_ring_sends_what_the_model_counts(tmp_path):
    mv.strong_split(mv.planted(n_users=1200, n_items=300, n_events=20_000), n_heldout=50).save(tmp_path / "split")
    command = [sys.executable, str(SCRIPT), "--data", str(tmp_path / "split"), "--processes", "1", "2", "3"]
    done = subprocess.run(
        [*command, "--steps", "2", "--rounds", "1", "--json", str(tmp_path / "found.json")],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "found.json").read_text("utf-8"))["rows"]
    parameters = sum(p.numel() for p in mv.MultVAE(300).parameters())
    for row in rows:
        r = row["processes"]
        assert row["MB sent, model"] == pytest.approx(2 * (r - 1) / r * 4 * parameters / 1e6)
        assert row["MB sent"] >= 0.98 * row["MB sent, model"]  # other tests send over the same device meanwhile
        assert row["ms"] > 0
    lines = done.stdout.strip().splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert len(lines) == 2 + len(rows)
