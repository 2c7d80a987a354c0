"""The figures of a study as PNG files."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure

from minivae import plots
from minivae.data.splits import StrongSplit
from minivae.metrics import shown
from minivae.models import VAE, load_model
from minivae.options import METRICS, SELECTION
from minivae.runtime.storage import write_whole
from minivae.study.output import published
from minivae.study.run.conclusions import Estimate, sign
from minivae.study.run.notes import defaults_of
from minivae.study.run.records import Claim, Comparison, Study
from minivae.study.run.results import ModelResult
from minivae.study.run.settings import Section

DPI = 100
FORMATS = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
"""Kind of file -> what is left out of it, so that the same figure gives the same bytes."""
ORDER = ("popularity", "ease", "multvae-clean", "multvae", "multvae+anchor")  # a model keeps its colour


@dataclass(frozen=True)
class Drawn:
    """The texts that belong to a figure.

    Attributes
    ----------
    caption : str
        What is drawn.
    seen : str
        What is seen, with the numbers, for readers who do not see it.
    """

    caption: str
    seen: str = ""


def save(figure: Figure, out: Path, name: str) -> None:
    """Write out/NAME.png, .svg and .pdf."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once, not twice for each kind of file
    with matplotlib.rc_context({"svg.hashsalt": name}):
        for kind, left_out in FORMATS.items():
            about = {"format": kind, "dpi": DPI, "metadata": left_out}
            write_whole(out / f"{name}.{kind}", lambda path, about=about: figure.savefig(path, **about))


def remove(out: Path, name: str) -> None:
    """Remove a figure of an earlier, larger selection of models."""
    for kind in FORMATS:
        (out / f"{name}.{kind}").unlink(missing_ok=True)


def write_figures(models: Sequence[ModelResult], results: Study, split: StrongSplit, out: Path) -> dict[str, Drawn]:
    """Write the figures that the runs allow; returns file name -> words, in the order of the report."""
    others = published.curves(split.name) if published.at_hand(results.data) else {}
    flat = "; EASE needs no epochs" if any(m.name == "ease" for m in models) else ""
    by_epoch = f"Validation nDCG@100 by epoch{flat}."
    by_epoch += " Grey: published, on the same split; its tag and source in the legend." if others else ""
    best = [d for d in results.differences if d.metric == SELECTION]
    levels = [(r.model, r.metrics[SELECTION].mean) for r in results.summary]
    figures = {
        "metrics": (
            metrics(models),
            "Test metrics, mean ± 1.96 standard errors over users.",
            f"nDCG@100 of {'; '.join(f'{name} {value:.4f}' for name, value in levels)}.",
        ),
        "anchors": (
            anchors(results.claims),
            "Test nDCG@100 with anchors minus without, 95 % intervals over users; right of the line anchors help.",
            _in_words(results.claims),
        ),
        "differences": (
            paired(results.differences),
            "Paired differences of test nDCG@100, 95 % intervals over users. Left of the line the second is better.",
            _in_words(best),
        ),
        "curves": (curves(models, others), by_epoch, _curves_in_words(models)),
        "latent": (
            latent(models, split),
            "Posterior means of test users (first seed), first two principal components; light: active users.",
            f"One panel a VAE, a dot for each of {split.test.n_users:,} test users, coloured by activity.",
        ),
    }
    for k, section in enumerate(results.sections, 1):
        if section.axis:
            caption = f"Difference of test nDCG@100 by {section.axis}, 95 % intervals over users; the line is none."
            seen = _in_words([d for d in best if (d.a, d.b) in section.pairs])
            figures[f"section-{k}"] = (sensitivity(section, results), caption, seen)
    found = {}
    for name, (figure, caption, seen) in figures.items():
        if figure is not None:
            save(figure, out, name)
            found[f"{name}.png"] = Drawn(caption, seen)
        else:
            remove(out, name)
    return found


def _in_words(rows: Sequence[Comparison | Claim]) -> str:
    """Intervals, and on which side of 0 they lie."""
    sides = {1: "above", -1: "below", 0: "around"}
    return "; ".join(f"{d.a} minus {d.b} {d.difference:+.4f}, interval {sides[sign(d)]} 0" for d in rows) + "."


def _curves_in_words(models: Sequence[ModelResult]) -> str:
    """Where the curves are highest."""
    trained = [(m.name, m.runs[0]) for m in models if m.runs[0].log]
    best = [(n, max(line["validation"] for line in r.log), r.metrics.best_epoch, len(r.log)) for n, r in trained]
    return "; ".join(f"{n} is highest, {value:.4f}, at epoch {at} of {of}" for n, value, at, of in best) + "."


