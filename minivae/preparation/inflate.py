"""Deflate streams through igzip, which is more than twice as fast as zlib; through zlib where igzip is not installed.

Both give the same bytes and find the same damage: a broken stream, an early end, a wrong length, a wrong CRC.
"""

import gzip
import zipfile
import zlib
from copy import copy
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, cast

try:
    from isal import igzip as fast_gzip
    from isal import isal_zlib as fast_zlib
except ImportError:  # no wheel for this machine
    fast_gzip, fast_zlib = gzip, zlib

BROKEN = (zlib.error, cast("type[Exception]", fast_zlib.error), gzip.BadGzipFile, EOFError)
PIECE = 1 << 16


class Readable(Protocol):
    """What archives are read through: less than a file, no more is needed."""

    def read(self, n: int, /) -> bytes:
        """At most n bytes."""
        ...

    def __enter__(self) -> Any: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


def open_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Readable:
    """A member of a zip to read from; what is not deflated, or is encrypted, is left to zipfile."""
    if member.compress_type != zipfile.ZIP_DEFLATED or member.flag_bits & 1:
        return archive.open(member)
    raw = copy(member)  # the same bytes, taken as they stand in the archive
    raw.compress_type, raw.file_size = zipfile.ZIP_STORED, member.compress_size
    raw.CRC = None  # pyright: ignore[reportAttributeAccessIssue]  (zipfile: not compared)
    return Inflated(archive.open(raw), member)


def open_gzip(path: Path) -> Any:
    """The content of a gzip file; its CRC is compared at its end."""
    return fast_gzip.open(path, "rb")


class Inflated:
    """What a deflated member of a zip unpacks to.

    Parameters
    ----------
    source : IO[bytes]
        Its deflate stream
    member : zipfile.ZipInfo
        Says which CRC and length are expected
    """

    def __init__(self, source: IO[bytes], member: zipfile.ZipInfo) -> None:
        self.source, self.member = source, member
        self.inflater = fast_zlib.decompressobj(-zlib.MAX_WBITS)
        self.crc = self.length = 0

    def read(self, n: int) -> bytes:
        """Some of the next n bytes, none only at the end.

        Raises
        ------
        zipfile.BadZipFile, EOFError, error of zlib or isal
            If the stream is damaged, ends early, or is not what the archive says.
        """
        part = b""
        while n and not part and not self.inflater.eof:
            packed = self.inflater.unconsumed_tail or self.source.read(PIECE)
            part = self.inflater.decompress(packed, n)
            if not packed and not part:
                raise EOFError("compressed data ends before its end marker")
        self.crc = fast_zlib.crc32(part, self.crc)
        self.length += len(part)
        if self.inflater.eof and (self.crc, self.length) != (self.member.CRC, self.member.file_size):
            raise zipfile.BadZipFile(f"bad CRC-32 or length of {self.member.filename}")
        return part

    def __enter__(self) -> "Inflated":
        return self

    def __exit__(self, *_: object) -> None:
        self.source.close()
