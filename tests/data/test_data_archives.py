"""Archives that are damaged, hostile or something else, and downloads that break off."""

import gzip
import hashlib
import io
import os
import re
import resource
import tarfile
import threading
import time
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from unittest.mock import patch

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minivae.data.catalogue import DATASETS, describe, find, folders, listing, resolve
from minivae.data.splits import FoldIn, StrongSplit
from minivae.errors import InputError
from minivae.preparation import archives, download, inflate
from minivae.preparation.archives import blocks, streams, whole
from minivae.preparation.parallel import WORKERS, in_order

TEXT = b"1,2\n3,4\n"


@pytest.fixture
def small_files():
    """No file of this process can grow beyond 100 kB: what a full disk looks like."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def contents(path, wanted="r.txt".__eq__, limit=1 << 20):
    return {name: whole(stream) for name, stream in streams(path, wanted, limit)}


def zipped(path, members, **kwargs):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **kwargs) as z:
        for name, content in members:
            z.writestr(name, content)
    return path


def tarred(path, members, mode="w"):
    with tarfile.open(path, mode) as t:
        for member, content in members:
            member = tarfile.TarInfo(member) if isinstance(member, str) else member
            member.size = len(content)
            t.addfile(member, io.BytesIO(content))
    return path


def refused(sentence, path, **kwargs):
    before = sorted(path.parent.rglob("*"))
    with pytest.raises(InputError, match=sentence) as caught:
        contents(path, **kwargs)
    assert "\n" not in str(caught.value)
    assert sorted(path.parent.rglob("*")) == before  # nothing was unpacked


def test_names_that_climb_out_are_read_but_never_written(tmp_path):
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    for path in (
        zipped(folder / "z.zip", [("../../r.txt", TEXT), ("/etc/passwd", b"x")]),
        tarred(folder / "t.tar", [("../../r.txt", TEXT), ("/etc/passwd", b"x")]),
    ):
        assert contents(path) == {"r.txt": TEXT}
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["t.tar", "z.zip"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar(tmp_path, kind):
    member = tarfile.TarInfo("data/r.txt")
    member.type, member.linkname = kind, "/etc/passwd"
    refused("is a link or device", tarred(tmp_path / "t.tar", [(member, b"")]))


def test_a_link_in_a_zip(tmp_path):
    member = zipfile.ZipInfo("r.txt")
    member.external_attr = 0o120777 << 16
    refused("is a link", zipped(tmp_path / "z.zip", [(member, b"/etc/passwd")]))


def test_bombs_stop_at_the_limit(tmp_path):
    bomb = b"1,2\n" * (1 << 20)
    for path in (
        zipped(tmp_path / "z.zip", [("r.txt", bomb)]),
        tarred(tmp_path / "t.tar.gz", [("r.txt", bomb)], "w:gz"),
    ):
        with pytest.raises(InputError, match="unpacks to over 1,000,000 bytes"):
            list(blocks(streams(path, "r.txt".__eq__, 1_000_000), size=1 << 16))


def test_a_line_without_end(tmp_path):
    path = zipped(tmp_path / "z.zip", [("r.txt", TEXT + b"1" * (1 << 18))])
    with pytest.raises(InputError, match="line of over"):
        list(blocks(streams(path, "r.txt".__eq__, 1 << 20), size=1 << 17))


def test_the_same_name_twice(tmp_path):
    refused("holds r.txt twice", zipped(tmp_path / "z.zip", [("a/r.txt", TEXT), ("b/r.txt", TEXT)]))
    refused("holds r.txt twice", tarred(tmp_path / "t.tar", [("a/r.txt", TEXT), ("b/r.txt", TEXT)]))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar"])
def test_truncated_archives(tmp_path, kind, share):
    noise = hashlib.shake_256(b"seed").hexdigest(30_000).encode()
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        zipped(path, [("r.txt", noise)])
    else:
        tarred(path, [("r.txt", noise)], "w:gz" if kind == "tar.gz" else "w")
        share = min(share, 0.8)  # the end of a tar is padding
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    refused("truncated|damaged", path)


def test_a_flipped_byte_in_a_zip(tmp_path):
    path = zipped(tmp_path / "z.zip", [("r.txt", hashlib.shake_256(b"seed").hexdigest(9_000).encode())])
    raw = bytearray(path.read_bytes())
    raw[4000] ^= 1
    path.write_bytes(raw)
    refused("truncated or damaged", path)


@pytest.fixture(params=["igzip", "zlib"])
def inflater(request, monkeypatch):
    """Both ways to unpack."""
    if request.param == "igzip":
        pytest.importorskip("isal")
    else:
        monkeypatch.setattr(inflate, "fast_zlib", zlib)
        monkeypatch.setattr(inflate, "fast_gzip", gzip)


@given(st.binary(max_size=3000), st.integers(0, 9), st.integers(1, 4000), st.integers(1, 50))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_inflated_is_what_was_packed(inflater, content, level, ask, piece):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as z:
        z.writestr("r.txt", content * 3)
    with (
        patch.object(inflate, "PIECE", piece),
        zipfile.ZipFile(packed) as z,
        inflate.open_member(z, z.getinfo("r.txt")) as f,
    ):
        got = list(iter(lambda: f.read(ask), b""))
        assert b"".join(got) == content * 3
        assert all(len(part) <= ask for part in got)
        assert f.read(ask) == b""


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
def test_no_flipped_bit_of_a_member_goes_unseen(inflater, tmp_path_factory, data):
    """In its deflate stream, or in the CRC and lengths that the directory states."""
    text = b"".join(b"%d,%d\n" % (k, k * k) for k in range(300))
    path = zipped(tmp_path_factory.mktemp("flip") / "z.zip", [("r.txt", text)])
    raw = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as z:
        member = z.getinfo("r.txt")
    start = member.header_offset + 30 + len("r.txt")
    directory = raw.find(b"PK\x01\x02")
    places = [*range(start, start + member.compress_size), *range(directory + 16, directory + 28)]
    raw[data.draw(st.sampled_from(places))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(raw)
    try:
        got = contents(path)
    except InputError as e:
        assert "truncated or damaged" in str(e) or "over 1,048,576 bytes" in str(e)  # noqa: PT017
    else:  # a bit of padding after the end marker
        assert got == {"r.txt": text}


def test_a_wrong_crc_in_the_directory(inflater, tmp_path):
    path = zipped(tmp_path / "z.zip", [("r.txt", TEXT)])
    raw = bytearray(path.read_bytes())
    raw[raw.find(b"PK\x01\x02") + 16] ^= 1
    path.write_bytes(raw)
    refused("bad CRC-32 or length of r.txt", path)


@pytest.mark.parametrize("kind", ["r.txt.gz", "t.tar.gz"])
@pytest.mark.parametrize("at", [-8, -4], ids=["CRC", "length"])
def test_a_wrong_end_of_a_gzip(inflater, tmp_path, kind, at):
    path = tmp_path / kind
    if "tar" in kind:
        tarred(path, [("r.txt", TEXT)], "w:gz")
    else:
        path.write_bytes(gzip.compress(TEXT))
    assert contents(path) == {"r.txt": TEXT}
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)
    refused("truncated or damaged", path)


@pytest.mark.parametrize(("header", "flags", "name"), [(b"PK\x03\x04", 6, 30), (b"PK\x01\x02", 8, 46)])
def test_a_name_that_says_utf_8_and_is_not(tmp_path, header, flags, name):
    """In the header of the member, or in the table of contents; found by tests/faults/fuzz.py."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("a.dat", "1::2\n" * 9)
    assert [n for n, _ in streams(path, lambda _: True, 1000)] == ["a.dat"]
    content = bytearray(path.read_bytes())
    at = content.index(header)
    content[at + flags + 1] |= 8  # bit 11
    content[at + name] = 0xA1
    path.write_bytes(content)
    with pytest.raises(InputError, match="is truncated or damaged"):
        list(streams(path, lambda _: True, 1000))


