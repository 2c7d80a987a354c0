"""The command line."""

from minivae.cli.main import main, program

__all__ = ["main", "program"]
