"""★ The scale gauge: a change of the latent scale that no term of the objective sees, but the anchors do.

Take ``z → cz`` in the whole network: the last layer of the encoder times c (means) and shifted by 2 log c (log
variances), the first layer of the decoder divided by c, the anchors times c. Then

* every logit is as it was, so the likelihood is too;
* a KL divergence does not change under an invertible map, so it stays if the prior is carried along. A prior that the
  network makes itself, as the VampPrior and p(z₁|z₂) of H+Vamp, is carried along; N(0, I) is not;
* the anchor loss, ``‖μ − ē‖² + tr Σ + scatter``, is multiplied by c². Its variant `direction` stays as it was.

So under a learned prior, as without any prior, the infimum of ``NLL + β KL + λ L_A`` over the orbit is that of
``NLL + β KL``, approached as c → 0: L_A fixes no geometry, it only drives the codes towards small ones.
"""

import copy
import math
from collections.abc import Iterable
from typing import TypeVar

import torch
from torch import nn

from minivae.errors import InputError
from minivae.models import VAE, HVamp, MultVAE, RecVAE
from minivae.models.gated import SplitInHalf

V = TypeVar("V", bound=VAE)


def rescaled(model: V, c: float) -> V:
    """The same network with a latent space c times as large; logits and anchors go along.

    Exact in real arithmetic as long as no log variance meets a bound (H+Vamp clips them to −12 … 4).

    Parameters
    ----------
    model : VAE
        Mult-VAE, RecVAE or H+Vamp. Its prior is not touched: a VampPrior follows by itself, N(0, I) does not, and the
        old encoder inside a composite prior stays as it is.
    c : float
        The factor, above 0.

    Raises
    ------
    InputError
        If c is not above 0, or the model's means are not linear in its last layer (Mult-DAE ends in tanh).

    Examples
    --------
    >>> from minivae.models import MultVAE
    >>> model = MultVAE(5, hidden=4, latent=2)
    >>> small = rescaled(model, 0.1)
    >>> x = torch.eye(5)
    >>> torch.testing.assert_close(small.score(x), model.score(x))
    >>> torch.testing.assert_close(small.encode(x)[0], 0.1 * model.encode(x)[0])
    """
    if not 0 < c < math.inf:
        raise InputError(f"c={c} is no factor of a latent space; it must be finite and above 0")
    twin = copy.deepcopy(model)
    heads, readers = _layers(twin)
    with torch.no_grad():
        for head in heads:
            to_mean, _ = head.weight.chunk(2)
            mean, logvar = head.bias.chunk(2)
            to_mean.mul_(c)
            mean.mul_(c)
            logvar.add_(2 * math.log(c))
        for reader in readers:
            reader.weight.div_(c)
        if twin.anchors is not None:
            twin.anchors.mul_(c)
    return twin


def _layers(model: VAE) -> tuple[Iterable[nn.Linear], Iterable[nn.Linear]]:
    """The layers that make means and log variances, and those that read a code."""
    match model:
        case MultVAE():
            return [model.encoder_output], [_linear(model.decoder[0])]
        case RecVAE():
            return [_linear(model.encoder.output)], [_linear(model.decoder[0])]
        case HVamp():
            first = model.decoder[0]
            assert isinstance(first, SplitInHalf)
            pair = first.pair
            assert isinstance(model.encoder, nn.Sequential)
            heads = [model.encoder[2], model.inner_head, model.conditional[2]]
            read = [pair.first, pair.second, model.inner_layers.second, model.conditional[0]]
            return [_linear(h) for h in heads], [_linear(g.linear) for g in read]
    raise InputError(
        f"the codes of {type(model).__name__} are not linear in a last layer; give a MultVAE, a RecVAE or an HVamp"
    )


def _linear(module: object) -> nn.Linear:
    assert isinstance(module, nn.Linear)  # by the constructors of the three models
    return module
