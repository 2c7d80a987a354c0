"""Distances against POT, quadrature, quantiles and sampling; every check also has to reject a broken twin."""

from itertools import permutations

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from minivae.errors import InputError
from minivae.theory import distances as D


def rng(seed):
    return np.random.default_rng(seed)


def posteriors(seed, *shape):
    """Two diagonal Gaussians with means and spreads of random scale."""
    r = rng(seed)
    scale = 10 ** r.uniform(-2, 1)
    return (
        scale * r.normal(size=shape),
        np.exp(r.normal(size=shape)),
        scale * r.normal(size=shape),
        np.exp(r.normal(size=shape)),
    )


seeds = st.integers(0, 2**32 - 1)


# --- W2, diagonal and full -------------------------------------------------------------------------------------------


def check_w2(w2, seed):
    mu_u, sd_u, mu_v, sd_v = posteriors(seed, 4)
    expected = ot.gaussian.bures_wasserstein_distance(mu_u, mu_v, np.diag(sd_u**2), np.diag(sd_v**2))
    assert w2(mu_u, sd_u, mu_v, sd_v) == pytest.approx(expected, rel=1e-7)


@given(seeds)
@settings(max_examples=50, deadline=None)
def test_w2_diagonal_is_bures(seed):
    check_w2(D.w2_gaussian, seed)


@pytest.mark.parametrize(
    "twin",
    [
        lambda mu_u, sd_u, mu_v, sd_v: D.w2_gaussian(mu_u, sd_u**2, mu_v, sd_v**2),  # variances for spreads
        lambda *q: D.w2_gaussian(*q) ** 2,
        lambda mu_u, sd_u, mu_v, sd_v: D.w2_gaussian(mu_u, 0 * sd_u, mu_v, 0 * sd_v),
    ],
)
def test_w2_twins_are_rejected(twin):
    with pytest.raises(AssertionError):
        check_w2(twin, 0)


def check_w2_full(w2, seed):
    r = rng(seed)
    a, b = r.normal(size=(2, 5, 5))
    mu_u, mu_v = r.normal(size=(2, 5))
    cov_u, cov_v = a @ a.T, b @ b.T
    expected = ot.gaussian.bures_wasserstein_distance(mu_u, mu_v, cov_u, cov_v)
    assert w2(mu_u, cov_u, mu_v, cov_v) == pytest.approx(expected, rel=1e-6)
    turn = stats.ortho_group.rvs(5, random_state=r)  # W2 does not see a common rotation
    turned = w2(turn @ mu_u, turn @ cov_u @ turn.T, turn @ mu_v, turn @ cov_v @ turn.T)
    assert turned == pytest.approx(expected, rel=1e-6)


@given(seeds)
@settings(max_examples=50, deadline=None)
def test_w2_full_is_bures(seed):
    check_w2_full(D.w2_gaussian_full, seed)


def test_w2_full_twin_without_the_cross_term_is_rejected():
    def commuting_only(mu_u, cov_u, mu_v, cov_v):
        return D.w2_gaussian(mu_u, np.sqrt(np.diag(cov_u)), mu_v, np.sqrt(np.diag(cov_v)))

    with pytest.raises(AssertionError):
        check_w2_full(commuting_only, 1)


def test_w2_full_keeps_its_digits_and_takes_singular_covariances():
    r = rng(2)
    a = r.normal(size=(6, 3))
    cov = a @ a.T  # rank 3 of 6
    mu = r.normal(size=6)
    assert D.w2_gaussian_full(mu, cov, mu, cov) < 1e-6  # the root of rounding in the three zero eigenvalues
    spd = cov + np.eye(6)
    assert D.w2_gaussian_full(mu, spd, mu, spd) < 1e-13  # the trace formula gives about 1e-8 here
    stack = np.stack([spd, 4 * spd])
    batch = D.w2_gaussian_full(mu, stack, mu, spd)
    assert batch.shape == (2,)
    assert batch[1] == pytest.approx(np.sqrt(np.trace(spd)))


