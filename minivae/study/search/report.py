"""What a search leaves behind: every trial as Markdown, CSV and JSON, a figure, and the chosen settings as TOML."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from msgspec import UNSET

from minivae import plots
from minivae.metrics import shown
from minivae.options import METRICS, SELECTION
from minivae.runtime.records import write_result
from minivae.runtime.storage import write_text
from minivae.runtime.table import Part, Table, numbers, words
from minivae.runtime.text import code, markdown, visible
from minivae.study.output import tables
from minivae.study.output.figures import colours, save
from minivae.study.output.page import to_html
from minivae.study.output.report import page_source
from minivae.study.run.results import made
from minivae.study.search.records import Searched, SearchResults, Tried


def write(results: SearchResults, command: str, out: Path) -> None:
    """search.md, trials.csv, trials.json, search.png and best.toml into `out`."""
    write_result(out / "trials.json", command, results)
    write_text(out / "trials.csv", to_csv(results))
    figure = overview(results)
    save(figure, out, "search")
    write_text(out / "best.toml", to_toml(results, command))
    text = page_source(compose(results, command), out, "search")
    write_text(out / "search.html", to_html(text, out, ["search.png"], list(results.models)))


def chosen_table(results: SearchResults) -> Table:
    """Per model: how much was spent, what was chosen, and what that gained over the preset."""
    columns = [words("model"), numbers("trials"), numbers("epochs at most"), numbers("epochs")]
    columns += [numbers("minutes", "{:.1f}".format), words("settings chosen", _settings)]
    columns += [numbers(f"validation {shown(SELECTION)}", _mean), numbers("as in the preset", _mean)]
    rows = []
    for model, of in results.models.items():
        spent = sum(t.epochs or 0 for t in of.trials) if of.epochs_limit else None
        minutes = sum(t.seconds or 0 for t in of.trials) / 60
        before = of.trials[0] if of.own_first else None
        rows.append([model, len(of.trials), of.epochs_limit, spent, minutes, of.settings, of.best, before])
    return Table.make(columns, rows)


def trials_table(of: Searched) -> Table:
    """The trials of one model, the best first."""
    keys = list(of.space)
    measured = [numbers(shown(m), partial(_mean, metric=m)) for m in METRICS]
    columns = [numbers("trial"), *(numbers(key, _value) for key in keys), *measured]
    columns += [numbers("best epoch"), numbers("seconds", "{:.1f}".format)]
    rows = []
    for t in sorted(of.trials, key=lambda t: t.score, reverse=True):
        values = (t.settings[k] for k in keys)
        rows.append([t.trial, *values, *([t] * len(METRICS)), t.best_epoch or None, t.seconds or 0])
    return Table.make(columns, rows)


def warnings(results: SearchResults) -> list[str]:
    """A sentence for every model with a choice at the end of what was tried."""
    sentences = []
    for model, of in results.models.items():
        ends = ", ".join(f"{key} {_value(of.settings[key])}" for key in of.at_an_end)
        if ends:
            sentences.append(f"{model}: at an end of what was tried: {ends}; a wider space may hold a better one.")
    return sentences


def found(results: SearchResults) -> list[str]:
    """A sentence for every model: what the best trial gave and how far the others lie."""
    sentences = []
    for model, of in results.models.items():
        scores = [t.score for t in of.trials if t.validation]
        if len(scores) < 2:
            sentences.append(f"{model}: {len(scores)} trial, nothing to choose from.")
            continue
        sentences.append(
            f"{model}: trial {of.chosen} is best of {len(of.trials)}, validation {shown(SELECTION)} {_mean(of.best)}; "
            f"the others lie between {tables.number(min(scores))} and {tables.number(sorted(scores)[-2])}."
        )
    return sentences


def compose(results: SearchResults, command: str) -> list[Part]:
    """The report, from top to bottom."""
    data, search = results.data, results.search
    seed = data.protocol.get("seed")
    draw_text = f", draw {seed} of held-out users" if seed is not None else ""
    repeated = ""
    if search.seeds > 1:
        last = search.seed + search.seeds - 1
        repeated = (
            f" A trial of a trained model is {search.seeds} runs with seeds {search.seed} to {last}; a user "
            "counts with the mean over them, epochs and seconds are added up, and the best epoch is the median."
        )
    parts: list[Part] = [
        f"# Search on {markdown(data.name) or 'one’s own data'}",
        "## Conclusion",
        markdown(" ".join(found(results))),
        code(command),
        markdown(made()),
        f"{search.method.capitalize()} search, {search.budget} trials a model at most (fewer where its space has "
        f"fewer points), seed {search.seed}{draw_text}. Every trial trains on {data.users['training']:,} users "
        f"and is judged on {data.users['validation']:,} validation users.{repeated} Test users took no part: they "
        "were cut off before the first trial. The numbers below are therefore too good as estimates of accuracy; "
        "`minivae study --settings best.toml` looks at the test users, once.",
        "## Chosen",
        chosen_table(results),
        *map(markdown, warnings(results)),
        f"![Trials: {markdown(' '.join(found(results)))}](search.png)",
        "*Each dot a trial, the chosen one ringed; last: the expected best of so many trials, drawn from those made.*",
    ]
    for model, of in results.models.items():
        parts += [f"## {markdown(model)}", f"Space: {code(json.dumps(of.space))}.", trials_table(of)]
    return parts


def to_csv(results: SearchResults) -> str:
    """One row per trial; settings as JSON."""
    metrics = [f"{m} {k}" for m in METRICS for k in ("mean", "se")]
    rest = ("epochs", "best_epoch", "seconds", "diverged")
    rows = [["model", "trial", "chosen", "settings", *metrics, *rest]]
    for model, of in results.models.items():
        for t in of.trials:
            levels = [t.validation[m] if t.validation else None for m in METRICS]
            values = [x for v in levels for x in (("", "") if v is None else (v.mean, v.se))]
            start = [model, t.trial, int(t.trial == of.chosen), json.dumps(t.settings)]
            ends = (getattr(t, k) for k in rest)
            rows.append([str(x) for x in (*start, *values, *("" if x in (None, UNSET) else x for x in ends))])
    return tables.csv_text(rows)


def to_toml(results: SearchResults, command: str) -> str:
    """The models with their chosen settings, complete, as a file for ``minivae study --settings``."""
    data, search = results.data, results.search
    origin = {"data": data.name, "draw": str(data.protocol.get("seed", "")), "sha256": data.sha256}
    origin |= {"method": search.method, "trials": search.budget, "seed": search.seed}
    lines = [f"# Written by: {visible(command)}", "# chosen on validation users alone.", "[origin]"]
    lines += [f"{k} = {_toml(v)}" for k, v in origin.items()]
    lines += ["[origin.trials_run]"]
    lines += [f"{_key(model)} = {len(of.trials)}" for model, of in results.models.items()]
    for model, of in results.models.items():
        settings = {"class": of.kind, **of.all_settings}
        if of.epochs_limit:
            settings["epochs"] = of.epochs_limit
        lines += ["", f"# trial {of.chosen} of {len(of.trials)}: validation {shown(SELECTION)} {_mean(of.best)}"]
        lines += [f"[models.{_key(model)}]", *(f"{k} = {_toml(v)}" for k, v in settings.items())]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    """A name as a key in TOML."""
    return name if re.fullmatch(r"[\w-]+", name, re.ASCII) else _toml(name)


def _toml(value: Any) -> str:
    """A scalar in TOML: JSON's numbers, truth values and strings, but for DEL, pairs of surrogates and lone ones."""
    known = value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
    return json.dumps(known, ensure_ascii=False).replace("\x7f", "\\u007f")


