"""Every flag of every command. Nothing here needs torch, so that `--help` does not wait for it."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from minivae.options import AnchorSchedule, AnchorWeights, Precision


def option(metavar: str, default: str, **more: Any) -> Any:
    """How a flag is shown in the help."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint=f"(default: {default})", **more)


def words(options: Any, changes: Mapping[str, Any] | None = None) -> list[str]:
    """Flags and values that give these options, those with their default left out.

    >>> words(Study(models="ease", seeds=2), {"seeds": 3})
    ['--models', 'ease', '--seeds', '3']
    """
    positional, named = [], []
    for f in fields(options):
        value = (changes or {}).get(f.name, getattr(options, f.name))
        default = f.default if f.default is not MISSING and f.default is not tyro.MISSING else None
        if value == default or value is None or value is False:
            continue
        several = [str(v) for v in value] if isinstance(value, tuple) else [str(value)]
        if f.name in ("studies",) or (f.name == "data" and default is None and isinstance(options, Info)):
            positional += several
        else:
            named += [f"--{f.name.replace('_', '-')}", *(several if value is not True else [])]
    return [*positional, *named]


def command(options: Any, changes: Mapping[str, Any] | None = None) -> str:
    """The line for the shell that gives these options.

    >>> command(Study(models="ease,multvae+anchor", seeds=3))
    'minivae study --models ease,multvae+anchor --seeds 3'
    """
    name = type(options).__name__.lower()
    return shlex.join(["minivae", name, *words(options, changes)])


def deciding(options: "Study", out: Path, changes: Mapping[str, Any], search: Sequence[str]) -> str:
    """The command, or two, after which the conclusions of a study may be drawn.

    More seeds continue the study in its folder; other settings need another folder.
    """
    elsewhere = {"out": out.with_name(f"{out.name}-longer"), "resume": False}
    if search:
        tuned = out.with_name(f"{out.name}-search")
        where = {k: v for k, v in vars(options).items() if k in TABLE_FIELDS | {"preset", "epochs"}}
        first = command(Tune(**where, models=",".join(search), out=tuned))
        return f"{first} && {command(options, {**changes, **elsewhere, 'settings': tuned / 'best.toml'})}"
    same = {"out": out, "resume": True}
    return command(options, {**changes, **(same if set(changes) <= {"seeds"} else elsewhere)})


def after_search(options: "Tune", out: Path) -> str:
    """The command that looks at the test users once, with the data of the search and the settings that it chose.

    >>> after_search(Tune(data="debian", heldout=100, trials=5), Path("runs/t"))
    'minivae study --data debian --heldout 100 --settings runs/t/best.toml'
    """
    where = {k: v for k, v in vars(options).items() if k in TABLE_FIELDS | {"preset"}}
    return command(Study(**where, settings=out / "best.toml"))


def labels_apart(argv: Sequence[str], command: type, named: Sequence[str]) -> list[str]:
    """The words of a command with each label behind its own flag, so that a label may begin with a hyphen.

    >>> labels_apart(["--items", "-b3", "-x", "-k", "5"], Recommend, ["--items"])
    ['--items=-b3', '--items=-x', '-k', '5']
    """
    known = {"-k", "-h", "--help", *(f"--{f.name.replace('_', '-')}" for f in fields(command))}
    out, flag = [], None
    for word in argv:
        if word.partition("=")[0].replace("_", "-") in known:
            flag = word if word in named else None
            out += [] if flag else [word]
        else:
            out.append(f"{flag}={word}" if flag else word)
    return out


@dataclass(frozen=True)
class SplitFlags:
    """Where the data comes from, for a model that was trained on it."""

    data: Annotated[str | None, option("DATA", "what the model was trained on")] = None
    """A split file (.safetensors), the name of a prepared data set ($MINIVAE_DATA, then data/), planted or debian."""
    heldout: Annotated[int | None, option("N", "2000 of planted, 1500 of debian")] = None
    """planted and debian: users held out for validation, and as many for test."""
    split_seed: Annotated[int | None, option("N", "98765")] = None
    """Seed of the draw of held-out users and items."""


