"""How far two runs of the same (data, config) lie apart when something else differs: threads, processes, processor.

    python tests/faults/determinism.py [--data SPLIT] [--epochs 3] [--model multvae+anchor]

Each run is a process of its own, `minivae train` in float32, and is compared with the run on one thread, its repetition
with itself: are the files of the weights the same bytes, how far is the furthest weight, how far is a weight on
average, and by how much do validation and test nDCG@100 move. Another processor is imitated by forbidding the wider
vector instructions to PyTorch, MKL and oneDNN, which is what changes the order of a sum between machines of one
architecture.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from minivae.runtime.storage import load_arrays

ROOT = Path(__file__).resolve().parents[2]


def narrower(aten: str, mkl: str, onednn: str) -> dict[str, str]:
    """The variables that forbid wider vectors."""
    return {"ATEN_CPU_CAPABILITY": aten, "MKL_ENABLE_INSTRUCTIONS": mkl, "ONEDNN_MAX_CPU_ISA": onednn}


RUNS: dict[str, tuple[int, int, dict[str, str], list[str]]] = {  # processes, threads of each, environment, flags
    "1 thread": (1, 1, {}, []),
    "1 thread, again": (1, 1, {}, []),
    "2 threads": (1, 2, {}, []),
    "2 threads, again": (1, 2, {}, []),
    "2 processes": (2, 1, {}, []),
    "4 processes": (4, 1, {}, []),
    "AVX2 only": (1, 1, narrower("avx2", "AVX2", "AVX2"), []),
    "SSE4 only": (1, 1, narrower("default", "SSE4_2", "SSE41"), []),
    "bf16 products": (1, 1, {}, ["--precision", "bf16"]),
    "bf16 products, again": (1, 1, {}, ["--precision", "bf16"]),
}


def train(name: str, out: Path, flags: list[str]) -> None:
    """One run."""
    processes, threads, extra, own = RUNS[name]
    start = ["torch.distributed.run", "--nproc-per-node", str(processes), "-m"] if processes > 1 else []
    command = [sys.executable, "-m", *start, "minivae", "train", *flags, *own, "--out", str(out)]
    env = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)} | extra
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")


def read(out: Path) -> dict[str, object]:
    """What is compared."""
    weights = {k: v.astype(np.float64) for k, v in load_arrays(out / "model.safetensors", "model")[0].items()}
    metrics = json.loads((out / "metrics.json").read_text())
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return {
        "bytes": (out / "model.safetensors").read_bytes(),
        "weights": np.concatenate([weights[k].ravel() for k in sorted(weights)]),
        "validation": metrics["validation"]["ndcg@100"]["mean"],
        "test": metrics["test"]["ndcg@100"]["mean"],
        "updates": log[-1]["updates"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="planted")
    parser.add_argument("--model", default="multvae+anchor")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=list(RUNS), metavar="RUN", help=f"of {list(RUNS)}")
    options = parser.parse_args()
    flags = ["--data", options.data, "--model", options.model, "--epochs", str(options.epochs)]
    flags += ["--device", "cpu", "--precision", "fp32"]
    runs: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory() as folder:
        wanted = [n for name in options.runs for n in (name.removesuffix(", again"), name)]  # what is repeated, too
        for k, name in enumerate(dict.fromkeys(["1 thread", *wanted])):
            train(name, Path(folder) / str(k), flags)
            runs[name] = found = read(Path(folder) / str(k))
            if k == 0:
                introduce(options, found)
                continue
            other = name.removesuffix(", again")
            reference = runs[other if other != name else "1 thread"]
            same = "yes" if found["bytes"] == reference["bytes"] else "no"
            away = np.abs(found["weights"] - reference["weights"])
            moved = [f"{found[part] - reference[part]:+.1e}" for part in ("validation", "test")]
            print(f"| {name} | {same} | {away.max():.1e} | {away.mean():.1e} | {' | '.join(moved)} |", flush=True)


def introduce(options: argparse.Namespace, first: dict[str, object]) -> None:
    """What was run, and the head of the table."""
    capability = torch.backends.cpu.get_cpu_capability()
    print(f"{options.data}, {options.model}, {first['updates']} updates, torch {torch.__version__}, {capability}\n")
    print("| against 1 thread, or itself | same bytes | furthest weight | mean | validation nDCG@100 | test nDCG@100 |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    size = np.abs(first["weights"]).mean()
    print(f"| (mean size, level) | | | {size:.1e} | {first['validation']:.4f} | {first['test']:.4f} |", flush=True)


if __name__ == "__main__":
    main()
