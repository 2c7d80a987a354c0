"""What a split holds: training users whole, held-out users folded in; saved as one file."""

from __future__ import annotations  # so that scipy.sparse is loaded at its first use, not for its name

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import scipy

from minivae.data.codes import refuse_false_pointers
from minivae.data.item_labels import ItemLabels
from minivae.data.labels import integers, pack_labels, unpack_labels
from minivae.data.users import binary
from minivae.errors import InputError
from minivae.runtime.storage import load_arrays, save_arrays


@dataclass(frozen=True, eq=False)
class FoldIn:
    """Users that were not trained on: what the model sees of them, and what it must find.

    Parameters
    ----------
    history : (B, I) sparse
        The fold-in items, the model's input.
    heldout : (B, I) sparse
        The items to be ranked high, none of them in the history; a row may be empty.
    user_labels : (B,), optional
        Original labels, in row order.

    Raises
    ------
    InputError
        If the two shapes differ, a matrix is not finite, or a user has an item in both: what is in the history is
        never ranked, so that it could not be found.

    Examples
    --------
    >>> FoldIn(history=np.array([[1, 1, 0]]), heldout=np.array([[0, 0, 1]]))
    FoldIn(1 users, 3 items, history and held out 2 + 1 events)
    """

    history: scipy.sparse.csr_matrix
    heldout: scipy.sparse.csr_matrix
    user_labels: np.ndarray | None = None

    def __repr__(self) -> str:
        n = f"{self.history.nnz:,} + {self.heldout.nnz:,} events"
        return f"FoldIn({self.n_users:,} users, {self.history.shape[1]:,} items, history and held out {n})"

    def __post_init__(self) -> None:
        object.__setattr__(self, "history", binary(self.history, "history"))
        object.__setattr__(self, "heldout", binary(self.heldout, "heldout"))
        if self.history.shape != self.heldout.shape:
            raise InputError(f"history {self.history.shape} and heldout {self.heldout.shape} must have the same shape")
        if both := self.history.multiply(self.heldout).nnz:
            raise InputError(
                f"{both:,} of {self.heldout.nnz:,} held-out events are in the history too; what a user has is never "
                "ranked, so no model could find them: take them out of one of the two"
            )
        refuse_misfit(self.user_labels, self.n_users, "user_labels", "rows")

    @property
    def n_users(self) -> int:
        """B."""
        return self.history.shape[0]


