"""Odd values for every flag, setting, variable and note, with the commands that meet them."""

import json
import os
import shutil
import types
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from minivae.cli import flags as of
from minivae.cli.commands import COMMANDS
from minivae.config import TrainConfig
from minivae.models import EASE, MultVAE
from minivae.models.registry import arguments_of
from minivae.runtime.records import CHECKSUM, write_record
from minivae.runtime.storage import load_arrays, save_arrays
from minivae.runtime.surroundings import FORMS, THREADS

FAST = ["--epochs", "1", "--device", "cpu", "--precision", "fp32"]
OUTPUTS = {"out", "json_file", "export_csv"}
POSITIONAL = {
    ("Combine", "studies"),
    ("PerUser", "studies"),
    ("Explain", "what"),
    ("Info", "data"),
    ("Prepare", "name"),
}
BESIDE = {  # without which a flag says nothing
    "rating": {"min_rating": 3},
    "min_rating": {"rating": "rating"},
    "time": {"split": "last", "heldout": None},
}
BELOW_ZERO = {"keep_exponent", "min_rating"}
FREE_NAMES = {"title", "metrics", "user", "item", "items", "similar", "rank"}

# Per kind: (value, whether success with it would be wrong).
LONG = "a" * 300
NUMBERS = {
    "int": [("", 1), ("x", 1), ("nan", 1), ("1.5", 1), ("-1", 1), ("1e3", 1), ("9" * 5000, 0), ("0", 0), (10**24, 0)],
    "float": [("", 1), ("x", 1), ("nan", 1), ("inf", 0), ("-1", 1), ("1,5", 1), ("1e999", 0), ("1e-320", 0), ("0", 0)],
}
TEXTS = ["", " ", "\x1b[31mred", "[/x]", "=1+1", "-1", "nan", "é\u202e\U0001f600", "\udcff", "a\nb", "../..", "%s"]
TEXTS += [LONG * 9]
INPUTS = ["", "missing", "folder", "fifo", "loop", "noise", "empty", "/dev/null", "/dev/zero", ".", LONG, "\udcff", "~"]
RESULTS = ["", "taken", "holds-more", "loop", "taken/below", LONG, "a/b/c", "\udcff", "dangling"]


def _strange() -> None:
    """Files of every kind, in the folder where the command runs."""
    for name in ("folder", "holds-more"):
        Path(name).mkdir()
    Path("holds-more/thesis.txt").write_text("the only copy", encoding="utf-8")
    Path("taken").write_text("the only copy", encoding="utf-8")
    Path("empty").touch()
    Path("noise").write_bytes(bytes(range(256)) * 40)
    os.mkfifo("fifo")
    os.symlink("loop", "loop")
    os.symlink("nowhere/at/all", "dangling")


def _kept() -> None:
    """Raise if the command has changed what was there before."""
    kept = [Path("taken"), Path("holds-more/thesis.txt")]
    assert all(p.read_text(encoding="utf-8") == "the only copy" for p in kept), "a file of the user is gone"


def _kind(hint: Any) -> str:
    """int, float, str, path, choice or bool, whatever stands around it."""
    origin, inner = get_origin(hint), [a for a in get_args(hint) if a not in (type(None), Ellipsis)]
    if origin in (Annotated, tuple):
        return _kind(inner[0])
    if origin in (Union, types.UnionType):
        return next((k for k in map(_kind, inner) if k != "choice"), "choice")
    if origin is Literal:
        return "choice"
    return "path" if hint is Path else hint.__name__


def _values(name: str, kind: str) -> list[tuple[str, bool]]:
    if kind in NUMBERS:
        return [(str(v), bool(wrong) and not (name in BELOW_ZERO and v == "-1")) for v, wrong in NUMBERS[kind]]
    if kind == "path" and name in OUTPUTS:
        return [(v, v in ("taken", "loop", "taken/below", LONG) and name == "out") for v in RESULTS]
    if kind == "path":
        return [(v, True) for v in INPUTS]
    if kind in ("choice", "str"):
        return [(v, kind == "choice" or (name not in FREE_NAMES and v not in ("", " "))) for v in TEXTS]
    return []


