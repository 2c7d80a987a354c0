"""Events (user, item) as they stand in a file: original labels, file order, optional titles."""

from __future__ import annotations  # so that scipy.sparse is loaded at its first use, not for its name

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import scipy

from minivae.data.codes import binary_csr, lookup, order_of_appearance
from minivae.data.columnar import entries, is_frame, read_frame
from minivae.data.columns import Columns
from minivae.data.delimited import Rows
from minivae.data.labelling import LONGEST_LABEL, Where, as_series, by_row, factorize
from minivae.data.labels import integers, pack_labels, unpack_labels
from minivae.data.reading import Reading
from minivae.data.tables import Form, checked, read_table
from minivae.errors import InputError, option
from minivae.runtime.storage import load_arrays, save_arrays

KIND = "interactions"
MANY, RARE = 100, 0.01  # of so many labels a share that is too small to be meant


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
            object.__setattr__(self, "time", np.asarray(self.time, np.float64))
            if self.time.shape != self.user.shape or not np.isfinite(self.time).all():
                raise InputError(f"time must hold one finite number for each of the {self.user.size} events")
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
        shown = None if titles is None else np.array([titles.get(str(i)) or str(i) for i in item_labels.tolist()])
        return cls(user, lookup(position, item), user_labels, item_labels, shown, name, time)


def read_interactions(
    path: str | Path | Any,
    user: str | int = "user",
    item: str | int = "item",
    rating: str | int | None = None,
    min_rating: float | None = None,
    title: str | int | None = None,
    separator: str | None = None,
    header: bool | None = None,
    name: str | None = None,
    time: str | int | None = None,
    encoding: str | None = None,
    title_file: str | Path | None = None,
    adjacency: bool | None = None,
) -> Interactions:
    """Read events from a file or a data frame, every row of it accounted for in `reading`.

    CSV and its relatives (TSV, `::`, `;`, blanks; RecBole's .inter; plain, .gz, .bz2, .xz, .zip), adjacency text
    (`user item item …`), JSON (one object a line), Parquet, Feather, a scipy sparse matrix (.npz); a data frame of
    pandas or polars, or a scipy sparse matrix.

    Parameters
    ----------
    path : str | Path | data frame | sparse matrix
        The file; its ending and its first bytes decide the format.
    user, item, rating, title, time : str | int, optional
        Columns, by name or by position (counted from 0). In a matrix rows are users, columns items and values
        ratings; these five are ignored.
    min_rating : float, optional
        Keep rating >= min_rating; without it every row is an event, whatever its rating, but ratings of 0 and less
        are refused.
    separator : str, optional
        Character between fields; found from the first line if not given.
    header : bool, optional
        Whether line 1 names the columns; found from the first lines if not given.
    name : str, optional
        What the data is called in reports; the file's name if not given.
    encoding : str, optional
        Of text; UTF-8 if not given.
    title_file : str | Path, optional
        A second table with a title for each item: columns `item` and `title` where its header has them, else its first
        two.
    adjacency : bool, optional
        Whether each line is a user and its items; found from the lines if not given.

    Returns
    -------
    Interactions
        Rows below the threshold dropped first, then repeated pairs merged (the first in the file stays).

    Raises
    ------
    InputError
        If the file is missing, unreadable or of another format; a line has more or fewer fields than the first; a
        column is not there; a label is missing; a rating is no finite number; or nothing is left.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     table = Path(folder) / "ratings.csv"
    ...     _ = table.write_text("user,item,rating\\nann,tea,5\\nann,rye,2\\nbob,tea,4\\n")
    ...     read_interactions(table, rating="rating", min_rating=4)
    Interactions('ratings', 2 users, 1 items, 2 events)
    """
    if min_rating is not None and not np.isfinite(min_rating):
        raise InputError(f"{option('min_rating')} must be a finite number, not {min_rating}")
    asked = {"user": user, "item": item, "rating": rating, "title": title, "time": time}
    columns: Columns = {k: c for k, c in asked.items() if c is not None and not (k == "title" and title_file)}
    form = Form(separator, header, encoding, adjacency)
    if is_frame(path):
        source, rows = "the data frame", read_frame(path, columns)
        rows = checked(rows, columns, source)
    elif scipy.sparse.issparse(path):
        source, rows = "the matrix", entries(path, "the matrix")
        if rows.table.height == 0:
            raise InputError("the matrix holds no interaction: every entry is zero")
    else:
        if not isinstance(path, str | Path):
            raise InputError(
                f"a {type(path).__name__} is no table; give the path of a file, a data frame of pandas or polars, or a "
                "scipy sparse matrix; for lists of labels there is Interactions.from_labels"
            )
        path = Path(path)
        name = path.name.split(".")[0] if name is None else name
        source, rows = str(path), read_table(path, columns, form)
    if min_rating is not None and "rating" not in rows.table.columns:
        raise InputError(
            f"{option('min_rating')} needs the column that holds the ratings: give {option('rating')} as well"
        )
    kept, dropped, notes = liked(rows, min_rating, source)
    table = rows.table if kept is None else rows.table.filter(kept)
    place = None if kept is None else np.flatnonzero(kept.to_numpy())

    def where(row: int) -> str:
        return rows.where(row if place is None else int(place[row]))

    try:
        titles = None
        if title_file is not None:
            titles = titles_from(Path(title_file), item, title, form)
        elif "title" in table.columns:
            titles = first_titles(table)
        when = table["time"].to_numpy() if "time" in table.columns else None
        data = Interactions.from_labels(table["user"], table["item"], titles, name or "", when, where)
    except InputError as e:
        raise InputError(f"{source}: {e}") from None
    notes += tuple(odd_ones_out(data.user_labels, "user")) + tuple(odd_ones_out(data.item_labels, "item"))
    if titles is not None:
        found = sum(str(label) in titles for label in data.item_labels.tolist())
        notes += (f"titles of {found:,} of {data.n_items:,} items",) if found < data.n_items else ()
    reading = Reading(
        rows.table.height,
        data.n_events,
        data.n_users,
        data.n_items,
        {**dropped, "repeated pair": table.height - data.n_events},
        rows.other_lines,
        notes,
    )
    return replace(data, reading=reading)


