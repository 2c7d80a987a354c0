"""Every model has a life after its study: what is saved comes back the same, or is refused at saving."""

import subprocess
import sys
import uuid
from importlib.util import find_spec

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import minivae as mv
from minivae import EASE, EDLAE, IALS, SLIM, InputError, MultVAE, Popularity, load_model, save_model
from minivae.models import item_item
from minivae.models.baseline import Baseline
from minivae.models.priors import Prior
from minivae.runtime.storage import load_arrays, save_arrays

needs_implicit = pytest.mark.skipif(find_spec("implicit") is None, reason="the library implicit is not installed")


@pytest.fixture
def x():
    return sp.csr_matrix(np.random.default_rng(0).random((60, 25)) < 0.3, dtype=np.float32)


def fitted(name, x):
    make = {
        "ease": lambda: EASE(30),
        "edlae": lambda: EDLAE(0.4, 20),
        "slim": lambda: SLIM(0.5, 3, 30),
        "popularity": Popularity,
        "ials": lambda: IALS(factors=4, iterations=2),
    }
    return make[name]().fit(x)


@pytest.mark.parametrize("name", ["ease", "edlae", "slim", "popularity", pytest.param("ials", marks=needs_implicit)])
def test_baselines_come_back_to_the_bit(name, x, tmp_path):
    model = fitted(name, x)
    save_model(model, tmp_path / "model.safetensors")
    again = load_model(tmp_path)
    assert type(again) is type(model)
    assert again.sizes == model.sizes
    assert torch.equal(again.score(x), model.score(x))
    other = fitted(name, x[:50])
    assert not torch.equal(other.score(x), model.score(x))  # the check can fail
    for call in (lambda: save_model(type(model)(), tmp_path / "empty"), lambda: type(model)().score(x)):
        with pytest.raises(InputError, match="is not fitted yet"):
            call()
    assert not (tmp_path / "empty").exists()


NUMPY = {
    "multvae": lambda n, x: mv.MultVAE(n(25), hidden=n(8), latent=n(4), components=n(3)),
    "multdae": lambda n, x: mv.MultDAE(n(25), latent=n(4)),
    "recvae": lambda n, x: mv.RecVAE(n(25), n(8), n(4), norm_eps=x(0.5), components=n(3)),
    "hvamp": lambda n, x: mv.HVamp(n(25), n(8), n(4), components=n(3)),
    "ease": lambda n, x: EASE(x(30)),
    "edlae": lambda n, x: EDLAE(x(0.5), x(20)),
    "slim": lambda n, x: SLIM(x(0.5), x(3), x(30), iterations=n(9), tolerance=x(0.25)),
    "ials": lambda n, x: IALS(n(4), x(1.5), x(10), iterations=n(2), seed=n(1), threads=n(1)),
}


@pytest.mark.parametrize("name", [pytest.param(k, marks=needs_implicit) if k == "ials" else k for k in NUMPY])
@pytest.mark.parametrize("kinds", [(np.int64, np.float32), (np.uint8, np.float64)])
def test_numbers_of_numpy_make_the_model_that_those_of_python_make(name, kinds, x, tmp_path):
    model, plain = NUMPY[name](*kinds), NUMPY[name](int, float)
    assert model.sizes == plain.sizes
    assert all(type(v) in (int, float, str) for v in model.sizes.values())
    if isinstance(model, Baseline):
        model.fit(x)
    save_model(model, tmp_path / "model.safetensors")
    assert load_model(tmp_path).sizes == plain.sizes


def test_ease_of_many_items_keeps_the_largest_weights_of_each_column(x, tmp_path, monkeypatch):
    monkeypatch.setattr(item_item, "DENSE_ITEMS", 10)
    monkeypatch.setattr(item_item, "KEPT", 8)
    monkeypatch.setattr(item_item, "BLOCK", 7)
    model = EASE(30).fit(x)
    save_model(model, tmp_path / "model.safetensors")
    again = load_model(tmp_path)
    dense = model.weights.numpy()
    least = -np.sort(-np.abs(dense), axis=0)[7]
    want = np.where(np.abs(dense) >= least, dense, 0)
    np.testing.assert_array_equal(again.weights.toarray(), want)
    np.testing.assert_allclose(again.score(x).numpy(), x @ want, rtol=1e-5, atol=1e-6)
    save_model(again, tmp_path / "again.safetensors")
    np.testing.assert_array_equal(load_model(tmp_path / "again.safetensors").weights.toarray(), want)


