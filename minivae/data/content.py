"""What is in a file: its bytes behind any packing, as UTF-8 text with one kind of line end; and what is no text."""

import bz2
import codecs
import gzip
import io
import lzma
import re
import struct
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from minivae.errors import InputError, option
from minivae.runtime.limits import COPIES, allowed_memory, read_limited, refuse_large
from minivae.runtime.text import visible

PIECE = 1 << 24  # bytes at once
TAKEN = 1 << 13  # packed bytes at once: each stream copies those of them that belong to the next
TABLES = (".csv", ".tsv", ".tab", ".txt", ".dat", ".data", ".inter", ".json", ".jsonl", ".ndjson")
PACKED = (".gz", ".bz2", ".xz", ".zip")


def gunzipped(raw: bytes) -> Iterator[bytes]:
    """The content of a .gz, piece by piece."""
    with gzip.open(io.BytesIO(raw)) as stream:
        yield from iter(partial(stream.read, PIECE), b"")


def streams(raw: bytes, decompressor: Callable[[], Any]) -> Iterator[bytes]:
    """The content of one stream after another, piece by piece, to the last byte.

    The file objects of `bz2` and `lzma` pass over a stream that is damaged at its start, and all that comes after it.
    """
    view, at = memoryview(raw), 0
    while at < len(raw):
        stream = decompressor()
        while not stream.eof:
            packed = view[at : at + TAKEN] if stream.needs_input else b""
            if stream.needs_input and not packed:
                raise EOFError("Compressed file ended before the end-of-stream marker was reached")
            at += len(packed)
            yield stream.decompress(packed, PIECE)
        at -= len(stream.unused_data)
        while at < len(raw) and raw[at] == 0:  # .xz may be filled up with zeros
            at += 1


UNPACKING: dict[bytes, Callable[[bytes], Iterator[bytes]]] = {
    b"\x1f\x8b": gunzipped,
    b"BZh": partial(streams, decompressor=bz2.BZ2Decompressor),
    b"\xfd7zXZ": partial(streams, decompressor=lzma.LZMADecompressor),
}
FOREIGN = {  # first bytes -> what the file is, and what to do
    b"\xd0\xcf\x11\xe0": "a spreadsheet of Excel; save it as CSV UTF-8",
    b"SQLite format 3": "a SQLite database; export the table as CSV",
    b"\x89HDF": "an HDF5 file; write the table as Parquet or CSV",
    b"\x28\xb5\x2f\xfd": "packed with zstd; unpack it first (unzstd)",
    b"FEA1": "Feather of version 1; write it again with version 2",
    b"7z\xbc\xaf": "packed with 7-Zip; unpack it first",
    b"Rar!\x1a": "a rar archive; unpack it first",
    b"\x04\x22\x4d\x18": "packed with lz4; unpack it first",
    b"\x1f\x9d": "packed with compress; unpack it first",
    b"Obj\x01": "an Avro file; write the table as Parquet or CSV",
    b"MATLAB 5.0 MAT": "a file of MATLAB; read it with scipy.io.loadmat and write a matrix with scipy.sparse.save_npz",
    b"MATLAB 7.3 MAT": "a file of MATLAB; export the table as CSV",
    b"RDX": "a file of R; write the table there with write.csv(x, row.names = FALSE)",
    b"<stata_dta": "a file of Stata; export the table as CSV",
    b"$FL2": "a file of SPSS; export the table as CSV",
    b"\x89PNG": "a picture",
    b"{\\rtf": "a text of a word processor (RTF); save it as plain text",
    b"\x80\x02": "a pickle, which could run code; write the table as Parquet or CSV",
    b"\x80\x03": "a pickle, which could run code; write the table as Parquet or CSV",
    b"\x80\x04": "a pickle, which could run code; write the table as Parquet or CSV",
    b"\x80\x05": "a pickle, which could run code; write the table as Parquet or CSV",
    b"%%MatrixMarket": "a MatrixMarket file; read it with scipy.io.mmread and write it with scipy.sparse.save_npz",
    b"%PDF": "a PDF; export the table as CSV",
    b"\x93NUMPY": "an array of NumPy; write a table as Parquet or CSV, or a matrix with scipy.sparse.save_npz",
    b"PK\x05\x06": "an empty zip archive",
    **dict.fromkeys(UNPACKING, "packed twice; unpack it once"),
}
LOOKED = 20  # first bytes, of which every second is zero where two bytes are a letter
MARK = b"\xef\xbb\xbf"


