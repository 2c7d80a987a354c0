"""Transfer against gradients of `gram`, against real steps of gradient descent, and along a recorded run."""

import copy

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import nn

from minivae import InputError, MultVAE, RecVAE, TrainConfig, explain, fit, theory
from minivae.explain.snapshots import Snapshot, moments, record


def users(n=14, n_items=23, seed=0):
    x = (np.random.default_rng(seed).random((n, n_items)) < 0.3).astype(np.float64)
    x[:, 0] = 1
    return x


def model(n_items=23, seed=0):
    made = MultVAE(n_items, 7, 3).double()
    made.reset_parameters(torch.Generator().manual_seed(seed))
    return made.eval()


@pytest.mark.parametrize("n_samples", [0, 1, 2, 3])
def test_one_checkpoint_is_the_gram_matrix(n_samples):
    x = users()
    expected = theory.transfer.gram(model(), x, n_samples, torch.Generator().manual_seed(4))
    got = explain.transfer(model(), x, n_samples=n_samples, generator=torch.Generator().manual_seed(4))
    np.testing.assert_allclose(got.total, expected, rtol=1e-5)
    norm = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(got.cosine, expected / np.outer(norm, norm), rtol=1e-5, atol=1e-6)


def test_tiles_do_not_change_the_result(monkeypatch):
    whole = explain.transfer(model(), users()).total
    monkeypatch.setattr("minivae.explain.kernel.ROWS", 4)
    np.testing.assert_allclose(explain.transfer(model(), users()).total, whole, rtol=1e-6)


def test_receivers_with_held_out_targets():
    """g_u by autograd: z from the history, loss of the held-out items."""
    x, m = users(), model()
    history, heldout = users(5, seed=8), users(5, seed=9)
    got = explain.transfer(m, x, history, heldout).total

    def gradient(seen, target):
        m.zero_grad()
        with torch.no_grad():
            z = m.encode(seen[None])[0]
        logits = m.decode(z)[0]
        t = torch.from_numpy(target)
        (t.sum() * logits.logsumexp(0) - t @ logits).backward()
        return torch.cat([p.grad.ravel() for p in m.decoder.parameters()])

    of_receivers = torch.stack([gradient(h, t) for h, t in zip(history, heldout, strict=True)])
    of_sources = torch.stack([gradient(row, row) for row in x])
    np.testing.assert_allclose(got, of_receivers @ of_sources.T, rtol=1e-5, atol=1e-5)


def two_steps(eta, first, second):
    """Plain gradient descent of the decoder on two users in turn; snapshots before each step; change of all losses."""
    x, m = users(), model()
    z = m.encode(x)[0].detach()
    rows = torch.from_numpy(x)

    def losses(decoder):
        logits = decoder(z)
        return rows.sum(1) * logits.logsumexp(1) - (rows * logits).sum(1)

    decoder, seen = copy.deepcopy(m.decoder), []
    before = losses(decoder).detach()
    for v in (first, second):
        seen.append(copy.deepcopy(decoder))
        optimizer = torch.optim.SGD(decoder.parameters(), lr=eta)
        optimizer.zero_grad()
        losses(decoder)[v].backward()
        optimizer.step()
    snapshots = []
    for t, d in enumerate(seen):
        at = copy.deepcopy(m)
        at.decoder = d
        snapshots.append(Snapshot(at, eta, t))
    return x, snapshots, (before - losses(decoder).detach()).numpy()


def error_of_two_steps(predicted, eta):
    """Largest distance of the predicted fall of a loss from the real one."""
    x, snapshots, fall = two_steps(eta, 2, 9)
    return np.abs(predicted(x, snapshots) - fall).max()


def by_transfer(x, snapshots):
    """T with one user in each step."""
    return sum(explain.transfer([s], x).total[:, v].astype(float) for s, v in zip(snapshots, (2, 9), strict=True))


def check_first_order(predicted):
    """The error is of the order η²: with half the rate it falls to a quarter."""
    errors = [error_of_two_steps(predicted, eta) for eta in (4e-3, 2e-3, 1e-3)]
    ratios = np.array(errors[1:]) / errors[:-1]
    np.testing.assert_allclose(ratios, 0.25, atol=0.04)


def test_transfer_of_a_two_step_run_is_the_fall_of_the_losses_to_first_order():
    check_first_order(by_transfer)


