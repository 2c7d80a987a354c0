"""RecVAE (Shenbin, Alekseev, Tutubalina, Malykh and Nikolenko, WSDM 2020)."""

import math
from numbers import Real

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minivae.batches import UserBatch
from minivae.errors import InputError
from minivae.models.initialisation import fan_in_
from minivae.models.phase import Phase
from minivae.models.priors import make_prior
from minivae.models.sparse_linear import SparseLinear
from minivae.models.vae import VAE, check_sizes
from minivae.options import PriorName

DEPTH = 5


class DenseEncoder(nn.Module):
    """Five blocks, each fed with the sum of all earlier ones: ``h_k = LN_k(swish(W_k h_{k−1} + b_k + Σ_{j<k} h_j))``.

    The first block has the sparse input and no sum; ``[μ, log σ²] = W h_5 + b``.
    """

    def __init__(self, n_items: int, hidden: int, latent: int, eps: float) -> None:
        super().__init__()
        self.input = SparseLinear(n_items, hidden)
        self.blocks = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(DEPTH - 1))
        self.norms = nn.ModuleList(nn.LayerNorm(hidden, eps=eps) for _ in range(DEPTH))
        self.output = nn.Linear(hidden, 2 * latent)

    def forward(self, x: UserBatch | Tensor) -> Tensor:
        """Encoder input, sparse or dense (B, I) -> (B, 2d)."""
        h = total = self.norms[0](F.silu(self.input(x)))  # (B, hidden)
        for block, norm in zip(self.blocks, self.norms[1:], strict=True):
            h = norm(F.silu(block(h) + total))
            total = total + h
        return self.output(h)


class RecVAE(VAE):
    """A deep encoder, a linear decoder, the composite prior, and updates that alternate between the two halves.

    An epoch is what the authors call an outer epoch: three passes in which the encoder learns from masked input, then
    the prior takes over the new encoder, then one pass in which the decoder learns from clean input. The weight of the
    KL term is ``γ N_x`` for each user (`TrainConfig.gamma`, with ``beta=0``).

    Two deviations. The old encoder of the composite prior begins as a copy of the encoder; the authors draw a second
    one, which holds until the end of the first three passes. And `wsdm` keeps the old posterior of each user as a
    stored vector, where the main branch and this class compute it from the user's items.

    Parameters
    ----------
    n_items : int
        I.
    hidden : int, default 600
        Width of the blocks.
    latent : int, default 200
        d, the latent dimension.
    norm_eps : float, default 0.1
        ε of the LayerNorms: 0.1 in the authors' main branch, 1e-5 in that of the paper (`wsdm`).
    prior : PriorName | str, default 'composite'
        Composite, as published, normal or vamp.
    components : int, default 1000
        K, pseudo-inputs of a VampPrior.

    Raises
    ------
    InputError
        If a size is less than 1, ε is not positive, or the prior is unknown.

    Examples
    --------
    >>> model = RecVAE(n_items=5, hidden=4, latent=2)
    >>> [(phase.passes, phase.encoder, phase.decoder) for phase in model.phases]
    [(3, True, False), (1, False, True)]
    """

    phases = (Phase(passes=3, decoder=False), Phase(encoder=False, masked=False))

    def __init__(
        self,
        n_items: int,
        hidden: int = 600,
        latent: int = 200,
        norm_eps: float = 0.1,
        prior: PriorName | str = "composite",
        components: int = 1000,
    ) -> None:
        super().__init__()
        n_items, hidden, latent, components = check_sizes(
            n_items=n_items, hidden=hidden, latent=latent, components=components
        )
        if not (isinstance(norm_eps, Real) and 0 < norm_eps < math.inf):
            raise InputError(f"norm_eps={norm_eps!r} is not possible; it must be finite and positive")
        self.n_items, self.hidden, self.latent, self.norm_eps = n_items, hidden, latent, float(norm_eps)
        self.encoder = DenseEncoder(n_items, hidden, latent, self.norm_eps)
        self.decoder = nn.Sequential(nn.Linear(latent, n_items))
        self.prior_sizes = {"prior": prior, "components": components}
        self.prior = make_prior(prior, self.encoder, n_items, components, latent)
        self.reset_parameters()

    @property
    def sizes(self) -> dict[str, int | float | str]:
        own = {"n_items": self.n_items, "hidden": self.hidden, "latent": self.latent, "norm_eps": self.norm_eps}
        return own | self.prior_sizes

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Weights and biases uniform in ±1/sqrt(inputs), as published (the default of torch); the composite prior
        starts from the fresh encoder."""
        fan_in_(self, generator)
        self.reset_prior(generator)

    def posterior(self, x: UserBatch | Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = self.encoder(x).chunk(2, dim=-1)  # (B, d) each
        return mu, logvar
