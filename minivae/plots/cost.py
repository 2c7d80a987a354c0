"""How time grows with a size."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from minivae.plots.style import COLOURS


def growth(
    sizes: Sequence[int] | np.ndarray,
    seconds: np.ndarray,
    floor: np.ndarray | None = None,
    label: str = "one update",
    count: np.ndarray | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Milliseconds against a size on two logarithmic axes, beside growth in proportion or as counted.

    Parameters
    ----------
    sizes : Sequence[int]
        The N sizes, the smallest first.
    seconds : ndarray, (N,)
        Measured.
    floor : ndarray, (N,), optional
        Seconds of the part that cannot be left out, drawn dashed.
    label : str, default 'one update'
        What was measured.
    count : ndarray, (N,), optional
        Operations at each size: the dotted line follows them, through the last point, instead of the size itself.
    ax : Axes, optional
        Where to draw; the current axes by default.
    """
    ax = plt.gca() if ax is None else ax
    if floor is not None:
        ax.plot(sizes, 1e3 * floor, "s--", color="0.5", label="three products alone")
    ax.plot(sizes, 1e3 * seconds, "o-", color=COLOURS[0], linewidth=2, label=label)
    if count is None:
        ax.plot(sizes, 1e3 * seconds[0] * np.divide(sizes, sizes[0]), "k:", label="if time were proportional")
    else:  # fixed costs weigh least in the largest
        ax.plot(sizes, 1e3 * seconds[-1] * count / count[-1], "k:", label="if time followed the count")
    ax.set(xscale="log", yscale="log", ylabel="milliseconds (measured here)", ylim=(1, 2000))
    ax.set_xticks(list(sizes), [f"{size:,}" for size in sizes])
    ax.set_yticks([1, 10, 100, 1000], ["1", "10", "100", "1,000"])
    ax.minorticks_off()
    ax.grid(axis="y", color="0.9")
    ax.legend(frameon=False, loc="upper left")
    ax.spines[["top", "right"]].set_visible(False)
    return ax
