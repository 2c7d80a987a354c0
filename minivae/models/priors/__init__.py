"""Priors p(z) of the VAEs, one file each: they can be exchanged between models."""

from minivae.models.priors.choice import PRIORS, make_prior, register_prior
from minivae.models.priors.composite import CompositePrior
from minivae.models.priors.normal import NormalPrior
from minivae.models.priors.prior import Prior
from minivae.models.priors.vamp import VampPrior

__all__ = ["PRIORS", "CompositePrior", "NormalPrior", "Prior", "VampPrior", "make_prior", "register_prior"]
