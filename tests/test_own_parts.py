"""A mask and an anchor loss of one's own take part in a training under their names."""

from typing import Any

import numpy as np
import pytest
import torch

import minivae as mv
from minivae.cli.main import main
from minivae.errors import InputError
from minivae.masks import MASKS, input_weights
from minivae.metrics import KINDS
from minivae.models.priors.choice import PRIORS
from minivae.runtime import outside_code
from minivae.runtime.registry import load_plugins

SETTINGS = {"epochs": 2, "batch_size": 50, "anneal_steps": 10, "device": "cpu", "precision": "fp32"}


@pytest.fixture(scope="module")
def split():
    return mv.strong_split(mv.planted(n_users=300, n_items=40, n_events=4000), n_heldout=40)


def weights_of(split, **settings):
    model = mv.MultVAE(split.n_items, hidden=12, latent=4)
    run = mv.fit(model, split, mv.TrainConfig(**SETTINGS, **settings))
    return torch.cat([p.detach().ravel() for p in run.model.parameters()])


@mv.register_mask("half-scale")
def half_scale(rows, counts, kept, keep):
    """Items that are kept stand for half of those that are not; whole input is x/‖x‖."""
    scale = 1.0 if keep == 1 else 0.5 + 0.5 / keep
    return kept.to(counts.dtype) * scale / counts[rows].sqrt()


@mv.register_mask("twice")
def twice(rows, counts, kept, keep):
    """No convention: whole input is neither x/‖x‖ nor x."""
    return 2 * kept.to(counts.dtype)


def plain(rows, counts, kept, keep):
    """What mask-then-normalize of the package does, under a name of its own."""
    return MASKS.find("mask-then-normalize")(rows, counts, kept, keep)


mv.register_mask("again")(plain)


@mv.register_anchor_loss("distance")
def distance(mu, variance, anchors, batch, temperature):
    """The package's centroid loss, written with dense rows."""
    x = torch.zeros(len(batch.counts), len(anchors), dtype=mu.dtype)
    x[batch.rows, batch.items] = 1
    centroids = x @ anchors / batch.counts[:, None]
    return (mu - centroids).square().sum(-1)


def test_an_own_mask_trains_as_its_formula_says(split):
    again, known, half = (weights_of(split, mask=m, keep=0.5) for m in ("again", "mask-then-normalize", "half-scale"))
    assert torch.equal(again, known)
    assert not torch.allclose(half, known, rtol=1e-3)  # the twin: another formula is another training


def test_an_own_mask_is_what_the_input_gets():
    rows, counts = torch.tensor([0, 0, 0, 0, 1]), torch.tensor([4.0, 1.0])
    kept = torch.tensor([True, False, True, False, True])
    found = input_weights(rows, counts, kept, 0.5, "half-scale")
    assert found.tolist() == [0.75, 0, 0.75, 0, 1.5]  # (1/2 + 1) / √4, and / √1


def test_a_mask_that_cannot_feed_a_trained_model_is_refused(split):
    with pytest.raises(InputError, match="mask='twice' makes something else"):
        weights_of(split, mask="twice")


def test_an_own_anchor_loss_trains_as_the_same_formula_of_the_package(split):
    own, theirs, without = (
        weights_of(split, anchor=2.0, anchor_variant="distance"),
        weights_of(split, anchor=2.0, anchor_variant="centroid"),
        weights_of(split, anchor=2.0, anchor_variant="full"),
    )
    np.testing.assert_allclose(own, theirs, rtol=1e-3, atol=1e-5)
    assert not np.allclose(own, without, rtol=1e-3, atol=1e-3)


# Parts with mistakes: one sentence that says where, whatever the mistake is.


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Write a module and settings in a folder of their own; gives the command with the module as a plug-in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    split = mv.strong_split(mv.planted(n_users=120, n_items=30, n_events=1200), n_heldout=20)
    split.save("split.safetensors")

    def run(source, argv, settings="", plugin=None):
        name = f"own_part_{abs(hash(source))}"
        (tmp_path / f"{name}.py").write_text("import minivae as mv, torch\n" + source)
        (tmp_path / "s.toml").write_text(settings.format(name=name))
        monkeypatch.setenv("MINIVAE_PLUGINS", name if plugin is None else plugin)
        load_plugins.cache_clear()
        return main(argv.split())

    kept: list[tuple[Any, dict[str, Any]]] = [(of, dict(of._parts)) for of in (KINDS, MASKS, PRIORS)]
    yield run
    monkeypatch.undo()
    load_plugins.cache_clear()
    for of, parts in kept:
        of._parts = parts


