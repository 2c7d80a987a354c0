"""What each command does."""

import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from matplotlib.figure import Figure

from minivae import course, explain, plots
from minivae.cli import flags, serving
from minivae.data import catalogue, lookup
from minivae.data.newcomers import NewUsers, new_users
from minivae.data.population import planted, unit
from minivae.data.splits import FoldIn, StrongSplit
from minivae.data.users import shape_of
from minivae.errors import InputError, Interrupted, ProcessLost, Resumable, WriteError
from minivae.explain import experiment, far, summary
from minivae.metrics import cutoff
from minivae.models import VAE, Baseline, MultVAE, load_model
from minivae.options import METRICS, SELECTION
from minivae.ranking import evaluate
from minivae.runtime import distributed
from minivae.runtime.progress import Event, board
from minivae.runtime.storage import write_json, write_text
from minivae.runtime.table import Part, Table, numbers, report, words
from minivae.runtime.text import PlainConsole, code, markdown, visible
from minivae.study import forecast, runner
from minivae.study.draws import anchor_law, draws
from minivae.study.draws import report as draws_report
from minivae.study.observations import observations, prototype
from minivae.study.output import figures, tables
from minivae.study.output.display import fact, print_metrics, print_table
from minivae.study.output.page import to_html
from minivae.study.output.report import degenerate, page_source
from minivae.study.output.report import figure as in_markdown
from minivae.study.run import conclusions, folders, presets
from minivae.study.run.folds import folds
from minivae.study.run.results import made
from minivae.study.run.runs import Job, by_activity, check_evaluable, execute, means, read_note, seen_from, trained_with
from minivae.study.run.sources import EMBEDDED, TABLE_OPTIONS, Source, fingerprint
from minivae.study.search import report as search_report
from minivae.study.search import search
from minivae.theory import report_card
from minivae.training import TrainConfig, fit, resolve_device


@contextmanager
def resumable(what: str, folder: Path) -> Iterator[None]:
    """Let the end of what follows say that it can be continued, if it is none of bad input."""

    def kept() -> Resumable:
        """What lies there now: a full disk can end a run before its first checkpoint."""
        some = any(
            next(folder.rglob(name), None) for name in ("checkpoint*.safetensors", "metrics.json", "sums.safetensors")
        )
        return Resumable(what if some else "nothing is finished yet", folder)

    try:
        yield
    except KeyboardInterrupt as e:
        raise Interrupted(kept()) from e
    except (ProcessLost, WriteError) as e:
        e.kept = kept()
        raise


def study(options: flags.Study) -> None:
    """Train the models of a preset, compare them, write the report."""
    if options.resume and options.out is None:
        raise InputError("--resume needs --out, the folder of the study to continue")
    if options.folds is not None:
        every_fold(options)
        return
    if options.split_seeds is not None:
        several_draws(options)
        return
    out = options.out or Path("runs") / f"study-{datetime.now():%Y%m%d-%H%M%S-%f}"
    plan, source, split = planned(options, out)
    if options.dry_run:
        print_table(forecast.table(plan.jobs, split), f"{split.name}, preset {plan.preset.name}: nothing was run")
        print(forecast.NOTE)
        return
    with folders.hold(out), resumable("the finished runs and the checkpoint are", out):
        results = runner.run(plan, split, source, out, options.resume, options.jobs)
    print_table(tables.metrics(results["summary"]), f"{split.name}: test metrics, mean ± standard error over users")
    if results["differences"]:
        print_table(tables.differences(results["differences"]), "paired over users, 95 % intervals")
    for sentence in degenerate(results):
        print(visible(f"warning: {sentence}"))
    if results["to decide"]:
        print(visible(f"to decide what is not decided: {results['to decide']}"))
    print(visible(f"results: {out}/report.html, {out}/results.json"))


def planned(options: flags.Study, out: Path) -> tuple[runner.Plan, Source, StrongSplit]:
    """What a study would run, and on what."""
    preset, source, split = chosen_data(options)
    return plan_of(options, preset, out), source, split


