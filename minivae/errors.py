"""What a user is meant to read: one sentence, without a traceback; options in the words of shell or Python."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

AT_SHELL = {
    **{f"n_{name}": name for name in ("heldout", "subsets", "again", "receivers")},
    **{name: name for name in ("seeds", "trials", "folds", "min_user", "min_item")},
}
"""Arguments that are flags of the command line, and how those are called."""
_shell = False  # whether the reader of a message sits at a command line


@dataclass(frozen=True)
class Resumable:
    """Work that can be continued.

    Attributes
    ----------
    what : str
        What was kept, with its verb: "the checkpoint is".
    folder : Path
        Where.
    """

    what: str
    folder: Path


class UserError(Exception):
    """Something that the user can change.

    The message is one sentence that says what was wrong, where (file, row, column) and what to do about it. The
    command line prints it without a traceback and exits with status 2.

    Attributes
    ----------
    kept : Resumable | None
        What the work so far left, if it can be continued.
    """

    kept: Resumable | None = None


class InputError(UserError, ValueError):
    """Bad input from outside: a file, a table, an option.

    Examples
    --------
    >>> import minivae as mv
    >>> try:
    ...     mv.TrainConfig(keep=0)
    ... except InputError as error:
    ...     print(error)
    keep=0.0 is not possible; it must be in (0, 1]
    """


class WriteError(InputError):
    """A file could not be written: no space, no permission."""


class Diverged(UserError, ArithmeticError):
    """Training or a solution left the range of numbers: the input is fine, other settings are needed."""


class ProcessLost(UserError):
    """Another process of the run is gone, so this one cannot go on."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during work that can be continued.

    Parameters
    ----------
    kept : Resumable
        What the work so far left.
    """

    def __init__(self, kept: Resumable) -> None:
        super().__init__()
        self.kept = kept


@contextmanager
def at_shell() -> Iterator[None]:
    """Within it, messages name the flags of the command line in place of Python's arguments."""
    global _shell
    before, _shell = _shell, True
    try:
        yield
    finally:
        _shell = before


def option(name: str, value: object = None) -> str:
    """An option as the reader would type it.

    >>> option("min_rating", 4), option("header", False)
    ('min_rating=4', 'header=False')
    >>> with at_shell():
    ...     option("min_rating", 4), option("header", False), option("encoding")
    ('--min-rating 4', '--no-header', '--encoding')
    """
    if not _shell:
        return name if value is None else f"{name}={value!r}"
    flag = AT_SHELL.get(name, name).replace("_", "-")
    if isinstance(value, bool):
        return f"--{flag}" if value else f"--no-{flag}"
    return f"--{flag}" if value is None else f"--{flag} {value}"


def counted(n: int, noun: str) -> str:
    """A number with its noun, in the plural unless it is one.

    >>> counted(1, "field"), counted(1200, "user")
    ('1 field', '1,200 users')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def check_whole(least: int, most: int | None = None, /, **counts: Any) -> None:
    """Refuse what is no whole number of draws, users or bins of at least `least` and at most `most`.

    Raises
    ------
    InputError
        With the name and value of the first.

    Examples
    --------
    >>> check_whole(1, n_users=3)
    >>> try:
    ...     check_whole(1, n_users=2.5)
    ... except InputError as error:
    ...     print(error)
    n_users=2.5 is not possible; it must be a whole number, at least 1
    """
    for name, n in counts.items():
        if isinstance(n, bool) or not isinstance(n, Integral) or n < least or (most is not None and int(n) > most):
            shown = option(name, n) if name in AT_SHELL else f"{name}={n!r}"
            between = f", at least {least}" if most is None else f" from {least} to {most}"
            raise InputError(f"{shown} is not possible; it must be a whole number{between}")
