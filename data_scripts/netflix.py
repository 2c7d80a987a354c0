"""Netflix Prize to the split that the published figures were measured on.

    python data_scripts/netflix.py --out data
    python data_scripts/netflix.py --from-file ~/Downloads/nf_prize_dataset.tar.gz --out data

Takes the original archive (a tar of mv_0000001.txt, …, packed or unpacked), or Kaggle's combined_data_1.txt to
combined_data_4.txt (in a zip or a folder), or downloads the original from the Internet Archive; keeps ratings of 4 and
more; verifies; writes OUT/netflix.safetensors. The publisher allowed research only and no redistribution.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Annotated

import numpy as np
import polars as pl
import tyro

from minivae.catalogue import DATASETS, Dataset
from minivae.errors import InputError
from minivae.interactions import Interactions
from minivae.preparation.archives import blocks, streams
from minivae.preparation.command import Options, guarded, run
from minivae.preparation.rows import Raw, check_range, fault

RATINGS = re.compile(r"(mv_\d{7}|combined_data_\d)\.txt")
TITLES = ("movie_titles.txt", "movie_titles.csv")
COLUMNS = {"user": pl.Int32, "rating": pl.Int8, "date": pl.String}


def read(dataset: Dataset, path: Path, watch: Callable[[Iterator[bytes]], Iterator[bytes]]) -> Raw:
    """The events with rating >= 4, movie after movie in the order of movie ids, as in their files within a movie.

    Raises
    ------
    InputError
        If there are no such files, or a line of them is neither `movie:` nor `user,rating,date`.
    """
    titles: dict[str, str] = {}

    def members() -> Iterator[tuple[str, IO[bytes]]]:
        for name, stream in streams(path, wanted, 2 * dataset.raw_bytes):
            if name in TITLES:
                titles.update(read_titles(stream.read(1 << 26)))
            else:
                yield name, stream

    users, movies, ratings, current = [], [], 0, None
    for block in watch(blocks(members())):
        user, movie, read_rows, current = parse_movies(block, current, dataset.protocol.min_rating, str(path))
        ratings += read_rows
        users.append(user)
        movies.append(movie)
    if not ratings:
        raise InputError(f"{path} has neither mv_*.txt nor combined_data_*.txt in it; is it the Netflix Prize archive?")
    user, movie = np.concatenate(users), np.concatenate(movies)
    if (movie[1:] < movie[:-1]).any():
        order = np.argsort(movie, kind="stable")
        user, movie = user[order], movie[order]
    return Raw(Interactions.from_labels(user, movie, titles or None, dataset.name), ratings)


def wanted(name: str) -> bool:
    return bool(RATINGS.fullmatch(name)) or name in TITLES


def parse_movies(
    block: bytes, current: int | None, min_rating: float, where: str
) -> tuple[np.ndarray, np.ndarray, int, int | None]:
    """Users and movies of the ratings that are high enough, the number of all, and the movie open at the end.

    A line `7:` becomes the row `7,,`, so that one strict parse reads both kinds of line.
    """
    headers = block.count(b":")
    where = f"{where}, at movie {current}" if current is not None else where
    try:
        table = pl.read_csv(block.replace(b":", b",,"), has_header=False, quote_char=None, schema=COLUMNS)
    except pl.exceptions.PolarsError as e:
        raise InputError(bad_line(block, where)) from e
    opens = table["rating"].is_null().to_numpy()
    if opens.sum() != headers or table["user"].null_count() or table["date"].null_count() != headers:
        raise InputError(bad_line(block, where))
    user = table["user"].to_numpy()
    at = np.flatnonzero(opens)
    if current is None and (at.size == 0 or at[0] != 0):
        raise InputError(f"{where}: the first line is not a movie id and a colon; is this the Netflix Prize data?")
    ids = user[at] if current is None else np.concatenate([[current], user[at]])
    starts = at if current is None else np.concatenate([[0], at])
    movie = np.repeat(ids, np.diff(np.append(starts, table.height))).astype(np.int32)
    check_range(table.filter(~opens), "rating", 1, 5, where)
    keep = (table["rating"] >= min_rating).fill_null(False).to_numpy()
    return user[keep], movie[keep], table.height - headers, int(ids[-1])


def bad_line(block: bytes, where: str) -> str:
    """A sentence about the first line that is no rating, movie lines left out."""
    lines = [line for line in block.split(b"\n") if not re.fullmatch(rb"\d+:\r?", line)]
    return fault(b"\n".join(lines), COLUMNS, ",", where)


def read_titles(text: bytes) -> dict[str, str]:
    """Movie id → "title (year)" from lines `id,year,title`; Latin-1, and a title may hold commas."""
    rows = (line.split(",", 2) for line in text.decode("latin-1").splitlines())
    return {row[0]: f"{row[2]} ({row[1]})" if row[1] != "NULL" else row[2] for row in rows if len(row) == 3}


def main(options: Annotated[Options, tyro.conf.arg(name="")]) -> Path:
    return run(DATASETS["netflix"], read, options)


if __name__ == "__main__":
    guarded(lambda: tyro.cli(main, description=__doc__))
