"""The subject of a report card: a model, its users, and the seed of the draws."""

import copy
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from minivae.models.vae import VAE
from minivae.options import Mask
from minivae.theory.adapter import Wrapped


@dataclass(frozen=True)
class Subject:
    """What the checks are made on.

    Attributes
    ----------
    model : VAE | Wrapped
        In float64 where it is one of ours; an outside model keeps its dtype.
    x : csr_matrix
        (U, I) binary rows, none empty.
    mu, sd : Tensor
        (U, d) clean posteriors, float64.
    keep : float
    mask : Mask
        Of the masks.
    seed : int
        Of all draws; every function starts its own generator from it.
    """

    model: VAE | Wrapped
    x: sp.csr_matrix
    mu: Tensor
    sd: Tensor
    keep: float
    mask: Mask
    seed: int

    @property
    def generator(self) -> torch.Generator:
        """A fresh generator."""
        return torch.Generator().manual_seed(self.seed)

    def users(self, at_most: int) -> "Subject":
        """The same on the first users."""
        n = min(at_most, len(self.mu))
        return Subject(self.model, self.x[:n], self.mu[:n], self.sd[:n], self.keep, self.mask, self.seed)

    def pairs(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """`n` random pairs of different users."""
        rng = np.random.default_rng(self.seed)
        u = rng.integers(len(self.mu), size=n)
        return u, (u + rng.integers(1, len(self.mu), size=n)) % len(self.mu)

    def counts(self, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """``N_u``, ``N_v`` and ``|S_u ∩ S_v|`` of pairs."""
        n = np.diff(self.x.indptr)
        common = np.asarray(self.x[u].multiply(self.x[v]).sum(1)).ravel()
        return n[u].astype(float), n[v].astype(float), common.astype(float)


def in_float64(model: VAE | Wrapped) -> VAE | Wrapped:
    """A float64 copy in evaluation mode; the encoder of an outside model cannot be copied, so it stays as it is."""
    return model if isinstance(model, Wrapped) else copy.deepcopy(model).double().eval()
