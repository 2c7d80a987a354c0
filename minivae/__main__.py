"""`python -m minivae` is the command line."""

import sys

from minivae.cli import program

sys.exit(program())
