"""`python -m minivae` is the command line."""

import os
import sys
from contextlib import suppress

# `python -m` looks for modules in the current folder, where a downloaded polars.py may lie beside a table.
with suppress(FileNotFoundError):  # the current folder has been removed
    here = os.getcwd()
    if not os.path.samefile(os.path.dirname(os.path.dirname(__file__)), here):
        sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder) != here]

from minivae.cli.main import program

sys.exit(program())
