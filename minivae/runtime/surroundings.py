"""What a command finds around it: the folder it runs in, and variables that native libraries read.

Both are looked at before torch and polars are loaded. What those do with a folder that is gone or a number of threads
that is none is a backtrace, an endless start, an end without a word, or nothing.
"""

import os
import re

from minivae.errors import InputError

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
THREADS += ("POLARS_MAX_THREADS", "POLARS_ASYNC_THREAD_COUNT", "POLARS_MAX_BLOCKING_THREAD_COUNT")
MOST_THREADS = 1024  # polars starts all that are asked for: with 4,096 it took over 100 s

FORMS = {"GOMP_CPU_AFFINITY": r"[\d\s,:-]+", "POLARS_OVERRIDE_TOTAL_MEMORY_MB": r"\d{1,12}"}
"""What the libraries can read of variables with which they otherwise hang or end in a backtrace."""


def check_surroundings() -> None:
    """Raise `InputError` if the current folder is gone, or a variable says what its library cannot use."""
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
        if not all(re.fullmatch(r"\d{1,9}", n, re.ASCII) and 1 <= int(n) <= most for n in levels):
            raise InputError(
                f"{name}={value} is no number of threads; unset it, or set a whole number from 1 to {most:,}"
            )
    for name, form in FORMS.items():
        value = os.environ.get(name, "")
        if value and not re.fullmatch(form, value, re.ASCII):
            raise InputError(f"{name}={value} cannot be read by the library that it is for; unset it")
