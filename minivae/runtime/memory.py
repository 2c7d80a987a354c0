"""Peak memory of a piece of work: of this process, and of the GPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass
class Peak:
    """Bytes, None where the system does not tell.

    Attributes
    ----------
    process : int, optional
        The largest resident set of the whole process during the work, data and libraries included.
    device : int, optional
        The most that torch had allocated on the GPU.
    """

    process: int | None = None
    device: int | None = None


@contextmanager
def peak(device: torch.device) -> Iterator[Peak]:
    """Watch a piece of work; the numbers are there when it is done.

    Linux keeps the high-water mark of a process and lets it be reset, so that a short run after a long one gets its own
    number.
    """
    found = Peak()
    reset = _reset()
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats(device)
    try:
        yield found
    finally:
        found.process = status("VmHWM") if reset else None
        found.device = torch.cuda.max_memory_allocated(device) if cuda else None


def status(key: str) -> int | None:
    """A size of this process in bytes, for instance VmRSS, what is resident now, or VmHWM, the most that was."""
    try:
        lines = STATUS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(f"{key}:")), None)


def _reset() -> bool:
    try:
        CLEAR.write_text("5", encoding="utf-8")
    except OSError:
        return False
    return True
