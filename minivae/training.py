"""Training: `fit` turns (model, split, config) into a run that depends on nothing else."""

import math
import operator
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from torch import Tensor

from minivae.anchors import AnchorSchedule, AnchorVariant, anchor_at, anchor_loss
from minivae.batches import AnchorWeights, DeviceCSR, Mask, UserBatch, clean, masked
from minivae.data.splits import FoldIn, StrongSplit
from minivae.errors import Diverged, InputError
from minivae.models.initialisation import linear_layers
from minivae.models.phase import Phase
from minivae.models.vae import VAE
from minivae.objective import beta_at, multinomial_nll
from minivae.ranking import Scorer, evaluate
from minivae.runtime import distributed, streams
from minivae.runtime.allocation import keep_freed_memory, lack_of_memory
from minivae.runtime.checkpoint import Checkpoint, Saving
from minivae.runtime.distributed import ProcessLost, Team
from minivae.runtime.interruption import Stop, interruptible
from minivae.runtime.storage import digest

Precision = Literal["auto", "fp32", "bf16"]
SELECTION = "ndcg@100"


@dataclass(frozen=True)
class TrainConfig:
    """Everything a run depends on beside its data and its model's sizes.

    Attributes
    ----------
    keep : float
        ρ, the probability to keep an interaction in the input; 1 trains on clean input.
    keep_exponent : float
        Lets ρ differ by item: the odds of keeping an item fall with this power of its popularity (rise, if negative),
        with `keep` as the mean over interactions; 0: one ρ for all.
    mask : Mask
        Input convention: normalize-then-mask (Mult-VAE), mask-then-normalize, or raw.
    beta : float
        Weight of the KL term at the end of its schedule.
    anneal_steps : int
        Updates over which β rises linearly from 0 to `beta`.
    gamma : float
        Adds ``γ N_x`` to the weight of each user's KL term, without a schedule (RecVAE, with beta = 0).
    anchor : float
        λ_A, weight of the anchor regularizer (PIA) at the end of its schedule; 0 trains without anchors.
    anchor_start : float
    anchor_steps : int
    anchor_schedule : AnchorSchedule
        λ_A goes from `anchor_start` to `anchor` over the first `anchor_steps` updates, linear or geometric; constant
        with 0 steps.
    anchor_variant : AnchorVariant
        Full, centroid+variance (no pull between anchors), centroid, softmin (for several tastes), or direction (the
        angle alone, whatever the scale of the latent space).
    anchor_weights : AnchorWeights
        Of a user's items in the anchor loss: uniform, popularity, or idf.
    anchor_temperature : float
        τ of softmin, in squared units of z.
    weight_decay : float
        λ of the penalty ``λ Σ ‖W‖²`` on the weight matrices of encoder and decoder, not their biases. Its gradient goes
        to Adam with that of the loss; the loss in the log is without it.
    lr : float
        Step size of Adam.
    batch_size : int
        Users per update.
    epochs : int
        At most; an epoch is one pass over the training users, unless the model has its own phases.
    patience : int
        Stop after so many epochs without a better validation nDCG@100.
    seed : int
        Of weights, order, masks and noise.
    device : str
        Auto (cuda, else cpu), cpu, cuda, cuda:1, ...
    precision : Precision
        Of the item-sized products: auto (bf16 where the hardware multiplies it natively), fp32, bf16.
    """

    keep: float = 0.5
    mask: Mask = "normalize-then-mask"
    beta: float = 0.2
    anneal_steps: int = 1500
    gamma: float = 0.0
    anchor: float = 0.0
    anchor_start: float = 0.0
    anchor_steps: int = 0
    anchor_schedule: AnchorSchedule = "linear"
    anchor_variant: AnchorVariant = "full"
    anchor_weights: AnchorWeights = "uniform"
    anchor_temperature: float = 1.0
    keep_exponent: float = 0.0
    weight_decay: float = 0.0
    lr: float = 1e-3
    batch_size: int = 500
    epochs: int = 100
    patience: int = 15
    seed: int = 0
    device: str = "auto"
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        for f in fields(self):
            if f.type in (int, float):
                object.__setattr__(self, f.name, _number(f.name, getattr(self, f.name), f.type))
        checks = {
            "keep": (0 < self.keep <= 1, "in (0, 1]"),
            "keep_exponent": (abs(self.keep_exponent) <= 10, "between -10 and 10"),
            "beta": (0 <= self.beta < math.inf, "finite and at least 0"),
            "anneal_steps": (self.anneal_steps >= 0, "at least 0"),
            "gamma": (0 <= self.gamma < math.inf, "finite and at least 0"),
            "weight_decay": (0 <= self.weight_decay < math.inf, "finite and at least 0"),
            "anchor": (0 <= self.anchor < math.inf, "finite and at least 0"),
            "lr": (0 < self.lr < math.inf, "finite and positive"),
            "seed": (0 <= self.seed < 1 << 63, "in 0..2**63 - 1"),
            "batch_size": (self.batch_size >= 1, "at least 1"),
            "epochs": (self.epochs >= 1, "at least 1"),
            "patience": (self.patience >= 1, "at least 1"),
            "anchor_start": (
                0 <= self.anchor_start < math.inf
                and (self.anchor_start == 0 or (self.anchor > 0 and self.anchor_steps > 0))
                and (self.anchor_start > 0 or self.anchor_steps == 0 or self.anchor_schedule == "linear"),
                "finite and at least 0, 0 without anchor and anchor_steps, and more than 0 for a geometric schedule",
            ),
            "anchor_steps": (self.anchor_steps >= 0, "at least 0"),
            "anchor_temperature": (0 < self.anchor_temperature < math.inf, "finite and positive"),
        }
        choices = {"mask": Mask, "anchor_variant": AnchorVariant, "anchor_weights": AnchorWeights}
        choices |= {"anchor_schedule": AnchorSchedule, "precision": Precision}
        for name, kind in choices.items():
            checks[name] = (getattr(self, name) in get_args(kind), f"one of {', '.join(get_args(kind))}")
        for name, (good, rule) in checks.items():
            if not good:
                raise InputError(f"{name}={getattr(self, name)!r} is not possible; it must be {rule}")

    def anchor_weight(self, step: int) -> float:
        """λ_A of an update."""
        return anchor_at(step, self.anchor, self.anchor_start, self.anchor_steps, self.anchor_schedule)