def plan_of(options: flags.Study, preset: presets.Preset, out: Path) -> runner.Plan:
    """The runs of a study with a preset."""
    chosen = {k: getattr(options, k) for k in ("epochs", "device", "precision")}
    if options.patience is not None:
        chosen["patience"] = options.patience

    def command(changes: Mapping[str, Any], search: Sequence[str]) -> str:
        return (
            flags.deciding(options, out, changes, search)
            if changes or search
            else flags.command(options, {"resume": False})
        )

    return runner.Plan.make(preset, preset.pick(options.models), options.seeds, command, **chosen)


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
    if not options.dry_run and options.out is None:
        raise InputError("--split-seeds needs --out, the folder for the studies of the draws")
    one = replace(options, split_seeds=None, split_seed=seeds[0])
    if options.dry_run:
        study(one)
        print(f"and the same for {len(seeds) - 1} more draws")
        return
    out = options.out or Path()
    check_evaluable(planned(one, out)[2])
    studies = tuple(out / f"draw-{seed}" for seed in seeds)
    with folders.hold(out):
        folders.claim(out, "combine.json", {"studies": list(map(str, studies))}, options.resume)
        for seed, folder in zip(seeds, studies, strict=True):
            with resumable("the finished runs and the checkpoint are", out):
                study(replace(one, split_seed=seed, out=folder, resume=(folder / "study.json").is_file()))
        combine(flags.Combine(studies, out), options)


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
    if options.dry_run:
        title = f"{split.name}, preset {preset.name}, fold 1 of {len(parts)}: nothing was run"
        print_table(forecast.table(plan_of(options, preset, out).jobs, parts[0]), title)
        print(forecast.NOTE)
        return
    studies = tuple(out / f"fold-{k}" for k in range(1, len(parts) + 1))
    identity = {"studies": list(map(str, studies)), "data": {**source.given, "sha256": fingerprint(split)}}
    folders.claim(out, "combine.json", identity, options.resume)
    no_data = dict.fromkeys(flags.TABLE_FIELDS)
    one = replace(options, **no_data, folds=None, preset=preset.name)
    for part, folder in zip(parts, studies, strict=True):
        data = folder.with_name(f"{folder.name}.safetensors")
        if not data.is_file():
            part.save(data)
        with resumable("the finished runs and the checkpoint are", out):
            study(replace(one, data=str(data), out=folder, resume=(folder / "study.json").is_file()))
    report_on(draws.combine([draws.Draw.load(folder) for folder in studies]), out, options)


def combine(options: flags.Combine, design: flags.Study | None = None) -> None:
    """Studies of several draws of held-out users, in one report."""
    value = draws.combine([draws.Draw.load(folder) for folder in options.studies])
    folders.claim(options.out, "combine.json", {"studies": list(map(str, options.studies))}, resume=True)
    report_on(value, options.out, design)


def report_on(value: dict[str, Any], out: Path, design: flags.Study | None) -> None:
    """Write and show what several studies give together; `design` is the command that made them."""
    rows = [d | d["pooled"] for d in value["differences"] if d["metric"] == SELECTION]
    changes, search_for = conclusions.remedy(rows)
    if design is not None and (changes or search_for):
        value["to decide"] = flags.deciding(design, out, changes, search_for)
    draws_report.write(value, out)
    title = f"{value['data']}: test nDCG@100 of {len(value['draws'])} {value['design']}"
    print_table(draws_report.levels(value), title)
    if value["differences"]:
        title = f"paired over users, 95 % intervals; pooled over {value['design']}"
        print_table(draws_report.differences(value), title)
    if "to decide" in value:
        print(visible(f"to decide what is not decided: {value['to decide']}"))
    print(visible(f"results: {out}/combined.html, {out}/combined.json"))


