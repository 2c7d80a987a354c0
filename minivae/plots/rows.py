"""Rows of marks: several kinds of one quantity, and published differences in standard errors."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from minivae.plots.style import COLOURS

MARKERS = "osD^"
EDGE = 9.0
"""Standard errors from 0 beyond which a published difference is drawn at the edge, with its number."""


def dots(
    rows: Sequence[str],
    kinds: Mapping[str, Sequence[float] | np.ndarray],
    reference: float | None = None,
    colours: Sequence[str] = COLOURS,
    ax: Axes | None = None,
) -> Axes:
    """A row for each name, the first on top, and in it a mark for each kind.

    Parameters
    ----------
    rows : Sequence[str]
        Labels of the R rows.
    kinds : Mapping[str, Sequence[float]]
        Label -> (R,) values, or (R, S) with several marks in a row.
    reference : float, optional
        Where a vertical line is drawn.
    colours : Sequence[str], default COLOURS
        Of the kinds.
    ax : Axes, optional
        Where to draw; the current axes by default.
    """
    ax = plt.gca() if ax is None else ax
    at = np.arange(len(rows))
    for k, (label, values) in enumerate(kinds.items()):
        marks = np.asarray(values, float).reshape(len(rows), -1)  # (R, S)
        height = np.repeat(at + 0.16 * (k - (len(kinds) - 1) / 2), marks.shape[1])
        ax.plot(marks.ravel(), height, MARKERS[k % len(MARKERS)], color=colours[k], label=label)
    if reference is not None:
        ax.axvline(reference, color="0.4", linestyle="--", linewidth=1)
    ax.set_yticks(at, rows)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def zones(labels: Sequence[str], steps: Sequence[float], correlation: Sequence[float], ax: Axes | None = None) -> Axes:
    """Published differences in unpaired standard errors, before what two unpaired and two paired errors reach.

    Parameters
    ----------
    labels : Sequence[str]
        What is compared, one row each.
    steps : Sequence[float]
        The differences, in unpaired standard errors.
    correlation : Sequence[float]
        r of two models over users; the paired error is √(1 − r) of the unpaired one.
    ax : Axes, optional
        Where to draw; the current axes by default.
    """
    ax = plt.gca() if ax is None else ax
    for k, (step, r) in enumerate(zip(steps, correlation, strict=True)):
        for reach, shade in ((2, "0.9"), (2 * (1 - r) ** 0.5, "0.72")):
            ax.barh(k, 2 * reach, left=-reach, height=0.62, color=shade)
        ax.plot(np.clip(step, -EDGE, EDGE), k, "o", color=COLOURS[3])
        if abs(step) > EDGE:
            ax.text(np.sign(step) * (EDGE - 0.3), k, f"{step:+.0f} →", ha="right", va="center", fontsize=9)
    ax.axvline(0, color="0.4", linewidth=1)
    ax.set_yticks(range(len(labels)), labels)
    ax.invert_yaxis()
    ax.spines[["top", "right"]].set_visible(False)
    return ax
