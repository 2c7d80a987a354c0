"""Each function at the edges of its arguments: right to a millionth of what Decimal and Fraction give, or refused."""

import math
import warnings
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from minivae import InputError, theory
from minivae.models import MultVAE
from minivae.theory import (
    anchoring,
    bottleneck,
    conventions,
    distances,
    drift,
    locality,
    masking,
    masking_by_item,
    merging,
    smoothing,
    transfer,
)
from minivae.theory.latent_contraction import latent_contraction

NO_NUMBERS = (math.nan, math.inf, -math.inf)
EDGES = (0.0, 1e-100, 1e-30, 1e-8, 1 - 1e-12, 1.0, 1 + 1e-9, 7.5, 1e8, 1e30, 1e100)
spreads = st.sampled_from([e for e in EDGES if e > 0])
means = st.sampled_from([s * e for e in EDGES for s in (1, -1)])
weights = st.sampled_from([0.0, 1e-100, 1e-9, 0.3, 1.0, 1e9, 1e100])


@pytest.fixture(autouse=True)
def digits():
    """Decimal with 230 digits: 1e100 beside 1e-100 keeps every one."""
    with localcontext() as context:
        context.prec, context.Emax, context.Emin = 230, 10**6, -(10**6)
        yield


def close(found, expected, size=None):
    """Within a millionth of the value, or of 1e-9 of the terms that it is a difference of."""
    expected = float(expected)
    if math.isinf(expected):
        return found == expected
    return abs(float(found) - expected) <= 1e-6 * abs(expected) + 1e-9 * float(size or 0)


def decimal_kl(m, s):
    m, s = Decimal(m), Decimal(s)
    return (m * m + s * s - 1 - 2 * s.ln()) / 2


@settings(max_examples=60)
@given(st.lists(st.tuples(means, spreads), min_size=1, max_size=3))
def test_kl_and_the_radius_that_it_bounds(q):
    mu, sd = ([p[k] for p in q] for k in (0, 1))
    each = [decimal_kl(*p) for p in q]
    found = distances.gaussian_kl(mu, sd, per_dimension=True)
    assert all(close(f, e) or (abs(e) < Decimal("1e-15") and f >= 0) for f, e in zip(found, each, strict=True))
    total = sum(each)
    assert close(distances.gaussian_kl(mu, sd), total, size=1e-6)
    assert close(distances.t1_bound(mu, sd) ** 2, 2 * total, size=1e-6)


@settings(max_examples=60)
@given(means, spreads, means, spreads)
def test_distances_of_two_gaussians(m, s, n, t):
    """W2² = (m − n)² + (s − t)²; W1 in one dimension is the mean of a folded normal, which SciPy has as well."""
    apart, wider = Decimal(m) - Decimal(n), Decimal(s) - Decimal(t)
    square = apart * apart + wider * wider
    assert close(distances.w2_gaussian([m], [s], [n], [t]), square.sqrt())
    low, high = distances.w1_bounds([m], [s], [n], [t])
    assert close(low, abs(apart))
    assert close(high, square.sqrt())
    scale = float(abs(wider))
    at = float(abs(apart))
    w1 = distances.w1_gaussian_1d(m, s, n, t)
    expected = at if at >= 30 * scale else float(stats.foldnorm.mean(at / scale, scale=scale))
    assert close(w1, expected)
    pair = distances.w2_matrix([[m], [n]], [[s], [t]])
    assert close(pair[0][1], square.sqrt(), size=1e3 * (abs(m) + abs(n) + s + t))
    assert pair[0][0] == pair[1][1] == 0


@settings(max_examples=80)
@given(st.sampled_from([0.0, 1e-300, 1e-9, 1.0, 1e9, 1.5e308]), st.sampled_from([0.0, 1e-300, 1e-9, 1.0, 1e308]))
def test_shrinkage(curvature, lam):
    if curvature + lam == 0:
        with pytest.raises(InputError, match="both zero"):
            anchoring.shrinkage(curvature, lam)
        return
    assert close(
        anchoring.shrinkage(curvature, lam),
        Fraction(curvature) / (Fraction(curvature) + 2 * Fraction(lam)),
        size=1e-300,
    )


