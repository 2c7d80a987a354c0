"""Small cases of the theory worked by hand: each constant, sign, axis and degree of freedom decides one of them."""

import math

import numpy as np
import pytest
import torch

from minivae import theory
from minivae.errors import InputError
from minivae.models import MultVAE
from minivae.theory import (
    anchoring,
    bottleneck,
    distances,
    drift,
    information,
    latent_contraction,
    locality,
    masking,
    masking_by_item,
    merging,
    toy,
    toy_model,
    transfer,
)
from minivae.theory.numerics import smoothness


def tensor(*rows):
    return torch.tensor(rows, dtype=torch.float64)


# -------------------------------------------------------------------------------------------------- what batches say


@pytest.mark.parametrize("size", [2, 5])
def test_equal_posteriors_have_no_information_in_any_batch(size):
    """Own density over the mean of B equal ones: log 1 below; and above, over the B − 1 others, log 1 as well."""
    found = bottleneck.batch_information(torch.zeros(6, 2), torch.ones(6, 2), [size], 5)
    assert float(found.lower[0]) == pytest.approx(0, abs=1e-12)
    assert float(found.upper[0]) == pytest.approx(0, abs=1e-12)
    assert float(found.ceiling[0]) == pytest.approx(math.log(size))


def test_standard_errors_are_those_of_the_mean_over_batches():
    """Of four batches of two, drawn here from the same generator; the error is their deviation by √4."""
    mu, sd = torch.arange(5.0)[:, None].double(), torch.full((5, 1), 0.7, dtype=torch.float64)
    one, low, up = torch.Generator().manual_seed(3), [], []
    for _ in range(4):
        m = mu[torch.randperm(5, generator=one)[:2]]
        z = m + 0.7 * torch.randn(2, 1, generator=one, dtype=torch.float64)
        own, other = (torch.distributions.Normal(at, 0.7).log_prob(z) for at in (m, m.flip(0)))
        low.append(float((own - (own.exp() / 2 + other.exp() / 2).log()).mean()))
        up.append(float((own - other).mean()))
    found = information.batch_information(mu, sd, [2], 4, torch.Generator().manual_seed(3))
    assert (float(found.lower[0]), float(found.upper[0])) == pytest.approx((np.mean(low), np.mean(up)))
    assert float(found.lower_se[0]) == pytest.approx(np.std(low, ddof=1) / 2)
    assert float(found.upper_se[0]) == pytest.approx(np.std(up, ddof=1) / 2)


def test_one_draw_a_user_has_the_error_of_the_spread_between_users():
    total = information._Mean(4)
    total.add(torch.arange(4), tensor(1.0, 2.0, 3.0, 6.0))
    assert float(total.value) == 3
    assert float(total.se) == pytest.approx(np.std([1, 2, 3, 6], ddof=1) / 2)


def test_several_draws_a_user_have_the_error_within_users():
    """Users 0 and 1 with draws (1, 3) and (5, 5): √(Var_0/2 + Var_1/2) / 2 with variances 2 and 0."""
    total = information._Mean(2)
    total.add(torch.tensor([0, 1]), tensor(1.0, 5.0))
    total.add(torch.tensor([0, 1]), tensor(3.0, 5.0))
    assert float(total.value) == 3.5
    assert float(total.se) == pytest.approx(math.sqrt(2 / 2 + 0) / 2)


# -------------------------------------------------------------------------------------------------------- bottleneck


def test_a_binomial_of_a_probability_whose_square_is_no_float():
    """P(0) = 1, P(1) = n p, and no more; where there is no trial, 0 is all there is."""
    assert masking.binomial(3, 1e-250).tolist() == pytest.approx([1, 3e-250, 0, 0], rel=1e-12, abs=0)
    assert masking.binomial(0, 1e-250).tolist() == [1]


def test_a_contraction_at_its_limit_holds_and_one_beyond_it_does_not(monkeypatch):
    """Shifts in opposite directions attain W2 = r_u + r_v, above it by rounding only; with smaller radii it fails."""
    directions = np.random.default_rng(0).normal(size=(60, 3))
    shifts = [bottleneck.contraction([-a, 0.7 * a], np.ones((2, 3))) for a in directions]
    assert any(float(c.worst_ratio) > 1 for c in shifts)
    assert all(c.holds for c in shifts)
    radius = bottleneck.t1_bound
    monkeypatch.setattr(bottleneck, "t1_bound", lambda mu, sd: 0.9 * radius(mu, sd))
    assert not bottleneck.contraction([[-1.0], [1.0]], [[1.0], [1.0]]).holds


