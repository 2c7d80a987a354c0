"""What the folders of `minivae theory` and `minivae explain` depend on: flags, each with its default."""

from typing import Self

from minivae.cli.flags import Explain, Theory
from minivae.study.run.notes import Note


class TheoryNote(Note, frozen=True):
    """theory.json: the data and models that a card and observations are of."""

    FILE = "theory.json"
    data: str = "planted"
    model: str = ""
    study: str = ""
    users: int = Theory.users
    seed: int = Theory.seed
    seeds: int = Theory.seeds


class ExplainNote(Note, frozen=True):
    """explain.json: the question, and the flags that its answer depends on, each as a word."""

    FILE = "explain.json"
    what: str = Explain.what
    data: str = str(Explain.data)
    heldout: str = str(Explain.heldout)
    split_seed: str = str(Explain.split_seed)

    @classmethod
    def of(cls, options: Explain) -> Self:
        """The values of the flags."""
        return cls(**{name: str(getattr(options, name)) for name in cls.__struct_fields__})


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

    study: str = str(Explain.study)


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
