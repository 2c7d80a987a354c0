"""The transfer kernel: the first-order effect of every training user on every user's loss, summed along training."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from minivae.data.users import Users, as_csr, binary, shape_of
from minivae.errors import InputError
from minivae.explain.snapshots import Snapshot
from minivae.models.vae import VAE
from minivae.theory.adapter import Wrapped
from minivae.theory.numerics.layers import TILE_BYTES, Gradient, gradients, width
from minivae.theory.numerics.samples import check_rows, dense, posterior_samples, still

ALONE = -1
"""Epoch of a model that was not seen in training."""
ROWS = 1024
"""Most users in a tile: a tile of errors is then ROWS × items numbers, whatever the number of users."""


@dataclass(frozen=True)
class Transfer:
    """Who helps whom; entry [u, v] is the effect of training user v on the loss of user u.

    Attributes
    ----------
    total : ndarray
        (R, U) float32, ``T(u, v) = Σ_t η_t ⟨g_u(θ_t), g_v(θ_t)⟩`` in nats: to first order, by how much the steps on v
        lower the loss of u.
    cosine : ndarray
        (R, U) float32, mean over the snapshots, weighted by η_t, of the cosine of the two gradients.
    epochs, weights : tuple[int, ...]
        Of the snapshots.
    itself : bool
        Whether the receivers are the training users, so that [u, u] is a user's effect on itself.
    """

    total: np.ndarray
    cosine: np.ndarray
    epochs: tuple[int, ...]
    weights: tuple[float, ...]
    itself: bool

    def others(self) -> np.ndarray:
        """`total` with 0 in place of a user's effect on itself."""
        if not self.itself:
            return self.total
        total = self.total.copy()
        np.fill_diagonal(total, 0)
        return total

    def inflow(self) -> np.ndarray:
        """(R,) what all others together do for u: ``Σ_{v≠u} T(u, v)``."""
        return self.others().sum(1, dtype=np.float64)

    def outflow(self) -> np.ndarray:
        """(U,) what v does for all others together: ``Σ_{u≠v} T(u, v)``."""
        return self.others().sum(0, dtype=np.float64)


def transfer(
    model: VAE | Wrapped | Sequence[Snapshot],
    x: Users,
    receivers: Users | None = None,
    target: Users | None = None,
    n_samples: int = 0,
    generator: torch.Generator | None = None,
) -> Transfer:
    """Transfer from every training user to every receiver, along training (TracIn; Theorem 2.3 summed over steps).

    ``T(u, v) = Σ_t η_t ⟨g_u(θ_t), g_v(θ_t)⟩``, θ the decoder. One step of plain gradient descent on v with rate η
    lowers the loss of u by ``η ⟨g_u, g_v⟩ + O(η²)``. Training with Adam, batches, masks and a moving encoder is not
    that run: whether T says who helped whom there is a question for retraining, see `lds`.

    Parameters
    ----------
    model : VAE | Wrapped | Sequence[Snapshot]
        Snapshots of a run, or one model, which then counts with weight 1.
    x : Users
        (U, I) training users, scipy CSR or dense; the source of transfer. Counts are taken as "has it".
    receivers : Users, optional
        (R, I) users whose loss is asked about, as the encoder sees them; the training users if None.
    target : Users, optional
        (R, I) what their loss predicts, for instance held-out items, weights as they are; `receivers` if None.
    n_samples : int, default 0
        S, draws of z per user, as in `minivae.theory.transfer.gram`; 0: z = μ, and time grows with S².
    generator : Generator, optional
        Torch generator of these draws.

    Returns
    -------
    Transfer
        Memory: two (R, U) float32 matrices and some tiles of `ROWS` × items, whatever the number of snapshots.

    Raises
    ------
    InputError
        If the users do not fit the model or there is no snapshot.

    Examples
    --------
    >>> from minivae.models import MultVAE
    >>> t = transfer(MultVAE(5, hidden=3, latent=2), torch.eye(5))
    >>> t.total.shape, bool((t.total.diagonal() >= 0).all())
    ((5, 5), True)
    """
    snapshots = model if isinstance(model, Sequence) else [Snapshot(model, 1.0, ALONE)]
    if not snapshots or min(s.weight for s in snapshots) < 0:
        raise InputError("there are no snapshots to sum over, or one has a negative weight; give at least one model")
    itself = receivers is None and target is None
    x = binary(x, "x")
    seen = x if receivers is None else binary(receivers, "receivers")
    goal = seen if target is None else as_csr(target)
    if goal.shape != seen.shape:
        raise InputError(f"target has shape {goal.shape}, but the receivers {seen.shape}; they must be the same users")
    if 0 in (shape_of(seen)[0], shape_of(x)[0]):
        raise InputError("there is no user to help, or none to be helped; give at least one of each")
    total = np.zeros((shape_of(seen)[0], shape_of(x)[0]), np.float32)
    cosine = np.zeros_like(total)
    share = sum(s.weight for s in snapshots) or 1.0
    for snapshot in snapshots:
        _add(snapshot, x, seen, goal, itself, n_samples, generator, total, cosine)
    return Transfer(
        total,
        cosine / share,
        tuple(s.epoch for s in snapshots),
        tuple(s.weight for s in snapshots),
        itself,
    )


