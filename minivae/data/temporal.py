"""Splits by time: a global cut, and each user's last items. Test users are training users (weak generalization).

Which to choose: a global cut is what a shop can know on the day it trains, and no later event reaches the training. To
leave each user's last item out keeps every user, but what others did later is in the training data of those who were
early. Both need times; ties are broken by the order of the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minivae.data.codes import binary_csr, lookup, occurrences, order_of_appearance
from minivae.data.splits import FoldIn, StrongSplit
from minivae.data.strong_split import DROPPED, left, positions, require_interactions
from minivae.errors import InputError, check_whole, option

if TYPE_CHECKING:
    from minivae.data.interactions import Interactions

TRAIN, VALIDATION, TEST = range(3)


def time_split(
    data: Interactions, train: float = 0.8, validation: float = 0.1, min_user: int = 5, min_item: int = 0
) -> StrongSplit:
    """Split at two moments that are the same for all users.

    Parameters
    ----------
    data : Interactions
        With times.
    train : float, default 0.8
        Share of the events before the first moment; events of one moment stay together.
    validation : float, default 0.1
        Share of the events between the two moments.
    min_user : int, default 5
    min_item : int, default 0
        Filters as in `strong_split`, each once: items, then users.

    Returns
    -------
    StrongSplit
        Validation histories are the training events, test histories those and the validation events. Users without an
        event before the cut, and items that no user has before the first cut, cannot be predicted and are left out;
        `filters` counts them.

    Raises
    ------
    InputError
        If there are no times, a share is out of range, or a part stays empty.

    Examples
    --------
    >>> from minivae import Interactions
    >>> user, item = [1, 2, 3, 4, 5, 6] * 3, list("abcabc" "bcabca" "cabcab")
    >>> split = time_split(Interactions.from_labels(user, item, time=np.arange(18.0)), 0.67, 0.17, min_user=1)
    >>> split.protocol["train_until"], split.validation.n_users, split.test.n_users
    (12.0, 3, 3)
    """
    require_interactions(data, "time_split")
    if not (0 < train < 1 and 0 < validation < 1 and train + validation < 1):
        raise InputError(f"the shares train={train} and validation={validation} must be positive and sum to below 1")
    time = times(data)
    alive, filters = filtered(data, min_user, min_item)
    ordered = np.sort(time[alive])
    first, second = (float(ordered[int(share * ordered.size)]) for share in (train, train + validation))
    if not ordered[0] < first < second:
        raise InputError(
            f"the events fall on too few moments to be cut ({np.unique(ordered).size:,} of {ordered.size:,} events "
            f"differ in time); is this the column of times? {option('split', 'users')} needs none"
        )
    part = np.where(time < first, TRAIN, np.where(time < second, VALIDATION, TEST)).astype(np.int8)
    part[~alive] = DROPPED
    protocol = {"rule": "time", "train_until": first, "validation_until": second}
    return built(data, part, protocol | {"min_user": min_user, "min_item": min_item}, filters)


def leave_last_out(data: Interactions, min_user: int = 5, min_item: int = 0) -> StrongSplit:
    """Each user's last item for test, the one before for validation, the others for training.

    Parameters
    ----------
    data : Interactions
        With times.
    min_user : int, default 5
    min_item : int, default 0
        Filters as in `strong_split`, each once: items, then users; a user needs at least 3 items.

    Raises
    ------
    InputError
        If there are no times, or no user has 3 items.

    Examples
    --------
    >>> from minivae import Interactions
    >>> user, item = [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3], list("abcd" "bcda" "cdab")
    >>> split = leave_last_out(Interactions.from_labels(user, item, time=np.arange(12.0)), min_user=3)
    >>> split.item_labels[split.test.heldout.indices].tolist()  # what each user took last
    ['d', 'a', 'b']
    """
    require_interactions(data, "leave_last_out")
    check_whole(0, min_user=min_user)
    time = times(data)
    alive, filters = filtered(data, max(min_user, 3), min_item)
    events = np.flatnonzero(alive)
    order = events[np.lexsort((events, time[events], data.user[events]))]
    user = data.user[order]
    last = np.append(user[1:] != user[:-1], True)
    part = np.full(data.n_events, DROPPED, np.int8)
    part[order] = TRAIN
    part[order[last]] = TEST
    part[order[np.append(last[1:], False)]] = VALIDATION
    protocol = {"rule": "last", "min_user": max(min_user, 3), "min_item": min_item}
    when = time[order]
    same = when[1:] == when[:-1]  # as the event before, which is of the same user: each has three
    tied = {"tied": (last[1:] & same).sum(), "tied_validation": (last[2:] & same[:-1]).sum()}
    protocol |= {name: int(users) for name, users in tied.items() if users}
    return built(data, part, protocol, filters)


def times(data: Interactions) -> np.ndarray:
    """When each event happened."""
    if data.time is None:
        raise InputError(f"a split by time needs the column of times: give {option('time')}")
    return data.time


def filtered(data: Interactions, min_user: int, min_item: int) -> tuple[np.ndarray, dict[str, tuple[int, int, int]]]:
    """Which events stay, (E,) bool, and users, items, events left after each filter."""
    check_whole(0, min_user=min_user, min_item=min_item)
    alive = lookup(occurrences(data.item, data.n_items), data.item) >= min_item
    filters = {"data": (data.n_users, data.n_items, data.n_events)}
    if min_item > 1:
        filters[f"without items of fewer than {min_item} users"] = left(data, alive)
    alive &= lookup(occurrences(data.user[alive], data.n_users), data.user) >= min_user
    filters[f"without users of fewer than {min_user} items"] = left(data, alive)
    if not alive.any():
        raise InputError(
            f"no user has {min_user} items; lower {option('min_user')}"
            + (f" or {option('min_item')}" if min_item else "")
        )
    return alive, filters


def built(
    data: Interactions, part: np.ndarray, protocol: dict[str, Any], filters: dict[str, tuple[int, int, int]]
) -> StrongSplit:
    """Matrices over the training users and their items."""
    users = np.unique(data.user[part == TRAIN])
    vocabulary = order_of_appearance(data.item[part == TRAIN], data.n_items)
    uid, sid = lookup(positions(users, data.n_users), data.user), lookup(positions(vocabulary, data.n_items), data.item)
    part = np.where((uid < 0) | (sid < 0), np.int8(DROPPED), part)
    filters["without users and items that are not in the training part"] = left(data, part != DROPPED)

    def matrix(*parts: int, rows: np.ndarray | None = None) -> Any:
        of = np.isin(part, parts)
        m = binary_csr(uid[of], sid[of], (users.size, vocabulary.size))
        return m if rows is None else m[rows]

    def fold_in(history: tuple[int, ...], heldout: int, what: str) -> FoldIn:
        rows = np.unique(uid[part == heldout])
        if rows.size < 2:
            raise InputError(
                f"{rows.size} users have {what} events after training events of theirs: few users come back; "
                f"hold out users instead ({option('split', 'users')})"
            )
        return FoldIn(matrix(*history, rows=rows), matrix(heldout, rows=rows), data.user_labels[users[rows]])

    return StrongSplit(
        matrix(TRAIN),
        fold_in((TRAIN,), VALIDATION, "validation"),
        fold_in((TRAIN, VALIDATION), TEST, "test"),
        data.item_labels[vocabulary],
        None if data.item_titles is None else data.item_titles[vocabulary],
        data.user_labels[users],
        data.name,
        protocol,
        filters,
    )
