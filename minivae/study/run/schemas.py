"""What the JSON files of a run and of a study hold; a file that holds something else is refused before use."""

from typing import Annotated, Any, Literal

import msgspec

from minivae.options import METRICS

Whole = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
Setting = str | int | float | bool | None
Name = Annotated[str, msgspec.Meta(min_length=1, pattern=r"^[^/\\]*$")]  # it becomes part of a path


class DataNote(msgspec.Struct):
    """The data of a run: name, where its split lies, and the fingerprint of the split."""

    name: str
    split: str
    sha256: str


class RunNote(msgspec.Struct):
    """config.json of a run."""

    model: str
    kind: str = msgspec.field(name="class")
    arguments: dict[str, Any]
    training: dict[str, Setting]
    data: DataNote


class Level(msgspec.Struct):
    """A mean over users and its standard error."""

    mean: float
    se: float


_Levels = msgspec.defstruct(
    "_Levels", [(f"metric_{k}", Level, msgspec.field(name=name)) for k, name in enumerate(METRICS)]
)


class Levels(_Levels):
    """Every metric of a study with its level."""


class Recommended(msgspec.Struct):
    """What a model recommends: share of the items, mean popularity."""

    coverage: float
    popularity: float


class Group(msgspec.Struct):
    """Users of one activity group, and their metrics if there are any."""

    users: Whole
    metrics: dict[str, Level]


class Metrics(msgspec.Struct):
    """metrics.json of a finished run."""

    model: Name
    seed: Whole
    validation: Levels
    epochs: Whole
    best_epoch: Whole | None
    seconds: Seconds
    parameters: Whole
    peak_memory: dict[str, Setting]
    recommended: dict[Literal["test", "validation"], Recommended]
    files: dict[str, str]
    test: Levels | msgspec.UnsetType = msgspec.UNSET
    groups: dict[str, Group] = {}


class TestedMetrics(Metrics, kw_only=True):
    """metrics.json of a finished run that has looked at the test users."""

    test: Levels  # pyright: ignore[reportGeneralTypeIssues, reportIncompatibleVariableOverride] (required)


class DivergedTrial(msgspec.Struct):
    """metrics.json of a trial that left the range of numbers."""

    diverged: str


class StudyUsers(msgspec.Struct):
    """Numbers of users in results.json, as far as they are read again."""

    training: Whole


class StudyData(msgspec.Struct):
    """The part of results.json about the data, as far as it is read again."""

    name: str
    searchable: str
    protocol: dict[str, int | float | str]
    users: StudyUsers


class StudyPreset(msgspec.Struct):
    """The part of results.json about the preset, as far as it is read again."""

    models: dict[str, dict[str, Any]]
    origin: dict[str, Any] | None = None


class StudyRun(msgspec.Struct):
    """One run of results.json, as far as it is read again."""

    model: Name
    seed: Whole


class StudyPair(msgspec.Struct):
    """One difference of results.json, as far as it is read again."""

    a: str
    b: str


class StudyResults(msgspec.Struct):
    """results.json of a study, as far as it is read again."""

    data: StudyData
    preset: StudyPreset
    runs: list[StudyRun]
    differences: list[StudyPair]


LogLine = dict[str, int | float]
IN_EVERY_LINE = ("epoch", "updates", "validation", "seconds")
