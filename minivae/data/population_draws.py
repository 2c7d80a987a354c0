"""The draws behind a planted population: users, their activity, the items, and who takes which."""

from dataclasses import dataclass

import numpy as np

from minivae.data.population_law import BITS, MIN_ACTIVITY, Law, longest_history


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
    scale = np.arange(1.0, law.rank + 1) ** -law.decay
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
class PlantedItems:
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
    def draw(cls, rng: np.random.Generator, n_items: int, centres: np.ndarray, law: Law) -> "PlantedItems":
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
    theta: np.ndarray, size: np.ndarray, items: PlantedItems, rng: np.random.Generator, rounds: int = 4
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
    items : PlantedItems
        Of the whole population
    rng : np.random.Generator
        Of this chunk
    rounds : int, default 4
        Number of rounds of drawing before the users that are left are completed

    Returns
    -------
    (sum of size,) int32
        Items in drawing order, user after user.
    """
    n, n_niches = len(theta), len(items.niche_factors)
    mass = np.diff(items.cumulated[items.edges])
    # In 64 bits processors differ by 1e-16 here, so that no draw falls between them; in 32 bits a few of a million did.
    theta, niche_factors = theta.astype(np.float64), items.niche_factors.astype(np.float64)
    weight = theta @ niche_factors.T  # (B, K)
    weight += np.log(np.maximum(mass, np.finfo(np.float32).tiny))
    weight -= weight.max(axis=1, keepdims=True)
    np.exp(weight, out=weight)
    cdf = np.cumsum(weight, axis=1)
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
    logits = items.popularity + (theta[left] @ niche_factors.T)[:, items.niche]  # (L, I)
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
