"""Flags of `minivae train`: the settings of one run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from minivae.cli.flags.source import TableFlags, option
from minivae.options import AnchorSchedule, AnchorWeights, Precision


@dataclass(frozen=True)
class Train(TableFlags):
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = tyro.MISSING
    """Folder for model.safetensors, metrics.json, log.jsonl, config.json and the checkpoint."""
    model: Annotated[str, option("NAME", "multvae")] = "multvae"
    """multvae, multdae, recvae, hvamp, each with +anchor if wanted, or a variant; flags below change its settings."""
    preset: Annotated[str | None, option("NAME", "that of the data")] = None
    """Where the other settings come from."""
    keep: Annotated[float | None, option("P", "preset")] = None
    """ρ, probability to keep an interaction in the input; 1 is clean input."""
    keep_exponent: Annotated[float | None, option("A", "0")] = None
    """Hide popular items more (A > 0) or less (A < 0) than others, with P as the mean over interactions."""
    mask: Annotated[str | None, option("MASK", "normalize-then-mask")] = None
    """Input convention: normalize-then-mask (as published), mask-then-normalize, raw."""
    beta: Annotated[float | None, option("B", "preset")] = None
    """Weight of the KL term at the end of its schedule."""
    anneal_steps: Annotated[int | None, option("N", "preset")] = None
    """Updates over which the KL weight rises from 0."""
    gamma: Annotated[float | None, option("G", "preset")] = None
    """Adds G times the number of a user's interactions to the weight of its KL term (RecVAE)."""
    anchor: Annotated[float | None, option("L", "preset")] = None
    """λ, weight of the anchor regularizer; 0 is none."""
    anchor_variant: Annotated[str | None, option("VARIANT", "full")] = None
    """full (as published), centroid+variance, centroid, softmin (for several tastes), or direction (scale-free)."""
    anchor_weights: Annotated[AnchorWeights | None, option("WEIGHTS", "uniform")] = None
    """Of a user's items in the anchor loss: uniform (as published), popularity, idf."""
    anchor_temperature: Annotated[float | None, option("T", "1")] = None
    """Of softmin: the lower, the more the nearest anchor alone counts."""
    anchor_start: Annotated[float | None, option("L", "0")] = None
    """λ at the first update, if it has a schedule."""
    anchor_steps: Annotated[int | None, option("N", "0: λ is constant")] = None
    """Updates over which λ goes from --anchor-start to --anchor."""
    anchor_schedule: Annotated[AnchorSchedule | None, option("{linear,geometric}", "linear")] = None
    """Whether λ changes by equal steps (linear) or by equal factors (geometric)."""
    label_smoothing: Annotated[float | None, option("A", "preset")] = None
    """Share A of the target of the likelihood that is spread over all items."""
    weight_decay: Annotated[float | None, option("W", "preset")] = None
    """Penalty W ‖weights‖² (Mult-DAE)."""
    lr: Annotated[float | None, option("RATE", "preset")] = None
    """Step size of Adam."""
    batch_size: Annotated[int | None, option("N", "preset")] = None
    """Users per update."""
    epochs: Annotated[int | None, option("N", "preset")] = None
    """Passes over the training users, at most."""
    patience: Annotated[int | None, option("N", "preset")] = None
    """Stop after so many epochs without a better validation nDCG@100."""
    seed: Annotated[int, option("N", "0")] = 0
    """Of weights, order, masks and noise."""
    device: Annotated[str | None, option("DEVICE", "cuda, else cpu")] = None
    """Where to train: auto, cpu, cuda, cuda:1, …"""
    precision: Annotated[Precision | None, option("{auto,fp32,bf16}", "auto: bf16 where it is native")] = None
    """Of the item-sized products."""
    resume: bool = False
    """Continue the run in --out from its checkpoint, with the same settings; more --epochs and --patience are fine."""
