"""The state of a run by itself: its means, its clock, its best epoch, and when it is written, with a clock by hand."""

import json
import math

import pytest
import torch
from torch import nn

from minivae import InputError
from minivae.runtime import checkpoint
from minivae.runtime.checkpoint import (
    NAME,
    Checkpoint,
    Saving,
    keep_previous,
    previous,
    remove_checkpoints,
    saved_state,
)
from minivae.runtime.checkpoint_schema import Position, check_arrays, read_progress
from minivae.runtime.distributed import Team

IDENTITY = {"config": {"lr": 0.1, "keep": 0.5}, "data": "abc"}


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self):
        self.now = 100.0

    def perf_counter(self):
        return self.now

    monotonic = perf_counter


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(checkpoint, "time", clock)
    return clock


def state_of(value=0.0, identity=IDENTITY, steps=1):
    model = nn.Linear(2, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.5)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.ones(3, 2)).sum().backward()
        optimizer.step()
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(value)
    return Checkpoint(model, optimizer, identity)


def fill(state, value):
    with torch.no_grad():
        for p in state.model.parameters():
            p.fill_(value)


def values(state):
    return {float(v) for p in state.model.parameters() for v in p.detach().flatten()}


# ------------------------------------------------------------------------------------------------------- one epoch


def test_means_are_over_the_users_of_the_updates_that_have_the_term():
    """Terms 4 of 3 users and 8 of 1 user: mean (12 + 8) / 4; a term of the second update alone is its own mean."""
    state = state_of()
    state.add({"loss": torch.tensor(4.0)}, 3)
    state.add({"loss": torch.tensor(8.0), "kl": torch.tensor(2.0)}, 1)
    assert state.means() == {"loss": 5.0, "kl": 2.0}
    assert state.position == (0, 2)


def test_an_epoch_leaves_nothing_to_the_next(clock):
    """7 seconds of updates and 2 of validation, then 3 and 1: each epoch has its own, to the millisecond."""
    state = state_of()
    clock.now += 7
    state.add({"loss": torch.tensor(1.0)}, 2)
    clock.now += 2.00049
    state.close_epoch({"loss": 1.0}, 0.25, 5)
    assert state.log == [{"epoch": 1, "updates": 5, "loss": 1.0, "validation": 0.25, "seconds": 9.0}]
    assert (state.position, state.means(), state.seconds) == ((1, 0), {}, 0)
    clock.now += 3
    state.add({"loss": torch.tensor(7.0)}, 1)
    clock.now += 1
    assert state.means() == {"loss": 7.0}
    state.close_epoch(state.means(), 0.5, 6)
    assert state.log[1] == {"epoch": 2, "updates": 6, "loss": 7.0, "validation": 0.5, "seconds": 4.0}


def test_the_best_epoch_is_the_first_of_the_highest_score():
    state = state_of()
    for epoch, score in enumerate((0.2, 0.5, 0.3, 0.5), start=1):
        fill(state, epoch)
        state.close_epoch({}, score, epoch)
    assert (state.best_epoch, state.best_score) == (2, 0.5)
    assert values(state) == {4}
    state.restore_best()
    assert values(state) == {2}
    fill(state, 9)  # the best parameters are a copy
    state.restore_best()
    assert values(state) == {2}


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_is_not_sound(bad):
    state = state_of()
    assert state.sound()
    state.add({"loss": torch.tensor(bad)}, 1)
    assert not state.sound()
    other = state_of()
    with torch.no_grad():
        other.model.weight[0, 1] = bad
    assert not other.sound()


# -------------------------------------------------------------------------------------------------- written and read


def run(clock):
    """Two epochs and one update of the third, which took 5 seconds."""
    state = state_of()
    for epoch, score in ((1, 0.5), (2, 0.25)):
        fill(state, epoch)
        state.close_epoch({"loss": 1.0}, score, epoch)
    fill(state, 3)
    clock.now += 5
    state.add({"loss": torch.tensor(4.0)}, 3)
    return state


