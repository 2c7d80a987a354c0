"""How much memory the reading of a file may take: files can be small and ask for more than a machine has."""

import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from minivae.errors import InputError

VARIABLE = "MINIVAE_MAX_MEMORY"
SHARE = 0.8  # of the memory that is free at the start
COPIES = 8  # of a text while it becomes a table, its own bytes included
RATIO, LEAST = 200, 1 << 28  # what unpacks to more than this many times its size, and to so many bytes, is no table
UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
REMEDY = f"if it is what it should be, allow more with --max-memory or {VARIABLE}"


def parse_size(text: str) -> int:
    """Bytes, as people write them.

    >>> parse_size("1.5G"), parse_size("800 MB")
    (1500000000, 800000000)
    """
    found = re.fullmatch(r"\s*(\d{1,12}(?:\.\d{1,9})?)\s*([KMGT]?)B?\s*", text.upper(), re.ASCII)
    if found is None or not float(found[1]):
        raise InputError(f"memory of {text!r} is not possible; write a number of bytes, for instance 800M or 4G")
    return int(float(found[1]) * UNITS[found[2]])


def limit_memory(text: str | None) -> None:
    """Set the limit of this process and of those that it starts; None leaves it as it is."""
    if text is not None:
        os.environ[VARIABLE] = str(parse_size(text))


def allowed_memory() -> int:
    """Bytes that reading a file may take: what was set, else most of what this machine and this process may have."""
    if text := os.environ.get(VARIABLE):
        return parse_size(text)
    return int(SHARE * min(_physical(), _of_process(), _of_group()))


def _physical() -> int:
    """Memory that is free, or would be after caches are emptied."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return 8 * 10**9


def _of_process() -> int:
    """The limit on the addresses of this process (ulimit -v)."""
    if sys.platform == "win32":
        return sys.maxsize
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def _of_group() -> int:
    """The limit of a container."""
    for place in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            return int(Path(place).read_text(encoding="ascii"))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return sys.maxsize


def read_limited(unpacked: Iterable[bytes], path: Path, packed: int) -> bytes:
    """All the pieces that a file unpacks to, unless they are more than a table of its packed size can be.

    Raises
    ------
    InputError
        If it is too large for the memory, or so much larger than packed that it holds nothing.
    """
    most = allowed_memory() // COPIES

    def pieces() -> Iterator[bytes]:
        size = 0
        for piece in unpacked:
            size += len(piece)
            refuse_large(size, most, path)
            if size > max(LEAST, RATIO * packed):
                raise InputError(
                    f"{path} unpacks to over {RATIO} times its {packed:,} bytes, as no ordinary table does; fetch it "
                    "again, or unpack it and look at it"
                )
            yield piece

    return b"".join(pieces())


def refuse_large(size: int, most: int, path: Path) -> None:
    """Raise `InputError` if `path` would take more bytes than `most`."""
    if size > most:
        raise InputError(
            f"{path} is too large for this machine: it takes over {size:,} bytes, and {most:,} can be held; {REMEDY}"
        )
