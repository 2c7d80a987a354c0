"""What each command does, a file for each."""

from collections.abc import Callable
from typing import Any

from minivae.cli import flags
from minivae.cli.commands import course, data, evaluate, explain, recommend, study, theory, train, tune
from minivae.cli.commands.folder import held

COMMANDS: dict[type, Callable[[Any], None]] = {
    flags.Study: study.study,
    flags.Combine: held(study.combine),
    flags.Tune: tune.tune,
    flags.Train: train.train,
    flags.Evaluate: evaluate.evaluate_model,
    flags.Recommend: recommend.recommend_items,
    flags.Theory: held(theory.theory),
    flags.Explain: held(explain.explain_model),
    flags.Course: course.copy_chapters,
    flags.List: data.list_data,
    flags.Info: data.data_info,
    flags.Prepare: data.prepare_data,
}
