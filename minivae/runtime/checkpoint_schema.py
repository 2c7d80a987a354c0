"""What a checkpoint may hold: checked before native code sees it, since a forger of content forges the checksum too.

Fused Adam reads and writes its moments without looking at their lengths, so every array is compared with the model.
"""

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import numpy as np
from torch import nn

Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]
MOMENTS = ("exp_avg", "exp_avg_sq")
FINITE_IN_LOG = ("validation", "seconds")


class Position(msgspec.Struct, forbid_unknown_fields=True):
    """Where a run stands between two updates.

    Attributes
    ----------
    epoch : Count
        Epochs done.
    batches : Count
        Updates done in the current epoch.
    seconds : Annotated[float, msgspec.Meta(ge=0)]
        Spent on the current epoch.
    best_epoch : Count
    best_score : float
        The epoch that ranked the validation users best, and how well; 0 and −∞ before the first.
    users : dict[str, Count]
        Users behind each sum of the current epoch.
    """

    epoch: Count
    batches: Count
    seconds: Annotated[float, msgspec.Meta(ge=0)]
    best_epoch: Count
    best_score: float
    users: dict[str, Count] = msgspec.field(name="_users")


LogLine = dict[str, int | float]
"""What is said of an epoch. Beside what every line has, the terms of the loss, which differ by model."""
Log = list[LogLine]


def read_progress(meta: Mapping[str, str], updates: int) -> tuple[Position, Log]:
    """Position and log of a checkpoint with `updates` updates an epoch.

    Raises
    ------
    KeyError, TypeError, ValueError, RecursionError
        If they are missing, of other types, out of range, or contradict each other.
    """
    position = msgspec.convert(json.loads(meta["position"]), Position)
    log = msgspec.convert(json.loads(meta["log"]), Log)
    if not math.isfinite(position.seconds) or position.batches > updates:
        raise ValueError(f"its position is update {position.batches} of {updates} after {position.seconds} s")
    if [line.get("epoch") for line in log] != list(range(1, position.epoch + 1)):
        raise ValueError(f"its log has not one line for each of its {position.epoch} epochs")
    for line in log:
        if not all(math.isfinite(line[name]) for name in FINITE_IN_LOG):
            raise ValueError(f"its log holds a value that is not finite in epoch {line['epoch']}")
    best = log[position.best_epoch - 1]["validation"] if 0 < position.best_epoch <= len(log) else -math.inf
    if position.best_epoch > position.epoch or best != position.best_score:
        raise ValueError(f"its best epoch {position.best_epoch} is not in its log with that score")
    return position, log


def check_arrays(arrays: Mapping[str, np.ndarray], model: nn.Module, position: Position) -> None:
    """Compare names, shapes, types and ranges with what a run of `model` writes.

    Raises
    ------
    TypeError, ValueError
        Names the first array that does not fit.
    """
    state = {k: (tuple(v.shape), v.numpy(force=True).dtype) for k, v in model.state_dict().items()}
    expected = {f"model/{k}": v for k, v in state.items()}
    if position.best_epoch:
        expected |= {f"best/{k}": v for k, v in state.items()}
    expected |= {f"sums/{k}": ((), None) for k in position.users}
    for name, _ in model.named_parameters():
        if any(f"adam/{key}/{name}" in arrays for key in ("step", *MOMENTS)):  # none before the first update
            expected |= {f"adam/step/{name}": ((), np.dtype(np.float32))}
            expected |= {f"adam/{key}/{name}": state[name] for key in MOMENTS}
    odd = sorted(expected.keys() ^ arrays.keys())
    if odd:
        raise ValueError(f"{odd[0]} is {'missing' if odd[0] in expected else 'not part of it'}")
    for name, (shape, dtype) in expected.items():
        _check_array(name, arrays[name], shape, dtype)


def _check_array(name: str, a: np.ndarray, shape: tuple[int, ...], dtype: Any) -> None:
    if a.shape != shape:
        raise ValueError(f"{name} has shape {a.shape} instead of {shape}")
    if a.dtype != dtype if dtype is not None else a.dtype.kind != "f":
        raise TypeError(f"{name} holds {a.dtype} instead of {dtype or 'floating numbers'}")
    if not np.isfinite(a).all():
        raise ValueError(f"{name} holds a value that is not finite")
    if name.startswith(("adam/step/", "adam/exp_avg_sq/")) and (a < 0).any():
        raise ValueError(f"{name} holds a negative value")
