"""What all figures have in common."""

import matplotlib
from matplotlib.axes import Axes

PALETTE = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "red": "#D55E00",
    "pink": "#CC79A7",
    "sky": "#56B4E9",
    "black": "#000000",
}
"""The colours of Okabe and Ito (2008), told apart by colour-blind readers: in every figure, table and page."""

COLOURS = tuple(PALETTE.values())
"""The same in the order in which a figure takes them."""


def open_axes(ax: Axes) -> Axes:
    """Axes without a box, over a light grid."""
    ax.grid(color="0.92")
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def course_style() -> None:
    """The look of the course's figures, for a notebook's setup cell: open axes, plain legends, no overlap."""
    matplotlib.rcParams.update(
        {
            "axes.spines.top": False,
            "axes.spines.right": False,
            "legend.frameon": False,
            "figure.constrained_layout.use": True,
        }
    )
