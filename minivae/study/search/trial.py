"""One setting of one model in a search, its runs, and where they are kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from minivae.study.run import space
from minivae.study.run.model_spec import ModelSpec
from minivae.study.run.runs import Job


@dataclass(frozen=True)
class Trial:
    """One setting of one model.

    Attributes
    ----------
    spec : ModelSpec
        The model as it is in the preset.
    number : int
        0, 1, ... within its model.
    settings : Mapping[str, space.Value]
        What is changed.
    jobs : tuple of Job
        What is run, once per seed.
    """

    spec: ModelSpec
    number: int
    settings: Mapping[str, space.Value]
    jobs: tuple[Job, ...]

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.spec.name}, trial {self.number}"

    @property
    def job(self) -> Job:
        """The run with the first seed."""
        return self.jobs[0]

    def folder(self, out: Path, job: Job) -> Path:
        """Where a run of it is kept."""
        later = "" if job is self.job else f"-seed{job.config.seed}"
        return out / "trials" / self.spec.name / f"{self.number:03d}{later}"

    def values(self) -> dict[str, space.Value]:
        """The value of every key that is searched, changed or not."""
        return {key: self.settings.get(key, self.spec.value(key)) for key in self.spec.search}