def test_active_units_have_an_unbiased_variance():
    """Two users at ±x: the variance is 2x², not x²; with x² = 0.006 that decides."""
    x = math.sqrt(0.006)
    assert bottleneck.active_units([[x, 0.05], [-x, 0.05]]).tolist() == [True, False]
    assert bottleneck.active_units([[1.0], [-1.0]], threshold=2.0).tolist() == [False]  # at the threshold: not above


def test_contraction_by_hand():
    """Means 0, 1 and 3, equal spreads: W2 is 1, 3, 2; radii 0, 1, 3; the ratios 1, 1, 1/2."""
    found = bottleneck.contraction(tensor([0.0], [1.0], [3.0]), torch.ones(3, 1, dtype=torch.float64))
    assert found.radius.tolist() == pytest.approx([0, 1, 3])
    assert found.w2.tolist() == [[0, 1, 3], [1, 0, 2], [3, 2, 0]]
    assert float(found.worst_ratio) == pytest.approx(1)
    assert float(found.mean_ratio) == pytest.approx((1 + 1 + 0.5) / 3)
    assert found.holds


def test_a_sweep_is_in_ascending_beta_with_descending_divergences():
    mu = tensor([0.0, 1.0], [2.0, -1.0], [1.0, 3.0])
    sd = torch.ones_like(mu)
    table = bottleneck.collapse([(2.0, mu / 2, sd, 0.1), (0.5, mu, sd, 0.4)])
    assert table.beta.tolist() == [0.5, 2.0]
    assert table.accuracy.tolist() == pytest.approx([0.4, 0.1])
    assert table.kl_per_dimension[0].tolist() == pytest.approx([(1 + 1 + 9) / 6, (0 + 4 + 1) / 6])
    assert table.kl_per_dimension[1].tolist() == pytest.approx([11 / 24, 5 / 24])
    far = [math.sqrt(4 + 4), math.sqrt(1 + 4), math.sqrt(1 + 16)]
    assert float(table.mean_w2[0]) == pytest.approx(sum(far) / 3)
    assert float(table.mean_radius[0]) == pytest.approx((1 + math.sqrt(5) + math.sqrt(10)) / 3)


# --------------------------------------------------------------------------------------------------------- Lemma 2.4


def encoder():
    model = MultVAE(5, hidden=4, latent=2)
    model.reset_parameters(torch.Generator().manual_seed(0))
    return model.double()


def test_distances_at_the_input_by_hand():
    """{0, 1} and {1, 2, 3} have one item in common: |x − y| = 3, and cos = 1/√6 between their directions."""
    seen = smoothness.observed_smoothness(encoder(), np.array([[1, 1, 0, 0, 0], [0, 1, 1, 1, 0]]))
    assert float(seen.input_distance[0, 1]) == 3
    assert float(seen.unit_distance[0, 1]) == pytest.approx(math.sqrt(2 - 2 / math.sqrt(6)))
    assert float(seen.unit_distance[0, 0]) == 0


def test_the_smaller_user_of_paired_rows_decides_the_constant():
    model, few, many = encoder(), np.array([[1, 0, 0, 0, 0]]), np.array([[1, 1, 1, 1, 0]])
    expected = smoothness.encoder_constants(model, 1).joint
    assert smoothness.encoder_constants(model, 4).joint < expected
    for x, y in ((few, many), (many, few)):
        assert smoothness.observed_smoothness(model, x, y).proved.joint == expected


def test_the_worst_slack_is_the_smallest():
    seen = smoothness.observed_smoothness(encoder(), np.eye(5) + np.eye(5, k=1))
    other = ~torch.eye(5, dtype=torch.bool)
    slack = seen.proved.joint * seen.input_distance[other] - seen.latent_distance[other]
    assert seen.worst_slack == pytest.approx(float(slack.min()))
    assert float(slack.max()) > seen.worst_slack
    ratio = (seen.latent_distance / seen.input_distance)[other]
    assert seen.largest == pytest.approx(float(ratio.max()))
    assert seen.tightness == pytest.approx(seen.largest / seen.proved.joint)


def test_both_normalisation_constants_by_hand():
    assert smoothness.normalisation_constant(4, norm=2) == 0.5
    assert smoothness.normalisation_constant(4) == pytest.approx(math.sqrt(2 - 2 * math.sqrt(4 / 5)))