def tune(options: flags.Tune) -> None:
    """Search the settings of several models on the validation users; test users take no part."""
    if options.resume and options.out is None:
        raise InputError("--resume needs --out, the folder of the search to continue")
    preset, _, split = chosen_data(options)
    given = {"epochs": options.epochs, "device": options.device, "precision": options.precision}
    specs = preset.pick(options.models)
    plan = search.Plan.make(
        preset, specs, options.method, options.trials, options.seed, options.space, options.seeds, **given
    )
    if options.dry_run:
        rows = [[t.spec.name, t.number, ", ".join(f"{k} {v}" for k, v in t.values().items())] for t in plan.trials]
        columns = [words("model"), numbers("trial"), words("settings")]
        print_table(Table.make(columns, rows), f"{split.name}: nothing was run")
        return
    out = options.out or Path("runs") / f"tune-{datetime.now():%Y%m%d-%H%M%S-%f}"
    with folders.hold(out), resumable("the finished trials and the checkpoint are", out):
        results = search.run(plan, split, out, options.resume, options.jobs)
    search_report.write(results, command_line(), out)
    print_table(
        search_report.chosen_table(results), f"{split.name}: chosen on {split.validation.n_users:,} validation users"
    )
    for sentence in search_report.warnings(results):
        print(visible(sentence))
    print(visible(f"results: {out}/search.md; one look at the test users: {flags.after_search(options, out)}"))


def train(options: flags.Train) -> None:
    """Train one VAE and evaluate it on both held-out parts; under torchrun this is what each process does."""
    team = distributed.team()
    source = source_of(options)
    data = source.file or options.out.absolute() / "split.safetensors"
    with ExitStack() as held:
        with team.in_turn():  # the first claims the folder and makes the split; the others read it
            split = source.load() if team.first or source.file else StrongSplit.load(data)
            check_evaluable(split)
            job = train_job(options, "" if source.table else split.name)
            if team.first:
                held.enter_context(folders.hold(options.out))
                identity = job.identity(split, fingerprint(split), seen_from(options.out, data))
                longer = frozenset({"training.epochs", "training.patience", "data.split"})
                folders.claim(options.out, "config.json", identity, options.resume, longer)
                if not data.is_file():
                    split.save(data)
        with resumable("the checkpoint is", options.out):
            if not team.first:
                fit(job.spec.build_vae(split.n_items), split, job.config, folder=options.out, resume=True)
                return
            result = execute(job, split, options.out, job.name)
    print_metrics(result.metrics["test"], f"{split.name}: test users, epoch {result.metrics['best_epoch']}")
    print(visible(f"results: {options.out}"))


def train_job(options: flags.Train, data: str) -> Job:
    """The model and settings that the flags ask for, on top of a preset's."""
    preset = presets.load(options.preset) if options.preset else presets.for_data(data)
    spec = preset.model(options.model)
    if not spec.trained:
        raise InputError(f"{spec.name} is not trained step by step; use minivae study --models {spec.name}")
    settings = {k: getattr(options, k) for k in presets.CONFIG_KEYS if hasattr(options, k)}
    job = Job(spec, spec.config(**settings))
    resolve_device(job.config.device)
    return job


def evaluate_model(options: flags.Evaluate) -> None:
    """Metrics of a trained model, by activity too."""
    model, split, others = load_for(options.model, options)
    if others is None:
        check_evaluable(split)
    fold_in = getattr(split, options.part) if others is None else others.fold_in
    who = f"{split.name}: {{:,}} {options.part} users" if others is None else f"{options.data}: {{:,}} users"
    metrics = METRICS if options.metrics is None else [m.strip() for m in options.metrics.split(",") if m.strip()]
    counts = np.bincount(split.train.indices, minlength=split.n_items)
    scored = evaluate(on_device(model, options.device), fold_in, metrics, counts)
    if scored.n_users < 2:
        raise InputError(
            f"{scored.n_users} of the users of {options.data} have held-out items, but at least 2 are needed: a user "
            "needs 5 items that the model knows"
        )
    print_metrics(means(scored), who.format(scored.n_users))
    groups = by_activity(scored, fold_in)
    if SELECTION in scored.per_user:
        print_table(tables.groups([{"model": "nDCG@100", "groups": groups}], "by activity"))
    print(f"items in the top {max(cutoff(m) for m in metrics)} of any user: {scored.coverage:.1%}")
    if options.json_file:
        of = {"data": split.name, "part": options.part}
        if others is not None:
            of = {"data": options.data, "filters": dict(others.filters), "trained on": others.trained_on}
        value = of | {"metrics": means(scored), "groups": groups}
        write_json(options.json_file, value | {"coverage": scored.coverage})
        print(visible(f"results: {options.json_file}"))


