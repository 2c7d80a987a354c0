"""Every flag of every command, a file for each family.

Nothing here needs torch, so that `--help` does not wait for it.
"""

from typing import Annotated

import tyro

from minivae.cli.flags.course import Course
from minivae.cli.flags.data import DataCommand, Info, List, Prepare
from minivae.cli.flags.explain import Explain
from minivae.cli.flags.saved_model import Evaluate, Recommend
from minivae.cli.flags.source import TABLE_FIELDS, ColumnFlags, SplitFlags, TableFlags
from minivae.cli.flags.study import Combine, PerUser, Study, Tune
from minivae.cli.flags.theory import Theory
from minivae.cli.flags.train import Train

Command = (
    Annotated[Study, tyro.conf.subcommand("study", description="Train models, compare them, write a report.")]
    | Annotated[
        Combine,
        tyro.conf.subcommand("combine", description="Studies of several draws of held-out users, in one report."),
    ]
    | Annotated[
        PerUser,
        tyro.conf.subcommand("per-user", description="Metrics of every held-out user of a study, in one file."),
    ]
    | Annotated[
        Tune,
        tyro.conf.subcommand(
            "tune", description="Search settings on the validation users, with equal budgets; test users take no part."
        ),
    ]
    | Annotated[Train, tyro.conf.subcommand("train", description="Train one VAE and evaluate it.")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate", description="Test metrics of a trained model.")]
    | Annotated[
        Recommend, tyro.conf.subcommand("recommend", description="What a user, or a user with given items, may like.")
    ]
    | Annotated[
        Theory,
        tyro.conf.subcommand("theory", description="Check every statement of the paper on a model and its users."),
    ]
    | Annotated[
        Explain,
        tyro.conf.subcommand("explain", description="Who helps whom, and whether retraining agrees."),
    ]
    | Annotated[
        Course, tyro.conf.subcommand("course", description="Copy the course's notebooks, blank or solved, to a folder.")
    ]
    | DataCommand
)

__all__ = [
    "TABLE_FIELDS",
    "ColumnFlags",
    "Combine",
    "Command",
    "Course",
    "DataCommand",
    "Evaluate",
    "Explain",
    "Info",
    "List",
    "PerUser",
    "Prepare",
    "Recommend",
    "SplitFlags",
    "Study",
    "TableFlags",
    "Theory",
    "Train",
    "Tune",
]
