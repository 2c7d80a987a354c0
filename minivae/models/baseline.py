"""What the models without steps of training have in common: EASE, iALS, popularity, and baselines of others."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from torch import Tensor

from minivae.data.users import Users, binary, shape_of
from minivae.errors import InputError


class Baseline(ABC):
    """A model that is fitted to the training users at once. The constructor takes settings only.

    A subclass implements `sizes`, `fit`, `score`, `state` and `set_state`; with `mv.register_model` a study finds it
    by name.

    Attributes
    ----------
    n_items : int
        I, known once it is fitted or loaded.

    Examples
    --------
    >>> import torch
    >>> class Newest(Baseline):
    ...     sizes = {}
    ...     def fit(self, train):
    ...         self.n_items = train.shape[1]
    ...         return self
    ...     def score(self, history):
    ...         return torch.arange(self.n_items).repeat(history.shape[0], 1)
    ...     def state(self):
    ...         return {"n_items": np.array(self.n_items)}
    ...     def set_state(self, arrays):
    ...         self.n_items = int(arrays["n_items"])
    >>> Newest().fit(np.eye(3)).score(np.eye(3)[:1])
    tensor([[0, 1, 2]])
    """

    n_items: int

    @property
    @abstractmethod
    def sizes(self) -> dict[str, Any]:
        """The arguments of the constructor that make an empty model like this one."""

    @abstractmethod
    def fit(self, train: Users) -> Self:
        """Learn from `train`, (U, I): who has which item."""

    @abstractmethod
    def score(self, history: Users) -> Tensor:
        """(B, I) scores, higher is better."""

    @abstractmethod
    def state(self) -> dict[str, np.ndarray]:
        """What was learned, as arrays."""

    @abstractmethod
    def set_state(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take what `state` gave; `ValueError` or `KeyError` if it does not fit."""

    def size(self, n_users: int, n_items: int) -> int:
        """Numbers that are learned."""
        return sum(a.size for a in self.state().values())

    def rows(self, history: Users) -> sp.csr_matrix:
        """`history` as binary CSR.

        Raises
        ------
        InputError
            If the model is not fitted, `history` has other items, or negative entries.
        """
        if not hasattr(self, "n_items"):
            raise InputError(f"this {type(self).__name__} is not fitted yet; call fit(train) first")
        csr = binary(history, "history")
        _, n_items = shape_of(csr)
        if n_items != self.n_items:
            raise InputError(
                f"history has {n_items} columns, but the model knows {self.n_items} items; give a column for each of "
                "them"
            )
        return csr
