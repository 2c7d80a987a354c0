"""`minivae recommend`: the best new items for one user, a new one, some, or all; on the screen or in a file."""

import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import polars as pl
import scipy.sparse as sp

from minivae.cli import flags
from minivae.cli.commands.folder import refuse_to_replace
from minivae.cli.commands.sources import load_both, on_device
from minivae.cli.commands.unread import refuse_unread
from minivae.data import lookup
from minivae.data.content import line_of
from minivae.data.splits import StrongSplit
from minivae.errors import InputError, counted
from minivae.recommendation import ranks_of, recommend
from minivae.runtime.frames import check_format, write_frames
from minivae.runtime.limits import COPIES, allowed_memory, refuse_large
from minivae.runtime.table import Table, numbers, print_table, words
from minivae.runtime.text import visible

if TYPE_CHECKING:
    from minivae.cli.commands.sources import Known

SHOWN_USERS = 20
BLOCK_USERS = 1 << 16
Found = tuple[pl.Series, sp.csr_matrix]  # labels of users as text, and what they have


def recommend_items(options: flags.Recommend) -> None:
    """The best new items for the users that the flags name.

    Raises
    ------
    InputError
        If it is not said for whom, a label is unknown, or the file cannot be written.
    """
    saved, split = load_both(options.model, options)
    model = on_device(saved, options.device)
    given = {"--user": options.user, "--items": options.items, "--users": options.users, "--similar": options.similar}
    named = [flag for flag, value in given.items() if value]
    if len(named) != 1:
        got = f", not {' and '.join(named)}" if named else ""
        raise InputError(f"say for whom with one of --user LABEL, --items TITLE …, --users FILE, --similar ITEM{got}")
    if options.out is not None:
        check_format(options.out)
        given_files = (options.data, options.users, options.among, options.exclude)
        refuse_to_replace("--out", options.out, *given_files)
    labels, history = _users(options, split)
    if options.rank is not None:
        refuse_unread(options, ("among", "exclude"), "--rank", "it counts all items that a user does not have")
        refuse_unread(options, ("k",), "--rank", "one item is shown")
        _show_rank(options, model, split, labels, history)
        return
    among, exclude = (None if f is None else _items(split, _lines(f)) for f in (options.among, options.exclude))
    if exclude is not None and np.isin(np.arange(split.n_items) if among is None else among, exclude).all():
        whose = "of the data" if among is None else f"of {options.among}"
        raise InputError(f"every item {whose} is in {options.exclude}: no item is left to be shown")
    found = recommend(model, history, min(options.k, split.n_items), among=among, exclude=exclude)
    items, scores = found.items.numpy(), found.scores.numpy()
    if options.out is not None:
        write_frames(_blocks(labels, items, scores, split), options.out)
        print(visible(f"results: {options.out} ({counted(len(labels), 'user')})"))
        return
    names = lookup.names(split)
    if len(labels) == 1:
        known = names[history.indices]
        more = f" and {len(known) - 5} more" if len(known) > 5 else ""
        print(visible(f"knowing {'; '.join(known[:5])}{more}:"))
    for label, line, values in zip(labels[:SHOWN_USERS], items, scores, strict=False):
        rows = [[r, str(names[i]), s] for r, (i, s) in enumerate(zip(line, values, strict=True), 1) if i >= 0]
        columns = [numbers("rank"), words("item"), numbers("score", "{:.3f}".format)]
        print_table(Table.make(columns, rows), label if len(labels) > 1 else "")
    if len(labels) > SHOWN_USERS:
        print(f"and {len(labels) - SHOWN_USERS:,} more users; --out FILE writes them all")


def _users(options: flags.Recommend, split: StrongSplit) -> Found:
    """Labels of the users, and what they have."""
    if options.items or options.similar:
        return pl.Series(["a new user"]), lookup.history_from(split, options.items or [options.similar or ""])
    labels, rows = _everybody(split)
    if options.users is not None and options.users == Path("all"):
        there, *_ = next(iter(split.filters.values()), (0,))
        if there > len(labels):
            print(
                f"{len(labels):,} of {there:,} users are in the split of this model, the others had too few items "
                "(minivae study --min-user says how many are needed)",
                file=sys.stderr,
            )
        return labels, rows
    wanted = options.user or _lines(options.users or Path())
    forms = list(chain.from_iterable(map(lookup.written, wanted)))
    at = labels.is_in(forms).arg_true()
    place = dict(zip(labels.gather(at).to_list(), at.to_list(), strict=True))
    known = [lookup.known_form(w, place) for w in wanted]
    for line, (label, found) in enumerate(zip(wanted, known, strict=True), 1):
        if found is None:
            where = f"{options.users}, label {line:,}: " if options.users else ""
            raise InputError(f"{where}{lookup.unknown_user(label, labels.to_list())}")
    names = [label for label in known if label is not None]
    return pl.Series(names), rows[[place[label] for label in names]]


