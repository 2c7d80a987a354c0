"""`python -m minivae` is the command line."""

import sys

from minivae.cli.main import program

sys.exit(program())
