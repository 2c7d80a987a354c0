"""The Taste Profile of the Million Song Dataset to events."""

from pathlib import Path

import numpy as np
import polars as pl

from minivae.data.catalogue import Dataset
from minivae.data.interactions import Interactions
from minivae.errors import InputError
from minivae.preparation.archives import blocks, streams
from minivae.preparation.command import Watch
from minivae.preparation.rows import BadLine, Raw, parse

COLUMNS = {"user": pl.String, "song": pl.String, "plays": pl.Int64}


class Labels:
    """Strings that come in blocks, kept as one number each."""

    def __init__(self) -> None:
        self.distinct: list[pl.Series] = []
        self.codes: list[np.ndarray] = []

    def add(self, distinct: pl.Series, codes: np.ndarray) -> None:
        """Keep a block: its distinct labels, and the place of each event's label among them."""
        self.distinct.append(distinct)
        self.codes.append(codes)

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """(codes of all events, sorted labels); the blocks are given up."""
        blocks = pl.concat(self.distinct)
        labels = blocks.unique().sort()
        place = blocks.cast(pl.Enum(labels)).to_physical().to_numpy().astype(np.int32)
        codes = np.empty(sum(map(len, self.codes)), np.int32)
        start = offset = 0
        for distinct, block in zip(self.distinct, self.codes, strict=True):
            codes[start : start + block.size] = place[offset : offset + len(distinct)][block]
            start, offset = start + block.size, offset + len(distinct)
        self.distinct, self.codes = [], []
        return codes, labels.to_numpy().astype(str)


def encode(labels: pl.Series) -> tuple[pl.Series, np.ndarray]:
    """The distinct labels, and for each label its place among them."""
    distinct = labels.unique()
    return distinct, labels.cast(pl.Enum(distinct)).to_physical().to_numpy()


def read(dataset: Dataset, path: Path, watch: Watch) -> Raw:
    """All (user, song) pairs in file order; users sort as strings.

    Raises
    ------
    InputError
        If the file is not there, or a line of it is not user, song, number of plays.
    """

    def triplets(block: bytes) -> tuple[tuple[pl.Series, np.ndarray], ...]:
        table = parse(block, COLUMNS, "\t")
        return encode(table["user"]), encode(table["song"])

    users, songs, rows = Labels(), Labels(), 0
    try:
        for user, song in watch(triplets, blocks(streams(path, "train_triplets.txt".__eq__, 2 * dataset.raw_bytes))):
            users.add(*user)
            songs.add(*song)
            rows += len(user[1])
    except BadLine as e:
        raise e.at(str(path), rows) from e
    if not rows:
        raise InputError(f"{path} has no train_triplets.txt in it; is it train_triplets.txt.zip?")
    data = Interactions.from_codes(*users.finish(), *songs.finish(), name=dataset.name)
    return Raw(data, rows)
