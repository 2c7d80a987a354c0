"""Figures of Theorem 2.3: users in the latent plane, the disc of possible gradients, radii around a user."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.patches import Circle, Ellipse

from minivae.plots.style import COLOURS


def gradient_disc(own: float, other: tuple[float, float], bound: float, ax: Axes | None = None) -> Axes:
    """Theorem 2.3 in one picture: g_u as an arrow, and the disc that holds every possible g_v.

    The plane is the one that g_u and g_v span; the first axis points along g_u. Where the disc leaves the origin
    outside, all of it lies on the side of positive inner products.

    Parameters
    ----------
    own : float
        ‖g_u‖, the length of the arrow.
    other : tuple of float
        g_v: its component along g_u, and the length of the rest.
    bound : float
        D_uv, the radius of the disc around the arrow's tip.
    ax : Axes, optional
        Where to draw; the current axes by default.
    """
    ax = plt.gca() if ax is None else ax
    sure = bound < own
    colour = COLOURS[0] if sure else COLOURS[3]
    size = 1.12 * (own + max(bound, 0.3 * own))
    ax.axvspan(-size, 0, color="0.93", linewidth=0)
    ax.add_patch(Circle((own, 0), bound, facecolor=colour, alpha=0.18, edgecolor=colour, linewidth=1.5))
    arrow = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.009, "zorder": 3}
    ax.quiver(0, 0, own, 0, color="black", **arrow)
    ax.quiver(0, 0, *other, color=COLOURS[1], **arrow)
    ax.plot([own, own], [0, -bound], "--", color=colour, linewidth=1.2)
    ax.text(own, -0.55 * bound, " $D_{uv}$", color=colour, ha="left", va="center")
    ax.text(own, 0.05 * own, " $g_u$", ha="left", va="bottom")
    ax.text(other[0], other[1], " $g_v$", color=COLOURS[1], ha="left", va="bottom")
    ax.plot(0, 0, "o", color="black", markersize=5, zorder=4)
    ax.text(-0.03 * size, 0, "0", ha="right", va="top")
    ax.set_xlim(-0.55 * size, size)
    ax.set_ylim(-1.1 * max(bound, 0.5 * own), 1.1 * max(bound, 0.5 * own, other[1]))
    ax.set_aspect("equal")
    ax.set_xlabel("component along $g_u$")
    ax.set_ylabel("component across")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def latent_plane(
    mu: np.ndarray, sd: np.ndarray, community: np.ndarray, user: int | None = None, ax: Axes | None = None
) -> Axes:
    """Posteriors in the plane: means as markers by community, and an ellipse of one standard deviation each.

    Parameters
    ----------
    mu, sd : ndarray, (U, 2)
        Means and standard deviations of the posteriors.
    community : ndarray, (U,)
        Drawn as marker and colour.
    user : int, optional
        Whose mean becomes a star.
    ax : Axes, optional
        Where to draw; the current axes by default.
    """
    ax = plt.gca() if ax is None else ax
    for group, marker, colour in zip(np.unique(community), cycle("osD^vP"), cycle(COLOURS), strict=False):
        members = np.flatnonzero(community == group)
        for k in members:
            ax.add_patch(Ellipse(mu[k], *(2 * sd[k]), fill=False, edgecolor=colour, alpha=0.3))
        ax.scatter(*mu[members].T, marker=marker, color=colour, label=f"means of community {group}")
    if user is not None:
        ax.scatter(*mu[user], marker="*", s=260, color="black", label="user u", zorder=3)
    ax.set(xlabel="$\\mu_1$", ylabel="$\\mu_2$", title="posteriors: ellipses of one standard deviation")
    ax.set_aspect("equal", adjustable="datalim")
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return ax


def clouds(
    mu: np.ndarray,
    sd: np.ndarray,
    community: np.ndarray,
    change: np.ndarray,
    user: int,
    radii: Mapping[str, float],
    rims: Mapping[str, np.ndarray] | None = None,
    zoom: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Users of a plane as clouds of one standard deviation, coloured by what a step on each does to one of them.

    Parameters
    ----------
    mu, sd : ndarray, (U, 2)
        Means and standard deviations of the posteriors.
    community : ndarray, (U,)
        Drawn as the marker.
    change : ndarray, (U,)
        Change of the user's loss by a step on each other one; negative helps.
    user : int
        Whose loss it is: the star, and the bold cloud.
    radii : Mapping[str, float]
        Label -> radius of a circle around the star, at most four.
    rims : Mapping[str, ndarray], optional
        Label -> (U,) bool, who gets a ring, at most two kinds.
    zoom : float, optional
        Half the side of the square around the star that is shown; everything by default.
    ax : Axes, optional
        Where to draw; the current axes by default.
    """
    ax = plt.gca() if ax is None else ax
    others = np.arange(len(mu)) != user
    top = float(np.abs(change[others]).max()) or 1.0
    norm, palette = Normalize(-top, top), plt.get_cmap("PuOr_r")
    for k in np.flatnonzero(others):
        ax.add_patch(Ellipse(mu[k], *(2 * sd[k]), fill=False, edgecolor=palette(norm(change[k])), alpha=0.25))
    own = Ellipse(mu[user], *(2 * sd[user]), fill=False, edgecolor="black", linewidth=1.6)
    ax.add_patch(own)
    ax.plot([], [], color="black", linewidth=1.6, label="the star's cloud, one standard deviation")
    for group, marker in zip(np.unique(community), cycle("osD^vP"), strict=False):
        part = others & (community == group)
        ax.scatter(*mu[part].T, c=change[part], cmap=palette, norm=norm, marker=marker, s=36, edgecolors="0.6", lw=0.4)
    for (label, who), (colour, size) in zip((rims or {}).items(), ((COLOURS[5], 110), ("black", 190)), strict=False):
        part = others & who
        ax.scatter(*mu[part].T, s=size, facecolors="none", edgecolors=colour, linewidths=1.5, label=label)
    ax.scatter(*mu[user], marker="*", s=130, color="black", edgecolors="white", zorder=3)
    for (label, radius), style in zip(radii.items(), ("--", "-", ":", "-."), strict=False):
        ax.plot([], [], style, color=COLOURS[2], label=label)
        ax.add_patch(Circle(mu[user], radius, fill=False, linestyle=style, color=COLOURS[2], linewidth=1.6))
    ax.set_xlabel("$\\mu_1$")
    ax.set_ylabel("$\\mu_2$")
    ax.set_aspect("equal", adjustable="datalim" if zoom is None else "box")
    if zoom is not None:
        for limits, centre in zip((ax.set_xlim, ax.set_ylim), mu[user], strict=True):
            limits(float(centre) - zoom, float(centre) + zoom)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def change_scale(change: np.ndarray, axes: Sequence[Axes] | np.ndarray) -> None:
    """The colour bar of `clouds` beside some axes: nats by which a step changed the user's loss, (U,)."""
    top = float(np.abs(change).max())
    colours = plt.cm.ScalarMappable(Normalize(-top, top), "PuOr_r")
    plt.gcf().colorbar(colours, ax=axes, label="change of the star's loss (nats); below 0 helps")