def test_what_is_read_is_what_was_written(clock, tmp_path):
    before, after = run(clock), state_of(value=8, steps=3)
    before.save(tmp_path / NAME)
    clock.now += 1000  # between two processes: nobody's time
    after.load(tmp_path / NAME, updates=4)
    assert (after.position, after.seconds, after.means()) == ((2, 1), 5.0, {"loss": 4.0})
    assert (after.best_epoch, after.best_score, after.log) == (1, 0.5, before.log)
    assert after.source == tmp_path / NAME
    assert values(after) == {3}
    for p, q in zip(before.model.parameters(), after.model.parameters(), strict=True):
        mine, theirs = before.optimizer.state[p], after.optimizer.state[q]
        assert mine.keys() == theirs.keys() == {"step", "exp_avg", "exp_avg_sq"}
        assert all(torch.equal(mine[k], theirs[k]) for k in mine)
    clock.now += 2
    after.close_epoch({}, 0.1, 3)
    assert after.log[-1]["seconds"] == 7.0
    after.restore_best()
    assert values(after) == {1}


def test_the_time_of_writing_is_nobodys(clock, tmp_path, monkeypatch):
    state = run(clock)
    real = checkpoint.save_arrays
    monkeypatch.setattr(checkpoint, "save_arrays", lambda *a: (setattr(clock, "now", clock.now + 60), real(*a)))
    clock.now += 1
    state.save(tmp_path / NAME)
    clock.now += 2
    state.close_epoch({}, 0.1, 3)
    assert state.log[-1]["seconds"] == 8.0


def test_of_two_checkpoints_the_newest_that_can_be_read(clock, tmp_path):
    """And a damaged one is named: in a warning where there is another, else in the error."""
    path = tmp_path / NAME
    assert not saved_state(path)
    state = run(clock)
    state.save(path)
    assert saved_state(path)
    keep_previous(path)
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.previous.safetensors"]
    assert saved_state(path)
    only = state_of()
    only.load(path, 4)  # a kill between the two
    assert only.source == previous(path)
    state.add({"loss": torch.tensor(4.0)}, 3)
    state.save(path)
    newest = state_of()
    newest.load(path, 4)
    assert (newest.position, newest.source) == ((2, 2), path)
    path.write_bytes(path.read_bytes()[:-1])
    earlier = state_of()
    with pytest.warns(UserWarning, match=rf"{NAME} .*; the run goes on from the checkpoint before it"):
        earlier.load(path, 4)
    assert (earlier.position, earlier.source) == ((2, 1), previous(path))
    previous(path).unlink()
    with pytest.raises(InputError, match=rf"/{NAME} "):
        earlier.load(path, 4)
    keep_previous(path)
    state.save(path)
    remove_checkpoints(tmp_path)
    assert list(tmp_path.iterdir()) == []
    remove_checkpoints(tmp_path)  # nothing to remove is no error


@pytest.mark.parametrize(
    ("theirs", "sentence"),
    [
        ({"config": {"lr": 0.2, "keep": 0.5}, "data": "abc"}, r"another run, with lr=0.2 \(now 0.1\); resume with"),
        ({"config": {"lr": 0.2, "keep": 1}, "data": "abc"}, r"with keep=1 \(now 0.5\), lr=0.2 \(now 0.1\); resume"),
        ({"config": {"lr": 0.2, "keep": 0.5}, "data": "x"}, "belongs to a run on other data; resume with"),
        (IDENTITY | {"code": 2}, r"another run, with code=2 \(now None\); resume with"),
        ([], "belongs to another run; resume with"),
    ],
)
def test_another_run_is_named(tmp_path, theirs, sentence):
    state_of(identity=theirs).save(tmp_path / NAME)
    mine = state_of(value=8)
    with pytest.raises(InputError, match=sentence):
        mine.load(tmp_path / NAME, 4)
    assert values(mine) == {8}


