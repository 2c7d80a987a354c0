"""The benchmark of several processes, on a toy: what is sent is what the model of a ring says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import minivae as mv

SCRIPT = Path(__file__).resolve().parent / "speed" / "scaling.py"
ITEMS, OTHERS = 6_000, 10
"""Items enough that gradients sent twice weigh more than all that other tests send meanwhile, in MB an update."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="bytes of the loopback device are counted on Linux")
def test_a_ring_sends_what_the_model_counts(tmp_path):
    mv.strong_split(mv.planted(n_users=1200, n_items=ITEMS, n_events=40_000), n_heldout=50).save(tmp_path / "split")
    n_items = mv.StrongSplit.load(tmp_path / "split").n_items
    command = [sys.executable, str(SCRIPT), "--data", str(tmp_path / "split"), "--processes", "2", "3"]
    done = subprocess.run(
        [*command, "--steps", "2", "--rounds", "1", "--json", str(tmp_path / "found.json")],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "found.json").read_text("utf-8"))["rows"]
    assert [row["processes"] for row in rows] == [1, 2, 3]
    parameters = sum(p.numel() for p in mv.MultVAE(n_items).parameters())
    for row in rows:
        r, said, seen = (row[k] for k in ("processes", "MB sent, model", "MB sent"))
        assert said == pytest.approx(2 * (r - 1) / r * 4 * parameters / 1e6)
        assert 0.98 * said <= seen < 1.5 * said + OTHERS
        assert row["ms, model"] >= row["ms, alone"] + row["ms, sum"] > 0
        assert (row["ms, sum"] > 0) is (r > 1)
        assert row["ms"] > 0
    lines = done.stdout.strip().splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert len(lines) == 2 + len(rows)


def test_data_with_too_few_users_is_refused_in_a_sentence(tmp_path):
    mv.strong_split(mv.planted(n_users=300, n_items=50, n_events=3_000), n_heldout=20).save(tmp_path / "split")
    command = [sys.executable, str(SCRIPT), "--part", str(tmp_path / "split"), "500"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "training users; an update takes 500" in done.stderr
    assert "Traceback" not in done.stderr