@dataclass(frozen=True, eq=False)
class StrongSplit:
    """Training users whole; validation and test users folded in; one vocabulary, that of the training users.

    Parameters
    ----------
    train : (n_train, I) sparse
        Who has which item.
    validation, test : FoldIn
        Over the same I items.
    item_labels : (I,)
        Original labels, in the order of first appearance in the training rows; `ItemLabels`, so that the padding of
        recommendations gets none.
    item_titles : ndarray, optional
        (I,) str, `ItemLabels` too.
    train_labels : (n_train,), optional
        Original labels of the training users.
    name : str
        What the data is called in reports.
    protocol : mapping
        How the split was made: n_heldout, seed, min_user, min_item after Liang et al.; ``rule`` for another one; empty
        if that is not known.
    filters : mapping
        Step -> users, items and events left after it, from the data to the matrices.

    Raises
    ------
    InputError
        If the parts do not fit each other.

    Examples
    --------
    >>> from minivae import planted, strong_split
    >>> split = strong_split(planted(n_users=60, n_items=40, n_events=900), n_heldout=10)
    >>> split.train.shape, split.test.history.shape, sorted(split.protocol)
    ((40, 40), (10, 40), ['min_item', 'min_user', 'n_heldout', 'seed'])
    """

    train: scipy.sparse.csr_matrix
    validation: FoldIn
    test: FoldIn
    item_labels: np.ndarray
    item_titles: np.ndarray | None = None
    train_labels: np.ndarray | None = None
    name: str = ""
    protocol: Mapping[str, Any] = field(default_factory=dict)
    filters: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)

    def __repr__(self) -> str:
        users = f"{self.train.shape[0]:,} + {self.validation.n_users:,} + {self.test.n_users:,}"
        return (
            f"StrongSplit({self.name!r}, {users} training, validation and test users, {self.n_items:,} items, "
            f"{self.train.nnz:,} training events)"
        )

    def __post_init__(self) -> None:
        object.__setattr__(self, "train", binary(self.train, "train"))
        for part in ("validation", "test"):
            if getattr(self, part).history.shape[1] != self.n_items:
                raise InputError(
                    f"{part} has {getattr(self, part).history.shape[1]} items, train {self.n_items}; "
                    "give all parts the same items"
                )
        refuse_misfit(self.item_labels, self.n_items, "item_labels", "items")
        refuse_misfit(self.item_titles, self.n_items, "item_titles", "items")
        for name in ("item_labels", "item_titles"):
            if (labels := getattr(self, name)) is not None:
                object.__setattr__(self, name, ItemLabels.of(labels))
        if len(set(self.item_labels.tolist())) < self.n_items:
            raise InputError("two items have the same label, so that neither could be named; give each one of its own")
        refuse_misfit(self.train_labels, self.train.shape[0], "train_labels", "training users")

    @property
    def n_items(self) -> int:
        """I, the size of the vocabulary."""
        return self.train.shape[1]

    @property
    def n_users(self) -> int:
        """Training, validation and test users together."""
        return self.train.shape[0] + self.validation.n_users + self.test.n_users

    def save(self, path: str | Path) -> None:
        """Write everything to one safetensors file, whole or not at all; nothing in it is pickled."""
        arrays: dict[str, np.ndarray] = {}
        for key, matrix in self._matrices().items():
            arrays[f"{key}.indptr"], arrays[f"{key}.indices"] = matrix.indptr.astype(np.int64), matrix.indices
        for key, labels in self._labels().items():
            if labels is not None:
                arrays |= pack_labels(key, labels)
        counts: dict[str, Any] = {"n_items": self.n_items, "protocol": dict(self.protocol)}
        if self.filters:
            counts["filters"] = dict(self.filters)
        save_arrays(Path(path), "split", arrays, {"name": self.name, "format": "1", "counts": json.dumps(counts)})

    @classmethod
    def load(cls, path: str | Path) -> StrongSplit:
        """Read what `save` wrote.

        Raises
        ------
        InputError
            If the file is missing, truncated, damaged, or no split.
        """
        arrays, meta = load_arrays(Path(path), "split", mapped=True)
        try:
            counts = msgspec.convert(json.loads(meta["counts"]), Counts)
            check_protocol(counts.protocol)
            m = {key: unpack_matrix(arrays, key, counts.n_items) for key in MATRICES}
            labels = {key: unpack_labels(arrays, key) for key in LABELS}
            if labels["item_labels"] is None:
                raise KeyError("item_labels")
            return cls(
                m["train"],
                FoldIn(m["validation.history"], m["validation.heldout"], labels["validation_labels"]),
                FoldIn(m["test.history"], m["test.heldout"], labels["test_labels"]),
                labels["item_labels"],
                labels["item_titles"],
                labels["train_labels"],
                meta["name"],
                counts.protocol,
                counts.filters,
            )
        except (KeyError, ValueError, TypeError, IndexError, OverflowError, RecursionError) as e:
            raise InputError(f"{path} is a split whose parts do not fit each other ({e}); make it again") from e

    def _matrices(self) -> dict[str, scipy.sparse.csr_matrix]:
        parts = (self.train, self.validation.history, self.validation.heldout, self.test.history, self.test.heldout)
        return dict(zip(MATRICES, parts, strict=True))

    def _labels(self) -> dict[str, np.ndarray | None]:
        users = (self.train_labels, self.validation.user_labels, self.test.user_labels)
        return dict(zip(LABELS, (self.item_labels, self.item_titles, *users), strict=True))


class Counts(msgspec.Struct, forbid_unknown_fields=True):
    """What a split file says beside its arrays."""

    n_items: Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)]
    protocol: dict[str, int | float | str]
    filters: dict[str, tuple[int, int, int]] = {}


NUMBERS = {"n_heldout", "seed", "min_user", "min_item", "fold", "folds", "tied", "train_until", "validation_until"}
NUMBERS |= {"tied_validation", "validation_before_train", "test_before_train"}
MATRICES = ("train", "validation.history", "validation.heldout", "test.history", "test.heldout")
LABELS = ("item_labels", "item_titles", "train_labels", "validation_labels", "test_labels")


def check_protocol(protocol: Mapping[str, Any]) -> None:
    """Raise `ValueError` if what a file says of its making is no number where one is read, or lacks a moment."""
    for name, value in protocol.items():
        if name in NUMBERS and not (isinstance(value, int | float) and abs(value) < np.inf):
            raise ValueError(f"{name} of its protocol is {value!r}, not a number")
    if protocol.get("rule") == "time" and not {"train_until", "validation_until"} <= protocol.keys():
        raise ValueError("its protocol says nothing of the moments of the cut")


def refuse_no_events(split: StrongSplit) -> None:
    """Raise `InputError` if the training users have no items."""
    if not split.train.nnz:
        raise InputError(f"{split.name or 'the split'} holds no training events, so there is nothing to learn from")


def refuse_misfit(labels: np.ndarray | None, size: int, what: str, of: str) -> None:
    """Labels and rows must be the same number."""
    if labels is not None and len(labels) != size:
        raise InputError(f"{len(labels)} {what} do not fit {size} {of}; give one for each")


def unpack_matrix(arrays: Mapping[str, np.ndarray], key: str, n_items: int) -> scipy.sparse.csr_matrix:
    """A binary CSR from its two arrays, checked."""
    indptr, indices = integers(arrays, f"{key}.indptr"), integers(arrays, f"{key}.indices")
    refuse_false_pointers(indptr, indices, len(indptr) - 1, n_items)
    if indptr[-1] < 2**31:
        indptr = indptr.astype(np.int32)
    m = scipy.sparse.csr_matrix((np.ones(indices.size, np.float32), indices, indptr), shape=(indptr.size - 1, n_items))
    m.check_format()
    return m
