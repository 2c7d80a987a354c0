"""`minivae per-user`."""

from pathlib import Path

from minivae.cli import flags
from minivae.errors import InputError
from minivae.runtime.frames import check_format, write_frames
from minivae.runtime.text import visible
from minivae.study.draws.per_user import per_user, studies_in


def per_user_metrics(options: flags.PerUser) -> None:
    """The metrics of every held-out user of finished studies, in one file.

    Raises
    ------
    InputError
        If no study is named, one is not finished, two have the same name, or the file cannot be written.
    """
    check_format(options.out)
    if not options.studies:
        raise InputError("no study is named; give the folder of a finished one")
    studies: list[Path] = [study for folder in options.studies for study in studies_in(folder)]
    names = [study.resolve().name for study in studies]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"two of the studies are called {twice!r}, so their rows could not be told apart; rename one")
    write_frames((block for study in studies for block in per_user(study)), options.out)
    print(visible(f"results: {options.out}"))
