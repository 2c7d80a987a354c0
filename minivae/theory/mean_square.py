"""★ Contraction of the whole population in the mean square: a bound without square roots of the single users' KL."""

from dataclasses import dataclass
from typing import Any, Generic, overload

from minivae.errors import InputError
from minivae.theory.distances import gaussian_kl
from minivae.theory.numerics.arrays import Array, Kind, as_tensors


@dataclass(frozen=True)
class MeanSquare(Generic[Kind]):
    """Both sides of ``mean_{u≠v} W2(q_u, q_v)² ≤ 4U/(U−1) · mean_u KL(q_u ‖ N(0, I))``.

    Attributes
    ----------
    distance : Kind
        The left side.
    bound : Kind
        The right side.

    Examples
    --------
    >>> one_place = mean_square_contraction([[0.0], [0.0]], [[1.0], [1.0]])
    >>> one_place.distance, one_place.bound
    (np.float64(0.0), np.float64(0.0))
    """

    distance: Kind
    bound: Kind


@overload
def mean_square_contraction(mu: Kind, sd: Kind) -> MeanSquare[Kind]: ...
@overload
def mean_square_contraction(mu: Array, sd: Array) -> MeanSquare[Any]: ...
def mean_square_contraction(mu: Array, sd: Array) -> MeanSquare[Any]:
    """How far users are apart on average, and what the mean KL allows (exact against bound).

    ``mean_{u≠v} ‖a_u − a_v‖² = 2U/(U−1) · Var(a)`` for ``a = (μ, σ)``; the variance is at most the mean square distance
    from (0, 1); and ``½(μ² + (σ−1)²) ≤ KL``, because ``σ² − 1 − 2 log σ ≥ (σ−1)²``. Two users with σ = 1 and opposite
    means attain it.

    Parameters
    ----------
    mu, sd : Array
        (U, d) of q_u = N(μ, diag sd²), U ≥ 2.

    Raises
    ------
    InputError
        If there are fewer than two users.

    Examples
    --------
    >>> pair = mean_square_contraction([[-3.0], [3.0]], [[1.0], [1.0]])
    >>> pair.distance, pair.bound
    (np.float64(36.0), np.float64(36.0))
    """
    (mu, sd), back = as_tensors(mu, sd)
    if mu.ndim != 2 or mu.shape != sd.shape or len(mu) < 2:
        raise InputError(f"mu {tuple(mu.shape)} and sd {tuple(sd.shape)} must both be (U, d) with U >= 2 users")
    scale = len(mu) / (len(mu) - 1)
    of_mu, of_sd = ((t - t.mean(0)).square().sum(-1).mean() for t in (mu, sd))
    return MeanSquare(back(2 * scale * (of_mu + of_sd)), back(4 * scale * gaussian_kl(mu, sd).mean()))
