"""Downloads that continue where they stopped, checked against the publisher's checksum."""

from collections.abc import Sequence
from pathlib import Path
from secrets import token_hex

import msgspec
import pooch
import requests

from minivae.data.catalogue import Dataset
from minivae.errors import InputError
from minivae.preparation.watch import progress
from minivae.runtime.storage import file_digest

ATTEMPTS = 3
CHUNK = 1 << 16  # at most that much is fetched twice


def fetch(dataset: Dataset, folder: Path) -> Path:
    """The raw archive of a data set in `folder`, downloaded unless it is there already.

    Raises
    ------
    InputError
        If no source gives it; says what each answered and how to go on.
    """
    checksum = next((f"{k}:{dataset.archive[k]}" for k in ("sha256", "md5") if k in dataset.archive), None)
    return retrieve(dataset.name, dataset.sources, checksum, folder)


def retrieve(what: str, urls: Sequence[str], checksum: str | None, folder: Path, name: str | None = None) -> Path:
    """The first file that one of the addresses gives, as `folder`/`name`; arguments and errors as of `fetch`.

    Parameters
    ----------
    what : str
        Stands in the sentence of an error.
    urls : sequence of str
        Tried in order.
    checksum : str, optional
        "sha256:…" or "md5:…"; without it any file will do.
    folder : Path
    name : str, optional
        The last part of the address if not given.
    """
    pooch.get_logger().setLevel("ERROR")
    answers = []
    for url in urls:
        own = name or url.rsplit("/", 1)[1]
        target = folder / own
        try:
            if checksum is None:
                set_changed_aside(target)
            downloader = Resuming(own_part(target), checksum is not None)
            # pooch passes the address, the file and itself by position; its type asks for other names and an option
            path = Path(pooch.retrieve(url, checksum, own, folder, downloader=downloader))  # pyright: ignore[reportArgumentType]
            if checksum is None and downloader.used:
                Note(url, sha256=file_digest(path)).write(noted(path))
            return path
        except requests.RequestException as e:
            answers.append(f"{url}: {type(e).__name__}")
        except InputError as e:
            answers.append(f"{url}: {e}")
        except ValueError:
            answers.append(f"{url}: the file does not have the checksum {checksum}")
        except OSError as e:
            raise InputError(
                f"cannot write to {folder}: {e.strerror or e}; free some space or choose another folder"
            ) from e
    raise InputError(
        f"{what} could not be downloaded ({'; '.join(answers)}); run the same command again to "
        "continue, or fetch it yourself and give --from-file"
    )


def text_at(url: str) -> str:
    """A short text from the network; `InputError` if it cannot be had."""
    try:
        answer = requests.get(url, timeout=30)
        answer.raise_for_status()
    except requests.RequestException as e:
        raise InputError(f"{url} could not be read ({type(e).__name__}: {e}); try again, or give --from-file") from e
    return answer.text


class Note(msgspec.Struct):
    """What is known of a file that was fetched in part, or in whole from where no checksum is published.

    Attributes
    ----------
    url : str
        Where it comes from.
    version : str
        Which version of it the server gave: its ETag, or when it was changed; "" if it does not say.
    sha256 : str
        Of the whole file, once it is here.
    """

    url: str
    version: str = ""
    sha256: str = ""

    @classmethod
    def read(cls, path: Path) -> "Note | None":
        """The note at `path`; None if there is none that can be read."""
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return None

    def write(self, path: Path) -> None:
        """Keep it at `path`."""
        path.write_bytes(msgspec.json.encode(self))


def noted(path: Path) -> Path:
    """Where the note about a file lies."""
    return path.with_name(f"{path.name}.json")


def set_changed_aside(target: Path) -> None:
    """Give a file another name if it is no longer what was fetched, so that it is fetched again."""
    note = Note.read(noted(target))
    if note is not None and target.is_file() and file_digest(target) != note.sha256:
        target.rename(target.with_name(f"{target.name}.{token_hex(4)}.changed"))


def own_part(target: Path) -> Path:
    """Where the part of a download goes: a .part file that has no note of ours belongs to another program."""
    part = target.with_name(f"{target.name}.part")
    foreign = part.exists() and Note.read(noted(part)) is None
    return target.with_name(f"{target.name}.{token_hex(4)}.part") if foreign else part


class Resuming:
    """A downloader for pooch that keeps what it has in a .part file and asks the server for the rest of that version.

    Parameters
    ----------
    part : Path
        The file.
    checked : bool
        Whether a checksum will show that it was put together from two versions.

    Attributes
    ----------
    used : bool
        Whether something was fetched.
    """

    def __init__(self, part: Path, checked: bool) -> None:
        self.part, self.checked, self.used = part, checked, False

    def __call__(self, url: str, output_file: str, _: pooch.Pooch) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self.receive(url)
                break
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError):
                if attempt == ATTEMPTS:
                    raise
        self.part.replace(output_file)
        noted(self.part).unlink()
        self.used = True

    def receive(self, url: str) -> None:
        """Append to the .part file until it is complete."""
        note = Note.read(noted(self.part))
        known = note is not None and note.url == url and bool(note.version or self.checked)
        have = self.part.stat().st_size if known and self.part.exists() else 0
        headers = {"Accept-Encoding": "identity"}
        if note is not None and have:
            headers |= {"Range": f"bytes={have}-"}
            headers |= {"If-Range": note.version} if note.version and not note.version.startswith("W/") else {}
        with requests.get(url, headers=headers, stream=True, timeout=30) as answer:
            version = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
            changed = note is not None and have > 0 and note.version != version
            complete = answer.headers.get("Content-Range", "").endswith(f"/{have}")
            if answer.status_code == 416 and complete and not changed:
                return
            if answer.status_code == 416 or (changed and answer.status_code == 206):
                self.part.unlink()
                raise requests.ConnectionError("the file on the server has changed")
            answer.raise_for_status()
            if "html" in answer.headers.get("Content-Type", ""):
                raise InputError("answers with a web page instead of a file")
            if answer.status_code != 206:
                have = 0
            total = have + int(answer.headers["Content-Length"]) if "Content-Length" in answer.headers else None
            Note(url, version).write(noted(self.part))
            with self.part.open("ab" if have else "wb") as file, progress() as bar:
                task = bar.add_task(self.part.name.removesuffix(".part"), total=total, completed=have)
                for chunk in answer.iter_content(CHUNK):
                    file.write(chunk)
                    bar.advance(task, len(chunk))
        if total is not None and self.part.stat().st_size != total:
            raise requests.ConnectionError("the connection ended early")
