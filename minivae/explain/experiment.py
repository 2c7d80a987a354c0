"""The whole experiment of scores against retraining, in a folder, step by step, so that it can be continued."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from minivae.data.splits import FoldIn, StrongSplit
from minivae.errors import InputError
from minivae.explain.datamodel import Lds, ceiling, halves, lds_of_sums, personal
from minivae.explain.retraining import Outcome, retrain
from minivae.explain.rivals import rival_scores
from minivae.explain.snapshots import record
from minivae.models import VAE
from minivae.runtime.storage import load_arrays, save_arrays
from minivae.training import TrainConfig

PREDICTED, OUTCOME = "sums of scores", "losses after retraining"
TARGETS = tuple(f.name for f in fields(Outcome))
OF_TARGET = {"reconstruction": "reconstruction", "heldout": "heldout", "ndcg": "heldout"}
"""By which loss the gradients are made that are to predict an outcome; nDCG has none, so it is asked of the loss."""


def receivers_of(split: StrongSplit, n: int) -> FoldIn:
    """The first n test users who have held-out items."""
    rows = np.flatnonzero(np.diff(split.test.heldout.indptr) > 0)[:n]
    if len(rows) < 2:
        raise InputError(f"{len(rows)} test users have held-out items; at least 2 are needed")
    labels = split.test.user_labels
    return FoldIn(split.test.history[rows], split.test.heldout[rows], None if labels is None else labels[rows])


def predict(
    build: Callable[[], VAE],
    split: StrongSplit,
    config: TrainConfig,
    receivers: FoldIn,
    subsets: np.ndarray,
    path: Path,
    sharing: bool = True,
) -> dict[str, np.ndarray]:
    """Before any retraining: one run on all users, its snapshots, every score, and its sums over the subsets.

    Returns
    -------
    "reconstruction/transfer" and so on -> (R, K) sums of scores; what is in `path` already is read.
    """
    if path.is_file():
        return load_arrays(path, PREDICTED)[0]
    fixed = replace(config, patience=config.epochs)
    snapshots, model, _ = record(build, split, fixed, to_the_end=True)
    everything = (receivers.history + receivers.heldout).tocsr()
    asked = {"reconstruction": (everything, None), "heldout": (receivers.history, receivers.heldout)}
    sums = {}
    for target, (seen, goal) in asked.items():
        for name, score in rival_scores(model, snapshots, split.train, seen, goal, sharing=sharing).items():
            sums[f"{target}/{name}"] = score.astype(np.float64) @ subsets.T.astype(np.float64)
    moments = ",".join(str(s.epoch) for s in snapshots)
    save_arrays(path, PREDICTED, sums, {"epochs of the snapshots": moments})
    return sums


def outcomes(
    build: Callable[[], VAE],
    split: StrongSplit,
    config: TrainConfig,
    receivers: FoldIn,
    subsets: np.ndarray,
    seeds: Sequence[int],
    folder: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, np.ndarray]:
    """Every subset trained with every seed: outcome -> (seeds, K, R); finished retrainings in `folder` are read."""
    found: dict[str, list[list[np.ndarray]]] = {t: [[] for _ in seeds] for t in TARGETS}
    done, total = 0, len(seeds) * len(subsets)
    for s, seed in enumerate(seeds):
        for k, users in enumerate(subsets):
            path = folder / f"seed{seed}-subset{k:03d}.safetensors"
            if not path.is_file():
                result = retrain(build, split, replace(config, seed=seed), users, receivers)
                save_arrays(path, OUTCOME, asdict(result), {})
            arrays = load_arrays(path, OUTCOME)[0]
            for t in TARGETS:
                found[t][s].append(arrays[t])
            done += 1
            progress(done, total)
    return {t: np.array(of) for t, of in found.items()}


def table(sums: Mapping[str, np.ndarray], seen: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """Every score's LDS against the mean loss over seeds, and the ceiling, for each outcome.

    "ceiling" is what one seed's losses say about another's, averaged over pairs of seeds. Each outcome also has a
    "personal" table: the same with what is common to all users taken off (`personal`), from scores and losses alike.
    """
    result = {}
    for outcome, losses in seen.items():
        prefix = OF_TARGET[outcome] + "/"
        mine = {n.removeprefix(prefix): s for n, s in sums.items() if n.startswith(prefix)}
        result[outcome] = _scored(mine, losses)
        alone = np.array([personal(of.T).T for of in losses])
        result[f"{outcome}, personal"] = _scored({n: personal(s) for n, s in mine.items()}, alone)
    return result


def _scored(sums: Mapping[str, np.ndarray], losses: np.ndarray) -> dict[str, dict[str, float]]:
    """A line for every score, and the ceiling; losses are (seeds, K, R)."""
    rows = {name: lds_of_sums(s, losses.mean(0)) for name, s in sums.items()}
    pairs = [(a, b) for a in range(len(losses)) for b in range(a)]
    if pairs:
        rows["ceiling"] = _mean([ceiling(losses[a], losses[b]) for a, b in pairs])
    return {name: _line(value) for name, value in rows.items()}


def _mean(values: Sequence[Lds]) -> Lds:
    per_user = np.mean([v.per_user for v in values], 0)
    return Lds(per_user, *(float(np.mean([getattr(v, k) for v in values])) for k in ("mean", "low", "high")))


def _line(value: Lds) -> dict[str, float]:
    return {
        "lds": value.mean,
        "low": value.low,
        "high": value.high,
        "users above 0": float((value.per_user > 0).mean()),
    }


def measure(
    build: Callable[[], VAE],
    split: StrongSplit,
    config: TrainConfig,
    folder: Path,
    n_subsets: int = 50,
    seeds: Sequence[int] = (0, 1),
    n_receivers: int = 500,
    sharing: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """The linear datamodeling score of transfer and its rivals on random halves of the training users.

    The scores are computed, summed over the halves and written to `folder` before the first retraining, so none of them
    can be fitted to what it is judged by.

    Parameters
    ----------
    build : makes an empty model; every run resets it from its seed.
    config : of every run; all run to the last epoch.
    n_subsets : K random halves.
    seeds : of the retrainings; two or more give a ceiling. The run that the scores come from has `config.seed`.
    n_receivers : test users whose losses are predicted.

    Returns
    -------
    JSON-ready: the table, and what it was made with.
    """
    receivers = receivers_of(split, n_receivers)
    subsets = halves(split.train.shape[0], n_subsets)
    sums = predict(build, split, config, receivers, subsets, folder / "sums.safetensors", sharing)
    seen = outcomes(build, split, config, receivers, subsets, seeds, folder / "retrained", progress)
    kept = np.all([np.isfinite(a).all((0, 1)) for a in seen.values()], axis=0)
    scored = table({n: s[kept] for n, s in sums.items()}, {t: a[..., kept] for t, a in seen.items()})
    return {
        "data": split.name,
        "training users": split.train.shape[0],
        "receivers": int(kept.sum()),
        "subsets": n_subsets,
        "seeds": list(seeds),
        "config": asdict(config),
        "scores": scored,
    }
