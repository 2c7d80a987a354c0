"""The command line as a person meets it: what it writes, what it says, how it refuses."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest
import scipy.sparse as sp

import minivae as mv
from minivae.cli import command_lines, flags
from minivae.cli.main import EXAMPLES, LESS_MEMORY, LIST_FLAGS, main
from minivae.data import lookup
from minivae.data.interactions import Interactions
from minivae.runtime.records import write_record
from minivae.runtime.storage import load_arrays
from minivae.study.run.runs import read_note

ROOT = Path(__file__).parents[2]
TINY = ["--epochs", "2", "--device", "cpu", "--precision", "fp32"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A tiny split with titles, as a file."""
    path = tmp_path_factory.mktemp("data") / "tiny.safetensors"
    mv.strong_split(mv.planted(n_users=300, n_items=120, n_events=6000), n_heldout=50).save(path)
    return path


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A run folder of `minivae train`."""
    out = tmp_path_factory.mktemp("trained") / "run"
    assert main(["train", "--data", str(data), *TINY, "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A CSV of ratings: 60 users, 30 items, some rows twice."""
    rng = np.random.default_rng(0)
    rows = [(u, i, rng.integers(1, 6)) for u in range(60) for i in rng.choice(30, 12, replace=False)]
    path = tmp_path_factory.mktemp("table") / "ratings.csv"
    lines = ["userId,movieId,rating", *(f"{u},m{i},{r}" for u, i, r in rows + rows[:40])]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def files(folder):
    return {p: p.stat().st_mtime_ns for p in Path(folder).rglob("*") if p.is_file()}


def assert_every_flag_is_explained(words, command):
    for field in fields(command):
        flag = f" --{field.name.replace('_', '-')} "
        assert flag in words
        explanation = re.split(r"\((?:default: |required\))", words.partition(flag)[2])[0]
        assert len(explanation.split()) >= 3, flag


@pytest.mark.parametrize(
    "command", [flags.Study, flags.Tune, flags.Train, flags.Evaluate, flags.Recommend, flags.Theory]
)
def test_help_explains_every_flag_and_ends_with_examples(command, capsys):
    name = command.__name__.lower()
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0
    examples = text[text.index("examples:") :].splitlines()[1:]
    assert examples
    assert all(line.split()[:2] == ["minivae", name] for line in examples)
    words = " ".join(re.sub(r"[│|╭╰╮╯─+]", " ", text[: text.index("examples:")]).split())
    assert_every_flag_is_explained(words, command)
    with pytest.raises(AssertionError):
        assert_every_flag_is_explained(re.sub(r"(--data \w+) [^()]*.*?\(default", r"\1 (default", words), command)


@pytest.mark.parametrize("argv", [["study", "--help"], ["data", "list"], ["course", "--help"]])
def test_what_needs_no_model_does_not_wait_for_torch(argv):
    code = f"import sys, minivae.cli\ntry: minivae.cli.main({argv})\nfinally: print('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    shown = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert shown.stdout.splitlines()[-1] == "False"


def test_the_program_shows_its_commands_and_its_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    shown = capsys.readouterr().out
    assert stop.value.code == 0
    assert all(f"minivae {name}" in shown for name in EXAMPLES)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == mv.__version__


@pytest.mark.parametrize("command", LESS_MEMORY)
def test_what_takes_less_memory_names_flags_of_the_command(command):
    kind = {"study": flags.Study, "tune": flags.Tune, "train": flags.Train}
    kind |= {"theory": flags.Theory, "explain": flags.Explain}
    known = {f"--{f.name.replace('_', '-')}" for f in fields(kind[command])}
    named = set(re.findall(r"--[a-z-]+", LESS_MEMORY[command]))
    assert named
    assert named <= known


