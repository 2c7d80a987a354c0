"""The Netflix Prize archive, and its copy at Kaggle, to events."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from minivae.data.catalogue import Dataset
from minivae.data.interactions import Interactions
from minivae.errors import InputError
from minivae.preparation.archives import Limited, blocks, streams, whole
from minivae.preparation.command import Watch
from minivae.preparation.rows import BadLine, Raw, check_range, fault

RATINGS = re.compile(r"(mv_\d{7}|combined_data_\d)\.txt")
TITLES = ("movie_titles.txt", "movie_titles.csv")
COLUMNS = {"user": pl.Int32, "rating": pl.Int8, "date": pl.String}


def read(dataset: Dataset, path: Path, watch: Watch) -> Raw:
    """The events with rating >= 4, movie after movie in the order of movie ids, as in their files within a movie.

    Raises
    ------
    InputError
        If there are no such files, or a line of them is neither `movie:` nor `user,rating,date`.
    """
    titles: dict[str, str] = {}

    def members() -> Iterator[tuple[str, Limited]]:
        for name, stream in streams(path, wanted, 2 * dataset.raw_bytes):
            if name in TITLES:
                titles.update(read_titles(whole(stream)))
            else:
                yield name, stream

    min_rating = dataset.protocol.min_rating or 0
    users, movies, ratings, lines, current = [], [], 0, 0, None
    try:
        for part in watch(lambda block: parse_movies(block, min_rating), blocks(members())):
            if part.headless:
                if current is None:
                    raise BadLine(1, "the first line is not a movie id and a colon")
                part.movie[: part.n_headless] = current
            users.append(part.user)
            movies.append(part.movie)
            ratings += part.ratings
            lines += part.lines
            current = current if part.last is None else part.last
    except BadLine as e:
        raise e.at(str(path) if current is None else f"{path}, at movie {current} or after", lines) from e
    if not ratings:
        raise InputError(f"{path} has neither mv_*.txt nor combined_data_*.txt in it; is it the Netflix Prize archive?")
    user, movie = np.concatenate(users), np.concatenate(movies)
    if (movie[1:] < movie[:-1]).any():
        order = np.argsort(movie, kind="stable")
        user, movie = user[order], movie[order]
    return Raw(Interactions.from_labels(user, movie, titles or None, dataset.name), ratings)


def wanted(name: str) -> bool:
    """Whether a member of the archive is read."""
    return bool(RATINGS.fullmatch(name)) or name in TITLES


@dataclass(frozen=True, eq=False)
class Movies:
    """The ratings of a block that are high enough: users, and movies where they are known.

    Parameters
    ----------
    user, movie : (n,) int32
        Of the first `n_headless` the movie stands in a block before.
    headless : bool
        Whether any rating, high or not, comes before the first movie id.
    n_headless : int
        Ratings that are high enough, before it.
    last : int, optional
        The movie open at the end; None if no id is in the block.
    ratings, lines : int
        How many were read.
    """

    user: np.ndarray
    movie: np.ndarray
    headless: bool
    n_headless: int
    last: int | None
    ratings: int
    lines: int


def parse_movies(block: bytes, min_rating: float) -> Movies:
    """The ratings of a block of whole lines.

    A line `7:` becomes the row `7,,`, so that one strict parse reads both kinds of line.

    Raises
    ------
    BadLine
        The first that is neither `movie:` nor `user,rating,date`.
    """
    n_ids = block.count(b":")
    try:
        table = pl.read_csv(block.replace(b":", b",,"), has_header=False, quote_char=None, schema=COLUMNS)
    except pl.exceptions.PolarsError as e:
        raise bad_line(block) from e
    opens = table["rating"].is_null()
    if opens.sum() != n_ids or table["user"].null_count() or table["date"].null_count() != n_ids:
        raise bad_line(block)
    check_range(table["rating"].fill_null(5), 1, 5)
    user, at = table["user"].to_numpy(), opens.arg_true().to_numpy()
    keep = (table["rating"] >= min_rating).fill_null(False).to_numpy()
    before = int(at[0]) if at.size else table.height
    movie = np.repeat(np.concatenate([[-1], user[at]]).astype(np.int32), np.diff([0, *at, table.height]))
    return Movies(
        user[keep],
        movie[keep],
        headless=before > 0,
        n_headless=int(keep[:before].sum()),
        last=int(user[at[-1]]) if at.size else None,
        ratings=table.height - n_ids,
        lines=table.height,
    )


def bad_line(block: bytes) -> BadLine:
    """The first line that is no rating; lines with a movie's id are made into some first."""
    return fault(re.sub(rb"(?m)^\d+:\r?$", b"1,1,-", block), COLUMNS, ",")


def read_titles(text: bytes) -> dict[str, str]:
    """Movie id → "title (year)" from lines `id,year,title`; Latin-1, and a title may hold commas."""
    rows = (line.split(",", 2) for line in text.decode("latin-1").splitlines())
    return {row[0]: f"{row[2]} ({row[1]})" if row[1] != "NULL" else row[2] for row in rows if len(row) == 3}
