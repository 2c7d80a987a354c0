"""The anchor loss and its variants against distances taken item by item, samples of z, and an optimiser."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given
from hypothesis import strategies as st

from minivae import InputError, MultVAE, TrainConfig
from minivae.anchors import anchor_at, anchor_loss, anchor_terms, softmin_loss
from minivae.batches import DeviceCSR, item_weights
from minivae.update import loss_terms

LATENT = 5
WEIGHTS = ["uniform", "popularity", "idf"]


def users(seed, weights="uniform", n_users=13, n_items=31):
    """Dense binary rows, their batch, and w_ui (B, I), which sums to 1 in each row; user 4 has no items."""
    x = np.random.default_rng(seed).random((n_users, n_items)) < 0.25
    x[4] = False
    n = np.maximum(x.sum(0), 1)
    table = {"uniform": 1 + 0 * n, "popularity": n, "idf": np.log(1 + n_users / n)}[weights]
    w = x * table
    w = torch.from_numpy(w / np.maximum(w.sum(1, keepdims=True), 1e-300))
    batch = DeviceCSR(sp.csr_matrix(x, dtype=np.float32), anchor_weights=weights).batch(torch.arange(n_users))
    return torch.from_numpy(x), batch, w


def posterior(seed, n_users=13, n_items=31):
    g = torch.Generator().manual_seed(seed)
    mu, logvar, anchors = (
        torch.randn(*s, generator=g, dtype=torch.float64).requires_grad_()
        for s in ((n_users, LATENT), (n_users, LATENT), (n_items, LATENT))
    )
    return mu, logvar.exp(), anchors, (mu, logvar, anchors)


def squared_distances(mu, variance, anchors):
    """E‖z − e_i‖² = ‖μ − e_i‖² + Σ_j σ_j², (B, I)."""
    return (mu[:, None] - anchors[None]).square().sum(-1) + variance.sum(-1, keepdim=True)


def mean_distance(mu, variance, anchors, w):
    """Σ_{i∈S_x} w_i E‖z − e_i‖², item by item."""
    return (w * squared_distances(mu, variance, anchors)).sum(1)


def soft_minimum(mu, variance, anchors, w, temperature):
    """−τ log Σ_i w_i exp(−E‖z − e_i‖²/τ); zero for a user without items."""
    a = torch.where(w > 0, w, 1).log() - squared_distances(mu, variance, anchors) / temperature
    some = (w > 0).any(1)
    a = torch.where((w > 0) | ~some[:, None], a, -torch.inf)
    return torch.where(some, -temperature * a.logsumexp(1), 0)


def check_anchor_loss(loss, reference, weights="uniform"):
    """Value per user and the gradients to μ, log σ² and E, for several draws of users."""
    exact = weights == "uniform"  # other weights are stored in float32
    rtol, atol = (1e-10, 1e-12) if exact else (1e-5, 1e-6)
    for seed in range(3):
        x, batch, w = users(seed, weights)
        mu, variance, anchors, leaves = posterior(seed)
        upstream = torch.rand(len(x), generator=torch.Generator().manual_seed(9), dtype=torch.float64)
        got, expected = loss(mu, variance, anchors, batch), reference(mu, variance, anchors, w)
        torch.testing.assert_close(got, expected, rtol=rtol, atol=atol)
        for a, b in zip(
            torch.autograd.grad(upstream @ got, leaves, retain_graph=True),
            torch.autograd.grad(upstream @ expected, leaves),
            strict=True,
        ):
            torch.testing.assert_close(a, b, rtol=rtol, atol=atol)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_full_anchor_loss_is_the_weighted_mean_of_squared_distances(weights):
    """Proposition 3.1, for any weights."""
    check_anchor_loss(lambda *a: anchor_loss(*a, "full"), mean_distance, weights)


@pytest.mark.parametrize("temperature", [0.1, 1.0, 30.0])
def test_softmin_is_the_soft_minimum_of_squared_distances(temperature):
    for weights in WEIGHTS:
        check_anchor_loss(
            lambda *a: anchor_loss(*a, "softmin", temperature),
            lambda mu, v, e, w: soft_minimum(mu, v, e, w, temperature),
            weights,
        )


@pytest.mark.parametrize(
    "twin",
    [
        lambda *a: anchor_loss(*a, "centroid+variance"),  # forgets the scatter of the anchors
        lambda *a: anchor_terms(*a)[0] + anchor_terms(*a)[2],  # forgets tr Σ
        lambda mu, v, e, b: anchor_loss(mu, v, e.detach(), b, "full") + 0 * e.sum(),  # the value, but E stands still
        lambda mu, v, e, b: anchor_loss(mu, v, e, b, "full") * b.counts,  # a sum over the items
        lambda *a: anchor_loss(*a, "softmin", 1.0),
    ],
)
def test_anchor_twins_are_rejected(twin):
    with pytest.raises(AssertionError):
        check_anchor_loss(twin, mean_distance)


@pytest.mark.parametrize("weights", ["popularity", "idf"])
def test_twins_with_other_weights_are_rejected(weights):
    def plain(mu, variance, anchors, w):
        return mean_distance(mu, variance, anchors, (w > 0) / (w > 0).sum(1, keepdim=True).clamp_min(1))

    with pytest.raises(AssertionError):
        check_anchor_loss(lambda *a: anchor_loss(*a, "full"), plain, weights)


def test_softmin_twins_are_rejected():
    for twin in (
        lambda *a: softmin_loss(*a, 2.0),  # another temperature
        lambda mu, v, e, b: softmin_loss(mu, v, e, b, 1.0) - v.sum(-1),  # forgets tr Σ
        lambda *a: anchor_loss(*a, "full"),
    ):
        with pytest.raises(AssertionError):
            check_anchor_loss(twin, lambda mu, v, e, w: soft_minimum(mu, v, e, w, 1.0))


def decomposed(mu, variance, mine, w, r, temperature):
    """The right side of the proposition for one user, at any responsibilities r (n,)."""
    centre = r @ mine
    kl = (r * (r / w).log()).sum()
    scatter = r @ (mine - centre).square().sum(-1)
    return (mu - centre).square().sum() + variance.sum() + scatter + temperature * kl


@pytest.mark.parametrize("temperature", [0.5, 4.0])
def test_softmin_is_a_centroid_with_the_best_weights(temperature):
    """The identity with r ∝ w exp(−‖μ − e‖²/τ), and that no other r gives less (Gibbs)."""
    x, batch, w = users(5, "idf")
    mu, variance, anchors, _ = (p.detach() if isinstance(p, torch.Tensor) else p for p in posterior(5))
    got = softmin_loss(mu, variance, anchors, batch, temperature)
    g = torch.Generator().manual_seed(1)
    for u in np.flatnonzero(x.any(1)):
        mine, own = anchors[x[u]], w[u, x[u]]
        r = torch.softmax(own.log() - (mu[u] - mine).square().sum(-1) / temperature, 0)
        best = decomposed(mu[u], variance[u], mine, own, r, temperature)
        torch.testing.assert_close(got[u], best, rtol=1e-6, atol=1e-6)
        for _ in range(20):
            other = torch.softmax(r.log() + torch.randn(len(r), generator=g, dtype=torch.float64), 0)
            assert decomposed(mu[u], variance[u], mine, own, other, temperature) >= best - 1e-9
        if len(r) > 1:
            with pytest.raises(AssertionError):  # twin: the identity does not hold with the weights w
                torch.testing.assert_close(
                    got[u], decomposed(mu[u], variance[u], mine, own, own, temperature), rtol=1e-6, atol=1e-6
                )


def test_softmin_between_the_mean_and_the_nearest():
    x, batch, w = users(6)
    mu, variance, anchors, _ = (p.detach() if isinstance(p, torch.Tensor) else p for p in posterior(6))
    distance = squared_distances(mu, variance, anchors)
    nearest = torch.where(x, distance, torch.inf).amin(1)[x.any(1)]
    some = x.any(1)
    hot, cold = (softmin_loss(mu, variance, anchors, batch, t)[some] for t in (1e6, 1e-3))
    torch.testing.assert_close(hot, mean_distance(mu, variance, anchors, w)[some], rtol=1e-4, atol=0)
    torch.testing.assert_close(cold, nearest, rtol=0, atol=1e-3 * math.log(31))


def test_softmin_does_not_blur_two_tastes():
    """Half of the items here, half there: L_A pulls μ to the middle, softmin to the near half."""
    anchors = torch.tensor([[3.0, 0.0], [3.2, 0.0], [-3.0, 0.0], [-3.2, 0.0]], dtype=torch.float64)
    batch = DeviceCSR(sp.csr_matrix(np.ones((1, 4)))).batch(torch.arange(1))
    ends = []
    for variant in ("full", "softmin"):
        mu = torch.tensor([[0.5, 0.0]], dtype=torch.float64, requires_grad=True)
        for _ in range(300):
            loss = anchor_loss(mu, torch.ones_like(mu), anchors, batch, variant, 1.0).sum()
            (grad,) = torch.autograd.grad(loss, mu)
            mu = (mu - 0.1 * grad).detach().requires_grad_()
        ends.append(float(mu[0, 0].detach()))
    assert abs(ends[0]) < 1e-6
    assert abs(ends[1] - 3.1) < 0.01


@pytest.mark.parametrize("weights", WEIGHTS)
def test_anchor_loss_is_the_mean_over_samples_of_z(weights):
    x, batch, w = users(1, weights)
    mu, variance, anchors, _ = (p.detach() if isinstance(p, torch.Tensor) else p for p in posterior(1))
    n = 40000
    z = mu + variance.sqrt() * torch.randn(n, *mu.shape, generator=torch.Generator().manual_seed(2)).double()
    per_sample = torch.stack(
        [(z[:, u, None] - anchors[x[u]]).square().sum(-1) @ w[u, x[u]] for u in range(len(x)) if x[u].any()]
    )  # (users with items, n)
    got = anchor_loss(mu, variance, anchors, batch, "full")[batch.counts > 0]
    se = per_sample.std(1) / math.sqrt(n)
    assert bool(((per_sample.mean(1) - got).abs() < 5 * se).all())


def test_anchor_variants_and_terms():
    x, batch, _ = users(8)
    mu, variance, anchors, _ = posterior(8)
    mean_term, variance_term, scatter_term = anchor_terms(mu, variance, anchors, batch)
    for u in range(len(x)):
        mine = anchors[x[u]]
        if len(mine) == 0:
            assert (mean_term[u], variance_term[u], scatter_term[u]) == (0, 0, 0)
            assert anchor_loss(mu, variance, anchors, batch, "softmin")[u] == 0
            continue
        torch.testing.assert_close(mean_term[u], (mu[u] - mine.mean(0)).square().sum())
        torch.testing.assert_close(variance_term[u], variance[u].sum())
        torch.testing.assert_close(scatter_term[u], (mine - mine.mean(0)).square().sum(-1).mean())
    for variant, terms in {
        "full": mean_term + variance_term + scatter_term,
        "centroid+variance": mean_term + variance_term,
        "centroid": mean_term,
    }.items():
        assert torch.equal(anchor_loss(mu, variance, anchors, batch, variant), terms)
    with pytest.raises(InputError, match="anchor_variant='idf' is unknown; choose one of full"):
        anchor_loss(mu, variance, anchors, batch, "idf")


def test_gradients_of_a_user_without_items_are_finite():
    """An empty row must not make a NaN out of log 0."""
    _, batch, _ = users(2)
    mu, variance, anchors, leaves = posterior(2)
    for variant in ("full", "softmin"):
        loss = anchor_loss(mu, variance, anchors, batch, variant).sum()
        assert all(bool(g.isfinite().all()) for g in torch.autograd.grad(loss, leaves, retain_graph=True))


def test_item_weights_are_the_documented_ones():
    counts = np.array([0, 1, 4, 9])
    np.testing.assert_array_equal(item_weights(counts, 10, "uniform"), [1, 1, 1, 1])
    np.testing.assert_array_equal(item_weights(counts, 10, "popularity"), [1, 1, 4, 9])
    np.testing.assert_allclose(item_weights(counts, 10, "idf"), np.log([11, 11, 3.5, 1 + 10 / 9]))
    with pytest.raises(InputError, match="anchor_weights='tf' is unknown; choose one of uniform"):
        item_weights(counts, 10, "tf")


# the schedule of λ_A


@given(st.integers(0, 3000), st.floats(0.01, 10), st.floats(0.01, 10), st.integers(0, 2000))
def test_the_schedule_runs_from_start_to_anchor(step, anchor, start, steps):
    for schedule in ("linear", "geometric"):
        value = anchor_at(step, anchor, start, steps, schedule)
        assert min(start, anchor) * (1 - 1e-12) <= value <= max(start, anchor) * (1 + 1e-12)
        assert anchor_at(steps, anchor, start, steps, schedule) == anchor
        if steps:
            assert math.isclose(anchor_at(0, anchor, start, steps, schedule), start)


def test_linear_adds_and_geometric_multiplies():
    linear, geometric = ([anchor_at(t, 8.0, 1.0, 10, s) for t in range(11)] for s in ("linear", "geometric"))
    np.testing.assert_allclose(np.diff(linear), 0.7)
    np.testing.assert_allclose(np.array(geometric[1:]) / geometric[:-1], 8**0.1)


def test_the_schedule_is_what_the_loss_uses(toy_split):
    config = TrainConfig(anchor=2.0, anchor_start=0.5, anchor_steps=10, precision="fp32", device="cpu")
    model = MultVAE(120, 8, 4)
    model.add_anchors()
    batch = DeviceCSR(toy_split.train).batch(torch.arange(30))
    for step, weight in ((0, 0.5), (4, 1.1), (10, 2.0), (99, 2.0)):
        terms = loss_terms(model, batch, config, step)
        beta = 0.2 * min(1, step / 1500)
        expected = terms["nll"] + beta * terms["kl"] + weight * terms["anchor"]
        torch.testing.assert_close(terms["loss"], expected)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_that_is_not_above_zero_is_refused(temperature):
    batch = DeviceCSR(sp.csr_matrix(np.eye(1, 3))).batch(torch.arange(1))
    with pytest.raises(InputError, match="temperature"):
        softmin_loss(torch.zeros(1, 2), torch.ones(1, 2), torch.ones(3, 2), batch, temperature)


def test_one_latent_dimension_is_enough():
    """Anchors 3 and 5 of a user at 0 with variance 1: the centroid is 4 away, and the scatter around it is 1."""
    batch = DeviceCSR(sp.csr_matrix(np.ones((1, 2)))).batch(torch.tensor([0]))
    anchors, mu, variance = torch.tensor([[3.0], [5.0]]), torch.zeros(1, 1), torch.ones(1, 1)
    values = {"full": 18, "centroid+variance": 17, "centroid": 16, "direction": 1}
    for variant, value in values.items():
        assert float(anchor_loss(mu, variance, anchors, batch, variant)) == pytest.approx(value), variant
    soft = 1 - math.log((math.exp(-9) + math.exp(-25)) / 2)
    assert float(anchor_loss(mu, variance, anchors, batch, "softmin")) == pytest.approx(soft)
    far = anchors + 4096  # the distances are summed one by one
    assert float(anchor_loss(mu + 4100, variance, far, batch, "full")) == pytest.approx(2)


@pytest.mark.parametrize("temperature", [1e38, 1e60, 1e300, math.inf])
def test_no_temperature_is_too_hot_for_a_gradient(temperature):
    """It is that of the full loss: 2 (μ − ē) and, for each of two anchors, 2 (e − μ) / 2."""
    batch = DeviceCSR(sp.csr_matrix(np.ones((1, 2)))).batch(torch.tensor([0]))
    anchors, mu = torch.tensor([[3.0, 0.0], [5.0, 0.0]], requires_grad=True), torch.zeros(1, 2, requires_grad=True)
    loss = anchor_loss(mu, torch.zeros(1, 2), anchors, batch, "softmin", temperature)
    assert float(loss.detach()) == pytest.approx((9 + 25) / 2)
    loss.sum().backward()
    torch.testing.assert_close(mu.grad, torch.tensor([[-8.0, 0.0]]))
    torch.testing.assert_close(anchors.grad, torch.tensor([[3.0, 0.0], [5.0, 0.0]]))
