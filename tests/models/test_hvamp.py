"""H+Vamp, gated, against a plain dense one written from its equations; and every prior on every VAE."""

import math
import signal
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from dense_reference import anchored, check_learns, check_same_run, check_step, multinomial

from minivae import HVamp, InputError, MultVAE, RecVAE, TrainConfig, evaluate, fit, load_model, save_model
from minivae.models.gated import GaussianHead
from minivae.objective import kl_to_gaussian

HIDDEN, D, K = 9, 3, 5
CONFIG = TrainConfig(batch_size=100, epochs=3, beta=0.3, anneal_steps=10, precision="fp32", device="cpu", seed=2)


def toy_model(prior="vamp"):
    return HVamp(120, HIDDEN, D, prior, K)


def gated(p, name, x, transposed=False):
    """(W x + b) ⊙ sigmoid(V x + c), W and V stacked in one matrix."""
    weight, bias = p[f"{name}.linear.weight"], p[f"{name}.linear.bias"]
    weight = weight.T if transposed else weight
    return F.linear(x, weight[:HIDDEN], bias[:HIDDEN]) * torch.sigmoid(F.linear(x, weight[HIDDEN:], bias[HIDDEN:]))


def head(p, name, h):
    """μ and log σ² in −12 … 4."""
    out = F.linear(h, p[f"{name}.weight"], p[f"{name}.bias"])
    return out[:, :D], F.hardtanh(out[:, D:], -12, 4)


def q_z2(p, x):
    return head(p, "encoder.2", gated(p, "encoder.1", gated(p, "encoder.0", x, True)))


def q_z1(p, x, z2):
    both = [gated(p, "inner_layers.first", x, True), gated(p, "inner_layers.second", z2)]
    return head(p, "inner_head", gated(p, "inner_layers.joint", torch.cat(both, 1)))


def p_z1(p, z2):
    return head(p, "conditional.2", gated(p, "conditional.1", gated(p, "conditional.0", z2)))


def logits(p, z1, z2):
    both = [gated(p, "decoder.0.pair.first", z1), gated(p, "decoder.0.pair.second", z2)]
    h = gated(p, "decoder.0.pair.joint", torch.cat(both, 1))
    return F.linear(h, p["decoder.1.weight"], p["decoder.1.bias"])


def log_density(z, mu, logvar):
    return -0.5 * (math.log(2 * math.pi) + logvar + (z - mu) ** 2 / logvar.exp()).sum(-1)


def vamp(p, z2):
    mu, logvar = q_z2(p, F.hardtanh(p["prior.pseudo_inputs"], 0, 1))  # (K, d)
    return torch.logsumexp(log_density(z2[:, None], mu, logvar), 1) - math.log(K)


def kl_z1(p, z1, z2, mu, logvar):
    """KL(q(z₁|x, z₂) ‖ p(z₁|z₂)) from torch.distributions."""
    mu_p, logvar_p = p_z1(p, z2)
    q, prior = (torch.distributions.Normal(m, (0.5 * v).exp()) for m, v in ((mu, logvar), (mu_p, logvar_p)))
    return torch.distributions.kl_divergence(q, prior).sum(1)


def dense_loss(model, rows, clean, seen, noise, config, step, inner=kl_z1, prior=vamp):
    p = dict(model.named_parameters())
    mu2, logvar2 = q_z2(p, seen)
    z2 = mu2 + (0.5 * logvar2).exp() * noise[:, D:]
    mu1, logvar1 = q_z1(p, seen, z2)
    z1 = mu1 + (0.5 * logvar1).exp() * noise[:, :D]
    kl = inner(p, z1, z2, mu1, logvar1) + log_density(z2, mu2, logvar2) - prior(p, z2)
    loss = multinomial(logits(p, z1, z2), rows) + config.beta * min(1, step / config.anneal_steps) * kl.mean()
    if config.anchor:
        mu, variance = torch.cat([mu1, mu2], 1), torch.cat([logvar1, logvar2], 1).exp()
        loss = loss + config.anchor * anchored(mu, variance, p["anchors"], rows)
    return loss


@pytest.mark.parametrize("anchor", [0.0, 0.7])
def test_a_step_is_that_of_a_dense_hvamp(toy_split, anchor):
    for step in (3, 40):
        check_step(toy_model, dense_loss, toy_split.train, replace(CONFIG, anchor=anchor), step)


def published_estimate(p, z1, z2, mu, logvar):
    """log q(z₁) − log p(z₁) at the draw, as the authors estimate it."""
    return log_density(z1, mu, logvar) - log_density(z1, *p_z1(p, z2))


@pytest.mark.parametrize(
    "twin",
    [
        lambda *a: dense_loss(*a, inner=published_estimate),  # another estimate of the same
        lambda *a: dense_loss(*a, inner=lambda p, z1, z2, m, v: kl_z1(p, z1, 0 * z2, m, v)),  # p(z₁), not p(z₁|z₂)
        lambda *a: dense_loss(*a, prior=lambda p, z: vamp(p, z) + math.log(K)),  # a sum, not a mean
        lambda *a: dense_loss(*a, prior=lambda p, z: log_density(z, 0 * z, 0 * z)),  # the normal prior
    ],
)
def test_step_twins_are_rejected(toy_split, twin):
    with pytest.raises(AssertionError):
        check_step(toy_model, twin, toy_split.train, CONFIG, 40)


