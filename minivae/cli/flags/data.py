"""Flags of `minivae data list`, `info` and `prepare`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from minivae.cli.flags.source import TableFlags, option


@dataclass(frozen=True)
class List:
    pass


@dataclass(frozen=True)
class Info(TableFlags):
    data: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="DATA")] = tyro.MISSING
    """planted or debian; a split file (.safetensors); the name of a prepared data set ($MINIVAE_DATA, then data/);
    or a table (CSV, TSV, JSON lines, adjacency text, Parquet, Feather, NPZ), which is split as minivae study would."""


@dataclass(frozen=True)
class Prepare:
    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="NAME")]
    """ml-100k, ml-latest-small, ml-1m, ml-20m, netflix or msd."""
    out: Annotated[Path, option("DIR", "data")] = Path("data")
    """Folder for NAME.safetensors (and for the download)."""
    from_file: Annotated[Path | None, option("PATH", "downloaded")] = None
    """Raw data that is already here: the archive, an unpacked folder, or the single file of ratings."""
    heldout: Annotated[int | None, option("N", "as published")] = None
    """Users held out for validation, and as many for test."""
    split_seed: Annotated[int, option("N", "98765, of Liang et al.")] = 98765
    """Seed of the permutation of users and of the fold-in."""
    export_csv: Annotated[Path | None, option("DIR", "none")] = None
    """Folder for unique_sid.txt, train.csv, … in the layout of the original code."""
    no_verify: bool = False
    """Do not compare with what is published; without this a difference is an error."""


DataCommand = Annotated[
    Annotated[
        List, tyro.conf.subcommand("list", description="Known data sets, and which are prepared on this machine.")
    ]
    | Annotated[Info, tyro.conf.subcommand("info", description="Size, density, activity and popularity of a data set.")]
    | Annotated[
        Prepare,
        tyro.conf.subcommand("prepare", description="From a raw archive to the split of the published figures."),
    ],
    tyro.conf.subcommand("data", description="What data there is, and what is in it."),
]
