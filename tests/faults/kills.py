"""Runs that are killed at random moments, or find the disk full, and are resumed until they are done.

    nice -n 5 python tests/faults/kills.py --kills 200

Each run is a child that is forked from this process (so that torch is imported once) and works through the command
line: `minivae train` or `minivae study`, always with --resume. It gets SIGKILL after a time drawn uniformly between 0
and the length of an uninterrupted run; one in five meets a limit on the size of its files instead, which is how a full
disk looks from inside. Checkpoints are due after every update here, so that many kills hit a write. When a run is
done, its models, metrics of users and log must equal, byte for byte, those of the run that nobody disturbed.

Prints one line of JSON: kills, how many of them cut a write in two, full disks, runs finished, runs that differ.
"""

import argparse
import json
import math
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

import torch

import minivae as mv
from minivae.cli import main as minivae
from minivae.runtime import checkpoint
from minivae.study.output import figures, report

FLAGS = ["--device", "cpu", "--precision", "fp32"]
COMMANDS = {
    "train": ["train", "--epochs", "4", "--batch-size", "50", "--model", "multvae+anchor", *FLAGS],
    "phases": ["train", "--epochs", "2", "--batch-size", "50", "--model", "recvae+anchor", *FLAGS],
    "hierarchy": ["train", "--epochs", "2", "--batch-size", "50", "--model", "hvamp", *FLAGS],
    "study": ["study", "--models", "popularity,multvae", "--seeds", "2", "--epochs", "1", *FLAGS],
}
COMPARED = ("model.safetensors", "users.safetensors", "log.jsonl")


def child(argv: list[str], largest_file: int | None, said: Path) -> int:
    """Fork a run; returns its process id."""
    pid = os.fork()
    if pid:
        return pid
    status = 99
    try:
        with said.open("w") as f:
            os.dup2(f.fileno(), 1)
            os.dup2(f.fileno(), 2)
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        status = minivae(argv)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def content(folder: Path) -> dict[str, object]:
    """What a run must have in common with another, by path; times are left out of the log."""
    found: dict[str, object] = {}
    for path in sorted(p for p in folder.rglob("*") if p.name in COMPARED):
        lines = path.read_text().splitlines() if path.suffix == ".jsonl" else None
        name = str(path.relative_to(folder))
        found[name] = (
            path.read_bytes()
            if lines is None
            else [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]
        )
    return found


def difference(a: dict[str, object], b: dict[str, object]) -> list[str]:
    return sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))


def until_done(argv: list[str], out: Path, length: float, rng: random.Random, count: dict[str, int]) -> None:
    """Start, disturb, resume, until a run ends by itself without a disturbance."""
    said = out.with_suffix(".said")
    while True:
        full = rng.random() < 0.2
        largest = int(math.exp(rng.uniform(math.log(400), math.log(2e7)))) if full else None
        pid = child(argv, largest, said)
        if not full:
            time.sleep(rng.uniform(0, length))
            os.kill(pid, signal.SIGKILL)  # nothing happens if it has just ended
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            count["kills"] += 1
            count["cut writes"] += bool(list(out.rglob(".minivae-*.part")))
        elif full and os.WEXITSTATUS(status) == 2:
            text = said.read_text()
            *before, last = text.splitlines()  # a study says first what it will be able to tell apart
            assert last.startswith("error: cannot write"), text
            assert not any(line.startswith("error: ") for line in before), text
            count["full disks"] += 1
        else:
            assert status == 0, said.read_text()
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", default=",".join(COMMANDS))
    options = parser.parse_args()
    if unknown := set(options.commands.split(",")) - set(COMMANDS):
        parser.error(f"no command is called {', '.join(sorted(unknown))}; there are {', '.join(COMMANDS)}")
    for module in ("study", "train"):  # here, once, and not in every child
        import_module(f"minivae.cli.commands.{module}")
    torch.set_num_threads(1)
    checkpoint.INTERVAL, checkpoint.LARGEST_SHARE = 0.0, math.inf
    figures.write_figures = lambda *_: {}  # seconds of matplotlib in every run, and nothing that could be resumed
    report.write = lambda *_: None
    rng, started = random.Random(options.seed), time.monotonic()
    count = dict.fromkeys(("kills", "cut writes", "full disks", "runs", "differ"), 0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "data.safetensors"
        mv.strong_split(mv.planted(n_users=300, n_items=120, n_events=6000), n_heldout=50).save(data)
        commands = {c: [*COMMANDS[c], "--data", str(data), "--resume", "--out"] for c in options.commands.split(",")}
        wanted, length = {}, {}
        for c, argv in commands.items():
            before = time.monotonic()
            _, status = os.waitpid(child([*argv, str(folder / c)], None, folder / "said"), 0)
            assert status == 0, (folder / "said").read_text()
            wanted[c], length[c] = content(folder / c), time.monotonic() - before
            assert wanted[c]
        while count["kills"] < options.kills:
            for c, argv in commands.items():
                out = folder / f"{c}-disturbed"
                until_done([*argv, str(out)], out, length[c], rng, count)
                count["runs"] += 1
                if differing := difference(content(out), wanted[c]) + [str(p) for p in out.rglob(".*")]:
                    count["differ"] += 1
                    print(f"{c} differs in {', '.join(differing)}", file=sys.stderr)
                shutil.rmtree(out)
                print(json.dumps(count), file=sys.stderr, flush=True)
    count |= {"updates compared": training_updates(wanted), "seconds": round(time.monotonic() - started)}
    print(json.dumps(count))
    sys.exit(count["differ"] > 0)


def training_updates(wanted: dict[str, dict[str, object]]) -> dict[str, int]:
    """Updates of each kind of run, from its logs."""
    return {
        c: sum(of[-1]["updates"] for name, of in found.items() if name.endswith(".jsonl"))
        for c, found in wanted.items()
    }


if __name__ == "__main__":
    main()
