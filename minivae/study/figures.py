"""The figures of a study as PNG files."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from minivae import plots
from minivae.models import load_model
from minivae.ranking import METRICS
from minivae.splits import StrongSplit
from minivae.storage import write_whole
from minivae.study.results import ModelResult

DPI = 100
ORDER = ("popularity", "ease", "multvae-clean", "multvae", "multvae+anchor")  # a model keeps its colour


def draw(
    models: Sequence[ModelResult], differences: Sequence[Mapping[str, Any]], split: StrongSplit, out: Path
) -> dict[str, str]:
    """Write the figures that the runs allow; returns file name -> caption, in the order of the report."""
    figures = {
        "metrics.png": (metrics(models), "Test metrics, mean ± 1.96 standard errors over users."),
        "differences.png": (
            paired(differences),
            "Paired differences of test nDCG@100, 95 % intervals over users. Left of the line the second is better.",
        ),
        "curves.png": (curves(models), "Validation nDCG@100 by epoch; EASE needs no epochs."),
        "latent.png": (
            latent(models, split),
            "Posterior means of test users (first seed), first two principal components; light: active users.",
        ),
    }
    captions = {}
    for name, (figure, caption) in figures.items():
        if figure is not None:
            write_whole(out / name, lambda path, f=figure: f.savefig(path, format="png", dpi=DPI))
            captions[name] = caption
        else:
            (out / name).unlink(missing_ok=True)  # of an earlier, larger selection of models
    return captions


def metrics(models: Sequence[ModelResult]) -> Figure:
    """One panel per metric, one row per model."""
    names = [m.name for m in models]
    figure = Figure(figsize=(10, 1.2 + 0.38 * len(models)), layout="constrained")
    for ax, metric in zip(figure.subplots(1, len(METRICS), sharey=True), METRICS, strict=True):
        values = np.array([m.pooled()[metric] for m in models])
        half = 1.96 * values[:, 1]
        low, high = values[:, 0] - half, values[:, 0] + half
        plots.intervals(names, values[:, 0], low, high, f"test {shown(metric)}", colours=colours(names), ax=ax)
    return figure


def paired(differences: Sequence[Mapping[str, Any]]) -> Figure | None:
    """Paired differences of nDCG@100."""
    rows = [d for d in differences if d["metric"] == "ndcg@100"]
    if not rows:
        return None
    figure = Figure(figsize=(8, 1.4 + 0.42 * len(rows)), layout="constrained")
    columns = ([d[k] for d in rows] for k in ("difference", "low", "high"))
    labels = [f"{d['a']} − {d['b']}" for d in rows]
    one = colours([d["a"] for d in rows])
    plots.intervals(labels, *columns, "difference of test nDCG@100", reference=0.0, colours=one, ax=figure.subplots())
    return figure


def curves(models: Sequence[ModelResult]) -> Figure | None:
    """Validation nDCG@100 by epoch."""
    trained = {m.name: [[line["validation"] for line in r.log] for r in m.runs] for m in models if m.runs[0].log}
    if not trained:
        return None
    levels = {m.name: m.pooled("validation")["ndcg@100"][0] for m in models if m.name == "ease"}
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    plots.learning_curves(trained, levels, colours=colours(trained), ax=figure.subplots())
    return figure


def latent(models: Sequence[ModelResult], split: StrongSplit) -> Figure | None:
    """Test users in the latent space of each VAE's first run."""
    folders = {m.name: f for m in models if (f := m.runs[0].folder / "model.safetensors").is_file()}
    if not folders:
        return None
    activity = np.diff(split.test.history.indptr)
    there = activity > 0
    figure = Figure(figsize=(1 + 3.6 * len(folders), 4), layout="constrained")
    for ax, (name, folder) in zip(figure.subplots(1, len(folders), squeeze=False)[0], folders.items(), strict=True):
        mu = load_model(folder).encode(split.test.history[there])[0].detach().numpy()
        plots.latent_map(mu, activity[there], name, bar=name == list(folders)[-1], ax=ax)
    return figure


def colours(names: Collection[str]) -> list[str]:
    """One colour per model; further models take the rest in turn."""
    every = [*ORDER, *sorted({n for n in names if n not in ORDER})]
    return [plots.COLOURS[every.index(n) % len(plots.COLOURS)] for n in names]


def shown(metric: str) -> str:
    """The name of a metric as people write it.

    >>> shown("ndcg@100"), shown("recall@20")
    ('nDCG@100', 'Recall@20')
    """
    return metric.replace("ndcg", "nDCG").replace("recall", "Recall")
