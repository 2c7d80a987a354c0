"""`minivae train`."""

from contextlib import ExitStack

from minivae.cli import flags
from minivae.cli.commands.folder import resumable
from minivae.cli.commands.sources import source_of
from minivae.cli.commands.unread import refuse_unread
from minivae.config import SettingError
from minivae.data.splits import StrongSplit
from minivae.errors import InputError, option
from minivae.models import MultDAE
from minivae.models.registry import model_class
from minivae.runtime import distributed
from minivae.runtime.device import resolve_device
from minivae.runtime.portable import seen_from
from minivae.runtime.text import visible
from minivae.study.output.display import print_metrics
from minivae.study.run import folders, presets
from minivae.study.run.model_spec import CONFIG_KEYS
from minivae.study.run.notes import SPLIT
from minivae.study.run.runs import Job, check_evaluable, execute
from minivae.study.run.sources import fingerprint
from minivae.training import fit

SHAPES: dict[str, tuple[str, float | str]] = {
    "keep_exponent": ("keep", 1.0),
    "anneal_steps": ("beta", 0.0),
    "anchor_variant": ("anchor", 0.0),
    "anchor_weights": ("anchor", 0.0),
    "anchor_steps": ("anchor", 0.0),
    "anchor_schedule": ("anchor_steps", 0),
    "anchor_temperature": ("anchor_variant", "full"),
}
"""Flag -> the setting that it shapes, and the value with which there is nothing to shape."""


def train(options: flags.Train) -> None:
    """Train one VAE and evaluate it on both held-out parts; under torchrun this is what each process does."""
    team = distributed.team()
    source = source_of(options)
    data = source.file or options.out.absolute() / SPLIT
    job = train_job(options, "") if source.table else None  # a table is long to read: mistakes are said before
    with ExitStack() as held:
        with team.in_turn():  # the first claims the folder and makes the split; the others read it
            split = source.load() if team.first or source.file else StrongSplit.load(data)
            check_evaluable(split)
            job = job or train_job(options, split.name)
            if team.first:
                held.enter_context(folders.hold(options.out))
                note = job.note(split, fingerprint(split), seen_from(options.out, data))
                longer = frozenset({"training.epochs", "training.patience", "data.split"})
                folders.claim(options.out, note, options.resume, longer)
                if not data.is_file():
                    split.save(data)
        with resumable("the checkpoint is", options.out):
            if not team.first:
                fit(job.spec.build_vae(split.n_items), split, job.config, folder=options.out, resume=True)
                return
            result = execute(job, split, options.out, job.name)
    print_metrics(result.metrics.levels(), f"{split.name}: test users, epoch {result.metrics.best_epoch}")
    print(visible(f"results: {options.out}"))


def train_job(options: flags.Train, data: str) -> Job:
    """The model and settings that the flags ask for, on top of a preset's."""
    preset = presets.load(options.preset) if options.preset else presets.for_data(data)
    spec = preset.model(options.model)
    if not spec.trained:
        raise InputError(f"{spec.name} is not trained step by step; use minivae study --models {spec.name}")
    settings = {k: getattr(options, k) for k in CONFIG_KEYS if hasattr(options, k)}
    try:
        job = Job(spec, spec.config(**settings))
    except SettingError as e:
        if settings.get(e.name) is None:
            raise
        raise InputError(f"{option(e.name, settings[e.name])} is not possible; it must be {e.rule}") from e
    refuse_idle(options, job)
    resolve_device(job.config.device)
    return job


def refuse_idle(options: flags.Train, job: Job) -> None:
    """Raise `InputError` for a flag that only shapes a setting which the model does not use, and that is not given."""
    if issubclass(model_class(job.spec.kind), MultDAE):
        refuse_unread(options, ("beta", "gamma", "anneal_steps"), f"--model {job.spec.name}", "it has no KL term")
    for flag, (shaped, unused) in SHAPES.items():
        if getattr(options, flag) is None or getattr(options, shaped) is not None:
            continue
        if getattr(job.config, shaped) == unused:
            raise InputError(
                f"{option(flag, getattr(options, flag))} does nothing while {option(shaped)} is {unused}, as it is of "
                f"{job.spec.name}; give {option(shaped)} too, or leave {option(flag)} out"
            )
