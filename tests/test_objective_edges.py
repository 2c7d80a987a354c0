"""Terms of the objective at the edges of float32: right to a millionth of what Decimal gives, or infinite.

Within the usual range they are the plain formulas, to the last bit of values and gradients.
"""

import math
from decimal import Decimal, localcontext
from itertools import product

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minivae.anchors import anchor_loss, anchor_terms, direction_loss, shares, softmin_loss, unit
from minivae.batches import DeviceCSR
from minivae.objective import beta_at, kl_to_gaussian, kl_to_standard_normal, log_normal

LARGEST = Decimal(torch.finfo(torch.float32).max)
logvars = st.sampled_from([s * v for v in (0.0, 1e-6, 1.0, 30.0, 79.9, 80.1, 89.0, 100.0, 200.0, 1e3) for s in (1, -1)])
places = st.sampled_from([s * v for v in (0.0, 1e-30, 1e-8, 1.0, 1e4, 1e15, 1e20, 1e37) for s in (1, -1)])
TEMPERATURES = (5e-324, 1e-30, 1e-3, 1.0, 100.0, 1e4, 1e6, 1e12, 1e30, 1e300)


@pytest.fixture(autouse=True)
def digits():
    """As many as 1 − 1e-300 needs."""
    with localcontext() as context:
        context.prec, context.Emax, context.Emin = 350, 10**6, -(10**6)
        yield


def single(*values):
    """Each value as float32, and what it then is, exactly."""
    tensors = [torch.tensor([v], dtype=torch.float32) for v in values]
    return tensors, [Decimal(float(t)) for t in tensors]


def close(found, expected, *terms):
    """Within a millionth of the value and of the terms of its sum; infinite where half the sum is all that fits."""
    size = max(map(abs, (expected, *terms)))
    if size > LARGEST / 2:
        return math.isinf(found) or abs(Decimal(found) - expected) <= size * Decimal("1e-6")
    return math.isfinite(found) and abs(Decimal(found) - expected) <= size * Decimal("1e-6") + Decimal("1e-37")


def close_or_infinite(found, expected):
    if abs(expected) > LARGEST:
        return found == math.copysign(math.inf, expected)
    return abs(Decimal(found) - expected) <= (abs(expected) + 1) * Decimal("1e-6")


@settings(max_examples=200)
@given(places, places, logvars, logvars)
def test_kl_of_two_gaussians(mu, mu_p, logvar, logvar_p):
    tensors, (m, n, v, p) = single(mu, mu_p, logvar, logvar_p)
    terms = p, v, Decimal(1), (v - p).exp(), (m - n) ** 2 * (-p).exp()
    expected = (p - v - 1 + terms[3] + terms[4]) / 2
    t_mu, t_mu_p, t_v, t_p = tensors
    t_mu.requires_grad_()
    t_v.requires_grad_()
    found = kl_to_gaussian(t_mu, t_v, t_mu_p, t_p)
    assert close(found.item(), expected, *terms)
    if max(terms) < LARGEST / 4:
        by_mu, by_v = torch.autograd.grad(found, (t_mu, t_v))
        assert close_or_infinite(float(by_mu), (m - n) * (-p).exp())
        assert close_or_infinite(float(by_v), (terms[3] - 1) / 2)


@settings(max_examples=200)
@given(places, places, logvars)
def test_logarithm_of_a_normal_density(z, mu, logvar):
    (t_z, t_mu, t_v), (a, m, v) = single(z, mu, logvar)
    t_z.requires_grad_()
    t_v.requires_grad_()
    square = (a - m) ** 2 * (-v).exp()
    two_pi = Decimal(math.log(2 * math.pi))
    found = log_normal(t_z, t_mu, t_v)
    assert close(found.item(), -(two_pi + v + square) / 2, two_pi, v, square)
    if square < LARGEST / 4:
        by_z, by_v = torch.autograd.grad(found, (t_z, t_v))
        assert close_or_infinite(float(by_z), -(a - m) * (-v).exp())
        assert close_or_infinite(float(by_v), (square - 1) / 2)


@settings(max_examples=60)
@given(places, logvars)
def test_kl_to_the_standard_normal(mu, logvar):
    (t_mu, t_v), (m, v) = single(mu, logvar)
    assert close(float(kl_to_standard_normal(t_mu, t_v)), (m * m + v.exp() - 1 - v) / 2, m * m, v.exp(), v)


def plain_kl(mu, logvar, mu_p, logvar_p):
    return 0.5 * (logvar_p - logvar - 1 + (logvar.exp() + (mu - mu_p).square()) * torch.exp(-logvar_p)).sum(-1)


def plain_log_normal(z, mu, logvar):
    return -0.5 * (math.log(2 * math.pi) + logvar + (z - mu).square() * torch.exp(-logvar))


