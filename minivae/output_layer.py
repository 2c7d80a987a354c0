"""The item-sized output layer ``f = h Wᵀ + b`` of a decoder: its logits, and its gradients from δ, in a precision."""

import torch
from torch import Tensor

TILE = 32


def output_layer(h: Tensor, weight: Tensor, bias: Tensor, products: torch.dtype) -> "OutputLayer":
    """The layer for B users.

    Parameters
    ----------
    h : Tensor
        (B, hidden).
    weight, bias : Tensor
        (I, hidden) and (I,).
    products : dtype
        Of the three item-sized products.
    """
    return (OutputLayer if products.itemsize >= 4 else LowOutputLayer)(h, weight, bias, products)


class OutputLayer:
    """The three item-sized products, each for a block of b users."""

    def __init__(self, h: Tensor, weight: Tensor, bias: Tensor, products: torch.dtype) -> None:
        self.h, self.weight, self.bias = h.detach().to(products), weight.to(products), bias.to(products)

    def logits(self, users: slice) -> Tensor:
        """``h Wᵀ + b``, (b, I)."""
        return torch.addmm(self.bias, self.h[users], self.weight.T)

    def delta(self, pi: Tensor, w: Tensor, counts: Tensor, smoothing: float, at: tuple[Tensor, Tensor]) -> Tensor:
        """``δ = w (N π − y)``, (b, I), made where π was; `at` are row and item of each positive."""
        delta = pi.mul_((w * counts).to(pi.dtype)[:, None])
        return _without_target(delta, w, w * counts, smoothing, at)

    def to_h(self, delta: Tensor, scale: Tensor) -> Tensor:
        """``δ W``, (b, hidden); `scale` is w N, (b,)."""
        return delta @ self.weight

    def to_weight_and_bias(self, delta: Tensor, users: slice, scale: Tensor) -> tuple[Tensor, Tensor]:
        """``δᵀ h``, (I, hidden), and ``Σ_u δ_u``, (I,), for which a product with ones beats a column sum."""
        return delta.T @ self.h[users], (delta.new_ones(1, len(delta)) @ delta)[0]


class LowOutputLayer(OutputLayer):
    """The same in 16 bits, where a pass over (B, I) is as dear as a product.

    The bias is one more column of W, and h is 1 there: its sum and its gradient cost no pass. Zeros fill both up to
    whole tiles of 32. The factor ``w N`` of a user multiplies h and the gradient of h, (B, hidden), instead of δ, which
    stays ``π − y / N``.
    """

    def __init__(self, h: Tensor, weight: Tensor, bias: Tensor, products: torch.dtype) -> None:
        self.hidden, self.products = weight.shape[1], products
        width = -(-(self.hidden + 1) // TILE) * TILE
        self.weight = _joined(weight, bias, width, products)  # (I, width)
        self.h = _joined(h.detach(), torch.ones_like(h[:, 0]), width, h.dtype)  # (B, width)

    def logits(self, users: slice) -> Tensor:
        """``[h, 1, 0 …] [W, b, 0 …]ᵀ``, (b, I)."""
        return self.h[users].to(self.products) @ self.weight.T

    def delta(self, pi: Tensor, w: Tensor, counts: Tensor, smoothing: float, at: tuple[Tensor, Tensor]) -> Tensor:
        """``δ / (w N)``, (b, I); π for a user without items, whose w N is 0."""
        return _without_target(pi, 1 / counts.clamp_min(1), torch.ones_like(w), smoothing, at)

    def to_h(self, delta: Tensor, scale: Tensor) -> Tensor:
        """``δ W``, (b, hidden)."""
        return (delta @ self.weight)[:, : self.hidden] * scale[:, None]

    def to_weight_and_bias(self, delta: Tensor, users: slice, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Both gradients, the columns of one product."""
        both = delta.T @ (self.h[users] * scale[:, None]).to(self.products)  # (I, width)
        return both[:, : self.hidden], both[:, self.hidden]


def _joined(matrix: Tensor, column: Tensor, width: int, dtype: torch.dtype) -> Tensor:
    """[matrix, column, 0 …] with `width` columns."""
    joined = matrix.new_empty(len(matrix), width, dtype=dtype)
    n = matrix.shape[1]
    joined[:, :n], joined[:, n] = matrix, column
    joined[:, n + 1 :] = 0
    return joined


def _without_target(delta: Tensor, one: Tensor, total: Tensor, smoothing: float, at: tuple[Tensor, Tensor]) -> Tensor:
    """Subtract the smoothed target in place: of its `total`, (1 − α) in parts of `one` each, and α everywhere."""
    if smoothing > 0:
        delta -= (total * (smoothing / delta.shape[1])).to(delta.dtype)[:, None]
    delta[at] -= ((1 - smoothing) * one[at[0]]).to(delta.dtype)
    return delta


def largest(x: Tensor) -> Tensor:
    """The largest of each row, (b, I) -> (b,).

    bf16 on a CPU: taken among the bits as int16, six times as fast. Their order is that of floats from 0 up, and turned
    around below 0, where the largest is looked for only if a row has nothing else. A NaN shows in rows of nothing else,
    as the softmax of a row with one is.
    """
    if x.dtype != torch.bfloat16 or not x.is_cpu:
        return x.amax(1)
    bits = x.view(torch.int16)
    top = bits.amax(1)
    if bool((top < 0).any()):
        top = torch.where(top < 0, bits.amin(1), top)
    return top.view(torch.bfloat16)