# ------------------------------------------------------------------------------------------------------- Theorem 2.5


@pytest.mark.parametrize(
    ("conjugate", "value"),
    [
        (locality.gaussian_conjugate, 0.5 * (0.0625 + 0.36)),
        (locality.bernoulli_conjugate, sum(t * math.log(t) + (1 - t) * math.log(1 - t) for t in (0.25, 0.6))),
        (locality.poisson_conjugate, sum(t * math.log(t) - t for t in (0.25, 0.6))),
        (locality.multinomial_conjugate, sum(t * math.log(t / 0.85) for t in (0.25, 0.6))),
    ],
)
def test_conjugates_by_hand(conjugate, value):
    assert float(conjugate(tensor(0.25, 0.6))) == pytest.approx(value)


# --------------------------------------------------------------------------------------------------- Proposition 3.2


def test_what_the_anchor_leaves_of_the_covariance_by_hand():
    """H = diag(2, 0), λ = 1, τ = ½; minimisers (±1, ±1) have unbiased covariance twos: the anchored diag(½, 0)."""
    model = anchoring.QuadraticModel(np.diag([2.0, 0.0]), 1.0, np.zeros(2))
    shrunk = model.shrink(np.array([[1.0, 1.0], [-1.0, -1.0]]))
    assert shrunk.tau == pytest.approx(0.5)
    assert shrunk.free.tolist() == [[2, 2], [2, 2]]
    np.testing.assert_allclose(shrunk.anchored, [[0.5, 0], [0, 0]], atol=1e-15)
    assert shrunk.trace_ratio == pytest.approx(0.5 / 4)
    assert shrunk.spectral_ratio == pytest.approx(0.5 / 4)
    # τ² Cov m − Cov μ* = [[0, ½], [½, ½]] has the eigenvalues (½ ± √(¼ + 1)) / 2
    assert shrunk.loewner_gap == pytest.approx((0.5 - math.sqrt(1.25)) / 2)


def test_the_ratio_of_scatters_by_hand():
    """Anchors 0, 2 and 4: the scatter of all is 8/3, that of a user with the first two 1."""
    norms = anchoring.anchor_norms(np.array([[0.0], [2.0], [4.0]]), np.array([[1, 1, 0], [0, 0, 0]]))
    assert norms.scatter == pytest.approx(8 / 3)
    assert norms.user_scatter == pytest.approx(1)
    assert norms.ratio == pytest.approx(3 / 8)
    assert norms.frobenius == pytest.approx(math.sqrt(20))


# ------------------------------------------------------------------------------------------------------------- drift


def test_nobody_is_a_neighbour_of_their_own():
    found = drift._nearest(tensor([0.0], [1.0], [1.5], [9.0]), 2)
    assert [sorted(row) for row in found.tolist()] == [[1, 2], [0, 2], [0, 1], [1, 2]]


def test_neighbours_far_from_the_origin_keep_their_digits():
    """A common shift of 10⁹ changes no neighbour, though its square has no digit left for the differences."""
    generator = torch.Generator().manual_seed(0)
    mu = torch.randn(30, 3, generator=generator, dtype=torch.float64)
    here, far = drift._nearest(mu, 4), drift._nearest(mu + 1e9, 4)
    assert [set(a) for a in here.tolist()] == [set(b) for b in far.tolist()]


def test_no_pair_is_a_user_beside_themselves_and_each_other_user_may_come():
    u, v = latent_contraction._pairs(40, 700, torch.Generator().manual_seed(1))
    assert len(u) == 700
    assert not bool((u == v).any())
    assert set(((v - u) % 40).tolist()) == set(range(1, 40))
    assert len(latent_contraction._pairs(4, 5, None)[0]) == 5  # one less than there are: they are drawn
    few = latent_contraction._pairs(4, 6, None)
    assert sorted(zip(*(t.tolist() for t in few), strict=True)) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]


def test_variances_over_masks_by_hand():
    """Users at 0 ± 1 and 4 ± 3 over two draws: within 2 and 18, the means' variance 8 less half of 10."""
    v = drift._Variance()
    v.add(tensor([-1.0], [1.0]))
    v.add(tensor([1.0], [7.0]))
    found = v.result()
    assert found.per_user.tolist() == pytest.approx([2, 18])
    assert (found.within, found.between) == pytest.approx((10, 8 - 5))
    assert found.ratio == pytest.approx(10 / 3)


