"""What the folders of `minivae theory` and `minivae explain` depend on: flags, each with its default."""

import re
from pathlib import Path
from typing import Any, ClassVar, Self

from msgspec.structs import replace

from minivae.cli.flags import Explain, Theory
from minivae.runtime.portable import place
from minivae.study.run.notes import Note


class TheoryNote(Note, frozen=True):
    """theory.json: the data and models that a card and observations are of."""

    FILE = "theory.json"
    PLACES = frozenset({"data", "model", "study"})
    data: str = "planted"
    model: str = ""
    study: str = ""
    users: int = Theory.users
    seed: int = Theory.seed
    seeds: int = Theory.seeds

    @classmethod
    def of(cls, options: Theory, folder: Path, split: str | None) -> Self:
        """The values of the flags, in `folder`; `split` is the name of the data unless they are a table."""
        data = place(options.data, folder) if split is None else split
        model, study = ("" if path is None else place(path, folder) for path in (options.model, options.study))
        return cls(data, model, study, options.users, options.seed, options.seeds)


class TrainedOnNote(Note, frozen=True):
    """trained-on.json: the fingerprint of the split that trainings in a folder are of."""

    FILE = "trained-on.json"
    fingerprint: str = ""


class ExplainNote(Note, frozen=True):
    """explain.json: the question, and the flags that its answer depends on, each as a word.

    UNREAD: fields that only keep the notes of every question alike.
    """

    FILE = "explain.json"
    UNREAD: ClassVar[frozenset[str]] = frozenset()
    PLACES = frozenset({"data", "model", "groups", "features", "study"})
    what: str = Explain.what
    data: str = str(Explain.data)
    heldout: str = str(Explain.heldout)
    split_seed: str = str(Explain.split_seed)

    @classmethod
    def flags(cls) -> set[str]:
        """The flags that this question reads."""
        return {*cls.__struct_fields__, "out", "resume"} - cls.UNREAD

    @classmethod
    def of(cls, options: Explain) -> Self:
        """The values of the flags."""
        values = {name: getattr(options, name) for name in cls.__struct_fields__}
        return cls(**{name: place(v, options.out) if name in cls.PLACES else str(v) for name, v in values.items()})


class TransferNote(ExplainNote, frozen=True):
    """`minivae explain transfer`."""

    model: str = str(Explain.model)
    users: str = str(Explain.users)
    groups: str = str(Explain.groups)
    epochs: str = str(Explain.epochs)


class LdsNote(ExplainNote, frozen=True):
    """`minivae explain lds`."""

    subsets: str = str(Explain.subsets)
    receivers: str = str(Explain.receivers)
    epochs: str = str(Explain.epochs)
    hidden: str = str(Explain.hidden)
    latent: str = str(Explain.latent)
    again: str = str(Explain.again)


class AnchorsNote(ExplainNote, frozen=True):
    """`minivae explain anchors`."""

    UNREAD = frozenset({"data", "heldout", "split_seed"})
    study: tuple[str, ...] | str = ()

    @classmethod
    def of(cls, options: Explain) -> Self:
        """As of every note; of several folders each is a word of its own."""
        return replace(super().of(options), study=tuple(place(folder, options.out) for folder in options.study))

    def same(self, key: str, theirs: Any, ours: Any, folder: Path) -> bool:
        """As of every note; an older one has the folders as Python shows a tuple of them."""
        older = key == "study" and isinstance(theirs, str)
        return super().same(key, re.findall(r"Path\('([^']*)'\)", theirs) if older else theirs, ours, folder)


class FarNote(ExplainNote, frozen=True):
    """`minivae explain far`."""

    users: str = str(Explain.users)
    seeds: str = str(Explain.seeds)
    features: str = str(Explain.features)
    epochs: str = str(Explain.epochs)
    hidden: str = str(Explain.hidden)
    latent: str = str(Explain.latent)


class RemovalNote(ExplainNote, frozen=True):
    """`minivae explain removal`."""

    receivers: str = str(Explain.receivers)
    helpers: str = str(Explain.helpers)
    epochs: str = str(Explain.epochs)
    hidden: str = str(Explain.hidden)
    latent: str = str(Explain.latent)


QUESTIONS: dict[str, type[ExplainNote]] = {
    "transfer": TransferNote,
    "lds": LdsNote,
    "far": FarNote,
    "anchors": AnchorsNote,
    "removal": RemovalNote,
}
"""The note of each question of `minivae explain`."""
