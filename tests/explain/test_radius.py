"""The numbers of Theorem 2.3 along a training: those of its definition, for the loss of one interaction."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

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
