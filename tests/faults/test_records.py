"""Run folders of strangers: JSON that was changed, and JSON whose checksum is right but whose content is odd."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minivae as mv
from minivae.cli.main import main
from minivae.errors import InputError
from minivae.runtime.records import checksum, parse_json, read_record, write_record
from minivae.runtime.storage import file_digest, load_arrays, save_arrays

FAST = ["--epochs", "1", "--device", "cpu", "--precision", "fp32"]
RUN = "runs/multvae-seed0/"
DEEP = '{"a":' + "[" * 100_000 + "]" * 100_000 + "}"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A split, a study of it and a search on it."""
    root = tmp_path_factory.mktemp("records")
    split = mv.strong_split(mv.planted(n_users=300, n_items=120, n_events=6000), n_heldout=50)
    split.save(root / "tiny.safetensors")
    (root / "small.toml").write_text("[models.multvae]\nhidden = 16\nlatent = 4\n")
    data = ["--data", str(root / "tiny.safetensors")]
    models = ["--models", "ease,multvae", "--settings", str(root / "small.toml")]
    assert main(["study", *data, *models, *FAST, "--out", str(root / "study")]) == 0
    assert main(["tune", *data, "--models", "ease", "--trials", "3", *FAST, "--out", str(root / "tuned")]) == 0
    return root


@pytest.fixture
def copied(made, tmp_path):
    for name in ("study", "tuned", "tiny.safetensors", "small.toml"):
        (shutil.copytree if (made / name).is_dir() else shutil.copy)(made / name, tmp_path / name)
    return tmp_path


def command(name, made, copied):
    """The arguments that read the copied folder."""
    data = ["--data", str(made / "tiny.safetensors")]
    study, models = str(copied / "study"), ["--models", "ease,multvae", "--settings", str(made / "small.toml")]
    return {
        "study": ["study", *data, *models, *FAST, "--out", study, "--resume"],
        "evaluate": ["evaluate", "--model", f"{study}/{RUN}", "--device", "cpu"],
        "theory": ["theory", "--model", f"{study}/{RUN}", "--users", "50"],
        "combine": ["combine", study, str(made / "study"), "--out", str(copied / "both")],
        "tune": ["tune", *data, "--models", "ease", "--trials", "3", *FAST, "--out", str(copied / "tuned"), "--resume"],
    }[name]


def assert_refused(argv, capsys, name):
    capsys.readouterr()
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert name in said
    return said


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        (f"study/{RUN}metrics.json", "study"),
        (f"study/{RUN}config.json", "study"),
        (f"study/{RUN}config.json", "evaluate"),
        ("study/study.json", "study"),
        ("study/results.json", "combine"),
        ("tuned/search.json", "tune"),
        ("tuned/trials/ease/001/metrics.json", "tune"),
        ("tuned/trials/ease/001/config.json", "tune"),
    ],
)
def test_one_changed_digit_is_noticed(made, copied, capsys, name, reader):
    text = (copied / name).read_text()
    at = next(k for k, c in enumerate(text) if c.isdigit())
    (copied / name).write_text(text[:at] + str((int(text[at]) + 1) % 10) + text[at + 1 :])
    assert "does not match the checksum" in assert_refused(command(reader, made, copied), capsys, name)


@pytest.mark.parametrize("name", ["log.jsonl", "users.safetensors"])
def test_a_file_of_another_run_is_noticed(made, copied, capsys, name):
    """Each is sound in itself, but metrics.json was not written with it."""
    path = copied / "study" / RUN / name
    if name == "log.jsonl":
        path.write_text(path.read_text().replace('"updates": ', '"updates": 1'))
    else:
        arrays, meta = load_arrays(path, "per-user metrics")
        arrays = {k: v[::-1] for k, v in arrays.items()}
        save_arrays(path, "per-user metrics", arrays, {k: v for k, v in meta.items() if k != "kind"})
    assert_refused(command("study", made, copied), capsys, name)


def record(path):
    return {k: v for k, v in json.loads(path.read_text()).items() if k != "sha256"}


def odd(*path, to):
    """A change of the value at that path."""

    def change(value):
        at = value
        for step in path[:-1]:
            at = at[step]
        assert path[-1] in at
        at[path[-1]] = to
        return value

    return change


