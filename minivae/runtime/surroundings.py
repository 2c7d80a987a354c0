"""What a command finds around it: the folder it runs in, and variables that native libraries read.

Both are looked at before torch and polars are loaded. What those do with a folder that is gone or a number of threads
that is none is a backtrace, an endless start, an end without a word, or nothing.
"""

import os
import re
import traceback
from pathlib import Path

from minivae.errors import InputError

NUMBER = r"\d{1,9}"  # of threads, of processes, of one of them, of a port
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
THREADS += ("POLARS_MAX_THREADS", "POLARS_ASYNC_THREAD_COUNT", "POLARS_MAX_BLOCKING_THREAD_COUNT")
MOST_THREADS = 1024  # polars starts all that are asked for: with 4,096 it took over 100 s

FORMS = {"GOMP_CPU_AFFINITY": r"[\d\s,:-]+", "POLARS_OVERRIDE_TOTAL_MEMORY_MB": r"\d{1,12}"}
"""What the libraries can read of variables with which they otherwise hang or end in a backtrace."""


def processes() -> int:
    """How many processes do the work together, as torchrun tells each of them; 0 if what stands there is no number."""
    size = os.environ.get("WORLD_SIZE", "1")
    return int(size) if re.fullmatch(NUMBER, size, re.ASCII) else 0


def is_first() -> bool:
    """Whether this process is the first of those that torchrun has started, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def unfit_for_torch(e: Exception) -> list[str]:
    """The variables for torch that are set, if it could not be loaded; it alone knows what may stand in them.

    None if a library was not found, which no value mends; torchrun's own are right.
    """
    if isinstance(e, ImportError) or not any(
        Path(f.filename).parts[-2:] == ("torch", "__init__.py") and f.name == "<module>"
        for f in traceback.extract_tb(e.__traceback__)
    ):
        return []
    ours = (name for name in os.environ if name.startswith(("TORCH", "PYTORCH")))
    return sorted(name for name in ours if not name.startswith("TORCHELASTIC"))


def check_surroundings() -> None:
    """Raise `InputError` if the current folder is gone, or a variable says what its reader cannot use."""
    try:
        os.getcwd()
    except FileNotFoundError as e:
        raise InputError("the current folder has been removed; change to one that exists and start again") from e
    most = max(MOST_THREADS, os.cpu_count() or 1)
    for name in THREADS:
        value = os.environ.get(name, "")
        if not value:  # in the environment of a container, a variable that nobody has set
            os.environ.pop(name, None)
            continue
        nested = name == "OMP_NUM_THREADS"  # which takes a number for each level of nesting
        levels = value.split(",") if nested else [value]
        if not all(re.fullmatch(NUMBER, n, re.ASCII) and 1 <= int(n) <= most for n in levels):
            raise InputError(
                f"{name}={value} is no number of threads; unset it, or set a whole number from 1 to {most:,}"
            )
    for name, form in FORMS.items():
        value = os.environ.get(name, "")
        if value and not re.fullmatch(form, value, re.ASCII):
            raise InputError(f"{name}={value} cannot be read by the library that it is for; unset it")
    if processes() == 0:
        raise InputError(
            f"WORLD_SIZE={os.environ['WORLD_SIZE']} is no number of processes; unset it, or start several with torchrun"
        )