def test_encrypted_and_unknown_compression(tmp_path):
    path = zipped(tmp_path / "z.zip", [("r.txt", TEXT)])
    raw = bytearray(path.read_bytes())
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        raw[raw.find(signature) + at] |= 1
    path.write_bytes(raw)
    refused("cannot be unpacked", path)
    raw = bytearray(zipped(path, [("r.txt", TEXT)]).read_bytes())
    for signature, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        raw[raw.find(signature) + at] = 97
    path.write_bytes(raw)
    refused("cannot be unpacked", path)


@pytest.mark.parametrize(
    "page", [b"<!DOCTYPE html>", b"\n <html><body>", b"<?xml version='1.0'?>", b"\xef\xbb\xbf<HTML>"]
)
def test_a_web_page_instead_of_an_archive(tmp_path, page):
    path = tmp_path / "ml-20m.zip"
    path.write_bytes(page + b"404")
    refused("is a web page, not data", path)


def test_empty_missing_and_unreadable(tmp_path):
    refused("does not exist", tmp_path / "none")
    (tmp_path / "empty").touch()
    refused("is empty", tmp_path / "empty")
    if os.geteuid():
        (tmp_path / "secret").write_bytes(TEXT)
        (tmp_path / "secret").chmod(0)
        refused("cannot be read", tmp_path / "secret")


