"""What a table says about labels: the title of each item, the group of each user."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from minivae.data.labelling import LONGEST_LABEL, Where, by_row, factorize
from minivae.data.tables import Form, read_table
from minivae.data.text_form import whole
from minivae.errors import InputError

Clash = tuple[str, int, int]  # a label, and the first two rows that say different things about it


def titles_from(path: Path, item: str | int, title: str | int | None, form: Form) -> tuple[dict[str, str], str]:
    """Item label -> title from a second file, and what to say about items with several titles."""
    try:
        rows = read_table(
            path, {"item": item, "title": "title" if title is None else title}, replace(form, header=None)
        )
    except InputError as named:
        if "has no column" not in str(named):
            raise
        rows = read_table(path, {"item": 0, "title": 1}, replace(form, separator=None, header=False))
    return first_titles(rows.table, rows.where, f" of {path}")


def first_titles(table: pl.DataFrame, where: Where, of: str = "") -> tuple[dict[str, str], str]:
    """The first title of each item by its label, and what to say about items with several titles.

    Parameters
    ----------
    table : DataFrame
        Columns "item" and "title".
    where : callable
        How a message names a row.
    of : str, default ''
        Of which file, where it is not that of the events.

    Raises
    ------
    InputError
        If a title is too long to be one.
    """
    titles, clashes = texts_of(table, "item")
    if max(map(len, titles.values()), default=0) > LONGEST_LABEL:
        raise InputError(f"a title is longer than {LONGEST_LABEL} characters: is this the column of titles?")
    if not clashes:
        return titles, ""
    label, first, other = clashes[0]
    said = f"{len(clashes):,} items have" if len(clashes) > 1 else "1 item has"
    return titles, (
        f"{said} several titles, such as {label!r} ({where(first)}{of} says {table['title'][first][:40]!r}, "
        f"{where(other)} {table['title'][other][:40]!r}); the first is shown"
    )


def groups_from(path: Path, role: str, what: str) -> dict[str, str]:
    """Label -> text from the first two columns of a table with a header; further columns are left alone.

    Parameters
    ----------
    path : Path
        The table.
    role : str
        Whose labels: "user" or "item".
    what : str
        What the second column holds, for messages.

    Raises
    ------
    InputError
        If the file cannot be read, or says two things about one label.
    """
    rows = read_table(path, {role: 0, "title": 1}, Form(header=True))
    try:
        texts, clashes = texts_of(rows.table, role, rows.where)
    except InputError as e:
        raise InputError(f"{path}: {e}") from None
    if clashes:
        label, first, other = clashes[0]
        said = [f"{rows.where(row)} {rows.table['title'][row][:40]!r}" for row in (first, other)]
        raise InputError(f"{path} gives {role} {label!r} two {what}: {' and '.join(said)}; keep one of the rows")
    return texts


def texts_of(table: pl.DataFrame, role: str, where: Where = by_row) -> tuple[dict[str, str], list[Clash]]:
    """The first text of each label that has one, by the label as text; and the labels of which rows differ.

    Labels that are whole numbers among words are found by the number too: in another table they may be numbers alone.

    Parameters
    ----------
    table : DataFrame
        Columns `role` and "title".
    role : str
        "user" or "item".
    where : callable, default `by_row`
        How a message names a row.
    """
    codes, labels = factorize(table[role], role, where)
    said = pl.DataFrame({"code": codes, "title": table["title"]}).with_row_index("row").filter(pl.col("title") != "")
    first = said.unique("code", keep="first", maintain_order=True)
    place = np.zeros(len(labels), np.int64)
    place[first["code"].to_numpy()] = np.arange(first.height)
    odd = said.filter(said["title"] != first["title"].gather(place[said["code"].to_numpy()]))
    odd = odd.unique("code", keep="first", maintain_order=True)
    texts = {str(labels[code]): text for code, text in first.select("code", "title").iter_rows()}
    for label in [] if labels.dtype.kind == "i" else list(texts):
        texts.setdefault(whole(label), texts[label])
    return texts, [(str(labels[code]), int(first["row"][int(place[code])]), row) for row, code, _ in odd.iter_rows()]
