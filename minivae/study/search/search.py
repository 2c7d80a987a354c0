"""The search for settings: equal numbers of trials for every model, judged on the validation users alone.

Test users take no part: they are cut off before the first trial, so that nothing here could look at them.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from msgspec.structs import asdict

from minivae.data.splits import FoldIn, StrongSplit
from minivae.errors import InputError, check_whole
from minivae.options import MOST_RUNS, SELECTION
from minivae.runtime.device import resolve_device
from minivae.runtime.records import conform, read_record
from minivae.study.run import folders, space
from minivae.study.run.loop import Jobs, Task, run_all
from minivae.study.run.model_spec import ModelSpec
from minivae.study.run.notes import SearchNote, Setting, SplitNote, run_name
from minivae.study.run.presets import Preset
from minivae.study.run.records import DivergedTrial, Metrics, Part
from minivae.study.run.runs import Job, Result, check_evaluable, means
from minivae.study.run.sources import fingerprint
from minivae.study.search.records import Design, SearchData, Searched, SearchResults, Space, TrialNote, Tried
from minivae.study.search.trial import Trial

PART: Part = "validation"
FIXED = {"seed", "device", "precision", "epochs"}
"""What no search may vary: the seed, the machine, and the budget."""


@dataclass(frozen=True)
class SearchPlan:
    """What a search will do.

    Attributes
    ----------
    preset : Preset
        Where models and spaces come from.
    trials : list[Trial]
        In order: the first of every model, then the second, so that budgets are equal whenever it is stopped.
    method : space.Method
    budget : int
    seed : int
        Of the search.
    options : Mapping[str, Setting]
        Settings given by hand (epochs, device, precision); None where the preset's holds.
    seeds : int
        Runs of every trial of a trained model, with seeds seed, seed + 1, …
    """

    preset: Preset
    trials: list[Trial]
    method: space.Method
    budget: int
    seed: int
    options: Mapping[str, Setting]
    seeds: int = 1

    @classmethod
    def make(
        cls,
        preset: Preset,
        specs: Sequence[ModelSpec],
        method: space.Method,
        budget: int,
        seed: int,
        extra: Sequence[str] = (),
        seeds: int = 1,
        **options: Setting,
    ) -> "SearchPlan":
        """Trials for every model.

        Parameters
        ----------
        extra : Sequence[str], default ()
            Spaces as on the command line, ``MODEL.KEY=…``; one without a model goes to all models that have KEY.
        seeds : int, default 1
            Runs of every trial of a trained model.

        Raises
        ------
        InputError
            If a space, the method or the budget makes no sense, or no model has anything to search.
        """
        check_whole(1, MOST_RUNS, seeds=seeds)
        if not 0 <= seed < 1 << 63:
            raise InputError(f"seed={seed} is not possible; it must be in 0..2**63 - 1")
        for spec in (specs := widened(specs, extra)):
            for key in FIXED & set(spec.search):
                raise InputError(
                    f"{key} of {spec.name} cannot be searched: it is the seed, the machine or the budget, not a setting"
                )
        if not any(spec.search for spec in specs):
            names = ", ".join(spec.name for spec in specs)
            raise InputError(f"nothing to search for {names}: give a space, for instance --space ease.l2=50:2000:log")
        columns = []
        for spec in specs:
            column = []
            own = {key: spec.value(key) for key in spec.search}
            for k, settings in enumerate(space.trials(spec.search, method, budget, seed, own)):
                changed = spec.changed(settings)
                used = range(seed, seed + (seeds if spec.trained else 1))
                jobs = tuple(Job(changed, changed.config(seed=s, **options)) for s in used)
                column.append(Trial(spec, k, settings, jobs))
            columns.append(column)
        resolve_device(columns[0][0].job.config.device)
        order = [c[k] for k in range(max(map(len, columns))) for c in columns if k < len(c)]
        return cls(preset, order, method, budget, seed, options, seeds)

    def check(self, n_items: int) -> None:
        """Make the model of every trial, without its weights; `InputError` if one is not possible."""
        for trial in self.trials:
            # A class of others may look at its first weights, which "meta" does not hold: its training will make it.
            with suppress(RuntimeError, TypeError), torch.device("meta"):
                trial.job.spec.build(n_items)


def widened(specs: Sequence[ModelSpec], extra: Sequence[str]) -> list[ModelSpec]:
    """The models with the spaces of ``MODEL.KEY=…`` added to their own, or in place of them."""
    by_name = {spec.name: spec for spec in specs}
    for text in extra:
        model, key, what = space.parse_flag(text)
        if model and model not in by_name:
            raise InputError(f"--space {text}: model {model!r} is not searched; searched are {', '.join(by_name)}")
        fitting = [by_name[model]] if model else [s for s in by_name.values() if s.has(key)]
        if not fitting:
            raise InputError(f"--space {text}: no model has a setting {key!r}")
        for spec in fitting:
            spec.value(key)
            by_name[spec.name] = replace(spec, search={**spec.search, key: what})
    return list(by_name.values())


def without_test(split: StrongSplit) -> StrongSplit:
    """The same split with no test users in it."""
    empty = sp.csr_matrix((0, split.n_items), dtype=np.float32)
    return replace(split, test=FoldIn(empty, empty))


def run_search(plan: SearchPlan, split: StrongSplit, out: Path, resume: bool, jobs: Jobs = 1) -> SearchResults:
    """Do the trials that are not done yet; returns all of them, with the choice for every model.

    Raises
    ------
    InputError
        If `out` holds something else, or data or settings do not allow a trial.
    KeyboardInterrupt
        On Ctrl-C; everything done so far is in `out`.
    """
    split = without_test(split)
    check_evaluable(split, (PART,))
    plan.check(split.n_items)
    digest = fingerprint(split, (PART,))
    note = SearchNote(
        method=plan.method,
        seed=plan.seed,
        options=plan.options,
        preset=plan.preset.name,
        seeds=plan.seeds,
        data=SplitNote(split.name, digest),
    )
    folders.claim(out, note, resume)
    tasks, of_task = [], {}
    for k, trial in enumerate(plan.trials, 1):
        for job in trial.jobs:
            task = _task(trial, job, out, f"{trial.name} ({k} of {len(plan.trials)})", split, digest)
            tasks.append(task)
            of_task[task.folder] = trial
    best: dict[str, float] = {}

    def line_of(task: Task) -> str:
        trial, score = of_task[task.folder], _score(_read(task.folder, task.job))
        name = trial.spec.name
        best[name] = max(score, best.get(name, -np.inf))
        reached = f"{score:.4f}" if np.isfinite(score) else "diverged"
        return f"{trial.name}: validation nDCG@100 {reached}, best so far {best[name]:.4f}"

    run_all(tasks, split, jobs, line_of)
    return summarize(plan, split, digest, [(trial, _tried(trial, out)) for trial in plan.trials])


def _task(trial: Trial, job: Job, out: Path, label: str, split: StrongSplit, digest: str) -> Task:
    """One run of a trial."""
    of_run = asdict(job.note(split, digest, ""))
    note = TrialNote(**of_run, trial=trial.number, settings=trial.settings)
    which = label if job is trial.job else f"{label}, seed {job.config.seed}"
    return Task(job, trial.folder(out, job), which, note, (PART,), keep_divergence=True)


def _tried(trial: Trial, out: Path) -> Tried:
    """What a finished trial gave; of one with a run that diverged the reason.

    With several seeds every user counts with its mean over them, so that the standard error is that of users.
    """
    number, values = trial.number, trial.values()
    runs = [_read(trial.folder(out, job), job) for job in trial.jobs]
    done = [run for run in runs if isinstance(run, Metrics)]
    if diverged := [run for run in runs if isinstance(run, DivergedTrial)]:
        return Tried(number, values, diverged=diverged[0].diverged)
    if len(done) == 1:
        (run,) = done
        return Tried(number, values, run.validation, run.epochs, run.best_epoch, run.seconds, run.parameters)
    scored = [Result.load(trial.folder(out, job)).scored[PART] for job in trial.jobs]
    per_user = {m: np.mean([s.per_user[m] for s in scored], axis=0) for m in scored[0].per_user}
    return Tried(
        number,
        values,
        means(replace(scored[0], per_user=per_user)),
        epochs=sum(run.epochs for run in done),
        best_epoch=sorted(run.best_epoch or 0 for run in done)[len(done) // 2],
        seconds=sum(run.seconds for run in done),
        parameters=done[0].parameters,
        seeds={str(run.seed): _score(run) for run in done},
    )


def _read(folder: Path, job: Job) -> Metrics | DivergedTrial:
    """The content of metrics.json of a run; `InputError` if it is of another one."""
    raw = read_record(folder / "metrics.json")
    metrics = conform(raw, DivergedTrial if "diverged" in raw else Metrics, folder / "metrics.json")
    if isinstance(metrics, Metrics) and (found := run_name(metrics.model, metrics.seed)) != job.name:
        raise InputError(
            f"{folder / 'metrics.json'} is of {found}, not of {job.name}; remove {folder} and run it again"
        )
    return metrics


def _score(metrics: Metrics | DivergedTrial) -> float:
    return -np.inf if isinstance(metrics, DivergedTrial) else metrics.validation[SELECTION].mean


def summarize(plan: SearchPlan, split: StrongSplit, digest: str, done: Sequence[tuple[Trial, Tried]]) -> SearchResults:
    """All trials and, for every model, the one with the highest validation nDCG@100; of equals the first.

    Raises
    ------
    InputError
        If all trials of a model diverged.
    """
    models = {}
    for spec in {trial.spec.name: trial.spec for trial, _ in done}.values():
        of = [(trial, tried) for trial, tried in done if trial.spec.name == spec.name]
        scores = [tried.score for _, tried in of]
        if not np.isfinite(max(scores)):
            raise InputError(f"all {len(of)} trials of {spec.name} diverged; search another space")
        chosen = of[int(np.argmax(scores))][0]
        models[spec.name] = Searched(
            kind=spec.kind,
            space={key: _written(s) for key, s in spec.search.items()},
            epochs_limit=chosen.job.config.epochs if spec.trained else None,
            chosen=chosen.number,
            settings=chosen.values(),
            all_settings={**chosen.job.spec.arguments, **chosen.job.spec.settings},
            own_first=not of[0][0].settings,
            at_an_end=space.at_an_end(spec.search, chosen.values(), [trial.values() for trial, _ in of]),
            trials=[tried for _, tried in of],
        )
    users = {"training": split.train.shape[0], PART: split.validation.n_users}
    data = SearchData(split.name, digest, split.n_items, users, split.protocol)
    design = Design(plan.method, plan.budget, plan.seed, plan.seeds, SELECTION)
    return SearchResults(data, plan.preset.name, design, plan.options, models)


def _written(s: space.Choice | space.Range) -> Space:
    """A space as in TOML."""
    if isinstance(s, space.Choice):
        return list(s.values)
    return {"low": s.low, "high": s.high} | ({"log": True} if s.log else {})
