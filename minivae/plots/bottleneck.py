"""Figures of the KL term: water-filling tried on trained networks, and the rate–distortion plane."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from minivae.plots.style import COLOURS


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
    ax.set_ylim(bottom=0)
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
