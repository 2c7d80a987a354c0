"""Figures of the theory: one message for each statement of the paper."""

from collections.abc import Mapping
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle

from minivae.plots.style import COLOURS


def sharing_plane(
    mu: np.ndarray,
    community: np.ndarray,
    change: np.ndarray,
    certified: np.ndarray,
    user: int,
    reach: float,
    radius: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Theorem 2.3 in the latent plane: one user, the sharing radius, and what a step on each other user does.

    The fields of `minivae.theory.toy.SharingMap`. Distances between posteriors are at least those between the means
    drawn here, so nobody outside a circle can be certified by it.

    Parameters
    ----------
    mu : (U, 2) posterior means.
    community : (U,) drawn as the marker.
    change : (U,) change of the user's loss after a step on each other one.
    certified : (U,) bool, drawn as a black rim.
    user : whose loss it is; the star.
    reach : radius if the contents were equal (dashed): beyond it nobody is certified.
    radius : radius for a typical member of the user's community, content included (solid), if any.
    """
    ax = plt.gca() if ax is None else ax
    others = np.arange(len(mu)) != user
    top = float(np.abs(change[others]).max()) or 1.0
    for group, marker in zip(np.unique(community), cycle("osD^vP"), strict=False):
        part = others & (community == group)
        dots = ax.scatter(
            *mu[part].T,
            c=change[part],
            cmap="PuOr_r",
            vmin=-top,
            vmax=top,
            marker=marker,
            s=45,
            edgecolors=np.where(certified[part], "black", "0.7"),
            linewidths=np.where(certified[part], 1.6, 0.4),
        )
    ax.scatter(*mu[user], marker="*", s=260, color="black", edgecolors="white", zorder=3)
    for r, style in ((reach, "--"), (radius, "-")):
        if r is not None and np.isfinite(r):
            ax.add_patch(Circle(mu[user], r, fill=False, linestyle=style, color="0.25", linewidth=1.4))
    bar = ax.figure.colorbar(dots, ax=ax, label="change of the star's loss by a step on this user (nats)")
    bar.outline.set_visible(False)
    ax.set_xlabel("$\\mu_1$   (black rim: certified)")
    ax.set_ylabel("$\\mu_2$")
    ax.set_aspect("equal", adjustable="datalim")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def certificate_chain(
    chains: Mapping[str, Mapping[str, float]],
    errors: Mapping[str, Mapping[str, float]] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """How many pairs are certified at each link of Theorem 2.3, from what is true to what is bounded most coarsely.

    Parameters
    ----------
    chains : label -> the result of `Sharing.chain`.
    errors : the same with standard errors.
    """
    ax = plt.gca() if ax is None else ax
    links = list(next(iter(chains.values())))
    height = 0.8 / len(chains)
    for k, ((label, chain), colour) in enumerate(zip(chains.items(), cycle(COLOURS), strict=False)):
        y = np.arange(len(links))[::-1] - (k - (len(chains) - 1) / 2) * height
        spread = [errors[label][link] for link in links] if errors else None
        ax.barh(y, [chain[link] for link in links], height=0.9 * height, color=colour, label=label, xerr=spread)
    ax.set_yticks(np.arange(len(links))[::-1], links)
    ax.set_xlim(0, 1)
    ax.set_xlabel("fraction of pairs known to transfer")
    ax.grid(axis="x", color="0.9")
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
    return ax
