"""`minivae tune`."""

from datetime import datetime
from pathlib import Path

from minivae.cli import flags
from minivae.cli.command_lines import after_search, command_line
from minivae.cli.commands.folder import resumable
from minivae.cli.commands.study import check_of_run, chosen_data
from minivae.errors import InputError
from minivae.runtime.table import Table, numbers, print_table, words
from minivae.runtime.text import visible
from minivae.study.run import folders
from minivae.study.search import report as search_report
from minivae.study.search import search


def tune(options: flags.Tune) -> None:
    """Search the settings of several models on the validation users; test users take no part."""
    if options.resume and options.out is None:
        raise InputError("--resume needs --out, the folder of the search to continue")
    preset, _, split = chosen_data(options)
    given = {"epochs": options.epochs, "device": options.device, "precision": options.precision}
    specs = preset.pick(options.models)
    plan = search.SearchPlan.make(
        preset, specs, options.method, options.trials, options.seed, options.space, options.seeds, **given
    )
    if options.dry_run:
        check_of_run(options)
        plan.check(split.n_items)
        rows = [[t.spec.name, t.number, ", ".join(f"{k} {v}" for k, v in t.values().items())] for t in plan.trials]
        columns = [words("model"), numbers("trial"), words("settings")]
        print_table(Table.make(columns, rows), f"{split.name}: nothing was run")
        return
    out = options.out or Path("runs") / f"tune-{datetime.now():%Y%m%d-%H%M%S-%f}"
    with folders.hold(out), resumable("the finished trials and the checkpoint are", out):
        results = search.run_search(plan, split, out, options.resume, options.jobs)
    search_report.write(results, command_line(), out)
    print_table(
        search_report.chosen_table(results), f"{split.name}: chosen on {split.validation.n_users:,} validation users"
    )
    for sentence in search_report.warnings(results):
        print(visible(sentence))
    print(visible(f"results: {out}/search.md; one look at the test users: {after_search(options, out)}"))
