"""What a planted population is asked to be: its sizes, the parameters of its preference model, and their limits."""

from dataclasses import dataclass

import numpy as np

from minivae.errors import InputError

MIN_ACTIVITY = 5
SHAPES = {  # users, items, events of the filtered originals (Liang et al. 2018; ml-1m: ratings >= 4, users >= 5 events)
    "ml-1m": (6_034, 3_533, 575_272),
    "ml-20m": (136_677, 20_720, 9_990_682),
    "netflix": (463_435, 17_769, 56_880_037),
    "msd": (571_355, 41_140, 33_633_450),
}
DEFAULT_USERS, DEFAULT_ITEMS, DEFAULT_ACTIVITY = 8_000, 1_500, 60
BITS = 24  # of an item and of a place in the order of drawing; with 11 bits for a row of a chunk they fit an int64
LIMITS = (2, 1 << 30), (MIN_ACTIVITY, 1 << BITS), (1, (1 << 31) - 1)  # of users, items, events


@dataclass(frozen=True)
class Law:
    """The parameters of the population, with the values that match MovieLens-1M.

    Parameters
    ----------
    communities : int
        Number of communities, shared by users and items
    niches : int
        Number of niches that the items fall into; at most one per item
    rank : int
        Number of taste factors
    taste : float
        Standard deviation of ⟨θ_u, λ_i⟩ over users and items, before the tilt
    decay : float
        γ, factor r has a standard deviation ∝ r^−γ
    user_community, item_community : float
        h and h', shares of the variance that the community explains
    tilt : float
        Standard deviation of the users' exponents on popularity
    popularity_exponent, popularity_shift : float
        Of the power law: a and q
    activity : float
        Standard deviation of log(N_u − 5)
    longest : float
        Largest share of the catalogue that a user may have
    """

    communities: int = 12
    niches: int = 800
    rank: int = 32
    taste: float = 1.67
    decay: float = 0.58
    user_community: float = 0.29
    item_community: float = 0.29
    tilt: float = 0.34
    popularity_exponent: float = 7.8
    popularity_shift: float = 0.56
    activity: float = 1.05
    longest: float = 0.4

    def __post_init__(self) -> None:
        for name in ("communities", "niches", "rank"):
            if not (isinstance(n := getattr(self, name), int | np.integer) and 1 <= n <= 100_000):
                raise InputError(f"{name} must be an integer from 1 to 100,000, not {n!r}")
        for name in ("user_community", "item_community", "longest"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} must lie between 0 and 1, not {getattr(self, name)}")
        for name in ("taste", "decay", "tilt", "popularity_exponent", "activity"):
            if not 0 <= getattr(self, name) <= 20:
                raise InputError(f"{name} must lie between 0 and 20, not {getattr(self, name)}")
        if not 1e-6 <= self.popularity_shift <= 1e6:
            raise InputError(f"popularity_shift must lie between 1e-6 and 1e6, not {self.popularity_shift}")


def sizes(
    shape: str | None, n_users: int | None, n_items: int | None, n_events: int | None, law: Law
) -> tuple[int, int, int]:
    """Users, items and events that were asked for, checked."""
    given = {"n_users": n_users, "n_items": n_items, "n_events": n_events}
    if shape is not None:
        if shape not in SHAPES:
            raise InputError(f"unknown shape {shape!r}: choose one of {', '.join(SHAPES)}, or give n_users and n_items")
        if any(n is not None for n in given.values()):
            raise InputError("a shape fixes users, items and events: give either shape or n_users, n_items, n_events")
        return SHAPES[shape]
    for (name, n), (low, high) in zip(given.items(), LIMITS, strict=True):
        if n is not None and not (isinstance(n, int | np.integer) and low <= n <= high):
            raise InputError(f"{name} must be an integer from {low} to {high:,}, not {n!r}")
    n_users = int(DEFAULT_USERS if n_users is None else n_users)
    n_items = int(DEFAULT_ITEMS if n_items is None else n_items)
    longest = longest_history(n_items, law)
    low, high = max(MIN_ACTIVITY * n_users, n_items), longest * n_users
    if low > high:
        raise InputError(f"{n_users} users with at most {longest} items each cannot cover {n_items} items: add users")
    n_events = min(max(DEFAULT_ACTIVITY * n_users, low), high) if n_events is None else int(n_events)
    if not low <= n_events <= high:
        raise InputError(
            f"{n_users:,} users and {n_items:,} items can have between {low:,} and {high:,} events, not {n_events:,}"
        )
    return n_users, n_items, n_events


def longest_history(n_items: int, law: Law) -> int:
    """The largest number of items that one user may have."""
    return max(MIN_ACTIVITY, int(law.longest * n_items))
