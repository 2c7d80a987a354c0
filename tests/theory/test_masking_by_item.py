"""Masks that differ by item: the Poisson-binomial law against enumeration, its moments, and the one-ρ law."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minivae import InputError
from minivae.theory import masking_by_item
from minivae.theory.masking import masked_distance, masked_distance_by_item
from minivae.theory.masking_by_item import poisson_binomial

RHO = st.one_of(st.just(0.0), st.floats(1e-6, 1))


def enumerated(common, different):
    """All masks of both users, one after the other: (s+d+1,)."""
    law = np.zeros(len(common) + len(different) + 1)
    for kept in product((0, 1), repeat=2 * len(common) + len(different)):
        u, v, single = kept[: len(common)], kept[len(common) : 2 * len(common)], kept[2 * len(common) :]
        p = 1.0
        for bits, rho in ((u, common), (v, common), (single, different)):
            for b, r in zip(bits, rho, strict=True):
                p *= r if b else 1 - r
        law[sum(a != b for a, b in zip(u, v, strict=True)) + sum(single)] += p
    return law


def check_law(law_of):
    """Against enumeration, for random ρ_i."""
    rng = np.random.default_rng(0)
    for s, d in ((0, 3), (3, 0), (2, 4), (4, 3)):
        common, different = rng.random(s), rng.random(d)
        np.testing.assert_allclose(law_of(common, different), enumerated(common, different), atol=1e-14)


def test_the_law_is_that_of_enumeration():
    check_law(lambda c, d: masked_distance_by_item(c, d).pmf())


@pytest.mark.parametrize(
    "twin",
    [
        lambda c, d: masked_distance_by_item(d, c).pmf(),  # common and different exchanged
        lambda c, d: poisson_binomial(np.concatenate([d, c * (1 - c)])),  # one way to differ forgotten
        lambda c, d: poisson_binomial(np.concatenate([d, 0 * c])),  # one mask for both users
        lambda c, d: masked_distance(len(c), len(d), float(np.concatenate([c, d]).mean())).pmf(),  # the mean ρ for all
    ],
)
def test_twins_are_rejected(twin):
    with pytest.raises(AssertionError):
        check_law(twin)


@settings(max_examples=60, deadline=None)
@given(st.lists(RHO, max_size=30), st.lists(RHO, max_size=30))
def test_moments_and_probabilities_belong_to_the_law(common, different):
    law = masked_distance_by_item(common, different)
    p, k = law.pmf(), np.arange(len(common) + len(different) + 1)
    assert p.sum() == pytest.approx(1)
    assert law.mean == pytest.approx(p @ k, abs=1e-9)
    assert law.var == pytest.approx(p @ (k - p @ k) ** 2, abs=1e-9)
    d = len(different)
    assert law.prob_contract() == pytest.approx(p[k < d].sum())
    assert law.prob_expand() == pytest.approx(p[k > d].sum())
    if abs(float(law.mean) - d) > 1e-9:
        assert bool(law.contracts) == (law.mean < d)
    for t in (0.5, 2.0, 5.0):
        assert law.tail(t) <= law.hoeffding(t) + 1e-12


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 40), st.integers(0, 40), RHO)
def test_one_probability_for_all_is_theorem_2_6(s, d, rho):
    ours, paper = masked_distance_by_item(np.full(s, rho), np.full(d, rho)), masked_distance(s, d, rho)
    np.testing.assert_allclose(ours.pmf(), paper.pmf(), rtol=1e-9, atol=1e-300)
    np.testing.assert_allclose(ours.prob_contract(), paper.prob_contract(), rtol=1e-9, atol=1e-15)


def test_convolution_and_fourier_transform_agree():
    """``∏(1 − p + p e^{iω})`` at the roots of unity, transformed back."""
    p = np.random.default_rng(3).random(300)
    omega = np.exp(2j * np.pi * np.arange(301) / 301)
    transformed = np.fft.fft((1 - p + p * omega[:, None]).prod(1)).real / 301
    np.testing.assert_allclose(poisson_binomial(p), transformed, atol=1e-14)
    assert (poisson_binomial(p) >= 0).all()


def test_a_tail_counts_its_atoms_by_hand():
    """Two coins: D_h is 0, 1, 2 with ¼, ½, ¼ around 1. One that counts surely and one of ¼: 1 or 2 around 1.25."""
    coins = masked_distance_by_item([], [0.5, 0.5])
    assert [float(coins.tail(t)) for t in (0.0, 0.5, 1.0, 1.5)] == [1, 0.5, 0.5, 0]
    uneven = masked_distance_by_item([], [1.0, 0.25])
    assert [float(uneven.tail(t)) for t in (0.25, 0.3, 0.75, 0.8)] == pytest.approx([1, 0.25, 0.25, 0])


@settings(max_examples=40, deadline=None)
@given(st.lists(RHO, max_size=12), st.lists(RHO, min_size=1, max_size=12), st.sampled_from([0.3, 0.77, 1.9, 4.1]))
def test_a_tail_is_a_sum_of_the_law(common, different, t):
    law = masked_distance_by_item(common, different)
    p, k = law.pmf(), np.arange(len(common) + len(different) + 1)
    off = np.abs(k - p @ k)
    if (np.abs(off - t) > 1e-9).all():
        assert law.tail(t) == pytest.approx(p[off > t].sum(), abs=1e-15)


def test_the_longest_law_is_still_made(monkeypatch):
    monkeypatch.setattr(masking_by_item, "LONGEST", 5)
    assert len(poisson_binomial(np.full(5, 0.5))) == 6
    with pytest.raises(InputError, match="6 items would take hours; at most 5"):
        poisson_binomial(np.full(6, 0.5))


def test_border_of_contraction():
    """Hiding what one user has alone brings the two together; hiding what both have drives them apart."""
    assert masked_distance_by_item([1.0, 1.0], [0.2]).contracts  # common items always kept
    assert not masked_distance_by_item([0.5, 0.5], [1.0]).contracts  # only common items hidden
    common, different = np.full(3, 0.5), np.array([0.4, 0.1])
    assert (1 - different).sum() == pytest.approx(2 * (common * (1 - common)).sum())
    assert masked_distance_by_item(common, different).mean == pytest.approx(2.0)


def test_kind_is_kept_and_bad_input_is_one_sentence():
    law = masked_distance_by_item(torch.tensor([0.5]), torch.tensor([0.25]))
    assert isinstance(law.pmf(), torch.Tensor)
    assert law.mean.dtype == torch.float32
    for wrong in ([1.2], [[0.5]], 0.5):
        with pytest.raises(InputError, match="keep_common must be a list of probabilities"):
            masked_distance_by_item(wrong, [0.5])
