"""What the preparation scripts have in common: options, the way from a raw archive to a verified split, errors."""

import hashlib
import sys
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from minivae.data.catalogue import Dataset
from minivae.data.splits import StrongSplit
from minivae.data.strong_split import TEST_HELDOUT, VALIDATION_HELDOUT, Assignment, assign_events, build_split
from minivae.errors import InputError
from minivae.preparation import export
from minivae.preparation.archives import readable
from minivae.preparation.parallel import in_order
from minivae.preparation.rows import Raw
from minivae.preparation.verify import OTHER_DATA, Verification
from minivae.preparation.watch import progress
from minivae.runtime.text import visible

ANY_DRAW = ("ratings", "events", "users", "items")


@dataclass(frozen=True)
class Options:
    """Options of every preparation script."""

    out: Path
    """Folder for NAME.safetensors (and for the download)."""
    from_file: Path | None = None
    """Raw data that is already here: the archive, an unpacked folder, or the single file of ratings."""
    heldout: int | None = None
    """Users held out for validation, and as many for test; as published if not given."""
    split_seed: int = 98765
    """Seed of the permutation of users and of the fold-in; 98765 is Liang et al.'s."""
    export_csv: Path | None = None
    """Folder for unique_sid.txt, train.csv, … in the layout of the original code."""
    verify: bool = True
    """Compare with what is published; a difference is an error."""


T = TypeVar("T")


class Watch(Protocol):
    """`map` over blocks of raw text, which may use several threads and show how far it is."""

    def __call__(self, work: Callable[[bytes], T], blocks: Iterator[bytes], /) -> Iterator[T]: ...


Reader = Callable[[Dataset, Path, Watch], Raw]


def make_split(dataset: Dataset, read: Reader, options: Options) -> Path:
    """Obtain, read, verify, split, verify again, write; returns the path of the split.

    Raises
    ------
    InputError
        At the first thing that is not as it should be; then nothing has been written.
    """
    n_heldout = dataset.protocol.n_heldout if options.heldout is None else options.heldout
    target = options.out / f"{dataset.name}.safetensors"
    protocol = {
        "n_heldout": n_heldout,
        "seed": options.split_seed,
        "min_user": dataset.protocol.min_user,
        "min_item": dataset.protocol.min_item,
    }
    refuse_other(target, protocol)
    path = options.from_file or download(dataset, options.out)
    checks = Verification(options.verify)
    with ThreadPoolExecutor(2) as pool:
        archive = pool.submit(compare_archive, dataset, path)
        raw = read(dataset, path, watched(dataset))
        checks.stage(archive.result(), advice=f"if it was packed anew, give its unpacked folder; {OTHER_DATA}")
        checks.stage((f"md5 of {name}", md5, raw.md5.get(name, "missing")) for name, md5 in dataset.members.items())
        checks.stage([("ratings", dataset.counts.get("ratings"), raw.ratings)])
        assignment = assign_events(raw.data, **protocol)
        split = pool.submit(build_split, raw.data, assignment, protocol)  # meanwhile the files are made
        published = n_heldout == dataset.protocol.n_heldout and options.split_seed == dataset.protocol.seed
        expected = {k: v for k, v in dataset.counts.items() if published or k in ANY_DRAW}
        got = count(assignment, n_heldout)
        checks.stage((step, expected.get(step), n) for step, n in got.items())
        hashed = options.verify and published and bool(dataset.files)
        files, fingerprints = {}, {}
        if hashed or options.export_csv is not None:
            for name, content in export.files(raw.data, assignment):
                files[name] = content
                if hashed:
                    algorithm = dataset.files[name].partition(":")[0]
                    fingerprints[name] = pool.submit(export.fingerprint, content, algorithm)
        checks.stage((name, dataset.files[name], found.result()) for name, found in fingerprints.items())
        saved = pool.submit(split.result().save, target)
        if options.export_csv is not None:
            export.write(options.export_csv, files)
        saved.result()
    checks.print()
    return target


def download(dataset: Dataset, folder: Path) -> Path:
    """The archive, fetched; the libraries for that are loaded only now."""
    from minivae.preparation.download import fetch

    return fetch(dataset, folder)


def refuse_other(target: Path, protocol: dict[str, int]) -> None:
    """A split made in another way is not overwritten."""
    if target.exists():
        try:
            found = dict(StrongSplit.load(target).protocol)
        except InputError as e:
            raise InputError(f"{e}; remove the file first") from e
        if found != protocol:
            raise InputError(f"{target} holds another split ({found}); choose another --out, or remove it")


def count(a: Assignment, n_heldout: int) -> dict[str, int]:
    """The steps after the ratings, in order."""
    return {
        "events": a.n_events,
        "users": a.users.size,
        "items": a.n_items,
        "vocabulary": a.vocabulary.size,
        "training users": a.users.size - 2 * n_heldout,
        "held-out events, validation": int((a.part == VALIDATION_HELDOUT).sum()),
        "held-out events, test": int((a.part == TEST_HELDOUT).sum()),
    }


def compare_archive(dataset: Dataset, path: Path) -> list[tuple[str, str, str]]:
    """The checksum of a zip as its publisher packs it, unless its members are known one by one."""
    if dataset.members or not dataset.archive or not path.is_file() or not zipfile.is_zipfile(path):
        return []
    algorithm = next(k for k in ("sha256", "md5") if k in dataset.archive)
    with readable(path), path.open("rb") as f:
        return [
            (f"{algorithm} of {path.name}", dataset.archive[algorithm], hashlib.file_digest(f, algorithm).hexdigest())
        ]


def watched(dataset: Dataset) -> Watch:
    """Works on several blocks at a time and shows how far it is."""

    def watch(work: Callable[[bytes], T], blocks: Iterator[bytes]) -> Iterator[T]:
        with progress() as bar:
            task = bar.add_task(f"reading {dataset.name}", total=dataset.raw_bytes)
            for size, result in in_order(lambda block: (len(block), work(block)), blocks):
                yield result
                bar.advance(task, size)

    return watch


def guarded(main: Callable[[], object]) -> None:
    """Run a script: one sentence and status 2 for bad input, a hint after an interruption."""
    try:
        print(main())
    except InputError as e:
        print(f"error: {visible(e)}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; run the same command again to continue", file=sys.stderr)
        sys.exit(130)
