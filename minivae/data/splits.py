"""Strong generalization after Liang et al. (2018): train on some users, evaluate on others; bit for bit as they did."""

from __future__ import annotations  # so that scipy.sparse is loaded at its first use, not for its name

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np
import scipy

from minivae.data.codes import binary_csr, lookup, occurrences, order_of_appearance, refuse_false_pointers
from minivae.data.labels import integers, pack_labels, unpack_labels
from minivae.data.users import binary
from minivae.errors import InputError, option
from minivae.runtime.storage import load_arrays, save_arrays

if TYPE_CHECKING:  # tables are read with polars, which a split on disk does without
    from minivae.data.interactions import Interactions

DROPPED, TRAIN, VALIDATION_HISTORY, VALIDATION_HELDOUT, TEST_HISTORY, TEST_HELDOUT = range(-1, 5)


@dataclass(frozen=True, eq=False)
class FoldIn:
    """Users that were not trained on: what the model sees of them, and what it must find.

    Parameters
    ----------
    history : (B, I) sparse
        The fold-in items, the model's input.
    heldout : (B, I) sparse
        The items to be ranked high; a row may be empty.
    user_labels : (B,), optional
        Original labels, in row order.

    Raises
    ------
    InputError
        If the two shapes differ, or a matrix is not finite.

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
    train : scipy.sparse.csr_matrix
        (n_train, I) sparse
    validation, test : FoldIn
        FoldIn over the same I items
    item_labels : (I,)
        Original labels, in the order of first appearance in the training rows.
    item_titles : ndarray, optional
        (I,) str, optional
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
    >>> from minivae import planted
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
                raise InputError(f"{part} has {getattr(self, part).history.shape[1]} items, train {self.n_items}")
        refuse_misfit(self.item_labels, self.n_items, "item_labels", "items")
        refuse_misfit(self.item_titles, self.n_items, "item_titles", "items")
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


MATRICES = ("train", "validation.history", "validation.heldout", "test.history", "test.heldout")
LABELS = ("item_labels", "item_titles", "train_labels", "validation_labels", "test_labels")


@dataclass(frozen=True, eq=False)
class Assignment:
    """Which event goes where.

    Parameters
    ----------
    part : (E,) int8
        DROPPED, TRAIN, VALIDATION_HISTORY, VALIDATION_HELDOUT, TEST_HISTORY or TEST_HELDOUT.
    users : (n,)
        Codes of the users that stay, in permuted order: training, then validation, then test users.
    vocabulary : (I,)
        Codes of the items that stay, in the order of first appearance in the training events.
    uid : (E,) int32
        Position of each event's user in `users`, -1 if dropped.
    sid : (E,) int32
        Position of each event's item in `vocabulary`, -1 if dropped.
    n_events, n_items : int
        What the two filters leave, before the vocabulary.
    filters : mapping
        As in `StrongSplit`.
    """

    part: np.ndarray
    users: np.ndarray
    vocabulary: np.ndarray
    uid: np.ndarray
    sid: np.ndarray
    n_events: int
    n_items: int
    filters: Mapping[str, tuple[int, int, int]]


def strong_split(
    data: Interactions, n_heldout: int | None = 1000, seed: int = 98765, min_user: int = 5, min_item: int = 0
) -> StrongSplit:
    """Split by users after Liang et al., "Variational Autoencoders for Collaborative Filtering" (WWW 2018).

    Items with fewer than `min_item` users go, then users with fewer than `min_user` items, each filter once. The sorted
    users are permuted; the last `n_heldout` are for test, those before them for validation. The vocabulary is that of
    the training users. Of a held-out user with n >= 5 items in it, int(n / 5) drawn at random are held out; of one with
    fewer, none.

    Parameters
    ----------
    data : Interactions
        Whose users are to be split.
    n_heldout : int, default 1000
        Users for validation, and as many for test; None: a tenth of those that the filters leave, at most 1,000
    seed : int, default 98765
        Of NumPy's legacy generator, for the permutation and anew for the fold-in of each of the two parts
    min_user : int, default 5
        Smallest number of items of a user
    min_item : int, default 0
        Smallest number of users of an item

    Raises
    ------
    InputError
        If fewer users than 2 n_heldout + 1 are left, or an argument is out of range.

    Examples
    --------
    >>> from minivae import planted
    >>> strong_split(planted(n_users=60, n_items=40, n_events=900), n_heldout=10)
    StrongSplit('planted', 40 + 10 + 10 training, validation and test users, 40 items, 599 training events)
    """
    if n_heldout is None:
        n_heldout = min(1000, max(1, active(data, min_user, min_item)[0].size // 10))
    protocol = {"n_heldout": n_heldout, "seed": seed, "min_user": min_user, "min_item": min_item}
    return build_split(data, assign_events(data, **protocol), protocol)


def active(data: Interactions, min_user: int, min_item: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Users with enough items that enough users have, the events of other items, and every user's number of items."""
    dropped = np.empty(0, np.int64)
    if min_item > 1:
        dropped = np.flatnonzero(lookup(occurrences(data.item, data.n_items), data.item) < min_item)
    activity = occurrences(data.user, data.n_users) - occurrences(data.user[dropped], data.n_users)
    return np.flatnonzero(activity >= max(min_user, 1)), dropped, activity


