"""Mult-DAE against a plain dense one."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from dense_reference import anchored, check_learns, check_step, drawn, multinomial

from minivae import InputError, MultDAE, TrainConfig, evaluate, fit, load_model, save_model
from minivae.batches import DeviceCSR
from minivae.runtime import streams
from minivae.update import adam, loss_terms

D = 7
CONFIG = TrainConfig(batch_size=64, epochs=2, weight_decay=1e-3, precision="fp32", device="cpu", seed=4)


def toy_model():
    return MultDAE(120, D)


def dense_loss(model, rows, clean, seen, noise, config, step):
    """Liang et al. (2018): one hidden layer tanh(x̃ W + b), no noise, no KL."""
    p = dict(model.named_parameters())
    z = torch.tanh(seen @ p["encoder.weight"] + p["encoder.bias"])
    loss = multinomial(F.linear(z, p["decoder.0.weight"], p["decoder.0.bias"]), rows)
    return loss + config.anchor * anchored(z, torch.zeros_like(z), p["anchors"], rows) if config.anchor else loss


@pytest.mark.parametrize("anchor", [0.0, 0.7])
@pytest.mark.parametrize("keep", [0.5, 1.0])
def test_a_step_is_that_of_a_dense_mult_dae(toy_split, anchor, keep):
    check_step(toy_model, dense_loss, toy_split.train, replace(CONFIG, anchor=anchor, keep=keep), 7)


def test_step_twins_are_rejected(toy_split):
    def linear_code(model, rows, clean, seen, *args):
        p = dict(model.named_parameters())
        z = seen @ p["encoder.weight"] + p["encoder.bias"]
        return multinomial(F.linear(z, p["decoder.0.weight"], p["decoder.0.bias"]), rows)

    def with_noise(model, rows, clean, seen, noise, *args):
        p = dict(model.named_parameters())
        z = torch.tanh(seen @ p["encoder.weight"] + p["encoder.bias"]) + 0.1 * noise
        return multinomial(F.linear(z, p["decoder.0.weight"], p["decoder.0.bias"]), rows)

    def clean_input(model, rows, clean, seen, *args):
        return dense_loss(model, rows, clean, clean, *args)

    for twin in (linear_code, with_noise, clean_input):
        with pytest.raises(AssertionError):
            check_step(toy_model, twin, toy_split.train, CONFIG, 7)


def check_penalty(config, toy_split, penalty):
    """Six updates from one start: Adam as we make it, and plain Adam on the loss with the penalty written out."""
    ours, theirs = (toy_model().to(torch.float64) for _ in range(2))
    for model in (ours, theirs):
        model.reset_parameters(torch.Generator().manual_seed(1))
        model.add_anchors(torch.Generator().manual_seed(2))
    x, matrix = torch.from_numpy(toy_split.train.toarray()).double(), DeviceCSR(toy_split.train)
    fused, plain = adam(ours, config), torch.optim.Adam(theirs.parameters(), lr=config.lr, foreach=False, fused=False)
    for step, users in enumerate(streams.permutation(config.seed, 0, len(x)).split(config.batch_size)[:6]):
        fused.zero_grad()
        loss_terms(ours, matrix.batch(users), config, step)["loss"].backward()
        fused.step()
        plain.zero_grad()
        rows, (kept, noise) = x[users], drawn(x, users, config, step, D)
        clean = F.normalize(rows, dim=1)
        loss = dense_loss(theirs, rows, clean, clean * kept / config.keep, noise, config, step)
        (loss + penalty(dict(theirs.named_parameters()))).backward()
        plain.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


def test_weight_decay_is_the_published_penalty_on_weights_only(toy_split):
    """λ (‖W₁‖² + ‖W₂‖²) in the loss; Liang et al. write 2·l2_loss, and TensorFlow's l2_loss has a ½."""
    config = replace(CONFIG, anchor=0.5, weight_decay=0.05)

    def squares(p, names):
        return 0.05 * sum(p[n].square().sum() for n in names)

    weights = ["encoder.weight", "decoder.0.weight"]
    check_penalty(config, toy_split, lambda p: squares(p, weights))
    for twin in (
        lambda p: squares(p, weights) / 2,  # λ/2 ‖W‖²
        lambda p: squares(p, p),  # biases and anchors too
        lambda p: 0.05 * sum(p[n].norm() for n in weights),  # not squared
    ):
        with pytest.raises(AssertionError):
            check_penalty(config, toy_split, twin)


def test_the_code_is_a_point(toy_split):
    model = toy_model()
    mu, sd = (t.detach() for t in model.encode(toy_split.test.history))
    assert float(sd.abs().max()) == 0
    assert float(mu.abs().max()) < 1
    torch.testing.assert_close(model.score(toy_split.test.history), model.decode(mu))


def test_it_learns(toy_split):
    config = replace(CONFIG, epochs=30, lr=1e-2, weight_decay=2e-5)
    run = fit(MultDAE(120, 16), toy_split, config)
    check_learns(run, toy_split)
    assert "kl" not in run.log[0]
    with pytest.raises(AssertionError):  # twin: hardly trained
        check_learns(fit(MultDAE(120, 16), toy_split, replace(config, epochs=1, lr=1e-6)), toy_split)


def test_weight_decay_takes_effect(toy_split):
    def size(weight_decay):
        run = fit(toy_model(), toy_split, replace(CONFIG, weight_decay=weight_decay))
        return float(run.model.encoder.weight.detach().square().sum())

    assert size(0.1) < 0.9 * size(0.0)


def test_save_and_load(toy_split, tmp_path):
    model = toy_model()
    save_model(model, tmp_path / "model.safetensors")
    again = load_model(tmp_path)
    assert again.sizes == {"n_items": 120, "latent": D}
    for k, v in model.state_dict().items():
        assert torch.equal(v, again.state_dict()[k])
    np.testing.assert_array_equal(
        evaluate(model, toy_split.test).per_user["ndcg@100"], evaluate(again, toy_split.test).per_user["ndcg@100"]
    )


def test_sizes_must_be_positive():
    with pytest.raises(InputError, match="from 1 to 2147483647"):
        MultDAE(5, 0)
