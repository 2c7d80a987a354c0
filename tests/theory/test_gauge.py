"""The scale gauge: what of the objective a change of the latent scale leaves alone, in models with known parts."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from minivae import InputError
from minivae.anchors import anchor_loss
from minivae.batches import DeviceCSR
from minivae.models import HVamp, MultDAE, MultVAE, RecVAE
from minivae.theory.gauge import rescaled

ITEMS, USERS = 17, 9
C = (0.2, 0.7, 3.0)


def batch():
    x = np.random.default_rng(0).random((USERS, ITEMS)) < 0.3
    x[:, 0] = True
    return DeviceCSR(sp.csr_matrix(x, dtype=np.float32)).batch(torch.arange(USERS))


def model(kind, prior):
    made = {
        "multvae": lambda: MultVAE(ITEMS, 6, 3, prior=prior, components=4),
        "recvae": lambda: RecVAE(ITEMS, 6, 3, prior=prior, components=4),
        "hvamp": lambda: HVamp(ITEMS, 6, 3, prior=prior, components=4),
    }[kind]()
    g = torch.Generator().manual_seed(1)
    made.reset_parameters(g)
    made.add_anchors(g)
    if kind == "hvamp":  # far from the bounds of its log variances
        for head in (made.encoder[2], made.inner_head, made.conditional[2]):
            head.weight.data.mul_(0.2)
    return made.double()


def parts(of):
    """NLL and KL of every user at the same noise, the logits, and both forms of the anchor loss."""
    users = batch()
    noise = torch.randn(USERS, of.latent, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    dense = torch.zeros(USERS, ITEMS, dtype=torch.float64)
    dense[users.rows, users.items] = 1
    with torch.no_grad():
        draw = of.draw(dense, noise)
        logits = of.decode(draw.z)
        anchors = [anchor_loss(draw.mu, draw.logvar.exp(), of.anchors, users, v) for v in ("full", "direction")]
        return logits, of.kl(draw, users), *anchors


def check_gauge(of, change, whole=True):
    """Logits and KL as before, `full` times c², `direction` as before."""
    before = parts(of)
    for c in C:
        logits, kl, full, direction = parts(change(of, c))
        torch.testing.assert_close(logits, before[0], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(full, c**2 * before[2], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(direction, before[3], rtol=1e-9, atol=1e-9)
        if whole:
            torch.testing.assert_close(kl, before[1], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("kind", ["multvae", "recvae", "hvamp"])
def test_under_a_prior_that_the_network_makes_nothing_but_the_anchor_loss_changes(kind):
    check_gauge(model(kind, "vamp"), rescaled)


@pytest.mark.parametrize(("kind", "prior"), [("multvae", "normal"), ("recvae", "composite"), ("hvamp", "normal")])
def test_a_fixed_prior_pins_the_scale(kind, prior):
    """The broken twin of the statement: without a prior that goes along, the KL term does change."""
    of = model(kind, prior)
    check_gauge(of, rescaled, whole=False)
    with pytest.raises(AssertionError):
        check_gauge(of, rescaled)
    if prior == "normal" and kind == "multvae":  # by hand: ½(c²(μ² + σ²) − 1 − log σ² − 2 log c)
        users, c = batch(), 0.2
        dense = torch.zeros(USERS, ITEMS, dtype=torch.float64)
        dense[users.rows, users.items] = 1
        with torch.no_grad():
            _, mu, logvar = of.draw(dense)
        by_hand = 0.5 * (c**2 * (mu**2 + logvar.exp()) - 1 - logvar - 2 * math.log(c)).sum(-1)
        torch.testing.assert_close(parts(rescaled(of, c))[1], by_hand, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", ["multvae", "recvae", "hvamp"])
def test_twins_that_forget_a_part_are_rejected(kind):
    def means_only(of, c):
        twin = rescaled(of, c)
        heads = {"multvae": lambda m: [m.encoder_output], "recvae": lambda m: [m.encoder.output]}.get(
            kind, lambda m: [m.encoder[2], m.inner_head, m.conditional[2]]
        )(twin)
        with torch.no_grad():
            for head in heads:
                head.bias.chunk(2)[1].sub_(2 * math.log(c))
        return twin

    def no_anchors(of, c):
        twin = rescaled(of, c)
        twin.anchors.data.div_(c)
        return twin

    for twin in (means_only, no_anchors):
        with pytest.raises(AssertionError):
            check_gauge(model(kind, "vamp"), twin)


def test_the_model_itself_stays_as_it_was():
    of = model("multvae", "normal")
    before = {k: v.clone() for k, v in of.state_dict().items()}
    rescaled(of, 0.1)
    assert all(torch.equal(v, before[k]) for k, v in of.state_dict().items())


def test_a_factor_that_is_none():
    for c in [0.0, -1.0, math.inf, math.nan]:
        with pytest.raises(InputError, match="above 0"):
            rescaled(MultVAE(5, 4, 2), c)


def test_tanh_codes_have_no_such_map():
    with pytest.raises(InputError, match="MultDAE are not linear"):
        rescaled(MultDAE(5, 2), 0.5)
