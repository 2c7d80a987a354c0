"""The preparation scripts on small raw files of every format, against the row-by-row oracle, byte for byte."""

import csv
import dataclasses
import hashlib
import io
import os
import resource
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import tyro
from hypothesis import given, settings
from hypothesis import strategies as st
from liang_reference import as_bytes, prepare

from minivae.data.catalogue import DATASETS, SplitProtocol
from minivae.data.splits import StrongSplit
from minivae.errors import InputError
from minivae.preparation import archives, export
from minivae.preparation import movielens as movielens_reader
from minivae.preparation import netflix as netflix_reader
from minivae.preparation.command import guarded, watched

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "data_scripts"))

import movielens  # noqa: E402
import msd  # noqa: E402
import netflix  # noqa: E402

ML_1M = ROOT.parent / "shared" / "data" / "ml-1m.zip"


def draw(seed=0, users=70, items=50, n=1500, ratings=(1, 2, 3, 4, 5)):
    """Rows (user, item, rating), sorted by neither."""
    rng = np.random.default_rng(seed)
    user = 7 * np.minimum(rng.geometric(0.05, n), users) + 3
    item = rng.permutation(np.arange(1, items + 1))[np.minimum(rng.geometric(0.06, n), items) - 1]
    rating = rng.choice(ratings, n)
    seen = {}
    for u, i, r in zip(user.tolist(), item.tolist(), rating.tolist(), strict=True):
        seen.setdefault((u, i), r)
    return [(u, i, r) for (u, i), r in seen.items()]


@pytest.fixture
def small(monkeypatch):
    """Data sets that need few users, and blocks of a few lines."""
    for name, d in list(DATASETS.items()):
        protocol = SplitProtocol(6, d.protocol.min_rating, 4, 3)
        monkeypatch.setitem(DATASETS, name, dataclasses.replace(d, protocol=protocol))
    monkeypatch.setattr(archives, "BLOCK", 100)


def call(script, *args):
    """Exit status of the script's command line; 0 if it just returns."""
    try:
        guarded(lambda: tyro.cli(script.main, args=list(map(str, args))))
    except SystemExit as e:
        return e.code
    return 0


def check_files(folder, expected):
    """The six files of the original layout, and nothing else, byte for byte."""
    assert {p.name for p in folder.iterdir()} == set(expected)
    for name, content in expected.items():
        assert (folder / name).read_bytes() == content, name


def archive(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        for name, content in members.items():
            z.writestr(name, content)
    return path


def tar(members, mode="w"):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode=mode) as t:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            t.addfile(member, io.BytesIO(content))
    return raw.getvalue()


def unpacked(folder, members):
    for name, content in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def movielens_members(name, rows):
    """The two members of the archive, as GroupLens writes them."""
    movies = sorted({i for _, i, _ in rows})
    if name in ("ml-20m", "ml-latest-small"):
        ratings = "userId,movieId,rating,timestamp\n" + "".join(
            f"{u},{i},{r:.1f},11{k}\n" for k, (u, i, r) in enumerate(rows)
        )
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(
            [["movieId", "title", "genres"], *([i, f"Café, {i} (1999)", "A|B"] for i in movies)]
        )
        return {
            f"{name}/ratings.csv": ratings.encode(),
            f"{name}/movies.csv": text.getvalue().encode(),
            f"{name}/tags.csv": b"x",
        }
    sep, ratings, titles, between = (
        ("\t", "u.data", "u.item", "|") if name == "ml-100k" else ("::", "ratings.dat", "movies.dat", "::")
    )
    lines = "".join(sep.join(map(str, (u, i, int(r), f"97{k}"))) + "\n" for k, (u, i, r) in enumerate(rows))
    shown = "".join(f"{i}{between}Café, {i} (1999){between}Drama\n" for i in movies)
    return {f"{name}/{ratings}": lines.encode(), f"{name}/{titles}": shown.encode("latin-1")}


