"""Shared by all tests: one thread, reproducible hypothesis, and a small split that can be learned."""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.pop("COLUMNS", None)  # how wide a screen is, is a matter of each test

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import Phase, settings

from minivae import FoldIn, StrongSplit

torch.set_num_threads(1)
settings.register_profile("minivae", deadline=None, derandomize=True, max_examples=50)
# Where an error was planted it is enough that one example fails: the smallest one is not looked for.
settings.register_profile("mutation", settings.get_profile("minivae"), phases=(Phase.explicit, Phase.generate))
settings.load_profile("mutation" if os.environ.get("MINIVAE_MUTATION") else "minivae")


ROOT = Path(__file__).resolve().parents[1]
# What starts programs, browsers or kernels, or trains: `pytest -m "not slow"` leaves it out and answers at once.
SLOW = (
    *("chapters", "tests/faults", "tests/docs", "tests/explorables/test_browser.py", "tests/explorables/test_math.py"),
    *("tests/runtime/test_distributed.py", "tests/cli", "tests/test_chapters.py", "tests/test_grading.py"),
    *(
        f"tests/study/test_{name}.py"
        for name in ("draws", "folds", "forecast", "loop", "observations", "older_folders", "search", "study")
    ),
    *("tests/models/test_own_model.py", "tests/models/test_saved.py", "tests/online"),
    *(
        f"tests/explain/test_{name}.py"
        for name in ("datamodel", "far", "kernel", "leave_out", "radius", "retraining", "rivals")
    ),
    *("tests/data/test_interactions.py", "tests/data/test_population.py", "tests/data/test_debian.py"),
    *("tests/data/test_labelling.py", "tests/data/test_accounted.py", "tests/study/test_anchor_law.py"),
    *(
        "tests/models/test_models.py",
        "tests/models/test_export.py",
        "tests/runtime/test_moved.py",
        "tests/test_course.py",
    ),
    "tests/theory/test_report.py",
)


def pytest_collection_modifyitems(items):
    for item in items:
        path = item.path.resolve()
        if any(path.is_relative_to(ROOT / place) for place in SLOW):
            item.add_marker(pytest.mark.slow)


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
