"""Held-out users made by hand."""

import numpy as np
import scipy.sparse as sp

from minivae.data.splits import FoldIn


def fold_in_of(sizes, held, n_items):
    """User k has items 0 … sizes[k] − 1, the first held[k] of them held out."""
    rows = [np.arange(n) for n in sizes]

    def matrix(items):
        pointers = np.cumsum([0, *map(len, items)])
        ones = np.ones(pointers[-1], np.float32)
        return sp.csr_matrix((ones, np.concatenate(items), pointers), (len(items), n_items))

    history = matrix([r[h:] for r, h in zip(rows, held, strict=True)])
    heldout = matrix([r[:h] for r, h in zip(rows, held, strict=True)])
    return FoldIn(history, heldout, np.array([f"u{k}" for k in range(len(sizes))]))
