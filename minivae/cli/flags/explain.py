"""Flags of `minivae explain`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from minivae.cli.flags.source import SplitFlags, option


@dataclass(frozen=True)
class Explain(SplitFlags):
    what: Annotated[
        tyro.conf.Positional[Literal["transfer", "lds", "far", "anchors", "removal"]],
        option("{transfer,lds,far,anchors,removal}", "transfer"),
    ] = "transfer"
    """transfer: who helps whom in a model?
    lds: do such scores predict what retraining on half of the users does?
    far: do masks and anchors reach users who are related but have hardly a common item?
    anchors: which form of the anchor loss helps which model, from finished studies of the preset anchor-law?
    removal: are a test user's best helpers missed more than others with as many items?"""
    data: Annotated[str | None, option("DATA", "what the model was trained on, else planted")] = None
    """A split file (.safetensors), the name of a prepared data set ($MINIVAE_DATA, then data/), planted or debian."""
    model: Annotated[Path | None, option("DIR", "one is trained")] = None
    """transfer: folder of a trained model. It is trained again with the same settings, to see it on the way.
    Without its config.json beside it the final parameters alone are looked at. Or package.module:name, a model of
    your own in Python."""
    users: Annotated[int, option("N", "3000")] = 3000
    """transfer, far: training users looked at, drawn at random if there are more. Memory grows with the square."""
    groups: Annotated[Path | None, option("FILE", "none")] = None
    """transfer: a CSV of user label and group, with a header, for a segment of one's own."""
    subsets: Annotated[int, option("K", "50")] = 50
    """lds: random halves of the training users to train on."""
    again: Annotated[int, option("N", "20")] = 20
    """lds: halves to train on a second time with another seed, for a ceiling; 0 is none."""
    receivers: Annotated[int, option("N", "300")] = 300
    """lds, removal: test users whose losses are looked at. removal trains two models for each of them."""
    helpers: Annotated[int, option("N", "10")] = 10
    """removal: training users that are left out."""
    study: Annotated[tuple[Path, ...], option("DIR …", "none")] = ()
    """anchors: finished studies of the preset anchor-law, one for each draw of held-out users."""
    seeds: Annotated[int, option("N", "5")] = 5
    """far: trainings of each variant."""
    features: Annotated[Path | None, option("FILE", "the planted truth")] = None
    """far: a CSV of item label and its features, such as genres, as A|B|C, with a header.
    How related two users are is read from it."""
    epochs: Annotated[int, option("N", "30")] = 30
    """Passes over the training users when a model is trained here."""
    hidden: Annotated[int, option("N", "100")] = 100
    """lds, far, removal: width of the Mult-VAE that is trained again and again."""
    latent: Annotated[int, option("N", "32")] = 32
    """lds, far, removal: its latent dimension."""
    out: Annotated[Path, option("DIR", "runs/explain")] = Path("runs/explain")
    """Folder for the results; new, empty, or to be resumed."""
    resume: bool = False
    """Continue what --out holds."""
