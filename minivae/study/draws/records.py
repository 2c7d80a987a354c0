"""What is read of several studies, and what they give together."""

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import field

from minivae.runtime.records import Record
from minivae.study.draws.pooling import Pooled
from minivae.study.run.records import Doubt, Level, ModelSettings, Name, Setting, Whole


class UsersRead(Record, frozen=True):
    """Numbers of users in results.json, as far as they are read again."""

    training: Whole


class DataRead(Record, frozen=True):
    """The part of results.json about the data, as far as it is read again."""

    name: str
    searchable: str
    protocol: Mapping[str, int | float | str]
    users: UsersRead


class PresetRead(Record, frozen=True):
    """The part of results.json about the preset, as far as it is read again."""

    models: Mapping[str, ModelSettings]
    origin: Mapping[str, Setting | Mapping[str, int]] | None = None


class RunRead(Record, frozen=True):
    """One run of results.json, as far as it is read again."""

    model: Name
    seed: Whole


class PairRead(Record, frozen=True):
    """One difference of results.json, as far as it is read again."""

    a: str
    b: str


class StudyRead(Record, frozen=True):
    """results.json of a study, of any version, as far as it is read again."""

    data: DataRead
    preset: PresetRead
    runs: Sequence[RunRead]
    differences: Sequence[PairRead]


class MeanDifference(Record, frozen=True):
    """A paired difference of one draw, as `minivae.ranking.Difference` has it."""

    difference: float
    se: float
    low: float
    high: float


class PooledLevel(Record, frozen=True):
    """A metric of a model in each draw, and pooled."""

    model: str
    metric: str
    draws: Sequence[Level]
    pooled: Pooled


class PooledDifference(Record, frozen=True):
    """A difference a − b in each draw and pooled, what is said of it, and what is against a conclusion."""

    a: str
    b: str
    metric: str
    draws: Sequence[MeanDifference]
    pooled: Pooled
    verdict: str
    doubts: Sequence[Doubt]

    @property
    def difference(self) -> float:
        """The mean over draws."""
        return self.pooled.difference

    @property
    def low(self) -> float:
        """Lower end of the pooled interval."""
        return self.pooled.low

    @property
    def high(self) -> float:
        """Upper end of the pooled interval."""
        return self.pooled.high


class UsersTested(Record, frozen=True):
    """Test users of each draw, and how many different ones they are."""

    each: Sequence[int]
    different: int


class Combined(Record, frozen=True, omit_defaults=True):
    """combined.json; `to_decide` is the command that decides what is not decided, where it is known.

    `seeds` are the fewest runs that a model has in any draw. `searched_on` are the draws whose validation users the
    settings were searched on; `searched_elsewhere`: on those of none of them.
    """

    data: str
    draws: Sequence[str]
    design: Literal["draws", "folds"]
    seeds: Mapping[str, int]
    test_users: UsersTested = field(name="test users")
    training_users: Sequence[int] = field(name="training users")
    searched_on: Sequence[str] = field(name="searched on")
    levels: Sequence[PooledLevel]
    differences: Sequence[PooledDifference]
    to_decide: str = field(name="to decide", default="")
    searched_elsewhere: bool = field(name="searched elsewhere", default=False)

    @property
    def kind(self) -> str:
        """Draw or fold."""
        return self.design.removesuffix("s")
