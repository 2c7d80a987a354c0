"""The KL decomposition term by term against quadrature, bounds from batches, contraction, collapse; with twins."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from minivae.errors import InputError
from minivae.theory import bottleneck as B
from minivae.theory import information
from minivae.theory.distances import gaussian_kl, w2_gaussian

seeds = st.integers(0, 2**32 - 1)


def population(seed, n_users, d, overlap=1.0):
    r = np.random.default_rng(seed)
    return r.normal(size=(n_users, d)) / overlap, np.exp(0.5 * r.normal(size=(n_users, d)) - 0.7)


def seeded(seed):
    return torch.Generator().manual_seed(seed % 2**31)


def exact_terms(mu, sd):
    """I, KL(q̄||p) and the mean KL of a one-dimensional population, by scipy's adaptive quadrature."""

    def q(z):
        return stats.norm.pdf(z, mu[:, 0], sd[:, 0])

    def kl(density, other):
        def integrand(z):
            a, b = density(z), other(z)
            return a * math.log(a / b) if a > 0 else 0.0

        low, high = (mu - 10 * sd).min(), (mu + 10 * sd).max()
        return integrate.quad(integrand, low, high, limit=400, epsabs=1e-9)[0]

    def mixture(z):
        return q(z).mean()

    each = [lambda z, u=u: q(z)[u] for u in range(len(mu))]
    return (
        np.mean([kl(e, mixture) for e in each]),
        kl(mixture, stats.norm.pdf),
        np.mean([kl(e, stats.norm.pdf) for e in each]),
    )


# --- decomposition ---------------------------------------------------------------------------------------------------


def check_terms(decompose, seed):
    """Each term on its own: information, marginal and mean within their errors of the exact values."""
    mu, sd = population(seed, 4, 1)
    information, marginal, mean = exact_terms(mu, sd)
    d = decompose(mu, sd, n_samples=4000, generator=seeded(seed))
    assert abs(d.mutual_information - information) < 4.5 * d.mutual_information_se
    assert abs(d.marginal_kl - marginal) < 4.5 * d.marginal_kl_se
    assert d.mean_kl == pytest.approx(mean, rel=1e-7)


def check_residual(decompose, seed):
    """The identity alone."""
    d = decompose(*population(seed, 4, 1), n_samples=4000, generator=seeded(seed))
    assert abs(d.residual) < 4.5 * d.se


def test_decomposition_term_by_term():
    for seed in range(3):
        check_terms(B.kl_decomposition, seed)
        check_residual(B.kl_decomposition, seed)


def mixture_not_divided_by_users(mu, sd, **options):
    d = B.kl_decomposition(mu, sd, **options)
    return replace(d, mutual_information=d.mutual_information - d.mi_ceiling, marginal_kl=d.marginal_kl + d.mi_ceiling)


@pytest.mark.parametrize(
    "twin",
    [
        mixture_not_divided_by_users,
        lambda mu, sd, **o: B.kl_decomposition(mu, sd**2, **o),
        lambda mu, sd, **o: replace(B.kl_decomposition(mu, sd, **o), marginal_kl=gaussian_kl(mu.mean(0), sd.mean(0))),
        lambda mu, sd, **o: B.kl_decomposition(mu[:2], sd[:2], **o),
    ],
)
def test_decomposition_twins_are_rejected(twin):
    with pytest.raises(AssertionError):
        check_terms(twin, 0)


def test_the_identity_alone_cannot_see_a_wrong_mixture():
    """Independent samples or not, log q̄ cancels in expectation: why the terms are checked one by one."""
    check_residual(mixture_not_divided_by_users, 0)
    with pytest.raises(AssertionError):  # it does see a term of its own that is wrong
        check_residual(lambda *q, **o: replace(B.kl_decomposition(*q, **o), mutual_information=0.0), 0)


def check_quadrature(decompose, seed):
    mu, sd = population(seed, 3, 1)
    d = decompose(mu, sd)
    expected = exact_terms(mu, sd)
    assert (d.mutual_information, d.marginal_kl, d.mean_kl) == pytest.approx(expected, rel=1e-6)
    assert d.residual == pytest.approx(0, abs=1e-9)


@given(st.integers(0, 10**6))
@settings(max_examples=5, deadline=None)
def test_quadrature_in_one_dimension(seed):
    check_quadrature(B.kl_decomposition_quadrature, seed)


def test_quadrature_twin_is_rejected():
    with pytest.raises(AssertionError):
        check_quadrature(lambda mu, sd: B.kl_decomposition_quadrature(mu, sd**2), 0)


def test_quadrature_and_sampling_meet_in_the_plane():
    mu, sd = population(3, 3, 2)
    exact = B.kl_decomposition_quadrature(mu, sd)
    assert exact.residual == pytest.approx(0, abs=1e-9)
    sampled = B.kl_decomposition(mu, sd, n_samples=4000, generator=seeded(1))
    assert abs(sampled.mutual_information - exact.mutual_information) < 4.5 * sampled.mutual_information_se
    assert abs(sampled.marginal_kl - exact.marginal_kl) < 4.5 * sampled.marginal_kl_se


def test_standard_errors_are_honest():
    """Residuals of 200 repetitions in units of their own error have spread one."""
    mu, sd = population(5, 20, 3)
    g = seeded(0)
    runs = [B.kl_decomposition(mu, sd, n_samples=4, generator=g) for _ in range(200)]
    z = np.array([d.residual / d.se for d in runs])
    assert 0.85 < z.std() < 1.15  # three standard errors of a standard deviation from 200 draws
    assert abs(z.mean()) < 4 / 200**0.5


@given(seeds, st.sampled_from([0.03, 0.3, 3.0]))
@settings(max_examples=20, deadline=None)
def test_information_is_never_above_log_users(seed, overlap):
    d = B.kl_decomposition(*population(seed, 9, 3, overlap), n_samples=2, generator=seeded(seed))
    assert d.mutual_information <= d.mi_ceiling == math.log(9)  # in float64, not a float32 log made wider


def test_equal_posteriors_carry_no_information_and_separate_ones_all_of_it():
    equal = B.kl_decomposition(np.full((7, 2), 0.3), np.full((7, 2), 0.5))
    assert equal.mutual_information == pytest.approx(0, abs=1e-12)
    apart = B.kl_decomposition(1e3 * np.arange(7.0)[:, None], np.ones((7, 1)))
    assert apart.mutual_information == pytest.approx(math.log(7))


def test_blocks_dtype_and_kind(monkeypatch):
    mu, sd = (torch.tensor(a, dtype=torch.float32) for a in population(6, 50, 4))
    whole = B.kl_decomposition(mu, sd, n_samples=50, generator=seeded(2))
    monkeypatch.setattr(information, "BLOCK", 50 * 16)
    blocks = B.kl_decomposition(mu, sd, n_samples=50, generator=seeded(2))
    assert whole.mutual_information.dtype == torch.float32
    assert abs(whole.mutual_information - blocks.mutual_information) < 6 * whole.mutual_information_se
    assert isinstance(B.kl_decomposition(mu.numpy(), sd.numpy()).mean_kl, np.float32)


@pytest.mark.parametrize("smallest", [0.1, 1e-7])
def test_log_density_matrix_by_product_and_by_differences(smallest):
    r = np.random.default_rng(7)
    mu, sd = 5 + r.normal(size=(12, 3)), smallest + np.abs(r.normal(size=(12, 3))) * smallest
    z = mu + sd * r.normal(size=(12, 3))
    expected = stats.norm.logpdf(z[:, None], mu, sd).sum(-1)
    found = information.log_density_matrix(*(torch.tensor(a) for a in (z, mu, sd)))
    np.testing.assert_allclose(found.diagonal(), expected.diagonal(), atol=1e-6)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("mu", "sd", "message"),
    [
        (np.zeros((3, 2)), np.zeros((3, 2)), "zero"),
        (np.zeros((3, 2)), np.full((3, 2), -1.0), "standard deviation"),
        (np.zeros(3), np.ones(3), "shape"),
        (np.zeros((3, 2)), np.ones((3, 1)), "shape"),
    ],
)
def test_what_is_no_population_is_refused(mu, sd, message):
    with pytest.raises(InputError, match=message):
        B.kl_decomposition(mu, sd)


def test_no_samples_are_refused():
    with pytest.raises(InputError, match="n_samples"):
        B.kl_decomposition(np.zeros((3, 2)), np.ones((3, 2)), n_samples=0)


# --- what batches can say --------------------------------------------------------------------------------------------


def check_batches(batches, seed):
    """A population of 60 in one dimension, its information known: from below and from above, closing in."""
    mu, sd = population(seed, 60, 1)
    truth = B.kl_decomposition_quadrature(mu, sd).mutual_information
    b = batches(mu, sd, (2, 6, 20, 60), n_batches=400, generator=seeded(seed))
    assert (b.lower <= truth + 4 * b.lower_se).all()
    assert (b.upper >= truth - 4 * b.upper_se).all()
    assert (b.lower <= b.ceiling).all()
    assert abs(b.lower[-1] - truth) < 4 * b.lower_se[-1]  # the batch is everybody: no bias left
    assert b.upper[0] - b.lower[0] > b.upper[-1] - b.lower[-1]


def test_batches_bracket_the_information():
    for seed in range(2):
        check_batches(B.batch_information, seed)


def test_batch_twins_are_rejected():
    def exchanged(*args, **options):
        b = B.batch_information(*args, **options)
        return replace(b, lower=b.upper, upper=b.lower)

    def divided_by_one_less(*args, **options):
        b = B.batch_information(*args, **options)
        return replace(b, lower=b.lower + np.log((b.batch_sizes + 1) / b.batch_sizes))

    for twin in (exchanged, divided_by_one_less):
        with pytest.raises(AssertionError):
            check_batches(twin, 0)


def test_a_saturated_batch_says_nothing_about_the_population():
    """1,000 users that do not overlap carry log 1000; every batch reports the logarithm of its size."""
    mu, sd = 100.0 * np.arange(1000)[:, None], np.ones((1000, 1))
    b = B.batch_information(mu, sd, (2, 10, 100), n_batches=3)
    np.testing.assert_allclose(b.lower, np.log([2, 10, 100]), rtol=1e-12)
    assert B.kl_decomposition(mu, sd).mutual_information == pytest.approx(math.log(1000))
    with pytest.raises(InputError, match="between 2"):
        B.batch_information(mu, sd, (2, 2000))


# --- contraction and collapse ----------------------------------------------------------------------------------------


def check_contraction(radius, seed):
    """Pairs of posteriors, some near the prior, some pushed apart, where the bound is attained."""
    r = np.random.default_rng(seed)
    mu = r.normal(size=(12, 3)) * 10 ** r.uniform(-3, 1, size=(12, 1))
    sd = np.exp(r.normal(size=(12, 3)) * 10 ** r.uniform(-3, 0, size=(12, 1)))
    mu, sd = np.concatenate([mu, -mu]), np.concatenate([sd, np.ones_like(sd)])
    bound = radius(mu, sd)
    w2 = w2_gaussian(mu[:, None], sd[:, None], mu, sd)
    assert (w2 <= (bound[:, None] + bound) * (1 + 1e-9) + 1e-9).all()


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_contraction_of_all_pairs(seed):
    check_contraction(lambda mu, sd: B.contraction(mu, sd).radius, seed)
    c = B.contraction(*population(seed, 10, 3))
    assert c.holds
    assert 0 < c.mean_ratio <= c.worst_ratio <= 1 + 1e-12


def test_contraction_twins_are_rejected():
    without_the_two = lambda mu, sd: np.sqrt(gaussian_kl(mu, sd))  # noqa: E731
    without_the_mean = lambda mu, sd: np.sqrt(2 * gaussian_kl(0 * mu, sd))  # noqa: E731
    for twin in (without_the_two, without_the_mean):
        with pytest.raises(AssertionError):
            check_contraction(twin, 0)


def test_contraction_is_attained_by_opposite_shifts():
    mu = np.array([[3.0, 0.0], [-1.0, 0.0]])
    assert B.contraction(mu, np.ones((2, 2))).worst_ratio == pytest.approx(1)


def check_active(active, seed):
    mu = np.random.default_rng(seed).normal(size=(500, 6)) * np.array([1, 0.3, 0.12, 0.08, 0.01, 0])
    np.testing.assert_array_equal(active(mu), np.cov(mu.T).diagonal() > 0.01)


def test_active_units():
    check_active(B.active_units, 0)
    with pytest.raises(AssertionError):
        check_active(lambda mu: mu.std(0) > 0.01, 0)


def test_kl_per_dimension_sums_to_the_mean_kl():
    mu, sd = population(8, 30, 5)
    q = torch.distributions.Normal(torch.tensor(mu), torch.tensor(sd))
    p = torch.distributions.Normal(torch.zeros(5).double(), torch.ones(5).double())
    expected = torch.distributions.kl_divergence(q, p).mean(0)
    np.testing.assert_allclose(B.kl_per_dimension(mu, sd), expected, rtol=1e-9)
    assert expected.sum().item() == pytest.approx(B.kl_decomposition(mu, sd).mean_kl)


def test_collapse_along_a_sweep():
    """Posteriors of the linear-Gaussian VAE shrink to the prior as β grows: μ = s x / (s² + β), σ² = β / (s² + β)."""
    x = torch.tensor(np.random.default_rng(9).normal(size=(200, 4)))
    s = torch.tensor([3.0, 1.0, 0.3, 0.01], dtype=torch.float64)
    betas = [10.0, 0.1, 1.0, 1000.0]

    def posterior(beta):
        return s * x / (s**2 + beta), (beta / (s**2 + beta)).sqrt().expand(200, 4)

    table = B.collapse([(b, *posterior(b), -b) for b in betas], n_samples=4, generator=seeded(0))
    assert table.beta.tolist() == sorted(betas)
    assert table.accuracy.tolist() == [-b for b in sorted(betas)]
    for i, b in enumerate(sorted(betas)):
        mu, sd = posterior(b)
        assert table.active_units[i] == B.active_units(mu).sum()
        assert table.kl_per_dimension[i].sum().item() == pytest.approx(table.mean_kl[i].item())
        pairs = w2_gaussian(mu[:, None], sd[:, None], mu, sd)
        assert table.mean_w2[i].item() == pytest.approx(pairs[~torch.eye(200, dtype=bool)].mean().item())
        assert table.mean_w2[i] <= 2 * table.mean_radius[i]
    for name in ("active_units", "mean_kl", "mutual_information", "mean_w2", "mean_radius"):
        assert (getattr(table, name).diff() <= 0).all()
    assert table.active_units[-1] == 0
    with pytest.raises(InputError, match="empty"):
        B.collapse([])
