"""`python -m minivae` is the command line."""

import os
import sys
from contextlib import suppress

# `python -m` looks for modules in the current folder, where a downloaded polars.py may lie beside a table. A folder
# that PYTHONPATH names by its whole path is meant.
with suppress(FileNotFoundError):  # the current folder has been removed
    here = os.getcwd()
    meant = [os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]
    meant += filter(os.path.isabs, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    if not any(os.path.realpath(folder) == os.path.realpath(here) for folder in meant):
        sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder) != here]

from minivae.cli.main import program

sys.exit(program())
