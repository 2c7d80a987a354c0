"""Training again on a part of the users, and what that does to the losses of others."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
import torch

from minivae.config import TrainConfig
from minivae.data.splits import FoldIn, StrongSplit
from minivae.data.users import shape_of
from minivae.errors import InputError
from minivae.models import VAE
from minivae.ranking import evaluate
from minivae.theory.numerics.layers import nll
from minivae.theory.numerics.samples import dense, still
from minivae.training import fit

WATCHED = 50
"""Validation users of a retraining, with held-out items: it runs to its last epoch, so they choose nothing and need
not be many."""
BLOCK = 1024


@dataclass(frozen=True)
class Outcome:
    """What a trained model is worth to each receiver, (R,) each.

    Attributes
    ----------
    reconstruction : ndarray
        Nats, loss of all that the user has, from all that the user has (z = μ, no mask).
    heldout : ndarray
        Nats, loss of the held-out items, from the history.
    ndcg : ndarray
        Minus nDCG@100 of the held-out items, so that less is better in all three.
    """

    reconstruction: np.ndarray
    heldout: np.ndarray
    ndcg: np.ndarray


def outcome(model: VAE, receivers: FoldIn) -> Outcome:
    """Losses of held-out users under a model."""
    everything = (receivers.history + receivers.heldout).tocsr()
    return Outcome(
        reconstruction=losses(model, everything, everything),
        heldout=losses(model, receivers.history, receivers.heldout),
        ndcg=-evaluate(model, receivers, ["ndcg@100"]).per_user["ndcg@100"],
    )


def losses(model: VAE, seen: sp.csr_matrix, target: sp.csr_matrix) -> np.ndarray:
    """``ℓ(θ; μ(seen_u), target_u)`` of every user, (R,) float64, in nats."""
    parts = []
    with still(model), torch.no_grad():
        for a in range(0, shape_of(seen)[0], BLOCK):
            rows = slice(a, a + BLOCK)
            logits = model.decode(model.encode(seen[rows])[0]).double()
            parts.append(nll(logits, dense(target, rows, logits)))
    return torch.cat(parts).cpu().numpy()


def retrain(
    build: Callable[[], VAE], split: StrongSplit, config: TrainConfig, users: np.ndarray, receivers: FoldIn
) -> Outcome:
    """Train on some of the training users, to the last epoch, and look at the receivers.

    Parameters
    ----------
    users : ndarray
        (U,) bool, which training users take part.

    Raises
    ------
    InputError
        If no user takes part.
    """
    if not users.any():
        raise InputError("no user is left to train on")
    last: list[Outcome] = []

    def look(model: VAE, line: Mapping[str, float]) -> None:
        if line["epoch"] == config.epochs:
            last.append(outcome(model, receivers))

    watched = np.flatnonzero(np.diff(split.validation.heldout.indptr))[:WATCHED]
    few = FoldIn(split.validation.history[watched], split.validation.heldout[watched])
    labels = None if split.train_labels is None else split.train_labels[users]
    part = replace(split, train=split.train[users], train_labels=labels, validation=few)
    fit(build(), part, replace(config, patience=config.epochs), callback=look)
    return last[0]
