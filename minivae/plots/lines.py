"""Lines over a common axis, with bands and markers that differ without colour, and values in order."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from minivae.plots.style import COLOURS

STYLES = (("-", "o"), ("--", "s"), (":", "D"), ("-.", "^"))
SPARSE = 30
"""Points up to which each has a marker."""


def lines(
    x: Sequence[float] | np.ndarray,
    values: Mapping[str, np.ndarray],
    bands: Mapping[str, tuple[np.ndarray, np.ndarray]] | None = None,
    colours: Sequence[str] = COLOURS,
    ax: Axes | None = None,
) -> Axes:
    """One line for each name, and a band around it.

    Parameters
    ----------
    x : Sequence[float]
        The common axis, (N,).
    values : Mapping[str, ndarray]
        Label -> (N,) the line; or (S, N) one row a seed, drawn as the mean with a band from the lowest to the highest.
    bands : Mapping[str, tuple[ndarray, ndarray]], optional
        Label -> lower and upper edge of its band, (N,) each.
    colours : Sequence[str], default COLOURS
        Of the lines.
    ax : Axes, optional
        Where to draw; the current axes by default.
    """
    ax = plt.gca() if ax is None else ax
    for k, (label, line) in enumerate(values.items()):
        line = np.asarray(line)
        edges = (bands or {}).get(label)
        if line.ndim == 2:
            line, edges = line.mean(0), (line.min(0), line.max(0))
        style, marker = STYLES[k % len(STYLES)]
        ax.plot(x, line, style, marker=marker if len(line) <= SPARSE else "", color=colours[k], label=label)
        if edges is not None:
            ax.fill_between(x, *edges, color=colours[k], alpha=0.2, linewidth=0)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def in_order(values: np.ndarray, mean: float, low: float, high: float, ax: Axes | None = None) -> Axes:
    """Values from the lowest to the highest as bars, with their mean and its interval.

    Parameters
    ----------
    values : ndarray, (N,)
        In any order; those below 0 have another colour.
    mean, low, high : float
        The mean and its 95 % interval.
    ax : Axes, optional
        Where to draw; the current axes by default.
    """
    ax = plt.gca() if ax is None else ax
    values = np.sort(values)
    ax.bar(range(1, len(values) + 1), values, color=[COLOURS[0 if v > 0 else 3] for v in values])
    ax.axhline(mean, color="0.3", linestyle="--", label="mean")
    ax.axhspan(low, high, color="0.8", zorder=0, label="95 % interval of the mean")
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return ax