@dataclass(frozen=True)
class ColumnFlags(SplitFlags):
    """How a raw table is read."""

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
    title_file: Annotated[Path | None, option("FILE", "none")] = None
    """Table: a second table with a title for each item."""
    time: Annotated[str | None, option("COLUMN", "none")] = None
    """Table: column of times (seconds or dates), needed for --split time and --split last."""
    header: bool = False
    """Table: line 1 names the columns; without this and the next that is found from the first lines."""
    no_header: bool = False
    """Table: line 1 is a row."""
    separator: Annotated[str | None, option("CHARACTER", "found from the first line")] = None
    """Table: between fields; also ::, tab and space."""
    encoding: Annotated[str | None, option("NAME", "utf-8")] = None
    """Table: of the text, for instance latin-1."""
    adjacency: bool = False
    """Table: each line is a user and its items; without this and the next that is found from the lines."""
    no_adjacency: bool = False
    """Table: numbers separated by blanks are columns."""
    max_memory: Annotated[str | None, option("SIZE", "most of what is free, or $MINIVAE_MAX_MEMORY")] = None
    """Table: refuse what takes more memory to read than SIZE, for instance 4G."""
    min_user: Annotated[int | None, option("N", "5")] = None
    """Leave out users of fewer than N items."""


@dataclass(frozen=True)
class TableFlags(ColumnFlags):
    """Where the data comes from, a raw table included."""

    data: Annotated[str | None, option("DATA", "planted")] = None
    """planted or debian; a split file (.safetensors); the name of a prepared data set ($MINIVAE_DATA, then data/);
    or a table (CSV, TSV, JSON lines, adjacency text, Parquet, Feather, NPZ)."""
    heldout: Annotated[
        int | None, option("N", "2000 of planted, 1500 of debian; of a table a tenth of the users left, at most 1000")
    ] = None
    """Users held out for validation, and as many for test."""
    split_seed: Annotated[int | None, option("N", "98765")] = None
    """Seed of the draw of held-out users and items."""
    min_item: Annotated[int | None, option("N", "0")] = None
    """Leave out items of fewer than N users, before that."""
    split: Annotated[Literal["users", "time", "last"] | None, option("{users,time,last}", "users")] = None
    """Hold out users (Liang et al.), what came after a moment, or each user's last item."""
    test: Annotated[Path | None, option("FILE", "none")] = None
    """Test events of a split of one's own; --data holds the training events, the users are the same."""
    validation: Annotated[Path | None, option("FILE", "drawn from the training events")] = None
    """Validation events of that split."""


TABLE_FIELDS = {f.name for f in fields(TableFlags)}


@dataclass(frozen=True)
class Study(TableFlags):
    preset: Annotated[str | None, option("NAME", "that of the data")] = None
    """Settings: default, planted, debian, ml-1m, ml-20m, netflix, msd. Without --data they choose the data too."""
    settings: Annotated[Path | None, option("FILE", "the preset alone")] = None
    """TOML of settings that go over the preset's: best.toml of a search, or models of one's own."""
    models: Annotated[
        str | None, option("A,B,…", "popularity, ease and three of multvae; more for ml-20m, netflix, msd")
    ] = None
    """Models to compare: popularity, ease, ials, multvae-clean, multvae, multdae, recvae, hvamp, and variants.
    The last four of these names also with +anchor; a wrong name lists all."""
    split_seeds: Annotated[str | None, option("N,N,…", "one draw")] = None
    """Several draws of held-out users, a study of each, and their differences pooled; not for a prepared split."""
    folds: Annotated[int | None, option("K", "one split")] = None
    """Users in K parts, each tested by models that never saw it, so that every user is tested once; needs --out."""
    seeds: Annotated[int, option("N", "1")] = 1
    """Runs per trained model, with seeds 0 to N − 1."""
    epochs: Annotated[int | None, option("N", "preset")] = None
    """Passes over the training users, at most."""
    patience: Annotated[int | None, option("N", "preset")] = None
    """Stop after so many epochs without a better validation nDCG@100."""
    device: Annotated[str | None, option("DEVICE", "cuda, else cpu")] = None
    """Where to train: auto, cpu, cuda, cuda:1, …"""
    precision: Annotated[Precision | None, option("{auto,fp32,bf16}", "auto: bf16 where it is native")] = None
    """Of the item-sized products."""
    out: Annotated[Path | None, option("DIR", "runs/study-DATE-TIME")] = None
    """Folder for results.json, report.md, report.html, figures and runs; new, empty, or to be resumed."""
    jobs: Annotated[int | Literal["auto"], option("N|auto", "1")] = 1
    """Runs at a time, each in a process with one thread; auto: as many as there are processor cores."""
    resume: bool = False
    """Continue the study in --out; finished runs are kept."""
    dry_run: bool = False
    """Say what would run, with parameters, memory and time from a few measured updates; write nothing."""


