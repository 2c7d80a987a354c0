"""What EASE, EDLAE and SLIM share: scores are the history times an item × item matrix, and P = (XᵀX + D)⁻¹."""

from collections.abc import Mapping
from typing import cast

import numpy as np
import scipy.sparse as sp
import torch
from scipy.linalg.lapack import spotrf, spotri  # pyright: ignore[reportAttributeAccessIssue] (made at import)
from torch import Tensor

from minivae.data.users import Users, binary, shape_of
from minivae.errors import Diverged
from minivae.models.baseline import Baseline

BLOCK = 512
DENSE_ITEMS = 20_000
KEPT = 1000


class ItemItem(Baseline):
    """A linear model: ``scores = history · B``, B an I×I matrix with a zero diagonal.

    Attributes
    ----------
    weights : Tensor | csr_matrix
        B, dense or sparse.
    matrices : int
        I×I matrices of float32 that fitting holds at its peak.
    """

    matrices = 1
    weights: Tensor | sp.csr_matrix

    def size(self, n_users: int, n_items: int) -> int:
        """Numbers that are learned: B without its diagonal."""
        return n_items * (n_items - 1)

    def score(self, history: Users) -> Tensor:
        """(B, I) = history · B."""
        csr = self.rows(history)
        if isinstance(self.weights, Tensor):
            return torch.from_numpy(csr @ self.weights.numpy())
        return torch.from_numpy(cast("sp.csr_matrix", csr @ self.weights).toarray())

    def state(self) -> dict[str, np.ndarray]:
        """The matrix B; of a dense one of more than 20,000 items the 1,000 largest weights of each column."""
        if isinstance(self.weights, Tensor):
            if self.n_items <= DENSE_ITEMS:
                return {"weights": self.weights.numpy()}
            kept = _largest(self.weights.numpy(), KEPT)
        else:
            kept = self.weights
        return {"data": kept.data, "indices": kept.indices.astype(np.int32), "indptr": kept.indptr.astype(np.int64)}

    def set_state(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take B."""
        if "weights" in arrays:
            b = arrays["weights"]
            if b.ndim != 2 or b.shape[0] != b.shape[1] or b.dtype != np.float32:
                raise ValueError(f"weights of shape {b.shape} and type {b.dtype}")
            self.weights, self.n_items = torch.from_numpy(b), len(b)
            return
        n = len(arrays["indptr"]) - 1
        indices, indptr = arrays["indices"], arrays["indptr"]
        kept = sp.csr_matrix((arrays["data"], indices, indptr), shape=(n, n))  # checks lengths
        kept.check_format(full_check=True)
        self.weights, self.n_items = kept, n


def inverse(train: Users, ridge: float, dropout: float = 0.0) -> np.ndarray:
    """``P = (XᵀX + D)⁻¹``, (I, I) float32, in the memory of one matrix and blocks of 512 rows.

    Parameters
    ----------
    train : Users
        (U, I) binary.
    ridge : float
    dropout : float, default 0.0
        ``D_ii = ridge + n_i p / (1 − p)`` with p = `dropout` and n_i the users of item i.

    Raises
    ------
    Diverged
        If the matrix is not positive definite in float32.
    """
    p = _gram(binary(train, "train"))
    diagonal = p.reshape(-1)[:: len(p) + 1]
    if dropout > 0:
        diagonal /= np.float32(1 - dropout)  # n_i + n_i p / (1 − p)
    diagonal += ridge
    _invert(p, ridge)
    return p


def _largest(b: np.ndarray, kept: int) -> sp.csr_matrix:
    """The `kept` entries of largest magnitude in each column, block of columns after block of columns."""
    parts = []
    for a in range(0, len(b), BLOCK):
        block = b[:, a : a + BLOCK]
        rows = np.argpartition(-np.abs(block), kept - 1, axis=0)[:kept]  # (kept, columns)
        columns = np.broadcast_to(np.arange(block.shape[1]), rows.shape)
        values = block[rows, columns]
        parts.append(sp.csc_matrix((values.ravel(), (rows.ravel(), columns.ravel())), shape=block.shape))
    return cast("sp.csr_matrix", sp.hstack(parts, format="csr", dtype=np.float32))


def _gram(x: sp.csr_matrix) -> np.ndarray:
    """XᵀX, dense (I, I), block of rows after block of rows."""
    columns = x.tocsc()
    _, n_items = shape_of(x)
    gram = np.empty((n_items, n_items), dtype=np.float32)
    for a in range(0, len(gram), BLOCK):
        (columns[:, a : a + BLOCK].T @ x).toarray(out=gram[a : a + BLOCK])
    return gram


def _invert(a: np.ndarray, ridge: float) -> None:
    """The inverse of a symmetric positive definite float32 matrix, in its own memory.

    LAPACK counts by columns, so it is given the transpose, which shares the memory of the rows; it works on one
    triangle, which is mirrored at the end.
    """
    factor, trouble = spotrf(a.T, lower=True, clean=False, overwrite_a=True)
    if trouble:
        raise Diverged(f"l2={ridge} is too small for float32 on this data; raise it, 100 to 1000 is usual")
    spotri(factor, lower=True, overwrite_c=True)
    for k in range(0, len(a), BLOCK):
        here, rest = slice(k, k + BLOCK), slice(k + BLOCK, None)
        upper = np.triu(a[here, here])
        a[here, here] = upper + np.triu(upper, 1).T
        a[rest, here] = a[here, rest].T