def test_examples_name_flags_that_exist():
    for name, text in EXAMPLES.items():
        for line in text.strip().splitlines():
            words = shlex.split(line)
            command = {
                "study": flags.Study,
                "combine": flags.Combine,
                "per-user": flags.PerUser,
                "tune": flags.Tune,
                "train": flags.Train,
                "evaluate": flags.Evaluate,
                "recommend": flags.Recommend,
                "theory": flags.Theory,
                "explain": flags.Explain,
                "course": flags.Course,
                "data list": flags.List,
                "data info": flags.Info,
                "data prepare": flags.Prepare,
            }
            known = {
                f"--{f.name.replace('_', '-')}"
                for f in fields(command[name if name in command else f"{name} {words[2]}"])
            }
            assert {w for w in words if w.startswith("--")} <= known


def test_train_writes_a_model_its_metrics_its_log_and_its_settings(data, trained):
    metrics = json.loads((trained / "metrics.json").read_text())
    split = mv.StrongSplit.load(data)
    again = mv.evaluate(mv.load_model(trained), split.test)
    for metric in ("recall@20", "recall@50", "ndcg@100"):
        mean, se = again[metric]
        assert metrics["test"][metric] == pytest.approx({"mean": mean, "se": se}, rel=1e-9)
    log = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in log] == [1, 2]
    assert metrics["validation"]["ndcg@100"]["mean"] == pytest.approx(max(line["validation"] for line in log), rel=1e-9)
    config = json.loads((trained / "config.json").read_text())
    assert config["training"]["epochs"] == 2
    stated = Path(config["data"]["split"])
    assert not stated.is_absolute()
    assert (trained / stated).resolve() == data.resolve()


def test_flags_change_the_settings_of_the_preset(data, tmp_path):
    flags = ["--keep", "0.8", "--beta", "0.1", "--anchor", "2", "--batch-size", "40", "--seed", "3"]
    assert main(["train", "--data", str(data), *TINY, *flags, "--out", str(tmp_path / "run")]) == 0
    training = json.loads((tmp_path / "run/config.json").read_text())["training"]
    wanted = {"keep": 0.8, "beta": 0.1, "anchor": 2.0, "batch_size": 40, "seed": 3, "anneal_steps": 1500}
    assert {k: training[k] for k in wanted} == wanted
    assert mv.load_model(tmp_path / "run").anchors is not None


def test_a_run_resumed_for_longer_equals_the_long_run(data, trained, tmp_path):
    start = ["train", "--data", str(data), "--device", "cpu", "--precision", "fp32", "--out", str(tmp_path / "run")]
    assert main([*start, "--epochs", "1"]) == 0
    assert main([*start, "--epochs", "2", "--resume"]) == 0
    long, resumed = (load_arrays(p / "model.safetensors", "model")[0] for p in (trained, tmp_path / "run"))
    for name in long:
        np.testing.assert_array_equal(long[name], resumed[name])


def test_evaluate_repeats_the_metrics_and_finds_the_data_itself(trained, tmp_path, capsys):
    assert main(["evaluate", "--model", str(trained), "--device", "cpu", "--json-file", str(tmp_path / "n.json")]) == 0
    numbers = json.loads((tmp_path / "n.json").read_text())
    stored = json.loads((trained / "metrics.json").read_text())
    assert numbers["metrics"] == stored["test"]
    assert numbers["groups"] == stored["groups"]
    assert "nDCG@100" in capsys.readouterr().out


def test_recommend_shows_new_titles_to_a_known_user(data, trained, capsys):
    split = mv.StrongSplit.load(data)
    label = str(split.test.user_labels[0])
    assert main(["recommend", "--model", str(trained), "--user", label, "-k", "5"]) == 0
    shown = capsys.readouterr().out
    known = set(lookup.names(split)[(split.test.history + split.test.heldout)[0].indices])
    listed = [t for t in lookup.names(split) if any(line.split("   ")[-2:-1] == [t] for line in shown.splitlines())]
    rows = [line for line in shown.splitlines() if line.strip()[:1].isdigit()]
    assert len(rows) == 5
    assert not known & set(listed)


