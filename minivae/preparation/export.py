"""The split in the file layout of the original code, byte for byte as its pandas wrote it."""

import hashlib
import io
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl

from minivae.data.interactions import Interactions
from minivae.data.strong_split import (
    TEST_HELDOUT,
    TEST_HISTORY,
    TRAIN,
    VALIDATION_HELDOUT,
    VALIDATION_HISTORY,
    Assignment,
)
from minivae.runtime.storage import write_whole

PARTS = {
    "train.csv": TRAIN,
    "validation_tr.csv": VALIDATION_HISTORY,
    "validation_te.csv": VALIDATION_HELDOUT,
    "test_tr.csv": TEST_HISTORY,
    "test_te.csv": TEST_HELDOUT,
}


def files(data: Interactions, a: Assignment) -> Iterator[tuple[str, bytes]]:
    """(name, content) of each file, one at a time: unique_sid.txt, then uid,sid tables.

    Training rows stand in file order; rows of held-out users by original user label, in file order within a user.
    """
    yield "unique_sid.txt", "".join(f"{label}\n" for label in data.item_labels[a.vocabulary].tolist()).encode()
    for name, part in PARTS.items():
        events = a.part == part
        if part != TRAIN:
            events = np.flatnonzero(events)
            events = events[np.argsort(data.user[events], kind="stable")]
        table = pl.DataFrame({"uid": a.uid[events], "sid": a.sid[events]})
        text = io.BytesIO()
        table.write_csv(text, line_terminator="\n")
        yield name, text.getvalue()


def write(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write all files to `folder`, each whole or not at all."""

    def write_one(name: str) -> None:
        write_whole(folder / name, lambda path: path.write_bytes(contents[name]))

    with ThreadPoolExecutor(len(contents)) as pool:  # so that the disk is waited for once
        list(pool.map(write_one, contents))


def fingerprint(content: bytes, algorithm: str) -> str:
    """ "sha256:…", or "git:…", the id under which git stores such a file."""
    h = hashlib.new("sha1" if algorithm == "git" else algorithm, usedforsecurity=False)
    if algorithm == "git":
        h.update(b"blob %d\x00" % len(content))
    h.update(content)
    return f"{algorithm}:{h.hexdigest()}"