def odd_ones_out(labels: np.ndarray, role: str) -> Iterator[str]:
    """A sentence where hardly any labels are no numbers, as a line of totals or a word for "unknown" makes it."""
    if labels.dtype.kind == "U" and len(labels) >= MANY:
        odd = np.flatnonzero(~np.char.isdecimal(labels))
        if 0 < len(odd) <= RARE * len(labels):
            yield (
                f"{len(odd):,} of {len(labels):,} {role}s are no numbers, such as {str(labels[odd[0]])[:40]!r}, so all "
                f"{role} labels are text"
            )


def liked(
    rows: Rows, min_rating: float | None, source: str
) -> tuple[pl.Series | None, dict[str, int], tuple[str, ...]]:
    """Which rows are events (None: all), how many are not, and what to say about it.

    Raises
    ------
    InputError
        If ratings of 0 and less would count as liked, or nothing is left.
    """
    if "rating" not in rows.table.columns:
        return None, {}, ()
    rating, matrix = rows.table["rating"], rows.unit == "entry"
    if min_rating is None or (matrix and min_rating <= 0):
        low = (rating <= 0).arg_true()
        if len(low):
            only = rating.is_in([0.0, 1.0]).all()
            advice = "to count the ones only" if only else "to say from which on it counts"
            rest = "" if matrix else f", or leave {option('rating')} out to count every row"
            raise InputError(
                f"{source}, {rows.where(int(low[0]))}: a rating of {rating[int(low[0])]:g} is no sign of liking; give "
                f"{option('min_rating', 1 if only else 4)} {advice}{rest}"
            )
        used = () if matrix else (f"every row counts, whatever its rating, without {option('min_rating')}",)
        return None, {}, used
    kept = rating >= min_rating
    if kept.all() and (rating <= 0).any():
        raise InputError(
            f"{source}: every rating is at least {min_rating:g}, those of 0 and less too: every row would be a like; "
            f"raise {option('min_rating')}, or leave {option('rating')} out to count every row"
        )
    if not kept.any():
        raise InputError(
            f"{source}: none of the {len(kept):,} ratings is at least {min_rating:g}; the highest is "
            f"{rating.max():g}; lower {option('min_rating')}"
        )
    return kept, {f"rating below {min_rating:g}": int((~kept).sum())}, ()


def titles_from(path: Path, item: str | int, title: str | int | None, form: Form) -> dict[str, str]:
    """Item label -> title from a second file."""
    try:
        rows = read_table(
            path, {"item": item, "title": "title" if title is None else title}, replace(form, header=None)
        )
    except InputError as named:
        if "has no column" not in str(named):
            raise
        rows = read_table(path, {"item": 0, "title": 1}, replace(form, separator=None, header=False))
    return first_titles(rows.table)


def first_titles(table: pl.DataFrame) -> dict[str, str]:
    """The first title of each item, keyed by the item's canonical label as text."""
    codes, labels = factorize(table["item"], "item")
    named = pl.DataFrame({"item": codes, "title": table["title"]}).drop_nulls()
    named = named.unique("item", keep="first", maintain_order=True)
    if (named["title"].str.len_chars() > LONGEST_LABEL).any():
        raise InputError(f"a title is longer than {LONGEST_LABEL} characters: is this the column of titles?")
    return {str(labels[code]): title for code, title in named.iter_rows()}


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
