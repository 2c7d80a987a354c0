"""A command and its files: what is left when the command is cut off, and what a result must not take the place of."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minivae.errors import InputError, Interrupted, ProcessLost, Resumable, WriteError

READ_AGAIN = ("config.json", "metrics.json", "results.json", "study.json", "search.json", "theory.json", "explain.json")


def refuse_to_replace(flag: str, out: Path, *inputs: object) -> None:
    """Raise `InputError` if a result would take the place of a file that it is made from, or of a note of a run.

    Parameters
    ----------
    out : Path
        Where the result is to go.
    inputs : object
        What was named beside it: paths, names of data, None.
    """
    if not out.is_file():
        return
    for path in (Path(str(given)) for given in inputs if given is not None):
        if path.is_file() and out.samefile(path):
            raise InputError(f"{flag} {out} is a file that the result is made from; choose another name")
    if out.name in READ_AGAIN:
        raise InputError(f"{flag} {out} is there already, and minivae reads files of this name again; choose another")


@contextmanager
def resumable(what: str, folder: Path) -> Iterator[None]:
    """Let the end of what follows say that it can be continued, if it is none of bad input."""

    def kept() -> Resumable:
        """What lies there now: a full disk can end a run before its first checkpoint."""
        some = any(
            next(folder.rglob(name), None) for name in ("checkpoint*.safetensors", "metrics.json", "sums.safetensors")
        )
        return Resumable(what if some else "nothing is finished yet", folder)

    try:
        yield
    except KeyboardInterrupt as e:
        raise Interrupted(kept()) from e
    except (ProcessLost, WriteError) as e:
        e.kept = kept()
        raise


@contextmanager
def leaving(folder: Path | None) -> Iterator[None]:
    """Let the end of what follows say which files it has left in its folder, if there are any."""
    before = _times(folder)
    try:
        yield
    except Interrupted:
        raise
    except KeyboardInterrupt as e:
        new = sorted(name for name, time in _times(folder).items() if before.get(name) != time)
        if folder is None or not new:
            raise
        more = f" and {len(new) - 3} more files" if len(new) > 3 else ""
        verb = "is" if len(new) == 1 else "are"
        raise Interrupted(Resumable(f"{', '.join(new[:3])}{more} {verb}", folder)) from e


def _times(folder: Path | None) -> dict[str, int]:
    """When each file of a folder was written; the lock is none of its results."""
    if folder is None or not folder.is_dir():
        return {}
    return {p.name: p.stat().st_mtime_ns for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")}
