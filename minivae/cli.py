"""The command line: `minivae study · train · evaluate · recommend · data`."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from minivae import catalogue
from minivae.errors import InputError
from minivae.models import VAE, load_model
from minivae.ranking import evaluate, recommend
from minivae.splits import StrongSplit
from minivae.storage import write_json
from minivae.study import folders, lookup, presets, runner, tables
from minivae.study.display import Interrupted, fact, print_metrics, print_table, resumable
from minivae.study.runs import Job, by_activity, check_evaluable, execute, means
from minivae.study.sources import Source, fingerprint
from minivae.training import Precision, resolve_device
from minivae.version import __version__

EXAMPLES = {
    "study": """
      minivae study                                         the embedded data, two minutes
      minivae study --data ml-1m --seeds 5 --out runs/ml-1m  MovieLens-1M, after data_scripts/movielens.py ml-1m
      minivae study --data ratings.csv --user userId --item movieId --rating rating --min-rating 4
      minivae study --models ease,multvae --dry-run
    """,
    "train": """
      minivae train --model multvae+anchor --out runs/anchored
      minivae train --data ml-1m --keep 0.7 --anchor 2 --epochs 50 --out runs/mine
      minivae train --data ml-1m --keep 0.7 --anchor 2 --epochs 80 --out runs/mine --resume
    """,
    "evaluate": """
      minivae evaluate --model runs/mine
      minivae evaluate --model runs/mine --part validation --json-file numbers.json
    """,
    "recommend": """
      minivae recommend --model runs/mine --user 42
      minivae recommend --model runs/mine --items "Toy Story (1995)" "Aladdin" -k 5
    """,
    "data": """
      minivae data list
      minivae data info ml-1m
      minivae data info runs/mine/split.safetensors
    """,
}


def option(metavar: str, default: str, **more: Any) -> Any:
    """How a flag is shown in the help."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint=f"(default: {default})", **more)


@dataclass(frozen=True)
class SplitFlags:
    """Where the data comes from, for a model that was trained on it."""

    data: Annotated[str | None, option("DATA", "what the model was trained on")] = None
    """A split file (.safetensors), the name of a prepared data set ($MINIVAE_DATA, then data/), or planted."""
    heldout: Annotated[int | None, option("N", "1000")] = None
    """planted: users held out for validation, and as many for test."""
    split_seed: Annotated[int | None, option("N", "98765")] = None
    """Seed of the draw of held-out users and items."""

    def source(self, default: str = "planted") -> Source:
        return Source(self.data or default, heldout=self.heldout, split_seed=self.split_seed)


@dataclass(frozen=True)
class TableFlags(SplitFlags):
    """Where the data comes from, a raw table included."""

    data: Annotated[str | None, option("DATA", "planted")] = None
    """planted; a split file (.safetensors); the name of a prepared data set ($MINIVAE_DATA, then data/); or a table
    (CSV, TSV, Parquet, NPZ)."""
    heldout: Annotated[int | None, option("N", "1000, of a table at most a tenth of the users")] = None
    """Users held out for validation, and as many for test."""
    split_seed: Annotated[int | None, option("N", "98765")] = None
    """Seed of the draw of held-out users and items."""
    user: Annotated[str | None, option("COLUMN", "user")] = None
    """Table: column of users, by name or position (0, 1, …)."""
    item: Annotated[str | None, option("COLUMN", "item")] = None
    """Table: column of items."""
    rating: Annotated[str | None, option("COLUMN", "none")] = None
    """Table: column of ratings, needed for --min-rating."""
    min_rating: Annotated[float | None, option("R", "every row counts")] = None
    """Table: keep ratings of at least R."""
    title: Annotated[str | None, option("COLUMN", "labels are shown")] = None
    """Table: column of item titles."""

    def source(self, default: str = "planted") -> Source:
        columns = {k: getattr(self, k) for k in ("user", "item", "rating", "min_rating", "title")}
        return replace(super().source(default), **columns)


