"""Training: `fit` turns (model, split, config) into a run that depends on nothing else."""

import copy
import math
import weakref
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from minivae.config import TrainConfig
from minivae.data.splits import FoldIn, StrongSplit
from minivae.errors import Diverged, InputError, ProcessLost
from minivae.masks import normalizes
from minivae.models.contract import require_trainable
from minivae.models.registry import arguments_of
from minivae.models.vae import VAE
from minivae.objective import beta_at
from minivae.options import SELECTION
from minivae.ranking import Scorer, evaluate
from minivae.runtime import distributed
from minivae.runtime.checkpoint import NAME, Checkpoint, Saving, saved_state
from minivae.runtime.checkpoint_schema import Log, LogLine
from minivae.runtime.device import resolve_device
from minivae.runtime.distributed import Team
from minivae.runtime.interruption import interruptible
from minivae.runtime.memory import keep_freed_memory, lack_of_memory
from minivae.runtime.progress import progress
from minivae.runtime.storage import digest
from minivae.update import Trainer

Callback = Callable[[VAE, LogLine], object]


@dataclass(frozen=True)
class Run:
    """What `fit` returns: the model of the best epoch and how it came about.

    Attributes
    ----------
    model : VAE
        In evaluation mode, with the parameters of `best_epoch`: the very object that was given to `fit`. If that is
        trained again while this run is in use, the run gets a copy of it first and stays what `validation` says.
    config : TrainConfig
        As given.
    best_epoch : int
        1-based epoch with the highest validation nDCG@100.
    log : list[dict]
        One dict per epoch: epoch, updates, beta, loss, nll, kl, anchor, anchor_lambda, anchor_norm, validation,
        seconds; what a model does not have is left out.

    Examples
    --------
    >>> run = Run(model=None, config=TrainConfig(), best_epoch=2, log=[{"validation": 0.1}, {"validation": 0.3}])
    >>> run.validation
    0.3
    """

    model: VAE
    config: TrainConfig
    best_epoch: int
    log: Log = field(repr=False)

    def __repr__(self) -> str:
        at = f"epoch {self.best_epoch} of {len(self.log)}"
        return f"Run({type(self.model).__name__}, {at}, validation nDCG@100 {self.validation:.4f})"

    @property
    def validation(self) -> float:
        """Validation nDCG@100 of the best epoch."""
        return self.log[self.best_epoch - 1]["validation"]

    @property
    def seconds(self) -> float:
        """Training and validation time of all epochs."""
        return sum(line["seconds"] for line in self.log)


# Which run holds a model, as long as somebody has both.
_RUNS: "weakref.WeakKeyDictionary[VAE, weakref.ref[Run]]" = weakref.WeakKeyDictionary()


def fit(
    model: VAE,
    split: StrongSplit,
    config: TrainConfig | None = None,
    *,
    folder: Path | str | None = None,
    resume: bool = False,
    label: str = "training",
    callback: Callback | None = None,
) -> Run:
    """Train `model` from fresh parameters and keep the epoch that ranks the validation users best.

    The result is a function of (split, config, model sizes): parameters are reset from ``config.seed``, and order,
    masks and noise are looked up from (seed, step). On a CPU with the same number of threads it is the same to the
    last bit, interrupted and resumed or not. In several processes (`minivae.runtime.distributed`) it differs by
    rounding only.

    Parameters
    ----------
    model : VAE
        Any `VAE`; it is moved to the device and changed in place. Earlier runs of it keep their result, see `Run`.
    split : StrongSplit
        Training and validation users.
    config : TrainConfig, optional
        `TrainConfig()` if None.
    folder : Path | str, optional
        Where `log.jsonl` and `checkpoint.safetensors` go; nothing is written without it.
    resume : bool, default False
        Continue from the checkpoint in `folder`, if there is one.
    label : str, default 'training'
        Shown beside the progress bar (on a terminal only).
    callback : Callback, optional
        ``callback(model, line)`` after every epoch, in the first process: the model with the parameters of that epoch,
        in evaluation mode, and the line of the log, as in `Run.log`. It must leave the model as it is; what it returns
        is ignored. Epochs that a resumed run finds done are not called again.

    Returns
    -------
    Run

    Raises
    ------
    InputError
        If an argument is of another kind, a model of one's own lacks a part, `callback` is no function, the split does
        not fit the model, the validation users have nothing held out, the parameters are no floats of 32 or 64 bits,
        the loss becomes NaN (then the model has the parameters of its best epoch, or fresh ones), memory is short, or
        `folder` holds another run, or this one and `resume` is False.
    ProcessLost
        If another process of the run is gone; the first process leaves a checkpoint.
    KeyboardInterrupt
        On Ctrl-C or SIGTERM, after the current update, with a checkpoint in `folder`.

    Examples
    --------
    >>> import minivae as mv
    >>> split = mv.strong_split(mv.planted(n_users=60, n_items=40, n_events=900), n_heldout=10)
    >>> model = mv.MultVAE(split.n_items, hidden=8, latent=4)
    >>> run = fit(model, split, TrainConfig(epochs=2, batch_size=20))
    >>> len(run.log), sorted(run.log[0])[:4], run.best_epoch in (1, 2)
    (2, ['beta', 'epoch', 'kl', 'loss'], True)
    """
    config = TrainConfig() if config is None else config
    require_trainable(model, split)
    if not isinstance(config, TrainConfig):
        how = "TrainConfig(**config)" if isinstance(config, Mapping) else "TrainConfig(epochs=…)"
        raise InputError(f"config is a {type(config).__name__}; give a minivae.TrainConfig, {how}")
    if callback is not None and not callable(callback):
        raise InputError(f"callback must be a function, called as callback(model, line), not {callback!r}")
    keep_freed_memory()
    team = distributed.team()
    device = resolve_device(config.device)
    team.require_devices(device)
    _keep_earlier(model)
    _reset(model, config, device)
    trainer = Trainer.make(model, split.train, config, team)
    defaults = {"config": asdict(TrainConfig()), "model": arguments_of(type(model))}
    state = Checkpoint(model, trainer.optimizer, _identity(model, split, config), defaults)
    path = Path(folder) / NAME if folder is not None else None
    if path is not None and saved_state(path):
        if not resume:
            raise InputError(
                f"{path.parent} already holds a run; continue it with resume=True or choose another folder"
            )
        state.load(path, trainer.updates_per_epoch)
    team.wait_for_all()
    team.require_same(
        state.position, f"the processes do not see the same run in {folder}; it must be one folder, shared by all"
    )
    saving = Saving(state, path, team)
    with progress(label, config.epochs, "epoch", team.first) as show, interruptible(team) as stop:
        try:
            while state.epoch < config.epochs and state.epoch - state.best_epoch < config.patience:
                updates = trainer.epoch(state, show, saving, stop)
                if stop():
                    raise KeyboardInterrupt
                means = _epoch_means(trainer, state, updates)
                if not math.isfinite(means["loss"]):
                    state.restore_best() if state.best else _reset(model, config, device)
                    raise Diverged(_diverged(config, state, path))
                with stop.at_once():
                    ndcg = mean_metric(model.eval(), split.validation, SELECTION, team)
                state.close_epoch(means, ndcg, updates)
                saving.epoch_closed()
                show(state.epoch, f"nDCG@100 {ndcg:.4f}")
                if callback is not None and team.first:
                    callback(model, dict(state.log[-1]))
        except (KeyboardInterrupt, ProcessLost):  # between two updates, whole
            saving.now()
            raise
        except (MemoryError, RuntimeError) as e:
            if (lack := lack_of_memory(e)) is None:
                raise
            raise InputError(f"{lack}; {_less_memory(config, model)}") from e
    saving.now()
    if stop():  # asked during the last validation: a study of several runs must stop here
        raise KeyboardInterrupt
    state.restore_best()
    run = Run(model.eval(), config, state.best_epoch, state.log)
    _RUNS[model] = weakref.ref(run)
    return run