@pytest.mark.parametrize(("term", "plain"), [(kl_to_gaussian, plain_kl), (log_normal, plain_log_normal)])
def test_in_the_usual_range_they_are_the_plain_formulas_to_the_bit(term, plain):
    for scale in [0.01, 1.0, 20.0]:
        g = torch.Generator().manual_seed(0)
        n = 4 if term is kl_to_gaussian else 3
        given = [(scale * torch.randn(300, 7, generator=g)).clamp(-79, 79).requires_grad_() for _ in range(n)]
        upstream = torch.randn(term(*given).shape, generator=g)
        (a, b) = ([v := f(*given), *torch.autograd.grad(v, given, upstream)] for f in (term, plain))
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


# ------------------------------------------------------------------------------------------------------------ anchors


def one_user(n_items):
    return DeviceCSR(sp.csr_matrix(np.ones((1, n_items)))).batch(torch.arange(1))


def exactly(t):
    return [[Decimal(float(v)) for v in row] for row in t]


def squared(a, b):
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def items_at(middle, spread, n, seed):
    g = torch.Generator().manual_seed(seed)
    return middle + spread * torch.randn(n, 3, generator=g)


@settings(max_examples=80)
@given(
    st.sampled_from([0.0, 1.0, 30.0, 1e3, 1e6, 1e10, 1e18]),
    st.sampled_from([0.0, 1e-4, 0.1, 1.0, 100.0]),
    st.integers(1, 6),
    st.integers(0, 99),
)
def test_the_scatter_of_anchors_wherever_they_are(middle, spread, n, seed):
    """Never below 0 where anchors are far; right to a millionth of itself where little is left of the difference."""
    anchors = items_at(middle, spread, n, seed)
    rows = exactly(anchors)
    centre = [sum(c) / n for c in zip(*rows, strict=True)]
    expected = sum(squared(r, centre) for r in rows) / n
    size = sum(squared(r, [0, 0, 0]) for r in rows) / n
    mean_term, variance_term, scatter = (
        float(t) for t in anchor_terms(torch.zeros(1, 3), torch.full((1, 3), 2.0), anchors, one_user(n))
    )
    far = size > 1025 and expected < size / 1100
    assert abs(Decimal(scatter) - expected) <= (
        expected * Decimal("1e-6") + size * Decimal("1e-13") if far else size * Decimal("1e-6")
    )
    assert scatter >= 0 or not far
    assert abs(Decimal(mean_term) - squared(centre, [0, 0, 0])) <= size * Decimal("1e-6")
    assert variance_term == 6


def test_a_difference_of_squares_is_rejected_where_anchors_are_far():
    """The broken twin: Σ w ‖e‖² − ‖ē‖² in float32, of anchors 1 from each other and 10⁴ from 0."""
    anchors = items_at(1e4, 1.0, 6, 0)
    twin = float(anchors.square().sum(-1).mean() - anchors.mean(0).square().sum())
    right = float(anchors.double().var(0, correction=0).sum())
    assert abs(twin - right) > 1
    assert abs(float(anchor_terms(torch.zeros(1, 3), torch.ones(1, 3), anchors, one_user(6))[2]) - right) < 1e-5 * right


def test_the_scatter_pulls_on_far_anchors_as_on_near_ones():
    """Moving every anchor leaves the gradient as it was, and only users whose digits are lost take the other way."""
    near = items_at(0.0, 1.0, 6, 1).double().requires_grad_()
    (expected,) = torch.autograd.grad(near.var(0, correction=0).sum(), near)
    far = (near.detach() + 2.0**14).requires_grad_()
    (got,) = torch.autograd.grad(anchor_terms(torch.zeros(1, 3).double(), torch.ones(1, 3), far, one_user(6))[2], far)
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


def decimal_softmin(mu, anchors, temperature):
    distances = [squared(mu, e) for e in anchors]
    t, least = Decimal(temperature), min(distances)
    total = sum((-(d - least) / t).exp() for d in distances) / len(distances)
    return least - t * total.ln(), max(distances)


@settings(max_examples=150)
@given(
    st.sampled_from(TEMPERATURES),
    st.sampled_from([0.0, 1e-10, 1.0, 1e3, 1e15]),
    st.sampled_from([0.0, 1e-3, 1.0, 1e6]),
    st.integers(1, 6),
    st.integers(0, 99),
)
def test_softmin_at_every_temperature(temperature, away, spread, n, seed):
    anchors, mu = items_at(0.0, spread, n, seed), torch.full((1, 3), away)
    expected, widest = decimal_softmin(exactly(mu)[0], exactly(anchors), temperature)
    found = float(softmin_loss(mu, torch.zeros(1, 3), anchors, one_user(n), temperature))
    size = abs(expected)
    if widest / 2**21 < temperature <= 1025 * widest:
        size += Decimal(temperature) * (1 + Decimal(n).ln())  # a logarithm rounds, and τ multiplies it
    assert abs(Decimal(found) - expected) <= size * Decimal("1e-6") + widest * Decimal("1e-7")


