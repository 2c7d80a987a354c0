"""What opens and closes the sharing radius of Theorem 2.3 along a training: its four numbers, over pairs of users."""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
import torch

from minivae.data.users import shape_of
from minivae.explain.records import RadiusStage
from minivae.explain.snapshots import Snapshot
from minivae.models import VAE
from minivae.runtime.table import Part, Table, numbers
from minivae.theory.adapter import Wrapped
from minivae.theory.transfer import sharing

LOOKED_AT = 60
"""Users, drawn at random; each pair of them is looked at."""


def radius_stages(model: VAE | Wrapped | Sequence[Snapshot], x: sp.csr_matrix) -> list[RadiusStage]:
    """The numbers of Theorem 2.3 at every snapshot, for the loss per interaction.

    A pair is certified if ``W2(q_u, q_v) < [‖g_u‖ − Δ_x(u, v)]_+ / K``, with K seen on the pair itself. Medians over
    ordered pairs u ≠ v.

    Parameters
    ----------
    model : VAE | Wrapped | Sequence[Snapshot]
        The snapshots of a run, or one model.
    x : csr_matrix
        (U, I) training users.
    """
    n = shape_of(x)[0]
    some = x[np.sort(np.random.default_rng(0).permutation(n)[:LOOKED_AT])]
    target = sp.diags_array(1 / np.maximum(np.diff(some.indptr), 1)) @ some
    stages = [(None, model)] if isinstance(model, VAE | Wrapped) else [(s.epoch, s.model) for s in model]
    return [_stage(epoch, at, some, sp.csr_matrix(target)) for epoch, at in stages]


def _stage(epoch: int | None, model: VAE | Wrapped, x: sp.csr_matrix, target: sp.csr_matrix) -> RadiusStage:
    found = sharing(model, x, generator=torch.Generator().manual_seed(0), target=target)
    others = ~torch.eye(len(found.norm), dtype=torch.bool)
    norm = found.norm[:, None].expand_as(found.mismatch)

    def median(values: torch.Tensor) -> float:
        return float(values[others].median())

    def share(values: torch.Tensor) -> float:
        return float(values[others].double().mean())

    return RadiusStage(
        epoch=epoch,
        norm=median(norm),
        mismatch=median(found.mismatch),
        lipschitz=median(found.lipschitz.expand_as(found.mismatch)),
        distance=median(found.distance),
        closed=share(found.mismatch >= norm),
        certified=share(found.certified),
        helped=share(found.exact > 0),
    )


def compose_radius(stages: Sequence[RadiusStage]) -> list[Part]:
    """The section of the page."""
    first, last = stages[0], stages[-1]
    said = (
        "Theorem 2.3 promises that a small step on v helps u if the distance of their posteriors is less than the "
        f"sharing radius, [‖g_u‖ − Δ]₊ / K. Medians over the pairs of {LOOKED_AT} training users at most; K is the "
        "largest ratio seen on the pair, the loss is that of one interaction. Where Δ, the difference of two gradients "
        "at one place, is at least ‖g_u‖, the radius is 0, whatever K and the distance are: "
    )
    if last is first:
        said += f"so it is for {last.closed:.0%} of the pairs."
    else:
        said += (
            f"for {first.closed:.0%} of the pairs at epoch {first.epoch}, for {last.closed:.0%} at epoch {last.epoch}."
        )
    columns = [numbers("epoch")]
    columns += [numbers(name, "{:.3g}".format) for name in ("‖g_u‖", "Δ", "K", "distance W₂")]
    columns += [numbers(name, "{:.0%}".format) for name in ("pairs with Δ ≥ ‖g_u‖", "certified", "helped")]
    rows = ([s.epoch, s.norm, s.mismatch, s.lipschitz, s.distance, s.closed, s.certified, s.helped] for s in stages)
    return ["## What opens and closes the sharing radius", said, Table.make(columns, rows)]
