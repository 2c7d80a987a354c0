"""Time and peak memory of EASE: one I×I matrix of float32 and blocks, whatever the size.

    python tests/speed/ease.py [--items 5000 10000] [--users 20000] [--per-user 70] [--out FILE.json]

Random users; every size in a process of its own, so that the peak is its own. "matrices" is the peak above that of the
process before the fit, in units of one I×I matrix. The sizes of ML-20M, Netflix and MSD are 20108, 17769 and 41140.
"""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import tyro
from peak import peak_bytes
from rich.console import Console
from rich.table import Table

from minivae import EASE
from minivae.runtime.storage import write_json

SCORED = 500


@dataclass
class Options:
    items: tuple[int, ...] = (5000, 10000)
    users: int = 20_000
    per_user: int = 70
    out: Path | None = None


def random_users(n_users: int, n_items: int, per_user: int) -> sp.csr_matrix:
    """Items by Zipf's law, as many draws for each user."""
    rng = np.random.default_rng(0)
    law = np.cumsum(1 / np.arange(1, n_items + 1))
    items = np.searchsorted(law, rng.random(n_users * per_user) * law[-1])
    x = sp.csr_matrix(
        (np.ones(len(items), np.float32), (np.repeat(np.arange(n_users), per_user), items)), (n_users, n_items)
    )
    x.data[:] = 1
    return x


def measure(n_users: int, n_items: int, per_user: int) -> dict[str, float]:
    """Seconds of fit and of scoring 500 users, and the peak of both."""
    x = random_users(n_users, n_items, per_user)
    EASE(100.0).fit(x[:, :100])  # libraries are loaded before the count starts
    before, start = peak_bytes(), time.perf_counter()
    model = EASE(100.0).fit(x)
    fitted, seconds = peak_bytes(), time.perf_counter() - start
    start = time.perf_counter()
    model.score(x[:SCORED])
    return {
        "items": n_items,
        "fit_seconds": seconds,
        "score_seconds": time.perf_counter() - start,
        "gigabytes": peak_bytes() / 1e9,
        "matrices": (fitted - before) / (4 * n_items**2),
    }


def main() -> None:
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(*map(int, sys.argv[2:]))))
        return
    options = tyro.cli(Options, description=__doc__.splitlines()[0])
    rows = []
    for n in options.items:
        argv = [sys.executable, __file__, "--measure", str(options.users), str(n), str(options.per_user)]
        rows.append(json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout))
    table = Table("items", "fit, s", f"score {SCORED} users, s", "peak, GB", "matrices")
    for r in rows:
        values = (
            f"{r['fit_seconds']:.1f}",
            f"{r['score_seconds']:.2f}",
            f"{r['gigabytes']:.2f}",
            f"{r['matrices']:.2f}",
        )
        table.add_row(f"{r['items']:,}", *values)
    Console().print(table)
    if options.out is not None:
        write_json(options.out, rows)


if __name__ == "__main__":
    main()