def netflix_members(rows, combined=False):
    """mv_*.txt or combined_data_*.txt, and movie_titles; the rows must be sorted by movie for the oracle."""
    files = {}
    for movie in sorted({i for _, i, _ in rows}):
        lines = "".join(f"{u},{r},2005-09-{k % 28 + 1:02d}\n" for k, (u, i, r) in enumerate(rows) if i == movie)
        files[f"training_set/mv_{movie:07d}.txt"] = f"{movie}:\n{lines}".encode()
    titles = "".join(f"{i},{'NULL' if i % 2 else 2001},Café, the {i}\n" for i in {i for _, i, _ in rows}).encode(
        "latin-1"
    )
    if not combined:
        return files, titles
    names = sorted(files)
    half = len(names) // 2
    parts = {"combined_data_1.txt": names[:half], "combined_data_2.txt": names[half:]}
    return {k: b"".join(files[n] for n in v) for k, v in parts.items()}, titles


@pytest.mark.parametrize("name", ["ml-100k", "ml-1m", "ml-20m", "ml-latest-small"])
@pytest.mark.parametrize("form", ["zip", "folder", "file"])
def test_movielens_equals_the_oracle(small, tmp_path, name, form):
    halves = (0.5, 2.5, 3.5, 4.0, 4.5) if name in ("ml-20m", "ml-latest-small") else (1, 2, 3, 4, 5)
    rows = draw(ratings=halves)
    members = movielens_members(name, rows)
    if form == "zip":
        source = archive(tmp_path / "a.zip", members)
    else:
        source = unpacked(tmp_path / "a", members)
        source = source / next(iter(members)) if form == "file" else source
    csvs = tmp_path / "csv"
    assert (
        call(movielens, name, "--from-file", source, "--out", tmp_path / "out", "--no-verify", "--export-csv", csvs)
        == 0
    )
    expected = as_bytes(prepare(rows, 6, min_user=4, min_item=3, min_rating=4))
    check_files(csvs, expected)
    split = StrongSplit.load(tmp_path / "out" / f"{name}.safetensors")
    assert split.item_labels.astype(str).tolist() == expected["unique_sid.txt"].decode().split()
    if form != "file":
        assert split.item_titles.tolist() == [f"Café, {i} (1999)" for i in split.item_labels]
    with pytest.raises(AssertionError):  # the check itself sees another order of rows
        check_files(csvs, as_bytes(prepare(rows[::-1], 6, min_user=4, min_item=3, min_rating=4)))


@pytest.mark.parametrize(
    "form", ["tar in tar.gz", "tar", "unpacked", "half unpacked", "zip of combined", "combined", "one combined"]
)
def test_netflix_equals_the_oracle(small, tmp_path, form):
    rows = sorted(draw(1), key=lambda row: row[1])
    files, titles = netflix_members(rows, "combined" in form)
    if form == "tar in tar.gz":
        inner = tar(dict(reversed(files.items())))  # movies in another order in the archive
        source = tmp_path / "n.tar.gz"
        source.write_bytes(tar({"download/training_set.tar": inner, "download/movie_titles.txt": titles}, "w:gz"))
    elif form == "tar":
        source = tmp_path / "training_set.tar"
        source.write_bytes(tar(files))
    elif form == "half unpacked":
        source = unpacked(tmp_path / "n", {"training_set.tar": tar(files), "movie_titles.txt": titles})
    elif form == "zip of combined":
        source = archive(tmp_path / "archive.zip", {**files, "movie_titles.csv": titles, "probe.txt": b"1:\n5\n"})
    elif form == "one combined":
        source = tmp_path / "all.txt"
        source.write_bytes(b"".join(files.values()))
    else:
        source = unpacked(tmp_path / "n", {**files, "movie_titles.txt": titles})
    csvs = tmp_path / "csv"
    assert call(netflix, "--from-file", source, "--out", tmp_path, "--no-verify", "--export-csv", csvs) == 0
    check_files(csvs, as_bytes(prepare(rows, 6, min_user=4, min_item=3, min_rating=4)))
    split = StrongSplit.load(tmp_path / "netflix.safetensors")
    if form in ("tar in tar.gz", "zip of combined", "unpacked", "half unpacked", "combined"):
        shown = {i: f"Café, the {i}" + ("" if i % 2 else " (2001)") for i in range(100)}
        assert split.item_titles.tolist() == [shown[i] for i in split.item_labels.tolist()]


