"""The other scores of "who helps whom", pair by pair: gradients by autograd, sets by loops."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from minivae import MultVAE
from minivae.explain import rivals
from minivae.explain.snapshots import Snapshot

ITEMS = 12


def model_of(seed):
    model = MultVAE(ITEMS, hidden=6, latent=3)
    model.reset_parameters(torch.Generator().manual_seed(seed))
    return model.double().eval()


@pytest.fixture(scope="module")
def world():
    """Two moments of a run and its end; nine users, and four receivers of whom something is held out."""
    rng = np.random.default_rng(0)
    x, seen, target = ((rng.random((n, ITEMS)) < 0.35).astype(float) for n in (9, 4, 4))
    x[:, 0], seen[:, 1], target[:, 2] = 1, 1, 1
    snapshots = [Snapshot(model_of(1), 0.5, 0), Snapshot(model_of(2), 0.25, 1)]
    return model_of(3), snapshots, x, seen, target


def gradient(model, z, row):
    loss = -(torch.from_numpy(row) * torch.log_softmax(model.decoder(z), -1)).sum()
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.decoder.parameters()))])


def posterior(model, rows):
    with torch.no_grad():
        return model.encode(torch.from_numpy(rows))


def inner(model, x, seen, target):
    """⟨g_u, g_v⟩ and the cosine, (R, U) each, one gradient after the other."""
    sources = [gradient(model, z, row) for z, row in zip(posterior(model, x)[0], x, strict=True)]
    asked = [gradient(model, z, row) for z, row in zip(posterior(model, seen)[0], target, strict=True)]
    products = np.array([[float(a @ b) for b in sources] for a in asked])
    return products, products / np.array([[float(a.norm() * b.norm()) for b in sources] for a in asked])


def check_scores(scores_of, world):
    model, snapshots, x, seen, target = world
    got = scores_of(model, snapshots, x, seen, target)
    moments = [(s.weight, *inner(s.model, x, seen, target)) for s in snapshots]
    total = sum(w * products for w, products, _ in moments)
    expected = {
        "transfer": total,
        "gradient cosine": sum(w * cosine for w, _, cosine in moments) / 0.75,
        "last checkpoint": inner(model, x, seen, target)[0],
        "transfer of another user": total[[2, 3, 0, 1]],
    }
    (mu_u, sd_u), (mu_v, sd_v) = posterior(model, seen), posterior(model, x)
    pairs = [(u, v) for u in range(4) for v in range(9)]
    users = [set(np.flatnonzero(row)) for row in x]
    asked = [set(np.flatnonzero(row)) for row in seen]
    by_pair = {
        "posterior distance": lambda u, v: (
            -float(((mu_u[u] - mu_v[v]).square() + (sd_u[u] - sd_v[v]).square()).sum() ** 0.5)
        ),
        "activity": lambda u, v: len(users[v]),
        "Jaccard": lambda u, v: len(asked[u] & users[v]) / len(asked[u] | users[v]),
        "popularity overlap": lambda u, v: sum(x[:, i].sum() for i in asked[u] & users[v]),
    }
    expected |= {name: np.array([of(u, v) for u, v in pairs]).reshape(4, 9) for name, of in by_pair.items()}
    assert set(got) == {*expected, "sharing radius"}
    for name, values in expected.items():
        np.testing.assert_allclose(got[name], values, rtol=1e-4, atol=1e-5, err_msg=name)


def test_every_score_is_that_of_a_plain_loop(world):
    check_scores(rivals.rival_scores, world)


def test_scores_of_other_users_are_rejected(world):
    """Broken twins: the receivers' own rows in place of what was held out; users in another order; other weights."""

    def forgets_the_target(model, snapshots, x, seen, target):
        return rivals.rival_scores(model, snapshots, x, seen)

    def mixes_users(model, snapshots, x, seen, target):
        return rivals.rival_scores(model, snapshots, x[::-1], seen, target)

    def counts_moments_alike(model, snapshots, x, seen, target):
        return rivals.rival_scores(model, [replace(s, weight=0.375) for s in snapshots], x, seen, target)

    for twin in (forgets_the_target, mixes_users, counts_moments_alike):
        with pytest.raises(AssertionError):
            check_scores(twin, world)


def test_the_score_of_the_sharing_radius_is_theorem_2_3s_penalty(world):
    """L_u the largest slope of u's own loss between its place and another user's; content compared at that place."""
    model, snapshots, x, seen, target = world
    (mu_u, sd_u), (mu_v, sd_v) = posterior(model, seen), posterior(model, x)
    expected = np.zeros((4, 9))
    for u in range(4):
        here = gradient(model, mu_u[u], target[u])
        there = [gradient(model, z, target[u]) for z in mu_v]
        slope = max(float((here - g).norm() / (mu_u[u] - z).norm()) for g, z in zip(there, mu_v, strict=True))
        for v in range(9):
            w2 = float(torch.cat([mu_u[u] - mu_v[v], sd_u[u] - sd_v[v]]).norm())
            expected[u, v] = slope * w2 + float((there[v] - gradient(model, mu_v[v], x[v])).norm())
    scores = rivals.rival_scores(model, snapshots, x, seen, target)
    assert scores.keys() == set(rivals.SCORES)  # what a kept file of sums is compared with
    np.testing.assert_allclose(-scores["sharing radius"], expected, rtol=1e-6)
    rows = [rivals.as_csr(m) for m in (x, seen, target)]
    for block in (1, 3, 100):  # however many users are taken at a time
        np.testing.assert_allclose(rivals.penalties(model, *rows, block), expected, rtol=1e-6)
    assert "sharing radius" not in rivals.rival_scores(model, snapshots, x, seen, target, sharing=False)


def test_a_user_is_at_no_distance_from_itself():
    """A model in float32 and forty users: in float32 a distance that is taken from products would be off by 10⁻³."""
    x = (np.random.default_rng(1).random((40, ITEMS)) < 0.35).astype(np.float32)
    x[:, 0] = 1
    model = model_of(3).float()
    distance = -rivals.rival_scores(model, [Snapshot(model, 1.0, 0)], x, x, sharing=False)["posterior distance"]
    assert np.abs(np.diag(distance)).max() < 1e-6
    with torch.no_grad():
        in_float32 = torch.cat(model.encode(torch.from_numpy(x)), -1)
    assert torch.cdist(in_float32, in_float32).diagonal().max() > 1e-6
