"""Million Song Dataset (Taste Profile) to the split that the published figures were measured on.

    python data_scripts/msd.py --out data
    python data_scripts/msd.py --from-file ~/Downloads/train_triplets.txt.zip --out data

Takes train_triplets.txt, zipped or not, or downloads it; keeps every triplet, whatever its play count, and the songs
that do not match their tracks too, as all published figures do; verifies; writes OUT/msd.safetensors.
For research, not for commerce.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl
import tyro

from minivae.catalogue import DATASETS, Dataset
from minivae.errors import InputError
from minivae.interactions import Interactions
from minivae.preparation.archives import blocks, streams
from minivae.preparation.command import Options, guarded, run
from minivae.preparation.rows import Raw, parse

COLUMNS = {"user": pl.String, "song": pl.String, "plays": pl.Int64}


class Labels:
    """Strings that come in blocks, kept as one number each."""

    def __init__(self) -> None:
        self.distinct: list[pl.Series] = []
        self.codes: list[np.ndarray] = []

    def add(self, labels: pl.Series) -> None:
        distinct = labels.unique()
        self.distinct.append(distinct)
        self.codes.append(labels.cast(pl.Enum(distinct)).to_physical().to_numpy())

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


def read(dataset: Dataset, path: Path, watch: Callable[[Iterator[bytes]], Iterator[bytes]]) -> Raw:
    """All (user, song) pairs in file order; users sort as strings.

    Raises
    ------
    InputError
        If the file is not there, or a line of it is not user, song, number of plays.
    """
    users, songs, rows = Labels(), Labels(), 0
    for block in watch(blocks(streams(path, "train_triplets.txt".__eq__, 2 * dataset.raw_bytes))):
        table = parse(block, COLUMNS, ["user", "song", "plays"], "\t", f"{path} after row {rows:,}")
        rows += table.height
        users.add(table["user"])
        songs.add(table["song"])
    if not rows:
        raise InputError(f"{path} has no train_triplets.txt in it; is it train_triplets.txt.zip?")
    data = Interactions.from_codes(*users.finish(), *songs.finish(), name=dataset.name)
    return Raw(data, rows)


def main(options: Annotated[Options, tyro.conf.arg(name="")]) -> Path:
    return run(DATASETS["msd"], read, options)


if __name__ == "__main__":
    guarded(lambda: tyro.cli(main, description=__doc__))