@pytest.mark.parametrize("form", ["zip", "plain", "folder", "crlf"])
def test_msd_equals_the_oracle(small, tmp_path, form):
    rows = [(hashlib.sha1(str(u).encode()).hexdigest(), f"SO{i:016X}", r) for u, i, r in draw(2)]  # users unsorted
    text = "".join(f"{u}\t{s}\t{r}\n" for u, s, r in rows).encode()
    if form == "zip":
        source = archive(tmp_path / "train_triplets.txt.zip", {"train_triplets.txt": text})
    elif form == "folder":
        source = unpacked(tmp_path / "m", {"train_triplets.txt": text, "readme.txt": b"no"})
    else:
        source = tmp_path / "t.txt"
        source.write_bytes(text.replace(b"\n", b"\r\n") if form == "crlf" else text.removesuffix(b"\n"))
    csvs = tmp_path / "csv"
    assert call(msd, "--from-file", source, "--out", tmp_path, "--no-verify", "--export-csv", csvs) == 0
    check_files(csvs, as_bytes(prepare(rows, 6, min_user=4, min_item=3)))


@settings(max_examples=25)
@given(
    rows=st.lists(st.tuples(st.integers(0, 15), st.integers(1, 12), st.integers(1, 5)), min_size=1, max_size=120),
    size=st.integers(1, 60),
)
def test_blocks_cut_anywhere_give_the_same_events(rows, size):
    rows = [(u, i, r) for (u, i), r in {(u, i): r for u, i, r in rows}.items()]
    rows.sort(key=lambda row: row[1])
    files, _ = netflix_members(rows)
    current, got, total, lines = None, [], 0, 0
    streams = [(name, io.BytesIO(content)) for name, content in files.items()]
    for block in archives.blocks(iter(streams), size=size):
        part = netflix_reader.parse_movies(block, 4)
        movie = [current] * part.n_headless + part.movie[part.n_headless :].tolist()
        got += zip(part.user.tolist(), movie, strict=True)
        total += part.ratings
        lines += part.lines
        current = current if part.last is None else part.last
    assert got == [(u, i) for u, i, r in rows if r >= 4]
    assert (total, lines) == (len(rows), len(rows) + len(files))


@settings(max_examples=40, deadline=None)
@given(
    rows=st.dictionaries(
        st.tuples(st.integers(0, 10**6), st.integers(1, 10**5)), st.integers(1, 5), min_size=1, max_size=80
    ),
    name=st.sampled_from(["ml-100k", "ml-1m", "ml-20m"]),
    size=st.integers(1, 90),
    ends=st.sampled_from([b"\n", b"\r\n"]),
    last=st.booleans(),
)
def test_movielens_blocks_cut_anywhere_give_the_same_events(tmp_path_factory, rows, name, size, ends, last):
    """Through the threads, with blocks of a few bytes, either end of line, with and without one at the end."""
    rows = [(u, i, r) for (u, i), r in rows.items()] + [(1, 1, 5)]
    rows = list({row[:2]: row for row in rows}.values())
    text = next(iter(movielens_members(name, rows).values())).replace(b"\n", ends)
    path = tmp_path_factory.mktemp("cut") / "ratings"
    path.write_bytes(text if last else text.removesuffix(ends))
    with patch.object(archives, "BLOCK", size):
        raw = movielens_reader.read(DATASETS[name], path, watched(DATASETS[name]))
    data = raw.data
    got = zip(data.user_labels[data.user].tolist(), data.item_labels[data.item].tolist(), strict=True)
    assert list(got) == [(u, i) for u, i, r in rows if r >= 4]
    assert raw.ratings == len(rows)


def test_export_is_what_pandas_writes(tmp_path):
    pd = pytest.importorskip("pandas")
    rows = draw()
    files = prepare(rows, 5)
    for name, lines in files.items():
        if name.endswith("csv"):
            table = pd.DataFrame([list(map(int, line.split(","))) for line in lines[1:]], columns=["uid", "sid"])
            table.to_csv(tmp_path / name, index=False)
            assert (tmp_path / name).read_bytes() == as_bytes(files)[name]


