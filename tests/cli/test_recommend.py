"""Recommendations at the shell: for some or all users, into files, among candidates, with labels of any form."""

import json
import random
import shutil
import unicodedata

import numpy as np
import polars as pl
import pytest

import minivae as mv
from minivae.cli import command_lines, flags, main


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study of EASE and popularity on a table whose labels begin with a hyphen."""
    folder = tmp_path_factory.mktemp("serving")
    draw = random.Random(0)
    rows = [f"-u{u:03d},-i{i:02d}" for u in range(150) for i in draw.sample(range(30), 9)]
    (folder / "table.csv").write_text("user,item\n" + "\n".join(rows) + "\n")
    out = folder / "study"
    assert main(["study", "--data", str(folder / "table.csv"), "--models", "popularity,ease", "--out", str(out)]) == 0
    return out


@pytest.fixture
def run(study):
    return study / "runs" / "ease-seed0"


def whole(split):
    """Label -> set of items of every user."""
    names = split.item_labels.astype(str)
    parts = [(split.train_labels, split.train)]
    parts += [(p.user_labels, p.history + p.heldout) for p in (split.validation, split.test)]
    return {str(u): set(names[row.indices]) for labels, matrix in parts for u, row in zip(labels, matrix, strict=True)}


def check_all_users(table, split, model, k, among=None):
    """Each user once, k new items in order, those that Python gives."""
    has = whole(split)
    names = split.item_labels.astype(str)
    assert set(table["user"]) == set(has)
    found = {u: of for (u,), of in table.group_by("user", maintain_order=True)}
    for user, of in found.items():
        assert of["rank"].to_list() == list(range(1, len(of) + 1))
        row = np.isin(names, list(has[user]))[None].astype(np.float32)
        want = mv.recommend(model, row, k, labels=names, among=among)
        assert of["item"].to_list() == want.labels[0]
        np.testing.assert_allclose(of["score"], want.scores[0, : len(of)], rtol=1e-5, atol=1e-6)
        assert not has[user] & set(of["item"])


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_all_users_into_a_file(study, run, tmp_path, ending):
    path = tmp_path / f"all.{ending}"
    assert main(["recommend", "--model", str(run), "--users", "all", "-k", "3", "--out", str(path)]) == 0
    read = {"parquet": pl.read_parquet, "csv": pl.read_csv, "jsonl": pl.read_ndjson}[ending]
    split, model = mv.StrongSplit.load(study / "split.safetensors"), mv.load_model(run)
    table = read(path)
    check_all_users(table, split, model, 3)
    for twin in (table.filter(pl.col("user") != table["user"][0]), table.with_columns(item=table["item"].reverse())):
        with pytest.raises(AssertionError):  # broken twins: a user is missing; items of other users
            check_all_users(twin, split, model, 3)


def test_users_who_are_not_in_the_split_are_counted(tmp_path, capsys):
    draw = random.Random(0)
    rows = [f"u{u:03d},i{i:02d}" for u in range(120) for i in draw.sample(range(30), 9 if u < 100 else 2)]
    (tmp_path / "table.csv").write_text("user,item\n" + "\n".join(rows) + "\n")
    argv = ["study", "--data", str(tmp_path / "table.csv"), "--models", "popularity"]
    for few, n, said in (([], 100, "100 users of 120"), (["--min-user", "1"], 120, "")):
        out = tmp_path / f"study{n}"
        assert main([*argv, *few, "--out", str(out)]) == 0
        capsys.readouterr()
        model = ["recommend", "--model", str(out / "runs/popularity-seed0"), "--users", "all", "-k", "1"]
        assert main([*model, "--out", str(tmp_path / "all.csv")]) == 0
        shown = capsys.readouterr()
        assert f"({n} users)" in shown.out
        assert shown.err.startswith(said.replace("users of", "of"))
        assert bool(shown.err) == bool(said)


def test_some_users_among_candidates(study, run, tmp_path):
    split, model = mv.StrongSplit.load(study / "split.safetensors"), mv.load_model(run)
    labels = split.item_labels.astype(str).tolist()
    users = [str(u) for u in split.train_labels[[3, 1]]]
    for name, lines in {"users": users, "among": labels[:9], "exclude": labels[4:6]}.items():
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    given = [f for name in ("users", "among", "exclude") for f in (f"--{name}", str(tmp_path / name))]
    path = tmp_path / "some.jsonl"
    assert main(["recommend", "--model", str(run), *given, "--out", str(path)]) == 0
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert list(dict.fromkeys(r["user"] for r in rows)) == users
    has = whole(split)
    for user in users:
        shown = {r["item"] for r in rows if r["user"] == user}
        assert shown == {*labels[:4], *labels[6:9]} - has[user]
    assert model.n_items == len(labels)


def test_labels_with_hyphens_and_repeated_flags(run, capsys):
    for words in (
        ["--items", "-i03", "-i04"],
        ["--items", "-i03", "--items", "-i04"],
        ["--items=-i03", "--items=-i04"],
    ):
        assert main(["recommend", "--model", str(run), *words, "-k", "3"]) == 0
        assert capsys.readouterr().out.startswith("knowing -i0")
    assert main(["recommend", "--user", "-u003", "--model", str(run)]) == 0
    assert main(["recommend", "--model", str(run), "--user", "-u003", "-u004", "-k", "2"]) == 0
    assert "-u004" in capsys.readouterr().out
    given = ["--items", "a", "--user=-b", "-c", "-k", "2", "--out", "x"]
    apart = command_lines.labels_apart(given, flags.Recommend, ["--user", "--items"])
    assert apart == ["--items=a", "--user=-b", "-c", "-k", "2", "--out", "x"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--user"], "no label follows --user; write it behind the flag, or --user=--LABEL if it looks like a flag"),
        (["--user", "-u003", "--rank"], "no label follows --rank"),
        (["--user", "--users", "all"], "no label follows --user; write it behind the flag, or --user=--users if"),
        (
            ["--items", "-i03", "--amnog", "f.txt"],
            "did you mean --among by --amnog? If it is a label, write --items=--",
        ),
        (["--similar", "Toy", "Story"], "--similar takes one label, 'Story' is one more; put a label with blanks in"),
        (["--user", "-u003", "--rank", "-i03", "-i04"], "--rank takes one label, '-i04' is one more"),
    ],
)
def test_a_label_flag_without_its_label_is_refused_in_a_sentence(run, capsys, words, said):
    assert main(["recommend", "--model", str(run), *words]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_labels_that_equal_a_flag_or_a_negative_number(tmp_path, capsys):
    """All of them are found, behind their flag or in a file."""
    users, items = ["--users", "--out", "-k", "-5", "all", "--help"], ["--among", "-1", "--", "-", "-k5"]
    pairs = [(u, i) for k, u in enumerate([*users, *map(str, range(60))]) for i in [*items, *"abcdefgh"][k % 3 :]]
    table = tmp_path / "t.csv"
    table.write_text("user,item\n" + "".join(f"{u},{i}\n" for u, i in pairs))
    argv = ["study", "--data", str(table), "--models", "popularity", "--heldout", "9", "--out", str(tmp_path / "s")]
    assert main(argv) == 0
    model = ["recommend", "--model", str(tmp_path / "s/runs/popularity-seed0"), "-k", "2"]
    for user in users:
        assert main([*model, f"--user={user}"]) == 0, user
    assert main([*model, "--user", "-5", "all"]) == 0
    for item in items:
        assert main([*model, f"--items={item}"]) == 0, item
        assert main([*model, f"--similar={item}"]) == 0, item
    assert main([*model, "--items", "-1", "-k5", "--", "-"]) == 0
    (tmp_path / "users.txt").write_text("\n".join(users))
    (tmp_path / "items.txt").write_text("\n".join(items))
    few = ["--users", str(tmp_path / "users.txt"), "--among", str(tmp_path / "items.txt")]
    capsys.readouterr()
    assert main([*model, *few, "--out", str(tmp_path / "out.csv")]) == 0
    written = pl.read_csv(tmp_path / "out.csv", schema_overrides={"item": pl.String, "user": pl.String})
    assert set(written["user"]) <= set(users)
    assert set(written["item"]) <= set(items)


def test_the_rank_of_an_item_and_items_like_it(study, run, capsys):
    split, model = mv.StrongSplit.load(study / "split.safetensors"), mv.load_model(run)
    user = str(split.test.user_labels[0])
    names = split.item_labels.astype(str)
    row = (split.test.history + split.test.heldout)[0]
    order = mv.recommend(model, row, split.n_items, labels=names).labels[0]
    assert main(["recommend", "--model", str(run), "--user", user, "--rank", order[4]]) == 0
    assert f"{user}" in (shown := capsys.readouterr().out)
    assert shown.split()[-1] == "5"
    assert main(["recommend", "--model", str(run), "--user", user, "--rank", names[row.indices[0]]]) == 0
    assert capsys.readouterr().out.split()[-2:] == ["has", "it"]
    assert main(["recommend", "--model", str(run), "--similar", names[2], "-k", "1"]) == 0
    alone = np.eye(split.n_items, dtype=np.float32)[[2]]
    assert mv.recommend(model, alone, 1, labels=names).labels[0][0] in capsys.readouterr().out


def test_the_rank_in_a_file_is_empty_for_users_who_have_the_item(study, run, tmp_path):
    split = mv.StrongSplit.load(study / "split.safetensors")
    words = ["recommend", "--model", str(run), "--users", "all", "--rank", str(split.item_labels[0])]
    for ending, read in (("csv", pl.read_csv), ("parquet", pl.read_parquet), ("jsonl", pl.read_ndjson)):
        assert main([*words, "--out", str(tmp_path / f"rank.{ending}")]) == 0
        ranks = read(tmp_path / f"rank.{ending}")
        have = {u for u, items in whole(split).items() if str(split.item_labels[0]) in items}
        assert set(ranks.filter(pl.col("rank").is_null())["user"]) == have != set()
        assert ranks["rank"].drop_nulls().min() == 1


def test_a_link_to_a_run_finds_its_split(run, tmp_path, capsys):
    (tmp_path / "link").symlink_to(run.absolute())
    assert main(["recommend", "--model", str(tmp_path / "link"), "--users", "all", "-k", "1"]) == 0


def test_results_name_no_place_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = tmp_path / "shop" / "t.csv"
    table.parent.mkdir()
    table.write_text("user,item\n" + "".join(f"{u},{(u + i) % 9}\n" for u in range(40) for i in range(6)))
    out = tmp_path / "runs" / "s"
    assert main(["study", "--data", str(table), "--models", "popularity", "--out", str(out)]) == 0
    files = [path for path in out.rglob("*") if path.is_file()]
    assert not [path for path in files if str(tmp_path).encode() in path.read_bytes()]
    assert json.loads((out / "results.json").read_text())["command"] == (
        "minivae study --data shop/t.csv --models popularity --out runs/s"
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "say for whom with one of --user"),
        (["--user", "-u003", "--users", "all"], "not --user and --users"),
        (["--users", "all", "--out", "x.txt"], "must end in one of .parquet, .csv, .jsonl"),
        (["--users", "nothing.txt"], "nothing.txt cannot be read"),
        (["--users", "."], ". cannot be read (it is not a file)"),
        (["--users", "all", "--among", "."], ". cannot be read (it is not a file)"),
        (["--users", "all", "--among", "{latin}"], "line 2: byte 0xe9 is not UTF-8; save the file as UTF-8"),
        (["--user", "-nobody"], "user '-nobody' is not in the data"),
        (["--users", "{zero}"], "label 1: user '-u003\\x00' is not in the data; some that are: -u003"),
        (["--users", "all", "--rank", "i1", "--among", "{latin}"], "--among cannot go with --rank"),
        (["--users", "all", "--rank", "i1", "--exclude", "{latin}"], "--exclude cannot go with --rank"),
    ],
)
def test_bad_words_are_one_sentence(run, words, sentence, tmp_path, capsys):
    latin = tmp_path / "latin.txt"
    latin.write_bytes(b"a\n\xe9\n")
    zero = tmp_path / "zero.txt"
    zero.write_bytes(b"-u003\0\n")  # NumPy leaves a zero at the end of a text out
    assert main(["recommend", "--model", str(run), *(w.format(latin=latin, zero=zero) for w in words)]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert len(said.splitlines()) == 1


def test_a_folder_of_several_models_and_a_lost_split_are_named(study, run, tmp_path, capsys):
    assert main(["evaluate", "--model", str(study)]) == 2
    assert "holds 2 models; give one of them" in capsys.readouterr().err
    shutil.copytree(run, tmp_path / "run")
    assert main(["evaluate", "--model", str(tmp_path / "run")]) == 2
    assert "put that split.safetensors beside the model, or give --data" in capsys.readouterr().err


def test_labels_are_found_in_every_form(tmp_path, capsys):
    """Composed or not, as an integer or as the float that a table program made of it."""
    rows = [f"{u},Café {i}" for u in range(60) for i in random.Random(u).sample(range(20), 6)]
    (tmp_path / "t.csv").write_text("user,item\n" + "\n".join(rows) + "\n", encoding="utf-8")
    assert main(["study", "--data", str(tmp_path / "t.csv"), "--models", "ease", "--out", str(tmp_path / "s")]) == 0
    (tmp_path / "users.txt").write_text("7.0\r\n 8\r\n")
    (tmp_path / "items.txt").write_text(unicodedata.normalize("NFD", "Café 3\nCafé 4\n"), encoding="utf-8")
    words = [
        "recommend",
        "--model",
        str(tmp_path / "s" / "runs" / "ease-seed0"),
        "--users",
        str(tmp_path / "users.txt"),
    ]
    found = ["--out", str(tmp_path / "found.csv"), "-k", "20"]
    assert main([*words, *found, "--among", str(tmp_path / "items.txt")]) == 0
    table = pl.read_csv(tmp_path / "found.csv")
    assert set(table["user"]) <= {7, 8}
    assert set(table["item"]) <= {"Café 3", "Café 4"}
    items = str(tmp_path / "items.txt")
    assert main([*words, "--among", items, "--exclude", items]) == 2
    assert "no item is left to be shown" in capsys.readouterr().err
    split = mv.StrongSplit.load(tmp_path / "s" / "split.safetensors")
    (tmp_path / "every.txt").write_text("\n".join(split.item_labels.astype(str)), encoding="utf-8")
    assert main([*words, "--exclude", str(tmp_path / "every.txt")]) == 2
    assert "every item of the data is in" in capsys.readouterr().err
    (tmp_path / "users.txt").write_text("7\nnobody\n")
    assert main(words) == 2
    assert "users.txt, label 2: user 'nobody' is not in the data" in capsys.readouterr().err


def test_evaluate_with_other_metrics_in_any_capitals(run, capsys):
    assert main(["evaluate", "--model", str(run), "--metrics", "NDCG@10,map@5,novelty@5"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown.lower() for name in ("ndcg@10", "map@5", "novelty@5"))
    assert main(["evaluate", "--model", str(run), "--metrics", "gain@10"]) == 2
    assert "gain" in capsys.readouterr().err


def test_a_moved_run_finds_its_split(study, run, tmp_path, capsys):
    study.rename(moved := tmp_path / "elsewhere")
    try:
        assert main(["evaluate", "--model", str(moved / "runs" / "ease-seed0")]) == 0
    finally:
        moved.rename(study)


def test_a_model_of_another_class_than_its_config_is_refused(study, tmp_path, capsys):
    shutil.copytree(study, copy := tmp_path / "copy")
    runs = copy / "runs"
    shutil.copy(runs / "popularity-seed0/model.safetensors", runs / "ease-seed0")
    assert main(["evaluate", "--model", str(runs / "ease-seed0")]) == 2
    said = "ease-seed0 holds a model of class Popularity, but its config.json is of a EASE; one of the two was replaced"
    assert said in capsys.readouterr().err


def test_users_of_several_parts_are_in_the_file_once(tmp_path):
    """In a split by time a user trains and is tested; everything of theirs is known, so nothing of it is shown."""
    rows = [(u, i, t) for u in range(40) for t, i in enumerate(random.Random(u).sample(range(25), 8))]
    (tmp_path / "t.csv").write_text("user,item,when\n" + "".join(f"{u},{i},{t}\n" for u, i, t in rows))
    out = tmp_path / "s"
    given = ["--data", str(tmp_path / "t.csv"), "--split", "last", "--time", "when", "--models", "ease"]
    assert main(["study", *given, "--out", str(out)]) == 0
    path = tmp_path / "all.parquet"
    assert main(["recommend", "--model", str(out / "runs/ease-seed0"), "--users", "all", "--out", str(path)]) == 0
    table = pl.read_parquet(path)
    shown = list(zip(table["user"].cast(pl.Int64), table["item"], strict=True))
    assert len(set(shown)) == len(shown)
    assert not {(u, i) for u, i, _ in rows} & set(shown)
    assert table["user"].n_unique() == 40


def test_a_result_does_not_take_the_place_of_what_it_is_made_from(run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wanted = tmp_path / "wanted.csv"
    wanted.write_text("-u000\n")
    (tmp_path / "link.csv").symlink_to(wanted)
    for out in (wanted, tmp_path / "link.csv", "./wanted.csv"):
        assert main(["recommend", "--model", str(run), "--users", str(wanted), "--out", str(out)]) == 2
        assert "a file that the result is made from; choose another name" in capsys.readouterr().err
        assert wanted.read_text() == "-u000\n"
    note = (run / "config.json").read_bytes()
    assert main(["evaluate", "--model", str(run), "--json-file", str(run / "config.json")]) == 2
    assert "minivae reads files of this name again" in capsys.readouterr().err
    assert (run / "config.json").read_bytes() == note
    for _ in range(2):  # its own result of before is replaced
        assert main(["recommend", "--model", str(run), "--users", str(wanted), "--out", "found.csv"]) == 0
        assert main(["evaluate", "--model", str(run), "--json-file", "numbers.json"]) == 0


FORMULAS = ["=1+1", "+1", "-1+1", "@SUM(A1)", '=HYPERLINK("http://example.org")', "a,b", "plain", "0007"]


def test_labels_come_back_from_a_csv_of_recommendations_as_they_were(tmp_path):
    """For other programs: nothing is put in front of a label that a spreadsheet would take for a formula."""
    rows = [(f"={u}", item) for u in range(40) for k, item in enumerate(FORMULAS) if (u + k) % 4]
    table = tmp_path / "t.csv"
    pl.DataFrame(rows, schema=["user", "item"], orient="row").write_csv(table, quote_style="always")
    columns = ["--user", "user", "--item", "item"]
    argv = ["--data", str(table), *columns, "--models", "popularity", "--heldout", "4", "--out", str(tmp_path / "s")]
    assert main(["study", *argv]) == 0
    run, out = tmp_path / "s/runs/popularity-seed0", tmp_path / "r.csv"
    assert main(["recommend", "--model", str(run), "--users", "all", "--out", str(out)]) == 0
    back = pl.read_csv(out, infer_schema=False)
    assert set(back["user"]) == {user for user, _ in rows}
    assert set(back["item"]) <= set(FORMULAS)
    assert {"=1+1", "@SUM(A1)"} <= set(back["item"])