@settings(max_examples=60)
@given(
    st.integers(0, 6),
    st.integers(0, 6),
    st.sampled_from([0.0, 1e-9, 0.25, 0.5, 1 - 2**-40, 1.0]),
    st.sampled_from([0.0, 1e-9, 0.5, 1.0, 2.5, 1e9, math.inf]),
)
def test_masked_distances_by_all_outcomes(s, d, keep, t):
    """The law by Fractions, coin by coin; tails, moments and the bound from it."""
    rho = Fraction(keep)
    law = [Fraction(1)]
    for p in [rho] * d + [2 * rho * (1 - rho)] * s:
        law = [a * (1 - p) + b * p for a, b in zip([*law, 0], [0, *law], strict=True)]
    mean = sum(k * p for k, p in enumerate(law))
    for of in (
        masking.masked_distance(s, d, keep),
        masking_by_item.masked_distance_by_item([keep] * s, [keep] * d),
    ):
        assert all(close(f, e, size=1e-3) for f, e in zip(of.pmf(), law, strict=True))
        assert close(of.mean, mean)
        assert close(of.var, sum((k - mean) ** 2 * p for k, p in enumerate(law)), size=1e-12)
        assert close(of.prob_contract(), sum(law[:d]), size=1e-3)
        assert close(of.prob_expand(), sum(law[d + 1 :]), size=1e-3)
        tail = sum(p for k, p in enumerate(law) if math.isinf(t) is False and abs(k - mean) >= Fraction(t))
        near = sum(p for k, p in enumerate(law) if abs(abs(k - mean) - (0 if math.isinf(t) else Fraction(t))) < 1e-9)
        assert close(of.tail(t), tail, size=1e-3) or near > 0
        if s + d:
            assert of.hoeffding(t) >= tail
            assert close(of.hoeffding(t), 2 * math.exp(-2 * t**2 / (s + d)) if t < 1e100 else 0)


@settings(max_examples=60)
@given(st.sampled_from([0.0, 1e-15, 1e-9, 0.3, 0.5, 1.0]), st.sampled_from([0.0, 1e-12, 0.5, 1.0]), weights, weights)
def test_compromise_gap(p, q, w_u, w_v):
    """Two items: Σ w KL(p ‖ m) in 230 digits, whatever the weights are beside each other."""
    rows = [(p, 1 - p), (q, 1 - q)]
    ws = [Decimal(w_u), Decimal(w_v)]
    expected = Decimal(0)
    if w_u and w_v:
        rows_d = [[Decimal(v) / (Decimal(r[0]) + Decimal(r[1])) for v in r] for r in rows]
        m = [sum(w * r[i] for w, r in zip(ws, rows_d, strict=True)) / sum(ws) for i in range(2)]
        expected = sum(w * v * (v / m[i]).ln() for w, r in zip(ws, rows_d, strict=True) for i, v in enumerate(r) if v)
    found = locality.compromise_gap(*rows, w_u, w_v)
    assert found >= 0
    assert close(found, expected, size=1e-4 * min(w_u, w_v))


@settings(max_examples=60)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 9))
def test_the_threshold_of_merging(n_u, n_v, s):
    """2 (N_u N_v)² / (N_u + N_v)³ Σ (p_u − p_v)² / p̄ in Fractions, item by item."""
    s = min(s, n_u, n_v)
    items = [(1, 1)] * s + [(1, 0)] * (n_u - s) + [(0, 1)] * (n_v - s)
    total = Fraction(n_u + n_v)
    chi = sum((Fraction(a, n_u) - Fraction(b, n_v)) ** 2 / (Fraction(a + b) / total) for a, b in items)
    expected = 2 * Fraction(n_u * n_v) ** 2 / total**3 * chi
    u, v = ([float(i[k]) for i in items] for k in (0, 1))
    assert close(merging.merging_threshold(u, v), expected)
    assert close(merging.merging_threshold(v, u), expected)


def test_conjugates_at_the_ends_of_their_ranges():
    one = torch.tensor
    for t in (0.0, 1e-100, 0.25, 1.0):
        d = Decimal(t)
        inner = (d * d.ln() if t else 0) + ((1 - d) * (1 - d).ln() if t < 1 else 0)
        assert close(locality.bernoulli_conjugate(one([t], dtype=torch.float64)), inner)
    for t in (0.0, 1e-100, 1.0, 1e100):
        d = Decimal(t)
        assert close(locality.poisson_conjugate(one([t], dtype=torch.float64)), (d * d.ln() if t else 0) - d)
    assert float(locality.multinomial_conjugate(one([0.0, 0.0, 5.0]))) == 0
    for conjugate, t in ((locality.bernoulli_conjugate, 1.5), (locality.poisson_conjugate, -1.0)):
        with pytest.raises(InputError, match="no number at a statistic"):
            locality.exponential_family_gap([t], [0.5], 1.0, 1.0, conjugate)