@pytest.mark.parametrize(
    ("kind", "arrays"),
    [
        ("EASE", {"weights": np.zeros((3, 4), np.float32)}),
        ("EASE", {"weights": np.full((2, 2), np.nan, np.float32)}),
        ("EASE", {"data": np.ones(1, np.float32), "indices": np.array([9], np.int32), "indptr": np.array([0, 1])}),
        ("EASE", {"data": np.ones(1, np.float32), "indices": np.array([0], np.int32), "indptr": np.array([0, 5])}),
        ("EASE", {}),
        ("EDLAE", {"weights": np.zeros((3, 4), np.float32)}),
        ("SLIM", {"data": np.ones(1, np.float32), "indices": np.array([9], np.int32), "indptr": np.array([0, 1])}),
        ("Popularity", {"counts": np.zeros((2, 2), np.float32)}),
        pytest.param("IALS", {"item_factors": np.zeros((5, 3), np.float32)}, marks=needs_implicit),
        pytest.param("IALS", {"item_factors": np.zeros((5, 128), np.float64)}, marks=needs_implicit),
    ],
)
def test_arrays_that_do_not_fit_are_refused(kind, arrays, tmp_path):
    save_arrays(tmp_path / "m", "model", arrays, {"class": kind, "sizes": "{}", "normalize": "true"})
    with pytest.raises(InputError, match="do not fit each other"):
        load_model(tmp_path / "m")


def unique(prefix):
    return f"{prefix}_{uuid.uuid4().hex[:8]}"


class Flat(Prior):
    """Broken in no way: a prior of somebody else, with a setting."""

    def __init__(self, latent=0, width=1.0):
        super().__init__()
        self.width = width

    def log_prob(self, z, batch, encoder):
        return -z.abs().sum(-1) / self.width


def test_a_registered_prior_survives_and_another_is_refused(x, tmp_path):
    name = unique("flat")
    mv.register_prior(name)(Flat)
    model = MultVAE(25, 8, 4, prior=name)
    save_model(model, tmp_path / "m")
    again = load_model(tmp_path / "m")
    assert type(again.prior) is Flat
    assert again.sizes["prior"] == name
    assert torch.equal(again.score(x), model.score(x))
    for change, why in [
        (lambda m: setattr(m, "prior", Flat()), "prior is Flat, not NormalPrior"),
        (lambda m: setattr(m, "decoder", torch.nn.Sequential(*m.decoder, torch.nn.Tanh())), "Tanh"),
        (lambda m: m.register_buffer("extra", torch.zeros(2)), "extra is new"),
        (lambda m: setattr(m.decoder[0], "weight", torch.nn.Parameter(torch.zeros(9, 4))), "another shape"),
    ]:
        changed = MultVAE(25, 8, 4)
        change(changed)
        with pytest.raises(InputError, match=f"is not what its class makes of its sizes .*{why}"):
            save_model(changed, tmp_path / "changed")
    changed = MultVAE(25, 8, 4, prior=name)
    changed.prior.width = 2.0
    with pytest.raises(InputError, match=r"prior.width is 2.0, not 1.0"):
        save_model(changed, tmp_path / "changed")
    assert not (tmp_path / "changed").exists()


class Wide(MultVAE):
    """A subclass with an argument of its own."""

    def __init__(self, n_items, hidden=8, latent=4, factor=1.0):
        super().__init__(n_items, hidden, latent)
        self.factor = factor

    @property
    def sizes(self):
        own = super().sizes
        return {k: own[k] for k in ("n_items", "hidden", "latent")} | {"factor": self.factor}

    def decode(self, z):
        return self.factor * super().decode(z)


