"""The command line."""

from minivae.cli.main import main

__all__ = ["main"]
