"""Flags of `minivae theory`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from minivae.cli.flags.source import ColumnFlags, option


@dataclass(frozen=True)
class Theory(ColumnFlags):
    data: Annotated[str | None, option("DATA", "what the model was trained on, else planted")] = None
    """A split file (.safetensors), the name of a prepared data set ($MINIVAE_DATA, then data/), planted or debian; with
    --model also a table of other users, whose items are matched with the model's by label."""
    model: Annotated[Path | None, option("DIR", "one is trained, in some seconds")] = None
    """Folder of a trained model, or package.module:name, a model of your own in Python; without it the preset's
    multvae+anchor is trained for --epochs."""
    epochs: Annotated[int, option("N", "10")] = 10
    """Passes over the training users when a model is trained here."""
    users: Annotated[int, option("N", "300")] = 300
    """Training users drawn for the checks."""
    seed: Annotated[int, option("N", "0")] = 0
    """Of that draw, of masks and noise, and of a training here."""
    companions: bool = False
    """Train the network again without anchors, with a fifth of β, and for its first epochs: lines of the card that say
    whether the small pictures behind the theorems describe it."""
    study: Annotated[Path | None, option("DIR", "none")] = None
    """A finished study of the same data: what an earlier trial implementation (the prototype) showed is looked for in
    its models."""
    seeds: Annotated[int, option("N", "0: the card only")] = 0
    """Or train small models for that, ten settings with N seeds each, into --out."""
    out: Annotated[Path | None, option("DIR", "the card is shown only")] = None
    """Folder for card and observations as Markdown and JSON, and figures; new, empty, or to be resumed."""
    jobs: Annotated[int | Literal["auto"], option("N|auto", "1")] = 1
    """Runs at a time, each in a process with one thread; auto: as many as there are processor cores."""
    resume: bool = False
    """Continue what --out holds; models that are trained are kept."""
