"""EASE: a linear item-item model in closed form (Steck, WWW 2019), in the memory of one matrix."""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import scipy.sparse as sp
import torch
from scipy.linalg.lapack import spotrf, spotri  # pyright: ignore[reportAttributeAccessIssue] (made at import)
from torch import Tensor

from minivae.data.users import Users, binary, shape_of
from minivae.errors import Diverged, InputError
from minivae.models.baseline import Baseline

BLOCK = 512
DENSE_ITEMS = 20_000
KEPT = 1000


class EASE(Baseline):
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

    def __init__(self, l2: float = 400.0) -> None:
        if isinstance(l2, bool) or not isinstance(l2, int | float | np.number) or not 0 < l2 < float("inf"):
            raise InputError(f"l2={l2} would leave the matrix singular; it must be positive")
        self.l2 = float(l2)

    @property
    def sizes(self) -> dict[str, Any]:
        return {"l2": self.l2}

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
        p = _gram(binary(train, "train"))
        p.reshape(-1)[:: len(p) + 1] += self.l2
        _invert(p, self.l2)
        scale = -p.diagonal().copy()
        for a in range(0, len(p), BLOCK):
            p[a : a + BLOCK] /= scale  # column j is divided by −P_jj
        np.fill_diagonal(p, 0)
        self.weights: Tensor | sp.csr_matrix = torch.from_numpy(p)
        self.n_items = len(p)
        return self

    def score(self, history: Users) -> Tensor:
        """(B, I) = history · B."""
        csr = self.rows(history)
        if isinstance(self.weights, Tensor):
            return torch.from_numpy(csr @ self.weights.numpy())
        return torch.from_numpy(cast("sp.csr_matrix", csr @ self.weights).toarray())

    def state(self) -> dict[str, np.ndarray]:
        """The matrix B, whole or the largest weights of each column, see the class."""
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