def anchors(claims: Sequence[Claim]) -> Figure | None:
    """With anchors minus without, over all users and by activity."""
    rows: list[tuple[str, Estimate, str]] = []
    for r in claims:
        rows.append((f"{r.a} − {r.b}", r, plots.COLOURS[0]))
        rows += [(f"{label} interactions", d, "0.5") for label, g in r.groups.items() if (d := g.found)]
    return forest(rows, row_height=0.36)


def forest(rows: Sequence[tuple[str, Estimate, str]], row_height: float) -> Figure | None:
    """Differences of test nDCG@100 with their intervals, a row for each (label, difference, colour); None without."""
    if not rows:
        return None
    figure = Figure(figsize=(8, 1.4 + row_height * len(rows)), layout="constrained")
    labels, found, one = zip(*rows, strict=True)
    ends = [d.difference for d in found], [d.low for d in found], [d.high for d in found]
    label = f"difference of test {shown(SELECTION)}"
    plots.intervals(labels, *ends, label, reference=0.0, colours=one, ax=figure.subplots())
    return figure


def sensitivity(section: Section, results: Study) -> Figure | None:
    """Differences of nDCG@100 of a section's models by the setting in which they differ."""

    def setting(name: str) -> Any:
        m = results.preset.models[name]
        defaults = defaults_of(m.kind)
        return {**defaults["arguments"], **defaults["training"], **m.arguments, **m.training}[section.axis]

    rows = [d for d in results.differences if d.metric == SELECTION and (d.a, d.b) in section.pairs]
    rows = sorted((setting(d.a), d.difference, d.low, d.high) for d in rows)
    if len(rows) < 2:
        return None
    figure = Figure(figsize=(7, 4), layout="constrained")
    label = f"difference of test nDCG@100 to {section.pairs[0][1]}"
    at, differences, low, high = zip(*rows, strict=True)
    plots.sensitivity(at, differences, low, high, section.axis, label, ax=figure.subplots())
    return figure


def metrics(models: Sequence[ModelResult]) -> Figure:
    """One panel per metric, one row per model."""
    names = [m.name for m in models]
    figure = Figure(figsize=(10, 1.2 + 0.38 * len(models)), layout="constrained")
    for ax, metric in zip(figure.subplots(1, len(METRICS), sharey=True), METRICS, strict=True):
        values = np.array([m.pooled()[metric] for m in models])
        half = 1.96 * values[:, 1]
        low, high = values[:, 0] - half, values[:, 0] + half
        levels = (values[:, 0].tolist(), low.tolist(), high.tolist())
        plots.intervals(names, *levels, f"test {shown(metric)}", colours=colours(names), ax=ax)
    return figure


def paired(differences: Sequence[Comparison]) -> Figure | None:
    """Paired differences of nDCG@100."""
    rows = [d for d in differences if d.metric == SELECTION]
    labels = [f"{d.a} − {d.b}" for d in rows]
    return forest(list(zip(labels, rows, colours([d.a for d in rows]), strict=True)), row_height=0.42)


def curves(models: Sequence[ModelResult], others: Mapping[str, tuple[Sequence[int], Sequence[float]]]) -> Figure | None:
    """Validation nDCG@100 by epoch."""
    trained = {m.name: [[line["validation"] for line in r.log] for r in m.runs] for m in models if m.runs[0].log}
    if not trained:
        return None
    levels = {m.name: m.pooled("validation")[SELECTION][0] for m in models if m.name == "ease"}
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    plots.learning_curves(trained, levels, others, colours=colours(trained), ax=figure.subplots())
    return figure


def latent(models: Sequence[ModelResult], split: StrongSplit) -> Figure | None:
    """Test users in the latent space of each VAE's first run."""
    files = {m.name: m.runs[0].folder / "model.safetensors" for m in models if m.runs[0].log}
    folders = {name: file for name, file in files.items() if file.is_file()}
    if not folders:
        return None
    activity = np.diff(split.test.history.indptr)
    there = activity > 0
    width = min(len(folders), 5)
    height = -(-len(folders) // width)
    figure = Figure(figsize=(1 + 3.6 * width, 4 * height), layout="constrained")
    axes = figure.subplots(height, width, squeeze=False).ravel()
    for ax in axes[len(folders) :]:
        ax.remove()
    for ax, (name, folder) in zip(axes, folders.items(), strict=False):
        model = load_model(folder)
        assert isinstance(model, VAE)  # only VAEs have a log
        with torch.no_grad():
            mu = model.encode(split.test.history[there])[0].numpy()
        plots.latent_map(mu, activity[there], name, bar=name == list(folders)[-1], ax=ax)
    return figure


def colours(names: Collection[str]) -> list[str]:
    """One colour per model; further models take the rest in turn."""
    every = [*ORDER, *sorted({n for n in names if n not in ORDER})]
    return [plots.COLOURS[every.index(n) % len(plots.COLOURS)] for n in names]
