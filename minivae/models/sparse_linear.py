"""The first layer of an encoder, fed with interactions instead of dense rows."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minivae.batches import UserBatch


class SparseLinear(nn.Module):
    """``y = x W + b`` for sparse rows x, as a weighted sum of the rows of W that x touches.

    Attributes
    ----------
    weight : Parameter
        (I, hidden), one row per item (the transpose of `nn.Linear`'s layout).
    bias : Parameter
        (hidden,).
    """

    def __init__(self, n_items: int, hidden: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_items, hidden))
        self.bias = nn.Parameter(torch.empty(hidden))

    def forward(self, x: UserBatch | Tensor) -> Tensor:
        """(B, hidden) from the weights of the batch's interactions, or from dense rows (B, I)."""
        return self.dense(x) if isinstance(x, Tensor) else self._sparse(x)

    def _sparse(self, batch: UserBatch) -> Tensor:
        items, weights, offsets = batch.items, batch.weights, batch.offsets
        if items.is_cpu:  # dropping what is masked halves the work; on a GPU the unknown length would cost a sync
            kept = weights != 0
            ends = F.pad(torch.cumsum(kept, 0), (1, 0))
            at = kept.nonzero()[:, 0]  # looked for once, not for each of the two
            items, weights, offsets = items.index_select(0, at), weights.index_select(0, at), ends[offsets]
        y = F.embedding_bag(
            items,
            self.weight,
            offsets,
            mode="sum",
            per_sample_weights=weights.to(self.weight.dtype),
            include_last_offset=True,
        )
        return y + self.bias  # (B, hidden)

    def dense(self, x: Tensor) -> Tensor:
        """The same for dense rows (B, I) -> (B, hidden); differentiable in x."""
        return x @ self.weight + self.bias
