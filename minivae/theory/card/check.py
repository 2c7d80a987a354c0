"""One line of the report card: what was checked, how much room was left, and the verdict."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike

from minivae.theory.numerics.arrays import Array

Numbers = ArrayLike | Array
Verdict = Literal["exact", "bound holds", "measured", "FAILED"]
ROUNDING = 1e-9
"""A bound that is attained may be missed by this much, relatively: float64 rounds."""
SIGMA = 6.0
"""Standard errors that a sampled check may be off: at a thousand numbers a card, one false alarm in 500,000 cards."""
UNSEEN = 20.0
"""So many draws may be expected in a region though none falls there: e⁻²⁰ is as rare as six standard errors. What
posteriors share that hardly overlap lies in such a region, and the standard error of the draws does not know of it."""


@dataclass(frozen=True)
class Check:
    """One check of a statement on one model and its users.

    Attributes
    ----------
    statement : str
        As the paper numbers it.
    claim : str
        What was checked.
    on : str
        On what: how many users, pairs, samples; which decoder.
    verdict : Verdict
        "exact", an identity that agrees with an independent computation; "bound holds", an inequality that no case
        broke; "measured", a number without a promise; "FAILED", an identity or inequality that is broken.
    slack : float, optional
        ``1 − worst (found / allowed)`` over all cases: positive is room left, 0 is attained, negative FAILED. Found is
        the error of an identity or the smaller side of an inequality, allowed is the tolerance (rounding, or 6 standard
        errors) or the larger side. None for what is only measured.
    value : str
        The numbers, for people.
    warning : str
        Of a measured line: that a theorem's local model does not describe this network. Empty without such news.
    """

    statement: str
    claim: str
    on: str
    verdict: Verdict
    slack: float | None = None
    value: str = ""
    warning: str = ""

    def __repr__(self) -> str:
        room = "" if self.slack is None else f", slack {self.slack:+.3f}"
        value = f", {self.value}" if self.value else ""
        warning = f", warning: {self.warning}" if self.warning else ""
        return f"Check({self.statement}, {self.claim}, {self.on}: {self.verdict}{room}{value}{warning})"


def identity(statement: str, claim: str, on: str, error: Numbers, allowed: Numbers, value: str = "") -> Check:
    """Two computations of one number agree: every ``|error|`` within what is `allowed`."""
    return _settle("exact", statement, claim, on, np.abs(_numbers(error)), allowed, value)


def bound(statement: str, claim: str, on: str, smaller: Numbers, larger: Numbers, value: str = "") -> Check:
    """Every entry of `smaller` is at most that of `larger`, where the larger is not negative."""
    return _settle("bound holds", statement, claim, on, _numbers(smaller), larger, value)


def measured(statement: str, claim: str, on: str, value: str, warning: str = "") -> Check:
    """A number that no theorem fixes."""
    return Check(statement, claim, on, "measured", None, value, warning)


def _settle(
    good: Verdict, statement: str, claim: str, on: str, found: np.ndarray, allowed: Numbers, value: str
) -> Check:
    found, allowed = np.broadcast_arrays(found, _numbers(allowed))
    if found.size == 0:
        return Check(statement, claim, on, "measured", None, "no case to check")
    with np.errstate(divide="ignore", invalid="ignore"):
        nothing = np.where((found <= 0) & (allowed == 0), 0, np.inf)
        ratio = np.where(allowed > 0, np.maximum(found / allowed, 0), nothing)
    slack = 1 - float(ratio.max())  # NaN anywhere makes it NaN, and NaN is no success
    return Check(statement, claim, on, good if slack >= -ROUNDING else "FAILED", slack, value)


def _numbers(value: Numbers) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    return np.asarray(value, dtype=np.float64)