STUDY = "study --data split.safetensors --models x --settings s.toml --epochs 1 --device cpu --out o"
PRIOR = '[models.x]\nlike = "multvae"\nprior = "p"\n'
X = '[models.x]\nclass = "{name}:X"\n'
BASELINE = """class X(mv.Baseline):
    sizes = {}
    def fit(self, train):
        self.n_items = train.shape[1]
        return self
    def score(self, history): return torch.zeros(history.shape)
    def state(self): return {}
    def set_state(self, arrays): pass
"""
VAE = """class X(mv.MultVAE):
    def __init__(self, n_items):
        super().__init__(n_items, 8, 2)
    sizes = property(lambda self: {'n_items': self.n_items})
"""
DENSITY = """from minivae.models.priors import Prior
@mv.register_prior('p')
class P(Prior):
    def __init__(self, width): pass
    def log_prob(self, z, batch, encoder): return z.sum(-1)
"""
MISTAKES = {  # name: source, settings, what the sentence holds
    "a plug-in with an error of syntax": ("def x(:", X, "SyntaxError: invalid syntax", "line 2"),
    "a plug-in with an unknown name": ("\nnothing", X, "NameError: name 'nothing' is not defined", "line 3"),
    "a plug-in that ends the program": ("import sys; sys.exit(3)", X, "SystemExit: 3", "line 2"),
    "a class that cannot be made": (VAE.replace("super()", "1/0; super()"), X, "ZeroDivisionError", "line 4"),
    "a fit that fails": (BASELINE.replace("train.shape[1]", "{}['a']"), X, "KeyError: 'a'", "line 5"),
    "scores that are none": (BASELINE.replace("torch.zeros(history.shape)", "None"), X, "a NoneType in place of"),
    "a prior with a mistake": (
        DENSITY.replace("self, width): pass", "self, latent): len(latent)"),
        PRIOR,
        "TypeError: object of type 'int' has no len(); mend your own part there",
        "line 5",
    ),
    "a prior that is a number": (
        "five = 5",
        PRIOR.replace('"p"', '"{name}:five"'),
        "five' is 5, which cannot be called",
    ),
    "a prior in C": ("", PRIOR.replace('"p"', '"builtins:int"'), "prior='builtins:int' cannot be made"),
    "a prior without a density": (DENSITY.split("    def")[0] + "    pass", PRIOR, "prior='p' lacks log_prob"),
    "a prior that needs more": (DENSITY, PRIOR, "prior='p' cannot be made", "'width'"),
    "a mask of one argument": (
        "mv.register_mask('mm')(lambda rows: rows)",
        X,
        "called as fn(rows, counts, kept, keep)",
    ),
}
METRICS = {  # name: what the metric is, and the sentence
    "that fails": ("lambda ranking, k: 1 / 0", "ZeroDivisionError: division by zero; mend your own part there"),
    "in words": ("lambda ranking, k: ['a'] * len(ranking.hits)", "metric m@5 gave no numbers (could not convert"),
    "with a gradient": (
        "lambda ranking, k: torch.ones(len(ranking.hits), requires_grad=True)",
        "metric m@5 gave no numbers (Can't call numpy() on Tensor that requires grad",
    ),
    "too large": ("lambda ranking, k: [10**400] * len(ranking.hits)", "metric m@5 gave no numbers (int too large"),
    "of complex numbers": (
        "lambda ranking, k: ranking.hits[:, 0] * 1j",
        "metric m@5 gave no numbers (they are complex)",
    ),
    "of a complex tensor": (
        "lambda ranking, k: torch.tensor([1j] * len(ranking.hits))",
        "metric m@5 gave no numbers (they are complex)",
    ),
    "that is a number": ("3", "metric='m' is 3, which cannot be called"),
    "that is no number": ("lambda ranking, k: [float('nan')] * len(ranking.hits)", "metric m@5 gave nan for a user"),
    "without an end": ("lambda ranking, k: [float('inf')] * len(ranking.hits)", "metric m@5 gave inf for a user"),
    "of one argument": ("lambda ranking: 1", "metric='m' is called as fn(ranking, k)"),
}