@dataclass(frozen=True)
class Combine:
    studies: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="STUDY STUDY …")]
    """Folders of finished studies of the same data, each of another draw of held-out users."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = tyro.MISSING
    """Folder for combined.md, combined.html, combined.csv, combined.json and the figure."""


@dataclass(frozen=True)
class Tune(TableFlags):
    preset: Annotated[str | None, option("NAME", "that of the data")] = None
    """Where models, settings and search spaces come from."""
    settings: Annotated[Path | None, option("FILE", "the preset alone")] = None
    """TOML that goes over the preset's: models of one's own, and spaces as [models.NAME.search]."""
    models: Annotated[str | None, option("A,B,…", "as in study")] = None
    """Models to search for, baselines too; each gets the same number of trials."""
    space: Annotated[tuple[str, ...], option("[MODEL.]KEY=VALUES …", "the preset's")] = ()
    """Spaces in place of the preset's: a,b,c or low:high or low:high:log; without MODEL for all that have KEY."""
    method: Annotated[Literal["random", "grid"], option("{random,grid}", "random")] = "random"
    """random: the model as it is, then draws spread over each range; grid: every combination of lists."""
    trials: Annotated[int, option("N", "20")] = 20
    """Trials per model, 16 or more for a table that others shall believe; a search can be resumed with more."""
    seed: Annotated[int, option("N", "0")] = 0
    """Of the draws, and of weights, order, masks and noise in every trial."""
    seeds: Annotated[int, option("N", "1")] = 1
    """Runs of every trial of a trained model, with seeds SEED to SEED + N − 1; the mean over them is compared."""
    epochs: Annotated[int | None, option("N", "preset")] = None
    """Passes over the training users in a trial, at most; the same for every model."""
    device: Annotated[str | None, option("DEVICE", "cuda, else cpu")] = None
    """Where to train: auto, cpu, cuda, cuda:1, …"""
    precision: Annotated[Precision | None, option("{auto,fp32,bf16}", "auto: bf16 where it is native")] = None
    """Of the item-sized products."""
    out: Annotated[Path | None, option("DIR", "runs/tune-DATE-TIME")] = None
    """Folder for best.toml, search.md, trials.csv, trials.json and the trials; new, empty, or to be resumed."""
    jobs: Annotated[int | Literal["auto"], option("N|auto", "1")] = 1
    """Runs at a time, each in a process with one thread; auto: as many as there are processor cores."""
    resume: bool = False
    """Continue the search in --out; finished trials are kept."""
    dry_run: bool = False
    """Show the trials that would run; write nothing."""