def test_fingerprints_are_those_of_git_and_sha256sum(tmp_path):
    content = b"uid,sid\n1,2\n"
    (tmp_path / "f").write_bytes(content)
    out = subprocess.run(
        ["git", "hash-object", "--no-filters", tmp_path / "f"], capture_output=True, text=True, check=True
    )
    assert export.fingerprint(content, "git") == f"git:{out.stdout.strip()}"
    assert export.fingerprint(content, "sha256") == f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture
def golden(small, monkeypatch, tmp_path):
    """A small ml-20m whose counts and hashes are known from the oracle, and its archive."""
    rows = draw(ratings=(3.5, 4.0, 5.0))
    files = as_bytes(prepare(rows, 6, min_user=4, min_item=3, min_rating=4))
    lines = {k: v.count(b"\n") - 1 for k, v in files.items()}
    counts = {
        "ratings": len(rows),
        "vocabulary": files["unique_sid.txt"].count(b"\n"),
        "held-out events, test": lines["test_te.csv"],
    }
    hashes = {
        k: export.fingerprint(v, "git" if k in ("train.csv", "test_tr.csv") else "sha256") for k, v in files.items()
    }
    source = archive(tmp_path / "ml-20m.zip", movielens_members("ml-20m", rows))
    checksum = {"sha256": hashlib.sha256(source.read_bytes()).hexdigest()}
    d = dataclasses.replace(DATASETS["ml-20m"], archive=checksum, counts=counts, files=hashes)
    monkeypatch.setitem(DATASETS, "ml-20m", d)
    return d, source


def test_verification_passes_and_prints_the_table(golden, tmp_path, capsys):
    _, source = golden
    assert call(movielens, "ml-20m", "--from-file", source, "--out", tmp_path) == 0
    out = capsys.readouterr().out
    assert "differs" not in out
    assert out.count("equal") == 1 + 3 + 6
    assert out.strip().splitlines()[-1] == str(tmp_path / "ml-20m.safetensors")


@pytest.mark.parametrize(
    "step", ["ratings", "vocabulary", "held-out events, test", "unique_sid.txt", "train.csv", "test_te.csv"]
)
def test_verification_names_the_first_step_that_differs(golden, monkeypatch, tmp_path, capsys, step):
    d, source = golden
    if step in d.counts:
        changed = dataclasses.replace(d, counts={**d.counts, step: d.counts[step] + 1})
    else:
        changed = dataclasses.replace(d, files={**d.files, step: d.files[step][:-1] + "x", "test_te.csv": "sha256:0"})
    monkeypatch.setitem(DATASETS, "ml-20m", changed)
    out = tmp_path / "out"
    assert call(movielens, "ml-20m", "--from-file", source, "--out", out, "--export-csv", out / "csv") == 2
    said = capsys.readouterr()
    assert f"at {step!r}, the first step that differs" in said.err
    assert said.err.count("\n") == 1
    assert "differs" in said.out
    assert not out.exists()
    assert call(movielens, "ml-20m", "--from-file", source, "--out", out, "--no-verify") == 0


def test_hashes_hold_for_the_published_draw_only(golden, tmp_path, capsys):
    _, source = golden
    assert call(movielens, "ml-20m", "--from-file", source, "--out", tmp_path / "a", "--heldout", 5) == 0
    assert call(movielens, "ml-20m", "--from-file", source, "--out", tmp_path / "b", "--split-seed", 1) == 0
    assert "unique_sid" not in capsys.readouterr().out
    a, b = (StrongSplit.load(tmp_path / x / "ml-20m.safetensors") for x in "ab")
    assert (a.test.n_users, b.test.n_users) == (5, 6)
    assert (a.protocol["seed"], b.protocol["seed"]) == (98765, 1)


