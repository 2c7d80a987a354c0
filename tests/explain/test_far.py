"""Far-but-related pairs and their controls: what they are matched on, and what the comparison finds."""

import numpy as np
import pytest

from minivae import InputError, MultVAE, TrainConfig, planted, strong_split
from minivae.data.population import unit
from minivae.explain import far


@pytest.fixture(scope="module")
def world():
    data = planted(n_users=500, n_items=300, n_events=9000, seed=1)
    split = strong_split(data, n_heldout=50)
    taste = unit(data.truth.user_factors[split.train_labels, :-1])
    return split, taste @ taste.T


def check_pairs(pairs, x, relatedness):
    dense = x.toarray()
    common, n = dense @ dense.T, dense.sum(1)
    for (u, v), (same, w) in zip(pairs.related, pairs.unrelated, strict=True):
        assert u == same
        assert common[u, v] == common[u, w] <= far.COMMON
        assert relatedness[u, v] >= far.RELATED
        assert abs(relatedness[u, w]) <= far.UNRELATED
        assert max(n[v], n[w]) <= far.RATIO * min(n[v], n[w])
        assert min(n[u], n[v], n[w]) >= far.ITEMS


def test_controls_differ_in_relatedness_only(world):
    split, relatedness = world
    pairs = far.matched_pairs(split.train, relatedness, 200)
    assert len(pairs.related) >= 100
    check_pairs(pairs, split.train, relatedness)
    shuffled = far.MatchedPairs(pairs.related, pairs.unrelated[::-1])
    with pytest.raises(AssertionError):
        check_pairs(shuffled, split.train, relatedness)
    with pytest.raises(InputError, match="look at more users"):
        far.matched_pairs(split.train[:12], relatedness[:12, :12])


def test_the_means_are_those_of_the_pairs(world):
    """Against gradients of `gram` at the end, one seed; and no difference where the two lists are the same."""
    from minivae.explain.snapshots import record
    from minivae.theory.transfer import gram

    split, relatedness = world
    users = np.arange(0, split.train.shape[0], 2)
    pairs = far.matched_pairs(split.train[users], relatedness[np.ix_(users, users)], 60)
    config = TrainConfig(batch_size=100, epochs=2, anneal_steps=20, precision="fp32", device="cpu")

    def build():
        return MultVAE(split.n_items, 8, 4)

    result = far.reach(build, split, {"masked": config}, users, pairs, [3])["masked"]["end"]
    _, model, _ = record(build, split, TrainConfig(**{**config.__dict__, "seed": 3}), to_the_end=True)
    g = gram(model, split.train[users], 0).numpy()
    cosine = g / np.sqrt(np.outer(np.diag(g), np.diag(g)))
    for kind in ("related", "unrelated"):
        p = getattr(pairs, kind)
        assert getattr(result, kind) == pytest.approx(cosine[p[:, 0], p[:, 1]].mean(), rel=1e-3, abs=1e-5)
    same = far.MatchedPairs(pairs.related, pairs.related)
    assert far.reach(build, split, {"masked": config}, users, same, [3])["masked"]["end"].difference == 0


def test_relatedness_from_features_of_items():
    x = np.eye(4)[[0, 0, 1, 2]] + np.eye(4)[[1, 1, 0, 3]]
    import scipy.sparse as sp

    genres = np.array([[1, 0], [1, 0], [0, 1], [0, 1]])
    got = far.item_relatedness(sp.csr_matrix(x), genres)
    np.testing.assert_allclose(got[0], [1, 1, 1, -1])