@dataclass(frozen=True)
class Train(TableFlags):
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = tyro.MISSING
    """Folder for model.safetensors, metrics.json, log.jsonl, config.json and the checkpoint."""
    model: Annotated[str, option("NAME", "multvae")] = "multvae"
    """multvae, multdae, recvae, hvamp, each with +anchor if wanted, or a variant; flags below change its settings."""
    preset: Annotated[str | None, option("NAME", "that of the data")] = None
    """Where the other settings come from."""
    keep: Annotated[float | None, option("P", "preset")] = None
    """ρ, probability to keep an interaction in the input; 1 is clean input."""
    keep_exponent: Annotated[float | None, option("A", "0")] = None
    """Hide popular items more (A > 0) or less (A < 0) than others, with P as the mean over interactions."""
    mask: Annotated[str | None, option("MASK", "normalize-then-mask")] = None
    """Input convention: normalize-then-mask (as published), mask-then-normalize, raw."""
    beta: Annotated[float | None, option("B", "preset")] = None
    """Weight of the KL term at the end of its schedule."""
    anneal_steps: Annotated[int | None, option("N", "preset")] = None
    """Updates over which the KL weight rises from 0."""
    gamma: Annotated[float | None, option("G", "preset")] = None
    """Adds G times the number of a user's interactions to the weight of its KL term (RecVAE)."""
    anchor: Annotated[float | None, option("L", "preset")] = None
    """λ, weight of the anchor regularizer; 0 is none."""
    anchor_variant: Annotated[str | None, option("VARIANT", "full")] = None
    """full (as published), centroid+variance, centroid, softmin (for several tastes), or direction (scale-free)."""
    anchor_weights: Annotated[AnchorWeights | None, option("WEIGHTS", "uniform")] = None
    """Of a user's items in the anchor loss: uniform (as published), popularity, idf."""
    anchor_temperature: Annotated[float | None, option("T", "1")] = None
    """Of softmin: the lower, the more the nearest anchor alone counts."""
    anchor_start: Annotated[float | None, option("L", "0")] = None
    """λ at the first update, if it has a schedule."""
    anchor_steps: Annotated[int | None, option("N", "0: λ is constant")] = None
    """Updates over which λ goes from --anchor-start to --anchor."""
    anchor_schedule: Annotated[AnchorSchedule | None, option("{linear,geometric}", "linear")] = None
    """Whether λ changes by equal steps (linear) or by equal factors (geometric)."""
    label_smoothing: Annotated[float | None, option("A", "preset")] = None
    """Share A of the target of the likelihood that is spread over all items."""
    weight_decay: Annotated[float | None, option("W", "preset")] = None
    """Penalty W ‖weights‖² (Mult-DAE)."""
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


@dataclass(frozen=True)
class Evaluate(ColumnFlags):
    data: Annotated[str | None, option("DATA", "what the model was trained on")] = None
    """A split file (.safetensors), the name of a prepared data set, planted or debian; or a table of other users, whose
    items are matched with the model's by label."""
    model: Annotated[Path, tyro.conf.arg(metavar="DIR")] = tyro.MISSING
    """Folder of a trained model, or its model.safetensors."""
    part: Annotated[Literal["test", "validation"], option("{test,validation}", "test")] = "test"
    """Which held-out users."""
    metrics: Annotated[str | None, option("NAME@K,…", "recall@20,recall@50,ndcg@100")] = None
    """recall, ndcg, precision, map, mrr, hit or novelty at any cutoff, for instance ndcg@10,map@10; or your own."""
    device: Annotated[str, option("DEVICE", "cuda, else cpu")] = "auto"
    """Where to score."""
    json_file: Annotated[Path | None, option("FILE", "none")] = None
    """Write the numbers there too."""


@dataclass(frozen=True)
class Recommend(SplitFlags):
    model: Annotated[Path, tyro.conf.arg(metavar="DIR")] = tyro.MISSING
    """Folder of a trained model, or its model.safetensors."""
    user: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, option("LABEL [LABEL …]", "none")] = ()
    """Users of the data, by the labels in the raw file; everything known of them is used. Labels may begin with -."""
    items: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, option("TITLE [TITLE …]", "none")] = ()
    """Or a new user, by the items they have: titles, parts of titles that fit one item, or labels."""
    users: Annotated[Path | None, option("FILE|all", "none")] = None
    """Or the users that a file names, one label on each line; all: every user of the data."""
    similar: Annotated[str | None, option("ITEM", "none")] = None
    """Or items like this one: what the model shows to a user who has it alone."""
    among: Annotated[Path | None, option("FILE", "all items")] = None
    """Only these items may be shown, one label or title on each line."""
    exclude: Annotated[Path | None, option("FILE", "none")] = None
    """These items are not shown."""
    rank: Annotated[str | None, option("ITEM", "none")] = None
    """Show instead where this item stands in the list of each user."""
    k: Annotated[int, option("N", "10", aliases=["-k"])] = 10
    """How many."""
    out: Annotated[Path | None, option("FILE", "shown on the screen")] = None
    """Write user, rank, item and score there; .parquet, .csv or .jsonl."""
    device: Annotated[str, option("DEVICE", "cuda, else cpu")] = "auto"
    """Where to score."""


