"""What every VAE recommender here has in common: encode, decode, score, its own part of the loss, room for anchors."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from minivae.batches import DeviceCSR, UserBatch
from minivae.data.users import Users, as_csr, binary, shape_of
from minivae.errors import InputError, check_whole
from minivae.models.phase import Phase
from minivae.models.priors import NormalPrior, Prior

ENCODE_BLOCK = 4096


class Draw(NamedTuple):
    """One latent vector per user and the Gaussian it was drawn from, each (B, d)."""

    z: Tensor
    mu: Tensor
    logvar: Tensor


class VAE(nn.Module):
    """Base of the VAEs: a Gaussian posterior over a latent vector and a decoder to item logits.

    A subclass sets `n_items`, `latent`, `encoder` (which begins with a `minivae.models.SparseLinear`, since a batch is
    a list of interactions), `decoder` (an `nn.Sequential` that ends in the item-sized `nn.Linear`, with bias), and
    implements `sizes`, `posterior(x)` and `reset_parameters(generator)`; `minivae.fit` names what is missing. Where
    its loss is not that of Mult-VAE, it says so by its `prior`, its `phases`, or by overriding `draw` and `kl`.

    Attributes
    ----------
    n_items, latent : int
        I and d.
    encoder : Module
        Input -> [μ, log σ²], (B, 2d).
    prior : Prior, optional
        p(z); None for a model without a KL term.
    phases : tuple[Phase, ...]
        What learns when, within an epoch of training.
    normalize : bool
        Whether the encoder sees L2-normalised rows (False after training with ``mask="raw"``).
    anchors : Parameter, optional
        (I, d) parameter e_i of the anchor regularizer (PIA), or None without it.

    Examples
    --------
    >>> from minivae.models import MultVAE
    >>> model: VAE = MultVAE(n_items=5, hidden=4, latent=2)
    >>> mu, sd = model.encode(np.eye(5))  # five users with one item each
    >>> model.decode(mu).shape
    torch.Size([5, 5])
    """

    n_items: int
    latent: int
    encoder: nn.Module
    decoder: nn.Sequential
    phases: tuple[Phase, ...] = (Phase(),)
    anchors: nn.Parameter | None

    def __init__(self) -> None:
        super().__init__()
        self.normalize = True
        self.prior: Prior | None = NormalPrior()
        self.register_parameter("anchors", None)

    @property
    def sizes(self) -> dict[str, Any]:
        """The arguments that make an empty model of this shape."""
        raise _missing(self, "sizes")

    def posterior(self, x: UserBatch | Tensor) -> tuple[Tensor, Tensor]:
        """μ and log σ² of q(z|x), each (B, d), from the encoder input in a batch or in dense rows (B, I)."""
        raise _missing(self, "posterior(x)")

    def draw(self, x: UserBatch | Tensor, noise: Tensor | None = None) -> Draw:
        """``z = μ + σ ε`` with ε = `noise`, (B, d); z = μ without it."""
        mu, logvar = self.posterior(x)
        z = mu if noise is None else mu + torch.exp(0.5 * logvar) * noise
        return Draw(z, mu, logvar)

    def drawn(self, batch: UserBatch, noise: Tensor | None = None) -> Draw:
        """`draw` of a batch.

        Raises
        ------
        InputError
            If a layer of a subclass takes dense rows only, or what it gives is not (B, d).
        """
        kind, (b, d) = type(self).__name__, (batch.size, self.latent)
        try:
            draw = self.draw(batch, noise)
        except (TypeError, AttributeError) as e:
            if "UserBatch" not in str(e):
                raise
            raise InputError(
                f"the encoder of {kind} got a UserBatch, the interactions of {b} users, and took it for dense rows "
                f"({' '.join(str(e).split())}); let it begin with minivae.models.SparseLinear(n_items, width)"
            ) from e
        except ValueError as e:
            if "to unpack" not in str(e):
                raise
            raise InputError(f"posterior(x) of {kind} must return two tensors, μ and log σ², each (B, d) ({e})") from e
        for name in ("mu", "logvar", "z"):
            value = getattr(draw, name)
            if value.shape != (b, d):
                raise InputError(
                    f"{name} of {kind} has the shape {tuple(value.shape)}; for {b} users and latent={d} it must be "
                    f"({b}, {d}), one number for each dimension"
                )
        return draw

    def kl(self, draw: Draw, batch: UserBatch) -> Tensor | None:
        """KL(q(z|x_h) ‖ p) per user in nats, (B,); None without a prior.

        Parameters
        ----------
        draw : Draw
            Of the (masked) input.
        batch : UserBatch
            The same users with their clean input, for priors that look at it.
        """
        if self.prior is None:
            return None
        return self.prior.kl(*draw, batch, self.encoder)

    def finish(self, phase: Phase) -> None:
        """Called when a phase of training has ended."""
        if phase.encoder and self.prior is not None:
            self.prior.update(self.encoder)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw fresh weights."""
        raise _missing(self, "reset_parameters(generator)")

    def reset_prior(self, generator: torch.Generator | None = None) -> None:
        """Fresh parameters of the prior, after those of the encoder."""
        if self.prior is not None:
            self.prior.reset_parameters(generator)
            self.prior.update(self.encoder)

    def add_anchors(self, generator: torch.Generator | None = None) -> None:
        """Give every item an anchor e_i ~ N(0, I/d)."""
        like = next(self.parameters())
        e = torch.randn(self.n_items, self.latent, generator=generator) / self.latent**0.5
        self.anchors = nn.Parameter(e.to(like))

    def decode(self, z: Tensor) -> Tensor:
        """Item logits f_θ(z): (..., d) -> (..., I)."""
        return self.decoder(z)

    def encode(self, x: Users, normalize: bool | None = None) -> tuple[Tensor, Tensor]:
        """Posterior N(μ, diag sd²) of users, without any mask.

        What comes back can be differentiated by the parameters, as the theory needs it, and keeps all that takes. For
        the numbers alone, to plot or to store, call it inside ``with torch.no_grad():``.

        Parameters
        ----------
        x : Users
            (B, I) users, scipy CSR or dense, numpy or torch; counts are taken as "has it", as in training.
        normalize : bool, optional
            L2-normalise the rows first. None: as the model was trained. False: `x` is the ready encoder input, whose
            values are taken as they are, for instance from `minivae.masks.mask_input`.

        Returns
        -------
        mu, sd : Tensor
            Each (B, d), on the model's device and in its dtype.

        Raises
        ------
        InputError
            If `x` does not have I columns, or holds negative entries.
        """
        csr = as_csr(x) if normalize is False else binary(x, "x")
        normalize = self.normalize if normalize is None else normalize
        parts = [self._encode_block(block, normalize) for block in self._blocks(csr)]
        mu, sd = (torch.cat(p) for p in zip(*parts, strict=True))
        return mu, sd

    def _encode_block(self, block: sp.csr_matrix, normalize: bool) -> tuple[Tensor, Tensor]:
        like = next(self.parameters())
        values = block.data.astype(np.float64)
        if normalize:
            norms = np.sqrt(np.asarray(block.multiply(block).sum(axis=1), dtype=np.float64).ravel())
            values = values / np.repeat(norms, np.diff(block.indptr))
        batch = DeviceCSR(block, like.device).batch(torch.arange(shape_of(block)[0]))
        draw = self.drawn(replace(batch, weights=torch.from_numpy(values).to(like)))
        return draw.mu, torch.exp(0.5 * draw.logvar)

    def _blocks(self, csr: sp.csr_matrix) -> Iterator[sp.csr_matrix]:
        n_users, n_items = shape_of(csr)
        if n_items != self.n_items:
            raise InputError(
                f"x has {n_items} columns, but the model knows {self.n_items} items; give a column for each of them"
            )
        for first in range(0, max(n_users, 1), ENCODE_BLOCK):
            yield csr[first : first + ENCODE_BLOCK]

    @torch.no_grad()
    def score(self, history: Users) -> Tensor:
        """Ranking scores: the logits at z = μ, (B, I)."""
        return self.decode(self.encode(history)[0])

    def forward(self, x: Tensor) -> Tensor:
        """`score` by plain tensor operations on dense binary rows, (B, I) -> (B, I): for `torch.export` and ONNX."""
        if self.normalize:
            x = x / torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min(1)
        return self.decode(self.draw(x).mu)


def _missing(model: VAE, part: str) -> NotImplementedError:
    return NotImplementedError(f"{type(model).__name__} must implement {part}; help(minivae.VAE) says what it is")


def check_sizes(**sizes: int) -> list[int]:
    """The named sizes as Python's int, which JSON holds; `InputError` for what is no whole number from 1 to 2**31 − 1.

    Examples
    --------
    >>> check_sizes(n_items=np.int64(40), latent=4)
    [40, 4]
    """
    check_whole(1, 2**31 - 1, **sizes)
    return [int(n) for n in sizes.values()]
