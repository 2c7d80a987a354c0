"""EASE: a linear item-item model in closed form (Steck, WWW 2019), in the memory of one matrix."""

from typing import Any, Self

import numpy as np
import torch

from minivae.data.users import Users
from minivae.errors import InputError
from minivae.models.item_item import BLOCK, ItemItem, inverse


class EASE(ItemItem):
    """``min_B ‖X − XB‖² + l2 ‖B‖²`` with a zero diagonal.

    With ``P = (XᵀX + l2·I)⁻¹`` the solution is ``B_ij = −P_ij / P_jj`` for i ≠ j. Gram matrix, Cholesky factor, inverse
    and weights are written over each other: one I×I matrix of float32, 4 I² bytes, and blocks of 512 rows beside it.
    For the 41,140 items of MSD that is 6.8 GB.

    On disk the matrix is whole up to 20,000 items (1.6 GB). Of more items each column keeps its 1,000 weights of
    largest magnitude, and a loaded model scores with those: nearly, not exactly, the fitted one.

    Parameters
    ----------
    l2 : float, default 400.0
        Ridge weight; 500, 1000 and 200 are usual for ML-20M, Netflix and MSD.

    Examples
    --------
    >>> x = np.array([[1, 1, 0], [1, 1, 0], [0, 1, 1]])
    >>> scores = EASE(l2=1.0).fit(x).score(np.array([[1, 0, 0]]))
    >>> int(scores.argmax())  # item 1, which both users of item 0 have
    1
    """

    dropout = 0.0

    def __init__(self, l2: float = 400.0) -> None:
        if isinstance(l2, bool) or not isinstance(l2, int | float | np.number) or not 0 < l2 < float("inf"):
            raise InputError(f"l2={l2} would leave the matrix singular; it must be positive")
        self.l2 = float(l2)

    @property
    def sizes(self) -> dict[str, Any]:
        return {"l2": self.l2}

    def fit(self, train: Users) -> Self:
        """Solve for `train`, (U, I) binary, by LAPACK's Cholesky routines in place.

        Raises
        ------
        Diverged
            If the matrix is not positive definite in float32.
        """
        p = inverse(train, self.l2, self.dropout)
        scale = -p.diagonal().copy()
        for a in range(0, len(p), BLOCK):
            p[a : a + BLOCK] /= scale  # column j is divided by −P_jj
        np.fill_diagonal(p, 0)
        self.weights, self.n_items = torch.from_numpy(p), len(p)
        return self


class EDLAE(EASE):
    """EASE with the penalty that dropout amounts to (Steck, NeurIPS 2020, "Autoencoders that don't overfit towards the
    Identity"), full rank.

    ``min_B E_δ ‖X − (δ(X)/(1−p)) B‖² + l2 ‖B‖²`` with a zero diagonal, where δ sets each interaction of the input to
    zero with probability p. Since ``E(δ/(1−p)) = x`` and ``Var(δ/(1−p)) = x² p/(1−p)``, the expectation is

    ``‖X − XB‖² + Σ_i (n_i p/(1−p) + l2) Σ_j B_ij²``, n_i the users of item i,

    which has the closed form of EASE with that diagonal. Memory and what is kept on disk are those of EASE.

    The author's notebook prints nDCG@100 .39151 on MSD with p = .25 and l2 = 70. That data set is not at hand, so the
    figure was not checked here.

    Parameters
    ----------
    dropout : float, default 0.33
        p in [0, 1); 0 is EASE. The author's settings are .33 for ML-20M and Netflix, .25 for MSD.
    l2 : float, default 300.0
        Ridge weight; 300, 500 and 70 there.

    Raises
    ------
    InputError
        If a number is out of range.

    Examples
    --------
    >>> x = np.array([[1, 1, 0], [1, 1, 0], [0, 1, 1]])
    >>> scores = EDLAE(dropout=0.5, l2=1.0).fit(x).score(np.array([[1, 0, 0]]))
    >>> int(scores.argmax())  # item 1, which both users of item 0 have
    1
    """

    def __init__(self, dropout: float = 0.33, l2: float = 300.0) -> None:
        super().__init__(l2)
        if isinstance(dropout, bool) or not isinstance(dropout, int | float | np.number) or not 0 <= dropout < 1:
            raise InputError(f"dropout={dropout} is no share of the input that is dropped; it must be in [0, 1)")
        self.dropout = float(dropout)

    @property
    def sizes(self) -> dict[str, Any]:
        return {"dropout": self.dropout, "l2": self.l2}
