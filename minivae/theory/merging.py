"""★ When do two users fall together under β-KL? A local answer for any numbers of interactions.

Two users u and v, a decoder ``f(z) = b + z w`` that is free, posteriors N(μ, σ²) in one dimension that matters. At the
merged state (μ_u = μ_v = 0, w = 0, b = log m with m the pooled profile) the objective is stationary. To second order in
w, with the best μ for it, ``a_u = ⟨x_u, w⟩ − N_u ⟨m, w⟩`` and ``a_v = −a_u``, it changes by

    ½ (N_u + N_v) Var_m(w) − (a_u² + a_v²)/(2β).

The direction ``w ∝ (p_u − p_v)/m`` gains most, and the merged state is stable if and only if `merging_threshold` ≤ β.
"""

from typing import overload

import torch

from minivae.errors import InputError
from minivae.theory.numerics.arrays import Array, Kind, Same, as_tensors, check_finite, check_fit


@overload
def merging_threshold(x_u: Kind, x_v: Kind) -> Kind: ...
@overload
def merging_threshold(x_u: Array, x_v: Array) -> Same: ...
def merging_threshold(x_u: Array, x_v: Array) -> Same:
    """``2 (N_u N_v)² / (N_u+N_v)³ · Σ_i (p_ui − p_vi)² / m_i``: the β from which on the two users merge (locally).

    For equal numbers of items and binary users it is half of the number D of items in which they differ, so they merge
    if and only if D ≤ 2β. An item that neither of them has takes no part.

    Parameters
    ----------
    x_u, x_v : Array
        (..., I) counts of the two users; leading axes broadcast.

    Raises
    ------
    InputError
        If a count is negative or a user has none.

    Examples
    --------
    >>> merging_threshold([1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0])
    np.float64(1.0)
    """
    (x_u, x_v), back = as_tensors(x_u, x_v)
    check_fit(x_u=x_u, x_v=x_v)
    check_finite(x_u=x_u, x_v=x_v)
    n_u, n_v = x_u.sum(-1), x_v.sum(-1)
    if (x_u < 0).any() or (x_v < 0).any() or (n_u <= 0).any() or (n_v <= 0).any():
        raise InputError("each user needs at least one interaction, and no count may be negative")
    pooled = (x_u + x_v) / (n_u + n_v)[..., None]
    apart = x_u / n_u[..., None] - x_v / n_v[..., None]
    share = (apart.square() / torch.where(pooled > 0, pooled, 1)).sum(-1)  # 0 / 1 of an item that neither has
    return back(2 * (n_u * n_v).square() / (n_u + n_v) ** 3 * share)
