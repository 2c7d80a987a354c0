"""Folds: the users of a data set in K parts, each tested by models that never saw it."""

from dataclasses import dataclass
from typing import cast

import numpy as np
import scipy.sparse as sp

from minivae.data.splits import FoldIn, StrongSplit
from minivae.data.strong_split import draw_heldout
from minivae.data.users import shape_of
from minivae.errors import InputError, check_whole

LEAST = 3
"""Parts at least: one for test, one for validation, the rest for training."""
DRAW = 98765


@dataclass(frozen=True)
class Population:
    """Every user of a split, whole.

    Attributes
    ----------
    x : csr_matrix
        (U, I) all interactions.
    labels : ndarray
        (U,) of the users.
    heldout : csr_matrix
        (U, I) the interactions that are held out when a user is not trained on, the same in every fold.
    """

    x: sp.csr_matrix
    labels: np.ndarray
    heldout: sp.csr_matrix

    @classmethod
    def of(cls, split: StrongSplit, seed: int) -> "Population":
        """Training, validation and test users together, in this order; of n >= 5 items int(n / 5) are held out."""
        parts = [split.train, *(p.history + p.heldout for p in (split.validation, split.test))]
        x = cast("sp.csr_matrix", sp.vstack(parts, format="csr").astype(np.float32))
        x.sort_indices()
        n_users, _ = shape_of(x)
        labels = [split.train_labels, split.validation.user_labels, split.test.user_labels]
        known = all(of is not None for of in labels)
        names = np.concatenate([np.asarray(of).astype(str) for of in labels]) if known else np.arange(n_users)
        held = np.zeros(x.nnz, dtype=bool)
        held[draw_heldout(np.repeat(np.arange(n_users), np.diff(x.indptr)), seed)] = True
        heldout = sp.csr_matrix((held.astype(np.float32), x.indices, x.indptr), x.shape, copy=True)
        heldout.eliminate_zeros()  # in place: hence the copy
        return cls(x, names.astype(str), heldout)

    def fold_in(self, users: np.ndarray, items: np.ndarray) -> FoldIn:
        """Some users, as far as their items are in the vocabulary."""
        heldout = self.heldout[users][:, items]
        return FoldIn(self.x[users][:, items] - heldout, heldout, self.labels[users])


def folds(split: StrongSplit, k: int, seed: int = DRAW) -> list[StrongSplit]:
    """K splits of the same users: part j tests fold j, the next part validates it, the other parts train it.

    Every user is tested once and validates once, with the same held-out items. The vocabulary of a fold is that of its
    training users. An item that `split` does not know, since no training user of it had it, is in no fold.

    Parameters
    ----------
    split : StrongSplit
        Whose users are taken, all of them.
    k : int
        Number of folds.
    seed : int, default 98765
        Of the order of the users, which is then cut in `k`, and of what is held out.

    Raises
    ------
    InputError
        If k < 3, a fold would have no two users, or a user stands in two parts of `split`, as when it is cut in time.
    """
    check_whole(LEAST, folds=k)  # fewer leave no user to train on
    everyone = Population.of(split, seed)
    twice = len(everyone.labels) - len(np.unique(everyone.labels))
    if twice or "rule" in split.protocol:
        raise InputError(
            f"folds cut the users of {split.name} in {k} parts, but its training, validation and test users are partly "
            "the same ones, so a model would be tested on users that it was trained on; split by users first"
        )
    n = len(everyone.labels)
    if n < 2 * k:
        raise InputError(f"{n} users are too few for {k} folds of at least 2; give fewer folds")
    parts = np.array_split(np.random.RandomState(seed).permutation(n), k)
    return [_fold(split, everyone, parts, j, seed) for j in range(k)]


def _fold(split: StrongSplit, everyone: Population, parts: list[np.ndarray], j: int, seed: int) -> StrongSplit:
    k = len(parts)
    test, validation = parts[j], parts[(j + 1) % k]
    training = np.concatenate([parts[i] for i in range(k) if i not in (j, (j + 1) % k)])
    train = everyone.x[training]
    items = np.flatnonzero(np.bincount(train.indices, minlength=split.n_items))
    return StrongSplit(
        train[:, items],
        everyone.fold_in(validation, items),
        everyone.fold_in(test, items),
        split.item_labels[items],
        None if split.item_titles is None else split.item_titles[items],
        everyone.labels[training],
        split.name,
        {"folds": k, "fold": j + 1, "seed": seed},
    )
