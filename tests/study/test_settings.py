"""Files of settings that hold something else: refused in one sentence before anything runs."""

import sys
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

import minivae as mv
from minivae.cli.main import main
from minivae.errors import InputError
from minivae.study.run import presets

SECTION = '[[sections]]\ntitle = "t"\n'
CHAIN = "".join(f'[models.m{k}]\nlike = "m{k + 1}"\n' for k in range(2000)) + '[models.m2000]\nclass = "EASE"\n'
WRONG = [
    *(f"[models.multvae]\nhidden = {v}" for v in ('"abc"', "1.5", "[1]", "true", "1" + "0" * 30, "2020-01-01", "nan")),
    *(f"[models.multvae]\nhidden = {v}" for v in ("inf", "{a = 1}", "-1", "9" * 5000, "[[1]]")),
    *(f"[models.multvae]\nlr = {v}" for v in ("true", '"x"', "nan", "[1]", "2020-01-01")),
    *(f"[models.ease]\nl2 = {v}" for v in ('"x"', "nan", "inf", "true", "[1]", "07:32:00")),
    "[models.multvae]\nanneal_steps = 1" + "0" * 400,
    "[models.multvae]\nbatch_size = 1" + "0" * 30,
    "[models.multvae]\nprior = 5",
    '[models.multvae]\nclass = ["MultVAE"]',
    '[models.x]\nlike = ["multvae"]',
    "[models.multvae]\nsearch = 5",
    "[models.multvae.search]\nlr = {low = 1, high = 1" + "0" * 400 + "}",
    "models = 5",
    "[models]\nmultvae = 5",
    "[train]\nlr = [1]",
    "select = 5",
    'select = [["multvae"]]',
    "sections = 5",
    "sections = [5]",
    "title = 5",
    *(SECTION + v for v in ("steps = 5", "steps = [1, 2]", 'text = 5\nsteps = ["multvae", "ease"]')),
    SECTION + 'axis = 5\nmodels = ["multvae"]\nagainst = "ease"',
    SECTION + 'axis = "../../evil"\nmodels = ["multvae"]\nagainst = "ease"',
    SECTION + 'models = ["multvae"]\nagainst = ["ease"]',
    "[origin]\ntrials = nan",
    "[origin]\ntrials = [1]",
    "[origin]\ntrials_run = {ease = 0.5}",
    "x = " + "[" * 900 + "]" * 900,
    "x = " + "{a=" * 900 + "1" + "}" * 900,
    "x = [",
    CHAIN,
]


def test_wrong_settings_are_one_sentence(tmp_path):
    path = tmp_path / "s.toml"
    for text in WRONG:
        path.write_text(text)
        said = ""
        try:
            presets.load("default", path)
        except InputError as e:
            said = str(e)
        assert 0 < len(said) < 1000, f"{text[:60]} … {text[-20:]}: {said[:1000] or 'accepted'}"
        assert "\n" not in said, text[:60]


@pytest.mark.parametrize(
    "text", ["[models.multvae]\nhidden = 1.5", "x = " + "[" * 900 + "]" * 900], ids=["value", "deep"]
)
def test_wrong_settings_leave_nothing_behind(text, tmp_path, capsys):
    (tmp_path / "s.toml").write_text(text)
    argv = ["study", "--settings", str(tmp_path / "s.toml"), "--models", "multvae,ease", "--out", str(tmp_path / "out")]
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"\xff\xfe", b"#" * (1 << 21), b"", b"# hidden = 200\n"])
def test_a_file_that_is_no_settings_is_refused(content, tmp_path):
    (tmp_path / "s.toml").write_bytes(content)
    with pytest.raises(InputError, match=r"cannot be read|more than|holds no setting"):
        presets.load("default", tmp_path / "s.toml")


@pytest.mark.parametrize("place", ["/dev/zero", "."])
def test_what_is_no_file_is_refused_at_once(place, tmp_path):
    with pytest.raises(InputError, match="it is not a file"):
        presets.load("default", tmp_path / place)


def test_chains_of_models_have_an_end(tmp_path):
    short = CHAIN.split("[models.m10]")[0]
    (tmp_path / "s.toml").write_text(short + '[models.m10]\nclass = "EASE"\n')
    assert presets.load("default", tmp_path / "s.toml").models["m0"].kind == "EASE"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["low", "high", "a"]), inner, max_size=3)
    ),
    max_leaves=4,
)
keys = st.sampled_from(["class", "like", "search", "hidden", "lr", "l2", "steps", "title", "models", "axis", "epochs"])