# --------------------------------------------------------------------------------- the proved constants, part by part


def test_the_proved_lipschitz_constant_by_hand():
    """Two items, one feature, A = 2, W = (3, 1), b = 0 and one user (2, 1): K = 2 (3 · ½ · √2 · 1 + R).

    The centred W_c = (1, −1) has the norm √2, and √H is 1, or √(4/27) without bias; the logits differ by at most 2,
    so π lies within 1/(1 + e²) and 1/(1 + e⁻²). R² is the smaller of 9 − 6·1 + 5 and the sum over the
    items of the largest (3π − x)².
    """
    net = torch.nn.Sequential(toy.BoundedFeatures(tensor([2.0]), tensor(0.0)), torch.nn.Linear(1, 2).double())
    with torch.no_grad():
        net[1].weight.copy_(tensor([3.0], [1.0]))
        net[1].bias.zero_()
    low, high = 1 / (1 + math.exp(2)), 1 / (1 + math.exp(-2))
    box = sum(max((3 * p - x) ** 2 for p in (low, high)) for x in (2, 1))
    r = math.sqrt(min(9 - 6 + 5, box))
    found = float(toy.proved_lipschitz(net, tensor([2.0, 1.0]))[0])
    assert found == pytest.approx(2 * (3 * 0.5 * math.sqrt(2) + r))
    bare = torch.nn.Sequential(net[0], torch.nn.Linear(1, 2, bias=False).double())
    with torch.no_grad():
        bare[1].weight.copy_(tensor([3.0], [1.0]))
    without = 2 * (3 * 0.5 * math.sqrt(2) * math.sqrt(4 / 27) + r)
    assert float(toy.proved_lipschitz(bare, tensor([2.0, 1.0]))[0]) == pytest.approx(without)


def check_feature_bound(square, features, bias):
    """``‖(h, 1)‖ max_i (1 − h_i²)`` stays below the root of `square` on a grid of all features, and comes near it."""
    h = np.stack(np.meshgrid(*[np.linspace(0, 1, 61)] * features), -1).reshape(-1, features)
    largest = (((h**2).sum(1) + bias) ** 0.5 * (1 - h.min(1) ** 2)).max()
    assert 0.999 * square**0.5 < largest <= square**0.5 + 1e-12


@pytest.mark.parametrize("features", [1, 2, 3])
def test_steep_features_are_small(features):
    """The bound of the toy, with the trivial one, H + 1, as the broken twin, and one that is too small."""
    check_feature_bound(features, features, bias=True)
    check_feature_bound(max(features - 1, 4 / 27), features, bias=False)
    for wrong in (features + 1, 0.99 * features):
        with pytest.raises(AssertionError):
            check_feature_bound(wrong, features, bias=True)


def test_probabilities_lie_within_their_bounds_and_reach_them():
    """W = (1, −1), b = (0, 1): at h → ±1 the first logit leads by −1 ± 2."""
    output = torch.nn.Linear(1, 2).double()
    with torch.no_grad():
        output.weight.copy_(tensor([1.0], [-1.0]))
        output.bias.copy_(tensor(0.0, 1.0))
        low, high = toy_model._probability_range(output)
    first = [1 / (1 + math.exp(3)), 1 / (1 + math.exp(-1))]
    assert low.tolist() == pytest.approx([first[0], 1 - first[1]])
    assert high.tolist() == pytest.approx([first[1], 1 - first[0]])


def test_a_flat_decoder_has_the_smallest_kappa_that_is_right():
    """All logits equal over ten items: π = 1/10, so κ is 1/10 and not 1/2; W_c = 0 leaves R alone."""
    output = torch.nn.Linear(2, 10).double()
    with torch.no_grad():
        output.weight.fill_(0.3)
        output.bias.zero_()
    net = torch.nn.Sequential(toy.BoundedFeatures(torch.eye(2).double(), tensor(0.0, 0.0)), output)
    x = tensor([1.0] * 4 + [0.0] * 6)
    r = math.sqrt(4 * (0.4 - 1) ** 2 + 6 * 0.4**2)
    assert float(toy.proved_lipschitz(net, x)[0]) == pytest.approx(r)


