"""Theorem 2.3: layer-wise Gram, certificates and real steps, against explicit gradients; checks have broken twins."""

import copy
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import ot
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call, grad, vmap

from minivae import plots, theory
from minivae.errors import InputError
from minivae.models import MultVAE
from minivae.theory import toy, transfer
from minivae.theory.numerics import content, coupling, gram, layers, samples
from minivae.theory.numerics.layers import nll

seeds = st.integers(0, 10_000)


class Gated(nn.Module):
    """A decoder that is no stack of layers."""

    def __init__(self, d, n_items):
        super().__init__()
        self.value, self.gate, self.out = nn.Linear(d, 5), nn.Linear(d, 5), nn.Linear(5, n_items)

    def forward(self, z):
        return self.out(self.value(z) * torch.sigmoid(self.gate(z)))


class Scaled(nn.Module):
    """tanh with a learnable scale: pointwise, but with a parameter of its own."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.7))

    def forward(self, a):
        return torch.tanh(self.scale * a)


def tied(d, n_items):
    layer = nn.Linear(d, d)
    return nn.Sequential(layer, nn.Tanh(), layer, nn.Linear(d, n_items))


STACKS = {
    "linear": lambda d, i: nn.Linear(d, i),
    "linear without bias": lambda d, i: nn.Sequential(nn.Linear(d, i, bias=False)),
    "mult-vae": lambda d, i: nn.Sequential(nn.Linear(d, 5), nn.Tanh(), nn.Linear(5, i)),
    "some biases": lambda d, i: nn.Sequential(nn.Linear(d, 5), nn.ReLU(inplace=True), nn.Linear(5, i, bias=False)),
    "deep": lambda d, i: nn.Sequential(
        nn.Sequential(nn.Tanh(), nn.Linear(d, 6, bias=False), nn.GELU(), nn.Dropout(0.5)),
        nn.Linear(6, 4),
        nn.Linear(4, i),
    ),
}
OTHERS = {
    "gated": Gated,
    "tied": tied,
    "learnable activation": lambda d, i: nn.Sequential(nn.Linear(d, 5), Scaled(), nn.Linear(5, i)),
    "normalised": lambda d, i: nn.Sequential(nn.Linear(d, 5), nn.Softmax(-1), nn.Linear(5, i)),
    "ends in an activation": lambda d, i: nn.Sequential(nn.Linear(d, i), nn.Softplus()),
}
DECODERS = STACKS | OTHERS


def world(decoder="mult-vae", seed=0, n_users=6, n_items=11, d=3, n_samples=3, scale=1.0):
    """A random model, non-empty users and samples of z, in float64."""
    torch.manual_seed(seed)
    model = MultVAE(n_items, hidden=7, latent=d)
    model.decoder = DECODERS[decoder](d, n_items)
    model.double()
    with torch.no_grad():
        for p in model.decoder.parameters():
            p.add_(scale * 0.5 * torch.randn_like(p))
    x = (torch.rand(n_users, n_items) < 0.4).double()
    x[torch.arange(n_users), torch.randint(n_items, (n_users,))] = 1
    return model, x, torch.randn(n_users, n_samples, d, dtype=torch.float64)


def explicit(decoder, z, x):
    """One flat gradient for every row by vmap(grad), (R, P)."""
    decoder = copy.deepcopy(decoder).eval()
    theta = {name: p.detach() for name, p in decoder.named_parameters()}
    rows = vmap(grad(lambda t, z, x: nll(functional_call(decoder, t, (z[None],))[0], x)), (None, 0, 0))(theta, z, x)
    return torch.cat([g.reshape(len(g), -1) for g in rows.values()], 1)


def mean_gradients(decoder, z, x):
    """g_u, (U, P)."""
    rows = explicit(decoder, z.flatten(0, 1), x.repeat_interleave(z.shape[1], 0))
    return rows.unflatten(0, z.shape[:2]).mean(1)


# --- the Gram matrix -------------------------------------------------------------------------------------------------


def check_gram(compute, decoder, seed, n_samples):
    model, x, z = world(decoder, seed, n_samples=n_samples)
    g = mean_gradients(model.decoder, z, x)
    expected = g @ g.T
    assert float((compute(model, x, z) - expected).abs().max()) <= 1e-8 * float(expected.abs().max())


def real_gram(model, x, z):
    return transfer.gram(model, x, z=z)


@pytest.mark.parametrize("decoder", DECODERS)
def test_gram_is_the_gram_of_explicit_gradients(decoder, monkeypatch):
    for tile_bytes in [1 << 27, 3000]:
        monkeypatch.setattr(gram, "TILE_BYTES", tile_bytes)
        for seed, n_samples in [(0, 1), (1, 3)]:
            check_gram(real_gram, decoder, seed, n_samples)


@settings(max_examples=15, deadline=None)
@given(seeds, st.sampled_from(sorted(STACKS)), st.integers(1, 4))
def test_gram_on_random_worlds(seed, decoder, n_samples):
    check_gram(real_gram, decoder, seed, n_samples)


def gram_without_bias(model, x, z):
    rows = layers.gradients(model.decoder, z.flatten(0, 1), x.repeat_interleave(z.shape[1], 0))
    pairs = replace(rows, bias=(False,) * len(rows.bias))
    return pairs.inner(pairs).unflatten(1, z.shape[:2]).unflatten(0, z.shape[:2]).mean((1, 3))


def gram_of_matched_samples(model, x, z):
    parts = [layers.gradients(model.decoder, z[:, s], x) for s in range(z.shape[1])]
    return torch.stack([p.inner(p) for p in parts]).mean(0)


@pytest.mark.parametrize("twin", [gram_without_bias, gram_of_matched_samples])
def test_gram_check_rejects(twin):
    with torch.no_grad(), pytest.raises(AssertionError):
        check_gram(twin, "mult-vae", 0, 3)


@pytest.mark.parametrize("decoder", DECODERS)
def test_which_decoders_are_read_as_layers(decoder):
    assert (layers.stack_of(DECODERS[decoder](3, 11).eval()) is not None) == (decoder in STACKS)


def test_gram_draws_what_it_says():
    model, x, _ = world()
    mu, sd = (t.detach() for t in model.encode(x))
    g = transfer.gram(model, x, n_samples=5, generator=torch.Generator().manual_seed(3))
    eps = torch.randn(len(x), 5, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    torch.testing.assert_close(g, transfer.gram(model, x, z=mu[:, None] + sd[:, None] * eps))
    torch.testing.assert_close(transfer.gram(model, x, n_samples=0), transfer.gram(model, x, z=mu[:, None]))


def test_gram_takes_every_kind_of_users_and_keeps_the_dtype():
    model, x, z = world()
    g = transfer.gram(model, x, z=z)
    torch.testing.assert_close(transfer.gram(model, sp.csr_matrix(x.numpy()), z=z), g)
    assert isinstance(transfer.gram(model, x.numpy(), z=z.numpy()), np.ndarray)
    single = transfer.gram(model.float(), x.float(), z=z)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), g, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("decoder", ["mult-vae", "gated"])
def test_wrapped_outside_models_give_the_same(decoder):
    model, x, z = world(decoder)
    outside = theory.wrap(encode=lambda rows: model.encode(rows, normalize=False), decode=model.decoder, normalize=True)
    torch.testing.assert_close(transfer.gram(outside, x, z=z), transfer.gram(model, x, z=z))
    own, other = (transfer.sharing(m, x, 3, torch.Generator().manual_seed(0)) for m in (model, outside))
    torch.testing.assert_close(other.penalty, own.penalty)
    own, other = (
        transfer.view_sharing(m, x, 0.5, n_samples=3, generator=torch.Generator().manual_seed(0))
        for m in (model, outside)
    )
    torch.testing.assert_close(other.exact, own.exact)
    torch.testing.assert_close(transfer.step_effect(outside, x, 1, 1e-3, z), transfer.step_effect(model, x, 1, 1e-3, z))


def test_gram_leaves_the_model_as_it_was():
    model, x, z = world("deep")
    model.train()
    first = transfer.gram(model, x, z=z)
    torch.testing.assert_close(transfer.gram(model, x, z=z), first, rtol=0, atol=0)
    assert model.training
    assert model.decoder[0][3].training
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m, x, z: transfer.gram(m, x[:, :-1], z=z), "users × 11 items"),
        (lambda m, x, z: transfer.gram(m, x, z=z[:-1]), "U = 6"),
        (lambda m, x, z: transfer.gram(m, x, z=z[:, 0]), "z must be"),
        (lambda m, x, z: transfer.gram(m, x, n_samples=-1), "at least 0"),
        (lambda m, x, z: transfer.gram(m, x, n_samples=1, unbiased=True), "at least 2"),
        (lambda m, x, z: transfer.sharing(m, x, n_samples=1), "at least 2"),
        (lambda m, x, z: transfer.sharing(m, x, lipschitz="best"), "'best' is unknown"),
        (lambda m, x, z: transfer.sharing(m, x, lipschitz=[1.0, 2.0]), "does not fit"),
        (lambda m, x, z: transfer.sharing(m, x, lipschitz=-1.0), "at least 0"),
        (lambda m, x, z: toy.proved_lipschitz(m.decoder, x), "measure them"),
    ],
)
def test_bad_input_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        change(*world())


def check_unbiased(**options):
    """The mean over many draws of the diagonal, against a large-sample reference on other draws."""
    model, x, _ = world(n_users=3)
    generator = torch.Generator().manual_seed(5)
    draws = torch.stack([transfer.gram(model, x, 2, generator, **options) for _ in range(400)])  # (R, U, U)
    halves = [
        mean_gradients(model.decoder, samples.posterior_samples(model, x, 20_000, generator), x) for _ in range(2)
    ]
    truth = (halves[0] * halves[1]).sum(1)
    found = draws.diagonal(dim1=1, dim2=2)
    error = found.std(0) / 400**0.5
    assert bool(((found.mean(0) - truth).abs() < 4 * error).all())


def test_the_unbiased_diagonal_is_and_the_plain_one_is_not():
    check_unbiased(unbiased=True)
    with pytest.raises(AssertionError):
        check_unbiased(unbiased=False)


# --- latent part, content part, local constants ----------------------------------------------------------------------


def check_coupled(compute, decoder, seed=0):
    model, x, z = world(decoder, seed, n_users=5)
    n_users, n_samples = z.shape[:2]
    expected = torch.zeros(3, n_users, n_users, dtype=torch.float64)
    for s in range(n_samples):
        # grid[v][u]: gradient at the sample of v for the target of u
        grid = torch.stack([explicit(model.decoder, z[v, s].expand(n_users, -1), x) for v in range(n_users)])
        for u in range(n_users):
            for v in range(n_users):
                latent = (grid[u, u] - grid[v, u]).norm()
                expected[0, u, v] += latent / n_samples
                expected[1, u, v] += (grid[v, u] - grid[v, v]).norm() / n_samples
                if u != v:
                    expected[2, u, v] = max(expected[2, u, v], latent / (z[u, s] - z[v, s]).norm())
    with torch.no_grad():
        found = compute(model.eval().decoder, z, x)
    for e, f in zip(expected, (found.latent, found.mismatch, found.ratio), strict=True):
        torch.testing.assert_close(f, e, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("decoder", DECODERS)
def test_latent_and_content_parts_are_those_of_explicit_gradients(decoder, monkeypatch):
    check_coupled(coupling.coupled, decoder)
    monkeypatch.setattr(coupling, "TILE_BYTES", 2000)
    monkeypatch.setattr(coupling, "CACHE_BYTES", 2000)
    check_coupled(coupling.coupled, decoder, seed=1)


def test_coupled_check_rejects_targets_exchanged():
    def exchanged(decoder, z, x):
        found = coupling.coupled(decoder, z, x)
        return replace(found, latent=found.latent.mT)

    with pytest.raises(AssertionError):
        check_coupled(exchanged, "mult-vae")


def check_mean_content(compute, decoder, seed=0):
    """‖mean_s [∇ℓ(z_vs, x_u) − ∇ℓ(z_vs, x_v)]‖ from a gradient for every sample and target."""
    model, x, z = world(decoder, seed, n_users=5)
    expected = torch.zeros(5, 5, dtype=torch.float64)
    for v in range(5):
        at_v = [explicit(model.decoder, z[v], t.expand(z.shape[1], -1)).mean(0) for t in x]
        for u in range(5):
            expected[u, v] = (at_v[u] - at_v[v]).norm()
    with torch.no_grad():
        torch.testing.assert_close(compute(model.eval().decoder, z, x), expected, rtol=1e-8, atol=1e-7)


@pytest.mark.parametrize("decoder", DECODERS)
def test_the_mean_of_the_content_is_that_of_explicit_gradients(decoder, monkeypatch):
    check_mean_content(content.mean_content, decoder)
    monkeypatch.setattr(content, "TILE_BYTES", 2000)
    check_mean_content(content.mean_content, decoder, seed=1)


@pytest.mark.parametrize(
    "twin",
    [
        lambda decoder, z, x: content.mean_content(decoder, z, x).mT,  # at the samples of u
        lambda decoder, z, x: coupling.coupled(decoder, z, x).mismatch,  # the mean of the norms
        lambda decoder, z, x: content.mean_content(decoder, z.mean(1, keepdim=True), x),  # at the mean of the samples
    ],
)
def test_mean_content_check_rejects(twin):
    with pytest.raises(AssertionError):
        check_mean_content(twin, "mult-vae")


def test_neighbours_lose_no_digits():
    model, x, z = world(n_samples=1)
    near = z[:1] + 1e-7 * torch.randn_like(z)
    with torch.no_grad():
        found = coupling.coupled(model.decoder, near, x)
    rows = [explicit(model.decoder, near[:, 0], t.expand(len(x), -1)) for t in x]  # [u][v]
    expected = torch.stack([(rows[u][u] - rows[u]).norm(dim=1) for u in range(len(x))])
    torch.testing.assert_close(found.latent, expected, rtol=1e-5, atol=1e-12)
    with torch.no_grad():
        same = coupling.coupled(model.decoder, z[:1] + 1e-15 * torch.randn_like(z), x)
    assert float(same.ratio.max()) == 0


# --- Theorem 2.3 -----------------------------------------------------------------------------------------------------


def check_distance(distance, mu, sd):
    for u in range(len(mu)):
        for v in range(len(mu)):
            a, b = (torch.diag(sd[w].square()).numpy() for w in (u, v))
            expected = ot.gaussian.bures_wasserstein_distance(mu[u].numpy(), mu[v].numpy(), a, b)
            assert float(distance[u, v]) == pytest.approx(float(expected), abs=1e-6)


def test_distance_is_w2_and_the_samples_realise_it():
    model, x, _ = world()
    mu, sd = (t.detach() for t in model.encode(x))
    s = transfer.sharing(model, x, 4)
    check_distance(s.distance, mu, sd)
    cost = (s.z[:, None] - s.z[None]).square().sum(-1).mean(-1)
    torch.testing.assert_close(cost, s.distance.square())
    variances = torch.cdist(torch.cat([mu, sd.square()], 1), torch.cat([mu, sd.square()], 1))
    with pytest.raises(AssertionError):
        check_distance(variances, mu, sd)


def check_theorem(s, decoder, x):
    """Statements 1 and 2 for the sampled posteriors, from explicit gradients."""
    g = mean_gradients(decoder, s.z, x)
    inner, norm = g @ g.T, g.norm(dim=1)
    tiny = 1e-9 * float(inner.abs().max())
    assert bool((torch.cdist(g, g) <= s.penalty + tiny**0.5).all())
    assert bool((inner >= norm[:, None] * (norm[:, None] - s.penalty) - tiny).all())
    assert bool((inner[s.certified] > -tiny).all())
    assert bool((inner[s.certified_sharp] > -tiny).all())
    assert bool((s.certified <= s.certified_sharp).all())
    assert bool((inner[s.certified_mean] > -tiny).all())
    assert bool((s.certified <= s.certified_mean).all())
    assert bool((torch.cdist(g, g) <= s.lipschitz * s.distance + s.mismatch_mean + tiny**0.5).all())
    inside = s.distance < s.radius
    assert bool((inside == s.certified)[~torch.isclose(s.penalty, norm[:, None].expand_as(inner))].all())


@settings(max_examples=25, deadline=None)
@given(seeds, st.sampled_from(["pair", "user", "global"]), st.sampled_from([0, 2, 5]), st.floats(0, 3))
def test_theorem_2_3_holds_on_random_models(seed, lipschitz, n_samples, scale):
    model, x, _ = world(seed=seed, scale=scale)
    s = transfer.sharing(model, x, n_samples, torch.Generator().manual_seed(seed), lipschitz)
    check_theorem(s, model.decoder, x)
    for chain in (s.chain(), s.chain(sharp=True)):
        fractions = list(chain.values())
        assert fractions == sorted(fractions, reverse=True)  # each link certifies no more than the one before


def test_polarisation_loses_nothing_where_the_gradient_distance_is_exact():
    model, x, _ = world(n_users=12)
    chain = transfer.sharing(model, x, 4).chain(sharp=True)
    assert 0 < chain["inner product"] < 1
    assert chain["gradient distance"] == chain["inner product"]


class Planted(nn.Module):
    """A model whose posteriors are given."""

    def __init__(self, decoder, mu, sd):
        super().__init__()
        self.decoder, self.mu, self.sd = decoder, mu, sd
        self.n_items, self.latent = decoder[-1].out_features, mu.shape[1]

    def encode(self, x, normalize=True):
        return self.mu, self.sd


def without_mismatch(s):
    penalty = s.lipschitz * s.distance
    return replace(s, penalty=penalty, certified=penalty < s.norm[:, None])


def test_theorem_check_rejects_a_missing_content_mismatch():
    mu = torch.zeros(2, 2, dtype=torch.float64)
    model = Planted(toy.ToyVAE(6, generator=torch.Generator().manual_seed(0)).decoder, mu, mu + 0.5)
    x = torch.tensor([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]], dtype=torch.float64)  # one place, nothing in common
    s = transfer.sharing(model, x, 4)
    check_theorem(s, model.decoder, x)
    with pytest.raises(AssertionError):
        check_theorem(without_mismatch(s), model.decoder, x)


def test_the_norm_of_the_mean_certifies_pairs_that_the_mean_of_the_norms_does_not():
    """On five toys before training, users of one community, with the proved constant."""
    for seed in range(5):
        x, community = toy.toy_users(seed=seed)
        model = toy.ToyVAE(60, latent=2, generator=torch.Generator().manual_seed(seed))
        goal = x / x.sum(1, keepdim=True)
        proved = toy.proved_lipschitz(model.decoder, goal)
        s = transfer.sharing(model, x, 8, torch.Generator().manual_seed(seed), proved, target=goal)
        mates = torch.as_tensor(community[:, None] == community) & ~torch.eye(60, dtype=torch.bool)
        shares = [float(c[mates].double().mean()) for c in (s.certified, s.certified_mean, s.exact > 0)]
        assert shares[0] + 0.05 < shares[1] <= shares[2]


def test_the_norm_of_the_mean_is_computed_once_when_it_is_read(monkeypatch):
    """It is a third of the work, so a caller who does not read it does not wait for it."""
    calls = []
    monkeypatch.setattr(transfer, "mean_content", lambda *a: calls.append(a) or content.mean_content(*a))
    model, x, _ = world()
    s = transfer.sharing(model, x, 4)
    s.chain()
    assert calls == []
    decoder = samples.float64_decoder(model)
    with torch.no_grad():
        model.decoder[-1].weight.mul_(2)  # the model goes on; what was asked is of the model as it was
        expected = torch.minimum(content.mean_content(decoder, s.z, x.double()), s.mismatch)
    assert torch.equal(s.mismatch_mean, expected)
    assert torch.equal(s.certified_mean, s.lipschitz * s.distance + expected < s.norm[:, None])
    assert len(calls) == 1
    assert not s.mismatch_mean.requires_grad
    views = transfer.view_sharing(model, x, 0.5, n_samples=4)  # equal targets: the mean content is 0
    assert not views.mismatch_mean.any()
    assert torch.equal(views.certified_mean, views.certified)
    assert len(calls) == 1


def test_theorem_check_rejects_a_lower_bound_for_the_distance():
    sd = torch.tensor([[0.1, 0.1], [2.0, 2.0]], dtype=torch.float64)
    model = Planted(toy.ToyVAE(6, generator=torch.Generator().manual_seed(0)).decoder, torch.zeros_like(sd), sd)
    x = torch.tensor([[1, 1, 0, 0, 1, 0]] * 2, dtype=torch.float64)
    s = transfer.sharing(model, x, 4)
    check_theorem(s, model.decoder, x)
    between_means = torch.zeros_like(s.distance)  # ‖μ_u − μ_v‖ ≤ W1: on the wrong side
    with pytest.raises(AssertionError):
        check_theorem(replace(s, penalty=s.lipschitz * between_means + s.mismatch), model.decoder, x)


def test_masked_views_of_one_user_have_no_content_mismatch():
    model, x, _ = world()
    s = transfer.view_sharing(model, x, 0.5, n_views=3, n_samples=4, generator=torch.Generator().manual_seed(0))
    assert s.exact.shape == (6, 3, 3)
    assert float(s.mismatch.abs().max()) < 1e-6
    for u in range(len(x)):
        one = replace(
            s, **{k: getattr(s, k)[u] for k in ("norm", "mismatch", "penalty", "certified", "certified_sharp", "z")}
        )
        one = replace(one, **{k: getattr(s, k)[u] for k in ("distance", "radius", "lipschitz")})
        one = replace(one, _mean_content=lambda u=u: s.mismatch_mean[u])
        check_theorem(one, model.decoder, x[u].expand(3, -1))
        g = mean_gradients(model.decoder, s.z[u], x[u].expand(3, -1))
        torch.testing.assert_close(s.exact[u], g @ g.T)
    pairs = transfer.view_sharing(model, x, 0.5, n_samples=4, lipschitz=1e9).chain()
    assert pairs["Lipschitz proved"] == 0


# --- proved constants ------------------------------------------------------------------------------------------------


def toy_world(seed=0, bias=True, scale=1.0, n_users=24):
    generator = torch.Generator().manual_seed(seed)
    x, _ = toy.toy_users(n_users, 18, seed=seed)
    model = toy.ToyVAE(18, features=6, bias=bias, generator=generator)
    with torch.no_grad():
        for p in model.decoder.parameters():
            p.mul_(scale)
            if p.ndim == 1:
                p.add_(scale * torch.randn(p.shape, generator=generator, dtype=p.dtype))
    return model, x


def check_lipschitz(constant, decoder, x, z, other):
    """No pair of points beats the constant."""
    for c, target in zip(constant, x, strict=True):
        rows = (explicit(decoder, at, target.expand(len(at), -1)) for at in (z, other))
        apart = torch.sub(*rows).norm(dim=1)
        assert bool((apart <= c * (z - other).norm(dim=1) * (1 + 1e-9) + 1e-12).all())


@settings(max_examples=25, deadline=None)
@given(seeds, st.booleans(), st.floats(0, 30), st.floats(1e-4, 10))
def test_proved_lipschitz_constant_is_never_beaten(seed, bias, scale, reach):
    model, x = toy_world(seed, bias, scale, n_users=4)
    generator = torch.Generator().manual_seed(seed + 1)
    z = 2 * torch.randn(60, 2, generator=generator, dtype=torch.float64)
    other = z + reach * torch.randn(60, 2, generator=generator, dtype=torch.float64)
    check_lipschitz(toy.proved_lipschitz(model.decoder, x), model.decoder, x, z, other)


def adversary():
    """One feature, flat logits: the gradient ``(N π − x) tanh(z)`` turns over at 0 as fast as the proof allows."""
    decoder = nn.Sequential(
        toy.BoundedFeatures(torch.ones(1, 1), torch.zeros(1)), nn.Linear(1, 12, bias=False)
    ).double()
    nn.init.zeros_(decoder[1].weight)
    x = torch.zeros(2, 12, dtype=torch.float64)
    x[:, :4] = 1
    mu = torch.tensor([[0.02], [-0.01]], dtype=torch.float64)
    return Planted(decoder, mu, torch.full_like(mu, 1e-4)), x


def test_the_proved_constant_is_tight_and_half_of_it_certifies_a_harmful_step():
    model, x = adversary()
    proved = toy.proved_lipschitz(model.decoder, x)
    check_lipschitz(proved, model.decoder, x, model.mu[:1], model.mu[1:])
    with pytest.raises(AssertionError):
        check_lipschitz(0.999 * proved, model.decoder, x, model.mu[:1], model.mu[1:])
    check_no_certified_pair_fails(model, x, proved)
    with pytest.raises(AssertionError):
        check_no_certified_pair_fails(model, x, proved / 2)


def check_smoothness(constant, decoder, x, z):
    """The spectral norm of the Hessian in θ, by autograd, at random z."""
    theta = [p.detach() for p in decoder.parameters()]
    names = [name for name, _ in decoder.named_parameters()]
    shapes = [p.shape for p in theta]

    def loss(flat, z, x):
        parts = [t.reshape(s) for t, s in zip(flat.split([s.numel() for s in shapes]), shapes, strict=True)]
        return nll(functional_call(decoder, dict(zip(names, parts, strict=True)), (z,)), x)

    for m, target in zip(constant, x, strict=True):
        hessian = torch.func.hessian(loss)(torch.cat([t.flatten() for t in theta]), z, target)
        assert float(torch.linalg.matrix_norm(hessian, 2)) <= float(m) * (1 + 1e-9)


@pytest.mark.parametrize("bias", [True, False])
def test_proved_smoothness_bounds_the_hessian(bias):
    decoder = nn.Sequential(toy.BoundedFeatures(20 * torch.ones(3, 1), torch.zeros(3)), nn.Linear(3, 2, bias=bias))
    decoder.double()
    nn.init.zeros_(decoder[1].weight)
    if bias:
        nn.init.zeros_(decoder[1].bias)
    x = torch.tensor([[1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    z = torch.ones(1, dtype=torch.float64)  # saturated features, two equally likely items: the bound is attained
    constant = toy.proved_smoothness(decoder, x)
    check_smoothness(constant, decoder, x, z)
    with pytest.raises(AssertionError):
        check_smoothness(0.99 * constant, decoder, x, z)


# --- real steps ------------------------------------------------------------------------------------------------------


def check_no_certified_pair_fails(model, x, lipschitz, fraction=0.9):
    """A real SGD step on v, just below the guaranteed rate, lowers the loss of every certified u (statement 3)."""
    s = transfer.sharing(model, x, 4, torch.Generator().manual_seed(0), lipschitz)
    m = toy.proved_smoothness(model.decoder, x)[:, None]
    tried = 0
    for sharp in (False, True):
        rates, sure = s.max_step(m, sharp), s.certified_sharp if sharp else s.certified
        for v in range(len(x)):
            others = sure[:, v].clone()
            others[v] = False
            if not bool(others.any()):
                continue
            eta = fraction * float(rates[others, v].min())
            change = transfer.step_effect(model, x, v, eta, s.z)
            assert bool((change[others] < 0).all())
            promise = -eta * s.norm * (s.norm - s.penalty[:, v]) + m[:, 0] / 2 * eta**2 * s.norm[v] ** 2
            assert bool((change <= promise + 1e-9).all())  # for every u, certified or not
            tried += int(others.sum())
    return tried


@settings(max_examples=10, deadline=None)
@given(seeds, st.booleans(), st.sampled_from([0.3, 1.0, 3.0]))
def test_no_certified_pair_fails_a_real_step(seed, bias, scale):
    model, x = toy_world(seed, bias, scale)
    check_no_certified_pair_fails(model, x, toy.proved_lipschitz(model.decoder, x))


def test_the_proof_certifies_pairs_of_distinct_users_and_the_steps_help():
    model, x = toy_world()
    assert check_no_certified_pair_fails(model, x, toy.proved_lipschitz(model.decoder, x)) > 50


def test_step_effect_is_first_and_second_order_what_gram_and_curvature_say():
    model, x, _ = world()
    s = transfer.sharing(model, x, 3)
    before = copy.deepcopy(model.state_dict())
    eta, users = 1e-3, [0, 4]
    change = transfer.step_effect(model, x, users, eta, s.z)
    half = transfer.step_effect(model, x, users, [eta / 2, eta / 2], s.z)
    first = (4 * half - change) / eta  # Richardson: cancels the second order
    torch.testing.assert_close(first, -s.exact[:, users], rtol=1e-3, atol=1e-3)
    second = 4 * (change - 2 * half) / eta**2
    expected = torch.stack([transfer.curvature(model, x, v, s.z) * s.norm[v] ** 2 for v in users], 1)
    torch.testing.assert_close(second, expected, rtol=0.05, atol=0.01 * float(expected.abs().max()))
    torch.testing.assert_close(transfer.step_effect(model, x, 4, eta, s.z), change[:, 1])
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


# --- the toy ---------------------------------------------------------------------------------------------------------


def test_toy_training_lowers_the_loss_and_the_map_shows_real_steps():
    generator = torch.Generator().manual_seed(0)
    x, community = toy.toy_users(30, 30, seed=0)
    assert bool((x.sum(1) > 0).all())
    model = toy.ToyVAE(30, generator=generator)
    losses = []
    for _ in toy.train_toy(model, x, [0, 40], generator=generator):
        with torch.no_grad():
            losses.append(float(nll(model.score(x), x).mean()))
    assert losses[1] < losses[0]
    picture = toy.sharing_map(model, x, community, user=3, generator=generator)
    goal = x / x.sum(1, keepdim=True)
    s = transfer.sharing(model, x, 32, torch.Generator().manual_seed(1), target=goal)
    clear = (s.exact[3] / (s.norm[3] * s.norm)).abs().numpy() > 0.3
    assert clear.sum() > 5
    assert (np.sign(picture.change) == -np.sign(s.exact[3].numpy()))[clear].all()
    assert (picture.radius <= picture.reach * (1 + 1e-12)).all()
    assert (picture.certified == (picture.distance < picture.radius)).all()


def test_closing_radius_tells_the_links_in_order():
    rows = toy.closing_radius(0, stops=(0, 5), n_samples=2)
    assert [r["step"] for r in rows].count(5) == len(rows) // 2
    for test in ("theorem", "polarised"):
        measured = [r["same"] for r in rows if r["step"] == 0 and r["test"] == test and r["link"] != "Lipschitz proved"]
        assert measured == sorted(measured, reverse=True)
        assert 0 < measured[-1] <= 1


def test_closing_radius_counts_pairs_of_different_users(monkeypatch):
    """Every mean of a row by loops over pairs, from the terms of the theorem as they were when it was made."""
    made = []
    monkeypatch.setattr(toy, "sharing", lambda *a, **k: made.append(transfer.sharing(*a, **k)) or made[-1])
    rows = toy.closing_radius(1, stops=(0, 4), n_samples=2)
    _, community = toy.toy_users(seed=1)
    pairs = [(u, v) for u in range(60) for v in range(60) if u != v]
    inside = [(u, v) for u, v in pairs if community[u] == community[v]]
    outside = [(u, v) for u, v in pairs if community[u] != community[v]]

    def mean(of, among):
        return pytest.approx(sum(float(of(u, v)) for u, v in among) / len(among), rel=1e-9)

    for step, s, local in ((0, *made[:2]), (4, *made[2:])):
        least = s.penalty.minimum(s.penalty.mT)
        tests = {
            "theorem": lambda u, v, s=s: s.norm[u] > s.penalty[u, v],
            "polarised": lambda u, v, s=s, least=least: s.norm[u] ** 2 + s.norm[v] ** 2 > least[u, v] ** 2,
        }
        for row in (r for r in rows if r["step"] == step):
            assert row["norm"] == pytest.approx(float(s.norm.mean()))
            assert row["lipschitz"] == pytest.approx(float(s.lipschitz[:, 0].mean()))
            assert row["seen"] == pytest.approx(float(local.lipschitz[:, 0].mean()))
            assert row["seen"] <= row["lipschitz"]
            assert row["distance"] == mean(lambda u, v, s=s: s.distance[u, v], inside)
            assert row["mismatch"] == mean(lambda u, v, s=s: s.mismatch[u, v], inside)
            assert row["covered"] == mean(lambda u, v, s=s: s.mismatch[u, v] >= s.norm[u], inside)
            if row["link"] == "Lipschitz proved":
                assert row["same"] == mean(tests[row["test"]], inside)
                assert row["other"] == mean(tests[row["test"]], outside)
            if row["link"] == "inner product":
                assert row["same"] == mean(lambda u, v, s=s: s.exact[u, v] > 0, inside)
                assert row["other"] == mean(lambda u, v, s=s: s.exact[u, v] > 0, outside)


def test_the_figure_draws_the_radius_and_rims_the_certified():
    generator = torch.Generator().manual_seed(0)
    x, community = toy.toy_users(seed=0)
    picture = toy.sharing_map(toy.ToyVAE(60, generator=generator), x, community, user=4, generator=generator)
    _, ax = plt.subplots()
    fields = {k: getattr(picture, k) for k in ("mu", "community", "change", "certified", "user", "reach")}
    plots.sharing_plane(**fields, ax=ax)
    assert [c.radius for c in ax.patches] == [picture.reach]
    rims = sum(int((np.asarray(dots.get_linewidths()) > 1).sum()) for dots in ax.collections[:-1])
    assert rims == picture.certified[np.arange(60) != 4].sum() > 0
    plt.close("all")


def test_samples_of_another_latent_space_are_refused():
    with pytest.raises(InputError, match="2 latent dimensions, but the model 3"):
        transfer.gram(MultVAE(5, hidden=4, latent=3), torch.eye(5), z=torch.zeros(5, 1, 2))


def test_sharing_takes_samples_as_they_are():
    model, x = MultVAE(6, hidden=4, latent=3).double(), torch.eye(6, dtype=torch.float64)
    z = torch.randn(6, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    shared = transfer.sharing(model, x, z=z)
    assert torch.allclose(shared.exact, transfer.gram(model, x, z=z), rtol=1e-10, atol=1e-12)
    assert (shared.slack >= -1e-9).all()
    w1 = ot.emd2([], [], ot.dist(z[0].numpy(), z[1].numpy(), metric="euclidean"))
    assert w1 <= shared.distance[0, 1] == pytest.approx(float((z[0] - z[1]).square().sum(-1).mean().sqrt()))
    drawn = transfer.sharing(model, x, n_samples=5, generator=torch.Generator().manual_seed(2))
    again = transfer.sharing(model, x, z=drawn.z)
    assert torch.allclose(again.distance, drawn.distance, atol=1e-9)
    assert torch.allclose(again.penalty, drawn.penalty)


def test_counts_are_has_it_for_the_loss_as_for_the_encoder():
    model, x, z = world()
    counts = x * torch.randint(1, 6, x.shape)
    seeded = lambda: torch.Generator().manual_seed(3)  # noqa: E731
    for of in (
        lambda users: transfer.gram(model, users, 4, seeded()),
        lambda users: transfer.gram(model, users, z=z),
        lambda users: transfer.sharing(model, users, 4, seeded()).exact,
        lambda users: transfer.sharing(model, users, 4, seeded()).penalty,
        lambda users: transfer.view_sharing(model, users, 0.5, n_samples=4, generator=seeded()).exact,
    ):
        torch.testing.assert_close(of(counts), of(x), rtol=0, atol=0)
        torch.testing.assert_close(of(sp.csr_matrix(counts.numpy())), of(x), rtol=0, atol=0)


def test_weights_of_the_loss_come_as_a_target():
    model, x, z = world()
    goal = x / x.sum(1, keepdim=True)
    expected = transfer.gram(model, x, z=z) / (x.sum(1)[:, None] * x.sum(1))
    torch.testing.assert_close(transfer.gram(model, x, z=z, target=goal), expected)
    torch.testing.assert_close(transfer.sharing(model, x, z=z, target=goal).exact, expected)
    with pytest.raises(InputError, match="11 items"):
        transfer.gram(model, x, z=z, target=goal[:, :-1])
