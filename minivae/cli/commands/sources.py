"""The data and the saved model that flags name."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from minivae.cli import flags
from minivae.cli.commands.unread import refuse_unread
from minivae.data.newcomers import NewUsers, new_users
from minivae.data.splits import StrongSplit
from minivae.errors import InputError
from minivae.models import VAE, Baseline, load_model
from minivae.models.registry import model_class
from minivae.runtime.device import resolve_device
from minivae.runtime.outside_code import imported, misfit
from minivae.study.run.runs import read_note
from minivae.study.run.sources import EMBEDDED, TABLE_OPTIONS, Source, fingerprint

OTHER_USERS = "a table of other users"

if TYPE_CHECKING:  # the theory loads what a training need not wait for
    from minivae.theory.adapter import Wrapped

    Known = VAE | Baseline | Wrapped  # what --model can name: a saved model, or an outside one behind theory.wrap


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
    if name not in ("header", "adjacency", "comments"):
        return getattr(options, name)
    yes, no = getattr(options, name), getattr(options, f"no_{name}")
    if yes and no:
        raise InputError(f"--{name} and --no-{name} exclude each other; give one of them")
    return True if yes else False if no else None


def load_both(path: Path, options: flags.SplitFlags) -> "tuple[Known, StrongSplit]":
    """A model of any kind, and the split it was trained on unless --data says otherwise.

    Raises
    ------
    InputError
        If the model or the split is not there, or they do not belong together.
    """
    refuse_several(path)
    model, folder = (outside(path), None) if is_name(path) else (load_model(path), noted(path))
    note = read_note(folder) if folder else None
    if note is not None:
        refuse_other_class(model, note.kind, path)
    known = note.data if note else None
    if options.data is None and is_name(path):
        raise InputError(f"--model {path} does not say which data the model was trained on; give --data")
    if options.data is None and known is None:
        raise InputError(f"no config.json beside {path} says which data it was trained on; give --data")
    if options.data is None and known and known.split not in EMBEDDED and not Path(known.split).is_file():
        raise InputError(
            f"the split that {path} was trained on is not in {known.split}; put that split.safetensors beside the "
            "model, or give --data"
        )
    split = source_of(options, known.split if known else "").load(tables=False)
    if known and fingerprint(split) != known.sha256:
        raise InputError(f"{path} was trained on another split of {known.name}; leave --data out to use {known.split}")
    if split.n_items != model.n_items:
        raise InputError(
            f"{path} knows {model.n_items} items but the data has {split.n_items}; they do not belong together"
        )
    return model, split


def refuse_other_class(model: "Known", kind: str, path: Path) -> None:
    """Raise `InputError` if the config.json beside a model is of a model of another class."""
    try:
        expected = model_class(kind, imports=False)
    except InputError:  # it lies in a module that is not loaded
        return
    if type(model) is not expected:
        raise InputError(
            f"{path} holds a model of class {type(model).__name__}, but its config.json is of a {kind}; one of the two "
            "was replaced: put the other one back, or give a copy of the model alone with --data"
        )


def is_name(path: Path) -> bool:
    """Whether --model names an object of Python, as package.module:name, and no file."""
    module, colon, name = str(path).partition(":")
    return bool(colon) and not path.exists() and all(p.isidentifier() for p in (*module.split("."), name))


def outside(path: Path) -> "Known":
    """The model that --model package.module:name names: the object itself, or what it returns if it is a function.

    Raises
    ------
    InputError
        If it cannot be imported, or is no model.
    """
    from minivae.theory.adapter import Wrapped

    found = imported("--model", str(path))
    made = callable(found) and not isinstance(found, nn.Module | type)
    if made and (why := misfit(found)):
        raise InputError(f"--model {path} cannot be called without arguments ({why}); give a function of none")
    model = found() if made else found
    if not isinstance(model, VAE | Baseline | Wrapped):
        raise InputError(
            f"--model {path} is of class {type(model).__name__}; give what minivae.theory.wrap(encode, decode) returns"
        )
    return model.eval() if isinstance(model, nn.Module) else model


def noted(path: Path) -> Path | None:
    """The folder of a saved model, if a config.json there says how it was trained."""
    folder = path if path.is_dir() else path.parent
    return folder if (folder / "config.json").is_file() and not is_name(path) else None


def load_for(path: Path, options: flags.ColumnFlags) -> "tuple[Known, StrongSplit, NewUsers | None]":
    """As `load_both`; if --data is a raw table, also its users, matched with the model's items."""
    table = None if options.data is None else source_of(options)
    if table is None or not table.table:
        return *load_both(path, options), None
    if is_name(path):
        raise InputError(f"--model {path} says nothing of its items' labels; give a split file or a data set as --data")
    everybody = [name for name in ("heldout", "part") if hasattr(options, name)]  # theory has no parts
    refuse_unread(options, everybody, OTHER_USERS, "all of them are looked at")
    refuse_unread(options, ("title", "title_file", "time"), OTHER_USERS, "who has which item is all that counts")
    model, split = load_both(path, flags.SplitFlags())
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


def load_vae(path: Path, options: flags.SplitFlags) -> "tuple[VAE | Wrapped, StrongSplit]":
    """As `load_both`, for what looks into a latent space."""
    model, split = load_both(path, options)
    return only_vae(model, path), split


def only_vae(model: "Known", path: Path) -> "VAE | Wrapped":
    """The model, if it has a latent space."""
    if isinstance(model, Baseline):
        raise InputError(f"{path} holds a model of class {type(model).__name__}, which has no latent space; give a VAE")
    return model


def on_device(model: "Known", device: str) -> "Known":
    """A VAE on its device; baselines score on the CPU, an outside model where it is."""
    return model.to(resolve_device(device)) if isinstance(model, VAE) else model
