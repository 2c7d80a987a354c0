"""Groups of users, transfer between them, best and distant helpers: against plain loops."""

import numpy as np
import pytest

from minivae import InputError, MultVAE, explain, planted
from minivae.data.codes import binary_csr
from minivae.explain.kernel import Transfer


@pytest.fixture(scope="module")
def crowd():
    data = planted(n_users=400, n_items=120, n_events=8000, seed=2)
    x = binary_csr(data.user, data.item, (400, 120))
    return data, x, explain.transfer(MultVAE(120, 8, 4).eval(), x)


def check_flow(flow_of, transfer, groups):
    got = flow_of(transfer, groups)
    total = transfer.total.astype(float)
    for a, row in enumerate(got.names):
        inside = np.flatnonzero(groups == row)
        np.testing.assert_allclose(
            got.inflow[a], np.mean([total[u].sum() - total[u, u] for u in inside]), rtol=1e-3, atol=1e-2
        )
        np.testing.assert_allclose(
            got.outflow[a], np.mean([total[:, v].sum() - total[v, v] for v in inside]), rtol=1e-3, atol=1e-2
        )
        for b, column in enumerate(got.names):
            pairs = [total[u, v] for u in inside for v in np.flatnonzero(groups == column) if u != v]
            np.testing.assert_allclose(got.between[a, b], np.mean(pairs), rtol=1e-3, atol=1e-4)


def test_flow_is_the_mean_over_pairs(crowd):
    _, x, transfer = crowd
    check_flow(explain.flow, transfer, explain.activity(x))


def test_a_flow_that_counts_a_user_itself_is_rejected(crowd):
    _, x, transfer = crowd

    def twin(transfer, groups):
        return explain.flow(transfer, groups, groups.copy()).__class__(
            **{**explain.flow(transfer, groups).__dict__, "inflow": transfer.total.sum(1)[:4]}
        )

    with pytest.raises(AssertionError):
        check_flow(twin, transfer, explain.activity(x))


def test_groups_that_do_not_fit(crowd):
    with pytest.raises(InputError, match="do not fit"):
        explain.flow(crowd[2], np.zeros(3))


def test_best_helpers_are_the_largest_and_never_the_user(crowd):
    _, _, transfer = crowd
    for u in (0, 17):
        who, how_much = explain.best_helpers(transfer, u, 10)
        expected = sorted((v for v in range(400) if v != u), key=lambda v: -transfer.total[u, v])[:10]
        assert set(who.tolist()) == set(expected)
        assert (np.diff(how_much) <= 0).all()
        assert u not in who


def test_distant_helpers_share_nothing(crowd):
    _, x, transfer = crowd
    pairs, cosine = explain.distant_helpers(transfer, x, 20)
    dense = x.toarray()
    common = dense @ dense.T
    best = max(transfer.cosine[u, v] for u in range(400) for v in range(u + 1, 400) if common[u, v] == 0)
    assert cosine[0] == best
    assert all(common[u, v] == 0 for u, v in pairs)
    assert (np.diff(cosine) <= 0).all()
    with pytest.raises(InputError, match="training users"):
        explain.distant_helpers(transfer, x[:5])


def test_activity_and_taste(crowd):
    _, x, _ = crowd
    n = np.diff(x.indptr)
    quarters = explain.activity(x)
    for name in np.unique(quarters):
        low, high = (int(t) for t in name.removesuffix(" items").split("–"))
        inside = n[quarters == name]
        assert (inside.min(), inside.max()) == (low, high)
        assert not ((n >= low) & (n <= high) & (quarters != name)).any()
    taste = explain.popularity_of_taste(x)
    popularity = np.log(np.maximum(np.asarray(x.sum(0)).ravel(), 1))
    mean = np.array([popularity[row.indices].mean() for row in x])
    assert mean[taste == "rare items"].max() <= mean[taste == "mixed"].min()
    assert mean[taste == "mixed"].max() <= mean[taste == "popular items"].min()


def test_communities_find_planted_ones():
    """Blocks that share no item are found; labels that are shuffled are not."""
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(4), 50)
    x = np.zeros((200, 80))
    for u, c in enumerate(truth):
        x[u, 20 * c + rng.permutation(20)[:8]] = 1
        x[u, rng.integers(80)] = 1
    found = explain.communities(x, 4)

    def purity(labels):
        return sum(np.bincount(truth[labels == name]).max() for name in np.unique(labels)) / 200

    assert purity(found) > 0.95
    assert purity(rng.permutation(found)) < 0.5
    with pytest.raises(InputError, match="cannot be found"):
        explain.communities(x[:3], 8)


