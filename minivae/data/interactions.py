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

from minivae.data.codes import binary_csr, lookup, order_of_appearance, rank
from minivae.data.labels import integers, pack_labels, unpack_labels
from minivae.data.tables import read_matrix, read_table
from minivae.errors import InputError
from minivae.runtime.storage import load_arrays, save_arrays

LONGEST_LABEL = 500
KIND = "interactions"


@dataclass(frozen=True, eq=False, repr=False)
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
        if not (self.user_labels[1:] > self.user_labels[:-1]).all():
            raise InputError("user_labels must be sorted and free of repetitions")
        if self.item_titles is not None and len(self.item_titles) != self.n_items:
            raise InputError(f"{len(self.item_titles)} item_titles do not fit {self.n_items} item_labels")

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
        """Write everything to one safetensors file, whole or not at all; equal content gives equal bytes."""
        arrays = {"user": self.user, "item": self.item}
        arrays |= pack_labels("user_labels", self.user_labels) | pack_labels("item_labels", self.item_labels)
        if self.item_titles is not None:
            arrays |= pack_labels("item_titles", self.item_titles)
        narrow = {key: a if a.dtype.kind == "u" else narrowest(a) for key, a in arrays.items()}
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
            return cls(user, item, users, items, titles, meta["name"])
        except (KeyError, ValueError, TypeError, IndexError, InputError) as e:
            raise InputError(f"{path} holds interactions that do not fit each other ({e}); make it again") from e

    @classmethod
    def from_labels(
        cls,
        user: np.ndarray | pl.Series | list,
        item: np.ndarray | pl.Series | list,
        titles: Mapping[str, str] | None = None,
        name: str = "",
    ) -> Interactions:
        """Events from one label per event, repeated pairs merged (the first stays).

        Strings that all read as plain decimal integers ("12", not "012") become integers, so that they sort as numbers.

        Parameters
        ----------
        user, item : ndarray | pl.Series | list
            (E,) integers or strings
        titles : mapping from str(item label) to title, optional
            Items that it lacks are shown by their label.
        name : str, default ''
            Str

        Raises
        ------
        InputError
            If a label is missing, empty, too long, or no integer and no string; or if there is no event.
        """
        user, item = (x if isinstance(x, pl.Series) else pl.Series(np.asarray(x)) for x in (user, item))
        if len(user) == 0:
            raise InputError("there is no interaction in the data: nothing to learn from")
        with ThreadPoolExecutor(2) as pool:
            (user_codes, user_labels), (item_codes, item_labels) = pool.map(factorize, (user, item), ("user", "item"))
        return cls.from_codes(user_codes, user_labels, item_codes, item_labels, titles, name)

    @classmethod
    def from_codes(
        cls,
        user: np.ndarray,
        user_labels: np.ndarray,
        item: np.ndarray,
        item_labels: np.ndarray,
        titles: Mapping[str, str] | None = None,
        name: str = "",
    ) -> Interactions:
        """Events whose labels are already numbered: repeated pairs merged, items put in order of first appearance.

        Parameters
        ----------
        user, item : ndarray
            (E,) integers, positions in the labels
        user_labels : ndarray
            Sorted; item_labels : in any order, those that do not occur are left out
        titles : Mapping[str, str], optional
        name : str, default ''
            As in `from_labels`
        """
        first = first_of_pairs(user, item, len(item_labels))
        if first is not None:
            user, item = user[first], item[first]
        appearance = order_of_appearance(item, len(item_labels))
        position = np.zeros(len(item_labels), np.int32)
        position[appearance] = np.arange(appearance.size, dtype=np.int32)
        item_labels = item_labels[appearance]
        shown = None if titles is None else np.array([titles.get(str(i)) or str(i) for i in item_labels.tolist()])
        return cls(user, lookup(position, item), user_labels, item_labels, shown, name)


