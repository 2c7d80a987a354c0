"""Studies of several draws of held-out users, in one table: each draw for itself, and pooled."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from minivae.data.splits import StrongSplit
from minivae.errors import InputError
from minivae.options import METRICS
from minivae.ranking import paired_difference
from minivae.runtime.records import differing, read_record
from minivae.study.draws.pooling import Pooled, pool, pool_folds
from minivae.study.draws.records import Combined, MeanDifference, PooledDifference, PooledLevel, StudyRead, UsersTested
from minivae.study.run import conclusions
from minivae.study.run.notes import DataNote, defaults_of, run_name
from minivae.study.run.records import Level
from minivae.study.run.results import ModelResult, doubts, group, searched_here
from minivae.study.run.runs import Result, read_note, refuse_other_users
from minivae.study.run.sources import fingerprint


def finished_study(folder: Path) -> tuple[StudyRead, list[Path], DataNote, StrongSplit]:
    """What results.json of a study says, its run folders, and the data and split that they are of.

    Raises
    ------
    InputError
        If the study is not finished or has no runs of its own, or its split is gone or another one.
    """
    if not (folder / "results.json").is_file():
        raise InputError(f"{folder} holds no finished study (no results.json in it); finish it with --resume")
    results = read_record(folder / "results.json", StudyRead)
    runs = [folder / "runs" / run_name(r.model, r.seed) for r in results.runs]
    if not runs:
        raise InputError(f"{folder} holds no study with runs of its own; name the studies that were combined in it")
    data = read_note(runs[0]).data
    return results, runs, data, split_of(data, folder)


def split_of(data: DataNote, folder: Path) -> StrongSplit:
    """The split that the runs of a study are of; `InputError` if it is gone or another one stands in its place."""
    split = StrongSplit.load(data.split)
    if fingerprint(split) != data.sha256:
        raise InputError(f"{data.split} is no longer the split that {folder} was made from; make it again")
    return split


@dataclass(frozen=True)
class SplitStudy:
    """A finished study of one draw.

    Attributes
    ----------
    label : str
        The seed of the draw, or the folder's name.
    results : StudyRead
        Content of results.json.
    sha256 : str
        Of its split.
    models : dict[str, ModelResult]
        Its runs.
    users : ndarray
        (U,) labels of the test users.
    """

    label: str
    results: StudyRead
    sha256: str
    models: dict[str, ModelResult]
    users: np.ndarray

    @property
    def searched(self) -> bool:
        """Whether its settings were chosen on its own validation users."""
        return searched_here(self.results.preset.origin, self.results.data.searchable)

    @classmethod
    def load(cls, folder: Path) -> "SplitStudy":
        """Read a study; `InputError` if it is not finished, damaged, or its split is gone."""
        results, runs, data, split = finished_study(folder)
        labels = split.test.user_labels
        if labels is None:
            raise InputError(f"{data.split} has no labels of users, so no user can be recognised in another draw")
        protocol = results.data.protocol
        seed = protocol.get("fold", protocol.get("seed"))
        done = [Result.load(f) for f in runs]
        for result in done:
            refuse_other_users(result, split)
        models = {m.name: m for m in group(done)}
        if missing := models.keys() - results.preset.models.keys():
            raise InputError(f"{folder / 'results.json'} has no settings of {min(missing)}; finish it with --resume")
        return cls(folder.name if seed is None else str(seed), results, data.sha256, models, labels)


def check(draws: Sequence[SplitStudy]) -> list[str]:
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
    data = sorted({d.results.data.name for d in draws})
    if len(data) > 1:
        raise InputError(f"the studies are of different data: {', '.join(data)}; name studies of one data set")
    names = [n for n in draws[0].models if all(n in d.models for d in draws)]
    if not names:
        raise InputError("the studies have no model in common; run one that is in all of them")
    for name in names:
        first, *others = (d.results.preset.models[name] for d in draws)
        for draw, other in zip(draws[1:], others, strict=True):
            changed = differing(first.as_dict(), other.as_dict(), defaults_of(first.kind)).items()
            changed = [(k, values) for k, values in changed if k not in ("training.seed", "trials")]
            searched = draws[0].searched and draw.searched
            if changed and not searched:
                key, (here, there) = changed[0]
                raise InputError(
                    f"{name} was run with {key} {here} in draw {draws[0].label} and {there} in draw "
                    f"{draw.label}; combine studies with the same settings"
                )
    return names


def _all_runs(draws: Sequence[SplitStudy], names: Sequence[str]) -> list[ModelResult]:
    """Every model with its runs of all draws."""
    return [ModelResult(n, [r for d in draws for r in d.models[n].runs]) for n in names]


def are_folds(draws: Sequence[SplitStudy]) -> bool:
    """Whether the studies are the folds of one partition of the users.

    Raises
    ------
    InputError
        If some are folds, but not all folds of one partition, each once.
    """
    protocols = [d.results.data.protocol for d in draws]
    if not any("fold" in p for p in protocols):
        return False
    partitions = {(p.get("folds"), p.get("seed")) for p in protocols}
    every = set(range(1, len(protocols) + 1))
    if len(partitions) > 1 or protocols[0].get("folds") != len(every) or {p.get("fold") for p in protocols} != every:
        raise InputError(
            "some of the studies are folds, but together they are not all folds of one partition; name all folders "
            "that one minivae study --folds has made"
        )
    return True


def combine(draws: Sequence[SplitStudy]) -> Combined:
    """Levels of every model and differences of every pair that the first study compares: per draw and pooled.

    Raises
    ------
    InputError
        If the studies do not belong together.
    """
    names, folds = check(draws), are_folds(draws)
    labels = [d.label for d in draws]
    if twice := next((label for label in labels if labels.count(label) > 1), None):
        raise InputError(
            f"two of the studies would both be called {twice} in the tables, by the seed of the draw or the folder's "
            "name; draw the users of one with another seed, or rename its folder"
        )
    first = draws[0].results
    pooled = {(d.label, n): d.models[n].pooled() for d in draws for n in names}
    users, n_train = [d.users for d in draws], [d.results.data.users.training for d in draws]

    def over_all(values: list[np.ndarray]) -> Pooled:
        return pool_folds(values) if folds else pool(values, users, n_train)

    levels = []
    for n in names:
        for m in METRICS:
            values = [pooled[d.label, n].per_user[m] for d in draws]
            each = [Level(*pooled[d.label, n][m]) for d in draws]
            levels.append(PooledLevel(n, m, each, over_all(values)))
    pairs = [(a, b) for a, b in dict.fromkeys((d.a, d.b) for d in first.differences) if a in names and b in names]
    known = doubts(_all_runs(draws, names), first.preset.models, pairs)
    differences = []
    for a, b in pairs:
        for m in METRICS:
            values = [pooled[d.label, a].per_user[m] - pooled[d.label, b].per_user[m] for d in draws]
            whole, each = over_all(values), [MeanDifference(*paired_difference(v)) for v in values]
            verdict = conclusions.effect(whole, known[a, b])
            differences.append(PooledDifference(a, b, m, each, whole, verdict, known[a, b]))
    return Combined(
        data=first.data.name,
        draws=labels,
        design="folds" if folds else "draws",
        seeds={n: min(len(d.models[n].runs) for d in draws) for n in names},
        test_users=UsersTested([len(u) for u in users], len(np.unique(np.concatenate([u.astype(str) for u in users])))),
        training_users=n_train,
        searched_on=[d.label for d in draws if d.searched],
        searched_elsewhere=not any(d.searched for d in draws) and any(d.results.preset.origin for d in draws),
        levels=levels,
        differences=differences,
    )
