"""Far-but-related pairs and their controls: what they are matched on, and what the comparison finds."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.stats import ttest_rel

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
        allowed = (common[u] == common[u, v]) & (np.abs(relatedness[u]) <= far.UNRELATED) & (n >= far.ITEMS)
        allowed[u] = False
        assert abs(np.log(n[w] / n[v])) == np.abs(np.log(n[allowed] / n[v])).min()  # the nearest of all controls


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
    with pytest.raises(InputError, match="seeds is empty"):
        far.reach(build, split, {"masked": config}, users, same, [])


def test_relatedness_from_features_of_items():
    x = np.eye(4)[[0, 0, 1, 2]] + np.eye(4)[[1, 1, 0, 3]]
    genres = np.array([[1, 0], [1, 0], [0, 1], [0, 1]])
    got = far.item_relatedness(sp.csr_matrix(x), genres)
    np.testing.assert_allclose(got[0], [1, 1, 1, -1])


def test_relatedness_is_the_correlation_of_mean_features():
    """Users of different length, one of them empty: by loops over what each user has."""
    rng = np.random.default_rng(0)
    x = (rng.random((9, 14)) < np.linspace(0.1, 0.9, 9)[:, None]).astype(float)
    x[4] = 0
    features = rng.random((14, 3))
    mean = np.array([features[row > 0].mean(0) if row.any() else np.zeros(3) for row in x])
    mean -= mean.mean(0)
    length = np.linalg.norm(mean, axis=1)
    got = far.item_relatedness(sp.csr_matrix(x), features)
    np.testing.assert_allclose(got, mean @ mean.T / np.outer(length, length))
    with pytest.raises(AssertionError):  # broken twin: sums of features in place of means
        np.testing.assert_allclose(far.item_relatedness(sp.csr_matrix(x), 2 * features + x.sum(0)[:, None]), got)


@pytest.mark.parametrize(("n", "found"), [(15, 20), (16, 0)])
def test_a_control_may_have_a_quarter_more_items_and_no_item_more(n, found):
    """Twenty users of 12 items, in pairs of related taste; whoever is unrelated to them has n items."""
    x = sp.block_diag([np.ones((1, 12))] * 20 + [np.ones((1, n))] * 20, format="csr")
    related = np.full((40, 40), 0.3)  # neither related nor unrelated
    related[:20, 20:] = related[20:, :20] = 0
    related[np.arange(20), np.arange(20) ^ 1] = 0.9
    if found:
        pairs = far.matched_pairs(x, related)
        assert len(pairs.related) == found
        assert (pairs.unrelated[:, 1] >= 20).all()
    else:
        with pytest.raises(InputError, match="only 0 far but related pairs"):
            far.matched_pairs(x, related)


def test_the_interval_of_a_difference_is_students():
    """Against SciPy's paired t test over seeds; one seed has none."""
    means = np.array([[0.30, 0.10], [0.55, 0.11], [0.12, 0.14], [0.41, 0.20]])
    line = far._line(means)
    of_scipy = ttest_rel(means[:, 0], means[:, 1]).confidence_interval(0.95)
    assert (line.low, line.high) == pytest.approx((of_scipy.low, of_scipy.high))
    assert (line.related, line.unrelated) == pytest.approx((means[:, 0].mean(), means[:, 1].mean()))
    assert line.difference == pytest.approx(line.related - line.unrelated)
    assert line.seeds == pytest.approx([0.20, 0.44, -0.02, 0.21])
    alone = far._line(means[:1])
    assert (alone.low, alone.high) == (None, None)
    assert alone.difference == pytest.approx(0.2)