def _number(name: str, value: Any, kind: type) -> int | float:
    """`value` as a plain int or float, so that 1, 1.0 and numpy's 1 describe the same run."""
    try:
        return operator.index(value) if kind is int else float(value)
    except (TypeError, ValueError) as e:
        rule = "a whole number" if kind is int else "a number"
        raise InputError(f"{name}={value!r} is not possible; it must be {rule}") from e


@dataclass(frozen=True)
class Run:
    """What `fit` returns: the model of the best epoch and how it came about.

    Attributes
    ----------
    model : VAE
        In evaluation mode, with the parameters of `best_epoch`.
    config : TrainConfig
        As given.
    best_epoch : int
        1-based epoch with the highest validation nDCG@100.
    log : list[dict]
        One dict per epoch: epoch, updates, beta, loss, nll, kl, anchor, anchor_weight, anchor_norm, validation,
        seconds; what a model does not have is left out.
    """

    model: VAE
    config: TrainConfig
    best_epoch: int
    log: list[dict[str, Any]] = field(repr=False)

    @property
    def validation(self) -> float:
        """Validation nDCG@100 of the best epoch."""
        return self.log[self.best_epoch - 1]["validation"]

    @property
    def seconds(self) -> float:
        """Training and validation time of all epochs."""
        return sum(line["seconds"] for line in self.log)


