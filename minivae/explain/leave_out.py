"""The removal test: leave out one user's ten best helpers, or ten others of like activity, and train again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from minivae.config import TrainConfig
from minivae.data.splits import FoldIn, StrongSplit
from minivae.errors import InputError, check_whole
from minivae.explain.kept import read_kept
from minivae.explain.kernel import Transfer
from minivae.explain.retraining import retrain
from minivae.models import VAE
from minivae.ranking import Difference, paired_difference
from minivae.runtime.storage import save_arrays

PAIR = "losses without helpers and without others"


@dataclass(frozen=True)
class Removal:
    """What leaving out helpers did to the held-out loss of each receiver, in nats.

    Attributes
    ----------
    helpers : ndarray
        (R,) loss after training without the best helpers.
    others : ndarray
        (R,) loss after training without as many others, matched on their numbers of items.
    difference : Difference
        Mean of helpers − others with its 95 % t interval over receivers; above 0 if the helpers were missed more.
    """

    helpers: np.ndarray
    others: np.ndarray
    difference: Difference


def matched_others(x: sp.csr_matrix, chosen: np.ndarray, barred: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each chosen user another one with a like number of items, none of them chosen or barred: (k,).

    One of the five nearest in log N is drawn, without replacement.

    Raises
    ------
    InputError
        If there are not enough users left.
    """
    n = np.log(np.maximum(np.diff(x.indptr), 1))
    free = np.ones(len(n), bool)
    free[np.concatenate([chosen, barred])] = False
    found = []
    for v in chosen:
        left = np.flatnonzero(free)
        if not left.size:
            raise InputError("there are not enough users to match the helpers; ask for fewer of them")
        near = left[np.argsort(np.abs(n[left] - n[v]), kind="stable")[:5]]
        found.append(int(rng.choice(near)))
        free[found[-1]] = False
    return np.array(found)


def removal(
    build: Callable[[], VAE],
    split: StrongSplit,
    config: TrainConfig,
    transfer: Transfer,
    receivers: FoldIn,
    users: Sequence[int],
    k: int = 10,
    seed: int = 0,
    folder: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Removal:
    """Train without the k best helpers of each receiver, and without k others; two trainings for every receiver.

    Parameters
    ----------
    build : callable
        Makes an empty model.
    split : StrongSplit
        Its training users are those of `transfer`.
    config : TrainConfig
        Of every training; all run to the last epoch.
    transfer : Transfer
        From the training users to `receivers`, of a run on all users.
    receivers : FoldIn
        Test users.
    users : sequence
        Which of the receivers.
    k : int, default 10
        Users left out.
    seed : int, default 0
        Of the draw of the others.
    folder : Path, optional
        Where each receiver's two losses are kept; what it holds already is read, so that a run can be continued.
    progress : callable, optional
        Told how many of the receivers are done, and of how many.

    Raises
    ------
    InputError
        If the transfer is not from these training users to these receivers.
    """
    if transfer.total.shape != (receivers.n_users, split.train.shape[0]):
        raise InputError(
            f"the transfer is {transfer.total.shape}, but there are {receivers.n_users} receivers and "
            f"{split.train.shape[0]} training users"
        )
    check_whole(1, k=k)
    rng = np.random.default_rng(seed)
    lost = []
    for done, u in enumerate(users, 1):
        order = np.argsort(-transfer.total[u], kind="stable")
        best = order[:k]
        others = matched_others(split.train, best, order[: 3 * k], rng)
        path = None if folder is None else folder / f"receiver{u:05d}.safetensors"
        if path is not None and path.is_file():
            pair = read_kept(path, PAIR, {"loss": (2,)})["loss"]
        else:
            only = FoldIn(receivers.history[[u]], receivers.heldout[[u]])
            pair = np.array([_without(build, split, config, left_out, only) for left_out in (best, others)])
            if path is not None:
                save_arrays(path, PAIR, {"loss": pair}, {})
        lost.append(pair)
        progress(done, len(users))
    helpers, those = np.array(lost).reshape(-1, 2).T
    return Removal(helpers, those, paired_difference(helpers - those))


def _without(
    build: Callable[[], VAE], split: StrongSplit, config: TrainConfig, left_out: np.ndarray, receiver: FoldIn
) -> float:
    """Held-out loss of one receiver after training without some users."""
    stays = np.ones(split.train.shape[0], bool)
    stays[left_out] = False
    return float(retrain(build, split, config, stays, receiver).heldout[0])
