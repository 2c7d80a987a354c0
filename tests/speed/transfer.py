"""Benchmark: all-pairs inner products of users' decoder gradients, from layer pieces and by `torch.func.vmap(grad)`.

    python tests/speed/transfer.py [--users 2000] [--items 3500] [--rounds 5] [--json FILE]

Same model (600-200, float32), users, one sample z per user. The explicit way cannot hold all gradients (2.2 million
numbers per user), so it works in chunks of 100 users. Timed are its two parts, alternately with ours: making the
gradients of one chunk, and multiplying two chunks. Its total for all pairs is put together from them:

* "explicit": memory for two chunks. n chunks as left factors, and for each of the n(n−1)/2 pairs of different chunks
  the right factor made again: (n + n(n−1)/2)·make + n(n+1)/2·multiply.
* "explicit, ample memory": every gradient made once and kept (18 GB at 2,000 users): n·make + n(n+1)/2·multiply.

The floor is the item-sized product alone. Peak memory is that of a fresh process, above its size before the call.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

import minivae as mv
from minivae.theory.numerics.gram import gram
from minivae.theory.numerics.layers import nll

CHUNK = 100


def world(users: int, items: int, hidden: int, samples: int) -> tuple[mv.MultVAE, sp.csr_matrix, Tensor]:
    """An untrained model, users with about 95 items as in MovieLens-1M with ratings of at least 4, and samples."""
    torch.manual_seed(0)
    model = mv.MultVAE(items, hidden=hidden).eval()
    x = sp.random(users, items, density=95 / items, format="csr", dtype=np.float32, random_state=0)
    x.data[:] = 1
    return model, x, torch.randn(users, samples, model.latent)


def timed(work: Callable[[], object]) -> tuple[float, object]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def explicit_chunk(model: mv.MultVAE, z: Tensor, x: Tensor) -> list[Tensor]:
    theta = {name: p.detach() for name, p in model.decoder.named_parameters()}

    def loss(t: dict[str, Tensor], z: Tensor, x: Tensor) -> Tensor:
        return nll(functional_call(model.decoder, t, (z,)), x)

    return [g.flatten(1) for g in vmap(grad(loss), (None, 0, 0))(theta, z, x).values()]


def product(a: list[Tensor], b: list[Tensor]) -> Tensor:
    return sum(g @ h.T for g, h in zip(a, b, strict=True))


def compare(users: int, items: int, rounds: int) -> dict[str, float]:
    """Medians in seconds; what was timed and what is put together is in the module's docstring."""
    model, x, z = world(users, items, 600, 1)
    first, second = (torch.from_numpy(x[i : i + CHUNK].toarray()) for i in (0, CHUNK))
    errors = torch.randn(users, items)
    seconds: dict[str, list[float]] = {"gram": [], "make": [], "multiply": [], "floor": []}
    for _ in range(rounds):
        t, ours = timed(lambda: gram(model, x, z=z))
        seconds["gram"].append(t)
        t, a = timed(lambda: explicit_chunk(model, z[:CHUNK, 0], first))
        seconds["make"].append(t)
        b = explicit_chunk(model, z[CHUNK : 2 * CHUNK, 0], second)
        t, pairs = timed(lambda a=a, b=b: product(a, b))
        seconds["multiply"].append(t)
        torch.testing.assert_close(ours[:CHUNK, CHUNK : 2 * CHUNK], pairs, rtol=1e-3, atol=1e-4 * float(ours.max()))
        del a, b
        seconds["floor"].append(timed(lambda: errors @ errors.T)[0])
    median = {name: statistics.median(v) for name, v in seconds.items()}
    n = -(-users // CHUNK)
    median["explicit"] = (n + n * (n - 1) / 2) * median["make"] + n * (n + 1) / 2 * median["multiply"]
    median["explicit, ample memory"] = n * median["make"] + n * (n + 1) / 2 * median["multiply"]
    return median


def peak() -> int:
    """Bytes; from /proc (Linux), because ru_maxrss of a child starts at the size of its parent."""
    line = next(s for s in Path("/proc/self/status").read_text().splitlines() if s.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def alone(users: int, items: int, hidden: int, samples: int) -> None:
    """One call in this process: prints its seconds (of a second call) and the growth of the process's peak memory."""
    model, x, z = world(users, items, hidden, samples)
    gram(model, x[:2], z=z[:2])
    before = peak()
    gram(model, x, z=z)
    grown = peak() - before
    parameters = sum(p.numel() for p in model.decoder.parameters())
    seconds = timed(lambda: gram(model, x, z=z))[0]
    row = {"users": users, "hidden": hidden, "samples": samples, "parameters": parameters, "seconds": seconds}
    print(json.dumps(row | {"peak_mb": grown / 2**20, "explicit_mb": 4 * parameters * users / 2**20}))


def fresh(*arguments: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--alone", *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=2000)
    parser.add_argument("--items", type=int, default=3500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--alone", type=int, nargs=4, help=argparse.SUPPRESS)
    o = parser.parse_args()
    if o.alone:
        alone(*o.alone)
        return
    median = compare(o.users, o.items, o.rounds)
    print(
        f"{o.users:,} users × {o.items:,} items, one sample, {torch.get_num_threads()} threads, medians of {o.rounds}"
    )
    for name, s in median.items():
        print(f"{name:24s}{s:10.3f} s   {s / median['gram']:8.1f} × gram")
    grid = [(o.users // 4, 600, 1), (o.users // 2, 600, 1), (o.users, 600, 1)]
    grid += [(o.users, 150, 1), (o.users, 1200, 1)]
    grid += [(o.users, 600, s) for s in (2, 4, 8)]
    rows = [fresh(users, o.items, hidden, samples) for users, hidden, samples in grid]
    print(f"{'users':>6}{'hidden':>8}{'samples':>9}{'seconds':>10}{'peak MB':>10}{'parameters × users MB':>24}")
    for r in rows:
        print(
            f"{r['users']:6d}{r['hidden']:8d}{r['samples']:9d}{r['seconds']:10.3f}"
            f"{r['peak_mb']:10.0f}{r['explicit_mb']:24.0f}"
        )
    if o.json:
        o.json.write_text(json.dumps({"median": median, "growth": rows}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
