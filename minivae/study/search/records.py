"""What the JSON files of a search hold."""

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import UNSET, UnsetType, field

from minivae.options import SELECTION
from minivae.runtime.records import Record
from minivae.study.run.notes import RunNote, Setting
from minivae.study.run.records import Levels
from minivae.study.run.space import Method, Value

Space = Sequence[Value] | Mapping[str, Value]
"""A list of values, or low, high and log of a range."""


class TrialNote(RunNote, frozen=True):
    """config.json of a run of a trial: which trial, and what it changes."""

    trial: int
    settings: Mapping[str, Value]


class Tried(Record, frozen=True):
    """A finished trial: its settings, and what they gave or why it diverged; `seeds` are the scores of several runs."""

    trial: int
    settings: Mapping[str, Value]
    validation: Levels | UnsetType = UNSET
    epochs: int | UnsetType = UNSET
    best_epoch: int | UnsetType | None = UNSET
    seconds: float | UnsetType = UNSET
    parameters: int | UnsetType = UNSET
    diverged: str | UnsetType = UNSET
    seeds: Mapping[str, float] | UnsetType = UNSET

    @property
    def score(self) -> float:
        """Validation nDCG@100; −∞ of a trial that diverged."""
        return self.validation[SELECTION].mean if self.validation else -np.inf


class Searched(Record, frozen=True):
    """The search for one model: its space, what was chosen, whether that lies at an end, and all trials."""

    kind: str = field(name="class")
    space: Mapping[str, Space]
    epochs_limit: int | None = field(name="epochs limit")
    chosen: int
    settings: Mapping[str, Value]
    all_settings: Mapping[str, Setting] = field(name="all settings")
    own_first: bool = field(name="own first")
    at_an_end: Sequence[str] = field(name="at an end")
    trials: Sequence[Tried]

    @property
    def best(self) -> Tried:
        """The trial that was chosen."""
        return self.trials[self.chosen]


class SearchData(Record, frozen=True):
    """The data of a search; the fingerprint is that of what a search may look at."""

    name: str
    sha256: str
    items: int
    users: Mapping[str, int]
    protocol: Mapping[str, int | float | str]


class Design(Record, frozen=True):
    """How was searched: trials a model at most, seed, runs of a trial, and the metric that decides."""

    method: Method
    budget: int
    seed: int
    seeds: int
    metric: str


class SearchResults(Record, frozen=True):
    """All trials of a search, model by model."""

    data: SearchData
    preset: str
    search: Design
    options: Mapping[str, Setting]
    models: Mapping[str, Searched]
