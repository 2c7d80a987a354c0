"""Debian's index of packages: a matrix worked out by hand, faults in one sentence, and the file that is carried."""

import gzip
import hashlib
import lzma
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tyro
from hypothesis import given
from hypothesis import strategies as st

import minivae as mv
from minivae.data import embedded
from minivae.data.catalogue import describe
from minivae.data.interactions import Interactions
from minivae.errors import InputError
from minivae.preparation.command import guarded
from minivae.runtime.storage import save_arrays
from minivae.study.run import presets
from minivae.study.run.sources import Source

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "data_scripts"))

import debian  # noqa: E402

CARRIED = ROOT / "minivae" / "data" / "embedded" / "debian.safetensors"

# Sources alpha, beta, gamma and delta; libc is built from glibc. What is worked out by hand stands beside it.
INDEX = """\
Package: alpha
Version: 1:2.0-1
Maintainer: Somebody <somebody@example.org>
Depends: libc (>= 2.34), perl:any, editor | vi (<< 3:1), alpha-data (= 1:2.0-1)
Description: names libzzz, which is no dependency
 Depends: libyyy

Package: alpha-data
Source: alpha (2.0-1)
Pre-Depends: libc
Depends: fonts-a,
 fonts-b (>= 1~rc1),
\ttool [amd64 !arm64] <!nocheck>

Package: beta
Depends: libc | libc-compat, abi-5, mail-agent, perl

Package: gamma
Depends: abi-5 (= 5), libc, mail-agent (>> 0), alpha-data
Recommends: libxxx

Package: libc
Source: glibc

Package: perl
Provides: abi-5 (= 5), vi

Package: postbox
Provides: mail-agent

Package: exim
Provides: mail-agent
Depends: postbox, libc

Package: alpha
Version: 1:2.1-1
Depends: postbox
"""
PAIRS = [
    ("alpha", "editor"),  # first of two alternatives, provided by nobody
    ("alpha", "fonts-a"),
    ("alpha", "fonts-b"),  # from a folded line
    ("alpha", "libc"),  # named twice; alpha-data is built from alpha, which does not count
    ("alpha", "perl"),  # perl:any
    ("alpha", "postbox"),  # of the other version
    ("alpha", "tool"),
    ("beta", "libc"),
    ("beta", "mail-agent"),  # two packages provide it: it stands for itself
    ("beta", "perl"),  # named, and behind abi-5 as well, which it alone provides
    ("exim", "libc"),
    ("exim", "postbox"),
    ("gamma", "alpha-data"),
    ("gamma", "libc"),
    ("gamma", "mail-agent"),
    ("gamma", "perl"),
]


@pytest.fixture
def low(monkeypatch):
    """Filters of 2 and 3 in place of 10 and 5."""
    monkeypatch.setattr(debian, "MIN_ITEM", 2)
    monkeypatch.setattr(debian, "MIN_USER", 3)


def index_of(text):
    return debian.read(text.encode().splitlines(keepends=True), "Packages")


def call(*args):
    """Exit status of the script's command line; 0 if it just returns."""
    try:
        guarded(lambda: tyro.cli(debian.main, args=list(map(str, args))))
    except SystemExit as e:
        return e.code
    return 0


def test_pairs_by_hand():
    index = index_of(INDEX)
    assert index.pairs() == PAIRS
    assert index.sha256 == hashlib.sha256(INDEX.encode()).hexdigest()


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("editor | vi", "vi | editor", {("alpha", "editor")}),  # vi is provided by perl alone
        ("Source: alpha (2.0-1)", "Source: other", {("other", "fonts-a"), ("alpha", "alpha-data")}),
        ("Provides: mail-agent\nDepends", "Depends", {("beta", "postbox"), ("beta", "mail-agent")}),
        ("Recommends: libxxx", "Pre-Depends: libxxx", {("gamma", "libxxx")}),
        (" fonts-b", "#", None),
    ],
)
def test_each_rule_changes_the_pairs(old, new, changed):
    """The broken twin of the matrix by hand: another index, or none at all."""
    assert old in INDEX
    if changed is None:
        with pytest.raises(InputError, match="line"):
            index_of(INDEX.replace(old, new))
    else:
        assert changed <= set(index_of(INDEX.replace(old, new)).pairs()) ^ set(PAIRS)


def test_filters_run_once_items_first(low):
    """Five items have 2 users; then exim has 2 of them and goes, with which postbox is left with one user."""
    assert debian.filtered(PAIRS) == [
        ("alpha", "libc"),
        ("alpha", "perl"),
        ("alpha", "postbox"),
        ("beta", "libc"),
        ("beta", "mail-agent"),
        ("beta", "perl"),
        ("gamma", "libc"),
        ("gamma", "mail-agent"),
        ("gamma", "perl"),
    ]


