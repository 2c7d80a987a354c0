"""Figures of Theorem 2.6: the law of a masked distance, and what masks do to distances in latent space."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from minivae.plots.style import COLOURS, open_axes


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