MODEL, ROWS = MultVAE(6, hidden=4, latent=2), np.eye(6)
MU, SD = np.zeros((4, 2)), np.ones((4, 2))
P, X = [0.5, 0.5], np.ones((4, 3))


def law():
    return masking.masked_distance(1, 2, 0.5)


def by_item():
    return masking_by_item.masked_distance_by_item([0.5], [0.5])


# One argument each that may hold no NaN and no infinity.
FINITE = {
    "gaussian_kl, mu": lambda v: distances.gaussian_kl([v], [1.0]),
    "gaussian_kl, sd": lambda v: distances.gaussian_kl([0.0], [v]),
    "t1_bound, mu": lambda v: distances.t1_bound([v], [1.0]),
    "w2_gaussian, mu": lambda v: distances.w2_gaussian([v], [1.0], [0.0], [1.0]),
    "w2_gaussian, sd": lambda v: distances.w2_gaussian([0.0], [1.0], [0.0], [v]),
    "w2_gaussian_full, mu": lambda v: distances.w2_gaussian_full([v], [[1.0]], [0.0], [[1.0]]),
    "w2_gaussian_full, cov": lambda v: distances.w2_gaussian_full([0.0], [[1.0]], [0.0], [[v]]),
    "w1_bounds, mu": lambda v: distances.w1_bounds([0.0], [1.0], [v], [1.0]),
    "w1_gaussian_1d, mu": lambda v: distances.w1_gaussian_1d(v, 1.0, 0.0, 1.0),
    "w1_gaussian_1d, sd": lambda v: distances.w1_gaussian_1d(0.0, v, 0.0, 1.0),
    "w1_samples_1d": lambda v: distances.w1_samples_1d([0.0, v], [0.0, 1.0]),
    "w1_empirical": lambda v: distances.w1_empirical([[0.0], [v]], [[0.0], [1.0]]),
    "w2_matrix": lambda v: distances.w2_matrix([[v], [0.0]], [[1.0], [1.0]]),
    "distance_matrix": lambda v: distances.distance_matrix([[v], [0.0]]),
    "sliced_w1": lambda v: distances.sliced_w1([[v]], [[0.0]], [[1.0]]),
    "sliced_w1_gaussian": lambda v: distances.sliced_w1_gaussian([v], [1.0], [0.0], [1.0], [[1.0]]),
    "empirical_bias": lambda v: distances.empirical_bias([v], [1.0], [0.0], [1.0], (5,)),
    "active_units": lambda v: bottleneck.active_units([[v], [0.0]]),
    "contraction": lambda v: bottleneck.contraction([[v], [0.0]], [[1.0], [1.0]]),
    "kl_per_dimension": lambda v: bottleneck.kl_per_dimension([[v], [0.0]], [[1.0], [1.0]]),
    "kl_decomposition": lambda v: bottleneck.kl_decomposition([[v], [0.0]], [[1.0], [1.0]]),
    "kl_decomposition_quadrature": lambda v: bottleneck.kl_decomposition_quadrature([[v], [0.0]], [[1.0], [1.0]]),
    "batch_information": lambda v: bottleneck.batch_information([[v], [0.0]], [[1.0], [1.0]], (2,)),
    "alignment, mu": lambda v: anchoring.alignment(np.full((4, 2), v), SD, np.ones((3, 2)), X),
    "alignment, sd": lambda v: anchoring.alignment(MU, np.full((4, 2), v), np.ones((3, 2)), X),
    "alignment, anchors": lambda v: anchoring.alignment(MU, SD, np.full((3, 2), v), X),
    "anchor_norms": lambda v: anchoring.anchor_norms(np.full((3, 2), v), X),
    "shrinkage, L": lambda v: anchoring.shrinkage(v, 1.0),
    "shrinkage, lam": lambda v: anchoring.shrinkage(1.0, v),
    "QuadraticModel, H": lambda v: anchoring.QuadraticModel(np.full((1, 1), v), 1.0, [0.0]),
    "QuadraticModel, lam": lambda v: anchoring.QuadraticModel(np.eye(1), v, [0.0]),
    "QuadraticModel, centroid": lambda v: anchoring.QuadraticModel(np.eye(1), 1.0, [v]),
    "minimizer": lambda v: anchoring.QuadraticModel(np.eye(1), 1.0, [0.0]).minimizer([v]),
    "shrink": lambda v: anchoring.QuadraticModel(np.eye(1), 1.0, [0.0]).shrink([[v], [0.0]]),
    "merging_threshold": lambda v: merging.merging_threshold([v, 1.0], [1.0, 0.0]),
    "best_anchors": lambda v: smoothing.best_anchors([[v], [0.0]], np.eye(2)),
    "smoothing_energy": lambda v: smoothing.smoothing_energy([[v], [0.0]], np.eye(2)),
    "compromise_gap, p": lambda v: locality.compromise_gap([v, 0.5], P, 1.0, 1.0),
    "compromise_gap, w": lambda v: locality.compromise_gap(P, P, v, 1.0),
    "exponential_family_gap, w": lambda v: locality.exponential_family_gap(
        [0.0], [0.0], v, 1.0, locality.gaussian_conjugate
    ),
    "compromise_integral": lambda v: locality.compromise_integral([v], [1.0], [0.0], [1.0], P, P, 1.0, 1.0),
    "compromise_monte_carlo": lambda v: locality.compromise_monte_carlo([v], [1.0], [0.0], [1.0], P, P, 1.0, 1.0),
    "gap_against_distance": lambda v: locality.gap_against_distance(P, P, 1.0, 1.0, v),
    "shared_profile": lambda v: locality.shared_profile(0, v, 1),
    "masked_distance, count": lambda v: masking.masked_distance(v, 1, 0.5),
    "masked_distance, keep": lambda v: masking.masked_distance(1, 1, v),
    "masked_distance_by_item": lambda v: masking_by_item.masked_distance_by_item([v], [0.5]),
    "contraction_threshold": masking.contraction_threshold,
    "input_distance, count": lambda v: conventions.input_distance(v, 1, 0, 0.5),
    "input_distance, keep": lambda v: conventions.input_distance(1, 1, 0, v),
}


