"""How long after Ctrl-C a run has ended, its checkpoint written, counted from outside.

    python tests/faults/interrupts.py [--data SPLIT | --shape ml-20m] [--presses 10]

`minivae train` runs in a process of its own. When it has ended an epoch or written a checkpoint, and after a random
time more, it gets SIGINT; the seconds until the process is gone contain the rest of an update, the checkpoint, and the
end of the interpreter. The checkpoint must load, and the next press continues from it.
"""

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import minivae as mv
from minivae.runtime.storage import load_arrays

ROOT = Path(__file__).resolve().parents[2]
FOREVER = str(10**6)


def press(command: list[str], out: Path, wait: float) -> tuple[float, int]:
    """Seconds from the signal to the end, and updates done by then."""
    path = out / "checkpoint.safetensors"
    before = written(path, out / "log.jsonl")
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    program = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    while program.poll() is None and written(path, out / "log.jsonl") == before:
        time.sleep(0.02)
    time.sleep(wait)
    pressed = time.monotonic()
    program.send_signal(signal.SIGINT)
    _, said = program.communicate()
    seconds = time.monotonic() - pressed
    if program.returncode != 130:
        raise SystemExit(f"status {program.returncode} after Ctrl-C:\n{said[-2000:]}")
    position = json.loads(load_arrays(path, "checkpoint")[1]["position"])
    return seconds, position["epoch"] * 10**6 + position["batches"]


def written(*paths: Path) -> list[int]:
    """When each of the files was written, in nanoseconds; 0 if it was not."""
    return [p.stat().st_mtime_ns if p.is_file() else 0 for p in paths]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="planted", help="a split, or planted")
    parser.add_argument("--shape", help="planted data of this shape instead, in an unknown place of an epoch")
    parser.add_argument("--model", default="multvae+anchor")
    parser.add_argument("--presses", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, found = random.Random(options.seed), []
    with tempfile.TemporaryDirectory() as folder:
        data, out = options.data, Path(folder) / "run"
        if options.shape:
            data = str(Path(folder) / "split.safetensors")
            mv.strong_split(mv.planted(shape=options.shape, seed=0), n_heldout=10_000).save(data)
        command = [sys.executable, "-m", "minivae", "train", "--data", data, "--model", options.model]
        command += ["--epochs", FOREVER, "--patience", FOREVER, "--device", "cpu", "--resume", "--out", str(out)]
        before = -1
        for k in range(options.presses):
            seconds, position = press(command, out, rng.uniform(0, 3))
            assert position > before, "the run did not go on from its checkpoint"
            before = position
            found.append(seconds)
            print(f"press {k + 1}: {seconds:.2f} s", file=sys.stderr, flush=True)
        size = (out / "checkpoint.safetensors").stat().st_size / 1e6
    print(
        f"{options.shape or options.data}, {options.model}: {len(found)} presses, median "
        f"{statistics.median(found):.2f} s, longest {max(found):.2f} s, checkpoint {size:.0f} MB"
    )


if __name__ == "__main__":
    main()
