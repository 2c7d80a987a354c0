"""Run folders: one folder holds one thing, says what it is, and is never mixed with another."""

import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from minivae.errors import InputError, UserError
from minivae.runtime.records import conform, differing, read_record, write_record
from minivae.runtime.storage import name_of_process, unfinished
from minivae.study.run.notes import SPLIT, Note, note_files

LOCK = ".minivae.lock"
PROCESSES = ".minivae.processes"  # those that have worked in a folder and not ended in order, one a line
LONGEST_LIST = 1 << 16


@contextmanager
def hold(folder: Path | None) -> Iterator[None]:
    """Keep `folder`, if there is one, to this process: every command that writes into a folder works within this.

    The lock belongs to the process, not to the file: a killed process holds nothing. A new folder is gone afterwards if
    an error left nothing in it but descriptions of the work.

    Raises
    ------
    InputError
        If another process works there, or nothing can be written there.
    """
    if folder is None:
        yield
        return
    refuse_file(folder)
    new = not folder.exists()
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        _take(lock, folder)
        yield
    except UserError:
        if new and lock.is_locked:
            _unclaim(folder)
        raise
    finally:
        if lock.is_locked:
            with suppress(OSError):
                _forget([name_of_process(os.getpid())], folder)
            with suppress(OSError):
                (folder / LOCK).unlink()  # while it is still ours
            lock.release()
        if new:
            with suppress(OSError):
                folder.rmdir()  # if nothing came of it


def _take(lock: FileLock, folder: Path) -> None:
    """Take the lock of a folder, and note this process among those that work there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        refuse_foreign(folder / LOCK, "")
        known = _processes(folder)
        lock.acquire()
        with (folder / PROCESSES).open("w", encoding="ascii") as f:
            f.writelines(f"{process}\n" for process in [*known, name_of_process(os.getpid())])
    except Timeout as e:
        raise InputError(
            f"another run is at work in {folder}; wait for its end or choose another folder with --out"
        ) from e
    except OSError as e:
        raise InputError(
            f"cannot write {folder}: {e.strerror}; choose another folder with --out or free some space"
        ) from e


def _unclaim(folder: Path) -> None:
    """Empty a new folder that holds only notes and splits, so that the next try finds it free."""
    inside = [path for path in folder.rglob("*") if path.name not in (LOCK, PROCESSES)]
    files = [path for path in inside if not path.is_dir()]
    if all(path.name in {SPLIT, *note_files()} or path.match("fold-*.safetensors") for path in files):
        for path in files:
            path.unlink()
        for path in reversed(inside):  # what lies in a folder stands behind it
            if path.is_dir():
                path.rmdir()


def _processes(folder: Path) -> list[str]:
    """Those that have worked in a folder and have not ended in order."""
    path = folder / PROCESSES
    refuse_foreign(path, r"([0-9a-f]{32}\n)*[0-9a-f]{0,32}")  # the last line is cut where the disk was full
    return re.findall(r"[0-9a-f]{32}", path.read_text(encoding="ascii")) if path.exists() else []


def _forget(processes: Iterable[str], folder: Path) -> None:
    """Strike processes off the list."""
    left = [process for process in _processes(folder) if process not in processes]
    if left:
        (folder / PROCESSES).write_text("".join(f"{process}\n" for process in left), encoding="ascii")
    else:
        (folder / PROCESSES).unlink(missing_ok=True)


def refuse_foreign(path: Path, content: str) -> None:
    """Raise `InputError` if a file of this name is there that does not match the pattern `content`, or a link."""
    if not os.path.lexists(path):
        return
    regular = stat.S_ISREG(path.lstat().st_mode) and path.stat().st_size < LONGEST_LIST
    if not (regular and re.fullmatch(content, path.read_text(encoding="latin-1"))):
        raise InputError(f"{path} was not made by minivae; choose another folder with --out")


def refuse_file(folder: Path) -> None:
    """Raise `InputError` if `folder` is a file."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; choose another folder with --out")


def refuse_unusable(folder: Path | None) -> None:
    """Raise `InputError` if `folder` cannot be one, for a dry run, which writes nothing and so would not notice."""
    for path in () if folder is None else (folder, *folder.parents):
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as e:
            raise InputError(f"cannot write {folder}: {e.strerror}; choose another folder with --out") from e
        refuse_file(path)
        return


def claim(folder: Path, note: Note, resume: bool, may_change: frozenset[str] = frozenset()) -> None:
    """Make `folder` the place of the run that `note` describes, and write the note there.

    What a killed run left half-written there is removed, so `hold` the folder first. Nothing else is: what belongs to
    it bears the name of a process that held the folder.

    Parameters
    ----------
    resume : bool
        Continue what the folder holds; without it the folder must be new or empty.
    may_change : frozenset[str], default frozenset()
        Dotted keys of the note in which a continued run may differ.

    Raises
    ------
    InputError
        If the folder holds something else, or the same and `resume` is False, or cannot be written.
    """
    refuse_file(folder)
    killed = [process for process in _processes(folder) if process != name_of_process(os.getpid())]
    left = {folder / LOCK, folder / PROCESSES, *(f for process in killed for f in folder.glob(unfinished(process)))}
    if folder.is_dir() and set(folder.iterdir()) - left:
        if not (folder / note.FILE).is_file():
            raise InputError(f"{folder} holds something else (no {note.FILE} in it); choose another folder with --out")
        if not resume:
            raise InputError(f"{folder} already holds a run; add --resume to continue it or choose another --out")
        refuse_other(folder, note, may_change)
    for process in killed:
        for half_written in list(folder.rglob(unfinished(process))):
            shutil.rmtree(half_written, ignore_errors=True)
    _forget(killed, folder)
    write_record(folder / note.FILE, note)


def refuse_other(folder: Path, note: Note, may_change: frozenset[str] = frozenset()) -> None:
    """Raise `InputError` if the note in a folder says another thing than `note`; arguments as of `claim`."""
    path = folder / note.FILE
    theirs = read_record(path)
    conform(theirs, type(note), path)
    changed = [
        "made from other data" if k == "data.sha256" else f"{k} {before!r}, now {now!r}"
        for k, (before, now) in differing(theirs, note.as_dict(), note.defaults()).items()
        if k not in may_change and not note.same(k, before, now, folder)
    ]
    if changed:
        raise InputError(f"{folder} holds another run ({'; '.join(changed)}); choose another folder with --out")
