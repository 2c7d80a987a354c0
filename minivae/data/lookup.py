"""From what a person types to what a split holds: a user's label, an item's title."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from minivae.data.codes import binary_csr
from minivae.data.splits import StrongSplit
from minivae.data.text_form import canonical, said_of, whole
from minivae.errors import InputError

SHOWN = 5


def names(split: StrongSplit) -> np.ndarray:
    """(I,) what items are called: titles, or labels where there are none."""
    return (split.item_labels if split.item_titles is None else split.item_titles).astype(str)


def written(text: str) -> Iterator[str]:
    """The forms under which a typed label may be known: as it is, composed, a whole float as an integer.

    >>> list(written(" 10.0"))
    [' 10.0', '10.0', '10']
    """
    yield text
    yield canonical(text)
    yield whole(canonical(text))


def known_form(text: str, place: Mapping[str, int]) -> str | None:
    """The first form of a typed label that has a place; None if none of them has one.

    >>> known_form("10.0", {"10": 0}), known_form("11", {"10": 0})
    ('10', None)
    """
    return next((form for form in written(text) if form in place), None)


def unknown_user(label: str, known: Sequence[str]) -> str:
    """That no user is called so, and which are nearly.

    >>> unknown_user("bop", ["ann", "bob"])
    "user 'bop' is not in the data; some that are: bob"
    """
    close = get_close_matches(label, known, 3, 0.5) or known[:3]
    return f"user {label!r} is not in the data; some that are: {', '.join(close)}"


def history_from(split: StrongSplit, titles: Sequence[str]) -> sp.csr_matrix:
    """(1, I) a new user who has the named items."""
    items = np.unique([find_item(split, title) for title in titles])
    return binary_csr(np.zeros(items.size, np.int64), items, (1, split.n_items))


def find_item(split: StrongSplit, text: str) -> int:
    """The one item with that title or label, else the one whose title contains the text; case does not matter.

    Raises
    ------
    InputError
        If no item or several match; suggests titles.
    """
    titles = names(split).tolist()
    folded = [canonical(t).casefold() for t in titles]
    wanted = canonical(text).casefold()
    if not wanted:
        raise InputError("an empty title matches nothing; give (part of) the title of an item")
    labels = [canonical(str(label)).casefold() for label in split.item_labels.tolist()]
    for found in (
        [i for i, t in enumerate(folded) if t == wanted],
        [i for i, t in enumerate(labels) if t == wanted],
        [i for i, t in enumerate(folded) if wanted in t],
    ):
        if len(found) == 1:
            return found[0]
        if found:
            some = "; ".join(titles[i] for i in found[:SHOWN])
            more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
            raise InputError(f"{text!r} matches {len(found)} items: {some}{more}; give the whole title of one of them")
    close = [titles[folded.index(t)] for t in get_close_matches(wanted, folded, SHOWN, 0.5)]
    hint = f"did you mean {'; '.join(close)}?" if close else f"titles look like {titles[0]!r}"
    raise InputError(f"no item is called {text!r}; {hint}")


def groups_of(path: Path, labels: np.ndarray) -> np.ndarray:
    """(U,) the group of each user from a table with a header, whose first two columns are user and group.

    Raises
    ------
    InputError
        If the file cannot be read, gives a user two groups, or holds none of the users. Users that are missing, or
        whose group is empty, become "not given".
    """
    from minivae.data.texts import groups_from  # with polars, which looking a label up does not need

    known = groups_from(path, "user", "groups")
    groups = np.array([said_of(label, known) or "not given" for label in labels.tolist()])
    if len(groups) and (groups == "not given").all():
        raise InputError(
            f"none of the users in {path} is a training user; name them as the data does: {', '.join(labels[:3])}"
        )
    return groups


def features_of(path: Path, labels: np.ndarray) -> np.ndarray:
    """(I, F) 0 or 1: which features, such as genres, each item has, from a table of item and A|B|C with a header.

    Raises
    ------
    InputError
        If the file cannot be read, gives an item two lists, or holds none of the items. Items that are missing have
        no feature.
    """
    from minivae.data.texts import groups_from

    known = groups_from(path, "item", "lists of features")
    of = [set(filter(None, said_of(label, known).split("|"))) for label in labels.tolist()]
    names = sorted(set().union(*of))
    if not names:
        raise InputError(f"none of the items in {path} is in the data; name them as it does: {', '.join(labels[:3])}")
    return np.array([[name in mine for name in names] for mine in of], dtype=float)
