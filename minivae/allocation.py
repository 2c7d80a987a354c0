"""Keep large buffers in the process.

A training step makes and frees some hundred megabytes. glibc hands blocks of that size back to the kernel at once,
and the next step faults them in again page by page: 15 ms for the 48 MB of one ML-20M gradient, as long as a pass of
Adam. Telling glibc to keep them costs nothing: the peak of the process is the same.
"""

import ctypes
import sys
from functools import cache

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


@cache
def keep_freed_memory() -> bool:
    """Raise glibc's mmap and trim thresholds, once per process; False where there is no glibc."""
    if sys.platform != "linux":
        return False
    try:
        libc = ctypes.CDLL("libc.so.6")
        return bool(libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)) and bool(libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1))
    except (OSError, AttributeError):
        return False