def build_split(data: Interactions, a: Assignment, protocol: Mapping[str, int]) -> StrongSplit:
    """The matrices of an assignment of events."""
    n_heldout = protocol["n_heldout"]
    n_train = a.users.size - 2 * n_heldout

    def matrix(part: int, first: int, rows: int) -> scipy.sparse.csr_matrix:
        of = a.part == part
        uid = a.uid[of]
        uid -= first
        return binary_csr(uid, a.sid[of], (rows, a.vocabulary.size))

    def fold_in(history: int, heldout: int, first: int) -> FoldIn:
        labels = data.user_labels[a.users[first : first + n_heldout]]
        return FoldIn(matrix(history, first, n_heldout), matrix(heldout, first, n_heldout), labels)

    return StrongSplit(
        matrix(TRAIN, 0, n_train),
        fold_in(VALIDATION_HISTORY, VALIDATION_HELDOUT, n_train),
        fold_in(TEST_HISTORY, TEST_HELDOUT, n_train + n_heldout),
        data.item_labels[a.vocabulary],
        None if data.item_titles is None else data.item_titles[a.vocabulary],
        data.user_labels[a.users[:n_train]],
        data.name,
        protocol,
        a.filters,
    )


def assign_events(data: Interactions, n_heldout: int, seed: int, min_user: int, min_item: int) -> Assignment:
    """The protocol itself; arguments and errors as of `strong_split`."""
    for name, value in {"n_heldout": n_heldout, "seed": seed, "min_user": min_user, "min_item": min_item}.items():
        if not isinstance(value, int | np.integer):
            raise InputError(f"{name} must be a whole number, not {value!r}")
    if n_heldout < 1:
        raise InputError(f"{option('n_heldout')} must be at least 1, not {n_heldout}")
    if not 0 <= seed < 2**32:
        raise InputError(f"seed must lie in 0..2**32 - 1, not {seed}")
    kept, dropped, activity = active(data, min_user, min_item)
    if kept.size <= 2 * n_heldout:
        most = (kept.size - 1) // 2
        lower = f"lower {option('min_user')}" + (f" or {option('min_item')}" if min_item > 1 else "")
        advice = f"hold out at most {most:,} or {lower}" if most > 0 else lower
        raise InputError(
            f"{kept.size:,} of {data.n_users:,} users have at least {min_user} items, too few to hold out "
            f"2 x {n_heldout:,} and train on the rest; {advice}"
        )
    users = kept[np.random.RandomState(seed).permutation(kept.size)]
    n_train = users.size - 2 * n_heldout
    group = np.full(data.n_users, DROPPED, np.int8)
    group[users[:n_train]] = TRAIN
    group[users[n_train : n_train + n_heldout]] = VALIDATION_HISTORY
    group[users[n_train + n_heldout :]] = TEST_HISTORY
    part = lookup(group, data.user)
    part[dropped] = DROPPED

    vocabulary = order_of_appearance(data.item[part == TRAIN], data.n_items)
    uid, sid = lookup(positions(users, data.n_users), data.user), lookup(positions(vocabulary, data.n_items), data.item)
    outside = np.flatnonzero(sid < 0)
    of_heldout = data.item[outside[part[outside] != DROPPED]]
    n_events, n_items = int(activity[kept].sum()), vocabulary.size + np.unique(of_heldout).size
    filters = {"data": (data.n_users, data.n_items, data.n_events)}
    if min_item > 1:
        items = int((occurrences(data.item, data.n_items) >= min_item).sum())
        filters[f"without items of fewer than {min_item} users"] = (
            int((activity > 0).sum()),
            items,
            data.n_events - dropped.size,
        )
    filters[f"without users of fewer than {min_user} items"] = (kept.size, n_items, n_events)
    filters["without items that no training user has"] = (kept.size, vocabulary.size, n_events - of_heldout.size)
    part[outside] = DROPPED
    for history, heldout in ((VALIDATION_HISTORY, VALIDATION_HELDOUT), (TEST_HISTORY, TEST_HELDOUT)):
        events = np.flatnonzero(part == history)
        part[events[draw_heldout(data.user[events], seed)]] = heldout
    return Assignment(part, users, vocabulary, uid, sid, n_events, n_items, filters)


def positions(of: np.ndarray, n: int) -> np.ndarray:
    """Where each of the codes 0..n-1 stands in `of`, int32; -1 if it does not."""
    place = np.full(n, -1, np.int32)
    place[of] = np.arange(of.size, dtype=np.int32)
    return place


def draw_heldout(user: np.ndarray, seed: int) -> np.ndarray:
    """Positions of the events that are held out: of the users in sorted order, int(n / 5) of n >= 5 events."""
    rng = np.random.RandomState(seed)
    order = np.argsort(user, kind="stable")
    _, start, count = np.unique(user[order], return_index=True, return_counts=True)
    start, count = start[count >= 5], count[count >= 5]
    size = (0.2 * count).astype(np.int64)
    # The first of a permutation are what rng.choice(n, size, replace=False) draws; it takes thrice as long.
    drawn = [rng.permutation(n)[:k] for n, k in zip(count.tolist(), size.tolist(), strict=True)]
    return order[np.repeat(start, size) + np.concatenate(drawn)] if drawn else np.empty(0, np.int64)


def refuse_misfit(labels: np.ndarray | None, size: int, what: str, of: str) -> None:
    """Labels and rows must be the same number."""
    if labels is not None and len(labels) != size:
        raise InputError(f"{len(labels)} {what} do not fit {size} {of}")


def unpack_matrix(arrays: Mapping[str, np.ndarray], key: str, n_items: int) -> scipy.sparse.csr_matrix:
    """A binary CSR from its two arrays, checked."""
    indptr, indices = integers(arrays, f"{key}.indptr"), integers(arrays, f"{key}.indices")
    refuse_false_pointers(indptr, indices, len(indptr) - 1, n_items)
    if indptr[-1] < 2**31:
        indptr = indptr.astype(np.int32)
    m = scipy.sparse.csr_matrix((np.ones(indices.size, np.float32), indices, indptr), shape=(indptr.size - 1, n_items))
    m.check_format()
    return m
