"""The statements of the paper as functions: one module for each mechanism."""

from minivae.theory import (
    ambiguity,
    anchoring,
    bottleneck,
    conventions,
    distances,
    gauge,
    locality,
    masking,
    mean_square,
    merging,
    optimiser_steps,
    smoothing,
    toy,
    transfer,
)
from minivae.theory.adapter import wrap
from minivae.theory.card.card import report_card
from minivae.theory.card.companions import Companions

__all__ = [
    "Companions",
    "ambiguity",
    "anchoring",
    "bottleneck",
    "conventions",
    "distances",
    "gauge",
    "locality",
    "masking",
    "mean_square",
    "merging",
    "optimiser_steps",
    "report_card",
    "smoothing",
    "toy",
    "transfer",
    "wrap",
]