@dataclass(frozen=True)
class Theory(ColumnFlags):
    data: Annotated[str | None, option("DATA", "what the model was trained on, else planted")] = None
    """A split file (.safetensors), the name of a prepared data set ($MINIVAE_DATA, then data/), planted or debian; with
    --model also a table of other users, whose items are matched with the model's by label."""
    model: Annotated[Path | None, option("DIR", "one is trained, in some seconds")] = None
    """Folder of a trained model; without it the preset's multvae+anchor is trained for --epochs."""
    epochs: Annotated[int, option("N", "10")] = 10
    """Passes over the training users when a model is trained here."""
    users: Annotated[int, option("N", "300")] = 300
    """Training users drawn for the checks."""
    seed: Annotated[int, option("N", "0")] = 0
    """Of that draw, of masks and noise, and of a training here."""
    study: Annotated[Path | None, option("DIR", "none")] = None
    """A finished study of the same data: the prototype's observations are looked for in its models."""
    seeds: Annotated[int, option("N", "0: the card only")] = 0
    """Or train small models for that, ten settings with N seeds each, into --out."""
    out: Annotated[Path | None, option("DIR", "the card is shown only")] = None
    """Folder for card and observations as Markdown and JSON, and figures; new, empty, or to be resumed."""
    jobs: Annotated[int | Literal["auto"], option("N|auto", "1")] = 1
    """Runs at a time, each in a process with one thread; auto: as many as there are processor cores."""
    resume: bool = False
    """Continue what --out holds; models that are trained are kept."""


@dataclass(frozen=True)
class Explain(SplitFlags):
    what: Annotated[
        tyro.conf.Positional[Literal["transfer", "lds", "far", "anchors", "removal"]],
        option("{transfer,lds,far,anchors,removal}", "transfer"),
    ] = "transfer"
    """transfer: who helps whom in a model?
    lds: do such scores predict what retraining on half of the users does?
    far: do masks and anchors reach users who are related but have hardly a common item?
    anchors: which form of the anchor loss helps which model, from finished studies of the preset anchor-law?
    removal: are a test user's best helpers missed more than others with as many items?"""
    data: Annotated[str | None, option("DATA", "what the model was trained on, else planted")] = None
    """A split file (.safetensors), the name of a prepared data set ($MINIVAE_DATA, then data/), planted or debian."""
    model: Annotated[Path | None, option("DIR", "one is trained")] = None
    """transfer: folder of a trained model. It is trained again with the same settings, to see it on the way.
    Without its config.json beside it the final parameters alone are looked at."""
    users: Annotated[int, option("N", "3000")] = 3000
    """transfer, far: training users looked at, drawn at random if there are more. Memory grows with the square."""
    groups: Annotated[Path | None, option("FILE", "none")] = None
    """transfer: a CSV of user label and group, with a header, for a segment of one's own."""
    subsets: Annotated[int, option("K", "50")] = 50
    """lds: random halves of the training users to train on."""
    again: Annotated[int, option("N", "20")] = 20
    """lds: halves to train on a second time with another seed, for a ceiling; 0 is none."""
    receivers: Annotated[int, option("N", "300")] = 300
    """lds, removal: test users whose losses are looked at. removal trains two models for each of them."""
    helpers: Annotated[int, option("N", "10")] = 10
    """removal: training users that are left out."""
    study: Annotated[tuple[Path, ...], option("DIR …", "none")] = ()
    """anchors: finished studies of the preset anchor-law, one for each draw of held-out users."""
    seeds: Annotated[int, option("N", "5")] = 5
    """far: trainings of each variant."""
    features: Annotated[Path | None, option("FILE", "the planted truth")] = None
    """far: a CSV of item label and its features, such as genres, as A|B|C, with a header.
    How related two users are is read from it."""
    epochs: Annotated[int, option("N", "30")] = 30
    """Passes over the training users when a model is trained here."""
    hidden: Annotated[int, option("N", "100")] = 100
    """lds, far, removal: width of the Mult-VAE that is trained again and again."""
    latent: Annotated[int, option("N", "32")] = 32
    """lds, far, removal: its latent dimension."""
    out: Annotated[Path, option("DIR", "runs/explain")] = Path("runs/explain")
    """Folder for the results; new, empty, or to be resumed."""
    resume: bool = False
    """Continue what --out holds."""


