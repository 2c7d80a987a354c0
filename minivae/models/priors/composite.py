"""The composite prior of RecVAE (Shenbin, Alekseev, Tutubalina, Malykh and Nikolenko, WSDM 2020)."""

import copy
import math

import torch
from torch import Tensor, nn

from minivae.batches import UserBatch
from minivae.models.priors.prior import Prior
from minivae.objective import log_normal

WEIGHTS = (3 / 20, 3 / 4, 1 / 10)
WIDE_LOGVAR = 10.0


class CompositePrior(Prior):
    """``p(z|x) = Π_j [ w₁ N(z_j; 0, 1) + w₂ q_old(z_j|x) + w₃ N(z_j; 0, e¹⁰) ]``, w = 3/20, 3/4, 1/10.

    ``q_old`` is the posterior of the same user, without mask, by the encoder as it was after the last phase in which
    it learned: it keeps the posterior from running away. The wide component costs nothing far out. The mixture is taken
    in each dimension, as in the authors' code; their paper writes one mixture of d-dimensional densities.

    Parameters
    ----------
    encoder : Module
        Its frozen copy, in buffers, is the old encoder.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.old = _frozen(encoder)

    def log_prob(self, z: Tensor, batch: UserBatch, encoder: nn.Module) -> Tensor:
        mu, logvar = self.old(batch).chunk(2, dim=-1)  # (B, d) each
        zero = torch.zeros_like(z)
        wide = torch.full_like(z, WIDE_LOGVAR)
        parts = log_normal(z, zero, zero), log_normal(z, mu, logvar), log_normal(z, zero, wide)
        weighted = [part + math.log(w) for part, w in zip(parts, WEIGHTS, strict=True)]
        return torch.logsumexp(torch.stack(weighted), 0).sum(-1)

    def update(self, encoder: nn.Module) -> None:
        """Make today's encoder the old one."""
        self.old.load_state_dict(encoder.state_dict())


def _frozen(encoder: nn.Module) -> nn.Module:
    """A copy whose parameters are buffers: saved with the model, but nothing that learns."""
    old = copy.deepcopy(encoder)
    for module in old.modules():
        for name, p in list(module.named_parameters(recurse=False)):
            delattr(module, name)
            module.register_buffer(name, p.detach().clone())
    return old
