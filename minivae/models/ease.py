"""EASE: a linear item-item model in closed form (Steck, WWW 2019)."""

import numpy as np
import torch
from torch import Tensor

from minivae.batches import as_csr
from minivae.errors import Diverged, InputError
from minivae.models.vae import Users


class EASE:
    """``min_B ‖X − XB‖² + l2 ‖B‖²`` with a zero diagonal.

    With ``P = (XᵀX + l2·I)⁻¹`` the solution is ``B_ij = −P_ij / P_jj`` for i ≠ j.

    Parameters
    ----------
    l2 : ridge weight; 500, 1000 and 200 are usual for ML-20M, Netflix and MSD.
    """

    def __init__(self, l2: float = 400.0) -> None:
        if not l2 > 0:
            raise InputError(f"l2={l2} would leave the matrix singular; it must be positive")
        self.l2 = l2

    def fit(self, train: Users) -> "EASE":
        """Solve for `train`, (U, I) binary; needs two I×I matrices of float32 in memory."""
        x = as_csr(train).astype(np.float32)
        gram = torch.from_numpy((x.T @ x).toarray())
        gram.diagonal().add_(self.l2)
        try:
            p = torch.cholesky_inverse(torch.linalg.cholesky(gram))
        except torch.linalg.LinAlgError as e:
            raise Diverged(f"l2={self.l2} is too small for float32 on this data; raise it, 100 to 1000 is usual") from e
        self.weights = p.div_(-p.diagonal().clone())  # column j is divided by −P_jj
        self.weights.fill_diagonal_(0)
        return self

    def score(self, history: Users) -> Tensor:
        """(B, I) = history · B."""
        csr = as_csr(history).astype(np.float32)
        if csr.shape[1] != len(self.weights):
            raise InputError(f"history has {csr.shape[1]} columns, but the model knows {len(self.weights)} items")
        return torch.from_numpy(csr @ self.weights.numpy())
