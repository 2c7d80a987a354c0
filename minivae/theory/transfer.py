"""Theorem 2.3: whom a gradient step on one user helps, and the latent radius within which it is sure to.

Entry [u, v] of every matrix is about the effect on user u of a step on user v.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from minivae.data.users import Users, binary
from minivae.errors import InputError, check_whole
from minivae.masks import mask_input
from minivae.models.vae import VAE
from minivae.options import Mask
from minivae.theory.adapter import Wrapped
from minivae.theory.numerics.content import mean_content
from minivae.theory.numerics.coupling import coupled
from minivae.theory.numerics.gram import gram, tiled_gram
from minivae.theory.numerics.layers import TILE_BYTES, width
from minivae.theory.numerics.samples import check_rows, dense, float64_decoder, still
from minivae.theory.numerics.steps import curvature, step_effect
from minivae.theory.sharing import Sharing, cauchy_schwarz, polarised

__all__ = ["Sharing", "curvature", "gram", "sharing", "step_effect", "view_sharing"]

EXACT = "exact for the sampled posteriors"
BOUND = "bound"
MEASURED = "measured"
DERIVED = ("penalty", "radius", "certified", "slack", "radius_sharp", "certified_sharp", "certified_mean")
PROVED = "bound with a constant proved by the caller"


def sharing(
    model: VAE | Wrapped,
    x: Users,
    n_samples: int = 8,
    generator: torch.Generator | None = None,
    lipschitz: str | float | Tensor | np.ndarray = "pair",
    target: Users | None = None,
    z: Tensor | np.ndarray | None = None,
) -> Sharing:
    """Sharing radius, transfer penalty and certificate for all pairs of users (Theorem 2.3).

    An SGD step on v strictly lowers the loss of u, if small, whenever ``W1(q_u, q_v) < r_share(u, v)``,
    ``r_share(u, v) = [‖g_u‖ − Δ_x(u, v)]_+ / L_θz``. The step is plain SGD on the decoder, with one user.

    ★ Cauchy–Schwarz throws ‖g_v‖ away. By polarisation ``⟨g_u, g_v⟩ = (‖g_u‖² + ‖g_v‖² − ‖g_u − g_v‖²)/2``, so
    ``D < sqrt(‖g_u‖² + ‖g_v‖²)`` is enough, with D the smaller of D_uv and D_vu. It certifies whatever the theorem
    does, loses nothing where ‖g_u − g_v‖ is exact, and gives ``radius_sharp = [sqrt(‖g_u‖² + ‖g_v‖²) − Δ_x]_+ / L_θz``.

    ★ The proof needs Δ_x only as a bound on ``‖E_{z~q_v}[∇ℓ(z, x_u) − ∇ℓ(z, x_v)]‖``, the norm of a mean, which is at
    most the mean of the norms. With it in the place of Δ_x no pair is lost, and others may come: `certified_mean`.

    The posteriors are represented by S samples ``μ + sd ⊙ ε_s`` with one ε for all users, standardised to mean 0 and
    mean square 1 per coordinate. So the mean squared distance of two users' samples is W2² exactly, and every
    inequality of the chain holds for the sampled posteriors without any sampling error. That is what *exact* and
    *bound* mean here. As estimates for the true posteriors, ‖g_u‖² and
    ⟨g_u, g_v⟩ are biased, since both factors share their noise: estimate them by `gram` with ``unbiased=True``, whose
    noise is independent. A measured constant
    is the largest ratio seen on these samples, hence valid on them and nowhere else.

    Parameters
    ----------
    model : VAE
        A VAE; θ are the parameters of `model.decoder`. Computed in float64 whatever its dtype.
    x : Users
        (U, I) users, scipy CSR or dense; counts are taken as "has it", by the encoder and by the loss.
    n_samples : int, default 8
        S ≥ 2, or 0 for ``z = μ`` (then distance is between means).
    generator : Generator, optional
        Torch generator of ε.
    lipschitz : str | float | Tensor | ndarray, default 'pair'
        Constant of ``z ↦ ∇_θ ℓ(θ; z, x_u)``: measured per "pair" (local), per "user" or "global" (one for all); or
        proved, a number or (U,), for instance from `minivae.theory.toy.proved_lipschitz`.
    target : Users, optional
        (U, I) what the loss reconstructs, weights as they are; None: `x`. Pass ``x / N_x`` for the loss per
        interaction.
    z : Tensor | ndarray, optional
        (U, S, d) to be used as it is, instead of samples, row s of all users coupled. `distance` is then the root mean
        square of ‖z_us − z_vs‖, an upper bound on W1 between these samples.

    Raises
    ------
    InputError
        If shapes do not fit the model or one sample is asked for.

    Examples
    --------
    >>> from minivae.models import MultVAE
    >>> s = sharing(MultVAE(5, hidden=3, latent=2), torch.eye(5))
    >>> bool((s.slack >= -1e-9).all())
    True
    """
    with still(model), torch.no_grad():  # in double: the bounds below are differences of nearly equal squares
        mu, sd = (t.double() for t in model.encode(x))
        given = z is not None
        z = torch.as_tensor(z).to(mu) if given else _coupled_samples(mu, sd, n_samples, generator)  # (U, S, d)
        target = binary(x, "x") if target is None else target
        check_rows(model, target, z)
        at = z.flatten(1) / z.shape[1] ** 0.5 if given else _places(mu, sd, z)
        decoder, goal = float64_decoder(model), dense(target, slice(None), z)
        measured = _measure(decoder, at, z, goal)
    return _conclude(measured, z, lipschitz, partial(mean_content, decoder, z, goal))


def view_sharing(
    model: VAE | Wrapped,
    x: Users,
    keep: float,
    mask: Mask = "normalize-then-mask",
    *,
    n_views: int = 2,
    n_samples: int = 8,
    generator: torch.Generator | None = None,
    lipschitz: str | float | Tensor | np.ndarray = "pair",
) -> Sharing:
    """Theorem 2.3 between masked views of ONE user: equal targets, so Δ_x = 0 and only the distance counts.

    Parameters
    ----------
    model : VAE
        A VAE; θ are the parameters of `model.decoder`.
    x : Users
        (U, I) users, scipy CSR or dense.
    keep : float
        ρ, the probability to keep an interaction.
    mask : Mask, default 'normalize-then-mask'
        Input convention, see `minivae.masks.input_weights`.
    n_views : int, default 2
        V, independent masks per user.
    n_samples : int, default 8
        S of each view, as in `sharing`.
    generator : Generator, optional
        Torch generator of the masks and of ε.
    lipschitz : str | float | Tensor | ndarray, default 'pair'
        As in `sharing`; a proved constant per user is (U, 1).

    Raises
    ------
    InputError
        If `n_views` is no whole number of at least 1, or as in `sharing`.

    Returns
    -------
    Sharing
        Sharing with one V × V matrix per user, (U, V, V).

    Examples
    --------
    >>> from minivae.models import MultVAE
    >>> s = view_sharing(MultVAE(5, hidden=3, latent=2), torch.ones(2, 5), keep=0.5)
    >>> s.exact.shape, float(s.mismatch.max())
    (torch.Size([2, 2, 2]), 0.0)
    """
    check_whole(1, n_views=n_views)
    with still(model), torch.no_grad():
        views = [model.encode(mask_input(x, keep, mask, generator), normalize=False) for _ in range(n_views)]
        mu, sd = (torch.stack(t, 1).double() for t in zip(*views, strict=True))  # (U, V, d) each
        z = _coupled_samples(mu, sd, n_samples, generator)  # (U, V, S, d)
        goals = binary(x, "x")
        check_rows(model, goals, z[:, 0])
        decoder = float64_decoder(model)
        group = max(1, TILE_BYTES // (8 * width(decoder) * n_views * z.shape[-2]))
        parts = []
        for first in range(0, len(mu), group):
            p = slice(first, first + group)
            goal = dense(goals, p, z)[:, None].expand(-1, n_views, -1)  # (g, V, I)
            parts.append(_measure(decoder, _places(mu[p], sd[p], z[p]), z[p], goal))
    measured = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return _conclude(measured, z, lipschitz, partial(torch.zeros_like, measured["mismatch"]))  # equal targets


def _coupled_samples(mu: Tensor, sd: Tensor, n_samples: int, generator: torch.Generator | None) -> Tensor:
    """``μ + sd ⊙ ε`` (..., S, d) with one ε for all, of mean 0 and mean square 1: mean ‖z_u − z_v‖² is W2² exactly."""
    check_whole(0, n_samples=n_samples)
    if n_samples == 0:
        return mu[..., None, :]
    if n_samples < 2:
        raise InputError(f"n_samples={n_samples} cannot stand for a Gaussian; take at least 2, or 0 for the means")
    noise = torch.randn(n_samples, mu.shape[-1], generator=generator, dtype=torch.float64)
    noise = noise - noise.mean(0)
    noise = (noise / noise.square().mean(0).sqrt()).to(mu.device)
    return mu[..., None, :] + sd[..., None, :] * noise


def _places(mu: Tensor, sd: Tensor, z: Tensor) -> Tensor:
    """Points whose distances are W2 of the users' posteriors, or of their means where they stand for them."""
    return torch.cat([mu, sd], -1) if z.shape[-2] > 1 else mu