def _sound(made: Path) -> dict[type, list[dict[str, Any]]]:
    """Arguments with which each command works; a set for each kind of data or question that has flags of its own."""
    split, table, run = str(made / "tiny.safetensors"), str(made / "tiny.csv"), str(made / "run")
    fast = {"epochs": 1, "device": "cpu", "precision": "fp32"}
    study = {"models": "ease", "dry_run": True}
    read = {"data": table, "user": "user", "item": "item", "title": "title", "heldout": 30}
    small = {"users": 20, "model": run}
    others = {"data": table, "user": "user", "item": "item"}
    again = {"data": split, "hidden": 8, "latent": 4, "epochs": 1, "out": "o"}
    lds = {"what": "lds", **again, "subsets": 2, "again": 0, "receivers": 20}
    removal = {"what": "removal", **again, "receivers": 2, "helpers": 3}
    far = {"what": "far", **again, "users": 300, "seeds": 1, "features": made / "features.csv"}
    anchors = {"what": "anchors", "study": (made / "study-1",), "out": "o"}
    transfer = {"what": "transfer", "data": split, "users": 10, "groups": made / "groups.csv", "epochs": 1, "out": "o"}
    of_model = {"what": "transfer", "model": run, "users": 10, "out": "o"}
    shown = {"model": run, "users": "all", "out": "o.csv"}
    return {
        of.Study: [{"data": split, **study}, {**read, **study}],
        of.Combine: [{"studies": (made / "study-1", made / "study-2"), "out": "o"}],
        of.Tune: [{"data": split, "trials": 2, **study}],
        of.Train: [{"data": split, **fast, "out": "o", "anchor": 1, "anchor_variant": "softmin", "anchor_steps": 2}],
        of.Evaluate: [{"model": run, "device": "cpu"}, {"model": run, **others}],
        of.Recommend: [{"model": run, "items": ("1", "2"), "device": "cpu"}, shown],
        of.Theory: [{"data": split, **small}, {"data": split, "users": 20, "epochs": 1}, {**small, **others}],
        of.Explain: [anchors, far, removal, lds, of_model, transfer],
        of.Course: [{"out": "o"}],
        of.Info: [{"data": split}, read],
        of.PerUser: [{"studies": (made / "study-1",), "out": "o.csv"}],
        of.Prepare: [{"name": "ml-1m", "from_file": made / "ml-1m", "no_verify": True, "heldout": 30, "out": "o"}],
    }


def _words(command: type, given: dict[str, Any]) -> list[str]:
    name = "per-user" if command.__name__ == "PerUser" else command.__name__.lower()
    argv = ["data", name] if name in ("info", "prepare") else [name]
    for flag, value in ((flag, value) for flag, value in given.items() if value is not None):
        several = value if isinstance(value, tuple) else (value,)
        if (command.__name__, flag) in POSITIONAL:
            argv += map(str, several)
        elif value is True:
            argv.append(f"--{flag.replace('_', '-')}")
        elif len(several) == 1:
            argv.append(f"--{flag.replace('_', '-')}={several[0]}")
        else:
            argv += [f"--{flag.replace('_', '-')}", *map(str, several)]
    return argv


def flags(made: Path) -> Iterator[tuple[str, list[str], bool, dict[str, str], Callable[[], None]]]:
    """Each flag of each command."""
    for command, sets in _sound(made).items():
        hints = get_type_hints(command, include_extras=True)
        for f in fields(command):
            kind = _kind(hints[f.name])
            table = f.name in {g.name for g in fields(of.ColumnFlags)}
            given = sets[-1] if table else next((s for s in reversed(sets) if f.name in s), sets[0])
            beside = BESIDE.get(f.name, {})
            beside = beside if beside.keys() <= hints.keys() else {}
            for value, refuse in _values(f.name, kind):
                argv = _words(command, {**given, **beside, f.name: value})
                yield f"{command.__name__.lower()} {f.name}={value[:40]!r}", argv, refuse, {}, _strange
    assert {c for c in COMMANDS if c is not of.List} == set(_sound(made))