METRICS = f"study/{RUN}metrics.json"
ODD = {
    "an empty note": (f"study/{RUN}config.json", lambda v: {}, "evaluate"),
    "data that is a word": (f"study/{RUN}config.json", lambda v: v | {"data": "x"}, "evaluate"),
    "a split that is a number": (
        f"study/{RUN}config.json",
        lambda v: v | {"data": v["data"] | {"split": 5}},
        "evaluate",
    ),
    "settings that are a list": (f"study/{RUN}config.json", lambda v: v | {"training": []}, "theory"),
    "a setting that is none": (f"study/{RUN}config.json", lambda v: v | {"training": {"x": 1}}, "theory"),
    "a keep of 5": (f"study/{RUN}config.json", lambda v: v | {"training": {"keep": 5.0}}, "theory"),
    "no recommendations": (f"study/{RUN}metrics.json", lambda v: v | {"recommended": {}}, "study"),
    "no metrics": (f"study/{RUN}metrics.json", lambda v: v | {"test": {}}, "study"),
    "a mean in words": (f"study/{RUN}metrics.json", lambda v: v | {"test": dict.fromkeys(v["test"], "x")}, "study"),
    "a model that is a path": (f"study/{RUN}metrics.json", lambda v: v | {"model": "../x"}, "study"),
    "a model of another name": (METRICS, odd("model", to="x"), "study"),
    "the name of another model": (METRICS, odd("model", to="popularity"), "study"),
    "another seed": (METRICS, odd("seed", to=7), "study"),
    "an nDCG of 7": (METRICS, odd("test", "ndcg@100", "mean", to=7.0), "study"),
    "a negative recall": (METRICS, odd("validation", "recall@20", "mean", to=-0.1), "study"),
    "a negative error": (METRICS, odd("test", "recall@50", "se", to=-0.1), "study"),
    "an nDCG of 7 of a group": (METRICS, odd("groups", "5–10", "metrics", "ndcg@100", "mean", to=7.0), "study"),
    "a coverage of 2": (METRICS, odd("recommended", "test", "coverage", to=2.0), "study"),
    "another nDCG than that of the users": (METRICS, odd("test", "ndcg@100", "mean", to=0.5), "study"),
    "another error than that of the users": (METRICS, odd("test", "ndcg@100", "se", to=0.5), "study"),
    "an nDCG of 7 of a trial": (
        "tuned/trials/ease/001/metrics.json",
        odd("validation", "ndcg@100", "mean", to=7.0),
        "tune",
    ),
    "a trial of another model": ("tuned/trials/ease/001/metrics.json", odd("model", to="multvae"), "tune"),
    "a trial of another seed": ("tuned/trials/ease/001/metrics.json", odd("seed", to=3), "tune"),
    "negative seconds": (f"study/{RUN}metrics.json", lambda v: v | {"seconds": -1}, "study"),
    "a trial without metrics": ("tuned/trials/ease/001/metrics.json", lambda v: v | {"validation": None}, "tune"),
    "a trial that diverged by 5": ("tuned/trials/ease/001/metrics.json", lambda v: {"diverged": 5}, "tune"),
    "runs that are a number": ("study/results.json", lambda v: v | {"runs": 5}, "combine"),
    "runs without names": ("study/results.json", lambda v: v | {"runs": [{}]}, "combine"),
    "runs elsewhere": ("study/results.json", lambda v: v | {"runs": [{"model": "../../x", "seed": 0}]}, "combine"),
    "no data": ("study/results.json", lambda v: v | {"data": None}, "combine"),
    "no preset": ("study/results.json", lambda v: v | {"preset": None}, "combine"),
    "no settings": ("study/results.json", lambda v: v | {"preset": v["preset"] | {"models": {}}}, "combine"),
    "differences that are a number": ("study/results.json", lambda v: v | {"differences": 5}, "combine"),
}


@pytest.mark.parametrize("case", ODD)
def test_a_right_checksum_of_wrong_content_does_not_help(made, copied, capsys, case):
    name, change, reader = ODD[case]
    write_record(copied / name, change(record(copied / name)))
    assert_refused(command(reader, made, copied), capsys, "multvae-seed0" if name == METRICS else Path(name).name)


