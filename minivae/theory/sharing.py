"""What Theorem 2.3 says of every pair of users: whom a step helps, within which radius, and by which bound."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Sharing:
    """Theorem 2.3 for all pairs; [..., u, v] is the effect on u of a step on v.

    Attributes
    ----------
    exact : Tensor
        (..., U, U) ⟨g_u, g_v⟩.
    norm : Tensor
        (..., U) ‖g_u‖.
    distance : Tensor
        (..., U, U) W2(q_u, q_v), an upper bound on W1.
    mismatch : Tensor
        (..., U, U) Δ_x(u, v) = E_{z~q_v} ‖∇ℓ(z, x_u) − ∇ℓ(z, x_v)‖.
    mismatch_mean : Tensor
        (..., U, U) ‖E_{z~q_v}[∇ℓ(z, x_u) − ∇ℓ(z, x_v)]‖ ≤ Δ_x(u, v), the norm of the mean; computed when first read.
    lipschitz : Tensor
        (..., U, U) the constant L_θz that `penalty`, `radius` and `certified` use.
    penalty : Tensor
        (..., U, U) D_uv = L_θz · distance + Δ_x ≥ ‖g_u − g_v‖.
    radius : Tensor
        (..., U, U) r_share(u, v) = [‖g_u‖ − Δ_x]_+ / L_θz.
    certified : Tensor
        (..., U, U) bool, ``D_uv < ‖g_u‖``, that is distance < radius: a small step on v lowers the loss of u.
    slack : Tensor
        (..., U, U) ⟨g_u, g_v⟩ − ‖g_u‖ (‖g_u‖ − D_uv) ≥ 0, what the bound gives away.
    radius_sharp, certified_sharp : Tensor
        (..., U, U) the same from the polarisation identity, see `sharing`; certified is a pair within radius_sharp in
        either direction.
    certified_mean : Tensor
        (..., U, U) bool, L_θz · distance + mismatch_mean < ‖g_u‖: the theorem with the norm of the mean, see `sharing`;
        computed when first read.
    links : dict[str, Tensor]
        Bounds on ‖g_u − g_v‖, (..., U, U) each, from exact to the one that is easiest to read.
    z : Tensor
        (..., U, S, d) the samples that stand for the posteriors.
    status : dict[str, str]
        What each number is: exact, bound or measured.

    Examples
    --------
    >>> from minivae.models import MultVAE
    >>> from minivae.theory.transfer import sharing
    >>> s = sharing(MultVAE(5, hidden=3, latent=2), torch.eye(5))
    >>> s.exact.shape, s.status["radius"], list(s.chain())[0]
    (torch.Size([5, 5]), 'measured', 'inner product')
    """

    exact: Tensor
    norm: Tensor
    distance: Tensor
    mismatch: Tensor
    lipschitz: Tensor
    penalty: Tensor
    radius: Tensor
    certified: Tensor
    slack: Tensor
    radius_sharp: Tensor
    certified_sharp: Tensor
    links: dict[str, Tensor]
    z: Tensor
    status: dict[str, str] = field(repr=False)
    _mean_content: Callable[[], Tensor] = field(repr=False)  # a third of all the work, and few read what comes of it

    @cached_property
    def mismatch_mean(self) -> Tensor:
        """``‖E_{z~q_v}[∇ℓ(z, x_u) − ∇ℓ(z, x_v)]‖``, (..., U, U)."""
        with torch.no_grad():
            return torch.minimum(self._mean_content(), self.mismatch)  # above it by rounding only

    @cached_property
    def certified_mean(self) -> Tensor:
        """`certified` with `mismatch_mean` in the place of `mismatch`."""
        return cauchy_schwarz(self.norm, self.lipschitz * self.distance + self.mismatch_mean)

    def chain(self, among: Tensor | np.ndarray | None = None, sharp: bool = False) -> dict[str, float]:
        """Fraction of the pairs u ≠ v that transfer ("inner product") and that each link certifies, in turn.

        Parameters
        ----------
        among : Tensor | ndarray, optional
            (U, U) bool, the pairs to count, for instance those within a community; None: all.
        sharp : bool, default False
            Certify by polarisation instead of the theorem's Cauchy–Schwarz.
        """
        pairs = ~torch.eye(self.exact.shape[-1], dtype=torch.bool, device=self.exact.device)
        if among is not None:
            pairs = pairs & torch.as_tensor(among, device=pairs.device)
        certify = polarised if sharp else cauchy_schwarz
        sure = {"inner product": self.exact > 0}
        sure |= {name: certify(self.norm, bound) for name, bound in self.links.items()}
        return {name: float(s[..., pairs].double().mean()) for name, s in sure.items()}

    def max_step(self, smoothness: Tensor | float, sharp: bool = False) -> Tensor:
        """Learning rates below which a step on v lowers the loss of u, (..., U, U); 0 where nothing is certified.

        ``η < 2 ‖g_u‖ (‖g_u‖ − D_uv) / (M ‖g_v‖²)``, from the descent lemma; by polarisation,
        ``η < (‖g_u‖² + ‖g_v‖² − D²) / (M ‖g_v‖²)``.

        Parameters
        ----------
        smoothness : Tensor | float
            M, with ∇L_u M-Lipschitz along the step: a number, (..., U, 1) per user, or (..., U, U).
        sharp : bool, default False
            By polarisation, for the pairs of `certified_sharp`.
        """
        own, other = self.norm[..., :, None], self.norm[..., None, :]
        if sharp:
            least = torch.minimum(self.penalty, self.penalty.mT)
            gain = (own.square() + other.square() - least.square()) / 2
        else:
            gain = own * (own - self.penalty)
        cost = torch.as_tensor(smoothness).to(gain) * other.square()
        return torch.where(self.certified_sharp if sharp else self.certified, 2 * gain / cost, 0.0)


def cauchy_schwarz(norm: Tensor, bound: Tensor) -> Tensor:
    """Theorem 2.3: ``bound < ‖g_u‖`` implies ⟨g_u, g_v⟩ > 0."""
    return bound < norm[..., :, None]


def polarised(norm: Tensor, bound: Tensor) -> Tensor:
    """``bound² < ‖g_u‖² + ‖g_v‖²`` implies ⟨g_u, g_v⟩ > 0; both directions bound the same ‖g_u − g_v‖."""
    least = torch.minimum(bound, bound.mT)
    return least.square() < norm[..., :, None].square() + norm[..., None, :].square()