def test_softmin_from_cold_to_hot_has_the_gradient_of_its_weights():
    """r_i ∝ exp(−d_i/τ) over the items, and 2 Σ r_i (μ − e_i): to the nearest if cold, the mean if hot."""
    anchors = items_at(0.0, 1.0, 5, 3)
    for temperature in TEMPERATURES:
        mu = torch.tensor([[0.3, -0.2, 0.1]], requires_grad=True)
        (got,) = torch.autograd.grad(softmin_loss(mu, torch.zeros(1, 3), anchors, one_user(5), temperature), mu)
        d = (mu.detach().double() - anchors.double()).square().sum(-1)
        r = torch.softmax(-(d - d.min()) / max(temperature, 1e-300), 0)
        torch.testing.assert_close(got[0].double(), 2 * r @ (mu.detach()[0].double() - anchors), rtol=1e-4, atol=1e-5)


def plain_softmin(mu, variance, anchors, batch, temperature):
    distance = (mu[batch.rows] - anchors[batch.items]).square().sum(-1)
    a = shares(batch, mu).log() - distance / temperature
    top = torch.full_like(mu[:, 0], -torch.inf).scatter_reduce(0, batch.rows, a.detach(), "amax")
    total = torch.zeros_like(top).index_add(0, batch.rows, torch.exp(a - top[batch.rows]))
    return -temperature * (top + total.log()) + variance.sum(-1)


def plain_full(mu, variance, anchors, batch, temperature):
    share = shares(batch, mu)
    centroid = torch.nn.functional.embedding_bag(
        batch.items, anchors, batch.offsets, mode="sum", per_sample_weights=share, include_last_offset=True
    )
    square = torch.zeros_like(mu[:, 0]).index_add(0, batch.rows, anchors.square().sum(-1)[batch.items] * share)
    return (mu - centroid).square().sum(-1) + variance.sum(-1) + (square - centroid.square().sum(-1))


def plain_direction(mu, variance, anchors, batch, temperature):
    centroid = torch.nn.functional.embedding_bag(
        batch.items, anchors, batch.offsets, mode="sum", per_sample_weights=shares(batch, mu), include_last_offset=True
    )
    a, b = (v / torch.linalg.vector_norm(v, dim=-1, keepdim=True) for v in (mu, centroid))
    return (a - b).square().sum(-1)


@pytest.mark.parametrize(
    ("variant", "plain"), [("softmin", plain_softmin), ("full", plain_full), ("direction", plain_direction)]
)
def test_in_the_usual_range_losses_are_the_plain_formulas_to_the_bit(variant, plain):
    """Users of one item among them."""
    for scale, temperature in product([0.05, 1.0, 7.0], [0.05, 1.0, 2.0]):
        g = torch.Generator().manual_seed(1)
        x = np.random.default_rng(2).random((40, 50)) < 0.2
        x[3] = np.arange(50) == 7
        batch = DeviceCSR(sp.csr_matrix(x, dtype=np.float32), anchor_weights="idf").batch(torch.arange(40))
        mu, anchors = ((scale * torch.randn(n, 6, generator=g)).requires_grad_() for n in (40, 50))
        variance = torch.rand(40, 6, generator=g)
        upstream = torch.randn(40, generator=g)
        found = []
        for loss in (lambda *a: anchor_loss(*a[:4], variant, a[4]), plain):
            value = loss(mu, variance, anchors, batch, temperature)
            found.append([value, *torch.autograd.grad(value, (mu, anchors), upstream)])
        assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@given(st.integers(-126, 100), st.integers(0, 99))
def test_directions_do_not_depend_on_the_length(power, seed):
    """By powers of two, which change no digit: the squares of all of them together would not fit a float."""
    v = torch.randn(4, generator=torch.Generator().manual_seed(seed)).clamp(-8, 8)
    v = v.sign() * v.abs().clamp_min(2.0**-20)
    torch.testing.assert_close(unit(v * 2.0**power), unit(v), rtol=1e-6, atol=1e-7 if power < -100 else 0)
    assert abs(float(unit(v * 2.0**power).norm()) - 1) < 1e-6


def test_the_longest_and_the_shortest_vector_have_a_direction():
    for v in (3e38, 1e-45):
        assert unit(torch.tensor([v, 0.0])).tolist() == [1, 0]
        assert unit(torch.tensor([v, v])).tolist() == pytest.approx([0.5**0.5] * 2)
    nothing = torch.zeros(2, requires_grad=True)
    assert unit(nothing).tolist() == [0, 0]
    assert torch.autograd.grad(unit(nothing).sum(), nothing)[0].tolist() == [0, 0]
    far = direction_loss(torch.tensor([[1e30, 0.0]]), torch.tensor([[0.0, 1e-30]]), one_user(1))
    assert far.tolist() == [2]


def test_a_weight_of_kl_as_large_as_a_float_rises_like_any_other():
    assert beta_at(3, 1e308, 4) == pytest.approx(0.75e308)
    assert beta_at(3, 0.2, 4) == 0.2 * 3 / 4
