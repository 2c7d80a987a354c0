"""Folders from before a setting existed: they are continued if the run has the setting's default, and only then."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import minivae as mv
from minivae.cli.main import main
from minivae.errors import InputError
from minivae.models.registry import MODELS
from minivae.runtime.checkpoint import KIND, NAME
from minivae.runtime.records import differing, flat, write_record
from minivae.runtime.storage import load_arrays, save_arrays
from minivae.study.run.runs import defaults_of
from minivae.training import TrainConfig, fit

FAST = ["--models", "ease,multvae", "--epochs", "1", "--device", "cpu", "--precision", "fp32"]
SMALL = "[models.multvae]\nhidden = 16\nlatent = 4\n"
RUN = "runs/multvae-seed0/config.json"


@pytest.fixture(scope="module")
def split():
    return mv.strong_split(mv.planted(n_users=300, n_items=120, n_events=6000), n_heldout=50)


@pytest.fixture
def study(split, tmp_path):
    """The folder of a study, and the command that continues it."""
    split.save(tmp_path / "tiny.safetensors")
    (tmp_path / "small.toml").write_text(SMALL)
    argv = ["study", "--data", str(tmp_path / "tiny.safetensors"), *FAST, "--settings", str(tmp_path / "small.toml")]
    argv += ["--out", str(tmp_path / "study")]
    assert main(argv) == 0
    return tmp_path / "study", [*argv, "--resume"]


def forget(path, *keys):
    """Write a record as a version that did not know one of its settings."""
    value = {k: v for k, v in json.loads(path.read_text()).items() if k != "sha256"}
    table = value
    for key in keys[:-1]:
        table = table[key]
    del table[keys[-1]]
    write_record(path, value)


def test_a_run_with_the_default_of_a_later_setting_is_continued(study):
    folder, argv = study
    kept = (folder / RUN).with_name("metrics.json").stat().st_mtime_ns
    for setting in ("label_smoothing", "keep_exponent", "lr"):  # the preset's lr is the default
        forget(folder / RUN, "training", setting)
    assert main(argv) == 0
    assert (folder / RUN).with_name("metrics.json").stat().st_mtime_ns == kept


@pytest.mark.parametrize(
    ("table", "setting", "said"),
    [
        ("training", "batch_size", "training.batch_size 500, now 100"),
        ("arguments", "hidden", "arguments.hidden 600, now 16"),
    ],
)
def test_a_run_with_another_value_than_the_default_is_another_run(study, capsys, table, setting, said):
    folder, argv = study
    forget(folder / RUN, table, setting)
    assert main(argv) == 2
    assert said in capsys.readouterr().err


def test_older_and_newer_studies_are_combined(study, tmp_path, capsys):
    folder, argv = study
    mv.strong_split(mv.planted(n_users=300, n_items=120, n_events=6000), n_heldout=50, seed=1).save(
        tmp_path / "b.safetensors"
    )
    second = [a.replace("tiny", "b").replace(str(folder), str(tmp_path / "second")) for a in argv if a != "--resume"]
    assert main(second) == 0
    both = ["combine", str(folder), str(tmp_path / "second"), "--out", str(tmp_path / "both")]
    forget(folder / "results.json", "preset", "models", "multvae", "training", "label_smoothing")
    assert main(both) == 0
    forget(folder / "results.json", "preset", "models", "multvae", "training", "batch_size")
    assert main(both) == 2
    assert "training.batch_size 500 in draw" in capsys.readouterr().err


@pytest.mark.parametrize(("smoothing", "continued"), [(0.0, True), (0.05, False)])
def test_a_checkpoint_from_before_a_setting_is_continued(split, tmp_path, smoothing, continued):
    config = TrainConfig(epochs=1, batch_size=100, label_smoothing=smoothing)

    def model():
        return mv.MultVAE(split.n_items, hidden=8, latent=4)

    fit(model(), split, config, folder=tmp_path)
    arrays, meta = load_arrays(tmp_path / NAME, KIND)
    identity = json.loads(meta["identity"])
    del identity["config"]["label_smoothing"]
    meta = {k: v for k, v in meta.items() if k not in ("kind", "sha256")} | {"identity": json.dumps(identity)}
    save_arrays(tmp_path / NAME, KIND, arrays, meta)
    longer = replace(config, epochs=2)
    if continued:
        run = fit(model(), split, longer, folder=tmp_path, resume=True)
        whole = fit(model(), split, longer)
        assert [line["validation"] for line in run.log] == [line["validation"] for line in whole.log]
    else:
        with pytest.raises(InputError, match=r"label_smoothing=0.0 \(now 0.05\)"):
            fit(model(), split, longer, folder=tmp_path, resume=True)


settings = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 2), max_size=4)


@given(theirs=settings, ours=settings, defaults=settings)
def test_only_what_is_said_or_its_default_counts(theirs, ours, defaults):
    """Key by key: what is not said is the default, what is neither is None; which side says less does not matter."""
    found = differing({"t": theirs}, {"t": ours}, {"t": defaults})
    value = {k: tuple(side.get(k, defaults.get(k)) for side in (theirs, ours)) for k in "abcd"}
    assert found == {f"t.{k}": (a, b) for k, (a, b) in value.items() if a != b}
    turned = differing({"t": ours}, {"t": theirs}, {"t": defaults})
    assert turned == {k: (b, a) for k, (a, b) in found.items()}
    assert differing({"t": theirs}, {"t": defaults | theirs}, {"t": defaults}) == {}


@pytest.mark.parametrize("kind", list(MODELS))
def test_every_default_of_a_model_is_a_plain_value(kind):
    known = flat(defaults_of(kind))
    assert {k: v for k, v in known.items() if not isinstance(v, str | int | float | bool | None)} == {}
    assert known["training.label_smoothing"] == 0.0


def test_a_class_that_is_not_here_has_the_defaults_of_training_alone():
    """Its name may stand in a file of others, and no file decides what is imported."""
    assert defaults_of("antigravity:Model")["arguments"] == {}