def test_recommend_for_named_items_is_the_ranking_of_a_new_user(data, trained, capsys):
    split = mv.StrongSplit.load(data)
    titles = lookup.names(split)[[3, 8]].tolist()
    assert main(["recommend", "--model", str(trained), "--items", titles[0].upper(), titles[1], "-k", "4"]) == 0
    rows = [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip()[:1].isdigit()]
    x = np.zeros((1, split.n_items), np.float32)
    x[0, [3, 8]] = 1
    scores = mv.load_model(trained).score(x)[0].numpy()
    scores[[3, 8]] = -np.inf
    wanted = lookup.names(split)[np.argsort(-scores)[:4]]
    assert all(title in row for title, row in zip(wanted, rows, strict=True))


def test_theory_shows_and_writes_the_card_of_a_trained_model(trained, tmp_path, capsys):
    assert main(["theory", "--model", str(trained), "--users", "40", "--out", str(tmp_path / "card")]) == 0
    shown = capsys.readouterr().out
    card = json.loads((tmp_path / "card/card.json").read_text(encoding="utf-8"))
    text = (tmp_path / "card/card.md").read_text(encoding="utf-8")
    assert card["events"] == read_note(trained).data.sha256
    statements = {c["statement"] for c in card["checks"]}
    assert {
        "Theorem 2.3",
        "Lemma 2.4",
        "Theorem 2.5",
        "Theorem 2.6",
        "Proposition 3.1",
        "Proposition 3.2",
    } <= statements
    assert all(s in text and set(s.split()) <= set(shown.split()) for s in statements)  # a narrow column has two lines
    assert {c["verdict"] for c in card["checks"]} <= {"exact", "bound holds", "measured"}
    assert "multvae" in card["model"]
    figures = list((tmp_path / "card").glob("*.png"))
    assert len(figures) == len(statements)
    assert all(f.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" for f in figures)


def test_theory_with_companions_says_whether_local_models_fit(trained, tmp_path, capsys):
    assert main(["theory", "--model", str(trained), "--users", "40", "--companions", "--out", str(tmp_path / "c")]) == 0
    claims = {c["claim"] for c in json.loads((tmp_path / "c/card.json").read_text(encoding="utf-8"))["checks"]}
    assert {"the same along training", "water-filling from β = 0.04 to 0.2"} <= claims
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "model.safetensors").write_bytes((trained / "model.safetensors").read_bytes())
    data = json.loads((trained / "config.json").read_text(encoding="utf-8"))["data"]["split"]
    command = ["theory", "--model", str(bare / "model.safetensors"), "--data", str(trained / data), "--companions"]
    capsys.readouterr()
    assert main(command) == 2
    assert "says how the model was trained; leave --companions out" in capsys.readouterr().err


def test_a_note_chooses_no_code_for_companions(trained, tmp_path, capsys):
    """A class named in config.json is made only if its module is loaded: a file must not choose what code runs."""
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    note = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    del note["sha256"]
    assert "this" not in sys.modules
    write_record(copy / "config.json", note | {"class": "this:s"})
    data = str(trained / note["data"]["split"])
    for command in (["explain", "--out", str(tmp_path / "whom")], ["theory", "--companions"]):
        assert main([command[0], "--model", str(copy), "--data", data, *command[1:]]) == 2
        assert "a file must not choose what code runs" in capsys.readouterr().err
    assert "this" not in sys.modules


def test_a_table_is_split_and_the_split_kept(table, tmp_path, capsys):
    columns = ["--user", "userId", "--item", "1", "--rating", "rating", "--min-rating", "2", "--heldout", "10"]
    out = tmp_path / "run"
    assert main(["train", "--data", str(table), *columns, *TINY, "--out", str(out)]) == 0
    kept = mv.StrongSplit.load(out / "split.safetensors")
    direct = mv.read_interactions(table, "userId", "movieId", "rating", min_rating=2)
    assert (kept.train != mv.strong_split(direct, n_heldout=10).train).nnz == 0
    assert main(["recommend", "--model", str(out), "--items", "m3", "-k", "2"]) == 0


