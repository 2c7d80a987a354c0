"""Fresh weights, as the papers draw them. The prior and the anchors draw their own."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from minivae.models.sparse_linear import SparseLinear


def linear_layers(model: nn.Module) -> Iterator[nn.Linear | SparseLinear]:
    """The layers of encoder and decoder whose weights are matrices."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | SparseLinear) and not name.startswith("prior."):
            yield module


@torch.no_grad()
def xavier_(model: nn.Module, generator: torch.Generator | None) -> None:
    """Liang et al. (2018): weights Xavier uniform, biases normal with sd .001 cut at two sd."""
    for layer in linear_layers(model):
        nn.init.xavier_uniform_(layer.weight, generator=generator)
        nn.init.trunc_normal_(layer.bias, std=1e-3, a=-2e-3, b=2e-3, generator=generator)


@torch.no_grad()
def fan_in_(model: nn.Module, generator: torch.Generator | None) -> None:
    """The default of torch, which RecVAE's authors use: uniform in ±1/sqrt(inputs), weights and biases alike.

    LayerNorms start with gain 1 and bias 0.
    """
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.reset_parameters()
    for layer in linear_layers(model):
        bound = inputs_of(layer) ** -0.5
        for p in (layer.weight, layer.bias):
            p.uniform_(-bound, bound, generator=generator)


@torch.no_grad()
def he_(model: nn.Module, generator: torch.Generator | None) -> None:
    """Kim and Suh (2019): weights N(0, 2/inputs), biases uniform in ±1/sqrt(inputs)."""
    for layer in linear_layers(model):
        inputs = inputs_of(layer)
        layer.weight.normal_(0, (2 / inputs) ** 0.5, generator=generator)
        layer.bias.uniform_(-(inputs**-0.5), inputs**-0.5, generator=generator)


def inputs_of(layer: nn.Linear | SparseLinear) -> int:
    """Number of inputs: the two classes store their matrices transposed to each other."""
    weight: Tensor = layer.weight
    return weight.shape[0] if isinstance(layer, SparseLinear) else weight.shape[1]
