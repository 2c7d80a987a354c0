"""Benchmark: one update of Mult-VAE at the shape of MovieLens-20M in 1, 2 and 4 gloo processes, beside a model of it.

    python tests/speed/scaling.py [--processes 1 2 4] [--steps 8] [--rounds 3] [--data SPLIT] [--json FILE]

One thread each. The model has nothing that is fitted to what it forecasts. Traffic: a ring sums P gradients of 4 bytes,
so each of R processes sends ``2 (R − 1) / R · 4 P`` bytes; what went over the loopback device stands beside it (Linux).
Time: an update of B / R users in one process, as often as processes share a core, plus a sum of all gradients in R
processes that do nothing else.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

BATCH = 500
LOOPBACK = Path("/sys/class/net/lo/statistics/tx_bytes")


def sent() -> float:
    """Bytes that went over the loopback device since the machine was started; 0 where Linux does not count them."""
    return int(LOOPBACK.read_text("ascii")) if LOOPBACK.is_file() else 0


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def part(path: str, users: int, steps: int) -> dict[str, float] | None:
    """Updates of `users` users, and sums of their gradients alone, in this one of several processes."""
    import torch

    import minivae as mv
    from minivae.runtime import streams
    from minivae.runtime.distributed import joined
    from minivae.runtime.memory import keep_freed_memory
    from minivae.update import Trainer

    keep_freed_memory()
    with joined() as team:
        split = mv.StrongSplit.load(path)
        model = mv.MultVAE(split.n_items)
        trainer = replace(
            Trainer.make(model, split.train, mv.TrainConfig(), team), products=next(model.parameters()).dtype
        )
        n = split.train.shape[0] // users * users
        if n == 0:
            raise SystemExit(f"{path} has {split.train.shape[0]} training users; an update takes {users}")
        order = streams.permutation(0, 0, split.train.shape[0])[:n]

        def update(i: int) -> object:
            return trainer.update(order[i * users % n :][:users], i)

        def measured(work: Callable[[int], object]) -> tuple[float, float, float]:
            """Seconds, seconds of processor time of this process and bytes of all, of one of `steps` after three."""
            for i in range(3):
                work(i)
            team.wait_for_all()
            before = time.perf_counter(), time.process_time(), sent()
            for i in range(steps):
                work(3 + i)
            team.wait_for_all()
            now = time.perf_counter(), time.process_time(), sent()
            return tuple((b - a) / steps for a, b in zip(before, now, strict=True))

        nothing = {"loss": torch.zeros(())}
        seconds, cpu, traffic = measured(update)
        for p in model.parameters():
            p.grad = torch.zeros_like(p)  # a sum that is taken again and again stays finite
        alone = measured(lambda _: team.sum_gradients(model.parameters(), nothing))[0] if team.size > 1 else 0.0
        result = {"seconds": seconds, "cpu": cpu, "bytes": traffic / team.size, "sum": alone}
        return result | {"parameters": sum(p.numel() for p in model.parameters())} if team.first else None


def run(processes: int, path: str, users: int, steps: int) -> dict[str, float]:
    """`part` in so many processes, as torchrun starts them."""
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)] if processes > 1 else []
    command = [sys.executable, *start, __file__, "--part", path, str(users), "--steps", str(steps)]
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | threads)
    return json.loads(out.stdout.splitlines()[-1])


def compare(counts: Sequence[int], path: str, steps: int, rounds: int) -> list[dict[str, Any]]:
    """A row for each number of processes: medians over rounds, in turn, beside the model."""
    whole = [{(r, alone): run(1 if alone else r, path, BATCH // (r if alone else 1), steps)
              for r in counts for alone in (True, False)} for _ in range(rounds)]  # fmt: skip
    found = {key: {k: statistics.median(of[key][k] for of in whole) for k in whole[0][key]} for key in whole[0]}
    spread = {key: [f(of[key]["seconds"] for of in whole) for f in (min, max)] for key in whole[0]}
    rows = []
    for r in counts:
        alone, seen = found[r, True], found[r, False]
        share = max(1.0, r / cores())
        rows.append(
            {
                "processes": r,
                "MB sent, model": 2 * (r - 1) / r * 4 * seen["parameters"] / 1e6,
                "MB sent": seen["bytes"] / 1e6,
                "ms, alone": 1e3 * alone["seconds"],
                "ms, sum": 1e3 * seen["sum"],
                "ms, model": 1e3 * (share * alone["seconds"] + seen["sum"]),
                "ms": 1e3 * seen["seconds"],
                "ms, least and most": [1e3 * s for s in spread[r, False]],
                "CPU ms of a process": 1e3 * seen["cpu"],
            }
        )
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown."""
    head = [
        "processes",
        "MB sent, model",
        "MB sent",
        "B / R users alone, ms",
        "the sum alone, ms",
        "model, ms",
        "seen, ms",
    ]
    head += ["least to most", "seen / model", "faster than one"]
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join(["---:"] * len(head)) + " |"]
    for row in rows:
        ms = [f"{row[k]:.0f}" for k in ("ms, alone", "ms, sum", "ms, model", "ms")]
        low, high = row["ms, least and most"]
        cells = [str(row["processes"]), *(f"{row[k]:.1f}" for k in ("MB sent, model", "MB sent")), *ms]
        cells += [f"{low:.0f} to {high:.0f}", f"{row['ms'] / row['ms, model']:.2f}", f"{rows[0]['ms'] / row['ms']:.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", help="a split file in place of made-up users")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--part", nargs=2, metavar=("SPLIT", "USERS"), help="one of several processes")
    options = parser.parse_args()
    if options.part:
        path, users = options.part
        if (result := part(path, int(users), options.steps)) is not None:
            print(json.dumps(result))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = options.data or f"{folder}/split.safetensors"
        if options.data is None:
            make = f"import minivae as mv; mv.strong_split(mv.planted(shape='ml-20m'), n_heldout=10000).save({path!r})"
            subprocess.run([sys.executable, "-c", make], check=True)
        rows = compare(sorted({1, *options.processes}), path, options.steps, options.rounds)
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps({"rows": rows}, indent=1), "utf-8")


if __name__ == "__main__":
    main()
