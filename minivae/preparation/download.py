"""Downloads that continue where they stopped, checked against the publisher's checksum."""

from collections.abc import Sequence
from pathlib import Path

import pooch
import requests

from minivae.data.catalogue import Dataset
from minivae.errors import InputError
from minivae.preparation.watch import progress

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
        part = folder / f"{own}.part"
        try:
            return Path(pooch.retrieve(url, checksum, own, folder, downloader=Resuming(part)))
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


class Resuming:
    """A downloader for pooch that keeps what it has in a .part file and asks the server for the rest."""

    def __init__(self, part: Path) -> None:
        self.part = part

    def __call__(self, url: str, output_file: str, _: pooch.Pooch) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self.receive(url)
                break
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError):
                if attempt == ATTEMPTS:
                    raise
        self.part.replace(output_file)

    def receive(self, url: str) -> None:
        """Append to the .part file until it is complete."""
        have = self.part.stat().st_size if self.part.exists() else 0
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with requests.get(url, headers=headers, stream=True, timeout=30) as answer:
            if answer.status_code == 416 and answer.headers.get("Content-Range", "").endswith(f"/{have}"):
                return
            if answer.status_code == 416:
                self.part.unlink()
                raise requests.ConnectionError("the file on the server has changed")
            answer.raise_for_status()
            if "html" in answer.headers.get("Content-Type", ""):
                raise InputError("answers with a web page instead of a file")
            if answer.status_code != 206:
                have = 0
            total = have + int(answer.headers["Content-Length"]) if "Content-Length" in answer.headers else None
            with self.part.open("ab" if have else "wb") as file, progress() as bar:
                task = bar.add_task(self.part.name.removesuffix(".part"), total=total, completed=have)
                for chunk in answer.iter_content(CHUNK):
                    file.write(chunk)
                    bar.advance(task, len(chunk))
        if total is not None and self.part.stat().st_size != total:
            raise requests.ConnectionError("the connection ended early")
