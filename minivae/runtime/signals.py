"""Signals that ask a program to end: Ctrl-C, a closed terminal, a cluster that wants its machine back."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from minivae.errors import ProcessLost

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGBREAK")
"""SIGUSR1 is the warning that Slurm and others can be asked for; SIGBREAK is Windows'."""


def endings() -> list[signal.Signals]:
    """Those of this system; SIGHUP only where it is not ignored, as under `nohup`."""
    known = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
    return [s for s in known if s.name != "SIGHUP" or signal.getsignal(s) is not signal.SIG_IGN]


@contextmanager
def handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Give all of them one handler; in the main thread alone, since others cannot."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in endings()}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Do what Ctrl-C does, so that the program says how it ended.

    Where the program is ending already and about to say what it has kept, one more signal changes nothing: a cluster
    asks every process and torchrun asks its own once more, and the second must not take the sentence away.
    """
    ending = sys.exc_info()[1]
    if not isinstance(ending, KeyboardInterrupt | ProcessLost) and getattr(ending, "kept", None) is None:
        raise KeyboardInterrupt


def ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing: the program is about to end, and says so."""
