"""Theorem 2.3 under batches and Adam, with real steps of torch's own optimisers."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minivae import InputError, MultVAE
from minivae.theory import transfer
from minivae.theory.optimiser_steps import batch_penalty, batch_step

USERS, ITEMS = 14, 12


def world(seed):
    rng = np.random.default_rng(seed)
    x = np.zeros((USERS, ITEMS))
    for u in range(USERS):  # two groups with items of their own, and some users between them
        own = range(6) if u < 6 else range(6, 12) if u < 12 else range(12)
        x[u, rng.permutation(list(own))[:4]] = 1
    model = MultVAE(ITEMS, hidden=6, latent=3)
    model.reset_parameters(torch.Generator().manual_seed(seed))
    model = model.double().eval()
    rows = torch.from_numpy(x)
    with torch.no_grad():
        z = model.encode(rows)[0].double()
    return model, rows, z


def losses(decoder, z, x):
    return -(x * torch.log_softmax(decoder(z), -1)).sum(-1)


def gradients(decoder, z, x):
    rows = []
    for at, row in zip(z, x, strict=True):
        found = torch.autograd.grad(losses(decoder, at, row), list(decoder.parameters()))
        rows.append(torch.cat([g.flatten() for g in found]))
    return torch.stack(rows)


def adam_diagonal(mean, eps=1e-8):
    """P of Adam's first step without momentum: v̂ is the squared mean gradient itself."""
    return 1 / (mean.abs() + eps)


def after(decoder, z, x, members, make):
    moved = copy.deepcopy(decoder)
    optimiser = make(moved.parameters())
    losses(moved, z[members], x[members]).mean().backward()
    optimiser.step()
    with torch.no_grad():
        return losses(moved, z, x)


STEPS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=1e-6),
    "adam": lambda p: torch.optim.Adam(p, lr=1e-7, betas=(0.0, 0.999), eps=1e-8),
}


def check_gain(certify, kind):
    """Whoever is certified is better off after torch's own step, and the first-order gain is right for everybody."""
    found = 0
    for seed in range(6):
        model, x, z = world(seed)
        members = [0, 1, 2, 3] if seed % 2 else [6, 7, 12]
        g = gradients(model.decoder, z, x)
        p = adam_diagonal(g[members].mean(0)) if kind == "adam" else None
        step = batch_step(g, members, p)
        with torch.no_grad():
            before = losses(model.decoder, z, x)
        fall = before - after(model.decoder, z, x, members, STEPS[kind])
        rate = 1e-7 if kind == "adam" else 1e-6
        torch.testing.assert_close(fall / rate, step.inner, rtol=1e-2, atol=1e-3 * float(step.inner.abs().max()))
        sure = certify(step)
        assert (fall[sure] > 0).all()
        found += int(sure.sum())
    assert found >= 6


@pytest.mark.parametrize("kind", STEPS)
def test_certified_users_gain_from_a_real_step(kind):
    check_gain(lambda step: step.certified, kind)
    check_gain(lambda step: step.apart < step.norm, kind)


@pytest.mark.parametrize("kind", STEPS)
def test_a_certificate_that_forgets_the_distance_is_rejected(kind):
    """Broken twin: everybody with a gradient is certified."""
    with pytest.raises(AssertionError):
        check_gain(lambda step: step.norm > 0, kind)


def test_plain_norms_say_nothing_about_adam():
    """Broken twin: without the preconditioner in the inner product, the first-order gain is wrong."""
    model, x, z = world(0)
    g = gradients(model.decoder, z, x)
    members = [6, 7, 12]
    with torch.no_grad():
        before = losses(model.decoder, z, x)
    fall = (before - after(model.decoder, z, x, members, STEPS["adam"])) / 1e-7
    right, wrong = (batch_step(g, members, p).inner for p in (adam_diagonal(g[members].mean(0)), None))
    assert float((fall - right).abs().max()) < 0.01 * float(fall.abs().max())
    assert float((fall - wrong).abs().max()) > 0.1 * float(fall.abs().max())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_the_chain_of_inequalities(seed, size):
    g = torch.Generator().manual_seed(seed)
    rows = torch.randn(8, 5, generator=g, dtype=torch.float64)
    diagonal = torch.rand(5, generator=g, dtype=torch.float64) + 0.01
    members = torch.randperm(8, generator=g)[:size].tolist()
    step = batch_step(rows, members, diagonal)
    assert (step.apart <= step.spread + 1e-12).all()
    assert (step.inner >= step.norm * (step.norm - step.apart) - 1e-9).all()
    assert (step.spread <= batch_penalty(torch.cdist(rows, rows), members, float(diagonal.max())) + 1e-9).all()
    torch.testing.assert_close(step.inner, rows @ (diagonal * rows[members].mean(0)))


def test_the_theorems_penalty_bounds_a_batch():
    """D_uv of Theorem 2.3 as `transfer.sharing` has it, at z = μ."""
    model, x, z = world(3)
    g = gradients(model.decoder, z, x)
    s = transfer.sharing(model, x, 0)
    step = batch_step(g, [0, 1, 2])
    assert (step.spread <= batch_penalty(s.penalty.double(), [0, 1, 2]) * (1 + 1e-5) + 1e-6).all()


def test_the_penalty_of_plain_sgd_is_the_mean_of_the_members():
    """P = I: its largest entry is 1, and the others of the batch count, not the rest of the users."""
    penalty = torch.tensor([[0.0, 3.0, 9.0], [5.0, 0.0, 1.0], [2.0, 7.0, 0.0]])
    assert batch_penalty(penalty, [0, 1]).tolist() == [1.5, 2.5, 4.5]
    assert batch_penalty(penalty, [2]).tolist() == [9.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("members", "diagonal", "says"),
    [([], None, "on no user"), ([0], torch.zeros(5), "positive"), ([0], torch.ones(4), r"\(4,\) must be")],
)
def test_bad_input_is_one_sentence(members, diagonal, says):
    with pytest.raises(InputError, match=says):
        batch_step(torch.ones(3, 5), members, diagonal)


def test_a_step_on_a_batch_by_hand():
    """P = diag(4, 1): in its norm the users are (2, 2), (6, 0) and (0, −1); the first two make up the batch."""
    g = torch.tensor([[1.0, 2.0], [3.0, 0.0], [0.0, -1.0]], dtype=torch.float64)
    step = batch_step(g, [0, 1], torch.tensor([4.0, 1.0], dtype=torch.float64))
    assert step.norm.tolist() == pytest.approx([8**0.5, 6, 1])
    assert step.apart.tolist() == pytest.approx([5**0.5, 5**0.5, 20**0.5])  # from the mean, (4, 1)
    assert step.spread.tolist() == pytest.approx([5**0.5, 5**0.5, (13**0.5 + 37**0.5) / 2])
    assert step.inner.tolist() == pytest.approx([10, 24, -1])
    assert step.certified.tolist() == [True, True, False]
    attained = batch_step(torch.tensor([[3.0, 4.0], [0.0, 0.0]]), [1])
    assert (attained.spread.tolist(), attained.certified.tolist()) == ([5, 0], [False, False])  # not below the norm


def test_a_penalty_of_a_batch_by_hand():
    penalty = torch.tensor([[0.0, 3.0, 9.0], [5.0, 0.0, 9.0], [1.0, 2.0, 0.0]])
    assert batch_penalty(penalty, [0, 1]).tolist() == [1.5, 2.5, 1.5]
    assert batch_penalty(penalty, [2], largest=4.0).tolist() == [18, 18, 0]
