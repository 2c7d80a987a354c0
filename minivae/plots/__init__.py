"""Figures: functions that draw one message on `Axes` and return it."""

from minivae.plots.study import intervals, latent_map, learning_curves
from minivae.plots.style import COLOURS
from minivae.plots.theory import certificate_chain, sharing_plane

__all__ = ["COLOURS", "certificate_chain", "intervals", "latent_map", "learning_curves", "sharing_plane"]