@dataclass(frozen=True)
class Study(TableFlags):
    preset: Annotated[str | None, option("NAME", "that of the data")] = None
    """Settings to use: default, planted, ml-1m, ml-20m, netflix, msd. Without --data it chooses the data too."""
    models: Annotated[str | None, option("A,B,…", "all")] = None
    """Models to compare: popularity, ease, multvae-clean, multvae, multvae+anchor."""
    seeds: Annotated[int, option("N", "1")] = 1
    """Runs per trained model, with seeds 0 to N − 1."""
    epochs: Annotated[int | None, option("N", "preset")] = None
    """Passes over the training users, at most."""
    device: Annotated[str | None, option("DEVICE", "cuda, else cpu")] = None
    """Where to train: auto, cpu, cuda, cuda:1, …"""
    precision: Annotated[Precision | None, option("{auto,fp32,bf16}", "auto: bf16 where it is native")] = None
    """Of the item-sized products."""
    out: Annotated[Path | None, option("DIR", "runs/study-DATE-TIME")] = None
    """Folder for results.json, report.md, report.html, figures and runs; new, empty, or to be resumed."""
    resume: bool = False
    """Continue the study in --out; finished runs are kept."""
    dry_run: bool = False
    """Say what would run, with parameters, memory and time from a few measured updates; write nothing."""

    def run(self) -> None:
        if self.resume and self.out is None:
            raise InputError("--resume needs --out, the folder of the study to continue")
        preset = presets.load(self.preset) if self.preset else None
        source = self.source((preset and preset.data) or "planted")
        split = source.load()
        preset = preset or presets.for_data("" if source.table else split.name)
        options = {"epochs": self.epochs, "device": self.device, "precision": self.precision}
        plan = runner.Plan.make(preset, preset.pick(self.models), self.seeds, **options)
        if self.dry_run:
            print_table(runner.forecast(plan, split), f"{split.name}, preset {preset.name}: nothing was run")
            return
        out = self.out or Path("runs") / f"study-{datetime.now():%Y%m%d-%H%M%S}"
        with resumable("the finished runs and the checkpoint are", out):
            results = runner.run(plan, split, source, out, self.resume)
        print_table(tables.metrics(results["summary"]), f"{split.name}: test metrics, mean ± standard error over users")
        if results["differences"]:
            print_table(tables.differences(results["differences"]), "paired over users, 95 % intervals")
        print(f"results: {out}/report.html, {out}/results.json")


@dataclass(frozen=True)
class Train(TableFlags):
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = tyro.MISSING
    """Folder for model.safetensors, metrics.json, log.jsonl, config.json and the checkpoint."""
    model: Annotated[str, option("NAME", "multvae")] = "multvae"
    """multvae-clean, multvae or multvae+anchor; the flags below change its settings."""
    preset: Annotated[str | None, option("NAME", "that of the data")] = None
    """Where the other settings come from."""
    keep: Annotated[float | None, option("P", "preset")] = None
    """ρ, probability to keep an interaction in the input; 1 is clean input."""
    mask: Annotated[
        Literal["normalize-then-mask", "mask-then-normalize", "raw"] | None, option("MASK", "normalize-then-mask")
    ] = None
    """Input convention: normalize-then-mask (as published), mask-then-normalize, raw."""
    beta: Annotated[float | None, option("B", "preset")] = None
    """Weight of the KL term at the end of its schedule."""
    anneal_steps: Annotated[int | None, option("N", "preset")] = None
    """Updates over which the KL weight rises from 0."""
    anchor: Annotated[float | None, option("L", "preset")] = None
    """λ, weight of the anchor regularizer; 0 is none."""
    lr: Annotated[float | None, option("RATE", "preset")] = None
    """Step size of Adam."""
    batch_size: Annotated[int | None, option("N", "preset")] = None
    """Users per update."""
    epochs: Annotated[int | None, option("N", "preset")] = None
    """Passes over the training users, at most."""
    patience: Annotated[int | None, option("N", "preset")] = None
    """Stop after so many epochs without a better validation nDCG@100."""
    seed: Annotated[int, option("N", "0")] = 0
    """Of weights, order, masks and noise."""
    device: Annotated[str | None, option("DEVICE", "cuda, else cpu")] = None
    """Where to train: auto, cpu, cuda, cuda:1, …"""
    precision: Annotated[Precision | None, option("{auto,fp32,bf16}", "auto: bf16 where it is native")] = None
    """Of the item-sized products."""
    resume: bool = False
    """Continue the run in --out from its checkpoint, with the same settings; more --epochs and --patience are fine."""

    def run(self) -> None:
        source = self.source()
        split = source.load()
        check_evaluable(split)
        preset = presets.load(self.preset) if self.preset else presets.for_data("" if source.table else split.name)
        spec = preset.model(self.model)
        if not spec.trained:
            raise InputError(f"{spec.name} is not trained step by step; use minivae study --models {spec.name}")
        settings = {k: getattr(self, k) for k in presets.CONFIG_KEYS if hasattr(self, k)}
        job = Job(spec, spec.config(**settings))
        resolve_device(job.config.device)
        data = source.file or self.out.absolute() / "split.safetensors"
        identity = job.identity(split, fingerprint(split), str(data))
        longer = frozenset({"training.epochs", "training.patience", "data.split"})
        folders.claim(self.out, "config.json", identity, self.resume, longer)
        if not data.is_file():
            split.save(data)
        with resumable("the checkpoint is", self.out):
            result = execute(job, split, self.out, job.name)
        print_metrics(result.metrics["test"], f"{split.name}: test users, epoch {result.metrics['best_epoch']}")
        print(f"results: {self.out}")


