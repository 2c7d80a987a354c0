"""The floor of every benchmark: the same list for all users."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from minivae.data.users import Users, binary, shape_of
from minivae.models.baseline import Baseline


class Popularity(Baseline):
    """Scores each item by its number of training users.

    Examples
    --------
    >>> Popularity().fit(np.array([[1, 1, 0], [0, 1, 0]])).score(np.zeros((1, 3)))
    tensor([[1., 2., 0.]])
    """

    @property
    def sizes(self) -> dict[str, Any]:
        return {}

    def size(self, n_users: int, n_items: int) -> int:
        """Numbers that are learned: one count per item."""
        return n_items

    def fit(self, train: Users) -> Self:
        """Count the users of each item in `train`, (U, I)."""
        csr = binary(train, "train")
        self.set_state({"counts": np.bincount(csr.indices, minlength=shape_of(csr)[1]).astype(np.float32)})
        return self

    def score(self, history: Users) -> Tensor:
        """(B, I), the same row for every user."""
        n_users, _ = shape_of(self.rows(history))
        return self.counts.repeat(n_users, 1)

    def state(self) -> dict[str, np.ndarray]:
        """The count of each item, (I,)."""
        return {"counts": self.counts.numpy()}

    def set_state(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take the counts."""
        counts = arrays["counts"]
        if counts.ndim != 1:
            raise ValueError(f"counts of shape {counts.shape}")
        self.counts, self.n_items = torch.from_numpy(counts), len(counts)
