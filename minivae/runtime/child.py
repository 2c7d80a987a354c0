"""A child process for what may kill its process: it finds no code in the current folder, and has a limit of memory."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

KEPT = {"PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "TEMP", "TMP", "POLARS_MAX_THREADS"}
OVERHEAD = 4 << 30  # addresses of libraries and threads that are no memory
LIMITED = """
import sys
sys.path.append(sys.argv.pop(1))
limit = int(sys.argv.pop(1))
try:
    import resource
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
except (ImportError, ValueError, OSError):
    pass
"""


def run_isolated(
    program: str, arguments: Sequence[str], library: Path, memory: int
) -> subprocess.CompletedProcess[str]:
    """Run a Python program that needs one library.

    The current folder, where a downloaded table may lie beside a file that is called like a module, is not searched,
    and of the environment little is left.

    Parameters
    ----------
    program : str
        Its text; `arguments` are in sys.argv[1:].
    arguments : sequence of str
    library : Path
        The folder that holds the library.
    memory : int
        Bytes that it may take.

    Returns
    -------
    CompletedProcess
        Status, output and errors as text.
    """
    environment = {k: v for k, v in os.environ.items() if k in KEPT}
    command = [sys.executable, "-I", "-c", LIMITED + program, str(library), str(memory + OVERHEAD), *arguments]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment)