def read_interactions(
    path: str | Path,
    user: str | int = "user",
    item: str | int = "item",
    rating: str | int | None = None,
    min_rating: float | None = None,
    title: str | int | None = None,
    separator: str | None = None,
    header: bool | None = None,
    name: str | None = None,
) -> Interactions:
    """Read events from CSV, TSV (plain or .gz), `::`-separated .dat, Parquet, or a scipy sparse matrix (.npz).

    Parameters
    ----------
    path : str | Path
        Path of the file; its ending tells the format
    user, item, rating, title : column, by name or by position (counted from 0)
        In an .npz matrix rows are users, columns items and values ratings; these four are ignored.
    min_rating : float, optional
        Keep rating >= min_rating; without it every row is an event, whatever its rating
    separator : str, optional
        Character between fields; found from the first line if not given
    header : bool, optional
        Whether line 1 names the columns; found from line 1 if not given
    name : str, optional
        What the data is called in reports; the file's name if not given

    Returns
    -------
    Interactions
        Rows below the threshold dropped first, then repeated pairs merged.

    Raises
    ------
    InputError
        If the file is missing, unreadable or of another format; a column is not there; a label is missing; a rating
        is no finite number; or nothing is left.
    """
    path = Path(path)
    name = path.name.split(".")[0] if name is None else name
    if min_rating is not None and not np.isfinite(min_rating):
        raise InputError(f"min_rating must be a finite number, not {min_rating}")
    if path.suffix.lower() == ".npz":
        table = read_matrix(path)
    else:
        if min_rating is not None and rating is None:
            raise InputError("min_rating needs the column that holds the ratings: give rating as well")
        columns = {"user": user, "item": item, "rating": rating, "title": title}
        table = read_table(path, {k: c for k, c in columns.items() if c is not None}, separator, header)
    if min_rating is not None:
        read, table = table.height, table.filter(pl.col("rating") >= min_rating)
        if table.height == 0:
            raise InputError(f"{path}: none of the {read:,} ratings is at least {min_rating:g}; lower min_rating")
    try:
        titles = first_titles(table) if "title" in table.columns else None
        return Interactions.from_labels(table["user"], table["item"], titles, name)
    except InputError as e:
        raise InputError(f"{path}: {e}") from None


def narrowest(a: np.ndarray) -> np.ndarray:
    """The same whole numbers in the smallest signed type of 16 bits or more that holds them."""
    largest = max(int(a.max()), -int(a.min()) - 1) if a.size else 0
    return a.astype(next(t for t in (np.int16, np.int32, np.int64) if largest <= np.iinfo(t).max))


def first_titles(table: pl.DataFrame) -> dict[str, str]:
    """The first title of each item, keyed by the item's label as text."""
    named = table.lazy().select(pl.col("item").cast(pl.String), "title").drop_nulls()
    named = named.unique("item", keep="first", maintain_order=True).collect()
    if (named["title"].str.len_chars() > LONGEST_LABEL).any():
        raise InputError(f"a title is longer than {LONGEST_LABEL} characters: is this the column of titles?")
    return dict(named.iter_rows())


def factorize(labels: pl.Series, role: str) -> tuple[np.ndarray, np.ndarray]:
    """Codes (E,) int32 into the sorted distinct labels, and those labels: int64 or str."""
    if labels.null_count():
        raise InputError(f"row {labels.is_null().arg_true()[0] + 1} has no {role}: fill it in or remove the row")
    if labels.dtype.is_integer():
        if labels.max() >= 2**63:
            raise InputError(f"a {role} number exceeds 64 bits: store these labels as text")
        return rank(labels.to_numpy())
    if labels.dtype != pl.String:
        raise InputError(f"the {role} column holds {labels.dtype}; labels must be integers or text")
    distinct = labels.unique().sort()
    check_labels(distinct, labels, role)
    codes = labels.cast(pl.Enum(distinct)).to_physical().to_numpy().astype(np.int32)
    if distinct.str.contains(r"^(0|-?[1-9][0-9]{0,17})$").all():
        numbers = distinct.cast(pl.Int64).to_numpy()
        place, numbers = rank(numbers)
        return place[codes], numbers
    return codes, distinct.to_numpy().astype(str)


def check_labels(distinct: pl.Series, labels: pl.Series, role: str) -> None:
    """Refuse what cannot be a label: nothing, the words for nothing, control characters, a whole text."""
    faults = {
        "is empty or says that it is missing": distinct.str.to_lowercase().is_in(["", "nan", "null", "none"]),
        "contains control characters": distinct.str.contains(r"[\x00-\x1f]"),
        f"is longer than {LONGEST_LABEL} characters": distinct.str.len_chars() > LONGEST_LABEL,
    }
    for fault, found in faults.items():
        if found.any():
            label = distinct.filter(found)[0]
            row = (labels == label).arg_true()[0] + 1
            raise InputError(f"the {role} label {label[:40]!r} (row {row} of those read) {fault}")


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
