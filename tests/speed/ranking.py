"""Benchmark: ranking 10,000 users × 20,720 items into Recall@20, Recall@50 and nDCG@100, against the usual CPU way.

    python tests/speed/ranking.py [--rounds 3] [--users 10000] [--json FILE]

Both sides see the same scores in blocks of 500 users, in one process and alternately. "metrics" starts from scores
(their generation is not timed); "with scoring" starts from the histories: dense rows through a dense model on the
usual side, CSR through `MultVAE.score` on ours, with the same parameters. The values must agree.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from rivals import DenseMultVAE, ndcg_at_k, recall_at_k

import minivae as mv
from minivae.runtime.memory import keep_freed_memory

BLOCK = 500


class Given:
    """Scores made beforehand, handed out block after block; the time to hand them out is counted apart."""

    def __init__(self, scores: torch.Tensor) -> None:
        self.scores, self.at, self.seconds = scores, 0, 0.0

    def score(self, history: object) -> torch.Tensor:
        start = time.perf_counter()
        block = self.scores[self.at : self.at + history.shape[0]].clone()
        self.at += history.shape[0]
        self.seconds += time.perf_counter() - start
        return block


def usual_metrics(scores: np.ndarray, fold_in: mv.FoldIn, a: int, b: int) -> list[np.ndarray]:
    scores[fold_in.history[a:b].nonzero()] = -np.inf
    heldout = fold_in.heldout[a:b]
    return [recall_at_k(scores, heldout, 20), recall_at_k(scores, heldout, 50), ndcg_at_k(scores, heldout)]


def usual_from_scores(scores: torch.Tensor, fold_in: mv.FoldIn) -> tuple[float, list[np.ndarray]]:
    total, out = 0.0, []
    for a in range(0, fold_in.history.shape[0], BLOCK):
        block = scores[a : a + BLOCK].clone().numpy()
        start = time.perf_counter()
        out.append(usual_metrics(block, fold_in, a, a + BLOCK))
        total += time.perf_counter() - start
    return total, [np.concatenate(v) for v in zip(*out, strict=True)]


def ours_from_scores(scores: torch.Tensor, fold_in: mv.FoldIn) -> tuple[float, list[np.ndarray]]:
    given = Given(scores)
    start = time.perf_counter()
    result = mv.evaluate(given, fold_in)
    return time.perf_counter() - start - given.seconds, list(result.per_user.values())


def usual_from_history(model: DenseMultVAE, fold_in: mv.FoldIn) -> tuple[float, list[np.ndarray]]:
    start, out = time.perf_counter(), []
    with torch.no_grad():
        for a in range(0, fold_in.history.shape[0], BLOCK):
            x = torch.FloatTensor(fold_in.history[a : a + BLOCK].toarray())
            out.append(usual_metrics(model(x)[0].numpy(), fold_in, a, a + BLOCK))
    return time.perf_counter() - start, [np.concatenate(v) for v in zip(*out, strict=True)]


def ours_from_history(model: mv.MultVAE, fold_in: mv.FoldIn) -> tuple[float, list[np.ndarray]]:
    start = time.perf_counter()
    result = mv.evaluate(model, fold_in)
    return time.perf_counter() - start, list(result.per_user.values())


def twin(model: mv.MultVAE) -> DenseMultVAE:
    """The dense model with the same parameters."""
    dense = DenseMultVAE(model.n_items, model.hidden, model.latent).eval()
    with torch.no_grad():
        dense.q1.weight.copy_(model.encoder_input.weight.T)
        dense.q1.bias.copy_(model.encoder_input.bias)
    dense.q2, dense.p1, dense.p2 = model.encoder_output, model.decoder[0], model.decoder[2]
    return dense


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    keep_freed_memory()
    split = mv.strong_split(mv.planted(shape="ml-20m"), n_heldout=options.users)
    fold_in = split.test
    some = fold_in.heldout.getnnz(axis=1) > 0  # the usual code divides by zero without held-out items
    fold_in = mv.FoldIn(history=fold_in.history[some], heldout=fold_in.heldout[some])
    model = mv.MultVAE(split.n_items).eval()
    dense = twin(model)
    scores = torch.randn(fold_in.history.shape, generator=torch.Generator().manual_seed(0))
    times: dict[str, list[float]] = {}
    for _ in range(options.rounds):
        for name, usual, our, arguments in (
            ("metrics from scores", usual_from_scores, ours_from_scores, (scores, scores)),
            ("with scoring", usual_from_history, ours_from_history, (dense, model)),
        ):
            t_usual, v_usual = usual(arguments[0], fold_in)
            t_our, v_our = our(arguments[1], fold_in)
            for x, y in zip(v_usual, v_our, strict=True):
                assert abs(x.mean() - y.mean()) < 1e-6, "the two ways do not agree"
            times.setdefault(f"{name}: usual", []).append(t_usual)
            times.setdefault(f"{name}: minivae", []).append(t_our)
    median = {k: statistics.median(v) for k, v in times.items()}
    print(f"{fold_in.history.shape[0]:,} users × {split.n_items:,} items, medians of {options.rounds}")
    for name in ("metrics from scores", "with scoring"):
        usual_s, our_s = median[f"{name}: usual"], median[f"{name}: minivae"]
        print(f"{name:22s} usual {usual_s:6.2f} s   minivae {our_s:6.2f} s   ratio {usual_s / our_s:5.2f}")
    if options.json:
        options.json.write_text(json.dumps({"seconds": times, "median": median}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
