"""Priors p(z) of the VAEs, one file each: they can be exchanged between models."""

from minivae.models.priors.composite import CompositePrior
from minivae.models.priors.normal import NormalPrior
from minivae.models.priors.prior import Prior

__all__ = ["CompositePrior", "NormalPrior", "Prior"]