def test_a_corner_bounds_what_is_far_from_a_long_history():
    """With weights so large that π may be anything, R² = N² − 2N min x + ‖x‖², or the box of the π_i if smaller."""
    output = torch.nn.Linear(1, 3, bias=False).double()
    with torch.no_grad():
        output.weight.copy_(tensor([400.0], [-400.0], [0.0]))
    net = torch.nn.Sequential(toy.BoundedFeatures(tensor([1.0]), tensor(0.0)), output)
    x = tensor([1.0, 2.0, 4.0])
    corner, box = 49 - 14 * 1 + 21, 36 + 25 + 16
    turn = 7 * 0.5 * 400 * math.sqrt(2) * math.sqrt(4 / 27)
    assert corner < box
    assert float(toy.proved_lipschitz(net, x)[0]) == pytest.approx(turn + math.sqrt(corner))


# ------------------------------------------------------------------------------ borders, single users and wrong input


def test_the_bound_on_all_pairs_may_be_attained_but_not_missed(monkeypatch):
    for far in np.linspace(0.1, 30, 400):
        assert bottleneck.contraction(tensor([-far], [far / 3]), torch.ones(2, 1, dtype=torch.float64)).holds
    real = bottleneck.t1_bound
    monkeypatch.setattr(bottleneck, "t1_bound", lambda mu, sd: 0.999 * real(mu, sd))
    assert not bottleneck.contraction(tensor([-1.0], [1.0]), torch.ones(2, 1, dtype=torch.float64)).holds


def test_nothing_is_left_where_nothing_curves():
    assert anchoring.shrinkage(0.0, 1.0) == 0
    assert anchoring.shrinkage(1.0, 0.0) == 1
    for bad in ((-1.0, 2.0), (2.0, -0.5), (0.0, 0.0)):
        with pytest.raises(InputError):
            anchoring.shrinkage(*bad)