def test_another_split_is_not_overwritten(golden, tmp_path, capsys):
    _, source = golden
    arguments = ("ml-20m", "--from-file", source, "--out", tmp_path)
    assert call(movielens, *arguments) == 0
    before = (tmp_path / "ml-20m.safetensors").read_bytes()
    assert call(movielens, *arguments, "--split-seed", 3) == 2
    assert "holds another split" in capsys.readouterr().err
    assert (tmp_path / "ml-20m.safetensors").read_bytes() == before
    assert call(movielens, *arguments) == 0
    assert (tmp_path / "ml-20m.safetensors").read_bytes() == before


HEADER = b"userId,movieId,rating,timestamp\n"
BAD_RATINGS = {
    "header missing": (b"1,2,4.0,9\n", "begins with '1,2,4.0,9'"),
    "extra column": (HEADER + b"1,2,4.0,9\n1,3,4.0,9,5\n", "line 3: '1,3,4.0,9,5' is not {} (5 fields)"),
    "short line": (HEADER + b"1,2,4.0,9\n1,3\n", "line 3: '1,3' is not {} (2 fields)"),
    "no timestamp": (HEADER + b"1,2,4.0,9\n1,3,4.0\n", "line 3: '1,3,4.0' is not {} (3 fields)"),
    "empty line": (HEADER + b"1,2,4.0,9\n\n1,3,4.0,9\n", "line 3: '' is not {} (1 field)"),
    "no number": (HEADER + b"1,2,4.0,9\nx,3,4.0,9\n", "line 3: 'x,3,4.0,9' is not {} (no such userId)"),
    "number too large": (HEADER + b"1,2,4.0,9\n1,9876543210,4.0,9\n", "(no such movieId)"),
    "empty field": (HEADER + b"1,2,,9\n", "line 2: '1,2,,9' is not {} (no rating)"),
    "far away": (HEADER + b"1,2,4.0,9\n" * 100 + b"1,3;4.0;9\n", "line 102: '1,3;4.0;9' is not {} (2 fields)"),
    "rating out of range": (HEADER + b"1,2,4.0,9\n1,2,6.0,9\n", "line 3: rating 6.0 is not in 0.5..5"),
    "rating nan": (HEADER + b"1,2,nan,9\n", "not in 0.5..5"),
    "zero byte": (HEADER + b"1,2\x00,4.0,9\n", "zero bytes"),
    "wrong encoding": (HEADER + b"1,\xff2,4.0,9\n", "is not {}"),
    "another encoding": ("userId,movieId\n1,2\n".encode("utf-16"), "zero bytes"),
    "one endless line": (HEADER + b"1" * 300_000, "line of over"),
    "too few users": (HEADER + b"1,2,4.0,9\n", "too few to hold out"),
    "nothing above the threshold": (HEADER + b"1,2,3.5,9\n", "no interaction"),
    "empty": (b"", "no ratings"),
}


@pytest.mark.parametrize("case", BAD_RATINGS)
def test_bad_ratings_are_refused_in_one_sentence(small, tmp_path, capsys, case):
    content, sentence = BAD_RATINGS[case]
    source = archive(tmp_path / "ml-20m.zip", {"ml-20m/ratings.csv": content})
    assert call(movielens, "ml-20m", "--from-file", source, "--out", tmp_path / "out", "--no-verify") == 2
    said = capsys.readouterr().err
    assert sentence.format("userId,movieId,rating,timestamp") in said
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"5,3,2005-01-01\n", "the first line is not a movie id"),
        (b"1:\n5,3,2005-01-01\n6,,2005-01-01\n", "no rating"),
        (b"1:\n5,3\n", "'5,3'"),
        (b"1:\n5,9,2005-01-01\n", "rating 9 is not in 1..5"),
        (b"1:\nfive,3,2005-01-01\n", "'five,3,2005-01-01'"),
        (b"1:\n:\n5,3,2005-01-01\n", "line 2: ':' is not"),
        (b"<html>log in</html>", "web page"),
    ],
)
def test_bad_netflix_lines(small, tmp_path, capsys, content, sentence):
    source = tmp_path / "combined_data_1.txt"
    source.write_bytes(content)
    assert call(netflix, "--from-file", source, "--out", tmp_path / "out", "--no-verify") == 2
    assert sentence in capsys.readouterr().err


