"""Figures of the experiments that retrain: scores against retraining, far pairs, what helpers are missed for."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from minivae.plots.study import intervals
from minivae.plots.style import COLOURS

if TYPE_CHECKING:
    from minivae.explain.records import FarResults, LdsResults, RemovalResults

Words = tuple[str, str]
"""A caption, and what is seen."""


def lds_figures(value: "LdsResults") -> tuple[dict[str, Figure], dict[str, Words]]:
    """Every score of every outcome with its interval, from `minivae.explain.experiment.measure`; and the words."""
    outcomes = [o for o in value.scores if "," not in o]  # the others are the same runs seen in other ways
    rows = len(value.scores[outcomes[0]])
    figure = Figure(figsize=(4.4 * len(outcomes), 0.36 * rows + 1.2), layout="constrained")
    said = []
    for ax, outcome in zip(np.atleast_1d(figure.subplots(1, len(outcomes), sharex=True)), outcomes, strict=True):
        scores = dict(sorted(value.scores[outcome].items(), key=lambda row: -row[1].lds))
        centres, low, high = zip(*((s.lds, s.low, s.high) for s in scores.values()), strict=True)
        colours = [COLOURS[3] if n == "transfer" else "0.45" if n == "ceiling" else COLOURS[0] for n in scores]
        intervals(list(scores), centres, low, high, "LDS, 95 % interval", 0, colours, ax).set_title(outcome)
        said.append(f"{outcome}: " + ", ".join(f"{n} {s.lds:.2f}" for n, s in scores.items()))
    caption = "Agreement of each score with retraining on halves of the users; 0 is chance."
    return {"lds": figure}, {"lds": (caption, ". ".join(said))}


def far_figures(value: "FarResults") -> tuple[dict[str, Figure], dict[str, Words]]:
    """Related minus unrelated pairs along training, a line for each way of training; and the words."""
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    ax, said = figure.subplots(), []
    for colour, (name, of) in zip(COLOURS, value.variants.items(), strict=False):
        epochs = {int(m.split()[1]): d for m, d in of.items() if m.startswith("epoch ")}
        at, lines = list(epochs), list(epochs.values())
        ax.plot(at, [d.difference for d in lines], "o-", color=colour, markersize=4, label=name)
        band = [(d.low, d.high) for d in lines if d.low is not None and d.high is not None]
        if band:  # at every moment or at none
            low, high = zip(*band, strict=True)
            ax.fill_between(at, low, high, color=colour, alpha=0.2)
        first, last = lines[0].difference, lines[-1].difference
        said.append(f"{name} from {first:+.4f} at epoch {at[0]} to {last:+.4f} at epoch {at[-1]}")
    ax.axhline(0, color="0.25", linewidth=1.2, linestyle="--")
    ax.set_xlabel("epoch of the snapshot")
    ax.set_ylabel("cosine of gradients, related − unrelated")
    ax.legend()
    ax.spines[["top", "right"]].set_visible(False)
    caption = "Do gradients of far but related users agree more than those of their controls? Bands: 95 % over seeds."
    return {"far": figure}, {"far": (caption, "; ".join(said))}


def removal_figures(value: "RemovalResults") -> tuple[dict[str, Figure], dict[str, Words]]:
    """The difference of every receiver, sorted, and its mean, from the value of `minivae explain removal`."""
    each = np.sort(np.array(value.without_helpers) - np.array(value.without_others))
    of = value.difference
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    ax = figure.subplots()
    ax.bar(np.arange(1, len(each) + 1), each, color=[COLOURS[0] if d > 0 else COLOURS[1] for d in each])
    ax.axhline(0, color="0.25", linewidth=0.8)
    ax.axhspan(of.low, of.high, color="0.5", alpha=0.25)
    ax.axhline(of.mean, color="black", linewidth=1.2, linestyle="--", label="mean, 95 % interval")
    ax.set_xlabel("test user, by difference")
    ax.set_ylabel("loss without helpers − others, nats")
    ax.legend()
    ax.spines[["top", "right"]].set_visible(False)
    caption = "What each test user misses: above 0 the best helpers, below 0 the others of like activity."
    seen = f"Differences from {each[0]:+.4f} to {each[-1]:+.4f} nats, {(each > 0).sum()} of {len(each)} above 0."
    return {"removal": figure}, {"removal": (caption, seen)}