@given(st.binary(max_size=300), st.sampled_from([b"", b"PK\x03\x04", b"\x1f\x8b\x08\x00"]))
def test_any_bytes_are_read_or_refused(tmp_path_factory, noise, magic):
    path = tmp_path_factory.mktemp("any") / "file"
    path.write_bytes(magic + noise)
    try:
        list(blocks(streams(path, "r.txt".__eq__, 1 << 20)))
    except InputError as e:
        assert str(path) in str(e) or "zero bytes" in str(e)  # noqa: PT017 (only some examples raise)


@given(st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\x00", b"\n")), max_size=6), st.integers(1, 50))
def test_blocks_are_whole_lines_and_lose_nothing(members, size):
    named = [(f"m{k}", io.BytesIO(content)) for k, content in enumerate(members)]
    md5 = {}
    got = list(blocks(iter(named), md5, size))
    assert all(block.endswith(b"\n") for block in got)
    whole = b"".join(content + (b"\n" if content and not content.endswith(b"\n") else b"") for content in members)
    assert b"".join(got) == whole
    assert list(md5.values()) == [hashlib.md5(content).hexdigest() for content in members]


@given(st.lists(st.integers(0, 9), max_size=30))
def test_in_order_is_map(numbers):
    def slow(n):
        time.sleep(n / 10_000)
        return n * n

    assert list(in_order(slow, iter(numbers))) == [n * n for n in numbers]


@pytest.mark.parametrize(("end", "error"), [(2, "item"), (3, "item"), (4, "work"), (9, "work")])
def test_in_order_passes_errors_on_at_their_place(end, error):
    def work(n):
        if n == 3:
            raise InputError("work")
        return n

    def items():
        yield from range(end)
        raise InputError("item")

    results = in_order(work, items())
    assert list(islice(results, min(end, 3))) == list(range(min(end, 3)))
    with pytest.raises(InputError, match=error):
        next(results)


def test_in_order_runs_ahead_by_a_few_only():
    made = []

    def items():
        for n in range(100):
            made.append(n)
            yield n

    for n in in_order(lambda n: n, items()):
        assert len(made) <= n + WORKERS + 3


CONTENT = hashlib.shake_256(b"content").digest(2_000_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(BaseHTTPRequestHandler):
    """/f.zip is `content`, with ranges; breaks off after `cut` bytes while `breaks` lasts; the rest are web pages."""

    breaks, cut, ranges, asked, content, versions = 0, 500_000, True, [], CONTENT, {}

    def do_GET(self):
        cls = type(self)
        cls.asked.append(self.headers.get("Range"))
        if self.path != "/f.zip":
            self.send_response(404 if self.path == "/gone" else 200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<html>sorry</html>")
            return
        start = int(re.search(r"\d+", self.headers["Range"])[0]) if self.headers.get("Range") and cls.ranges else 0
        if start >= len(cls.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(cls.content)}")
            self.end_headers()
            return
        body = cls.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        for name, value in cls.versions.items():
            self.send_header(name, value)
        self.end_headers()
        if cls.breaks:
            cls.breaks -= 1
            body = body[: cls.cut]
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@contextmanager
def served(**state):
    handler = type("Handler", (Server,), {"asked": [], **state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", handler
    finally:
        server.shutdown()
        server.server_close()


def known(*urls, checksum=MD5):
    return replace(DATASETS["ml-1m"], sources=urls, archive={"md5": checksum} if checksum else {})


def test_download_and_no_second_download(tmp_path):
    with served() as (url, handler):
        path = download.fetch(known(f"{url}/f.zip"), tmp_path)
        assert path.read_bytes() == CONTENT
        assert download.fetch(known(f"{url}/f.zip"), tmp_path) == path
        assert len(handler.asked) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_broken_connection_is_continued_where_it_stopped(tmp_path):
    with served(breaks=2) as (url, handler):
        assert download.fetch(known(f"{url}/f.zip"), tmp_path).read_bytes() == CONTENT
        starts = [int(asked[6:-1]) for asked in handler.asked[1:]]
        assert handler.asked[0] is None
        for k, start in enumerate(starts, 1):
            assert 500_000 * k - k * download.CHUNK <= start <= 500_000 * k


def test_a_second_run_continues(tmp_path):
    with served(breaks=3) as (url, handler):
        with pytest.raises(InputError, match="run the same command again to continue"):
            download.fetch(known(f"{url}/f.zip"), tmp_path)
        part, note = sorted(tmp_path.iterdir())
        assert (part.suffix, note.name) == (".part", f"{part.name}.json")
        have = part.read_bytes()
        assert have == CONTENT[: len(have)]
        assert len(have) > 1_000_000
        assert download.fetch(known(f"{url}/f.zip"), tmp_path).read_bytes() == CONTENT
        assert handler.asked[-1] == f"bytes={len(have)}-"


def test_a_server_without_ranges_starts_again(tmp_path):
    with served(breaks=1, ranges=False) as (url, _):
        assert download.fetch(known(f"{url}/f.zip"), tmp_path).read_bytes() == CONTENT


def test_a_complete_part_needs_nothing_more(tmp_path):
    with served() as (url, handler):
        (tmp_path / "f.zip.part").write_bytes(CONTENT)
        download.Note(f"{url}/f.zip").write(tmp_path / "f.zip.part.json")
        assert download.fetch(known(f"{url}/f.zip"), tmp_path).read_bytes() == CONTENT
        assert handler.asked == [f"bytes={len(CONTENT)}-"]
    assert [p.name for p in tmp_path.iterdir()] == ["f.zip"]


def test_a_part_of_somebody_else_is_left_alone(tmp_path):
    """A browser may keep its own download under the same name."""
    with served(breaks=1) as (url, _):
        (tmp_path / "f.zip.part").write_bytes(b"of a browser")
        assert download.fetch(known(f"{url}/f.zip"), tmp_path).read_bytes() == CONTENT
    assert (tmp_path / "f.zip.part").read_bytes() == b"of a browser"
    assert {p.name for p in tmp_path.iterdir()} == {"f.zip", "f.zip.part"}


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("version", ["ETag", "Last-Modified", None])
def test_two_versions_are_never_mixed(tmp_path, monkeypatch, version, ranges):
    """Without a checksum too: the rest is asked for of the version that is there, and of no other."""
    new = bytes(reversed(CONTENT))
    with served(breaks=3, ranges=ranges) as (url, handler):
        handler.versions = {version: "one"} if version else {}
        with pytest.raises(InputError):
            download.fetch(known(f"{url}/f.zip", checksum=None), tmp_path)
        handler.versions = {version: "two"} if version else {}
        monkeypatch.setattr(handler, "content", new)
        assert download.fetch(known(f"{url}/f.zip", checksum=None), tmp_path).read_bytes() == new


def test_what_has_changed_since_it_was_fetched_is_fetched_again(tmp_path):
    """Where no checksum is published; what lies there is kept under another name."""
    with served() as (url, handler):
        path = download.fetch(known(f"{url}/f.zip", checksum=None), tmp_path)
        assert download.fetch(known(f"{url}/f.zip", checksum=None), tmp_path) == path
        assert len(handler.asked) == 1
        path.write_bytes(b"garbage")
        assert download.fetch(known(f"{url}/f.zip", checksum=None), tmp_path).read_bytes() == CONTENT
        assert len(handler.asked) == 2
    assert [p.read_bytes() for p in tmp_path.glob("*.changed")] == [b"garbage"]


def test_wrong_checksum_leaves_nothing(tmp_path):
    with served() as (url, _), pytest.raises(InputError, match="does not have the checksum md5:0000"):
        download.fetch(known(f"{url}/f.zip", checksum="0" * 32), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_dead_links_are_named_and_the_next_source_is_tried(tmp_path):
    with served() as (url, _):
        path = download.fetch(known(f"{url}/page", f"{url}/gone", f"{url}/f.zip"), tmp_path)
        assert path.read_bytes() == CONTENT
        with pytest.raises(InputError, match=r"web page instead of a file.*HTTPError") as caught:
            download.fetch(known(f"{url}/page", f"{url}/gone", checksum=None), tmp_path / "new")
        assert "--from-file" in str(caught.value)


def test_no_space_for_the_download(tmp_path, small_files):
    with served() as (url, _), pytest.raises(InputError, match=r"cannot write to .*too large"):
        download.fetch(known(f"{url}/f.zip"), tmp_path)


def test_nobody_listens(tmp_path):
    with pytest.raises(InputError, match="ConnectionError"):
        download.fetch(known("http://127.0.0.1:9/f.zip"), tmp_path)


def test_catalogue_looks_where_it_says(tmp_path, monkeypatch, toy_split):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MINIVAE_DATA", raising=False)
    with pytest.raises(InputError, match=r"ml-1m is not prepared in data; make it with minivae data prepare ml-1m"):
        resolve("ml-1m")
    with pytest.raises(InputError, match="neither a file nor one of the data sets"):
        resolve("ml-2m")
    toy_split.save(tmp_path / "data" / "ml-1m.safetensors")
    assert resolve("ml-1m") == find("ml-1m")
    monkeypatch.setenv("MINIVAE_DATA", str(tmp_path / "elsewhere"))
    assert [p.name for p in folders()] == ["elsewhere", "data"]
    toy_split.save(tmp_path / "elsewhere" / "ml-1m.safetensors")
    assert resolve("ml-1m").parent.name == "elsewhere"
    assert folders("given")[0].name == "given"
    rows = {row["name"]: row for row in listing()}
    assert set(rows) == {"planted", "debian", *DATASETS}
    assert rows["ml-1m"]["prepared"].endswith("elsewhere/ml-1m.safetensors")
    assert rows["netflix"]["prepared"] == "no"
    assert all(all(row.values()) for row in rows.values())


def test_a_description_counts(toy_split):
    facts = describe(toy_split)
    assert facts.users == {"training": 400, "validation": 100, "test": 100}
    assert facts.events["training"] == toy_split.train.nnz
    assert facts.heldout_events == {"validation": 200, "test": 200}
    assert facts.density == pytest.approx(toy_split.train.toarray().mean())
    assert facts.items_per_user["median"] == sorted(toy_split.train.toarray().sum(1))[200]


def test_a_description_of_six_users_by_hand():
    """Three training users with 2, 1 and 2 items, of three items with 3, 1 and 1 users."""
    rows = [[[1, 1, 0], [1, 0, 0], [1, 0, 1]], [[1, 0, 0], [0, 1, 1]], [[0, 1, 0], [0, 0, 0]], [[0, 0, 1]], [[1, 1, 0]]]
    train, history, heldout, seen, hidden = (sp.csr_matrix(np.array(r, dtype=np.float32)) for r in rows)
    facts = describe(StrongSplit(train, FoldIn(history, heldout), FoldIn(seen, hidden), np.array(["a", "b", "c"])))
    assert facts.users == {"training": 3, "validation": 2, "test": 1}
    assert facts.events == {"training": 5, "validation": 4, "test": 3}
    assert facts.heldout_events == {"validation": 1, "test": 2}
    assert facts.users_without_heldout == {"validation": 1, "test": 0}
    assert (facts.items, facts.titles, facts.density) == (3, False, 5 / 9)
    quantiles = ["minimum", "lower quartile", "median", "upper quartile", "maximum"]
    assert facts.items_per_user == dict(zip(quantiles, [1, 1.5, 2, 2, 2], strict=True))
    assert facts.users_per_item == dict(zip(quantiles, [1, 1, 1, 2, 3], strict=True))


def test_scripts_named_in_the_catalogue_exist():
    root = archives.Path(__file__).resolve().parents[2]
    for d in DATASETS.values():
        assert (root / d.script.split()[0]).is_file()
