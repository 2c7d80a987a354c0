"""What the treatment did, and how sure one may be: after one look, or after as many as one likes."""

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from scipy.stats import norm

from minivae.errors import InputError
from minivae.online.clicks import Outcome
from minivae.online.limits import check

Metric = Literal["clicks", "ctr per impression", "ctr per user"]


@dataclass(frozen=True)
class Effect:
    """Treatment against control on one metric.

    Attributes
    ----------
    metric : str
        See `analyse`.
    control, treatment : float
        The metric in each arm.
    variances : tuple[float, float]
        Of the estimate in each arm, over persons.
    n : tuple[int, int]
        Persons in each arm.
    """

    metric: str
    control: float
    treatment: float
    variances: tuple[float, float] = field(repr=False)
    n: tuple[int, int]

    @property
    def difference(self) -> float:
        """Treatment − control."""
        return self.treatment - self.control

    @property
    def se(self) -> float:
        """Standard error of the difference."""
        return math.sqrt(sum(self.variances))

    @property
    def p(self) -> float:
        """Two-sided p-value for one look that was fixed in advance."""
        return float(2 * norm.sf(abs(self.difference) / self.se)) if self.se > 0 else float("nan")

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Normal interval ``difference ± z · se``; holds for one look that was fixed in advance."""
        half = float(norm.ppf((1 + level) / 2)) * self.se
        return self.difference - half, self.difference + half

    def always_valid(self, scale: float, level: float = 0.95) -> tuple[float, float]:
        """An interval of a confidence sequence: all its intervals together, over all looks, miss with probability < α.

        ``difference ± se · sqrt((1 + se²/s²) log((1 + s²/se²) / α²))``, the normal mixture of Robbins (1970), known in
        online experiments as mSPRT (Johari et al. 2017) and, for means of any law, as an asymptotic confidence sequence
        (Waudby-Smith et al. 2024). Look whenever you like, stop when you like.

        Parameters
        ----------
        scale : float
            s > 0, the effect that one hopes for; it must not depend on the data. Any s is valid, the interval is
            narrowest where se is about s/3.
        """
        half = self.se * float(boundary(self.se, scale, level))
        return self.difference - half, self.difference + half

    def lift(self, level: float = 0.95) -> tuple[float, float, float]:
        """Relative effect ``treatment/control − 1`` and its interval, by the delta method on the logarithm.

        Raises
        ------
        InputError
            If the metric is not positive in both arms.
        """
        if min(self.control, self.treatment) <= 0:
            raise InputError(f"a lift needs clicks in both arms, found {self.control:g} and {self.treatment:g}")
        a, b = self.variances
        ratio = math.log(self.treatment / self.control)
        half = float(norm.ppf((1 + level) / 2)) * math.sqrt(a / self.control**2 + b / self.treatment**2)
        return math.expm1(ratio), math.expm1(ratio - half), math.expm1(ratio + half)


def boundary(se: np.ndarray | float, scale: float, level: float = 0.95) -> np.ndarray:
    """How many standard errors an effect must be away from 0 at *some* look; see `Effect.always_valid`."""
    check("scale", scale, 0 < scale < math.inf, "finite and positive")
    check("level", level, 0 < level < 1, "between 0 and 1, both excluded")
    known = np.square(scale / np.asarray(se, dtype=np.float64))  # information, in units of the hoped-for effect
    return np.sqrt((1 + 1 / known) * np.log((1 + known) / (1 - level) ** 2))


def analyse(outcome: Outcome, metric: Metric = "ctr per impression", cuped: bool = False) -> Effect:
    """Estimate the effect of the treatment; its standard error is over persons, the units that were randomised.

    ====================  ===========================  ==========================================================
    metric                estimate in an arm           a person's part in its error
    ====================  ===========================  ==========================================================
    clicks                mean of c_u                  c_u − mean
    ctr per user          mean of c_u / n_u            c_u / n_u − mean
    ctr per impression    R = Σ c_u / Σ n_u            (c_u − R n_u) / mean n   (delta method, Deng et al. 2018)
    ====================  ===========================  ==========================================================

    with c_u clicks among n_u impressions. The variance in an arm is that of the parts over its U persons, divided by U.
    Impressions of one person are not independent, so a variance of R as if they were, ``R(1−R)/Σ n_u``, is too small.

    Parameters
    ----------
    cuped : bool, default False
        Use the clicks before the experiment to take away what persons differ by anyway (Deng et al. 2013): ``part − θ
        (before − mean before)`` with θ by least squares within arms.

    Raises
    ------
    InputError
        If the metric is unknown, an arm has fewer than two persons, or `cuped` lacks the clicks before.
    """
    if metric not in get_args(Metric):
        raise InputError(f"metric {metric!r} is unknown; choose one of {', '.join(get_args(Metric))}")
    arms = [~outcome.treated, outcome.treated]
    n = tuple(int(arm.sum()) for arm in arms)
    if min(n) < 2:
        raise InputError(f"the arms have {n[0]} and {n[1]} persons, but a standard error needs two in each")
    parts = [_parts(metric, outcome.clicks[arm], outcome.shown[arm]) for arm in arms]
    values, errors = [p[0] for p in parts], [p[1] for p in parts]
    if cuped:
        if outcome.before is None:
            raise InputError("cuped needs clicks from before the experiment: set Experiment(before=…)")
        x = [outcome.before[arm] for arm in arms]
        centred = [v - v.mean() for v in x]
        square = sum(c @ c for c in centred)
        theta = sum(c @ e for c, e in zip(centred, errors, strict=True)) / square if square > 0 else 0.0
        overall = outcome.before.mean()
        values = [v - theta * (b.mean() - overall) for v, b in zip(values, x, strict=True)]
        errors = [e - theta * c for e, c in zip(errors, centred, strict=True)]
    a, b = (float(e.var(ddof=1) / len(e)) for e in errors)
    return Effect(metric, float(values[0]), float(values[1]), (a, b), (n[0], n[1]))


def _parts(metric: Metric, clicks: np.ndarray, shown: np.ndarray) -> tuple[float, np.ndarray]:
    """The metric in one arm, and each person's part in its error, of mean 0."""
    if metric == "ctr per impression":
        ratio = clicks.sum() / max(shown.sum(), 1)
        return ratio, (clicks - ratio * shown) / max(shown.mean(), 1e-300)
    value = clicks if metric == "clicks" else clicks / np.maximum(shown, 1)
    return value.mean(), value - value.mean()