def _add(
    snapshot: Snapshot,
    x: Users,
    seen: Users,
    goal: Users,
    itself: bool,
    n_samples: int,
    generator: torch.Generator | None,
    total: np.ndarray,
    cosine: np.ndarray,
) -> None:
    """Add one snapshot's inner products and cosines to the two matrices, tile by tile."""
    model = snapshot.model
    like = next(model.decoder.parameters())
    with still(model), torch.no_grad():
        z_source = posterior_samples(model, x, n_samples, generator).to(like)
        z_receiver = z_source if itself else posterior_samples(model, seen, n_samples, generator).to(like)
        check_rows(model, x, z_source)
        check_rows(model, goal, z_receiver)
        source = partial(_tiles, model.decoder, z_source, lambda part: dense(x, part, like))
        receiver = partial(_tiles, model.decoder, z_receiver, lambda part: dense(goal, part, like))
        samples = z_source.shape[1]
        norms = np.concatenate([_norms(g, samples) for _, g in source()])  # (U,)
        for rows, g in receiver():
            own = _norms(g, samples)
            for columns, other in source():
                block = _mean_inner(g, other, samples).cpu().numpy()  # (r, c)
                total[rows, columns] += snapshot.weight * block
                scale = own[:, None] * norms[columns]
                cosine[rows, columns] += snapshot.weight * np.divide(
                    block, scale, out=np.zeros_like(block), where=scale > 0
                )


def _tiles(decoder: nn.Module, z: Tensor, rows: Callable[[slice], Tensor]) -> Iterator[tuple[slice, Gradient]]:
    """All users' gradients in factors, tile after tile."""
    n_samples = z.shape[1]
    size = max(1, min(ROWS, TILE_BYTES // (z.element_size() * width(decoder))) // n_samples)
    for first in range(0, len(z), size):
        part = slice(first, min(first + size, len(z)))
        x = rows(part).repeat_interleave(n_samples, 0)
        yield part, gradients(decoder, z[part].flatten(0, 1), x)


def _mean_inner(a: Gradient, b: Gradient, samples: int) -> Tensor:
    """⟨g_u, g_v⟩ of users whose gradient is the mean over their samples."""
    pairs = a.inner(b)
    return pairs.unflatten(-1, (-1, samples)).unflatten(-3, (-1, samples)).mean((-3, -1)) if samples > 1 else pairs


def _norms(g: Gradient, samples: int) -> np.ndarray:
    """‖g_u‖ of the mean gradients."""
    if samples == 1:
        return g.squared_norms().clamp_min(0).sqrt().cpu().numpy()
    return _mean_inner(g, g, samples).diagonal().clamp_min(0).sqrt().cpu().numpy()
