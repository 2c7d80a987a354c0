"""Streams out of raw files, folders, zip and tar archives. Nothing is unpacked to disk, so nothing can escape there."""

import hashlib
import lzma
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from minivae.errors import InputError
from minivae.preparation import inflate

BLOCK = 1 << 22  # unpacked, parsed and forgotten while it is still near the processor
TAR_BLOCK = 1 << 18
LONGEST_LINE = 1 << 16
BROKEN: tuple[type[BaseException], ...] = (
    zipfile.BadZipFile,
    tarfile.TarError,
    lzma.LZMAError,
    UnicodeDecodeError,
    *inflate.BROKEN,
)


@contextmanager
def readable(path: str | Path) -> Iterator[None]:
    """Turn every way in which reading an archive fails into one sentence."""
    try:
        yield
    except BROKEN as e:
        raise InputError(f"{path} is truncated or damaged ({e}); fetch it again") from e
    except (NotImplementedError, RuntimeError) as e:  # an unknown compression; a password
        raise InputError(f"{path} cannot be unpacked ({e}); pack it again as a plain zip or tar") from e
    except OSError as e:
        raise InputError(f"{path} cannot be read: {e.strerror or e}") from e


def streams(path: Path, wanted: Callable[[str], bool], limit: int) -> "Iterator[tuple[str, Limited]]":
    """(base name, stream) of the wanted members of a folder, zip, tar or tar in a tar, or of the file itself.

    In the order of names, but a tar is read once, in its own order. Read each stream before asking for the next.

    Parameters
    ----------
    path : Path
        The raw data as the user has it
    wanted : Callable[[str], bool]
        Says by its base name whether a member is needed
    limit : int
        Bytes; members that unpack to more are refused

    Raises
    ------
    InputError
        If `path` is missing, a device, a web page, damaged; if a member is a link or a device, or stands in it twice.
    """
    if not path.is_dir():
        refuse_device(path)
    seen: set[str] = set()

    def once(name: str) -> str:
        base = PurePosixPath(name).name
        if base in seen:
            raise InputError(f"{path} holds {base} twice; remove the copy that is not meant")
        seen.add(base)
        return base

    with readable(path):
        if path.is_dir():
            files = [Path(f, n) for f, _, names in os.walk(path) for n in names if wanted(n) or n.endswith(".tar")]
            for file in sorted(files, key=lambda p: p.name):
                refuse_device(file)
                if file.suffix == ".tar":
                    with tarfile.open(file, "r|") as archive:
                        for name, stream in in_tar(archive, wanted, file):
                            yield once(name), Limited(stream, f"{file}/{name}", limit)
                else:
                    with file.open("rb") as stream:
                        yield once(file.name), Limited(stream, file, limit)
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                named = [m for m in archive.infolist() if m.filename and not m.is_dir()]
                members = [m for m in named if wanted(PurePosixPath(m.filename).name)]
                for member in sorted(members, key=lambda m: PurePosixPath(m.filename).name):
                    if member.external_attr >> 28 == 0o12:
                        raise InputError(f"{path}: {member.filename} is a link, not a file; fetch the original archive")
                    with inflate.open_member(archive, member) as stream:
                        yield once(member.filename), Limited(stream, f"{path}/{member.filename}", limit)
        elif is_tar(path):
            with unzipped(path) as whole:
                with tarfile.open(fileobj=whole, mode="r|*", bufsize=TAR_BLOCK) as archive:
                    for name, stream in in_tar(archive, wanted, path):
                        yield once(name), Limited(stream, f"{path}/{name}", limit)
                while whole.read(BLOCK):  # to the end, where the checksum is
                    pass
        else:
            refuse_web_page(path)
            with unzipped(path) as stream:
                yield path.name.removesuffix(".gz"), Limited(stream, path, limit)


def unzipped(path: Path) -> IO[bytes]:
    """A file to read from, behind its gzip if it has one."""
    return inflate.open_gzip(path) if starts(path, b"\x1f\x8b") else path.open("rb")