@pytest.mark.parametrize("bad", [np.array([[1.0, 0.5], [0.0, 1.0]]), -np.eye(2)])
def test_w2_full_refuses_what_is_no_covariance(bad):
    with pytest.raises(InputError, match="cov_v"):
        D.w2_gaussian_full(np.zeros(2), np.eye(2), np.zeros(2), bad)


def test_a_log_variance_for_a_spread_is_refused():
    with pytest.raises(InputError, match="standard deviation"):
        D.w2_gaussian(np.zeros(2), np.array([0.1, -1.0]), np.zeros(2), np.ones(2))


# --- all pairs -------------------------------------------------------------------------------------------------------


def check_all_pairs(matrix, seed):
    """Clusters of near-duplicates far from the origin: where a matrix product alone loses every digit."""
    r = rng(seed)
    mu = 1e4 + r.normal(size=(7, 3)).repeat(3, 0) + 1e-6 * r.normal(size=(21, 3))
    sd = np.exp(r.normal(size=(7, 3))).repeat(3, 0)
    expected = D.w2_gaussian(mu[:, None], sd[:, None], mu[None], sd[None])
    np.testing.assert_allclose(matrix(mu, sd), expected, rtol=1e-8, atol=0)


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_w2_matrix_equals_the_pairs(seed):
    check_all_pairs(D.w2_matrix, seed)


def test_w2_matrix_by_the_plain_product_is_rejected():
    def plain(mu, sd):
        a = np.concatenate([mu, sd], 1)
        s = (a**2).sum(1)
        return np.sqrt(np.maximum(s[:, None] + s - 2 * a @ a.T, 0))

    with pytest.raises(AssertionError):
        check_all_pairs(plain, 0)


def test_w2_matrix_of_two_sets_in_blocks_and_in_single_precision():
    mu_u, sd_u, _, _ = (torch.tensor(a) for a in posteriors(3, 50, 4))
    mu_v, sd_v, _, _ = (torch.tensor(a) for a in posteriors(4, 30, 4))
    full = D.w2_matrix(mu_u, sd_u, mu_v, sd_v)
    assert full.shape == (50, 30)
    torch.testing.assert_close(full, D.w2_gaussian(mu_u[:, None], sd_u[:, None], mu_v, sd_v), rtol=1e-8, atol=0)
    u, v = torch.cat([mu_u, sd_u], 1), torch.cat([mu_v, sd_v], 1)
    torch.testing.assert_close(D.distance_matrix(u, v, block=7), full, rtol=1e-8, atol=0)
    single = D.w2_matrix(mu_u.float(), sd_u.float(), mu_v.float(), sd_v.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), full, rtol=1e-5, atol=1e-6)


# --- W1: bracket, one dimension, samples -----------------------------------------------------------------------------


def check_w1_1d(w1, seed):
    """Against the quantile integral ∫|F^-1_u - F^-1_v| dt, cut at the crossing of the two quantile functions."""
    (mu_u,), (sd_u,), (mu_v,), (sd_v,) = posteriors(seed, 1)

    def gap(e):
        return abs(mu_u - mu_v + (sd_u - sd_v) * e) * stats.norm.pdf(e)

    crossing = np.clip((mu_v - mu_u) / (sd_u - sd_v), -12, 12)
    expected = sum(integrate.quad(gap, lo, hi, epsabs=1e-13)[0] for lo, hi in ((-12, crossing), (crossing, 12)))
    assert w1(mu_u, sd_u, mu_v, sd_v) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(seeds)
@settings(max_examples=50, deadline=None)
def test_w1_gaussian_1d_is_the_quantile_integral(seed):
    check_w1_1d(D.w1_gaussian_1d, seed)


@pytest.mark.parametrize("twin", [lambda a, s, b, t: abs(a - b), lambda a, s, b, t: np.hypot(a - b, s - t)])
def test_ends_of_the_bracket_are_not_w1(twin):
    with pytest.raises(AssertionError):
        check_w1_1d(twin, 0)


