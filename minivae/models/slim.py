"""SLIM: a sparse, non-negative item-item model (Ning and Karypis, ICDM 2011), by ADMM (Steck et al., WSDM 2020)."""

from typing import Any, Self

import numpy as np
import scipy.sparse as sp

from minivae.data.users import Users
from minivae.errors import InputError, check_whole
from minivae.models.item_item import BLOCK, ItemItem, inverse


class SLIM(ItemItem):
    """``min_B ½ ‖X − XB‖² + ½ l2 ‖B‖² + l1 Σ_ij B_ij`` with B ≥ 0 and a zero diagonal.

    ADMM splits B from a copy C that carries the constraint and the l1 term, with U their scaled difference:

    * ``B = M − P diag(M) / diag(P)`` by columns, with ``M = P (XᵀX + ρ (C − U))`` and ``P = (XᵀX + (l2 + ρ) I)⁻¹``:
      the ridge regression with a zero diagonal. Since ``P XᵀX = I − (l2 + ρ) P``, the Gram matrix is not kept.
    * ``C = max(0, B + U − l1/ρ)``, zero on the diagonal.
    * ``U = U + B − C``.

    It ends when no entry of B − C, and none of C since the last round, is above `tolerance`, or after `iterations`.
    The model is C: sparse and non-negative exactly. Memory: five I×I matrices of float32; time: a product of two of
    them a round.

    Parameters
    ----------
    l1 : float, default 10.0
        At least 0; the larger, the fewer weights.
    l2 : float, default 100.0
        At least 0.
    rho : float, default 1000.0
        ρ > 0, of the splitting. It changes the way, not the end; `rounds` says how long it was.
    iterations : int, default 200
        Rounds at most.
    tolerance : float, default 1e-4
        Of the stopping rule.

    Attributes
    ----------
    rounds : int
        That were needed; equal to `iterations` where it may not have converged.

    Raises
    ------
    InputError
        If a number is out of range.

    Examples
    --------
    >>> x = np.array([[1, 1, 0], [1, 1, 0], [0, 1, 1]])
    >>> model = SLIM(l1=0.1, l2=1.0, rho=1.0).fit(x)
    >>> scores = model.score(np.array([[1, 0, 0]]))
    >>> int(scores.argmax()), bool(scores.min() >= 0)  # item 1, which both users of item 0 have; no negative weight
    (1, True)
    """

    matrices = 5

    def __init__(
        self,
        l1: float = 10.0,
        l2: float = 100.0,
        rho: float = 1000.0,
        iterations: int = 200,
        tolerance: float = 1e-4,
    ) -> None:
        if not (0 <= l1 < float("inf") and 0 <= l2 < float("inf")):
            raise InputError(f"l1={l1} and l2={l2} must be finite and at least 0")
        if not (0 < rho < float("inf") and 0 < tolerance < float("inf")):
            raise InputError(f"rho={rho} and tolerance={tolerance} must be finite and positive")
        check_whole(1, iterations=iterations)
        self.l1, self.l2, self.rho = float(l1), float(l2), float(rho)
        self.iterations, self.tolerance = int(iterations), float(tolerance)

    @property
    def sizes(self) -> dict[str, Any]:
        own = {"l1": self.l1, "l2": self.l2, "rho": self.rho}
        return own | {"iterations": self.iterations, "tolerance": self.tolerance}

    def fit(self, train: Users) -> Self:
        """Solve for `train`, (U, I) binary.

        Raises
        ------
        Diverged
            If the matrix is not positive definite in float32.
        """
        p = inverse(train, self.l2 + self.rho)
        n = len(p)
        scale = 1 / p.diagonal()
        threshold, ridge = np.float32(self.l1 / self.rho), np.float32(self.l2 + self.rho)
        c, u, b, pull = (np.zeros((n, n), dtype=np.float32) for _ in range(4))
        self.rounds = 0
        while self.rounds < self.iterations:
            self.rounds += 1
            np.subtract(c, u, out=pull)
            pull *= np.float32(self.rho)
            pull.reshape(-1)[:: n + 1] -= ridge
            np.matmul(p, pull, out=b)  # M − I; off the diagonal that is M
            of_diagonal = (b.diagonal() + 1) * scale
            for a in range(0, n, BLOCK):
                b[a : a + BLOCK] -= p[a : a + BLOCK] * of_diagonal
            np.fill_diagonal(b, 0)
            u += b
            np.subtract(u, threshold, out=pull)
            np.maximum(pull, 0, out=pull)
            np.fill_diagonal(pull, 0)
            moved = _largest(np.subtract(pull, c, out=c))
            c, pull = pull, c
            u -= c
            if max(moved, _largest(np.subtract(b, c, out=b))) <= self.tolerance:
                break
        self.weights, self.n_items = sp.csr_matrix(c), n
        return self


def _largest(a: np.ndarray) -> float:
    """The largest magnitude, without a copy."""
    return float(max(a.max(), -a.min()))
