"""The VampPrior (Tomczak and Welling, AISTATS 2018): a mixture of the encoder's own posteriors."""

import math

import torch
from torch import Tensor, nn

from minivae.batches import UserBatch
from minivae.errors import check_whole
from minivae.models.priors.prior import Prior

MEAN, SD = 0.05, 0.01


class VampPrior(Prior):
    """``p(z) = (1/K) Σ_k q(z | u_k)`` with K learnable pseudo-inputs ``u_k ∈ [0, 1]^I``.

    The pseudo-inputs go through the encoder as it is now, and both learn from the KL term. They start as
    N(0.05, 0.01²), as Kim and Suh (RecSys 2019) do it for recommendation. They are not masked, unlike there.

    Parameters
    ----------
    n_items : int
        I.
    components : int
        K.

    Attributes
    ----------
    pseudo_inputs : Parameter
        (K, I); what lies outside of [0, 1] is clipped when it is used.
    """

    def __init__(self, n_items: int, components: int) -> None:
        super().__init__()
        check_whole(1, components=components)
        self.pseudo_inputs = nn.Parameter(torch.empty(components, n_items))

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        with torch.no_grad():
            self.pseudo_inputs.normal_(MEAN, SD, generator=generator)

    def log_prob(self, z: Tensor, batch: UserBatch, encoder: nn.Module) -> Tensor:
        mu, logvar = (t.double() for t in encoder(self.pseudo_inputs.clamp(0, 1)).chunk(2, dim=-1))  # (K, d) each
        # ‖(z − μ)/σ‖² from two products instead of K distances per user; its large terms cancel, hence float64
        wide, precision = z.double(), torch.exp(-logvar)
        square = wide.square() @ precision.T - 2 * wide @ (mu * precision).T + (mu.square() * precision).sum(-1)
        scale = logvar.sum(-1) + z.shape[-1] * math.log(2 * math.pi)
        return (torch.logsumexp(-0.5 * (square + scale), -1) - math.log(len(mu))).to(z.dtype)  # from (B, K)