def _measure(decoder: nn.Module, at: Tensor, z: Tensor, x: Tensor) -> dict[str, Tensor]:
    """All that the theorem needs, exact for the samples z (..., U, S, d), whose users are `at` (..., U, k)."""
    pieces = coupled(decoder, z, x)
    exact, _ = tiled_gram(decoder, z, lambda part: x[..., part, :])
    return {
        "exact": exact,
        "distance": torch.cdist(at, at, compute_mode="donot_use_mm_for_euclid_dist"),
        "latent": pieces.latent,
        "mismatch": pieces.mismatch,
        "ratio": pieces.ratio,
    }


def _conclude(
    m: dict[str, Tensor],
    z: Tensor,
    lipschitz: str | float | Tensor | np.ndarray,
    content: Callable[[], Tensor],
) -> Sharing:
    """The theorem from its ingredients, with the constant that was asked for."""
    exact, distance, mismatch, ratio = m["exact"], m["distance"], m["mismatch"], m["ratio"]
    square = exact.diagonal(dim1=-2, dim2=-1)  # (..., U)
    norm = square.clamp_min(0).sqrt()
    per_user = ratio.amax(-1, keepdim=True)  # the constant belongs to ℓ(·, x_u): the largest over v, not over u
    constants = {"pair": ratio, "user": per_user.expand_as(ratio), "global": ratio.max().expand_as(ratio)}
    links = {
        "gradient distance": (square[..., :, None] + square[..., None, :] - 2 * exact).clamp_min(0).sqrt(),
        "coupling": m["latent"] + mismatch,
    } | {f"Lipschitz per {name}": c * distance + mismatch for name, c in constants.items()}
    proved = not isinstance(lipschitz, str)
    if proved:
        constant = _per_user(lipschitz, norm)[..., None].expand_as(ratio)
        links["Lipschitz proved"] = constant * distance + mismatch
    elif lipschitz in constants:
        constant = constants[lipschitz]
    else:
        raise InputError(f"lipschitz={lipschitz!r} is unknown; choose one of {', '.join(constants)}, or pass constants")
    # ⟨g_u, g_v⟩ = ‖g_u‖² − ⟨g_u, g_u − g_v⟩ ≥ ‖g_u‖ (‖g_u‖ − D): D against ‖g_u‖ decides, ‖g_v‖ does not enter
    own = norm[..., :, None]
    penalty = constant * distance + mismatch
    both = (square[..., :, None] + square[..., None, :]).clamp_min(0).sqrt()
    return Sharing(
        exact=exact,
        norm=norm,
        distance=distance,
        mismatch=mismatch,
        lipschitz=constant,
        penalty=penalty,
        radius=_radius(own, mismatch, constant),
        certified=cauchy_schwarz(norm, penalty),
        slack=exact - own * (own - penalty),
        radius_sharp=_radius(both, mismatch, constant),
        certified_sharp=polarised(norm, penalty),
        links=links,
        z=z,
        status=dict.fromkeys(("exact", "norm", "mismatch", "mismatch_mean"), EXACT)
        | {"distance": BOUND, "lipschitz": PROVED if proved else MEASURED}
        | dict.fromkeys(DERIVED, BOUND if proved else MEASURED),
        _mean_content=content,
    )


def _per_user(lipschitz: float | Tensor | np.ndarray, norm: Tensor) -> Tensor:
    """Given constants, one for every user: a number, or whatever broadcasts to (..., U)."""
    constant = torch.as_tensor(lipschitz).to(norm)
    if constant.ndim > norm.ndim or any(
        c not in (1, n) for c, n in zip(constant.shape[::-1], norm.shape[::-1], strict=False)
    ):
        raise InputError(f"lipschitz has shape {tuple(constant.shape)}, which does not fit {tuple(norm.shape)} users")
    if not bool((constant >= 0).all()):
        raise InputError("lipschitz holds a negative or undefined constant; a Lipschitz constant is at least 0")
    return constant.expand(norm.shape)


def _radius(reach: Tensor, mismatch: Tensor, constant: Tensor) -> Tensor:
    """``[reach − Δ_x]_+ / L``; with L = 0 no distance matters."""
    left = (reach - mismatch).clamp_min(0)
    return torch.where(constant > 0, left / constant, torch.where(left > 0, torch.inf, 0.0))
