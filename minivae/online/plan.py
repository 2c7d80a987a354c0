"""How many people does it take? Sample size and power, before the experiment."""

import math
from collections.abc import Iterable

from scipy.stats import norm

from minivae.errors import InputError
from minivae.online.limits import check


def sample_size(
    control: float,
    treatment: float,
    sd: float | tuple[float, float] | None = None,
    *,
    power: float = 0.8,
    alpha: float = 0.05,
    share: float = 0.5,
) -> tuple[int, int]:
    """Persons needed in (control, treatment) to see a difference of two means with the given power.

    ``U = (z_{1−α/2} + z_power)² (s_c²/(1−share) + s_t²/share) / (treatment − control)²`` persons altogether, for a
    two-sided z-test at level `alpha`.

    Parameters
    ----------
    control, treatment : float
        The metric per person in each arm; the second is the smallest change worth knowing of.
    sd : float | tuple[float, float], optional
        Standard deviation *over persons*, one for both arms or one each. None: the metric is a proportion of persons,
        and sd is sqrt(p(1−p)).

    Raises
    ------
    InputError
        If the two are equal, or a number is out of range.

    Examples
    --------
    >>> sample_size(0.10, 0.12)
    (3839, 3839)
    >>> sample_size(5.0, 5.1, sd=2.0)
    (6280, 6280)
    """
    if control == treatment:
        raise InputError("control and treatment are equal; name the smallest difference that would matter")
    for name, value in (("power", power), ("alpha", alpha), ("share", share)):
        check(name, value, 0 < value < 1, "between 0 and 1, both excluded")
    s_c, s_t = _spreads(control, treatment, sd)
    z = norm.ppf(1 - alpha / 2) + norm.ppf(power)
    total = (z / (treatment - control)) ** 2 * (s_c**2 / (1 - share) + s_t**2 / share)
    return math.ceil(total * (1 - share)), math.ceil(total * share)


def achieved_power(
    control: float,
    treatment: float,
    n: tuple[int, int],
    sd: float | tuple[float, float] | None = None,
    *,
    alpha: float = 0.05,
) -> float:
    """Probability that a two-sided z-test with `n` = (control, treatment) persons rejects; other arguments as of
    `sample_size`.

    Examples
    --------
    >>> round(achieved_power(0.10, 0.12, (3839, 3839)), 3)
    0.8
    """
    if min(n) < 1:
        raise InputError(f"n={n}: each arm needs at least one person")
    s_c, s_t = _spreads(control, treatment, sd)
    away = (treatment - control) / math.sqrt(s_c**2 / n[0] + s_t**2 / n[1])
    z = norm.ppf(1 - alpha / 2)
    return float(norm.sf(z - away) + norm.cdf(-z - away))


def _spreads(control: float, treatment: float, sd: float | tuple[float, float] | None) -> tuple[float, float]:
    if sd is None:
        for p in (control, treatment):
            check("a proportion", p, 0 < p < 1, "between 0 and 1, both excluded (or give sd)")
        return math.sqrt(control * (1 - control)), math.sqrt(treatment * (1 - treatment))
    both = tuple(sd) if isinstance(sd, Iterable) else (sd, sd)
    check("sd", sd, len(both) == 2 and all(0 < s < math.inf for s in both), "positive, one number or one per arm")
    return both[0], both[1]