def test_repeated_rows_count_once(table, tmp_path):
    once = tmp_path / "once.csv"
    lines = table.read_text().splitlines()
    once.write_text("\n".join(lines[:-40]) + "\n")
    a, b = (mv.read_interactions(p, "userId", "movieId") for p in (table, once))
    assert isinstance(a, Interactions)
    assert (a.matrix != b.matrix).nnz == 0


def test_facts_of_a_table_are_those_of_its_split(table, tmp_path, capsys):
    columns = ["--user", "userId", "--item", "movieId", "--heldout", "12"]
    assert main(["data", "info", str(table), *columns]) == 0
    said = capsys.readouterr()
    assert "read " in said.err
    split = mv.strong_split(mv.read_interactions(table, "userId", "movieId"), n_heldout=12)
    split.save(tmp_path / "split.safetensors")
    assert main(["data", "info", str(tmp_path / "split.safetensors")]) == 0
    again = capsys.readouterr()
    assert said.out == again.out
    assert f" {split.train.nnz:,} " in said.out


def test_prepared_data_is_found_by_name(data, tmp_path, monkeypatch, capsys):
    (tmp_path / "ml-1m.safetensors").write_bytes(data.read_bytes())
    monkeypatch.setenv("MINIVAE_DATA", str(tmp_path))
    assert main(["data", "info", "ml-1m"]) == 0
    assert f" {mv.StrongSplit.load(data).train.nnz:,} " in capsys.readouterr().out
    assert main(["data", "list"]) == 0
    assert str(tmp_path) in capsys.readouterr().out.replace("\n", "")


