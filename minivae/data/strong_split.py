"""Strong generalization after Liang et al. (2018): train on some users, evaluate on others; bit for bit as they did."""

from __future__ import annotations  # so that scipy.sparse is loaded at its first use, not for its name

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy

from minivae.data.codes import binary_csr, lookup, occurrences, order_of_appearance
from minivae.data.splits import FoldIn, StrongSplit
from minivae.errors import InputError, option

if TYPE_CHECKING:  # tables are read with polars, which a split on disk does without
    from minivae.data.interactions import Interactions

DROPPED, TRAIN, VALIDATION_HISTORY, VALIDATION_HELDOUT, TEST_HISTORY, TEST_HELDOUT = range(-1, 5)


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
        If `data` are no interactions, fewer users than 2 n_heldout + 1 are left, or an argument is out of range.

    Examples
    --------
    >>> from minivae import planted
    >>> strong_split(planted(n_users=60, n_items=40, n_events=900), n_heldout=10)
    StrongSplit('planted', 40 + 10 + 10 training, validation and test users, 40 items, 599 training events)
    """
    require_interactions(data, "strong_split")
    if n_heldout is None:
        n_heldout = min(1000, max(1, active(data, min_user, min_item)[0].size // 10))
    protocol = {"n_heldout": n_heldout, "seed": seed, "min_user": min_user, "min_item": min_item}
    return build_split(data, assign_events(data, **protocol), protocol)


def require_interactions(data: object, caller: str) -> None:
    """Raise `InputError`, with the way to make them, for what are no `Interactions`."""
    if not hasattr(data, "n_events"):  # polars, which their class needs, is not loaded to ask
        raise InputError(
            f"{caller} needs Interactions, and this is a {type(data).__name__}; minivae.read_interactions(…) makes "
            "them of a sparse matrix, a data frame or a file, minivae.Interactions.from_labels(user, item) of lists"
        )


def check_seed(seed: int) -> None:
    """Raise `InputError` for what NumPy's generators take for no seed."""
    if not 0 <= seed < 2**32:
        raise InputError(f"seed must lie in 0..2**32 - 1, not {seed}")


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
    for name, value in {"min_user": min_user, "min_item": min_item}.items():
        if value < 0:
            raise InputError(f"{option(name)} is a number of items or users and cannot be negative, not {value}")
    check_seed(seed)
    kept, dropped, activity = active(data, min_user, min_item)
    if kept.size <= 2 * n_heldout:
        most = (kept.size - 1) // 2
        ways = [f"hold out at most {most:,}"] if most > 0 else []
        if kept.size < data.n_users:
            ways += [f"lower {option('min_user')}", *([option("min_item")] if min_item > 1 else [])]
        advice = " or ".join(ways) or "3 users are the fewest of which one can be trained on"
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


def left(data: Interactions, events: np.ndarray) -> tuple[int, int, int]:
    """Users, items and events among some of the events, given by position or by a mask."""
    item = data.item[events]
    return np.unique(data.user[events]).size, np.unique(item).size, item.size


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
