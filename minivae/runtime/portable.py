"""Paths as results may keep them: a folder can be given to others, and says nothing of the machine it was made on."""

import os
from pathlib import Path


def portable(word: str) -> str:
    """An absolute path as seen from the folder in which the command runs; any other word as it is.

    Where that path would name the home of a person, only the last part is left.

    >>> portable("data/a.csv"), portable(str(Path.cwd() / "a.csv")), portable("/")
    ('data/a.csv', 'a.csv', '/')
    """
    path = Path(word)
    if not path.is_absolute() or not path.name or not path.parent.name or not path.parent.exists():
        return word  # a label or a separator may begin with a slash too
    home = Path.home()
    if path.is_relative_to(home) and not Path.cwd().is_relative_to(home):
        return path.name
    try:
        return Path(os.path.relpath(path)).as_posix()
    except ValueError:  # on another drive of Windows
        return path.name


def seen_from(folder: Path, path: Path) -> str:
    """Where something lies, as a path from a folder: nothing in it names this machine, and both can move together."""
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:  # on another drive of Windows
        return path.name


def place(word: object, folder: Path) -> str:
    """A word of the command line as a note in `folder` keeps it: `seen_from` there if it is a path to something."""
    path = Path(str(word))
    return seen_from(folder, path) if str(word) and path.exists() else str(word)


def same_place(stated: str, now: str, folder: Path) -> bool:
    """Whether a note in `folder` means by `stated` what is now, as seen from there, `now`.

    An older note has the path as it was typed, absolute or from the folder of the command. Where nothing is left under
    any of these paths, the thing was moved: then its name decides.
    """
    if not stated or not now:
        return stated == now
    left = [path for path in (folder / stated, Path(stated)) if path.exists()]
    if not left:
        return Path(stated).name == Path(now).name
    return stated == now or any(path.resolve() == (folder.resolve() / now).resolve() for path in left)