def test_w1_gaussian_1d_at_its_edges():
    assert D.w1_gaussian_1d(1.0, 2.0, 1.0, 2.0) == 0
    assert D.w1_gaussian_1d(0.0, 1.0, 0.0, 3.0) == pytest.approx(2 * np.sqrt(2 / np.pi))
    np.testing.assert_array_equal(D.w1_gaussian_1d(np.array([-3.0, 3.0]), 1e-300, 0.0, 0.0), [3.0, 3.0])


def check_bracket(bounds, seed):
    """In one dimension W1 is known exactly and has to lie inside."""
    q = posteriors(seed, 20, 1)
    low, high = bounds(*q)
    exact = D.w1_gaussian_1d(*q)[:, 0]
    assert (low <= exact * (1 + 1e-12)).all()
    assert (exact <= high * (1 + 1e-12)).all()


@given(seeds)
@settings(max_examples=50, deadline=None)
def test_bracket_holds_w1(seed):
    check_bracket(D.w1_bounds, seed)


def test_bracket_twins_are_rejected():
    def low_is_w2(*q):
        return D.w2_gaussian(*q), D.w2_gaussian(*q)

    def high_is_the_means(*q):
        return D.w1_bounds(*q)[0], D.w1_bounds(*q)[0]

    for twin in (low_is_w2, high_is_the_means):
        with pytest.raises(AssertionError):
            check_bracket(twin, 0)


def test_bracket_broadcasts_and_keeps_kind():
    low, high = D.w1_bounds(torch.zeros(3), torch.ones(5, 1, 3), torch.ones(4, 3), torch.ones(3))
    assert low.shape == high.shape == (5, 4)
    assert low.dtype == torch.float32
    low, _ = D.w1_bounds(
        np.zeros(3, np.float32), np.ones(3, np.float32), np.ones(3, np.float32), np.ones(3, np.float32)
    )
    assert isinstance(low, np.float32)


def test_w1_of_samples_in_one_dimension():
    r = rng(5)
    u, v = r.normal(size=40), r.gamma(2.0, size=25)
    expected = stats.wasserstein_distance(u, v)
    assert D.w1_samples_1d(u, v) == pytest.approx(expected)
    assert D.w1_empirical(u[:, None], v[:, None]) == pytest.approx(expected)
    stack = D.w1_samples_1d(np.stack([u, u + 1]), v)
    np.testing.assert_allclose(stack, [expected, stats.wasserstein_distance(u + 1, v)])


def check_w1_empirical(w1, seed):
    """Against the best assignment of all permutations of five points."""
    u, v = rng(seed).normal(size=(2, 5, 3))
    expected = min(np.linalg.norm(u - v[list(p)], axis=1).mean() for p in permutations(range(5)))
    assert w1(u, v) == pytest.approx(expected)


@given(seeds)
@settings(max_examples=10, deadline=None)
def test_w1_empirical_is_the_best_assignment(seed):
    check_w1_empirical(D.w1_empirical, seed)


def test_w1_empirical_twin_with_the_squared_cost_is_rejected():
    with pytest.raises(AssertionError):
        check_w1_empirical(lambda u, v: np.sqrt(ot.emd2([], [], ot.dist(u, v))), 0)


def check_bias(bias, low, high, n_se=4):
    """Convexity: the estimate never lies below W1 in expectation, and minus its floor never above."""
    assert (bias.estimate + n_se * bias.estimate_se >= low).all()
    slack = n_se * np.hypot(bias.estimate_se, bias.floor_se)
    assert (bias.estimate - bias.floor - slack <= high).all()


def bias_of_a_shift(d, shift, sizes):
    """Equal spreads: the bracket is a point, so W1 is known exactly, here `shift`."""
    mu, sd = np.zeros(d), np.ones(d)
    bias = D.empirical_bias(mu, sd, mu + shift / d**0.5, sd, sizes, 10, torch.Generator().manual_seed(d))
    assert bias.low == pytest.approx(shift)
    assert bias.high == pytest.approx(shift)
    return bias


