"""A study: many runs into one folder, what is done is skipped, and a report at the end."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from minivae.data.catalogue import describe
from minivae.data.splits import StrongSplit
from minivae.errors import check_whole
from minivae.options import MOST_RUNS, SELECTION
from minivae.runtime.device import resolve_device
from minivae.runtime.portable import portable, seen_from
from minivae.runtime.progress import duration
from minivae.runtime.records import write_record
from minivae.runtime.storage import write_text
from minivae.study.output import figures, report, tables
from minivae.study.run import conclusions, folders, results
from minivae.study.run.loop import Jobs, Task, run_all
from minivae.study.run.model_spec import ModelSpec
from minivae.study.run.notes import SPLIT, Setting, SplitNote, StudyNote
from minivae.study.run.presets import Preset
from minivae.study.run.records import ModelSettings, PresetNote, Study, StudyData
from minivae.study.run.runs import Job, Result, check_evaluable, refuse_other_users
from minivae.study.run.sources import Source, fingerprint

Command = Callable[[Mapping[str, Any], Sequence[str]], str]
"""(flags that change, models to search for first) -> a line for the shell."""


@dataclass(frozen=True)
class StudyPlan:
    """What a study will do.

    Attributes
    ----------
    preset : Preset
        Its settings.
    jobs : list[Job]
        The runs, in order.
    options : Mapping[str, Setting]
        Settings given by hand (epochs, device, precision); None where the preset's holds.
    command : Command
        The command that does it again, with other flags where they are given.
    """

    preset: Preset
    jobs: list[Job]
    options: Mapping[str, Setting]
    command: Command

    @classmethod
    def make(
        cls, preset: Preset, specs: Sequence[ModelSpec], seeds: int, command: Command | None = None, **options: Any
    ) -> "StudyPlan":
        """Every trained model once per seed 0 .. seeds − 1, every baseline once."""
        check_whole(1, MOST_RUNS, seeds=seeds)
        jobs = [
            Job(spec, spec.config(seed=seed, **options))
            for spec in specs
            for seed in range(seeds if spec.trained else 1)
        ]
        resolve_device(jobs[0].config.device)
        given = {"models": ",".join(s.name for s in specs), "seeds": seeds, "preset": preset.name}
        return cls(preset, jobs, options, command or partial(command_of, given | options))


def command_of(given: Mapping[str, Any], changes: Mapping[str, Any], search: Sequence[str] = ()) -> str:
    """`minivae study` with these flags, `changes` before `given`; after a search for the models of `search`.

    >>> command_of({"models": "ease,multvae", "seeds": 1}, {"seeds": 3})
    'minivae study --models ease,multvae --seeds 3'
    """
    flags = {**given, **changes}
    words = [w for k, v in flags.items() if v is not None for w in (f"--{k.replace('_', '-')}", str(v))]
    if not search:
        return shlex.join(["minivae", "study", *words])
    where = ["--data", str(given["data"])] if given.get("data") else []
    tune = ["minivae", "tune", *where, "--models", ",".join(search), "--out", "runs/searched"]
    return f"{shlex.join(tune)} && {shlex.join(['minivae', 'study', *words, '--settings', 'runs/searched/best.toml'])}"


def run_study(
    plan: StudyPlan,
    split: StrongSplit,
    source: Source,
    out: Path,
    resume: bool,
    jobs: Jobs = 1,
    begin: Callable[[], None] | None = None,
) -> Study:
    """Do what is not done yet, then write results.json, the figures and the report into `out`; returns the results.

    Parameters
    ----------
    source : Source
        Where the split comes from; one that was made on the fly is saved as out/split.safetensors.
    jobs : int or "auto", default 1
        Runs at a time, as of `run_all`.
    begin : callable, optional
        Called before the first run, when `out` is known to be this study's.

    Raises
    ------
    InputError
        If `out` holds something else, or data or settings do not allow a run.
    KeyboardInterrupt
        On Ctrl-C; everything done so far is in `out`.
    """
    check_evaluable(split)
    digest = fingerprint(split)
    settings = plan.preset.settings
    folders.claim(out, StudyNote(plan.preset.name, plan.options, SplitNote(split.name, digest), settings), resume)
    if begin is not None:
        begin()
    data = source.file or out.absolute() / SPLIT
    if not data.is_file():
        split.save(data)
    tasks = []
    for k, job in enumerate(plan.jobs, 1):
        folder = out / "runs" / job.name
        note = job.note(split, digest, seen_from(folder, data))
        tasks.append(Task(job, folder, f"{job.name} ({k} of {len(plan.jobs)})", note))
    run_all(tasks, split, jobs, _reached)
    done = [Result.load(task.folder) for task in tasks]
    for result in done:
        refuse_other_users(result, split)
    return write_results(plan, split, source, done, out)


def _reached(task: Task) -> str:
    """The line that is shown when a run is finished."""
    metrics = Result.load(task.folder).metrics
    return f"{task.job.name}: test nDCG@100 {metrics.levels()[SELECTION].mean:.4f}, {duration(metrics.seconds)}"


def write_results(plan: StudyPlan, split: StrongSplit, source: Source, done: list[Result], out: Path) -> Study:
    """results.json, figures, report.md and report.html from finished runs."""
    models = results.group(done)
    pairs = results.comparisons([m.name for m in models], plan.preset.sections)
    first = plan.jobs[0].config
    used = {job.spec.name: job for job in reversed(plan.jobs)}
    settings = {m.name: _settings(used[m.name], plan.preset) for m in models}
    known = results.doubts(models, settings, dict.fromkeys([*pairs, *results.with_and_without(list(settings))]))
    compared = results.differences(models, pairs, known)
    changes, search = conclusions.remedy(d for d in compared if d.metric == SELECTION)
    title = plan.preset.title if split.name == plan.preset.data else split.name or plan.preset.title
    given = {k: portable(v) if isinstance(v, str) else v for k, v in source.given.items()}
    value = Study(
        command=plan.command({}, ()),
        date=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        to_decide=plan.command(changes, search) if changes or search else "",
        data=StudyData(**asdict(describe(split)), source=given, searchable=fingerprint(split, ("validation",))),
        environment=results.environment(first.device, first.precision),
        preset=PresetNote(plan.preset.name, title, settings, plan.preset.origin),
        runs=results.run_rows(models),
        summary=results.summary(models, split.test),
        differences=compared,
        claims=results.claims(models, split.test, known),
        sections=plan.preset.sections,
        recall_definitions=results.recall_definitions(models, split.n_items),
    )
    write_record(out / "results.json", value)
    write_text(out / "metrics.csv", tables.csv_text(tables.metrics_rows(value)))
    write_text(out / "differences.csv", tables.csv_text(tables.difference_rows(value.differences)))
    captions = figures.write_figures(models, value, split, out)
    report.write(value, models, captions, out)
    return value


def _settings(job: Job, preset: Preset) -> ModelSettings:
    return ModelSettings(job.spec.kind, job.spec.arguments, job.training, preset.trials(job.spec.name))
