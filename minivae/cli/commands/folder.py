"""A command and its folder: kept to one process, and what is left there when the command is cut off."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from minivae.cli import flags
from minivae.errors import Interrupted, ProcessLost, Resumable, WriteError
from minivae.study.run import folders


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


def held(command: Callable[[Any], None]) -> Callable[[Any], None]:
    """The command, with its --out, if there is one, kept to this process."""

    def run(options: flags.Theory | flags.Combine | flags.Explain) -> None:
        with folders.hold(options.out) if options.out is not None else nullcontext():
            command(options)

    return run