def inner_suffix(path: Path) -> str:
    """The ending that names the format, without that of the packing."""
    name = path.name.lower()
    for packing in PACKED:
        name = name.removesuffix(packing)
    return Path(name).suffix


def unpacked(path: Path) -> bytes:
    """The bytes of a file, or of the one table in a zip.

    Not left to polars: older versions take a truncated .gz for a short table.

    Raises
    ------
    InputError
        If a zip holds no table, or several; errors of the packing are left to the caller.
    """
    packed = path.stat().st_size
    refuse_large(packed, allowed_memory() // COPIES, path)
    raw = path.read_bytes()
    if raw.startswith(b"PK\x03\x04") and zipfile.is_zipfile(io.BytesIO(raw)):
        try:
            with (
                zipfile.ZipFile(io.BytesIO(raw)) as archive,
                archive.open(only_table(archive.namelist(), path)) as member,
            ):
                return read_limited(iter(partial(member.read, PIECE), b""), path, packed)
        except InputError:
            raise
        except (ValueError, LookupError, struct.error, NotImplementedError) as e:  # a damaged directory
            raise InputError(f"{path} is a damaged zip archive ({e}); fetch it again") from e
    for magic, pieces in UNPACKING.items():
        if raw.startswith(magic):
            return read_limited(pieces(raw), path, packed)
    return raw


def only_table(names: list[str], path: Path) -> str:
    """The one member of a zip that is a table."""
    if any(n.startswith(("xl/", "word/")) or n in ("[Content_Types].xml", "content.xml") for n in names):
        raise InputError(f"{path} is not plain UTF-8 text but a spreadsheet; save it as CSV UTF-8")
    files = [
        n
        for n in names
        if not n.endswith("/") and not n.startswith("__MACOSX/") and not PurePosixPath(n).name.startswith("._")
    ]
    tables = [n for n in files if PurePosixPath(n.lower()).suffix in TABLES]
    if len(tables) != 1:
        shown = ", ".join(map(visible, (tables or files)[:5])) or "nothing"
        raise InputError(f"{path} holds {shown}; unpack it and give the one table that is meant")
    return tables[0]


def text_of(path: Path, raw: bytes, encoding: str | None) -> bytes:
    """The content as UTF-8 without byte order mark, its lines ended by line feeds.

    Raises
    ------
    InputError
        If it is not text, is a web page, or of another encoding; names the line.
    """
    if encoding is not None:
        raw = recoded(path, raw, encoding)
    raw = without_marks(raw)
    start = raw[:4096].lstrip().lower()
    if not start:
        raise InputError(f"{path} is empty; expected one row per interaction")
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise InputError(f"{path} is a web page, not a table; fetch the data file itself")
    for magic, what in FOREIGN.items():
        if raw.startswith(magic):
            raise InputError(f"{path} is {what}")
    if raw[8:9] == b"{" and path.suffix.lower() == ".safetensors":
        raise InputError(
            f"{path} was saved by minivae or another program and is no table; give the file it was made from"
        )
    if raw[257:262] == b"ustar":
        raise InputError(f"{path} is a tar archive; unpack it and give the table in it")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{path} is not plain UTF-8 text but UTF-16; say {option('encoding', 'utf-16')}")
    if raw.startswith(b"PK\x03\x04"):
        raise InputError(f"{path} is not plain UTF-8 text but a damaged zip archive; fetch it again")
    if (at := raw.find(b"\x00")) >= 0:
        name = next((n for n, of in (("utf-16-le", 1), ("utf-16-be", 0)) if not any(raw[of:LOOKED:2])), None)
        advice = "export it again as UTF-8" + (f", or say {option('encoding', name)}" if name else "")
        raise InputError(f"{path} is not plain UTF-8 text: {line_of(raw, at)} holds a zero byte; {advice}")
    refuse_other_encoding(path, raw)
    return one_line_end(path, raw)


def without_marks(raw: bytes) -> bytes:
    """The text without byte order marks: at its start, and where files that begin with one were joined."""
    while raw.startswith(MARK):
        raw = raw[len(MARK) :]
    if MARK[0] in raw and MARK in raw:  # one byte is looked for ten times as fast as three
        for end in (b"\n", b"\r"):
            raw = raw.replace(end + MARK, end)
    return raw


def recoded(path: Path, raw: bytes, encoding: str) -> bytes:
    """Text of the given encoding as UTF-8.

    What Latin-1 calls control characters are the quotation marks and dashes of Windows (cp1252).
    """
    unknown = InputError(f"encoding {encoding!r} is unknown; some are utf-8, latin-1, cp1252, utf-16, gbk")
    try:
        name = codecs.lookup(encoding).name
    except (LookupError, ValueError):  # it may hold a zero
        raise unknown from None
    if name == "iso8859-1" and (odd := re.search(rb"[\x80-\x9f]", raw)):
        raise InputError(
            f"{path}, {line_of(raw, odd.start())}: byte {odd[0][0]:#04x} is a control character in Latin-1; say "
            f"{option('encoding', 'cp1252')}"
        )
    try:
        return raw.decode(encoding).encode()
    except LookupError:  # it is none of text
        raise unknown from None
    except UnicodeDecodeError as e:
        raise InputError(
            f"{path}, {line_of(raw, e.start)}: byte {raw[e.start]:#04x} is not {encoding}; try another"
        ) from None
    except UnicodeError as e:
        raise InputError(f"{path} cannot be read as {encoding} ({e}); try another encoding") from None


def refuse_other_encoding(path: Path, raw: bytes) -> None:
    """Name the first line that is not UTF-8."""
    if raw.isascii():
        return
    decoder, view, start = codecs.getincrementaldecoder("utf-8")(), memoryview(raw), 0
    try:
        for start in range(0, len(raw), PIECE):
            decoder.decode(view[start : start + PIECE], final=start + PIECE >= len(raw))
    except UnicodeDecodeError as e:
        kept = len(e.object) - min(PIECE, len(raw) - start)  # bytes of a character that began in the piece before
        at = start - kept + e.start
        windows = re.search(rb"[\x80-\x9f]", raw) is not None
        name, known = ("cp1252", "text of Windows") if windows else ("latin-1", "Latin-1")
        raise InputError(
            f"{path}, {line_of(raw, at)}: byte {raw[at]:#04x} is not UTF-8; is it {known}? Then say "
            f"{option('encoding', name)}, else save it as UTF-8"
        ) from None


def line_of(raw: bytes, at: int) -> str:
    """The line in which a byte stands, counted from 1."""
    return f"line {raw[:at].count(10) + 1:,}"


def one_line_end(path: Path, raw: bytes) -> bytes:
    """Line feeds alone; a lone carriage return is a line end only where there is no other."""
    if b"\r" not in raw:
        return raw
    raw = raw.replace(b"\r\n", b"\n")
    if b"\r" in raw:
        if b"\n" not in raw:
            return raw.replace(b"\r", b"\n")
        raise InputError(
            f"{path}, {line_of(raw, raw.find(13))} holds a carriage return that ends no line: mixed line ends, or "
            "one in a field; save the file with one kind of line end"
        )
    return raw
