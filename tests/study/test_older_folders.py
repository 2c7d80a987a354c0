"""Folders from before a setting existed: they are continued if the run has the setting's default, and only then."""

import json
from collections.abc import Iterator
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minivae as mv
from minivae.cli.commands.notes import ExplainNote, LdsNote, TheoryNote
from minivae.cli.flags import Explain, Theory
from minivae.cli.main import main
from minivae.errors import InputError
from minivae.models.registry import MODELS
from minivae.runtime.checkpoint import KIND, NAME
from minivae.runtime.records import differing, flat, write_record
from minivae.runtime.storage import load_arrays, save_arrays
from minivae.study.run import folders
from minivae.study.run.notes import Note, defaults_of
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


def notes(kind: type[Note] = Note) -> Iterator[type[Note]]:
    for below in kind.__subclasses__():
        yield below
        yield from notes(below)


def all_defaults(kind: type[Note]) -> Note:
    """A note in which every setting with a default has it."""
    words = {"data": {"name": "d", "sha256": "s", "split": "x"}, "options": {}, "method": "grid", "seed": 0}
    words |= {"preset": "p", "model": "m", "class": "EASE", "studies": [], "trial": 0, "settings": {}}
    known = {f.name: f for f in msgspec.structs.fields(kind)}
    given = {f.encode_name: words[f.encode_name] for f in known.values() if f.required and f.encode_name in words}
    return kind.from_dict({"arguments": {}, "training": {}} | given)


@pytest.mark.parametrize("kind", sorted(set(notes()), key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__)
def test_every_folder_of_before_a_setting_is_one_with_its_default(kind, tmp_path):
    """One key after the other is missing: the default continues, another value does not."""
    note = all_defaults(kind)
    for key, default in note.defaults().items():
        if key in ("arguments", "training"):  # tables of settings: the tests above
            continue
        (folder := tmp_path / key).mkdir()
        older = {k: v for k, v in note.as_dict().items() if k != key}
        write_record(folder / kind.FILE, older)
        folders.claim(folder, note, resume=True)
        write_record(folder / kind.FILE, older)
        other = note.from_dict(note.as_dict() | {key: OTHER[type(default)]})
        with pytest.raises(InputError, match=f"holds another run \\({key}"):
            folders.claim(folder, other, resume=True)


OTHER = {str: "another", int: 17, dict: {"one": "more"}, tuple: ["another"]}


def test_the_notes_of_theory_and_explain_have_the_defaults_of_the_flags():
    assert LdsNote.of(Explain(what="lds")) == LdsNote(what="lds")
    assert {k: v for k, v in TheoryNote().as_dict().items() if k not in ("data", "model", "study")} == {
        k: getattr(Theory(), k) for k in ("users", "seed", "seeds")
    }


@pytest.mark.parametrize(
    ("command", "name", "key", "value", "said"),
    [
        (["theory", "--users", "60", "--epochs", "1"], "theory.json", "seed", 3, "seed 0, now 3"),
        (["explain", "transfer", "--epochs", "1"], "explain.json", "users", 60, "users '3000', now '60'"),
    ],
)
def test_a_card_and_transfer_of_before_a_flag_are_continued(split, tmp_path, capsys, command, name, key, value, said):
    split.save(tmp_path / "tiny.safetensors")
    out = tmp_path / "made"
    argv = [*command, "--data", str(tmp_path / "tiny.safetensors"), "--out", str(out)]
    assert main(argv) == 0
    forget(out / name, key)
    assert main([*argv, "--resume"]) == 0
    assert key in json.loads((out / name).read_text())
    forget(out / name, key)
    assert main([*argv, f"--{key}", str(value), "--resume"]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("content", [{"users": "many"}, {"seeds": None}, {"data": 5}])
def test_a_note_of_other_types_is_refused(tmp_path, content):
    (folder := tmp_path / "made").mkdir()
    write_record(folder / TheoryNote.FILE, content)
    with pytest.raises(InputError, match=r"theory\.json does not hold what minivae writes there"):
        folders.claim(folder, TheoryNote(), resume=True)


def test_a_folder_of_a_newer_version_is_another_run(tmp_path):
    """Its setting is not known here, so nothing says that the run had its default."""
    (folder := tmp_path / "made").mkdir()
    write_record(folder / ExplainNote.FILE, LdsNote(what="lds").as_dict() | {"a later setting": "1"})
    with pytest.raises(InputError, match="a later setting '1', now None"):
        folders.claim(folder, LdsNote(what="lds"), resume=True)
