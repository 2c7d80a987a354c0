"""The one exception that a user is meant to read."""


class InputError(ValueError):
    """Bad input from outside: a file, a table, an option.

    The message is one sentence that says what was wrong, where (file, row, column) and what to do about it. The
    command line prints it without a traceback and exits with status 2.
    """


class Diverged(InputError):
    """Training or a solution left the range of numbers: the input is fine, other settings are needed."""
