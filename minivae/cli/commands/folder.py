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
