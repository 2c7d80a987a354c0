"""Flags of `minivae study`, `combine`, `per-user` and `tune`: many runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from minivae.cli.flags.source import TableFlags, option
from minivae.options import Precision


@dataclass(frozen=True)
class Study(TableFlags):
    preset: Annotated[str | None, option("NAME", "that of the data")] = None
    """Settings: default, planted, debian, ml-1m, ml-20m, netflix, msd. Without --data they choose the data too."""
    settings: Annotated[Path | None, option("FILE", "the preset alone")] = None
    """TOML of settings that go over the preset's: best.toml of a search, or models of one's own."""
    models: Annotated[
        str | None, option("A,B,…", "popularity, ease and three of multvae; more for ml-20m, netflix, msd")
    ] = None
    """Models to compare: popularity, ease, ials, multvae-clean, multvae, multdae, recvae, hvamp, and variants.
    The last four of these names also with +anchor; a wrong name lists all."""
    split_seeds: Annotated[str | None, option("N,N,…", "one draw")] = None
    """Several draws of held-out users, a study of each, and their differences pooled; not for a prepared split."""
    folds: Annotated[int | None, option("K", "one split")] = None
    """Users in K parts, each tested by models that never saw it, so that every user is tested once; needs --out."""
    seeds: Annotated[int, option("N", "1")] = 1
    """Runs per trained model, with seeds 0 to N − 1."""
    epochs: Annotated[int | None, option("N", "preset")] = None
    """Passes over the training users, at most."""
    patience: Annotated[int | None, option("N", "preset")] = None
    """Stop after so many epochs without a better validation nDCG@100."""
    device: Annotated[str | None, option("DEVICE", "cuda, else cpu")] = None
    """Where to train: auto, cpu, cuda, cuda:1, …"""
    precision: Annotated[Precision | None, option("{auto,fp32,bf16}", "auto: bf16 where it is native")] = None
    """Of the item-sized products."""
    out: Annotated[Path | None, option("DIR", "runs/study-DATE-TIME")] = None
    """Folder for results.json, report.md, report.html, figures and runs; new, empty, or to be resumed."""
    jobs: Annotated[int | Literal["auto"], option("N|auto", "1")] = 1
    """Runs at a time, each in a process with one thread; auto: as many as there are processor cores."""
    resume: bool = False
    """Continue the study in --out; finished runs are kept."""
    dry_run: bool = False
    """Say what would run, with parameters, memory and time from a few measured updates; write nothing."""


@dataclass(frozen=True)
class Combine:
    studies: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="STUDY STUDY …")]
    """Folders of finished studies of the same data, each of another draw of held-out users."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = tyro.MISSING
    """Folder for combined.md, combined.html, combined.csv, combined.json and the figure."""


@dataclass(frozen=True)
class PerUser:
    studies: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="STUDY …")]
    """Folders of finished studies, or of the draws or folds of one."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")] = tyro.MISSING
    """Write study, model, seed, part, user, numbers of items and metrics there; .parquet, .csv or .jsonl. Labels of
    users stand there as in the data, so open a CSV of strangers' labels as text in a spreadsheet."""


@dataclass(frozen=True)
class Tune(TableFlags):
    preset: Annotated[str | None, option("NAME", "that of the data")] = None
    """Where models, settings and search spaces come from."""
    settings: Annotated[Path | None, option("FILE", "the preset alone")] = None
    """TOML that goes over the preset's: models of one's own, and spaces as [models.NAME.search]."""
    models: Annotated[str | None, option("A,B,…", "as in study")] = None
    """Models to search for, baselines too; each gets the same number of trials."""
    space: Annotated[tuple[str, ...], option("[MODEL.]KEY=VALUES …", "the preset's")] = ()
    """Spaces in place of the preset's: a,b,c or low:high or low:high:log; without MODEL for all that have KEY."""
    method: Annotated[Literal["random", "grid"], option("{random,grid}", "random")] = "random"
    """random: the model as it is, then draws spread over each range; grid: every combination of lists."""
    trials: Annotated[int, option("N", "20")] = 20
    """Trials per model, 16 or more for a table that others shall believe; a search can be resumed with more."""
    seed: Annotated[int, option("N", "0")] = 0
    """Of the draws, and of weights, order, masks and noise in every trial."""
    seeds: Annotated[int, option("N", "1")] = 1
    """Runs of every trial of a trained model, with seeds SEED to SEED + N − 1; the mean over them is compared."""
    epochs: Annotated[int | None, option("N", "preset")] = None
    """Passes over the training users in a trial, at most; the same for every model."""
    device: Annotated[str | None, option("DEVICE", "cuda, else cpu")] = None
    """Where to train: auto, cpu, cuda, cuda:1, …"""
    precision: Annotated[Precision | None, option("{auto,fp32,bf16}", "auto: bf16 where it is native")] = None
    """Of the item-sized products."""
    out: Annotated[Path | None, option("DIR", "runs/tune-DATE-TIME")] = None
    """Folder for best.toml, search.md, trials.csv, trials.json and the trials; new, empty, or to be resumed."""
    jobs: Annotated[int | Literal["auto"], option("N|auto", "1")] = 1
    """Runs at a time, each in a process with one thread; auto: as many as there are processor cores."""
    resume: bool = False
    """Continue the search in --out; finished trials are kept."""
    dry_run: bool = False
    """Show the trials that would run; write nothing."""
