"""The scale gauge: which anchor losses a change of the latent scale leaves alone, and what `direction` is."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minivae.anchors import anchor_loss, centroids, shares, unit
from minivae.batches import DeviceCSR

LATENT = 4


def population(seed, n_users=9, n_items=17):
    """Users of whom the last has no items, their batch, codes, anchors and a linear decoder, in float64."""
    x = np.random.default_rng(seed).random((n_users, n_items)) < 0.3
    x[:-1, 0] = True
    x[-1] = False
    g = torch.Generator().manual_seed(seed)
    z, anchors, decoder = (
        torch.randn(n, LATENT, generator=g, dtype=torch.float64) for n in (n_users, n_items, n_items)
    )
    return x, DeviceCSR(sp.csr_matrix(x, dtype=np.float32)).batch(torch.arange(n_users)), z, anchors, decoder


def check_gauge(loss, power):
    """(z, W, E) → (cz, W/c, cE) leaves the logits alone and multiplies the loss by c^power, for c from .001 to 1000."""
    for seed in range(3):
        _, batch, z, anchors, decoder = population(seed)
        before = loss(z, torch.zeros_like(z), anchors, batch)
        for c in (1e-3, 0.3, 7.0, 1e3):
            torch.testing.assert_close((c * z) @ (decoder / c).T, z @ decoder.T, rtol=1e-12, atol=1e-12)
            after = loss(c * z, torch.zeros_like(z), c * anchors, batch)
            torch.testing.assert_close(after, c**power * before, rtol=1e-12, atol=1e-12 * c**power)


def half_normalised(mu, variance, anchors, batch):
    """Broken twin ``‖z − ē/‖ē‖‖²``: the centroid has length 1, the code keeps its scale."""
    return (mu - unit(centroids(anchors, batch, shares(batch, mu)))).square().sum(-1)


def test_direction_does_not_change_under_the_scale_gauge():
    check_gauge(lambda *a: anchor_loss(*a, "direction"), power=0)


@pytest.mark.parametrize("variant", ["full", "centroid+variance", "centroid"])
def test_the_other_losses_scale_with_the_square(variant):
    """At a point code (variance 0); so smaller codes cost less, whatever the logits."""
    check_gauge(lambda *a: anchor_loss(*a, variant), power=2)


@pytest.mark.parametrize("power", [0, 2])
def test_the_half_normalised_twin_is_rejected(power):
    with pytest.raises(AssertionError):
        check_gauge(half_normalised, power)


def test_full_is_no_invariant():
    with pytest.raises(AssertionError):
        check_gauge(lambda *a: anchor_loss(*a, "full"), power=0)


def check_direction(loss):
    """``2 − 2 cos`` of code and mean anchor, user by user in NumPy; 0 without items."""
    x, batch, z, anchors, _ = population(5)
    got = loss(z, torch.ones_like(z), anchors, batch)
    for u in range(len(x)):
        if not x[u].any():
            assert got[u] == 0
            continue
        centre = anchors[torch.from_numpy(x[u])].mean(0).numpy()
        cosine = z[u].numpy() @ centre / np.linalg.norm(z[u].numpy()) / np.linalg.norm(centre)
        np.testing.assert_allclose(float(got[u]), 2 - 2 * cosine, rtol=1e-12)


def test_direction_is_twice_one_minus_the_cosine():
    check_direction(lambda *a: anchor_loss(*a, "direction"))
    for twin in (half_normalised, lambda mu, v, e, b: anchor_loss(mu, v, e, b, "direction") + v.sum(-1)):
        with pytest.raises(AssertionError):
            check_direction(twin)


def test_a_zero_code_and_a_zero_centroid():
    """One of the two zero: 1, with gradient 0 to it; both zero: 0."""
    _, batch, z, anchors, _ = population(7)
    none = torch.zeros_like(z)
    for mu, e, expected in ((none, anchors, 1.0), (z, 0 * anchors, 1.0), (none, 0 * anchors, 0.0)):
        mu, e = mu.clone().requires_grad_(), e.clone().requires_grad_()
        loss = anchor_loss(mu, none, e, batch, "direction")
        torch.testing.assert_close(loss[:-1].detach(), torch.full((len(z) - 1,), expected, dtype=torch.float64))
        grads = torch.autograd.grad(loss.sum(), (mu, e))
        for vector, gradient in zip((mu, e), grads, strict=True):
            assert bool(gradient.isfinite().all())
            assert bool(vector.any()) or not bool(gradient.any())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(1e-6, 1e6), st.floats(1e-6, 1e6))
def test_code_and_anchors_may_be_scaled_apart(seed, a, b):
    """Only the angle counts, and the gradient to the code is at a right angle to it."""
    _, batch, z, anchors, _ = population(seed)
    z = (a * z).requires_grad_()
    loss = anchor_loss(z, 0 * z, b * anchors, batch, "direction")
    torch.testing.assert_close(loss, anchor_loss(z / a, 0 * z, anchors, batch, "direction"), rtol=1e-10, atol=1e-12)
    assert bool(((loss >= 0) & (loss <= 4 + 1e-12)).all())
    (gradient,) = torch.autograd.grad(loss.sum(), z)
    radial = (gradient * z.detach()).sum(-1)  # d loss / d log of the scale
    torch.testing.assert_close(radial, torch.zeros_like(radial), rtol=0, atol=1e-10)