# --------------------------------------------------------------------------------------------------- when it is written


class Written(Checkpoint):
    """A state that takes some seconds to be written, and remembers when."""

    takes = 0.0

    def save(self, path):
        self.at = [*getattr(self, "at", []), checkpoint.time.now]
        super().save(path)
        checkpoint.time.now += self.takes


def saving(tmp_path, takes=0.0, team=None):
    state = state_of()
    state.__class__ = Written
    state.takes, state.at = takes, []
    return state, Saving(state, tmp_path / NAME, team)


@pytest.mark.parametrize(("takes", "pause"), [(0.0, 30), (1.0, 30), (1.5, 30), (2.0, 40), (60.0, 1200)])
def test_a_checkpoint_every_thirty_seconds_or_a_twentieth_of_the_time(clock, tmp_path, takes, pause):
    """Between two updates: not before it is due, and from then on."""
    state, kept = saving(tmp_path, takes)
    due = clock.now + 30
    for _ in range(3):
        before = list(state.at)
        clock.now = due - 0.01
        state.add({}, 1)  # there is something new to write
        kept.if_due()
        assert state.at == before
        clock.now = due
        kept.if_due()
        assert state.at[-1] == due
        due += takes + pause


def test_after_the_first_epoch_at_once_and_then_when_it_is_due(clock, tmp_path):
    state, kept = saving(tmp_path)
    for epoch in range(1, 5):
        clock.now += 20
        state.close_epoch({}, 0.1, epoch)
        kept.epoch_closed()
        lines = [json.loads(line)["epoch"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
        assert lines == list(range(1, epoch + 1))
    assert state.at == [120, 160]  # 140 is 20 seconds after the first, 180 after the second
    assert kept.saved == (3, 0)
    kept.now()
    kept.now()  # a second time there is nothing new
    assert state.at == [120, 160, 180]
    assert {p.name for p in tmp_path.iterdir()} == {NAME, previous(tmp_path / NAME).name, "log.jsonl"}


def test_a_state_that_is_not_sound_is_not_written_and_the_one_before_stays(clock, tmp_path):
    state, kept = saving(tmp_path)
    kept.now()
    before = (tmp_path / NAME).read_bytes()
    state.add({"loss": torch.tensor(math.nan)}, 1)
    kept.now()
    assert (tmp_path / NAME).read_bytes() == before
    assert not previous(tmp_path / NAME).exists()


def test_a_run_that_goes_on_is_not_written_again_before_it_has_moved(clock, tmp_path):
    """What lay there, which it was read from, becomes the one before; what was read as the one before stays that."""
    run(clock).save(tmp_path / NAME)
    for lies_at in (tmp_path / NAME, previous(tmp_path / NAME)):
        if lies_at != tmp_path / NAME:
            (tmp_path / NAME).replace(lies_at)
        state = state_of()
        state.load(tmp_path / NAME, 4)
        kept = Saving(state, tmp_path / NAME)
        assert kept.saved == ((2, 1) if lies_at == tmp_path / NAME else None)
    source = previous(tmp_path / NAME).read_bytes()
    kept.now()
    assert (tmp_path / NAME).exists()
    assert previous(tmp_path / NAME).read_bytes() == source


def test_nothing_is_written_without_a_folder_or_by_another_than_the_first(clock, tmp_path, monkeypatch):
    monkeypatch.setattr(Team, "any", lambda self, flag: True)
    monkeypatch.setattr(Team, "wait_for_all", lambda self: None)
    for path, team in ((None, Team()), (tmp_path / NAME, Team(1, 2))):
        state = state_of()
        kept = Saving(state, path, team)
        clock.now += 100
        state.close_epoch({}, 0.1, 1)
        for write in (kept.if_due, kept.epoch_closed, kept.now):
            write()
        assert list(tmp_path.iterdir()) == []


# -------------------------------------------------------------------------------------------------- what it may hold


LOG = [{"epoch": 1, "validation": 0.5, "seconds": 1.0}, {"epoch": 2, "validation": 0.25, "seconds": 1.0}]
POSITION = {"epoch": 2, "batches": 4, "seconds": 1.0, "best_epoch": 1, "best_score": 0.5, "_users": {}}


def read(position=POSITION, log=LOG):
    return read_progress({"position": json.dumps(position), "log": json.dumps(log)}, 4)


def test_progress_at_its_borders():
    position, log = read()
    assert (position.epoch, position.batches, position.best_epoch, position.best_score) == (2, 4, 1, 0.5)
    assert log == LOG
    assert read(POSITION | {"best_epoch": 2, "best_score": 0.25})[0].best_epoch == 2
    start = {"epoch": 0, "batches": 0, "seconds": 0, "best_epoch": 0, "best_score": -math.inf, "_users": {}}
    assert read(start, [])[1] == []
    for wrong, sentence in (
        ({"batches": 5}, "its position is update 5 of 4 after 1.0 s"),
        ({"epoch": 1}, "not one line for each of its 1 epochs"),
        ({"best_epoch": 2}, "its best epoch 2 is not in its log with that score"),
        ({"best_epoch": 3, "best_score": -math.inf}, "its best epoch 3 is not in its log"),
        ({"best_epoch": 0}, "its best epoch 0 is not in its log"),
        ({"seconds": math.inf}, "its position is update 4 of 4 after inf s"),
    ):
        with pytest.raises(ValueError, match=sentence):
            read(POSITION | wrong)
    for name in ("validation", "seconds"):
        with pytest.raises(ValueError, match="its log holds a value that is not finite in epoch 2"):
            read(log=[LOG[0], LOG[1] | {name: math.nan}])


def arrays_of(clock, tmp_path):
    run(clock).save(tmp_path / NAME)
    _, arrays, meta = checkpoint._load(tmp_path / NAME)
    return arrays, read_progress(meta, 4)[0]


def test_every_array_is_needed_and_no_other_and_of_its_shape_and_range(clock, tmp_path):
    arrays, position = arrays_of(clock, tmp_path)
    model = nn.Linear(2, 1)
    assert isinstance(position, Position)
    check_arrays(arrays, model, position)
    kinds = {"model", "best", "sums", "adam"}
    assert {name.partition("/")[0] for name in arrays} == kinds
    for name, a in arrays.items():
        with pytest.raises(ValueError, match=f"^{name} is missing$"):
            check_arrays({k: v for k, v in arrays.items() if k != name}, model, position)
        with pytest.raises(ValueError, match=rf"^{name} has shape .*2.* instead of "):
            check_arrays(arrays | {name: a[..., None].repeat(2, -1)}, model, position)
        with pytest.raises(TypeError, match=rf"^{name} holds int64 instead of "):
            check_arrays(arrays | {name: a.astype("int64")}, model, position)
        one = a.copy()
        one.flat[0] = math.nan
        with pytest.raises(ValueError, match=f"^{name} holds a value that is not finite$"):
            check_arrays(arrays | {name: one}, model, position)
        if "exp_avg_sq" in name or "step" in name:
            one.flat[0] = -1e-9
            with pytest.raises(ValueError, match=f"^{name} holds a negative value$"):
                check_arrays(arrays | {name: one}, model, position)
            check_arrays(arrays | {name: 0 * a}, model, position)
    check_arrays(arrays | {"model/weight": -arrays["model/weight"]}, model, position)
    with pytest.raises(ValueError, match=r"^model/more is not part of it$"):
        check_arrays(arrays | {"model/more": arrays["model/bias"]}, model, position)
    no_moments = {k: v for k, v in arrays.items() if not k.startswith("adam/")}
    check_arrays(no_moments, model, position)  # before the first update
