"""What the theory takes from a model without changing it: draws of z, rows of users, the decoder in float64."""

from __future__ import annotations  # the adapter takes `still` from here

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from minivae.data.users import Users, shape_of
from minivae.errors import InputError, check_whole
from minivae.models.vae import VAE

if TYPE_CHECKING:
    from minivae.theory.adapter import Wrapped


def posterior_samples(model: VAE | Wrapped, x: Users, n_samples: int, generator: torch.Generator | None) -> Tensor:
    """Samples of the posteriors, (U, S, d): ``z = μ + sd ⊙ ε``, ``ε = randn(U, S, d)``; z = μ for S = 0."""
    check_whole(0, n_samples=n_samples)
    mu, sd = model.encode(x)  # (U, d) each
    if n_samples == 0:
        return mu[:, None]
    noise = torch.randn(len(mu), n_samples, mu.shape[-1], generator=generator, dtype=mu.dtype)
    return mu[:, None] + sd[:, None] * noise.to(mu.device)


def check_rows(model: VAE | Wrapped, x: Users, z: Tensor) -> None:
    """Refuse users and samples that do not belong together."""
    x = x if hasattr(x, "shape") else np.asarray(x)
    if len(getattr(x, "shape", ())) != 2 or shape_of(x)[1] != model.n_items:
        raise InputError(f"x must be users × {model.n_items} items, got shape {tuple(getattr(x, 'shape', ()))}")
    if z.ndim != 3 or z.shape[0] != shape_of(x)[0] or z.shape[1] == 0:
        raise InputError(f"z must be (U, S, d) with U = {shape_of(x)[0]} users as in x and S ≥ 1, got {tuple(z.shape)}")
    if z.shape[2] != model.latent:
        raise InputError(f"z has {z.shape[2]} latent dimensions, but the model {model.latent}")


def dense(x: Users, part: slice, like: Tensor) -> Tensor:
    """Rows `part` of the users as a dense tensor, in the dtype and on the device of `like`."""
    x = x if sp.issparse(x) or isinstance(x, np.ndarray | Tensor) else np.array(x)
    rows = sp.csr_matrix(x)[part].toarray() if sp.issparse(x) else cast("np.ndarray | Tensor", x)[part]
    return torch.as_tensor(rows).to(like)


@contextmanager
def still(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode, and back as it was: no dropout in a theorem."""
    modes = [(m, m.training) for m in model.modules()] if isinstance(model, nn.Module) else []
    for m, _ in modes:
        m.training = False
    try:
        yield
    finally:
        for m, mode in modes:
            m.training = mode


def float64_decoder(model: VAE | Wrapped) -> nn.Module:
    """A copy of the decoder in float64 and evaluation mode, for differences that float32 would lose."""
    return copy.deepcopy(model.decoder).double().eval()
