"""The first layer of an encoder, fed with interactions instead of dense rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minivae.batches import UserBatch

_PRODUCTS: ContextVar[torch.dtype | None] = ContextVar("products", default=None)


@contextmanager
def products_in(dtype: torch.dtype | None) -> Iterator[None]:
    """Inside, the product of dense rows and W is made in `dtype`; None: in that of W.

    What a layer multiplies while a loss is computed is no property of the layer, so it is not kept there.
    """
    before = _PRODUCTS.set(dtype)
    try:
        yield
    finally:
        _PRODUCTS.reset(before)


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
        """The same for dense rows (B, I) -> (B, hidden); differentiable in x. See `products_in` for its precision."""
        products = _PRODUCTS.get() or self.weight.dtype
        return (x.to(products) @ self.weight.to(products)).to(self.weight.dtype) + self.bias
