"""How people visit, look and click; who gets which list; one run of an experiment."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from minivae.errors import InputError
from minivae.online.limits import check
from minivae.online.people import Shelf


@dataclass(frozen=True)
class Behaviour:
    """How people visit, look and click.

    A visit shows `slots` items. A person looks at the first; clicks an item that they look at with probability

        P(click | look) = π_ui / (π_ui + outside · e^{mood·ξ_u}),        ξ_u ~ N(0, 1),

    the choice between the item and something outside the list (Luce), where π_ui is the true preference, normalised
    over the items that are new to the person; and then looks at the next one with probability `go_on`, or
    ``go_on · after_click`` if they have just clicked. ``after_click=1`` is a pure position bias, ``go_on^{rank−1}``;
    ``after_click=0`` the cascade model (Craswell et al. 2008), which ends with a click; in between lies the dependent
    click model (Guo et al. 2009). What was clicked is not shown again.

    Parameters
    ----------
    slots : int
        Items that a visit shows.
    visits : float
        Mean number of visits of a person, at least 1.
    loyalty : float
        Coefficient of variation of the persons' rates of visits: 0 gives 1 + Poisson, more a heavier tail.
    go_on, after_click : float
        Probabilities.
    outside : float
        Appeal of the world outside the list, in units of π: an item with this π is clicked at every second look.
    mood : float
        Sd over persons of log `outside`: some click easily, some hardly ever.

    Raises
    ------
    InputError
        If a number is out of range.
    """

    slots: int = 10
    visits: float = 5.0
    loyalty: float = 1.0
    go_on: float = 0.85
    after_click: float = 0.5
    outside: float = 0.5
    mood: float = 1.5

    def __post_init__(self) -> None:
        check("slots", self.slots, isinstance(self.slots, int | np.integer) and self.slots >= 1, "an integer from 1")
        check("visits", self.visits, 1 <= self.visits < math.inf, "finite and at least 1")
        check("outside", self.outside, 0 < self.outside < math.inf, "finite and positive")
        for name in ("loyalty", "mood"):
            check(name, getattr(self, name), 0 <= getattr(self, name) < math.inf, "finite and at least 0")
        for name in ("go_on", "after_click"):
            check(name, getattr(self, name), 0 <= getattr(self, name) <= 1, "between 0 and 1")


@dataclass(frozen=True)
class Experiment:
    """Who gets what, and for how long.

    Each person comes on one of the days and makes all their visits then, so that the data of a day are new people: what
    theory asks of a sequence of looks. (Where the same people come back, their later data depend on the earlier.)

    Parameters
    ----------
    days : int
        Length, and the number of looks that a peeking analyst can take.
    share : float
        Part of the people who get the treatment.
    salt : str
        Name of the experiment; another salt gives another, independent assignment.
    before : float
        Mean visits of each person before the experiment, when all get the control; 0 for none.
    seed : int
        Of arrivals, visits, moods and clicks.

    Raises
    ------
    InputError
        If a number is out of range.
    """

    days: int = 14
    share: float = 0.5
    salt: str = "experiment"
    before: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        check("days", self.days, isinstance(self.days, int | np.integer) and self.days >= 1, "an integer from 1")
        check("share", self.share, 0 < self.share < 1, "between 0 and 1, both excluded")
        check("before", self.before, self.before == 0 or 1 <= self.before < math.inf, "0, or at least 1")
        check("seed", self.seed, isinstance(self.seed, int | np.integer) and self.seed >= 0, "an integer from 0")


@dataclass(frozen=True, eq=False)
class Outcome:
    """What an experiment measured, one row per person who came.

    Attributes
    ----------
    treated : ndarray
        (U,) bool.
    day : ndarray
        (U,) 1 … days.
    shown, clicks : ndarray
        (U,) impressions (one item in one visit) and clicks.
    before : ndarray, optional
        (U,) clicks before the experiment, None if they were not recorded.
    """

    treated: np.ndarray = field(repr=False)
    day: np.ndarray = field(repr=False)
    shown: np.ndarray = field(repr=False)
    clicks: np.ndarray = field(repr=False)
    before: np.ndarray | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.treated)

    def until(self, day: int) -> "Outcome":
        """What is known in the evening of a day."""
        come = self.day <= day
        before = None if self.before is None else self.before[come]
        return Outcome(self.treated[come], self.day[come], self.shown[come], self.clicks[come], before)


def assign(labels: Sequence | np.ndarray, salt: str, share: float = 0.5) -> np.ndarray:
    """Who gets the treatment, (U,) bool: a hash of salt and label, so that nothing has to be stored.

    The same person always lands in the same arm of one experiment, on any machine and in any order; another salt gives
    an assignment that has nothing to do with the first.

    Examples
    --------
    >>> assign(["ann", "bob", "cem"], salt="anchors").tolist() == assign(["ann", "bob", "cem"], "anchors").tolist()
    True
    """
    check("share", share, 0 < share < 1, "between 0 and 1, both excluded")
    start = hashlib.blake2b(salt.encode(), digest_size=8, key=b"minivae.online")
    place = np.empty(len(labels))
    for k, label in enumerate(np.asarray(labels).tolist()):
        h = start.copy()
        h.update(f"/{label}".encode())
        place[k] = int.from_bytes(h.digest(), "big") / 2**64
    return place < share


def simulate(
    control: Shelf, treatment: Shelf, experiment: Experiment | None = None, behaviour: Behaviour | None = None
) -> Outcome:
    """Run an experiment: a function of its arguments, seed included.

    Parameters
    ----------
    control, treatment : Shelf
        What the two recommenders offer to the *same* people.

    Raises
    ------
    InputError
        If the shelves are for other people, or hold fewer items than a visit shows.
    """
    experiment, behaviour = experiment or Experiment(), behaviour or Behaviour()
    if not np.array_equal(control.labels, treatment.labels):
        raise InputError("the two shelves are for different people: make both from one audience")
    depth = control.items.shape[1]
    if depth != treatment.items.shape[1] or depth < behaviour.slots:
        raise InputError(
            f"shelves of {depth} and {treatment.items.shape[1]} items do not serve visits of {behaviour.slots} slots; "
            "make both with the same depth, several times the slots"
        )
    rng = np.random.default_rng([experiment.seed, 0])
    n = len(control)
    treated = assign(control.labels, experiment.salt, experiment.share)
    outside = behaviour.outside * np.exp(behaviour.mood * rng.standard_normal(n))
    loyalty = _loyalty(n, behaviour, rng)
    day = rng.integers(1, experiment.days + 1, n)
    before = None
    appeal = np.where(treated[:, None], treatment.appeal, control.appeal)  # (U, K)
    if experiment.before:
        visits = 1 + rng.poisson((experiment.before - 1) * loyalty)
        _, before, taken = _browse(control.appeal, outside, visits, behaviour, rng)
        items = np.where(treated[:, None], treatment.items, control.items)
        gone = np.zeros((n, max(items.max(), control.items.max()) + 1), bool)  # (U, I)
        person, place = taken.nonzero()
        gone[person, control.items[person, place]] = True
        appeal = np.where(
            np.take_along_axis(gone, items, 1), 0, appeal
        )  # where nothing is left, −1, appeal is 0 anyway
    visits = 1 + rng.poisson((behaviour.visits - 1) * loyalty)
    shown, clicks, _ = _browse(appeal, outside, visits, behaviour, rng)
    return Outcome(treated, day, shown, clicks, before)


def _loyalty(n: int, behaviour: Behaviour, rng: np.random.Generator) -> np.ndarray:
    """Rates of visits of mean 1, (U,): Gamma, so that the numbers of visits are 1 + negative binomial."""
    if behaviour.loyalty == 0:
        return np.ones(n)
    shape = behaviour.loyalty**-2
    return rng.gamma(shape, 1 / shape, n)


def _browse(
    appeal: np.ndarray, outside: np.ndarray, visits: np.ndarray, behaviour: Behaviour, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Impressions (U,), clicks (U,), and which places of the shelf were clicked (U, K), over all visits."""
    n = len(appeal)
    left = appeal > 0  # (U, K) what can still be shown
    clicked = np.zeros_like(left)
    shown = np.zeros(n, np.int64)
    attraction = appeal / (appeal + outside[:, None])
    for visit in range(visits.max(initial=0)):
        who = np.flatnonzero(visits > visit)
        slots = np.argsort(~left[who], axis=1, kind="stable")[:, : behaviour.slots]  # the first that are left
        there = np.take_along_axis(left[who], slots, 1)
        shown[who] += there.sum(1)
        looks = np.ones(len(who), bool)
        for rank in range(slots.shape[1]):
            at = slots[:, rank]
            looks &= there[:, rank]
            click = looks & (rng.random(len(who)) < attraction[who, at])
            clicked[who[click], at[click]] = True
            left[who[click], at[click]] = False
            looks &= rng.random(len(who)) < behaviour.go_on * np.where(click, behaviour.after_click, 1)
    return shown, clicked.sum(1), clicked
