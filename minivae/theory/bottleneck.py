"""What the β-weighted KL term does to a population of posteriors: information, contraction, collapse.

Section 4 of the theory. Both sides of the KL decomposition are in `minivae.theory.information` and exported here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Generic, overload

import torch

from minivae.errors import InputError
from minivae.theory.distances import gaussian_kl, t1_bound, w2_matrix
from minivae.theory.information import (
    BatchInformation,
    KLDecomposition,
    batch_information,
    check_population,
    kl_decomposition,
    kl_decomposition_quadrature,
)
from minivae.theory.numerics.arrays import Array, Kind, Same, as_tensors, check_finite

__all__ = [
    "BatchInformation",
    "Collapse",
    "Contraction",
    "KLDecomposition",
    "active_units",
    "batch_information",
    "collapse",
    "contraction",
    "kl_decomposition",
    "kl_decomposition_quadrature",
    "kl_per_dimension",
]


@dataclass(frozen=True)
class Contraction(Generic[Kind]):
    """`W2(q_u, q_v) <= r_u + r_v` with `r = sqrt(2 KL(q || N(0, I)))`, for all pairs: how β pulls users together.

    Examples
    --------
    >>> contraction([[-3.0], [3.0]], [[1.0], [1.0]]).radius.tolist()
    [3.0, 3.0]
    """

    w2: Kind
    """(U, U)."""
    radius: Kind
    """(U,) the KL radius of every user."""
    worst_ratio: Kind
    """Largest `W2 / (r_u + r_v)` over pairs: above one would refute the statement."""
    mean_ratio: Kind
    holds: bool


@overload
def contraction(mu: Kind, sd: Kind) -> Contraction[Kind]: ...
@overload
def contraction(mu: Array, sd: Array) -> Contraction[Any]: ...
def contraction(mu: Array, sd: Array) -> Contraction[Any]:
    """Uniform contraction of all pairs of the (U, d) posteriors by their KL, from Talagrand's inequality.

    The paper's statement is for W1. The Gaussian prior satisfies the inequality for W2 as well, which is stronger and
    has a closed form, so that the check needs no bracket: `W1 <= W2 <= r_u + r_v` by the triangle inequality.

    Examples
    --------
    >>> opposite = contraction([[-3.0], [3.0]], [[1.0], [1.0]])
    >>> float(opposite.worst_ratio)  # attained by shifts in opposite directions
    1.0
    """
    (mu, sd), back = as_tensors(mu, sd)
    check_population(mu, sd)
    w2, radius = w2_matrix(mu, sd), t1_bound(mu, sd)
    bound = radius[:, None] + radius
    ratio = w2 / torch.where(bound > 0, bound, 1)
    off = len(mu) * (len(mu) - 1)
    tolerance = 100 * torch.finfo(mu.dtype).eps
    worst, mean = ratio.max(), ratio.sum() / max(off, 1)  # the diagonal is zero
    return Contraction(back(w2), back(radius), back(worst), back(mean), bool(worst <= 1 + tolerance))


@overload
def active_units(mu: Kind, threshold: float = ...) -> Kind: ...
@overload
def active_units(mu: Array, threshold: float = ...) -> Same: ...
def active_units(mu: Array, threshold: float = 0.01) -> Same:
    """Latent dimensions in use: variance over users of the posterior mean above `threshold`, (U, d) gives (d,) bool.

    Examples
    --------
    >>> active_units([[1.0, 0.01], [-1.0, 0.0]]).tolist()
    [True, False]
    """
    (mu,), back = as_tensors(mu)
    if mu.ndim != 2 or len(mu) < 2:
        raise InputError(f"mu has shape {tuple(mu.shape)}; a variance over users needs (U, d) with at least two users")
    check_finite(mu=mu)
    return back(mu.var(0) > threshold)


@overload
def kl_per_dimension(mu: Kind, sd: Kind | float) -> Kind: ...
@overload
def kl_per_dimension(mu: Array, sd: Array) -> Same: ...
def kl_per_dimension(mu: Array, sd: Array) -> Same:
    """Mean over users of the KL of every latent dimension, (U, d) gives (d,), in nats; its sum is `mean_kl`.

    Raises
    ------
    InputError
        If mu is not (U, d), or sd does not fit it.

    Examples
    --------
    >>> kl_per_dimension([[2.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]]).tolist()
    [1.0, 0.0]
    """
    (kl,), back = as_tensors(gaussian_kl(mu, sd, per_dimension=True))
    if kl.ndim != 2 or len(kl) == 0:
        raise InputError(f"the posteriors have shape {tuple(kl.shape)}; a mean over users needs (U, d)")
    return back(kl.mean(0))


@dataclass(frozen=True)
class Collapse:
    """A sweep of β as a table, one row for each trained model, in ascending β: float64 tensors of length B.

    Examples
    --------
    >>> sweep = [(1.0, [[0.0], [0.0]], [[1.0], [1.0]], 0.1), (0.1, [[-3.0], [3.0]], [[1.0], [1.0]], 0.3)]
    >>> table = collapse(sweep)
    >>> table.beta.tolist(), table.active_units.tolist(), table.mean_kl.tolist()
    ([0.1, 1.0], [1.0, 0.0], [4.5, 0.0])
    """

    beta: torch.Tensor
    active_units: torch.Tensor
    mean_kl: torch.Tensor
    mutual_information: torch.Tensor
    marginal_kl: torch.Tensor
    mean_radius: torch.Tensor
    """Mean over users of `sqrt(2 KL)`: half the bound on the distance of an average pair."""
    mean_w2: torch.Tensor
    """Mean W2 over pairs of users."""
    accuracy: torch.Tensor
    kl_per_dimension: torch.Tensor
    """(B, d), each row in descending order."""


def collapse(
    sweep: Iterable[tuple[float, Array, Array, float]],
    n_samples: int = 2,
    generator: torch.Generator | None = None,
) -> Collapse:
    """What a growing β leaves of the latent space; takes results and trains nothing.

    Parameters
    ----------
    sweep : Iterable[tuple[float, Array, Array, float]]
        `(beta, mu, sd, accuracy)` of one trained model each, posteriors (U, d) of the same users and latent size.
    n_samples : int, default 2
    generator : Generator, optional
        For `kl_decomposition`.

    Examples
    --------
    >>> off, on = [[0.0], [0.0]], [[-3.0], [3.0]]
    >>> collapse([(1.0, off, [[1.0], [1.0]], 0.1), (0.1, on, [[1.0], [1.0]], 0.3)]).active_units.tolist()
    [1.0, 0.0]
    """
    rows = sorted(sweep, key=lambda row: row[0])
    if not rows:
        raise InputError("the sweep is empty; give at least one (beta, mu, sd, accuracy)")
    columns: dict[str, list] = {name: [] for name in Collapse.__dataclass_fields__}
    for beta, mu, sd, accuracy in rows:
        (mu, sd), _ = as_tensors(mu, sd)
        mu, sd = mu.double(), sd.double()
        parts, pairs = kl_decomposition(mu, sd, n_samples, generator), contraction(mu, sd)
        columns["beta"].append(beta)
        columns["active_units"].append(active_units(mu).sum())
        columns["mean_kl"].append(parts.mean_kl)
        columns["mutual_information"].append(parts.mutual_information)
        columns["marginal_kl"].append(parts.marginal_kl)
        columns["mean_radius"].append(pairs.radius.mean())
        off = len(mu) * (len(mu) - 1)
        columns["mean_w2"].append(pairs.w2.sum() / max(off, 1))
        columns["accuracy"].append(accuracy)
        columns["kl_per_dimension"].append(kl_per_dimension(mu, sd).sort(descending=True).values)
    return Collapse(
        **{k: torch.stack([torch.as_tensor(v, dtype=torch.float64) for v in vs]) for k, vs in columns.items()}
    )
