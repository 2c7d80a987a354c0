"""From a file, a data frame or a matrix to `Interactions`: which rows count, which titles the items get.

How bytes become rows is the matter of `tables` and the formats behind it.
"""

from __future__ import annotations  # so that scipy.sparse is loaded at its first use, not for its name

from collections.abc import Iterator
from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import scipy

from minivae.data.columnar import entries, is_frame, read_frame
from minivae.data.columns import chosen_columns
from minivae.data.interactions import Interactions
from minivae.data.labelling import Where
from minivae.data.reading import Reading, Rows
from minivae.data.tables import Form, checked, read_table
from minivae.data.text_form import said_of
from minivae.data.texts import first_titles, titles_from
from minivae.errors import InputError, option

MARKS = {"''", "``", "\u201c\u201d", "\u2018\u2019", "\u201e\u201c", "\u00ab\u00bb"}
MOST_LOOKED_AT = 1 << 17  # labels of which none should be the twin of another; more would take a tenth of the reading
FEWEST, RARE = 5, 0.01  # of so many labels one alone, or a share so small, is hardly meant


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
    comments: bool | None = None,
) -> Interactions:
    """Read events from a file or a data frame, every row of it accounted for in `reading`.

    CSV and its relatives (TSV, `::`, `;`, blanks; RecBole's .inter; plain, .gz, .bz2, .xz, .zip), adjacency text
    (`user item item …`), JSON (one object a line), Parquet, Feather, a scipy sparse matrix (.npz); a data frame of
    pandas or polars, or a scipy sparse matrix.

    Parameters
    ----------
    path : str | Path | data frame | sparse matrix
        The file; its ending and its first bytes decide the format.
    user : str | int, default 'user'
    item : str | int, default 'item'
    rating, title, time : str | int, optional
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
    comments : bool, optional
        Whether lines after the first that begin with # or % are left out, or are rows like others. If not given, such
        lines are left out before the table, and one that begins with "# " or "% " is refused below it.

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
    number = isinstance(min_rating, Real) and not isinstance(min_rating, bool)
    if min_rating is not None and not (number and np.isfinite(min_rating)):
        raise InputError(f"{option('min_rating')} must be a finite number, not {min_rating!r}")
    asked = {"rating": rating, "title": title, "time": time}
    columns = chosen_columns(user, item, **{k: c for k, c in asked.items() if not (k == "title" and title_file)})
    form = Form(separator, header, encoding, adjacency, comments)
    if is_frame(path):
        source, rows = "the data frame", read_frame(path, columns)
        if rows.table.height == 0:
            raise InputError("the data frame has no rows; expected one row per interaction")
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
        titles, several = None, ""
        if title_file is not None:
            titles, several = titles_from(Path(title_file), item, title, form)
        elif "title" in table.columns:
            titles, several = first_titles(table, where)
        when = table["time"].to_numpy() if "time" in table.columns else None
        data = Interactions.from_labels(table["user"], table["item"], titles, name or "", when, where)
        refuse_second_header(data, where)
    except InputError as e:
        raise InputError(f"{source}: {e}") from None
    notes += tuple(odd_ones_out(data.user_labels, "user")) + tuple(odd_ones_out(data.item_labels, "item"))
    notes += (several,) if several else ()
    if titles is not None:
        found = sum(bool(said_of(str(label), titles)) for label in data.item_labels.tolist())
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
    """A sentence where one label, or hardly any, is unlike the others: a sign for "missing", a line of totals."""
    if labels.dtype.kind == "i" and len(labels) > 1 and (labels < 0).sum() == 1 and (labels == -1).any():
        yield f"one {role} is called -1; if that stands for a missing {role}, remove its rows"
    if labels.dtype.kind == "U" and len(labels) >= FEWEST:
        odd = np.flatnonzero(~np.char.isdecimal(labels))
        if 0 < len(odd) <= max(1, RARE * len(labels)):
            are = "is no number" if len(odd) == 1 else "are no numbers"
            yield (
                f"{len(odd):,} of {len(labels):,} {role}s {are}, such as {str(labels[odd[0]])[:40]!r}, so all "
                f"{role} labels are text"
            )
    if labels.dtype.kind == "U" and len(labels) <= MOST_LOOKED_AT:
        yield from alike(pl.Series(labels), role)


def alike(labels: pl.Series, role: str) -> Iterator[str]:
    """A sentence where labels stand between marks, or differ in what people and programs change unasked."""
    marks = {text[:1] + text[-1:] for text in labels.head(FEWEST).to_list()}
    if marks <= MARKS and (labels.str.slice(0, 1) + labels.str.slice(-1)).is_in(list(MARKS)).all():
        yield f"all {role} labels stand between quotation marks, such as {labels[0][:40]!r}; the marks belong to them"
    folded = labels.str.to_lowercase().str.replace(r"^\+?0*", "")
    if folded.n_unique() < len(labels):
        twin = folded.is_duplicated()
        first = folded.filter(twin)[0]
        pair = " and ".join(repr(text[:40]) for text in labels.filter(folded == first).head(2).to_list())
        n = len(labels) - folded.n_unique()
        differ = "label differs" if n == 1 else "labels differ"
        yield f"{n:,} {role} {differ} from another only in capitals or in zeros in front, such as {pair}"


def refuse_second_header(data: Interactions, where: Where) -> None:
    """A first row of words above numbers alone, of users and of items: units, types or names again."""
    first = [str(labels[codes[0]]) for labels, codes in ((data.user_labels, data.user), (data.item_labels, data.item))]
    for labels, word in zip((data.user_labels, data.item_labels), first, strict=True):
        if labels.dtype.kind != "U" or len(labels) < FEWEST or word.isdecimal():
            return
        if np.char.isdecimal(labels).sum() != len(labels) - 1:
            return
    raise InputError(
        f"{where(0)} looks like a second header: {first[0][:40]!r} and {first[1][:40]!r} stand above numbers alone; "
        "remove that row"
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
