"""What one sees of long work: bars on a terminal, lines in a log if the program asks for them, nothing elsewhere."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from minivae.runtime.text import PlainConsole, visible

T = TypeVar("T")
Show = Callable[..., None]
"""show(done, note=""): how much of the work is done, and what the last whole step gave."""


@dataclass(frozen=True)
class Event:
    """How far one piece of work is.

    Attributes
    ----------
    label : str
        Of the work.
    done, total : float
        In units.
    unit : str
        What is counted, "epoch" for instance.
    note : str
        What the last whole step gave.
    ended : bool
        Whether nothing more will come.
    """

    label: str
    done: float
    total: float
    unit: str
    note: str = ""
    ended: bool = False


@dataclass
class _Display:
    """How this process shows progress: `lines` without a terminal, or to `receiver` in place of the screen."""

    lines: bool = False
    receiver: Callable[[Event], None] | None = None


_display = _Display()


def use_lines() -> None:
    """From now on, without a terminal, write a line to standard error for every whole step."""
    _display.lines = True


def send_to(receiver: Callable[[Event], None]) -> None:
    """From now on hand every event to `receiver`: this process has no screen of its own."""
    _display.receiver = receiver


@dataclass
class Board:
    """All work in progress: a bar for each on a terminal, else lines.

    Attributes
    ----------
    bars : Progress
        Silent without a terminal.
    """

    bars: Progress
    _tasks: dict[str, TaskID] = field(default_factory=dict)
    _first: dict[str, tuple[float, float]] = field(default_factory=dict)

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if not self.bars.disable:
            self._bar(event)
        elif _display.lines:
            self._line(event)

    def _bar(self, event: Event) -> None:
        if event.ended:
            if (task := self._tasks.pop(event.label, None)) is not None:
                self.bars.remove_task(task)
            return
        if event.label not in self._tasks:
            self._tasks[event.label] = self.bars.add_task(visible(event.label))
        self.bars.update(self._tasks[event.label], completed=event.done, total=event.total)

    def _line(self, event: Event) -> None:
        now = time.monotonic()
        began, start = self._first.setdefault(event.label, (now, event.done))
        if event.ended:
            del self._first[event.label]
        elif event.note or (event.done > start and event.done == int(event.done)):
            pace = (now - began) / (event.done - start) if event.done > start else 0.0
            left = f", {duration(pace * (event.total - event.done))} left at most" if pace else ""
            note = f", {event.note}" if event.note else ""
            text = f"{event.label}: {event.unit} {event.done:g} of {event.total:g}{note}{left}"
            print(visible(text), file=sys.stderr)

    def say(self, text: str) -> None:
        """A line above the bars, or in the log."""
        if not self.bars.disable:
            self.bars.console.print(text, highlight=False)
        elif _display.lines:
            print(visible(text), file=sys.stderr)


@contextmanager
def board(shown: bool = True) -> Iterator[Board]:
    """A board on standard error; with `shown` False one that stays empty."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    watched = shown and sys.stderr.isatty()
    with Progress(*columns, console=PlainConsole(stderr=True), transient=True, disable=not watched) as bars:
        yield Board(bars)


@contextmanager
def progress(label: str, total: float, unit: str = "step", shown: bool = True) -> Iterator[Show]:
    """Show one piece of work of `total` units; the work calls what it is given.

    Parameters
    ----------
    label : str
        Of the work.
    total : float
        Its units.
    unit : str, default 'step'
        What is counted.
    shown : bool, default True
        False for a process whose work another one shows.
    """
    with board(shown and _display.receiver is None) as own:
        receive: Callable[[Event], None] = _display.receiver or own
        receive = receive if shown else lambda event: None
        receive(Event(label, 0, total, unit))
        try:
            yield lambda done, note="": receive(Event(label, done, total, unit, note))
        finally:
            receive(Event(label, total, total, unit, ended=True))


def tracked(items: Iterable[T], label: str, total: int, unit: str = "step") -> Iterator[T]:
    """The items one after the other, shown as they go."""
    with progress(label, total, unit) as show:
        for k, item in enumerate(items, 1):
            yield item
            show(k)


def duration(seconds: float) -> str:
    """Seconds for people.

    >>> duration(0.5), duration(90), duration(7200)
    ('0.5 s', '1.5 min', '2.0 h')
    """
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