def on_device(model: VAE | Baseline, device: str) -> VAE | Baseline:
    """A VAE on its device; baselines score on the CPU."""
    return model.to(resolve_device(device)) if isinstance(model, VAE) else model


def recommend_items(options: flags.Recommend) -> None:
    """The best new items for the users that are named."""
    model, split = load_both(options.model, options)
    serving.recommend_items(options, on_device(model, options.device), split)


def theory(options: flags.Theory) -> None:
    """The report card of a model, all of it computed here; exit status 1 if a statement is broken."""
    model, split, known, folder = None, None, {}, Path()
    users: StrongSplit | sp.csr_matrix | None = None
    if options.model is not None:
        found, split, others = load_for(options.model, options)
        model = only_vae(found, options.model)
        users = None if others is None else others.matrix
        folder = options.model if options.model.is_dir() else options.model.parent
        known = read_note(folder) if (folder / "config.json").is_file() else {}
    split = split or source_of(options).load(tables=False)
    if options.out is None and (options.seeds or options.resume):
        raise InputError("--seeds and --resume need --out, the folder for the trained models")
    if options.out is not None:
        data = split.name if users is None else str(options.data)
        identity = {"data": data, "model": str(options.model or ""), "study": str(options.study or "")}
        identity |= {"users": options.users, "seed": options.seed, "seeds": options.seeds}
        folders.claim(options.out, "theory.json", identity, options.resume)
    label = known.get("model", str(options.model))
    trained = trained_with(known, folder) if known else None
    settings = {"keep": trained.keep, "mask": trained.mask} if trained else {}
    if model is None:
        spec = presets.for_data(split.name).model("multvae+anchor")
        config = spec.config(epochs=options.epochs, seed=options.seed)
        model = fit(spec.build_vae(split.n_items), split, config, label=spec.name).model.cpu()
        label, settings = f"{spec.name}, {options.epochs} epochs", {"keep": config.keep, "mask": config.mask}
    card = report_card(
        model, split if users is None else users, **settings, n_users=options.users, seed=options.seed, label=label
    )
    PlainConsole(width=None if sys.stdout.isatty() else 200).print(card.table())
    if options.out is not None:
        text = page_source(card.parts(), options.out, "card")
        write_json(options.out / "card.json", {"command": command_line(), **card.as_dict()})
        parts = [markdown(card.conclusion), "## Checks", text]
        drawn, words = plots.theory_figures(card), plots.theory_words(card)
        write_page(f"Report card: {markdown(label)}", parts, drawn, words, options.out, "card")
    if options.study is not None or options.seeds:
        observe(options, split)
    if options.out is not None:
        print(visible(f"results: {options.out}"))
    if card.failed:
        sys.exit(1)


def observe(options: flags.Theory, split: StrongSplit) -> None:
    """The prototype's observations in the models of a study, or in small ones trained here."""
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
        value = {"command": command_line(), "data": split.name} | prototype.as_dict(rows, found, toys)
        write_json(options.out / "observations.json", value)
        parts = [prototype.conclusion(rows), "## Observations", *text]
        drawn, words = plots.observation_figures(found, toys), plots.observation_words(found, toys)
        write_page(markdown(title), parts, drawn, words, options.out, "observations")


