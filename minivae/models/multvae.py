"""Mult-VAE (Liang, Krishnan, Hoffman and Jebara, WWW 2018)."""

import torch
from torch import Tensor, nn

from minivae.batches import UserBatch
from minivae.models.initialisation import xavier_
from minivae.models.priors import make_prior
from minivae.models.sparse_linear import SparseLinear
from minivae.models.vae import VAE, check_sizes
from minivae.options import PriorName


class MultVAE(VAE):
    """I - 600 - 200 - 600 - I with tanh, a multinomial likelihood and, as published, the prior N(0, I).

    ``h = tanh(x̃ W₁ + b₁)``, ``[μ, log σ²] = W₂ h + b₂``, ``f_θ(z) = W₄ tanh(W₃ z + b₃) + b₄``.

    Parameters
    ----------
    n_items : int
        I.
    hidden : int, default 600
        Width of the hidden layers.
    latent : int, default 200
        d, the latent dimension.
    prior : PriorName | str, default 'normal'
        Normal, composite or vamp.
    components : int, default 1000
        K, pseudo-inputs of a VampPrior.

    Raises
    ------
    InputError
        If a size is less than 1 or the prior is unknown.

    Examples
    --------
    >>> mu, sd = MultVAE(n_items=5, hidden=4, latent=2).encode(torch.eye(5))
    >>> mu.shape, bool((sd > 0).all())
    (torch.Size([5, 2]), True)
    """

    def __init__(
        self,
        n_items: int,
        hidden: int = 600,
        latent: int = 200,
        prior: PriorName | str = "normal",
        components: int = 1000,
    ) -> None:
        super().__init__()
        n_items, hidden, latent, components = check_sizes(
            n_items=n_items, hidden=hidden, latent=latent, components=components
        )
        self.n_items, self.hidden, self.latent = n_items, hidden, latent
        self.encoder_input = SparseLinear(n_items, hidden)
        self.encoder_output = nn.Linear(hidden, 2 * latent)
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.Tanh(), nn.Linear(hidden, n_items))
        self.prior_sizes = {"prior": prior, "components": components}
        self.prior = make_prior(prior, self.encoder, n_items, components, latent)
        self.reset_parameters()

    @property
    def sizes(self) -> dict[str, int | str]:
        return {"n_items": self.n_items, "hidden": self.hidden, "latent": self.latent, **self.prior_sizes}

    @property
    def encoder(self) -> nn.Sequential:  # pyright: ignore[reportIncompatibleVariableOverride] (it is never set)
        """Input -> [μ, log σ²], (B, 2d); made of the parts of this model."""
        return nn.Sequential(self.encoder_input, nn.Tanh(), self.encoder_output)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        xavier_(self, generator)
        self.reset_prior(generator)

    def posterior(self, x: UserBatch | Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = self.encoder(x).chunk(2, dim=-1)  # (B, d) each
        return mu, logvar
