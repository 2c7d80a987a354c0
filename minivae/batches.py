"""Training users on the device, batch by batch.

The training matrix lives on the device as CSR. A batch is the list of its interactions; nothing of size B×I is made.
"""

from dataclasses import dataclass
from typing import get_args

import numpy as np
import scipy.sparse as sp
import torch
from scipy.special import expit
from torch import Tensor

from minivae.data.users import shape_of
from minivae.errors import InputError
from minivae.options import AnchorWeights


@dataclass(frozen=True)
class UserBatch:
    """The interactions of B users, row after row.

    Attributes
    ----------
    users : Tensor
        (B,) int64, rows of the training matrix.
    items : Tensor
        (n,) int64, all items of these users.
    rows : Tensor
        (n,) int64, row in the batch (0..B-1) of each interaction.
    offsets : Tensor
        (B+1,) int64, where each row begins in `items`.
    bounds : Tensor
        The same on the host, wherever the rest is: a block of users is cut out without waiting for a GPU.
    counts : Tensor
        (B,) float32, N_x.
    positions : Tensor
        (n,) int64, index of each interaction in the training matrix: its address for random masks.
    weights : Tensor
        (n,) float32, what the encoder sees of each interaction: 0 where masked.
    item_weights : Tensor, optional
        (n,) float32, weight of each item in its user's anchor loss before they are scaled to sum 1; None: all alike.
    keep : Tensor, optional
        (n,) float32, ρ_i of each interaction's item, where items differ in it.
    """

    users: Tensor
    items: Tensor
    rows: Tensor
    offsets: Tensor
    bounds: Tensor
    counts: Tensor
    positions: Tensor
    weights: Tensor
    item_weights: Tensor | None = None
    keep: Tensor | None = None

    @property
    def size(self) -> int:
        return self.counts.shape[0]


class DeviceCSR:
    """A binary user × item matrix resident on `device`.

    Parameters
    ----------
    matrix : csr_matrix
        Scipy CSR (U, I), binary.
    device : device | str, default 'cpu'
        Where the column indices live; row pointers stay on the host too, so that no batch needs a device read.
    anchor_weights : AnchorWeights, default 'uniform'
        How the items of a user are weighted in the anchor loss, see `item_weights`.
    keep : float, default 1.0
    keep_exponent : float, default 0.0
        With an exponent other than 0 every item has a keep probability of its own, see `keep_by_popularity`.
    """

    def __init__(
        self,
        matrix: sp.csr_matrix,
        device: torch.device | str = "cpu",
        anchor_weights: AnchorWeights = "uniform",
        keep: float = 1.0,
        keep_exponent: float = 0.0,
    ) -> None:
        self.n_users, self.n_items = shape_of(matrix)
        self.device = torch.device(device)
        self._starts = torch.from_numpy(np.asarray(matrix.indptr, dtype=np.int64))
        self._items = torch.from_numpy(np.asarray(matrix.indices, dtype=np.int64)).to(self.device)
        self._item_weights = self._keep = None
        if keep_exponent == 0 and anchor_weights == "uniform":
            return
        counts = np.bincount(matrix.indices, minlength=self.n_items)
        if keep_exponent != 0:
            self._keep = self._of_items(keep_by_popularity(counts, keep, keep_exponent))
        if anchor_weights != "uniform":
            self._item_weights = self._of_items(item_weights(counts, self.n_users, anchor_weights))

    def _of_items(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(self.device)

    def batch(self, users: Tensor) -> UserBatch:
        """The clean, L2-normalised batch of the given rows, (B,) int64 on the host."""
        start = self._starts.index_select(0, users)  # faster than [users], here and below
        bounds = torch.zeros(len(users) + 1, dtype=torch.int64)
        torch.cumsum(self._starts.index_select(0, users + 1) - start, 0, out=bounds[1:])
        packed = torch.cat([users, start - bounds[:-1], bounds])  # one copy; only from pinned memory it is asynchronous
        packed = packed.pin_memory() if self.device.type == "cuda" else packed
        sizes = [len(users), len(users), len(bounds)]
        users, shift, offsets = packed.to(self.device, non_blocking=True).split(sizes)
        counts, total = offsets.diff(), int(bounds[-1])
        rows = torch.repeat_interleave(torch.arange(len(users), device=self.device), counts, output_size=total)
        positions = torch.arange(total, device=self.device) + shift.index_select(0, rows)
        floats = counts.to(torch.float32)
        items = self._items.index_select(0, positions)
        return UserBatch(
            users=users,
            items=items,
            rows=rows,
            offsets=offsets,
            bounds=bounds,
            counts=floats,
            positions=positions,
            weights=floats.clamp_min(1).rsqrt().index_select(0, rows),
            item_weights=None if self._item_weights is None else self._item_weights[items],
            keep=None if self._keep is None else self._keep[items],
        )


def item_weights(counts: np.ndarray, n_users: int, kind: AnchorWeights) -> np.ndarray:
    """Weight of each item in the anchor loss, before the weights of a user are scaled to sum 1.

    With n_i the training users of item i and U all of them: 1 (uniform), n_i (popularity), or log(1 + U / n_i) (idf),
    which gives rare items more weight; an item without users counts as one with a single user.

    Raises
    ------
    InputError
        For an unknown kind.
    """
    n = np.maximum(counts, 1).astype(np.float64)
    if kind == "uniform":
        return np.ones_like(n)
    if kind == "popularity":
        return n
    if kind == "idf":
        return np.log1p(n_users / n)
    raise InputError(f"anchor_weights={kind!r} is unknown; choose one of {', '.join(get_args(AnchorWeights))}")


def keep_by_popularity(counts: np.ndarray, keep: float, exponent: float) -> np.ndarray:
    """Keep probabilities ρ_i that fall with popularity (exponent > 0) or rise with it (< 0), (I,).

    ``logit ρ_i = c − exponent · log n_i``, n_i the training users of item i (at least 1), with c such that a share
    `keep` of all interactions is kept on average: ``Σ_i n_i ρ_i / Σ_i n_i = keep``. Exponent 0 gives ρ_i = keep.

    Parameters
    ----------
    counts : ndarray
        (I,) n_i.
    keep : float
        Mean ρ over interactions, in (0, 1); with 1 nothing is ever hidden.
    exponent : float
        Of the odds: with 1 an item with twice the users has half the odds to be kept.

    Examples
    --------
    >>> keep_by_popularity(np.array([1, 4]), 0.5, 1.0).round(3)
    array([0.756, 0.436])
    """
    if keep == 1:
        return np.ones(len(counts))
    from scipy.optimize import brentq  # its import takes .3 s, and most runs have one ρ for all

    n = np.maximum(counts, 1).astype(np.float64)
    log_n = np.log(n)
    slope = exponent * (log_n - log_n.mean())
    widest = np.abs(slope).max() + 50
    c = brentq(lambda c: n @ expit(c - slope) / n.sum() - keep, -widest, widest, xtol=1e-12)
    return expit(c - slope)
