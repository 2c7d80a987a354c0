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
from minivae.data.population_draws import (
    PlantedItems,
    draw_activity,
    draw_users,
    give_every_item_an_event,
    successive_sample,
)
from minivae.data.population_law import Law, sizes
from minivae.errors import InputError

CHUNK = 2_048  # users per chunk: part of the definition of the random stream, and small enough for the cache
POOL, PAIRS = 2_000, 200  # known pairs are looked for among so many users, and so many are kept
FAR_SIMILARITY, NEAR_QUANTILE = 0.5, 0.99


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
    """Draw a population with a known preference model: a function of its arguments, whatever the cores and processor.

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
        Parameters of the model; by default those that match MovieLens-1M

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
    items = PlantedItems.draw(root, n_items, centres, law)
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


def known_pairs(truth: Truth, users: np.ndarray, item: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Far-but-related and near-but-unrelated pairs among `users`, (P, 2) each; the definitions are `Truth`'s."""
    size = np.diff(start)[users]
    row = np.repeat(np.arange(users.size), size)
    event = np.arange(row.size) + np.repeat(start[users] - (np.cumsum(size) - size), size)
    x = binary_csr(row, item[event], (users.size, truth.popularity.size))
    u, v = np.triu_indices(users.size, 1)
    common = (x @ x.T).toarray()[u, v]
    jaccard = common / (size[u] + size[v] - common)
    taste = unit(truth.user_factors[users, :-1].astype(np.float64))
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
