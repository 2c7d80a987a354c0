"""The numbers of Theorem 2.3 along a training: those of its definition, for the loss of one interaction."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from minivae.explain import radius
from minivae.explain.radius import LOOKED_AT, compose_radius, radius_stages
from minivae.explain.snapshots import Snapshot
from minivae.models import MultVAE
from minivae.runtime.table import as_markdown


@pytest.fixture(scope="module")
def users():
    rng = np.random.default_rng(3)
    x = sp.csr_matrix((rng.random((70, 20)) < 0.3).astype(np.float32))
    return x[np.diff(x.indptr) > 0]


def a_model(seed):
    model = MultVAE(20, hidden=6, latent=3)
    model.reset_parameters(torch.Generator().manual_seed(seed))
    return model.eval()


def norms_by_hand(model, x, a_loss):
    """Norms of the gradients in the decoder, by backward passes at many posterior samples."""
    with torch.no_grad():
        mu, sd = (t.double() for t in model.encode(x))
    decoder = model.decoder.double()
    noise = torch.randn(64, mu.shape[1], dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    dense = torch.from_numpy(x.toarray()).double()
    rows = []
    for u in range(len(mu)):
        decoder.zero_grad()
        loss = -(dense[u] * decoder(mu[u] + sd[u] * noise).log_softmax(-1)).sum(-1).mean()
        a_loss(loss, dense[u]).backward()
        rows.append(torch.cat([p.grad.ravel().clone() for p in decoder.parameters()]))
    g = torch.stack(rows)
    model.float()
    return g.norm(dim=1)


def test_the_norm_is_that_of_the_loss_of_one_interaction(users):
    """Against backward passes with other samples: a tenth is far more than their noise. Broken twin: not divided."""
    x = users[:30]
    (stage,) = radius_stages(a_model(0), x)
    assert stage.epoch is None
    per_item = norms_by_hand(a_model(0), x, lambda loss, row: loss / row.sum()).median()
    whole = norms_by_hand(a_model(0), x, lambda loss, row: loss).median()
    assert stage.norm == pytest.approx(float(per_item), rel=0.1)
    assert stage.norm != pytest.approx(float(whole), rel=0.1)


def test_the_shares_keep_the_order_of_the_theorem(users):
    stages = radius_stages([Snapshot(a_model(k), 1.0, k) for k in range(3)], users)
    assert [s.epoch for s in stages] == [0, 1, 2]
    for s in stages:
        assert s.certified <= s.helped
        assert s.certified + s.closed <= 1
    assert stages[0] != stages[1]


def test_users_are_drawn_and_the_section_says_the_share(users):
    many = sp.vstack([users, users]).tocsr()
    assert many.shape[0] > LOOKED_AT
    assert radius_stages(a_model(1), many) == radius_stages(a_model(1), many)
    text = as_markdown(compose_radius(radius_stages(a_model(1), users)))
    assert text.startswith("## What opens and closes the sharing radius")
    assert "| – | 0.4" in text


def test_medians_and_shares_are_over_pairs_of_different_users(monkeypatch):
    """Three users: six ordered pairs, and a diagonal that would change every number."""
    asked = {}

    def sharing(model, x, generator, target):
        asked.update(seed=generator.initial_seed(), target=target.toarray())
        own = torch.eye(3, dtype=torch.float64) * 100
        return SimpleNamespace(
            norm=torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64),
            mismatch=own + torch.tensor([[0, 1, 0.5], [1, 0, 2.5], [0.1, 0.2, 0]], dtype=torch.float64),
            lipschitz=own + torch.arange(9.0, dtype=torch.float64).reshape(3, 3),
            distance=own + torch.arange(9.0, dtype=torch.float64).reshape(3, 3) / 10,
            certified=torch.tensor([[1, 0, 1], [0, 1, 0], [1, 0, 1]]).bool(),
            exact=own + torch.tensor([[0, 0.5, -1], [0, 0, 0.25], [-3, 0.1, 0]], dtype=torch.float64),
        )

    monkeypatch.setattr(radius, "sharing", sharing)
    x = sp.csr_matrix(np.array([[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]], np.float32))
    (stage,) = radius_stages([Snapshot(a_model(0), 1.0, 7)], x)
    assert asked["seed"] == 0
    np.testing.assert_allclose(asked["target"], [[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.25] * 4])
    assert stage.epoch == 7
    assert (stage.norm, stage.mismatch) == (2, 0.5)  # of 1 1 2 2 3 3 and of .1 .2 .5 1 1 2.5, the lower middle one
    assert (stage.lipschitz, stage.distance) == pytest.approx((3, 0.3))  # of 1 2 3 5 6 7
    assert stage.closed == pytest.approx(2 / 6)  # 1 ≥ 1 and 2.5 ≥ 2
    assert stage.certified == pytest.approx(2 / 6)
    assert stage.helped == pytest.approx(3 / 6)  # not 0, −1 and −3
