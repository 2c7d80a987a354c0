"""Figures of an experiment with people: recommenders as points, a test looked at day by day, lifts."""

from collections.abc import Collection, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from minivae.plots.style import COLOURS

TICKS = (0.8, 1, 1.5, 2, 4, 8)
"""Ratios of treatment to control at which a lift is named."""


def named_points(
    points: Mapping[str, tuple[float, float]],
    kinds: Mapping[str, str],
    unnamed: Collection[str] = (),
    ax: Axes | None = None,
) -> Axes:
    """One point for each name; those of a kind share a colour and a line of the legend, the others say their name.

    Parameters
    ----------
    points : Mapping[str, tuple[float, float]]
        Name -> where it stands.
    kinds : Mapping[str, str]
        What the names of a kind begin with -> its label.
    unnamed : Collection[str], optional
        Names that are not written, where points are too close.
    ax : Axes, optional
        Where to draw; the current axes by default.
    """
    ax = plt.gca() if ax is None else ax
    marks, labels = dict(zip(kinds, zip("oD^", COLOURS, strict=False), strict=False)), dict(kinds)
    for name, point in points.items():
        kind = next((k for k in kinds if name.startswith(k)), "")
        marker, colour = marks.get(kind, ("s", COLOURS[6]))
        ax.scatter(*point, s=35, marker=marker, color=colour, alpha=0.8, linewidth=0, label=labels.pop(kind, None))
        if not kind and name not in unnamed:
            ax.annotate(name, point, xytext=(-8, 0), textcoords="offset points", ha="right", va="center", fontsize=9)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def looks(z: np.ndarray, boundary: np.ndarray, once: float = 1.96, ax: Axes | None = None) -> Axes:
    """Tests day by day, those coloured that were ever beyond the limit of a single look.

    Parameters
    ----------
    z : ndarray, (R, days)
        Difference over standard error of R experiments.
    boundary : ndarray, (days,)
        The limit that holds for any number of looks.
    once : float, default 1.96
        The limit of one look.
    ax : Axes, optional
        Where to draw; the current axes by default.
    """
    ax = plt.gca() if ax is None else ax
    days = np.arange(1, z.shape[1] + 1)
    for path in z:
        alarmed = bool((abs(path) > once).any())
        ax.plot(days, path, color=COLOURS[3] if alarmed else "0.8", linewidth=1, zorder=2 if alarmed else 1)
    for sign in (-1, 1):
        ax.plot(days, np.full(len(days), once * sign), "k--", label=f"one look, ±{once:g}" if sign > 0 else None)
        ax.plot(days, sign * boundary, "k-", label="any number of looks" if sign > 0 else None)
    ax.legend(frameon=False, loc="upper right", ncols=2)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def lifts(found: Mapping[str, Sequence[tuple[float, float, float]]], ax: Axes | None = None) -> Axes:
    """Lifts with their intervals on a logarithmic scale of the ratio, one row for each control.

    Parameters
    ----------
    found : Mapping[str, Sequence[tuple[float, float, float]]]
        Label of the row -> for each repetition the lift and the ends of its interval; 0 is no effect.
    ax : Axes, optional
        Where to draw; the current axes by default.
    """
    ax = plt.gca() if ax is None else ax
    for row, repetitions in enumerate(found.values()):
        for k, (lift, low, high) in enumerate(repetitions):
            y, bar = row + 0.13 * (k - (len(repetitions) - 1) / 2), [[lift - low], [high - lift]]
            ax.errorbar(1 + lift, y, xerr=bar, fmt="o", color=COLOURS[row], markersize=4)
    ax.axvline(1, color="0.5", linestyle="--", linewidth=1)
    ax.set_xscale("log")
    ax.set_xticks(TICKS, [f"{t - 1:+.0%}" if t != 1 else "0" for t in TICKS])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_yticks(range(len(found)), found)
    ax.invert_yaxis()
    ax.spines[["top", "right"]].set_visible(False)
    return ax
