"""A folder that was moved or given to others is continued: what its notes say of places is seen from the folder."""

import json
import shutil

import numpy as np
import pytest

import minivae as mv
from minivae.cli.commands.notes import AnchorsNote, TheoryNote, TransferNote
from minivae.cli.flags import Explain, Theory
from minivae.cli.main import main
from minivae.errors import InputError
from minivae.runtime.portable import place, same_place
from minivae.runtime.records import write_record
from minivae.study.run import folders
from minivae.study.run.notes import CombineNote

BASELINES = ["--models", "popularity,ease"]


@pytest.fixture
def table(tmp_path):
    """A table in a folder `there`, which the tests move."""
    rng = np.random.default_rng(0)
    rows = [f"{u},{i}" for u in range(120) for i in rng.choice(40, 10, replace=False)]
    (tmp_path / "there").mkdir()
    path = tmp_path / "there" / "table.csv"
    path.write_text("\n".join(["user,item", *rows]) + "\n", encoding="utf-8")
    return path


def older(path, change):
    """Write a note as it was when paths were kept as typed."""
    value = json.loads(path.read_text())
    del value["sha256"]
    write_record(path, value | change)


@pytest.mark.parametrize("design", [["--split-seeds", "1,2", "--heldout", "20"], ["--folds", "3"]], ids=lambda d: d[0])
def test_a_study_of_several_parts_is_continued_where_it_was_moved(table, tmp_path, design, capsys):
    out = table.parent / "all"
    argv = ["study", *BASELINES, *design]
    assert main([*argv, "--data", str(table), "--out", str(out)]) == 0
    assert str(tmp_path) not in (out / "combine.json").read_text()
    shutil.move(table.parent, tmp_path / "here")
    moved = [*argv, "--data", str(tmp_path / "here/table.csv"), "--out", str(tmp_path / "here/all"), "--resume"]
    assert main(moved) == 0, capsys.readouterr().err
    shutil.move(tmp_path / "here/all", tmp_path / "alone")  # without the table
    assert main([*moved[:-2], str(tmp_path / "alone"), "--resume"]) == 0, capsys.readouterr().err
    shutil.move(tmp_path / "here/table.csv", tmp_path / "table.csv")
    moved[moved.index("--data") + 1] = str(tmp_path / "table.csv")
    assert main([*moved[:-2], str(tmp_path / "alone"), "--resume"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("design", [["--split-seeds", "1,2", "--heldout", "20"], ["--folds", "3"]], ids=lambda d: d[0])
def test_a_moved_study_of_before_is_continued_and_other_data_are_refused(table, tmp_path, design, capsys):
    out = table.parent / "all"
    argv = ["study", *BASELINES, *design]
    assert main([*argv, "--data", str(table), "--out", str(out)]) == 0
    note = json.loads((out / "combine.json").read_text())
    typed = {"studies": [str(out / name) for name in note["studies"]]}
    if "data" in note:
        typed["data"] = note["data"] | {"data": str(table)}
    older(out / "combine.json", typed)
    shutil.move(table.parent, tmp_path / "here")
    moved = [*argv, "--data", str(tmp_path / "here/table.csv"), "--out", str(tmp_path / "here/all"), "--resume"]
    assert main(moved) == 0, capsys.readouterr().err
    assert str(tmp_path) not in (tmp_path / "here/all/combine.json").read_text()
    lines = (tmp_path / "here/table.csv").read_text().splitlines()
    (tmp_path / "here/table.csv").write_text("\n".join(lines[:-400]) + "\n")
    capsys.readouterr()
    assert main(moved) == 2
    assert "holds another run (made from other data" in capsys.readouterr().err


def test_combined_studies_may_move_with_the_report_and_other_studies_are_refused(tmp_path):
    for name in ("a", "b", "c", "elsewhere/a"):
        (tmp_path / "there" / name).mkdir(parents=True)
    root = tmp_path / "there"
    folders.claim(root / "both", CombineNote.of(root / "both", [root / "a", root / "b"]), resume=False)
    assert json.loads((root / "both/combine.json").read_text())["studies"] == ["../a", "../b"]
    root = root.rename(tmp_path / "here")
    folders.claim(root / "both", CombineNote.of(root / "both", [root / "a", root / "b"]), resume=True)
    for others in (["a", "c"], ["elsewhere/a", "b"], ["a"], ["b", "a"]):
        note = CombineNote.of(root / "both", [root / name for name in others])
        with pytest.raises(InputError, match="holds another run \\(studies"):
            folders.claim(root / "both", note, resume=True)


def test_a_path_that_was_typed_is_the_same_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/out").mkdir(parents=True)
    (tmp_path / "runs/model").mkdir()
    out = tmp_path / "runs/out"
    assert place("runs/model", out) == place(tmp_path / "runs/model", out) == "../model"
    assert place("planted", out) == "planted"
    assert place("", out) == ""
    assert place(".", out) == "../.."
    assert not same_place("", "../..", out)
    assert not same_place("../..", "", out)
    assert same_place("", "", out)
    for stated in ("runs/model", str(tmp_path / "runs/model"), "../model", "/gone/with/model"):
        assert same_place(stated, "../model", out)
    for stated in ("runs/out", "/gone/other", "planted", ""):
        assert not same_place(stated, "../model", out)


def test_a_name_that_is_here_is_not_that_of_another_folder(tmp_path, monkeypatch):
    """Typed in one folder, read in another: the old place is still there, so a name alike is not enough."""
    monkeypatch.chdir(tmp_path)
    for name in ("one/model", "two/model", "out"):
        (tmp_path / name).mkdir(parents=True)
    assert not same_place("one/model", "../two/model", tmp_path / "out")
    assert same_place("two/model", "../two/model", tmp_path / "out")


def test_cards_and_answers_keep_paths_as_seen_from_their_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("runs/model", "runs/s1", "runs/s2", "runs/out"):
        (tmp_path / name).mkdir(parents=True)
    out = tmp_path / "runs/out"
    model, studies = tmp_path / "runs/model", (tmp_path / "runs/s1", tmp_path / "runs/s2")
    card = TheoryNote.of(Theory(model=model, study=studies[0]), out, "planted")
    assert (card.data, card.model, card.study) == ("planted", "../model", "../s1")
    answer = TransferNote.of(Explain(model=model, out=out))
    assert (answer.data, answer.model, answer.groups) == ("None", "../model", "None")
    law = AnchorsNote.of(Explain(what="anchors", study=studies, out=out))
    assert law.study == ("../s1", "../s2")
    for note, before in (
        (card, {"model": str(model), "study": "runs/s1"}),
        (answer, {"model": "runs/model"}),
        (law, {"study": str(studies)}),
    ):
        write_record(out / note.FILE, note.as_dict() | before)
        folders.claim(out, note, resume=True)
        assert json.loads((out / note.FILE).read_text())["sha256"]
        assert str(tmp_path) not in (out / note.FILE).read_text()
        (out / note.FILE).unlink()
    write_record(out / law.FILE, law.as_dict() | {"study": str(studies[:1])})
    with pytest.raises(InputError, match="holds another run \\(study"):
        folders.claim(out, law, resume=True)


def test_no_record_of_any_command_names_the_place_where_it_was_made(table, tmp_path, monkeypatch):
    """Every file that commands leave, whatever it is for, from flags with absolute paths."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").write_text("[models.multvae]\nhidden = 8\nlatent = 4\n")
    out, data = table.parent, ["--data", str(table)]
    small = ["--models", "ease,multvae", "--epochs", "1", "--device", "cpu", "--settings", str(tmp_path / "small.toml")]
    assert main(["study", *data, *small, "--out", str(out / "study")]) == 0
    assert main(["tune", *data, *small, "--trials", "1", "--out", str(out / "tune")]) == 0
    split = str(out / "study/split.safetensors")
    model = str(out / "study/runs/multvae-seed0")
    assert main(["theory", "--model", model, "--users", "40", "--out", str(out / "card")]) == 0
    assert main(["explain", "--model", model, "--users", "40", "--out", str(out / "whom")]) == 0
    lds = ["--subsets", "3", "--again", "0", "--receivers", "5", "--epochs", "1", "--hidden", "8", "--latent", "4"]
    assert main(["explain", "lds", "--data", split, *lds, "--out", str(out / "lds")]) == 0
    assert main(["evaluate", "--model", model, "--json-file", str(out / "numbers.json")]) == 0
    assert main(["study", *data, *BASELINES, "--folds", "3", "--out", str(out / "folds")]) == 0
    named = [
        str(p.relative_to(out)) for p in out.rglob("*") if p.is_file() and str(tmp_path).encode() in p.read_bytes()
    ]
    assert named == []
    assert mv.StrongSplit.load(split).n_items == 40
