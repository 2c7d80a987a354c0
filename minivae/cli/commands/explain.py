"""`minivae explain`: who helps whom in a model; the experiments that retrain stand in `retraining.py`."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch

from minivae import explain, plots
from minivae.cli import flags
from minivae.cli.command_lines import command_line
from minivae.cli.commands import notes
from minivae.cli.commands.companions import trained_as
from minivae.cli.commands.folder import resumable
from minivae.cli.commands.page import save_figures
from minivae.cli.commands.retraining import explain_far, explain_lds, explain_removal, leave
from minivae.cli.commands.sources import load_vae, noted, source_of
from minivae.cli.commands.unread import given, refuse_unread
from minivae.data import lookup
from minivae.data.splits import FoldIn, StrongSplit
from minivae.data.users import shape_of
from minivae.errors import InputError
from minivae.explain import experiment, summary
from minivae.explain.radius import radius_stages
from minivae.models import VAE
from minivae.runtime.records import write_result
from minivae.runtime.storage import write_text
from minivae.runtime.table import print_table
from minivae.runtime.text import code, markdown, visible
from minivae.study.draws import anchor_law
from minivae.study.output.page import to_html
from minivae.study.output.report import page_source
from minivae.study.run import folders, presets
from minivae.study.run.results import made
from minivae.study.run.runs import read_note
from minivae.study.run.sources import fingerprint
from minivae.theory.adapter import Wrapped


def explain_model(options: flags.Explain) -> None:
    """Who helps whom in a model, or whether such scores agree with retraining."""
    kind = notes.QUESTIONS[options.what]
    answer = {
        "transfer": explain_transfer,
        "lds": explain_lds,
        "far": explain_far,
        "anchors": explain_anchors,
        "removal": explain_removal,
    }[options.what]
    refuse_flags_of_others(options)
    with folders.hold(options.out), resumable("what is finished is", options.out):
        folders.claim(options.out, kind.of(options), options.resume, frozenset({"again"}))
        answer(options)
    print(visible(f"results: {options.out}"))


def refuse_flags_of_others(options: flags.Explain) -> None:
    """Raise `InputError` if a flag of another question is given, or one that a trained model leaves nothing to say."""
    for name in (f.name for f in fields(options) if f.name not in notes.QUESTIONS[options.what].flags()):
        if flag := "".join(given(options, [name])):
            belongs = ", ".join(what for what, kind in notes.QUESTIONS.items() if name in kind.flags())
            raise InputError(f"{flag} belongs to another question of minivae explain ({belongs}); leave it out")
    if options.model is not None:
        refuse_unread(options, ("epochs",), "--model", "it is trained again as it was")


def explain_transfer(options: flags.Explain) -> None:
    """Who helps whom: JSON, a page and figures."""
    split, model, label = trained_again(options)
    rows = np.arange(split.train.shape[0])
    if len(rows) > options.users:
        rows = np.sort(np.random.default_rng(0).permutation(len(rows))[: options.users])
    x, others = split.train[rows], experiment.receivers_of(split, options.users)
    labels = (rows if split.train_labels is None else split.train_labels[rows]).astype(str)
    value = summary.summarise(
        split.name,
        explain.transfer(model, x),
        explain.transfer(model, x, others.history, others.heldout),
        x,
        lookup.names(split),
        labels,
        segments_of(options.groups, x, others, labels),
        radius_stages(model, x),
    )
    remarks = [
        code(command_line()),
        markdown(made()),
        f"Data {code(split.name)}, {len(rows):,} of {split.train.shape[0]:,} training users. {label}",
        summary.meaning(value),
    ]
    drawn = plots.explain_figures(value)
    shown = save_figures(drawn, options.out)
    text = page_source(summary.compose(value, remarks), options.out, "explain")
    write_text(options.out / "explain.html", to_html(text, options.out, shown))
    write_result(options.out / "transfer.json", command_line(), value, fingerprint(split))
    of = value.segments["activity"]
    print_table(summary.flow_table(of), f"{split.name}: help from training users for test users, mean in nats")
    print(visible(f"page: {options.out}/explain.html"))


def segments_of(
    file: Path | None, x: sp.csr_matrix, others: FoldIn, labels: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Groupings of training users and receivers alike, by the same rule."""
    both = sp.vstack([x, others.history + others.heldout]).tocsr()
    groups = {
        "activity": explain.activity(both),
        "popularity of taste": explain.popularity_of_taste(both),
        "communities found in the data": explain.communities(both, min(8, *(n - 1 for n in shape_of(both)))),
    }
    if file is not None:
        known = others.user_labels
        theirs = np.full(others.n_users, "") if known is None else known.astype(str)
        groups[file.stem] = lookup.groups_of(file, np.concatenate([labels, theirs]))
    n_users, _ = shape_of(x)
    return {name: (g[:n_users], g[n_users:]) for name, g in groups.items()}


def trained_again(options: flags.Explain) -> tuple[StrongSplit, VAE | Wrapped | list[explain.Snapshot], str]:
    """The split; snapshots of the run that made a model, or its last parameters; and which of the two, in words."""
    if options.model is None:
        split = source_of(options).load(tables=False)
        spec = presets.for_data(split.name).model("multvae")
        config = spec.config(epochs=options.epochs)
        snapshots, _, run = explain.record(lambda: spec.build_vae(split.n_items), split, config)
        return split, snapshots, f"Model {spec.name}, trained here for {run.best_epoch} epochs."
    model, split = load_vae(options.model, options)
    folder = noted(options.model)
    if folder is None:
        return split, model, "The parameters as they are, alone: no config.json says how the model was trained."
    spec, config = trained_as(read_note(folder), folder, split.n_items)
    snapshots, again, _ = explain.record(lambda: spec.build_vae(split.n_items), split, replace(config, device="cpu"))
    same = all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    how = "to the last bit" if same else "up to rounding, as it was trained on another machine"
    return split, snapshots, f"Model {spec.name}, trained again for its snapshots: the same parameters {how}."


def explain_anchors(options: flags.Explain) -> None:
    """Each form of the anchor loss, its weight chosen on validation users, against none on test users."""
    if not options.study:
        raise InputError("minivae explain anchors needs --study, the folders of finished studies of preset anchor-law")
    law = anchor_law.collect(options.study)
    write_result(options.out / "anchors.json", command_line(), law)
    tables = {"nDCG@100 of test users, with anchors minus without": anchor_law.table(law.rows)}
    if law.over_draws:
        tables["Means over the draws of a data set"] = anchor_law.means(law.over_draws)
    leave("anchors", "When do anchors help?", anchor_law.conclusion(law.rows), tables, ({}, {}), options.out)
