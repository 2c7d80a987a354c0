"""Theorem 2.6 against enumeration of all masks; the conventions; the latent measurements on models solved by hand."""

from itertools import product
from math import comb
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from minivae.errors import InputError
from minivae.masks import mask_input
from minivae.theory import masking
from minivae.theory.conventions import input_distance
from minivae.theory.masking import contraction_threshold, masked_distance

sizes = st.integers(0, 5)
keeps = st.floats(0.02, 0.98)
MASKS = ("raw", "normalize-then-mask", "mask-then-normalize")


def pair(n_u, n_v, s):
    """Two binary rows with n_u and n_v items, s of them common, and one item that neither has."""
    x_u, x_v = np.zeros((2, n_u + n_v - s + 1))
    x_u[:n_u] = 1
    x_v[n_u - s : -1] = 1
    return x_u, x_v


def all_inputs(x, keep, mask):
    """Every masked input of x over its own items, and its probability."""
    b = np.zeros((2 ** int(x.sum()), len(x)))
    b[:, x > 0] = list(product([0, 1], repeat=int(x.sum())))
    p = np.prod(np.where(b[:, x > 0] > 0, keep, 1 - keep), axis=1)
    size = np.sqrt(max(x.sum(), 1)) if mask == "normalize-then-mask" else 1
    if mask == "mask-then-normalize":
        size = np.sqrt(np.maximum(b.sum(1, keepdims=True), 1))
    return b / size / (keep if mask == "normalize-then-mask" else 1), p


def enumerated(n_u, n_v, s, keep, mask, shared=False):
    """Differences of the inputs of a pair under all pairs of masks, and their probabilities."""
    x_u, x_v = pair(n_u, n_v, s)
    if shared:
        b, p = all_inputs(np.ones(len(x_u)), keep, "raw")
        return b * (x_u - x_v), p
    (b_u, p_u), (b_v, p_v) = all_inputs(x_u, keep, mask), all_inputs(x_v, keep, mask)
    return (b_u[:, None] - b_v[None]).reshape(-1, len(x_u)), np.outer(p_u, p_v).ravel()


# --- the law of the masked distance -----------------------------------------------------------------------------------


