"""Files on disk: safetensors with a checksum of their content, and writes that happen whole or not at all.

Nothing here is ever pickled, so opening a split or model from another person cannot run code.
"""

import hashlib
import json
import os
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from itertools import count
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from minivae.errors import InputError, WriteError

DTYPES = {"F64": "<f8", "F32": "<f4", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1", "BOOL": "?"}
_numbers = count()


def digest(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    """sha256 over names, dtypes, shapes and bytes of `arrays` and over `metadata`, independent of their order."""
    h = hashlib.sha256()
    for name in sorted(arrays):
        a = np.asarray(arrays[name], order="C")
        h.update(f"{name}|{a.dtype.str}|{a.shape}|".encode())
        h.update(a.reshape(-1).view(np.uint8).data)
    h.update(json.dumps(dict(metadata), sort_keys=True).encode())
    return h.hexdigest()


def file_digest(path: Path) -> str:
    """sha256 of a file, "missing" without one."""
    try:
        with path.open("rb") as f:
            return hashlib.file_digest(f, "sha256").hexdigest()
    except FileNotFoundError:
        return "missing"
    except OSError as e:
        raise InputError(f"{path} cannot be read ({e.strerror}); is it yours?") from e


@cache
def name_of_process(pid: int) -> str:
    """A random name for the process `pid`; that of this process stays the same as long as it lives."""
    return secrets.token_hex(16)


def unfinished(process: str) -> str:
    """The pattern of the folders in which a process writes files before it renames them.

    Its random name is in it, so no other file has such a name.
    """
    return f".minivae-{process}-*.part"


def write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` fill a file in a temporary folder beside `path`, flush it and rename it.

    A reader never sees half a file. A link is followed. What can only be written to (a device, a pipe, the output of
    this process) gets the finished content. New files have the permissions that the umask leaves, others keep theirs.

    Raises
    ------
    WriteError
        If the folder cannot be written (missing, read-only, full).
    """
    path = Path(path)
    try:
        status = path.stat() if path.exists() else None
        if status is not None and (stream := _stream(path, status)) is not None:
            with tempfile.TemporaryDirectory() as folder, stream:
                write(Path(folder) / "content")
                with (Path(folder) / "content").open("rb") as f:
                    shutil.copyfileobj(f, stream)
            return
        target = Path(os.path.realpath(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        with _beside(target) as temporary:
            mode = stat.S_IMODE((status or temporary.stat()).st_mode)
            write(temporary)
            with temporary.open("rb+") as f:
                os.fsync(f.fileno())
            temporary.chmod(mode)
            temporary.replace(target)
        _sync_folder(target.parent)
    except (OSError, SafetensorError) as e:
        reason = getattr(e, "strerror", None) or str(e)
        raise WriteError(f"cannot write {path}: {reason}; choose another folder or free some space") from e


def _stream(path: Path, status: os.stat_result) -> IO[bytes] | None:
    """Where to write what cannot be renamed; None for a file or a folder."""
    for output in (1, 2):
        with suppress(OSError):
            if os.path.samestat(os.fstat(output), status):
                print(end="", file=(sys.stdout, sys.stderr)[output - 1], flush=True)
                return os.fdopen(os.dup(output), "wb")
    return None if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode) else path.open("wb")


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """An empty file in a folder of its own beside `target`; the folder goes with all that is left in it."""
    folder = target.parent / unfinished(name_of_process(os.getpid())).replace("*", str(next(_numbers)))
    folder.mkdir()
    try:
        temporary = folder / "content"
        temporary.touch()
        yield temporary
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a loss of power, where folders can be opened."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 with line feeds, whole or not at all.

    What UTF-8 cannot hold, as the bytes of a file name in another encoding, becomes an escape that JSON reads back.
    """
    write_whole(path, lambda p: p.write_bytes(text.encode("utf-8", "backslashreplace")))


def append_text(path: Path, text: str) -> None:
    """Add `text` to the end of a file, for what is written again as a whole later; a kill may cut it.

    Raises
    ------
    WriteError
        If it cannot be written.
    """
    try:
        with path.open("ab") as f:
            f.write(text.encode())
    except OSError as e:
        raise WriteError(f"cannot write {path}: {e.strerror}; choose another folder or free some space") from e


def write_json(path: Path, value: Any) -> None:
    """Write `value`, in which records may stand, as indented JSON, whole or not at all. NaN is refused."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False, default=msgspec.to_builtins)
    write_text(path, text + "\n")


def save_arrays(path: Path, kind: str, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write named arrays as one safetensors file that knows its `kind` and the sha256 of its content."""
    meta = {"kind": kind, **metadata}
    arrays = {k: np.asarray(a, order="C") for k, a in arrays.items()}

    def write(p: Path) -> None:
        save_file(arrays, p, {**meta, "sha256": digest(arrays, meta)})
        _sort_metadata(p)

    write_whole(path, write)


def _sort_metadata(path: Path) -> None:
    """Put the metadata in order: safetensors shuffles them, and equal content should be equal bytes."""
    with path.open("rb+") as f:
        raw = _raw_header(f)
        header = json.loads(raw)
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = _header_text(header, len(raw))
        if len(text) > len(raw):
            raise ValueError(f"the sorted header has {len(text)} bytes instead of {len(raw)}")
        f.seek(8)
        f.write(text)


def _raw_header(f: IO[bytes]) -> bytes:
    return f.read(int.from_bytes(f.read(8), "little"))


def _header_text(header: Mapping[str, Any], size: int) -> bytes:
    """The one way in which this header is written, padded with spaces to its size."""
    return json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode().ljust(size)


def load_arrays(path: Path, kind: str, mapped: bool = False) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read what `save_arrays` wrote and verify its checksum.

    Parameters
    ----------
    mapped : bool, default False
        Arrays are views of the memory-mapped file, copied page by page when written to (the file stays as it is). For
        files that are never written again, as a split; a checkpoint is replaced while it is in use.

    Raises
    ------
    InputError
        If the file is missing, truncated, damaged (any flipped byte), or of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} is not a file; expected a {kind} written by minivae")
    try:
        with safe_open(path, framework="numpy") as f:
            meta = dict(f.metadata() or {})
            arrays = {} if mapped else {name: f.get_tensor(name) for name in f.keys()}  # noqa: SIM118 (no mapping)
        with path.open("rb") as f:
            raw = _raw_header(f)
        header = json.loads(raw)
        arrays = _map(path, header, 8 + len(raw)) if mapped else arrays
    except (SafetensorError, OSError, TypeError, ValueError, KeyError) as e:
        why = "it is truncated, damaged or another format"
        raise InputError(f"{path} cannot be read as a safetensors file ({e}); {why}") from e
    found, stated = meta.get("kind"), meta.pop("sha256", None)
    if found != kind:
        what = f"a {found}" if found else "no file of minivae"
        raise InputError(f"{path} is {what}, but a {kind} was expected")
    if digest(arrays, meta) != stated or raw != _header_text(header, len(raw)):
        raise InputError(f"{path} is damaged: its content does not match the checksum in it; make or fetch it again")
    return arrays, meta


def kind(path: Path) -> str | None:
    """What a safetensors file says that it holds; None if it says nothing or cannot be read."""
    try:
        with safe_open(path, framework="numpy") as f:
            return (f.metadata() or {}).get("kind")
    except (SafetensorError, OSError):
        return None


def _map(path: Path, header: Mapping[str, Any], start: int) -> dict[str, np.ndarray]:
    """Views of the arrays in a safetensors file, whose header `safe_open` has found sound."""
    content = np.asarray(np.memmap(path, np.uint8, "c"))[start:]
    return {
        name: content[slice(*entry["data_offsets"])].view(DTYPES[entry["dtype"]]).reshape(entry["shape"])
        for name, entry in header.items()
        if name != "__metadata__"
    }
