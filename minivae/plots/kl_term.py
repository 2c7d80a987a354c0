"""Figures of the KL term of trained networks: its two sides, its dimensions, and both over β."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from minivae.plots.style import COLOURS, open_axes


def kl_sides(mean_kl: float, information: float, marginal: float, ceiling: float, ax: Axes | None = None) -> Axes:
    """β-KL: the KL term on one side, its two parts on the other, in nats a user."""
    ax = plt.gca() if ax is None else ax
    ax.bar(["the KL term"], [mean_kl], color="0.6", width=0.6, label="$E\\,KL(q_u \\| p)$, analytic")
    ax.bar(["its two parts"], [information], color=COLOURS[0], width=0.6, label="$I(U; Z)$")
    label = "$KL(\\bar q \\| p)$"
    ax.bar(["its two parts"], [marginal], bottom=[information], color=COLOURS[1], width=0.6, label=label)
    ax.hlines(ceiling, 0.65, 1.35, color="black", linestyle="--", label="ceiling of $I$: $\\log U$")
    ax.set_ylabel("nats per user")
    ax.set_xlim(-0.5, 1.5)
    ax.set_ylim(0, 1.45 * max(mean_kl, ceiling))
    ax.legend(frameon=False, loc="upper left", ncols=2)
    return open_axes(ax)


def kl_by_dimension(kl: np.ndarray, ax: Axes | None = None) -> Axes:
    """Mean KL of every latent dimension (d,) in descending order: which are in use."""
    ax = plt.gca() if ax is None else ax
    ax.plot(np.arange(1, len(kl) + 1), np.sort(kl)[::-1], color=COLOURS[0], linewidth=2)
    ax.set_xlabel("latent dimension, most used first")
    ax.set_ylabel("KL (nats per user)")
    ax.set_ylim(bottom=0)
    return open_axes(ax)


def active_over_beta(beta: np.ndarray, active: np.ndarray, latent: int, ax: Axes | None = None) -> Axes:
    """Active units against β, one dot per trained model and a line through the means.

    Parameters
    ----------
    beta, active : ndarray
        (R,) of R trained models.
    latent : int
        d, how many units there are.
    """
    ax = plt.gca() if ax is None else ax
    levels = np.unique(beta)
    ax.plot(levels, [active[beta == b].mean() for b in levels], color=COLOURS[0], linewidth=2)
    ax.scatter(beta, active, color=COLOURS[0], s=25, zorder=3)
    ax.axhline(latent, color="0.5", linestyle="--", linewidth=1, label=f"all {latent}")
    ax.set_xscale("log")
    ax.set_xticks(levels, [f"{b:g}" for b in levels])
    ax.minorticks_off()
    ax.set_ylim(0, 1.08 * latent)
    ax.set_xlabel("$\\beta$")
    ax.set_ylabel("active units")
    ax.legend(frameon=False, loc="lower left")
    return open_axes(ax)


def information_over_beta(beta: np.ndarray, kl: np.ndarray, information: np.ndarray, ax: Axes | None = None) -> Axes:
    """β-KL: the KL term and the information I(U; Z) in it, in nats a user, by β (R,), one dot a run."""
    ax = plt.gca() if ax is None else ax
    order = np.unique(beta)
    for k, (values, label) in enumerate(((kl, "$E\\,KL(q_u \\| p)$"), (information, "$I(U; Z)$"))):
        ax.plot(order, [values[beta == b].mean() for b in order], color=COLOURS[k], linewidth=1.5, label=label)
        ax.plot(beta, values, "o", color=COLOURS[k], markersize=5, alpha=0.6)
    ax.set_xscale("log")
    ax.set_xticks(order, [f"{b:g}" for b in order])
    ax.minorticks_off()
    ax.set_xlabel("$\\beta$")
    ax.set_ylabel("nats per user")
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False)
    return open_axes(ax)
