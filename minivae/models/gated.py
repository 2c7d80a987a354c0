"""Layers of the gated networks (Dauphin et al. 2017; Kim and Suh 2019)."""

import torch
from torch import Tensor, nn

from minivae.batches import UserBatch
from minivae.models.sparse_linear import SparseLinear

LOGVAR_RANGE = (-12.0, 4.0)


class Gated(nn.Module):
    """``h = (W x + b) ⊙ sigmoid(V x + c)``; the two halves of one linear layer.

    Parameters
    ----------
    linear : nn.Linear | SparseLinear
        To twice the width of the output.
    """

    def __init__(self, linear: nn.Linear | SparseLinear) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, x: UserBatch | Tensor) -> Tensor:
        value, gate = self.linear(x).chunk(2, dim=-1)
        return value * torch.sigmoid(gate)


class GaussianHead(nn.Linear):
    """``[μ, log σ²]``, (..., hidden) -> (..., 2d), with log σ² clipped to −12 … 4."""

    def __init__(self, hidden: int, latent: int) -> None:
        super().__init__(hidden, 2 * latent)

    def forward(self, input: Tensor) -> Tensor:
        mu, logvar = super().forward(input).chunk(2, dim=-1)
        return torch.cat([mu, logvar.clamp(*LOGVAR_RANGE)], -1)


class GatedPair(nn.Module):
    """Two inputs, each through a gated layer of its own, then both through a third: (…), (…) -> (..., hidden).

    Parameters
    ----------
    first : nn.Linear | SparseLinear
    second : nn.Linear
        Linear layers to twice `hidden`.
    hidden : int
        Width of the output.
    """

    def __init__(self, first: nn.Linear | SparseLinear, second: nn.Linear, hidden: int) -> None:
        super().__init__()
        self.first, self.second = Gated(first), Gated(second)
        self.joint = Gated(nn.Linear(2 * hidden, 2 * hidden))

    def forward(self, a: UserBatch | Tensor, b: Tensor) -> Tensor:
        return self.joint(torch.cat([self.first(a), self.second(b)], -1))


class SplitInHalf(nn.Module):
    """A `GatedPair` of z₁ and z₂ that takes them as one vector, (..., 2d)."""

    def __init__(self, pair: GatedPair) -> None:
        super().__init__()
        self.pair = pair

    def forward(self, z: Tensor) -> Tensor:
        return self.pair(*z.chunk(2, dim=-1))
