"""Models by name: those of the package, and those that others add."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from minivae.errors import InputError
from minivae.models.baseline import Baseline
from minivae.models.ease import EASE, EDLAE
from minivae.models.hvamp import HVamp
from minivae.models.ials import IALS
from minivae.models.multdae import MultDAE
from minivae.models.multvae import MultVAE
from minivae.models.popularity import Popularity
from minivae.models.recvae import RecVAE
from minivae.models.slim import SLIM
from minivae.models.vae import VAE
from minivae.runtime.registry import Registry

Model = TypeVar("Model", bound=type)

MODELS: Registry[type[Any]] = Registry(
    "model",
    {c.__name__: c for c in (Popularity, EASE, EDLAE, SLIM, IALS, MultVAE, MultDAE, RecVAE, HVamp)},
)


def register_model(name: str) -> Callable[[Model], Model]:
    """Decorator: let studies, settings and saved files find a class by `name`.

    Parameters
    ----------
    name : str
        What ``class = "name"`` says in a TOML file and what a saved model remembers.

    Raises
    ------
    InputError
        If the class is neither a `VAE` nor a `Baseline`, or the name is taken.

    Examples
    --------
    >>> @register_model("Small_in_example")
    ... class Small(MultVAE):
    ...     def __init__(self, n_items: int) -> None:
    ...         super().__init__(n_items, hidden=4, latent=2)
    >>> model_class("Small_in_example").__name__
    'Small'
    """
    add = MODELS.register(name)

    def register(cls: Model) -> Model:
        derived = isinstance(cls, type) and issubclass(cls, VAE | Baseline)
        if not derived:
            raise InputError(f"{cls!r} is no model; derive it from minivae.VAE or minivae.Baseline")
        add(cls)
        return cls  # pyright: ignore[reportReturnType] (the class that came in)

    return register


def model_class(name: object, imports: bool = True) -> type[VAE] | type[Baseline]:
    """The class of that name, or "package.module:Class"; arguments and errors as of `Registry.find`."""
    cls = MODELS.find(name, imports)
    if not (isinstance(cls, type) and issubclass(cls, VAE | Baseline)):
        raise InputError(f"{name} is no model; it must derive from minivae.VAE or minivae.Baseline")
    if issubclass(cls, Baseline) and inspect.isabstract(cls):
        lacking = ", ".join(sorted(cls.__abstractmethods__))
        raise InputError(f"{name} lacks {lacking}; help(minivae.Baseline) says what each is")
    return cls


def arguments_of(cls: type[VAE] | type[Baseline]) -> dict[str, Any]:
    """The arguments of a model's constructor with their defaults, the number of items apart."""
    named = (p for p in inspect.signature(cls).parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD))
    return {p.name: p.default for p in named if p.name != "n_items"}
