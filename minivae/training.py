"""Training: `fit` turns (model, split, config) into a run that depends on nothing else."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self, cast

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from minivae.anchors import anchor_loss
from minivae.batches import DeviceCSR, UserBatch
from minivae.config import TrainConfig
from minivae.data.splits import FoldIn, StrongSplit
from minivae.errors import Diverged, InputError, ProcessLost
from minivae.masks import clean, masked, normalizes
from minivae.models.initialisation import linear_layers
from minivae.models.phase import Phase
from minivae.models.registry import arguments_of
from minivae.models.vae import VAE
from minivae.objective import beta_at, multinomial_nll
from minivae.options import SELECTION, Precision
from minivae.ranking import Scorer, evaluate
from minivae.runtime import distributed, streams
from minivae.runtime.checkpoint import NAME, Checkpoint, Saving, saved_state
from minivae.runtime.distributed import Team
from minivae.runtime.interruption import interruptible
from minivae.runtime.memory import keep_freed_memory, lack_of_memory
from minivae.runtime.progress import Show, progress
from minivae.runtime.storage import digest

Callback = Callable[[VAE, dict[str, Any]], object]


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
    log: list[dict[str, Any]] = field(repr=False)

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
    output = cast("nn.Linear", model.decoder[-1])
    nll = multinomial_nll(
        model.decoder[:-1](draw.z), output.weight, output.bias, batch, None, products, config.label_smoothing
    )
    terms = {"nll": nll}
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
        loss = loss + config.anchor_at(step) * terms["anchor"]
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


class Pass(NamedTuple):
    """One pass over the training users, and whether it is the last one of its phase."""

    phase: Phase
    ends_phase: bool


@dataclass
class Trainer:
    """Everything that an update needs, as one process of the run holds it.

    Attributes
    ----------
    model : VAE
        On the device of `matrix`.
    optimizer : torch.optim.Adam
        Of the model's parameters.
    matrix : DeviceCSR
        The training users.
    config : TrainConfig
        The settings of the run.
    products : torch.dtype
        Dtype of the item-sized products.
    team : Team
        The processes of the run.
    """

    model: VAE
    optimizer: torch.optim.Adam
    matrix: DeviceCSR
    config: TrainConfig
    products: torch.dtype
    team: Team = field(default_factory=Team)

    @classmethod
    def make(cls, model: VAE, users: sp.csr_matrix, config: TrainConfig, team: Team | None = None) -> Self:
        """Matrix and optimizer for `model`, which is on its device already; `users` is binary CSR (U, I)."""
        device = next(model.parameters()).device
        matrix = DeviceCSR(users, device, config.anchor_weights, config.keep, config.keep_exponent)
        return cls(model, adam(model, config), matrix, config, product_dtype(config.precision, device), team or Team())

    @property
    def passes(self) -> list[Pass]:
        """The passes of an epoch, phase after phase."""
        return [Pass(phase, k == phase.passes) for phase in self.model.phases for k in range(1, phase.passes + 1)]

    @property
    def updates_per_pass(self) -> int:
        """Batches of all training users."""
        return -(-self.matrix.n_users // self.config.batch_size)

    @property
    def updates_per_epoch(self) -> int:
        """Batches of all passes."""
        return len(self.passes) * self.updates_per_pass

    def update(self, users: Tensor, step: int, phase: Phase | None = None) -> dict[str, Tensor]:
        """One update from a batch of users, shared among the processes; returns its terms, as `loss_terms`.

        Parameters
        ----------
        users : Tensor
            (B,) int64 on the host, rows of the training matrix.
        step : int
            Number of the update, from 0.
        phase : Phase, optional
            Of the epoch; the model's first if None.
        """
        phase = phase or self.model.phases[0]
        mine, share = self.team.rows(users)
        self.optimizer.zero_grad(set_to_none=True)
        with _learning(self.model, phase):
            terms = loss_terms(self.model, self.matrix.batch(mine), self.config, step, self.products, phase)
            if self.team.size > 1:
                terms = {name: share * value for name, value in terms.items()}
            terms["loss"].backward()
        terms = self.team.sum_gradients(self.model.parameters(), terms)
        self.optimizer.step()
        return terms

    def epoch(self, state: Checkpoint, show: Show, saving: Saving, stop: Callable[[], bool]) -> int:
        """The updates that are left of the current epoch, up to an interruption; returns the updates since the start.

        Nothing here reads from the device, so that a GPU never waits for the host.
        """
        self.model.train()
        passes, per_pass = self.passes, self.updates_per_pass
        n_updates = self.updates_per_epoch
        first = state.epoch * n_updates
        while state.batches < n_updates:
            k, done = divmod(state.batches, per_pass)
            number = state.epoch * len(passes) + k  # of the pass, since the start
            order = streams.permutation(self.config.seed, number, self.matrix.n_users).split(self.config.batch_size)
            for users in order[done:]:
                terms = self.update(users, first + state.batches, passes[k].phase)
                state.add(terms, len(users))
                if state.batches == (k + 1) * per_pass and passes[k].ends_phase:
                    self.model.finish(passes[k].phase)
                if state.batches < n_updates:
                    show(state.epoch + state.batches / n_updates)
                if stop():
                    return first + state.batches
                saving.if_due()
        return first + state.batches


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
        If the split does not fit the model, the validation users have nothing held out, the parameters are no floats of
        32 or 64 bits, the loss becomes NaN (then the model has the parameters of its best epoch, or fresh ones), memory
        is short, or `folder` holds another run, or this one and `resume` is False.
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
    config = config or TrainConfig()
    _require_trainable(model, split)
    keep_freed_memory()
    team = distributed.team()
    device = resolve_device(config.device)
    team.require_devices(device)
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
    return Run(model.eval(), config, state.best_epoch, state.log)


def _require_trainable(model: VAE, split: StrongSplit) -> None:
    """Raise `InputError` if no run of this model on this split is possible."""
    if split.n_items != model.n_items:
        raise InputError(f"the split has {split.n_items} items but the model {model.n_items}; make one for the other")
    if split.train.shape[0] == 0 or split.validation.heldout.nnz == 0:
        raise InputError("the split has no training users or no held-out validation items, so no epoch can be chosen")
    small = sorted({str(p.dtype) for p in model.parameters()} - {"torch.float32", "torch.float64"})
    if small:
        raise InputError(f"a model in {small[0]} cannot be trained; call model.float() first")


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
    kept = f"; the checkpoint of an earlier epoch is in {path}" if path is not None and saved_state(path) else ""
    return (
        f"the loss became NaN or infinite in epoch {state.epoch + 1}: "
        f"lower lr (now {config.lr:g}) or anchor (now {config.anchor:g}), or use precision fp32{kept}"
    )
