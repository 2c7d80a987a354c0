"""Marginal statistics of MovieLens-1M (ratings >= 4) and of the planted population, and how the two were matched.

    python data_scripts/match_population.py ml-1m.zip                     # prints the table
    python data_scripts/match_population.py data/ml-1m.safetensors        # the same from a prepared split
    python data_scripts/match_population.py ml-1m.zip --evaluations 120   # searches the parameters again (minutes)

The search is Nelder and Mead's, with one fixed seed, over the parameters in START; it lowers the weighted squared
differences of the statistics in WEIGHTS. It sees no recommender and no accuracy. The spread of activity is not
searched: it follows from the quantiles of activity alone.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import scipy.sparse as sp
import tyro
from rich.console import Console
from rich.table import Table
from scipy.optimize import minimize
from scipy.sparse.linalg import svds

from minivae.data.catalogue import DATASETS
from minivae.data.population import planted
from minivae.data.population_law import MIN_ACTIVITY, Law
from minivae.data.splits import StrongSplit
from minivae.errors import InputError
from minivae.preparation import movielens
from minivae.preparation.command import guarded

ACTIVITY = (0.05, 0.25, 0.5, 0.75, 0.95)
POPULARITY = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
SINGULAR = (1, 2, 3, 5, 8, 10, 15, 20, 30, 40)
JACCARD = (0.25, 0.5, 0.75, 0.95, 0.99)
NEIGHBOURS = (0.1, 0.5, 0.9)
WEIGHTS = {
    "popularity": 0.5,
    "gini": 10,
    "singular": 1.33,
    "jaccard": 20,
    "disjoint": 4,
    "user": 2,
    "item": 2,
    "tilt": 1,
}
ABSOLUTE = ("gini", "jaccard", "disjoint")  # compared as differences, the others as differences of logarithms
START = {
    "taste": Law.taste,
    "decay": Law.decay,
    "user_community": Law.user_community,
    "item_community": Law.item_community,
    "tilt": Law.tilt,
    "popularity_exponent": Law.popularity_exponent,
    "popularity_shift": Law.popularity_shift,
}


def statistics(x: sp.csr_matrix, sample: int = 1500) -> dict[str, np.ndarray]:
    """Marginal statistics of a binary matrix (U, I), by name.

    activity: quantiles of a user's number of items. popularity: quantiles over items of the share of users who have
    it. gini: of the items' numbers of users. singular: singular values of N_u^(−1/2) x m_i^(−1/2), without the
    trivial first. jaccard, disjoint: quantiles of the Jaccard overlap of two users, share of pairs with none. user:
    quantiles of the mean overlap with the 10 nearest users; item: the same for the cosine of items with at least 20
    users. tilt: standard deviation over users of the mean log-popularity of their items, for all users and for those
    with less than 30 items.
    """
    x = x[:, np.flatnonzero(x.sum(0))]
    n, m = (np.asarray(x.sum(axis)).ravel().astype(np.float64) for axis in (1, 0))
    scaled = sp.diags(n**-0.5) @ x.astype(np.float64) @ sp.diags(m**-0.5)
    values = svds(scaled, k=max(SINGULAR) + 1, return_singular_vectors=False, tol=1e-3, random_state=0)  # pyright: ignore
    singular = np.sort(values)[::-1]
    some = np.sort(np.random.default_rng(0).choice(len(n), min(sample, len(n)), replace=False))
    common = (x[some] @ x.T).toarray()
    overlap = common / (n[some, None] + n - common)  # (sample, U)
    pair = overlap[:, some][np.triu_indices(some.size, 1)]
    overlap[np.arange(some.size), some] = 0
    frequent = np.flatnonzero(m >= 20)
    cosine = (scaled_items := x[:, frequent] @ sp.diags(m[frequent] ** -0.5)).T @ scaled_items
    cosine.setdiag(0)
    ranks = np.sort(m)
    mean_log = (x @ np.log(m)) / n
    return {
        "activity": np.quantile(n, ACTIVITY),
        "popularity": np.quantile(m / len(n), POPULARITY),
        "gini": np.array([(2 * np.arange(1, m.size + 1) - m.size - 1) @ ranks / (m.size * m.sum())]),
        "singular": singular[list(SINGULAR)],
        "jaccard": np.quantile(pair, JACCARD),
        "disjoint": np.array([(pair == 0).mean()]),
        "user": np.quantile(nearest(overlap), NEIGHBOURS),
        "item": np.quantile(nearest(cosine.toarray()), NEIGHBOURS),
        "tilt": np.array([mean_log.std(), mean_log[n < 30].std()]),
    }


def nearest(similarity: np.ndarray, k: int = 10) -> np.ndarray:
    """Mean of the k largest entries of each row."""
    return np.partition(similarity, -k, axis=1)[:, -k:].mean(1)


def distance(found: dict[str, np.ndarray], aim: dict[str, np.ndarray]) -> float:
    """Weighted sum of squared differences."""
    total = 0.0
    for name, weight in WEIGHTS.items():
        a, b = (s[name] if name in ABSOLUTE else np.log(s[name]) for s in (found, aim))
        total += float(((weight * (a - b)) ** 2).sum())
    return total


def search(aim: dict[str, np.ndarray], evaluations: int, console: Console) -> Law:
    """The best parameters found, from the present ones."""
    best = [np.inf, Law()]

    def law(free: np.ndarray) -> Law:
        value = {name: start * np.exp(f) for (name, start), f in zip(START.items(), free, strict=True)}
        for share in ("user_community", "item_community"):
            value[share] = min(value[share], 0.95)
        return Law(**value)

    def cost(free: np.ndarray) -> float:
        candidate = law(free)
        value = distance(statistics(planted(shape="ml-1m", law=candidate).matrix), aim)
        if value < best[0]:
            best[:] = value, candidate
            console.print(f"{value:.3f}  " + "  ".join(f"{k} {getattr(candidate, k):.3f}" for k in START))
        return value

    n = len(START)
    simplex = np.vstack([np.zeros(n), 0.2 * np.eye(n)])
    minimize(cost, simplex[0], method="Nelder-Mead", options={"maxfev": evaluations, "initial_simplex": simplex})
    return best[1]


def load(source: Path) -> sp.csr_matrix:
    """MovieLens-1M as a binary matrix: ratings >= 4, users with at least 5 events."""
    if source.suffix == ".safetensors":
        s = StrongSplit.load(source)
        x = sp.vstack([s.train, *(part.history + part.heldout for part in (s.validation, s.test))], format="csr")
    else:
        x = movielens.read(DATASETS["ml-1m"], source, map).data.matrix
    x = sp.csr_matrix(x)
    return x[np.diff(x.indptr) >= MIN_ACTIVITY]


def main(
    source: Annotated[Path, tyro.conf.Positional],
    evaluations: int = 0,
) -> str:
    """Print the table; with `evaluations` search the parameters first.

    Parameters
    ----------
    source : ml-1m.zip, or ml-1m.safetensors as data_scripts/movielens.py writes it.
    evaluations : populations to try; 0 keeps the parameters of the package.
    """
    if evaluations < 0:
        raise InputError(f"evaluations must be 0 or more, not {evaluations}")
    x = load(source)
    aim = statistics(x)
    law = search(aim, evaluations, Console(stderr=True)) if evaluations else Law()
    columns = [
        aim,
        statistics(planted(shape="ml-1m", law=law).matrix),
        statistics(planted(law=law).matrix),
    ]
    table = Table("statistic", "MovieLens-1M", 'planted(shape="ml-1m")', "planted()")
    for name in aim:
        digits = 0 if name == "activity" else 4 if name == "popularity" else 3
        table.add_row(name, *(" ".join(f"{v:.{digits}f}" for v in column[name]) for column in columns))
    Console(width=None if sys.stdout.isatty() else 220).print(table)
    values = ", ".join(f"{k} {v:.4g}" for k, v in dataclasses.asdict(law).items())
    return f"distance {distance(columns[1], aim):.3f} at {values}"


if __name__ == "__main__":
    guarded(lambda: tyro.cli(main, description=__doc__))
