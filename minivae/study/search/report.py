"""What a search leaves behind: every trial as Markdown, CSV and JSON, a figure, and the chosen settings as TOML."""

import json
import re
from collections.abc import Mapping, Sequence
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from minivae import plots
from minivae.ranking import METRICS
from minivae.runtime.storage import write_json, write_text
from minivae.runtime.text import code, markdown, visible
from minivae.study.output import tables
from minivae.study.output.figures import colours, save, shown
from minivae.study.output.page import to_html
from minivae.training import SELECTION


def write(results: Mapping[str, Any], command: str, out: Path) -> None:
    """search.md, trials.csv, trials.json, search.png and best.toml into `out`."""
    write_json(out / "trials.json", {"command": command, **results})
    write_text(out / "trials.csv", to_csv(results))
    figure = draw(results)
    save(figure, out, "search")
    write_text(out / "best.toml", to_toml(results, command))
    text = compose(results, command)
    write_text(out / "search.md", text)
    write_text(out / "search.html", to_html(text, out, ["search.png"], list(results["models"])))


def chosen_table(results: Mapping[str, Any]) -> tables.Table:
    """Per model: how much was spent, what was chosen, and what that gained over the preset."""
    name = f"validation {shown(SELECTION)}"
    table = [["model", "trials", "epochs at most", "epochs", "minutes", "settings chosen", name, "as in the preset"]]
    for model, of in results["models"].items():
        trials = of["trials"]
        row = [model, str(len(trials)), str(of["epochs limit"] or "–")]
        row.append(str(sum(t.get("epochs", 0) for t in trials)) if of["epochs limit"] else "–")
        row.append(f"{sum(t.get('seconds', 0) for t in trials) / 60:.1f}")
        row += [_settings(of["settings"]), _mean(trials[of["chosen"]]), _mean(trials[0]) if of["own first"] else "–"]
        table.append(row)
    return table


def trials_table(of: Mapping[str, Any]) -> tables.Table:
    """The trials of one model, the best first."""
    keys = list(of["space"])
    table = [["trial", *keys, *map(shown, METRICS), "best epoch", "seconds"]]
    for t in sorted(of["trials"], key=score, reverse=True):
        cells = [_mean(t, m) for m in METRICS]
        values = [_value(t["settings"][k]) for k in keys]
        table.append([str(t["trial"]), *values, *cells, str(t.get("best_epoch") or "–"), f"{t.get('seconds', 0):.1f}"])
    return table


def score(trial: Mapping[str, Any]) -> float:
    """Validation nDCG@100; −∞ of a trial that diverged."""
    return trial["validation"][SELECTION]["mean"] if "validation" in trial else -np.inf


def warnings(results: Mapping[str, Any]) -> list[str]:
    """A sentence for every model with a choice at the end of what was tried."""
    sentences = []
    for model, of in results["models"].items():
        ends = ", ".join(f"{key} {_value(of['settings'][key])}" for key in of["at an end"])
        if ends:
            sentences.append(f"{model}: at an end of what was tried: {ends}; a wider space may hold a better one.")
    return sentences


def compose(results: Mapping[str, Any], command: str) -> str:
    """The report in Markdown."""
    data, search = results["data"], results["search"]
    seed = data["protocol"].get("seed")
    draw_text = f", draw {seed} of held-out users" if seed is not None else ""
    repeated = ""
    if (n := search.get("seeds", 1)) > 1:
        repeated = (
            f" A trial of a trained model is {n} runs with seeds {search['seed']} to {search['seed'] + n - 1}; a user "
            "counts with the mean over them, epochs and seconds are added up, and the best epoch is the median."
        )
    parts = [
        f"# Search on {markdown(data['name']) or 'one’s own data'}",
        code(command),
        f"{search['method'].capitalize()} search, {search['budget']} trials a model at most (fewer where its space has "
        f"fewer points), seed {search['seed']}{draw_text}. Every trial trains on {data['users']['training']:,} users "
        f"and is judged on {data['users']['validation']:,} validation users.{repeated} Test users took no part: they "
        "were cut off before the first trial. The numbers below are therefore too good as estimates of accuracy; "
        "`minivae study --settings best.toml` looks at the test users, once.",
        "## Chosen",
        tables.markdown(chosen_table(results)),
        *map(markdown, warnings(results)),
        "![Trials](search.png)",
        "*Each dot a trial, the chosen one ringed; last: the expected best of so many trials, drawn from those made.*",
    ]
    for model, of in results["models"].items():
        parts += [
            f"## {markdown(model)}",
            f"Space: {code(json.dumps(of['space']))}.",
            tables.markdown(trials_table(of)),
        ]
    return "\n\n".join(parts) + "\n"


