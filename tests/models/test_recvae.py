"""RecVAE against a plain dense one written from the paper's equations, and its alternating updates."""

import math
import signal
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from dense_reference import anchored, check_learns, check_same_run, check_step, multinomial

from minivae import InputError, RecVAE, TrainConfig, evaluate, fit, load_model, save_model, training
from minivae.batches import DeviceCSR
from minivae.models.phase import Phase
from minivae.runtime import streams
from minivae.update import loss_terms

HIDDEN, D = 10, 4
ENCODER, DECODER = RecVAE.phases
CONFIG = TrainConfig(
    batch_size=100, epochs=3, beta=0.0, gamma=0.05, lr=1e-3, precision="fp32", device="cpu", seed=2, patience=9
)


def toy_model(eps=0.1):
    return RecVAE(120, HIDDEN, D, eps)


def moved():
    """A model whose old encoder is another than its encoder."""
    model = toy_model()
    reset = model.reset_parameters

    def reset_parameters(generator):
        reset(generator)
        with torch.no_grad():
            for b in model.prior.buffers():
                b.add_(0.3 * torch.randn(b.shape, generator=generator, dtype=torch.float64))

    model.reset_parameters = reset_parameters
    return model


def layer_norm(h, gain, bias, eps):
    centred = h - h.mean(1, keepdim=True)
    return gain * centred / (centred.square().mean(1, keepdim=True) + eps).sqrt() + bias


def encode(w, x, eps=0.1):
    """h_k = LN(swish(W_k h_{k−1} + b_k + h_1 + … + h_{k−1})), then [μ, log σ²]; w maps names to tensors."""
    hs = []
    for k in range(5):
        a = x @ w["input.weight"] + w["input.bias"] if k == 0 else F.linear(hs[-1], *layer(w, f"blocks.{k - 1}"))
        a = a + sum(hs)
        hs.append(layer_norm(a / (1 + torch.exp(-a)), *layer(w, f"norms.{k}"), eps))
    return F.linear(hs[-1], *layer(w, "output")).split(D, 1)


def layer(w, name):
    return w[f"{name}.weight"], w[f"{name}.bias"]


def below(state, prefix):
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def log_density(z, mu, logvar):
    return -0.5 * (math.log(2 * math.pi) + logvar + (z - mu) ** 2 / logvar.exp())


def log_prior(z, old_mu, old_logvar):
    """Per dimension: 3/20 N(0, 1) + 3/4 q_old + 1/10 N(0, e¹⁰)."""
    parts = [(3 / 20, log_density(z, 0 * z, 0 * z)), (3 / 4, log_density(z, old_mu, old_logvar))]
    parts.append((1 / 10, log_density(z, 0 * z, 0 * z + 10)))
    return sum(w * part.exp() for w, part in parts).log().sum(1)


def dense_loss(model, rows, clean, seen, noise, config, step, eps=0.1, prior=log_prior, old_sees="clean"):
    """−mean_u log p(x_u|z_u) + mean_u (β + γ N_u) (log q(z_u|x_h) − log p(z_u|x_u)), all in one."""
    state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    mu, logvar = encode(below(state, "encoder."), seen, eps)
    z = mu + (0.5 * logvar).exp() * noise
    old = encode(below(state, "prior.old."), {"clean": clean, "seen": seen}[old_sees], eps)
    kl = log_density(z, mu, logvar).sum(1) - prior(z, *old)
    beta = config.beta * min(1, step / config.anneal_steps)
    loss = multinomial(F.linear(z, state["decoder.0.weight"], state["decoder.0.bias"]), rows)
    loss = loss + ((beta + config.gamma * rows.sum(1)) * kl).mean()
    return loss + config.anchor * anchored(mu, logvar.exp(), state["anchors"], rows) if config.anchor else loss


@pytest.mark.parametrize("anchor", [0.0, 0.7])
@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_a_step_of_the_encoder_is_that_of_a_dense_recvae(toy_split, anchor, beta):
    for make in (toy_model, moved):
        check_step(make, dense_loss, toy_split.train, replace(CONFIG, anchor=anchor, beta=beta), 40, ENCODER)


def test_a_step_of_the_decoder_has_the_same_gradient_as_the_whole_loss(toy_split):
    """The authors keep the KL term in the decoder's phase; it does not depend on the decoder, so we leave it out."""

    def with_kl(*args):
        loss = dense_loss(*args)
        return loss - (loss - nll(*args)).detach()

    def nll(*args):
        return dense_loss(*args[:5], replace(args[5], gamma=0.0, anchor=0.0), args[6])

    check_step(moved, with_kl, toy_split.train, replace(CONFIG, anchor=0.5), 40, DECODER)

    def masked(*args):
        """Broken twin: the decoder learns from masked input."""
        return loss_terms(*args[:5], Phase(encoder=False))

    with pytest.raises(AssertionError):
        check_step(moved, with_kl, toy_split.train, CONFIG, 40, DECODER, masked)


