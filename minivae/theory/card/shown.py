"""What the figures of the report card show: one record for each statement."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from minivae.theory.anchoring import Alignment
from minivae.theory.information import KLDecomposition
from minivae.theory.latent_contraction import LatentContraction
from minivae.theory.toy import SharingMap


@dataclass(frozen=True)
class SharingShown:
    """Theorem 2.3: the plane of the toy, and label -> link of the chain -> fraction of this model's pairs."""

    plane: SharingMap
    chains: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class SmoothShown:
    """Lemma 2.4: (P,) distances of pairs of inputs and of their posteriors; the proved constant, if there is one."""

    inputs: np.ndarray
    latent: np.ndarray
    constant: float | None


@dataclass(frozen=True)
class CompromiseShown:
    """Theorem 2.5: (N,) distances and (C, N) curves over them; (P,) distances in spreads and shares of the gap paid."""

    at: np.ndarray
    curves: np.ndarray
    distance: np.ndarray
    share: np.ndarray


@dataclass(frozen=True)
class InformationShown:
    """The β-KL term: its decomposition, and (d,) the KL of each dimension."""

    decomposition: KLDecomposition[Tensor]
    kl: np.ndarray


@dataclass(frozen=True)
class MasksShown:
    """Theorem 2.6: a pair with `common` items in common and distance `clean`, the law of its masked distance, draws of
    it, and the distances of this model's posteriors.
    """

    common: int
    clean: float
    pmf: np.ndarray
    draws: np.ndarray
    latent: LatentContraction
    keep: float


@dataclass(frozen=True)
class AnchorsShown:
    """Proposition 3.1: the three terms of the anchor loss of each user."""

    terms: Alignment[Tensor]


@dataclass(frozen=True)
class ShrinkageShown:
    """Proposition 3.2: (N,) ratios of trace and of spectral norm, and τ, of random quadratic models."""

    trace: np.ndarray
    spectral: np.ndarray
    tau: np.ndarray


Shown = SharingShown | SmoothShown | CompromiseShown | InformationShown | MasksShown | AnchorsShown | ShrinkageShown