@pytest.mark.parametrize("form", ["Packages", "Packages.gz", "Packages.xz", "index"])
def test_every_form_gives_the_same_bytes(low, tmp_path, capsys, form):
    pack = {".gz": gzip.compress, ".xz": lzma.compress}.get(Path(form).suffix, bytes)
    (tmp_path / form).write_bytes(pack(INDEX.encode()))
    for folder in ("a", "b"):
        assert call("--from-file", tmp_path / form, "--out", tmp_path / folder) == 0
    a, b = ((tmp_path / folder / "debian.safetensors").read_bytes() for folder in ("a", "b"))
    assert a == b
    data = Interactions.load(tmp_path / "a" / "debian.safetensors")
    assert data.user_labels.tolist() == ["alpha", "beta", "gamma"]
    assert data.item_labels.tolist() == ["libc", "perl", "postbox", "mail-agent"]
    assert data.matrix.toarray().tolist() == [[1, 1, 1, 0], [1, 1, 0, 1], [1, 1, 0, 1]]
    printed = capsys.readouterr().out
    assert hashlib.sha256(a).hexdigest() in printed
    assert "no reference" in printed
    assert b"@" not in a


names = st.text("abc1+.-", min_size=1, max_size=4).map(lambda s: "a" + s)
clause = st.lists(names, min_size=1, max_size=3)


