"""One row of a study: a model's class, its arguments, its training settings, and what a search may vary of them."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, cast

from minivae.config import TrainConfig
from minivae.errors import InputError
from minivae.models import VAE, Baseline
from minivae.models.registry import arguments_of, model_class
from minivae.study.run.settings import check_argument
from minivae.study.run.space import Choice, Range

CONFIG_KEYS = {f.name for f in fields(TrainConfig)}


@dataclass(frozen=True)
class ModelSpec:
    """One row of a study.

    Attributes
    ----------
    name : str
        As in tables, for instance "multvae+anchor".
    kind : str
        Name of the model's class.
    arguments : mapping
        Of the constructor, without the number of items.
    settings : mapping
        Fields of `TrainConfig`; empty for baselines.
    search : Mapping[str, Choice | Range]
        Which of the two `minivae tune` varies, and over what.
    """

    name: str
    kind: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    search: Mapping[str, Choice | Range] = field(default_factory=dict)

    @property
    def trained(self) -> bool:
        """Whether it learns step by step, so that seeds and epochs matter."""
        return issubclass(model_class(self.kind), VAE)

    def config(self, **changes: Any) -> TrainConfig:
        """The training settings with those of `changes` that are not None."""
        return TrainConfig(**{**self.settings, **{k: v for k, v in changes.items() if v is not None}})

    def value(self, key: str) -> Any:
        """A setting or an argument, by default that of `TrainConfig` or of the model's class.

        Raises
        ------
        InputError
            If the model has no such setting.
        """
        if not self.has(key):
            known = ", ".join(sorted([*arguments_of(model_class(self.kind)), *(CONFIG_KEYS if self.trained else ())]))
            raise InputError(f"model {self.name} has no setting {key!r}; it has {known or 'none'}")
        if self.trained and key in CONFIG_KEYS:
            return getattr(self.config(), key)
        return self.arguments.get(key, arguments_of(model_class(self.kind))[key])

    def has(self, key: str) -> bool:
        """Whether the model has such a setting."""
        return key in arguments_of(model_class(self.kind)) or (self.trained and key in CONFIG_KEYS)

    def changed(self, values: Mapping[str, Any]) -> "ModelSpec":
        """The same model with other settings or arguments; `InputError` for one that it does not have."""
        for key, value in values.items():
            self.value(key)
            if not (self.trained and key in CONFIG_KEYS):
                check_argument(model_class(self.kind), key, value)
        settings = {k: v for k, v in values.items() if self.trained and k in CONFIG_KEYS}
        arguments = {k: v for k, v in values.items() if k not in settings}
        return replace(self, arguments={**self.arguments, **arguments}, settings={**self.settings, **settings})

    def build(self, n_items: int) -> VAE | Baseline:
        """A new model, not trained."""
        return self.build_vae(n_items) if self.trained else self.build_baseline()

    def build_vae(self, n_items: int) -> VAE:
        """The same, of a class that is trained step by step."""
        return cast("Callable[..., VAE]", self._class())(n_items, **self.arguments)

    def build_baseline(self) -> Baseline:
        """The same, of a class that is fitted at once."""
        return cast("Callable[..., Baseline]", self._class())(**self.arguments)

    def _class(self) -> type[VAE] | type[Baseline]:
        """The class of the model; `InputError` if it needs an argument that has no value."""
        cls = model_class(self.kind)
        for name, default in arguments_of(cls).items():
            if default is inspect.Parameter.empty and name not in self.arguments:
                raise InputError(f"model {self.name} has no value of {name!r}: write it in the settings, or a default")
        return cls
