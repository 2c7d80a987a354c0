"""How much memory may be taken: sizes as people write them, the smallest of three limits, and sentences by hand."""

import resource
import sys
from pathlib import Path

import pytest
import torch

from minivae import InputError
from minivae.runtime import limits, memory


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0.5", 0),  # of a byte there is no half
        ("1", 1),
        ("800M", 800_000_000),
        ("1.5 gb", 1_500_000_000),
        (" 2T ", 2 * 10**12),
        ("3k", 3000),
        ("7B", 7),
    ],
)
def test_sizes_as_people_write_them(text, size):
    assert limits.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "0.0M", "-1", "1P", "1 2", "1e9", "M", "1MM", "1" * 13, "٣"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(InputError, match=r"is not possible; write a number of bytes, for instance 800M or 4G"):
        limits.parse_size(text)


def test_what_was_set_counts_and_else_four_fifths_of_the_smallest_limit(monkeypatch):
    monkeypatch.delenv(limits.VARIABLE, raising=False)
    for sizes in ((1000, 2000, 3000), (3000, 1000, 2000), (2000, 3000, 1000)):
        for name, size in zip(("_physical", "_of_process", "_of_group"), sizes, strict=True):
            monkeypatch.setattr(limits, name, lambda size=size: size)
        assert limits.allowed_memory() == 800
    limits.limit_memory(None)
    assert limits.allowed_memory() == 800
    monkeypatch.setenv(limits.VARIABLE, "1")  # so that it is put back afterwards
    limits.limit_memory("5k")
    assert limits.allowed_memory() == 5000


def test_where_the_limits_are_read(monkeypatch):
    """Free memory in kB of 1,024 bytes; a container's limit in either place, "max" for none."""
    files = {}

    def read_text(self, encoding):
        if self.as_posix() not in files:
            raise FileNotFoundError
        return files[self.as_posix()]

    monkeypatch.setattr(Path, "read_text", read_text)
    assert limits._physical() == 8 * 10**9
    files["/proc/meminfo"] = "MemTotal: 9 kB\nMemAvailable:   5 kB\nMemFree: 2 kB\n"
    assert limits._physical() == 5 * 1024
    assert limits._of_group() == sys.maxsize
    files["/sys/fs/cgroup/memory/memory.limit_in_bytes"] = "700\n"
    assert limits._of_group() == 700
    files["/sys/fs/cgroup/memory.max"] = "max\n"
    assert limits._of_group() == 700
    files["/sys/fs/cgroup/memory.max"] = "600\n"
    assert limits._of_group() == 600
    for soft, found in ((12345, 12345), (resource.RLIM_INFINITY, sys.maxsize)):
        monkeypatch.setattr(resource, "getrlimit", lambda which, soft=soft: (soft, 99) if which == 9 else (1, 1))
        assert resource.RLIMIT_AS == 9
        assert limits._of_process() == found


def test_what_unpacks_to_too_much_is_refused(monkeypatch):
    """An eighth of 800 bytes may be held; beyond 200 times its size, and a quarter of a gigabyte, it is no table."""
    path = Path("t.gz")
    monkeypatch.setattr(limits, "allowed_memory", lambda: 800)
    assert limits.read_limited([b"a" * 60, b"b" * 40], path, 1) == b"a" * 60 + b"b" * 40
    with pytest.raises(InputError, match=r"t\.gz is too large .* takes over 101 bytes, and 100 can be held; if it is"):
        limits.read_limited([b"a" * 60, b"b" * 41], path, 1)
    monkeypatch.setattr(limits, "allowed_memory", lambda: 1 << 40)
    monkeypatch.setattr(limits, "LEAST", 1000)
    assert len(limits.read_limited([b"a" * 500] * 2, path, 1)) == 1000
    assert len(limits.read_limited([b"a" * 500] * 4, path, 10)) == 2000
    for pieces, packed in ((3, 1), (5, 10)):
        with pytest.raises(InputError, match=rf"unpacks to over 200 times its {packed} bytes, as no ordinary table"):
            limits.read_limited([b"a" * 500] * pieces, path, packed)
    assert limits.LEAST == 1000
    assert (limits.SHARE, limits.COPIES, limits.RATIO) == (0.8, 8, 200)


# -------------------------------------------------------------------------------------------- what was taken, or lacks


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (MemoryError("Unable to allocate 7.45 GiB for an array"), " for 7.45 GiB more"),
        (MemoryError(), ""),
        (RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB."), " for 20.00 MiB more"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: tried to allocate 80 bytes"), " for 80 bytes more"),
    ],
)
def test_a_lack_of_memory_in_a_sentence(error, asked):
    assert memory.lack_of_memory(error) == f"there is not enough memory{asked}"
    assert memory.lack_of_memory(ValueError("no memory of it")) is None


def test_a_size_of_this_process_in_bytes(tmp_path, monkeypatch):
    status = tmp_path / "status"
    status.write_text("Name: x\nVmHWM:\t  20 kB\nVmRSS:\t  10 kB\n")
    monkeypatch.setattr(memory, "STATUS", status)
    monkeypatch.setattr(memory, "CLEAR", tmp_path / "clear")
    assert (memory.status("VmRSS"), memory.status("VmHWM"), memory.status("Vm")) == (10240, 20480, None)
    with memory.peak(torch.device("cpu")) as found:
        assert (found.process, found.device) == (None, None)
        assert (tmp_path / "clear").read_text() == "5"
        status.write_text("VmHWM: 30 kB\nVmRSS: 10 kB\n")
    assert (found.process, found.device) == (30 * 1024, None)
    monkeypatch.setattr(memory, "CLEAR", tmp_path)  # cannot be written to: the peak of before would be told
    with memory.peak(torch.device("cpu")) as found:
        pass
    assert found.process is None
    status.unlink()
    assert memory.status("VmRSS") is None
