"""The report of a study: Markdown, and the same as one HTML file with its figures inside."""

import base64
import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt

from minivae.catalogue import DATASETS
from minivae.storage import write_text
from minivae.study import tables
from minivae.study.results import ModelResult

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; font-size: .8rem; }
th, td { padding: .3rem .5rem; border-bottom: 1px solid #ddd; white-space: nowrap; }
thead th { border-bottom: 2px solid #222; }
img { max-width: 100%; }
code { background: #f4f4f4; padding: .1rem .3rem; }
"""


def write(results: Mapping[str, Any], models: Sequence[ModelResult], captions: Mapping[str, str], out: Path) -> None:
    """Write report.md and report.html into `out`, where the figures of `captions` are."""
    text = compose(results, models, captions)
    write_text(out / "report.md", text)
    write_text(out / "report.html", to_html(text, out))


def compose(results: Mapping[str, Any], models: Sequence[ModelResult], captions: Mapping[str, str]) -> str:
    """The report in Markdown."""
    data = results["data"]
    parts = [f"# Study: {results['preset']['title']}", _data(data), "## Test metrics", _reading(results["summary"])]
    parts += [tables.markdown(tables.metrics(results["summary"])), *_figures(captions, "metrics.png")]
    if results["differences"]:
        parts += ["## Paired differences", _pairing(results)]
        parts += [tables.markdown(tables.differences(results["differences"])), *_figures(captions, "differences.png")]
    parts += ["## By activity", "nDCG@100 of test users by their number of interactions, history and held out."]
    parts += [
        tables.markdown(tables.groups(results["summary"])),
        "## Coverage",
        tables.markdown(tables.coverage(results["summary"])),
    ]
    if "curves.png" in captions:
        parts += ["## Learning curves", *_figures(captions, "curves.png")]
    if "latent.png" in captions:
        parts += ["## Latent space", *_figures(captions, "latent.png")]
    parts += ["## Cost", "Seconds of training with validation, for VAEs; of fitting, for the others."]
    parts += [tables.markdown(tables.cost(models))]
    published = tables.published(data["name"])
    if len(published) > 1 and is_the_published(data):
        tags = "; ".join(f"[{tag}] {meaning}" for tag, meaning in tables.TAGS.items())
        parts += ["## Published figures", f"Measured by others, on their draw of users. Evidence: {tags}."]
        parts += [tables.markdown(published)]
    parts += ["## Settings", *_settings(results)]
    return "\n\n".join(parts) + "\n"


def is_the_published(data: Mapping[str, Any]) -> bool:
    """Whether a description fits the data set of that name, so that published figures may stand beside ours."""
    counts = DATASETS[data["name"]].counts if data["name"] in DATASETS else {}
    return (counts.get("vocabulary"), counts.get("training users")) == (data["items"], data["users"]["training"])


def _data(data: Mapping[str, Any]) -> str:
    users, skipped = data["users"], data["users without held-out items"]["test"]
    left_out = f" {skipped:,} test users have no held-out item and are left out." if skipped else ""
    seed = data["protocol"].get("seed")
    source = ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in data["source"].items() if k != "data")
    made = f" Made from `{data['source']['data']}`{f' with {source}' if source else ''}."
    draw = f" Draw of held-out users: seed {seed}." if seed is not None else ""
    return (
        f"Data `{data['name']}`: {data['items']:,} items, {users['training']:,} training users with "
        f"{data['events']['training']:,} interactions (density {data['density']:.2%}), {users['validation']:,} "
        f"validation and {users['test']:,} test users. Strong generalization after Liang et al. (2018): test users are "
        f"new; a fifth of their items is held out.{draw}{left_out}{made} Epochs are chosen on "
        "validation users; test users are looked at once."
    )


def _reading(summary: Sequence[Mapping[str, Any]]) -> str:
    text = "Mean ± standard error over test users (population sd / √n). All items are ranked, none is sampled."
    if any(row["seeds"] > 1 for row in summary):
        text += " With several seeds, each user's value is averaged over them first; in brackets the standard error"
        text += " over seeds."
    return text


def _pairing(results: Mapping[str, Any]) -> str:
    text = (
        "The two models are compared user by user on the same test users; in brackets a 95 % t interval over "
        f"{results['differences'][0]['users']:,} users."
    )
    if any(row["seeds"] > 1 for row in results["summary"]):
        text += " Each user's value is averaged over seeds first."
    return text + (
        " The intervals hold for this draw of held-out users and these seeds, one comparison at a time; draw again "
        "with `--split-seed` before a small difference is believed."
    )


def _figures(captions: Mapping[str, str], *names: str) -> list[str]:
    return [part for n in names if n in captions for part in (f"![{captions[n]}]({n})", f"*{captions[n]}*")]


def _settings(results: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, spec in results["preset"]["models"].items():
        values = {**spec["arguments"], **spec["training"]}
        values.pop("seed", None)
        lines.append(
            f"* `{name}` ({spec['class']}): {', '.join(f'{k} {v}' for k, v in values.items()) or 'no settings'}"
        )
    machine = ", ".join(f"{k} {v}" for k, v in results["environment"].items())
    return [
        f"Preset `{results['preset']['name']}`.",
        *_origin(results["preset"]["origin"], results["data"]),
        "\n".join(lines),
        f"Machine: {machine}.",
    ]


def _origin(origin: Mapping[str, Any], data: Mapping[str, Any]) -> list[str]:
    """How settings were searched, and whether the users that chose them may be among those that judge them."""
    if not origin:
        return []
    text = (
        f"Settings were chosen by {origin.get('method')} search on the validation users of `{origin.get('data')}`, "
        f"{origin.get('trials')} trials a model, seed {origin.get('seed')}."
    )
    if origin.get("sha256") != data["searchable"]:
        text += (
            " That was another draw of held-out users, or other data: some of those who chose may be test users here."
        )
    return [text]


def to_html(markdown: str, folder: Path) -> str:
    """One HTML page; images of `folder` become part of it."""
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)

    def embed(match: re.Match[str]) -> str:
        image = base64.b64encode((folder / match[1]).read_bytes()).decode()
        return f'src="data:image/png;base64,{image}"'

    body = re.sub(r'src="([\w.-]+\.png)"', embed, body)
    title = html.escape(markdown.splitlines()[0].lstrip("# "))
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    head = f"<head>{head}<style>{STYLE}</style></head>"
    return f'<!doctype html>\n<html lang="en">\n{head}\n<body>\n{body}</body>\n</html>\n'