def assert_one_sentence(capsys, *words):
    said = capsys.readouterr().err
    assert "Traceback" not in said
    sentence = said.splitlines()[-1]
    assert sentence.startswith("error: ")
    assert all(w in sentence for w in words), sentence


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_part_of_ones_own_is_one_sentence(own, capsys, mistake):
    source, settings, *words = MISTAKES[mistake]
    assert own(source, STUDY, settings) == 2
    assert_one_sentence(capsys, *words)


@pytest.mark.parametrize("mistake", METRICS)
def test_a_mistake_in_a_metric_of_ones_own_is_one_sentence(own, capsys, mistake):
    function, sentence = METRICS[mistake]
    mv.save_model(mv.Popularity().fit(mv.StrongSplit.load("split.safetensors").train), "popularity")
    argv = "evaluate --model popularity --metrics m@5 --data split.safetensors"
    assert own(f"mv.register_metric('m')({function})", argv) == 2
    assert_one_sentence(capsys, sentence)


def test_a_name_that_is_taken_is_said_where_the_name_is_used(own, capsys):
    """And the metric of the package is not shown in its place."""
    mv.save_model(mv.Popularity().fit(mv.StrongSplit.load("split.safetensors").train), "popularity")
    argv = "evaluate --model popularity --metrics ndcg@5 --data split.safetensors"
    assert own("mv.register_metric('ndcg')(lambda ranking, k: [1.0] * len(ranking.hits))", argv) == 2
    assert_one_sentence(capsys, "metric='ndcg' is there already")


@pytest.mark.parametrize("plugin", [".part", "./part.py", "a..b", "nowhere_to_be_found"])
def test_a_plugin_that_is_no_module_is_named(own, capsys, plugin):
    assert own("", STUDY, X, plugin) == 2
    assert_one_sentence(capsys, f"MINIVAE_PLUGINS names {plugin!r}, which cannot be imported")


@pytest.mark.parametrize(
    ("settings", "argv", "sentence"),
    [
        ("select = []\n", "study", "select"),
        ('[[sections]]\ntitle = "t"\nsteps = ["multvae", "multvea"]\n', "study", "did you mean multvae?"),
        ('[[sections]]\ntitle = "t"\nsteps = ["ease", "ease"]\n', "study", "compares ease with itself"),
        ('[models.multvae.search]\nmask = ["raw", "nope"]\n', "tune --models multvae --trials 3", "mask='nope' is"),
        ("[models.ease.search]\nl2 = [100, 0]\n", "tune --models ease --trials 3", "l2=0 would leave"),
        ("[models.ease.search]\nl2 = {{ low = -5.0, high = 5.0 }}\n", "tune --models ease --trials 3", "would leave"),
        ("[models.multvae.search]\nhidden = [0, 20]\n", "tune --models multvae --trials 3", "hidden=0"),
    ],
)
def test_settings_are_checked_before_anything_runs(own, capsys, settings, argv, sentence):
    assert own("", f"{argv} --data split.safetensors --settings s.toml --dry-run", settings) == 2
    assert_one_sentence(capsys, sentence)


def test_settings_that_are_possible_together_alone_are_searched(own, capsys):
    """An anchor weight to begin with needs a number of updates, and either alone is refused."""
    argv = "tune --data split.safetensors --models multvae+anchor --trials 3 --dry-run"
    assert own("", f"{argv} --space anchor_start=0.05,0.1 anchor_steps=100,200") == 0
    assert "anchor_start 0.05" in capsys.readouterr().out
    assert own("", f"{argv} --space anchor_start=0.05,0.1") == 2
    assert_one_sentence(capsys, "anchor_start=")


