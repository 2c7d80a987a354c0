"""What the theory computes with: nodes of quadrature, kinds of arrays, draws, real steps, distances of all pairs."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from minivae import InputError, MultVAE
from minivae.errors import check_whole
from minivae.theory.numerics import arrays, gaussian_w2, quadrature, sampled_w1, samples, smoothness, steps

DOUBLE = torch.float64


# ------------------------------------------------------------------------------------------------------- quadrature


@pytest.mark.parametrize("d", [1, 2])
def test_nodes_integrate_densities_and_moments(d):
    """∫ N = 1, ∫ z N = μ and ∫ z² N = μ² + σ² of each of three Gaussians, a narrow one inside a wide one among them."""
    mu = torch.tensor([[0.0, 1.0], [0.3, -2.0], [5.0, 1.1]], dtype=DOUBLE)[:, :d]
    sd = torch.tensor([[1.0, 0.2], [0.01, 3.0], [0.5, 0.1]], dtype=DOUBLE)[:, :d]
    z, weight = quadrature.grid(mu, sd)
    density = quadrature.log_density(z[:, None], mu, sd).exp()  # (G, 3)
    torch.testing.assert_close(weight @ density, torch.ones(3, dtype=DOUBLE), rtol=1e-12, atol=0)
    for j in range(d):
        torch.testing.assert_close((weight * z[:, j]) @ density, mu[:, j], rtol=1e-11, atol=1e-12)
        second = mu[:, j].square() + sd[:, j].square()
        torch.testing.assert_close((weight * z[:, j].square()) @ density, second, rtol=1e-11, atol=0)


def test_nodes_cover_nine_spreads_on_either_side():
    """Weights sum to the length that is covered; ten nodes to a panel, a panel between neighbouring cuts."""
    mu, sd = torch.tensor([[[2.0]], [[-1.0]]], dtype=DOUBLE), torch.tensor([[[0.5]], [[2.0]]], dtype=DOUBLE)
    z, weight = quadrature.grid(mu, sd)
    assert (z.shape, weight.shape) == ((2, 180, 1), (2, 180))
    torch.testing.assert_close(weight.sum(-1), 18 * sd[:, 0, 0])
    for k in range(2):
        assert bool(((z[k] - mu[k]).abs() < 9 * sd[k]).all())
        assert float((z[k] - mu[k]).abs().max()) > 8.9 * float(sd[k])
    plane, area = quadrature.grid(mu[:, 0].T[None].expand(1, 1, 2), sd[:, 0].T[None].expand(1, 1, 2))
    assert plane.shape == (1, 180**2, 2)
    assert float(area.sum()) == pytest.approx(18 * 0.5 * 18 * 2)


@pytest.mark.parametrize(
    ("mu", "sd", "can"),
    [
        ([[1.0]], [[0.9e-7]], False),
        ([[1.0]], [[1.0e-7]], False),
        ([[1.0]], [[1.1e-7]], True),
        ([[-10.0], [0.0]], [[1.0], [1.1e-7]], False),  # the largest mean counts, whatever its sign
        ([[0.0]], [[1e-200]], True),
        ([[0.0]], [[0.0]], False),
    ],
)
def test_spreads_that_float64_resolves(mu, sd, can):
    mu, sd = torch.tensor(mu, dtype=DOUBLE), torch.tensor(sd, dtype=DOUBLE)
    assert quadrature.resolves(mu, sd) == can
    if not can:
        with pytest.raises(InputError, match="quadrature cannot place its nodes"):
            quadrature.grid(mu, sd)


def test_what_quadrature_is_not_for():
    assert quadrature.resolves(torch.empty(0, 2), torch.empty(0, 2))
    with pytest.raises(InputError, match="not 3"):
        quadrature.grid(torch.zeros(1, 3), torch.ones(1, 3))


def test_log_density_is_scipys():
    rng = np.random.default_rng(0)
    z, mu, sd = rng.normal(size=(3, 5, 4))
    expected = stats.norm(mu, np.abs(sd)).logpdf(z).sum(-1)
    np.testing.assert_allclose(quadrature.log_density(*map(torch.from_numpy, (z, mu, np.abs(sd)))), expected)


# ----------------------------------------------------------------------------------------------------------- arrays


@pytest.mark.parametrize(
    ("values", "dtype", "kind"),
    [
        ((np.ones(2, np.float32), 2), torch.float32, np.ndarray),
        ((np.ones(2, np.int64), 2), torch.float64, np.ndarray),
        ((np.ones(2, np.float32), np.ones(2)), torch.float64, np.ndarray),
        ((torch.ones(2), np.ones(2)), torch.float64, torch.Tensor),
        ((torch.ones(2, dtype=torch.float16), torch.ones(2, dtype=torch.bfloat16)), torch.float32, torch.Tensor),
        ((torch.ones(2, dtype=torch.int32), [1, 2]), torch.float64, torch.Tensor),
        ((True, [0.5, 1.0]), torch.float64, np.ndarray),
    ],
)
def test_the_widest_floating_dtype_counts(values, dtype, kind):
    made, back = arrays.as_tensors(*values)
    assert {m.dtype for m in made} == {dtype}
    assert isinstance(back(made[0] + made[1]), kind)


def test_any_layout_of_numbers_is_taken_and_left_alone():
    plain = np.arange(12.0).reshape(3, 4)
    frozen = plain.copy()
    frozen.flags.writeable = False
    for a in (plain[::-1, ::2], plain.T, plain.astype(">f8"), frozen, np.asfortranarray(plain)):
        (t,), back = arrays.as_tensors(a)
        np.testing.assert_array_equal(t.numpy(), a)
        np.testing.assert_array_equal(back(t), a)
    assert isinstance(arrays.as_tensors(1.5)[1](torch.tensor(2.0)), np.floating)
    leaf = torch.ones(2, requires_grad=True)
    (t,), back = arrays.as_tensors(leaf)
    assert back(t).requires_grad


@pytest.mark.parametrize("wrong", ["two", None, [1, "a"], np.array([1j]), [object()]])
def test_what_is_no_number_is_one_sentence(wrong):
    with pytest.raises(InputError, match="expected a tensor, an array or a number"):
        arrays.as_tensors(wrong)
    with pytest.raises(InputError, match="ragged list"):
        arrays.as_tensors([[1.0], [1.0, 2.0]])


@pytest.mark.parametrize(("n", "least", "fine"), [(1, 1, True), (0, 1, False), (0, 0, True), (-1, 0, False)])
def test_whole_numbers_from_their_least(n, least, fine):
    for value in (n, np.int64(n)):
        if fine:
            check_whole(least, k=value)
        else:
            with pytest.raises(InputError, match=f"k={n}.*at least {least}|k=np.int64"):
                check_whole(least, other=5, k=value)
    for value in (True, float(n), str(n)):
        with pytest.raises(InputError, match="must be a whole number"):
            check_whole(least, k=value)


def test_whole_numbers_up_to_their_most():
    check_whole(1, 3, k=3, other=1)
    for n in (4, 0):
        with pytest.raises(InputError, match=rf"^k={n} is not possible; it must be a whole number from 1 to 3$"):
            check_whole(1, 3, k=n)


def test_a_bad_value_is_told_by_name():
    good = torch.ones(3)
    arrays.check_sd(good, torch.zeros(3))
    for bad in (-1.0, torch.inf, torch.nan):
        wrong = torch.tensor([1.0, bad, 1.0])
        with pytest.raises(InputError, match="sd has a negative"):
            arrays.check_sd(good, wrong)
        if bad != -1:
            with pytest.raises(InputError, match=r"^second holds"):
                arrays.check_finite(first=good, second=wrong)
    arrays.check_fit(a=torch.ones(4, 1, 3), b=good)
    with pytest.raises(InputError, match=r"a \(2,\), b \(3,\)"):
        arrays.check_fit(a=torch.ones(2), b=good)


# ---------------------------------------------------------------------------------------------------------- samples


def vae(n_items=6, latent=3):
    model = MultVAE(n_items, hidden=4, latent=latent)
    model.reset_parameters(torch.Generator().manual_seed(0))
    return model.eval()


def test_draws_are_means_and_spreads_of_standard_normals():
    model, x = vae(), torch.eye(6)
    with torch.no_grad():
        z = samples.posterior_samples(model, x, 5, torch.Generator().manual_seed(7))
        mu, sd = model.encode(x)
        noise = torch.randn(6, 5, 3, generator=torch.Generator().manual_seed(7))
        torch.testing.assert_close(z, mu[:, None] + sd[:, None] * noise)
        assert torch.equal(samples.posterior_samples(model, x, 0, None), mu[:, None])
    with pytest.raises(InputError, match=r"n_samples=-1.*at least 0"):
        samples.posterior_samples(model, x, -1, None)


@pytest.mark.parametrize(
    ("x", "z", "says"),
    [
        (torch.ones(2, 5), (2, 1, 3), "6 items"),
        (torch.ones(6), (2, 1, 3), "6 items"),
        (torch.ones(2, 6), (3, 1, 3), "U = 2"),
        (torch.ones(2, 6), (2, 0, 3), "S ≥ 1"),
        (torch.ones(2, 6), (2, 3), "S ≥ 1"),
        (torch.ones(2, 6), (2, 1, 2), "2 latent dimensions, but the model 3"),
    ],
)
def test_users_and_samples_that_do_not_belong_together(x, z, says):
    samples.check_rows(vae(), torch.ones(2, 6), torch.ones(2, 1, 3))
    with pytest.raises(InputError, match=says):
        samples.check_rows(vae(), x, torch.ones(z))


def test_rows_of_any_kind_become_dense_in_the_dtype_of_another():
    x = np.random.default_rng(0).integers(0, 2, (5, 4))
    for kind in (x, sp.csr_matrix(x), sp.csc_matrix(x), torch.from_numpy(x)):
        rows = samples.dense(kind, slice(1, 3), torch.ones(1, dtype=DOUBLE))
        assert rows.dtype == DOUBLE
        np.testing.assert_array_equal(rows, x[1:3])


def test_a_model_is_still_within_and_as_it_was_after():
    model = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Linear(2, 2), nn.Dropout()))
    model[1].eval()
    before = [m.training for m in model.modules()]
    assert len(set(before)) == 2
    seen = []

    def fails():
        with samples.still(model):
            seen.extend(m.training for m in model.modules())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert seen == [False] * 5
    assert [m.training for m in model.modules()] == before
    with samples.still(SimpleNamespace()):  # an outside model has no modes
        pass


def test_a_float64_decoder_is_a_copy():
    model = vae().train()
    copy = samples.float64_decoder(model)
    assert {p.dtype for p in copy.parameters()} == {DOUBLE}
    assert not any(m.training for m in copy.modules())
    assert model.decoder.training
    assert {p.dtype for p in model.decoder.parameters()} == {torch.float32}


# ------------------------------------------------------------------------------------------------------------ steps


def test_steps_on_several_users_are_steps_on_each_alone(monkeypatch):
    """With a rate for each, for one user or for a list, and however many users are taken at a time."""
    model, x = vae(), (torch.rand(6, 6, generator=torch.Generator().manual_seed(1)) < 0.5).double()
    z = torch.randn(6, 4, 3, generator=torch.Generator().manual_seed(2))
    before = [p.clone() for p in model.decoder.parameters()]
    both = steps.step_effect(model, x, [4, 1], torch.tensor([0.1, 0.3]), z)
    assert both.shape == (6, 2)
    for column, (v, rate) in enumerate(((4, 0.1), (1, 0.3))):
        alone = steps.step_effect(model, sp.csr_matrix(x.numpy()), v, float(np.float32(rate)), z)
        torch.testing.assert_close(both[:, column], alone, rtol=1e-9, atol=1e-12)
        assert float(alone[v]) < 0
    whole = steps.curvature(model, x, 1, z)
    monkeypatch.setattr(steps, "TILE_BYTES", 1)
    torch.testing.assert_close(steps.step_effect(model, x, [4, 1], torch.tensor([0.1, 0.3]), z), both)
    torch.testing.assert_close(steps.curvature(model, x, 1, z), whole)
    assert all(torch.equal(a, b) for a, b in zip(before, model.decoder.parameters(), strict=True))


def test_curvature_and_slope_are_what_small_steps_show():
    """L(θ − η g) = L − η ⟨g_u, g_v⟩ + η²/2 g_vᵀ∇²L_u g_v + …: the even part of the change, over η²‖g_v‖²/2."""
    model, x = vae(), (torch.rand(6, 6, generator=torch.Generator().manual_seed(3)) < 0.5).double()
    z = torch.randn(6, 2, 3, generator=torch.Generator().manual_seed(4))
    v, eta = 2, 1e-3
    decoder = samples.float64_decoder(model).requires_grad_(True)
    loss = -(x[v] * torch.log_softmax(decoder(z[v].double()), -1)).sum(-1).mean()
    g = torch.cat([t.flatten() for t in torch.autograd.grad(loss, list(decoder.parameters()))])
    forth = steps.step_effect(model, x, v, eta, z)
    twice = steps.step_effect(model, x, v, 2 * eta, z)
    even = (twice - 2 * forth) / eta**2  # (4 − 2)/2 of the second derivative
    np.testing.assert_allclose(even / float(g @ g), steps.curvature(model, x, v, z), rtol=2e-2, atol=2e-3)
    assert float(forth[v]) == pytest.approx(-eta * float(g @ g), rel=2e-2)


# -------------------------------------------------------------------------------------------------------- distances


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([1, 2, 7, 100]))
def test_distances_of_all_pairs_do_not_cancel(seed, block):
    """Far from 0 and a millionth apart, by plain differences; equal rows are at 0 exactly."""
    rng = np.random.default_rng(seed)
    a = 1e3 + rng.normal(size=(6, 3)) * 10.0 ** rng.integers(-7, 1, (6, 1))
    a[5] = a[0]
    expected = np.sqrt(((a[:, None] - a) ** 2).sum(-1))
    found = gaussian_w2.distance_matrix(a, block=block)
    np.testing.assert_allclose(found, expected, rtol=1e-7)
    assert found[5, 0] == found[0, 5] == 0
    np.testing.assert_allclose(gaussian_w2.distance_matrix(a[:2], a[2:], block), expected[:2, 2:], rtol=1e-7)


def test_distances_of_no_block_are_refused():
    with pytest.raises(InputError, match="block=0"):
        gaussian_w2.distance_matrix(np.ones((2, 2)), block=0)


@pytest.mark.parametrize(("share", "fine"), [(0.9, True), (1.2, False)])
def test_covariances_may_be_off_by_what_float32_leaves(share, fine):
    """A negative eigenvalue or an asymmetry of 8 d ε₃₂ of the largest eigenvalue is rounding, more is an error."""
    room = 8 * 2 * float(np.finfo(np.float32).eps) * 3
    negative = np.diag([3.0, -share * room])
    crooked = np.array([[3.0, share * room], [0.0, 3.0]])
    for cov in (negative, crooked):
        if fine:
            assert np.isfinite(gaussian_w2.w2_gaussian_full(np.zeros(2), cov, np.zeros(2), np.eye(2)))
        else:
            with pytest.raises(InputError, match=r"^cov_u is not symmetric"):
                gaussian_w2.w2_gaussian_full(np.zeros(2), cov, np.zeros(2), np.eye(2))
            with pytest.raises(InputError, match=r"^cov_v is not symmetric"):
                gaussian_w2.w2_gaussian_full(np.zeros(2), np.eye(2), np.zeros(2), cov)


@pytest.mark.parametrize("shapes", [((0,), (3,)), ((3,), (2, 0)), ((), (3,))])
def test_samples_on_a_line_that_are_none(shapes):
    with pytest.raises(InputError, match="n >= 1"):
        sampled_w1.w1_samples_1d(*(torch.ones(s) for s in shapes))


@pytest.mark.parametrize("shapes", [((3,), (3, 1)), ((3, 2), (3, 1)), ((0, 2), (3, 2)), ((3, 2), (0, 2))])
def test_clouds_that_do_not_fit(shapes):
    with pytest.raises(InputError, match="with one d and n >= 1"):
        sampled_w1.w1_empirical(*(torch.ones(s) for s in shapes))


@pytest.mark.parametrize("shapes", [((3, 2), (3, 3), (2, 4)), ((3, 3), (3, 2), (2, 4)), ((2,), (3, 2), (2, 4))])
def test_clouds_and_directions_that_do_not_fit(shapes):
    with pytest.raises(InputError, match="do not fit"):
        sampled_w1.sliced_w1(*(torch.ones(s) for s in shapes))
    with pytest.raises(InputError, match="do not fit"):
        sampled_w1.sliced_w1(torch.ones(3, 2), torch.ones(3, 2), torch.ones(2))


def test_leading_axes_of_samples_broadcast():
    u, v = np.random.default_rng(0).normal(size=(2, 4, 5, 3))
    whole = sampled_w1.w1_empirical(u[:, None], v[None])
    assert whole.shape == (4, 4)
    assert whole[1, 2] == pytest.approx(float(sampled_w1.w1_empirical(u[1], v[2])))
    line = sampled_w1.w1_samples_1d(u[:, None, :, 0], v[None, :, :3, 0])
    assert line[3, 0] == pytest.approx(stats.wasserstein_distance(u[3, :, 0], v[0, :3, 0]))


# ------------------------------------------------------------------------------------------------------- smoothness


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000))
def test_each_user_with_two_items_loses_one_of_its_own(seed):
    x = np.random.default_rng(seed).integers(0, 2, (8, 6))
    kept, shorter = (m.toarray() for m in smoothness.without_one(x, torch.Generator().manual_seed(seed)))
    np.testing.assert_array_equal(kept, x[x.sum(1) >= 2])
    assert ((kept - shorter).sum(1) == 1).all()
    assert ((kept - shorter) >= 0).all()


def test_every_item_of_a_user_may_be_the_one_that_is_lost():
    x, shorter = smoothness.without_one(np.ones((3000, 3)), torch.Generator().manual_seed(0))
    lost = (x - shorter).toarray().sum(0)
    assert stats.chisquare(lost).pvalue > 1e-4


@pytest.mark.parametrize(
    ("x", "says"),
    [([[1, 0], [0, 0]], "without interactions"), ([[1, 2]], "other than 0 and 1"), (np.zeros((0, 2)), "without")],
)
def test_rows_that_lemma_2_4_is_not_about(x, says):
    with pytest.raises(InputError, match=says):
        smoothness.observed_smoothness(vae(2), np.array(x))
