"""iALS: matrix factorization of implicit feedback (Hu, Koren and Volinsky, ICDM 2008) by the library `implicit`."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from minivae.data.users import Users, binary, shape_of
from minivae.errors import InputError, check_whole
from minivae.models.baseline import Baseline


class IALS(Baseline):
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

    Examples
    --------
    >>> x = np.eye(4, dtype=int)[[0, 0, 1, 2, 3]]
    >>> IALS(factors=2, l2=1.0).fit(x).score(x[:1]).shape
    torch.Size([1, 4])
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
        check_whole(1, factors=factors, iterations=iterations, threads=threads)
        check_whole(0, seed=seed)
        if not l2 > 0 or not alpha > 1:
            raise InputError(f"l2={l2} must be positive, and alpha={alpha} more than 1")
        self.factors, self.l2, self.alpha = int(factors), float(l2), float(alpha)
        self.iterations, self.seed, self.threads = int(iterations), int(seed), int(threads)

    @property
    def sizes(self) -> dict[str, Any]:
        own = {"factors": self.factors, "l2": self.l2, "alpha": self.alpha}
        return own | {"iterations": self.iterations, "seed": self.seed, "threads": self.threads}

    def size(self, n_users: int, n_items: int) -> int:
        """Numbers that are learned: a vector for every training user and item."""
        return (n_users + n_items) * self.factors

    def fit(self, train: Users) -> Self:
        """Alternate over `train`, (U, I) binary."""
        csr = binary(train, "train")
        with _one_blas_thread():
            self._als = self._empty()
            self._als.fit(csr, show_progress=False)
        _, self.n_items = shape_of(csr)
        return self

    def _empty(self) -> Any:
        from implicit.cpu.als import AlternatingLeastSquares

        return AlternatingLeastSquares(
            factors=self.factors,
            regularization=self.l2,
            alpha=self.alpha,
            iterations=self.iterations,
            num_threads=self.threads,
            random_state=self.seed,
        )

    def score(self, history: Users) -> Tensor:
        """(B, I) = W Hᵀ with the vectors of the given users, folded in."""
        csr = self.rows(history)
        with _one_blas_thread():
            users = self._als.recalculate_user(np.arange(shape_of(csr)[0]), csr)  # (B, d)
        return torch.from_numpy(users) @ torch.from_numpy(self._als.item_factors).T

    def state(self) -> dict[str, np.ndarray]:
        """The factors of the items, (I, d); users are folded in."""
        return {"item_factors": np.asarray(self._als.item_factors)}

    def set_state(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take the factors of the items."""
        items = arrays["item_factors"]
        if items.ndim != 2 or items.shape[1] != self.factors or items.dtype != np.float32:
            raise ValueError(f"item_factors of shape {items.shape} and type {items.dtype}")
        self._als = self._empty()
        self._als.item_factors, self.n_items = items, len(items)


def _one_blas_thread() -> Any:
    """The library has threads of its own; those of BLAS beneath it would only wait for each other."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, "blas")
