"""`minivae explain lds`, `far` and `removal`: experiments that train many models."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from minivae import explain
from minivae.cli import flags
from minivae.cli.command_lines import command_line
from minivae.cli.commands.sources import source_of
from minivae.config import TrainConfig
from minivae.data import lookup
from minivae.data.population import planted, unit
from minivae.data.splits import StrongSplit
from minivae.errors import InputError
from minivae.explain import experiment, far
from minivae.models import VAE, MultVAE
from minivae.runtime.progress import Event, board
from minivae.runtime.storage import write_json
from minivae.runtime.table import Table, numbers, words
from minivae.study.output.display import print_table


def retrained(options: flags.Explain, split: StrongSplit) -> tuple[Callable[[], VAE], TrainConfig]:
    """What the experiments of `minivae explain` train many times: how the model is made, and how it is trained."""
    config = TrainConfig(batch_size=100, anneal_steps=300, epochs=options.epochs, device="cpu")
    return lambda: MultVAE(split.n_items, options.hidden, options.latent), config


def explain_lds(options: flags.Explain) -> None:
    """Scores against retraining on halves of the users."""
    if options.model is not None:
        raise InputError("minivae explain lds trains its own models; leave --model out")
    split = source_of(options).load(tables=False)
    build, config = retrained(options, split)
    with lines() as progress:
        value = experiment.measure(
            build,
            split,
            config,
            options.out,
            options.subsets,
            min(options.again, options.subsets),
            options.receivers,
            progress=progress,
        )
    write_json(options.out / "lds.json", {"command": command_line(), **value})
    for outcome, scores in value["scores"].items():
        rows = ([name, v["lds"], f"{v['low']:.3f} … {v['high']:.3f}", v["users above 0"]] for name, v in scores.items())
        columns = [words("score"), numbers("LDS", "{:.3f}".format), numbers("95 % interval")]
        columns += [numbers("users above 0", "{:.0%}".format)]
        print_table(Table.make(columns, rows), f"{split.name}: {outcome}")


def explain_far(options: flags.Explain) -> None:
    """Related users without common items beside unrelated ones, for clean input, masks, and masks with anchors."""
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
        value = far.reach(
            build,
            split,
            variants,
            rows,
            pairs,
            range(options.seeds),
            progress,
        )
    result = {"command": command_line(), "data": split.name, "pairs": len(pairs.related), "variants": value}
    write_json(options.out / "far.json", result)
    kinds = ("related", "unrelated", "difference")
    columns = [words("training"), *(numbers(k, "{:.4f}".format) for k in kinds)]
    columns += [numbers("95 % interval", shown_interval)]
    for moment in ("along training", "end"):
        rows = ([name, *(of[moment][k] for k in kinds), of[moment]] for name, of in value.items())
        title = f"{split.name}: mean cosine of gradients of {len(pairs.related):,} pairs, {moment}"
        print_table(Table.make(columns, rows), title)


def explain_removal(options: flags.Explain) -> None:
    """Trainings without a test user's best helpers beside trainings without others of like activity."""
    split = source_of(options).load(tables=False)
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
    value = {
        "command": command_line(),
        "data": split.name,
        "receivers": receivers.n_users,
        "left out": options.helpers,
        "loss without helpers": found.helpers.tolist(),
        "loss without others": found.others.tolist(),
        "difference": {"mean": of.difference, "low": of.low, "high": of.high},
        "receivers who miss the helpers more": float((found.helpers > found.others).mean()),
    }
    write_json(options.out / "removal.json", value)
    rows = [
        ["receivers", f"{receivers.n_users}"],
        [f"loss without the {options.helpers} best helpers − without others, nats", f"{of.difference:+.4f}"],
        ["95 % interval over receivers", f"{of.low:+.4f} … {of.high:+.4f}"],
        ["receivers who miss the helpers more", f"{value['receivers who miss the helpers more']:.0%}"],
    ]
    print_table(Table.make([words(""), numbers("value")], rows), f"{split.name}: are the helpers missed?")


def shown_interval(line: Mapping[str, float | None]) -> str:
    """An interval over seeds, or that there is none."""
    return "one seed" if line["low"] is None else f"{line['low']:.4f} … {line['high']:.4f}"


@contextmanager
def lines() -> Iterator[Callable[[int, int], None]]:
    """Finished retrainings, as they go."""
    with board() as show:
        yield lambda done, total: show(Event("retraining", done, total, "model"))
