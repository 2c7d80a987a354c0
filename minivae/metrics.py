"""What the ranking of a user is worth: one function a metric, over all users at once.

Each takes a `Ranking` and a cutoff k and gives (U,) values. n is a user's number of held-out items. For a user without
any, `metric_values` puts NaN, whatever the function gave, so that no mean counts this user. Where fewer items than k
can be ranked, k is their number.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from minivae.errors import InputError
from minivae.runtime.registry import Registry

ALIASES = {"p": "precision", "r": "recall", "ap": "map", "rr": "mrr", "hr": "hit", "hit_rate": "hit", "hitrate": "hit"}


@dataclass(frozen=True)
class Ranking:
    """The best items of U users, and what of them was held out.

    Attributes
    ----------
    hits : ndarray
        (U, K) bool, whether the item at each rank is held out.
    n_heldout : ndarray
        (U,) n.
    items : ndarray, optional
        (U, K) int64, the items; −1 where a user has no more of them.
    item_counts : ndarray, optional
        (I,) training users of each item.
    """

    hits: np.ndarray
    n_heldout: np.ndarray
    items: np.ndarray | None = None
    item_counts: np.ndarray | None = None

    def best(self, k: int) -> np.ndarray:
        """(U,) min(k, n), how many hits are possible."""
        return np.minimum(k, self.n_heldout)


Metric = Callable[[Ranking, int], np.ndarray]


def share(gained: np.ndarray, ideal: np.ndarray) -> np.ndarray:
    """gained / ideal, NaN where nothing could be gained."""
    return np.divide(gained, ideal, out=np.full(len(gained), np.nan), where=ideal > 0)


def recall(ranking: Ranking, k: int) -> np.ndarray:
    """Hits among the first k / min(k, n)."""
    return share(ranking.hits[:, :k].sum(1).astype(np.float64), ranking.best(k).astype(np.float64))


def ndcg(ranking: Ranking, k: int) -> np.ndarray:
    """Σ hit_r / log2(r + 1) over ranks r = 1..k, divided by the same sum for min(k, n) hits in front."""
    discount = 1 / np.log2(np.arange(2, k + 2))
    return share(ranking.hits[:, :k] @ discount, np.concatenate([[0.0], np.cumsum(discount)])[ranking.best(k)])


def precision(ranking: Ranking, k: int) -> np.ndarray:
    """Hits among the first k / k."""
    return ranking.hits[:, :k].sum(1) / max(k, 1)


def average_precision(ranking: Ranking, k: int) -> np.ndarray:
    """Σ_r hit_r · precision@r over r = 1..k, divided by min(k, n); the mean over users is MAP@k."""
    hits = ranking.hits[:, :k]
    precisions = np.cumsum(hits, 1) / np.arange(1, hits.shape[1] + 1)
    return share((hits * precisions).sum(1), ranking.best(k).astype(np.float64))


def reciprocal_rank(ranking: Ranking, k: int) -> np.ndarray:
    """1 / rank of the first hit, 0 without one among the first k; the mean over users is MRR@k."""
    hits = ranking.hits[:, :k]
    first = hits.argmax(1) if hits.shape[1] else np.zeros(len(hits), np.int64)
    return hits.any(1) / (first + 1)


def hit_rate(ranking: Ranking, k: int) -> np.ndarray:
    """1 with a hit among the first k, else 0."""
    return np.asarray(ranking.hits[:, :k].any(1), np.float64)


def novelty(ranking: Ranking, k: int) -> np.ndarray:
    """Mean of −log2(n_i / Σ_j n_j) over the first k items, n_i the training users of an item (at least 1), in bits.

    Raises
    ------
    InputError
        If the ranking does not know the training counts.
    """
    if ranking.item_counts is None or ranking.items is None:
        raise InputError("novelty needs the training counts of the items; give item_counts to evaluate")
    bits = -np.log2(np.maximum(ranking.item_counts, 1) / max(ranking.item_counts.sum(), 1))
    items = ranking.items[:, :k]
    there = items >= 0
    total, n = np.where(there, bits[items], 0).sum(1), there.sum(1)
    return share(total, n.astype(np.float64))


KINDS: Registry[Metric] = Registry(
    "metric",
    {
        "recall": recall,
        "ndcg": ndcg,
        "precision": precision,
        "map": average_precision,
        "mrr": reciprocal_rank,
        "hit": hit_rate,
        "novelty": novelty,
    },
    ("ranking", "k"),
)


def register_metric(name: str) -> Callable[[Metric], Metric]:
    """Decorator: make ``fn(ranking, k)`` the metric ``name@k``.

    It gives one number for each user. What it gives for users with nothing held out is not used: they are left out of
    every mean.

    Parameters
    ----------
    name : str
        In small letters.

    Examples
    --------
    >>> @register_metric("first_in_doctest")
    ... def first(ranking, k):
    ...     return ranking.hits[:, 0].astype(float)
    >>> parse_metric("First_in_doctest@3")
    ('first_in_doctest', 3)
    """
    if name != name.lower():
        raise InputError(f"write the metric {name!r} in small letters; it is found in any")
    return KINDS.register(name)


def parse_metric(name: str) -> tuple[str, int]:
    """("ndcg", 100) from "ndcg@100"; capitals and usual abbreviations are understood.

    Raises
    ------
    InputError
        If the name is unknown or without a cutoff.

    Examples
    --------
    >>> parse_metric("NDCG@10"), parse_metric("HR@5")
    (('ndcg', 10), ('hit', 5))
    """
    match = re.fullmatch(r"([\w.:-]+)@([1-9]\d{0,17})", name) if isinstance(name, str) else None
    if not match:
        raise InputError(f"metric {name!r} is unknown; write NAME@K, for instance ndcg@100; NAME: {', '.join(KINDS)}")
    kind = match[1] if ":" in match[1] else ALIASES.get(match[1].lower(), match[1].lower())
    KINDS.find(kind)
    return kind, int(match[2])


def canonical(metric: str | Metric) -> str:
    """How results call a metric: "NDCG@10" is "ndcg@10"; a function has its own name, also in a partial."""
    if not callable(metric):
        return "{}@{}".format(*parse_metric(metric))
    function = metric
    while isinstance(function, partial):
        function = function.func
    return getattr(function, "__name__", type(function).__name__)


def named(metrics: Sequence[str | Metric]) -> dict[str, str | Metric]:
    """The metrics by their names; one that is asked for twice is there once.

    Raises
    ------
    InputError
        If two functions have the same name: one would stand in the place of the other.
    """
    found: dict[str, str | Metric] = {}
    for metric in metrics:
        name = canonical(metric)
        other = found.setdefault(name, metric)
        if other != metric and (callable(other) or callable(metric)):
            raise InputError(
                f"two metrics have the name {name!r}: {other!r} and {metric!r}; write each as a def with a name of its "
                'own, or name it: minivae.register_metric("first")(function), then ask for first@10'
            )
    return found


def cutoff(metric: str | Metric) -> int:
    """k of a metric; a function sees as much of the ranking as the largest of the others, at least 100."""
    return 100 if callable(metric) else parse_metric(metric)[1]


def metric_values(ranking: Ranking, metric: str | Metric) -> np.ndarray:
    """One metric for each user, (U,) float64; NaN for users with nothing held out.

    Recall, nDCG, MAP and novelty are NaN as well for users for whom no item can be ranked.

    Raises
    ------
    InputError
        If the metric is unknown or gives something else than one number for each user who counts, finite where it is
        one of one's own.
    """
    width, kind = ranking.hits.shape[1], ""
    if callable(metric):
        values = metric(ranking, width)
    else:
        kind, k = parse_metric(metric)
        values = KINDS.find(kind)(ranking, min(k, width))
    must = f"for {len(ranking.hits)} users; it must give one number for each"
    try:
        if np.iscomplexobj(values):
            raise TypeError("they are complex")
        values = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError, RuntimeError) as e:  # the last of a tensor with a gradient
        raise InputError(f"metric {canonical(metric)} gave no numbers ({' '.join(str(e).split())}) {must}") from e
    if values.shape != ranking.n_heldout.shape:
        raise InputError(f"metric {canonical(metric)} gave values of shape {values.shape} {must}")
    counts = ranking.n_heldout > 0
    if not KINDS.is_own(kind) and not np.isfinite(values[counts]).all():
        row = int(np.flatnonzero(counts & ~np.isfinite(values))[0])
        raise InputError(f"metric {canonical(metric)} gave {values[row]} for a user; it must give a finite number")
    return np.where(counts, values, np.nan)


def shown(metric: str) -> str:
    """The name of a metric as people write it.

    >>> shown("ndcg@100"), shown("recall@20")
    ('nDCG@100', 'Recall@20')
    """
    return metric.replace("ndcg", "nDCG").replace("recall", "Recall")