class Linear:
    """μ = x W, and every input that was encoded is kept."""

    def __init__(self, n_items):
        self.w = torch.randn(n_items, 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
        self.seen = []

    def encode(self, x, normalize=True):
        assert normalize is False
        mu = torch.from_numpy(x.toarray()).double() @ self.w
        self.seen.append(mu)
        return mu, torch.ones_like(mu)


def test_contraction_in_latent_space_pair_by_pair():
    """Means and standard errors by quantile, recomputed from what the encoder gave."""
    x = np.random.default_rng(0).random((9, 12)) < 0.5
    x[:, 0] = True
    model = Linear(12)
    found = latent_contraction.latent_contraction(
        model, x, 0.5, "raw", n_pairs=100, n_masks=4, n_quantiles=3, generator=torch.Generator().manual_seed(2)
    )
    pairs = [(u, v) for u in range(9) for v in range(u + 1, 9)]
    far = np.array([[float((mu[u] - mu[v]).norm()) for u, v in pairs] for mu in model.seen])
    clean, masked = far[0], far[1:]
    order = np.argsort(clean, kind="stable")
    for q, members in enumerate(np.array_split(order, 3)):
        ratios = masked[:, members].mean(1) / clean[members].mean()
        closer = (masked[:, members] < clean[members]).mean(1)
        assert found.n_pairs[q] == 12
        assert found.clean[q] == pytest.approx(clean[members].mean())
        assert (found.ratio[q], found.ratio_se[q]) == pytest.approx((ratios.mean(), ratios.std(ddof=1) / 2))
        assert found.prob_contract[q] == pytest.approx(closer.mean())
        assert found.prob_contract_se[q] == pytest.approx(closer.std(ddof=1) / 2)


def test_one_user_or_one_draw_has_no_variance():
    x = np.ones((3, 12))
    for rows, n_masks in ((x[:1], 4), (x, 1)):
        with pytest.raises(InputError, match="at least 2"):
            drift.mask_variance(Linear(12), rows, 0.5, n_masks=n_masks)
        with pytest.raises(InputError, match=r"at least 2|n_masks=1"):
            latent_contraction.latent_contraction(Linear(12), rows, 0.5, n_masks=n_masks, n_quantiles=1)
    drift.mask_variance(Linear(12), x[:2], 0.5, n_masks=2)
    pair = latent_contraction.latent_contraction(Linear(12), x[:2], 0.5, n_masks=2, n_quantiles=1)
    assert pair.n_pairs.tolist() == [1]


def test_a_mean_over_users_needs_users():
    for mu in ([0.0, 1.0], np.zeros((0, 2))):
        with pytest.raises(InputError, match=r"a mean over users needs \(U, d\)"):
            bottleneck.kl_per_dimension(mu, np.ones_like(mu))


def test_the_counterexample_is_the_one_that_is_described():
    model, m = anchoring.loewner_counterexample()
    assert (model.H.tolist(), model.lam, model.centroid.tolist()) == ([[1, 0], [0, 0.01]], 0.5, [0, 0])
    assert m.tolist() == [[1, 1], [-1, -1]]


def test_probabilities_never_exceed_one():
    for keep in (0.1, 0.3, 0.5, 0.7, 0.9):
        s, d = np.meshgrid(np.arange(12), np.arange(1, 12))
        law = masking.masked_distance(s.ravel(), d.ravel(), keep)
        assert (law.tail(0.0) <= 1).all()
        np.testing.assert_allclose(law.tail(0.0), 1, rtol=1e-12)
        by_item = masking_by_item.masked_distance_by_item(np.full(5, keep), np.full(4, keep))
        assert float(by_item.tail(0.0)) == pytest.approx(1)
        assert float(by_item.tail(0.0)) <= 1


def test_tail_bounds_by_hand():
    """2 exp(−2t²/n) with n = 9 terms, t = 2."""
    assert float(masking.masked_distance(5, 4, 0.5).hoeffding(2.0)) == pytest.approx(2 * math.exp(-8 / 9))
    by_item = masking_by_item.masked_distance_by_item(np.full(5, 0.5), np.full(4, 0.5))
    assert float(by_item.hoeffding(2.0)) == pytest.approx(2 * math.exp(-8 / 9))
    assert float(by_item.hoeffding(0.0)) == 2


def test_one_bad_user_of_many_is_enough_for_no_merging_threshold():
    for x_u, x_v in [
        ([[1.0, 1.0], [0.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]]),
        ([[1.0, 1.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 0.0]]),
        ([[2.0, -1.0], [1.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]]),
        ([[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [2.0, -1.0]]),
    ]:
        with pytest.raises(InputError, match="at least one interaction"):
            merging.merging_threshold(x_u, x_v)


def test_an_outside_encoder_is_probed_once_and_not_on_nobody():
    """Twice for its randomness and once for its answer; afterwards once; an empty batch says nothing about it."""
    calls = []

    def encode(x):
        calls.append(len(x))
        return x @ torch.ones(4, 2).to(x), torch.ones(len(x), 2).to(x)

    model = theory.wrap(encode=encode, decode=torch.nn.Linear(2, 4))
    calls.clear()
    model.encode(torch.eye(4)[:0])
    assert calls == [0]
    model.encode(torch.eye(4))
    model.encode(torch.eye(4))
    assert calls == [0, 4, 4, 4, 4]


@pytest.mark.parametrize("where", [0, 1])
def test_one_number_that_is_none_is_found(where):
    def encode(x):
        answer = [torch.zeros(len(x), 2), torch.ones(len(x), 2)]
        answer[where][-1, -1] = math.nan
        return tuple(answer)

    with pytest.raises(InputError, match="not finite"):
        theory.wrap(encode=encode, decode=torch.nn.Linear(2, 4)).encode(torch.eye(4))


def test_clouds_are_of_the_sizes_that_are_documented():
    bias = distances.empirical_bias([0.0], [1.0], [3.0], [1.0])
    assert bias.sizes.tolist() == [10, 30, 100, 300, 1000]


# ------------------------------------------------------------------------------------------------------------ the toy


def test_the_first_half_of_the_toy_s_encoder_is_the_mean():
    model = toy.ToyVAE(6, generator=torch.Generator().manual_seed(0))
    x = torch.eye(6, dtype=torch.float64)
    (mu, logvar), half = model.posterior(x), model.latent
    with torch.no_grad():
        model.encoder_output.bias[:half] += 1
    (moved, same) = model.posterior(x)
    torch.testing.assert_close(moved, mu + 1)
    torch.testing.assert_close(same, logvar)


def test_one_step_of_the_toy_is_plain_gradient_descent():
    """θ − lr ∇(ℓ/N + β KL), with the KL of a Gaussian from torch and a β that makes it the larger part."""
    x, _ = toy.toy_users(n_users=6, n_items=6, seed=1)
    model = toy.ToyVAE(6, generator=torch.Generator().manual_seed(0))
    twin = toy.ToyVAE(6, generator=torch.Generator().manual_seed(0))
    assert list(toy.train_toy(model, x, (1,), 0.3, 2.0, torch.Generator().manual_seed(9))) == [1]
    mu, sd = twin.encode(x)
    z = mu + sd * torch.randn(mu.shape, generator=torch.Generator().manual_seed(9), dtype=mu.dtype)
    nll = -(x / x.sum(1, keepdim=True) * torch.log_softmax(twin.decode(z), -1)).sum(1)
    prior = torch.distributions.Normal(torch.zeros_like(mu), torch.ones_like(sd))
    kl = torch.distributions.kl_divergence(torch.distributions.Normal(mu, sd), prior).sum(1)
    (nll + 2.0 * kl).mean().backward()
    for (name, stepped), p in zip(model.named_parameters(), twin.parameters(), strict=True):
        assert p.grad is not None
        torch.testing.assert_close(stepped.detach(), (p - 0.3 * p.grad).detach(), msg=name)


def test_the_step_of_a_picture_is_a_tenth_of_the_proved_one():
    x, community = toy.toy_users(n_users=8, n_items=9, seed=1)
    model = toy.ToyVAE(9, generator=torch.Generator().manual_seed(0))
    goal = x / x.sum(1, keepdim=True)
    shown = toy.sharing_map(model, x, community, 2, n_samples=4, generator=torch.Generator().manual_seed(3))
    assert shown.eta == pytest.approx(0.1 / float(toy.proved_smoothness(model.decoder, goal).max()))
    assert shown.eta == pytest.approx(0.1 * 2 / 17)  # one interaction a user, 16 features and a bias
    s = transfer.sharing(model, x, 4, torch.Generator().manual_seed(3), "user", goal)
    np.testing.assert_allclose(shown.distance, s.distance[2])
    np.testing.assert_allclose(shown.radius, s.radius[2])
    assert shown.reach == pytest.approx(float(s.norm[2] / s.lipschitz[2, 0]))
    assert shown.reach == pytest.approx(shown.radius[2])  # the same content: nothing is taken off
    assert (shown.change[shown.certified] < 0).all()


def test_every_number_says_what_it_is():
    model = toy.ToyVAE(5, generator=torch.Generator().manual_seed(0))
    status = transfer.sharing(model, torch.eye(5), generator=torch.Generator().manual_seed(0)).status
    exact = "exact for the sampled posteriors"
    known = dict.fromkeys(("exact", "norm", "mismatch", "mismatch_mean"), exact) | {"distance": "bound"}
    assert status == known | dict.fromkeys(
        ("lipschitz", "penalty", "radius", "certified", "slack", "radius_sharp", "certified_sharp", "certified_mean"),
        "measured",
    )
    assert transfer.sharing(model, torch.eye(5)).z.shape == (5, 8, 2)
    assert transfer.view_sharing(model, torch.eye(5), 0.5).z.shape == (5, 2, 8, 2)


def test_the_unbiased_diagonal_leaves_out_pairs_of_a_sample_with_itself():
    """Mean over s ≠ t of ⟨∇ℓ(z_s), ∇ℓ(z_t)⟩ for each user, gradient by gradient."""
    model = toy.ToyVAE(5, generator=torch.Generator().manual_seed(0))
    x = torch.eye(5, dtype=torch.float64) + torch.roll(torch.eye(5, dtype=torch.float64), 1, 0)
    z = torch.randn(5, 3, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = transfer.gram(model, x, z=z, unbiased=True).diagonal()
    parameters = list(model.decoder.parameters())
    for u in range(5):
        rows = []
        for s in range(3):
            loss = -(x[u] * torch.log_softmax(model.decode(z[u, s]), -1)).sum()
            rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)]))
        inner = torch.stack(rows) @ torch.stack(rows).T
        assert float(found[u]) == pytest.approx(float(inner.sum() - inner.trace()) / 6)


def test_a_toy_that_is_stopped_on_the_way_makes_as_many_steps():
    x, _ = toy.toy_users(n_users=6, n_items=6)
    weights = {}
    for stops in ((5,), (2, 5), (2, 7)):
        model = toy.ToyVAE(6, features=4, generator=torch.Generator().manual_seed(1))
        for _ in toy.train_toy(model, x, stops, generator=torch.Generator().manual_seed(2)):
            pass
        weights[stops] = torch.cat([p.detach().ravel() for p in model.parameters()])
    assert torch.equal(weights[5,], weights[2, 5])
    assert not torch.equal(weights[5,], weights[2, 7])  # the twin: two more after the stop
