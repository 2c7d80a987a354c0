"""How many latent neighbours differ so much in content that Theorem 2.3 leaves them no radius at all."""

import torch
from torch import Tensor

from minivae.theory import transfer
from minivae.theory.card.check import Check, measured

NEIGHBOURS, MOST = 5, 0.5
"""Latent neighbours of a user that are looked at; a larger share of them without a radius is worth a warning."""


def closed(sharing: transfer.Sharing) -> Tensor:
    """Pairs of latent neighbours, (U, k) bool, whose content alone differs by ``Δ_x(u, v) ≥ ‖g_u‖``.

    Of these ``r_share = [‖g_u‖ − Δ_x]_+ / L`` is 0 whatever the constant L is.
    """
    apart = sharing.distance + torch.diag(torch.full_like(sharing.norm, torch.inf))
    near = apart.topk(min(NEIGHBOURS, len(apart) - 1), largest=False).indices
    return sharing.mismatch.gather(1, near) >= sharing.norm[:, None]


def no_radius(share: float) -> str:
    """The warning for a share of neighbours without a radius; empty below the limit."""
    if share <= MOST:
        return ""
    return f"content closes the radius of {share:.0%} of the latent neighbours, so the distance decides little here"


def content(sharing: transfer.Sharing) -> Check:
    """One network: how many neighbours have no radius."""
    among = closed(sharing)
    share = float(among.double().mean())
    on = f"{among.numel():,} pairs: {len(among)} users and the {among.shape[1]} nearest of each"
    return measured(
        "Theorem 2.3", "neighbours with Δ_x ≥ ‖g_u‖, without any radius", on, f"{share:.0%}", no_radius(share)
    )
