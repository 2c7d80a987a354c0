"""Flags of `minivae course`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from minivae.cli.flags.source import option


@dataclass(frozen=True)
class Course:
    out: Annotated[Path, option("DIR", "course")] = Path("course")
    """Where the notebooks go; an existing file is never written over."""
    solutions: bool = False
    """With solutions and outputs, in place of empty cells."""
