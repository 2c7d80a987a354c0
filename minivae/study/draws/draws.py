"""Studies of several draws of held-out users, in one table: each draw for itself, and pooled."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from minivae.data.splits import StrongSplit
from minivae.errors import InputError
from minivae.ranking import METRICS, paired_difference
from minivae.runtime.records import read_record
from minivae.study.run import conclusions
from minivae.study.run.folders import flat
from minivae.study.run.results import ModelResult, doubts, group, searched_here
from minivae.study.run.runs import Result, read_note, refuse_other_users
from minivae.study.run.schemas import StudyResults
from minivae.study.run.sources import fingerprint


@dataclass(frozen=True)
class Draw:
    """A finished study of one draw.

    Attributes
    ----------
    label : str
        The seed of the draw, or the folder's name.
    results : dict
        Content of results.json.
    sha256 : str
        Of its split.
    models : dict[str, ModelResult]
        Its runs.
    users : ndarray
        (U,) labels of the test users.
    """

    label: str
    results: dict[str, Any]
    sha256: str
    models: dict[str, ModelResult]
    users: np.ndarray

    @classmethod
    def load(cls, folder: Path) -> "Draw":
        """Read a study; `InputError` if it is not finished, damaged, or its split is gone."""
        if not (folder / "results.json").is_file():
            raise InputError(f"{folder} holds no finished study (no results.json in it); finish it with --resume")
        results = read_record(folder / "results.json", StudyResults)
        runs = [folder / "runs" / f"{r['model']}-seed{r['seed']}" for r in results["runs"]]
        if not runs:
            raise InputError(f"{folder} holds no study with runs of its own; name the studies that were combined in it")
        data = read_note(runs[0])["data"]
        split = StrongSplit.load(data["split"])
        if fingerprint(split) != data["sha256"]:
            raise InputError(f"{data['split']} is no longer the split that {folder} was made from; make it again")
        labels = split.test.user_labels
        if labels is None:
            raise InputError(f"{data['split']} has no labels of users, so nobody can be recognised in another draw")
        seed = results["data"]["protocol"].get("seed")
        done = [Result.load(f) for f in runs]
        for result in done:
            refuse_other_users(result, split)
        models = {m.name: m for m in group(done)}
        if missing := models.keys() - results["preset"]["models"].keys():
            raise InputError(f"{folder / 'results.json'} has no settings of {min(missing)}; finish it with --resume")
        return cls(folder.name if seed is None else str(seed), results, data["sha256"], models, labels)


@dataclass(frozen=True)
class Pooled:
    """A mean over draws with its 95 % interval, the wider of two.

    Attributes
    ----------
    difference : float
        The mean.
    low, high : float
        The interval.
    over_users : float
        Half width of the interval over users.
    over_draws : float
        Half width of the interval over draws; 0 for a single one.
    """

    difference: float
    low: float
    high: float
    over_users: float
    over_draws: float


def pool(values: Sequence[np.ndarray], users: Sequence[np.ndarray], n_train: Sequence[int]) -> Pooled:
    """The mean over K draws of a mean over users, and how sure it is.

    With d_ku the value of user u in draw k, d̄_k its mean over n_k users and δ the mean of the d̄_k, two intervals are
    made, and the wider one counts:

    * over users: ``δ ± t_{n−1} √V_u`` with ``V_u = n/(n − 1) Σ_u (Σ_k (d_ku − d̄_k) / (K n_k))²`` over the n different
      users: whoever is a test user in several draws is one cluster, so that nobody counts twice. Right if the draws
      differ in nothing but their users; for K = 1 it is the paired t interval;
    * over draws: ``δ ± t_{K−1} √((1/K + n_test/n_train) S²)`` with S² the variance of the d̄_k (K − 1). It holds
      whatever the draws differ by (training users, weights, order), but knows only K numbers. The second term is Nadeau
      and Bengio's (2003): draws share most of their training users, so K of them say less than K independent ones. What
      common test users add to the variance of δ is added under the root.

    An estimate of the variance between draws beyond that of their users would give one interval in between; with three
    to five draws it is too narrow (89 to 93 % instead of 95 in simulations), so it is not used.

    Parameters
    ----------
    values : Sequence[ndarray]
        Per draw (U_k,), NaN for users that do not count.
    users : Sequence[ndarray]
        Per draw (U_k,) labels.
    n_train : Sequence[int]
        Number of training users of each draw.
    """
    there = [~np.isnan(v) for v in values]
    values = [v[t] for v, t in zip(values, there, strict=True)]
    who = np.concatenate([u[t].astype(str) for u, t in zip(users, there, strict=True)])
    k, sizes = len(values), np.array([len(v) for v in values])
    means = np.array([v.mean() for v in values])
    residuals = np.concatenate([(v - v.mean()) / (k * len(v)) for v in values])  # (Σ n_k,)
    _, cluster = np.unique(who, return_inverse=True)
    sums = np.bincount(cluster, residuals)  # (n,)
    n = len(sums)
    t_users = float(stats.t.ppf(0.975, n - 1))
    variance = n / (n - 1) * float((sums**2).sum())
    over_users, over_draws = t_users * variance**0.5, 0.0
    if k > 1:
        own = sum(v.var(ddof=1) / len(v) for v in values) / k**2  # V_u if nobody came twice
        shared = max(0.0, variance - own)
        of_draws = (1 / k + float(np.mean(sizes / np.asarray(n_train)))) * means.var(ddof=1)
        over_draws = float((stats.t.ppf(0.975, k - 1) ** 2 * of_draws + t_users**2 * shared) ** 0.5)
    half, mean = max(over_users, over_draws), float(means.mean())
    return Pooled(mean, mean - half, mean + half, over_users, over_draws)


def check(draws: Sequence[Draw]) -> list[str]:
    """Names of the models that all studies have.

    Raises
    ------
    InputError
        If there are fewer than two studies, two of the same draw, of different data, without a common model, or with
        other settings that no search on their own validation users explains.
    """
    if len(draws) < 2:
        raise InputError("one study needs no combining; name at least two, of different draws of the same data")
    for a, b in combinations(draws, 2):
        if a.sha256 == b.sha256:
            raise InputError(f"two of the studies are of the same draw of held-out users ({a.label}); draw again")
    data = sorted({d.results["data"]["name"] for d in draws})
    if len(data) > 1:
        raise InputError(f"the studies are of different data: {', '.join(data)}")
    names = [n for n in draws[0].models if all(n in d.models for d in draws)]
    if not names:
        raise InputError("the studies have no model in common")
    for name in names:
        first, *others = (_settings(d, name) for d in draws)
        for draw, other in zip(draws[1:], others, strict=True):
            changed = sorted(k for k in first.keys() | other.keys() if first.get(k) != other.get(k))
            searched = searched_here(draws[0].results) and searched_here(draw.results)
            if changed and not searched:
                key = changed[0]
                raise InputError(
                    f"{name} was run with {key} {first.get(key)} in draw {draws[0].label} and {other.get(key)} in draw "
                    f"{draw.label}; combine studies with the same settings"
                )
    return names


def _settings(draw: Draw, name: str) -> dict[str, Any]:
    spec = flat(draw.results["preset"]["models"][name])
    return {k: v for k, v in spec.items() if k not in ("training.seed", "trials")}


def _all_runs(draws: Sequence[Draw], names: Sequence[str]) -> list[ModelResult]:
    """Every model with its runs of all draws."""
    return [ModelResult(n, [r for d in draws for r in d.models[n].runs]) for n in names]


def combine(draws: Sequence[Draw]) -> dict[str, Any]:
    """Levels of every model and differences of every pair that the first study compares: per draw and pooled.

    Raises
    ------
    InputError
        If the studies do not belong together.
    """
    names = check(draws)
    pooled = {(d.label, n): d.models[n].pooled() for d in draws for n in names}
    users, n_train = [d.users for d in draws], [d.results["data"]["users"]["training"] for d in draws]
    levels = []
    for n in names:
        for m in METRICS:
            values = [pooled[d.label, n].per_user[m] for d in draws]
            each = [{"mean": e[0], "se": e[1]} for e in (pooled[d.label, n][m] for d in draws)]
            levels.append({"model": n, "metric": m, "draws": each, "pooled": asdict(pool(values, users, n_train))})
    pairs = dict.fromkeys((d["a"], d["b"]) for d in draws[0].results["differences"])
    pairs = [(a, b) for a, b in pairs if a in names and b in names]
    known = doubts(_all_runs(draws, names), draws[0].results["preset"]["models"], pairs)
    differences = []
    for a, b in pairs:
        for m in METRICS:
            values = [pooled[d.label, a].per_user[m] - pooled[d.label, b].per_user[m] for d in draws]
            whole = pool(values, users, n_train)
            each = [paired_difference(v)._asdict() for v in values]
            row = {"a": a, "b": b, "metric": m, "draws": each, "pooled": asdict(whole)}
            row |= {"verdict": conclusions.effect(whole, known[a, b]), "doubts": conclusions.as_dicts(known[a, b])}
            differences.append(row)
    distinct = len(np.unique(np.concatenate([u.astype(str) for u in users])))
    return {
        "data": draws[0].results["data"]["name"],
        "draws": [d.label for d in draws],
        "seeds": {n: len(draws[0].models[n].runs) for n in names},
        "test users": {"each": [len(u) for u in users], "different": distinct},
        "training users": n_train,
        "searched on": [d.label for d in draws if searched_here(d.results)],
        "levels": levels,
        "differences": differences,
    }
