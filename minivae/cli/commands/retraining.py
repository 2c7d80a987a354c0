"""`minivae explain lds`, `far` and `removal`: experiments that train many models."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minivae import explain, plots
from minivae.cli import flags
from minivae.cli.command_lines import command_line
from minivae.cli.commands.notes import TrainedOnNote
from minivae.cli.commands.page import write_page
from minivae.cli.commands.sources import source_of
from minivae.config import TrainConfig
from minivae.data import lookup
from minivae.data.population import planted, unit
from minivae.data.splits import StrongSplit
from minivae.errors import InputError, check_whole
from minivae.explain import conclusions, experiment, far
from minivae.explain.records import FarResults, RemovalResults
from minivae.models import VAE, MultVAE
from minivae.options import MOST_RUNS
from minivae.runtime.progress import Event, board
from minivae.runtime.records import read_record, write_record, write_result
from minivae.runtime.table import Part, Table, print_table
from minivae.runtime.text import markdown, visible
from minivae.study.output.report import page_source
from minivae.study.run.sources import fingerprint


def retrained(options: flags.Explain, split: StrongSplit) -> tuple[Callable[[], VAE], TrainConfig]:
    """What the experiments of `minivae explain` train many times: how the model is made, and how it is trained."""
    config = TrainConfig(batch_size=100, anneal_steps=300, epochs=options.epochs, device="cpu")
    return lambda: MultVAE(split.n_items, options.hidden, options.latent), config


def of_same_data(split: StrongSplit, folder: Path) -> str:
    """The fingerprint of the data; a folder whose trainings were of others is refused, though they lay in one place."""
    path, here = folder / TrainedOnNote.FILE, TrainedOnNote(fingerprint(split))
    if path.is_file() and read_record(path, TrainedOnNote) != here:
        raise InputError(
            f"{folder} was begun with other data than {split.name} is now; choose another folder with --out"
        )
    write_record(path, here)
    return here.fingerprint


def explain_lds(options: flags.Explain) -> None:
    """Scores against retraining on halves of the users."""
    split = source_of(options).load(tables=False)
    events = of_same_data(split, options.out)
    build, config = retrained(options, split)
    with lines() as progress:
        value = experiment.measure(
            build,
            split,
            config,
            options.out,
            options.subsets,
            options.again,
            options.receivers,
            progress=progress,
        )
    write_result(options.out / "lds.json", command_line(), value, events)
    tables = {outcome: conclusions.lds_table(scores) for outcome, scores in value.scores.items()}
    title = f"Who helps whom, against retraining: {split.name}"
    leave("lds", title, conclusions.lds_conclusion(value), tables, plots.lds_figures(value), options.out)


def explain_far(options: flags.Explain) -> None:
    """Related users without common items beside unrelated ones, for clean input, masks, and masks with anchors."""
    check_whole(1, MOST_RUNS, seeds=options.seeds)
    split = source_of(options).load(tables=False)
    rows = np.sort(np.random.default_rng(0).permutation(split.train.shape[0])[: options.users])
    x = split.train[rows]
    if options.features is not None:
        known = lookup.features_of(options.features, split.item_labels.astype(str))
        relatedness = far.item_relatedness(x, known)
    elif split.name == "planted" and split.train_labels is not None:
        truth = planted().truth
        assert truth is not None  # the population is drawn here
        taste = unit(truth.user_factors[split.train_labels[rows], :-1])
        relatedness = taste @ taste.T
    else:
        raise InputError(
            f"nothing says which users of {split.name} are related; give --features, a CSV of item,features"
        )
    pairs = far.matched_pairs(x, relatedness)
    build, masked = retrained(options, split)
    variants = {"clean": replace(masked, keep=1.0), "masked": masked, "masked + PIA": replace(masked, anchor=1.0)}
    with lines() as progress:
        found = far.reach(build, split, variants, rows, pairs, range(options.seeds), progress)
    value = FarResults(split.name, len(pairs.related), found)
    write_result(options.out / "far.json", command_line(), value, fingerprint(split))
    tables = {
        f"mean cosine of gradients, {moment}": conclusions.far_table(found, moment) for moment in conclusions.MOMENTS
    }
    title = f"Users who are far but related: {split.name}"
    leave("far", title, conclusions.far_conclusion(value), tables, plots.far_figures(value), options.out)


def explain_removal(options: flags.Explain) -> None:
    """Trainings without a test user's best helpers beside trainings without others of like activity."""
    split = source_of(options).load(tables=False)
    events = of_same_data(split, options.out)
    build, config = retrained(options, split)
    config = replace(config, patience=options.epochs)
    receivers = experiment.receivers_of(split, options.receivers)
    snapshots, _, _ = explain.record(build, split, config, to_the_end=True)
    transfer = explain.transfer(snapshots, split.train, receivers.history, receivers.heldout)
    users, folder = range(receivers.n_users), options.out / "without"
    with lines() as progress:
        found = explain.removal(
            build, split, config, transfer, receivers, users, options.helpers, folder=folder, progress=progress
        )
    of = found.difference
    value = RemovalResults(
        data=split.name,
        receivers=receivers.n_users,
        left_out=options.helpers,
        without_helpers=found.helpers.tolist(),
        without_others=found.others.tolist(),
        difference=of.interval(),
        missed=float((found.helpers > found.others).mean()),
    )
    write_result(options.out / "removal.json", command_line(), value, events)
    tables = {"are the helpers missed?": conclusions.removal_table(value)}
    title = f"Without the best helpers: {split.name}"
    leave("removal", title, conclusions.removal_conclusion(value), tables, plots.removal_figures(value), options.out)


def leave(
    name: str,
    title: str,
    conclusion: str,
    tables: Mapping[str, Table],
    figures: tuple[Mapping[str, Figure], Mapping[str, tuple[str, str]]],
    out: Path,
) -> None:
    """The tables on the terminal; out/NAME.html, and the same text and tables as out/NAME.md and out/NAME.tex."""
    for heading, table in tables.items():
        print_table(table, f"{title}: {heading}")
    parts: list[Part] = [conclusion]
    for heading, table in tables.items():
        parts += [f"## {markdown(heading[0].upper() + heading[1:])}", table]
    page_source([f"# {markdown(title)}", "## Conclusion", *parts], out, name)
    write_page(markdown(title), parts, *figures, out, name)
    print(visible(f"page: {out}/{name}.html"))


@contextmanager
def lines() -> Iterator[Callable[[int, int], None]]:
    """Finished retrainings, as they go."""
    with board() as show:
        yield lambda done, total: show(Event("retraining", done, total, "model"))
