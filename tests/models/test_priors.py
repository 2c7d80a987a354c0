"""Priors: densities that integrate to one, and KL terms that are what quadrature says."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import nn

from minivae import InputError
from minivae.batches import DeviceCSR
from minivae.models.priors import CompositePrior, NormalPrior, VampPrior, make_prior
from minivae.models.sparse_linear import SparseLinear, products_in
from minivae.objective import log_normal

I_ITEMS, D = 6, 2
USERS = sp.csr_matrix(np.array([[1, 0, 1, 0, 0, 1], [0, 1, 0, 0, 1, 0], [1, 1, 1, 1, 0, 0]]))
KINDS = ["normal", "composite", "vamp"]


def rows(user, n):
    """A batch with n times the same user."""
    return DeviceCSR(USERS).batch(torch.full((n,), user))


@pytest.fixture
def encoder():
    g = torch.Generator().manual_seed(0)
    layer = SparseLinear(I_ITEMS, 2 * D).double()
    with torch.no_grad():
        layer.weight.normal_(generator=g)
        layer.bias.normal_(generator=g)
    return layer.requires_grad_(False)


def prior_of(kind, encoder):
    prior = make_prior(kind, encoder, I_ITEMS, 4, D)
    g = torch.Generator().manual_seed(5)
    prior.reset_parameters(g)
    with torch.no_grad():
        for b in prior.buffers():
            b.add_(0.5)  # the old encoder is another
        for p in prior.double().parameters():
            p.copy_(1.4 * torch.rand(p.shape, generator=g) - 0.2)  # some pseudo-inputs are to be clipped
    return prior


def plane():
    """Points z (n, 2) and weights of a trapezoid rule: z = sinh t reaches ±1,200, and the wide component has sd 148."""
    t = torch.linspace(-7.8, 7.8, 501, dtype=torch.float64)
    z, w = torch.sinh(t), torch.cosh(t) * (t[1] - t[0])
    return torch.cartesian_prod(z, z), torch.outer(w, w).flatten()


def test_log_normal_is_that_of_torch_distributions():
    z, mu, logvar = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = torch.distributions.Normal(mu, (0.5 * logvar).exp()).log_prob(z)
    torch.testing.assert_close(log_normal(z, mu, logvar), expected, rtol=1e-12, atol=1e-12)


def check_density(log_prob):
    z, weights = plane()
    for user in range(3):
        assert abs(float(log_prob(z, rows(user, len(z))).detach().exp() @ weights) - 1) < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_a_prior_is_a_density(kind, encoder):
    prior = prior_of(kind, encoder)
    check_density(lambda z, batch: prior.log_prob(z, batch, encoder))
    with pytest.raises(AssertionError):  # twin: the constant of one dimension is forgotten
        check_density(lambda z, batch: prior.log_prob(z, batch, encoder) + 0.5 * math.log(2 * math.pi))


def mixture(z, pseudo_inputs, encoder):
    """log (1/K) Σ_k N(z; μ(u_k), σ²(u_k)), component by component."""
    total = 0
    for u in pseudo_inputs:
        mu, logvar = (u.clamp(0, 1) @ encoder.weight + encoder.bias).chunk(2)
        total = total + torch.distributions.Normal(mu, (0.5 * logvar).exp()).log_prob(z).sum(-1).exp()
    return (total / len(pseudo_inputs)).log()


def test_the_vamp_prior_is_the_mixture_of_the_posteriors_of_its_pseudo_inputs(encoder):
    """Value, and gradients to z, to the pseudo-inputs and to the encoder."""
    encoder.requires_grad_(True)
    prior = prior_of("vamp", encoder)
    z = torch.randn(7, D, generator=torch.Generator().manual_seed(2), dtype=torch.float64, requires_grad=True)
    leaves = z, prior.pseudo_inputs, encoder.weight, encoder.bias
    got, expected = prior.log_prob(z, rows(0, 7), encoder), mixture(z, prior.pseudo_inputs, encoder)
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)
    for a, b in zip(torch.autograd.grad(got.sum(), leaves), torch.autograd.grad(expected.sum(), leaves), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)
    with pytest.raises(AssertionError):  # twin: no clipping
        torch.testing.assert_close(got, mixture(z, 0.999 * prior.pseudo_inputs, encoder), rtol=1e-10, atol=1e-10)


def test_the_vamp_prior_keeps_its_digits_far_out_and_narrow():
    """Components of sd e⁻⁶ far from the origin, in float32: differences of large squares do not lose what matters."""
    encoder = SparseLinear(I_ITEMS, 2 * D)
    with torch.no_grad():
        encoder.weight.zero_()
        encoder.bias.copy_(torch.tensor([30.0, -20.0, -12.0, -12.0]))
    prior = VampPrior(I_ITEMS, 3)
    prior.reset_parameters(torch.Generator().manual_seed(0))
    z = torch.tensor([[30.0, -20.0]]) + math.exp(-6) * torch.tensor([[1.0, -2.0]])
    exact = torch.distributions.Normal(torch.tensor([30.0, -20.0]).double(), math.exp(-6)).log_prob(z.double()).sum(-1)
    got = prior.log_prob(z, rows(0, 1), encoder)
    torch.testing.assert_close(got.double(), exact, rtol=1e-5, atol=1e-5)


def dense_product(products, n_items=400):
    """A layer's output and its gradients for rows like pseudo-inputs, and what float64 gives, in units of roundoff."""
    g = torch.Generator().manual_seed(3)
    layer = SparseLinear(n_items, 8)
    with torch.no_grad():
        layer.weight.normal_(generator=g)
        layer.bias.normal_(generator=g)
    x = torch.rand(5, n_items, generator=g).requires_grad_()
    towards = torch.randn(5, 8, generator=g)
    with products_in(products):
        y = layer(x)
    y.backward(towards)
    wide, rows = layer.weight.detach().double(), x.detach().double()
    exact = rows @ wide + layer.bias.detach().double(), towards.double() @ wide.T, rows.T @ towards.double()
    sizes = rows.abs() @ wide.abs(), towards.abs().double() @ wide.abs().T, rows.abs().T @ towards.abs().double()
    found = y.detach(), x.grad, layer.weight.grad
    return [float(((f - e).abs() / s).max()) for f, e, s in zip(found, exact, sizes, strict=True)]