@given(st.lists(clause, max_size=5), st.randoms(use_true_random=False))
def test_relations_survive_every_ornament(clauses, rng):
    """Versions with epochs, architectures, profiles and spaces are no part of a name, wherever they stand."""

    def ornate(name):
        version = rng.choice(["", " (>= 1:2.0-1~bpo+1)", "(<<3)", " ( = 0 )"])
        return (
            name + rng.choice(["", ":any", ":native"]) + version + rng.choice(["", " [amd64 !i386]", " <!cross> <a>"])
        )

    written = rng.choice([",", ", ", " ,\n "]).join(rng.choice(["|", " | "]).join(map(ornate, c)) for c in clauses)
    assert debian.relations(written, "") == clauses


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("user,item\n1,2\n", "Packages, line 1 is no line of a package index"),
        ("Package: a1\nPackage: b1\n", "line 2: the field Package stands twice"),
        (" lost\n", "line 1 continues a field, but none stands before it"),
        ("Package: a1\n\nDepends: b1\n", "line 3: the stanza names no package"),
        ("Package: A_1\n", "line 1: the stanza names no package"),
        ("Package: a1\nDepends: b1 (>= 1\n", "line 1, Depends: 'b1 (>= 1' is no relation"),
        ("Package: a1\nDepends: b1 c1\n", "is no relation to a package"),
        ("Package: a1\nDepends: b1 |\n", "is no relation to a package"),
        ("Package: a1\nBinary: a1\n", "is a source package; give the index of binary packages"),
        ("Package: a1\nDepends: b1", "ends within line 2: it is truncated"),
        ("\n\n", "is empty; fetch it again"),
        ("Package: a1\nDescription: \udcff\n", "line 2 is no UTF-8 text"),
    ],
)
def test_broken_indexes_are_refused_in_one_sentence(tmp_path, capsys, text, sentence):
    file = tmp_path / "Packages"
    file.write_bytes(text.encode(errors="surrogateescape"))
    assert call("--from-file", file, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_index_without_packages_is_refused():
    with pytest.raises(InputError, match="holds no package"):
        index_of("\n\n")


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_a_truncated_archive_is_refused(tmp_path, capsys, pack):
    file = tmp_path / "Packages.x"
    file.write_bytes(pack(INDEX.encode())[:-9])
    assert call("--from-file", file, "--out", tmp_path / "out") == 2
    assert re.search("truncated|damaged", capsys.readouterr().err)


def test_what_cannot_be_had_or_kept_is_refused(low, tmp_path, capsys, monkeypatch):
    assert call("--from-file", tmp_path / "none", "--out", tmp_path) == 2
    assert "is no file" in capsys.readouterr().err
    assert call("--from-file", tmp_path, "--apt", "--out", tmp_path) == 2
    assert "give one of them" in capsys.readouterr().err
    monkeypatch.setattr(debian.shutil, "which", lambda name: None)
    assert call("--apt", "--out", tmp_path) == 2
    assert "apt-cache is not on this machine" in capsys.readouterr().err
    (tmp_path / "Packages").write_text("Package: a1\nDepends: b1\n")
    assert call("--from-file", tmp_path / "Packages", "--out", tmp_path) == 2
    assert "none of the 1 pairs is left" in capsys.readouterr().err
    (tmp_path / "Packages").write_text(INDEX)
    (tmp_path / "debian.safetensors").write_bytes(b"mine")
    assert call("--from-file", tmp_path / "Packages", "--out", tmp_path) == 2
    assert "holds something else" in capsys.readouterr().err
    assert (tmp_path / "debian.safetensors").read_bytes() == b"mine"


def test_apt_is_asked(low, tmp_path, monkeypatch):
    """A stand-in for apt-cache prints the index."""
    tool = tmp_path / "apt-cache"
    tool.write_text(f"#!/bin/sh\n[ $1 = dumpavail ] && cat {tmp_path}/Packages\n")
    tool.chmod(0o755)
    (tmp_path / "Packages").write_text(INDEX)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert call("--apt", "--out", tmp_path / "a") == 0
    assert call("--from-file", tmp_path / "Packages", "--out", tmp_path / "b") == 0
    a, b = ((tmp_path / folder / "debian.safetensors").read_bytes() for folder in ("a", "b"))
    assert a == b


def test_the_known_index_must_give_the_known_file(low, tmp_path, capsys, monkeypatch):
    """Verification: with the sha256 of the index on record, any other count or file is an error and writes nothing."""
    (tmp_path / "Packages").write_text(INDEX)
    monkeypatch.setattr(embedded, "DEBIAN_INDEX", hashlib.sha256(INDEX.encode()).hexdigest())
    assert call("--from-file", tmp_path / "Packages", "--out", tmp_path / "out") == 2
    assert "verification failed at 'pairs'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_download_asks_the_release_for_the_checksum(low, tmp_path, capsys, monkeypatch):
    from minivae.preparation import download

    packed = lzma.compress(INDEX.encode())
    name = "main/binary-amd64/Packages.xz"
    release = f"Origin: Debian\nSHA256:\n {hashlib.sha256(packed).hexdigest()}  {len(packed)} {name}\n"
    asked = []

    def retrieve(what, urls, checksum, folder, name):
        asked.append((what, urls, checksum))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(packed)
        return folder / name

    monkeypatch.setattr(download, "text_at", lambda url: release if url.endswith("/trixie/Release") else "")
    monkeypatch.setattr(download, "retrieve", retrieve)
    assert call("--release", "trixie", "--out", tmp_path) == 0
    ((what, urls, checksum),) = asked
    assert (what, checksum) == ("trixie", f"sha256:{hashlib.sha256(packed).hexdigest()}")
    assert urls == [f"{debian.MIRROR}/dists/trixie/{name}"]
    assert call("--release", "no-such", "--out", tmp_path) == 2
    assert "check --release and --architecture" in capsys.readouterr().err


def test_the_file_on_board():
    assert hashlib.sha256(CARRIED.read_bytes()).hexdigest() == embedded.DEBIAN_FILE
    data = mv.debian()
    counts = {k: n for k, n in embedded.DEBIAN_COUNTS.items() if k != "pairs"}
    assert counts == {"pairs kept": data.n_events, "users": data.n_users, "items": data.n_items}
    assert np.diff(data.matrix.indptr).min() >= debian.MIN_USER
    labels = [*data.user_labels.tolist(), *data.item_labels.tolist()]
    assert all(map(debian.NAME.fullmatch, labels))  # names of packages: no person, no address
    text = (CARRIED.parent / "README.md").read_text(encoding="utf-8")
    assert {embedded.DEBIAN_FILE, embedded.DEBIAN_INDEX} <= set(re.findall("[0-9a-f]{64}", text))
    assert f"{data.n_users:,} source packages" in text
    assert f"{data.n_events:,} pairs" in text


def test_debian_is_data_for_every_command():
    split = Source("debian").load(tables=False)
    assert describe(split).users == {"training": 7215, "validation": 1500, "test": 1500}
    assert split.name == "debian" == presets.for_data("debian").data
    other = Source("debian", heldout=100, split_seed=1).load()
    assert other.test.n_users == 100
    assert set(other.test.user_labels.tolist()) - set(split.test.user_labels.tolist())
    with pytest.raises(InputError, match="--rating cannot go with --data debian"):
        Source("debian", rating="r").load()


def test_interactions_keep_on_disk(tmp_path):
    data = Interactions.from_labels([7, 3, 7], ["ä", "b", "b"], {"b": "Bé"}, "name")
    data.save(tmp_path / "a.safetensors")
    data.save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    back = Interactions.load(tmp_path / "a.safetensors")
    for key in ("user", "item", "user_labels", "item_labels", "item_titles"):
        assert getattr(back, key).tolist() == getattr(data, key).tolist(), key
    assert (back.name, back.user.dtype) == ("name", np.int32)
    loaded = Source(str(tmp_path / "a.safetensors"))
    assert loaded.table
    with pytest.raises(InputError, match="--user cannot go"):
        Source(str(tmp_path / "a.safetensors"), user="u").load()
    with pytest.raises(InputError, match="too few to hold out"):
        loaded.load()


def test_damaged_interactions_are_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    Interactions.from_labels([1, 2], [1, 2]).save(path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        Interactions.load(path)
    for arrays in ({}, {"user": np.array([5]), "item": np.array([0])}, {"user": np.array([0.5])}):
        labels = {"user_labels": np.array([1]), "item_labels": np.array([1])}
        save_arrays(path, "interactions", arrays | labels, {"name": ""})
        with pytest.raises(InputError, match="do not fit each other"):
            Interactions.load(path)


def test_data_list_and_info(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def run(*args):
        command = [sys.executable, "-m", "minivae", *args]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    listed = next(line for line in run("data", "list").splitlines() if line.split()[:1] == ["debian"])
    assert "facts of a public index" in listed
    assert "minivae study --data debian" in listed
    facts = dict(re.findall(r"^ +(\S.*\S) {2,}(\S+) *$", run("data", "info", "debian"), re.MULTILINE))
    assert facts["name"] == "debian"
    assert (facts["users, training"], facts["users, test"], facts["items"]) == ("7,215", "1,500", "2,368")
