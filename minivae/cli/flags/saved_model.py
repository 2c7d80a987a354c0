"""Flags of `minivae evaluate` and `recommend`: what a saved model is worth and what it shows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from minivae.cli.flags.source import ColumnFlags, SplitFlags, option


@dataclass(frozen=True)
class Evaluate(ColumnFlags):
    data: Annotated[str | None, option("DATA", "what the model was trained on")] = None
    """A split file (.safetensors), the name of a prepared data set, planted or debian; or a table of other users, whose
    items are matched with the model's by label."""
    model: Annotated[Path, tyro.conf.arg(metavar="DIR")] = tyro.MISSING
    """Folder of a trained model, its model.safetensors, or package.module:name, a model of your own in Python."""
    part: Annotated[Literal["test", "validation"], option("{test,validation}", "test")] = "test"
    """Which held-out users; of a table all users count."""
    metrics: Annotated[str | None, option("NAME@K,…", "recall@20,recall@50,ndcg@100")] = None
    """recall, ndcg, precision, map, mrr, hit or novelty at any cutoff, for instance ndcg@10,map@10; or your own."""
    device: Annotated[str, option("DEVICE", "cuda, else cpu")] = "auto"
    """Where to score."""
    json_file: Annotated[Path | None, option("FILE", "none")] = None
    """Write the numbers there too."""


@dataclass(frozen=True)
class Recommend(SplitFlags):
    model: Annotated[Path, tyro.conf.arg(metavar="DIR")] = tyro.MISSING
    """Folder of a trained model, its model.safetensors, or package.module:name, a model of your own in Python."""
    user: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, option("LABEL [LABEL …]", "none")] = ()
    """Users of the data, by the labels in the raw file; everything known of them is used. Labels may begin with -."""
    items: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, option("TITLE [TITLE …]", "none")] = ()
    """Or a new user, by the items they have: titles, parts of titles that fit one item, or labels."""
    users: Annotated[Path | None, option("FILE|all", "none")] = None
    """Or the users that a file names, one label on each line; all: every user of the data."""
    similar: Annotated[str | None, option("ITEM", "none")] = None
    """Or items like this one: what the model shows to a user who has it alone."""
    among: Annotated[Path | None, option("FILE", "all items")] = None
    """Only these items may be shown, one label or title on each line."""
    exclude: Annotated[Path | None, option("FILE", "none")] = None
    """These items are not shown."""
    rank: Annotated[str | None, option("ITEM", "none")] = None
    """Show instead where this item stands in the list of each user."""
    k: Annotated[int, option("N", "10", aliases=["-k"])] = 10
    """How many; with --rank one item is shown."""
    out: Annotated[Path | None, option("FILE", "shown on the screen")] = None
    """Write user, rank, item and score there; .parquet, .csv or .jsonl. Labels stand there as in the data: a
    spreadsheet would take one such as =1+1 for a formula, so open a CSV of strangers' labels as text."""
    device: Annotated[str, option("DEVICE", "cuda, else cpu")] = "auto"
    """Where to score."""