def resolve_device(name: str) -> torch.device:
    """The device behind `name`; "auto" is cuda where there is one, else cpu.

    Raises
    ------
    InputError
        If the device is unknown or not on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as e:
        raise InputError(f"device={name!r} is not available on this machine; use auto, cpu or cuda") from e
    return device


def product_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """dtype of the item-sized products: "auto" is bf16 where the hardware multiplies it natively, else float32."""
    if precision == "auto":
        native = torch.cuda.is_bf16_supported(including_emulation=False) if device.type == "cuda" else _cpu_has_bf16()
        return torch.bfloat16 if native else torch.float32
    return torch.bfloat16 if precision == "bf16" else torch.float32


def _cpu_has_bf16() -> bool:
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)


def loss_terms(
    model: VAE,
    batch: UserBatch,
    config: TrainConfig,
    step: int,
    products: torch.dtype | None = None,
    phase: Phase | None = None,
) -> dict[str, Tensor]:
    """The objective on one batch at one update: loss, nll, kl and anchor, scalars averaged over users.

    ``loss = ℓ(x; z) + (β_step + γ N_x) KL(q(z|x_h) ‖ p) + λ_A L_A`` with one draw of the mask and of z per user, both
    looked up from (seed, step). How z is drawn and what KL and prior are, the model says. Terms that nothing learns
    from are left out.

    Parameters
    ----------
    model : VAE
        With `anchors` where there are any.
    batch : UserBatch
        Clean users.
    config : TrainConfig
        Its schedules and weights; λ ‖W‖² is not part of the loss, see `adam`.
    step : int
        Number of the update, from 0.
    products : dtype, optional
        Dtype of the item-sized products; that of the model if None.
    phase : Phase, optional
        Of the epoch; the model's first if None.
    """
    phase = phase or model.phases[0]
    batch = clean(batch, config.mask)
    seen = masked(batch, config.keep, config.mask, config.seed, step) if phase.masked else batch
    address = batch.users[:, None] * model.latent + torch.arange(model.latent, device=batch.users.device)
    draw = model.draw(seen, streams.normal(config.seed, "noise", step, address))
    output = model.decoder[-1]
    terms = {"nll": multinomial_nll(model.decoder[:-1](draw.z), output.weight, output.bias, batch, products=products)}
    loss = terms["nll"]
    kl = model.kl(draw, batch) if phase.encoder else None  # (B,)
    if kl is not None:
        terms["kl"] = kl.mean()
        loss = loss + beta_at(step, config.beta, config.anneal_steps) * terms["kl"]
        if config.gamma > 0:
            loss = loss + config.gamma * (batch.counts * kl).mean()
    if model.anchors is not None and phase.encoder:
        anchor = anchor_loss(
            draw.mu, draw.logvar.exp(), model.anchors, batch, config.anchor_variant, config.anchor_temperature
        )  # (B,)
        terms["anchor"] = anchor.mean()
        loss = loss + config.anchor_weight(step) * terms["anchor"]
    return {"loss": loss, **terms}


def adam(model: VAE, config: TrainConfig) -> torch.optim.Adam:
    """The optimizer of a run: fused Adam, with the gradient 2λW of the penalty ``λ ‖W‖²`` for weight matrices.

    Parameters without a gradient, those that stand still in a phase, are left alone with their moments: alternating
    phases are what two optimizers would do.
    """
    if config.weight_decay == 0:
        return torch.optim.Adam(model.parameters(), lr=config.lr, fused=True)
    matrices = [layer.weight for layer in linear_layers(model)]
    ids = {id(p) for p in matrices}
    groups = [
        {"params": matrices, "weight_decay": 2 * config.weight_decay},
        {"params": [p for p in model.parameters() if id(p) not in ids]},
    ]
    return torch.optim.Adam(groups, lr=config.lr, fused=True)


def update(
    model: VAE,
    optimizer: torch.optim.Optimizer,
    matrix: DeviceCSR,
    users: Tensor,
    config: TrainConfig,
    step: int,
    products: torch.dtype | None = None,
    phase: Phase | None = None,
    team: Team | None = None,
) -> dict[str, Tensor]:
    """One update from a batch of users, shared among the processes of `team`; returns its terms, as `loss_terms`."""
    phase, team = phase or model.phases[0], team or Team()
    mine, share = team.rows(users)
    optimizer.zero_grad(set_to_none=True)
    with _learning(model, phase):
        terms = loss_terms(model, matrix.batch(mine), config, step, products, phase)
        if team.size > 1:
            terms = {name: share * value for name, value in terms.items()}
        terms["loss"].backward()
    terms = team.sum_gradients(model.parameters(), terms)
    optimizer.step()
    return terms


def fit(
    model: VAE,
    split: StrongSplit,
    config: TrainConfig | None = None,
    *,
    folder: Path | str | None = None,
    resume: bool = False,
    label: str = "training",
    callback: Callable[[VAE, dict[str, Any]], None] | None = None,
) -> Run:
    """Train `model` from fresh parameters and keep the epoch that ranks the validation users best.

    The result is a function of (split, config, model sizes): parameters are reset from ``config.seed``, and order,
    masks and noise are looked up from (seed, step). On a CPU with the same number of threads it is the same to the
    last bit, interrupted and resumed or not. In several processes (`minivae.distributed`) it differs by rounding only.

    Parameters
    ----------
    model : VAE
        Any `VAE`; it is moved to the device and changed in place.
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
    callback : callable, optional
        Called after every epoch as ``callback(model, line)`` with the model as it is then, in evaluation mode, and the
        epoch's line of the log; of several processes by the first alone. It must not change the model. A run that is
        resumed does not call it for the epochs that it already has.

    Returns
    -------
    Run

    Raises
    ------
    InputError
        If the split does not fit the model, the validation users have nothing held out, the loss becomes NaN (then the
        model has the parameters of its best epoch, or fresh ones), memory is short, or `folder` holds another run, or
        this one and `resume` is False.
    ProcessLost
        If another process of the run is gone; the first process leaves a checkpoint.
    KeyboardInterrupt
        On Ctrl-C or SIGTERM, after the current update, with a checkpoint in `folder`.
    """
    config = config or TrainConfig()
    if split.n_items != model.n_items:
        raise InputError(f"the split has {split.n_items} items but the model {model.n_items}; make one for the other")
    if split.train.shape[0] == 0 or split.validation.heldout.nnz == 0:
        raise InputError("the split has no training users or no held-out validation items, so no epoch can be chosen")
    keep_freed_memory()
    team = distributed.team()
    device = resolve_device(config.device)
    team.require_devices(device)
    _reset(model, config, device)
    matrix = DeviceCSR(split.train, device, config.anchor_weights, config.keep, config.keep_exponent)
    optimizer = adam(model, config)
    run_length = {"epochs", "patience"}  # a run may be resumed for longer than it was first meant to last
    identity = {k: v for k, v in asdict(config).items() if k not in run_length}
    sizes = {"class": type(model).__name__, **model.sizes}
    state = Checkpoint(model, optimizer, {"config": identity, "model": sizes, "data": _fingerprint(split)})
    path = Path(folder) / "checkpoint.safetensors" if folder is not None else None
    if path is not None and path.is_file():
        if not resume:
            raise InputError(
                f"{path.parent} already holds a run; continue it with resume=True or choose another folder"
            )
        state.load(path, _updates(model, split.train.shape[0], config))
    team.require_same(
        state.position, f"the processes do not see the same run in {folder}; it must be one folder, shared by all"
    )
    saving = Saving(state, path if team.first else None)
    with _progress(label, config.epochs, team) as show, interruptible(team) as stop:
        try:
            while state.epoch < config.epochs and state.epoch - state.best_epoch < config.patience:
                updates = _train_epoch(state, matrix, config, team, show, saving, stop)
                if stop():
                    raise KeyboardInterrupt
                means = state.means() | {"beta": beta_at(updates - 1, config.beta, config.anneal_steps)}
                if not math.isfinite(means["loss"]):
                    state.restore_best() if state.best else _reset(model, config, device)
                    raise Diverged(_diverged(config, state, path))
                if model.anchors is not None:
                    means["anchor_weight"] = config.anchor_weight(updates - 1)
                    means["anchor_norm"] = float(model.anchors.detach().norm(dim=1).mean())
                with stop.at_once():
                    ndcg = mean_metric(model.eval(), split.validation, SELECTION, team)
                state.close_epoch(means, ndcg, updates)
                saving.epoch_closed()
                if callback is not None and team.first:
                    callback(model, state.log[-1])
        except (KeyboardInterrupt, ProcessLost):  # between two updates, whole
            saving.now()
            raise
        except (MemoryError, RuntimeError) as e:
            if (lack := lack_of_memory(e)) is None:
                raise
            raise InputError(f"{lack}; {_less_memory(config, model)}") from e
    saving.now()
    if stop():  # during the last validation: whoever runs several of these wants to stop here
        raise KeyboardInterrupt
    state.restore_best()
    return Run(model.eval(), config, state.best_epoch, state.log)


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
    model.normalize = config.mask != "raw"
    model.to(device)


def _train_epoch(
    state: Checkpoint,
    matrix: DeviceCSR,
    config: TrainConfig,
    team: Team,
    show: Callable[[int, float], None],
    saving: Saving,
    stop: Stop,
) -> int:
    """The updates that are left of the current epoch, up to an interruption; returns the updates since the start.

    Nothing here reads from the device, so that a GPU never waits for the host.
    """
    model, optimizer = state.model.train(), state.optimizer
    products = product_dtype(config.precision, matrix.device)
    passes = [phase for phase in model.phases for _ in range(phase.passes)]
    n_updates = _updates(model, matrix.n_users, config)
    per_pass = n_updates // len(passes)
    first = state.epoch * n_updates
    while state.batches < n_updates:
        k, done = divmod(state.batches, per_pass)
        order = streams.permutation(config.seed, state.epoch * len(passes) + k, matrix.n_users).split(config.batch_size)
        for users in order[done:]:
            step = first + state.batches
            terms = update(model, optimizer, matrix, users, config, step, products, passes[k], team)
            state.add(terms, len(users))
            if state.batches == (k + 1) * per_pass and passes[k + 1 : k + 2] != [passes[k]]:
                model.finish(passes[k])
            show(state.epoch, state.batches / n_updates)
            if stop():
                return first + state.batches
            saving.if_due()
    return first + state.batches


def _updates(model: VAE, n_users: int, config: TrainConfig) -> int:
    """Updates of an epoch: the passes of all phases, each with ⌈n / B⌉ batches."""
    return sum(phase.passes for phase in model.phases) * -(-n_users // config.batch_size)


@contextmanager
def _learning(model: VAE, phase: Phase) -> Iterator[None]:
    """Only what learns in this phase asks for gradients; afterwards everything does again."""
    try:
        model.requires_grad_(phase.encoder)
        model.decoder.requires_grad_(phase.decoder)
        yield
    finally:
        model.requires_grad_(True)


def _fingerprint(split: StrongSplit) -> str:
    """sha256 of what training looks at."""
    parts = {"train": split.train, "history": split.validation.history, "heldout": split.validation.heldout}
    arrays = {f"{k}.{a}": getattr(m, a) for k, m in parts.items() for a in ("indptr", "indices")}
    return digest(arrays, {})


def _less_memory(config: TrainConfig, model: VAE) -> str:
    sizes = ", ".join(f"{k} {v}" for k, v in model.sizes.items())
    return f"lower batch_size (now {config.batch_size}) or the sizes of the model (now {sizes})"


def _diverged(config: TrainConfig, state: Checkpoint, path: Path | None) -> str:
    kept = f"; the checkpoint of an earlier epoch is in {path}" if path is not None and path.is_file() else ""
    return (
        f"the loss became NaN or infinite in epoch {state.epoch + 1}: "
        f"lower lr (now {config.lr:g}) or anchor (now {config.anchor:g}), or use precision fp32{kept}"
    )


@contextmanager
def _progress(label: str, epochs: int, team: Team) -> Iterator[Callable[[int, float], None]]:
    """A bar on the first process's stderr when it is a terminal; a no-op otherwise."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    watched = team.first and sys.stderr.isatty()
    with Progress(*columns, console=console, transient=True, disable=not watched) as bar:
        task = bar.add_task(label, total=epochs)
        yield lambda epoch, share: bar.update(task, completed=epoch + share)
