"""Presets: which models a study compares and with which settings, one TOML file per data set."""

import inspect
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from importlib.resources import files
from typing import Any

from minivae.errors import InputError
from minivae.models import EASE, VAE, Popularity
from minivae.models.saved import CLASSES
from minivae.training import TrainConfig

BASE = "default"
BASELINES: dict[str, type] = {"Popularity": Popularity, "EASE": EASE}
CONFIG_KEYS = {f.name for f in fields(TrainConfig)}


@dataclass(frozen=True)
class ModelSpec:
    """One row of a study.

    Attributes
    ----------
    name : as in tables, for instance "multvae+anchor".
    kind : name of the model's class.
    arguments : of the constructor, without the number of items.
    settings : fields of `TrainConfig`; empty for baselines.
    """

    name: str
    kind: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def trained(self) -> bool:
        """Whether it learns step by step, so that seeds and epochs matter."""
        return self.kind in CLASSES

    def config(self, **changes: Any) -> TrainConfig:
        """The training settings with those of `changes` that are not None."""
        return TrainConfig(**{**self.settings, **{k: v for k, v in changes.items() if v is not None}})

    def build(self, n_items: int) -> VAE | EASE | Popularity:
        """A new model, not trained."""
        if self.trained:
            return CLASSES[self.kind](n_items, **self.arguments)
        return BASELINES[self.kind](**self.arguments)


@dataclass(frozen=True)
class Preset:
    """Title, the data it is meant for ("" for any), and the models by name."""

    name: str
    title: str
    data: str
    models: Mapping[str, ModelSpec]

    def pick(self, names: str | None) -> list[ModelSpec]:
        """The models of a comma-separated list, all of them for None.

        Raises
        ------
        InputError
            If a name is unknown or none is given.
        """
        if names is None:
            return list(self.models.values())
        wanted = list(dict.fromkeys(n.strip() for n in names.split(",") if n.strip()))
        if not wanted:
            raise InputError(f"no model is named in {names!r}; choose some of {', '.join(self.models)}")
        return [self.model(n) for n in wanted]

    def model(self, name: str) -> ModelSpec:
        """The model of that name; `InputError` with a suggestion if there is none."""
        if name not in self.models:
            close = get_close_matches(name, self.models, 1)
            hint = f"did you mean {close[0]}?" if close else f"choose one of {', '.join(self.models)}"
            raise InputError(f"model {name!r} is not in preset {self.name}; {hint}")
        return self.models[name]


def names() -> list[str]:
    """All presets."""
    return sorted(p.name.removesuffix(".toml") for p in files(__package__).iterdir() if p.name.endswith(".toml"))


def load(name: str) -> Preset:
    """Read a preset.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if name not in names():
        raise InputError(f"preset {name!r} does not exist; choose one of {', '.join(names())}")
    base, own = _read(BASE), _read(name)
    shared = {**base["train"], **own.get("train", {})}
    tables = {n: {**t, **own.get("models", {}).get(n, {})} for n, t in base["models"].items()}
    tables |= {n: t for n, t in own.get("models", {}).items() if n not in tables}
    models = {n: _spec(n, t, shared, f"{name}.toml") for n, t in tables.items()}
    return Preset(name, own["title"], own.get("data", ""), models)


def for_data(name: str) -> Preset:
    """The preset made for the data set of that name, else the default."""
    return load(name if name in names() else BASE)


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((files(__package__) / f"{name}.toml").read_text(encoding="utf-8"))


def _spec(name: str, table: Mapping[str, Any], shared: Mapping[str, Any], where: str) -> ModelSpec:
    kind = table.get("class")
    cls = (BASELINES | CLASSES).get(kind)
    if cls is None:
        raise InputError(f"{where}: model {name} has class {kind!r}; known are {', '.join(BASELINES | CLASSES)}")
    known = set(inspect.signature(cls).parameters) - {"n_items"}
    settings = {k: v for k, v in table.items() if k in CONFIG_KEYS} if kind in CLASSES else {}
    arguments = {k: v for k, v in table.items() if k != "class" and k not in settings}
    for key in arguments:
        if key not in known:
            raise InputError(f"{where}: model {name} has an unknown setting {key!r}")
    return ModelSpec(name, kind, arguments, {**shared, **settings} if kind in CLASSES else {})
