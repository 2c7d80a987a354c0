"""Shared by all tests: one thread, reproducible hypothesis, and a small split that can be learned."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import settings

from minivae import FoldIn, StrongSplit

torch.set_num_threads(1)
settings.register_profile("minivae", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("minivae")


def communities(rng: np.random.Generator, n_users: int, n_items: int, n_communities: int) -> np.ndarray:
    """(U, I) bool: each user has 6 to 14 items, four in five from its own community of equal size."""
    x = np.zeros((n_users, n_items), dtype=bool)
    size = n_items // n_communities
    for row in x:
        mine = rng.integers(n_communities) * size
        n = rng.integers(6, 15)
        own = rng.choice(size, min(size, round(0.8 * n)), replace=False) + mine
        row[own] = True
        row[rng.choice(n_items, n - len(own), replace=False)] = True
    return x


def hide(rng: np.random.Generator, x: np.ndarray, n_heldout: int = 2) -> FoldIn:
    """Hide `n_heldout` items of every row."""
    heldout = np.zeros_like(x)
    for row, hidden in zip(x, heldout, strict=True):
        hidden[rng.choice(np.flatnonzero(row), n_heldout, replace=False)] = True
    return FoldIn(sp.csr_matrix(x & ~heldout, dtype=np.float32), sp.csr_matrix(heldout, dtype=np.float32))


@pytest.fixture(scope="session")
def toy_split() -> StrongSplit:
    """400 training users and 100 each for validation and test, 120 items in 6 communities."""
    rng = np.random.default_rng(7)
    x = communities(rng, 600, 120, 6)
    return StrongSplit(
        train=sp.csr_matrix(x[:400], dtype=np.float32),
        validation=hide(rng, x[400:500]),
        test=hide(rng, x[500:]),
        item_labels=np.arange(120),
    )