TOML = ['"x"', '""', "true", "2020-01-01", "[1]", "{a = 1}", '[["x"]]', "nan", "-1", "1.5", "0", "inf", "1" + "0" * 30]
TOML += ["9" * 5000, '"\\u001b[31m[/x]"', "[" * 900 + "]" * 900]
NO_NUMBER = set(TOML[:8])


def settings(made: Path) -> Iterator[tuple[str, list[str], bool, Callable[[], None]]]:
    """Each key of a settings file."""
    argv = ["study", f"--data={made / 'tiny.safetensors'}", "--models=multvae,ease", "--settings=s.toml", "--dry-run"]
    defaults = {f.name: f.default for f in fields(TrainConfig)}
    models = {"multvae": {**arguments_of(MultVAE), **defaults}, "ease": arguments_of(EASE)}
    keys = [(f"[models.{m}]\n{k}", v) for m, of_model in models.items() for k, v in of_model.items()]
    keys += [(f"[train]\n{k}", v) for k, v in defaults.items()]
    tables = ("title", "data", "over_data", "select", "train", "models", "sections", "search", "origin")
    keys += [(k, None) for k in tables]
    keys += [(k, None) for k in ("unknown", "[models]\nmultvae", "[models.multvae]\nlike", "[models.multvae]\nclass")]
    keys += [(f"[models.multvae.search]\n{k}", None) for k in ("lr", "keep", "mask", "nothing")]
    keys += [(f"[origin]\n{k}", None) for k in ("trials", "method", "data", "seed", "sha256", "trials_run")]
    section = '[[sections]]\ntitle = "t"\n'
    keys += [(f"{section}{k}", None) for k in ("text", "steps", "models", "against", "axis", "more")]
    for key, default in keys:
        number = isinstance(default, int | float) and not isinstance(default, bool)
        for value in TOML:
            text = f"{key} = {value}\n"
            name = f"{key.splitlines()[-1]} of {key.splitlines()[0]} = {value[:30]}"
            yield name, argv, number and value in NO_NUMBER, partial(_write, text)


def _write(text: str) -> None:
    Path("s.toml").write_text(text, encoding="utf-8")


ODD = ["", "abc", "-1", "1.5", "9" * 30, "\x1b[31m", "/missing", "a" * 5000]
READ_LATER = ["WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_PORT", "MINIVAE_DATA", "MINIVAE_MAX_MEMORY", "COLUMNS"]
READ_AT_START = ["MINIVAE_PLUGINS", "MPLBACKEND", "MPLCONFIGDIR", "TERM", "LANG", "LC_ALL", "HOME", "TMPDIR"]
READ_AT_START += ["TZ", "POLARS_VERBOSE", "POLARS_TEMP_DIR", "RAYON_NUM_THREADS"]


def environment(made: Path) -> Iterator[tuple[str, list[str], bool, dict[str, str], bool]]:
    """Each variable that minivae or what it stands on looks at; consoles of other encodings."""
    evaluate = ["evaluate", f"--model={made / 'run'}", "--device=cpu"]
    table = [*evaluate, f"--data={made / 'tiny.csv'}", "--user=user", "--item=item"]
    for name in READ_LATER:
        for value in ODD:
            wrong = {"WORLD_SIZE": value, "MINIVAE_MAX_MEMORY": value and value != "9" * 30}.get(name)
            argv = table if name == "MINIVAE_MAX_MEMORY" else evaluate
            yield f"{name}={value[:30]!r}", argv, bool(wrong), {name: value}, False
    for name in READ_AT_START:
        for value in ("", "abc", "-1", "/missing"):
            yield f"{name}={value!r}", evaluate, False, {name: value}, True
    for name in THREADS:
        for value in ("", "abc", "-1", "0", "1.5", "999999"):
            yield f"{name}={value!r}", table, bool(value), {name: value}, True
    for name in FORMS:
        yield f"{name}='x'", table, True, {name: "x"}, True
    for encoding in ("cp1252", "latin-1", "ascii", "utf-16"):
        for argv in (evaluate, ["train", "--help"], ["data", "list"]):
            yield f"{argv[0]} in {encoding}", argv, False, {"PYTHONIOENCODING": encoding}, True