BAD = {
    "missing file": (["train", "--data", "{tmp}/none.csv"], "none.csv"),
    "no split": (["train", "--data", "{tmp}/noise.safetensors"], "noise.safetensors"),
    "truncated split": (["study", "--data", "{tmp}/cut.safetensors"], "cut.safetensors"),
    "a model as split": (["study", "--data", "{run}/model.safetensors"], "a model"),
    "a folder as data": (["study", "--data", "{tmp}"], "folder"),
    "an empty name as data": (["study", "--data", ""], "folder"),
    "not prepared": (["study", "--data", "ml-20m"], "data_scripts/movielens.py ml-20m"),
    "not prepared, by preset": (["study", "--preset", "msd"], "data_scripts/msd.py"),
    "wrong column": (["study", "--data", "{table}", "--user", "usr", "--item", "movieId"], "usr"),
    "words as ratings": (
        ["train", "--data", "{tmp}/words.csv", "--rating", "rating", "--min-rating", "3"],
        "rating",
    ),
    "NaN": (
        ["train", "--data", "{tmp}/nan.csv", "--rating", "rating", "--min-rating", "3"],
        "rating",
    ),
    "nothing left": (
        ["train", "--data", "{table}", "--user", "0", "--item", "1", "--rating", "2", "--min-rating", "9"],
        "at least 9",
    ),
    "too few users": (
        ["study", "--data", "{table}", "--user", "userId", "--item", "movieId", "--heldout", "40"],
        "40",
    ),
    "columns of a matrix": (["train", "--data", "{tmp}/matrix.npz", "--user", "u"], "a matrix has no columns"),
    "columns of a split": (["train", "--data", "{data}", "--rating", "x"], "--rating"),
    "draw of a split": (["train", "--data", "{data}", "--split-seed", "1"], "--split-seed"),
    "unknown model": (["train", "--data", "{data}", "--model", "multvea"], "did you mean multvae"),
    "no VAE": (["train", "--data", "{data}", "--model", "ease"], "minivae study --models ease"),
    "unknown models": (["study", "--data", "{data}", "--models", "ease,gpt"], "gpt"),
    "no models": (["study", "--data", "{data}", "--models", ","], "no model"),
    "unknown preset": (["study", "--data", "{data}", "--preset", "x"], "preset 'x'"),
    "no settings there": (["study", "--data", "{data}", "--settings", "{tmp}/no.toml"], "no.toml cannot be read"),
    "settings in no TOML": (["study", "--data", "{data}", "--settings", "{tmp}/words.csv"], "is no TOML"),
    "no trials": (["tune", "--data", "{data}", "--trials", "0"], "--trials 0 is not possible"),
    "a space of nothing": (["tune", "--data", "{data}", "--space", "ease.l2="], "write MODEL.KEY=a,b,c"),
    "a search over a run": (["tune", "--data", "{data}", "--out", "{run}", "--resume"], "something else"),
    "more seeds than a list holds": (["study", "--data", "{data}", "--seeds", "1" + "0" * 24], "from 1 to 65536"),
    "more trials than a list holds": (["tune", "--data", "{data}", "--trials", "1" + "0" * 24], "from 1 to 65536"),
    "no seeds": (["study", "--data", "{data}", "--seeds", "0"], "--seeds 0 is not possible"),
    "impossible keep": (["train", "--data", "{data}", "--keep", "0"], "--keep 0.0 is not possible"),
    "no such device": (["train", "--data", "{data}", "--device", "abacus"], "abacus"),
    "folder of something else": (["study", "--data", "{data}", "--out", "{tmp}"], "something else"),
    "folder of something else, resumed": (
        ["train", "--data", "{data}", "--out", "{tmp}", "--resume"],
        "something else",
    ),
    "folder of a run": (["train", "--data", "{data}", "--out", "{run}"], "--resume"),
    "other settings resumed": (
        ["train", "--data", "{data}", "--keep", "0.9", "--out", "{run}", "--resume"],
        "keep 0.5",
    ),
    "a file as folder": (["train", "--data", "{data}", "--out", "{data}"], "is a file"),
    "a folder in a file": (["train", "--data", "{data}", "--epochs", "1", "--out", "{data}/o"], "{data}"),
    "no model there": (["evaluate", "--model", "{tmp}", "--data", "{data}"], "model.safetensors"),
    "model of other data": (["evaluate", "--model", "{run}", "--data", "{other}"], "another split"),
    "unknown user": (["recommend", "--model", "{run}", "--user", "-5"], "user '-5'"),
    "title of nothing": (["recommend", "--model", "{run}", "--items", "Comunity 1 · item 1"], "did you mean"),
    "title of several": (["recommend", "--model", "{run}", "--items", "item 1"], "matches"),
    "a card over a run": (["theory", "--model", "{run}", "--out", "{run}"], "something else"),
    "a card in several processes": (["theory", "--model", "{run}", "--jobs", "2"], "--jobs needs --seeds"),
    "a card in less than none": (
        ["theory", "--model", "{run}", "--seeds", "1", "--jobs", "-1", "--out", "{tmp}/o"],
        "--jobs -1 runs nothing",
    ),
    "a card of nobody": (["theory", "--model", "{run}", "--users", "3"], "at least 20"),
    "nobody": (["recommend", "--model", "{run}"], "--user"),
    "no recommendations": (["recommend", "--model", "{run}", "--items", "0", "-k", "0"], "k=0"),
    "a table where a split is due": (["explain", "--data", "{table}", "--out", "{tmp}/o"], "is no split but a table"),
    "a table for an experiment": (
        ["explain", "lds", "--data", "{table}", "--out", "{tmp}/o"],
        "is no split but a table",
    ),
    "a table for a card": (["theory", "--data", "{table}", "--out", "{tmp}/o"], "is no split but a table"),
    "features from nowhere": (
        ["explain", "far", "--data", "{data}", "--features", "{tmp}/none.csv", "--out", "{tmp}/o"],
        "none.csv does not exist",
    ),
    "facts of a table without such columns": (["data", "info", "{table}"], "has no column 'user'"),
    "evaluated on a table": (["evaluate", "--model", "{run}", "--data", "{table}"], "has no column 'user'"),
    "no such data": (["data", "info", "ml-2m"], "ml-2m"),
}


