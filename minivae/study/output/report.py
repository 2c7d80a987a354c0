"""The report of a study: Markdown, and the same as one HTML file with its figures inside."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minivae.metrics import shown
from minivae.options import SELECTION
from minivae.runtime.storage import write_text
from minivae.runtime.table import Part, as_latex, as_markdown
from minivae.runtime.text import code, markdown, prose
from minivae.study.output import tables
from minivae.study.output.figures import Drawn
from minivae.study.output.page import to_html
from minivae.study.output.published import TAGS, at_hand
from minivae.study.run.conclusions import OPEN, TIED, because, better
from minivae.study.run.records import Claim, ModelSummary, RecallDefinitions, Study, StudyData
from minivae.study.run.results import ModelResult, searched_here

COST = (
    "Seconds of training with validation, for VAEs; of fitting, for the others. Peak memory is that of the whole "
    "process during the run, data and libraries included."
)


def write(results: Study, models: Sequence[ModelResult], captions: Mapping[str, Drawn], out: Path) -> None:
    """Write report.md and report.html into `out`, where the figures of `captions` are."""
    parts = compose(results, models, captions)
    text = page_source(parts, out, "report")
    names, best = [m.name for m in models], best_model(results.summary)
    write_text(out / "report.html", to_html(text, out, captions, names, [best]))


def page_source(parts: Sequence[Part], out: Path, name: str) -> str:
    """Write out/NAME.md and, as LaTeX, its tables in out/NAME.tex; returns the Markdown."""
    write_text(out / f"{name}.tex", as_latex(parts))
    write_text(out / f"{name}.md", text := as_markdown(parts))
    return text


def best_model(summary: Sequence[ModelSummary]) -> str:
    """The model with the highest mean."""
    return max(summary, key=lambda row: row.metrics[SELECTION].mean).model


def compose(results: Study, models: Sequence[ModelResult], captions: Mapping[str, Drawn]) -> list[Part]:
    """The report, from top to bottom."""
    data = results.data
    parts: list[Part] = [
        f"# Study: {markdown(results.preset.title)}",
        *conclusion(results),
        "## Data",
        *_made(results),
        _data(data),
    ]
    parts += ["## Test metrics", _reading(results.summary)]
    parts += [tables.metrics(results.summary), *_figures(captions, "metrics.png")]
    published = tables.published(data.name)
    if published.rows and at_hand(data):
        tags = "; ".join(f"[{tag}] {meaning}" for tag, meaning in TAGS.items())
        parts += ["### Published figures", f"Measured by others, on their draw of users. Evidence: {tags}."]
        parts += [published]
    if results.claims:
        parts += ["## Does PIA help?", _claims(results), tables.claims(results.claims)]
        parts += ["By activity of the users:", tables.claims_by_group(results.claims)]
        parts += _figures(captions, "anchors.png")
    if results.differences:
        parts += ["## Paired differences", _pairing(results)]
        parts += [tables.differences(results.differences), *_figures(captions, "differences.png")]
    for k, section in enumerate(results.sections, 1):
        table = tables.section(section.pairs, results)
        if table.rows:
            parts += [f"## {markdown(section.title)}", prose(section.text), table]
            parts += _figures(captions, f"section-{k}.png")
    parts += ["## By activity", "nDCG@100 of test users by their number of interactions, history and held out."]
    parts += [tables.groups({row.model: row.groups for row in results.summary})]
    parts += ["## Coverage", tables.coverage(results.summary)]
    parts += ["## What the definition of Recall changes", _recall(results.recall_definitions)]
    parts += [tables.recall_definitions(results.recall_definitions)]
    if "curves.png" in captions:
        parts += ["## Learning curves", *_figures(captions, "curves.png")]
    if "latent.png" in captions:
        parts += ["## Latent space", *_figures(captions, "latent.png")]
    parts += ["## Leakage audit", tables.leakage(data.leakage)]
    parts += ["## Cost", COST]
    parts += [tables.cost(models)]
    parts += ["## Settings", *_settings(results)]
    return parts


def _made(results: Study) -> list[str]:
    """Command, date, environment."""
    machine = results.environment
    where = f"minivae {machine.minivae}, torch {machine.torch}, {machine.processor}, {machine.device}"
    return [code(results.command), f"{results.date}, {markdown(where)}."]


def _data(data: StudyData) -> str:
    users, skipped = data.users, data.users_without_heldout["test"]
    left_out = f" Test users without a held-out item, who are left out: {skipped:,}." if skipped else ""
    seed = data.protocol.get("seed")
    source = ", ".join(f"{k.replace('_', ' ')} {markdown(v)}" for k, v in data.source.items() if k != "data")
    made = f" Made from {code(str(data.source['data']))}{f' with {source}' if source else ''}."
    draw = f" Draw of held-out users: seed {seed}." if seed is not None else ""
    return (
        f"Data {code(data.name)}: {data.items:,} items, {users['training']:,} training users with "
        f"{data.events['training']:,} interactions (density {data.density:.2%}), {users['validation']:,} "
        f"validation and {users['test']:,} test users. {data.protocol_in_words}{draw}{left_out}{made} Epochs are "
        f"chosen on validation users; test users are looked at once.{_filters(data)}"
    )


def _filters(data: StudyData) -> str:
    """What each filter left, what was read, and what makes the numbers doubtful."""
    steps = [f"{k}: {', '.join(f'{v:,} {what}' for what, v in n.items())}" for k, n in data.filters.items()]
    parts = [f"Left after each step: {'; '.join(steps)}."] if steps else []
    parts += [f"**Warning:** {markdown(w)}." for w in data.warnings]
    return "".join(f"\n\n{part}" for part in parts)


def _reading(summary: Sequence[ModelSummary]) -> str:
    text = "Mean ± standard error over test users (population sd / √n). All items are ranked, none is sampled."
    if any(row.seeds > 1 for row in summary):
        text += " With several seeds, each user's value is averaged over them first; in brackets the standard error"
        text += " over seeds."
    return text


def _pairing(results: Study) -> str:
    pairs = len({(d.a, d.b) for d in results.differences})
    text = (
        "The two models are compared user by user on the same test users; in brackets a 95 % t interval over "
        f"{results.differences[0].users:,} users."
    )
    if any(row.seeds > 1 for row in results.summary):
        text += " Each user's value is averaged over seeds first."
    many = f", one comparison at a time, and there are {pairs} of them" if pairs > 1 else ""
    text += f" The intervals hold for {_split(results)} and these seeds{many}."
    if "rule" in results.data.protocol:
        return text
    return text + (
        " Before a small difference is believed, draw again: `minivae study --split-seeds 98765,1,2`, or "
        "`minivae combine` for studies of several draws."
    )


def _split(results: Study) -> str:
    """What was drawn; by time, and where the parts were given, nothing was drawn."""
    return "this split" if "rule" in results.data.protocol else "this draw of held-out users"


def conclusion(results: Study) -> list[str]:
    """What the study found, in words that its doubts allow, then what would decide the rest."""
    lines = [f"* {prose(sentence)}" for sentence in [*_best(results), *map(_claim, results.claims)]]
    parts = ["## Conclusion", *(f"**Warning:** {markdown(w)}." for w in degenerate(results)), "\n".join(lines)]
    open_rows = [d for d in results.differences if d.metric == SELECTION and better(d).startswith(OPEN)]
    details = dict.fromkeys(doubt.detail for d in open_rows for doubt in d.doubts)
    if details:
        parts += [f"Not decided yet: {prose(' '.join(details))} This would decide:", code(results.to_decide)]
    return parts


def degenerate(results: Study) -> list[str]:
    """Why the numbers of this study say little: what the split shows, and models that all score the same."""
    found, summary = list(results.data.warnings), results.summary
    scores = {row.metrics[SELECTION].mean for row in summary}
    if len(summary) > 1 and len(scores) == 1:
        found.append(f"all {len(summary)} models have the same nDCG@100: these data do not tell models apart")
    if max(scores) == 1:
        perfect = [row.model for row in summary if row.metrics[SELECTION].mean == 1]
        rank = "ranks" if len(perfect) == 1 else "rank"
        found.append(f"{', '.join(perfect)} {rank} perfectly: see whether the held-out items are known to the model")
    return found


def _best(results: Study) -> list[str]:
    """The model with the highest mean, and which of the others it was compared with and how."""
    best = best_model(results.summary)
    value = max(row.metrics[SELECTION].mean for row in results.summary)
    text = f"`{best}` has the highest mean test {shown(SELECTION)}, {tables.number(value)}"
    said: dict[str, list[str]] = {}
    for d in results.differences:
        if d.metric == SELECTION and best in (d.a, d.b):
            other = d.b if d.a == best else d.a
            said.setdefault(better(d), []).append(f"`{other}`")
    for what, others in said.items():
        names = ", ".join(others)
        if what.endswith("is better"):
            text += f"; it is better than {names}"
        elif what == TIED:
            text += f"; it cannot be told apart from {names}"
        else:
            text += f"; whether it is better than {names} is {what}"
    return [f"{text}."]


def _claim(row: Claim) -> str:
    words = {"helps": "help", "hurts": "hurt", TIED: "make no difference that can be seen"}
    verb = f": {because(row.doubts)}" if row.verdict == OPEN else f" {words[row.verdict]}"
    return f"Anchors (PIA) on `{row.b}`{verb}; difference of nDCG@100 {tables.interval(row)}."


def _claims(results: Study) -> str:
    verdicts = [row.verdict for row in results.claims]
    counts = ", ".join(f"{v} in {verdicts.count(v)}" for v in dict.fromkeys(verdicts))
    return (
        f"Every VAE that ran both ways, with anchors against the same without, on {code(results.data.name)}: PIA "
        f"{counts} of {len(verdicts)}. It helps if the 95 % interval over users lies above 0, hurts if below, and "
        "otherwise the two cannot be told apart. Neither is said after fewer than three seeds, if the best epoch is "
        "the last one, if training stopped before its weights reached their end, or if one of the two alone was "
        f"searched. The interval holds for {_split(results)} and these seeds."
    )


def _recall(value: RecallDefinitions) -> str:
    many = " and ".join(f"{n:,} have more than {k}" for k, n in value.users.items())
    text = (
        "Recall@k is hits / min(k, n) here, with n held-out items, as Liang et al. define it; some libraries and "
        f"papers divide by n. The two differ only for users with n > k: of the test users {many}. "
    )
    changed = []
    for k in value.users:
        recalls = [(row.model, row.at(int(k))) for row in value.rows]
        ours, theirs = sorted(recalls, key=lambda r: -r[1].min), sorted(recalls, key=lambda r: -r[1].n)
        if [model for model, _ in ours] != [model for model, _ in theirs]:
            changed.append(f"Recall@{k}")
    return text + (f"The order of the models changes for {' and '.join(changed)}." if changed else "The order stays.")


def _figures(captions: Mapping[str, Drawn], *names: str) -> list[str]:
    return [part for n in names if n in captions for part in figure(n, captions[n].caption, captions[n].seen)]


def _settings(results: Study) -> list[str]:
    """What all trained models share, then what is special to each."""
    trained = [m.training for m in results.preset.models.values() if m.training]
    shared = {k: v for k, v in (trained or [{}])[0].items() if all(t[k] == v for t in trained) and k != "seed"}
    lines = []
    for name, of in results.preset.models.items():
        own = {**of.arguments, **{k: v for k, v in of.training.items() if k not in shared and k != "seed"}}
        lines.append(f"* {code(name)} ({markdown(of.kind)}): {_listed(own) or 'nothing of its own'}")
    machine = ", ".join(f"{k} {v}" for k, v in results.environment.as_dict().items())
    common = [f"Training of all: {_listed(shared)}."] if shared else []
    return [
        f"Preset {code(results.preset.name)}.",
        *_origin(results),
        *common,
        "\n".join(lines),
        f"Machine: {machine}.",
    ]


def _listed(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {markdown(v)}" for k, v in settings.items())


def _origin(results: Study) -> list[str]:
    """How settings were searched, and whether the users that chose them may be among those that judge them."""
    origin = results.preset.origin
    if not origin:
        return []
    run = {name: of.trials for name, of in results.preset.models.items() if of.trials is not None}
    trials = f"{next(iter(run.values()), origin.get('trials'))} trials a model"
    if len(set(run.values())) > 1:
        trials = f"trials run: {', '.join(f'{name} {n}' for name, n in run.items())}"
    text = (
        f"Settings were chosen by {markdown(origin.get('method'))} search on the validation users of "
        f"{code(origin.get('data'))}, {markdown(trials)}, seed {markdown(origin.get('seed'))}."
    )
    if not searched_here(origin, results.data.searchable):
        text += (
            " That was another draw of held-out users, or other data: some of those who chose may be test users here."
        )
    return [text]


def figure(name: str, caption: str, seen: str = "") -> tuple[str, str]:
    """A figure in Markdown with a text that says what is seen, and its caption below it."""
    return f"![{markdown(seen or caption)}]({name})", f"*{markdown(caption)}*"
