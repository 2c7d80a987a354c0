"""No flag is ignored in silence: one that a command would not read beside the others is refused, in one sentence."""

from dataclasses import fields

import pytest

import minivae as mv
from minivae.cli.commands.notes import QUESTIONS
from minivae.cli.flags import Explain
from minivae.cli.main import main

FAST = ["--epochs", "1", "--device", "cpu", "--precision", "fp32"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A split, a model of it, and the table that it was made from."""
    folder = tmp_path_factory.mktemp("made")
    data = mv.planted(n_users=300, n_items=120, n_events=6000)
    mv.strong_split(data, n_heldout=50).save(folder / "tiny.safetensors")
    rows = (f"u{u},{i},{u + i},Film {i}\n" for u, i in zip(data.user, data.item, strict=True))
    (folder / "tiny.csv").write_text("user,item,time,title\n" + "".join(rows), "utf-8")
    assert main(["train", "--data", str(folder / "tiny.safetensors"), *FAST, "--out", str(folder / "run")]) == 0
    return folder


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        ("evaluate --model {run} --data {table} --user user --item item --part validation", "--part"),
        ("evaluate --model {run} --data {table} --user user --item item --title title", "--title"),
        ("evaluate --model {run} --data {table} --user user --item item --time time", "--time"),
        ("theory --model {run} --data {table} --user user --item item --title-file {table}", "--title-file"),
        ("study --data {split} --models popularity,ease --seeds 3 --out {new}", "--seeds"),
        ("study --data {table} --user user --item item --models ease --seeds 3 --folds 3 --out {new}", "--seeds"),
        ("theory --model {run} --epochs 3", "--epochs"),
        ("theory --study {run} --seeds 2 --out {new}", "--seeds"),
        ("recommend --model {run} --items 1 --rank 2 -k 3", "--k"),
        ("explain --study {run} --out {new}", "--study"),
        ("explain --subsets 3 --out {new}", "--subsets"),
        ("explain --features {table} --out {new}", "--features"),
        ("explain --model {run} --epochs 3 --out {new}", "--epochs"),
        ("explain lds --model {run} --out {new}", "--model"),
        ("explain lds --users 20 --out {new}", "--users"),
        ("explain far --groups {table} --out {new}", "--groups"),
        ("explain far --receivers 20 --out {new}", "--receivers"),
        ("explain removal --seeds 2 --out {new}", "--seeds"),
        ("explain anchors --study {run} --data planted --out {new}", "--data"),
        ("explain anchors --study {run} --split-seed 3 --out {new}", "--split-seed"),
        ("data info {table} --time time", "--time"),
        ("data info {table} --test {table} --validation {table} --split-seed 3", "--split-seed"),
        ("train --data {split} --anchor-variant centroid --out {new}", "--anchor-variant"),
        ("train --data {split} --anchor-weights idf --out {new}", "--anchor-weights"),
        ("train --data {split} --anchor-steps 9 --out {new}", "--anchor-steps"),
        ("train --data {split} --anchor 1 --anchor-schedule geometric --out {new}", "--anchor-schedule"),
        ("train --data {split} --anchor 1 --anchor-temperature 2 --out {new}", "--anchor-temperature"),
        ("train --data {split} --model multvae-clean --keep-exponent 1 --out {new}", "--keep-exponent"),
        ("train --data {split} --model recvae --anneal-steps 9 --out {new}", "--anneal-steps"),
        ("train --data {split} --model multdae+anchor --beta 1 --out {new}", "--beta"),
        ("train --data {split} --model multdae --gamma 1 --out {new}", "--gamma"),
    ],
)
def test_a_flag_that_nothing_reads_is_refused(made, tmp_path, capsys, words, flag):
    """Each of these was once taken, and the result was that of the command without it."""
    new = tmp_path / "new"
    places = {"run": made / "run", "table": made / "tiny.csv", "split": made / "tiny.safetensors", "new": new}
    capsys.readouterr()
    assert main([word.format(**places) for word in words.split()]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: ")
    assert flag in said
    assert "leave" in said
    assert not list(new.glob("*"))


@pytest.mark.parametrize(
    "words",
    [
        "evaluate --model {run} --data {table} --user user --item item --part test --device cpu",
        "explain lds --users 3000 --data missing",
        "train --data {split} --anchor 0 --anchor-variant softmin --anchor-temperature 2 {fast} --out {new}",
        "data info {table} --time time --split last",
        "study --data {split} --models ease --seeds 1 {fast} --out {new}",
    ],
)
def test_a_flag_with_its_default_or_beside_what_it_shapes_is_taken(made, tmp_path, capsys, words):
    """A sweep over --anchor begins at 0; a default says what holds anyway; a study may get a trained model later."""
    places = {"run": made / "run", "table": made / "tiny.csv", "split": made / "tiny.safetensors"}
    places |= {"new": tmp_path / "new", "fast": " ".join(FAST)}
    status = main(words.format(**places).split())
    assert (status, "missing" in capsys.readouterr().err) in ((0, False), (2, True))


def test_every_flag_of_explain_belongs_to_a_question():
    assert set.union(*(kind.flags() for kind in QUESTIONS.values())) == {f.name for f in fields(Explain)}
