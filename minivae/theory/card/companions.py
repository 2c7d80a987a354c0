"""Where the local models behind the statements describe a network, and where they do not.

A local model is a small picture of training that a proof works with: one Hessian for all masks (Proposition 3.2), a
linear decoder (water-filling under β), a latent distance that decides (the radius of Theorem 2.3). The statements stay
true; whether the picture fits a network is measured here, by other trainings of the same network. A line carries a
warning where it does not. The limits for a warning are conventions, named in the line.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import atanh, log, sqrt, tanh

import numpy as np
import scipy.sparse as sp
import torch
from scipy.stats import rankdata
from torch import Tensor
from torch.func import hessian

from minivae.errors import InputError
from minivae.models.vae import VAE
from minivae.theory import anchoring, bottleneck, transfer
from minivae.theory.adapter import Wrapped
from minivae.theory.card.check import Check, measured
from minivae.theory.card.content import closed, no_radius
from minivae.theory.card.evidence_masks import views
from minivae.theory.card.subject import Subject, in_float64
from minivae.theory.numerics.layers import nll
from minivae.theory.numerics.samples import dense, float64_decoder

USERS, MASKS = 40, 24
"""Users whose Hessian is taken, and masks for each of them."""
UNITS = 0.1
"""A number of units that is off by more than this share of all is worth a warning."""


@dataclass(frozen=True)
class Companions:
    """Other trainings of the network on a card: equal to it in all but one setting, or the same at earlier epochs.

    Attributes
    ----------
    beta : float
        Weight of the KL term that the network was trained with.
    anchor : float
        λ_A of its training.
    without : VAE, optional
        The same without anchors.
    looser : VAE, optional
        The same with `looser_beta` < beta.
    looser_beta : float
    along : sequence
        (epoch, model), the network itself on its way, earliest first.

    Raises
    ------
    InputError
        If a companion is given that the network cannot have: `without` for one without anchors, `looser_beta` not
        below beta.

    Examples
    --------
    >>> import minivae as mv
    >>> early, model = (mv.MultVAE(n_items=20, hidden=8, latent=2) for _ in "ab")
    >>> Companions(beta=0.2, along=[(1, early), (9, model)]).anchor
    0.0
    """

    beta: float
    anchor: float = 0.0
    without: VAE | Wrapped | None = None
    looser: VAE | Wrapped | None = None
    looser_beta: float = 0.0
    along: Sequence[tuple[int, VAE | Wrapped]] = ()

    def __post_init__(self) -> None:
        if self.without is not None and not self.anchor > 0:
            raise InputError(f"anchor={self.anchor}: a network trained without anchors has no companion without them")
        if self.looser is not None and not 0 < self.looser_beta < self.beta:
            raise InputError(f"looser_beta={self.looser_beta} must be above 0 and below beta={self.beta}")


def local_models(s: Subject, companions: Companions) -> dict[str, list[Check]]:
    """Statement -> its lines, for what there are companions of."""
    found: dict[str, list[Check]] = {}
    if companions.along:
        found["Theorem 2.3"] = [_content_along(s, companions.along)]
    if companions.looser is not None:
        found["β-KL"] = [_filled(s, companions.looser, companions.looser_beta, companions.beta)]
    if companions.without is not None:
        found["Proposition 3.2"] = [_shrunk(s, companions.without, companions.anchor, companions.beta)]
    return found


def _content_along(s: Subject, along: Sequence[tuple[int, VAE | Wrapped]]) -> Check:
    s = s.users(USERS)
    shares = []
    for _, model in along:
        shares.append(float(closed(transfer.sharing(in_float64(model), s.x, 4, s.generator)).double().mean()))
    value = ", ".join(f"epoch {epoch}: {share:.0%}" for (epoch, _), share in zip(along, shares, strict=True))
    on = f"{len(s.mu)} users, {len(shares)} moments of the training"
    return measured("Theorem 2.3", "the same along training", on, value, no_radius(shares[-1]))


def water_filling(kl: Tensor, beta: float, larger: float) -> Tensor:
    """KL of every unit at a larger β, as the linear model has it: ``[KL_j − ½ log(β'/β)]_+``.

    There a unit whose data has the variance λ_j pays ``KL_j = ½ log(λ_j / (β s²))`` above water, and none below it.

    Examples
    --------
    >>> water_filling(torch.tensor([1.0, 0.2]), 0.2, 0.2 * 2.718281828459045).tolist()
    [0.5, 0.0]
    """
    return (kl - 0.5 * log(larger / beta)).clamp_min(0)


def filled(before: Tensor, after: Tensor, active: int, beta: float, larger: float, on: str) -> Check:
    """Water-filling from one network to another: KL per unit (d,) each, and the active units of the second."""
    predicted = water_filling(before, beta, larger)
    above = int((predicted > 0).sum())
    off = abs(above - active) > max(1, UNITS * len(before))
    warning = "water-filling, which is proved for a linear network, does not describe this one" if off else ""
    value = (
        f"active units {above} predicted, {active} seen of {len(before)}; "
        f"KL {float(predicted.sum()):.2f} predicted, {float(after.sum()):.2f} seen"
    )
    claim = f"water-filling from β = {beta:g} to {larger:g}"
    return measured("β-KL", claim, on, value, warning)


def _filled(s: Subject, looser: VAE | Wrapped, beta: float, larger: float) -> Check:
    with torch.no_grad():
        before = bottleneck.kl_per_dimension(*(t.double() for t in in_float64(looser).encode(s.x)))
    after, active = bottleneck.kl_per_dimension(s.mu, s.sd), int(bottleneck.active_units(s.mu).sum())
    return filled(torch.as_tensor(before), torch.as_tensor(after), active, beta, larger, f"{len(s.mu)} users")


def predicted_shrinkage(h: Tensor, lam: float, free: Tensor) -> Tensor:
    """tr Cov μ* / tr Cov m that Proposition 3.2 predicts, (U,), from Hessians (U, d, d) and free means (U, M, d)."""
    nowhere = torch.zeros(h.shape[-1]).to(h)
    ratios = [anchoring.QuadraticModel(a, lam, nowhere).shrink(m).trace_ratio for a, m in zip(h, free, strict=True)]
    return torch.stack([torch.as_tensor(r) for r in ratios])


def order(predicted: np.ndarray, seen: np.ndarray) -> tuple[float, float, float]:
    """Spearman of two lists of at least 4 numbers, with its 95 % interval (Fisher's z)."""
    a, b = (rankdata(t) - (len(t) + 1) / 2 for t in (predicted, seen))
    size = sqrt(float((a**2).sum() * (b**2).sum()))
    rank = float((a * b).sum()) / size if size > 0 else 0.0
    if abs(rank) > 1 - 1e-12:
        return rank, rank, rank
    half = 1.96 / sqrt(len(a) - 3)
    return rank, tanh(atanh(rank) - half), tanh(atanh(rank) + half)


def shrunk(predicted: Tensor, free: Tensor, anchored: Tensor, lam: float, on: str) -> Check:
    """Proposition 3.2 user by user: predicted shrinkage (U,) against that of the means under masks, (U, M, d) each."""
    seen = anchored.var(1).sum(-1) / free.var(1).sum(-1)
    rank, low, high = order(predicted.numpy(), seen.numpy())
    between = float(anchored.mean(1).var(0).sum() / free.mean(1).var(0).sum())
    value = (
        f"Spearman {rank:+.2f} [{low:+.2f}, {high:+.2f}]; median {float(predicted.median()):.2f} predicted, "
        f"{float(seen.median()):.2f} seen, {between:.2f} of the variance between users"
    )
    if low > 0:
        warning = ""
    elif high < 0:
        warning = "the local model has the users who shrink more the wrong way round"
    else:
        warning = "the local model does not say which users shrink more"
    return measured("Proposition 3.2", f"shrinkage over masks, predicted and seen, λ = {lam:g}", on, value, warning)


def _shrunk(s: Subject, without: VAE | Wrapped, lam: float, beta: float) -> Check:
    name, s = "Proposition 3.2", s.users(USERS)
    free_model = in_float64(without)
    with torch.no_grad():
        mu = free_model.encode(s.x)[0].double()
    h = hessians(free_model, s.x, mu, beta)
    convex = torch.linalg.eigvalsh(h)[:, 0] >= 0
    claim = f"shrinkage over masks, predicted and seen, λ = {lam:g}"
    if convex.sum() < 10:
        value = f"at {int(convex.sum())} users only the loss is convex"
        return measured(name, claim, f"{len(h)} users", value, "its assumption H ⪰ 0 fails at most users")
    free, anchored = (views(replace(s, model=m), MASKS)[convex] for m in (free_model, s.model))
    on = f"the {int(convex.sum())} of {len(h)} users with H ⪰ 0, {MASKS} masks, against a training without anchors"
    return shrunk(predicted_shrinkage(h[convex], lam, free), free, anchored, lam, on)


def hessians(model: VAE | Wrapped, x: sp.csr_matrix, mu: Tensor, beta: float) -> Tensor:
    """``∇² (NLL(μ, x) + β/2 ‖μ‖²)`` of every user at z = μ, (U, d, d): the objective without anchors, as H has it."""
    decoder = float64_decoder(model).requires_grad_(False)
    found = []
    for k, at in enumerate(mu):
        target = dense(x, slice(k, k + 1), mu)
        found.append(hessian(lambda z, row=target: nll(decoder(z[None]), row)[0] + beta / 2 * z.square().sum())(at))
    return torch.stack(found)
