"""What a folder says that it holds, in a JSON file of its own: two runs are the same if these say the same."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

import msgspec
from msgspec import NODEFAULT, field

from minivae.config import TrainConfig
from minivae.models.registry import MODELS, arguments_of
from minivae.runtime.portable import place, same_place, seen_from
from minivae.runtime.records import Json, Record
from minivae.study.run.space import Method

Setting = str | int | float | bool | None
SPLIT = "split.safetensors"
"""A split that was made on the way lies in the folder of the work under this name."""


class Note(Record, frozen=True):
    """What the result in a folder is a function of; `FILE` is where that is written.

    A field that came later has a default, that of the setting: a folder from before was made with it. The fields of
    `PLACES` hold paths as seen from the folder, so that it can be moved together with them.
    """

    FILE: ClassVar[str]
    PLACES: ClassVar[frozenset[str]] = frozenset()

    def defaults(self) -> Json:
        """What was used where an older file names no value."""
        known = [f for f in msgspec.structs.fields(self) if not f.required]
        return {f.encode_name: f.default if f.default is not NODEFAULT else f.default_factory() for f in known}

    def same(self, key: str, theirs: Any, ours: Any, folder: Path) -> bool:
        """Whether two different values of a field mean the same places; older notes have paths as typed."""
        if key not in self.PLACES or theirs is None or ours is None:
            return False
        a, b = ([value] if isinstance(value, str) else value for value in (theirs, ours))
        return len(a) == len(b) and all(map(partial(same_place, folder=folder), a, b))


def note_files(kind: type[Note] = Note) -> set[str]:
    """The names that notes have in folders."""
    return {file for below in kind.__subclasses__() for file in (below.FILE, *note_files(below))}


class DataNote(Record, frozen=True):
    """The data of a run: name, where its split lies, and the fingerprint of the split."""

    name: str
    split: str
    sha256: str


def run_name(model: str, seed: int) -> str:
    """What a run is called in a study: the folder in `runs`."""
    return f"{model}-seed{seed}"


class RunNote(Note, frozen=True):
    """config.json of a run: what it is a function of, and where its data lie."""

    FILE = "config.json"
    model: str
    kind: str = field(name="class")
    arguments: Mapping[str, Setting]
    training: Mapping[str, Setting]
    data: DataNote

    def defaults(self) -> Json:
        """As of every note; the settings are those of the class of the model."""
        return super().defaults() | defaults_of(self.kind)


def defaults_of(kind: str) -> Json:
    """What was used where the settings of a model of this class have no value: they are older than it."""
    arguments = arguments_of(MODELS.find(kind, imports=False)) if kind in MODELS else {}
    return {"arguments": arguments, "training": asdict(TrainConfig())}


class SplitNote(Record, frozen=True):
    """A split, by its name and its fingerprint."""

    name: str
    sha256: str


class StudyNote(Note, frozen=True, omit_defaults=True):
    """study.json: preset, settings given by hand, the split, and a file of settings if there is one."""

    FILE = "study.json"
    preset: str
    options: Mapping[str, Setting]
    data: SplitNote
    settings: Mapping[str, Any] = {}


class CombineNote(Note, frozen=True, omit_defaults=True):
    """combine.json: the folders of the studies, and of what data they are the folds."""

    FILE = "combine.json"
    PLACES = frozenset({"studies"})
    FILES = frozenset({"data", "test", "validation", "title_file"})
    studies: Sequence[str]
    data: Mapping[str, Setting] = {}

    @classmethod
    def of(cls, folder: Path, studies: Sequence[Path], data: Mapping[str, Setting] | None = None) -> Self:
        """The note in `folder`, from which all paths are seen."""
        seen = {k: place(v, folder) if k in cls.FILES else v for k, v in (data or {}).items()}
        return cls([seen_from(folder, study) for study in studies], seen)


class SearchNote(Note, frozen=True, kw_only=True, omit_defaults=True):
    """search.json: how is searched, from which preset, on which split; not how long."""

    FILE = "search.json"
    method: Method
    seed: int
    options: Mapping[str, Setting]
    preset: str
    seeds: int = 1
    data: SplitNote
