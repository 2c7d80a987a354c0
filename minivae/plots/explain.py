"""Figures of a transfer matrix: help between groups, and agreement by common items."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minivae.plots.style import COLOURS

if TYPE_CHECKING:
    from minivae.explain.records import CommonItems, Summary

LEGIBLE = 5
"""Groups up to which the cells of a heat map hold their numbers."""


def explain_figures(summary: "Summary") -> dict[str, Figure]:
    """File name -> figure, from `minivae.explain.summary.summarise`."""
    segments = summary.segments
    n_rows = -(-len(segments) // 2)  # two beside each other, so that a page shows them whole
    flows = Figure(figsize=(9.6, 4.2 * n_rows), layout="constrained")
    panels = flows.subplots(n_rows, 2, squeeze=False).ravel()
    for axes, (name, of) in zip(panels, segments.items(), strict=False):
        between(of.names, np.array(of.between, float), ax=axes).set_title(name)
    for axes in panels[len(segments) :]:
        axes.set_visible(False)
    common = Figure(figsize=(6.4, 4.0), layout="constrained")
    by_common_items(summary.by_common_items, ax=common.subplots())
    return {"flows": flows, "common": common}


def between(names: Sequence[str], values: np.ndarray, ax: Axes) -> Axes:
    """Mean T(u, v) from the group of v (column) to the group of u (row), as a heat map.

    Parameters
    ----------
    names : Sequence[str]
        Of the groups.
    values : ndarray
        (G, G) nats; NaN where there is no pair.
    ax : Axes
        Where to draw.
    """
    top = np.nanmax(np.abs(values)) or 1.0
    image = ax.imshow(values, cmap="PuOr_r", vmin=-top, vmax=top)
    ax.figure.colorbar(image, ax=ax, shrink=0.7, label="mean T, nats")
    ax.set_xticks(range(len(names)), names, rotation=45, ha="right")
    ax.set_yticks(range(len(names)), names)
    ax.set_xlabel("from")
    ax.set_ylabel("to")
    for (a, b), value in np.ndenumerate(values):
        if len(names) <= LEGIBLE and not np.isnan(value):
            dark = abs(value) > 0.6 * top
            ax.text(b, a, f"{value:.2g}", ha="center", va="center", fontsize=7, color="white" if dark else "black")
    return ax


def by_common_items(rows: Sequence["CommonItems"], ax: Axes) -> Axes:
    """Mean cosine of two users' gradients by the number of items that both have.

    Parameters
    ----------
    rows : Sequence[CommonItems]
        Groups of pairs.
    ax : Axes
        Where to draw.
    """
    cosines = {row.common: row.cosine for row in rows if row.cosine is not None}
    bars = ax.bar(list(cosines), list(cosines.values()), color=COLOURS[0])
    ax.bar_label(bars, fmt="%.3f", fontsize=8, padding=3)
    ax.margins(y=0.1)
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_xlabel("items that both users have")
    ax.set_ylabel("mean cosine of their gradients")
    ax.margins(y=0.12)
    return ax
