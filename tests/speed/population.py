"""Time and peak memory of planted populations of the size of the benchmarks.

    python tests/speed/population.py [--shapes ml-20m netflix msd] [--repeats 3] [--out FILE.json]

Every population is made in a process of its own, so that the peak is its own. Floor, in the same process: as many
uniform numbers looked up once in a cumulated popularity and sorted once, which ignores tastes and repetitions.
"""

import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from peak import peak_bytes
from rich.console import Console
from rich.table import Table

from minivae.data.population import planted
from minivae.data.population_law import SHAPES
from minivae.runtime.storage import write_json


@dataclass
class Options:
    shapes: tuple[str, ...] = ("ml-20m", "netflix", "msd")
    repeats: int = 3
    out: Path | None = None


def floor(n_items: int, n_events: int) -> None:
    """One look-up and one sort per event."""
    rng = np.random.default_rng(0)
    cumulated = np.cumsum(1 / np.arange(1, n_items + 1))
    item = np.searchsorted(cumulated, rng.random(n_events) * cumulated[-1])
    item.sort()


def measure(shape: str) -> dict[str, float]:
    """Seconds and peak megabytes of one population, and the seconds of its floor."""
    before = time.perf_counter()
    data = planted(shape=shape)
    seconds = time.perf_counter() - before
    peak = peak_bytes() / 1e6
    if (data.n_users, data.n_items, data.n_events) != SHAPES[shape]:
        raise AssertionError(f"{data} has not the size of {shape}")
    before = time.perf_counter()
    floor(data.n_items, data.n_events)
    return {"seconds": seconds, "peak_mb": peak, "floor_seconds": time.perf_counter() - before}


def main() -> None:
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(sys.argv[2])))
        return
    options = tyro.cli(Options, description=__doc__)
    table = Table("shape", "users", "items", "events", "seconds", "floor s", "ratio", "peak MB")
    rows = []
    for shape in options.shapes:
        command = [sys.executable, __file__, "--measure", shape]
        runs = [json.loads(subprocess.check_output(command)) for _ in range(options.repeats)]
        row = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        rows.append({"shape": shape, "size": SHAPES[shape], "repeats": options.repeats, **row})
        sizes = (f"{n:,}" for n in SHAPES[shape])
        ratio = row["seconds"] / row["floor_seconds"]
        table.add_row(
            shape,
            *sizes,
            f"{row['seconds']:.1f}",
            f"{row['floor_seconds']:.1f}",
            f"{ratio:.1f}",
            f"{row['peak_mb']:,.0f}",
        )
    Console().print(table)
    print(json.dumps(rows))
    if options.out:
        write_json(options.out, rows)


if __name__ == "__main__":
    main()
