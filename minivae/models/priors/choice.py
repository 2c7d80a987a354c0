"""A prior by its name."""

from typing import get_args

from torch import nn

from minivae.errors import InputError
from minivae.models.priors.composite import CompositePrior
from minivae.models.priors.normal import NormalPrior
from minivae.models.priors.prior import Prior
from minivae.models.priors.vamp import VampPrior
from minivae.options import PriorName


def make_prior(name: PriorName, encoder: nn.Module, n_items: int, components: int) -> Prior:
    """`normal`, `composite` (with a frozen copy of `encoder`) or `vamp` (with `components` pseudo-inputs).

    Raises
    ------
    InputError
        For an unknown name, or a VampPrior with less than one component.
    """
    if name == "normal":
        return NormalPrior()
    if name == "composite":
        return CompositePrior(encoder)
    if name == "vamp":
        if components < 1:
            raise InputError(f"components={components} is not possible; a VampPrior needs at least 1")
        return VampPrior(n_items, components)
    raise InputError(f"prior={name!r} is unknown; choose one of {', '.join(get_args(PriorName))}")
