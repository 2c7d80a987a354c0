"""The same Mult-VAE trained by minivae and by its peers: time per epoch, peak memory, accuracy for unseen users.

    python tests/peers/compare.py install                       one virtual environment a peer, under build/peers
    python tests/peers/compare.py accuracy --data SPLIT         test nDCG@100 and time on a prepared split
    python tests/peers/compare.py speed                         time and memory at the shape of MovieLens-20M

Same training matrix, sizes, batch, epochs, learning rate and threads for everybody; the last epoch is scored, nothing
is chosen. Parts run one after another, each in a process of its own, and rounds alternate between them; the table holds
medians. Every model's scores are ranked by `minivae.evaluate`. What a peer does otherwise than the published model is
in `DEVIATIONS`, with the place in its source.
"""

import argparse
import json
import os
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
}
PEERS = ("dense", "recpack", "irspack", "cornac", "minivae")
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
    "minivae": [],
}
SETTINGS = {"hidden": 600, "latent": 200, "lr": 1e-3, "beta": 0.2}


def python_of(peer: str, venvs: Path) -> str:
    """The interpreter of a peer; our own for what needs torch only."""
    return str(venvs / peer / "bin" / "python") if peer in INSTALLS else sys.executable


def install(venvs: Path) -> None:
    """Make the virtual environments that are not there."""
    for peer, packages in INSTALLS.items():
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
        "PYTHONPATH": str(ROOT) if peer == "minivae" else "",
    }
    command = [python_of(peer, venvs), str(FOLDER / f"peer_{peer}.py"), str(path)]
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
                    **SETTINGS,
                )
                rows[peer].append(run(peer, job, options.venvs, work))
                if scored:
                    evaluations[peer].append(mv.evaluate(Scores(work / "scores.npy"), split.test))
                print(f"round {seed + 1}, {peer}: {rows[peer][-1]['seconds']:.2f} s an epoch", file=sys.stderr)
    table = {}
    for peer in options.peers:
        seconds = statistics.median(r["seconds"] for r in rows[peer])
        peak = statistics.median(r["peak"] for r in rows[peer]) / 1e9
        table[peer] = {"seconds": seconds, "peak_gb": peak, "deviations": DEVIATIONS[peer]}
        if scored:
            per_seed = [e["ndcg@100"][0] for e in evaluations[peer]]
            users = np.mean([e.per_user["ndcg@100"] for e in evaluations[peer]], axis=0)
            table[peer] |= {"ndcg@100": float(np.nanmean(users)), "seeds": per_seed}
    return table


def show(table: dict[str, dict[str, object]], users: int, scale: float) -> None:
    """A Markdown table; `scale` turns the trained users into the full number."""
    ours = table["minivae"]["seconds"]
    print(f"\n{users:,} training users\n")
    print("| | s per epoch | peer / minivae | peak memory, GB | test nDCG@100, each seed | otherwise than published |")
    print("| --- | ---: | ---: | ---: | --- | --- |")
    for peer, row in table.items():
        ndcg = ", ".join(f"{v:.4f}" for v in row.get("seeds", [])) or "–"
        print(
            f"| {peer} | {row['seconds'] * scale:.1f} | {row['seconds'] / ours:.2f} | {row['peak_gb']:.2f} | {ndcg} | "
            f"{'; '.join(row['deviations']) or '–'} |"
        )


def main() -> None:
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
    options = parser.parse_args()
    if options.what == "install":
        install(options.venvs)
        return
    scored = options.what == "accuracy"
    options.epochs = options.epochs or (40 if scored else 3)
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
