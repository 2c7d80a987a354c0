"""H+Vamp, gated (Kim and Suh, RecSys 2019, arXiv 1911.00936): two latent vectors and a learned prior."""

import torch
from torch import Tensor, nn

from minivae.batches import UserBatch
from minivae.models.gated import Gated, GatedPair, GaussianHead, SplitInHalf
from minivae.models.initialisation import he_
from minivae.models.priors import make_prior
from minivae.models.sparse_linear import SparseLinear
from minivae.models.vae import VAE, Draw, check_sizes
from minivae.objective import kl_to_gaussian
from minivae.options import PriorName


class HVamp(VAE):
    """A hierarchy ``p(x|z₁, z₂) p(z₁|z₂) p(z₂)`` with ``q(z₂|x) q(z₁|x, z₂)``, gated layers, and the VampPrior on z₂.

    ``KL = E_{q(z₂|x)} KL(q(z₁|x, z₂) ‖ p(z₁|z₂)) + KL(q(z₂|x) ‖ p(z₂))``; the inner one has a closed form at the draw
    of z₂. Two gated hidden layers in each part, as in the authors' best setting. For everything else that looks at a
    VAE the latent vector is ``z = (z₁, z₂)``: given z₂ a Gaussian, not without it. `encode` takes z₂ at its mean, and
    so does ranking.

    Both parts of the encoder see the same masked input; the authors draw two masks, and use a variant of Adam that
    normalises gradients. They let no run stop before its warm-up ends and `patience` more epochs pass; here patience
    counts from the best epoch, so give it as much more as the warm-up lasts.

    Parameters
    ----------
    n_items : int
        I.
    hidden : int, default 600
        Width of the hidden layers.
    latent : int, default 200
        Dimension of z₁ and of z₂; the attribute `latent` is twice that.
    prior : PriorName | str, default 'vamp'
        Of z₂: vamp, normal or composite.
    components : int, default 1000
        K, pseudo-inputs of the VampPrior.

    Raises
    ------
    InputError
        If a size is less than 1 or the prior is unknown.

    Examples
    --------
    >>> model = HVamp(n_items=5, hidden=4, latent=2, components=3)
    >>> model.latent, model.encode(torch.eye(5))[0].shape  # z₁ and z₂ together
    (4, torch.Size([5, 4]))
    """

    def __init__(
        self,
        n_items: int,
        hidden: int = 600,
        latent: int = 200,
        prior: PriorName | str = "vamp",
        components: int = 1000,
    ) -> None:
        super().__init__()
        n_items, hidden, latent, components = check_sizes(
            n_items=n_items, hidden=hidden, latent=latent, components=components
        )
        self.n_items, self.hidden, self.latent = n_items, hidden, 2 * latent
        self.prior_sizes = {"prior": prior, "components": components}
        self.encoder = nn.Sequential(
            Gated(SparseLinear(n_items, 2 * hidden)),
            Gated(nn.Linear(hidden, 2 * hidden)),
            GaussianHead(hidden, latent),
        )
        self.inner_layers = GatedPair(SparseLinear(n_items, 2 * hidden), nn.Linear(latent, 2 * hidden), hidden)
        self.inner_head = GaussianHead(hidden, latent)
        self.conditional = nn.Sequential(
            Gated(nn.Linear(latent, 2 * hidden)),
            Gated(nn.Linear(hidden, 2 * hidden)),
            GaussianHead(hidden, latent),
        )
        pair = GatedPair(nn.Linear(latent, 2 * hidden), nn.Linear(latent, 2 * hidden), hidden)
        self.decoder = nn.Sequential(SplitInHalf(pair), nn.Linear(hidden, n_items))
        self.prior = make_prior(prior, self.encoder, n_items, components, latent)
        self.reset_parameters()

    @property
    def sizes(self) -> dict[str, int | str]:
        return {"n_items": self.n_items, "hidden": self.hidden, "latent": self.latent // 2, **self.prior_sizes}

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Weights N(0, 2/inputs) as published, biases as torch draws them; then the prior's."""
        he_(self, generator)
        self.reset_prior(generator)

    def posterior(self, x: UserBatch | Tensor) -> tuple[Tensor, Tensor]:
        """Of (z₁, z₂) with z₂ at its mean."""
        draw = self.draw(x)
        return draw.mu, draw.logvar

    def draw(self, x: UserBatch | Tensor, noise: Tensor | None = None) -> Draw:
        """z₂ from its posterior, then z₁ from that given z₂; both at their means without `noise`, (B, 2d)."""
        outer = self.encoder(x)  # (B, 2d)
        first, second = (None, None) if noise is None else noise.chunk(2, dim=-1)
        z2 = _sample(outer, second)
        inner = self.inner_head(self.inner_layers(x, z2))  # (B, 2d)
        z1 = _sample(inner, first)
        (mu1, logvar1), (mu2, logvar2) = inner.chunk(2, dim=-1), outer.chunk(2, dim=-1)
        return Draw(torch.cat([z1, z2], -1), torch.cat([mu1, mu2], -1), torch.cat([logvar1, logvar2], -1))

    def kl(self, draw: Draw, batch: UserBatch) -> Tensor:
        (_, z2), (mu1, mu2), (logvar1, logvar2) = (t.chunk(2, dim=-1) for t in draw)
        assert self.prior is not None  # the constructor made one
        inner = kl_to_gaussian(mu1, logvar1, *self.conditional(z2).chunk(2, dim=-1))
        return inner + self.prior.kl(z2, mu2, logvar2, batch, self.encoder)


def _sample(gaussian: Tensor, noise: Tensor | None) -> Tensor:
    mu, logvar = gaussian.chunk(2, dim=-1)
    return mu if noise is None else mu + torch.exp(0.5 * logvar) * noise
