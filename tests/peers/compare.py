"""The same Mult-VAE trained by minivae and by its peers: time per epoch, peak memory, accuracy for unseen users.

    python tests/peers/compare.py install                       one virtual environment a peer, under build/peers
    python tests/peers/compare.py accuracy --data SPLIT         test nDCG@100 and time on a prepared split
    python tests/peers/compare.py speed                         time and memory at the shape of MovieLens-20M

Same training matrix, sizes, batch, epochs, learning rate and threads for everybody; the last epoch is scored, nothing
is chosen. Parts run one after another, each in a process of its own, and rounds alternate between them; the table holds
medians and, of times, least and most. Every model's scores are ranked by `minivae.evaluate`. What a peer does otherwise
than the published model is in `DEVIATIONS`, with the place in its source.

On a busy machine nothing is timed for publication: `speed` stops, unless `--busy` asks for a look, which no file keeps.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from harness import Job

import minivae as mv

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent.parent
INSTALLS = {
    "recpack": ["recpack==0.3.6"],
    "irspack": ["irspack==0.5.2", "jax", "dm-haiku", "optax"],
    "cornac": ["cornac==3.0.1"],
    "recbole": ["recbole==1.2.1", "numpy<2"],  # it uses np.float_, which NumPy 2 has not
}
PRECISIONS = {"minivae-fp32": "fp32", "minivae-bf16": "bf16"}  # the others compute in fp32
PEERS = ("dense", "recpack", "irspack", "cornac", "recbole", *PRECISIONS)
DEVIATIONS = {
    "dense": [],
    "recpack": ["β climbs past its cap until anneal_steps (recpack/algorithms/mult_vae.py:153)"],
    "irspack": ["weights by Haiku's default, not Xavier (irspack/recommenders/multvae.py:37)"],
    "cornac": [
        "no mask and no L2 normalisation (cornac/models/vaecf/vaecf.py:65)",
        "users in the same order in every epoch (vaecf.py:128)",
        "β constant (vaecf.py:107)",
        "unknown users are refused by `score` (recom_vaecf.py)",
    ],
    "recbole": [
        "noise of sd 0.01 σ, not σ (recbole/model/general_recommender/multivae.py:66)",
        "weights by Xavier's normal, not uniform, and biases 0 (multivae.py:53)",
        "a padding item in the softmax (multivae.py:44)",
        "a padding user without items in every epoch, one update more where the batch divides the users "
        "(recbole/data/dataloader/user_dataloader.py:42)",
        "β one update ahead (multivae.py:89)",
        "unknown users are refused by `full_sort_predict` (multivae.py:122)",
    ],
    "minivae-fp32": [],
    "minivae-bf16": ["item-sized products in bfloat16"],
}
QUIET = 0.3  # processes that wait or run, over the last minute, beside this one
SETTINGS = {"hidden": 600, "latent": 200, "lr": 1e-3, "beta": 0.2}


def python_of(peer: str, venvs: Path) -> str:
    """The interpreter of a peer; our own for what needs torch only."""
    return str(venvs / peer / "bin" / "python") if peer in INSTALLS else sys.executable


def installed(peer: str, venvs: Path) -> bool:
    """Whether a peer can be run; a virtual environment that was left half made has no package."""
    return peer not in INSTALLS or any((venvs / peer).glob(f"lib/*/site-packages/{peer}"))


def install(venvs: Path) -> None:
    """Make the virtual environments that are not there."""
    for peer, packages in INSTALLS.items():
        if peer == "recbole" and sys.version_info >= (3, 12):
            print("recbole: left out, its ray (<= 2.6.3) needs Python 3.11 or older")
            continue
        if not Path(python_of(peer, venvs)).is_file():
            subprocess.run([sys.executable, "-m", "venv", str(venvs / peer)], check=True)
        subprocess.run(
            [python_of(peer, venvs), "-m", "pip", "install", "-q", "torch>=2.8,<2.14", *packages], check=True
        )
        print(f"{peer}: {python_of(peer, venvs)}")


def run(peer: str, job: Job, venvs: Path, work: Path) -> dict[str, float]:
    """Run one adapter in a fresh process."""
    path = work / "job.json"
    path.write_text(json.dumps(asdict(job)), encoding="utf-8")
    env = os.environ | {
        "OMP_NUM_THREADS": str(job.threads),
        "XLA_FLAGS": f"--xla_cpu_multi_thread_eigen={'true' if job.threads > 1 else 'false'}",
        "PYTHONPATH": str(ROOT) if peer in PRECISIONS else "",
    }
    command = [python_of(peer, venvs), str(FOLDER / f"peer_{peer.split('-')[0]}.py"), str(path)]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{peer} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


class Scores:
    """Scores from a file, handed to `minivae.evaluate` block after block."""

    def __init__(self, path: Path) -> None:
        self.scores, self.next = torch.from_numpy(np.load(path)), 0

    def score(self, history: sp.csr_matrix) -> torch.Tensor:
        self.next += history.shape[0]
        return self.scores[self.next - history.shape[0] : self.next].clone()


def compare(split: mv.StrongSplit, options: argparse.Namespace, scored: bool) -> dict[str, dict[str, object]]:
    """Rounds of all peers on one training matrix; a round is a seed."""
    rows: dict[str, list[dict[str, float]]] = {peer: [] for peer in options.peers}
    evaluations: dict[str, list[mv.Evaluation]] = {peer: [] for peer in options.peers}
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        sp.save_npz(work / "train.npz", split.train)
        sp.save_npz(work / "history.npz", split.test.history)
        for seed in range(options.rounds):
            for peer in options.peers:
                job = Job(
                    str(work / "train.npz"),
                    str(work / "history.npz"),
                    str(work / "scores.npy") if scored else None,
                    batch=options.batch,
                    anneal_steps=options.anneal_steps,
                    warmup=1,
                    epochs=options.epochs,
                    seed=seed,
                    threads=options.threads,
                    precision=PRECISIONS.get(peer, "fp32"),
                    **SETTINGS,
                )
                rows[peer].append(run(peer, job, options.venvs, work))
                if scored:
                    evaluations[peer].append(mv.evaluate(Scores(work / "scores.npy"), split.test))
                print(f"round {seed + 1}, {peer}: {rows[peer][-1]['seconds']:.2f} s an epoch", file=sys.stderr)
    table = {}
    for peer in options.peers:
        seconds = [r["seconds"] for r in rows[peer]]
        peak = statistics.median(r["peak"] for r in rows[peer]) / 1e9
        table[peer] = {
            "precision": PRECISIONS.get(peer, "fp32"),
            "seconds": statistics.median(seconds),
            "least": min(seconds),
            "most": max(seconds),
            "peak_gb": peak,
            "deviations": DEVIATIONS[peer],
        }
        if scored:
            per_seed = [e["ndcg@100"][0] for e in evaluations[peer]]
            users = np.mean([e.per_user["ndcg@100"] for e in evaluations[peer]], axis=0)
            table[peer] |= {"ndcg@100": float(np.nanmean(users)), "seeds": per_seed}
    return table


def show(table: dict[str, dict[str, object]], users: int, scale: float) -> None:
    """A Markdown table; `scale` turns the trained users into the full number."""
    ours = next((table[name]["seconds"] for name in PRECISIONS if name in table), float("nan"))
    print(f"\n{users:,} training users; {cpu()}, load average {os.getloadavg()[0]:.1f}\n")
    print("| | precision | s per epoch | least to most | / minivae | peak memory, GB | test nDCG@100 | deviations |")
    print("| --- | --- | ---: | --- | ---: | ---: | --- | --- |")
    for peer, row in table.items():
        ndcg = ", ".join(f"{v:.4f}" for v in row.get("seeds", [])) or "–"
        print(
            f"| {peer} | {row['precision']} | {row['seconds'] * scale:.1f} | "
            f"{row['least'] * scale:.1f} to {row['most'] * scale:.1f} | {row['seconds'] / ours:.2f} | "
            f"{row['peak_gb']:.2f} | {ndcg} | {'; '.join(row['deviations']) or '–'} |"
        )


def cpu() -> str:
    """The processor's name, where the system gives one."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["install", "accuracy", "speed"])
    parser.add_argument("--venvs", type=Path, default=ROOT / "build" / "peers")
    parser.add_argument("--peers", type=lambda s: s.split(","), default=list(PEERS))
    parser.add_argument("--data", type=Path, help="a prepared split, for accuracy")
    parser.add_argument("--users", type=int, default=12_000, help="training users for speed; an epoch is scaled")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="40 for accuracy, 3 for speed")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--busy", action="store_true", help="time on a busy machine, for a look")
    options = parser.parse_args(arguments)
    if options.what == "install":
        install(options.venvs)
        return
    scored = options.what == "accuracy"
    options.epochs = (40 if scored else 3) if options.epochs is None else options.epochs
    if options.epochs < 2:
        parser.error("the first epoch warms up and is not timed; give --epochs 2 or more")
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    if unknown := [peer for peer in options.peers if peer not in PEERS]:
        parser.error(f"no peer is called {unknown[0]!r}; there are {', '.join(PEERS)}")
    if scored and options.data is None:
        parser.error("accuracy needs --data, a prepared split")
    if missing := [peer for peer in options.peers if not installed(peer, options.venvs)]:
        parser.error(f"{', '.join(missing)}: not installed; run `compare.py install`, or name the others with --peers")
    busy = os.getloadavg()[0]
    if not scored and busy > QUIET and (not options.busy or options.json):
        parser.error(
            f"the load average is {busy:.1f}, and times of a busy machine are not published; wait until it is below "
            f"{QUIET}"
            + (", or take --busy without --json for a look" if not options.busy else "; --busy writes no --json")
        )
    options.batch, options.anneal_steps = (100, 1500) if scored else (500, 40_000)
    if scored:
        split = mv.StrongSplit.load(options.data)
        users = split.train.shape[0]
    else:
        split = mv.strong_split(mv.planted(shape="ml-20m", seed=0), n_heldout=10_000)
        users, split = (
            split.train.shape[0],
            mv.StrongSplit(split.train[: options.users], split.validation, split.test, split.item_labels),
        )
    table = compare(split, options, scored)
    show(table, users, users / split.train.shape[0])
    if options.json:
        options.json.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
