"""A prior by its name."""

import inspect
from collections.abc import Callable

from torch import nn

from minivae.errors import InputError
from minivae.models.priors.composite import CompositePrior
from minivae.models.priors.normal import NormalPrior
from minivae.models.priors.prior import Prior
from minivae.models.priors.vamp import VampPrior
from minivae.options import PriorName
from minivae.runtime.registry import Registry

MakePrior = Callable[..., Prior]


def _vamp(n_items: int, components: int) -> Prior:
    if components < 1:
        raise InputError(f"components={components} is not possible; a VampPrior needs at least 1")
    return VampPrior(n_items, components)


PRIORS: Registry[MakePrior] = Registry("prior", {"normal": NormalPrior, "composite": CompositePrior, "vamp": _vamp})


def register_prior(name: str) -> Callable[[MakePrior], MakePrior]:
    """Decorator: make a subclass of `Prior` the prior `name` of every VAE that lets its prior be chosen.

    Parameters
    ----------
    name : str
        Of the argument ``prior``. The class is called with those of `encoder`, `n_items`, `latent` and `components`
        that its constructor names.

    Examples
    --------
    >>> from minivae.models import MultVAE
    >>> @register_prior("flat_in_example")
    ... class Flat(Prior):
    ...     def log_prob(self, z, batch, encoder):
    ...         return z.new_zeros(len(z))
    >>> type(MultVAE(5, hidden=4, latent=2, prior="flat_in_example").prior).__name__
    'Flat'
    """
    return PRIORS.register(name)


def make_prior(name: PriorName | str, encoder: nn.Module, n_items: int, components: int, latent: int) -> Prior:
    """`normal`, `composite` (with a frozen copy of `encoder`), `vamp` (with `components` pseudo-inputs), or your own.

    Raises
    ------
    InputError
        For an unknown name, or a VampPrior with less than one component.
    """
    make = PRIORS.find(name)
    given = {"encoder": encoder, "n_items": n_items, "components": components, "latent": latent}
    try:
        signature = inspect.signature(make)
        arguments = {k: v for k, v in given.items() if k in signature.parameters}
        signature.bind(**arguments)
    except (TypeError, ValueError) as e:  # a class in C does not say what it takes
        raise InputError(
            f"prior={name!r} cannot be made ({e}); it may name {', '.join(given)}, and nothing else"
        ) from e
    prior = make(**arguments)
    if not isinstance(prior, Prior):
        raise InputError(
            f"prior={name!r} gives a {type(prior).__name__}; it must derive from minivae.models.priors.Prior"
        )
    if type(prior).log_prob is Prior.log_prob and type(prior).kl is Prior.kl:
        raise InputError(
            f"prior={name!r} lacks log_prob(z, batch, encoder); help(minivae.models.priors.Prior) says more"
        )
    return prior
