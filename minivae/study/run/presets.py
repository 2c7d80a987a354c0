"""Presets: which models a study compares and with which settings, one TOML file per data set.

Layers lie on one another: `default.toml`, then the preset, then a file of one's own (`--settings`), each holding only
what differs. The tables of such a file:

* ``[train]``: fields of `TrainConfig` for every trained model;
* ``[models.NAME]``: ``class``, arguments of that class, and fields of `TrainConfig`; a new name is a new model, and
  ``like`` another one that it equals in everything else;
* ``[[sections]]``: questions that the report answers by comparing some of the models; those of the last file that has
  any. ``steps`` compares each model with the one before, ``models`` each with ``against``; ``axis`` names the setting
  in which they differ;
* ``[models.NAME.search]`` and ``[search]``: the search space of one model and of all trained ones, for `minivae tune`;
* ``[origin]``: where the settings come from, as `minivae tune` writes it.
"""

import re
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

from minivae.errors import InputError
from minivae.models import VAE
from minivae.models.registry import MODELS, model_class
from minivae.study.run.model_spec import CONFIG_KEYS, ModelSpec
from minivae.study.run.settings import Layer, Section, SectionTable, Toml, check_layer, read_toml
from minivae.study.run.space import Value, parse

BASE = "default"
_PRESETS = files("minivae.study") / "presets"
TABLES = set(Layer.__struct_fields__)
DEEPEST = 50  # models that are like one another
SECTION = set(SectionTable.__struct_fields__)


