"""One run: one model, one seed, in a folder of its own."""

import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
import numpy as np
import scipy.sparse as sp
from msgspec.structs import replace

from minivae.config import TrainConfig
from minivae.data.splits import FoldIn, StrongSplit, refuse_no_events
from minivae.data.users import shape_of
from minivae.errors import InputError
from minivae.models import VAE, Baseline, save_model
from minivae.models.saved import require_savable
from minivae.options import METRICS, SELECTION
from minivae.ranking import Evaluation, activity_groups, evaluate
from minivae.runtime.checkpoint_schema import LogLine
from minivae.runtime.device import resolve_device
from minivae.runtime.memory import peak
from minivae.runtime.records import parse_json, read_record, write_record
from minivae.runtime.storage import file_digest, load_arrays, save_arrays
from minivae.study.run.model_spec import ModelSpec
from minivae.study.run.notes import SPLIT, DataNote, RunNote, Setting, run_name
from minivae.study.run.records import (
    HIGHEST,
    IN_EVERY_LINE,
    Group,
    Level,
    Levels,
    Metrics,
    Part,
    Recommended,
    config_of,
)
from minivae.training import fit

PARTS: tuple[Part, ...] = ("test", "validation")
PER_USER = "per-user metrics"
FILES = ("users.safetensors", "log.jsonl")
"""What metrics.json is bound to by checksums."""


@dataclass(frozen=True)
class Job:
    """What is to be run.

    Attributes
    ----------
    spec : ModelSpec
        The model.
    config : TrainConfig
        How it is trained; the seed is in it.
    """

    spec: ModelSpec
    config: TrainConfig

    @property
    def name(self) -> str:
        """Name of its folder in a study."""
        return run_name(self.spec.name, self.config.seed)

    @property
    def training(self) -> dict[str, Setting]:
        """How it is trained, as plain values; empty for a baseline."""
        return asdict(self.config) if self.spec.trained else {}

    def note(self, split: StrongSplit, digest: str, data: str) -> RunNote:
        """The content of its config.json."""
        where = DataNote(split.name, data, digest)
        return RunNote(self.spec.name, self.spec.kind, self.spec.arguments, self.training, where)


@dataclass(frozen=True)
class Result:
    """What a finished run left in its folder.

    Attributes
    ----------
    folder : Path
        Where it is.
    metrics : Metrics
        Content of metrics.json.
    scored : Mapping[str, Evaluation]
        "test" and "validation" -> metrics of each user.
    log : list[dict]
        One dict per epoch; empty for baselines.
    """

    folder: Path
    metrics: Metrics
    scored: Mapping[str, Evaluation]
    log: Sequence[LogLine]

    @classmethod
    def load(cls, folder: Path) -> "Result":
        """Read a finished run; `InputError` if it is damaged."""
        metrics = read_record(folder / "metrics.json", Metrics)
        for name, stated in metrics.files.items():
            if name in FILES and stated != file_digest(folder / name):
                raise InputError(
                    f"{folder / name} is not the file that {folder / 'metrics.json'} was written with; remove the "
                    "folder and run it again"
                )
        arrays, header = load_arrays(folder / "users.safetensors", PER_USER)
        scored = {}
        try:
            own_name = run_name(metrics.model, metrics.seed)
            if header.get("model", own_name) != own_name:
                raise ValueError(f"metrics.json is of {own_name}, users.safetensors of {header['model']}")
            for part in PARTS if metrics.test is not None else PARTS[1:]:
                if part not in metrics.recommended:
                    raise ValueError(f"metrics.json says nothing of what the {part} users were shown")
                own = {name.removeprefix(f"{part}/"): a for name, a in arrays.items() if name.startswith(f"{part}/")}
                n_heldout = own.pop("n_heldout")
                check_users(own, n_heldout)
                if missing := [name for name in METRICS if name not in own]:
                    raise KeyError(missing[0])
                scored[part] = Evaluation(own, n_heldout, **metrics.recommended[part].as_dict())
                check_means(metrics.levels(part), scored[part], part)
            return cls(folder, metrics, scored, read_log(folder / "log.jsonl"))
        except (KeyError, TypeError, ValueError, OSError) as e:
            raise InputError(f"{folder} holds a damaged run ({e}); remove the folder and run it again") from e


def read_note(folder: Path) -> RunNote:
    """The content of config.json of a run, with the place of its split as it is now.

    A folder that was moved or copied holds its split itself, or the study's folder around it does.

    Raises
    ------
    InputError
        If it is missing or damaged.
    """
    note = read_record(folder / RunNote.FILE, RunNote)
    stated = Path(os.path.normpath(folder / note.data.split))
    linked = Path(os.path.normpath(folder.resolve() / note.data.split))
    nearby = [parent / SPLIT for parent in (folder, *folder.absolute().parents[1:2])]
    there = str(next((path for path in (stated, linked, *nearby) if path.is_file()), stated))
    return replace(note, data=replace(note.data, split=there))


def trained_with(note: RunNote, folder: Path) -> TrainConfig:
    """The settings of training in the config.json of `folder`; `InputError` if there are none such."""
    try:
        return config_of(note.training)
    except InputError as e:
        raise InputError(f"{folder / 'config.json'} holds settings that no training has ({e}); run it again") from e


def refuse_other_users(result: Result, split: StrongSplit) -> None:
    """Raise `InputError` if the metrics of a run are not of the users of `split`."""
    for part in PARTS:
        scored = result.scored.get(part)
        if scored is None or not np.array_equal(scored.n_heldout, np.diff(getattr(split, part).heldout.indptr)):
            raise InputError(f"{result.folder} holds metrics of other {part} users; remove the folder and run it again")