def test_the_inner_kl_is_the_mean_of_the_published_estimate():
    """Same expectation over z₁, no noise of its own."""
    g = torch.Generator().manual_seed(0)
    mu, logvar, mu_p, logvar_p = torch.randn(4, 1, D, generator=g, dtype=torch.float64)
    z = mu + (0.5 * logvar).exp() * torch.randn(200_000, D, generator=g, dtype=torch.float64)
    values = log_density(z, mu, logvar) - log_density(z, mu_p, logvar_p)
    error = 5 * float(values.std()) / math.sqrt(len(values))
    assert abs(float(values.mean()) - float(kl_to_gaussian(mu, logvar, mu_p, logvar_p))) < error
    reverse = float(kl_to_gaussian(mu_p, logvar_p, mu, logvar))
    assert abs(float(values.mean()) - reverse) > error  # twin: the other direction


def test_ranking_takes_both_latent_vectors_at_their_means(toy_split):
    model = toy_model().double()
    history = toy_split.test.history.toarray()
    p = {k: v.detach() for k, v in model.named_parameters()}
    x = F.normalize(torch.from_numpy(history).double(), dim=1)
    mu2, logvar2 = q_z2(p, x)
    mu1, logvar1 = q_z1(p, x, mu2)
    mu, sd = model.encode(history)
    torch.testing.assert_close(mu, torch.cat([mu1, mu2], 1))
    torch.testing.assert_close(sd, (0.5 * torch.cat([logvar1, logvar2], 1)).exp())
    torch.testing.assert_close(model.score(history), logits(p, mu1, mu2))
    assert model.decode(mu[None]).shape == (1, *history.shape)
    assert model.latent == 2 * D


def test_initialisation_is_the_published_one():
    model = HVamp(500, 100, 40)
    model.reset_parameters(torch.Generator().manual_seed(0))
    layers = {"encoder.0.linear": 500, "encoder.1.linear": 100, "decoder.0.pair.joint.linear": 200, "decoder.1": 100}
    for name, inputs in layers.items():
        weight = model.get_parameter(f"{name}.weight").detach()
        assert abs(float(weight.square().mean()) - 2 / inputs) < 5 * 2 / inputs * math.sqrt(2 / weight.numel())
        assert float(model.get_parameter(f"{name}.bias").detach().abs().max()) <= inputs**-0.5


@pytest.mark.slow
def test_it_learns(toy_split):
    config = replace(CONFIG, epochs=25, lr=5e-3, beta=0.1)
    for anchor in (0.0, 0.1):
        check_learns(fit(HVamp(120, 32, 8, components=20), toy_split, replace(config, anchor=anchor)), toy_split)
    with pytest.raises(AssertionError):  # twin: hardly trained
        check_learns(fit(HVamp(120, 32, 8, components=20), toy_split, replace(config, epochs=1, lr=1e-6)), toy_split)


class Interrupting(HVamp):
    """Presses Ctrl-C during the n-th draw of training; 0 never does."""

    press_at = 0
    draws = 0

    def draw(self, x, noise=None):
        if self.training:
            self.draws += 1
            if self.draws == self.press_at:
                signal.raise_signal(signal.SIGINT)
        return super().draw(x, noise)


@pytest.mark.parametrize("press_at", [1, 6])
def test_interrupted_and_resumed_is_uninterrupted(toy_split, tmp_path, press_at):
    models = [Interrupting(120, HIDDEN, D, components=K) for _ in range(3)]
    models[0].press_at = press_at
    with pytest.raises(KeyboardInterrupt):
        fit(models[0], toy_split, CONFIG, folder=tmp_path)
    resumed = fit(models[1], toy_split, CONFIG, folder=tmp_path, resume=True)
    check_same_run(resumed, fit(models[2], toy_split, CONFIG))


@pytest.mark.parametrize("cls", [MultVAE, RecVAE, HVamp])
@pytest.mark.parametrize("prior", ["normal", "composite", "vamp"])
def test_every_prior_on_every_vae(cls, prior, toy_split, tmp_path):
    """Each combination trains, learns its prior, and comes back from its file to the bit."""
    model = cls(120, hidden=HIDDEN, latent=D, prior=prior, components=K)
    config = replace(CONFIG, epochs=1, anchor=0.1)
    untrained = {k: v.clone() for k, v in fit(model, toy_split, replace(config, lr=1e-30)).model.state_dict().items()}
    run = fit(model, toy_split, config)
    assert all(math.isfinite(run.log[0][k]) for k in ("loss", "nll", "kl", "anchor"))
    of_prior = [k for k in untrained if k.startswith("prior.")]
    assert bool(of_prior) == (prior != "normal")
    assert all(not torch.equal(run.model.state_dict()[k], untrained[k]) for k in of_prior if k.endswith("weight"))
    save_model(run.model, tmp_path / "model.safetensors")
    again = load_model(tmp_path)
    assert again.sizes == run.model.sizes
    assert torch.equal(again.score(toy_split.test.history), run.model.score(toy_split.test.history))
    assert evaluate(again, toy_split.test)["ndcg@100"] == evaluate(run.model, toy_split.test)["ndcg@100"]


def test_bad_sizes_and_priors_are_refused():
    with pytest.raises(InputError, match="from 1 to 2147483647"):
        HVamp(5, 0, 5)
    for cls in (MultVAE, RecVAE, HVamp):
        with pytest.raises(InputError, match="prior='flow' is unknown"):
            cls(5, prior="flow")


def test_the_logarithm_of_a_variance_is_clipped_at_both_ends():
    layer = GaussianHead(2, 3)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.copy_(torch.tensor([1.0, -30.0, 30.0, -30.0, 0.5, 30.0]))
        assert layer(torch.ones(1, 2)).tolist() == [[1, -30, 30, -12, 0.5, 4]]
