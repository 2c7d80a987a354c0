"""Figures: functions that draw one message on `Axes` and return it, and the figures of a report card."""

from minivae.plots.card import observation_figures, theory_figures
from minivae.plots.explain import explain_figures
from minivae.plots.study import budget, intervals, latent_map, learning_curves, sensitivity, tried
from minivae.plots.style import COLOURS, PALETTE
from minivae.plots.theory import (
    active_over_beta,
    anchor_terms,
    certificate_chain,
    closing_radius,
    compromise_curve,
    contraction_by_distance,
    kl_by_dimension,
    kl_sides,
    lipschitz_line,
    masked_law,
    sharing_plane,
    shrinkage_bound,
)

__all__ = [
    "COLOURS",
    "PALETTE",
    "active_over_beta",
    "anchor_terms",
    "budget",
    "certificate_chain",
    "closing_radius",
    "compromise_curve",
    "contraction_by_distance",
    "explain_figures",
    "intervals",
    "kl_by_dimension",
    "kl_sides",
    "latent_map",
    "learning_curves",
    "lipschitz_line",
    "masked_law",
    "observation_figures",
    "sensitivity",
    "sharing_plane",
    "shrinkage_bound",
    "theory_figures",
    "tried",
]
