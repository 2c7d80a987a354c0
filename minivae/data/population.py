"""A planted population: interactions drawn from a preference model that is known, so that claims can be checked.

The model. The log-preference of user u for item i is a popularity plus a low-rank taste,

    f_ui = b_i + ⟨θ_u, λ_i⟩,        b_i = −a·log(rank_i / I + q)        (shifted power law, Zipf–Mandelbrot)

Tastes are hierarchical. A community g has a Gaussian centre c_g; a user of g has θ_u = √h·c_g + √(1−h)·noise, factor r
scaled by r^−γ; items of g fall into niches (items of near popularity) that share λ = √h'·c_g + √(1−h')·noise. One more
factor tilts a user towards or away from popular items. User u has N_u = 5 + log-normal items, drawn one after the
other without replacement with probability ∝ exp f_ui (successive sampling, the Plackett–Luce law).

The parameters come from MovieLens-1M (ratings >= 4, users with 5 of them): activity by its quantiles, the numbers of
communities, niches and factors from a few tried, the others by a search (Nelder and Mead) that lowers the squared
differences of marginal statistics. No accuracy enters the search; the nearest neighbours were added to it when a first
match without them gave a population that EASE predicted far better than MovieLens (.77 against .42 nDCG@100).
`python data_scripts/match_population.py ml-1m.zip` measures all of this again, and searches again if asked.

    statistic                                  MovieLens-1M             planted(shape="ml-1m")   planted()
    items of a user, quantiles .05 .5 .95      14  58  299              15  58  301              11  37  182
    users of an item (share), .1 .5 .9 .99 1   .001 .008 .08 .24 .47    .001 .007 .09 .20 .27    .002 .012 .13 .25 .32
    Gini of popularity                         .70                      .70                      .67
    singular values 1 2 5 10 20 40 (*)         .55 .46 .41 .33 .29 .24  .60 .54 .41 .29 .23 .21  .56 .50 .36 .27 .21 .18
    Jaccard of two users, .25 .5 .75 .95       .02 .04 .07 .13          .01 .03 .06 .13          .02 .04 .08 .16
    pairs of users without a common item       .10                      .16                      .16
    Jaccard, 10 nearest users, .1 .5 .9        .14 .20 .28              .12 .20 .33              .17 .25 .35
    cosine, 10 nearest items, .1 .5 .9         .17 .25 .41              .18 .28 .46              .18 .27 .45
    sd over users of mean log-popularity       .42                      .44                      .42

(*) of diag(N_u)^−½ x diag(m_i)^−½, m_i the item's number of users, without the trivial first. Where the match falls
short: MovieLens has more popular hits, a spectrum that falls more slowly, and fewer users with nothing in common.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np

from minivae.data.codes import binary_csr, order_of_appearance
from minivae.data.interactions import Interactions
from minivae.errors import InputError

MIN_ACTIVITY = 5
SHAPES = {  # users, items, events of the filtered originals (Liang et al. 2018; ml-1m: ratings >= 4, users >= 5 events)
    "ml-1m": (6_034, 3_533, 575_272),
    "ml-20m": (136_677, 20_720, 9_990_682),
    "netflix": (463_435, 17_769, 56_880_037),
    "msd": (571_355, 41_140, 33_633_450),
}
DEFAULT_USERS, DEFAULT_ITEMS, DEFAULT_ACTIVITY = 8_000, 1_500, 60
CHUNK = 2_048  # users per chunk: part of the definition of the random stream, and small enough for the cache
POOL, PAIRS = 2_000, 200  # known pairs are looked for among so many users, and so many are kept
FAR_SIMILARITY, NEAR_QUANTILE = 0.5, 0.99
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
        A and q
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


@dataclass(frozen=True, eq=False, repr=False)
class Truth:
    """What no recommender sees: communities and the preferences that the interactions were drawn from.

    Rows and columns are the codes of the interactions, which are their labels too.

    Parameters
    ----------
    user_community : ndarray
        (U,) int64
    item_community : ndarray
        (I,) int64
    user_factors : ndarray
        (U, R + 1) float32 θ_u; the last factor is the tilt towards popular items.
    item_factors : ndarray
        (I, R + 1) float32
    popularity : ndarray
        (I,) float64 b_i.
    far_pairs : (P, 2) int64
        Users with nearly the same taste who have at most one item in common, the most alike first.
    near_pairs : (P, 2) int64
        Users of unrelated taste who have many items in common (popular ones), the largest Jaccard overlap first.
    """

    user_community: np.ndarray
    item_community: np.ndarray
    user_factors: np.ndarray
    item_factors: np.ndarray
    popularity: np.ndarray
    far_pairs: np.ndarray = field(default_factory=lambda: np.empty((0, 2), np.int64))
    near_pairs: np.ndarray = field(default_factory=lambda: np.empty((0, 2), np.int64))

    def logits(self, users: np.ndarray) -> np.ndarray:
        """True log-preferences f_ui up to a constant per user, (B, I) float64."""
        return self.popularity + self.user_factors[users].astype(np.float64) @ self.item_factors.T

    def similarity(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Cosine of the tastes of users u and v, popularity left out; in [−1, 1], shape of the broadcast of u and v."""
        a, b = (unit(self.user_factors[x, :-1]) for x in (u, v))
        return (a * b).sum(-1)