def made(total, itself):
    return Transfer(total, total / 9, (0,), (1.0,), itself)


@pytest.mark.parametrize("itself", [True, False])
def test_what_is_given_is_not_what_is_got(itself):
    """A transfer that is not symmetric, by loops; with receivers of their own nobody is left out."""
    rng = np.random.default_rng(3)
    total = rng.standard_normal((7, 7 if itself else 9))
    giver = np.array(["a", "b", "c"])[rng.permutation(np.arange(total.shape[1]) % 3)]
    getter = giver if itself else np.array(["a", "b", "c"])[rng.permutation(np.arange(7) % 3)]
    got = explain.flow(made(total, itself), giver, None if itself else getter)
    counted = [(u, v) for u in range(7) for v in range(total.shape[1]) if not (itself and u == v)]
    for k, name in enumerate("abc"):
        gives = sum(total[u, v] for u, v in counted if giver[v] == name) / (giver == name).sum()
        gets = sum(total[u, v] for u, v in counted if getter[u] == name) / (getter == name).sum()
        assert (got.outflow[k], got.inflow[k], got.users[k]) == pytest.approx((gives, gets, (giver == name).sum()))
        for j, other in enumerate("abc"):
            pairs = [total[u, v] for u, v in counted if getter[u] == name and giver[v] == other]
            assert got.between[k, j] == pytest.approx(np.mean(pairs))


def test_more_helpers_than_there_are_cannot_be_had():
    total = np.random.default_rng(4).standard_normal((6, 6))
    for itself, others in ((True, 5), (False, 6)):
        who, how_much = explain.best_helpers(made(total, itself), 2, 99)
        assert len(who) == len(how_much) == others
        assert np.isfinite(how_much).all()
        np.testing.assert_array_equal(how_much, total[2, who])
        assert (2 in who) == (not itself)
    assert len(explain.best_helpers(made(np.ones((3, 30)), False), 0)[0]) == 10


@pytest.mark.parametrize("block", [1, 7, 1024])
def test_distant_helpers_are_the_best_of_all_pairs_of_strangers(block, monkeypatch):
    monkeypatch.setattr("minivae.explain.flows.BLOCK", block)
    rng = np.random.default_rng(5)
    x = (rng.random((40, 60)) < 0.08).astype(float)
    cosine = rng.uniform(-1, 1, (40, 40))
    transfer = Transfer(cosine, cosine, (0,), (1.0,), True)
    strangers = [(u, v) for u in range(40) for v in range(u + 1, 40) if not x[u] @ x[v]]
    assert 300 < len(strangers) < 780
    for k in (1, 2, 20, 10**6):
        best = sorted((cosine[u, v] for u, v in strangers if cosine[u, v] > 0), reverse=True)[:k]
        pairs, found = explain.distant_helpers(transfer, x, k)
        np.testing.assert_array_equal(found, best)
        assert {tuple(p) for p in pairs.tolist()} <= set(strangers)
    assert len(explain.distant_helpers(transfer, x)[1]) == 10


def test_names_of_groups_by_activity():
    """One number of items is no span, and one item is no plural."""
    counts = [1, 1, 2, 2, 3, 5, 9, 9]  # the quarters end at 1, 2 and 5
    x = np.array([[1] * n + [0] * (9 - n) for n in counts])
    assert explain.activity(x).tolist() == ["1 item"] * 2 + ["2 items"] * 2 + ["3–5 items"] * 2 + ["9 items"] * 2


def test_a_group_without_a_number_comes_first():
    groups = np.array(["1 item", "not given", "10–20 items", "8–9 items", "8–9 items"])
    got = explain.flow(made(np.ones((5, 5)), True), groups)
    assert got.names == ["not given", "1 item", "8–9 items", "10–20 items"]
    assert got.users.tolist() == [1, 1, 2, 1]


@pytest.mark.parametrize("k", [-1, 2.5, "3"])
def test_what_is_no_number_of_helpers_is_refused(k):
    transfer = made(np.ones((6, 6)), True)
    for ask in (lambda: explain.best_helpers(transfer, 0, k), lambda: explain.distant_helpers(transfer, np.eye(6), k)):
        with pytest.raises(InputError, match="k="):
            ask()
    assert len(explain.best_helpers(transfer, 0, 0)[0]) == len(explain.distant_helpers(transfer, np.eye(6), 0)[0]) == 0


