"""A model, a prior and a metric of your own, without a change to minivae.

Each is registered under a name, which settings, the command line and saved files then use.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

import minivae as mv
from minivae.batches import UserBatch
from minivae.metrics import Ranking
from minivae.models import Prior, SparseLinear
from minivae.models.initialisation import xavier_
from minivae.models.priors import make_prior


@mv.register_prior("laplace")
class LaplacePrior(Prior):
    """``p(z) = Π_j exp(−√2 |z_j|) / √2``: heavier tails than N(0, 1), the same variance 1."""

    def log_prob(self, z: Tensor, batch: UserBatch, encoder: nn.Module) -> Tensor:
        """log p(z) in nats, (B, d) -> (B,)."""
        return (-math.sqrt(2) * z.abs() - 0.5 * math.log(2)).sum(-1)


@mv.register_model("linear-vae")
class LinearVAE(mv.VAE):
    """A VAE with one linear layer on each side."""

    def __init__(self, n_items: int, latent: int = 32, prior: str = "normal") -> None:
        super().__init__()
        self.n_items, self.latent, self.prior_name = n_items, latent, prior
        self.encoder = SparseLinear(n_items, 2 * latent)
        self.decoder = nn.Sequential(nn.Linear(latent, n_items))
        self.prior = make_prior(prior, self.encoder, n_items, components=100, latent=latent)
        self.reset_parameters()

    @property
    def sizes(self) -> dict[str, int | str]:
        """The arguments that make this model again."""
        return {"n_items": self.n_items, "latent": self.latent, "prior": self.prior_name}

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Fresh weights from `generator`, so that a run is a function of its seed."""
        xavier_(self, generator)
        self.reset_prior(generator)

    def posterior(self, x: UserBatch | Tensor) -> tuple[Tensor, Tensor]:
        """μ and log σ², each (B, d)."""
        mu, logvar = self.encoder(x).chunk(2, dim=-1)
        return mu, logvar


@mv.register_metric("longtail")
def longtail(ranking: Ranking, k: int) -> np.ndarray:
    """Share of the first k items that are less popular than the median item, (U,)."""
    counts = ranking.item_counts
    if counts is None or ranking.items is None:
        raise mv.InputError("longtail needs the training counts of the items; give item_counts to evaluate")
    items = ranking.items[:, :k]
    there = items >= 0
    rare = there & (counts[items] < np.median(counts))
    return np.where(ranking.n_heldout > 0, rare.sum(1) / np.maximum(there.sum(1), 1), np.nan)
