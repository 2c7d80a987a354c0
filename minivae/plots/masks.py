"""Masked pairs: two rows of items, and the map of contraction with users on it."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap

from minivae.plots.style import COLOURS


def pair_of_rows(rows: np.ndarray, ax: Axes | None = None) -> Axes:
    """Two users as rows of items: grey where both have the item, coloured where only one has it.

    Parameters
    ----------
    rows : ndarray, (2, I)
        Zeros and ones.
    ax : Axes, optional
        Where to draw; the current axes by default.
    """
    ax = plt.gca() if ax is None else ax
    differ = rows[0] != rows[1]
    ax.imshow(rows * (1 + differ), cmap=ListedColormap(["white", "0.7", COLOURS[3]]), vmin=0, vmax=2)
    ax.set_xticks(np.arange(-0.5, rows.shape[1]), [])
    ax.set_yticks([-0.5, 0.5, 1.5], [])
    ax.grid(color="0.6", linewidth=0.6)
    ax.tick_params(length=0)
    return ax


def contraction_map(keep: np.ndarray, border: np.ndarray, ax: Axes | None = None) -> Axes:
    """Theorem 2.6 as a map: below the border a pair of users comes closer on average, above it moves apart.

    Parameters
    ----------
    keep : ndarray, (N,)
        ρ, the probability to keep an item.
    border : ndarray, (N,)
        Jaccard index at which nothing changes on average.
    ax : Axes, optional
        Where to draw; the current axes by default.
    """
    ax = plt.gca() if ax is None else ax
    ax.plot(keep, border, color="black")
    ax.fill_between(keep, 0, border, color=COLOURS[0], alpha=0.25)
    ax.fill_between(keep, border, 1, color=COLOURS[1], alpha=0.45)
    ax.text(0.3, 0.25, "closer, on average", ha="center")
    ax.text(0.62, 0.75, "farther, on average", ha="center")
    ax.set(
        xlabel="$\\rho$, the probability to keep an item", ylabel="Jaccard index of a pair", xlim=(0, 1), ylim=(0, 1)
    )
    return ax


def sideways(groups: Mapping[str, np.ndarray], border: float, ax: Axes | None = None) -> Axes:
    """Histograms of Jaccard indices with the index upwards, to stand beside the map; the first group is filled.

    Parameters
    ----------
    groups : Mapping[str, ndarray]
        Label -> Jaccard indices.
    border : float
        A level to mark, at ρ = ½.
    ax : Axes, optional
        Where to draw; the current axes by default.
    """
    ax = plt.gca() if ax is None else ax
    bins = np.linspace(0, 1, 41).tolist()
    for k, (label, values) in enumerate(groups.items()):
        if k == 0:
            ax.hist(values, bins, orientation="horizontal", label=label, color=COLOURS[0], alpha=0.7)
        else:
            ax.hist(values, bins, orientation="horizontal", label=label, histtype="step", color="black")
    ax.axhline(border, color="0.4", linestyle="--", linewidth=1)
    ax.text(1, border + 0.01, "border at $\\rho$ = ½", transform=ax.get_yaxis_transform(), ha="right", fontsize=9)
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return ax
