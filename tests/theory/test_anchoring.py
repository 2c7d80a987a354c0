"""Propositions 3.1 and 3.2 against sampling, autograd and numerical optimisation; each check rejects broken twins."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from minivae.errors import InputError
from minivae.masks import mask_input
from minivae.theory import anchoring
from minivae.theory.anchoring import alignment, anchor_norms
from minivae.theory.shrinkage import QuadraticModel, loewner_counterexample, shrinkage

seeds = st.integers(0, 2**32 - 1)


def posterior(seed, n_users=5, n_items=12, d=3):
    """Posteriors, anchors and item sets, one user with a single item and none without."""
    r = np.random.default_rng(seed)
    x = (r.random((n_users, n_items)) < 0.4).astype(float)
    x[:, 0] = 1
    x[0] = np.eye(n_items)[3]
    return r.normal(size=(n_users, d)), np.exp(r.normal(size=(n_users, d))), r.normal(size=(n_items, d)), x


# --- Proposition 3.1 --------------------------------------------------------------------------------------------------


def check_alignment(terms_of, seed):
    """User by user and item by item: E‖z − e_i‖² = ‖μ − e_i‖² + tr Σ, averaged over the full set; and each term."""
    mu, sd, anchors, x = posterior(seed)
    terms = terms_of(mu, sd, anchors, x)
    for u, row in enumerate(x):
        own = anchors[row > 0]
        loss = np.mean([(mu[u] - e) @ (mu[u] - e) + sd[u] @ sd[u] for e in own])
        np.testing.assert_allclose(terms.total[u], loss, rtol=1e-12)
        np.testing.assert_allclose(terms.scatter_term[u], own.var(0).sum(), rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(terms.variance_term[u], sd[u] @ sd[u], rtol=1e-12)
        np.testing.assert_allclose(terms.mean_term[u], ((mu[u] - own.mean(0)) ** 2).sum(), rtol=1e-12)


@given(seeds, st.booleans())
@settings(max_examples=40, deadline=None)
def test_alignment_is_the_mean_distance_to_the_anchors(seed, sparse):
    check_alignment(lambda mu, sd, e, x: alignment(mu, sd, e, sp.csr_matrix(x) if sparse else x), seed)


def masked_set(x):
    return mask_input(x, 0.5, "raw", torch.Generator().manual_seed(0)).toarray()


@pytest.mark.parametrize(
    "twin",
    [
        lambda mu, sd, e, x: alignment(mu, sd, e, masked_set(x)),  # centroid over the masked set
        lambda mu, sd, e, x: alignment(mu, sd**0.5, e, x),
        lambda mu, sd, e, x: alignment(mu, sd, e * x.mean(0)[:, None], x),  # anchors weighted by popularity
        lambda mu, sd, e, x: alignment(mu, sd, np.tile(e.mean(0), (len(e), 1)), x),  # one centroid for everybody
    ],
)
def test_broken_alignments_are_rejected(twin):
    with pytest.raises(AssertionError):
        check_alignment(twin, 0)


def check_alignment_by_sampling(total, n=20_000):
    """The definition itself, from samples of z ~ q."""
    mu, sd, anchors, x = posterior(3)
    z = mu + sd * np.random.default_rng(1).normal(size=(n, *mu.shape))
    loss = ((z[:, :, None] - anchors) ** 2).sum(-1)  # (n, B, I)
    loss = (loss * x).sum(-1) / x.sum(-1)
    se = loss.std(0, ddof=1) / n**0.5
    assert (np.abs(total(mu, sd, anchors, x) - loss.mean(0)) < 5 * se).all()


def test_alignment_is_the_expectation_over_the_posterior():
    check_alignment_by_sampling(lambda *a: alignment(*a).total)


@pytest.mark.parametrize("forgotten", ["mean_term", "variance_term", "scatter_term"])
def test_no_term_can_be_left_out(forgotten):
    with pytest.raises(AssertionError):
        check_alignment_by_sampling(lambda *a: alignment(*a).total - getattr(alignment(*a), forgotten))


def test_gradients_are_those_of_the_definition():
    mu, sd, anchors, x = (torch.from_numpy(a) for a in posterior(4))
    leaves = [t.clone().requires_grad_() for t in (mu, sd, anchors)]

    def definition(mu, sd, anchors):
        pairs = (mu[:, None] - anchors).square().sum(-1) + sd.square().sum(-1, keepdim=True)
        return (pairs * x).sum(-1) / x.sum(-1)

    weights = torch.arange(1.0, 6, dtype=torch.float64)
    ours = torch.autograd.grad(weights @ alignment(*leaves, x).total, leaves)
    theirs = torch.autograd.grad(weights @ definition(*leaves), leaves)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_the_scatter_term_is_constant_in_the_encoder_and_pulls_anchors_together():
    mu, sd, anchors, x = (torch.from_numpy(a) for a in posterior(5))
    mu.requires_grad_()
    anchors.requires_grad_()
    scatter = alignment(mu, sd, anchors, x).scatter_term
    on_mu, on_anchors = torch.autograd.grad(scatter.sum(), [mu, anchors], allow_unused=True)
    assert on_mu is None or not on_mu.any()
    stepped = alignment(mu, sd, anchors - 0.05 * on_anchors, x).scatter_term
    assert (stepped.sum() < scatter.sum()).item()


def test_alignment_keeps_its_digits_far_from_the_origin():
    """All anchors near one far point: the scatter is a difference of large numbers unless they are centred."""
    mu, sd, anchors, x = posterior(6)
    far = alignment(mu, sd, anchors + 1e7, x)
    np.testing.assert_allclose(far.scatter_term, alignment(mu, sd, anchors, x).scatter_term, rtol=1e-6, atol=1e-12)


def test_alignment_without_items_with_leading_axes_and_with_ratings():
    mu, sd, anchors, x = posterior(7)
    x[2] = 0
    terms = alignment(mu, sd, anchors, x)
    assert [getattr(terms, t)[2] for t in ("total", "mean_term", "variance_term", "scatter_term")] == [0, 0, 0, 0]
    views = alignment(np.stack([mu, mu + 1]), sd, anchors, 5 * x)  # stars count once; two mask draws
    assert views.total.shape == views.scatter_term.shape == (2, 5)
    np.testing.assert_allclose(views.total[0], terms.total)
    single = alignment(*(torch.from_numpy(a).float() for a in (mu, sd, anchors, x)))
    assert single.total.dtype == torch.float32


def test_alignment_refuses_shapes_that_do_not_fit():
    mu, sd, anchors, x = posterior(8)
    for bad in (
        (mu, sd, anchors[:-1], x),
        (mu[:-1], sd[:-1], anchors, x),
        (mu, sd, anchors[:, :2], x),
        (mu[0], sd, anchors, x),
    ):
        with pytest.raises(InputError):
            alignment(*bad)


# --- Proposition 3.2 --------------------------------------------------------------------------------------------------


def quadratic(seed, d=4, n_masks=7):
    """A random curvature of any rank, λ over four decades, and free minimisers under random masks of random items."""
    r = np.random.default_rng(seed)
    rank = r.integers(1, d + 1)
    half = r.normal(size=(d, rank))
    masks = r.random((n_masks, 10)) < 0.5
    m = masks @ r.normal(size=(10, d))
    return half @ half.T, 10.0 ** r.uniform(-2, 2), r.normal(size=d), m


def check_minimizer(minimizer, seed):
    """Against BFGS on F_h itself, started elsewhere."""
    H, lam, centroid, m = quadratic(seed)

    def objective(mu):
        return 0.5 * (mu - m[0]) @ H @ (mu - m[0]) + lam * ((mu - centroid) ** 2).sum()

    found = minimize(objective, np.ones(4), method="BFGS", options=dict(gtol=1e-9)).x
    np.testing.assert_allclose(minimizer(H, lam, centroid, m)[0], found, atol=2e-5 * (1 + np.abs(m[0]).max()))


@given(seeds)
@settings(max_examples=25, deadline=None)
def test_the_anchored_minimiser_is_the_numerical_one(seed):
    check_minimizer(lambda H, lam, c, m: QuadraticModel(H, lam, c).minimizer(m), seed)


@pytest.mark.parametrize(
    "twin",
    [
        lambda H, lam, c, m: QuadraticModel(H, lam / 2, c).minimizer(m),  # λ in place of 2λ
        lambda H, lam, c, m: QuadraticModel(2 * H, lam, c).minimizer(m),  # the ½ of the quadratic forgotten
        lambda H, lam, c, m: QuadraticModel(H, lam, 0 * c).minimizer(m),
    ],
)
def test_broken_minimisers_are_rejected(twin):
    with pytest.raises(AssertionError):
        check_minimizer(twin, 1)


def check_shrinkage(tau, seed):
    """Distances to the centroid, trace and spectral norm over masks; sharp where H = L·I."""
    H, lam, centroid, m = quadratic(seed)
    for curvature in (H, np.linalg.eigvalsh(H)[-1] * np.eye(4)):
        model = QuadraticModel(curvature, lam, centroid)
        t = tau(np.linalg.eigvalsh(curvature)[-1], lam)
        anchored = model.minimizer(m)
        ratio = np.linalg.norm(anchored - centroid, axis=1) / np.linalg.norm(m - centroid, axis=1)
        assert (ratio <= t * (1 + 1e-9)).all()
        shrunk = model.shrink(m)
        free, after = np.cov(m.T), np.cov(anchored.T)
        np.testing.assert_allclose(shrunk.trace_ratio, after.trace() / free.trace(), rtol=1e-8)
        np.testing.assert_allclose(shrunk.spectral_ratio, np.linalg.norm(after, 2) / np.linalg.norm(free, 2), rtol=1e-8)
        assert shrunk.trace_ratio <= t**2 * (1 + 1e-9)
        assert shrunk.spectral_ratio <= t**2 * (1 + 1e-9)
    np.testing.assert_allclose(ratio, t, rtol=1e-9)  # the last curvature was L·I
    np.testing.assert_allclose(shrunk.trace_ratio, t**2, rtol=1e-8)


@given(seeds)
@settings(max_examples=40, deadline=None)
def test_covariance_over_masks_shrinks_by_tau_squared(seed):
    check_shrinkage(shrinkage, seed)


@pytest.mark.parametrize(
    "twin",
    [
        lambda L, lam: L / (L + lam),  # λ in place of 2λ
        lambda L, lam: 2 * lam / (L + 2 * lam),  # 1 − τ
        lambda L, lam: (L / (L + 2 * lam)) ** 2,
    ],
)
def test_broken_shrinkage_is_rejected(twin):
    with pytest.raises(AssertionError):
        check_shrinkage(twin, 1)


def check_loewner(model, m):
    assert model.shrink(m).loewner_gap >= -1e-9 * np.cov(m.T).trace()


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_the_loewner_order_holds_for_one_curvature_in_all_directions(seed):
    H, lam, centroid, m = quadratic(seed)
    check_loewner(QuadraticModel(H.max() * np.eye(4), lam, centroid), m)


def test_the_loewner_order_does_not_hold_in_general():
    model, m = loewner_counterexample()
    shrunk = model.shrink(m)
    assert shrunk.trace_ratio <= shrunk.tau**2
    assert shrunk.spectral_ratio <= shrunk.tau**2
    with pytest.raises(AssertionError):
        check_loewner(model, m)


def test_shrinkage_broadcasts_and_refuses_nonsense():
    tau = shrinkage(torch.tensor([1.0, 4.0]), torch.tensor([[0.0], [0.5]]))
    torch.testing.assert_close(tau, torch.tensor([[1.0, 1.0], [0.5, 0.8]]))
    for bad in ((-1, 1), (1, -1), (0, 0)):
        with pytest.raises(InputError):
            shrinkage(*bad)
    with pytest.raises(InputError):
        QuadraticModel(np.array([[1.0, 2.0], [0.0, 1.0]]), 1.0, np.zeros(2))
    with pytest.raises(InputError):
        QuadraticModel(np.diag([1.0, -1.0]), 1.0, np.zeros(2))
    with pytest.raises(InputError):
        QuadraticModel(np.eye(2), 0.0, np.zeros(2))
    with pytest.raises(InputError):
        QuadraticModel(np.eye(2), 1.0, np.zeros(2)).shrink(np.zeros(2))


def test_a_latent_space_shrunk_by_tau_has_its_variance_and_not_its_ratio_shrunk():
    """μ = (x⊙b)W with H = I and ē = 0: `within` falls to τ² times, and so does everything else."""
    r = np.random.default_rng(2)
    x = sp.csr_matrix((r.random((30, 20)) < 0.4).astype(float))
    w = r.normal(size=(20, 3))
    tau = shrinkage(1.0, 2.0)

    def encoder(scale):
        return SimpleNamespace(encode=lambda x, normalize: (torch.from_numpy(x.toarray() @ w * scale), None))

    free, pulled = (
        anchoring.mask_variance(encoder(s), x, 0.5, generator=torch.Generator().manual_seed(0)) for s in (1.0, tau)
    )
    assert pulled.within == pytest.approx(tau**2 * free.within)
    assert pulled.ratio == pytest.approx(free.ratio)


# --- collapse watch ---------------------------------------------------------------------------------------------------


def check_norms(norms_of, seed):
    _, _, anchors, x = posterior(seed)
    x[1] = 0  # does not enter the mean over users
    watch = norms_of(anchors, x)
    np.testing.assert_allclose(watch.norms, [np.sqrt(e @ e) for e in anchors])
    np.testing.assert_allclose(watch.frobenius, np.linalg.norm(anchors))
    np.testing.assert_allclose(watch.scatter, anchors.var(0).sum())
    np.testing.assert_allclose(watch.user_scatter, np.mean([anchors[row > 0].var(0).sum() for row in x if row.any()]))
    np.testing.assert_allclose(watch.ratio, watch.user_scatter / watch.scatter)


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_anchor_norms(seed):
    check_norms(anchor_norms, seed)


def test_the_ratio_of_anchors_without_structure():
    """Expectations over independent anchors; the twin forgets the I / (I − 1) of the mean over few items."""
    r = np.random.default_rng(5)
    n_items, draws = 6, 4000
    x = np.array([[1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1]])
    watched = [anchor_norms(r.normal(size=(n_items, 3)), x) for _ in range(draws)]
    within = np.array([w.user_scatter for w in watched])
    over = np.array([w.scatter for w in watched])
    share = 1 - (1 / x.sum(1)).mean()
    expected = share * n_items / (n_items - 1)
    found, se = within.mean() / over.mean(), (within - expected * over).std() / over.mean() / draws**0.5
    assert abs(found - expected) < 4 * se
    assert abs(found - share) > 8 * se


@pytest.mark.parametrize(
    "twin",
    [
        lambda e, x: anchor_norms(e - e.mean(0), x),
        lambda e, x: anchor_norms(e, np.ones_like(x)),
        lambda e, x: anchor_norms(e[::-1].copy(), x),
    ],
)
def test_broken_norms_are_rejected(twin):
    with pytest.raises(AssertionError):
        check_norms(twin, 0)


def test_collapse_shows_in_norms_and_structure_in_the_ratio():
    _, _, anchors, x = posterior(9)
    full, shrunk = anchor_norms(anchors, x), anchor_norms(0.01 * anchors, x)
    assert shrunk.frobenius == pytest.approx(0.01 * full.frobenius)
    assert shrunk.ratio == pytest.approx(full.ratio)
    for bad in (x[:, :-1], 0 * x):
        with pytest.raises(InputError):
            anchor_norms(anchors, bad)


def test_what_is_no_spread_and_no_number_is_refused():
    with pytest.raises(InputError, match="sd"):
        alignment(np.zeros((2, 3)), np.full((2, 3), -1.0), np.zeros((4, 3)), np.ones((2, 4)))
    with pytest.raises(InputError, match="numbers"):
        shrinkage(np.nan, 1.0)
