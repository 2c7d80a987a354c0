"""Figures: functions that draw one message on `Axes` and return it. Colours are those of Okabe and Ito (2008)."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.patches import Circle
from matplotlib.ticker import MaxNLocator

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")


def intervals(
    labels: Sequence[str],
    centres: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
    xlabel: str,
    reference: float | None = None,
    colours: Sequence[str] = COLOURS,
    ax: Axes | None = None,
) -> Axes:
    """Points with error bars, one row per label, the first on top.

    Parameters
    ----------
    centres, low, high : the point and the ends of its bar.
    xlabel : what is measured, and what the bar means.
    reference : where a vertical line is drawn, for instance 0.
    colours : of the rows, repeated as needed.
    """
    ax = plt.gca() if ax is None else ax
    y = np.arange(len(labels))[::-1]
    rows = zip(y, centres, low, high, strict=True)
    for (at, c, a, b), colour in zip(rows, cycle(colours), strict=False):
        ax.errorbar(c, at, xerr=[[c - a], [b - c]], fmt="o", color=colour, capsize=4, markersize=7, linewidth=2)
    if reference is not None:
        ax.axvline(reference, color="0.5", linewidth=1, linestyle="--", zorder=0)
    ax.set_yticks(y, labels)
    ax.set_ylim(-0.6, len(labels) - 0.4)
    ax.set_xlabel(xlabel)
    ax.grid(axis="x", color="0.9")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def learning_curves(
    curves: Mapping[str, Sequence[Sequence[float]]],
    references: Mapping[str, float] | None = None,
    ylabel: str = "validation nDCG@100",
    colours: Sequence[str] = COLOURS,
    ax: Axes | None = None,
) -> Axes:
    """A validation metric by epoch, one line per run, its best epoch marked.

    Parameters
    ----------
    curves : label -> one sequence of values per seed.
    references : label -> level of a model that is not trained step by step, as a horizontal line.
    colours : of the curves, repeated as needed.
    """
    ax = plt.gca() if ax is None else ax
    for (label, runs), colour in zip(curves.items(), cycle(colours), strict=False):
        for k, values in enumerate(runs):
            epochs = np.arange(1, len(values) + 1)
            ax.plot(epochs, values, color=colour, linewidth=1.8, label=label if k == 0 else None)
            best = int(np.argmax(values))
            ax.plot(best + 1, values[best], "o", color=colour, markersize=7, markeredgecolor="white")
    for (label, level), style in zip((references or {}).items(), cycle(("--", ":", "-.")), strict=False):
        ax.axhline(level, color="0.35", linewidth=1.5, linestyle=style, label=label)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("epoch (dot: the one that is kept)")
    ax.set_ylabel(ylabel)
    ax.grid(color="0.9")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="lower right")
    return ax


def latent_map(mu: np.ndarray, activity: np.ndarray, title: str = "", bar: bool = True, ax: Axes | None = None) -> Axes:
    """Users in the plane of the first two principal components of their posterior means, coloured by activity.

    Parameters
    ----------
    mu : (U, d) posterior means.
    activity : (U,) number of interactions, at least 1.
    bar : whether the scale of colours is drawn beside it.
    """
    ax = plt.gca() if ax is None else ax
    centred = mu - mu.mean(0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    plane = u[:, :2] * s[:2]  # (U, 2)
    plane *= np.where((plane**3).sum(0) < 0, -1.0, 1.0)  # the sign of a component is arbitrary: fix it by its skewness
    share = s[:2] ** 2 / max(float((s**2).sum()), 1e-12)
    order = np.random.default_rng(0).permutation(len(mu))  # nobody is always on top
    norm = LogNorm(max(int(activity.min()), 1), max(int(activity.max()), 2))
    dots = ax.scatter(*plane[order].T, c=activity[order], norm=norm, cmap="cividis", s=9, linewidths=0)
    if bar:
        ax.figure.colorbar(dots, ax=ax, label="interactions of the user").outline.set_visible(False)
    ax.set_xlabel(f"component 1 ({share[0]:.0%} of the variance)")
    ax.set_ylabel(f"component 2 ({share[1]:.0%})")
    ax.set_title(title)
    ax.set_aspect("equal", adjustable="datalim")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


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
