"""What the JSON files of a run and of a study hold: the same types are written, read, checked, and shown."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import field

from minivae.config import TrainConfig
from minivae.data.catalogue import Description
from minivae.errors import InputError
from minivae.options import METRICS
from minivae.ranking import Difference
from minivae.runtime.memory import Peak
from minivae.runtime.records import Record
from minivae.study.run.notes import Setting
from minivae.study.run.settings import Section

Whole = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Name = Annotated[str, msgspec.Meta(min_length=1, pattern=r"^[^/\\]*$")]  # it becomes part of a path
Part = Literal["test", "validation"]
IN_EVERY_LINE = ("epoch", "updates", "validation", "seconds")


class Level(Record, frozen=True, omit_defaults=True):
    """A mean over users and its standard error; that over seeds, where there are several."""

    mean: float
    se: NotNegative
    seed_se: NotNegative | None = None


Levels = Mapping[str, Level]
"""Metric -> level."""
HIGHEST = 1 + 1e-9
"""A metric of `METRICS` is at most 1, up to rounding."""


def check_levels(levels: Levels) -> None:
    """Raise `ValueError` if a metric that every run has lies outside 0 to 1; others may be in bits."""
    for metric in METRICS:
        level = levels.get(metric)
        if level is not None and not (0 <= level.mean <= HIGHEST and level.se <= HIGHEST):
            raise ValueError(f"{metric} of {level.mean} ± {level.se} is not between 0 and 1")


class Recommended(Record, frozen=True):
    """What a model recommends: share of the items, mean popularity."""

    coverage: Share
    popularity: NotNegative


class Group(Record, frozen=True):
    """Users of one activity group, and their metrics if there are any."""

    users: Whole
    metrics: Levels

    def __post_init__(self) -> None:
        check_levels(self.metrics)


class Metrics(Record, frozen=True, kw_only=True, omit_defaults=True):
    """metrics.json of a finished run; one of a search has not looked at the test users."""

    model: Name
    seed: Whole
    test: Levels | None = None
    validation: Levels
    epochs: Whole
    best_epoch: Whole | None
    seconds: NotNegative
    parameters: Whole
    peak_memory: Peak
    files: Mapping[str, str]
    recommended: Mapping[Part, Recommended]
    groups: Mapping[str, Group] = {}

    def __post_init__(self) -> None:
        for levels in (self.test, self.validation):
            if levels is not None and (missing := [m for m in METRICS if m not in levels]):
                raise ValueError(f"there is no {missing[0]}")
            check_levels(levels or {})

    def levels(self, part: Part = "test") -> Levels:
        """The metrics of one part; `InputError` if the run has not looked at it."""
        found = self.test if part == "test" else self.validation
        if found is None:
            raise InputError(f"the run of {self.model} with seed {self.seed} has not looked at the {part} users")
        return found


class DivergedTrial(Record, frozen=True):
    """metrics.json of a trial that left the range of numbers."""

    diverged: str


def config_of(training: Mapping[str, Setting]) -> TrainConfig:
    """The settings of training in a file; `InputError` if there are none such."""
    try:
        return TrainConfig(**training)  # pyright: ignore[reportArgumentType] (it checks its values itself)
    except TypeError as e:
        raise InputError(f"no training has these settings ({e})") from e


class Doubt(Record, frozen=True):
    """Why the runs of a model do not allow a conclusion.

    Attributes
    ----------
    model : str
        Its name.
    what : str
        In some words, for a table.
    detail : str
        A sentence.
    flags : Mapping[str, int]
        Flags of `minivae study` that remove the doubt.
    search : bool
        Whether a search is needed first.
    """

    model: str
    what: str
    detail: str
    flags: Mapping[str, int]
    search: bool = False


class ModelSettings(Record, frozen=True):
    """How a model of a study was made and trained; `trials` of a search, None where there is nothing to search."""

    kind: str = field(name="class")
    arguments: Mapping[str, Setting]
    training: Mapping[str, Setting]
    trials: int | None = None

    @property
    def config(self) -> TrainConfig | None:
        """How it was trained, None of a baseline; `InputError` if no training has such settings."""
        return config_of(self.training) if self.training else None


class PresetNote(Record, frozen=True):
    """The preset of a study; `origin` says which search found the settings, if one did."""

    name: str
    title: str
    models: Mapping[str, ModelSettings]
    origin: Mapping[str, Setting | Mapping[str, int]]


class StudyData(Description, frozen=True):
    """The data of a study, what was asked for, and the fingerprint of the users that a search may look at."""

    source: Mapping[str, Setting]
    searchable: str


class Environment(Record, frozen=True):
    """Machine and versions, as far as the numbers depend on them."""

    minivae: str
    python: str
    torch: str
    numpy: str
    platform: str
    processor: str
    cores: int | None
    threads: int
    device: str
    products: str


class RunRow(Record, frozen=True):
    """A run in results.json: what its metrics.json says."""

    model: Name
    seed: Whole
    split: Literal["test"]
    metrics: Levels
    validation: Levels
    epochs: Whole
    best_epoch: Whole | None
    seconds: NotNegative
    parameters: Whole
    peak_memory: Peak
    recommended: Mapping[Part, Recommended]
    groups: Mapping[str, Group]


class ModelSummary(Record, frozen=True):
    """All runs of a model: test metrics, by activity too, and what is recommended."""

    model: str
    seeds: int
    metrics: Levels
    groups: Mapping[str, Group]
    coverage: float
    popularity: float


class Comparison(Record, frozen=True):
    """A paired difference a − b of a metric with its 95 % interval, and what is against a conclusion."""

    a: str
    b: str
    metric: str
    difference: float
    se: float
    low: float
    high: float
    users: int
    doubts: Sequence[Doubt] = []


class GroupDifference(Record, frozen=True, omit_defaults=True):
    """A difference over the users of one activity group; none where there are fewer than two."""

    users: int
    difference: float | None = None
    se: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def found(self) -> Difference | None:
        """The difference, if there is one."""
        numbers = [n for n in (self.difference, self.se, self.low, self.high) if n is not None]
        return Difference(*numbers) if numbers else None


class Claim(Record, frozen=True):
    """The difference of a model with anchors (a) to the same without (b), what may be said of it, and by activity."""

    claim: str
    a: str = field(name="with")
    b: str = field(name="without")
    metric: str
    difference: float
    se: float
    low: float
    high: float
    verdict: str
    doubts: Sequence[Doubt]
    users: int
    groups: Mapping[str, GroupDifference]


class BothRecalls(Record, frozen=True):
    """Mean Recall@k with min(k, n) in the denominator, and with n."""

    min: float
    n: float


class RecallRow(Record, frozen=True):
    """Both recalls of a model at both cutoffs."""

    model: str
    at_20: BothRecalls = field(name="recall@20")
    at_50: BothRecalls = field(name="recall@50")

    def at(self, k: int) -> BothRecalls:
        """The recalls at one cutoff, 20 or 50."""
        return {20: self.at_20, 50: self.at_50}[k]


class RecallDefinitions(Record, frozen=True):
    """What the definition of recall changes: one row per model, and k -> test users with more held-out items than k."""

    rows: Sequence[RecallRow]
    users: Mapping[str, int]


class Study(Record, frozen=True):
    """results.json of a study; `to_decide` is the command that decides what is not decided, or ""."""

    command: str
    date: str
    to_decide: str = field(name="to decide")
    data: StudyData
    environment: Environment
    preset: PresetNote
    runs: Sequence[RunRow]
    summary: Sequence[ModelSummary]
    differences: Sequence[Comparison]
    claims: Sequence[Claim]
    sections: Sequence[Section]
    recall_definitions: RecallDefinitions = field(name="recall definitions")
