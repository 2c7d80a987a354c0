"""Two outside VAEs, written the way their libraries write them, under `wrap`."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import nn

from minivae.errors import InputError
from minivae.theory import masking, wrap

I_ITEMS, USERS = 40, 25


def swish(x):
    return x * torch.sigmoid(x)


class RecVAELike(nn.Module):
    """Dense skip sums, LayerNorm and swish in the encoder, one linear layer as decoder (after Shenbin et al. 2020)."""

    def __init__(self, hidden=16, latent=6):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(I_ITEMS, hidden)] + [nn.Linear(hidden, hidden) for _ in range(3)])
        self.norms = nn.ModuleList([nn.LayerNorm(hidden, eps=0.1) for _ in range(4)])
        self.fc_mu, self.fc_logvar = nn.Linear(hidden, latent), nn.Linear(hidden, latent)
        self.decoder = nn.Linear(latent, I_ITEMS)

    def encode(self, x):
        h = skips = self.norms[0](swish(self.layers[0](x)))
        for layer, norm in zip(self.layers[1:], self.norms[1:], strict=True):
            h = norm(swish(layer(h) + skips))
            skips = skips + h
        return self.fc_mu(h), self.fc_logvar(h)


class MultiVAELike(nn.Module):
    """F.normalize, dropout and a tanh MLP whose last encoder layer holds μ and log σ² (as RecBole writes MultiVAE)."""

    def __init__(self, hidden=16, latent=6):
        super().__init__()
        self.lat_dim = latent
        self.encoder = nn.Sequential(nn.Linear(I_ITEMS, hidden), nn.Tanh(), nn.Linear(hidden, 2 * latent))
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.Tanh(), nn.Linear(hidden, I_ITEMS))

    def encode(self, rating_matrix):
        h = self.encoder(F.dropout(F.normalize(rating_matrix), 0.5, training=self.training))
        return h[:, : self.lat_dim], h[:, self.lat_dim :]


def outside(kind):
    torch.manual_seed(0)
    return kind().double().eval()


def wrapped(net, **options):
    def encode(x):
        mu, logvar = net.encode(x)
        return mu, torch.exp(0.5 * logvar)

    return wrap(encode=encode, decode=net.decoder, **options)


def users(seed=0):
    x = (np.random.default_rng(seed).random((USERS, I_ITEMS)) < 0.3).astype(np.float64)
    x[:, 0] = 1
    return x


def check_same_posterior(model, net):
    """Every way to pass the users in gives what the outside model gives; scores are its logits at μ."""
    x = users()
    mu, logvar = net.encode(torch.from_numpy(x))
    for given in (x, torch.from_numpy(x), sp.csr_matrix(x), sp.csr_array(x.astype(np.float32))):
        ours = model.encode(given)
        torch.testing.assert_close(ours, (mu, (0.5 * logvar).exp()))
    torch.testing.assert_close(model.score(sp.csr_matrix(x)), net.decoder(mu))
    z = torch.randn(2, 3, 6, dtype=torch.float64)
    torch.testing.assert_close(model.decode(z)[1, 2], net.decoder(z[1, 2]))


@pytest.mark.parametrize("kind", [RecVAELike, MultiVAELike])
def test_outside_models_are_themselves(kind, monkeypatch):
    monkeypatch.setattr("minivae.theory.adapter.ENCODE_BLOCK", 7)
    net = outside(kind)
    model = wrapped(net)
    check_same_posterior(model, net)
    assert (model.n_items, model.latent, model.anchors, model.decoder) == (I_ITEMS, 6, None, net.decoder)


def test_a_normalisation_that_nobody_asked_for_is_seen():
    net = outside(RecVAELike)
    with pytest.raises(AssertionError):
        check_same_posterior(wrapped(net, normalize=True), net)


def test_normalize_scales_rows_before_the_outside_encoder():
    net, x = outside(RecVAELike), torch.from_numpy(users())
    scaled = net.encode(x / x.norm(dim=1, keepdim=True))[0]
    torch.testing.assert_close(wrapped(net, normalize=True).encode(x)[0], scaled)
    torch.testing.assert_close(wrapped(net).encode(x, normalize=True)[0], scaled)
    torch.testing.assert_close(wrapped(net, normalize=True).encode(x, normalize=False)[0], net.encode(x)[0])


def test_autograd_passes_through_to_dense_inputs():
    net = outside(RecVAELike)
    x = torch.from_numpy(users()).requires_grad_()
    (ours,) = torch.autograd.grad(wrapped(net).encode(x)[0].sum(), x)
    (theirs,) = torch.autograd.grad(net.encode(x)[0].sum(), x)
    torch.testing.assert_close(ours, theirs)


def test_masks_reach_the_outside_encoder_as_they_are():
    result = masking.neighbourhood_drift(wrapped(outside(RecVAELike), normalize=True), users(), 0.5, k=3, n_masks=3)
    assert 0 < result.overlap < 1
    assert result.within > 0


def test_an_encoder_that_normalises_itself_is_announced():
    """Its normalize-then-mask is mask-then-normalize, and the numbers are the same to prove it."""
    model = wrapped(outside(MultiVAELike))
    x = users()
    with pytest.warns(UserWarning, match="normalises its input itself"):
        first = masking.mask_variance(model, x, 0.5, generator=torch.Generator().manual_seed(1))
    second = masking.mask_variance(
        model, x, 0.5, mask="mask-then-normalize", generator=torch.Generator().manual_seed(1)
    )
    assert first.within == pytest.approx(second.within, rel=1e-6)


def test_a_float64_model_is_asked_in_float64_and_a_float32_model_in_float32():
    net = outside(MultiVAELike)
    model = wrapped(net)
    assert model.encode(users().astype(np.float32))[0].dtype == torch.float64
    net.float()
    assert model.encode(users())[0].dtype == torch.float32


# --- what can go wrong, in one sentence each --------------------------------------------------------------------------


def broken(encode, **options):
    return lambda: wrap(encode=encode, decode=outside(MultiVAELike).decoder, **options).encode(users())


mu = torch.zeros(USERS, 6, dtype=torch.float64)


def one_nan(x):
    """A single value that is none, of the last user."""
    found = mu[: len(x)].clone()
    found[-1, -1] = float("nan")
    return found


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (broken(lambda x: outside(MultiVAELike).encode(x)), "log-variance"),
        (broken(lambda x: outside(MultiVAELike).encode(x)[0]), "one tensor"),
        (broken(lambda x: (mu[: len(x)], mu[: len(x)], mu)), "3 values"),
        (broken(lambda x: (mu[: len(x)], mu[: len(x), :5])), r"shape \(4, 6\)"),
        (broken(lambda x: (mu[: len(x)] + float("nan"), mu[: len(x)])), "not finite"),
        (broken(lambda x: (one_nan(x), mu[: len(x)])), "not finite"),
        (broken(lambda x: (mu[: len(x)], one_nan(x))), "not finite"),
        (broken(lambda x: (torch.randn(len(x), 6), torch.ones(len(x), 6))), "eval"),
        (lambda: wrap(encode=lambda x: x, decode=lambda z: z), "torch module"),
        (lambda: wrap(encode=None, decode=nn.Linear(2, 3)), "must be a function"),
        (lambda: wrap(encode=lambda x: x, decode=nn.PReLU()), "latent="),
        (lambda: wrap(encode=lambda x: x, decode=nn.Linear(2, 3), latent=5), "does not take z"),
        (lambda: wrap(encode=lambda x: x, decode=nn.Linear(2, 3), n_items=5), r"expected \(2, 5\)"),
        (lambda: wrapped(outside(RecVAELike)).encode(users()[:, 1:]), "39 columns"),
        (lambda: wrapped(outside(RecVAELike)).encode(users()[0]), "users × items"),
    ],
)
def test_mistakes_are_explained(act, says):
    with pytest.raises(InputError, match=says):
        act()


def test_dropout_left_on_is_refused():
    net = outside(MultiVAELike).train()
    with pytest.raises(InputError, match="eval"):
        wrapped(net).encode(users())


def test_the_outside_encoder_is_tried_on_a_few_users_once(monkeypatch):
    """Twice on the first rows of the first call, to see that it repeats itself; then once for each block of users."""
    monkeypatch.setattr("minivae.theory.adapter.ENCODE_BLOCK", 10)
    net, sizes = outside(RecVAELike), []

    def encode(x):
        sizes.append(len(x))
        found, logvar = net.encode(x)
        return found, torch.exp(0.5 * logvar)

    model = wrap(encode=encode, decode=net.decoder)
    sizes.clear()
    model.encode(users()[:0])
    assert sizes == [0]  # nobody is no one to try it on
    model.encode(users())
    assert sizes[1:] == [4, 4, 10, 10, 5]
    model.encode(users())
    assert sizes[6:] == [10, 10, 5]


# --- what the trial call may not do, and what it must notice ----------------------------------------------------------


class Statistics(nn.Module):
    """A decoder with batch normalisation, whose statistics are part of the model."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, I_ITEMS)

    def forward(self, z):
        return self.last(self.norm(self.first(z)))


