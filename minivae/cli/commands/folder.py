"""A command and its folder: what is left there when the command is cut off."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minivae.errors import Interrupted, ProcessLost, Resumable, WriteError


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
