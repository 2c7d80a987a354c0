"""Figures of Theorem 2.6: masked pairs, the law of their distance, the map of contraction, and latent distances."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap

from minivae.plots.style import COLOURS, open_axes


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


def masked_law(values: np.ndarray, pmf: np.ndarray, clean: float, ax: Axes | None = None) -> Axes:
    """Theorem 2.6: the exact law of the masked distance of a pair and simulated masks.

    Parameters
    ----------
    values : ndarray
        (n,) simulated distances.
    pmf : ndarray
        Exact probabilities of 0, 1, …
    clean : float
        Distance without masks.
    """
    ax = plt.gca() if ax is None else ax
    seen = np.bincount(np.rint(values).astype(int), minlength=len(pmf)) / len(values)
    k = np.arange(len(pmf))
    ax.bar(k, seen, color=COLOURS[5], label=f"{len(values):,} simulated masks")
    ax.plot(k, pmf, "o-", color="black", markersize=4, linewidth=1, label="exact law")
    ax.axvline(clean, color=COLOURS[3], linewidth=2, label=f"without masks: {clean:g}")
    likely = np.flatnonzero(pmf > 1e-4 * pmf.max())
    ax.set_xlim(min(likely[0], clean) - 1, max(likely[-1], clean) + 1)
    ax.set_ylim(0, 1.45 * max(pmf.max(), seen.max()))
    ax.set_xlabel("items in which the two masked users differ")
    ax.set_ylabel("probability")
    ax.legend(frameon=False)
    return open_axes(ax)


def contraction_by_distance(
    clean: np.ndarray,
    ratio: np.ndarray,
    error: np.ndarray,
    label: str = "",
    colour: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """Theorem 2.6 in latent space: masked over clean distance, by quantile of the clean distance.

    Parameters
    ----------
    clean, ratio, error : ndarray
        (Q,) as in `minivae.theory.latent_contraction.LatentContraction`.
    """
    ax = plt.gca() if ax is None else ax
    ax.errorbar(clean, ratio, yerr=error, fmt="o-", color=COLOURS[colour], capsize=3, label=label or None)
    ax.axhline(1, color="0.4", linestyle="--", linewidth=1)
    ax.set_xlabel("clean distance of two users in latent space")
    ax.set_ylabel("masked / clean distance\n(above 1: masks drive apart)")
    if label:
        ax.legend(frameon=False)
    return open_axes(ax)