def test_empirical_w1_leaves_the_bracket_from_above_and_returns():
    bias = bias_of_a_shift(8, 1.0, (20, 80, 320))
    check_bias(bias, bias.low, bias.high)
    excess = bias.estimate - bias.high
    assert (excess > 4 * bias.estimate_se).all()  # outside the bracket in eight dimensions
    assert (np.diff(excess) < 0).all()  # and on the way back


def test_a_bracket_wrong_on_either_side_is_rejected():
    bias = bias_of_a_shift(2, 3.0, (320,))
    check_bias(bias, bias.low, bias.high)
    for low, high in ((bias.low + 1, bias.high + 1), (bias.low - 1, bias.high - 1)):
        with pytest.raises(AssertionError):
            check_bias(bias, low, high)


def check_sliced(gaussian, seed):
    """Direction by direction: full covariance projected, quantile functions integrated by the midpoint rule."""
    mu_u, sd_u, mu_v, sd_v = posteriors(seed, 6)
    along = D.directions(6, 20, torch.Generator().manual_seed(seed)).numpy()
    e = stats.norm.ppf((np.arange(100_000) + 0.5) / 100_000)
    values = []
    for t in along.T:
        s_u, s_v = (np.sqrt(t @ np.diag(s**2) @ t) for s in (sd_u, sd_v))
        values.append(np.abs(t @ (mu_u - mu_v) + (s_u - s_v) * e).mean())
    assert gaussian(mu_u, sd_u, mu_v, sd_v, along) == pytest.approx(np.mean(values), rel=1e-4)