def explain_model(options: flags.Explain) -> None:
    """Who helps whom in a model, or whether such scores agree with retraining."""
    own = {
        "transfer": ("model", "users", "groups", "epochs"),
        "lds": ("subsets", "receivers", "epochs", "hidden", "latent", "again"),
        "anchors": ("study",),
        "far": ("users", "seeds", "features", "epochs", "hidden", "latent"),
        "removal": ("receivers", "helpers", "epochs", "hidden", "latent"),
    }[options.what]
    rooms = {
        "transfer": explain_transfer,
        "lds": explain_lds,
        "far": explain_far,
        "anchors": explain_anchors,
        "removal": explain_removal,
    }
    identity = {k: str(getattr(options, k)) for k in ("what", "data", "heldout", "split_seed", *own)}
    folders.claim(options.out, "explain.json", identity, options.resume, frozenset({"again"}))
    with resumable("what is finished is", options.out):
        rooms[options.what](options)
    print(visible(f"results: {options.out}"))


def explain_transfer(options: flags.Explain) -> None:
    """Who helps whom: JSON, a page and figures."""
    split, model, label = trained_again(options)
    rows = np.arange(split.train.shape[0])
    if len(rows) > options.users:
        rows = np.sort(np.random.default_rng(0).permutation(len(rows))[: options.users])
    x, others = split.train[rows], experiment.receivers_of(split, options.users)
    labels = (rows if split.train_labels is None else split.train_labels[rows]).astype(str)
    value = summary.summarise(
        explain.transfer(model, x),
        explain.transfer(model, x, others.history, others.heldout),
        x,
        lookup.names(split),
        labels,
        segments_of(options.groups, x, others, labels),
    )
    notes = [
        code(command_line()),
        markdown(made()),
        f"Data {code(split.name)}, {len(rows):,} of {split.train.shape[0]:,} training users. {label}",
        "T(u, v) is the sum over the snapshots of learning rate × inner product of the decoder gradients of two users: "
        "to first order and for plain gradient descent, by how much training on v lowered the loss of u. The run "
        "itself used Adam, batches and masks; `minivae explain lds` measures how well T agrees with retraining.",
    ]
    drawn = plots.explain_figures(value)
    shown = save_figures(drawn, options.out)
    text = page_source(summary.compose(value, split.name, notes), options.out, "explain")
    write_text(options.out / "explain.html", to_html(text, options.out, shown))
    write_json(options.out / "transfer.json", {"command": command_line(), "data": split.name, **value})
    of = value["segments"]["activity"]
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


def trained_again(options: flags.Explain) -> tuple[StrongSplit, VAE | list[explain.Snapshot], str]:
    """The split; snapshots of the run that made a model, or its last parameters; and which of the two, in words."""
    if options.model is None:
        split = source_of(options).load(tables=False)
        spec = presets.for_data(split.name).model("multvae")
        config = spec.config(epochs=options.epochs)
        snapshots, _, run = explain.record(lambda: spec.build_vae(split.n_items), split, config)
        return split, snapshots, f"Model {spec.name}, trained here for {run.best_epoch} epochs."
    model, split = load_vae(options.model, options)
    folder = options.model if options.model.is_dir() else options.model.parent
    if not (folder / "config.json").is_file():
        return split, model, "The final parameters alone, as no config.json says how the model was trained."
    known = read_note(folder)
    try:
        config = TrainConfig(**known["training"])
        spec = presets.ModelSpec(known["model"], known["class"], known["arguments"], known["training"])
        spec.build_vae(split.n_items)
    except (KeyError, TypeError) as e:
        raise InputError(
            f"{folder}/config.json does not say how the model was trained ({e}); without it the parameters alone count"
        ) from e
    snapshots, again, _ = explain.record(lambda: spec.build_vae(split.n_items), split, replace(config, device="cpu"))
    same = all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    how = "to the last bit" if same else "up to rounding, as it was trained on another machine"
    return split, snapshots, f"Model {spec.name}, trained again for its snapshots: the same parameters {how}."


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