def state(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_wrap_leaves_batch_statistics_and_modes_alone():
    net, decode = outside(MultiVAELike), Statistics().double()
    before = state(decode)
    with pytest.raises(InputError, match="batch statistics"):
        wrap(encode=net.encode, decode=decode.train())
    assert all(m.training for m in decode.modules())
    wrap(encode=net.encode, decode=decode.eval())
    assert not any(m.training for m in decode.modules())
    assert all(torch.equal(value, before[name]) for name, value in decode.state_dict().items())


@pytest.mark.parametrize("dropout", [nn.Dropout(0.5), nn.Sequential(nn.Tanh(), nn.Dropout(0.5))])
def test_a_decoder_that_draws_is_refused(dropout):
    decode = nn.Sequential(dropout, nn.Linear(6, I_ITEMS))
    with pytest.raises(InputError, match=r"decode\(z\).*eval"):
        wrap(encode=outside(MultiVAELike).encode, decode=decode)
    assert wrap(encode=outside(MultiVAELike).encode, decode=decode.eval()).n_items == I_ITEMS


def test_counts_are_taken_as_has_it_but_ready_inputs_as_they_are():
    net, x = outside(RecVAELike), users()
    counts = x * np.random.default_rng(1).integers(1, 6, x.shape)
    model = wrapped(net)
    for given in (counts, torch.from_numpy(counts), sp.csr_matrix(counts)):
        torch.testing.assert_close(model.encode(given), model.encode(x))
        torch.testing.assert_close(model.encode(given, normalize=False)[0], net.encode(torch.from_numpy(counts))[0])
    for given in (-x, torch.from_numpy(-x)):
        with pytest.raises(InputError, match="negative"):
            model.encode(given)