def _keep_earlier(model: VAE) -> None:
    """Give the run that holds this very model a copy before it changes; nothing is copied if nobody has that run."""
    held = _RUNS.pop(model, None)
    run = held() if held is not None else None
    if run is not None and run.model is model:
        object.__setattr__(run, "model", copy.deepcopy(model))


def _identity(model: VAE, split: StrongSplit, config: TrainConfig) -> dict[str, Any]:
    """What a run is a function of. It may be resumed for longer than it was first meant to last."""
    settings = {k: v for k, v in asdict(config).items() if k not in ("epochs", "patience")}
    return {
        "config": settings,
        "model": {"class": type(model).__name__, **model.sizes},
        "data": _fingerprint(split),
    }


def _epoch_means(trainer: Trainer, state: Checkpoint, updates: int) -> dict[str, float]:
    """What the log says of an epoch: means of the terms, and the weights at its last update."""
    config, anchors = trainer.config, trainer.model.anchors
    means = state.means() | {"beta": beta_at(updates - 1, config.beta, config.anneal_steps)}
    if anchors is not None and math.isfinite(means["loss"]):
        means["anchor_lambda"] = config.anchor_at(updates - 1)
        means["anchor_norm"] = float(anchors.detach().norm(dim=1).mean())
    return means


def mean_metric(model: Scorer, fold_in: FoldIn, metric: str, team: Team) -> float:
    """Mean of one metric over users, each process ranking its share of them; the same number in all processes."""
    if team.size == 1:
        return evaluate(model, fold_in, (metric,))[metric][0]
    users = np.array_split(np.arange(fold_in.n_users), team.size)[team.rank]
    share = FoldIn(fold_in.history[users], fold_in.heldout[users])
    values = torch.zeros(fold_in.n_users, dtype=torch.float64)
    values[users] = torch.from_numpy(evaluate(model, share, (metric,)).per_user[metric])
    team.sum(values)  # each user's value and zeros: exact
    return float(values[~values.isnan()].numpy().mean())


def _reset(model: VAE, config: TrainConfig, device: torch.device) -> None:
    """Fresh parameters from the seed, drawn on the CPU so that every device starts alike."""
    generator = torch.Generator().manual_seed(config.seed)
    model.to("cpu").reset_parameters(generator)
    model.anchors = None
    if config.anchor > 0:
        model.add_anchors(generator)
    model.normalize = normalizes(config.mask)
    model.to(device)


def _fingerprint(split: StrongSplit) -> str:
    """sha256 of what training looks at."""
    parts = {"train": split.train, "history": split.validation.history, "heldout": split.validation.heldout}
    arrays = {f"{k}.{a}": getattr(m, a) for k, m in parts.items() for a in ("indptr", "indices")}
    return digest(arrays, {})


def _less_memory(config: TrainConfig, model: VAE) -> str:
    sizes = ", ".join(f"{k} {v}" for k, v in model.sizes.items())
    return f"lower batch_size (now {config.batch_size}) or the sizes of the model (now {sizes})"


def _diverged(config: TrainConfig, state: Checkpoint, path: Path | None) -> str:
    kept = f"; the checkpoint of an earlier epoch is in {path}" if path is not None and saved_state(path) else ""
    return (
        f"the loss became NaN or infinite in epoch {state.epoch + 1}: "
        f"lower lr (now {config.lr:g}) or anchor (now {config.anchor:g}), or use precision fp32{kept}"
    )
