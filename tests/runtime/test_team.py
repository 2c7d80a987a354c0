"""What several processes share, seen from one of them, without starting any; and what two descriptions of a run say."""

import json

import msgspec
import pytest
import torch

from minivae import InputError
from minivae.runtime import distributed, records
from minivae.runtime.distributed import Team
from minivae.runtime.records import CHECKSUM, Record, checksum, differing, flat, read_record, write_record


@pytest.mark.parametrize("n", range(1, 8))
@pytest.mark.parametrize("size", range(1, 5))
def test_every_user_of_a_batch_is_one_process_s_and_shares_are_of_the_batch(n, size):
    """In order, as evenly as possible; who has none looks at the first with a share of nothing."""
    users = torch.arange(10, 10 + n)
    parts = [Team(rank, size).rows(users) for rank in range(size)]
    busy = [(mine.tolist(), share) for mine, share in parts if share]
    assert [u for mine, _ in busy for u in mine] == users.tolist()
    assert [share for _, share in busy] == pytest.approx([len(mine) / n for mine, _ in busy])
    assert max(len(mine) for mine, _ in busy) - min(len(mine) for mine, _ in busy) <= 1
    assert [mine.tolist() for mine, share in parts if not share] == [[10]] * max(0, size - n)
    assert [Team(rank, size).first for rank in range(size)] == [True] + [False] * (size - 1)


def test_gpus_are_not_shared(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    cuda = torch.device
    for here, device, sentence in (
        ("3", cuda("cuda"), "3 processes cannot share 2 GPUs"),
        ("2", cuda("cuda:0"), r"device='cuda:0' would be one GPU for all processes; say cuda"),
        ("2", cuda("cuda"), None),
        ("2", cuda("cuda:1"), None),
        ("3", cuda("cpu"), None),
    ):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", here)
        Team().require_devices(device)
        if sentence is None:
            Team(0, 2).require_devices(device)
        else:
            with pytest.raises(InputError, match=sentence):
                Team(0, 2).require_devices(device)


@pytest.mark.parametrize(
    ("variables", "many", "command"),
    [
        ({}, False, "minivae"),
        ({"WORLD_SIZE": "1"}, False, "minivae"),
        ({"WORLD_SIZE": "x"}, False, "minivae"),
        ({"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}, True, "torchrun --nproc-per-node 2 -m minivae"),
        (
            {"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"},
            True,
            "torchrun --nnodes … --rdzv-endpoint … --nproc-per-node 2 -m minivae",
        ),
    ],
)
def test_how_the_program_was_started(monkeypatch, variables, many, command):
    for name in distributed.LAUNCHER:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert distributed.launched() is many
    assert " ".join(distributed.command()) == command
    if not many:
        assert distributed.first_to_report()
        return
    for rank in ("0", "1"):  # nobody keeps a store: the first process reports
        monkeypatch.setenv("RANK", rank)
        assert distributed.first_to_report() is (rank == "0")
    with (
        pytest.raises(InputError, match=r"is set but LOCAL_RANK, .*MASTER_ADDR, MASTER_PORT is not"),
        distributed.joined(),
    ):
        pass


# ------------------------------------------------------------------------------------------------------------- records


class Level(Record, frozen=True):
    mean: float
    n: int = msgspec.field(name="of users")


def test_a_record_is_what_was_written_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "r.json"
    write_record(path, Level(0.5, 3))
    content = json.loads(path.read_text())
    assert content == {"mean": 0.5, "of users": 3, CHECKSUM: checksum({"of users": 3, "mean": 0.5})}
    assert read_record(path) == {"mean": 0.5, "of users": 3}
    assert read_record(path, Level) == Level(0.5, 3)
    for change, sentence in (
        (content | {"mean": 0.6}, "has been changed since minivae wrote it"),
        ({"mean": 0.5}, "has no checksum"),
        ([1], "holds no JSON object"),
    ):
        path.write_text(json.dumps(change))
        with pytest.raises(InputError, match=sentence):
            read_record(path)
    write_record(path, {"mean": "x", "of users": 3})
    with pytest.raises(InputError, match="does not hold what minivae writes there"):
        read_record(path, Level)
    monkeypatch.setattr(records, "LARGEST_RECORD", path.stat().st_size)
    assert read_record(path)["mean"] == "x"
    monkeypatch.setattr(records, "LARGEST_RECORD", path.stat().st_size - 1)
    with pytest.raises(InputError, match=rf"cannot be read \(it has {path.stat().st_size} bytes\)"):
        read_record(path)


def test_where_two_descriptions_differ():
    defaults = {"config": {"keep": 0.5, "seed": 0}}
    theirs = {"config": {"lr": 1, "keep": 0.5}, "data": "a"}
    ours = {"config": {"lr": 2, "seed": 1}, "data": "a"}
    assert flat(theirs) == {"config.lr": 1, "config.keep": 0.5, "data": "a"}
    assert differing(theirs, ours, defaults) == {"config.lr": (1, 2), "config.seed": (0, 1)}
    assert differing(ours, theirs, defaults) == {"config.lr": (2, 1), "config.seed": (1, 0)}
    assert differing(theirs, ours, {}) == {
        "config.keep": (0.5, None),
        "config.lr": (1, 2),
        "config.seed": (None, 1),
    }
