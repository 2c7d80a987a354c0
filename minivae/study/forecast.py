"""What a study will cost, before it runs: time from a few updates measured here, peak memory from a model.

How many epochs a run needs until it stops early is not known beforehand. What is forecast is the time of one epoch, its
validation included, and the time of all epochs that are allowed: no run takes longer.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import scipy.sparse as sp
import torch

from minivae.data.splits import FoldIn, StrongSplit
from minivae.models import VAE, save_model
from minivae.models.contract import require_complete
from minivae.models.ease import EASE
from minivae.models.item_item import ItemItem
from minivae.models.phase import Phase
from minivae.models.slim import SLIM
from minivae.options import SELECTION
from minivae.ranking import BLOCK_CELLS, evaluate
from minivae.runtime.device import resolve_device
from minivae.runtime.memory import status
from minivae.runtime.progress import duration
from minivae.runtime.table import Table, numbers, words
from minivae.study.memory_forecast import LIBRARIES, Memory, ease_memory, vae_memory
from minivae.study.output import tables
from minivae.study.run.runs import Job
from minivae.update import Trainer

SAVED = 2
"""Checkpoints at least: after the first epoch and the last. Each holds model, best epoch and two moments."""
Clock = Callable[[], float]
WARM, TIMED, AT_LEAST = 2, 5, 0.5
"""Updates before the clock starts, how many it sees at least, and for how many seconds at least."""
LONG = 1e14
"""Operations from which on a forecast is made before the runs: at least a quarter of an hour of one core."""
RANKED, SOLVED, FITTED, ROUNDS = 1000, 3000, 1000, 3
"""For the time: users that are ranked, items of a linear system that is solved, users that a baseline is fitted to,
rounds of SLIM that are seen."""


@dataclass(frozen=True)
class Cost:
    """The forecast for one run.

    Attributes
    ----------
    parameters : int
        Numbers that are learned.
    memory : Memory
        At the peak.
    setup : float
        Seconds before the first epoch and after the last, with code that is loaded once, test users, and the
        checkpoints after the first and the last epoch; of a baseline everything.
    update, validation : float
        Seconds of one update (mean over the phases of an epoch) and of one validation.
    updates : int
        Per epoch.
    epochs : int
        At most; 0 of a baseline.
    """

    parameters: int
    memory: Memory
    setup: float
    update: float = 0.0
    validation: float = 0.0
    updates: int = 0
    epochs: int = 0

    @property
    def epoch(self) -> float:
        """Seconds of one epoch with its validation."""
        return self.updates * self.update + self.validation

    @property
    def longest(self) -> float:
        """Seconds of all epochs, and what is around them."""
        return self.setup + self.epochs * self.epoch


def forecast(job: Job, split: StrongSplit, clock: Clock = time.perf_counter) -> Cost:
    """What a run of `job` will cost; takes a few seconds, and leaves nothing behind.

    Parameters
    ----------
    clock : Clock, default time.perf_counter
        `time.process_time` gives seconds of the processor instead, which a busy machine does not change.
    """
    if job.spec.trained:
        return _vae(job, split, clock)
    model = job.spec.build_baseline()
    return _linear(model, split, clock) if isinstance(model, ItemItem) else _baseline(job, split, clock)


def _vae(job: Job, split: StrongSplit, clock: Clock) -> Cost:
    config = replace(job.config, batch_size=min(job.config.batch_size, split.train.shape[0]))
    device = resolve_device(config.device)
    started = clock()
    model = job.spec.build_vae(split.n_items)
    model.reset_parameters(torch.Generator().manual_seed(0))
    if config.anchor > 0:
        model.add_anchors()
    model.to(device)
    trainer = Trainer.make(model, split.train, config)
    setup = clock() - started
    n = sum(p.numel() for p in model.parameters())
    kept = sum(v.numel() for v in model.state_dict().values())
    memory = vae_memory(
        n,
        kept,
        item_sized=sum(p.numel() for p in model.decoder[-1].parameters()),
        shape=split.train.shape,
        events=split.train.nnz,
        batch=config.batch_size,
        products=trainer.products,
        cuda=device.type == "cuda",
    )
    order = torch.randperm(split.train.shape[0], generator=torch.Generator().manual_seed(0)).split(config.batch_size)
    training = 0.0
    for phase in model.phases:
        seconds, once = _step_time(trainer, order, phase, clock)
        setup += once
        training += phase.passes * trainer.updates_per_pass * seconds
    ranking = _ranking_time(model.eval(), split.validation, clock)  # seconds per user
    held = split.validation.n_users + split.test.n_users
    saving = (SAVED * (2 * n + 2 * kept) + kept) / kept * _saving_time(model, clock)
    return Cost(
        parameters=n,
        memory=memory,
        setup=setup + held * ranking + saving,
        update=training / trainer.updates_per_epoch,
        validation=split.validation.n_users * ranking,
        updates=trainer.updates_per_epoch,
        epochs=config.epochs,
    )


def _step_time(trainer: Trainer, order: Sequence[torch.Tensor], phase: Phase, clock: Clock) -> tuple[float, float]:
    """Seconds of an update in one phase, and by how much the first takes longer: it loads code."""
    trainer.model.train()

    def step(k: int) -> None:
        terms = trainer.update(order[k % max(1, len(order) - 1)], k, phase)
        float(terms["loss"].detach())  # a GPU has finished when this is known

    return _median(step, clock)


def _median(work: Callable[[int], object], clock: Clock) -> tuple[float, float]:
    """Median after some to warm up, and the excess of the first."""
    times: list[float] = []
    while len(times) < WARM + TIMED or sum(times[WARM:]) < AT_LEAST:
        started = clock()
        work(len(times))
        times.append(clock() - started)
    median = float(np.median(times[WARM:]))
    return median, max(0.0, times[0] - median)


def _saving_time(model: VAE, clock: Clock) -> float:
    """Seconds to write the model with its checksum."""
    with tempfile.TemporaryDirectory() as folder:
        started = clock()
        save_model(model, Path(folder) / "model.safetensors")
        return clock() - started


def _ranking_time(model: Any, fold_in: FoldIn, clock: Clock) -> float:
    """Seconds per user, of some of them."""
    n = min(fold_in.n_users, RANKED)
    some = FoldIn(fold_in.history[:n], fold_in.heldout[:n])
    evaluate(model, FoldIn(fold_in.history[:8], fold_in.heldout[:8]), (SELECTION,))
    started = clock()
    evaluate(model, some, (SELECTION,))
    return (clock() - started) / n


def _linear(model: ItemItem, split: StrongSplit, clock: Clock) -> Cost:
    """A smaller system is solved, which costs I³; the Gram matrix costs Σ_u N_u², seen on some users.

    Of SLIM a few rounds are seen; the forecast is for all that are allowed.
    """
    n_items, n = split.n_items, min(split.n_items, SOLVED)
    small = sp.identity(n, dtype="float32", format="csr")
    started = clock()
    EASE(1).fit(small)
    solving = clock() - started
    if isinstance(model, SLIM):
        above = sp.diags(np.ones(n - 1, dtype=np.float32), offsets=1, shape=(n, n), format="csr")
        chain = cast("sp.csr_matrix", small + above)
        started = clock()
        SLIM(0, 1, 1, ROUNDS, 1e-30).fit(chain)
        solving = max(0.0, clock() - started - solving) * model.iterations / ROUNDS + solving
    solving *= (n_items / n) ** 3
    pairs = np.diff(split.train.indptr).astype(np.float64) ** 2
    some = split.train[: min(len(pairs), FITTED)]
    started = clock()
    _ = some.T @ some
    counting = (clock() - started) * pairs.sum() / max(1.0, pairs[: some.shape[0]].sum())
    held = split.validation.n_users + split.test.n_users
    weights = torch.randn(n_items, 256)
    history = split.validation.history[:RANKED]
    started = clock()
    _ = history @ weights.numpy()
    scoring = (clock() - started) * (n_items / 256) / max(1, history.shape[0])
    memory = ease_memory(n_items, split.train.nnz, model.matrices)
    return Cost(model.size(0, n_items), memory, solving + counting + held * scoring)


def _baseline(job: Job, split: StrongSplit, clock: Clock) -> Cost:
    """Fitted to some of the users; taken as linear in their number."""
    n = min(split.train.shape[0], FITTED)
    model = job.spec.build_baseline()
    started = clock()
    model.fit(split.train[:n])
    fitting = (clock() - started) * split.train.shape[0] / n
    held = split.validation.n_users + split.test.n_users
    size = model.size(*split.train.shape)
    scores = 12 * min(BLOCK_CELLS, split.validation.n_users * split.n_items)
    memory = Memory(LIBRARIES // 5, 8 * split.train.nnz, 4 * size, scores)
    return Cost(size, memory, fitting + held * _ranking_time(model, split.validation, clock))


def operations(jobs: Sequence[Job], split: StrongSplit) -> float:
    """Multiplications and additions in the output layers of all epochs that the VAEs may take, counted, not measured.

    ``epochs · U · 6 · I (h + 1)``: three products with the matrix of the output layer for every training user.
    """
    total, numbers_of = 0.0, {}
    with torch.random.fork_rng(devices=[]):  # models draw weights when they are made
        for job in jobs:
            name = job.spec.name
            if job.spec.trained and name not in numbers_of:
                model = job.spec.build_vae(split.n_items)
                require_complete(model)
                numbers_of[name] = sum(p.numel() for p in model.decoder[-1].parameters())
            total += 6.0 * job.config.epochs * split.train.shape[0] * numbers_of.get(name, 0)
    return total


def long(jobs: Sequence[Job], split: StrongSplit) -> bool:
    """Whether the runs may take so long that a forecast, some seconds for each model, is worth its time."""
    return operations(jobs, split) > LONG


def table(jobs: Sequence[Job], split: StrongSplit) -> Table:
    """The forecast of a study: one row per model, and the sum."""
    columns = [words("model"), numbers("seeds"), numbers("parameters", tables.count)]
    columns += [numbers("peak memory", tables.size), numbers("updates an epoch", tables.count)]
    columns += [numbers("epoch", duration), numbers("epochs at most"), numbers("at most", duration)]
    rows: list[list[object]] = []
    held, total, peak = status("VmRSS") or 0, 0.0, 0
    for spec in {job.spec.name: job.spec for job in jobs}.values():
        of = [job for job in jobs if job.spec.name == spec.name]
        cost = forecast(of[0], split)
        total, peak = total + len(of) * cost.longest, max(peak, held + cost.memory.total)
        trained = [cost.updates, cost.epoch, cost.epochs] if cost.epochs else [None] * 3
        size = held + cost.memory.total
        rows.append([spec.name, len(of), cost.parameters, size, *trained, len(of) * cost.longest])
    return Table.make(columns, [*rows, ["together", "", "", peak, "", "", "", total]])


NOTE = (
    "Time: a few updates and rankings measured here and now, on this machine as busy as it is. How early a run stops "
    "is not known, so the last column is the longest; an epoch contains its validation. Memory: of the whole process "
    "at its peak, from a model; the largest counts, since models run one after the other."
)