def explain_anchors(options: flags.Explain) -> None:
    """Each form of the anchor loss, its weight chosen on validation users, against none on test users."""
    if not options.study:
        raise InputError("minivae explain anchors needs --study, the folders of finished studies of preset anchor-law")
    rows = anchor_law.collect(options.study)
    write_json(options.out / "anchors.json", {"command": command_line(), "rows": rows})
    print_table(anchor_law.table(rows), "nDCG@100 of test users, with anchors minus without")


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


def command_line() -> str:
    """What was typed, so that a result says how it was made."""
    return shlex.join(["minivae", *sys.argv[1:]])


def save_figures(drawn: Mapping[str, Figure], out: Path) -> list[str]:
    """Each as out/NAME.png, .svg and .pdf; returns the names of the PNG files."""
    for name, figure in drawn.items():
        figures.save(figure, out, name)
    return [f"{name}.png" for name in drawn]


def write_page(
    title: str,
    parts: Sequence[Part],
    drawn: Mapping[str, Figure],
    words: Mapping[str, tuple[str, str]],
    out: Path,
    name: str,
) -> None:
    """out/NAME.html: the conclusion, how it was made, further parts, and figures with their words."""
    shown = save_figures(drawn, out)
    pictures = [line for f in shown for line in in_markdown(f, *words[f.removesuffix(".png")])]
    conclusion, *rest = parts
    head = [f"# {title}", "## Conclusion", conclusion, code(command_line()), markdown(made())]
    text = report([*head, *rest, "## Figures", *pictures])
    write_text(out / f"{name}.html", to_html(text, out, shown))


def copy_chapters(options: flags.Course) -> None:
    """Notebooks, glossary and stored results, to a folder of one's own."""
    notebooks = course.copy_course(options.out, options.solutions)
    print(f"{len(notebooks)} notebooks in {options.out}; start with: jupyter lab {notebooks[0]}")


def list_data(_: flags.List) -> None:
    """Known data sets and where they are prepared."""
    keys = ("name", "licence", "download", "source", "prepared", "obtain")
    print_table(Table.make(map(words, keys), ([row[k] for k in keys] for row in catalogue.listing())))


def prepare_data(options: flags.Prepare) -> None:
    """The split of a known data set from its raw archive."""
    from minivae.preparation.known import prepare

    fields = {k: v for k, v in vars(options).items() if k not in ("name", "no_verify")}
    print(prepare(options.name, verify=not options.no_verify, **fields))


def data_info(options: flags.Info) -> None:
    """Facts about one data set."""
    told = catalogue.describe(Source(options.data).load(tables=False))
    doubts, audit = told.pop("warnings"), told.pop("leakage")
    facts = folders.flat(told)
    print_table(
        Table.make([words("fact"), words("value", fact)], ((k.replace(".", ", "), v) for k, v in facts.items()))
    )
    print_table(tables.leakage(audit), "leakage audit")
    for sentence in doubts:
        print(f"warning: {sentence}")


def chosen_data(options: flags.Study | flags.Tune) -> tuple[presets.Preset, Source, StrongSplit]:
    """Preset and split, each of which may choose the other."""
    asked = presets.load(options.preset, options.settings) if options.preset else None
    source = source_of(options, (asked and asked.data) or "planted")
    split = source.load()
    data = "" if source.table else split.name
    if options.preset:
        return presets.load(options.preset, options.settings, data), source, split
    return presets.for_data(data, options.settings), source, split


def source_of(options: flags.SplitFlags, default: str = "planted") -> Source:
    """What the flags say about the data."""
    source = Source(
        default if options.data is None else options.data, heldout=options.heldout, split_seed=options.split_seed
    )
    if isinstance(options, flags.ColumnFlags):
        source = replace(source, **{k: chosen(options, k) for k in TABLE_OPTIONS if hasattr(options, k)})
    return source