WRONG = {"null": None, "yes": True, "-1": -1, "1e308": 1e308, "word": "x", "nothing": "", "list": [], "table": {}}
WRONG |= {"escape": "\x1b[31m[/x]", "huge": 10**18, "nested": [[[{}]]]}
SHARES = ("mean", "se", "coverage")  # of metrics.json: between 0 and 1
ALIKE = {bool: "yes", int: "number", float: "number", str: "word", list: "list", dict: "table", type(None): "null"}


def _alike(a: Any, b: Any) -> bool:
    return ALIKE[type(a)] == ALIKE[type(b)]


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every key of a JSON value, and the first element of every list."""
    inner = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, below in inner:
        yield (*path, key), below
        yield from _places(below, (*path, key))


def _changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy with another value in one place; without it if `new` is the marker `Ellipsis`."""
    value = json.loads(json.dumps(value))
    place = value
    for step in path[:-1]:
        place = place[step]
    if new is Ellipsis:
        del place[path[-1]]
    else:
        place[path[-1]] = new
    return value


def notes(made: Path) -> Iterator[tuple[str, list[str], bool, Callable[[], None]]]:
    """Each key of each JSON note, dropped or of another type, with a right checksum; then the headers of arrays."""
    resume = ["study", f"--data={made / 'draw-1.safetensors'}", "--models=popularity,multvae", *FAST, "--resume"]
    resume += [f"--settings={made / 'small.toml'}", "--out=x"]
    run = "runs/multvae-seed0"
    for folder, name, argv in (
        ("study-1", f"{run}/config.json", ["evaluate", f"--model=x/{run}", "--device=cpu"]),
        ("study-1", f"{run}/metrics.json", resume),
        ("study-1", "study.json", resume),
        ("study-1", "results.json", ["combine", "x", str(made / "study-2"), "--out=both"]),
    ):
        sound = json.loads((made / folder / name).read_text(encoding="utf-8"))
        sound.pop(CHECKSUM, None)
        for path, before in _places(sound):
            where = f"{name} {'.'.join(map(str, path))}"
            yield f"{where} dropped", argv, False, partial(_note, made / folder, name, path, ...)
            for word, new in WRONG.items():
                refuse = not _alike(before, new) and None not in (before, new)
                refuse |= name.endswith("metrics.json") and path[-1] in SHARES and word in ("-1", "1e308", "huge")
                yield f"{where} = {word}", argv, refuse, partial(_note, made / folder, name, path, new)
    train = ["train", f"--data={made / 'tiny.safetensors'}", *FAST, "--batch-size=50", "--out=x", "--resume"]
    split = ["data", "info", "x/split.safetensors"]
    for name, kind, argv in (
        ("model.safetensors", "model", ["evaluate", "--model=x", f"--data={made / 'tiny.safetensors'}"]),
        ("checkpoint.safetensors", "checkpoint", [*train, "--patience=9"]),
        ("split.safetensors", "split", split),
    ):
        if not (made / "run" / name).exists():
            shutil.copy(made / "tiny.safetensors", made / "run" / name)
        for key in load_arrays(made / "run" / name, kind)[1]:
            for text in ("", "x", "[]", "{}", "null", "-1", "9" * 5000, '{"a": NaN}', "[" * 5000):
                if key != "kind":
                    change = partial(_header, made / "run", name, kind, key, text)
                    yield f"{name} {key} = {text[:20]}", argv, False, change


def _note(folder: Path, name: str, path: tuple[Any, ...], new: Any) -> None:
    shutil.copytree(folder, "x")
    note = Path("x", name)
    sound = json.loads(note.read_text(encoding="utf-8"))
    sound.pop(CHECKSUM, None)
    write_record(note, _changed(sound, path, new))


def _header(folder: Path, name: str, kind: str, key: str, text: str) -> None:
    shutil.copytree(folder, "x")
    arrays, meta = load_arrays(Path("x", name), kind)
    save_arrays(Path("x", name), kind, arrays, {k: v for k, v in meta.items() if k != "kind"} | {key: text})
