"""What each command does, a file for each. A file is loaded when its command is given: most of them need torch."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from minivae.cli import flags

COMMANDS: dict[type, tuple[str, str]] = {
    flags.Study: ("study", "study"),
    flags.Combine: ("study", "combine"),
    flags.PerUser: ("per_user", "per_user_metrics"),
    flags.Tune: ("tune", "tune"),
    flags.Train: ("train", "train"),
    flags.Evaluate: ("evaluate", "evaluate_model"),
    flags.Recommend: ("recommend", "recommend_items"),
    flags.Theory: ("theory", "theory"),
    flags.Explain: ("explain", "explain_model"),
    flags.Course: ("course", "copy_chapters"),
    flags.List: ("data", "list_data"),
    flags.Info: ("data", "data_info"),
    flags.Prepare: ("data", "prepare_data"),
}
"""The module and the function of each command."""


def run(command: flags.Command) -> None:
    """Do what the flags ask for."""
    module, function = COMMANDS[type(command)]
    do: Callable[[Any], None] = getattr(import_module(f"minivae.cli.commands.{module}"), function)
    do(command)
