"""EASE: a linear item-item model in closed form (Steck, WWW 2019), in the memory of one matrix."""

import numpy as np
import scipy.sparse as sp
import torch
from scipy.linalg.lapack import spotrf, spotri
from torch import Tensor

from minivae.data.users import Users, as_csr
from minivae.errors import Diverged, InputError

BLOCK = 512


class EASE:
    """``min_B ‖X − XB‖² + l2 ‖B‖²`` with a zero diagonal.

    With ``P = (XᵀX + l2·I)⁻¹`` the solution is ``B_ij = −P_ij / P_jj`` for i ≠ j. Gram matrix, Cholesky factor, inverse
    and weights are written over each other: one I×I matrix of float32, 4 I² bytes, and blocks of 512 rows beside it.
    For the 41,140 items of MSD that is 6.8 GB.

    Parameters
    ----------
    l2 : float, default 400.0
        Ridge weight; 500, 1000 and 200 are usual for ML-20M, Netflix and MSD.
    """

    def __init__(self, l2: float = 400.0) -> None:
        if not l2 > 0:
            raise InputError(f"l2={l2} would leave the matrix singular; it must be positive")
        self.l2 = l2

    def size(self, n_users: int, n_items: int) -> int:
        """Numbers that are learned: B without its diagonal."""
        return n_items * (n_items - 1)

    def fit(self, train: Users) -> "EASE":
        """Solve for `train`, (U, I) binary, by LAPACK's Cholesky routines in place.

        Raises
        ------
        Diverged
            If the matrix is not positive definite in float32.
        """
        p = _gram(as_csr(train).astype(np.float32))
        p.reshape(-1)[:: len(p) + 1] += self.l2
        _invert(p, self.l2)
        scale = -p.diagonal().copy()
        for a in range(0, len(p), BLOCK):
            p[a : a + BLOCK] /= scale  # column j is divided by −P_jj
        np.fill_diagonal(p, 0)
        self.weights = torch.from_numpy(p)
        return self

    def score(self, history: Users) -> Tensor:
        """(B, I) = history · B."""
        csr = as_csr(history).astype(np.float32)
        if csr.shape[1] != len(self.weights):
            raise InputError(f"history has {csr.shape[1]} columns, but the model knows {len(self.weights)} items")
        return torch.from_numpy(csr @ self.weights.numpy())


def _gram(x: sp.csr_matrix) -> np.ndarray:
    """XᵀX, dense (I, I), block of rows after block of rows."""
    columns = x.tocsc()
    gram = np.empty((x.shape[1], x.shape[1]), dtype=np.float32)
    for a in range(0, len(gram), BLOCK):
        (columns[:, a : a + BLOCK].T @ x).toarray(out=gram[a : a + BLOCK])
    return gram


def _invert(a: np.ndarray, l2: float) -> None:
    """The inverse of a symmetric positive definite float32 matrix, in its own memory.

    LAPACK counts by columns, so it is given the transpose, which shares the memory of the rows; it works on one
    triangle, which is mirrored at the end.
    """
    factor, trouble = spotrf(a.T, lower=True, clean=False, overwrite_a=True)
    if trouble:
        raise Diverged(f"l2={l2} is too small for float32 on this data; raise it, 100 to 1000 is usual")
    spotri(factor, lower=True, overwrite_c=True)
    for k in range(0, len(a), BLOCK):
        here, rest = slice(k, k + BLOCK), slice(k + BLOCK, None)
        upper = np.triu(a[here, here])
        a[here, here] = upper + np.triu(upper, 1).T
        a[rest, here] = a[here, rest].T