def test_the_other_published_layer_norm(toy_split):
    def wsdm(*args):
        return dense_loss(*args, eps=1e-5)

    check_step(lambda: toy_model(1e-5), wsdm, toy_split.train, CONFIG, 7, ENCODER)
    with pytest.raises(AssertionError):
        check_step(toy_model, wsdm, toy_split.train, CONFIG, 7, ENCODER)


def one_mixture(z, old_mu, old_logvar):
    """Broken twin: one mixture of d-dimensional densities."""
    parts = [(3 / 20, 0 * z, 0 * z), (3 / 4, old_mu, old_logvar), (1 / 10, 0 * z, 0 * z + 10)]
    return sum(w * log_density(z, mu, logvar).sum(1).exp() for w, mu, logvar in parts).log()


@pytest.mark.parametrize(
    "twin",
    [
        lambda *a: dense_loss(*a, prior=one_mixture),
        lambda *a: dense_loss(*a, prior=lambda z, m, v: log_density(z, m, v).sum(1)),  # the old posterior alone
        lambda *a: dense_loss(*a, old_sees="seen"),  # the old encoder sees the mask
        lambda *a: dense_loss(*a[:5], replace(a[5], gamma=0.0, beta=a[5].gamma, anneal_steps=1), a[6]),  # no N_x
    ],
)
def test_step_twins_are_rejected(toy_split, twin):
    with pytest.raises(AssertionError):
        check_step(moved, twin, toy_split.train, CONFIG, 7, ENCODER)


# alternating updates


def by_hand(toy_split, config):
    """Two optimizers: three passes of the encoder's, the prior, one pass of the decoder's."""
    model = toy_model()
    model.reset_parameters(torch.Generator().manual_seed(config.seed))
    enc = torch.optim.Adam(model.encoder.parameters(), lr=config.lr, fused=True)
    dec = torch.optim.Adam(model.decoder.parameters(), lr=config.lr, fused=True)
    matrix, step, number, ndcg = DeviceCSR(toy_split.train), 0, 0, []
    for _ in range(config.epochs):
        for k in range(4):
            for users in streams.permutation(config.seed, number, 400).split(config.batch_size):
                model.zero_grad()
                phase = ENCODER if k < 3 else DECODER
                loss_terms(model, matrix.batch(users), config, step, torch.float32, phase)["loss"].backward()
                (enc if k < 3 else dec).step()
                step += 1
            number += 1
            if k == 2:
                model.prior.old.load_state_dict(model.encoder.state_dict())
        ndcg.append(evaluate(model, toy_split.validation, ("ndcg@100",))["ndcg@100"][0])
    return ndcg, model


def test_an_epoch_alternates(toy_split):
    run = fit(toy_model(), toy_split, CONFIG)
    ndcg, model = by_hand(toy_split, CONFIG)
    assert [line["validation"] for line in run.log] == ndcg
    assert [line["updates"] for line in run.log] == [16, 32, 48]
    last = fit(toy_model(), toy_split, replace(CONFIG, patience=1, epochs=1)).model.state_dict()
    first = by_hand(toy_split, replace(CONFIG, epochs=1))[1].state_dict()
    assert all(torch.equal(v, last[k]) for k, v in first.items())
    assert all(p.requires_grad for p in run.model.parameters())
    assert any(not torch.equal(v, first[k]) for k, v in model.state_dict().items())


class Interrupting(RecVAE):
    """Presses Ctrl-C during the n-th forward pass of training; 0 never does."""

    press_at = 0
    forwards = 0

    def posterior(self, x):
        if self.training:
            self.forwards += 1
            if self.forwards == self.press_at:
                signal.raise_signal(signal.SIGINT)
        return super().posterior(x)


def interrupting(press_at=0):
    model = Interrupting(120, HIDDEN, D)
    model.press_at = press_at
    return model


@pytest.mark.parametrize("press_at", [1, 11, 12, 13, 16, 17, 48])  # 12: the prior is to be updated; 16: end of an epoch
def test_interrupted_and_resumed_is_uninterrupted(toy_split, tmp_path, press_at):
    config = replace(CONFIG, anchor=0.1)
    with pytest.raises(KeyboardInterrupt):
        fit(interrupting(press_at), toy_split, config, folder=tmp_path)
    resumed = fit(interrupting(), toy_split, config, folder=tmp_path, resume=True)
    check_same_run(resumed, fit(interrupting(), toy_split, config))


def test_resuming_twin_is_rejected(toy_split, tmp_path, monkeypatch):
    load = training.Checkpoint.load

    def forgetful(self, *where):
        """Broken twin: the old encoder of the prior is not restored."""
        old = {k: v.clone() for k, v in self.model.prior.state_dict().items()}
        load(self, *where)
        self.model.prior.load_state_dict(old)

    monkeypatch.setattr(training.Checkpoint, "load", forgetful)
    with pytest.raises(KeyboardInterrupt):
        fit(interrupting(18), toy_split, CONFIG, folder=tmp_path)
    resumed = fit(interrupting(), toy_split, CONFIG, folder=tmp_path, resume=True)
    with pytest.raises(AssertionError):
        check_same_run(resumed, fit(interrupting(), toy_split, CONFIG))


@pytest.mark.slow
def test_it_learns(toy_split):
    config = replace(CONFIG, epochs=15, lr=5e-3, gamma=0.005)
    for anchor in (0.0, 0.1):
        run = fit(RecVAE(120, 32, 8), toy_split, replace(config, anchor=anchor))
        check_learns(run, toy_split)
        assert {"nll", "kl", "loss"} <= run.log[0].keys()
    with pytest.raises(AssertionError):  # twin: hardly trained
        check_learns(fit(RecVAE(120, 32, 8), toy_split, replace(config, epochs=1, lr=1e-6)), toy_split)


# pieces


def test_the_old_encoder_is_no_parameter():
    model = toy_model()
    assert not any(name.startswith("prior.") for name, _ in model.named_parameters())
    assert sum(k.startswith("prior.old.") for k in model.state_dict()) == len(model.encoder.state_dict())
    before = {k: v.clone() for k, v in model.prior.old.state_dict().items()}
    with torch.no_grad():
        model.encoder.input.weight.add_(1)
    assert all(torch.equal(v, before[k]) for k, v in model.prior.old.state_dict().items())  # a copy, not a view
    model.finish(DECODER)
    assert all(torch.equal(v, before[k]) for k, v in model.prior.old.state_dict().items())
    model.finish(ENCODER)
    assert torch.equal(model.prior.old.input.weight, model.encoder.input.weight)


def test_initialisation_is_the_default_of_torch():
    """Uniform in ±1/sqrt(inputs): variance 1/(3 inputs); LayerNorms at gain 1 and bias 0, whatever they were."""
    model = RecVAE(500, 200, 60)
    with torch.no_grad():
        model.encoder.norms[0].weight.fill_(7)
    model.reset_parameters(torch.Generator().manual_seed(0))
    for name, p in model.named_parameters():
        if ".norms." in name:
            assert torch.equal(p, torch.full_like(p, name.endswith("weight")))
            continue
        inputs = {"encoder.input": 500, "encoder.output": 200, "decoder.0": 60}.get(name.rsplit(".", 1)[0], 200)
        variance, n = 1 / (3 * inputs), p.numel()
        assert float(p.detach().abs().max()) <= inputs**-0.5
        assert abs(float(p.detach().square().mean()) - variance) < 5 * variance * math.sqrt(0.8 / n)
    assert torch.equal(model.prior.old.input.weight, model.encoder.input.weight)


def test_save_and_load(toy_split, tmp_path):
    model = moved()
    model.reset_parameters(torch.Generator().manual_seed(0))
    save_model(model, tmp_path / "model.safetensors")
    again = load_model(tmp_path)
    own = {"n_items": 120, "hidden": HIDDEN, "latent": D, "norm_eps": 0.1, "prior": "composite", "components": 1000}
    assert again.sizes == own
    assert model.state_dict().keys() == again.state_dict().keys()
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in model.state_dict().items())
    assert torch.equal(again.score(toy_split.test.history), model.score(toy_split.test.history))


def test_a_user_without_items_is_finite(toy_split):
    assert bool(toy_model().score(toy_split.train[:1] * 0).isfinite().all())


def test_the_layer_norm_needs_a_positive_epsilon():
    for eps in [0.0, -1.0, math.nan, math.inf, "a", None]:
        with pytest.raises(InputError, match="norm_eps"):
            RecVAE(5, 3, 2, norm_eps=eps)


def test_sizes_must_be_positive():
    with pytest.raises(InputError, match="from 1 to 2147483647"):
        RecVAE(5, 0, 5)
