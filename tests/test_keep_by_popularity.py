"""Masks that depend on an item's popularity: the probabilities, the draw, and the old bytes at exponent 0."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minivae import InputError, MultVAE, TrainConfig, fit
from minivae.batches import DeviceCSR, keep_by_popularity
from minivae.masks import masked

CONFIG = TrainConfig(batch_size=64, epochs=2, anneal_steps=20, precision="fp32", device="cpu", seed=5)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 5000), min_size=1, max_size=40), st.floats(0.02, 0.98), st.floats(-3, 3))
def test_the_mean_over_interactions_is_kept_and_odds_follow_the_power(counts, keep, exponent):
    n = np.maximum(counts, 1)
    rho = keep_by_popularity(np.array(counts), keep, exponent)
    assert n @ rho / n.sum() == pytest.approx(keep, abs=1e-9)
    assert ((rho >= 0) & (rho <= 1)).all()
    inside = (rho > 1e-6) & (rho < 1 - 1e-6)
    constant = np.log(rho[inside] / (1 - rho[inside])) + exponent * np.log(n[inside])
    assert np.ptp(constant) < 1e-5 if inside.any() else True


def test_exponent_zero_is_one_probability_for_all():
    np.testing.assert_allclose(keep_by_popularity(np.array([1, 50, 900]), 0.3, 0.0), 0.3)
    np.testing.assert_array_equal(keep_by_popularity(np.array([1, 50]), 1.0, 2.0), 1)


@pytest.mark.parametrize("exponent", [-10.0, 10.0])
def test_the_steepest_power_of_the_longest_tail_has_an_answer(exponent):
    """Odds that differ by 10^60: half of the interactions of one item, which are nearly all, are kept."""
    counts = np.array([1, 1000, 10**6])
    rho = keep_by_popularity(counts, 0.5, exponent)
    assert counts @ rho / counts.sum() == pytest.approx(0.5, abs=1e-9)
    assert rho[2] == pytest.approx(0.5, abs=1e-3)
    assert rho[:2] == pytest.approx([1, 1] if exponent > 0 else [0, 0], abs=1e-9)


def shares(split, exponent, steps=400):
    """How often each item's interactions are kept, and the mean input over masks beside the clean one."""
    matrix = DeviceCSR(split.train, keep=0.5, keep_exponent=exponent)
    batch = matrix.batch(torch.arange(100))
    kept, total = torch.zeros(split.n_items), torch.zeros_like(batch.weights)
    for step in range(steps):
        seen = masked(batch, 0.5, "normalize-then-mask", 1, step)
        kept.index_add_(0, batch.items, (seen.weights > 0).float())
        total += seen.weights
    n = torch.bincount(batch.items, minlength=split.n_items)
    return (kept / n / steps).numpy(), n.numpy() * steps, (total / steps - batch.weights), batch


def check_draw(split, exponent):
    rho = keep_by_popularity(np.bincount(split.train.indices, minlength=split.n_items), 0.5, exponent)
    share, n, bias, batch = shares(split, exponent)
    some = n > 0
    z = (share - rho)[some] / np.sqrt(rho * (1 - rho) / np.maximum(n, 1))[some]
    assert np.abs(z).max() < 5
    se = batch.weights.numpy() * np.sqrt((1 / rho[batch.items] - 1) / 400)
    assert (np.abs(bias.numpy()) < 5.5 * se).all()  # inverted by each item's own ρ, the input is unbiased


def test_items_are_kept_with_their_own_probability(toy_split):
    check_draw(toy_split, 1.0)


def test_one_probability_for_all_is_rejected(toy_split, monkeypatch):
    """Broken twin: the exponent has no effect on the draw."""
    monkeypatch.setattr(
        DeviceCSR, "batch", lambda self, users, batch=DeviceCSR.batch: replace(batch(self, users), keep=None)
    )
    with pytest.raises(AssertionError):
        check_draw(toy_split, 1.0)


def test_at_zero_the_bytes_are_those_of_before(toy_split):
    """The field is there, the run is the same; another exponent is another run."""
    a, b, c = (
        fit(MultVAE(toy_split.n_items, 8, 4), toy_split, replace(CONFIG, **extra)).model.decoder[-1].weight
        for extra in ({}, {"keep_exponent": 0}, {"keep_exponent": 1.0})
    )
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    with pytest.raises(InputError, match="keep_exponent"):
        TrainConfig(keep_exponent=float("nan"))
