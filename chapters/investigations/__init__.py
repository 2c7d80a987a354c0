"""The open tasks (★★★), worked out small: one file for each part of the course, one function for each chapter."""

from collections.abc import Callable
from typing import Any

from . import evaluation, latent_space, masks_and_anchors, own_model

OPEN: dict[str, Callable[[], dict[str, Any]]] = {
    "01": evaluation.protocol,
    "02": latent_space.importance,
    "03": latent_space.geometry,
    "04": latent_space.batches,
    "05": latent_space.steepest,
    "05b": latent_space.merging,
    "06": latent_space.water,
    "07": masks_and_anchors.masking,
    "08": masks_and_anchors.anchors,
    "09": evaluation.benchmarks,
    "10": evaluation.experiments,
    "11": own_model.scaling,
    "12": own_model.helping,
    "13": masks_and_anchors.smoothing,
}
