"""A table of fractions as a heat map."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes


def heat_map(
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    counts: np.ndarray | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Fractions in [0, 1] by two properties; white is one half, and every cell says its number.

    Parameters
    ----------
    values : ndarray, (R, C)
        Fractions; NaN leaves a cell empty.
    rows, columns : Sequence[str]
        Labels of the R rows, the first at the bottom, and of the C columns.
    counts : ndarray, (R, C), optional
        How many pairs stand behind each fraction, written below it.
    ax : Axes, optional
        Where to draw; the current axes by default.
    """
    ax = plt.gca() if ax is None else ax
    ax.imshow(values, cmap="PuOr", vmin=0, vmax=1, origin="lower", aspect="auto")
    for (r, c), value in np.ndenumerate(values):
        if np.isfinite(value):
            many = "" if counts is None else f"\n({counts[r, c]:,.0f})"
            dark = abs(value - 0.5) > 0.35
            ax.text(c, r, f"{value:.2f}{many}", ha="center", va="center", fontsize=9, color="white" if dark else "0.1")
    ax.set_yticks(range(len(rows)), rows)
    ax.set_xticks(range(len(columns)), columns)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax
