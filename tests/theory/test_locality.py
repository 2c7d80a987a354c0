"""Lemma 2.4 by brute force over binary vectors, Theorem 2.5 by optimisation, quadrature and sampling; with twins."""

import math
from itertools import product

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize, stats

from minivae.errors import InputError
from minivae.models import MultVAE
from minivae.theory import locality as L
from minivae.theory.distances import w2_gaussian
from minivae.theory.merging import merging_threshold

seeds = st.integers(0, 2**32 - 1)


# --- Lemma 2.4 -------------------------------------------------------------------------------------------------------


def largest_ratio(min_count, norm, n_items=8):
    """Every pair of binary vectors of n items."""
    x = np.array([v for v in product([0.0, 1.0], repeat=n_items) if sum(v) >= min_count])
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    above = np.linalg.norm(unit[:, None] - unit[None], axis=-1)
    below = np.linalg.norm(x[:, None] - x[None], ord=norm, axis=-1)
    return (above / np.where(below > 0, below, np.inf)).max()


def check_normalisation(constant, min_count):
    assert constant(min_count, 1) == pytest.approx(largest_ratio(min_count, 1), rel=1e-12)  # the smallest possible
    assert constant(min_count, 2) >= largest_ratio(min_count, 2) * (1 - 1e-12)


def test_normalisation_constant():
    for min_count in [1, 2, 3, 5]:
        check_normalisation(L.normalisation_constant, min_count)


def test_normalisation_twins_are_rejected():
    swap_of_two_items = lambda n, norm: (2 * n) ** -0.5 if norm == 1 else n**-0.5  # noqa: E731
    always_one = lambda n, norm: 1.0  # noqa: E731
    for twin in (swap_of_two_items, always_one):
        with pytest.raises(AssertionError):
            check_normalisation(twin, 1)


def test_normalisation_constant_in_the_two_norm_is_attained_for_every_count():
    assert L.normalisation_constant(1, 2) == pytest.approx(largest_ratio(1, 2))
    for n in (1, 2, 7, 40):
        x, y = np.r_[np.ones(n), 0], np.r_[0, np.ones(n)]  # n items each, n − 1 of them in common
        ratio = np.linalg.norm(x / np.linalg.norm(x) - y / np.linalg.norm(y)) / np.linalg.norm(x - y)
        assert L.normalisation_constant(n, 2) == pytest.approx(ratio)
    with pytest.raises(InputError, match="at least 1"):
        L.normalisation_constant(0)


def test_the_multinomial_gap_needs_no_equal_numbers_of_trials():
    """The conjugate is homogeneous, so the formula is `compromise_gap` for any N; a twin with one N is not."""
    r = np.random.default_rng(3)
    x_u, x_v = r.integers(0, 5, 6) + 1.0, r.integers(0, 9, 6) + 1.0
    a, b, n_u, n_v = 0.3, 0.8, x_u.sum(), x_v.sum()
    assert n_u != n_v
    general = L.exponential_family_gap(x_u, x_v, a, b, L.multinomial_conjugate)
    assert general == pytest.approx(L.compromise_gap(x_u / n_u, x_v / n_v, a * n_u, b * n_v))
    one_n = L.compromise_gap(x_u / n_u, x_v / n_v, a * n_u, b * n_u)
    assert general != pytest.approx(one_n, rel=1e-3)


def random_encoder(seed, n_items=7, hidden=5, latent=3, normalize=True):
    g = torch.Generator().manual_seed(seed % 2**31)
    model = MultVAE(n_items, hidden, latent).double()
    model.normalize = normalize
    scale = 0.01 ** torch.rand(1, generator=g).item()  # from nearly linear to saturated units
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(scale * torch.randn(p.shape, generator=g, dtype=torch.float64))
    return model


def tight_encoder():
    """Almost linear, and aligned with the step from {0} to {0, 1}, which attains the constant of the normalisation."""
    model = random_encoder(0, n_items=2, hidden=1, latent=1)
    step = torch.tensor([1 - 0.5**0.5, -(0.5**0.5)], dtype=torch.float64)
    with torch.no_grad():
        model.encoder_input.weight[:, 0] = 1e-4 * step
        model.encoder_input.bias.zero_()
        model.encoder_output.weight.copy_(torch.tensor([[1.0], [3.0]]))
        model.encoder_output.bias.copy_(torch.tensor([0.0, 2.0]))
    return model


def all_binary(n_items):
    return sp.csr_matrix(np.array([v for v in product([0.0, 1.0], repeat=n_items) if any(v)], dtype=np.float32))


def check_lipschitz(model, constant):
    """No pair of binary rows may lie above the constant."""
    observed = L.observed_smoothness(model, all_binary(model.n_items))
    assert observed.largest <= constant(L.encoder_constants(model)) * (1 + 1e-9)


@given(seeds, st.booleans())
@settings(max_examples=25, deadline=None)
def test_proved_constant_holds_for_every_pair(seed, normalize):
    model = random_encoder(seed, normalize=normalize)
    check_lipschitz(model, lambda c: c.joint)
    observed = L.observed_smoothness(model, all_binary(7))
    c = observed.proved
    assert c.joint <= c.separate * (1 + 1e-12)
    assert (observed.latent_distance <= c.joint_l2 * observed.input_distance.sqrt() * (1 + 1e-9)).all()
    if normalize:
        assert (observed.latent_distance <= c.unit * observed.unit_distance * (1 + 1e-9) + 1e-12).all()
    assert observed.worst_slack >= 0


def test_proved_constant_is_nearly_attained_so_that_twins_are_rejected():
    model = tight_encoder()
    assert L.observed_smoothness(model, all_binary(2)).tightness > 0.999
    twins = (
        lambda c: c.mu,  # the spread forgotten
        lambda c: c.sd,  # the mean forgotten
        lambda c: 0.5**0.5 * c.unit,  # the normalisation of two single items
        lambda c: c.normalisation * c.hidden * np.hypot(c.mu_output, c.sd_output / c.sd_max.item()),  # logvar as spread
    )
    for twin in twins:
        with pytest.raises(AssertionError):
            check_lipschitz(model, twin)


def check_sd_max(sd_max, model):
    """No binary row may have a larger spread."""
    sd = model.encode(all_binary(model.n_items))[1]
    assert (sd <= sd_max(model) * (1 + 1e-12)).all()


@given(seeds, st.booleans())
@settings(max_examples=25, deadline=None)
def test_largest_spread(seed, normalize):
    check_sd_max(lambda m: L.encoder_constants(m).sd_max, random_encoder(seed, normalize=normalize))


def test_largest_spread_twins_are_rejected():
    model = random_encoder(1)
    logvar_bias = model.encoder_output.bias.chunk(2)[1]
    for twin in (lambda m: (0.5 * logvar_bias).exp(), lambda m: L.encoder_constants(m).sd_max.sqrt()):
        with pytest.raises(AssertionError):
            check_sd_max(twin, model)


def test_slope_of_the_encoder_by_autograd_stays_below():
    """Operator norm of the Jacobian of (mu, sd) in the unit input, at random unit inputs."""
    model = random_encoder(3)
    c = L.encoder_constants(model)

    def heads(n):
        mu, logvar = model.encoder_output(torch.tanh(model.encoder_input.dense(n))).chunk(2, dim=-1)
        return torch.cat([mu, (0.5 * logvar).exp()], dim=-1)

    for n in torch.nn.functional.normalize(torch.rand(50, 7, dtype=torch.float64), dim=1):
        jacobian = torch.autograd.functional.jacobian(heads, n)
        assert torch.linalg.matrix_norm(jacobian, 2) <= c.unit


def test_observed_on_paired_rows_is_the_diagonal_of_all_pairs():
    model = random_encoder(4, n_items=12)
    x = sp.random(30, 12, 0.5, format="csr", random_state=0, data_rvs=np.ones)
    full, fewer = L.without_one(x, torch.Generator().manual_seed(0))
    assert fewer.nnz == full.nnz - full.shape[0]
    assert (full - fewer).min() >= 0
    pairs = L.observed_smoothness(model, full, fewer)
    assert (pairs.input_distance == 1).all()
    both = L.observed_smoothness(model, sp.vstack([full, fewer]).tocsr())
    b = torch.arange(full.shape[0])
    for name in ("input_distance", "unit_distance", "latent_distance"):
        torch.testing.assert_close(getattr(both, name)[b, b + len(b)], getattr(pairs, name), rtol=1e-9, atol=1e-9)
    assert both.largest == pytest.approx(float(both.ratio.max()))
    assert (both.ratio.diagonal() == 0).all()


def test_more_interactions_prove_a_smaller_constant():
    model = random_encoder(5)
    assert L.encoder_constants(model, min_count=4).joint < L.encoder_constants(model).joint


def test_what_lemma_2_4_cannot_serve_is_refused():
    model = random_encoder(6)
    with pytest.raises(InputError, match="without interactions"):
        L.observed_smoothness(model, np.zeros((2, 7)))
    with pytest.raises(InputError, match="binary"):
        L.observed_smoothness(model, np.full((2, 7), 4.0))

    class Other(MultVAE.__base__):
        pass

    with pytest.raises(InputError, match="Other"):
        L.encoder_constants(Other())


# --- Theorem 2.5 at one z --------------------------------------------------------------------------------------------


def contents(seed, n_items=6):
    """Two sparse item distributions and two weights."""
    r = np.random.default_rng(seed)
    x = r.integers(1, 5, size=(2, n_items)) * (r.random((2, n_items)) < 0.6)
    x[:, 0] += 1
    p_u, p_v = x / x.sum(1, keepdims=True)
    return p_u, p_v, *np.exp(r.normal(size=2))


def check_gap(gap, seed):
    args = contents(seed)
    assert gap(*args) == pytest.approx(L.compromise_gap_numerical(*args), rel=1e-6, abs=1e-9)


@given(seeds)
@settings(max_examples=40, deadline=None)
def test_gap_is_what_the_best_compromise_costs(seed):
    check_gap(L.compromise_gap, seed)


def unweighted(p_u, p_v, w_u, w_v):
    m = (p_u + p_v) / 2
    return w_u * stats.entropy(p_u, m) + w_v * stats.entropy(p_v, m)


@pytest.mark.parametrize(
    "twin",
    [
        unweighted,
        lambda p_u, p_v, w_u, w_v: L.compromise_gap(p_u, p_v, w_v, w_u),
        lambda p_u, p_v, w_u, w_v: L.compromise_gap(p_u, p_v, w_u, w_v) / (w_u + w_v),
        lambda p_u, p_v, w_u, w_v: w_u * stats.entropy(p_u, p_v + 1e-12),
    ],
)
def test_gap_twins_are_rejected(twin):
    with pytest.raises(AssertionError):
        check_gap(twin, 1)


def check_digits(gap):
    """Close distributions: the gap is `w_u w_v / 2(w_u + w_v) sum δ²/p` to second order."""
    p, delta = np.full(4, 0.25), 1e-6 * np.array([1.0, -1.0, 2.0, -2.0])
    expected = 2 * 3 / (2 * 5) * (delta**2 / p).sum()
    assert gap(p + delta, p, 2.0, 3.0) == pytest.approx(expected, rel=1e-4)


def test_gap_keeps_its_digits():
    check_digits(L.compromise_gap)
    with pytest.raises(AssertionError):  # the same as a difference of entropies
        check_digits(lambda p, q, a, b: (a + b) * stats.entropy((a * p + b * q) / (a + b)) - 5 * stats.entropy(q))


@given(seeds)
@settings(max_examples=40, deadline=None)
def test_gap_is_positive_zero_for_equals_concave_and_homogeneous(seed):
    p_u, p_v, w_u, w_v = contents(seed)
    gap = L.compromise_gap(p_u, p_v, w_u, w_v)
    assert gap >= 0
    assert L.compromise_gap(p_u, p_u, w_u, w_v) == 0
    assert L.compromise_gap(p_u, p_v, w_u, 0.0) == L.compromise_gap(p_u, p_v, 0.0, 0.0) == 0
    assert L.compromise_gap(p_u, p_v, 7 * w_u, 7 * w_v) == pytest.approx(7 * gap)
    more = L.compromise_gap(p_u, p_v, w_u + 1, w_v + 0.3)
    assert more >= gap + L.compromise_gap(p_u, p_v, 1.0, 0.3) - 1e-12  # concave and homogeneous: superadditive


def test_gap_broadcasts_keeps_kind_and_survives_extreme_weights():
    p_u, p_v, w_u, w_v = (torch.tensor(a) for a in contents(2))
    grid = L.compromise_gap(p_u, p_v, w_u * torch.rand(5, 1).double(), w_v * torch.rand(4).double())
    assert grid.shape == (5, 4)
    single = L.compromise_gap(*(t.float() for t in (p_u, p_v, w_u, w_v)))
    assert single.dtype == torch.float32
    assert single.item() == pytest.approx(float(L.compromise_gap(p_u, p_v, w_u, w_v)), rel=1e-5)
    tiny = L.compromise_gap(np.array([1.0, 0.0]), np.array([0.0, 1.0]), 1e-310, 1.0)
    assert 0 <= tiny < 1e-300


def test_bad_distributions_and_weights_are_refused():
    with pytest.raises(InputError, match="sum to one"):
        L.compromise_gap([2.0, 1.0], [0.5, 0.5], 1.0, 1.0)
    with pytest.raises(InputError, match="negative"):
        L.compromise_gap([1.0, 0.0], [0.5, 0.5], -1.0, 1.0)


def check_merging(profile, seed):
    """Three merged items say as much as all of them."""
    r = np.random.default_rng(seed)
    x_u, x_v = (r.random((2, 30)) < r.uniform(0.2, 0.8)).astype(float)
    x_u[0] = x_v[1] = 1
    s, n_u, n_v = x_u @ x_v, x_u.sum(), x_v.sum()
    merged = L.compromise_gap(*profile(s, n_u, n_v), 0.7, 2.0)
    assert merged == pytest.approx(L.compromise_gap(x_u / n_u, x_v / n_v, 0.7, 2.0), rel=1e-10)


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_shared_profile(seed):
    check_merging(L.shared_profile, seed)


def test_shared_profile_twin_that_merges_what_is_not_common_is_rejected():
    def two_classes(s, n_u, n_v):
        return np.array([s, n_u - s]) / n_u, np.array([s, n_v - s]) / n_v

    with pytest.raises(AssertionError):
        check_merging(two_classes, 0)
    with pytest.raises(InputError, match="in common"):
        L.shared_profile(3, 2, 5)


FAMILIES = {  # log-partition per coordinate, conjugate, statistics away from the boundary
    "gaussian": (lambda eta: eta**2 / 2, L.gaussian_conjugate, lambda r: r.normal(size=(2, 3))),
    "bernoulli": (lambda eta: np.logaddexp(0, eta), L.bernoulli_conjugate, lambda r: r.uniform(0.02, 0.98, (2, 3))),
    "poisson": (np.exp, L.poisson_conjugate, lambda r: r.gamma(2.0, size=(2, 3)) + 0.05),
}