@given(st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_sliced_gaussians(seed):
    check_sliced(D.sliced_w1_gaussian, seed)


def test_sliced_twins_are_rejected():
    def unsliced(mu_u, sd_u, mu_v, sd_v, along):
        return D.w1_bounds(mu_u, sd_u, mu_v, sd_v)[0]

    def spreads_projected_as_vectors(mu_u, sd_u, mu_v, sd_v, along):
        return np.mean(D.w1_gaussian_1d(mu_u @ along, np.abs(sd_u @ along), mu_v @ along, np.abs(sd_v @ along)))

    for twin in (unsliced, spreads_projected_as_vectors):
        with pytest.raises(AssertionError):
            check_sliced(twin, 7)


def test_sliced_w1_of_samples():
    u, v = rng(8).normal(size=(40, 5)), 1 + rng(9).normal(size=(30, 5))
    along = D.directions(5, 12, torch.Generator().manual_seed(0))
    expected = np.mean([stats.wasserstein_distance(u @ t, v @ t) for t in along.numpy().T])
    assert D.sliced_w1(u, v, along.numpy()) == pytest.approx(expected)
    assert D.sliced_w1(torch.tensor(u), torch.tensor(v), along).item() == pytest.approx(expected)
    np.testing.assert_allclose(along.norm(dim=0), 1)


def test_sliced_samples_come_to_the_sliced_gaussians_from_above():
    """Sliced W1 is convex too: clouds overestimate, the less the larger they are."""
    zero, sd_u, sd_v = torch.zeros(6).double(), torch.ones(6).double(), torch.linspace(0.5, 2, 6).double()
    g = torch.Generator().manual_seed(0)
    along = D.directions(6, 50, g)
    truth = D.sliced_w1_gaussian(zero, sd_u, zero, sd_v, along)
    noise = torch.randn(2, 40, 400, 6, generator=g, dtype=torch.float64)
    clouds = [D.sliced_w1(sd_u * noise[0, :, :n], sd_v * noise[1, :, :n], along) for n in (25, 100, 400)]  # (40,) each
    assert all(c.mean() > truth - 4 * c.std() / 40**0.5 for c in clouds)
    near, far = (clouds[i] - clouds[i + 1] for i in (1, 0))
    assert near.mean() > 4 * near.std() / 40**0.5
    assert far.mean() > near.mean()


def test_sliced_w1_lies_below_the_bracket_in_high_dimension():
    g = torch.Generator().manual_seed(1)
    mu_v, one = torch.ones(200, dtype=torch.float64), torch.ones(200, dtype=torch.float64)
    sliced = D.sliced_w1_gaussian(0 * mu_v, one, mu_v, one, D.directions(200, 500, g))
    low, _ = D.w1_bounds(0 * mu_v, one, mu_v, one)
    assert sliced < 0.1 * low  # about sqrt(2 / (pi d)) of it


# --- what W1 is for --------------------------------------------------------------------------------------------------


def check_kantorovich_rubinstein(lipschitz, seed):
    """||E_u h - E_v h|| <= L W1 for h(z) = tanh(Az) with values in R^7, expectations by Gauss-Hermite in d = 1."""
    mu_u, sd_u, mu_v, sd_v = (0.05 * q for q in posteriors(seed, 1))  # where tanh is steep, so that the bound is tight
    a = rng(seed).normal(size=(7, 1))
    nodes, weights = np.polynomial.hermite_e.hermegauss(100)
    weights = weights / weights.sum()
    mean_u, mean_v = (np.tanh(a * (m + s * nodes)) @ weights for m, s in ((mu_u, sd_u), (mu_v, sd_v)))
    w1 = D.w1_gaussian_1d(mu_u, sd_u, mu_v, sd_v)[0]
    assert np.linalg.norm(mean_u - mean_v) <= lipschitz(a) * w1 * (1 + 1e-6) + 1e-9


@given(seeds)
@settings(max_examples=50, deadline=None)
def test_kantorovich_rubinstein_for_vectors(seed):
    check_kantorovich_rubinstein(lambda a: np.linalg.norm(a, 2), seed)


def test_kantorovich_rubinstein_twin_is_rejected():
    with pytest.raises(AssertionError):  # coordinate by coordinate is not enough for the norm of the vector
        check_kantorovich_rubinstein(lambda a: np.abs(a).max(), 1)


def check_kl(kl, seed):
    mu, sd = rng(seed).normal(size=3), np.exp(rng(seed + 1).normal(size=3))
    q = torch.distributions.Normal(torch.tensor(mu), torch.tensor(sd))
    p = torch.distributions.Normal(torch.zeros(3).double(), torch.ones(3).double())
    expected = torch.distributions.kl_divergence(q, p)
    np.testing.assert_allclose(kl(mu, sd), expected.sum(), rtol=1e-10)
    by_quadrature = integrate.quad(
        lambda z: stats.norm.pdf(z, mu[0], sd[0]) * (stats.norm.logpdf(z, mu[0], sd[0]) - stats.norm.logpdf(z)),
        mu[0] - 12 * sd[0],
        mu[0] + 12 * sd[0],
    )[0]
    np.testing.assert_allclose(D.gaussian_kl(mu, sd, per_dimension=True)[0], by_quadrature, rtol=1e-7, atol=1e-9)


@given(st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_gaussian_kl(seed):
    check_kl(D.gaussian_kl, seed)


def test_gaussian_kl_twins_are_rejected():
    for twin in (lambda mu, sd: D.gaussian_kl(mu, sd**2), lambda mu, sd: 2 * D.gaussian_kl(mu, sd)):
        with pytest.raises(AssertionError):
            check_kl(twin, 0)


def test_gaussian_kl_is_never_negative_near_the_prior():
    sd = 1 + np.linspace(-1e-8, 1e-8, 101)[:, None]
    assert (D.gaussian_kl(np.zeros((101, 1)), sd) >= 0).all()


def check_talagrand(bound, seed):
    """W1 in one dimension and W2 in any: both below sqrt(2 KL)."""
    mu, sd, _, _ = posteriors(seed, 50, 3)
    limit = bound(mu, sd) * (1 + 1e-9) + 1e-9
    assert (D.w2_gaussian(mu, sd, 0.0 * mu, 1.0 + 0 * sd) <= limit).all()
    one = bound(mu[:, :1], sd[:, :1]) * (1 + 1e-9) + 1e-9
    assert (D.w1_gaussian_1d(mu, sd, 0.0, 1.0)[:, 0] <= one).all()


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_talagrand(seed):
    check_talagrand(D.t1_bound, seed)


def test_talagrand_twin_without_the_two_is_rejected():
    with pytest.raises(AssertionError):
        check_talagrand(lambda mu, sd: np.sqrt(D.gaussian_kl(mu, sd)), 0)


@pytest.mark.parametrize(
    ("u", "v"),
    [
        (np.ones((3, 2)), np.ones((3, 3))),
        (np.ones(3), np.ones(3)),
        (np.ones((0, 2)), np.ones((3, 2))),
        (np.full((3, 2), np.nan), np.ones((3, 2))),
        ("samples", np.ones((3, 2))),
        ([[1.0], [1.0, 2.0]], np.ones((3, 2))),
        (None, np.ones((3, 2))),
    ],
)
def test_what_are_no_clouds_of_one_space_is_refused(u, v):
    with pytest.raises(InputError):
        D.w1_empirical(u, v)


# --- what estimated covariances and optimisers need ------------------------------------------------------------------


def estimated(seed, d=40, n=41):
    """A covariance of few samples in float32: its zero eigenvalue comes out slightly negative."""
    return torch.cov(torch.randn(n, d, generator=torch.Generator().manual_seed(seed)).T)


def test_float32_covariances_are_taken_whatever_their_container():
    c, d = estimated(1), estimated(2)
    mu = torch.zeros(40)
    single = D.w2_gaussian_full(mu, c, mu, d)
    double = D.w2_gaussian_full(mu.double(), c.double(), mu.double(), d.double())
    assert float(single) == pytest.approx(float(double), rel=1e-3)
    with pytest.raises(InputError, match="cov_u"):  # a hundred times the rounding is no rounding
        D.w2_gaussian_full(mu.double(), c.double() - 0.01 * torch.eye(40), mu.double(), d.double())


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_gradients_exist_where_eigenvalues_are_equal(scale):
    """W2² of c·I against I is ‖μ‖² + d (√c − 1)²; the gradient of its trace part in c is 1 − 1/√c, in each entry."""
    cov = (scale * torch.eye(3, dtype=torch.float64)).requires_grad_()
    mu = torch.ones(3, dtype=torch.float64)
    squared = D.w2_gaussian_full(mu, cov, 0 * mu, torch.eye(3, dtype=torch.float64)).square()
    squared.backward()
    assert torch.allclose(cov.grad, (1 - scale**-0.5) * torch.eye(3, dtype=torch.float64), atol=1e-12)


def test_gradient_against_finite_differences():
    r = rng(4)
    a, b = (torch.from_numpy(m @ m.T + 0.1 * np.eye(4)) for m in r.normal(size=(2, 4, 4)))
    mu = torch.from_numpy(r.normal(size=(2, 4)))

    def of(c):
        return D.w2_gaussian_full(mu[0], (c + c.mT) / 2, mu[1], b)

    assert torch.autograd.gradcheck(of, (a.requires_grad_(),), atol=1e-6)


def test_equal_gaussians_have_a_finite_gradient():
    cov = torch.eye(3, dtype=torch.float64).requires_grad_()
    mu = torch.zeros(3, dtype=torch.float64)
    D.w2_gaussian_full(mu, cov, mu, torch.eye(3, dtype=torch.float64)).backward()
    assert torch.isfinite(cov.grad).all()


@pytest.mark.parametrize(
    "call",
    [
        lambda: D.w2_gaussian_full(np.zeros(2), np.eye(2), np.zeros(3), np.eye(3)),
        lambda: D.w2_gaussian(np.zeros(2), np.ones(2), np.zeros(3), np.ones(3)),
        lambda: D.w1_bounds(np.zeros(2), np.ones(2), np.zeros(3), np.ones(3)),
    ],
)
def test_users_of_different_dimension_are_refused(call):
    with pytest.raises(InputError, match=r"do not fit together: mu_u \(2,\).* mu_v \(3,\)"):
        call()


# --- shapes that would broadcast to a wrong number -------------------------------------------------------------------


def test_w2_matrix_takes_both_or_neither_of_the_second_set():
    mu, sd = np.array([[0.0], [1.0]]), np.ones((2, 1))
    for half in ({"mu_v": [[5.0]]}, {"sd_v": [[1.0]]}):
        with pytest.raises(InputError, match=f"{next(iter(half))} is given"):
            D.w2_matrix(mu, sd, **half)
    np.testing.assert_array_equal(D.w2_matrix(mu, sd, [[5.0]], [[1.0]]), [[5.0], [4.0]])


@pytest.mark.parametrize("shape", [(4, 1), (3,), (1, 1), (1,), ()])
def test_one_spread_for_all_dimensions_counts_in_each(shape):
    r = rng(11)
    mu_u, mu_v, sd_v = r.normal(size=(4, 3)), r.normal(size=(5, 3)), r.uniform(0.1, 2, size=(5, 3))
    sd_u = r.uniform(0.1, 2, size=shape)
    written_out = np.broadcast_to(sd_u, (4, 3)).copy()
    np.testing.assert_array_equal(D.w2_matrix(mu_u, sd_u, mu_v, sd_v), D.w2_matrix(mu_u, written_out, mu_v, sd_v))
    np.testing.assert_array_equal(D.w2_matrix(mu_u, sd_u), D.w2_matrix(mu_u, written_out))
    along = D.directions(3, 7).numpy()
    for measure in (
        D.w2_gaussian,
        lambda *q: np.stack(D.w1_bounds(*q)),
        lambda *q: D.sliced_w1_gaussian(*q, along),
        lambda mu, sd, *_: D.gaussian_kl(mu, sd),
    ):
        found, expected = (measure(mu_u, sd, mu_v[:4], sd_v[:4]) for sd in (sd_u, written_out))
        np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_numbers_are_posteriors_in_one_dimension():
    assert D.w2_gaussian(0.0, 1.0, 3.0, 5.0) == 5
    assert D.w1_bounds(0.0, 1.0, 3.0, 5.0) == (3, 5)
    low, _ = D.w1_bounds(0.0, np.ones(4), 1.0, 1.0)  # four dimensions, each mean 0 against 1
    assert low == 2


def test_a_mean_of_one_dimension_does_not_stand_for_several():
    one, three = np.ones(1), np.ones(3)
    for call in (
        lambda: D.w2_gaussian(0 * three, three, one, one),
        lambda: D.w1_bounds(0 * one, three, one, three),
        lambda: D.w2_gaussian_full(0 * three, np.eye(3), one, np.eye(1)),
        lambda: D.w2_gaussian_full(one, np.eye(3), one, np.eye(3)),
        lambda: D.gaussian_kl(one, three),
        lambda: D.t1_bound(one, three),
        lambda: D.sliced_w1_gaussian(three, three, one, one, np.eye(3)),
        lambda: D.w2_matrix(np.ones((2, 1)), np.ones((2, 3))),
    ):
        with pytest.raises(InputError, match="do not fit together"):
            call()


def test_rows_of_different_width_have_no_distance():
    with pytest.raises(InputError, match="rows of the same k"):
        D.distance_matrix([[0.0, 1.0]], [[1.0]])
    with pytest.raises(InputError, match="rows of the same k"):
        D.distance_matrix([0.0, 1.0])
    with pytest.raises(InputError, match="rows of the same k"):
        D.w2_matrix(np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 1)), np.ones((2, 1)))
    with pytest.raises(InputError, match=r"\(users, d\)"):
        D.w2_matrix([0.0, 1.0], [1.0, 1.0])
    with pytest.raises(InputError, match=r"\(d, L\)"):
        D.sliced_w1_gaussian(np.ones(3), np.ones(3), np.ones(3), np.ones(3), np.eye(2))
    with pytest.raises(InputError, match="one pair"):
        D.empirical_bias(np.ones((2, 3)), np.ones(3), np.ones(3), np.ones(3))
