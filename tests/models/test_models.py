"""Models: shapes, initialisation, sparse against dense, closed forms against direct solves, files."""

import inspect
import math
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy import optimize

import minivae as mv
from minivae import EASE, VAE, HVamp, InputError, MultVAE, Popularity, load_model, save_model
from minivae.batches import DeviceCSR
from minivae.errors import Diverged
from minivae.masks import mask_input
from minivae.models import ease as ease_module
from minivae.models import item_item
from minivae.models import vae as vae_module
from minivae.models.phase import Phase
from minivae.runtime.storage import save_arrays

N_ITEMS, HIDDEN, D = 37, 11, 5


@pytest.fixture
def model():
    m = MultVAE(N_ITEMS, HIDDEN, D)
    m.reset_parameters(torch.Generator().manual_seed(3))
    return m


@pytest.fixture
def x():
    x = np.random.default_rng(2).random((9, N_ITEMS)) < 0.3
    x[4] = False  # a user without items
    return x.astype(np.float64)


def dense_encode(model, x):
    """[μ, log σ²] of ready encoder inputs by dense products."""
    w = {k: v.detach().double() for k, v in model.state_dict().items()}
    h = torch.tanh(torch.as_tensor(x).double() @ w["encoder_input.weight"] + w["encoder_input.bias"])
    out = h @ w["encoder_output.weight"].T + w["encoder_output.bias"]
    return out[:, : model.latent], torch.exp(0.5 * out[:, model.latent :])


def unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-300)


def test_shapes_and_pieces(model, x):
    mu, sd = model.encode(x)
    assert mu.shape == sd.shape == (9, D)
    assert bool((sd > 0).all())
    assert model.decode(torch.zeros(2, 3, D)).shape == (2, 3, N_ITEMS)
    assert [type(layer).__name__ for layer in model.decoder] == ["Linear", "Tanh", "Linear"]
    assert (model.n_items, model.latent, model.anchors) == (N_ITEMS, D, None)
    sizes = {"n_items": N_ITEMS, "hidden": 600, "latent": 200, "prior": "normal", "components": 1000}
    assert MultVAE(N_ITEMS).sizes == sizes


def check_initialisation(weight, bias):
    """Xavier uniform: ±sqrt(6 / (in + out)), variance 2 / (in + out); bias: normal with sd .001 cut at two sd."""
    bound = math.sqrt(6 / sum(weight.shape))
    assert float(weight.abs().max()) <= bound
    n = weight.numel()
    variance = bound**2 / 3
    assert abs(float(weight.square().mean()) - variance) < 5 * variance * math.sqrt(0.8 / n)  # kurtosis 9/5
    assert abs(float(weight.mean())) < 5 * math.sqrt(variance / n)
    assert 0 < float(bias.abs().max()) <= 2e-3
    sd = 1e-3 * 0.87962566  # of a standard normal cut at ±2
    assert abs(float(bias.std()) - sd) < 5 * sd / math.sqrt(2 * len(bias))


