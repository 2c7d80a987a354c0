"""Theorem 2.6 for masks that differ by item: the exact law when item i is kept with its own probability ρ_i.

With A the items of one of two users and C those of both,

    D_h = Σ_{i∈A} Bernoulli(ρ_i) + Σ_{i∈C} Bernoulli(2ρ_i(1−ρ_i)),

all independent: a Poisson-binomial law. With one ρ for all items it is that of `minivae.theory.masking`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, overload

import numpy as np
import torch
from torch import Tensor

from minivae.errors import InputError
from minivae.theory.numerics.arrays import Array, Kind, as_tensors

LONGEST = 200_000  # terms of a law: 10¹⁰ products


@dataclass(frozen=True)
class MaskedDistanceByItem(Generic[Kind]):
    """The law of ``D_h = ‖x_u⊙b_u − x_v⊙b_v‖_1`` for one pair of users; made by `masked_distance_by_item`.

    Attributes
    ----------
    keep_common : Array
        (s,) ρ_i of the items that both have.
    keep_different : Array
        (d,) ρ_i of the items that one of them has.

    Examples
    --------
    >>> law = masked_distance_by_item(keep_common=[], keep_different=[0.5, 0.5])
    >>> law.tail(1.0), law.contracts
    (np.float64(0.5), np.True_)
    """

    keep_common: Kind
    keep_different: Kind

    @property
    def n_different(self) -> int:
        """d, the distance without a mask."""
        return len(self.keep_different)

    @property
    def mean(self) -> Kind:
        """``Σ_A ρ_i + 2 Σ_C ρ_i(1−ρ_i)``, in items."""
        p, back = self._probabilities()
        return back(p.sum())

    @property
    def var(self) -> Kind:
        """``Σ p(1−p)`` over all terms, in items squared."""
        p, back = self._probabilities()
        return back((p * (1 - p)).sum())

    @property
    def contracts(self) -> Kind:
        """Whether ``E D_h < d``, that is ``Σ_A (1−ρ_i) > 2 Σ_C ρ_i(1−ρ_i)``."""
        (common, different), back = as_tensors(self.keep_common, self.keep_different)
        return back((1 - different).sum() > 2 * (common * (1 - common)).sum())

    def pmf(self) -> Kind:
        """``P(D_h = k)`` for k = 0 … s+d, (s+d+1,).

        The laws of the terms, convolved two by two: all numbers are positive, so nothing cancels, and even the tails
        keep their digits. The discrete Fourier transform of the characteristic function ``∏_i (1 − p_i + p_i e^{iω})``
        gives the same up to 1e-16 absolutely.
        """
        p, back = self._probabilities()
        return back(torch.from_numpy(poisson_binomial(p.double().cpu().numpy())).to(p))

    def prob_contract(self) -> Kind:
        """``P(D_h < d)``, exactly."""
        return self._probability(lambda k, d: k < d)

    def prob_expand(self) -> Kind:
        """``P(D_h > d)``, exactly."""
        return self._probability(lambda k, d: k > d)

    def tail(self, t: float) -> Kind:
        """``P(|D_h − E D_h| ≥ t)``, exactly; an atom at distance t (up to rounding) counts."""
        check_deviation(t)
        p, _ = self._probabilities()
        mean = float(p.double().sum())
        return self._probability(lambda k, d: np.abs(k - mean) >= t - 1e-13 * len(k))

    def hoeffding(self, t: Array) -> Kind:
        """``2 exp(−2t²/(s+d))``, an upper bound on `tail`; a sum of s+d independent variables in [0, 1]."""
        (common, different, t), back = as_tensors(self.keep_common, self.keep_different, t)
        check_deviation(t)
        return back(2 * torch.exp(torch.where(t == 0, 0.0, -2 * t.square() / (len(common) + len(different)))))

    def _probabilities(self) -> tuple[Tensor, Callable[[Tensor], Any]]:
        """Of all terms, those of the different items first."""
        (common, different), back = as_tensors(self.keep_common, self.keep_different)
        return torch.cat([different, 2 * common * (1 - common)]), back

    def _probability(self, event: Callable[[np.ndarray, int], np.ndarray]) -> Kind:
        p, back = self._probabilities()
        law = poisson_binomial(p.detach().double().cpu().numpy())
        return back(p.new_tensor(min(1.0, law[event(np.arange(len(law)), self.n_different)].sum())))


@overload
def masked_distance_by_item(keep_common: Kind, keep_different: Kind) -> MaskedDistanceByItem[Kind]: ...
@overload
def masked_distance_by_item(keep_common: Array, keep_different: Array) -> MaskedDistanceByItem[Any]: ...
def masked_distance_by_item(keep_common: Array, keep_different: Array) -> MaskedDistanceByItem[Any]:
    """The exact law of the distance of two masked users when every item has its own keep probability.

    ``D_h = Σ_{i∈A} Bernoulli(ρ_i) + Σ_{i∈C} Bernoulli(2ρ_i(1−ρ_i))``, independent. A pair comes closer in expectation
    if and only if ``Σ_A (1−ρ_i) > 2 Σ_C ρ_i(1−ρ_i)``: hiding what only one of them has brings them together, hiding
    what both have drives them apart. For ρ_i = ρ this is Theorem 2.6's ``d > 2ρs``.

    Parameters
    ----------
    keep_common : Array
        (s,) ρ_i in [0, 1] of the items that both users have.
    keep_different : Array
        (d,) ρ_i of the items that one of them has.

    Raises
    ------
    InputError
        If one of them is no list of probabilities.

    Examples
    --------
    >>> law = masked_distance_by_item(keep_common=[0.5], keep_different=[0.5, 0.5])
    >>> law.mean, law.var
    (np.float64(1.5), np.float64(0.75))
    >>> law.pmf()
    array([0.125, 0.375, 0.375, 0.125])
    """
    lists = {"keep_common": keep_common, "keep_different": keep_different}
    for name, values in lists.items():
        (rho,), _ = as_tensors(values)
        if not isinstance(values, Tensor):
            lists[name] = rho.double().numpy()
        if rho.ndim != 1 or not ((rho >= 0) & (rho <= 1)).all():
            raise InputError(f"{name} must be a list of probabilities, one for each item; got shape {tuple(rho.shape)}")
    return MaskedDistanceByItem[Any](**lists)


def check_deviation(t: Array) -> None:
    """Refuse what is no distance from the mean: below zero, or NaN.

    Raises
    ------
    InputError
        If one is.
    """
    (t,), _ = as_tensors(t)
    if not bool((t >= 0).all()):
        raise InputError("t is a distance from the mean, and must be at least 0; one is negative or NaN")


def check_length(*terms: float) -> None:
    """Refuse a sum of so many terms that their laws cannot be convolved directly in a bearable time.

    Raises
    ------
    InputError
        If there are more than `LONGEST` terms.
    """
    if sum(terms) > LONGEST:
        raise InputError(
            f"the exact law of {int(sum(terms)):,} items would take hours; at most {LONGEST:,} can be convolved "
            "(masked_distance has prob_contract, prob_expand and tail without that limit)"
        )


def poisson_binomial(p: np.ndarray) -> np.ndarray:
    """The law of a sum of independent Bernoulli(p_i), (n+1,): convolutions two by two, all terms positive.

    Examples
    --------
    >>> poisson_binomial(np.array([0.5, 0.25]))
    array([0.375, 0.5  , 0.125])
    """
    check_length(len(p))
    laws = [np.array([1 - q, q]) for q in p] or [np.ones(1)]
    while len(laws) > 1:
        pairs = [np.convolve(a, b) for a, b in zip(laws[::2], laws[1::2], strict=False)]
        laws = pairs + laws[len(pairs) * 2 :]
    return laws[0]
