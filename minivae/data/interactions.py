"""Events (user, item) as they stand in a file: original labels, file order, optional titles."""

from __future__ import annotations  # so that scipy.sparse is loaded at its first use, not for its name

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
import scipy

from minivae.data.codes import binary_csr, lookup, order_of_appearance
from minivae.data.item_labels import ItemLabels
from minivae.data.labelling import Where, as_series, by_row, factorize
from minivae.data.labels import integers, pack_labels, unpack_labels
from minivae.data.reading import Reading
from minivae.data.text_form import said_of
from minivae.errors import InputError
from minivae.runtime.storage import load_arrays, save_arrays

KIND = "interactions"


@dataclass(frozen=True, eq=False)
class Interactions:
    """The implicit feedback of U users on I items: E events in file order, every (user, item) pair once.

    Parameters
    ----------
    user : (E,) int32
        Position of the event's user in `user_labels`.
    item : (E,) int32
        Position of the event's item in `item_labels`.
    user_labels : (U,)
        Original labels, integers or strings, strictly increasing (strings by code point).
    item_labels : (I,)
        Original labels in the order in which they first appear.
    item_titles : (I,) str, optional
        Names to show to people.
    name : str
        What the data is called in reports.
    time : (E,) float64, optional
        When each event happened: seconds since 1970, or whatever the file counts.
    reading : Reading, optional
        What became of the rows of the file, where there was one.

    Raises
    ------
    InputError
        If the arrays do not fit each other.

    Examples
    --------
    >>> data = Interactions.from_labels(["ann", "bob", "ann"], [7, 7, 3])
    >>> data.item_labels.tolist(), data.matrix.toarray().tolist()
    ([7, 3], [[1.0, 1.0], [1.0, 0.0]])
    """

    user: np.ndarray
    item: np.ndarray
    user_labels: np.ndarray
    item_labels: np.ndarray
    item_titles: np.ndarray | None = None
    name: str = ""
    time: np.ndarray | None = None
    reading: Reading | None = None

    def __post_init__(self) -> None:
        for field, labels in (("user", self.user_labels), ("item", self.item_labels)):
            codes = np.asarray(getattr(self, field))
            if codes.ndim != 1 or codes.dtype.kind not in "iu":
                raise InputError(
                    f"{field} must be a one-dimensional array of integers, not {codes.dtype} {codes.shape}"
                )
            if codes.size and not (codes.min() >= 0 and codes.max() < len(labels)):
                raise InputError(f"{field} codes must lie in 0..{len(labels) - 1}, found {codes.min()}..{codes.max()}")
            object.__setattr__(self, field, codes.astype(np.int32, copy=False))
            object.__setattr__(self, f"{field}_labels", np.asarray(labels))
        if self.user.shape != self.item.shape:
            raise InputError(f"user and item must be equally long, found {self.user.size} and {self.item.size} events")
        if self.time is not None:
            wanted = f"time must hold one finite number for each of the {self.user.size} events"
            if (kind := np.asarray(self.time).dtype).kind in "mc":  # NumPy would read them as numbers
                raise InputError(f"{wanted}, not {kind}")
            try:
                object.__setattr__(self, "time", np.asarray(self.time, np.float64))
            except (TypeError, ValueError) as e:
                raise InputError(f"{wanted} ({e}); minivae.read_interactions takes dates too") from None
            if self.time.shape != self.user.shape or not np.isfinite(self.time).all():
                raise InputError(wanted)
        if not (self.user_labels[1:] > self.user_labels[:-1]).all():
            raise InputError("user_labels must be sorted and free of repetitions")
        object.__setattr__(self, "item_labels", ItemLabels.of(self.item_labels))
        if self.item_titles is not None:
            if len(self.item_titles) != self.n_items:
                raise InputError(
                    f"{len(self.item_titles)} item_titles do not fit {self.n_items} item_labels; give one for each"
                )
            object.__setattr__(self, "item_titles", ItemLabels.of(self.item_titles))

    def __repr__(self) -> str:
        name = f"{self.name!r}, " if self.name else ""
        return f"Interactions({name}{self.n_users:,} users, {self.n_items:,} items, {self.n_events:,} events)"

    @property
    def n_users(self) -> int:
        """U."""
        return len(self.user_labels)

    @property
    def n_items(self) -> int:
        """I."""
        return len(self.item_labels)

    @property
    def n_events(self) -> int:
        """E."""
        return self.user.size

    @cached_property
    def matrix(self) -> scipy.sparse.csr_matrix:
        """The events as a binary float32 CSR matrix, (U, I)."""
        return binary_csr(self.user, self.item, (self.n_users, self.n_items))

    def save(self, path: str | Path) -> None:
        """Write everything but `reading` to one safetensors file, whole or not at all; equal content, equal bytes."""
        arrays = {"user": self.user, "item": self.item}
        arrays |= pack_labels("user_labels", self.user_labels) | pack_labels("item_labels", self.item_labels)
        if self.item_titles is not None:
            arrays |= pack_labels("item_titles", self.item_titles)
        if self.time is not None:
            arrays["time"] = self.time
        narrow = {key: narrowest(a) if a.dtype.kind == "i" else a for key, a in arrays.items()}
        save_arrays(Path(path), KIND, narrow, {"name": self.name, "format": "1"})

    @classmethod
    def load(cls, path: str | Path) -> Interactions:
        """Read what `save` wrote.

        Raises
        ------
        InputError
            If the file is missing, truncated, damaged, or holds something else.
        """
        arrays, meta = load_arrays(Path(path), KIND)
        try:
            user, item = integers(arrays, "user"), integers(arrays, "item")
            users, items, titles = (unpack_labels(arrays, key) for key in ("user_labels", "item_labels", "item_titles"))
            if users is None or items is None:
                raise KeyError("user_labels or item_labels")
            return cls(user, item, users, items, titles, meta["name"], arrays.get("time"))
        except (KeyError, ValueError, TypeError, IndexError, InputError) as e:
            raise InputError(f"{path} holds interactions that do not fit each other ({e}); make it again") from e

    @classmethod
    def from_labels(
        cls,
        user: object,
        item: object,
        titles: Mapping[str, str] | None = None,
        name: str = "",
        time: np.ndarray | None = None,
        where: Where = by_row,
    ) -> Interactions:
        """Events from one label per event, repeated pairs merged (the first stays).

        Labels that all read as whole numbers ("12" or "12.0", not "012") become integers, so that they sort as numbers;
        the rule is that of `minivae.data.labelling`, the same for every format.

        Parameters
        ----------
        user, item : list | ndarray | Series
            (E,) numbers or text, in any mixture; lists, arrays, columns of pandas or polars.
        titles : mapping from str(item label) to title, optional
            Items that it lacks are shown by their label.
        name : str, default ''
            What the data is called in reports.
        time : ndarray, optional
            (E,) when each event happened.
        where : callable, default `by_row`
            How a message names a row, counted from 0.

        Raises
        ------
        InputError
            If a label is missing, empty, too long, or no integer and no string; or if there is no event.
        """
        if titles is not None and not isinstance(titles, Mapping):
            raise InputError(f"titles is a {type(titles).__name__}; give a mapping from an item's label to its title")
        users, items = as_series(user, "user"), as_series(item, "item")
        if len(users) != len(items):
            raise InputError(f"user and item must be equally long, found {len(users)} and {len(items)} labels")
        if len(users) == 0:
            raise InputError("there is no interaction in the data: nothing to learn from")
        with ThreadPoolExecutor(2) as pool:
            (user_codes, user_labels), (item_codes, item_labels) = pool.map(
                factorize, (users, items), ("user", "item"), (where, where)
            )
        return cls.from_codes(user_codes, user_labels, item_codes, item_labels, titles, name, time)

    @classmethod
    def from_codes(
        cls,
        user: np.ndarray,
        user_labels: np.ndarray,
        item: np.ndarray,
        item_labels: np.ndarray,
        titles: Mapping[str, str] | None = None,
        name: str = "",
        time: np.ndarray | None = None,
    ) -> Interactions:
        """Events whose labels are already numbered: repeated pairs merged, items put in order of first appearance.

        Parameters
        ----------
        user, item : ndarray
            (E,) integers, positions in the labels
        user_labels : ndarray
            Sorted.
        item_labels : ndarray
            In any order; those that do not occur are left out.
        titles, name, time : optional
            As in `from_labels`.
        """
        first = first_of_pairs(user, item, len(item_labels))
        if first is not None:
            user, item = user[first], item[first]
            time = None if time is None else np.asarray(time)[first]
        appearance = order_of_appearance(item, len(item_labels))
        position = np.zeros(len(item_labels), np.int32)
        position[appearance] = np.arange(appearance.size, dtype=np.int32)
        item_labels = item_labels[appearance]
        shown = None if titles is None else np.array([said_of(str(i), titles) or str(i) for i in item_labels.tolist()])
        return cls(user, lookup(position, item), user_labels, item_labels, shown, name, time)


def narrowest(a: np.ndarray) -> np.ndarray:
    """The same whole numbers in the smallest signed type of 16 bits or more that holds them."""
    largest = max(int(a.max()), -int(a.min()) - 1) if a.size else 0
    return a.astype(next(t for t in (np.int16, np.int32, np.int64) if largest <= np.iinfo(t).max))


def first_of_pairs(user: np.ndarray, item: np.ndarray, n_items: int) -> np.ndarray | None:
    """Which events are the first of their (user, item) pair; None, and hardly any work, if no pair is repeated.

    Free if the pairs increase, as in files sorted by user and item.
    """
    same, more = user[1:] == user[:-1], user[1:] > user[:-1]
    if (more | (same & (item[1:] > item[:-1]))).all():
        return None
    pair = user.astype(np.int64) * n_items + item
    ordered = np.sort(pair)
    return pl.Series(pair).is_first_distinct().to_numpy() if (ordered[1:] == ordered[:-1]).any() else None