def test_a_class_that_looks_at_its_weights_is_searched(own, capsys):
    """Before anything runs it is made without weights; what it then cannot read is no mistake of the settings."""
    looks = "        float(self.decoder[0].bias.detach()[0])\n        self.decoder[0].bias.detach().numpy()\n"
    source = VAE.replace("n_items):", "n_items, width=8):").replace("n_items, 8, 2)\n", f"n_items, width, 2)\n{looks}")
    settings = X + "[models.x.search]\nwidth = [4, 8]\n"
    assert own(source, "tune --data split.safetensors --models x --settings s.toml --trials 3 --dry-run", settings) == 0
    assert "width 4" in capsys.readouterr().out


@pytest.mark.parametrize("gives", [lambda mu: mu.sum(), lambda mu: None, lambda mu: mu])
def test_an_anchor_loss_gives_one_number_for_each_user(split, gives):
    mv.register_anchor_loss("of-another-shape")(lambda mu, variance, anchors, batch, temperature: gives(mu))
    with pytest.raises(InputError, match=r"anchor_variant='of-another-shape' gives .*must give one number for each"):
        weights_of(split, anchor=1.0, anchor_variant="of-another-shape")


@pytest.mark.parametrize("name", ["mask", "metric", "anchor_loss"])
def test_what_cannot_be_called_is_no_part(name):
    """The sentence begins with the name of the part, as where it is used."""
    register = getattr(mv, f"register_{name}")
    for odd in (3, None, "nDCG"):
        with pytest.raises(InputError, match=r"^\w+='odd' is .*, which cannot be called; give a function or a class"):
            register("odd")(odd)
    with pytest.raises(InputError, match=r"^\w+='odd' is called as fn\(\w+(, \w+)+\), which"):
        register("odd")(lambda one: one)


def test_own_names_need_no_plugin(tmp_path, monkeypatch):
    """A plug-in that is broken does not touch who asks for parts of minivae alone; other names ask all plug-ins."""
    monkeypatch.setenv("MINIVAE_PLUGINS", "nowhere_to_be_found")
    load_plugins.cache_clear()
    assert mv.TrainConfig(mask="raw", anchor_variant="centroid").mask == "raw"
    with pytest.raises(InputError, match="MINIVAE_PLUGINS names 'nowhere_to_be_found'"):
        mv.TrainConfig(mask="nope")
    monkeypatch.undo()
    load_plugins.cache_clear()


def raised_in(folder):
    """The error of a function of a file in that folder, as if it had been called from there alone."""
    folder.mkdir(parents=True)
    file, names = folder / "mine.py", {}
    file.write_text("\ndef part(): len(3)\n")
    exec(compile(file.read_text(), str(file), "exec"), names)
    with pytest.raises(TypeError) as caught:
        names["part"]()
    return caught.value.with_traceback(caught.tb.tb_next)


@pytest.mark.parametrize(
    ("place", "of_others"),
    [
        ("elsewhere", True),
        ("minivae_ext", True),  # beside the package, and its name begins with that of the package
        ("minivae/runtime", False),
        ("home/.local/lib/python3.11/site-packages/torch", False),  # pip install --user
        ("usr/lib/python3/dist-packages/torch", False),
    ],
)
def test_code_of_others_is_neither_ours_nor_installed(tmp_path, monkeypatch, place, of_others):
    monkeypatch.setattr(outside_code, "__file__", str(tmp_path / "minivae" / "runtime" / "outside_code.py"))
    said = outside_code.place_among_others(raised_in(tmp_path / place))
    assert said == (f"{tmp_path / place / 'mine.py'}, line 2" if of_others else "")


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("def x(:", r"SyntaxError: invalid syntax \([^()]*own\.py, line 2\)"),
        ("exec('def x(:')", r"SyntaxError: invalid syntax \([^()]*own\.py, line 2\)"),
        ("raise SyntaxError('odd')", r"SyntaxError: odd \([^()]*own\.py, line 2\)"),
        ("raise SyntaxError", r"SyntaxError \([^()]*own\.py, line 2\)"),
        ("exec('1 / 0')", r"ZeroDivisionError: division by zero \([^()]*own\.py, line 2\)"),
    ],
)
def test_a_place_is_said_once_and_is_a_file(tmp_path, monkeypatch, source, sentence):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "of_my_own.py").write_text(f"\n{source}\n")
    with pytest.raises(InputError, match=f"^it cannot be imported: {sentence}; mend it there$"):
        outside_code.load_module("of_my_own", "it")