class Nearest(Baseline):
    """A baseline of somebody else: scores by common users."""

    def __init__(self, power=1.0):
        self.power = power

    @property
    def sizes(self):
        return {"power": self.power}

    def fit(self, train):
        self.set_state({"common": np.asarray((train.T @ train).todense(), np.float32)})
        return self

    def score(self, history):
        return torch.from_numpy(self.rows(history) @ self.common**self.power)

    def state(self):
        return {"common": self.common}

    def set_state(self, arrays):
        self.common = arrays["common"]
        self.n_items = len(self.common)


def test_classes_of_others_are_saved_under_their_names(x, tmp_path, monkeypatch):
    wide, nearest = Wide(25, factor=3.0), Nearest(0.5).fit(x)
    names = {Wide: unique("wide"), Nearest: unique("nearest")}
    for model in (wide, nearest):  # found by module and name, as they stand at the top of a module
        save_model(model, tmp_path / "by-module")
        assert load_arrays(tmp_path / "by-module", "model")[1]["class"] == f"{__name__}:{type(model).__name__}"
        assert torch.equal(load_model(tmp_path / "by-module").score(x), model.score(x))
    for model in (wide, nearest):
        mv.register_model(names[type(model)])(type(model))
        save_model(model, tmp_path / "registered")
        assert load_arrays(tmp_path / "registered", "model")[1]["class"] == names[type(model)]
        again = load_model(tmp_path / "registered")
        assert again.sizes == model.sizes
        assert torch.equal(again.score(x), model.score(x))

    class Local(MultVAE):
        pass

    with pytest.raises(InputError, match=r'register the class: minivae.register_model\("Local"\)'):
        save_model(Local(25, 8, 4), tmp_path / "local")

    class Script(MultVAE):
        """As in a script: its module is called __main__, and that of another program has other classes."""

    Script.__module__, Script.__qualname__ = "__main__", "Script"
    monkeypatch.setattr(sys.modules["__main__"], "Script", Script, raising=False)
    with pytest.raises(InputError, match=r"^Script is defined in the program that runs and .* or move it to a module"):
        save_model(Script(25, 8, 4), tmp_path / "script")
    assert not (tmp_path / "script").exists()
    mv.register_model(name := unique("script"))(Script)
    save_model(Script(25, 8, 4), tmp_path / "script")
    assert load_arrays(tmp_path / "script", "model")[1]["class"] == name

    class Forgetful(Wide):
        @property
        def sizes(self):
            return super().sizes | {"factor": 1.0}

    mv.register_model(unique("forgetful"))(Forgetful)
    with pytest.raises(InputError, match=r"factor is 3.0, not 1.0"):
        save_model(Forgetful(25, factor=3.0), tmp_path / "local")
    with pytest.raises(InputError, match=r"derive it from minivae\.VAE or minivae\.Baseline"):
        mv.register_model("torch_module")(torch.nn.Linear)
    with pytest.raises(InputError, match="model='EASE' is there already"):
        mv.register_model("EASE")(Nearest)


def test_a_file_does_not_choose_what_code_runs(tmp_path):
    """A class that is named by its module is looked up only where that module is loaded already."""
    module = unique("stranger")
    (tmp_path / f"{module}.py").write_text(
        "import minivae as mv\nprint('module runs')\n@mv.register_model('strange')\n"
        "class Strange(mv.Popularity):\n    pass\n"
    )
    arrays = {"counts": np.ones(3, np.float32)}
    for name, kind in (("by-module", f"{module}:Strange"), ("by-name", "strange")):
        save_arrays(tmp_path / name, "model", arrays, {"class": kind, "sizes": "{}", "normalize": "true"})
    code = "import sys, minivae as mv\n{}\nprint(type(mv.load_model(sys.argv[1])).__name__)"

    def load(name, first="", **more):
        env = {"PYTHONPATH": f"{tmp_path}:{':'.join(sys.path)}", "PATH": "", **more}
        done = subprocess.run(
            [sys.executable, "-c", code.format(first), tmp_path / name], capture_output=True, text=True, env=env
        )
        return done.stdout.split("\n")[:-1], done.stderr.splitlines()[-1:]

    for name in ("by-module", "by-name"):
        said, failed = load(name)
        assert said == []
        assert "class is not here" in failed[0]
        assert load(name, f"import {module}")[0] == ["module runs", "Strange"]
        assert load(name, MINIVAE_PLUGINS=module)[0] == ["module runs", "Strange"]