@dataclass(frozen=True)
class Evaluate(SplitFlags):
    model: Annotated[Path, tyro.conf.arg(metavar="DIR")] = tyro.MISSING
    """Folder of a trained model, or its model.safetensors."""
    part: Annotated[Literal["test", "validation"], option("{test,validation}", "test")] = "test"
    """Which held-out users."""
    device: Annotated[str, option("DEVICE", "cuda, else cpu")] = "auto"
    """Where to score."""
    json_file: Annotated[Path | None, option("FILE", "none")] = None
    """Write the numbers there too."""

    def run(self) -> None:
        model, split = load_both(self.model, self)
        check_evaluable(split)
        fold_in = getattr(split, self.part)
        scored = evaluate(model.to(resolve_device(self.device)), fold_in)
        print_metrics(means(scored), f"{split.name}: {scored.n_users:,} {self.part} users")
        groups = by_activity(scored, fold_in)
        table = tables.groups([{"model": "nDCG@100", "groups": groups}])
        print_table([["by activity", *table[0][1:]], *table[1:]])
        print(f"items in somebody's top 100: {scored.coverage:.1%}")
        if self.json_file:
            value = {"data": split.name, "part": self.part, "metrics": means(scored), "groups": groups}
            write_json(self.json_file, value | {"coverage": scored.coverage})
            print(f"results: {self.json_file}")


@dataclass(frozen=True)
class Recommend(SplitFlags):
    model: Annotated[Path, tyro.conf.arg(metavar="DIR")] = tyro.MISSING
    """Folder of a trained model, or its model.safetensors."""
    user: Annotated[str | None, option("LABEL", "none")] = None
    """A user of the data, by the label in the raw file; everything known of them is used."""
    items: Annotated[tuple[str, ...], option("TITLE [TITLE …]", "none")] = ()
    """Or a new user, by the items they have: titles, parts of titles that fit one item, or labels."""
    k: Annotated[int, option("N", "10", aliases=["-k"])] = 10
    """How many."""

    def run(self) -> None:
        if (self.user is None) == (not self.items):
            raise InputError("say for whom: either --user LABEL or --items TITLE …")
        model, split = load_both(self.model, self)
        history = lookup.history_from(split, self.items) if self.user is None else lookup.history_of(split, self.user)
        names = lookup.names(split)
        known = names[history.indices]
        more = f" and {len(known) - 5} more" if len(known) > 5 else ""
        items, scores = (t[0].tolist() for t in recommend(model, history, self.k))
        print(f"knowing {'; '.join(known[:5])}{more}:")
        rows = [[str(r), names[i], f"{s:.3f}"] for r, (i, s) in enumerate(zip(items, scores, strict=True), 1) if i >= 0]
        print_table([["rank", "item", "score"], *rows])


