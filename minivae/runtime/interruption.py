"""Ctrl-C, and the signals of a cluster that wants its machine back, without cutting an update in two."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from minivae.runtime.distributed import Team
from minivae.runtime.signals import handled_by


class Stop:
    """Whether the run was asked to end (by a signal), looked up between updates.

    Parameters
    ----------
    team : Team
        The answer is the same in all its processes, whichever of them got the signal.
    """

    def __init__(self, team: Team) -> None:
        self.team, self.asked, self.waits = team, False, True

    def __call__(self) -> bool:
        return self.team.any(self.asked)

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The signal handler: note the wish; where nothing would be cut in two, stop at once."""
        self.asked = True
        if not self.waits:
            raise KeyboardInterrupt

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """What follows changes nothing, so it may be broken off by `KeyboardInterrupt`, unless others wait for it."""
        if self.team.size > 1:
            yield
            return
        self.waits = False
        try:
            if self.asked:
                raise KeyboardInterrupt
            yield
        finally:
            self.waits = True


@contextmanager
def interruptible(team: Team) -> Iterator[Stop]:
    """Collect signals in a `Stop` instead of raising; outside the main thread Python cannot, and none arrive."""
    stop = Stop(team)
    with handled_by(stop.handle):
        yield stop
