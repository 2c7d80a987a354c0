"""A split that others made, worked by hand: who sees what, what each filter leaves, what is drawn for validation."""

import numpy as np
import pytest
import scipy.sparse as sp

from minivae.data.codes import binary_csr
from minivae.data.given import drawn, early, given_split, place
from minivae.data.interactions import Interactions
from minivae.errors import InputError

TRAIN = [("u1", "a"), ("u1", "b"), ("u2", "a"), ("u2", "c"), ("u3", "b"), ("u3", "c"), ("u3", "d")]
VALIDATION = [("u1", "d"), ("u2", "b")]
TEST = [("u1", "c"), ("u2", "d"), ("u4", "a"), ("u1", "a"), ("u3", "z"), ("u2", "b")]


def data_of(pairs, time=None):
    return Interactions.from_labels(*zip(*pairs, strict=True), time=None if time is None else np.array(time, float))


def pairs_of(split, matrix, labels):
    m = matrix.tocoo()
    return set(zip(labels[m.row].tolist(), split.item_labels[m.col].tolist(), strict=True))


def test_who_sees_what_by_hand():
    """(u4, a) and (u3, z) are not in training, (u1, a) was trained on, and (u2, b) was validated on."""
    split = given_split(data_of(TRAIN), data_of(TEST), data_of(VALIDATION))
    assert pairs_of(split, split.train, split.train_labels) == set(TRAIN)
    parts = (
        (split.validation, {("u1", "a"), ("u1", "b"), ("u2", "a"), ("u2", "c")}, set(VALIDATION)),
        (
            split.test,
            {("u1", "a"), ("u1", "b"), ("u1", "d"), ("u2", "a"), ("u2", "b"), ("u2", "c")},
            {("u1", "c"), ("u2", "d")},
        ),
    )
    for part, history, heldout in parts:
        assert part.user_labels.tolist() == ["u1", "u2"]
        assert pairs_of(split, part.history, part.user_labels) == history
        assert pairs_of(split, part.heldout, part.user_labels) == heldout
    assert split.filters == {
        "training file": (3, 4, 7),
        "validation file": (2, 2, 2),
        "validation file, without users and items that are not in training": (2, 2, 2),
        "test file": (4, 5, 6),
        "test file, without users and items that are not in training": (2, 4, 4),
        "test file, without events that are in training too": (2, 2, 2),
    }
    assert split.protocol == {"rule": "given", "validation": "given"}


def test_events_before_the_last_training_event_of_their_user_are_counted():
    """The last training events of u1, u2 and u3 are at 5, 9 and 2; u4 has none."""
    train = data_of(TRAIN, [5, 3, 9, 1, 0, 1, 2])
    later = data_of(TEST, [4.5, 9, 0, 5, 1.5, 8])  # u1, u2, u4, u1, u3, u2: before are the first, the fifth, the last
    assert early(train, later, "test") == {"test_before_train": 3}
    assert early(train, data_of(TEST), "test") == early(data_of(TRAIN), later, "test") == {}
    split = given_split(train, later, data_of(VALIDATION, [6, 8]))
    assert (split.protocol["test_before_train"], split.protocol["validation_before_train"]) == (3, 1)


def users_of(*sizes):
    """User k has the items 0 … sizes[k] − 1."""
    rows = np.repeat(np.arange(len(sizes)), sizes)
    return binary_csr(rows, np.concatenate([np.arange(n) for n in sizes]), (len(sizes), max(sizes)))


@pytest.mark.parametrize(
    ("sizes", "users"),
    [
        ([5] * 40 + [4] * 30, 4),  # a tenth of those who have 5
        ([5] * 19, 2),
        ([7, 12, 4], 2),
        ([4, 5, 4], 1),
        ([5] * 10_010, 1000),
    ],
)
def test_a_fifth_of_the_items_of_a_tenth_of_the_users_is_drawn(sizes, users):
    known = users_of(*sizes)
    found = drawn(known, 3)
    assert found.shape == known.shape
    assert (found - found.multiply(known)).nnz == 0
    taken = np.diff(found.indptr)
    assert (taken > 0).sum() == users
    assert all(n == sizes[u] // 5 for u, n in enumerate(taken) if n)
    assert (drawn(known, 3) != found).nnz == 0
    if users < sum(n >= 5 for n in sizes):
        assert (drawn(known, 4) != found).nnz > 0


def test_what_is_drawn_is_held_out_of_the_training():
    rng = np.random.default_rng(0)
    pairs = sorted({(int(u), int(i)) for u, i in zip(rng.integers(0, 30, 500), rng.integers(0, 20, 500), strict=True)})
    test = [(u, next(i for i in range(20) if (u, i) not in pairs)) for u in range(4)]
    split = given_split(data_of(pairs), data_of(test), seed=5)
    assert split.protocol == {"rule": "given", "validation": "drawn from the training file", "seed": 5}
    trained = pairs_of(split, split.train, split.train_labels)
    held = pairs_of(split, split.validation.heldout, split.validation.user_labels)
    assert trained | held == set(pairs)
    assert not trained & held
    seen = pairs_of(split, split.test.history, split.test.user_labels)
    assert seen == {p for p in pairs if p[0] in set(split.test.user_labels.tolist())}


def test_nothing_can_be_drawn_of_users_with_four_items():
    with pytest.raises(InputError, match="no user has 5 training items, so none can be drawn; give validation"):
        drawn(users_of(4, 4, 3), 0)
    for seed in (-1, 2**32):
        with pytest.raises(InputError, match=r"seed must lie in 0\.\.2\*\*32 - 1"):
            drawn(users_of(5, 5), seed)
    assert sp.issparse(drawn(users_of(5, 5), 2**32 - 1))


def test_labels_meet_as_text():
    assert place(np.array([7, 9, 8]), np.array(["8.0", "7", "x"])).tolist() == [1, -1, 0]
    assert place(np.array(["x", "7"]), np.array([7, 8])).tolist() == [-1, 0]
