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
