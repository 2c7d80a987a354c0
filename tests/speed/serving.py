"""Recommendations for many users beside the scores alone: seconds of the processor, and what they add to memory.

    OMP_NUM_THREADS=1 python tests/speed/serving.py [--users 50000] [--items 20000] [--models multvae,ease,ials]

Random users (items by Zipf's law) and weights: time and memory do not depend on what a model has learned. Each model
has a process of its own. `scores` is the model's own way from histories to scores, in the same blocks, and nothing
else: for Mult-VAE nearly all of it is the product with the output layer. Seconds of the processor with one thread, so
that a busy machine does not change them.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable

MODELS = ("multvae", "ease", "ials")
FACTORS, PER_USER, K = 128, 50, 10


def build(name: str, n_items: int) -> object:
    """A model with random weights."""
    import numpy as np
    import torch

    import minivae as mv

    torch.manual_seed(0)
    if name == "multvae":
        return mv.MultVAE(n_items).eval()
    rng = np.random.default_rng(0)
    if name == "ease":
        model = mv.EASE()
        model.set_state({"weights": rng.standard_normal((n_items, n_items), dtype=np.float32)})
        return model
    model = mv.IALS(factors=FACTORS)
    model.set_state({"item_factors": rng.standard_normal((n_items, FACTORS), dtype=np.float32)})
    return model


def part(name: str, n_users: int, n_items: int) -> dict[str, float]:
    """One model in this process."""
    import numpy as np
    import scipy.sparse as sp
    import torch
    from ease import random_users

    import minivae as mv
    from minivae.ranking import users_per_block
    from minivae.runtime.memory import peak, status

    torch.set_num_threads(1)
    users, model = random_users(n_users, n_items, PER_USER), build(name, n_items)
    kept = sp.csr_matrix((np.random.default_rng(1).random(users.nnz) < 0.8, users.indices, users.indptr), users.shape)
    fold_in = mv.FoldIn(users.multiply(kept), users - users.multiply(kept))
    block = users_per_block(n_items)

    def scores() -> None:
        for a in range(0, n_users, block):
            model.score(users[a : a + block])

    few = users[:block]
    mv.recommend(model, few, K)  # libraries are loaded before the clock starts
    held, found = status("VmRSS") or 0, {}
    works: dict[str, Callable[[], object]] = {
        "scores": scores,
        "recommend": lambda: mv.recommend(model, users, K),
        "evaluate": lambda: mv.evaluate(model, fold_in),
    }
    for what, work in works.items():
        started = time.process_time()
        with peak(torch.device("cpu")) as memory:
            work()
        found[what] = time.process_time() - started
        found[f"{what}, MB"] = ((memory.process or 0) - held) / 1e6
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=50_000)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--part", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        print(json.dumps(part(options.part, options.users, options.items)))
        return
    print(f"{options.users:,} users × {options.items:,} items, one thread")
    header = (
        ("", 10),
        ("scores, s", 12),
        ("recommend, s", 14),
        ("/ scores", 10),
        ("evaluate, s", 13),
        ("/ scores", 10),
    )
    print("".join(f"{word:>{width}}" for word, width in (*header, ("MB", 8))))
    for name in options.models.split(","):
        command = [sys.executable, __file__, "--part", name, "--users", str(options.users)]
        command += ["--items", str(options.items)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        r = json.loads(done.stdout.splitlines()[-1])
        first, second = (r[what] / r["scores"] for what in ("recommend", "evaluate"))
        print(
            f"{name:10s}{r['scores']:12.1f}{r['recommend']:14.1f}{first:10.2f}{r['evaluate']:13.1f}{second:10.2f}"
            f"{max(r['recommend, MB'], r['evaluate, MB']):8.0f}"
        )


if __name__ == "__main__":
    main()