@dataclass(frozen=True)
class List:
    def run(self) -> None:
        rows = catalogue.listing()
        keys = ("name", "title", "download", "needs", "prepared", "obtain")
        print_table([list(keys), *([row[k] for k in keys] for row in rows)])


@dataclass(frozen=True)
class Info:
    data: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="DATA")]
    """planted, the name of a prepared data set, or a split file."""

    def run(self) -> None:
        facts = folders.flat(catalogue.describe(Source(self.data).load(tables=False)))
        print_table([["fact", "value"], *([k.replace(".", ", "), fact(v)] for k, v in facts.items())])


DataCommand = Annotated[
    Annotated[
        List, tyro.conf.subcommand("list", description="Known data sets, and which are prepared on this machine.")
    ]
    | Annotated[
        Info, tyro.conf.subcommand("info", description="Size, density, activity and popularity of a data set.")
    ],
    tyro.conf.subcommand("data", description="What data there is, and what is in it."),
]
Command = (
    Annotated[Study, tyro.conf.subcommand("study", description="Train models, compare them, write a report.")]
    | Annotated[Train, tyro.conf.subcommand("train", description="Train one VAE and evaluate it.")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate", description="Test metrics of a trained model.")]
    | Annotated[
        Recommend, tyro.conf.subcommand("recommend", description="What a user, or somebody with given items, may like.")
    ]
    | DataCommand
)


def load_both(path: Path, flags: SplitFlags) -> tuple[VAE, StrongSplit]:
    """A trained model, and the split it was trained on unless --data says otherwise.

    Raises
    ------
    InputError
        If the model or the split is not there, or they do not belong together.
    """
    model = load_model(path)
    note = (path if path.is_dir() else path.parent) / "config.json"
    known = folders.read_json(note)["data"] if note.is_file() else None
    if flags.data is None and known is None:
        raise InputError(f"no config.json beside {path} says which data it was trained on; give --data")
    split = flags.source(known["split"] if known else "").load(tables=False)
    if known and fingerprint(split) != known["sha256"]:
        raise InputError(
            f"{path} was trained on another split of {known['name']}; leave --data out to use {known['split']}"
        )
    if split.n_items != model.n_items:
        raise InputError(
            f"{path} knows {model.n_items} items but the data has {split.n_items}; they do not belong together"
        )
    return model, split


def examples(command: str) -> list[str]:
    """What the help of a command ends with; the program's shows the first of each."""
    lines = {name: [line.strip() for line in text.strip().splitlines()] for name, text in EXAMPLES.items()}
    return lines.get(command) or [*(of[0] for of in lines.values()), "minivae --version"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 2 after bad input, 130 after Ctrl-C.

    `--help` and flags that do not exist end in `SystemExit`, as `argparse` does.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv == ["--version"]:
        print(__version__)
        return 0
    try:
        command = tyro.cli(
            Command,
            prog="minivae",
            description="The mechanisms of collaborative learning in VAE recommenders, measured.",
            args=argv,
            config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
        )
    except SystemExit as e:
        if not e.code:
            print("examples:", *(f"  {line}" for line in examples(argv[0])), sep="\n")
        raise
    try:
        command.run()
    except InputError as e:
        print(f"error: {e}", file=sys.stderr)
        return 2
    except Interrupted as e:
        more = [] if any(a.startswith("--out") for a in argv) else ["--out", str(e.folder)]
        more += [] if "--resume" in argv else ["--resume"]
        again = shlex.join(["minivae", *argv, *more])
        print(f"interrupted; {e.what} in {e.folder}; continue with: {again}", file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        print("interrupted; nothing was changed", file=sys.stderr)
        return 130
    return 0
