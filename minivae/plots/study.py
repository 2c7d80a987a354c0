"""Figures of a study: what the models score, how they learned, where their users lie."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from minivae.plots.style import COLOURS


def intervals(
    labels: Sequence[str],
    centres: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
    xlabel: str,
    reference: float | None = None,
    colours: Sequence[str] = COLOURS,
    ax: Axes | None = None,
) -> Axes:
    """Points with error bars, one row per label, the first on top.

    Parameters
    ----------
    centres, low, high : Sequence[float]
        The point and the ends of its bar.
    xlabel : str
        What is measured, and what the bar means.
    reference : float, optional
        Where a vertical line is drawn, for instance 0.
    colours : Sequence[str], default COLOURS
        Of the rows, repeated as needed.
    """
    ax = plt.gca() if ax is None else ax
    y = np.arange(len(labels))[::-1]
    rows = zip(y, centres, low, high, strict=True)
    for (at, c, a, b), colour in zip(rows, cycle(colours), strict=False):
        ax.errorbar(c, at, xerr=[[c - a], [b - c]], fmt="o", color=colour, capsize=4, markersize=7, linewidth=2)
    if reference is not None:
        ax.axvline(reference, color="0.25", linewidth=1.2, linestyle="--", zorder=1.8)  # above the grid
    ax.set_yticks(y, labels)
    ax.set_ylim(-0.6, len(labels) - 0.4)
    ax.set_xlabel(xlabel)
    ax.xaxis.set_major_locator(MaxNLocator(5))  # small differences have long labels
    ax.grid(axis="x", color="0.9")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def learning_curves(
    curves: Mapping[str, Sequence[Sequence[float]]],
    references: Mapping[str, float] | None = None,
    others: Mapping[str, tuple[Sequence[int], Sequence[float]]] | None = None,
    ylabel: str = "validation nDCG@100",
    colours: Sequence[str] = COLOURS,
    ax: Axes | None = None,
) -> Axes:
    """A validation metric by epoch, one line per run, its best epoch marked.

    Parameters
    ----------
    curves : Mapping[str, Sequence[Sequence[float]]]
        Label -> one sequence of values per seed.
    references : Mapping[str, float], optional
        Label -> level of a model that is not trained step by step, as a horizontal line.
    others : Mapping[str, tuple[Sequence[int], Sequence[float]]], optional
        Label -> (epochs, values) measured by others, in grey; the label says by whom.
    colours : Sequence[str], default COLOURS
        Of the curves, repeated as needed; a colour that comes again is drawn in dashes, then in dots.
    """
    ax = plt.gca() if ax is None else ax
    used = Counter[str]()
    for (label, runs), colour in zip(curves.items(), cycle(colours), strict=False):
        style = ("-", "--", ":", "-.")[used[colour] % 4]
        used[colour] += 1
        for k, values in enumerate(runs):
            epochs = np.arange(1, len(values) + 1)
            ax.plot(epochs, values, color=colour, linewidth=1.8, linestyle=style, label=label if k == 0 else None)
            best = int(np.argmax(values))
            ax.plot(best + 1, values[best], "o", color=colour, markersize=7, markeredgecolor="white")
    for (label, level), style in zip((references or {}).items(), cycle(("--", ":", "-.")), strict=False):
        ax.axhline(level, color="0.35", linewidth=1.5, linestyle=style, label=label)
    for (label, (epochs, values)), style in zip((others or {}).items(), cycle(("-", "-.", ":")), strict=False):
        ax.plot(epochs, values, color="0.6", linewidth=1.2, linestyle=style, marker=".", label=label)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("epoch (dot: the one that is kept)")
    ax.set_ylabel(ylabel)
    ax.grid(color="0.9")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="best")
    return ax


def latent_map(mu: np.ndarray, activity: np.ndarray, title: str = "", bar: bool = True, ax: Axes | None = None) -> Axes:
    """Users in the plane of the first two principal components of their posterior means, coloured by activity.

    Parameters
    ----------
    mu : ndarray
        (U, d) posterior means.
    activity : ndarray
        (U,) number of interactions, at least 1.
    bar : bool, default True
        Whether the scale of colours is drawn beside it.
    """
    ax = plt.gca() if ax is None else ax
    centred = mu - mu.mean(0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    plane = u[:, :2] * s[:2]  # (U, 2)
    plane *= np.where((plane**3).sum(0) < 0, -1.0, 1.0)  # the sign of a component is arbitrary: fix it by its skewness
    share = s[:2] ** 2 / max(float((s**2).sum()), 1e-12)
    order = np.random.default_rng(0).permutation(len(mu))  # no group is always on top
    norm = LogNorm(max(int(activity.min()), 1), max(int(activity.max()), 2))
    dots = ax.scatter(*plane[order].T, c=activity[order], norm=norm, cmap="cividis", s=9, linewidths=0, rasterized=True)
    if bar:
        ax.figure.colorbar(dots, ax=ax, label="interactions of the user").outline.set_visible(False)
    ax.set_xlabel(f"component 1 ({share[0]:.0%} of the variance)")
    ax.set_ylabel(f"component 2 ({share[1]:.0%})")
    ax.set_title(title)
    ax.set_aspect("equal", adjustable="datalim")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def tried(
    values: Sequence[float | str],
    scores: Sequence[float],
    chosen: int,
    xlabel: str,
    ylabel: str = "validation nDCG@100",
    log: bool = False,
    colour: str = COLOURS[0],
    ax: Axes | None = None,
) -> Axes:
    """Trials of a search: the score against one of the settings.

    Parameters
    ----------
    values : Sequence[float | str]
    scores : Sequence[float]
        Of the trials; words are spread as categories.
    chosen : int
        Index of the trial that won.
    log : bool, default False
        Whether the setting has a logarithmic axis.
    """
    ax = plt.gca() if ax is None else ax
    words = any(isinstance(v, str | bool) for v in values)
    x = [str(v) for v in values] if words else list(values)
    ax.plot(x, scores, "o", color=colour, alpha=0.6, markersize=5)
    ax.plot([x[chosen]], [scores[chosen]], "o", markersize=11, markerfacecolor="none", color="0.1")
    if log and not words:
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
    return _labelled(ax, xlabel, ylabel)


def sensitivity(
    x: Sequence[float],
    centres: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
    xlabel: str,
    ylabel: str,
    ax: Axes | None = None,
) -> Axes:
    """An effect by the value of a setting, with intervals, on a logarithmic axis; the line is no effect."""
    ax = plt.gca() if ax is None else ax
    errors = [np.subtract(centres, low), np.subtract(high, centres)]
    ax.errorbar(x, centres, yerr=errors, fmt="o-", color=COLOURS[0], capsize=4, markersize=6, linewidth=1.5)
    ax.axhline(0, color="0.25", linewidth=1.2, linestyle="--", zorder=1.8)  # above the grid
    ax.set_xscale("log")
    ax.set_xticks(list(x), [f"{v:g}" for v in x])
    ax.xaxis.set_minor_formatter(NullFormatter())
    return _labelled(ax, xlabel, ylabel)


def budget(
    curves: Mapping[str, Sequence[float]],
    ylabel: str = "expected best",
    colours: Sequence[str] = COLOURS,
    ax: Axes | None = None,
) -> Axes:
    """The expected best score by number of trials, one line per model."""
    ax = plt.gca() if ax is None else ax
    for (label, values), colour in zip(curves.items(), cycle(colours), strict=False):
        ax.plot(np.arange(1, len(values) + 1), values, "o-", color=colour, markersize=3, label=label)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return _labelled(ax, "trials", ylabel)


def _labelled(ax: Axes, xlabel: str, ylabel: str) -> Axes:
    """Axes with labels over a grid, without a box."""
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    ax.grid(color="0.9")
    ax.spines[["top", "right"]].set_visible(False)
    return ax