@pytest.mark.parametrize("which", FINITE)
def test_what_is_no_number_is_refused_in_a_sentence(which):
    for value in NO_NUMBERS:
        with pytest.raises(InputError) as refused:
            FINITE[which](value)
        assert "\n" not in str(refused.value)
        assert len(str(refused.value)) > 20


# One argument each that may not be negative.
NOT_NEGATIVE = {
    "spread": lambda v: distances.gaussian_kl([0.0], [v]),
    "tail": lambda v: law().tail(v),
    "tail by item": lambda v: by_item().tail(v),
    "hoeffding": lambda v: law().hoeffding(v),
    "hoeffding by item": lambda v: by_item().hoeffding(v),
    "threshold": masking.contraction_threshold,
    "threshold above 1": lambda v: masking.contraction_threshold(1 - v),
    "weight": lambda v: locality.compromise_gap(P, P, 1.0, v),
    "weight of a family": lambda v: locality.exponential_family_gap([0.0], [0.0], 1.0, v, locality.gaussian_conjugate),
    "curvature": lambda v: anchoring.shrinkage(v, 1.0),
    "counts": lambda v: merging.merging_threshold([v, 1.0], [1.0, 0.0]),
}


@pytest.mark.parametrize("which", NOT_NEGATIVE)
def test_what_may_not_be_negative_is_refused(which):
    for value in [-1e-9, -1.0, math.nan]:
        with pytest.raises(InputError):
            NOT_NEGATIVE[which](value)


