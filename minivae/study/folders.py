"""Run folders: one folder holds one thing, says what it is, and is never mixed with another."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minivae.errors import InputError
from minivae.storage import write_json


def claim(
    folder: Path, note: str, identity: Mapping[str, Any], resume: bool, may_change: frozenset[str] = frozenset()
) -> None:
    """Make `folder` the place of the run that `identity` describes, kept in the JSON file `note`.

    Parameters
    ----------
    resume : continue what the folder holds; without it the folder must be new or empty.
    may_change : dotted keys of `identity` in which a continued run may differ.

    Raises
    ------
    InputError
        If the folder holds something else, or the same and `resume` is False, or cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; choose another folder with --out")
    if folder.is_dir() and any(folder.iterdir()):
        path = folder / note
        if not path.is_file():
            raise InputError(f"{folder} holds something else (no {note} in it); choose another folder with --out")
        if not resume:
            raise InputError(f"{folder} already holds a run; add --resume to continue it or choose another --out")
        refuse_other(path, identity, may_change)
    write_json(folder / note, identity)


def refuse_other(path: Path, identity: Mapping[str, Any], may_change: frozenset[str] = frozenset()) -> None:
    """Raise `InputError` if the JSON file at `path` describes another run than `identity`."""
    theirs, ours = flat(read_json(path)), flat(json.loads(json.dumps(identity)))
    keys = sorted((theirs.keys() | ours.keys()) - may_change)
    changed = [
        "made from other data" if k == "data.sha256" else f"{k} {theirs.get(k)!r}, now {ours.get(k)!r}"
        for k in keys
        if theirs.get(k) != ours.get(k)
    ]
    if changed:
        raise InputError(f"{path.parent} holds another run ({'; '.join(changed)}); choose another folder with --out")


def flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one with dotted keys.

    >>> flat({"a": 1, "b": {"c": 2}})
    {'a': 1, 'b.c': 2}
    """
    result = {}
    for k, v in value.items():
        result |= flat(v, f"{prefix}{k}.") if isinstance(v, Mapping) else {f"{prefix}{k}": v}
    return result


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises
    ------
    InputError
        If it is missing or no JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise InputError(f"{path} cannot be read ({e}); it is missing or damaged") from e
    if not isinstance(value, dict):
        raise InputError(f"{path} holds no JSON object; it is damaged or another file")
    return value