def read_log(path: Path) -> list[LogLine]:
    """One mapping per epoch; none without the file.

    Raises
    ------
    ValueError
        If a line is something else.
    """
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    log = msgspec.convert([parse_json(line) for line in lines], list[LogLine])
    for line in log:
        if missing := [name for name in IN_EVERY_LINE if name not in line]:
            raise ValueError(f"a line of {path.name} has no {missing[0]}")
        if not 0 <= line["validation"] <= HIGHEST:
            raise ValueError(f"{SELECTION} of {line['validation']} in {path.name} is not between 0 and 1")
    return log


def check_users(metrics: Mapping[str, np.ndarray], n_heldout: np.ndarray) -> None:
    """Raise `ValueError` unless there is one number a metric and one whole number of held-out items for every user."""
    if n_heldout.ndim != 1 or n_heldout.dtype.kind not in "iu" or (n_heldout < 0).any():
        raise ValueError("the numbers of held-out items are not one whole number for every user")
    for name, values in metrics.items():
        if name not in METRICS or values.shape != n_heldout.shape or values.dtype != np.float64:
            raise ValueError(f"{name} is not one number for every user")
        counts = n_heldout > 0  # others have no value
        if not np.isnan(values[~counts]).all() or not ((values >= 0) & (values <= HIGHEST))[counts].all():
            raise ValueError(f"{name} is not between 0 and 1 for every user with held-out items, and for them alone")


def check_means(stated: Levels, scored: Evaluation, part: Part) -> None:
    """Raise `ValueError` unless the stated means are those of the users."""
    for name, found in means(scored).items():
        pairs = ((found.mean, stated[name].mean), (found.se, stated[name].se))
        if not all(math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12) for a, b in pairs):
            raise ValueError(f"metrics.json and users.safetensors give different {name} of {part} users")


def check_evaluable(split: StrongSplit, parts: Sequence[str] = PARTS) -> None:
    """Raise `InputError` if there is nothing to train on, or no mean with a standard error over held-out users."""
    refuse_no_events(split)
    for part in parts:
        n = int((np.diff(getattr(split, part).heldout.indptr) > 0).sum())
        if n < 2:
            raise InputError(
                f"{n} of the {part} users have held-out items, but at least 2 are needed; hold out more users"
            )


def finished(folder: Path) -> bool:
    """Whether a run is complete: metrics.json is written last."""
    return (folder / "metrics.json").is_file()


def execute(job: Job, split: StrongSplit, folder: Path, label: str, parts: Sequence[Part] = PARTS) -> Result:
    """Train (from the checkpoint in `folder`, if there is one), evaluate, write everything.

    Parameters
    ----------
    parts : Sequence[Part], default PARTS
        Which held-out users are looked at; without "test" no model is kept, since the next step is another run.

    Raises
    ------
    InputError
        From `fit`, `evaluate` or writing.
    KeyboardInterrupt
        On Ctrl-C; the checkpoint is in `folder`.
    """
    model = job.spec.build(split.n_items)
    with peak(resolve_device(job.config.device)) as memory:
        (epochs, best_epoch, seconds), scored = _train_and_rank(model, job, split, folder, label, parts)
    arrays = {f"{part}/{m}": values for part in parts for m, values in scored[part].per_user.items()}
    arrays |= {f"{part}/n_heldout": scored[part].n_heldout for part in parts}
    save_arrays(folder / "users.safetensors", PER_USER, arrays, {"model": job.name})
    metrics = Metrics(
        model=job.spec.name,
        seed=job.config.seed,
        test=means(scored["test"]) if "test" in parts else None,
        validation=means(scored["validation"]),
        epochs=epochs,
        best_epoch=best_epoch,
        seconds=seconds,
        parameters=parameters(model, split.train),
        peak_memory=memory,
        files={name: file_digest(folder / name) for name in FILES if (folder / name).is_file()},
        recommended={p: Recommended(s.coverage, s.popularity) for p, s in scored.items()},
        groups=by_activity(scored["test"], split.test) if "test" in parts else {},
    )
    write_record(folder / "metrics.json", metrics)
    return Result.load(folder)


def _train_and_rank(
    model: VAE | Baseline, job: Job, split: StrongSplit, folder: Path, label: str, parts: Sequence[Part]
) -> tuple[tuple[int, int | None, float], dict[Part, Evaluation]]:
    """Epochs, the best of them and seconds that it took to train the model, and how it ranks."""
    if isinstance(model, VAE):
        if "test" in parts:
            require_savable(model)
        run = fit(model, split, job.config, folder=folder, resume=True, label=label)
        cost = len(run.log), run.best_epoch, run.seconds
    else:
        started = time.perf_counter()
        model.fit(split.train)
        cost = 0, None, time.perf_counter() - started
    if "test" in parts:
        save_model(model, folder / "model.safetensors")
    counts = np.bincount(split.train.indices, minlength=split.n_items)
    return cost, {part: evaluate(model, getattr(split, part), item_counts=counts) for part in parts}


def means(scored: Evaluation, users: np.ndarray | slice = slice(None)) -> Levels:
    """The mean of every metric over users, with its standard error."""
    return {m: Level(*scored.mean(m, users)) for m in scored.per_user}


def by_activity(scored: Evaluation, fold_in: FoldIn) -> dict[str, Group]:
    """Activity group -> number of users with held-out items, and metrics; empty groups have no metrics."""
    there = {label: of & (scored.n_heldout > 0) for label, of in activity_groups(fold_in).items()}
    return {label: Group(int(of.sum()), means(scored, of) if of.any() else {}) for label, of in there.items()}


def parameters(model: VAE | Baseline, train: sp.csr_matrix) -> int:
    """Numbers that are learned from `train`."""
    return sum(p.numel() for p in model.parameters()) if isinstance(model, VAE) else model.size(*shape_of(train))