@pytest.mark.parametrize(
    ("name", "reader"),
    [(f"study/{RUN}config.json", "evaluate"), ("study/study.json", "study"), ("study/results.json", "combine")],
)
def test_json_that_is_none_is_refused(made, copied, capsys, name, reader):
    for text in [DEEP, "{", "[]", "5", '{"a": NaN}', '{"a": 1e999}', '{"a": ' + "9" * 5000 + "}", "\xff"]:
        (copied / name).write_bytes(text.encode("latin-1"))
        assert_refused(command(reader, made, copied), capsys, Path(name).name)


GREAT = '{"epoch": 1, "updates": 1, "validation": 7.0, "seconds": 1.0}\n'


@pytest.mark.parametrize("text", [GREAT, "5\n", "{}\n", "[" * 100_000, '{"epoch": "x"}\n', "\xff\n"])
def test_an_odd_log_is_refused(made, copied, capsys, text):
    """With the checksum that a forger would put into metrics.json."""
    log, metrics = (copied / "study" / RUN / name for name in ("log.jsonl", "metrics.json"))
    log.write_bytes(text.encode("latin-1"))
    value = record(metrics)
    value["files"]["log.jsonl"] = file_digest(log)
    write_record(metrics, value)
    assert_refused(command("study", made, copied), capsys, "multvae-seed0")


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a[:3],
        lambda a: np.append(a, a[:1]),
        lambda a: a.astype(np.float32),
        lambda a: a.reshape(-1, 1),
        lambda a: a + np.array(7, a.dtype),
        lambda a: -a - np.array(1, a.dtype),
        lambda a: np.where(np.arange(len(a)) == 0, np.array(np.nan), a),
        lambda a: a[::-1] * 0.5,
    ],
)
@pytest.mark.parametrize("names", [["test/ndcg@100"], ["test/n_heldout"], None])
def test_other_users_and_impossible_metrics_are_refused(made, copied, capsys, change, names):
    users, metrics = (copied / "study" / RUN / name for name in ("users.safetensors", "metrics.json"))
    arrays, meta = load_arrays(users, "per-user metrics")
    arrays = {k: change(v) if names is None or k in names else v for k, v in arrays.items()}
    save_arrays(users, "per-user metrics", arrays, {k: v for k, v in meta.items() if k != "kind"})
    value = record(metrics)
    value["files"]["users.safetensors"] = file_digest(users)
    write_record(metrics, value)
    assert_refused(command("study", made, copied), capsys, "multvae-seed0")


def test_a_moved_folder_is_evaluated_with_the_split_in_it(tmp_path, capsys):
    table = tmp_path / "t.csv"
    table.write_text("user,item\n" + "".join(f"u{u},{i}\n" for u in range(60) for i in range(u % 7, 14)))
    small = ["--data", str(table), "--models", "multvae", *FAST]
    assert main(["study", *small, "--out", str(tmp_path / "made")]) == 0
    (tmp_path / "made").rename(tmp_path / "moved")
    assert main(["evaluate", "--model", str(tmp_path / "moved" / RUN), "--device", "cpu"]) == 0
    (tmp_path / "moved/split.safetensors").unlink()
    assert_refused(
        ["evaluate", "--model", str(tmp_path / "moved" / RUN), "--device", "cpu"], capsys, "split.safetensors"
    )


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("kind", ["fifo", "/dev/zero"])
def test_a_note_that_has_no_end_is_refused(tmp_path, kind):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "config.json").symlink_to(kind)
    with pytest.raises(InputError, match=r"config\.json cannot be read \(it is not a file\)"):
        read_record(tmp_path / "config.json")


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(value=st.dictionaries(st.text().filter(lambda k: k != "sha256"), json_values, max_size=4))
def test_a_record_comes_back_as_it_was_written(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "record.json"
    write_record(path, value)
    assert read_record(path) == json.loads(json.dumps(value))
    other = value | {"one more": 1} if "one more" not in value else {}
    assert checksum(other) != checksum(value)


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a": -Infinity}', "[" * 100_000])
def test_what_no_json_is_has_one_kind_of_error(text):
    with pytest.raises(ValueError, match=r"no number of JSON|too deeply"):
        parse_json(text)


def test_a_record_without_checksum_says_so(tmp_path):
    (tmp_path / "a.json").write_text('{"a": 1}')
    with pytest.raises(InputError, match="has no checksum"):
        read_record(tmp_path / "a.json")