@pytest.mark.parametrize(
    "twin",
    [
        lambda x, s: by_transfer(x, [s[0], Snapshot(s[1].model, 0.0, 1)]),  # forgets the second step
        lambda x, s: -by_transfer(x, s),
        lambda x, s: explain.transfer(s, x).total[:, [2, 9]].sum(1).astype(float),  # both users in both steps
    ],
)
def test_twins_of_the_two_step_run_are_rejected(twin):
    with pytest.raises(AssertionError):
        check_first_order(twin)


def test_sums_leave_out_a_users_effect_on_itself():
    t = explain.transfer(model(), users())
    total = t.total.astype(float)
    np.testing.assert_allclose(t.inflow(), total.sum(1) - np.diag(total), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(t.outflow(), total.sum(0) - np.diag(total), rtol=1e-5, atol=1e-4)
    other = explain.transfer(model(), users(), users(4, seed=3))
    np.testing.assert_allclose(other.inflow(), other.total.sum(1, dtype=float), rtol=1e-6)


def test_an_outside_model_is_explained_too():
    inside = model()
    outside = theory.wrap(encode=lambda x: inside.encode(x), decode=inside.decoder, normalize=False)
    np.testing.assert_allclose(
        explain.transfer(outside, users()).total, explain.transfer(inside, users()).total, rtol=1e-6
    )


def test_any_decoder_goes():
    """RecVAE's linear decoder, and a gated one by autograd."""
    m = RecVAE(23, 8, 3).eval()
    np.testing.assert_allclose(
        explain.transfer(m, users()).total, theory.transfer.gram(m, users(), 0), rtol=1e-4, atol=1e-4
    )
    gated = theory.wrap(
        encode=lambda x: (x[:, :3], x[:, :3].abs()),
        decode=nn.Sequential(nn.Linear(3, 8), nn.GLU(), nn.Linear(4, 23)),
        normalize=False,
    )
    np.testing.assert_allclose(
        explain.transfer(gated, users()).total, theory.transfer.gram(gated, users(), 0), rtol=1e-4, atol=1e-4
    )


def test_bad_input_is_one_sentence():
    with pytest.raises(InputError, match="no snapshots"):
        explain.transfer([], users())
    with pytest.raises(InputError, match="same users"):
        explain.transfer(model(), users(), users(4), users(5))
    with pytest.raises(InputError, match="the model knows 23 items"):
        explain.transfer(model(), sp.csr_matrix(users(n_items=22)))


# snapshots


def test_moments_lie_before_the_end():
    assert moments(1) == (0,)
    assert moments(14) == (0, 1, 2, 3, 5, 8, 13)
    with pytest.raises(InputError, match="at least 1"):
        moments(0)


def test_snapshots_of_a_run(toy_split):
    """Weights add up to the whole run; the fresh parameters and the end are those of `fit`."""
    config = TrainConfig(batch_size=64, epochs=6, anneal_steps=20, precision="fp32", device="cpu", seed=3)

    def build():
        return MultVAE(toy_split.n_items, 8, 4)

    snapshots, end, run = record(build, toy_split, config, to_the_end=True)
    assert [s.epoch for s in snapshots] == [0, 1, 2, 3, 5]
    np.testing.assert_allclose(sum(s.weight for s in snapshots), config.lr * 6 / 64)
    one = fit(build(), toy_split, TrainConfig(**{**config.__dict__, "epochs": 1}))
    assert torch.equal(one.model.decoder[-1].weight, snapshots[1].model.decoder[-1].weight)
    fresh = build()
    fresh.reset_parameters(torch.Generator().manual_seed(3))
    assert torch.equal(fresh.decoder[-1].weight, snapshots[0].model.decoder[-1].weight)
    chosen, best, again = record(build, toy_split, config)
    assert chosen[-1].epoch < again.best_epoch == run.best_epoch
    assert torch.equal(best.decoder[-1].weight, run.model.decoder[-1].weight)
    assert end is not best
    with pytest.raises(InputError, match="none of the epochs"):
        record(build, toy_split, config, at=[99])


def test_counts_are_has_it_for_sources_and_receivers_and_weights_for_the_target():
    x, m = users(), model()
    counts = x * np.random.default_rng(2).integers(1, 6, x.shape)
    np.testing.assert_array_equal(explain.transfer(m, counts).total, explain.transfer(m, x).total)
    plain, weighted = (explain.transfer(m, x, counts, target).total for target in (x, 2 * x))
    np.testing.assert_allclose(weighted, 2 * plain, rtol=1e-6)
