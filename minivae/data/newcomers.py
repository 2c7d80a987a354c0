"""Users of another table, as a trained model meets them: its items, and a part of each history held out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from minivae.data.codes import binary_csr, lookup, occurrences
from minivae.data.given import place
from minivae.data.splits import FoldIn, StrongSplit
from minivae.data.strong_split import check_seed, draw_heldout, left, positions, require_interactions
from minivae.errors import InputError, check_whole, option

if TYPE_CHECKING:
    import scipy.sparse

    from minivae.data.interactions import Interactions


@dataclass(frozen=True, eq=False)
class NewUsers:
    """Users of a table over the items of a model.

    Attributes
    ----------
    fold_in : FoldIn
        Histories and held-out items, users in the order of their labels.
    filters : mapping
        Step -> users, items and events left after it.
    trained_on : int, optional
        How many of the users are among those the model was trained on; None if the split has no labels of users.
    without_heldout : int
        Users of fewer than 5 items that the model knows: nothing is held out.
    """

    fold_in: FoldIn
    filters: Mapping[str, tuple[int, int, int]] = field(repr=False)
    trained_on: int | None
    without_heldout: int

    @property
    def matrix(self) -> scipy.sparse.csr_matrix:
        """(U, I) all that the users have."""
        return (self.fold_in.history + self.fold_in.heldout).tocsr()

    def __str__(self) -> str:
        steps = [f"{step}: {u:,} users, {i:,} items, {e:,} events" for step, (u, i, e) in self.filters.items()]
        lines = [f"left after each step: {'; '.join(steps)}"]
        if self.without_heldout:
            lines.append(
                f"{self.without_heldout:,} users have fewer than 5 known items, so nothing is held out of them"
            )
        if self.trained_on:
            lines.append(
                f"warning: {self.trained_on:,} of {self.fold_in.n_users:,} users were trained on; the model may "
                "have seen what is held out"
            )
        return "\n".join(lines)


def new_users(data: Interactions, split: StrongSplit, seed: int | None = None, min_user: int | None = None) -> NewUsers:
    """Match a table with the items of a model and hold a part of each history out, by the rule of `strong_split`.

    Users of fewer than `min_user` items go, then the items that the model does not know. Of a user with n >= 5 items
    that are left, int(n / 5) drawn at random are held out. The test users of a split, given as a table in the order of
    the original file, get the same held-out items as in the split.

    Parameters
    ----------
    data : Interactions
        Its labels are matched with those of the split, text and numbers as text.
    split : StrongSplit
        What the model was trained on: `item_labels` are the model's items.
    seed : int, optional
        Of the draw of held-out items; that of the split if not given.
    min_user : int, optional
        Smallest number of items of a user; that of the split if not given, else 5.

    Raises
    ------
    InputError
        If no user has enough items, or the model knows none of the items.

    Examples
    --------
    >>> import minivae as mv
    >>> split = mv.strong_split(mv.planted(n_users=200, n_items=40, n_events=2000), n_heldout=20)
    >>> people = mv.Interactions.from_labels(["me"] * 6, [*split.item_labels[:5], "i99"])
    >>> found = mv.new_users(people, split)
    >>> found.fold_in.history.nnz, found.fold_in.heldout.nnz
    (4, 1)
    """
    require_interactions(data, "new_users")
    protocol: Mapping[str, Any] = split.protocol
    seed = int(protocol.get("seed", 98765)) if seed is None else seed
    check_seed(seed)
    min_user = int(protocol.get("min_user", 5)) if min_user is None else min_user
    check_whole(0, min_user=min_user)
    kept = np.flatnonzero(occurrences(data.user, data.n_users) >= max(min_user, 1))
    if not kept.size:
        raise InputError(f"none of {data.n_users:,} users has at least {min_user} items; lower {option('min_user')}")
    row = lookup(positions(kept, data.n_users), data.user)
    column = lookup(place(data.item_labels, split.item_labels).astype(np.int32), data.item)
    filters = {"table": (data.n_users, data.n_items, data.n_events)}
    enough = row >= 0
    filters[f"without users of fewer than {min_user} items"] = left(data, enough)
    events = np.flatnonzero(enough & (column >= 0))
    filters["without items that the model does not know"] = left(data, events)
    if not events.size:
        raise InputError(
            f"the model knows none of the {data.n_items:,} items of the table, such as {str(data.item_labels[0])!r}; "
            f"its items are called {', '.join(map(str, split.item_labels[:3].tolist()))}; choose the column with "
            "such labels"
        )
    heldout = np.zeros(events.size, bool)
    heldout[draw_heldout(data.user[events], seed)] = True
    row, column, shape = row[events], column[events], (kept.size, split.n_items)
    labels = data.user_labels[kept]
    fold_in = FoldIn(
        binary_csr(row[~heldout], column[~heldout], shape), binary_csr(row[heldout], column[heldout], shape), labels
    )
    known = None if split.train_labels is None else int((place(labels, split.train_labels) >= 0).sum())
    without = int((np.diff(fold_in.heldout.indptr) == 0).sum())
    return NewUsers(fold_in, filters, known, without)