def chosen(options: flags.ColumnFlags, name: str) -> Any:
    """What was said about an option, None if nothing; yes and no are two flags."""
    if name not in ("header", "adjacency"):
        return getattr(options, name)
    yes, no = getattr(options, name), getattr(options, f"no_{name}")
    if yes and no:
        raise InputError(f"--{name} and --no-{name} exclude each other; give one of them")
    return True if yes else False if no else None


def load_both(path: Path, options: flags.SplitFlags) -> tuple[VAE | Baseline, StrongSplit]:
    """A model of any kind, and the split it was trained on unless --data says otherwise.

    Raises
    ------
    InputError
        If the model or the split is not there, or they do not belong together.
    """
    refuse_several(path)
    model = load_model(path)
    folder = path if path.is_dir() else path.parent
    known = read_note(folder)["data"] if (folder / "config.json").is_file() else None
    if options.data is None and known is None:
        raise InputError(f"no config.json beside {path} says which data it was trained on; give --data")
    if options.data is None and known and known["split"] not in EMBEDDED and not Path(known["split"]).is_file():
        raise InputError(
            f"the split that {path} was trained on is not in {known['split']}; put that split.safetensors beside the "
            "model, or give --data"
        )
    split = source_of(options, known["split"] if known else "").load(tables=False)
    if known and fingerprint(split) != known["sha256"]:
        raise InputError(
            f"{path} was trained on another split of {known['name']}; leave --data out to use {known['split']}"
        )
    if split.n_items != model.n_items:
        raise InputError(
            f"{path} knows {model.n_items} items but the data has {split.n_items}; they do not belong together"
        )
    return model, split


def load_for(path: Path, options: flags.ColumnFlags) -> tuple[VAE | Baseline, StrongSplit, NewUsers | None]:
    """As `load_both`; if --data is a raw table, also its users, matched with the model's items."""
    table = None if options.data is None else source_of(options)
    if table is None or not table.table:
        return *load_both(path, options), None
    own = flags.SplitFlags()
    model, split = load_both(path, own)
    if options.heldout is not None:
        raise InputError("--heldout cannot go with a table of other users: all of them are evaluated; leave it out")
    others = new_users(table.events(), split, options.split_seed, options.min_user)
    print(others, file=sys.stderr)
    return model, split, others


def refuse_several(path: Path) -> None:
    """A folder of a study holds several models."""
    if path.is_dir() and not (path / "model.safetensors").is_file():
        runs = sorted(p.parent for p in [*path.glob("runs/*/model.safetensors"), *path.glob("*/model.safetensors")])
        if runs:
            shown = ", ".join(map(str, runs[:5])) + (", …" if len(runs) > 5 else "")
            raise InputError(f"{path} holds {len(runs)} models; give one of them: {shown}")


def load_vae(path: Path, options: flags.SplitFlags) -> tuple[VAE, StrongSplit]:
    """As `load_both`, for what looks into a latent space."""
    model, split = load_both(path, options)
    return only_vae(model, path), split


def only_vae(model: VAE | Baseline, path: Path) -> VAE:
    """The model, if it has a latent space."""
    if not isinstance(model, VAE):
        raise InputError(f"{path} holds a model of class {type(model).__name__}, which has no latent space; give a VAE")
    return model


def held(command: Callable[[Any], None]) -> Callable[[Any], None]:
    """The command, with its --out, if there is one, kept to this process."""

    def run(options: flags.Theory | flags.Combine | flags.Explain) -> None:
        with folders.hold(options.out) if options.out is not None else nullcontext():
            command(options)

    return run


COMMANDS: dict[type, Callable[[Any], None]] = {
    flags.Study: study,
    flags.Combine: held(combine),
    flags.Tune: tune,
    flags.Train: train,
    flags.Evaluate: evaluate_model,
    flags.Recommend: recommend_items,
    flags.Theory: held(theory),
    flags.Explain: held(explain_model),
    flags.Course: copy_chapters,
    flags.List: list_data,
    flags.Info: data_info,
    flags.Prepare: prepare_data,
}