def check_family(gap, family, seed):
    """Against one η for both, coordinate by coordinate, found by a scalar search."""
    partition, conjugate, draw = FAMILIES[family]
    r = np.random.default_rng(seed)
    t_u, t_v = draw(r)
    a, b = np.exp(r.normal(size=2))

    def best(weight, t):
        search = {"bounds": (-30, 30), "method": "bounded", "options": {"xatol": 1e-9}}
        return optimize.minimize_scalar(lambda eta: weight * partition(eta) - eta * t, **search).fun

    joint = sum(best(a + b, a * tu + b * tv) for tu, tv in zip(t_u, t_v, strict=True))
    apart = sum(best(a, a * t) for t in t_u) + sum(best(b, b * t) for t in t_v)
    assert gap(t_u, t_v, a, b, conjugate) == pytest.approx(joint - apart, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("family", FAMILIES)
@given(seed=seeds)
@settings(max_examples=15, deadline=None)
def test_exponential_families(family, seed):
    check_family(L.exponential_family_gap, family, seed)


def test_exponential_family_twin_with_the_plain_mean_is_rejected():
    def plain_mean(t_u, t_v, a, b, conjugate):
        u, v = torch.tensor(t_u), torch.tensor(t_v)
        return float(a * conjugate(u) + b * conjugate(v) - (a + b) * conjugate((u + v) / 2))

    for family in FAMILIES:
        with pytest.raises(AssertionError):
            check_family(plain_mean, family, 3)


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_multinomial_is_a_member_when_the_trials_are_equal(seed):
    r = np.random.default_rng(seed)
    x_u, x_v = r.multinomial(20, np.full(5, 0.2), size=2).astype(float)
    general = L.exponential_family_gap(x_u, x_v, 0.4, 1.3, L.multinomial_conjugate)
    assert general == pytest.approx(L.compromise_gap(x_u / 20, x_v / 20, 0.4 * 20, 1.3 * 20), rel=1e-9, abs=1e-10)


# --- Theorem 2.5 over z ----------------------------------------------------------------------------------------------


def pair(seed, d):
    """Two overlapping posteriors and two users with common and private items."""
    r = np.random.default_rng(seed)
    mu_u, mu_v = r.normal(size=(2, d)) * r.uniform(0, 2)
    sd_u, sd_v = np.exp(r.normal(size=(2, d)))
    s, only_u, only_v = r.integers(1, 20, size=3)
    n_u, n_v = float(s + only_u), float(s + only_v)
    return mu_u, sd_u, mu_v, sd_v, *L.shared_profile(float(s), n_u, n_v), n_u, n_v


def check_integral_1d(integral, seed):
    mu_u, sd_u, mu_v, sd_v, p_u, p_v, n_u, n_v = pair(seed, 1)

    def gap(z):
        w_u, w_v = (
            n * math.exp(-(((z - m[0]) / s[0]) ** 2) / 2) / s[0] / math.sqrt(2 * math.pi)
            for m, s, n in ((mu_u, sd_u, n_u), (mu_v, sd_v, n_v))
        )
        apart = sum(w * p * math.log(p) for w, q in ((w_u, p_u), (w_v, p_v)) for p in q if p > 0)
        counts = [w_u * a + w_v * b for a, b in zip(p_u, p_v, strict=True)]
        together = sum(c * math.log(c / (w_u + w_v)) for c in counts if c > 0)
        return apart - together

    low, high = min(mu_u - 8 * sd_u, mu_v - 8 * sd_v)[0], max(mu_u + 8 * sd_u, mu_v + 8 * sd_v)[0]
    cuts = [c[0] for m, s in ((mu_u, sd_u), (mu_v, sd_v)) for c in (m - 3 * s, m, m + 3 * s)]
    expected = integrate.quad(gap, low, high, points=cuts, limit=500, epsabs=1e-9, epsrel=1e-9)[0]
    assert integral(mu_u, sd_u, mu_v, sd_v, p_u, p_v, n_u, n_v) == pytest.approx(expected, rel=1e-6, abs=1e-7)


@given(seeds)
@settings(max_examples=10, deadline=None)
def test_integral_in_one_dimension(seed):
    check_integral_1d(L.compromise_integral, seed)


def test_integral_twins_are_rejected():
    def densities_without_counts(mu_u, sd_u, mu_v, sd_v, p_u, p_v, n_u, n_v):
        return (n_u + n_v) / 2 * L.compromise_integral(mu_u, sd_u, mu_v, sd_v, p_u, p_v, 1.0, 1.0)

    def variances(mu_u, sd_u, mu_v, sd_v, *rest):
        return L.compromise_integral(mu_u, sd_u**2, mu_v, sd_v**2, *rest)

    for twin in (densities_without_counts, variances):
        with pytest.raises(AssertionError):
            check_integral_1d(twin, 1)


def check_sampling(monte_carlo, d, seed):
    """Sampling against quadrature: two roads to the same integral."""
    args = pair(seed, d)
    expected = L.compromise_integral(*args)
    estimate = monte_carlo(*args, n_samples=20_000, generator=torch.Generator().manual_seed(seed))
    assert abs(estimate.value - expected) < 4.5 * estimate.se
    assert estimate.se < 0.03 * estimate.full
    assert 0 <= expected <= estimate.full * (1 + 1e-9)


@pytest.mark.parametrize("d", [1, 2])
def test_monte_carlo_agrees_with_quadrature(d):
    for seed in range(3):
        check_sampling(L.compromise_monte_carlo, d, seed)


def test_monte_carlo_twin_that_samples_one_posterior_only_is_rejected():
    def one_sided(mu_u, sd_u, mu_v, sd_v, p_u, p_v, n_u, n_v, **options):
        e = L.compromise_monte_carlo(mu_u, sd_u, mu_v, sd_v, p_u, p_v, n_u, n_v, **options)
        z = mu_u + sd_u * torch.randn(20_000, len(mu_u), generator=options["generator"], dtype=torch.float64).numpy()
        w_u, w_v = (n * stats.norm.pdf(z, m, s).prod(1) for m, s, n in ((mu_u, sd_u, n_u), (mu_v, sd_v, n_v)))
        value = (n_u + n_v) * (L.compromise_gap(p_u, p_v, w_u, w_v) / (w_u + w_v)).mean()
        return L.GapEstimate(value, e.se, e.full)

    with pytest.raises(AssertionError):
        check_sampling(one_sided, 1, 0)


def test_equal_spreads_reduce_any_dimension_to_one():
    r = np.random.default_rng(9)
    d = 200
    mu_u, step, sd = r.normal(size=d), r.normal(size=d), np.exp(r.normal(size=d))
    p_u, p_v = L.shared_profile(20, 60, 90)
    for distance in (0.5, 2.0, 4.0):
        mu_v = mu_u + distance * sd * step / np.linalg.norm(step)
        g = torch.Generator().manual_seed(1)
        estimate = L.compromise_monte_carlo(mu_u, sd, mu_v, sd, p_u, p_v, 60, 90, n_samples=4000, generator=g)
        assert abs(estimate.value - L.gap_against_distance(p_u, p_v, 60, 90, distance)) < 4.5 * estimate.se
    wide = L.gap_against_distance(p_u, p_v, 60, 90, 2.0, 3.0, 3.0)  # `distance` is in units of z, not of sd
    assert wide == pytest.approx(L.gap_against_distance(p_u, p_v, 60, 90, 2.0 / 3), rel=1e-8)
    plane = L.compromise_integral(mu_u[:2], sd[:2], mu_u[:2] + 2 * sd[:2] * 0.5**0.5, sd[:2], p_u, p_v, 60, 90)
    assert plane == pytest.approx(L.gap_against_distance(p_u, p_v, 60, 90, 2.0), rel=1e-8)


def check_falls(curve):
    """From the full gap downwards, never up again."""
    assert (np.diff(curve) <= 1e-9 * curve[0]).all()
    assert curve[-1] < curve[0]


@given(seeds)
@settings(max_examples=10, deadline=None)
def test_gap_falls_as_the_means_move_apart_whatever_the_spreads(seed):
    mu, sd_u, _, sd_v, p_u, p_v, n_u, n_v = pair(seed, 1)
    t = np.linspace(0, 8 * max(sd_u[0], sd_v[0]), 40)
    check_falls(L.compromise_integral(mu, sd_u, mu + t[:, None], sd_v, p_u, p_v, n_u, n_v))


def test_gap_falls_along_a_ray_in_the_plane():
    mu, sd_u, step, sd_v, p_u, p_v, n_u, n_v = pair(4, 2)
    t = np.linspace(0, 8, 9)[:, None]
    check_falls(L.compromise_integral(mu, sd_u, mu + t * step / np.linalg.norm(step), sd_v, p_u, p_v, n_u, n_v))


def test_gap_is_no_function_of_w2():
    """Why the spreads have to be held: two families along which W2 grows and the gap does not fall."""
    p_u, p_v = L.shared_profile(2, 5, 7)
    t = np.linspace(1, 10, 10)[:, None]
    scaled = (0 * t, t, 1.5 * t, 2 * t)  # the whole latent space stretched
    gaps = L.compromise_integral(*scaled, p_u, p_v, 5, 7)
    assert (np.diff(w2_gaussian(*scaled)) > 0).all()
    np.testing.assert_allclose(gaps, gaps[0], rtol=1e-9)
    widened = (0 * t, 0 * t + 0.05, 0 * t + 3, 0.05 + 0.3 * (t - 1))  # v spreads out until it covers u
    assert (np.diff(w2_gaussian(*widened)) > 0).all()
    with pytest.raises(AssertionError):
        check_falls(L.compromise_integral(*widened, p_u, p_v, 5, 7))


def test_curve_starts_at_the_full_gap_and_ends_at_zero():
    p_u, p_v = L.shared_profile(3, 10, 5)
    curve = L.gap_against_distance(p_u, p_v, 10, 5, np.array([0.0, 1.0, 12.0]))
    assert curve[0] == pytest.approx(L.compromise_gap(p_u, p_v, 10, 5))
    assert curve[2] < 1e-6 * curve[0]


def test_quadrature_in_three_dimensions_is_refused():
    with pytest.raises(InputError, match="Monte Carlo"):
        L.compromise_integral(*pair(0, 3))


def test_a_single_draw_is_refused():
    with pytest.raises(InputError, match="n_samples"):
        L.compromise_monte_carlo(*pair(0, 3), n_samples=1)


@pytest.mark.parametrize("norm", [0, 3, 1.5, "2", None])
def test_a_norm_without_a_constant_is_refused(norm):
    with pytest.raises(InputError, match="1-norm and the 2-norm"):
        L.normalisation_constant(norm=norm)


def test_users_over_different_items_have_no_gap():
    """And the sentence gives each shape to the argument that has it."""
    one, three = np.ones(1), np.full(3, 1 / 3)
    profiles, counts = r"p_u \(1,\), p_v \(3,\)", r"x_u \(1,\), x_v \(3,\)"
    statistics, places = r"t_u \(1,\), t_v \(3,\)", r"mu_u \(1,\), sd_u \(1,\), mu_v \(2,\), sd_v \(1,\)"
    for call, says in (
        (lambda: L.compromise_gap(one, three, 1.0, 1.0), profiles),
        (lambda: L.compromise_gap_numerical(one, three, 1.0, 1.0), profiles),
        (lambda: L.compromise_integral(one, one, one, one, one, three, 1.0, 1.0), profiles),
        (lambda: L.exponential_family_gap(one, three, 1.0, 1.0, L.gaussian_conjugate), statistics),
        (lambda: L.compromise_monte_carlo(one, one, one, one, one, three, 1.0, 1.0), profiles),
        (lambda: L.compromise_monte_carlo(one, one, np.ones(2), one, three, three, 1.0, 1.0), places),
        (lambda: merging_threshold(one, three), counts),
    ):
        with pytest.raises(InputError, match=f"do not fit together: {says}"):
            call()


@pytest.mark.parametrize("counts", [(0.0, 3.0), (3.0, 0.0), (0.0, 0.0)])
def test_a_user_without_items_pays_for_no_compromise(counts):
    p_u, p_v = L.shared_profile(0, 1, 1)
    place = (torch.zeros(2), torch.ones(2), torch.zeros(2), torch.ones(2))
    draws = torch.Generator().manual_seed(0)
    found = L.compromise_monte_carlo(*place, p_u, p_v, *counts, n_samples=50, generator=draws)
    assert float(found.value) == 0
    both = L.compromise_monte_carlo(*place, p_u, p_v, 3.0, 3.0, n_samples=50, generator=draws)
    assert float(both.value) > 1  # the twin: two users with items, of the same posterior