def to_csv(results: Mapping[str, Any]) -> str:
    """One row per trial; settings as JSON."""
    metrics = [f"{m} {k}" for m in METRICS for k in ("mean", "se")]
    rest = ("epochs", "best_epoch", "seconds", "diverged")
    rows = [["model", "trial", "chosen", "settings", *metrics, *rest]]
    for model, of in results["models"].items():
        for t in of["trials"]:
            values = [t["validation"][m][k] if "validation" in t else "" for m in METRICS for k in ("mean", "se")]
            start = [model, t["trial"], int(t["trial"] == of["chosen"]), json.dumps(t["settings"])]
            rows.append([str(x) for x in (*start, *values, *("" if t.get(k) is None else t[k] for k in rest))])
    return tables.csv_text(rows)


def to_toml(results: Mapping[str, Any], command: str) -> str:
    """The models with their chosen settings, complete, as a file for ``minivae study --settings``."""
    data, search = results["data"], results["search"]
    origin = {"data": data["name"], "draw": str(data["protocol"].get("seed", "")), "sha256": data["sha256"]}
    origin |= {"method": search["method"], "trials": search["budget"], "seed": search["seed"]}
    lines = [f"# Written by: {visible(command)}", "# chosen on validation users alone.", "[origin]"]
    lines += [f"{k} = {_toml(v)}" for k, v in origin.items()]
    lines += ["[origin.trials_run]"]
    lines += [f"{_key(model)} = {len(of['trials'])}" for model, of in results["models"].items()]
    for model, of in results["models"].items():
        settings = {"class": of["class"], **of["all settings"]}
        if of["epochs limit"]:
            settings["epochs"] = of["epochs limit"]
        best = of["trials"][of["chosen"]]
        lines += ["", f"# trial {of['chosen']} of {len(of['trials'])}: validation {shown(SELECTION)} {_mean(best)}"]
        lines += [f"[models.{_key(model)}]", *(f"{k} = {_toml(v)}" for k, v in settings.items())]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    """A name as a key in TOML."""
    return name if re.fullmatch(r"[\w-]+", name, re.ASCII) else _toml(name)


def _toml(value: Any) -> str:
    """A scalar in TOML; JSON's strings, numbers and truth values are TOML's."""
    return json.dumps(value, ensure_ascii=True)


def _settings(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {_value(v)}" for k, v in values.items()) or "nothing to choose"


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _mean(trial: Mapping[str, Any], metric: str = SELECTION) -> str:
    if "validation" not in trial:
        return "diverged"
    v = trial["validation"][metric]
    return f"{tables.number(v['mean'])} ± {tables.number(v['se'])}"


def expected_best(scores: Sequence[float]) -> np.ndarray:
    """Expected maximum of n = 1 .. N of the scores, drawn without replacement, (N,).

    ``E max_n = Σ_i v_(i) C(i − 1, n − 1) / C(N, n)`` over the sorted scores: what a smaller budget would have reached
    (after Dodge et al., "Show Your Work", EMNLP 2019, who draw with replacement).
    """
    v = np.sort(np.asarray(scores, dtype=np.float64))
    size = len(v)
    weights = [[comb(i, n - 1) / comb(size, n) for i in range(size)] for n in range(1, size + 1)]
    return np.asarray(weights) @ v


def draw(results: Mapping[str, Any]) -> Figure:
    """One row per model, one panel per key; below them the expected best by budget."""
    models = {name: of for name, of in results["models"].items() if of["space"]}
    width = max(len(of["space"]) for of in models.values())
    figure = Figure(figsize=(max(3.2 * width, 6), 2.6 * (len(models) + 1)), layout="constrained")
    grid = figure.add_gridspec(len(models) + 1, width)
    one = dict(zip(models, colours(list(models)), strict=True))
    for row, (name, of) in enumerate(models.items()):
        for column, (key, space) in enumerate(of["space"].items()):
            done = [t for t in of["trials"] if "validation" in t]
            values = [t["settings"][key] for t in done]
            chosen = next(k for k, t in enumerate(done) if t["trial"] == of["chosen"])
            log = isinstance(space, Mapping) and space.get("log", False)
            ax = figure.add_subplot(grid[row, column])
            scores = [score(t) for t in done]
            plots.tried(values, scores, chosen, key, "nDCG@100" if column == 0 else "", log, one[name], ax=ax)
            ax.set_title(name if column == 0 else "", loc="left", fontsize="medium")
    curves = {
        name: expected_best([s for t in of["trials"] if np.isfinite(s := score(t))]).tolist()
        for name, of in models.items()
    }
    plots.budget(curves, colours=list(one.values()), ax=figure.add_subplot(grid[len(models), :]))
    return figure
