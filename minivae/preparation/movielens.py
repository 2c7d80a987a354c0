"""MovieLens archives, and its copies at Kaggle, to events."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from polars.datatypes import DataType, DataTypeClass

from minivae.data.catalogue import Dataset
from minivae.data.interactions import Interactions
from minivae.errors import InputError
from minivae.preparation.archives import Limited, blocks, streams, whole
from minivae.preparation.command import Watch
from minivae.preparation.rows import BadLine, Raw, check_range, parse, without_header

COLUMNS: dict[str, DataType | DataTypeClass] = {
    "userId": pl.Int32,
    "movieId": pl.Int32,
    "rating": pl.Float32,
    "timestamp": pl.Int64,
}
DATED: dict[str, DataType | DataTypeClass] = {
    **COLUMNS,
    "timestamp": pl.String,
}  # as Kaggle packs MovieLens-20M: "2005-04-02 23:53:47"
DATE = r'^"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}"$'
KAGGLE = {"rating.csv": "ratings.csv", "movie.csv": "movies.csv"}  # its names for the two members


@dataclass(frozen=True)
class Layout:
    """Names and separators of the two members that are read."""

    ratings: str
    movies: str
    separator: str
    header: bool


LAYOUTS = {
    "ml-100k": Layout("u.data", "u.item", "\t", header=False),
    "ml-1m": Layout("ratings.dat", "movies.dat", "::", header=False),
    "ml-20m": Layout("ratings.csv", "movies.csv", ",", header=True),
    "ml-latest-small": Layout("ratings.csv", "movies.csv", ",", header=True),
}


def read(dataset: Dataset, path: Path, watch: Watch) -> Raw:
    """The events with rating >= 4 of an archive, a folder, or a single file of ratings; titles where it has them.

    Raises
    ------
    InputError
        If the ratings are not there, or a line of them is not user, movie, rating, timestamp.
    """
    layout = LAYOUTS[dataset.name]
    titles: dict[str, str] = {}
    md5: dict[str, str] = {}

    def members() -> Iterator[tuple[str, Limited]]:
        known = {layout.ratings, layout.movies} | (set(KAGGLE) if layout.header else set())
        for name, stream in streams(path, known.__contains__, 3 * dataset.raw_bytes):
            if KAGGLE.get(name, name) == layout.movies:
                titles.update(read_titles(whole(stream), layout.separator, layout.header))
            else:
                yield layout.ratings, stream

    text = blocks(members(), md5 if dataset.members else None)
    if layout.header:
        text = without_header(text, ",".join(COLUMNS).encode(), f"{path}: {layout.ratings}")
    separator = "\t" if layout.separator == "::" else layout.separator

    def events(block: bytes) -> tuple[pl.DataFrame, int]:
        dated = layout.header and b'"' in block
        text = block.replace(b"::", b"\t") if layout.separator == "::" else block
        table = parse(text, DATED if dated else COLUMNS, separator)
        if dated and not (parses := table["timestamp"].str.contains(DATE)).all():
            k = parses.arg_min() or 0
            raise BadLine(k + 1, f"{table['timestamp'][k]} is no date in quotation marks")
        check_range(table["rating"], 0.5, 5)
        kept = table.lazy().filter(pl.col("rating") >= dataset.protocol.min_rating).select("userId", "movieId")
        return kept.collect(), table.height

    kept, ratings = [], 0
    try:
        for table, n in watch(events, text):
            kept.append(table)
            ratings += n
    except BadLine as e:
        raise e.at(f"{path}: {layout.ratings}", ratings + layout.header) from e
    if not ratings:
        raise InputError(f"{path} has no ratings in a {layout.ratings}; is it the archive {dataset.name}.zip?")
    events_read = pl.concat(kept)
    data = Interactions.from_labels(events_read["userId"], events_read["movieId"], titles or None, dataset.name)
    return Raw(data, ratings, md5)


def read_titles(text: bytes, separator: str, header: bool) -> dict[str, str]:
    """Movie id → title. The old archives are Latin-1, the new ones UTF-8."""
    try:
        lines = text.decode().splitlines()
    except UnicodeDecodeError:
        lines = text.decode("latin-1").splitlines()
    if separator == ",":
        rows = csv.reader(lines[int(header) :])
    else:
        rows = (line.split("|" if separator == "\t" else separator) for line in lines)
    return {row[0]: row[1].strip() for row in rows if len(row) > 1}
