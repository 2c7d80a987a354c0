"""Parameters at several moments of a training run, each with the length of the stretch that it stands for."""

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch

from minivae.config import TrainConfig
from minivae.data.splits import StrongSplit
from minivae.errors import InputError
from minivae.models import VAE
from minivae.theory.adapter import Wrapped
from minivae.training import Run, fit


@dataclass(frozen=True)
class Snapshot:
    """A model as it was at one moment of its training.

    Attributes
    ----------
    model : VAE | Wrapped
        In evaluation mode; an outside model behind `minivae.theory.wrap` too.
    weight : float
        η_t, what a user's gradient is multiplied with while the run looks like this: ``lr · epochs / B`` for a stretch
        of some epochs, because an epoch moves the parameters by ``−lr/B`` times every user's gradient. B are the users
        of an update: the batch size, or all training users where they are fewer.
    epoch : int
        After how many epochs.
    """

    model: VAE | Wrapped
    weight: float
    epoch: int


def moments(epochs: int) -> tuple[int, ...]:
    """After which epochs a run of that length is looked at: 0, 1, 2, 3, 5, 8, 13, … (Fibonacci), all below `epochs`.

    Early epochs move the parameters most, so they are looked at more often. The end itself is not among them: each
    moment stands for the stretch that follows it.

    Examples
    --------
    >>> moments(30)
    (0, 1, 2, 3, 5, 8, 13, 21)
    """
    if epochs < 1:
        raise InputError(f"epochs={epochs} is no length of a run; it must be at least 1")
    found, step = [0, 1], 1
    while found[-1] < epochs:
        found, step = [*found, found[-1] + step], found[-1]
    return tuple(e for e in found if e < epochs)


class Recorder:
    """A `fit` callback that keeps copies of the model after some epochs, on the CPU.

    Parameters
    ----------
    epochs : iterable
        After which; 0, the fresh parameters, is what `record` adds.
    """

    def __init__(self, epochs: Iterable[int]) -> None:
        self.epochs = frozenset(epochs)
        self.models: dict[int, VAE] = {}

    def __call__(self, model: VAE, line: Mapping[str, float]) -> None:
        if (epoch := int(line["epoch"])) in self.epochs:
            self.models[epoch] = copy.deepcopy(model).cpu().eval().requires_grad_(False)


def record(
    build: Callable[[], VAE],
    split: StrongSplit,
    config: TrainConfig,
    at: Iterable[int] | None = None,
    to_the_end: bool = False,
) -> tuple[list[Snapshot], VAE, Run]:
    """Train, and keep snapshots on the way: the moments of `at`, up to the epoch that is chosen in the end.

    The weights are ``lr · (e_{t+1} − e_t) / B`` with the end as the last e, and B as in `Snapshot`. They are those of
    plain gradient descent with the run's learning rate; the run itself uses Adam, whose steps have other lengths in
    other directions.

    Parameters
    ----------
    build : callable
        Makes an empty model.
    at : Iterable[int], optional
        Epochs, 0 for the fresh parameters; `moments` if None.
    to_the_end : bool, default False
        Take the last epoch as the end, not the one that ranks the validation users best.

    Returns
    -------
    snapshots : list[Snapshot]
        In order of time, all before the end.
    model : VAE
        At the end.
    run : Run
        As `fit` returns it.

    Raises
    ------
    InputError
        If there is no snapshot before the end.
    """
    wanted = set(moments(config.epochs) if at is None else at)
    recorder = Recorder(wanted | {config.epochs})
    run = fit(build(), split, config, callback=recorder)
    end = len(run.log) if to_the_end else run.best_epoch
    model = recorder.models.get(end) if to_the_end else run.model
    if model is None:
        raise InputError(f"the run stopped in epoch {end} of {config.epochs}; raise patience to reach the last epoch")
    if 0 in wanted:
        fresh = build()
        fresh.reset_parameters(torch.Generator().manual_seed(config.seed))
        fresh.normalize = run.model.normalize
        recorder.models[0] = fresh.eval().requires_grad_(False)
    epochs = sorted(e for e in recorder.models if e in wanted and e < end)
    if not epochs:
        raise InputError(f"none of the epochs {sorted(wanted)} lies before epoch {end}, the end of the run")
    batch = min(config.batch_size, split.train.shape[0])
    snapshots = [Snapshot(recorder.models[a], config.lr * (b - a) / batch, a) for a, b in pairwise([*epochs, end])]
    return snapshots, model, run
