"""Figures of the anchors: their pull in the plane, a direction that shrinks too little, and prediction over outcome."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from minivae.plots.style import COLOURS


def pull(views: np.ndarray, centroid: np.ndarray, strength: float, ax: Axes | None = None) -> Axes:
    """Masked views of some users in the plane, with the force −λ ∇‖μ − ē‖² = 2λ(ē − μ) on each as an arrow.

    Parameters
    ----------
    views : ndarray, (U, V, 2)
        Posterior means of V views of U users.
    centroid : ndarray, (U, 2)
        Mean anchor of each user's items.
    strength : float
        λ; arrows have 2λ/(1 + 2λ) of the way to the centroid, the step of a quadratic of curvature 1. 0: no arrows.
    ax : Axes, optional
        Where to draw; the current axes by default.
    """
    ax = plt.gca() if ax is None else ax
    for k, (some, target) in enumerate(zip(views, centroid, strict=True)):
        colour = COLOURS[k % len(COLOURS)]
        ax.plot(*some.T, "o", color=colour, markersize=4, alpha=0.8, zorder=3)
        if strength > 0:
            way = 2 * strength / (1 + 2 * strength) * (target - some)
            arrow = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.005, "alpha": 0.6}
            ax.quiver(*some.T, *way.T, color=colour, **arrow)
            ax.plot(*target, "*", color=colour, markersize=13, markeredgecolor="black", zorder=4)
    ax.set_aspect("equal")
    ax.set_xlabel("$z_1$")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def broken_direction(free: np.ndarray, anchored: np.ndarray, tau: float, ax: Axes | None = None) -> Axes:
    """Why no inequality of matrices holds: along (1, −1) the anchored minimisers vary, and τ² of the free ones do not.

    Parameters
    ----------
    free, anchored : ndarray, (M, 2)
        Minimisers under M masks.
    tau : float
        L/(L + 2λ).
    ax : Axes, optional
        Where to draw; the current axes by default.
    """
    ax = plt.gca() if ax is None else ax
    across = np.array([1.0, -1.0]) / 2**0.5
    size = 1.1 * np.abs(free).max()
    ax.plot(*np.outer([-size, size], across).T, ":", color="0.4", linewidth=1.5, label="direction $(1, -1)$")
    names = ("$m_h$, free", "$\\tau\\, m_h$: the free ones, shrunk by τ", "$\\mu^*_h$, anchored")
    for label, points, colour, style in zip(
        names, (free, tau * free, anchored), COLOURS, ("-o", "--s", "-D"), strict=False
    ):
        ax.plot(*points.T, style, color=colour, label=label)
        variance = (points @ across).var(ddof=1)
        if variance > 1e-9:
            for point in points:
                shadow = (point @ across) * across
                ax.plot(*np.stack([point, shadow]).T, "-", color=colour, linewidth=0.8)
            ends = np.outer(points @ across, across)
            part = f"$\\mu^*_h$ along $(1, -1)$: variance {variance:.2f}"
            ax.plot(*ends.T, color=colour, linewidth=5, alpha=0.4, label=part)
    ax.set_aspect("equal")
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.02, 1))
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def predicted_and_seen(
    predicted: np.ndarray, seen: np.ndarray, rescaling: float, bound: np.ndarray | None = None, ax: Axes | None = None
) -> Axes:
    """Shrinkage per user that a local model predicts, against what was seen, and that of the variance between users.

    Parameters
    ----------
    predicted, seen : ndarray, (U,)
        Variance over masks with anchors over that without.
    rescaling : float
        The same ratio of the variance between users: the horizontal line.
    bound : ndarray, (U,), optional
        τ² of each user; users above it are drawn hollow.
    ax : Axes, optional
        Where to draw; the current axes by default.
    """
    ax = plt.gca() if ax is None else ax
    over = np.zeros(len(seen), dtype=bool) if bound is None else seen > bound
    if (~over).any():
        ax.scatter(predicted[~over], seen[~over], s=18, color=COLOURS[0], alpha=0.6, label="users")
    if over.any():
        above = ax.scatter(predicted[over], seen[over], s=18, facecolors="none", edgecolors=COLOURS[3])
        above.set_label("users above $\\tau^2$")
    ends = np.array([min(predicted.min(), seen.min()) / 1.2, 1.2 * max(predicted.max(), seen.max())])
    ax.plot(ends, ends, color="black", linewidth=1, label="seen = predicted")
    ax.axhline(rescaling, color=COLOURS[1], linewidth=2, label="ratio of the variance between users")
    ax.set_xscale("log")
    ax.set_yscale("log")
    for axis in (ax.xaxis, ax.yaxis):  # less than two decades: 1, 2 and 5 of each
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("predicted from $H$: variance with / without anchors")
    ax.set_ylabel("seen")
    ax.grid(color="0.92")
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    return ax