def test_products_of_dense_rows_in_bf16_stay_within_their_rounding():
    """Two factors and the result are each rounded to 8 bits: at most 3 units of 2⁻⁸ of the sum of magnitudes."""
    low, full = dense_product(torch.bfloat16), dense_product(None)
    assert max(low) <= 3.1 * 2**-8
    assert min(low) > 50 * max(full)  # they were made in bf16, and the others were not
    assert max(full) < 1e-6
    with pytest.raises(ZeroDivisionError), products_in(torch.bfloat16):
        raise ZeroDivisionError
    assert max(dense_product(None)) < 1e-6  # nothing is left of it after an error


def test_only_products_of_the_prior_follow_the_precision_of_a_step(encoder):
    prior = prior_of("vamp", encoder).float()
    batch = rows(0, 3)
    z = torch.randn(3, D, generator=torch.Generator().manual_seed(4))
    single = encoder.float()
    plain = prior.log_prob(z, batch, single)
    with products_in(torch.bfloat16):
        low = prior.log_prob(z, batch, single)
        sparse = single(batch)
    assert not torch.equal(low, plain)
    torch.testing.assert_close(low, plain, rtol=0.05, atol=0.05)
    assert torch.equal(sparse, single(batch))


def test_pseudo_inputs_start_as_published():
    prior = VampPrior(300, 100)
    prior.reset_parameters(torch.Generator().manual_seed(0))
    u = prior.pseudo_inputs.detach()
    assert abs(float(u.mean()) - 0.05) < 5 * 0.01 / math.sqrt(u.numel())
    assert abs(float(u.std()) - 0.01) < 5 * 0.01 / math.sqrt(2 * u.numel())


def test_unknown_priors_are_refused(encoder):
    with pytest.raises(InputError, match="prior='flow' is unknown; choose one of normal, composite, vamp"):
        make_prior("flow", encoder, I_ITEMS, 4, D)
    with pytest.raises(InputError, match="components=0"):
        make_prior("vamp", encoder, I_ITEMS, 0, D)


def check_kl(kind, encoder, estimate):
    """The mean of many estimates against ∫ q (log q − log p), by quadrature over the plane."""
    g = torch.Generator().manual_seed(3)
    mu, logvar = torch.randn(2, 3, D, generator=g, dtype=torch.float64)
    prior, n = prior_of(kind, encoder), 40_000
    z, weights = plane()
    for user in range(3):
        log_q = log_normal(z, mu[user], logvar[user]).sum(-1)
        integrand = torch.where(log_q > -700, log_q.exp() * (log_q - prior.log_prob(z, rows(user, len(z)), encoder)), 0)
        m, v = mu[user].expand(n, D), logvar[user].expand(n, D)
        drawn = m + (0.5 * v).exp() * torch.randn(n, D, generator=g, dtype=torch.float64)
        values = estimate(prior, drawn, m, v, rows(user, n), encoder)  # (n,)
        error = abs(float(values.detach().mean()) - float(integrand.detach() @ weights))
        assert error <= 5 * float(values.detach().std()) / math.sqrt(n) + 1e-7


@pytest.mark.parametrize("kind", KINDS)
def test_kl_is_what_quadrature_says(kind, encoder):
    check_kl(kind, encoder, lambda prior, *a: prior.kl(*a))


def test_kl_twins_are_rejected(encoder):
    def without_q(prior, z, mu, logvar, batch, encoder):
        return -prior.log_prob(z, batch, encoder)

    def today(prior, z, mu, logvar, batch, encoder):
        """Broken twin: the encoder of today where the old one belongs."""
        return CompositePrior(encoder).kl(z, mu, logvar, batch, encoder)

    for twin in (without_q, today):
        with pytest.raises(AssertionError):
            check_kl("composite", encoder, twin)


def test_the_analytic_kl_of_the_normal_prior_does_not_look_at_z(encoder):
    mu = torch.ones(3, D, dtype=torch.float64)
    a, b = (NormalPrior().kl(z, mu, mu, rows(0, 3), encoder) for z in (mu, torch.zeros_like(mu)))
    assert torch.equal(a, b)


def test_the_frozen_copy_has_no_parameters_and_follows_the_dtype(encoder):
    prior = CompositePrior(nn.Sequential(encoder, nn.Tanh()))
    assert list(prior.parameters()) == []
    assert all(b.dtype == torch.float32 for b in prior.float().buffers())