def test_distant_helpers_need_no_more_of_a_partition_than_it_promises(monkeypatch):
    """Beside the place that is asked for, what is smaller stands before it in any order, and what is larger after."""
    rng = np.random.default_rng(6)

    def barely(values, kth, axis=None):
        order = np.argsort(values, axis=axis)
        return np.concatenate([order[:kth][::-1], order[kth : kth + 1], order[kth + 1 :][::-1]])

    monkeypatch.setattr(np, "argpartition", barely)
    cosine = rng.uniform(0.1, 1, (9, 9))
    transfer = Transfer(cosine, cosine, (0,), (1.0,), True)
    best = sorted(cosine[np.triu_indices(9, 1)], reverse=True)
    for k in (1, 2, 5, 36):
        np.testing.assert_array_equal(explain.distant_helpers(transfer, np.eye(9), k)[1], best[:k])


def test_a_single_user_has_no_distant_helper():
    pairs, cosine = explain.distant_helpers(made(np.ones((1, 1)), True), np.ones((1, 3)))
    assert (pairs.shape, cosine.shape) == ((0, 2), (0,))


def test_taste_of_users_by_hand():
    """Popularity 4, 2, 1 of the items: mean logarithms log 4, log 2 / 2, 0 (of nobody) and (log 4 + log 2) / 2."""
    x = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 0], [1, 0, 0], [1, 0, 0]])
    got = explain.popularity_of_taste(x)
    assert got.tolist() == ["mixed", "rare items", "rare items", "mixed", "mixed", "mixed"]  # two thirds lie at log 4
    one = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 1, 1]])
    # log 1, log 2 twice, log 4 three times, and (log 4 + log 1) / 2 = log 2: a third lies at log 2 or below
    assert explain.popularity_of_taste(one).tolist() == ["rare items"] * 3 + ["mixed"] * 3 + ["rare items"]


def test_communities_are_made_from_the_scaled_matrix(monkeypatch):
    """x_ui / √(N_u m_i), users and items with a single interaction among them; the constant vector is left out."""
    from minivae.explain import segments

    rng = np.random.default_rng(8)
    x = (rng.random((30, 12)) < 0.3).astype(float)
    x[:4] = np.eye(12)[[0, 1, 2, 2]]
    x[:, 11] = 0
    x[5, 11] = 1
    x[6] = 0
    given, places = [], []
    svds, kmeans2 = segments.svds, segments.kmeans2
    monkeypatch.setattr(segments, "svds", lambda a, **more: given.append(a.toarray()) or svds(a, **more))
    monkeypatch.setattr(segments, "kmeans2", lambda p, n, **more: places.append(p) or kmeans2(p, n, **more))
    found = explain.communities(x, 3)
    n, m = x.sum(1), x.sum(0)
    scaled = np.array([[x[u, i] / (n[u] * m[i]) ** 0.5 if x[u, i] else 0 for i in range(12)] for u in range(30)])
    np.testing.assert_allclose(given[0], scaled)
    vectors, values, _ = np.linalg.svd(scaled)
    assert values[0] == pytest.approx(1)
    assert places[0].shape == (30, 2)
    for k in range(2):
        expected = vectors[:, k + 1] / np.sqrt(np.maximum(n, 1))
        expected /= expected.std()
        sign = np.sign(expected @ places[0][:, k])
        np.testing.assert_allclose(places[0][:, k], sign * expected, atol=1e-6)
    sizes = [np.sum(found == f"group {k}") for k in (1, 2, 3)]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(sizes) == 30


def test_communities_of_two():
    x = np.zeros((20, 8))
    x[:12, :4], x[12:, 4:] = 1, 1
    x[0, 7] = 1
    found = explain.communities(x, 2)
    assert set(found[1:12]) == {"group 1"}
    assert set(found[12:]) == {"group 2"}
    for n in (1, 8):
        with pytest.raises(InputError, match="cannot be found"):
            explain.communities(x, n)
    assert set(explain.communities(x, 7, seed=3)) <= {f"group {k}" for k in range(1, 8)}


def test_nobody_has_no_helpers_and_no_group(crowd):
    found = crowd[2]
    for user in (-1, len(found.total), 1.5, True):
        with pytest.raises(InputError, match=f"user={user}"):
            explain.best_helpers(found, user)
    for group in (explain.activity, explain.popularity_of_taste):
        with pytest.raises(InputError, match="no users"):
            group(np.zeros((0, 4)))
    with pytest.raises(InputError, match="no items"):
        explain.communities(np.zeros((9, 8)), 2)
    with pytest.raises(InputError, match="no user to help"):
        explain.transfer(MultVAE(4, hidden=3, latent=2), np.zeros((0, 4)))
