"""The statements of the paper as functions: one module for each mechanism."""

from minivae.theory import anchoring, bottleneck, conventions, distances, locality, masking, report, toy, transfer
from minivae.theory.adapter import wrap

__all__ = [
    "anchoring",
    "bottleneck",
    "conventions",
    "distances",
    "locality",
    "masking",
    "report",
    "toy",
    "transfer",
    "wrap",
]