@given(name=st.sampled_from(sorted(presets.TABLES)), value=values | st.dictionaries(keys, values, max_size=2))
def test_whatever_a_file_holds_is_settings_or_an_input_error(tmp_path_factory, name, value):
    """Structure-aware: the parts have right names and any content."""
    layer = {name: value} if name != "models" else {"models": {"multvae": value}}
    layer |= {"title": "t"} if name != "title" else {}
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text("")
    before = presets.read_toml
    presets.read_toml = lambda _: layer
    try:
        preset = presets.load("default", path)
        for spec in preset.pick(None):
            spec.config()
    except InputError:
        pass
    finally:
        presets.read_toml = before


def test_settings_of_the_package_pass_their_own_check():
    specs = [spec for name in presets.names() for spec in presets.load(name).models.values() if spec.trained]
    for spec in {(spec.kind, repr(spec.arguments)): spec for spec in specs}.values():
        assert isinstance(spec.build(50), mv.VAE), spec.name


ORIGIN = '[origin]\nmethod = "random"\ntrials = 3\nseed = 0\ndata = "d"\nsha256 = "s"\n'
BY_HAND = "[models.ease]\nl2 = 50.0\n[models.multvae]\nhidden = 8\nlatent = 4\n"


@pytest.mark.parametrize(("said", "ease", "multvae"), [("[origin.trials_run]\nease = 2\n", 2, 0), ("", 3, 3)])
def test_trials_are_recorded_only_of_models_that_were_searched(tmp_path, said, ease, multvae):
    """Settings by hand beside those of a search: no trial was run for them. An older file names no model."""
    path = tmp_path / "s.toml"
    path.write_text(f"{ORIGIN}{said}{BY_HAND}", encoding="utf-8")
    preset = presets.load("default", path)
    assert (preset.trials("ease"), preset.trials("multvae")) == (ease, multvae)
    assert (preset.trials("recvae"), preset.trials("popularity")) == (0, None)
    mv.strong_split(mv.planted(n_users=200, n_items=40, n_events=3000), n_heldout=30).save(tmp_path / "d.safetensors")
    argv = ["study", "--data", str(tmp_path / "d.safetensors"), "--settings", str(path), "--models", "ease,multvae"]
    assert main([*argv, "--epochs", "1", "--device", "cpu", "--out", str(tmp_path / "out")]) == 0
    report = (tmp_path / "out/report.md").read_text(encoding="utf-8")
    assert ("trials run: ease 2, multvae 0, seed 0" in report) == bool(said)
    assert ("3 trials a model, seed 0" in report) == (not said)


class Half(mv.Baseline):
    """A model of one's own that is not finished."""

    def fit(self, train):
        return self


class Open(mv.MultVAE):
    """A model with an argument that has no value."""

    def __init__(self, n_items, width, **more):
        super().__init__(n_items, hidden=width, latent=4)


class Bare(mv.VAE):
    """A VAE of one's own without its parts."""

    def __init__(self, n_items: int):
        super().__init__()
        self.n_items = n_items


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Bare, "Bare cannot be trained yet: it lacks latent, encoder, decoder, posterior(x)"),
        (Half, "Half lacks score, set_state, sizes, state; help(minivae.Baseline) says what each is"),
        (Open, "model own has no value of 'width': write it in the settings, or a default"),
    ],
)
def test_an_own_class_that_cannot_be_made_is_refused_in_a_sentence(kind, said, tmp_path, monkeypatch, capsys):
    module = ModuleType("own_parts_of_a_test")
    setattr(module, kind.__name__, kind)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    path = tmp_path / "s.toml"
    path.write_text(f'[models.own]\nclass = "{module.__name__}:{kind.__name__}"\n', encoding="utf-8")
    mv.strong_split(mv.planted(n_users=100, n_items=40, n_events=1500), n_heldout=10).save(tmp_path / "d.safetensors")
    argv = ["study", "--data", str(tmp_path / "d.safetensors"), "--settings", str(path), "--models", "own"]
    assert main([*argv, "--epochs", "1", "--device", "cpu", "--out", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("error:") == 1
    assert not (tmp_path / "out/runs").exists()
