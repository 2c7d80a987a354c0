"""Mult-VAE (Liang, Krishnan, Hoffman and Jebara, WWW 2018)."""

import torch
from torch import Tensor, nn

from minivae.batches import UserBatch
from minivae.errors import InputError
from minivae.models.sparse_linear import SparseLinear
from minivae.models.vae import VAE


class MultVAE(VAE):
    """I - 600 - 200 - 600 - I with tanh, a multinomial likelihood and the prior N(0, I).

    ``h = tanh(x̃ W₁ + b₁)``, ``[μ, log σ²] = W₂ h + b₂``, ``f_θ(z) = W₄ tanh(W₃ z + b₃) + b₄``.

    Parameters
    ----------
    n_items : I.
    hidden : width of the hidden layers.
    latent : d.

    Raises
    ------
    InputError
        If a size is less than 1.
    """

    def __init__(self, n_items: int, hidden: int = 600, latent: int = 200) -> None:
        super().__init__()
        if min(n_items, hidden, latent) < 1:
            raise InputError(
                f"a model needs sizes of at least 1, not n_items={n_items}, hidden={hidden}, latent={latent}"
            )
        self.n_items, self.hidden, self.latent = n_items, hidden, latent
        self.encoder_input = SparseLinear(n_items, hidden)
        self.encoder_output = nn.Linear(hidden, 2 * latent)
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.Tanh(), nn.Linear(hidden, n_items))
        self.reset_parameters()

    @property
    def sizes(self) -> dict[str, int]:
        return {"n_items": self.n_items, "hidden": self.hidden, "latent": self.latent}

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Weights Xavier uniform, biases normal with sd .001 cut at two sd, as published."""
        with torch.no_grad():
            for name, p in self.named_parameters():
                if name == "anchors":
                    continue
                if p.ndim == 2:
                    nn.init.xavier_uniform_(p, generator=generator)
                else:
                    nn.init.trunc_normal_(p, std=1e-3, a=-2e-3, b=2e-3, generator=generator)

    def posterior(self, batch: UserBatch) -> tuple[Tensor, Tensor]:
        h = torch.tanh(self.encoder_input(batch))  # (B, hidden)
        mu, logvar = self.encoder_output(h).chunk(2, dim=-1)  # (B, d) each
        return mu, logvar
