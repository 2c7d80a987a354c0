"""Benchmark: one training step of Mult-VAE at the shape of MovieLens-20M, against dense PyTorch and against the floor.

    python tests/speed/training.py [--rounds 3] [--steps 12] [--json FILE]
    python tests/speed/training.py --vamp --steps 3     # an update of H+Vamp, float32 against bf16, and nothing else

Every part runs in a process of its own, so that allocator settings and peak memory do not mix; parts alternate over
rounds, and the table holds medians over rounds. The floor is three item-sized products of the same precision, each in
the faster of its two layouts, and one pass of fused Adam over the parameters: what any implementation must pay.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from peak import peak_bytes

PARTS = ("dense fp32", "minivae fp32", "minivae bf16", "minivae bf16 + anchors", "floor fp32", "floor bf16")
VAMP = ("hvamp fp32", "hvamp bf16")
BATCH, VAMP_BATCH = 500, 200


def seconds(step: Callable[[int], object], steps: int) -> float:
    """Median time of a step after three to warm up."""
    times = []
    for i in range(steps + 3):
        start = time.perf_counter()
        step(i)
        times.append(time.perf_counter() - start)
    return statistics.median(times[3:])


def part(name: str, path: str, steps: int) -> dict[str, float]:
    """Time one part in this process."""
    import torch

    torch.manual_seed(0)
    if name == "dense fp32":
        step = dense(path)
    elif name.startswith("floor"):
        step = floor(path, torch.bfloat16 if name.endswith("bf16") else torch.float32)
    else:
        step = ours(path, name, torch.bfloat16 if "bf16" in name else torch.float32)
    return {"ms": 1e3 * seconds(step, steps), "peak_gb": peak_bytes() / 1e9}


def dense(path: str) -> Callable[[int], object]:
    import numpy as np
    import torch
    from rivals import DenseMultVAE, dense_step
    from safetensors.numpy import load_file
    from scipy.sparse import csr_matrix

    a = load_file(path)
    shape = (len(a["train.indptr"]) - 1, int(a["train.indices"].max()) + 1)
    train = csr_matrix((np.ones(len(a["train.indices"]), "f4"), a["train.indices"], a["train.indptr"]), shape=shape)
    model = DenseMultVAE(shape[1])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, foreach=False, fused=False)
    order = np.random.default_rng(0).permutation(shape[0])
    return lambda i: dense_step(model, optimizer, train[order[rows(i, shape[0])]], 0.2)


def ours(path: str, name: str, products: object) -> Callable[[int], object]:
    import minivae as mv
    from minivae.runtime import streams
    from minivae.runtime.memory import keep_freed_memory
    from minivae.update import Trainer

    keep_freed_memory()
    split = mv.StrongSplit.load(path)
    model, batch = (mv.HVamp(split.n_items), VAMP_BATCH) if name in VAMP else (mv.MultVAE(split.n_items), BATCH)
    config = mv.TrainConfig(anchor=1.0 if "anchors" in name else 0.0)
    if config.anchor:
        model.add_anchors()
    trainer = replace(Trainer.make(model, split.train, config), products=products)
    order = streams.permutation(0, 0, split.train.shape[0])

    def step(i: int) -> None:
        trainer.update(order[rows(i, len(order), batch)], i)

    return step


def floor(path: str, products: object) -> Callable[[int], object]:
    import torch

    import minivae as mv
    from minivae.runtime.memory import keep_freed_memory

    keep_freed_memory()
    n_items = mv.StrongSplit.load(path).n_items
    h, w = torch.randn(BATCH, 600).to(products), torch.randn(n_items, 600).to(products)
    p = torch.rand(BATCH, n_items).to(products)
    layouts = {
        "f = h Wᵀ": (lambda: h @ w.T, lambda: w @ h.T),
        "dh = p W": (lambda: p @ w, lambda: w.T @ p.T),
        "dW = pᵀ h": (lambda: p.T @ h, lambda: h.T @ p),
    }
    best = [min(pair, key=lambda f: seconds(lambda _: f(), 5)) for pair in layouts.values()]
    model = mv.MultVAE(n_items)
    for q in model.parameters():
        q.grad = torch.full_like(q, 1e-3)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def step(_: int) -> None:
        for product in best:
            product()
        optimizer.step()

    return step


def rows(i: int, n: int, batch: int = BATCH) -> slice:
    """The i-th batch, around and around."""
    first = i % (n // batch) * batch
    return slice(first, first + batch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--vamp", action="store_true", help="H+Vamp, 1,000 pseudo-inputs, in place of the table")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--part", nargs=2, metavar=("NAME", "SPLIT"), help="run one part in this process")
    options = parser.parse_args()
    if options.part:
        print(json.dumps(part(*options.part, options.steps)))
        return
    parts = VAMP if options.vamp else PARTS
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/split.safetensors"
        make = f"import minivae as mv; mv.strong_split(mv.planted(shape='ml-20m'), n_heldout=10000).save({path!r})"
        subprocess.run([sys.executable, "-c", make], check=True)
        results: dict[str, list[dict[str, float]]] = {name: [] for name in parts}
        for _ in range(options.rounds):
            for name in parts:
                command = [sys.executable, __file__, "--part", name, path, "--steps", str(options.steps)]
                out = subprocess.run(command, check=True, capture_output=True, text=True)
                results[name].append(json.loads(out.stdout.splitlines()[-1]))
    median = {n: {k: statistics.median(x[k] for x in r) for k in ("ms", "peak_gb")} for n, r in results.items()}
    against = "" if options.vamp else f" {'dense / it':>11s} {'it / floor':>11s}"
    print(f"{f'step, batch {VAMP_BATCH if options.vamp else BATCH}':28s} {'ms':>8s} {'peak GB':>8s}{against}")
    for name, m in median.items():
        line = f"{name:28s} {m['ms']:8.1f} {m['peak_gb']:8.2f}"
        if not options.vamp:
            floor_ms = median["floor bf16" if "bf16" in name else "floor fp32"]["ms"]
            line += f" {median['dense fp32']['ms'] / m['ms']:11.2f} {m['ms'] / floor_ms:11.2f}"
        print(line)
    if options.json:
        options.json.write_text(json.dumps({"rounds": results, "median": median}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