def assert_one_sentence(captured, expected):
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err
    assert expected in captured.err


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_status_2_and_leaves_no_trace(
    case, data, trained, table, tmp_path, monkeypatch, capsys
):
    argv, expected = BAD[case]
    monkeypatch.delenv("MINIVAE_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "noise.safetensors").write_bytes(bytes(range(256)) * 9)
    (tmp_path / "cut.safetensors").write_bytes(data.read_bytes()[:-100])
    (tmp_path / "words.csv").write_text("user,item,rating\n1,2,good\n")
    (tmp_path / "nan.csv").write_text("user,item,rating\n1,2,5\n1,3,NaN\n")
    sp.save_npz(tmp_path / "matrix.npz", sp.csr_matrix(np.eye(9)))
    other = tmp_path / "other.safetensors"
    mv.strong_split(mv.planted(seed=1, n_users=100, n_items=50, n_events=1500), n_heldout=10).save(other)
    places = {"tmp": tmp_path, "run": trained, "table": table, "data": data, "other": other}
    before = files(tmp_path) | files(trained)
    argv = [*argv, "--out", "{tmp}/o"] if argv[0] in ("train", "study", "tune") and "--out" not in argv else argv
    assert main([a.format(**places) for a in argv]) == 2
    assert_one_sentence(capsys.readouterr(), expected.format(**places))
    assert files(tmp_path) | files(trained) == before


def test_training_that_diverges_at_once_leaves_the_folder_free(table, tmp_path, capsys):
    """The note and the split that were made for it are gone; what a model before it gave stays."""
    (tmp_path / "fast.toml").write_text("[models.multvae]\nlr = 1e30\nbatch_size = 5\n")
    source = ["--data", str(table), "--user", "userId", "--item", "movieId", "--heldout", "10", "--min-user", "2"]
    study = ["study", *source, *TINY, "--settings", str(tmp_path / "fast.toml"), "--models"]
    out = tmp_path / "out"
    for argv in (["train", *source, *TINY, "--lr", "1e30", "--batch-size", "5"], [*study, "multvae"]):
        assert main([*argv, "--out", str(out)]) == 2
        assert "became NaN or infinite in epoch 1: lower lr" in capsys.readouterr().err
        assert not out.exists()
    assert main([*study, "ease,multvae", "--out", str(out)]) == 2
    assert (out / "runs" / "ease-seed0" / "metrics.json").is_file()
    assert (out / "study.json").is_file()


def test_the_check_of_one_sentence_rejects_a_traceback_and_a_second_line():
    class Twin:
        out, err = "", "error: x\nTraceback (most recent call last):\n"

    with pytest.raises(AssertionError):
        assert_one_sentence(Twin, "x")


@pytest.mark.parametrize("command", ["study", "tune"])
def test_nothing_is_resumed_without_a_folder(command, data, capsys):
    assert main([command, "--data", str(data), "--resume"]) == 2
    assert_one_sentence(capsys.readouterr(), "--out")


def test_lists_with_commas_may_be_typed_with_blanks(data, trained, capsys):
    """One rule for every flag that takes such a list, and for every way in which people type one."""
    several = {
        f"--{f.name.replace('_', '-')}"
        for command in (flags.Study, flags.Tune, flags.Train, flags.Evaluate, flags.Theory, flags.Explain)
        for f in fields(command)
        if ",…" in str(get_type_hints(command, include_extras=True)[f.name])
    }
    assert set(LIST_FLAGS) == several
    for typed in (["ndcg@10", "map@5"], ["ndcg@10,", "map@5"], ["ndcg@10", ",", "map@5"], ["ndcg@10", ",map@5"]):
        assert main(["evaluate", "--metrics", *typed, "--model", str(trained)]) == 0
        shown = capsys.readouterr().out
        assert "nDCG@10" in shown, typed
        assert "map@5" in shown, typed
    assert main(["evaluate", "--model", str(trained), "--metrics=ndcg@10", "map@5"]) == 0
    assert "map@5" in capsys.readouterr().out
    study = ["study", "--data", str(data), "--dry-run"]
    assert main([*study, "--models", "popularity", "ease", "--seeds", "1"]) == 0
    assert {"popularity", "ease"} <= set(capsys.readouterr().out.split())
    assert command_lines.lists_joined(["study", "--split_seeds", "1", "2", "--out", "x"], LIST_FLAGS) == [
        "study", "--split_seeds", "1,2", "--out", "x",
    ]  # fmt: skip
    same = ["study", "--models", "--out", "x", "--models=a,b", "c"]
    assert command_lines.lists_joined(same, LIST_FLAGS) == ["study", "--models", "--out", "x", "--models", "a,b,c"]


@pytest.mark.parametrize("command", ["study", "tune"])
@pytest.mark.parametrize("out", ["taken", "taken/below", "loop", "a" * 300])
def test_a_dry_run_refuses_a_folder_that_the_run_could_not_use(command, out, data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("taken").write_text("the only copy", encoding="utf-8")
    os.symlink("loop", "loop")
    words = [command, "--data", str(data), "--models", "ease", "--dry-run"]
    assert main([*words, "--out", out]) == 2
    assert "choose another folder with --out" in re.sub(r"\s+", " ", capsys.readouterr().err)
    assert main([*words, "--jobs", "-1"]) == 2
    assert "--jobs -1 runs nothing" in capsys.readouterr().err
    assert main([*words, "--out", "new/folder"]) == 0
    assert not Path("new").exists()


@pytest.mark.parametrize("argv", [["evaluate", "--metrics"], ["study", "--models"], ["study", "--models", ","]])
def test_an_empty_list_is_not_taken(argv, trained, capsys):
    model = ["--model", str(trained)] if argv[0] == "evaluate" else []
    try:
        status = main([*argv[:1], *model, *argv[1:]])
    except SystemExit as e:
        status = e.code
    assert status == 2
    assert capsys.readouterr().err


def test_unknown_flags_end_in_status_2(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["study", "--epoch", "3"])
    assert stop.value.code == 2


def run_program(*argv, **more):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-m", "minivae", *map(str, argv)], env=environment, **streams, **more)


def test_ctrl_c_says_where_the_checkpoint_is_and_how_to_resume(data, tmp_path):
    out = tmp_path / "run"
    flags = ["train", "--data", data, "--epochs", "100000", "--patience", "100000", "--device", "cpu", "--out", out]
    program = run_program(*flags)
    while not (out / "log.jsonl").is_file() and program.poll() is None:
        time.sleep(0.05)
    program.send_signal(signal.SIGINT)
    _, said = program.communicate(timeout=60)
    assert program.returncode == 130
    assert "Traceback" not in said
    *epochs, said = said.splitlines()  # a line an epoch, since there is no terminal
    assert all(line.startswith("multvae-seed0: epoch ") and len(line) <= 80 for line in epochs)
    assert said.startswith(f"interrupted; the checkpoint is in {out}; continue with: minivae train")
    assert said.rstrip().endswith("--resume")
    assert (out / "checkpoint.safetensors").is_file()
    done = len((out / "log.jsonl").read_text().splitlines())
    flags[flags.index("--epochs") + 1] = str(done + 2)
    assert main([*map(str, flags), "--resume"]) == 0
    log = [json.loads(line)["epoch"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert log == list(range(1, done + 3))


def test_a_full_disk_is_one_sentence_and_leaves_no_half_file(data, tmp_path):
    resource = pytest.importorskip("resource")
    out = tmp_path / "run"

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    program = run_program("train", "--data", data, "--epochs", "1", "--out", out, preexec_fn=small_files)
    _, said = program.communicate(timeout=60)
    assert program.returncode == 2
    assert "cannot write" in said
    assert "Traceback" not in said
    assert {p.name for p in out.iterdir()} == {"config.json", "log.jsonl"}


@pytest.mark.parametrize("model", ["multdae+anchor", "recvae", "hvamp"])
def test_every_kind_of_model_can_be_trained_and_used(model, data, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["train", "--data", str(data), "--model", model, *TINY, "--out", str(out)]) == 0
    assert main(["evaluate", "--model", str(out)]) == 0
    assert main(["recommend", "--model", str(out), "--items", mv.StrongSplit.load(data).item_titles[0]]) == 0
    assert capsys.readouterr().err == ""
    assert type(mv.load_model(out)).__name__.lower() == model.split("+")[0]
    assert main(["train", "--data", str(data), "--model", model, *TINY, "--out", str(out), "--resume"]) == 0


# --- mistakes that need no data to be seen ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["train", "--keep", "2"], "--keep 2.0 is not possible; it must be in (0, 1]"),
        (["train", "--beta", "nan"], "--beta nan is not possible"),
        (["train", "--anneal-steps", "-1"], "--anneal-steps -1 is not possible"),
        (["train", "--model", "nope"], "model 'nope' is not in preset"),
        (["train", "--model", "ease"], "minivae study --models ease"),
        (["study", "--models", "ease,gpt"], "model 'gpt' is not in preset"),
        (["evaluate", "--model", "{run}", "--metrics", "foo@3"], "metric='foo' is unknown"),
    ],
)
def test_a_slip_is_said_before_the_table_is_read(argv, says, trained, tmp_path, monkeypatch, capsys):
    def read(*_, **__):
        raise AssertionError("the table was read")

    monkeypatch.setattr("minivae.study.run.sources.Source.load", read)
    monkeypatch.setattr("minivae.study.run.sources.Source.events", read)
    table = tmp_path / "events.csv"
    table.write_text("user,item\na,b\n")
    argv = [a.format(run=trained) for a in argv]
    out = [] if argv[0] == "evaluate" else ["--out", str(tmp_path / "out")]
    assert main([*argv, "--data", str(table), *out]) == 2
    assert_one_sentence(capsys.readouterr(), says)
    assert not (tmp_path / "out").exists()


def test_python_reads_the_argument_and_the_shell_the_flag(data, tmp_path, capsys):
    with pytest.raises(mv.InputError, match=r"^keep=2\.0 is not possible"):
        mv.TrainConfig(keep=2)
    assert main(["train", "--data", str(data), "--keep", "2", "--out", str(tmp_path / "out")]) == 2
    assert "error: --keep 2.0 is not possible" in capsys.readouterr().err


def test_an_interrupted_card_says_what_it_left(trained, tmp_path, monkeypatch, capsys):
    def press(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("minivae.cli.commands.theory.write_page", press)
    out = tmp_path / "card"
    assert main(["theory", "--model", str(trained), "--users", "25", "--out", str(out)]) == 130
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("interrupted; ")
    assert "nothing was changed" not in said
    assert "card.json" in said
    assert f"in {out}; continue with: " in said
    assert {p.name for p in out.glob("card.*")} >= {"card.json"}


def test_an_interruption_before_the_first_file_changes_nothing(trained, tmp_path, monkeypatch, capsys):
    def press(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("minivae.cli.commands.theory.load_for", press)
    assert main(["theory", "--model", str(trained), "--out", str(tmp_path / "card")]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted; nothing was changed"
