"""Mult-DAE (Liang, Krishnan, Hoffman and Jebara, WWW 2018): the denoising autoencoder beside Mult-VAE."""

import torch
from torch import Tensor, nn

from minivae.batches import UserBatch
from minivae.models.initialisation import xavier_
from minivae.models.sparse_linear import SparseLinear
from minivae.models.vae import VAE, check_sizes


class MultDAE(VAE):
    """I - 200 - I with tanh and a multinomial likelihood; the code of a user is a point, not a distribution.

    ``z = tanh(x̃ W₁ + b₁)``, ``f_θ(z) = W₂ z + b₂``. No noise and no KL term; what regularises it is the mask and the
    penalty ``λ Σ ‖W‖²`` of its weights (`TrainConfig.weight_decay`, 2e-5 as published). `encode` returns sd = 0.

    Parameters
    ----------
    n_items : int
        I.
    latent : int, default 200
        d, the width of the only hidden layer.

    Raises
    ------
    InputError
        If a size is less than 1.

    Examples
    --------
    >>> code, sd = MultDAE(n_items=5, latent=2).encode(torch.eye(5))
    >>> code.shape, float(sd.max())  # a point: no spread
    (torch.Size([5, 2]), 0.0)
    """

    def __init__(self, n_items: int, latent: int = 200) -> None:
        super().__init__()
        n_items, latent = check_sizes(n_items=n_items, latent=latent)
        self.n_items, self.latent = n_items, latent
        self.prior = None
        self.encoder = SparseLinear(n_items, latent)
        self.decoder = nn.Sequential(nn.Linear(latent, n_items))
        self.reset_parameters()

    @property
    def sizes(self) -> dict[str, int]:
        return {"n_items": self.n_items, "latent": self.latent}

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        xavier_(self, generator)

    def posterior(self, x: UserBatch | Tensor) -> tuple[Tensor, Tensor]:
        """The code and log σ² = −∞: a Gaussian without any width."""
        z = torch.tanh(self.encoder(x))  # (B, d)
        return z, torch.full_like(z, -torch.inf)