def test_wrong_archives(small, tmp_path, capsys):
    wrong = archive(tmp_path / "wrong.zip", {"ml-1m/README": b"hello"})
    for script, args, sentence in (
        (movielens, ["ml-1m"], "no ratings in a ratings.dat"),
        (netflix, [], "neither mv_*.txt nor combined_data_*.txt"),
        (msd, [], "no train_triplets.txt"),
    ):
        assert call(script, *args, "--from-file", wrong, "--out", tmp_path) == 2
        assert sentence in capsys.readouterr().err
    assert call(movielens, "ml-1m", "--from-file", tmp_path / "none.zip", "--out", tmp_path) == 2
    assert "does not exist" in capsys.readouterr().err


def test_a_member_of_ml_1m_must_have_its_checksum(small, tmp_path, capsys):
    source = archive(tmp_path / "a.zip", movielens_members("ml-1m", draw()))
    assert call(movielens, "ml-1m", "--from-file", source, "--out", tmp_path / "out") == 2
    assert "md5 of ratings.dat" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_no_permission(golden, tmp_path, capsys):
    _, source = golden
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert call(movielens, "ml-20m", "--from-file", source, "--out", blocked) == 2
    assert "cannot write" in capsys.readouterr().err


def test_no_space(golden, tmp_path, capsys):
    _, source = golden
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
    try:
        status = call(movielens, "ml-20m", "--from-file", source, "--out", tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert status == 2
    assert "cannot write" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_a_damaged_split_must_be_removed_by_hand(golden, tmp_path, capsys):
    _, source = golden
    (tmp_path / "ml-20m.safetensors").write_bytes(b"something else")
    assert call(movielens, "ml-20m", "--from-file", source, "--out", tmp_path) == 2
    assert "remove the file first" in capsys.readouterr().err
    assert (tmp_path / "ml-20m.safetensors").read_bytes() == b"something else"


def test_interrupted(capsys):
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as caught:
        guarded(interrupt)
    assert caught.value.code == 130
    assert "run the same command again" in capsys.readouterr().err


def test_as_a_program(tmp_path):
    """The status, the sentence and the help, as a person meets them."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, ROOT / "data_scripts" / "msd.py", "--from-file", tmp_path / "none", "--out", tmp_path]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"error: {tmp_path / 'none'} does not exist; check the path\n"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", ["raw", "folder/ratings.dat"])
def test_a_pipe_is_refused_before_it_is_opened(tmp_path, name):
    """Opening one waits for somebody who writes; no signal ends that while another thread waits for it."""
    (tmp_path / name).parent.mkdir(exist_ok=True)
    os.mkfifo(tmp_path / name)
    command = [
        sys.executable,
        ROOT / "data_scripts" / "movielens.py",
        "ml-1m",
        "--out",
        tmp_path / "out",
        "--from-file",
    ]
    done = subprocess.run(
        [*command, tmp_path / name.partition("/")[0]],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    sentence = f"error: {tmp_path / name} is a pipe or a device, not a file; write its content into a file first\n"
    assert (done.returncode, done.stderr) == (2, sentence)
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not ML_1M.exists(), reason="MovieLens-1M is not on this machine")
def test_real_movielens_1m(tmp_path, capsys):
    csvs = tmp_path / "csv"
    assert call(movielens, "ml-1m", "--from-file", ML_1M, "--out", tmp_path, "--export-csv", csvs) == 0
    with zipfile.ZipFile(ML_1M) as z:
        lines = z.read("ml-1m/ratings.dat").decode().splitlines()
    rows = [tuple(map(int, line.split("::")[:3])) for line in lines]
    check_files(csvs, as_bytes(prepare(rows, 1000, min_rating=4)))
    assert "differs" not in capsys.readouterr().out


def test_input_error_is_what_guarded_catches():
    def fail():
        raise InputError("one sentence")

    with pytest.raises(SystemExit) as caught:
        guarded(fail)
    assert caught.value.code == 2
