"""What is ranked in tests: a model with given scores, and users with some history and held-out items."""

import numpy as np
import scipy.sparse as sp
import torch


class Fixed:
    """A model that returns rows of a given matrix, one block after the other."""

    def __init__(self, scores, give=lambda rows: rows.clone()):
        self.scores, self.give, self.at = torch.as_tensor(scores), give, 0

    def score(self, history):
        rows = self.scores[self.at : self.at + history.shape[0]]
        self.at = (self.at + history.shape[0]) % len(self.scores)
        return self.give(rows)


def csr(x):
    return sp.csr_matrix(np.asarray(x), dtype=np.float32)


def problem(seed, n_users=40, n_items=30, seen=0.2, hidden=0.15):
    """Distinct scores per user, disjoint history and held-out items, some users without either."""
    rng = np.random.default_rng(seed)
    scores = rng.permuted(np.tile(np.arange(n_items, dtype=np.float32), (n_users, 1)), axis=1)
    u = rng.random((n_users, n_items))
    history, heldout = u < seen, (u >= seen) & (u < seen + hidden)
    heldout[3] = history[5] = False
    return scores, history, heldout
