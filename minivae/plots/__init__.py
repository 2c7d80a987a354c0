"""Figures: functions that draw one message on `Axes` and return it, and the figures of a report card."""

from minivae.plots.amortisation import amortisation_gap, vae_diagram
from minivae.plots.anchors import broken_direction, predicted_and_seen, pull
from minivae.plots.bottleneck import against_bound, batch_bracket, posteriors_on_a_line, rate_distortion, water_filling
from minivae.plots.card import observation_figures, theory_figures
from minivae.plots.cost import growth
from minivae.plots.experiment import lifts, looks, named_points
from minivae.plots.explain import explain_figures
from minivae.plots.heat import heat_map
from minivae.plots.kl_term import active_over_beta, information_over_beta, kl_by_dimension, kl_sides
from minivae.plots.lines import in_order, lines
from minivae.plots.masking import contraction_by_distance, contraction_map, masked_law, pair_of_rows, sideways
from minivae.plots.retraining import far_figures, lds_figures, removal_figures
from minivae.plots.rows import dots, zones
from minivae.plots.sharing import change_scale, clouds, gradient_disc, latent_plane
from minivae.plots.study import budget, intervals, latent_map, learning_curves, sensitivity, tried
from minivae.plots.style import COLOURS, PALETTE, course_style
from minivae.plots.theory import (
    anchor_terms,
    certificate_chain,
    closing_radius,
    compromise_curve,
    lipschitz_line,
    sharing_plane,
    shrinkage_bound,
)
from minivae.plots.words import observation_words, theory_words

__all__ = [
    "COLOURS",
    "PALETTE",
    "active_over_beta",
    "against_bound",
    "amortisation_gap",
    "anchor_terms",
    "batch_bracket",
    "broken_direction",
    "budget",
    "certificate_chain",
    "change_scale",
    "closing_radius",
    "clouds",
    "compromise_curve",
    "contraction_by_distance",
    "contraction_map",
    "course_style",
    "dots",
    "explain_figures",
    "far_figures",
    "gradient_disc",
    "growth",
    "heat_map",
    "in_order",
    "information_over_beta",
    "intervals",
    "kl_by_dimension",
    "kl_sides",
    "latent_map",
    "latent_plane",
    "lds_figures",
    "learning_curves",
    "lifts",
    "lines",
    "lipschitz_line",
    "looks",
    "masked_law",
    "named_points",
    "observation_figures",
    "observation_words",
    "pair_of_rows",
    "posteriors_on_a_line",
    "predicted_and_seen",
    "pull",
    "rate_distortion",
    "removal_figures",
    "sensitivity",
    "sharing_plane",
    "shrinkage_bound",
    "sideways",
    "theory_figures",
    "theory_words",
    "tried",
    "vae_diagram",
    "water_filling",
    "zones",
]