# What counts draws, users or bins: the least that it may be.
COUNTS = {
    "n_batches": (2, lambda n: bottleneck.batch_information(MU, SD, (2,), n_batches=n)),
    "batch size": (2, lambda n: bottleneck.batch_information(MU, SD, (n,))),
    "repeats": (2, lambda n: distances.empirical_bias([0.0], [1.0], [1.0], [1.0], (3,), repeats=n)),
    "sizes": (1, lambda n: distances.empirical_bias([0.0], [1.0], [1.0], [1.0], (n,), repeats=2)),
    "directions": (1, lambda n: distances.directions(3, n)),
    "dimensions": (1, lambda n: distances.directions(n, 3)),
    "block": (1, lambda n: distances.distance_matrix(MU, block=n)),
    "n_draws": (2, lambda n: conventions.input_distance(3, 3, 1, 0.5, "mask-then-normalize", "l2", n)),
    "n_quantiles": (1, lambda n: latent_contraction(MODEL, ROWS, 0.5, n_masks=2, n_quantiles=n)),
    "n_masks": (2, lambda n: drift.mask_variance(MODEL, ROWS, 0.5, n_masks=n)),
    "n_masks of a contraction": (2, lambda n: latent_contraction(MODEL, ROWS, 0.5, n_masks=n, n_quantiles=1)),
    "neighbours": (1, lambda n: drift.neighbourhood_drift(MODEL, ROWS, 0.5, n, n_masks=2)),
    "n_views": (1, lambda n: transfer.view_sharing(MODEL, ROWS, 0.5, n_views=n)),
    "n_samples of a gram matrix": (0, lambda n: transfer.gram(MODEL, ROWS, n)),
    "a user to step on": (
        0,
        lambda n: transfer.step_effect(MODEL, ROWS, n, 0.1, np.zeros((len(ROWS), 1, MODEL.latent))),
    ),
    "min_count": (1, locality.normalisation_constant),
    "users of a toy": (1, lambda n: theory.toy.toy_users(n, 2, 1)),
    "n_samples of the integral": (
        2,
        lambda n: locality.compromise_monte_carlo([0.0], [1.0], [0.0], [1.0], P, P, 1.0, 1.0, n),
    ),
    "n_samples of the decomposition": (1, lambda n: bottleneck.kl_decomposition(MU, SD, n)),
    "n_samples of sharing": (2, lambda n: transfer.sharing(MODEL, ROWS, n)),
}


@pytest.mark.parametrize("which", COUNTS)
def test_a_count_has_a_least_value(which):
    """The least gives finite numbers; one less, but for 0 where it stands for the means, is refused, and a fraction."""
    least, call = COUNTS[which]
    call(least)
    call(np.int64(least))
    for n in (least - 1, -1, least + 0.5, float(least), True, str(least)):
        if (which, n) != ("n_samples of sharing", 0):
            with pytest.raises(InputError):
                call(n)


def test_what_comes_after_keep_has_one_order_or_a_name():
    with pytest.raises(InputError, match="k='raw'"):
        drift.neighbourhood_drift(MODEL, ROWS, 0.5, "raw")
    for call in (
        lambda: drift.mask_variance(MODEL, ROWS, 0.5, "raw"),
        lambda: drift.neighbourhood_drift(MODEL, ROWS, 0.5, 1, "raw"),
        lambda: latent_contraction(MODEL, ROWS, 0.5, "raw", 5),
        lambda: transfer.view_sharing(MODEL, ROWS, 0.5, "raw", 2),
    ):
        with pytest.raises(TypeError, match="positional"):
            call()


