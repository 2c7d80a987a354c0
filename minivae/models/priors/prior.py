"""What every prior has in common."""

import torch
from torch import Tensor, nn

from minivae.batches import UserBatch
from minivae.objective import log_normal


class Prior(nn.Module):
    """A density over the latent vector; a subclass implements `log_prob`.

    A prior may look at the user and at the encoder: the composite prior holds an old posterior of the same user, the
    VampPrior sends pseudo-inputs through the encoder.
    """

    def log_prob(self, z: Tensor, batch: UserBatch, encoder: nn.Module) -> Tensor:
        """log p(z) in nats, (B, d) -> (B,).

        Parameters
        ----------
        z : Tensor
            (B, d).
        batch : UserBatch
            The users of these rows with their clean input.
        encoder : Module
            As it is now: input -> [μ, log σ²], (B, 2d).
        """
        raise NotImplementedError

    def kl(self, z: Tensor, mu: Tensor, logvar: Tensor, batch: UserBatch, encoder: nn.Module) -> Tensor:
        """``KL(q ‖ p)`` per user, (B,): estimated from the one draw z ~ q as ``log q(z) − log p(z)``.

        Unbiased; a single value may be negative. A prior with a closed form overrides it.
        """
        return log_normal(z, mu, logvar).sum(-1) - self.log_prob(z, batch, encoder)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw fresh parameters, if there are any."""

    def update(self, encoder: nn.Module) -> None:
        """Called whenever the encoder has learned for a phase of training, and once before it starts."""
