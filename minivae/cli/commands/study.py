"""`minivae study` and `minivae combine`: one split, several draws, or folds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from msgspec.structs import replace as changed

from minivae.cli import command_lines, flags
from minivae.cli.commands.folder import resumable
from minivae.cli.commands.sources import source_of
from minivae.cli.commands.unread import refuse_unread
from minivae.data.splits import StrongSplit
from minivae.errors import InputError
from minivae.options import SELECTION
from minivae.runtime.table import print_paragraph, print_table
from minivae.runtime.text import visible
from minivae.study import forecast, resolution, runner
from minivae.study.draws import draws
from minivae.study.draws import report as draws_report
from minivae.study.draws.records import Combined
from minivae.study.output import tables
from minivae.study.output.report import degenerate
from minivae.study.run import conclusions, folders, presets
from minivae.study.run.folds import folds
from minivae.study.run.loop import number_of_jobs
from minivae.study.run.notes import CombineNote, StudyNote
from minivae.study.run.runs import Job, check_evaluable, finished
from minivae.study.run.sources import Source, fingerprint


def study(options: flags.Study) -> None:
    """Train the models of a preset, compare them, write the report."""
    if options.resume and options.out is None:
        raise InputError("--resume needs --out, the folder of the study to continue")
    if options.dry_run:
        check_of_run(options)
    if options.folds is not None:
        every_fold(options)
        return
    if options.split_seeds is not None:
        several_draws(options)
        return
    one_split(options, resolution.sentence)


def check_of_run(options: flags.Study | flags.Tune) -> None:
    """Refuse in a dry run an output that is no folder and a number of processes that is none."""
    folders.refuse_unusable(options.out)
    number_of_jobs(options.jobs, ())


def one_split(options: flags.Study, resolves: Callable[[int, int], str] | None = None) -> None:
    """A study of one split; `resolves` is None for a part of several, of which only all together are of interest."""
    out = options.out or Path("runs") / f"study-{datetime.now():%Y%m%d-%H%M%S-%f}"
    plan, source, split = planned(options, out)

    def say_resolution() -> None:
        if resolves is not None:
            print_paragraph(resolves(split.test.n_users, options.seeds))

    def begin() -> None:
        say_resolution()
        if resolves is not None:
            say_cost(plan.jobs, split, out)

    if options.dry_run:
        print_table(forecast.table(plan.jobs, split), f"{split.name}, preset {plan.preset.name}: nothing was run")
        print_paragraph(forecast.NOTE)
        say_resolution()
        return
    with folders.hold(out), resumable("the finished runs and the checkpoint are", out):
        results = runner.run_study(plan, split, source, out, options.resume, options.jobs, begin)
    print_table(tables.metrics(results.summary), f"{split.name}: test metrics, mean ± standard error over users")
    if results.differences:
        print_table(tables.differences(results.differences), "paired over users, 95 % intervals")
    for sentence in degenerate(results):
        print(visible(f"warning: {sentence}"))
    if results.to_decide:
        print(visible(f"to decide what is not decided: {results.to_decide}"))
    print(visible(f"results: {out}/report.html, {out}/results.json"))


def say_cost(jobs: Sequence[Job], split: StrongSplit, out: Path, where: str = "") -> None:
    """Before runs that may take long, the forecast for those that are not done; `where`: of what part of a study."""
    left = [job for job in jobs if not finished(out / "runs" / job.name)]
    if forecast.long(left, split):
        print_table(forecast.table(left, split), f"{where}forecast before the runs; Ctrl-C ends them, --resume goes on")
        print_paragraph(forecast.NOTE)


def planned(options: flags.Study, out: Path) -> tuple[runner.StudyPlan, Source, StrongSplit]:
    """What a study would run, and on what."""
    preset, source, split = chosen_data(options)
    return plan_of(options, preset, out), source, split


def plan_of(options: flags.Study, preset: presets.Preset, out: Path) -> runner.StudyPlan:
    """The runs of a study with a preset."""
    chosen = {k: getattr(options, k) for k in ("epochs", "device", "precision")}
    if options.patience is not None:
        chosen["patience"] = options.patience

    def command(changes: Mapping[str, Any], search: Sequence[str]) -> str:
        return (
            command_lines.deciding(options, out, changes, search)
            if changes or search
            else command_lines.command(options, {"resume": False})
        )

    return runner.StudyPlan.make(preset, preset.pick(options.models), options.seeds, command, **chosen)


def chosen_data(options: flags.Study | flags.Tune) -> tuple[presets.Preset, Source, StrongSplit]:
    """Preset and split, each of which may choose the other."""
    asked = presets.load(options.preset, options.settings) if options.preset else None
    source = source_of(options, (asked and asked.data) or "planted")

    def chosen(data: str) -> presets.Preset:
        if options.preset:
            return presets.load(options.preset, options.settings, data)
        return presets.for_data(data, options.settings)

    if source.table:  # long to read: a model that does not exist is named before
        preset = chosen("")
        refuse_idle(options, preset)
        return preset, source, source.load()
    split = source.load()
    preset = chosen(split.name)
    refuse_idle(options, preset)
    return preset, source, split


def refuse_idle(options: flags.Study | flags.Tune, preset: presets.Preset) -> None:
    """Raise `InputError` if a model does not exist, or if a study has several seeds and nothing that is trained.

    Other flags of training stay: the folder keeps them, and --resume may add a model that is trained. So it is with
    all flags of a search.
    """
    specs = preset.pick(options.models)
    if isinstance(options, flags.Study) and not any(spec.trained for spec in specs):
        refuse_unread(
            options, ("seeds",), f"{' and '.join(s.name for s in specs)} alone", "they are not trained and run once"
        )


def several_draws(options: flags.Study) -> None:
    """A study of each draw in a folder of its own, then all of them together."""
    assert options.split_seeds is not None
    try:
        seeds = list(dict.fromkeys(int(s) for s in options.split_seeds.split(",")))
    except ValueError as e:
        raise InputError(f"--split-seeds {options.split_seeds}: write whole numbers, for instance 98765,1,2") from e
    if len(seeds) < 2 or min(seeds) < 0 or max(seeds) >= 1 << 32:
        raise InputError(f"--split-seeds {options.split_seeds}: give at least two numbers from 0 to 2**32 - 1")
    if options.split_seed is not None:
        raise InputError("--split-seed cannot go with --split-seeds; put it in the list")
    if options.data is not None and (path := source_of(options).file) is not None:
        raise InputError(f"{path} is split already, so --split-seeds cannot draw its users anew; give the table itself")
    if not options.dry_run and options.out is None:
        raise InputError("--split-seeds needs --out, the folder for the studies of the draws")
    one = replace(options, split_seeds=None, split_seed=seeds[0])
    if options.dry_run:
        one_split(one)
        print(f"and the same for {len(seeds) - 1} more draws")
    out = options.out or Path()
    plan, _, split = planned(one, out)
    check_evaluable(split)
    n_test = split.test.n_users
    errors = resolution.of_draws(len(seeds), n_test, split.train.shape[0])
    said = resolution.sentence(n_test, options.seeds, errors, f"{len(seeds)} draws pooled, each of ")
    if options.dry_run:
        print_paragraph(said)
        return
    studies = tuple(out / f"draw-{seed}" for seed in seeds)
    with folders.hold(out), resumable("the finished runs and the checkpoint are", out):
        folders.claim(out, CombineNote.of(out, studies), options.resume)
        print_paragraph(said)
        say_cost(plan.jobs, split, studies[0], f"draw 1 of {len(seeds)}: ")
        for seed, folder in zip(seeds, studies, strict=True):
            one_split(replace(one, split_seed=seed, out=folder, resume=(folder / StudyNote.FILE).is_file()))
        combined(flags.Combine(studies, out), options)


def every_fold(options: flags.Study) -> None:
    """A study of each fold in a folder of its own, then all of them together."""
    assert options.folds is not None
    if options.split_seeds is not None:
        raise InputError("--folds and --split-seeds are two designs; choose one")
    if not options.dry_run and options.out is None:
        raise InputError("--folds needs --out, the folder for the studies of the folds")
    preset, source, split = chosen_data(options)
    seed = {} if options.split_seed is None else {"seed": options.split_seed}
    parts = folds(split, options.folds, **seed)
    for part in parts:
        check_evaluable(part)
    out = options.out or Path()
    n_test = sum(part.test.n_users for part in parts)
    said = resolution.sentence(
        n_test, options.seeds, resolution.of_folds(len(parts)), f"{len(parts)} folds pooled, in all "
    )
    if options.dry_run:
        title = f"{split.name}, preset {preset.name}, fold 1 of {len(parts)}: nothing was run"
        print_table(forecast.table(plan_of(options, preset, out).jobs, parts[0]), title)
        print_paragraph(forecast.NOTE)
        print_paragraph(said)
        return
    studies = tuple(out / f"fold-{k}" for k in range(1, len(parts) + 1))
    whole = {**source.given, "sha256": fingerprint(split)}
    no_data = dict.fromkeys(flags.TABLE_FIELDS)
    one = replace(options, **no_data, folds=None, preset=preset.name)
    with folders.hold(out), resumable("the finished runs and the checkpoint are", out):
        elsewhere = frozenset(f"data.{k}" for k in CombineNote.FILES)  # the fingerprint says whether it is the same
        folders.claim(out, CombineNote.of(out, studies, whole), options.resume, elsewhere)
        print_paragraph(said)
        say_cost(plan_of(options, preset, out).jobs, parts[0], studies[0], f"fold 1 of {len(parts)}: ")
        for part, folder in zip(parts, studies, strict=True):
            data = folder.with_name(f"{folder.name}.safetensors")
            if not data.is_file():
                part.save(data)
            elif fingerprint(StrongSplit.load(data)) != fingerprint(part):
                raise InputError(f"{data} is not that fold; remove it, then it is made again, or restore it")
            one_split(replace(one, data=str(data), out=folder, resume=(folder / StudyNote.FILE).is_file()))
        report_on(draws.combine([draws.SplitStudy.load(folder) for folder in studies]), out, options)


def combine(options: flags.Combine) -> None:
    """Studies of several draws of held-out users, in one report."""
    with folders.hold(options.out):
        combined(options)


def combined(options: flags.Combine, design: flags.Study | None = None) -> None:
    """The report on several studies, in a folder that is held; `design` is the command that made them."""
    value = draws.combine([draws.SplitStudy.load(folder) for folder in options.studies])
    folders.claim(options.out, CombineNote.of(options.out, options.studies), resume=True)
    report_on(value, options.out, design)


def report_on(value: Combined, out: Path, design: flags.Study | None) -> None:
    """Write and show what several studies give together; `design` is the command that made them."""
    changes, search_for = conclusions.remedy(d for d in value.differences if d.metric == SELECTION)
    if design is not None and (changes or search_for):
        value = changed(value, to_decide=command_lines.deciding(design, out, changes, search_for))
    draws_report.write(value, out)
    title = f"{value.data}: test nDCG@100 of {len(value.draws)} {value.design}"
    print_table(draws_report.levels(value), title)
    if value.differences:
        title = f"paired over users, 95 % intervals; pooled over {value.design}"
        print_table(draws_report.differences(value), title)
    if value.to_decide:
        print(visible(f"to decide what is not decided: {value.to_decide}"))
    print(visible(f"results: {out}/combined.html, {out}/combined.json"))
