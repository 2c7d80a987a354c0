"""What one sees of long work: the lines of a log, word for word, with a clock by hand."""

import pytest

from minivae.runtime import progress
from minivae.runtime.progress import Event, duration, tracked


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 50.0

        def monotonic(self):
            return self.now

    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    monkeypatch.setattr(progress, "_display", progress._Display(lines=True))
    return made


def test_a_line_for_every_whole_step_with_the_time_that_is_left(clock, capsys):
    """10 seconds a step of 4: 30, 20, 10 and none are left; half steps have no line, a note always has one."""
    with progress.progress("fit", 4, "epoch") as show:
        for done in (0.5, 1, 1.5, 2, 3):
            clock.now = 50 + 10 * done
            show(done)
        clock.now = 100
        show(4, "nDCG 0.5")
    assert capsys.readouterr().err.splitlines() == [
        "fit: epoch 1 of 4, 30 s left at most",
        "fit: epoch 2 of 4, 20 s left at most",
        "fit: epoch 3 of 4, 10 s left at most",
        "fit: epoch 4 of 4, nDCG 0.5, 0 s left at most",
    ]


def test_a_resumed_run_counts_the_time_of_its_own_steps(clock, capsys):
    """Step 5 of 9 is where it begins: 8 seconds for one step leave 3 steps of 8 seconds."""
    board = progress.Board(progress.Progress(disable=True))
    board(Event("fit", 5, 9, "epoch"))
    clock.now += 8
    board(Event("fit", 6, 9, "epoch"))
    board(Event("fit", 5.5, 9, "epoch", note="half"))
    board(Event("fit", 9, 9, "epoch", ended=True))
    clock.now += 100
    board(Event("fit", 2, 9, "epoch", note="again"))  # another piece of work of that name begins anew
    assert capsys.readouterr().err.splitlines() == [
        "fit: epoch 6 of 9, 24 s left at most",
        "fit: epoch 5.5 of 9, half, 56 s left at most",
        "fit: epoch 2 of 9, again",
    ]


def test_events_go_to_the_receiver_and_not_to_the_screen(clock, capsys):
    seen = []
    progress.send_to(seen.append)
    assert list(tracked("abc", "read", 3, "file")) == ["a", "b", "c"]
    with progress.progress("other", 2, shown=False) as show:
        show(1)
    assert seen == [
        Event("read", 0, 3, "file"),
        *(Event("read", k, 3, "file") for k in (1, 2, 3)),
        Event("read", 3, 3, "file", ended=True),
    ]
    assert capsys.readouterr().err == ""


def test_work_that_fails_has_ended_too(clock):
    seen = []
    progress.send_to(seen.append)
    with pytest.raises(ZeroDivisionError), progress.progress("fit", 2) as show:
        show(1 / 0)
    assert [(e.done, e.total, e.unit, e.ended) for e in seen] == [(0, 2, "step", False), (2, 2, "step", True)]


def test_without_a_terminal_and_without_being_asked_nothing_is_said(clock, capsys):
    progress._display.lines = False
    with progress.progress("fit", 2) as show:
        show(1, "note")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *[(0, "0 s"), (0.123, "0.12 s"), (9.94, "9.9 s"), (10, "10 s"), (59.4, "59 s")],
        *[(60, "1.0 min"), (3599, "60.0 min"), (3600, "1.0 h"), (5400, "1.5 h")],
    ],
)
def test_durations_for_people(seconds, text):
    assert duration(seconds) == text
