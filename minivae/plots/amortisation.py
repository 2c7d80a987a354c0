"""What a variational autoencoder is made of, and what one encoder for all users costs."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from minivae.plots.style import COLOURS


def vae_diagram(ax: Axes | None = None) -> Axes:
    """The way of a user through a VAE: items, encoder, posterior, draw, decoder, probabilities; and the two losses.

    Parameters
    ----------
    ax : Axes, optional
        Where to draw; the current axes by default.
    """
    ax = plt.gca() if ax is None else ax
    boxes = (
        (0.0, 2.0, "items $x_u$\n(masked)", "0.92"),
        (2.6, 2.0, "encoder\none for all users", "#CFE3F1"),
        (5.2, 2.0, "$q_u =$\n$N(\\mu_u, \\mathrm{diag}\\,\\sigma_u^2)$", "#FBE3B9"),
        (5.2, 0.0, "$z = \\mu_u + \\sigma_u\\varepsilon$", "#FBE3B9"),
        (2.6, 0.0, "decoder $f_\\theta$\none for all users", "#CFE3F1"),
        (0.0, 0.0, "$\\pi$: probability\nof every item", "0.92"),
    )
    for x, y, text, colour in boxes:
        ax.add_patch(FancyBboxPatch((x, y), 1.9, 1.0, boxstyle="round,pad=0.08", facecolor=colour, edgecolor="0.4"))
        ax.text(x + 0.95, y + 0.5, text, ha="center", va="center", fontsize=9)
    arrow = {"arrowstyle": "->", "color": "0.2", "linewidth": 1.4}
    for start, end in (((2.0, 2.5), (2.5, 2.5)), ((4.6, 2.5), (5.1, 2.5)), ((5.1, 0.5), (4.6, 0.5))):
        ax.annotate("", end, start, arrowprops=arrow)
    ax.annotate("", (6.15, 1.1), (6.15, 1.9), arrowprops=arrow | {"linestyle": "--"})
    ax.text(6.25, 1.5, "draw $\\varepsilon$", fontsize=9, va="center")
    ax.annotate("", (2.0, 0.5), (2.5, 0.5), arrowprops=arrow)
    ax.text(7.25, 2.5, "KL to the\nprior", fontsize=9, va="center", color=COLOURS[3])
    ax.text(0.95, 1.5, "$\\ell$: does $\\pi$ give $x_u$?", fontsize=9, ha="center", va="center", color=COLOURS[3])
    ax.set_xlim(-0.2, 8.5)
    ax.set_ylim(-0.3, 3.3)
    ax.axis("off")
    return ax


def amortisation_gap(gaps: Mapping[str, np.ndarray], new: np.ndarray | None = None, ax: Axes | None = None) -> Axes:
    """What each user's ELBO gives away, KL(q‖posterior), for posteriors of their own and for shared encoders.

    Parameters
    ----------
    gaps : Mapping[str, ndarray]
        Label -> (U,) nats; users are sorted by the first.
    new : ndarray, optional
        (U,) bool: users whom the shared encoders were not trained on, drawn hollow.
    ax : Axes, optional
        Where to draw; the current axes by default.
    """
    ax = plt.gca() if ax is None else ax
    order = np.argsort(next(iter(gaps.values())))
    for (label, gap), colour, style in zip(gaps.items(), COLOURS, (".", "o", "^", "s"), strict=False):
        ax.plot(np.arange(len(order)), gap[order], style, color=colour, markersize=5, label=label)
        if new is not None and style != ".":
            hollow = np.flatnonzero(new[order])
            ax.plot(hollow, gap[order][hollow], style, color=colour, markersize=5, markerfacecolor="white")
    ax.set_yscale("log")
    ax.set_xlabel("users, by the gap of a $q$ of their own")
    ax.set_ylabel("$\\log p(x)$ − ELBO, nats")
    ax.grid(color="0.92")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=9)
    return ax