def test_initialisation_is_the_published_one():
    big = MultVAE(900, 400, 120)
    big.reset_parameters(torch.Generator().manual_seed(0))
    p = dict(big.named_parameters())
    for layer in ("encoder_input", "encoder_output", "decoder.0", "decoder.2"):
        check_initialisation(p[f"{layer}.weight"].detach(), p[f"{layer}.bias"].detach())
    torch_like = torch.nn.Linear(400, 900)
    with pytest.raises(AssertionError):  # twin: torch's own initialisation
        check_initialisation(torch_like.weight.detach(), torch_like.bias.detach())
    again = MultVAE(900, 400, 120)
    again.reset_parameters(torch.Generator().manual_seed(0))
    assert all(torch.equal(a, b) for a, b in zip(big.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize(
    "convert", [np.asarray, sp.csr_matrix, torch.from_numpy, lambda x: torch.from_numpy(x).float()]
)
def test_encode_is_the_dense_network(model, x, convert):
    for a, b in zip(model.encode(convert(x)), dense_encode(model, unit(x)), strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=1e-6)


def test_encode_ready_input(model, x):
    """`normalize=False` takes the values as they are; None follows what the model was trained with."""
    ready = mask_input(x, 0.6, generator=torch.Generator().manual_seed(1))
    for a, b in zip(model.encode(ready, normalize=False), dense_encode(model, ready.toarray()), strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=1e-6)
    model.normalize = False
    for a, b in zip(model.encode(x), dense_encode(model, x), strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=1e-6)
    assert torch.equal(model.encode(x, normalize=True)[0], model.encode(mask_input(x, 1.0), normalize=False)[0])


def test_float64(model, x):
    model.to(torch.float64)
    for a, b in zip(model.encode(x), dense_encode(model, unit(x)), strict=True):
        assert a.dtype == torch.float64
        torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-14)


def test_blocks_of_users_do_not_matter(model, x, monkeypatch):
    whole = model.encode(x)
    monkeypatch.setattr(vae_module, "ENCODE_BLOCK", 2)
    for a, b in zip(model.encode(x), whole, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)
    assert model.encode(np.zeros((0, N_ITEMS)))[0].shape == (0, D)


def test_a_user_without_items_is_finite(model, x):
    mu, sd = model.encode(x[4:5])
    assert bool(mu.isfinite().all() and sd.isfinite().all())
    assert bool(model.score(x[4:5]).isfinite().all())


def test_score_is_decode_of_mu(model, x):
    scores = model.score(x)
    assert scores.shape == (9, N_ITEMS)
    assert not scores.requires_grad
    torch.testing.assert_close(scores, model.decode(model.encode(x)[0]))
    assert model.encode(x)[0].requires_grad  # encode keeps the graph, for theory


def test_sparse_and_dense_first_layer_agree(model, x):
    batch = DeviceCSR(sp.csr_matrix(x)).batch(torch.arange(9))
    torch.testing.assert_close(
        model.encoder_input(batch), model.encoder_input.dense(torch.from_numpy(unit(x)).float()), rtol=1e-5, atol=1e-6
    )


def test_wrong_width_is_refused(model, x):
    ease = EASE(10).fit(sp.csr_matrix(x))
    for call in (model.encode, model.score, ease.score):
        with pytest.raises(InputError, match="has 36 columns, but the model knows 37 items"):
            call(x[:, :-1])


def test_anchors_are_a_parameter_of_the_stated_law():
    m = MultVAE(2000, 4, 50)
    m.add_anchors(torch.Generator().manual_seed(0))
    e = m.anchors.detach()
    assert e.shape == (2000, 50)
    assert "anchors" in dict(m.named_parameters())
    assert abs(float(e.square().sum(1).mean()) - 1) < 5 * math.sqrt(2 / 50 / 2000)  # E‖e‖² = 1


@pytest.mark.parametrize("sizes", [(0, 5, 5), (5, 0, 5), (5, 5, 0), (5, -1, 5), (5, 5, 2.0), (2**31, 5, 5)])
def test_sizes_must_be_positive_and_fit_32_bits(sizes):
    with pytest.raises(InputError, match=f"whole number from 1 to {2**31 - 1}"):
        MultVAE(*sizes)


# files


def same_model(a, b, x):
    assert a.sizes == b.sizes
    assert a.normalize == b.normalize
    assert a.state_dict().keys() == b.state_dict().keys()
    for k, v in a.state_dict().items():
        assert v.dtype == b.state_dict()[k].dtype
        assert torch.equal(v, b.state_dict()[k]), k
    assert torch.equal(a.score(x), b.score(x))


@pytest.mark.parametrize("anchors", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_save_and_load_to_the_bit(model, x, tmp_path, anchors, dtype):
    if anchors:
        model.add_anchors()
    model.normalize = not anchors
    model.to(dtype)
    save_model(model, tmp_path / "model.safetensors", {"data": "toy"})
    for path in (tmp_path, tmp_path / "model.safetensors", str(tmp_path)):
        same_model(model, load_model(path), x)
    other = load_model(tmp_path)
    bias = other.decoder[2].bias.data
    bias[0] = torch.nextafter(bias[0], torch.tensor(9.0, dtype=dtype))
    with pytest.raises(AssertionError):  # twin: one parameter off by one bit
        same_model(model, other, x)


def test_bfloat16_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match=r"bfloat16 cannot be saved; call model.float\(\) first"):
        save_model(MultVAE(9, hidden=4, latent=2).bfloat16(), tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


def test_files_that_are_no_model_are_refused(model, tmp_path):
    with pytest.raises(InputError, match="is not a file"):
        load_model(tmp_path / "nothing")
    save_arrays(tmp_path / "split", "split", {"a": np.ones(2)}, {})
    with pytest.raises(InputError, match="is a split, but a model was expected"):
        load_model(tmp_path / "split")
    arrays = {k: v.numpy() for k, v in model.state_dict().items()}
    good = {"class": "MultVAE", "sizes": '{"n_items": 37, "hidden": 11, "latent": 5}', "normalize": "true"}
    for name, bad_arrays, meta in [
        ("class", arrays, good | {"class": "Transformer"}),
        ("sizes", arrays, good | {"sizes": '{"n_items": 36, "hidden": 11, "latent": 5}'}),
        ("json", arrays, good | {"sizes": "[1"}),
        ("negative", arrays, good | {"sizes": '{"n_items": 37, "hidden": -11, "latent": 5}'}),
        ("list", arrays, good | {"sizes": "[37, 11, 5]"}),
        ("part", {k: v for k, v in arrays.items() if k != "decoder.2.bias"}, good),
        ("none", {}, good),
        ("whole", {k: v.astype(np.int32) for k, v in arrays.items()}, good),
        ("complex", {k: v.astype(np.complex64) for k, v in arrays.items()}, good),
        ("dtypes", arrays | {"decoder.2.bias": arrays["decoder.2.bias"].astype(np.float64)}, good),
    ]:
        save_arrays(tmp_path / name, "model", bad_arrays, meta)
        with pytest.raises(InputError, match=r"do not fit each other|class is not here"):
            load_model(tmp_path / name)
    huge = good | {"sizes": '{"n_items": 37, "hidden": 1000000000000, "latent": 5}'}  # 148 TB, of which none is taken
    save_arrays(tmp_path / "huge", "model", arrays, huge)
    with pytest.raises(InputError, match="from 1 to 2147483647"):
        load_model(tmp_path / "huge")


@pytest.mark.parametrize("first", ["mv.load_model(sys.argv[1])", "torch.empty(1, device='meta').normal_()"])  # twin
def test_loading_draws_nothing_and_so_leaves_the_compiler_of_torch_alone(first, tmp_path):
    save_model(HVamp(9, hidden=4, latent=2, components=3), tmp_path / "model")
    code = f"import sys, torch, minivae as mv\n{first}\nprint('torch._dynamo' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "model"], capture_output=True, text=True, check=True)
    assert done.stdout == ("False\n" if "load_model" in first else "True\n")


# baselines


def check_ease(weights, x, l2):
    """Column j minimises ‖X_j − X b‖² + l2 ‖b‖² over b with b_j = 0: solve it without row and column j."""
    for j in range(x.shape[1]):
        others = np.arange(x.shape[1]) != j
        a = x[:, others]
        b = np.zeros(x.shape[1])
        b[others] = np.linalg.solve(a.T @ a + l2 * np.eye(others.sum()), a.T @ x[:, j])
        np.testing.assert_allclose(weights[:, j], b, atol=2e-5)


def test_ease_is_the_constrained_ridge_regression():
    x = (np.random.default_rng(0).random((80, 20)) < 0.3).astype(float)
    ease = EASE(l2=7.0).fit(sp.csr_matrix(x))
    check_ease(ease.weights.numpy(), x, 7.0)
    for twin in (ease.weights.T.numpy(), EASE(l2=9.0).fit(x).weights.numpy()):
        with pytest.raises(AssertionError):
            check_ease(twin, x, 7.0)
    torch.testing.assert_close(ease.score(x[:3]), torch.from_numpy(x[:3]).float() @ ease.weights)
    assert torch.equal(ease.score(x[:3]), ease.score(sp.csr_matrix(x[:3])))


def test_ease_column_is_what_an_optimiser_finds():
    x = (np.random.default_rng(1).random((30, 6)) < 0.4).astype(float)
    weights = EASE(l2=3.0).fit(x).weights.numpy()

    def loss(b):
        full = np.insert(b, 2, 0.0)
        return ((x[:, 2] - x @ full) ** 2).sum() + 3.0 * (full**2).sum()

    np.testing.assert_allclose(np.delete(weights[:, 2], 2), optimize.minimize(loss, np.zeros(5)).x, atol=1e-4)


def plain_ease(x, l2):
    """The formula in float64: P = (XᵀX + l2·I)⁻¹, B_ij = −P_ij / P_jj, zero diagonal."""
    p = np.linalg.inv(x.T @ x + l2 * np.eye(x.shape[1]))
    b = -p / np.diag(p)
    np.fill_diagonal(b, 0)
    return b


def check_in_place(weights, x, l2):
    exact = plain_ease(x, l2)
    assert np.abs(weights - exact).max() <= 1e-4 * np.abs(exact).max()


def test_ease_in_place_is_the_plain_formula(monkeypatch):
    """Blocks that divide the items, leave one over, are all of them, or more."""
    for n_items, block in [(60, 7), (60, 59), (60, 60), (60, 512), (600, 512)]:
        for module in (ease_module, item_item):
            monkeypatch.setattr(module, "BLOCK", block)
        x = (np.random.default_rng(n_items).random((900, n_items)) < 0.1).astype(float)
        weights = EASE(l2=50.0).fit(sp.csr_matrix(x)).weights.numpy()
        check_in_place(weights, x, 50.0)
        assert weights.base is None or weights.base.nbytes <= 4 * n_items**2
        half = np.triu(weights)
        with pytest.raises(AssertionError):  # twin: the other triangle is forgotten
            check_in_place(half, x, 50.0)


def test_ease_says_what_to_do_when_float32_is_not_enough():
    x = np.ones((4000, 30))  # rank one, and l2 is lost beside the counts
    with pytest.raises(Diverged, match="l2=1e-07 is too small for float32"):
        EASE(l2=1e-7).fit(x)


def test_baselines_know_their_size(x):
    ease = EASE(10).fit(x)
    assert ease.size(*x.shape) == int((ease.weights != 0).sum() + (ease.weights == 0).sum()) - N_ITEMS
    assert Popularity().size(*x.shape) == len(Popularity().fit(x).counts)


@pytest.mark.parametrize("l2", [0, -1, float("nan")])
def test_ease_needs_a_positive_l2(l2):
    with pytest.raises(InputError, match="must be positive"):
        EASE(l2)


def test_popularity_counts_users(x):
    popularity = Popularity().fit(sp.csr_matrix(x))
    assert torch.equal(popularity.score(x[:2]), torch.from_numpy(np.tile(x.sum(0), (2, 1))).float())
    assert Popularity().fit(x).score(sp.csr_matrix((5, N_ITEMS))).shape == (5, N_ITEMS)


def test_a_vae_asks_for_its_parts():
    with pytest.raises(NotImplementedError):
        VAE().posterior(None)


def test_popularity_refuses_another_vocabulary(x):
    with pytest.raises(InputError, match="columns"):
        Popularity().fit(x).score(x[:, :-1])


def test_an_encoder_of_ones_own_is_the_one_that_is_used():
    class Rectified(MultVAE):
        @property
        def encoder(self):
            return torch.nn.Sequential(self.encoder_input, torch.nn.ReLU(), self.encoder_output)

    torch.manual_seed(0)
    model = Rectified(12, hidden=8, latent=2)
    x = (torch.rand(5, 12) < 0.4).float()
    mu, logvar = model.posterior(x)
    own = model.encoder(x)
    assert torch.equal(torch.cat([mu, logvar], dim=1), own)
    assert not torch.allclose(own, model.encoder_output(torch.tanh(model.encoder_input(x))))


SIZES = {
    "MultVAE": {"hidden": 600, "latent": 200, "components": 1000, "prior": "normal"},
    "MultDAE": {"latent": 200},
    "RecVAE": {"hidden": 600, "latent": 200, "norm_eps": 0.1, "components": 1000, "prior": "composite"},
    "HVamp": {"hidden": 600, "latent": 200, "components": 1000, "prior": "vamp"},
    "EASE": {"l2": 400.0},
    "EDLAE": {"dropout": 0.33, "l2": 300.0},
    "SLIM": {"l1": 10.0, "l2": 100.0, "rho": 1000.0, "iterations": 200, "tolerance": 1e-4},
    "IALS": {"factors": 128, "l2": 100.0, "alpha": 10.0, "iterations": 16, "seed": 0, "threads": 1},
}


@pytest.mark.parametrize("name", SIZES)
def test_a_model_of_which_nothing_is_said_stays_as_it_is(name):
    """A run that names no size must stay comparable to those of before: another default is another experiment."""
    given = inspect.signature(getattr(mv, name)).parameters
    assert {k: p.default for k, p in given.items() if p.default is not p.empty} == SIZES[name]


def test_a_phase_of_which_nothing_is_said_trains_everything_once_under_masks():
    phase = Phase()
    assert (phase.passes, phase.encoder, phase.decoder, phase.masked) == (1, True, True, True)
