"""Peak memory of a process, in one unit on every system."""

import resource
import sys

UNIT = 1 if sys.platform == "darwin" else 1024


def peak_bytes(usage: resource.struct_rusage | None = None) -> int:
    """Largest resident memory so far, in bytes: of this process, or of one that has ended with `usage`."""
    return (usage or resource.getrusage(resource.RUSAGE_SELF)).ru_maxrss * UNIT
