"""The objective against plain dense formulas, their autograd gradients, and torch.distributions."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

from minivae import InputError, objective
from minivae.batches import DeviceCSR
from minivae.objective import beta_at, kl_to_standard_normal, multinomial_nll
from minivae.output_layer import LowOutputLayer, largest

HIDDEN, LATENT = 9, 5


def users(seed, n_users=13, n_items=31):
    """Dense binary rows and their batch; user 4 has no items."""
    x = np.random.default_rng(seed).random((n_users, n_items)) < 0.25
    x[4] = False
    return torch.from_numpy(x), DeviceCSR(sp.csr_matrix(x, dtype=np.float32)).batch(torch.arange(n_users))


def layers(seed, n_users=13, n_items=31, dtype=torch.float64, scale=1.0):
    g = torch.Generator().manual_seed(seed)
    shapes = (n_users, HIDDEN), (n_items, HIDDEN), (n_items,)
    return [(scale * torch.randn(s, generator=g, dtype=torch.float64)).to(dtype).requires_grad_() for s in shapes]


def dense_nll(h, weight, bias, x, w):
    """Liang et al. (2018), eq. 2: −Σ_u w_u Σ_i x_ui log softmax_i(f_u)."""
    log_pi = torch.log_softmax(h @ weight.T + bias, dim=1)  # (B, I)
    return -(w[:, None] * x * log_pi).sum()


def value_and_gradients(loss, parameters):
    return loss.detach(), *torch.autograd.grad(loss, parameters)


def check_nll(nll, seed, dtype, tolerance, user_weights=None):
    x, batch = users(seed)
    parameters = layers(seed, dtype=dtype)
    w = torch.full((len(x),), 1 / len(x), dtype=dtype) if user_weights is None else user_weights.to(dtype)
    got = value_and_gradients(nll(*parameters, batch, user_weights if user_weights is None else w), parameters)
    precise = [p.detach().double().requires_grad_() for p in parameters]
    expected = value_and_gradients(dense_nll(*precise, x.double(), w.double()), precise)
    for a, b in zip(got, expected, strict=True):
        assert a.dtype == dtype
        assert float((a.double() - b).abs().max()) <= tolerance * max(1.0, float(b.abs().max()))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-10)])
def test_nll_and_gradients_are_those_of_the_dense_formula(monkeypatch, dtype, tolerance):
    for cells in [1, 31 * 4, 31 * 5 + 3, 1 << 25]:
        monkeypatch.setattr(objective, "CHUNK_CELLS", cells)
        for seed in range(4):
            check_nll(multinomial_nll, seed, dtype, tolerance)
            weights = torch.rand(13, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
            check_nll(multinomial_nll, seed, dtype, tolerance, weights)


def test_nll_twins_are_rejected():
    def per_interaction(h, weight, bias, batch, w):
        """Broken twin: divides by N_x."""
        return multinomial_nll(h, weight, bias, batch, 1 / batch.counts.clamp_min(1).to(h.dtype) / batch.size)

    def half_the_gradient(*args):
        """Broken twin: the value is right, the gradients are not."""
        loss = multinomial_nll(*args)
        return (loss + loss.detach()) / 2

    def sum_over_users(h, weight, bias, batch, w):
        """Broken twin: a sum where the mean belongs."""
        return multinomial_nll(h, weight, bias, batch, torch.ones_like(h[:, 0]))

    for twin in (per_interaction, half_the_gradient, sum_over_users):
        with pytest.raises(AssertionError):
            check_nll(twin, 0, torch.float64, 1e-10)


def dense_smoothed(h, weight, bias, x, w, alpha):
    """Cross-entropy with the target (1 − α) x + α N / I, written out."""
    target = (1 - alpha) * x + alpha * x.sum(1, keepdim=True) / x.shape[1]
    return -(w[:, None] * target * torch.log_softmax(h @ weight.T + bias, dim=1)).sum()


def check_smoothed(nll, alpha, dtype, tolerance, seed=0):
    x, batch = users(seed)
    parameters = layers(seed, dtype=dtype)
    w = torch.rand(13, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    got = value_and_gradients(nll(*parameters, batch, w.to(dtype)), parameters)
    precise = [p.detach().double().requires_grad_() for p in parameters]
    expected = value_and_gradients(dense_smoothed(*precise, x.double(), w, alpha), precise)
    for a, b in zip(got, expected, strict=True):
        assert float((a.double() - b).abs().max()) <= tolerance * max(1.0, float(b.abs().max()))


@pytest.mark.parametrize("alpha", [0.05, 0.5, 0.99])
@pytest.mark.parametrize("cells", [1, 31 * 5 + 3, 1 << 25])
def test_label_smoothing_is_that_of_the_dense_target(monkeypatch, alpha, cells):
    for dtype, tolerance in [(torch.float32, 1e-6), (torch.float64, 1e-10)]:
        monkeypatch.setattr(objective, "CHUNK_CELLS", cells)

        def smoothed(alpha):
            return lambda *args: multinomial_nll(*args, smoothing=alpha)

        for seed in range(3):
            check_smoothed(smoothed(alpha), alpha, dtype, tolerance, seed)
        for twin in (multinomial_nll, smoothed(alpha * 0.9), lambda *args: (1 - alpha) * multinomial_nll(*args)):
            with pytest.raises(AssertionError):
                check_smoothed(twin, alpha, dtype, tolerance)


def test_smoothed_gradients_pass_gradcheck():
    _, batch = users(2)
    assert torch.autograd.gradcheck(lambda *p: multinomial_nll(*p, batch, smoothing=0.2), layers(2))


def test_without_smoothing_nothing_changes_to_the_bit():
    _, batch = users(1)
    parameters = layers(1, dtype=torch.float32)
    pairs = (
        value_and_gradients(multinomial_nll(*parameters, batch, **more), parameters)
        for more in ({}, {"smoothing": 0.0})
    )
    for a, b in zip(*pairs, strict=True):
        assert torch.equal(a, b)


def test_nll_gradients_pass_gradcheck():
    _, batch = users(2)
    parameters = layers(2)
    assert torch.autograd.gradcheck(lambda *p: multinomial_nll(*p, batch), parameters)


def test_nll_survives_extreme_logits():
    """Logits in the thousands: the normaliser comes from the largest, and nothing overflows."""
    x, batch = users(3)
    for dtype in (torch.float32, torch.float64):
        parameters = layers(3, dtype=dtype, scale=30.0)
        got = value_and_gradients(multinomial_nll(*parameters, batch), parameters)
        expected = value_and_gradients(dense_nll(*parameters, x, torch.full((13,), 1 / 13, dtype=dtype)), parameters)
        for a, b in zip(got, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_nll_within_a_larger_graph():
    """The upstream gradient multiplies, backward may run twice, and without gradients the value is the same."""
    _, batch = users(5)
    parameters = layers(5)
    once = value_and_gradients(multinomial_nll(*parameters, batch), parameters)
    thrice = value_and_gradients(3 * multinomial_nll(*parameters, batch), parameters)
    for a, b in zip(once, thrice, strict=True):
        torch.testing.assert_close(3 * a, b)
    loss = multinomial_nll(*parameters, batch)
    loss.backward(retain_graph=True)
    loss.backward()
    for p, g in zip(parameters, once[1:], strict=True):
        torch.testing.assert_close(p.grad, 2 * g)
    with torch.no_grad():
        assert float(multinomial_nll(*parameters, batch)) == float(once[0])


@pytest.mark.parametrize("moving", [(0,), (1, 2), (2,)])
def test_nll_gradients_of_those_that_learn_are_the_same(moving):
    """What stands still saves its product and changes nothing else."""
    _, batch = users(6)
    parameters = layers(6)
    everything = torch.autograd.grad(multinomial_nll(*parameters, batch), parameters)
    some = [p if k in moving else p.detach() for k, p in enumerate(parameters)]
    got = torch.autograd.grad(multinomial_nll(*some, batch), [parameters[k] for k in moving])
    assert all(torch.equal(g, everything[k]) for g, k in zip(got, moving, strict=True))


def test_nll_refuses_to_be_differentiated_twice():
    """The gradients are made once, in the forward pass; a second derivative would silently be wrong."""
    _, batch = users(6)
    parameters = layers(6)
    (grad,) = torch.autograd.grad(multinomial_nll(*parameters, batch).square(), parameters[:1], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


def check_bf16(nll):
    """bf16 keeps 8 significant bits: unit roundoff u = 2⁻⁸. Bounds follow from the roundings that take place.

    A logit is a sum of products of two rounded factors, with a rounded bias, rounded once more:
    |error| ≤ e = 2u Σ_k |h_k W_ik| + u|b| + u|f|, to first order; the softmax is rounded once, so the relative error of
    π_i is at most exp(2 max e) − 1 + u, and log Z is off by max e + u. A tenth more covers second order.
    """
    u = 2.0**-8
    x, batch = users(7)
    parameters = layers(7, dtype=torch.float32)
    value, *got = value_and_gradients(nll(*parameters, batch), parameters)
    h, weight, bias = (p.detach().double() for p in parameters)
    x, n = x.double(), x.sum(1).double()
    logits = h @ weight.T + bias
    e = 2 * u * h.abs() @ weight.T.abs() + u * bias.abs() + u * logits.abs()  # (B, I)
    worst = e.amax(1)
    w = 1 / len(x)
    assert abs(float(value) - float(dense_nll(h, weight, bias, x, torch.full_like(n, w)))) <= 1.1 * w * float(
        (n * (worst + u)).sum() + (x * e).sum()
    )
    pi = torch.softmax(logits, 1)
    delta = w * (n[:, None] * pi - x)
    d_error = w * n[:, None] * pi * (torch.expm1(2 * worst) + 3 * u)[:, None] + u * w * x + u * delta.abs()
    expected = delta @ weight, delta.T @ h, delta.sum(0)
    errors = (
        d_error @ weight.abs() + 2 * u * delta.abs() @ weight.abs(),
        d_error.T @ h.abs() + 2 * u * delta.abs().T @ h.abs(),
        d_error.sum(0) + u * delta.abs().sum(0),
    )
    for a, b, error in zip(got, expected, errors, strict=True):
        assert a.dtype == torch.float32
        assert bool(((a - b).abs() <= 1.1 * error).all())


def test_bf16_products_stay_within_their_rounding():
    check_bf16(lambda *args: multinomial_nll(*args, products=torch.bfloat16))

    def without_bias(h, weight, bias, batch):
        return multinomial_nll(h, weight, 0 * bias, batch, products=torch.bfloat16)

    def doubled_gradient(h, weight, bias, batch):
        loss = multinomial_nll(h, weight, bias, batch, products=torch.bfloat16)
        return 2 * loss - loss.detach()

    for twin in (without_bias, doubled_gradient):
        with pytest.raises(AssertionError):
            check_bf16(twin)


@pytest.mark.parametrize("hidden", [31, 32, 33])  # with the bias: a whole tile, one more, two more
@pytest.mark.parametrize("alpha", [0.0, 0.3])
@pytest.mark.parametrize("cells", [31 * 4, 1 << 25])  # four users a chunk, all
def test_bf16_products_follow_those_of_float64(monkeypatch, hidden, alpha, cells):
    monkeypatch.setattr(objective, "CHUNK_CELLS", cells)
    _, batch = users(8)
    g = torch.Generator().manual_seed(8)
    h, weight, bias = (0.3 * torch.randn(shape, generator=g) for shape in ((13, hidden), (31, hidden), (31,)))
    parameters = [p.requires_grad_() for p in (h, weight, bias)]
    precise = [p.detach().double().requires_grad_() for p in parameters]
    expected = value_and_gradients(multinomial_nll(*precise, batch, smoothing=alpha), precise)

    def far(**changed):
        loss = multinomial_nll(*parameters, batch, products=torch.bfloat16, **{"smoothing": alpha} | changed)
        pairs = zip(value_and_gradients(loss, parameters), expected, strict=True)
        return max(float((a.double() - b).norm() / b.norm()) for a, b in pairs)

    assert far() < 0.02  # some roundings of 2⁻⁸ each
    assert far(smoothing=alpha + 0.2) > 0.02


def test_bits_alone_mistake_the_largest_of_a_row_below_zero():
    x = torch.tensor([[-1.0, -2.0]]).bfloat16()
    assert largest(x).tolist() == [-1] != x.view(torch.int16).amax(1).view(torch.bfloat16).tolist()


@given(st.lists(st.lists(st.floats(width=16, allow_nan=False), min_size=3, max_size=3), min_size=1, max_size=4))
def test_largest_of_bf16_rows(rows):
    """Among the bits, and as `amax` finds it: rows below zero, zeros of both signs, infinities."""
    x = torch.tensor(rows, dtype=torch.float32).bfloat16()
    assert torch.equal(largest(x), x.amax(1))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_bf16_products_show_nan(sign):
    _, batch = users(8)
    h, weight, bias = (p.detach() for p in layers(8, dtype=torch.float32))
    weight[3, 2] = math.copysign(math.nan, sign)
    assert bool(multinomial_nll(h, weight, bias, batch, products=torch.bfloat16).isnan())


def check_kl(kl):
    g = torch.Generator().manual_seed(0)
    mu, logvar = torch.randn(3, 4, LATENT, generator=g).double(), torch.randn(3, 4, LATENT, generator=g).double()
    expected = kl_divergence(Normal(mu, (0.5 * logvar).exp()), Normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(kl(mu, logvar), expected, rtol=1e-12, atol=1e-12)


def test_gaussian_kl():
    check_kl(kl_to_standard_normal)
    assert float(kl_to_standard_normal(torch.zeros(LATENT), torch.zeros(LATENT))) == 0
    for twin in (
        lambda mu, logvar: kl_to_standard_normal(mu, 2 * logvar),  # takes log sd for log variance
        lambda mu, logvar: kl_to_standard_normal(mu, logvar) / LATENT,  # a mean over dimensions
    ):
        with pytest.raises(AssertionError):
            check_kl(twin)


@given(st.integers(0, 10**6))
def test_beta_schedule_is_that_of_liang_et_al(step):
    assert math.isclose(beta_at(step, 0.2, 40000), min(0.2, step / 200000), rel_tol=1e-14)


@given(st.integers(0, 5000), st.floats(0, 10), st.integers(0, 3000))
def test_beta_rises_from_0_to_beta(step, beta, anneal_steps):
    value = beta_at(step, beta, anneal_steps)
    assert 0 <= value <= beta
    assert value <= beta_at(step + 1, beta, anneal_steps)
    assert beta_at(anneal_steps, beta, anneal_steps) == beta
    if anneal_steps:
        assert beta_at(0, beta, anneal_steps) == 0


def test_a_low_output_layer_is_filled_up_to_whole_tiles_and_no_further():
    """One column more than W for the bias; the width is the first multiple of 32 that holds both."""
    for hidden in (1, 30, 31, 32, 63, 64, 600):
        h, weight = torch.ones(2, hidden), torch.ones(5, hidden)
        layer = LowOutputLayer(h, weight, torch.full((5,), 3.0), torch.bfloat16)
        width = next(w for w in range(32, 10**4, 32) if w > hidden)
        assert (layer.weight.shape, layer.h.shape) == ((5, width), (2, width))
        assert (layer.weight[:, hidden] == 3).all()
        assert (layer.weight[:, hidden + 1 :] == 0).all()
        assert (layer.logits(slice(0, 2)) == hidden + 3).all()


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, 1.5, float("nan")])
def test_a_smoothing_that_is_no_share_is_refused(smoothing):
    batch = DeviceCSR(sp.csr_matrix(np.eye(2, 4))).batch(torch.arange(2))
    with pytest.raises(InputError, match="smoothing"):
        multinomial_nll(torch.zeros(2, 3), torch.zeros(4, 3), torch.zeros(4), batch, smoothing=smoothing)


def test_weights_that_ask_for_a_gradient_are_refused():
    batch = DeviceCSR(sp.csr_matrix(np.eye(2, 4))).batch(torch.arange(2))
    layer = torch.zeros(2, 3), torch.zeros(4, 3), torch.zeros(4)
    weights = torch.ones(2, requires_grad=True)
    with pytest.raises(InputError, match="detach"):
        multinomial_nll(*layer, batch, weights)
    assert float(multinomial_nll(*layer, batch, weights.detach())) > 0
    with torch.no_grad():
        assert float(multinomial_nll(*layer, batch, weights)) > 0
