"""What the tests of every model share: dense rows, the random numbers of an update, and the comparison of gradients."""

import torch
import torch.nn.functional as F

from minivae import Popularity, compare, evaluate
from minivae.batches import DeviceCSR
from minivae.runtime import streams
from minivae.update import loss_terms


def drawn(x, users, config, step, latent):
    """The mask (B, I) and the noise (B, d) of an update, looked up where the documentation says they are."""
    kept = torch.zeros_like(x)
    n = int(x.sum())
    kept[x.bool()] = (streams.uniform(config.seed, "mask", step, torch.arange(n)) < config.keep).to(x.dtype)
    address = users[:, None] * latent + torch.arange(latent)
    return kept[users], streams.normal(config.seed, "noise", step, address).to(x.dtype)


def multinomial(logits, rows):
    """−mean_u Σ_i x_ui log softmax_i(f_u)."""
    return -(rows * F.log_softmax(logits, dim=1)).sum(1).mean()


def anchored(mu, variance, anchors, rows):
    """mean_u (1/N_u) Σ_{i∈S_u} E‖z_u − e_i‖², item by item."""
    square = (mu[:, None] - anchors).square().sum(2) + variance.sum(1, keepdim=True)  # (B, I)
    return ((rows * square).sum(1) / rows.sum(1)).mean()


def check_step(make, dense_loss, matrix, config, step, phase=None, terms_of=loss_terms):
    """Loss of an update and the gradient of every parameter against `dense_loss`, in float64.

    `make` gives the model; `dense_loss(model, rows, clean, seen, noise, config, step)` its loss from dense rows (B, I),
    from the clean and the masked encoder input, and from the noise.
    """
    model = make().to(torch.float64)
    model.reset_parameters(torch.Generator().manual_seed(1))
    if config.anchor:
        model.add_anchors(torch.Generator().manual_seed(2))
    phase = phase or model.phases[0]
    x = torch.from_numpy(matrix.toarray()).double()
    users = streams.permutation(config.seed, 0, len(x))[:50]
    kept, noise = drawn(x, users, config, step, model.latent)
    rows = x[users]
    clean = F.normalize(rows, dim=1)
    seen = clean * kept / config.keep if phase.masked else clean
    expected = dense_loss(model, rows, clean, seen, noise, config, step)
    got = terms_of(model, DeviceCSR(matrix).batch(users), config, step, None, phase)["loss"]
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-9)  # masks are float32
    learns = {
        n: p for n, p in model.named_parameters() if (phase.decoder if n.startswith("decoder.") else phase.encoder)
    }
    assert learns
    for name, a, b in zip(
        learns,
        torch.autograd.grad(got, learns.values(), retain_graph=True),
        torch.autograd.grad(expected, learns.values()),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7, msg=lambda m, name=name: f"{name}: {m}")


def check_learns(run, toy_split):
    """Better than popularity on the test users by five standard errors of the paired difference."""
    popularity = evaluate(Popularity().fit(toy_split.train), toy_split.test)
    gain = compare(evaluate(run.model, toy_split.test), popularity)["ndcg@100"]
    assert gain.difference > 5 * gain.se


def check_same_run(a, b):
    """To the last bit: log (but for the time), best epoch, and everything the model keeps."""
    lines = [[{k: v for k, v in line.items() if k != "seconds"} for line in run.log] for run in (a, b)]
    assert lines[0] == lines[1]
    assert a.best_epoch == b.best_epoch
    assert a.model.state_dict().keys() == b.model.state_dict().keys()
    for k, v in a.model.state_dict().items():
        assert torch.equal(v, b.model.state_dict()[k]), k
