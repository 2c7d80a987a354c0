"""What a step really does: the loss of every user before and after plain SGD on one of them."""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp

from minivae.data.users import Users
from minivae.errors import InputError, check_whole
from minivae.models.vae import VAE
from minivae.theory.adapter import Wrapped
from minivae.theory.numerics.layers import TILE_BYTES, nll, width
from minivae.theory.numerics.samples import check_rows, dense, float64_decoder


def step_effect(
    model: VAE | Wrapped,
    x: Users,
    step_on: int | Sequence[int] | np.ndarray | Tensor,
    eta: float | Tensor | np.ndarray,
    z: Tensor | np.ndarray,
) -> Tensor:
    """Change of the loss of every user after one real SGD step of the decoder on one user.

    ``L_u(θ − η g_v) − L_u(θ)`` with ``L_u = mean_s ℓ(θ; z_us, x_u)``; the model itself is left as it was.

    Parameters
    ----------
    model : VAE
        A VAE; its `decoder` is copied in float64.
    x : Users
        (U, I) targets of the loss, scipy CSR or dense. Nothing is encoded, so weights count as they are: binary rows
        for the loss of `Sharing` from the same users, ``x / N_x`` for the loss per interaction.
    step_on : int | Sequence[int] | ndarray | Tensor
        v from 0 to U − 1, or several v, each stepped on alone.
    eta : float | Tensor | ndarray
        Learning rate, a number or one for each v.
    z : Tensor | ndarray
        (U, S, d) samples, for instance `Sharing.z`.

    Returns
    -------
    Tensor
        (U,) for one v, (U, len(step_on)) for several; float64, in nats.

    Raises
    ------
    InputError
        If x and z do not fit the model or each other, or a v is no row of x.

    Examples
    --------
    >>> from minivae.theory import toy, transfer
    >>> x, _ = toy.toy_users(n_users=3, n_items=6)
    >>> model = toy.ToyVAE(6, features=4)
    >>> z = transfer.sharing(model, x, n_samples=2).z
    >>> bool(step_effect(model, x, 0, 0.01, z)[0] < 0)  # a small step on user 0 helps user 0
    True
    """
    z = torch.as_tensor(z)
    check_rows(model, x, z)
    users = _rows(step_on, len(z))
    rates = torch.as_tensor(eta, dtype=torch.float64).expand(len(users)).tolist()
    start = float64_decoder(model)
    z = z.double()
    before = _losses(start, z, x)
    changes = []
    for v, rate in zip(users, rates, strict=True):
        decoder = copy.deepcopy(start).requires_grad_(True)
        optimizer = torch.optim.SGD(decoder.parameters(), lr=rate)
        loss = nll(decoder(z[v]), dense(x, slice(v, v + 1), z)).mean()
        loss.backward()
        optimizer.step()
        changes.append(_losses(decoder, z, x) - before)
    return changes[0] if np.ndim(step_on) == 0 else torch.stack(changes, 1)


def curvature(model: VAE | Wrapped, x: Users, step_on: int, z: Tensor | np.ndarray) -> Tensor:
    """Curvature of every user's loss along the step on v, (U,): ``g_vᵀ ∇²L_u g_v / ‖g_v‖²``.

    A measured stand-in for the M of the descent lemma, at θ and in the direction of this step only; negative where
    L_u is concave along it. By two nested forward-mode derivatives. Parameters as in `step_effect`.

    Examples
    --------
    >>> from minivae.theory import toy, transfer
    >>> x, _ = toy.toy_users(n_users=3, n_items=6)
    >>> model = toy.ToyVAE(6, features=4)
    >>> z = transfer.sharing(model, x, n_samples=2).z
    >>> along = curvature(model, x, 0, z)
    >>> bool((along <= toy.proved_smoothness(model.decoder, x)).all())  # M bounds it in every direction
    True
    """
    z = torch.as_tensor(z)
    check_rows(model, x, z)
    (step_on,) = _rows(step_on, len(z))
    decoder = float64_decoder(model).requires_grad_(True)
    z = z.double()
    theta = dict(decoder.named_parameters())
    loss = nll(decoder(z[step_on]), dense(x, slice(step_on, step_on + 1), z)).mean()
    g = dict(zip(theta, torch.autograd.grad(loss, list(theta.values())), strict=True))
    theta = {name: p.detach() for name, p in theta.items()}
    size = sum(float(t.square().sum()) for t in g.values())
    one, nought = z.new_ones(()), z.new_zeros(())

    def along(part: slice) -> Tensor:
        goal = dense(x, part, z)[:, None]

        def losses(t: Tensor) -> Tensor:
            moved = {name: p - t * g[name] for name, p in theta.items()}
            logits = functional_call(decoder, moved, (z[part].flatten(0, 1),))  # an outside module may want a matrix
            return nll(logits.unflatten(0, (-1, z.shape[1])), goal).mean(-1)

        return jvp(lambda t: jvp(losses, (t,), (one,))[1], (nought,), (one,))[1]

    return torch.cat([along(part) for part in _parts(decoder, z)]) / size


def _rows(step_on: int | Sequence[int] | np.ndarray | Tensor, n_users: int) -> list[int]:
    """The users that are stepped on, refused where there is no such row."""
    given = np.atleast_1d(np.asarray(step_on)).tolist()
    for v in given:
        check_whole(0, **{"a user to step on": v})
        if v >= n_users:
            raise InputError(f"there is no user {v} to step on; the {n_users} users are 0 to {n_users - 1}")
    return given


@torch.no_grad()
def _losses(decoder: nn.Module, z: Tensor, x: Users) -> Tensor:
    """L_u of every user, (U,)."""
    losses = []
    for p in _parts(decoder, z):
        logits = decoder(z[p].flatten(0, 1)).unflatten(0, (-1, z.shape[1]))  # (u, S, I)
        losses.append(nll(logits, dense(x, p, z)[:, None]).mean(-1))
    return torch.cat(losses)


def _parts(decoder: nn.Module, z: Tensor) -> list[slice]:
    step = max(1, TILE_BYTES // (8 * width(decoder) * z.shape[1]))
    return [slice(first, first + step) for first in range(0, len(z), step)]
