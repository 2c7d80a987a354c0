"""Flags that say where the data comes from, shared by the commands."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro


def option(metavar: str, default: str, **more: Any) -> Any:
    """How a flag is shown in the help."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint=f"(default: {default})", **more)


@dataclass(frozen=True)
class SplitFlags:
    """Where the data comes from, for a model that was trained on it."""

    data: Annotated[str | None, option("DATA", "what the model was trained on")] = None
    """A split file (.safetensors), the name of a prepared data set ($MINIVAE_DATA, then data/), planted or debian."""
    heldout: Annotated[int | None, option("N", "2000 of planted, 1500 of debian")] = None
    """planted and debian: users held out for validation, and as many for test."""
    split_seed: Annotated[int | None, option("N", "98765")] = None
    """Seed of the draw of held-out users and items."""


@dataclass(frozen=True)
class ColumnFlags(SplitFlags):
    """How a raw table is read."""

    user: Annotated[str | None, option("COLUMN", "user")] = None
    """Table: column of users, by name or position (0, 1, …)."""
    item: Annotated[str | None, option("COLUMN", "item")] = None
    """Table: column of items."""
    rating: Annotated[str | None, option("COLUMN", "none")] = None
    """Table: column of ratings, needed for --min-rating."""
    min_rating: Annotated[float | None, option("R", "every row counts")] = None
    """Table: keep ratings of at least R."""
    title: Annotated[str | None, option("COLUMN", "labels are shown")] = None
    """Table: column of item titles."""
    title_file: Annotated[Path | None, option("FILE", "none")] = None
    """Table: a second table with a title for each item."""
    time: Annotated[str | None, option("COLUMN", "none")] = None
    """Table: column of times (seconds or dates), needed for --split time and --split last."""
    header: bool = False
    """Table: line 1 names the columns; without this and the next that is found from the first lines."""
    no_header: bool = False
    """Table: line 1 is a row."""
    separator: Annotated[str | None, option("CHARACTER", "found from the first line")] = None
    """Table: between fields; also ::, tab and space."""
    encoding: Annotated[str | None, option("NAME", "utf-8")] = None
    """Table: of the text, for instance latin-1."""
    adjacency: bool = False
    """Table: each line is a user and its items; without this and the next that is found from the lines."""
    no_adjacency: bool = False
    """Table: numbers separated by blanks are columns."""
    comments: bool = False
    """Table: lines between rows that begin with # or % are left out; without this and the next one is refused."""
    no_comments: bool = False
    """Table: lines that begin with # or % are rows."""
    max_memory: Annotated[str | None, option("SIZE", "most of what is free, or $MINIVAE_MAX_MEMORY")] = None
    """Table: refuse what takes more memory to read than SIZE, for instance 4G."""
    min_user: Annotated[int | None, option("N", "5")] = None
    """Leave out users of fewer than N items."""


@dataclass(frozen=True)
class TableFlags(ColumnFlags):
    """Where the data comes from, a raw table included."""

    data: Annotated[str | None, option("DATA", "planted", aliases=("--train",))] = None
    """planted or debian; a split file (.safetensors); the name of a prepared data set ($MINIVAE_DATA, then data/);
    or a table (CSV, TSV, JSON lines, adjacency text, Parquet, Feather, NPZ)."""
    heldout: Annotated[
        int | None, option("N", "2000 of planted, 1500 of debian; of a table a tenth of the users left, at most 1000")
    ] = None
    """Users held out for validation, and as many for test."""
    split_seed: Annotated[int | None, option("N", "98765")] = None
    """Seed of the draw of held-out users and items."""
    min_item: Annotated[int | None, option("N", "0")] = None
    """Leave out items of fewer than N users, before that."""
    split: Annotated[Literal["users", "time", "last"] | None, option("{users,time,last}", "users")] = None
    """Hold out users (Liang et al.), what came after a moment, or each user's last item."""
    test: Annotated[Path | None, option("FILE", "none")] = None
    """Test events of a split of one's own; --data, or --train, holds the training events, the users are the same."""
    validation: Annotated[Path | None, option("FILE", "drawn from the training events")] = None
    """Validation events of that split."""


TABLE_FIELDS = {f.name for f in fields(TableFlags)}
