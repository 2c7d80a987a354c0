"""What a user is meant to read: one sentence, without a traceback."""

from dataclasses import dataclass
from pathlib import Path


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
    """Bad input from outside: a file, a table, an option."""


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