def _settings(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {_value(v)}" for k, v in values.items()) or "nothing to choose"


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _mean(trial: Tried, metric: str = SELECTION) -> str:
    return tables.level(trial.validation[metric]) if trial.validation else "diverged"


def expected_best(scores: Sequence[float]) -> np.ndarray:
    """Expected maximum of n = 1 .. N of the scores, drawn without replacement, (N,).

    ``E max_n = Σ_i v_(i) C(i − 1, n − 1) / C(N, n)`` over the sorted scores: what a smaller budget would have reached
    (after Dodge et al., "Show Your Work", EMNLP 2019, who draw with replacement).
    """
    v = np.sort(np.asarray(scores, dtype=np.float64))
    size = len(v)
    weights = [[comb(i, n - 1) / comb(size, n) for i in range(size)] for n in range(1, size + 1)]
    return np.asarray(weights) @ v


def overview(results: SearchResults) -> Figure:
    """One row per model, one panel per key; below them the expected best by budget."""
    models = {name: of for name, of in results.models.items() if of.space}
    width = max(len(of.space) for of in models.values())
    figure = Figure(figsize=(max(3.2 * width, 6), 2.6 * (len(models) + 1)), layout="constrained")
    grid = figure.add_gridspec(len(models) + 1, width)
    one = dict(zip(models, colours(list(models)), strict=True))
    for row, (name, of) in enumerate(models.items()):
        for column, (key, space) in enumerate(of.space.items()):
            done = [t for t in of.trials if t.validation]
            values = [t.settings[key] for t in done]
            chosen = done.index(of.best)
            log = isinstance(space, Mapping) and bool(space.get("log"))
            ax = figure.add_subplot(grid[row, column])
            scores = [t.score for t in done]
            plots.tried(values, scores, chosen, key, "nDCG@100" if column == 0 else "", log, one[name], ax=ax)
            ax.set_title(name if column == 0 else "", loc="left", fontsize="medium")
    curves = {name: expected_best([t.score for t in of.trials if t.validation]).tolist() for name, of in models.items()}
    plots.budget(curves, colours=list(one.values()), ax=figure.add_subplot(grid[len(models), :]))
    return figure