@dataclass(frozen=True, eq=False, repr=False)
class Planted(Interactions):
    """`Interactions` whose labels are their codes and whose preferences are known: `.truth`.

    Examples
    --------
    >>> data = planted(n_users=50, n_items=40, n_events=500)
    >>> data.truth.user_community.shape, data.truth.similarity([0, 1], [0, 1]).round(6).tolist()
    ((50,), [1.0, 1.0])
    """

    truth: Truth | None = None


def planted(
    seed: int = 0,
    shape: str | None = None,
    n_users: int | None = None,
    n_items: int | None = None,
    n_events: int | None = None,
    law: Law | None = None,
) -> Planted:
    """Draw a population with a known preference model; a function of its arguments, whatever the machine's cores.

    Beside it, `debian` is real data that comes with minivae.

    Parameters
    ----------
    seed : int, default 0
        Non-negative integer
    shape : str, optional
        "ml-1m", "ml-20m", "netflix" or "msd": exactly the users, items and events of the filtered original
    n_users, n_items, n_events : int, optional
        Sizes instead of a shape; by default 8,000 users, 1,500 items, 60 events a user
    law : Law, optional
        Law, parameters of the model; by default those that match MovieLens-1M

    Returns
    -------
    Planted
        Every user has at least 5 events, every item at least one, no pair stands twice. A user's events stand
        together, in the order in which they were drawn.

    Raises
    ------
    InputError
        If an argument is unknown or out of range, or the sizes contradict each other.

    Examples
    --------
    >>> data = planted(n_users=50, n_items=40, n_events=500)
    >>> data, data.truth.logits([0, 1]).shape
    (Interactions('planted', 50 users, 40 items, 500 events), (2, 40))
    """
    law = Law() if law is None else law
    n_users, n_items, n_events = sizes(shape, n_users, n_items, n_events, law)
    if not (isinstance(seed, int | np.integer) and seed >= 0):
        raise InputError(f"seed must be a non-negative integer, not {seed!r}")
    root, *streams = (
        np.random.Generator(np.random.Philox(s))
        for s in np.random.SeedSequence(int(seed)).spawn(1 + -(-n_users // CHUNK))
    )
    centres = root.standard_normal((law.communities, law.rank))
    items = Catalogue.draw(root, n_items, centres, law)
    user_community, user_factors = draw_users(root, n_users, centres, law)
    activity = draw_activity(root, n_users, n_items, n_events, law)

    item = np.empty(n_events, np.int32)
    start = np.concatenate([[0], np.cumsum(activity)])

    def fill(chunk: int) -> None:
        rows = slice(chunk * CHUNK, min((chunk + 1) * CHUNK, n_users))
        drawn = successive_sample(user_factors[rows], activity[rows], items, streams[chunk])
        item[start[rows.start] : start[rows.stop]] = drawn

    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        list(pool.map(fill, range(len(streams))))
    give_every_item_an_event(item, n_items, root)

    appearance = order_of_appearance(item, n_items)
    code = np.empty(n_items, np.int32)
    code[appearance] = np.arange(n_items, dtype=np.int32)
    item = code[item]
    truth = Truth(
        user_community,
        items.community[appearance],
        user_factors,
        items.niche_factors[items.niche[appearance]],
        items.popularity[appearance],
    )
    chosen = np.sort(root.choice(n_users, min(POOL, n_users), replace=False))
    far, near = known_pairs(truth, chosen, item, start)
    return Planted(
        user=np.repeat(np.arange(n_users, dtype=np.int32), activity),
        item=item,
        user_labels=np.arange(n_users),
        item_labels=np.arange(n_items),
        item_titles=items.titles()[appearance],
        name=f"planted-{shape}" if shape else "planted",
        truth=replace(truth, far_pairs=far, near_pairs=near),
    )


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


def draw_users(rng: np.random.Generator, n_users: int, centres: np.ndarray, law: Law) -> tuple[np.ndarray, np.ndarray]:
    """Community (U,) and factors θ (U, R + 1) of every user."""
    community = rng.choice(len(centres), n_users, p=community_shares(len(centres)))
    noise = rng.standard_normal((n_users, law.rank), np.float32)
    theta = np.sqrt(law.user_community) * centres.astype(np.float32)[community]
    theta += np.sqrt(1 - law.user_community) * noise
    theta *= factor_scales(law)
    tilt = law.tilt * rng.standard_normal((n_users, 1), np.float32)
    return community, np.concatenate([theta, tilt], axis=1).astype(np.float32)


def community_shares(n: int) -> np.ndarray:
    """Sizes of communities: a power law with exponent 1/2."""
    share = np.arange(1, n + 1) ** -0.5
    return share / share.sum()


def factor_scales(law: Law) -> np.ndarray:
    """Standard deviation of each factor, (R,) float32; the squares sum to taste²."""
    scale = np.arange(1, law.rank + 1) ** -law.decay
    return (law.taste * scale / np.linalg.norm(scale)).astype(np.float32)


def draw_activity(rng: np.random.Generator, n_users: int, n_items: int, n_events: int, law: Law) -> np.ndarray:
    """Numbers of items N_u (U,) int64, 5 + log-normal, cut at the longest history, with the sum `n_events`."""
    longest = longest_history(n_items, law)
    spread = np.exp(law.activity * rng.standard_normal(n_users))
    low, high = -20.0, 20.0 + np.log(n_items)
    size = spread
    for _ in range(100):  # bisection for the scale: the sum rises with it
        middle = (low + high) / 2
        size = np.minimum(MIN_ACTIVITY + np.exp(middle) * spread, longest)
        low, high = (middle, high) if size.sum() < n_events else (low, middle)
    whole = np.floor(size).astype(np.int64)
    order = np.argsort(np.where(whole < longest, whole - size, np.inf), kind="stable")
    whole[order[: n_events - whole.sum()]] += 1
    return whole


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The items, niche after niche, so that a draw inside a niche is one look-up in the cumulated popularity.

    Parameters
    ----------
    community, niche : ndarray
        (I,) int64
    popularity : ndarray
        (I,) float64 b_i.
    niche_factors : ndarray
        (K, R + 1) float32
    edges : (K + 1,) int64
        Niche k holds the items edges[k] .. edges[k + 1] − 1.
    cumulated : ndarray
        (I + 1,) float64 0 and the cumulated exp b_i, scaled to end at 1.
    """

    community: np.ndarray
    niche: np.ndarray
    popularity: np.ndarray
    niche_factors: np.ndarray
    edges: np.ndarray
    cumulated: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator, n_items: int, centres: np.ndarray, law: Law) -> "Catalogue":
        """Draw niches of equal size, ordered by community and, inside one, by popularity."""
        n_niches = min(law.niches, n_items)
        niche = np.arange(n_items) * n_niches // n_items
        niche_community = np.sort(rng.choice(len(centres), n_niches, p=community_shares(len(centres))))
        community = niche_community[niche]
        rank = rng.permutation(n_items)
        rank = rank[np.lexsort((rank, community))]
        popularity = -law.popularity_exponent * np.log(rank / n_items + law.popularity_shift)
        weight = np.exp(popularity - popularity.max())
        cumulated = np.concatenate([[0.0], np.cumsum(weight) / weight.sum()])
        edges = np.searchsorted(niche, np.arange(n_niches + 1))
        noise = rng.standard_normal((n_niches, law.rank))
        taste = np.sqrt(law.item_community) * centres[niche_community] + np.sqrt(1 - law.item_community) * noise
        tilt = np.bincount(niche, popularity) / np.bincount(niche)
        tilt -= np.average(tilt, weights=np.diff(cumulated[edges]))
        factors = np.column_stack([taste, tilt]).astype(np.float32)
        return cls(community, niche, popularity, factors, edges, cumulated)

    def titles(self) -> np.ndarray:
        """Readable names: the community, counted from 1, and the rank by popularity inside it."""
        first = np.searchsorted(self.community, self.community)
        number = np.arange(self.community.size) - first + 1
        return np.array([f"Community {c + 1} · item {n}" for c, n in zip(self.community, number, strict=True)])


def successive_sample(
    theta: np.ndarray, size: np.ndarray, items: Catalogue, rng: np.random.Generator, rounds: int = 4
) -> np.ndarray:
    """Draw `size[u]` distinct items for every user u of a chunk, one after the other with probability ∝ exp f_ui.

    Exact: the first n distinct values of an independent sequence follow the Plackett–Luce law. A draw takes a niche,
    then an item of it. Users who need so much of the catalogue that repetitions abound are completed by Gumbel top-k
    over the items that they lack, which is the same law.

    Parameters
    ----------
    theta : ndarray
        (B, R + 1) user factors
    size : ndarray
        (B,) int64
    items : Catalogue
        Catalogue
    rng : np.random.Generator
        Numpy Generator
    rounds : int, default 4
        Number of rounds of drawing before the users that are left are completed

    Returns
    -------
    (sum of size,) int32
        Items in drawing order, user after user.
    """
    n, n_niches = len(theta), len(items.niche_factors)
    mass = np.diff(items.cumulated[items.edges])
    weight = theta @ items.niche_factors.T  # (B, K)
    weight += np.log(np.maximum(mass, np.finfo(np.float32).tiny)).astype(np.float32)
    weight -= weight.max(axis=1, keepdims=True)
    np.exp(weight, out=weight)
    cdf = np.cumsum(weight, axis=1, dtype=np.float64)
    cdf = (cdf / cdf[:, -1:] + np.arange(n)[:, None]).ravel()  # row u climbs from u to u + 1

    out, start = np.empty(size.sum(), np.int32), np.cumsum(size) - size
    left, missing, drawn = np.arange(n), size, np.zeros(n, np.int64)
    held = (np.empty(0, np.int64),) * 3
    for r in range(rounds):
        fresh = missing * (5 + 3 * r) // 4 + 4
        row = np.repeat(left, fresh)
        place = np.arange(row.size) + np.repeat(drawn[left] - (np.cumsum(fresh) - fresh), fresh)
        drawn[left] += fresh
        k = np.searchsorted(cdf, row + rng.random(row.size), side="right") - row * n_niches
        np.minimum(k, n_niches - 1, out=k)
        at = items.cumulated[items.edges[k]] + mass[k] * rng.random(row.size)
        item = np.searchsorted(items.cumulated, at, side="right") - 1
        item = np.clip(item, items.edges[k], items.edges[k + 1] - 1)
        row, item, place = first_occurrences(*(np.concatenate(x) for x in zip(held, (row, item, place), strict=True)))
        have = np.bincount(row, minlength=n)
        nth = np.arange(row.size) - (np.cumsum(have) - have)[row]
        kept = nth < size[row]
        out[start[row[kept]] + nth[kept]] = item[kept]
        left = left[have[left] < size[left]]
        if not left.size:
            return out
        missing = size[left] - have[left]
        short = (have < size)[row]
        held = row[short], item[short], place[short]
    logits = items.popularity + (theta[left] @ items.niche_factors.T)[:, items.niche]  # (L, I)
    logits += rng.gumbel(size=logits.shape)
    logits[np.searchsorted(left, held[0]), held[1]] = -np.inf
    best = np.argsort(-logits, axis=1)
    for u, ranked, m in zip(left, best, missing, strict=True):
        end = start[u] + size[u]
        out[end - m : end] = ranked[:m]
    return out


def first_occurrences(row: np.ndarray, item: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, ...]:
    """The pairs (row, item) without repetitions, each at its smallest place, ordered by row and place."""
    key = pack(row, item, place)
    key.sort()
    pair = key >> BITS
    new = np.ones(key.size, bool)
    new[1:] = pair[1:] != pair[:-1]
    row, item, place = unpack(key[new])
    key = pack(row, place, item)
    key.sort()
    row, place, item = unpack(key)
    return row, item, place


def pack(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """One int64 that sorts by a, then b, then c: numpy sorts plain integers much faster than it ranks them."""
    return ((a << BITS | b) << BITS) | c


def unpack(key: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inverse of `pack`."""
    mask = (1 << BITS) - 1
    return key >> 2 * BITS, (key >> BITS) & mask, key & mask


def give_every_item_an_event(item: np.ndarray, n_items: int, rng: np.random.Generator) -> None:
    """Let items that no user drew replace, in place, random events whose item occurs elsewhere too."""
    unseen = np.flatnonzero(np.bincount(item, minlength=n_items) == 0)
    if unseen.size:
        needed = np.zeros(item.size, bool)
        needed[np.unique(item, return_index=True)[1]] = True
        item[rng.choice(np.flatnonzero(~needed), unseen.size, replace=False)] = unseen


def known_pairs(truth: Truth, users: np.ndarray, item: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Far-but-related and near-but-unrelated pairs among `users`, (P, 2) each; the definitions are `Truth`'s."""
    size = np.diff(start)[users]
    row = np.repeat(np.arange(users.size), size)
    event = np.arange(row.size) + np.repeat(start[users] - (np.cumsum(size) - size), size)
    x = binary_csr(row, item[event], (users.size, truth.popularity.size))
    u, v = np.triu_indices(users.size, 1)
    common = (x @ x.T).toarray()[u, v]
    jaccard = common / (size[u] + size[v] - common)
    taste = unit(truth.user_factors[users, :-1])
    similarity = (taste @ taste.T)[u, v]
    far = np.flatnonzero((common <= 1) & (similarity >= FAR_SIMILARITY) & (np.minimum(size[u], size[v]) >= 10))
    near = np.flatnonzero((similarity <= 0) & (jaccard > 0) & (jaccard >= np.quantile(jaccard, NEAR_QUANTILE)))
    far = far[np.argsort(-similarity[far], kind="stable")[:PAIRS]]
    near = near[np.argsort(-jaccard[near], kind="stable")[:PAIRS]]
    of_far, of_near = (np.column_stack([users[u[p]], users[v[p]]]).astype(np.int64) for p in (far, near))
    return of_far, of_near


def unit(x: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1; a zero row stays zero."""
    length = np.linalg.norm(x, axis=-1, keepdims=True)
    return x / np.where(length > 0, length, 1)
