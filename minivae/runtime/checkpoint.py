"""The state of a run between two updates: what must survive a kill, and nothing else."""

import json
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from minivae.errors import InputError, WriteError
from minivae.runtime.checkpoint_schema import MOMENTS, Log, LogLine, check_arrays, read_progress
from minivae.runtime.distributed import Team
from minivae.runtime.records import differing
from minivae.runtime.storage import append_text, load_arrays, save_arrays, write_text

KIND, NAME = "checkpoint", "checkpoint.safetensors"
INTERVAL = 30.0
LARGEST_SHARE = 0.05


class Checkpoint:
    """Parameters, Adam's moments, the best parameters so far, the position in the data, and the log.

    Order, masks and noise are functions of (seed, step), so the position is all there is to know about randomness.

    Parameters
    ----------
    model : Module
    optimizer : torch.optim.Adam
        Kept by reference.
    identity : mapping
        What the run is a function of; `load` refuses a checkpoint of another run.
    defaults : mapping, optional
        The value of what the identity of a checkpoint does not name, since it is older than the setting.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Adam,
        identity: Mapping[str, Any],
        defaults: Mapping[str, Any] | None = None,
    ) -> None:
        self.model, self.optimizer = model, optimizer
        self.identity, self.defaults = json.dumps(identity, sort_keys=True), defaults or {}
        self.epoch = 0  # epochs done
        self.batches = 0  # updates done in the current epoch
        self.seconds = 0.0  # spent on the current epoch
        self.source: Path | None = None  # the file that was loaded
        self._clock = time.perf_counter()
        self.best_epoch, self.best_score = 0, float("-inf")
        self.best: dict[str, Tensor] = {}
        self.log: Log = []
        self._sums: dict[str, Tensor] = {}
        self._users: dict[str, int] = {}  # behind each sum: not every update has every term

    @property
    def position(self) -> tuple[int, int]:
        """Epochs done, and updates done in the current one."""
        return self.epoch, self.batches

    def add(self, terms: Mapping[str, Tensor], users: int) -> None:
        """Count one update; sums stay on the device."""
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, 0.0) + value.detach() * users
            self._users[name] = self._users.get(name, 0) + users
        self.batches += 1
        self._tick()

    def _tick(self) -> None:
        now = time.perf_counter()
        self.seconds, self._clock = self.seconds + now - self._clock, now

    def means(self) -> dict[str, float]:
        """Mean per user of each term over the current epoch."""
        return {name: float(total) / self._users[name] for name, total in self._sums.items()}

    def close_epoch(self, means: Mapping[str, float], validation: float, updates: int) -> None:
        """Write the epoch into the log and keep its parameters if it is the best."""
        self._tick()
        self.epoch += 1
        line: LogLine = {"epoch": self.epoch, "updates": updates, **means, "validation": validation}
        self.log.append(line | {"seconds": round(self.seconds, 3)})
        self.batches, self._sums, self._users, self.seconds = 0, {}, {}, 0.0
        if validation > self.best_score:
            self.best_epoch, self.best_score = self.epoch, validation
            self.best = {k: v.detach().clone() for k, v in self.model.state_dict().items()}

    def restore_best(self) -> None:
        """Give the model the parameters of its best epoch."""
        self.model.load_state_dict(self.best)

    def sound(self) -> bool:
        """Whether it is worth keeping: nothing is NaN or infinite."""
        return all(bool(torch.isfinite(v).all()) for v in (*self.model.parameters(), *self._sums.values()))

    def write_log(self, path: Path) -> None:
        """The log as JSON lines."""
        write_text(path, "".join(json.dumps(line) + "\n" for line in self.log))

    def save(self, path: Path) -> None:
        """Write everything as one safetensors file, whole or not at all; the time it takes is not the epoch's."""
        self._tick()
        arrays = {f"model/{k}": v for k, v in self.model.state_dict().items()}
        arrays |= {f"best/{k}": v for k, v in self.best.items()}
        arrays |= {f"sums/{k}": v for k, v in self._sums.items()}
        for name, p in self.model.named_parameters():
            arrays |= {f"adam/{key}/{name}": v for key, v in self.optimizer.state.get(p, {}).items()}
        position = {k: getattr(self, k) for k in ("epoch", "batches", "seconds", "best_epoch", "best_score", "_users")}
        meta = {"identity": self.identity, "log": json.dumps(self.log), "position": json.dumps(position)}
        save_arrays(path, KIND, {k: v.detach().cpu().numpy() for k, v in arrays.items()}, meta)
        self._clock = time.perf_counter()

    def load(self, path: Path, updates: int) -> None:
        """Continue where `save` left off; nothing is changed before all of the file is known to fit.

        Parameters
        ----------
        path : Path
            Of the checkpoint.
        updates : int
            Of an epoch.

        Raises
        ------
        InputError
            If the file is damaged, has parts that do not fit the model, or belongs to a run with another configuration
            or other data.
        """
        source, arrays, meta = _load(path)
        if other := _other(meta.get("identity", "{}"), self.identity, self.defaults):
            raise InputError(
                f"{path} belongs to {other}; resume with the options it was started with, or choose another folder"
            )
        try:
            position, log = read_progress(meta, updates)
            check_arrays(arrays, self.model, position)
        except (KeyError, TypeError, ValueError, RecursionError) as e:
            raise InputError(f"{path} does not fit this run ({e}); remove it and start again") from e
        tensors: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "sums": {}, "adam": {}}
        device = next(self.model.parameters()).device
        for name, value in arrays.items():
            group, _, rest = name.partition("/")
            tensors[group][rest] = torch.from_numpy(value).to(device)
        self.model.load_state_dict(tensors["model"])
        self.best, self._sums = tensors["best"], tensors["sums"]
        for name, p in self.model.named_parameters():
            if f"step/{name}" in tensors["adam"]:
                self.optimizer.state[p] = {key: tensors["adam"][f"{key}/{name}"] for key in ("step", *MOMENTS)}
        self.epoch, self.batches, self.seconds = position.epoch, position.batches, position.seconds
        self.best_epoch, self.best_score, self._users = position.best_epoch, position.best_score, position.users
        self.log, self.source = log, source
        self._clock = time.perf_counter()


