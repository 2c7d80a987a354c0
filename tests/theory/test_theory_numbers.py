"""Small cases of the theory worked by hand: each constant, sign, axis and degree of freedom decides one of them."""

import math

import numpy as np
import pytest
import torch

from minivae.models import MultVAE
from minivae.theory import anchoring, bottleneck, drift, information, locality, toy
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
    """Four batches at once are four times one batch from the same generator; the error is their deviation by √4."""
    mu, sd = torch.arange(5.0)[:, None].double(), torch.full((5, 1), 0.7, dtype=torch.float64)
    one = torch.Generator().manual_seed(3)
    single = [information.batch_information(mu, sd, [2], 1, one) for _ in range(4)]
    low, up = ([float(getattr(b, side)[0]) for b in single] for side in ("lower", "upper"))
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
    u, v = drift._pairs(40, 700, torch.Generator().manual_seed(1))
    assert len(u) == 700
    assert not bool((u == v).any())
    assert set(((v - u) % 40).tolist()) == set(range(1, 40))
    few = drift._pairs(4, 6, None)
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
    """Two items, one feature, A = 2, W = (3, 1), b = 0 and one user (2, 1): L = 2 (3 · ½ · √2 · √2 + R).

    The centred W_c = (1, −1) has the norm √2, and (h, 1) the norm √2 at most; the logits differ by at most 2, so π
    lies within 1/(1 + e²) and 1/(1 + e⁻²). R² is the smaller of 9 − 6·1 + 5 and the sum over the items of the largest
    (3π − x)².
    """
    net = torch.nn.Sequential(toy.BoundedFeatures(tensor([2.0]), tensor(0.0)), torch.nn.Linear(1, 2).double())
    with torch.no_grad():
        net[1].weight.copy_(tensor([3.0], [1.0]))
        net[1].bias.zero_()
    low, high = 1 / (1 + math.exp(2)), 1 / (1 + math.exp(-2))
    box = sum(max((3 * p - x) ** 2 for p in (low, high)) for x in (2, 1))
    r = math.sqrt(min(9 - 6 + 5, box))
    found = float(toy.proved_lipschitz(net, tensor([2.0, 1.0]))[0])
    assert found == pytest.approx(2 * (3 * 0.5 * math.sqrt(2) * math.sqrt(2) + r))
    bare = torch.nn.Sequential(net[0], torch.nn.Linear(1, 2, bias=False).double())
    with torch.no_grad():
        bare[1].weight.copy_(tensor([3.0], [1.0]))
    assert float(toy.proved_lipschitz(bare, tensor([2.0, 1.0]))[0]) == pytest.approx(2 * (3 * 0.5 * math.sqrt(2) + r))


def test_probabilities_lie_within_their_bounds_and_reach_them():
    """W = (1, −1), b = (0, 1): at h → ±1 the first logit leads by −1 ± 2."""
    output = torch.nn.Linear(1, 2).double()
    with torch.no_grad():
        output.weight.copy_(tensor([1.0], [-1.0]))
        output.bias.copy_(tensor(0.0, 1.0))
        low, high = toy._probability_range(output)
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
    turn = 7 * 0.5 * 400 * math.sqrt(2)
    assert corner < box
    assert float(toy.proved_lipschitz(net, x)[0]) == pytest.approx(turn + math.sqrt(corner))
