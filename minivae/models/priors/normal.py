"""The standard normal prior."""

import torch
from torch import Tensor, nn

from minivae.batches import UserBatch
from minivae.models.priors.prior import Prior
from minivae.objective import kl_to_standard_normal, log_normal


class NormalPrior(Prior):
    """``p(z) = N(0, I)``; its KL has a closed form."""

    def log_prob(self, z: Tensor, batch: UserBatch, encoder: nn.Module) -> Tensor:
        zero = torch.zeros_like(z)
        return log_normal(z, zero, zero).sum(-1)

    def kl(self, z: Tensor, mu: Tensor, logvar: Tensor, batch: UserBatch, encoder: nn.Module) -> Tensor:
        """``½ Σ_j (μ_j² + σ_j² − 1 − log σ_j²)``, exact: z is not looked at."""
        return kl_to_standard_normal(mu, logvar)
