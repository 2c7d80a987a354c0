"""The whole experiment, many times, where the truth is known: error rates of a way to decide."""

import math
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.stats import norm

from minivae.online.clicks import Behaviour, Experiment, simulate
from minivae.online.effects import Metric, analyse, boundary
from minivae.online.limits import check
from minivae.online.people import Shelf
from minivae.runtime.progress import tracked


@dataclass(frozen=True, eq=False)
class Rehearsal:
    """An experiment repeated many times, with a look every evening; made by `rehearse`.

    Attributes
    ----------
    difference, se : ndarray
        (R, days) estimate and standard error at every look of every repetition.
    """

    difference: np.ndarray = field(repr=False)
    se: np.ndarray = field(repr=False)

    def fixed(self, level: float = 0.95, truth: float = 0.0) -> tuple[float, float]:
        """How often the interval of the *last* look misses the truth, and the standard error of this share."""
        return _share(np.asarray(self._misses(norm.ppf((1 + level) / 2), truth))[:, -1])

    def peeking(self, level: float = 0.95, truth: float = 0.0) -> tuple[float, float]:
        """How often the interval of *some* look misses the truth: what an analyst finds who stops at the first."""
        return _share(np.any(self._misses(norm.ppf((1 + level) / 2), truth), axis=1))

    def always_valid(self, scale: float, level: float = 0.95, truth: float = 0.0) -> tuple[float, float]:
        """The same for the confidence sequence of `Effect.always_valid`."""
        return _share(np.any(self._misses(boundary(self.se, scale, level), truth), axis=1))

    def _misses(self, z: np.ndarray | float, truth: float) -> np.ndarray:
        return np.abs(self.difference - truth) > z * self.se


def _share(hit: np.ndarray) -> tuple[float, float]:
    p = float(hit.mean())
    return p, math.sqrt(p * (1 - p) / len(hit))


def rehearse(
    control: Shelf,
    treatment: Shelf,
    experiment: Experiment | None = None,
    behaviour: Behaviour | None = None,
    repetitions: int = 400,
    metric: Metric = "ctr per impression",
) -> Rehearsal:
    """Repeat an experiment with fresh assignments, arrivals and clicks. With `treatment` = `control`: an A/A test.

    Repetition r has the salt ``"{salt}/{r}"`` and the experiment's seed plus r. A bar shows progress on a terminal.
    Interrupted, nothing is left behind; the result is a function of the arguments.

    Raises
    ------
    InputError
        As `simulate` and `analyse`; a first day on which an arm has fewer than two persons is an error too: take more
        people, or fewer days.
    """
    experiment = experiment or Experiment()
    check("repetitions", repetitions, repetitions >= 1, "at least 1")
    difference, se = np.empty((2, repetitions, experiment.days))
    for r in tracked(range(repetitions), "rehearsing", repetitions, "repetition"):
        once = replace(experiment, salt=f"{experiment.salt}/{r}", seed=experiment.seed + r)
        outcome = simulate(control, treatment, once, behaviour)
        for day in range(1, experiment.days + 1):
            effect = analyse(outcome.until(day), metric)
            difference[r, day - 1], se[r, day - 1] = effect.difference, effect.se
    return Rehearsal(difference, se)
