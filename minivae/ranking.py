"""Exact ranking of all items, and what it is worth to each user.

Scores come in blocks of users, the history is masked in place, one `topk` serves every metric, and hits are looked up
in the sorted list of held-out interactions. Nothing is sampled and no user is looped over in Python.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
import scipy.sparse as sp
import torch
from scipy.special import stdtrit
from torch import Tensor

from minivae.data.splits import FoldIn
from minivae.data.users import as_csr, shape_of
from minivae.errors import InputError
from minivae.metrics import Metric, Ranking, canonical, cutoff, metric_values, named
from minivae.options import METRICS
from minivae.runtime.records import MeanInterval

BLOCK_CELLS = 1 << 23
POPULARITY_TOP = 20
ACTIVITY_GROUPS = ((5, 10), (11, 50), (51, 100), (101, None))
NAN_SCORES = "the model returned NaN scores; it has diverged or its file is damaged: train it again"


class Scorer(Protocol):
    """Anything that scores all items for users given their history."""

    def score(self, history: sp.csr_matrix) -> Tensor:
        """(B, I) scores, higher is better, for a scipy CSR history (B, I)."""
        ...


@dataclass(frozen=True)
class Evaluation:
    """Metrics of one model on one set of users.

    Attributes
    ----------
    per_user : Mapping[str, ndarray]
        Metric -> (U,) float64, NaN for users without held-out items.
    n_heldout : ndarray
        (U,) number of held-out items of each user.
    coverage : float
        Share of the items that appear in the top k of at least one user, with k the largest cutoff.
    popularity : float
        Mean training count of the items in the top 20, whatever the cutoffs (NaN unless `item_counts` was given).

    Examples
    --------
    >>> import numpy as np
    >>> from minivae import FoldIn, Popularity
    >>> users = FoldIn(history=np.array([[1, 0, 0], [1, 0, 0]]), heldout=np.array([[0, 1, 0], [0, 0, 1]]))
    >>> found = evaluate(Popularity().fit(np.array([[1, 1, 0], [1, 0, 0]])), users, ["recall@1"])
    >>> found["recall@1"], found.per_user["recall@1"].tolist()  # the mean with its standard error, and both users
    ((0.5, 0.35355339059327373), [1.0, 0.0])
    """

    per_user: Mapping[str, np.ndarray] = field(repr=False)
    n_heldout: np.ndarray = field(repr=False)
    coverage: float
    popularity: float

    @property
    def n_users(self) -> int:
        """Users that count."""
        return int((self.n_heldout > 0).sum())

    @property
    def n_skipped(self) -> int:
        """Users left out because nothing of theirs is held out."""
        return int((self.n_heldout == 0).sum())

    def __repr__(self) -> str:
        parts = [f"{name} {mean:.4f} ± {se:.4f}" for name, (mean, se) in ((m, self[m]) for m in self.per_user)]
        return f"Evaluation({self.n_users:,} users: {', '.join(parts)})"

    def __getitem__(self, metric: str) -> tuple[float, float]:
        """(mean, standard error): population sd over users / sqrt(number of users)."""
        return self.mean(metric, slice(None))

    def mean(self, metric: str, users: slice | np.ndarray) -> tuple[float, float]:
        """(mean, standard error) over some of the users, those without held-out items left out."""
        values = self.per_user[metric if metric in self.per_user else canonical(metric)][users]
        values = values[~np.isnan(values)]
        if len(values) == 0:
            return float("nan"), float("nan")
        return float(values.mean()), float(values.std() / np.sqrt(len(values)))


class Difference(NamedTuple):
    """Paired difference a − b of a metric over the same users, with its 95 % t interval."""

    difference: float
    se: float
    low: float
    high: float

    def interval(self) -> MeanInterval:
        """The same without its standard error, as results are written."""
        return MeanInterval(self.difference, self.low, self.high)

    def __repr__(self) -> str:
        return f"Difference({self.difference:+.4f} ± {self.se:.4f}, 95 % [{self.low:+.4f}, {self.high:+.4f}])"


def users_per_block(n_items: int) -> int:
    """Users whose scores are held at a time, so that memory is bounded."""
    return max(1, BLOCK_CELLS // max(n_items, 1))


def top_items(
    scores: Tensor, history: sp.csr_matrix, k: int, hidden: np.ndarray | None = None
) -> tuple[Tensor, Tensor]:
    """The k best items per row that are not in the history: scores and items, each (B, k).

    Where fewer than k items are left, the rest has score −inf. A tensor is masked in place, not copied, and given back
    as it was: a model may return one that it keeps. `hidden` are indices of items that are shown to no user.

    Raises
    ------
    InputError
        If a score is NaN or the shapes differ.
    """
    try:
        scores = scores if isinstance(scores, Tensor) else torch.tensor(scores)  # a copy: arrays may be read-only
    except (TypeError, ValueError, RuntimeError) as e:
        raise InputError(f"the model returned a {type(scores).__name__} in place of scores, (B, I) numbers") from e
    if scores.shape != history.shape:
        raise InputError(
            f"the model returned scores of shape {tuple(scores.shape)} for a history of shape {history.shape}; they "
            "must be equal"
        )
    n_users, n_items = shape_of(history)
    rows = np.repeat(np.arange(n_users), np.diff(history.indptr))
    seen = torch.from_numpy(rows * n_items + history.indices.astype(np.int64)).to(scores.device)
    if not scores.is_floating_point():
        scores = scores.to(torch.float64)
    scores = scores.clone() if scores.is_inference() else scores.detach().contiguous()
    if hidden is not None and len(hidden):
        scores = scores.index_fill(1, torch.from_numpy(hidden).to(scores.device), float("-inf"))
    flat = scores.view(-1)
    before = flat[seen]
    try:
        flat.index_fill_(0, seen, float("-inf"))
        values, items = torch.topk(scores, min(k, scores.shape[1]), dim=1)
    finally:
        flat.index_copy_(0, seen, before)
    if bool(torch.isnan(values[:, :1]).any()):  # NaN sorts above everything, so the first column shows it
        raise InputError(NAN_SCORES)
    return values, items


def _hits(values: Tensor, items: Tensor, heldout: sp.csr_matrix) -> np.ndarray:
    """(B, k) bool: whether each ranked item is held out, by search in the sorted list of (row, item) keys."""
    n_rows, n_items = shape_of(heldout)
    rows = np.repeat(np.arange(n_rows, dtype=np.int64), np.diff(heldout.indptr))
    keys = torch.from_numpy(rows * n_items + heldout.indices).to(items.device)
    if len(keys) == 0:
        return np.zeros(tuple(items.shape), dtype=bool)
    ranked = items + n_items * torch.arange(n_rows, device=items.device)[:, None]  # (B, k)
    found = keys[torch.searchsorted(keys, ranked).clamp_max(len(keys) - 1)] == ranked
    return (found & (values > float("-inf"))).cpu().numpy()


def evaluate(
    model: Scorer,
    fold_in: FoldIn,
    metrics: str | Metric | Sequence[str | Metric] = METRICS,
    item_counts: np.ndarray | None = None,
) -> Evaluation:
    """Rank all items for held-out users from their history and compare with what was held out.

    Parameters
    ----------
    model : Scorer
        Any object with ``score(history: scipy CSR (B, I)) -> tensor (B, I)``; called block after block in row order.
    fold_in : FoldIn
        `history` and `heldout`, CSR of equal shape.
    metrics : str | Metric | Sequence[str | Metric], default METRICS
        One or several names such as "recall@20", "ndcg@100", "precision@5", "map@10", "mrr@10", "hit@10" or
        "novelty@20", in capitals or not, at any cutoff k, which is cut to the number of items; or functions
        ``fn(ranking, k)``. The formulas are those of `minivae.metrics`: recall@k is hits / min(k, n) with n items held
        out.
    item_counts : ndarray, optional
        (I,) interactions of each item in training, for novelty and the popularity of what is recommended.

    Returns
    -------
    Evaluation
        Ties between equal scores are broken as `torch.topk` does: the same on each run on one kind of device.

    Raises
    ------
    InputError
        For an unknown metric, two functions of the same name, unequal shapes, or NaN scores.

    Examples
    --------
    >>> from minivae import FoldIn, Popularity
    >>> users = FoldIn(history=np.array([[1, 0, 0]]), heldout=np.array([[0, 0, 1]]))
    >>> model = Popularity().fit(np.array([[1, 1, 0], [1, 1, 0], [1, 0, 1]]))
    >>> evaluate(model, users, ["recall@1", "mrr@2"])["mrr@2"]  # item 2 stands second; one user has no standard error
    (0.5, 0.0)
    """
    if not hasattr(fold_in, "heldout"):
        raise InputError(f"a {type(fold_in).__name__} has no held-out items; give a FoldIn, for instance split.test")
    history, heldout = as_csr(fold_in.history), as_csr(fold_in.heldout)
    if history.shape != heldout.shape:
        raise InputError(f"history has shape {history.shape} but heldout has shape {heldout.shape}; they must be equal")
    if not metrics:
        raise InputError("no metric was asked for; name at least one, for instance ndcg@100")
    metrics = [metrics] if isinstance(metrics, str) or callable(metrics) else metrics
    by_name = named(metrics)
    k = max(cutoff(m) for m in metrics)
    n_users, n_items = shape_of(history)
    if item_counts is not None and (item_counts := np.asarray(item_counts)).shape != (n_items,):
        raise InputError(f"item_counts of shape {item_counts.shape} does not fit {n_items} items; it has one for each")
    depth = k if item_counts is None else max(k, POPULARITY_TOP)
    n_heldout = np.diff(heldout.indptr)
    per_user = {name: np.full(n_users, np.nan) for name in by_name}
    shown = np.zeros(n_items, dtype=bool)
    popularity_sum, n_shown = 0.0, 0
    block = users_per_block(n_items)
    for a in range(0, n_users, block):
        b = min(a + block, n_users)
        with torch.no_grad():
            values, items = top_items(model.score(history[a:b]), history[a:b], depth)
            hits = _hits(values, items, heldout[a:b])
        ranked = torch.where(values > float("-inf"), items, -1).cpu().numpy()
        ranking = Ranking(hits, n_heldout[a:b], ranked, item_counts)
        for name, metric in by_name.items():
            per_user[name][a:b] = metric_values(ranking, metric)
        first = ranked[:, :k]
        shown[first[first >= 0]] = True
        if item_counts is not None:
            first = ranked[:, :POPULARITY_TOP]
            first = first[first >= 0]
            popularity_sum, n_shown = popularity_sum + float(item_counts[first].sum()), n_shown + len(first)
    return Evaluation(
        per_user=per_user,
        n_heldout=n_heldout,
        coverage=float(shown.mean()) if n_items else float("nan"),
        popularity=popularity_sum / n_shown if n_shown else float("nan"),
    )


def compare(a: Evaluation, b: Evaluation) -> dict[str, Difference]:
    """Paired differences a − b, user by user, for every metric that both have.

    The interval is ``mean ± t_{n−1, .975} · sd / sqrt(n)`` over users with a value in both, sd with n − 1.

    Raises
    ------
    InputError
        If the evaluations are not of the same users: their numbers of held-out items differ.

    Examples
    --------
    >>> counts = np.array([1, 1, 1])
    >>> a, b = (Evaluation({"recall@1": np.array(v)}, counts, 1.0, 1.0) for v in ([1.0, 1.0, 0.0], [0.0, 0.5, 0.0]))
    >>> compare(a, b)["recall@1"].difference
    0.5
    """
    n, m = len(a.n_heldout), len(b.n_heldout)
    if n != m:
        raise InputError(f"cannot pair {n} users with {m}: evaluate both models on the same users")
    if not np.array_equal(a.n_heldout, b.n_heldout):
        raise InputError("cannot pair users with other held-out items: evaluate both models on the same users")
    return {k: paired_difference(a.per_user[k] - b.per_user[k]) for k in a.per_user if k in b.per_user}


def paired_difference(d: np.ndarray) -> Difference:
    """Mean of differences with its 95 % t interval; NaN entries are left out."""
    d = d[~np.isnan(d)]
    n = len(d)
    if n < 2:
        mean = float(d.mean()) if n else float("nan")
        return Difference(mean, float("nan"), float("nan"), float("nan"))
    mean, se = float(d.mean()), float(d.std(ddof=1) / np.sqrt(n))
    half = float(stdtrit(n - 1, 0.975)) * se
    return Difference(mean, se, mean - half, mean + half)


def activity_groups(fold_in: FoldIn) -> dict[str, np.ndarray]:
    """Users by their number of interactions (history and held out): label -> (U,) bool.

    The groups of the paper, 5–10, 11–50, 51–100 and 101+, after one for fewer than five if any user is in it.
    """
    n = np.diff(as_csr(fold_in.history).indptr) + np.diff(as_csr(fold_in.heldout).indptr)
    groups = {"1–4": n < ACTIVITY_GROUPS[0][0]} if (n < ACTIVITY_GROUPS[0][0]).any() else {}
    for low, high in ACTIVITY_GROUPS:
        label = f"{low}–{high}" if high else f"{low}+"
        groups[label] = (n >= low) & (n <= (high or n.max(initial=0)))
    return groups
