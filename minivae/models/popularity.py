"""The floor of every benchmark: the same list for everybody."""

import numpy as np
import torch
from torch import Tensor

from minivae.data.users import Users, as_csr
from minivae.errors import InputError


class Popularity:
    """Scores each item by its number of training users."""

    def size(self, n_users: int, n_items: int) -> int:
        """Numbers that are learned: one count per item."""
        return n_items

    def fit(self, train: Users) -> "Popularity":
        """Count the users of each item in `train`, (U, I)."""
        self.counts = torch.from_numpy(np.bincount(as_csr(train).indices, minlength=train.shape[1]).astype(np.float32))
        return self

    def score(self, history: Users) -> Tensor:
        """(B, I), the same row for every user."""
        if history.shape[1] != len(self.counts):
            raise InputError(f"history has {history.shape[1]} columns, but the model knows {len(self.counts)} items")
        return self.counts.repeat(history.shape[0], 1)