def test_equal_users_have_no_ratio_and_no_warning():
    same = np.ones((3, ROWS.shape[1]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = latent_contraction(MODEL, same, 1.0, n_masks=2, n_quantiles=1)
    assert np.isnan(found.ratio).all()
    assert found.clean.tolist() == [0.0]


def test_users_to_step_on_come_in_any_kind():
    z = np.zeros((len(ROWS), 2, MODEL.latent))
    expected = transfer.step_effect(MODEL, ROWS, [0, 1], 0.1, torch.from_numpy(z))
    for users in (np.array([0, 1]), torch.tensor([0, 1]), range(2), (0, 1)):
        torch.testing.assert_close(transfer.step_effect(MODEL, ROWS, users, 0.1, z), expected, rtol=0, atol=0)
    for wrong in (len(ROWS), -1, [0, len(ROWS)]):
        with pytest.raises(InputError, match="to step on"):
            transfer.step_effect(MODEL, ROWS, wrong, 0.1, z)
    with pytest.raises(InputError, match="to step on"):
        transfer.curvature(MODEL, ROWS, len(ROWS), z)


def test_standard_errors_of_the_fewest_draws_are_numbers():
    batches = bottleneck.batch_information(MU, SD, (2,), n_batches=2)
    bias = distances.empirical_bias([0.0], [1.0], [1.0], [1.0], (3,), repeats=2)
    drawn = conventions.input_distance(3, 3, 1, 0.5, "mask-then-normalize", "l2", 2)
    found = (batches.lower_se, batches.upper_se, bias.estimate_se, bias.floor_se, drawn.se)
    assert all(np.isfinite(v).all() for v in found)


def test_nothing_to_draw_from_is_refused():
    for call in (
        lambda: bottleneck.batch_information(MU, SD, ()),
        lambda: distances.empirical_bias([0.0], [1.0], [1.0], [1.0], ()),
        lambda: bottleneck.active_units(MU[:1]),
        lambda: distances.sliced_w1([[0.0, 0.0]], [[1.0, 1.0]], np.eye(3)),
        lambda: distances.w1_samples_1d([], [1.0]),
        lambda: merging.merging_threshold([1.0, 0.0], [1.0, 0.0, 0.0]),
    ):
        with pytest.raises(InputError):
            call()


def arrays_of_other_kinds(a):
    """The same numbers in forms that torch does not share or compute with as they are."""
    yield np.asarray(a, np.longdouble)
    yield np.asfortranarray(a)[::-1][::-1]
    yield torch.tensor(a, dtype=torch.float64).to_sparse()
    yield torch.tensor(a, dtype=torch.float64, requires_grad=True)


def test_the_same_numbers_in_other_forms_are_the_same():
    mu, sd = [[0.0, 1.0], [2.0, -1.0]], [[1.0, 2.0], [0.5, 1.0]]
    expected = np.asarray(distances.w2_matrix(mu, sd))
    for other in arrays_of_other_kinds(mu):
        found = distances.w2_matrix(other, sd)
        np.testing.assert_array_equal(found.detach().numpy() if torch.is_tensor(found) else found, expected)
    law = masking.masked_distance_by_item([0.5], [0.25])
    for other in (np.array([0.25])[::-1], torch.tensor([0.25], dtype=torch.float64, requires_grad=True)):
        assert float(masking.masked_distance_by_item([0.5], other).tail(0.5)) == float(law.tail(0.5))
    assert masking.masked_distance(torch.tensor([2.0], requires_grad=True), 3, 0.5).prob_contract().shape == (1,)


def test_half_precision_gives_what_float64_gives():
    mu, one = np.array([[0.0], [1.0], [3.0]], np.float16), np.array([[1.0], [2.0], [5.0]], np.float16)
    assert float(distances.w1_empirical(mu, one)) == pytest.approx(4 / 3, rel=1e-3)
    for kind in (torch.float16, torch.bfloat16):
        found = distances.w1_empirical(torch.tensor(mu).to(kind), torch.tensor(one).to(kind))
        assert float(found) == pytest.approx(4 / 3, rel=1e-2)


# What has another shape than it must, or no values at all.
MISFITS = {
    "no values": lambda: distances.gaussian_kl(torch.empty(2, device="meta"), 1.0),
    "complex": lambda: distances.gaussian_kl(torch.tensor([1j]), 1.0),
    "lengths": lambda: distances.w1_gaussian_1d([0.0, 1.0, 2.0], [1.0, 1.0], 0.0, 1.0),
    "profiles": lambda: locality.shared_profile([1.0, 2.0], [3.0, 3.0, 3.0], 4.0),
    "a number for a distribution": lambda: locality.compromise_gap(1.0, P, 1.0, 1.0),
    "in the integral": lambda: locality.compromise_integral([0.0], [1.0], [0.0], [1.0], 1.0, P, 1.0, 1.0),
    "by sampling": lambda: locality.compromise_monte_carlo([0.0], [1.0], [0.0], [1.0], P, 1.0, 1.0, 1.0),
    "over distances": lambda: locality.gap_against_distance(1.0, P, 1.0, 1.0, 0.5),
    "the oracle, its weights": lambda: locality.compromise_gap_numerical(P, P, -1.0, 1.0),
    "the oracle, its shape": lambda: locality.compromise_gap_numerical([P, P], P, 1.0, 1.0),
    "no pair": lambda: masking.masked_distance([], 1, 0.5).pmf(),
    "too many items": lambda: masking.masked_distance(10**12, 1, 0.5).prob_contract(),
    "words by item": lambda: masking.masked_distance_by_item("ab", [0.5]),
}


@pytest.mark.parametrize("which", MISFITS)
def test_what_does_not_fit_is_refused_in_a_sentence(which):
    with pytest.raises(InputError) as refused:
        MISFITS[which]()
    assert "\n" not in str(refused.value)
