"""The settings of a run, checked when they are made."""

import math
import operator
from dataclasses import dataclass, fields
from typing import Any, get_args

import numpy as np

from minivae.anchors import ANCHOR_LOSSES, anchor_at
from minivae.errors import InputError
from minivae.masks import normalizes
from minivae.options import AnchorSchedule, AnchorVariant, AnchorWeights, Mask, Precision

LARGEST = 1 << 53  # whole numbers up to here survive JSON and float64


class SettingError(InputError):
    """A field of `TrainConfig` has a value that is not possible.

    Attributes
    ----------
    name : str
        Of the field.
    rule : str
        What it must be.
    """

    def __init__(self, name: str, value: object, rule: str) -> None:
        super().__init__(f"{name}={value!r} is not possible; it must be {rule}")
        self.name, self.rule = name, rule


@dataclass(frozen=True)
class TrainConfig:
    """Everything a run depends on beside its data and its model's sizes.

    Attributes
    ----------
    keep : float
        ρ, the probability to keep an interaction in the input; 1 trains on clean input.
    keep_exponent : float
        Lets ρ differ by item: the odds of keeping an item fall with this power of its popularity (rise, if negative),
        with `keep` as the mean over interactions; 0: one ρ for all.
    mask : Mask | str
        Input convention: normalize-then-mask (Mult-VAE), mask-then-normalize, or raw.
    beta : float
        Weight of the KL term at the end of its schedule.
    anneal_steps : int
        Updates over which β rises linearly from 0 to `beta`.
    gamma : float
        Adds ``γ N_x`` to the weight of each user's KL term, without a schedule (RecVAE, with beta = 0).
    anchor : float
        λ_A, weight of the anchor regularizer (PIA) at the end of its schedule; 0 trains without anchors.
    anchor_start : float
    anchor_steps : int
    anchor_schedule : AnchorSchedule
        λ_A goes from `anchor_start` to `anchor` over the first `anchor_steps` updates, linear or geometric; constant
        with 0 steps.
    anchor_variant : AnchorVariant | str
        Full, centroid+variance (no pull between anchors), centroid, softmin (for several tastes), or direction (the
        angle alone, whatever the scale of the latent space).
    anchor_weights : AnchorWeights
        Of a user's items in the anchor loss: uniform, popularity, or idf.
    anchor_temperature : float
        τ of softmin, in squared units of z.
    label_smoothing : float
        α: the multinomial likelihood has the target ``(1 − α) x + α N_x / I`` instead of x; `nll` of the log is of
        that target.
    weight_decay : float
        λ of the penalty ``λ Σ ‖W‖²`` on the weight matrices of encoder and decoder, not their biases. Its gradient goes
        to Adam with that of the loss; the loss in the log is without it.
    lr : float
        Step size of Adam.
    batch_size : int
        Users per update.
    epochs : int
        At most; an epoch is one pass over the training users, unless the model has its own phases.
    patience : int
        Stop after so many epochs without a better validation nDCG@100.
    seed : int
        Of weights, order, masks and noise.
    device : str
        Auto (cuda, else cpu), cpu, cuda, cuda:1, ...
    precision : Precision
        Of the item-sized products: auto (bf16 where the hardware multiplies it natively), fp32, bf16.

    Examples
    --------
    >>> TrainConfig(anchor=1.0, anchor_steps=100).anchor_at(50)  # half of the way to λ_A
    0.5
    """

    keep: float = 0.5
    mask: Mask | str = "normalize-then-mask"
    beta: float = 0.2
    anneal_steps: int = 1500
    gamma: float = 0.0
    anchor: float = 0.0
    anchor_start: float = 0.0
    anchor_steps: int = 0
    anchor_schedule: AnchorSchedule = "linear"
    anchor_variant: AnchorVariant | str = "full"
    anchor_weights: AnchorWeights = "uniform"
    anchor_temperature: float = 1.0
    keep_exponent: float = 0.0
    label_smoothing: float = 0.0
    weight_decay: float = 0.0
    lr: float = 1e-3
    batch_size: int = 500
    epochs: int = 100
    patience: int = 15
    seed: int = 0
    device: str = "auto"
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        for f in fields(self):
            if f.type in (int, float):
                object.__setattr__(self, f.name, _number(f.name, getattr(self, f.name), f.type))
        for name, (good, rule) in self._rules().items():
            if not good:
                raise SettingError(name, getattr(self, name), rule)
        normalizes(self.mask)
        ANCHOR_LOSSES.find(self.anchor_variant)

    def _rules(self) -> dict[str, tuple[bool, str]]:
        """Field -> whether its value is possible, and which values are."""
        rules = {
            "keep": (0 < self.keep <= 1, "in (0, 1]"),
            "keep_exponent": (abs(self.keep_exponent) <= 10, "between -10 and 10"),
            "label_smoothing": (0 <= self.label_smoothing < 1, "in [0, 1)"),
            "lr": (0 < self.lr < math.inf, "finite and positive"),
            "seed": (0 <= self.seed < 1 << 63, "in 0..2**63 - 1"),
            "anchor_temperature": (0 < self.anchor_temperature < math.inf, "finite and positive"),
            "anchor_start": (
                0 <= self.anchor_start < math.inf
                and (self.anchor_start == 0 or (self.anchor > 0 and self.anchor_steps > 0))
                and (self.anchor_start > 0 or self.anchor_steps == 0 or self.anchor_schedule == "linear"),
                "finite and at least 0, 0 without anchor and anchor_steps, and more than 0 for a geometric schedule",
            ),
            "device": (isinstance(self.device, str), "a name: auto, cpu, cuda, cuda:1, …"),
        }
        for name in ("beta", "gamma", "weight_decay", "anchor"):
            rules[name] = (0 <= getattr(self, name) < math.inf, "finite and at least 0")
        for name, least in {"anneal_steps": 0, "anchor_steps": 0, "batch_size": 1, "epochs": 1, "patience": 1}.items():
            rules[name] = (least <= getattr(self, name) <= LARGEST, f"at least {least} and at most 2**53")
        choices = {"anchor_weights": AnchorWeights, "anchor_schedule": AnchorSchedule, "precision": Precision}
        for name, kind in choices.items():
            rules[name] = (getattr(self, name) in get_args(kind), f"one of {', '.join(get_args(kind))}")
        return rules

    def anchor_at(self, step: int) -> float:
        """λ_A of an update."""
        return anchor_at(step, self.anchor, self.anchor_start, self.anchor_steps, self.anchor_schedule)


def _number(name: str, value: Any, kind: type) -> int | float:
    """`value` as a plain int or float, so that 1, 1.0 and numpy's 1 describe the same run."""
    rule = "a whole number" if kind is int else "a number"
    try:
        if isinstance(value, bool | np.bool_ | str):
            raise TypeError(f"{type(value).__name__} is not accepted as a number")
        return operator.index(value) if kind is int else float(value)
    except (TypeError, ValueError, OverflowError) as e:
        raise SettingError(name, value, rule) from e
