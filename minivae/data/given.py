"""A split that others made: a file of training events, a file of test events, and perhaps one for validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from minivae.data.codes import binary_csr
from minivae.data.splits import FoldIn, StrongSplit
from minivae.data.strong_split import check_seed, require_interactions
from minivae.data.text_form import whole
from minivae.errors import InputError, counted, option

if TYPE_CHECKING:
    from minivae.data.interactions import Interactions


def given_split(
    train: Interactions, test: Interactions, validation: Interactions | None = None, seed: int = 98765
) -> StrongSplit:
    """The split that two or three sets of events make; the users are the same in all of them (weak generalization).

    The model sees a user's training events (for test users the validation events too) and must find the others. Users
    and items that the training set lacks cannot be predicted and are left out, as are test events that stand in the
    training set; `filters` and `protocol` count them.

    Parameters
    ----------
    train, test : Interactions
        Over the same labels.
    validation : Interactions, optional
        Without it a fifth of the training items of a tenth of the users, at most 1,000, is drawn and held out.
    seed : int, default 98765
        Of that draw.

    Raises
    ------
    InputError
        If fewer than two users of a part are in the training set.

    Examples
    --------
    >>> from minivae import Interactions
    >>> train = Interactions.from_labels([1, 1, 2, 2, 3, 3, 3], list("ab" "ac" "bcd"))
    >>> validation = Interactions.from_labels([1, 2], ["c", "b"])
    >>> split = given_split(train, test=Interactions.from_labels([1, 2, 4], ["d", "d", "a"]), validation=validation)
    >>> split.test.n_users  # user 4 has no training events
    2
    """
    for data in (train, test) if validation is None else (train, test, validation):
        require_interactions(data, "given_split")
    n_users, n_items = train.n_users, train.n_items
    known = train.matrix
    protocol: dict[str, Any] = {"rule": "given"}
    filters = {"training file": (n_users, n_items, train.n_events)}
    if validation is None:
        heldout = drawn(known, seed)
        known = (known - heldout).tocsr()
        known.eliminate_zeros()
        protocol |= {"validation": "drawn from the training file", "seed": seed}
    else:
        heldout = placed(train, validation, known, filters, "validation file")
        protocol |= {"validation": "given"} | early(train, validation, "validation")
    future = placed(train, test, known + heldout, filters, "test file")
    protocol |= early(train, test, "test")
    return StrongSplit(
        known,
        part(known, heldout, train, "validation", filters),
        part(known + heldout, future, train, "test", filters),
        train.item_labels,
        train.item_titles,
        train.user_labels,
        train.name,
        protocol,
        filters,
    )


def drawn(known: Any, seed: int) -> Any:
    """A fifth of the items of some users with at least 5, as a matrix over all users."""
    check_seed(seed)
    rng = np.random.default_rng(seed)
    active = np.flatnonzero(np.diff(known.indptr) >= 5)
    users = rng.choice(active, min(1000, max(2, active.size // 10), active.size), replace=False)
    rows, items = [], []
    for user in np.sort(users).tolist():
        own = known.indices[known.indptr[user] : known.indptr[user + 1]]
        items.append(rng.choice(own, own.size // 5, replace=False))
        rows.append(np.full(items[-1].size, user))
    if not rows:
        raise InputError(f"no user has 5 training items, so none can be drawn; give {option('validation')}")
    return binary_csr(np.concatenate(rows), np.concatenate(items), known.shape)


def placed(train: Interactions, other: Interactions, known: Any, filters: dict[str, Any], what: str) -> Any:
    """The events of another set over the users and items of the training set, without those already known."""
    user, item = place(other.user_labels, train.user_labels), place(other.item_labels, train.item_labels)
    row, column = user[other.user], item[other.item]
    inside = (row >= 0) & (column >= 0)
    m = binary_csr(row[inside], column[inside], known.shape)
    new = (m - m.multiply(known > 0)).tocsr()
    new.eliminate_zeros()
    filters[what] = (other.n_users, other.n_items, other.n_events)
    filters[f"{what}, without users and items that are not in training"] = (
        int((np.diff(m.indptr) > 0).sum()),
        np.unique(m.indices).size,
        m.nnz,
    )
    if new.nnz < m.nnz:
        users = int((np.diff(new.indptr) > 0).sum())
        filters[f"{what}, without events that are in training too"] = (users, np.unique(new.indices).size, new.nnz)
    return new


def place(labels: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Where each label stands among others, -1 if it does not; text and numbers meet as text.

    >>> place(np.array(["7.0", "x", "8"]), np.array([7, 8])).tolist()  # words beside a number leave it as it is written
    [0, -1, 1]
    """
    where = {str(label): k for k, label in enumerate(among.tolist())}
    if among.dtype.kind == "U":
        for label, k in list(where.items()):
            where.setdefault(whole(label), k)
    texts = map(str, labels.tolist())
    return np.array([where.get(text, where.get(whole(text), -1)) for text in texts], np.int64)


def early(train: Interactions, other: Interactions, name: str) -> dict[str, int]:
    """How many events of another set come before the last training event of their user, where both have times."""
    if train.time is None or other.time is None:
        return {}
    last = np.full(train.n_users, -np.inf)
    np.maximum.at(last, train.user, train.time)
    row = place(other.user_labels, train.user_labels)[other.user]
    return {f"{name}_before_train": int(((row >= 0) & (other.time < last[row])).sum())}


def part(history: Any, heldout: Any, train: Interactions, name: str, filters: Mapping[str, Any]) -> FoldIn:
    """The users of a part, with what is known of them and what is to be found."""
    rows = np.flatnonzero(np.diff(heldout.indptr) > 0)
    if rows.size < 2:
        there = filters.get(f"{name} file, without users and items that are not in training", (rows.size, 0, 0))[0]
        what = "that are not training events too" if there > rows.size else "of which the training file knows the item"
        have = "has" if rows.size == 1 else "have"
        raise InputError(
            f"{counted(rows.size, 'user')} of the training file {have} {name} events {what}; at least 2 are needed: "
            "the same user and the same item must be called alike in both files"
        )
    return FoldIn(history[rows], heldout[rows], train.user_labels[rows])