class Saving:
    """When a run leaves a checkpoint: after its first epoch, then every 30 seconds, inside an epoch too.

    Less often where writing takes so long that it would cost more than a twentieth of the time. A state with NaN in it
    is never written: the one before is worth more. The checkpoint before the last one is kept beside it. The log gets
    a line an epoch, and is written as a whole whenever the run starts or ends.

    Parameters
    ----------
    state : Checkpoint
        What is saved.
    path : Path, optional
        Of the checkpoint; None to write nothing.
    team : Team
        The processes of the run: the first writes, and the others wait for it, however long that takes.
    """

    def __init__(self, state: Checkpoint, path: Path | None, team: Team | None = None) -> None:
        self.state, self.path, self.team = state, path, team or Team()
        self.due = time.monotonic() + INTERVAL
        self.saved = state.position if state.source is not None and state.source == path else None
        self.log_is_whole = False

    def if_due(self) -> None:
        """Between two updates."""
        if self.path is not None and self.team.any(self.team.first and time.monotonic() >= self.due):
            self.team.after_first(self.now)

    def epoch_closed(self) -> None:
        """After an epoch: the log, and the checkpoint if it is due."""
        if self.path is None:
            return
        if self.team.first:
            self._log(whole=not self.log_is_whole)
        if self.state.epoch == 1:
            self.team.after_first(self.now)
        else:
            self.if_due()

    def now(self) -> None:
        """At an end, of whatever kind."""
        if self.path is None or not self.team.first or self.saved == self.state.position or not self.state.sound():
            return
        started = time.monotonic()
        if self.saved is not None:  # what lies there is sound
            keep_previous(self.path)
        self.state.save(self.path)
        self._log(whole=True)
        ended = time.monotonic()
        self.saved, self.due = self.state.position, ended + max(INTERVAL, (ended - started) / LARGEST_SHARE)

    def _log(self, whole: bool) -> None:
        assert self.path is not None
        path = self.path.with_name("log.jsonl")
        if whole:
            self.state.write_log(path)
        else:
            append_text(path, json.dumps(self.state.log[-1]) + "\n")
        self.log_is_whole = True


def previous(path: Path) -> Path:
    """Where the checkpoint before that at `path` is kept."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def keep_previous(path: Path) -> None:
    """Make room for the next checkpoint; a kill right after this leaves the previous one."""
    try:
        path.replace(previous(path))
    except OSError as e:
        raise WriteError(
            f"cannot write {previous(path)}: {e.strerror}; choose another folder or free some space"
        ) from e


def saved_state(path: Path) -> bool:
    """Whether a run has left a checkpoint, the last one or the one before."""
    return path.is_file() or previous(path).is_file()


def remove_checkpoints(folder: Path) -> None:
    """Remove what a finished run no longer needs: each is as large as four models."""
    for path in (folder / NAME, previous(folder / NAME)):
        path.unlink(missing_ok=True)


def _load(path: Path) -> tuple[Path, dict[str, np.ndarray], dict[str, str]]:
    """The newest checkpoint that can be read, and where it is."""
    if path.is_file():
        try:
            return path, *load_arrays(path, KIND)
        except InputError as e:
            if not previous(path).is_file():
                raise
            warnings.warn(f"{e}; the run goes on from the checkpoint before it", stacklevel=4)
    return previous(path), *load_arrays(previous(path), KIND)


def _other(theirs: str, ours: str, defaults: Mapping[str, Any]) -> str:
    """The run that an identity belongs to, in words; "" if it is ours."""
    try:
        found = differing(json.loads(theirs), json.loads(ours), defaults)
    except (AttributeError, ValueError, RecursionError):  # no identity that minivae writes
        return "another run"
    if "data" in found:
        return "a run on other data"
    changed = [f"{k.partition('.')[2] or k}={a!r} (now {b!r})" for k, (a, b) in found.items()]
    return f"another run, with {', '.join(changed)}" if changed else ""
