"""`minivae theory`: the report card, and the observations of the prototype."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import scipy.sparse as sp

from minivae import plots
from minivae.cli import flags
from minivae.cli.command_lines import command_line
from minivae.cli.commands.companions import companions_of, trained_as
from minivae.cli.commands.folder import leaving, resumable
from minivae.cli.commands.notes import TheoryNote
from minivae.cli.commands.page import write_page
from minivae.cli.commands.sources import load_for, noted, only_vae, source_of
from minivae.cli.commands.unread import given, refuse_unread
from minivae.data.splits import StrongSplit
from minivae.errors import InputError
from minivae.runtime.records import write_result
from minivae.runtime.table import print_table, screen
from minivae.runtime.text import markdown, visible
from minivae.study.observations import observations, prototype
from minivae.study.output.report import page_source
from minivae.study.run import folders, presets
from minivae.study.run.loop import number_of_jobs
from minivae.study.run.runs import read_note, trained_with
from minivae.study.run.sources import fingerprint
from minivae.theory import report_card
from minivae.training import fit


def theory(options: flags.Theory) -> None:
    """The report card of a model, all of it computed here; exit status 1 if a statement is broken."""
    with folders.hold(options.out), leaving(options.out):
        sound = check_model(options)
    if not sound:
        sys.exit(1)


def check_model(options: flags.Theory) -> bool:
    """Whether no statement of the report card is broken; card and observations are written on the way."""
    if options.model is not None:
        refuse_unread(options, ("epochs",), "--model", "it is trained already")
    if options.study is not None:
        refuse_unread(options, ("seeds",), "--study", "its models are looked at in place of small ones")
    if not options.seeds and given(options, ("jobs",)):
        raise InputError("--jobs needs --seeds: only its small models are trained several at a time; leave it out")
    number_of_jobs(options.jobs, ())
    model, split, known, folder = None, None, None, None
    users: StrongSplit | sp.csr_matrix | None = None
    if options.model is not None:
        found, split, others = load_for(options.model, options)
        model = only_vae(found, options.model)
        users = None if others is None else others.matrix
        folder = noted(options.model)
        known = read_note(folder) if folder else None
    split = split or source_of(options).load(tables=False)
    if options.out is None and (options.seeds or options.resume):
        raise InputError("--seeds and --resume need --out, the folder for the trained models")
    if options.out is not None:
        note = TheoryNote.of(options, options.out, split.name if users is None else None)
        folders.claim(options.out, note, options.resume)
    label = known.model if known else str(options.model)
    trained = trained_with(known, folder) if known and folder else None
    settings: dict[str, Any] = {"keep": trained.keep, "mask": trained.mask} if trained else {}
    spec = config = None
    if options.companions and model is not None:
        if known is None or folder is None:
            raise InputError(
                f"no config.json beside {options.model} says how the model was trained; leave --companions out"
            )
        spec, config = trained_as(known, folder, split.n_items)
        config = replace(config, device="cpu")
    if model is None:
        spec = presets.for_data(split.name).model("multvae+anchor")
        config = spec.config(epochs=options.epochs, seed=options.seed)
        model = fit(spec.build_vae(split.n_items), split, config, label=spec.name).model.cpu()
        label, settings = f"{spec.name}, {options.epochs} epochs", {"keep": config.keep, "mask": config.mask}
    if options.companions and spec is not None and config is not None:
        settings["companions"] = companions_of(spec, config, split)
    card = report_card(
        model, split if users is None else users, **settings, n_users=options.users, seed=options.seed, label=label
    )
    screen(200).print(card.table())
    if options.out is not None:
        text = page_source(card.parts(), options.out, "card")
        events = fingerprint(split) if users is None else None
        write_result(options.out / "card.json", command_line(), card.results(), events)
        parts = [markdown(card.conclusion), "## Checks", text]
        drawn, words = plots.theory_figures(card), plots.theory_words(card)
        write_page(f"Report card: {markdown(label)}", parts, drawn, words, options.out, "card")
    if options.study is not None or options.seeds:
        observe(options, split)
    if options.out is not None:
        print(visible(f"results: {options.out}"))
    return not card.failed


def observe(options: flags.Theory, split: StrongSplit) -> None:
    """What an earlier implementation (the prototype) showed, in models of a study or in small ones trained here."""
    digest, out = fingerprint(split), options.out or Path()
    if options.seeds:
        with resumable("the finished runs and the checkpoint are", out):
            observations.train(observations.jobs(options.seeds), split, digest, out, options.jobs)
    left_out: list[str] = []
    found = observations.collect(observations.load(options.study or out, split, digest, left_out), split)
    for sentence in left_out:
        print(visible(sentence))
    toys = observations.toy_radius(max(len(of) for of in found.values()))
    rows = prototype.compare(found, toys, comparable=split.name == "ml-1m")
    title = f"Observations on {split.name}"
    print_table(prototype.table(rows), title)
    if options.out is not None:
        _, *text = prototype.compose(rows, title)
        page_source(prototype.compose(rows, title), options.out, "observations")
        value = prototype.Observations(split.name, prototype.RULE, rows, found, toys)
        write_result(options.out / "observations.json", command_line(), value, digest)
        parts = [prototype.conclusion(rows), "## Observations", *text]
        drawn, words = plots.observation_figures(found, toys), plots.observation_words(found, toys)
        write_page(markdown(title), parts, drawn, words, options.out, "observations")
