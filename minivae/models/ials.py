"""iALS: matrix factorization of implicit feedback (Hu, Koren and Volinsky, ICDM 2008) by the library `implicit`."""

from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minivae.data.users import Users, as_csr
from minivae.errors import InputError


class IALS:
    """``min Σ_ui c_ui (x_ui − ⟨w_u, h_i⟩)² + l2 (Σ_u ‖w_u‖² + Σ_i ‖h_i‖²)``, c = α where x_ui = 1, and 1 elsewhere.

    A user that was not there in training is folded in: w_u solves its own ridge regression for the given h_i, exactly.
    Training takes three steps of conjugate gradients per user and item instead, as the library does. The penalty is
    the plain one, not scaled by the number of interactions as in Rendle et al. (2022), whose figures need that.

    Parameters
    ----------
    factors : int, default 128
        d, the latent dimension.
    l2 : float, default 100.0
        Ridge weight.
    alpha : float, default 10.0
        α > 1, how much more an interaction counts than a missing one. Papers that weigh the missing ones by α₀ mean
        1/α.
    iterations : int, default 16
        Rounds over users and items.
    seed : int, default 0
        Of the first factors.
    threads : int, default 1
        With one, a run is the same to the bit.

    Raises
    ------
    InputError
        If the library is not installed, or a number is out of range.
    """

    def __init__(
        self,
        factors: int = 128,
        l2: float = 100.0,
        alpha: float = 10.0,
        iterations: int = 16,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        if find_spec("implicit") is None:
            raise InputError('iALS needs the library implicit; install it with: pip install "minivae[ials]"')
        if min(factors, iterations, threads) < 1 or not l2 > 0 or not alpha > 1:
            raise InputError(
                f"factors={factors}, iterations={iterations} and threads={threads} must be at least 1, "
                f"l2={l2} positive, and alpha={alpha} more than 1"
            )
        self.factors, self.l2, self.alpha = factors, l2, alpha
        self.iterations, self.seed, self.threads = iterations, seed, threads

    def size(self, n_users: int, n_items: int) -> int:
        """Numbers that are learned: a vector for every training user and item."""
        return (n_users + n_items) * self.factors

    def fit(self, train: Users) -> "IALS":
        """Alternate over `train`, (U, I) binary."""
        with _one_blas_thread():
            from implicit.cpu.als import AlternatingLeastSquares

            self._als = AlternatingLeastSquares(
                factors=self.factors,
                regularization=self.l2,
                alpha=self.alpha,
                iterations=self.iterations,
                num_threads=self.threads,
                random_state=self.seed,
            )
            self._als.fit(as_csr(train).astype(np.float32), show_progress=False)
        return self

    def score(self, history: Users) -> Tensor:
        """(B, I) = W Hᵀ with the vectors of the given users, folded in."""
        csr = as_csr(history).astype(np.float32)
        items = self._als.item_factors
        if csr.shape[1] != len(items):
            raise InputError(f"history has {csr.shape[1]} columns, but the model knows {len(items)} items")
        with _one_blas_thread():
            users = self._als.recalculate_user(np.arange(csr.shape[0]), csr)  # (B, d)
        return torch.from_numpy(users) @ torch.from_numpy(items).T


def _one_blas_thread() -> Any:
    """The library has threads of its own; those of BLAS beneath it would only wait for each other."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, "blas")
