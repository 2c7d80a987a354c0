"""Figures of the KL term: posteriors on a line, what a batch can see, water-filling, the rate–distortion plane."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FormatStrFormatter, NullFormatter
from numpy.typing import ArrayLike

from minivae.plots.style import COLOURS


def posteriors_on_a_line(
    z: np.ndarray, each: np.ndarray, prior: np.ndarray, shown: int = 15, ax: Axes | None = None
) -> Axes:
    """Densities of a few users (thin, at a sixth of their height), of all users together (thick) and of the prior.

    Parameters
    ----------
    z : ndarray, (G,)
        Places on the line.
    each : ndarray, (U, G)
        Density of every user's posterior.
    prior : ndarray, (G,)
        Density of the prior.
    shown : int, default 15
        Users that are drawn, the first ones.
    ax : Axes, optional
        Where to draw; the current axes by default.
    """
    ax = plt.gca() if ax is None else ax
    thin, *_ = ax.plot(z, each[:shown].T / 6, color=COLOURS[0], linewidth=0.7)
    thin.set_label("$q_u$ of one user, divided by 6")
    ax.plot(z, each.mean(0), color=COLOURS[3], linewidth=2, label="$\\bar q$, all users")
    ax.plot(z, prior, "k--", linewidth=1.5, label="prior $p$")
    ax.set_xlabel("$z$")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def batch_bracket(
    sizes: Sequence[int], lower: np.ndarray, upper: np.ndarray, top: float = 13.0, ax: Axes | None = None
) -> Axes:
    """Two estimates of the information from batches, and the ceiling of the lower one, log B.

    Parameters
    ----------
    sizes : Sequence[int]
        B, the users of a batch.
    lower, upper : ndarray, (T,)
        Estimates in nats with the sampled user in the mean, and left out of it.
    top : float, default 13
        End of the axis; what lies above is written at an arrow.
    ax : Axes, optional
        Where to draw; the current axes by default.
    """
    ax = plt.gca() if ax is None else ax
    ax.plot(sizes, upper, "s:", color=COLOURS[3], label="sampled user left out (above)")
    ax.plot(sizes, lower, "o-", color=COLOURS[0], label="sampled user in the mean (below)")
    ax.plot(sizes, np.log(sizes), "k--", linewidth=1.8, label="ceiling, $\\log B$")
    ax.set_xscale("log")
    ax.set_ylim(0, top)
    for size, value in zip(sizes, upper, strict=True):
        if value > top - 1:
            style = {"ha": "center", "fontsize": 9, "arrowprops": {"arrowstyle": "->"}, "color": COLOURS[3]}
            ax.annotate(f"{value:.0f}", (size, top), (size, 0.87 * top), **style)
    ax.set_xticks(sizes, map(str, sizes))
    ax.minorticks_off()
    ax.set_xlabel("users in the batch, $B$")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def against_bound(groups: Mapping[str, tuple[ArrayLike, ArrayLike]], ax: Axes | None = None) -> Axes:
    """Values against their bounds on logarithmic axes: no dot may lie above the diagonal.

    Parameters
    ----------
    groups : Mapping[str, tuple of ArrayLike]
        Label -> bounds and values, (N,) each, positive.
    ax : Axes, optional
        Where to draw; the current axes by default.
    """
    ax = plt.gca() if ax is None else ax
    bounds, values = [], []
    for (label, (bound, value)), marker, colour in zip(groups.items(), "osD^vP", COLOURS, strict=False):
        bounds.append(np.asarray(bound))
        values.append(np.asarray(value))
        ax.scatter(bounds[-1], values[-1], s=10, marker=marker, color=colour, label=label)
    ends = np.array([0.8 * min(b.min() for b in bounds), 1.3 * max(b.max() for b in bounds)])
    ax.plot(ends, ends, color="black", linewidth=1, label="bound attained")
    ax.set_xscale("log")
    ax.set_yscale("log")
    for axis, of in ((ax.xaxis, bounds), (ax.yaxis, values)):
        low, high = min(v.min() for v in of), max(v.max() for v in of)
        ticks = [t for t in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if 0.8 * low <= t <= 1.3 * high]  # within the line
        if len(ticks) > 1:  # one number names no ratio
            axis.set_major_locator(FixedLocator(ticks))
            axis.set_major_formatter(FormatStrFormatter("%g"))
        axis.set_minor_formatter(NullFormatter())
    ax.legend(frameon=False, markerscale=2)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def water_filling(
    before: np.ndarray, predicted: np.ndarray, after: np.ndarray, betas: tuple[float, float], ax: Axes | None = None
) -> Axes:
    """What the law of the linear VAE predicts for a larger β, over what trained networks did.

    Parameters
    ----------
    before, predicted, after : ndarray, (R, d)
        KL of every dimension of R models, most used first: at the smaller β, lowered by ½ log(β₂/β₁), and seen at the
        larger β.
    betas : tuple of float
        β₁ and β₂.
    ax : Axes, optional
        Where to draw; the current axes by default.
    """
    ax = plt.gca() if ax is None else ax
    at = np.arange(1, before.shape[1] + 1)
    ax.plot(at, before.mean(0), ":", color="0.55", label=f"seen at β = {betas[0]:g}")
    for values, style, colour, label in (
        (predicted, "-", COLOURS[3], f"predicted for β = {betas[1]:g}"),
        (after, "o", COLOURS[0], f"seen at β = {betas[1]:g}"),
    ):
        ax.plot(at, values.mean(0), style, color=colour, label=label)
        ax.fill_between(at, values.min(0), values.max(0), color=colour, alpha=0.2, linewidth=0)
    ax.set_xlabel("latent dimension, most used first (mean and range of the seeds)")
    ax.set_ylabel("KL, nats")
    ax.set_ylim(bottom=-0.06 * float(before.mean(0).max()))  # a line along zero is seen, too
    ax.grid(color="0.92")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
    return ax


def rate_distortion(rate: np.ndarray, distortion: np.ndarray, betas: Sequence[float], ax: Axes | None = None) -> Axes:
    """Trained models in the plane of rate and distortion, with the tangent of slope −β through each mean.

    Parameters
    ----------
    rate, distortion : ndarray, (B, R)
        KL and reconstruction loss of R models at each of B values of β, nats per user.
    betas : Sequence[float]
        The B values.
    ax : Axes, optional
        Where to draw; the current axes by default.
    """
    ax = plt.gca() if ax is None else ax
    r, d = rate.mean(1), distortion.mean(1)
    ends = np.array([0.0, 1.1 * r.max()])
    for k, (beta, colour) in enumerate(zip(betas, COLOURS, strict=False)):
        ax.plot(ends, d[k] - beta * (ends - r[k]), color=colour, linewidth=1, alpha=0.8)
        ax.plot(rate[k], distortion[k], "o", color=colour, markersize=5, label=f"β = {beta:g}, slope −{beta:g}")
    room = 0.15 * np.ptp(d)
    ax.set_xlim(*ends)
    ax.set_ylim(d.min() - 3 * room, d.max() + room)
    ax.set_xlabel("rate $R$: KL, nats per user")
    ax.set_ylabel("distortion $D$: loss, nats per user")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
    return ax
