"""The best new items for users, and the rank of one item: what a trained model shows."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minivae.data.item_labels import ItemLabels
from minivae.data.lookup import known_form
from minivae.data.users import Users, binary, shape_of
from minivae.errors import InputError
from minivae.ranking import NAN_SCORES, Scorer, top_items, users_per_block
from minivae.runtime.limits import allowed_memory


@dataclass(frozen=True)
class Recommendations:
    """The best new items for B users; unpacks as ``items, scores``.

    Attributes
    ----------
    items : Tensor
        (B, k) int64, best first; −1 where a user has fewer than k new items. ``split.item_labels[items]`` leaves these
        out, as `labels` does; in other arrays an index of −1 is the last entry: drop it first.
    scores : Tensor
        (B, k), −inf there.
    item_labels : ndarray, optional
        (I,) what the items are called.

    Examples
    --------
    >>> items, scores = found = Recommendations(torch.tensor([[2, 0, -1]]), torch.tensor([[0.9, 0.1, -torch.inf]]))
    >>> found.labels  # without what is only there to fill the row
    [[2, 0]]
    """

    items: Tensor
    scores: Tensor
    item_labels: np.ndarray | None = None

    def __iter__(self) -> Iterator[Tensor]:
        return iter((self.items, self.scores))

    def __len__(self) -> int:
        return 2

    def __getitem__(self, at: int) -> Tensor:
        return (self.items, self.scores)[at]

    @property
    def labels(self) -> list[list[Any]]:
        """For each user the labels of its items, best first and without padding; positions where there are none."""
        names = self.item_labels
        rows = self.items.tolist()
        if names is None:
            return [[i for i in row if i >= 0] for row in rows]
        known = np.asarray(names).tolist()
        return [[known[i] for i in row if i >= 0] for row in rows]


def recommend(
    model: Scorer,
    history: Users,
    k: int = 10,
    *,
    labels: np.ndarray | None = None,
    among: np.ndarray | None = None,
    exclude: np.ndarray | None = None,
) -> Recommendations:
    """The k best new items for each user, in blocks of bounded memory.

    Parameters
    ----------
    model : Scorer
        Any object with ``score(history)``; called block after block in row order.
    history : Users
        (B, I) what the users have; counts are taken as "has it", as in training.
    k : int, default 10
        How many.
    labels : ndarray, optional
        (I,) what the items are called, for instance ``split.item_labels``; for ``.labels`` of the result, and to name
        items in `among` and `exclude`.
    among : ndarray, optional
        The only items that may be shown: by their labels if `labels` is given, else by their positions 0 … I−1.
    exclude : ndarray, optional
        Items that must not be shown, in the same way.

    Returns
    -------
    Recommendations
        Unpacks as (items, scores): (B, k) int64, padded with −1 where fewer than k items are left, and (B, k), padded
        with −inf.

    Raises
    ------
    InputError
        If k is no positive whole number, the memory cannot hold k for each user, an item of `among` or `exclude` is
        unknown, the number of labels does not fit, `history` holds negative entries, or a score is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from minivae.models import Popularity
    >>> x = np.array([[1, 1, 0], [0, 1, 1], [0, 1, 0]])
    >>> recommend(Popularity().fit(x), x[2:], k=3, labels=np.array(["tea", "milk", "rye"])).labels
    [['tea', 'rye']]
    >>> recommend(Popularity().fit(x), x[2:], k=3, labels=np.array([7, 1, 2]), among=[2, 1]).labels
    [[2]]
    """
    whole = isinstance(k, int | np.integer) and not isinstance(k, bool)
    if not whole or k < 1:
        raise InputError(f"k={k!r} is no number of recommendations; ask for a whole number, at least 1")
    history = binary(history, "history")
    n_users, n_items = shape_of(history)
    if labels is not None and len(labels) != n_items:
        raise InputError(f"{len(labels)} labels do not fit {n_items} items; give split.item_labels")
    hidden = _hidden(n_items, among, exclude, labels)
    if 16 * max(n_users, 1) * int(k) > allowed_memory():  # an item and a score, of eight bytes at most
        raise InputError(
            f"k={k} for each of {n_users:,} users is more than the memory can hold; there are {n_items:,} items to "
            "recommend, so ask for a smaller k, or for fewer users at a time"
        )
    width = min(int(k), n_items)
    items, values = torch.full((n_users, int(k)), -1), torch.empty(0)
    block = users_per_block(n_items)
    for a in range(0, max(n_users, 1), block):
        rows = history[a : a + block]
        with torch.no_grad():
            best, at = (t.cpu() for t in top_items(model.score(rows), rows, width, hidden))
        if a == 0:
            values = torch.full(items.shape, float("-inf"), dtype=best.dtype)
        items[a : a + block, :width] = torch.where(best > float("-inf"), at, -1)
        values[a : a + block, :width] = best
    return Recommendations(items, values, labels)


def ranks_of(model: Scorer, history: Users, item: int) -> np.ndarray:
    """Rank of one item among the new items of each user, (B,) int64 from 1; 0 for users who have it.

    Of items with the same score those with a smaller index come first.

    Raises
    ------
    InputError
        If `item` is none, `history` holds negative entries, or the score of a new item is NaN.
    """
    history = binary(history, "history")
    n_users, n_items = shape_of(history)
    _positions(n_items, [item], "item")
    ranks = np.zeros(n_users, np.int64)
    block = users_per_block(n_items)
    for a in range(0, n_users, block):
        rows = history[a : a + block]
        with torch.no_grad():
            scores = torch.as_tensor(model.score(rows)).double().cpu().numpy()
        new = np.ones(scores.shape, bool)
        new[rows.nonzero()] = False
        if (np.isnan(scores) & new).any():
            raise InputError(NAN_SCORES)
        own = scores[:, [item]]
        before = ((scores > own) & new).sum(1) + ((scores == own) & new)[:, :item].sum(1)
        ranks[a : a + block] = np.where(new[:, item], before + 1, 0)
    return ranks


def _hidden(
    n_items: int, among: np.ndarray | None, exclude: np.ndarray | None, labels: np.ndarray | None
) -> np.ndarray:
    """Indices of the items that may be shown to no user."""
    shown = np.ones(n_items, bool)
    if among is not None:
        shown[:] = False
        shown[_items(n_items, among, "among", labels)] = True
    if exclude is not None:
        shown[_items(n_items, exclude, "exclude", labels)] = False
    return np.flatnonzero(~shown)


def _items(n_items: int, of: Any, name: str, labels: np.ndarray | None) -> np.ndarray:
    """Positions of the items that are named by label, or by position where items have no labels."""
    if labels is None:
        if isinstance(of, ItemLabels):
            raise InputError(f"{name} holds labels of items; give labels=split.item_labels too")
        return _positions(n_items, of, name)
    wanted = np.asarray(of)
    if wanted.ndim != 1:
        raise InputError(f"{name} must be a list of labels of items, not {of!r}")
    place = {str(label): k for k, label in enumerate(np.asarray(labels).tolist())}  # "7" is the item 7
    found = [known_form(str(label), place) for label in wanted.tolist()]
    unknown = [label for label, form in zip(wanted.tolist(), found, strict=True) if form is None]
    if unknown:
        raise InputError(
            f"{name} holds {unknown[0]!r}, which no item is called ({len(unknown):,} of {len(wanted):,} are unknown); "
            f"with labels=, {name} holds labels such as {next(iter(place))}, without it positions"
        )
    return np.array([place[form] for form in found if form is not None], np.int64)


def _positions(n_items: int, of: Any, name: str) -> np.ndarray:
    """Indices of items; `InputError` for what is none."""
    found = np.asarray(of)
    good = found.ndim == 1 and (found.size == 0 or found.dtype.kind in "iu")
    if not good or (found.size and not 0 <= found.min() <= found.max() < n_items):
        raise InputError(f"{name} must hold indices of items, whole numbers from 0 to {n_items - 1}")
    return found.astype(np.int64)