@dataclass(frozen=True)
class Preset:
    """What a study may run.

    Attributes
    ----------
    name, title : str
        Of the file.
    data : str
        The data set it is meant for, "" for any.
    models : Mapping[str, ModelSpec]
        By name.
    selected : tuple[str, ...]
        The models that run unless others are named.
    sections : tuple[Section, ...]
        What the report asks.
    settings : mapping
        The file of one's own that lies on top; empty without one.
    """

    name: str
    title: str
    data: str
    models: Mapping[str, ModelSpec]
    selected: tuple[str, ...] = ()
    sections: tuple[Section, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def origin(self) -> Mapping[str, Any]:
        """How the settings were found, if `minivae tune` found them: data, draw, sha256, method, trials, seed."""
        return self.settings.get("origin", {})

    def trials(self, name: str) -> int | None:
        """How many trials of a search chose the settings of a model; None where no search is known or possible."""
        if not self.origin or not self.models[name].search:
            return None
        if name not in self.settings.get("models", {}):
            return 0
        run = self.origin.get("trials_run")  # an older search does not say it of each model
        return self.origin.get("trials") if run is None else run.get(name, 0)

    def pick(self, names: str | None) -> list[ModelSpec]:
        """The models of a comma-separated list, the selected ones for None.

        Raises
        ------
        InputError
            If a name is unknown or none is given.
        """
        if names is None:
            return [self.model(n) for n in self.selected]
        wanted = list(dict.fromkeys(n.strip() for n in names.split(",") if n.strip()))
        if not wanted:
            raise InputError(f"no model is named in {names!r}; choose some of {', '.join(self.models)}")
        return [self.model(n) for n in wanted]

    def model(self, name: str) -> ModelSpec:
        """The model of that name; `InputError` with a suggestion if there is none."""
        if name not in self.models:
            raise InputError(f"model {name!r} is not in preset {self.name}; {_hint(name, self.models)}")
        return self.models[name]


def names() -> list[str]:
    """All presets."""
    return sorted(p.name.removesuffix(".toml") for p in _PRESETS.iterdir() if p.name.endswith(".toml"))


def load(name: str, settings: Path | None = None, data: str = "") -> Preset:
    """Read a preset, with a file of one's own on top.

    Parameters
    ----------
    data : str, default ''
        Name of the data at hand; a preset that says ``over_data`` lies on the preset of that data.

    Raises
    ------
    InputError
        If there is none of that name, or the file is missing, no TOML, or holds what no model knows.
    """
    if name not in names():
        raise InputError(f"preset {name!r} does not exist; choose one of {', '.join(names())}")
    own = _read(name)
    below = [data] if own.get("over_data") and data in names() else []
    layers = {f"{n}.toml": _read(n) for n in dict.fromkeys((BASE, *below, name))}
    if settings is not None:
        layers[str(settings)] = read_toml(settings)
    for where, layer in layers.items():
        _check(layer, where)
    shared = {key: _merged([layer.get(key, {}) for layer in layers.values()]) for key in ("train", "search")}
    where = {n: file for file, layer in layers.items() for n in layer.get("models", {})}  # the last that names it
    models = {}
    for n in dict.fromkeys(n for layer in layers.values() for n in layer.get("models", {})):
        table = _table(n, layers.values(), where[n])
        models[n] = _spec(n, table, shared["train"], where[n], shared["search"])
    asking = [(file, layer["sections"]) for file, layer in layers.items() if "sections" in layer]
    sections = tuple(_section(table, asking[-1][0]) for table in asking[-1][1]) if asking else ()
    mine = layers.get(str(settings), {})
    choosing = [layer["select"] for layer in layers.values() if "select" in layer]
    selected = (*(choosing[-1] if choosing else models), *(n for n in mine.get("models", {}) if n in models))
    for n in MODELS.added():  # a registered class is a model of its own name, with the settings of all trained ones
        if n not in models:
            models[n] = _spec(n, {"class": n}, shared["train"], n, shared["search"])
    for section in sections:
        refuse_section(section, models, asking[-1][0])
    return Preset(name, own["title"], own.get("data", ""), models, tuple(dict.fromkeys(selected)), sections, mine)


def for_data(name: str, settings: Path | None = None) -> Preset:
    """The preset made for the data set of that name, else the default; with a file of one's own on top."""
    made = name in names() and not _read(name).get("over_data")
    return load(name if made else BASE, settings)


def _read(name: str) -> Toml:
    return tomllib.loads((_PRESETS / f"{name}.toml").read_text(encoding="utf-8"))


def _check(layer: Mapping[str, Any], where: str) -> None:
    """Raise `InputError` if a file holds what no preset has."""
    unknown = sorted(set(layer) - TABLES)
    if unknown:
        raise InputError(f"{where}: {unknown[0]!r} is no part of a preset; known are {', '.join(sorted(TABLES))}")
    for table in ("train", "models", "search", "origin"):
        if not isinstance(layer.get(table, {}), Mapping):
            raise InputError(f"{where}: {table} must be a table")
    origin = {k: v for k, v in layer.get("origin", {}).items() if k != "trials_run"}
    if not all(isinstance(v, Value) for v in origin.values()):
        raise InputError(f"{where}: [origin] holds more than words and numbers")
    foreign = sorted(set(layer.get("train", {})) - CONFIG_KEYS)
    if foreign:
        raise InputError(f"{where}: [train] has no setting {foreign[0]!r}; it has {', '.join(sorted(CONFIG_KEYS))}")
    if isinstance(layer.get("sections", []), list):
        for table in layer.get("sections", []):
            _section(table, where)
    check_layer(layer, where)


def _section(table: Any, where: str) -> Section:
    """A section from its table."""
    if not isinstance(table, Mapping) or not set(table) <= SECTION or "title" not in table:
        raise InputError(f"{where}: a section has title, text, and either steps or models and against; got {table!r}")
    steps, models, against = (table.get(k, []) for k in ("steps", "models", "against"))
    if not (isinstance(steps, list) and isinstance(models, list)):
        raise InputError(f"{where}: steps and models of section {table['title']!r} must be lists of names")
    if (len(steps) > 1) == (bool(models) and bool(against)):
        raise InputError(f"{where}: section {table['title']!r} needs either steps or models and against")
    pairs = [*pairwise(reversed(steps))][::-1] if steps else [(m, against) for m in models]
    pairs += [(steps[-1], steps[0])] if len(steps) > 2 else []
    return Section(table["title"], table.get("text", ""), tuple(pairs), table.get("axis", ""))


def refuse_section(section: Section, models: Mapping[str, ModelSpec], where: str) -> None:
    """Raise `InputError` if a section compares what is no model, a model with itself, or by what is no setting."""
    for name in section.names:
        if name not in models:
            raise InputError(
                f"{where}: section {section.title!r} names {name!r}, which is no model; {_hint(name, models)}"
            )
    if same := next((a for a, b in section.pairs if a == b), None):
        raise InputError(f"{where}: section {section.title!r} compares {same} with itself; name two models")
    for name in section.names if section.axis else ():
        if not models[name].has(section.axis):
            raise InputError(
                f"{where}: section {section.title!r} has the axis {section.axis!r}, which is no setting of {name}; "
                "name one that all its models have"
            )


def _hint(name: str, models: Iterable[str]) -> str:
    """What to do about a model that is not there."""
    close = get_close_matches(name, models, 1)
    return f"did you mean {close[0]}?" if close else f"choose one of {', '.join(models)}"


def _table(name: str, layers: Collection[Mapping[str, Any]], where: str, above: tuple[str, ...] = ()) -> Toml:
    """Everything that is said of a model, and of the one that it is like."""
    table = _merged([layer.get("models", {}).get(name, {}) for layer in layers])
    like = table.pop("like", None)
    if like is None:
        return table
    if len(above) > DEEPEST:
        raise InputError(f"{where}: model {above[0]} is like a model that is like another, over {DEEPEST} times")
    if like in above or like == name or not any(like in layer.get("models", {}) for layer in layers):
        raise InputError(f"{where}: model {name} is like {like!r}, which is no other model")
    return _merged([_table(like, layers, where, (*above, name)), table])


def _merged(tables: Sequence[Any]) -> Toml:
    """Tables on top of each other; a table within a table is merged too, but not a range."""
    result: Toml = {}
    for table in tables:
        if not isinstance(table, Mapping):
            raise InputError(f"expected a table of a model's settings, got {table!r}")
        for key, value in table.items():
            old = result.get(key)
            if key == "search" and isinstance(value, Mapping) and isinstance(old, Mapping):
                result[key] = {**old, **value}
            else:
                result[key] = value
    return result


def _spec(
    name: str, table: Mapping[str, Any], shared: Mapping[str, Any], where: str, search: Mapping[str, Any] | None = None
) -> ModelSpec:
    """A model from its table; settings of the model itself are what makes it that model, so the shared search space
    leaves them alone."""
    if not re.fullmatch(r"\w[\w.+=-]*", name):
        raise InputError(
            f"{where}: {name!r} cannot name a model, since it names a folder; use letters, digits and . + = -"
        )
    kind = cast("str", table.get("class"))  # the next line refuses anything else
    try:
        trained = issubclass(model_class(kind), VAE)
    except InputError as e:
        raise InputError(f"{where}: model {name} has class {kind!r}; known are {', '.join(MODELS)} ({e})") from e
    own = {k: v for k, v in table.items() if k not in ("class", "search")}
    spaces = {k: v for k, v in (search or {}).items() if k not in own} if trained else {}
    spaces |= table.get("search", {})
    try:
        spec = ModelSpec(name, kind, {}, shared if trained else {}).changed(own)
        for key in spaces:
            spec.value(key)
    except InputError as e:
        raise InputError(f"{where}: {e}") from e
    return replace(spec, search={k: parse(k, v, f"{where}: model {name}") for k, v in spaces.items()})
