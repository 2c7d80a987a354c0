"""What the investigations take from a chapter, and how they report it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jupytext
import numpy as np
import torch

from minivae.ranking import paired_difference

FOLDER = Path(__file__).resolve().parents[1]


def names_of(number: str, *needles: str) -> dict[str, Any]:
    """What the set-up of a chapter and its cells with one of the needles define."""
    (path,) = FOLDER.glob(f"{number}_*.py")
    space: dict[str, Any] = {}
    for cell in jupytext.reads(path.read_text(encoding="utf-8"), fmt="py:percent").cells:
        setup = "setup" in cell.metadata.get("tags", [])
        if cell.cell_type == "code" and (setup or any(needle in cell.source for needle in needles)):
            exec(cell.source, space)
    return space


def interval(values: np.ndarray) -> dict[str, float]:
    """Mean and 95 % interval over users of a paired difference."""
    return paired_difference(values).interval().as_dict()


class Ranked:
    """A model of `mv.evaluate` from a function of dense histories."""

    def __init__(self, score: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.of = score

    def score(self, history: Any) -> torch.Tensor:
        return self.of(torch.tensor(history.toarray(), dtype=torch.float64))