@dataclass(frozen=True)
class List:
    pass


@dataclass(frozen=True)
class Info:
    data: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="DATA")]
    """planted, debian, the name of a prepared data set, or a split file."""


@dataclass(frozen=True)
class Course:
    out: Annotated[Path, option("DIR", "course")] = Path("course")
    """Where the notebooks go; an existing file is never written over."""
    solutions: bool = False
    """With solutions and outputs, in place of empty cells."""


@dataclass(frozen=True)
class Prepare:
    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="NAME")]
    """ml-100k, ml-latest-small, ml-1m, ml-20m, netflix or msd."""
    out: Annotated[Path, option("DIR", "data")] = Path("data")
    """Folder for NAME.safetensors (and for the download)."""
    from_file: Annotated[Path | None, option("PATH", "downloaded")] = None
    """Raw data that is already here: the archive, an unpacked folder, or the single file of ratings."""
    heldout: Annotated[int | None, option("N", "as published")] = None
    """Users held out for validation, and as many for test."""
    split_seed: Annotated[int, option("N", "98765, of Liang et al.")] = 98765
    """Seed of the permutation of users and of the fold-in."""
    export_csv: Annotated[Path | None, option("DIR", "none")] = None
    """Folder for unique_sid.txt, train.csv, … in the layout of the original code."""
    no_verify: bool = False
    """Do not compare with what is published; without this a difference is an error."""


DataCommand = Annotated[
    Annotated[
        List, tyro.conf.subcommand("list", description="Known data sets, and which are prepared on this machine.")
    ]
    | Annotated[Info, tyro.conf.subcommand("info", description="Size, density, activity and popularity of a data set.")]
    | Annotated[
        Prepare,
        tyro.conf.subcommand("prepare", description="From a raw archive to the split of the published figures."),
    ],
    tyro.conf.subcommand("data", description="What data there is, and what is in it."),
]
Command = (
    Annotated[Study, tyro.conf.subcommand("study", description="Train models, compare them, write a report.")]
    | Annotated[
        Combine,
        tyro.conf.subcommand("combine", description="Studies of several draws of held-out users, in one report."),
    ]
    | Annotated[
        Tune,
        tyro.conf.subcommand(
            "tune", description="Search settings on the validation users, with equal budgets; test users take no part."
        ),
    ]
    | Annotated[Train, tyro.conf.subcommand("train", description="Train one VAE and evaluate it.")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate", description="Test metrics of a trained model.")]
    | Annotated[
        Recommend, tyro.conf.subcommand("recommend", description="What a user, or a user with given items, may like.")
    ]
    | Annotated[
        Theory,
        tyro.conf.subcommand("theory", description="Check every statement of the paper on a model and its users."),
    ]
    | Annotated[
        Explain,
        tyro.conf.subcommand("explain", description="Who helps whom, and whether retraining agrees."),
    ]
    | Annotated[
        Course, tyro.conf.subcommand("course", description="Copy the course's notebooks, blank or solved, to a folder.")
    ]
    | DataCommand
)