def _everybody(split: StrongSplit) -> Found:
    """All users of a split, test and validation users first, with everything that is known of them.

    In splits by time a user stands in several parts, and the first of them knows most: each user counts once.
    """
    parts = [(split.test.user_labels, split.test.history + split.test.heldout)]
    parts += [(split.validation.user_labels, split.validation.history + split.validation.heldout)]
    parts += [(split.train_labels, split.train)]
    there = [(pl.Series(of).cast(pl.String), matrix) for of, matrix in parts if of is not None]
    if not there:
        raise InputError("the split holds no user labels, so no user can be looked up; name items with --items instead")
    labels = pl.concat([of for of, _ in there])
    rows = cast("sp.csr_matrix", sp.vstack([matrix for _, matrix in there], format="csr"))
    first = labels.is_first_distinct()
    return (labels, rows) if first.all() else (labels.filter(first), rows[first.to_numpy()])


def _lines(path: Path) -> list[str]:
    """One label a line."""
    try:
        if path.exists() and not path.is_file():  # a device or a pipe may have no end
            raise OSError("it is not a file")
        refuse_large(path.stat().st_size, allowed_memory() // COPIES, path)
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as e:
        raise InputError(f"{path} cannot be read ({e}); give a text file with one label on each line") from e
    except UnicodeDecodeError as e:
        where = f"{path}, {line_of(e.object, e.start)}: byte {e.object[e.start]:#04x}"
        raise InputError(f"{where} is not UTF-8; save the file as UTF-8, one label on each line") from e
    labels = [line for line in lines if line.strip()]
    if not labels:
        raise InputError(f"{path} holds no labels; write one label on each line")
    return labels


def _items(split: StrongSplit, wanted: Sequence[str]) -> np.ndarray:
    """Positions of items by their labels, or else by title."""
    place = {str(label): k for k, label in enumerate(split.item_labels.tolist())}
    known = [lookup.known_form(w, place) for w in wanted]
    found = [lookup.find_item(split, w) if form is None else place[form] for w, form in zip(wanted, known, strict=True)]
    return np.unique(found).astype(np.int64)


def _show_rank(
    options: flags.Recommend, model: "Known", split: StrongSplit, labels: pl.Series, history: sp.csr_matrix
) -> None:
    """Where one item stands in the list of each user."""
    item = int(_items(split, [options.rank or ""])[0])
    ranks = ranks_of(model, history, item)
    shown = [r or "has it" for r in ranks.tolist()]
    if options.out is not None:
        rank = pl.Series(ranks).replace(0, None)  # of an item that a user has already: none, so that no mean counts it
        write_frames([pl.DataFrame({"user": labels, "rank": rank})], options.out)
        print(visible(f"results: {options.out}"))
        return
    columns = [words("user"), numbers(f"rank of {lookup.names(split)[item]}")]
    table = Table.make(columns, zip(labels[:SHOWN_USERS], shown, strict=False))
    print_table(table, f"of {split.n_items:,} items, new ones only")


def _blocks(labels: pl.Series, items: np.ndarray, scores: np.ndarray, split: StrongSplit) -> Iterator[pl.DataFrame]:
    """One row for each recommendation: user, rank, item, title if there are any, score; a block of users at a time."""
    names = pl.Series(split.item_labels.tolist())
    titles = None if split.item_titles is None else pl.Series(split.item_titles.tolist(), dtype=pl.Utf8)
    for start in range(0, max(1, len(items)), BLOCK_USERS):
        block = items[start : start + BLOCK_USERS]
        row, rank = np.nonzero(block >= 0)
        at = block[row, rank]
        columns = {"user": labels.gather(start + row), "rank": (rank + 1).astype(np.int32), "item": names.gather(at)}
        columns |= {} if titles is None else {"title": titles.gather(at)}
        yield pl.DataFrame(columns | {"score": scores[start + row, rank]})
