"""Run folders: one folder holds one thing, says what it is, and is never mixed with another."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from minivae.errors import InputError
from minivae.runtime.storage import UNFINISHED, write_json

try:
    import fcntl
except ImportError:  # Windows: two runs in one folder are not noticed there
    fcntl = None

LOCK = ".lock"


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Keep `folder` to this process.

    The lock belongs to the process, not to the file `.lock`: whoever is killed holds nothing. A file system without
    locks is used without.

    Raises
    ------
    InputError
        If another process works there, or nothing can be written there.
    """
    refuse_file(folder)
    new = not folder.exists()
    handle = _lock(folder)
    try:
        yield
    finally:
        with suppress(OSError):
            (folder / LOCK).unlink()  # while it is still ours
        os.close(handle)
        if new:
            with suppress(OSError):
                folder.rmdir()  # if nothing came of it


def _lock(folder: Path) -> int:
    """The open and locked lock file."""
    path = folder / LOCK
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as e:
            raise InputError(f"cannot write {folder}: {e.strerror}; choose another folder with --out") from e
        try:
            if fcntl is not None:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            os.close(handle)
            raise InputError(
                f"another run is at work in {folder}; wait for its end or choose another folder with --out"
            ) from e
        except OSError:  # no locks here
            return handle
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        os.close(handle)  # its owner has removed it in the meantime


def refuse_file(folder: Path) -> None:
    """Raise `InputError` if `folder` is a file."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; choose another folder with --out")


def claim(
    folder: Path, note: str, identity: Mapping[str, Any], resume: bool, may_change: frozenset[str] = frozenset()
) -> None:
    """Make `folder` the place of the run that `identity` describes, kept in the JSON file `note`.

    What a killed run left half-written there is removed, so `hold` the folder first.

    Parameters
    ----------
    resume : bool
        Continue what the folder holds; without it the folder must be new or empty.
    may_change : frozenset[str], default frozenset()
        Dotted keys of `identity` in which a continued run may differ.

    Raises
    ------
    InputError
        If the folder holds something else, or the same and `resume` is False, or cannot be written.
    """
    refuse_file(folder)
    left = {folder / LOCK, *(f for pattern in UNFINISHED for f in folder.glob(pattern))}  # of a run that was killed
    if folder.is_dir() and set(folder.iterdir()) - left:
        path = folder / note
        if not path.is_file():
            raise InputError(f"{folder} holds something else (no {note} in it); choose another folder with --out")
        if not resume:
            raise InputError(f"{folder} already holds a run; add --resume to continue it or choose another --out")
        refuse_other(path, identity, may_change)
    for unfinished in [f for pattern in UNFINISHED for f in folder.rglob(pattern)]:
        unfinished.unlink()
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
