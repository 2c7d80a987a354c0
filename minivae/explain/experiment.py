"""The whole experiment of scores against retraining, in a folder, step by step, so that it can be continued."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np

from minivae.config import TrainConfig
from minivae.data.splits import FoldIn, StrongSplit
from minivae.errors import InputError, check_whole
from minivae.explain.datamodel import ceiling, halves, lds_of_sums, personal
from minivae.explain.kept import read_kept
from minivae.explain.records import LdsResults, Score, Scores
from minivae.explain.retraining import Outcome, retrain
from minivae.explain.rivals import SCORES, rival_scores
from minivae.explain.snapshots import record
from minivae.models import VAE
from minivae.options import MOST_RUNS
from minivae.runtime.storage import save_arrays

PREDICTED, OUTCOME = "sums of scores", "losses after retraining"
ASKED = ("reconstruction", "heldout")
TARGETS = tuple(f.name for f in fields(Outcome))
OF_TARGET = {"reconstruction": "reconstruction", "heldout": "heldout", "ndcg": "heldout"}
"""By which loss the gradients are made that are to predict an outcome; nDCG has none, so it is asked of the loss."""


def receivers_of(split: StrongSplit, n: int, seed: int = 0) -> FoldIn:
    """n test users who have held-out items, drawn by the seed, in the order of the split; all if there are fewer."""
    if n < 2:
        raise InputError(f"{n} test users were asked for; at least 2 are needed")
    rows = np.flatnonzero(np.diff(split.test.heldout.indptr) > 0)
    rows = np.sort(np.random.default_rng(seed).permutation(rows)[:n])
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
    dict
        "reconstruction/transfer" and so on -> (R, K) sums of scores; what is in `path` already is read.
    """
    if path.is_file():
        shape = (receivers.n_users, len(subsets))
        names = SCORES if sharing else SCORES[:-1]
        return read_kept(path, PREDICTED, {f"{target}/{name}": shape for target in ASKED for name in names})
    fixed = replace(config, patience=config.epochs)
    snapshots, model, _ = record(build, split, fixed, to_the_end=True)
    everything = (receivers.history + receivers.heldout).tocsr()
    asked = dict(zip(ASKED, ((everything, None), (receivers.history, receivers.heldout)), strict=True))
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
    folder: Path,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, np.ndarray]:
    """Every subset trained on with the seed of `config`: outcome -> (K, R); what `folder` holds already is read."""
    found: dict[str, list[np.ndarray]] = {t: [] for t in TARGETS}
    shapes = dict.fromkeys(TARGETS, (receivers.n_users,))
    undefined = {"ndcg": np.diff(receivers.heldout.indptr) == 0}
    for k, users in enumerate(subsets):
        path = folder / f"seed{config.seed}-subset{k:03d}.safetensors"
        if not path.is_file():
            save_arrays(path, OUTCOME, asdict(retrain(build, split, config, users, receivers)), {})
        arrays = read_kept(path, OUTCOME, shapes, undefined)
        for t in TARGETS:
            found[t].append(arrays[t])
        progress(k + 1)
    return {t: np.array(of) for t, of in found.items()}


def table(sums: Mapping[str, np.ndarray], seen: Mapping[str, np.ndarray], again: Mapping[str, np.ndarray]) -> Scores:
    """Every score's LDS, and the ceiling, for each outcome.

    "ceiling" is what a second training of the same halves, with another seed, says about the first; no score that
    knows all but the seed can be expected above its square root. Each outcome also has a "personal" table: the same
    with what is common to all users taken off (`personal`), from scores and losses alike. A "two seeds" table asks for
    the mean loss of both trainings, of the halves that were trained on twice: the seed then counts for less.
    """
    result = {}
    for outcome, losses in seen.items():
        prefix = OF_TARGET[outcome] + "/"
        mine = {n.removeprefix(prefix): s for n, s in sums.items() if n.startswith(prefix)}
        result[outcome] = _scored(mine, losses, again.get(outcome))
        alone = {n: personal(s) for n, s in mine.items()}
        second = None if outcome not in again else personal(again[outcome].T).T
        result[f"{outcome}, personal"] = _scored(alone, personal(losses.T).T, second)
        if outcome in again:
            n = len(again[outcome])
            both = (losses[:n] + again[outcome]) / 2
            result[f"{outcome}, two seeds"] = _scored({name: s[:, :n] for name, s in mine.items()}, both, None)
    return result


def _scored(sums: Mapping[str, np.ndarray], losses: np.ndarray, again: np.ndarray | None) -> dict[str, Score]:
    """A line for every score, and one for the ceiling over the subsets that were trained on twice."""
    rows = {name: lds_of_sums(s, losses) for name, s in sums.items()}
    if again is not None:
        rows["ceiling"] = ceiling(losses[: len(again)], again)
    return {name: Score(v.mean, v.low, v.high, float((v.per_user > 0).mean())) for name, v in rows.items()}


def measure(
    build: Callable[[], VAE],
    split: StrongSplit,
    config: TrainConfig,
    folder: Path,
    n_subsets: int = 50,
    n_again: int = 20,
    n_receivers: int = 300,
    sharing: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> LdsResults:
    """The linear datamodeling score of transfer and its rivals on random halves of the training users.

    The scores are computed, summed over the halves and written to `folder` before the first retraining, so none of them
    can be fitted to what it is judged by.

    Parameters
    ----------
    build : callable
        Makes an empty model; every run resets it from its seed.
    config : TrainConfig
        Of every run; all run to the last epoch.
    n_subsets : int, default 50
        K random halves.
    n_again : int, default 20
        Of these halves (all if they are fewer) are trained on a second time, with the next seed, for the ceiling;
        0: none.
    n_receivers : int, default 300
        Test users whose losses are predicted.

    Returns
    -------
    LdsResults
        The table, and what it was made with.

    Raises
    ------
    InputError
        If a number is not possible.
    """
    check_whole(2, MOST_RUNS, n_subsets=n_subsets)
    check_whole(2, n_receivers=n_receivers)
    check_whole(0, n_again=n_again)
    n_again = min(n_again, n_subsets)
    receivers = receivers_of(split, n_receivers)
    subsets = halves(split.train.shape[0], n_subsets)
    sums = predict(build, split, config, receivers, subsets, folder / "sums.safetensors", sharing)
    total, done = n_subsets + n_again, folder / "retrained"
    seen = outcomes(build, split, config, receivers, subsets, done, lambda k: progress(k, total))
    again = {}
    if n_again:
        other = replace(config, seed=config.seed + 1)
        again = outcomes(
            build, split, other, receivers, subsets[:n_again], done, lambda k: progress(n_subsets + k, total)
        )
    return LdsResults(
        data=split.name,
        training_users=split.train.shape[0],
        receivers=receivers.n_users,
        subsets=n_subsets,
        trained_twice=n_again,
        config=asdict(config),
        scores=table(sums, seen, again),
    )
