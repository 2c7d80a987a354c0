"""What every adapter does: read the job, time whole epochs, score the users it is given, report. Needs NumPy and SciPy.

An adapter is run as ``python peer_NAME.py JOB.json`` in the peer's own virtual environment. It hands `main` a function

    start(train, job) -> (fit, score)

where ``fit(tick)`` makes `job.epochs` passes over the training users with the peer's own code and calls ``tick()``
after each, and ``score(history)`` gives a dense (B, I) array for users that were not trained on.
"""

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp

ROWS = 500
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class Job:
    """The same for every peer.

    Attributes
    ----------
    train, history : files of `scipy.sparse.save_npz`, binary (U, I).
    scores : where the scores of the rows of `history` go (.npy); nobody is scored if None.
    hidden, latent, batch, lr, beta, anneal_steps : Mult-VAE's sizes and settings.
    warmup, epochs : epochs before timing begins, and epochs in all.
    seed : of the peer's generators.
    threads : of every library's pool.
    precision : of minivae's item-sized products.
    """

    train: str
    history: str
    scores: str | None
    hidden: int
    latent: int
    batch: int
    lr: float
    beta: float
    anneal_steps: int
    warmup: int
    epochs: int
    seed: int
    threads: int
    precision: str = "fp32"


Fit = Callable[[Callable[[], None]], None]
Score = Callable[[sp.csr_matrix], np.ndarray]


def main(start: Callable[[sp.csr_matrix, Job], tuple[Fit, Score]]) -> None:
    """Print one line of JSON: median seconds of an epoch, peak memory before scoring, in bytes."""
    job = Job(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    np.random.seed(job.seed)  # noqa: NPY002 (the generator that the peers shuffle with)
    train = sp.csr_matrix(sp.load_npz(job.train), dtype=np.float32)
    empty = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT
    fit, score = start(train, job)
    ends = [time.perf_counter()]
    fit(lambda: ends.append(time.perf_counter()))
    times = np.diff(ends)[job.warmup :].tolist()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT
    if job.scores:
        history = sp.csr_matrix(sp.load_npz(job.history), dtype=np.float32)
        blocks = [score(history[a : a + ROWS]) for a in range(0, history.shape[0], ROWS)]
        np.save(job.scores, np.concatenate(blocks).astype(np.float32))
    print(json.dumps({"seconds": statistics.median(times), "peak": peak, "before": empty}))