def in_tar(archive: tarfile.TarFile, wanted: Callable[[str], bool], path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Members of a tar, and of the tars in it, in their order."""
    for member in archive:
        base = PurePosixPath(member.name).name
        nested = base.endswith(".tar")
        if not (nested or wanted(base)) or member.isdir():
            continue
        stream = archive.extractfile(member) if member.isreg() else None
        if stream is None:
            raise InputError(f"{path}: {member.name} is a link or device, not a file; fetch the original archive")
        if nested:
            with tarfile.open(fileobj=stream, mode="r|") as inner:
                yield from in_tar(inner, wanted, path)
        else:
            yield member.name, stream


class Limited:
    """A stream that refuses to give more than `limit` bytes: what unpacks to more is not the file it claims to be.

    A read may give less than asked for; nothing, only at the end.
    """

    def __init__(self, stream: IO[bytes], where: str | Path, limit: int) -> None:
        self.stream, self.where, self.left, self.limit = stream, where, limit, limit

    def read(self, n: int) -> bytes:
        """At most n bytes; more in all than the limit is refused."""
        with readable(self.where):
            data = self.stream.read(n)
        self.left -= len(data)
        if self.left < 0:
            raise InputError(
                f"{self.where} unpacks to over {self.limit:,} bytes, more than the original has; fetch it again"
            )
        return data


def whole(stream: "Limited") -> bytes:
    """All that is left of a stream."""
    return b"".join(iter(lambda: stream.read(BLOCK), b""))


def blocks(
    members: "Iterable[tuple[str, Limited]]", md5: MutableMapping[str, str] | None = None, size: int | None = None
) -> Iterator[bytes]:
    """The members one after the other in blocks of whole lines; a last line without line feed gets one.

    Parameters
    ----------
    members : Iterable[tuple[str, IO[bytes]]]
        (name, stream) in order, as from `streams`
    md5 : MutableMapping[str, str], optional
        Filled with the checksum of every member read to its end
    size : int, optional
        Bytes of a block, about; BLOCK if not given

    Raises
    ------
    InputError
        At a zero byte, or a line longer than any of these files has.
    """
    size = size or BLOCK
    parts: list[bytes | memoryview] = []  # not yet given
    pending = 0
    for name, stream in members:
        digest = hashlib.md5(usedforsecurity=False)
        line = 0  # bytes of it, as yet without end
        where = getattr(stream, "where", name)
        while chunk := stream.read(size):
            if md5 is not None:
                digest.update(chunk)
            if b"\x00" in chunk:
                raise InputError(f"{where} contains zero bytes, so it is not UTF-8 text; fetch the original again")
            end = chunk.rfind(b"\n") + 1
            line = len(chunk) - end if end else line + len(chunk)
            if line > LONGEST_LINE:
                raise InputError(f"{where} has a line of over {LONGEST_LINE:,} bytes, so it is not a table of ratings")
            pending += len(chunk)
            if end and pending >= size:
                yield b"".join([*parts, memoryview(chunk)[:end]])
                parts = [memoryview(chunk)[end:]]
                pending = line
            else:
                parts.append(chunk)
        if line:
            parts.append(b"\n")
        if md5 is not None:
            md5[name] = digest.hexdigest()
    if pending:
        yield b"".join(parts)


def starts(path: Path, magic: bytes) -> bool:
    """Whether a file begins with these bytes."""
    with path.open("rb") as f:
        return f.read(len(magic)) == magic


def is_tar(path: Path) -> bool:
    """Whether a file is a tar archive that can be opened."""
    try:
        return tarfile.is_tarfile(path)
    except BROKEN:
        return False


def refuse_device(path: Path) -> None:
    """What is missing, or a pipe or device: it may have no end, and opening it may last for ever."""
    if not path.exists():
        raise InputError(f"{path} does not exist; check the path")
    if not path.is_file():
        raise InputError(f"{path} is a pipe or a device, not a file; write its content into a file first")


def refuse_web_page(path: Path) -> None:
    """A download that is empty or an error page."""
    with path.open("rb") as f:
        start = f.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not start:
        raise InputError(f"{path} is empty; fetch it again")
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise InputError(
            f"{path} is a web page, not data: the link is dead or asks for a login; fetch the archive by hand"
        )
    if start.startswith(b"pk\x03\x04"):
        raise InputError(f"{path} is a truncated zip archive; fetch it again")