def check_law(law_of, only_u, only_v, s, keep, shared):
    d = only_u + only_v
    difference, p = enumerated(only_u + s, only_v + s, s, keep, "raw", shared)
    distance = np.abs(difference).sum(1).round().astype(int)
    expected = np.bincount(distance, p, minlength=s + d + 1)
    law = law_of(s, d, keep, shared)
    np.testing.assert_allclose(law.pmf(), expected, rtol=1e-11, atol=1e-15)
    np.testing.assert_allclose(law.mean, p @ distance, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(law.var, p @ (distance - p @ distance) ** 2, rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(law.prob_contract(), p[distance < d].sum(), rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(law.prob_expand(), p[distance > d].sum(), rtol=1e-11, atol=1e-14)


@given(st.integers(0, 3), st.integers(0, 2), st.integers(0, 3), keeps, st.booleans())
@settings(max_examples=60, deadline=None)
def test_law_is_the_enumeration_of_all_masks(only_u, only_v, s, keep, shared):
    check_law(masked_distance, only_u, only_v, s, keep, shared)


@pytest.mark.parametrize("keep", [0.0, 1.0])
def test_law_without_chance(keep):
    check_law(masked_distance, 2, 1, 2, keep, False)


@pytest.mark.parametrize(
    "twin",
    [
        lambda s, d, keep, shared: masked_distance(s, d, 1 - keep, shared),  # ρ and 1−ρ exchanged
        lambda s, d, keep, shared: masked_distance(s, d, keep, not shared),
        lambda s, d, keep, shared: masked_distance(d, s, keep, shared),
        lambda s, d, keep, shared: masked_distance(0, s + d, keep, shared),  # a common item counted as a different one
    ],
)
def test_broken_laws_are_rejected(twin):
    with pytest.raises(AssertionError):
        check_law(twin, 2, 1, 2, 0.3, False)


def test_common_items_alone_cannot_tell_keep_from_drop():
    """2ρ(1−ρ) is symmetric: the exchanged twin must be caught on pairs that differ, as above."""
    check_law(lambda s, d, keep, shared: masked_distance(s, d, 1 - keep, shared), 0, 0, 3, 0.3, False)


def check_shared_mask_never_expands(law):
    assert law.prob_expand() == 0
    assert law.mean <= law.n_different


@given(st.integers(0, 60), st.integers(0, 60), keeps)
@settings(max_examples=40, deadline=None)
def test_shared_mask_never_expands(s, d, keep):
    check_shared_mask_never_expands(masked_distance(s, d, keep, shared=True))


def test_independent_masks_expand():
    with pytest.raises(AssertionError):
        check_shared_mask_never_expands(masked_distance(20, 10, 0.5))


def check_threshold(threshold, s, d, keep):
    law = masked_distance(s, d, keep)
    gap = law.pmf() @ np.arange(s + d + 1) - d
    if abs(gap) > 1e-9 * (s + d):
        assert (gap < 0) == law.contracts == (s / (s + d) < threshold(keep))


@given(st.integers(0, 80), st.integers(1, 80), keeps)
@settings(max_examples=100, deadline=None)
def test_contraction_in_expectation_is_a_jaccard_threshold(s, d, keep):
    check_threshold(contraction_threshold, s, d, keep)


@pytest.mark.parametrize(
    "twin", [lambda keep: 1 / (1 + 2 * (1 - keep)), lambda keep: 1 / (1 + keep), lambda keep: 2 * keep / (1 + 2 * keep)]
)
def test_broken_thresholds_are_rejected(twin):
    def all_pairs():
        for s, d in product(range(1, 8), repeat=2):
            check_threshold(twin, s, d, 0.8)

    with pytest.raises(AssertionError):
        all_pairs()


def test_nothing_contracts_without_a_mask():
    assert not masked_distance(1, 9, 1.0).contracts
    assert not masked_distance(1, 9, 1.0, shared=True).contracts


def check_hoeffding(bound, law, t):
    k = np.arange(law.n_common + law.n_different + 1)
    exact = law.pmf()[np.abs(k - law.mean) >= t].sum()
    assert law.tail(t) == pytest.approx(exact, abs=1e-12)
    assert exact <= bound(law, t) * (1 + 1e-12)


@given(st.integers(0, 120), st.integers(1, 120), keeps, st.floats(0, 40))
@settings(max_examples=100, deadline=None)
def test_hoeffding_bounds_the_exact_tail(s, d, keep, t):
    law = masked_distance(s, d, keep)
    # rounding decides whether an atom at distance t counts; boundary atoms have a test of their own
    assume(np.abs(np.abs(np.arange(s + d + 1) - law.mean) - t).min() > 1e-9)
    check_hoeffding(lambda law, t: law.hoeffding(t), law, t)


@pytest.mark.parametrize(
    "twin",
    [
        lambda law, t: 2 * np.exp(-2 * t**2 / law.n_different),  # the common items forgotten
        lambda law, t: 2 * np.exp(-8 * t**2 / (law.n_different + law.n_common)),
    ],
)
def test_broken_tail_bounds_are_rejected(twin):
    def all_distances():
        for t in np.arange(0.5, 30):
            check_hoeffding(twin, masked_distance(200, 20, 0.5), t)

    with pytest.raises(AssertionError):
        all_distances()


def test_the_tail_counts_its_boundary_atoms():
    assert masked_distance(0, 1, 0.5).tail(0.5) == 1
    assert masked_distance(0, 10, 0.3).tail(3.0) == pytest.approx(0.7**10 + masked_distance(0, 10, 0.3).pmf()[6:].sum())
    assert masked_distance(0, 0, 0.5).hoeffding(1.0) == 0


def test_long_histories_are_safe():
    """s, d in the thousands: a sum of 1, and moments of the pmf equal to the formulas."""
    law = masked_distance(5000, 4000, 0.37)
    p, k = law.pmf(), np.arange(9001)
    assert p.sum() == pytest.approx(1, abs=1e-12)
    assert p @ k == pytest.approx(law.mean, rel=1e-12)
    assert p @ (k - law.mean) ** 2 == pytest.approx(law.var, rel=1e-10)
    # far in the tail, against integers: ρ = 1/2 makes every term a binomial coefficient over a power of two
    half = masked_distance(1200, 900, 0.5).pmf()
    assert half[700] == pytest.approx(comb(2100, 700) / 2**2100, rel=1e-11)
    assert half[300] == pytest.approx(comb(2100, 300) / 2**2100, rel=1e-11)


def test_moments_and_probabilities_broadcast_and_keep_their_kind():
    s, d = torch.tensor([0, 3, 10]), torch.tensor([[5], [7]])
    law = masked_distance(s, d, torch.tensor(0.5, dtype=torch.float32))
    assert law.mean.shape == law.var.shape == law.prob_contract().shape == (2, 3)
    assert law.mean.dtype == law.prob_contract().dtype == torch.float32
    for i, j in product(range(2), range(3)):
        one = masked_distance(s[j].item(), d[i].item(), 0.5)
        assert law.prob_contract()[i, j].item() == pytest.approx(one.prob_contract(), rel=1e-6)
        assert law.mean[i, j].item() == pytest.approx(one.mean, rel=1e-6)
    assert isinstance(masked_distance(np.arange(3), 2, 0.5).prob_expand(), np.ndarray)
    with pytest.raises(InputError, match="one pair"):
        law.pmf()


def test_bad_counts_and_probabilities():
    for bad in [(-1, 2, 0.5), (1, 2.5, 0.5), (1, 2, 1.5), (1, 2, float("nan")), (1, float("nan"), 0.5)]:
        with pytest.raises(InputError):
            masked_distance(*bad)


# --- three input conventions ------------------------------------------------------------------------------------------


def check_input_distance(distance, n_u, n_v, s, keep, mask, norm):
    difference, p = enumerated(n_u, n_v, s, keep, mask)
    squared = (difference**2).sum(1)
    value = {"l1": np.abs(difference).sum(1), "l2": np.sqrt(squared), "l2-squared": squared}[norm]
    clean, _ = enumerated(n_u, n_v, s, 1.0, mask)
    clean = {"l1": np.abs(clean[-1]).sum(), "l2": np.linalg.norm(clean[-1]), "l2-squared": (clean[-1] ** 2).sum()}[norm]
    result = distance(n_u, n_v, s, keep, mask, norm)
    np.testing.assert_allclose(result.clean, clean, rtol=1e-12, atol=1e-14)
    assert abs(result.masked - p @ value) <= max(1e-12 * (1 + p @ value), 5 * result.se)
    assert (result.se > 0) <= ((mask, norm) == ("mask-then-normalize", "l2"))


EXACT = [(mask, norm) for mask in MASKS for norm in ("l1", "l2", "l2-squared")]
EXACT.remove(("mask-then-normalize", "l2"))


@given(st.integers(0, 4), st.integers(0, 3), st.data(), st.floats(0.05, 1), st.sampled_from(EXACT))
@settings(max_examples=100, deadline=None)
def test_input_distances_are_the_enumeration_of_all_masks(n_u, n_v, data, keep, how):
    s = data.draw(st.integers(0, min(n_u, n_v)))
    check_input_distance(input_distance, n_u, n_v, s, keep, *how)


def test_the_simulated_distance_is_the_enumeration_of_all_masks():
    for s, keep in product([0, 1, 3], [0.2, 0.5, 0.9, 1.0]):

        def seeded(*pair):
            return input_distance(*pair, generator=torch.Generator().manual_seed(3))

        check_input_distance(seeded, 4, 3, s, keep, "mask-then-normalize", "l2")


def shifted(by):
    def distance(n_u, n_v, s, keep, mask, norm):
        right = input_distance(n_u, n_v, s, keep, mask, norm)
        return SimpleNamespace(clean=right.clean, masked=right.clean + by(n_u, n_v, s, keep), se=0.0)

    return distance


@pytest.mark.parametrize(
    "twin",
    [
        shifted(lambda n_u, n_v, s, keep: 2 * keep * s * min(n_u**-0.5, n_v**-0.5)),  # ρ and 1−ρ exchanged
        shifted(lambda n_u, n_v, s, keep: 2 * (1 - keep) * s * max(n_u**-0.5, n_v**-0.5)),
        lambda n_u, n_v, s, keep, mask, norm: input_distance(n_u, n_v, s, keep, "raw", norm),
        lambda n_u, n_v, s, keep, mask, norm: input_distance(n_u, n_v, s, 1 - keep, mask, norm),
    ],
)
def test_broken_input_distances_are_rejected(twin):
    check_input_distance(input_distance, 2, 4, 2, 0.3, "normalize-then-mask", "l1")
    with pytest.raises(AssertionError):
        check_input_distance(twin, 2, 4, 2, 0.3, "normalize-then-mask", "l1")


def check_no_contraction(mask, n_u, n_v, s, keep):
    """Jensen: an unbiased mask brings no pair closer in expectation, in either norm."""
    for norm in ("l1", "l2", "l2-squared"):
        result = input_distance(n_u, n_v, s, keep, mask, norm)
        assert result.masked >= result.clean * (1 - 1e-12)


@given(st.integers(0, 3000), st.integers(0, 3000), st.data(), keeps)
@settings(max_examples=100, deadline=None)
def test_unbiased_masks_never_contract_in_expectation(n_u, n_v, data, keep):
    s = data.draw(st.integers(0, min(n_u, n_v)))
    check_no_contraction("normalize-then-mask", n_u, n_v, s, keep)


def test_raw_masks_do_contract():
    with pytest.raises(AssertionError):
        check_no_contraction("raw", 5, 5, 1, 0.5)


@given(st.integers(1, 2000), st.integers(1, 2000), st.data(), keeps)
@settings(max_examples=60, deadline=None)
def test_renormalised_cosines_fall_at_least_to_keep_times_the_clean_one(n_u, n_v, data, keep):
    s = data.draw(st.integers(0, min(n_u, n_v)))
    result = input_distance(n_u, n_v, s, keep, "mask-then-normalize", "l2-squared")
    some = 2 - (1 - keep) ** n_u - (1 - keep) ** n_v
    assert (some - result.masked) / 2 <= keep * s / np.sqrt(n_u * n_v) * (1 + 1e-9) + 1e-12


def test_the_one_simulated_distance_agrees_with_masks_drawn_one_by_one():
    """Long rows, no enumeration: two samplers that share nothing but the law."""
    x_u, x_v = pair(60, 25, 20)
    g = torch.Generator().manual_seed(5)
    draws = []
    for x in (x_u, x_v):
        kept = mask_input(np.tile(x, (4000, 1)), 0.3, "mask-then-normalize", g)
        draws.append(kept.toarray())
    sample = np.linalg.norm(draws[0] - draws[1], axis=1)
    result = input_distance(60, 25, 20, 0.3, "mask-then-normalize", "l2", n_draws=20_000, generator=g)
    se = np.hypot(result.se, sample.std() / 4000**0.5)
    assert abs(result.masked - sample.mean()) < 5 * se
    assert result.se < 0.01 * result.masked


def test_input_distances_broadcast_and_refuse_impossible_pairs():
    result = input_distance(torch.tensor([4.0, 9.0]), torch.tensor([[4.0], [5.0]]), 2, 0.5)
    assert result.masked.shape == result.ratio.shape == (2, 2)
    assert result.masked.dtype == torch.float32
    for bad in ((3, 2, 3, 0.5), (3, 2, 1, 0.0), (3.5, 2, 1, 0.5)):
        with pytest.raises(InputError):
            input_distance(*bad)
    with pytest.raises(InputError, match="norm"):
        input_distance(3, 2, 1, 0.5, norm="l3")


# --- latent space -----------------------------------------------------------------------------------------------------


class Linear:
    """A model solved by hand: μ is a linear map of the encoder input, so all its moments over masks are known."""

    def __init__(self, weight):
        self.weight = torch.from_numpy(weight)

    def encode(self, x, normalize):
        assert normalize is False  # masked rows come ready
        mu = torch.from_numpy(x.toarray()) @ self.weight
        return mu, torch.ones_like(mu)


def users(seed, n_users=40, n_items=30, density=0.3):
    r = np.random.default_rng(seed)
    x = (r.random((n_users, n_items)) < density).astype(float)
    x[:, 0] = 1  # no empty row
    return sp.csr_matrix(x), r.normal(size=(n_items, 4))


def generator(seed):
    return torch.Generator().manual_seed(seed)


def check_latent_ratio(measure, mask):
    """With μ = x the latent ratio is the input ratio, known exactly (l2) pair by pair."""
    x, _ = users(1)
    result = measure(Linear(np.eye(30)), x, keep=0.5, mask=mask)
    n, common = x.sum(1).A1, (x @ x.T).toarray()
    u, v = np.triu_indices(40, 1)
    pairs = input_distance(n[u], n[v], common[u, v], 0.5, mask, "l2", n_draws=4000, generator=generator(9))
    inputs = torch.from_numpy(mask_input(x, 1.0, mask).toarray())
    order = np.argsort(torch.linalg.vector_norm(inputs[u] - inputs[v], dim=-1).numpy(), kind="stable")
    assert result.n_pairs.sum() == len(u)
    for q, members in enumerate(np.array_split(order, 4)):
        assert result.n_pairs[q] == len(members)
        clean = pairs.clean[members].mean()
        np.testing.assert_allclose(result.clean[q], clean, rtol=1e-6)
        error = abs(result.ratio[q] - pairs.masked[members].mean() / clean)
        assert error < 5 * np.hypot(result.ratio_se[q], pairs.se[members].mean() / clean)


@pytest.mark.parametrize("mask", MASKS)
def test_latent_contraction_of_the_identity_is_the_input_law(mask):
    def measure(*args, **kwargs):
        return masking.latent_contraction(*args, **kwargs, n_quantiles=4, n_masks=60, generator=generator(2))

    check_latent_ratio(measure, mask)


@pytest.mark.parametrize(
    "twin",
    [dict(keep=0.8), dict(mask="raw")],
)
def test_a_wrong_mask_is_seen_in_latent_space(twin):
    def measure(model, x, keep, mask):
        how = dict(keep=keep, mask=mask) | twin
        return masking.latent_contraction(model, x, **how, n_quantiles=4, n_masks=60, generator=generator(2))

    with pytest.raises(AssertionError):
        check_latent_ratio(measure, "normalize-then-mask")


def test_prob_contract_in_latent_space_is_the_exact_law_for_raw_masks():
    """μ = x, raw: ‖μ_u − μ_v‖² = D_h, so the share of pairs that contract is P(D_h < d)."""
    x, _ = users(4)
    common = (x @ x.T).toarray()
    n = x.sum(1).A1
    u, v = np.triu_indices(40, 1)
    s = common[u, v]
    exact = masked_distance(s, n[u] + n[v] - 2 * s, 0.6).prob_contract()
    result = masking.latent_contraction(
        Linear(np.eye(30)), x, 0.6, "raw", n_masks=100, n_quantiles=1, generator=generator(1)
    )
    assert abs(result.prob_contract[0] - exact.mean()) < 5 * result.prob_contract_se[0]
    assert abs(result.prob_contract[0] - exact.mean()) < 0.05


def test_random_pairs_are_of_distinct_users():
    x, w = users(5, n_users=6)
    result = masking.latent_contraction(Linear(w), x, 1.0, n_pairs=10, n_quantiles=2, n_masks=2, generator=generator(0))
    np.testing.assert_array_equal(result.ratio, 1)  # no mask, no change
    np.testing.assert_array_equal(result.prob_contract, 0)
    assert result.n_pairs.sum() == 10
    assert (result.clean > 0).all()


def check_variance(measure):
    """μ = (x̃⊙b/ρ)W: Var_b tr = ((1−ρ)/ρ) Σ_i (1/N) ‖w_i‖², and E_b μ is the clean μ. Means over repeats, 5 se."""
    x, w = users(7)
    keep, repeats = 0.4, 200
    n = x.sum(1).A1
    within = ((1 - keep) / keep * (x @ (w**2).sum(1)) / n).mean()
    clean = x.toarray() @ w / np.sqrt(n)[:, None]
    between = clean.var(0, ddof=1).sum()
    seen = np.array([measure(Linear(w), x, keep, generator(r)) for r in range(repeats)])
    se = seen.std(0, ddof=1) / repeats**0.5
    assert (np.abs(seen.mean(0) - [within, between]) < 5 * se).all()
    assert (se < 0.02 * np.array([within, between])).all()


def test_mask_variance_is_unbiased_for_a_linear_encoder():
    def measure(model, x, keep, g):
        v = masking.mask_variance(model, x, keep, n_masks=3, generator=g)
        assert v.per_user.mean() == pytest.approx(v.within)
        assert v.ratio == pytest.approx(v.within / v.between)
        return v.within, v.between

    check_variance(measure)


@pytest.mark.parametrize(
    "twin",
    [
        lambda v, keep: (v.within * 2 / 3, v.between),  # divided by M
        lambda v, keep: (v.within, v.between + v.within / 3),  # the noise of the users' means left in
        lambda v, keep: (v.within * keep**2 / (1 - keep) ** 2, v.between),  # ρ and 1−ρ exchanged
    ],
)
def test_broken_variances_are_rejected(twin):
    def measure(model, x, keep, g):
        return twin(masking.mask_variance(model, x, keep, n_masks=3, generator=g), keep)

    with pytest.raises(AssertionError):
        check_variance(measure)


@given(st.floats(1e-3, 1e3))
@settings(max_examples=10, deadline=None)
def test_the_ratio_is_scale_free_and_the_variance_is_not(scale):
    x, w = users(8)
    a, b = (masking.mask_variance(Linear(c * w), x, 0.5, generator=generator(3)) for c in (1, scale))
    assert b.ratio == pytest.approx(a.ratio, rel=1e-6)
    assert b.within == pytest.approx(scale**2 * a.within, rel=1e-6)


def check_neighbours(measure):
    """Naive sets, user by user, from the same masks."""
    x, w = users(11, n_users=25)
    k, n_masks = 4, 3
    result = measure(Linear(w), x, 0.5, k, n_masks, generator(6))
    g = generator(6)
    draws = []
    for _ in range(n_masks):
        mu = mask_input(x, 0.5, "normalize-then-mask", g).toarray() @ w
        sets = []
        for u in range(25):
            others = sorted((np.linalg.norm(mu[u] - mu[v]), v) for v in range(25) if v != u)
            sets.append({v for _, v in others[:k]})
        draws.append(sets)
    expected = [
        np.mean([len(a[u] & b[u]) / len(a[u] | b[u]) for i, a in enumerate(draws) for b in draws[:i]])
        for u in range(25)
    ]
    np.testing.assert_allclose(result.overlap_per_user, expected, rtol=1e-12)
    assert result.overlap == pytest.approx(np.mean(expected))


def test_neighbourhood_drift_against_naive_sets(monkeypatch):
    monkeypatch.setattr("minivae.theory.drift.KNN_BLOCK", 7)  # several blocks, the last one short

    def measure(model, x, keep, k, n_masks, g):
        return masking.neighbourhood_drift(model, x, keep, k=k, n_masks=n_masks, generator=g)

    check_neighbours(measure)


@pytest.mark.parametrize("twin", ["k", "mask"])
def test_broken_drift_is_rejected(twin):
    def measure(model, x, keep, k, n_masks, g):
        other = {"k": dict(k=k + 1), "mask": dict(k=k, mask="raw")}[
            twin
        ]  # one neighbour more, as if a user were its own
        return masking.neighbourhood_drift(model, x, keep, n_masks=n_masks, generator=g, **other)

    with pytest.raises(AssertionError):
        check_neighbours(measure)


def test_no_mask_no_drift_and_chance_is_the_floor_of_noise():
    x, w = users(12)
    still = masking.neighbourhood_drift(Linear(w), x, 1.0, k=5, n_masks=2)
    assert still.overlap == 1
    assert still.within == 0

    class Noise:
        def encode(self, x, normalize):
            mu = torch.randn(x.shape[0], 8, generator=g, dtype=torch.float64)
            return mu, mu.exp()

    g = generator(1)
    noise = masking.neighbourhood_drift(Noise(), x, 0.5, k=5, n_masks=40, generator=g)
    se = noise.overlap_per_user.std() / 40**0.5
    assert abs(noise.overlap - noise.chance) < 5 * se
    assert noise.between == pytest.approx(0, abs=0.2)  # variance components: within is 8, nothing of it leaks
    assert noise.within == pytest.approx(8, rel=0.1)


def test_drift_says_what_it_needs():
    x, w = users(13, n_users=5)
    for bad in (dict(k=5), dict(k=0), dict(k=2, n_masks=1)):
        with pytest.raises(InputError):
            masking.neighbourhood_drift(Linear(w), x, 0.5, **bad)
    with pytest.raises(InputError):
        masking.latent_contraction(Linear(w), x[:1], 0.5)
    with pytest.raises(InputError):
        masking.latent_contraction(Linear(w), x, 0.5, n_quantiles=11)


def test_counts_that_do_not_pair_up_are_refused_at_once():
    with pytest.raises(InputError, match="broadcast"):
        masked_distance(np.ones(3), np.ones(2), 0.5)


def check_rare(law_of):
    """Two terms by hand: s + d coins of so small a probability show heads once at most."""
    for keep in (5e-324, 1e-308, 2.3e-308, 1e-250):
        for s, d in ((3, 4), (0, 4), (3, 0), (300, 400)):
            law = law_of(s, d, keep)
            once = d * keep + 2 * s * keep
            np.testing.assert_allclose(law[:2], [1, once], rtol=1e-12, atol=5e-324)
            assert law.sum() == 1
            assert len(law) == s + d + 1


def test_a_mask_that_keeps_nearly_nothing_has_a_law():
    """SciPy's binomial overflows near the smallest float."""
    check_rare(lambda s, d, keep: masked_distance(s, d, keep).pmf())
    assert masked_distance(3, 4, 1e-308).prob_contract() == 1
    assert masked_distance(3, 4, 1e-308).prob_expand() == 0
    with pytest.raises(AssertionError):
        check_rare(lambda s, d, keep: masked_distance(s, d, keep, shared=True).pmf())


# --- large counts, and laws that are shared --------------------------------------------------------------------------


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9, 1.0])
@pytest.mark.parametrize(("s", "d"), [(0, 0), (0, 5), (7, 0), (1, 1), (40, 13), (9, 90)])
def test_probabilities_are_sums_of_the_law(s, d, keep, shared):
    law = masking.masked_distance(s, d, keep, shared)
    k, p = np.arange(s + d + 1), law.pmf()
    p = np.pad(p, (0, max(0, len(k) - len(p))))
    assert law.prob_contract() == pytest.approx(p[k < d].sum(), rel=1e-12, abs=1e-300)
    assert law.prob_expand() == pytest.approx(p[k > d].sum(), rel=1e-12, abs=1e-300)
    for t in (0.0, 0.5, 1.0, 3.0, 100.0):
        beyond = np.abs(k - float(law.mean)) >= t - 1e-10
        assert law.tail(t) == pytest.approx(p[beyond].sum(), rel=1e-12, abs=1e-300)


def test_a_million_items_have_probabilities_but_no_law():
    n = 10**6
    law = masking.masked_distance(n, n, 0.5)  # mean n, so it comes closer about as often as not
    assert law.prob_contract() == pytest.approx(0.5, abs=1e-3)
    assert law.prob_contract() + law.prob_expand() < 1
    deviation = 1.5 * float(law.var) ** 0.5
    assert law.tail(deviation) == pytest.approx(2 * stats.norm.sf(1.5), abs=1e-3)
    with pytest.raises(InputError, match="200,000"):
        law.pmf()
    with pytest.raises(InputError, match="200,000"):
        masking.masked_distance_by_item([], np.full(200_001, 0.5)).pmf()


def test_nobody_can_write_into_a_law_that_others_use():
    before = masking.masked_distance(0, 5, 0.5).pmf().copy()
    with pytest.raises(ValueError, match="read-only"):
        masking.binomial(5, 0.5)[0] = 9
    masking.masked_distance(0, 5, 0.5).pmf()[0] = 9  # an array of one's own
    np.testing.assert_array_equal(masking.masked_distance(0, 5, 0.5).pmf(), before)
