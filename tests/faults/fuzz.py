"""Files that are nearly right, for every reader: read or refused with one sentence, never anything else.

    nice -n 10 python tests/faults/fuzz.py --seconds 600                 each reader for ten minutes
    nice -n 10 python tests/faults/fuzz.py --seconds 60 --readers csv,npz --seed 5

A case is a sound file with a few random changes: bits, bytes, pieces cut, doubled, exchanged or written over with what
parsers dislike. Files with a checksum are changed in two ways: as they lie on disk, or inside and then signed again, as
a stranger would. Cases run in a child process with limited memory, so that a crash, a hang (20 s) and a bomb are
findings like any other. Prints one line of JSON per reader: cases, how many were read and refused, the findings; every
finding is kept as a file in --keep. A case that took too long is tried once more by itself: a busy machine is no hang,
and is counted as stalled.
"""

import argparse
import faulthandler
import gzip
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import tarfile
import tempfile
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import numpy as np  # noqa: E402
import polars as pl  # noqa: E402
import scipy.sparse  # noqa: E402
import structured  # noqa: E402
import torch  # noqa: E402

import minivae as mv  # noqa: E402
from minivae.cli.main import main as command_line  # noqa: E402
from minivae.data.catalogue import DATASETS  # noqa: E402
from minivae.errors import InputError  # noqa: E402
from minivae.preparation import movielens  # noqa: E402
from minivae.preparation.command import watched  # noqa: E402
from minivae.runtime.storage import load_arrays, save_arrays  # noqa: E402
from minivae.study.draws import draws, report  # noqa: E402
from minivae.study.run import folders, presets  # noqa: E402
from minivae.study.run.runs import Result, read_note  # noqa: E402

HANG = 20
BATCH = 200
MEMORY = 8 << 30
TOKENS = [b"", b"\0", b'"', b"'", b",", b"::", b"\t", b"\n", b"\r", b"-1", b"1e999", b"NaN", b"null", b"{", b"}", b"[",
          b"]", b"=", b"\xff\xfe", b"\xef\xbb\xbf", b"9" * 30, b"\x7f\xff\xff\xff", b"\xff" * 8, b"\0" * 8,
          b"x" * 70000]  # fmt: skip
DTYPES = ["f8", "f4", "i8", "i4", "i2", "i1", "u1", "?"]


def mutate(content: bytes, rng: random.Random) -> bytes:
    """A few changes; the beginning and the end of a file, where formats keep their tables, as often as the middle."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 8))):
        n = len(data)
        at = rng.choice((rng.randrange(n + 1), min(n, rng.randrange(64)), max(0, n - rng.randrange(64))))
        length = min(n - at, int(2 ** rng.uniform(0, 8)))
        what = rng.randrange(7)
        if what == 0 and at < n:
            data[at] ^= 1 << rng.randrange(8)
        elif what == 1 and at < n:
            data[at] = rng.randrange(256)
        elif what == 2:
            del data[at : at + length]
        elif what == 3:
            data[at:at] = data[at : at + length]
        elif what == 4:
            token = rng.choice(TOKENS)
            data[at : at + rng.choice((0, len(token)))] = token
        elif what == 5:
            other = rng.randrange(n + 1)
            data[at : at + length] = data[other : other + length]
        elif rng.random() < 0.2:
            del data[at:]
    return bytes(data)


def change_arrays(path: Path, rng: random.Random) -> None:
    """Change a file of arrays inside and sign it again."""
    kind = "per-user metrics" if path.name == "users.safetensors" else path.name.partition(".")[0]
    arrays, meta = load_arrays(path, kind)
    for _ in range(rng.choice((1, 1, 2))):
        if rng.random() < 0.3:
            key = rng.choice(sorted(meta))
            if key != "kind":
                meta[key] = mutate(meta[key].encode(), rng).decode(errors="replace").replace("\0", "0")
            continue
        name = rng.choice(sorted(arrays))
        a = np.array(arrays[name])
        what = rng.randrange(6)
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if what == 0 and a.size:
                value = rng.choice((-1, 2**31, -(2**63), 2**62, 10**6, 0, 1, 40))
                a.reshape(-1)[rng.randrange(a.size)] = np.array(value).astype(a.dtype)
            elif what == 1:
                a = a.astype(rng.choice(DTYPES))
            elif what == 2:
                a = a.reshape(rng.choice(((-1,), (1, -1), (-1, 1)))) if a.size else a
            elif what == 3:
                a = a[: rng.randrange(len(a) + 1)] if a.ndim else a.reshape(1)
            elif what == 4 and a.ndim:
                a = np.concatenate([a, a])
            elif len(arrays) > 1:
                del arrays[name]
                continue
        arrays[name] = a
    save_arrays(path, kind, arrays, {k: v for k, v in meta.items() if k != "kind"})


def in_place(path: Path, rng: random.Random) -> None:
    path.write_bytes(mutate(path.read_bytes(), rng))


def signed(path: Path, rng: random.Random) -> None:
    (change_arrays if rng.random() < 0.6 else in_place)(path, rng)


def inside(path: Path, rng: random.Random) -> None:
    """Half of the changes go into what is packed, the other half into the packing."""
    if rng.random() < 0.5:
        in_place(path, rng)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(mutate(gzip.decompress(path.read_bytes()), rng)))
    elif path.suffix in (".zip", ".npz"):
        with zipfile.ZipFile(path) as old:
            members = {name: old.read(name) for name in old.namelist()}
        victim = rng.choice(sorted(members))
        members[victim] = mutate(members[victim], rng)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
            for name, content in members.items():
                new.writestr(name, content)


def run_folder(path: Path, rng: random.Random) -> None:
    """One file of a run folder changed."""
    victim = rng.choice(sorted(p for p in path.iterdir() if p.is_file()))
    (signed if victim.suffix == ".safetensors" and victim.stem in ("model", "users") else in_place)(victim, rng)


def read_run(path: Path) -> None:
    """Everything that is ever read from a run folder."""
    folders.refuse_other(path, read_note(path), frozenset({"data.split"}))
    Result.load(path)
    with open(os.devnull, "w") as nowhere:
        out, err, sys.stdout, sys.stderr = sys.stdout, sys.stderr, nowhere, io.StringIO()
        try:
            status = command_line(["evaluate", "--model", str(path), "--device", "cpu"])
            said = sys.stderr.getvalue()
        finally:
            sys.stdout, sys.stderr = out, err
    if status:
        raise InputError(said.removeprefix("error: ").removesuffix("\n"))


def read_study(path: Path, other: Path) -> None:
    """What `minivae combine` reads of a study and makes of it, beside a study that is sound."""
    value = draws.combine([draws.SplitStudy.load(path), draws.SplitStudy.load(other)])
    report.compose(value, False)
    report.rows(value)


def two_studies(folder: Path) -> None:
    """Of two draws, without their figures."""
    for seed in ("1", "2"):
        out = folder / ("study" if seed == "1" else "other")
        planted = ["--data", "planted", "--heldout", "100", "--split-seed", seed]
        assert (
            command_line(["study", *planted, "--models", "ease,popularity", "--device", "cpu", "--out", str(out)]) == 0
        )
        shutil.rmtree(out / "figures", ignore_errors=True)


def prepare(folder: Path, studies: bool) -> None:
    """Sound files of every kind. In a child: polars does not survive a fork once it has been used."""
    rng = np.random.default_rng(0)
    rows = sorted({(int(u), int(i)) for u, i in zip(rng.integers(1, 30, 400), rng.integers(1, 40, 400), strict=True)})
    table = pl.DataFrame({"user": [u for u, _ in rows], "item": [f"m{i}" for _, i in rows]})
    table = table.with_columns(rating=pl.Series(rng.integers(1, 6, len(rows)).astype(float)))
    split = mv.strong_split(mv.planted(n_users=60, n_items=30, n_events=600), n_heldout=10)
    split.save(folder / "split.safetensors")
    run = folder / "run"
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if studies:
        two_studies(folder)
    flags = ["--epochs", "1", "--batch-size", "20", "--device", "cpu", "--precision", "fp32"]
    small = folder / "small.toml"
    small.write_text("[models.multvae]\nhidden = 8\nlatent = 4\nlr = 1e-3\n[origin]\nby = 'hand'\n")
    assert command_line(["train", "--data", str(folder / "split.safetensors"), *flags, "--out", str(run)]) == 0
    for name in ("model", "checkpoint"):
        (folder / f"{name}.safetensors").write_bytes((run / f"{name}.safetensors").read_bytes())
    (run / "split.safetensors").write_bytes((folder / "split.safetensors").read_bytes())  # a moved folder looks there
    mv.save_model(mv.MultVAE(30, 8, 4), folder / "model.safetensors")
    table.write_csv(folder / "t.csv")
    table.write_csv(folder / "t.tsv", separator="\t")
    table.write_parquet(folder / "t.parquet")
    (folder / "quoted.csv").write_bytes(table.write_csv(quote_style="always").encode())
    (folder / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in table.to_dicts()))
    (folder / "list.json").write_text(json.dumps(table.to_dicts()))
    of_users = {u: [i for v, i in rows if v == u] for u, _ in rows}
    (folder / "train.txt").write_text("".join(f"{u} {' '.join(map(str, of))}\n" for u, of in of_users.items()))
    typed = "user_id:token\titem_id:token\ttimestamp:float\n"
    (folder / "t.inter").write_text(typed + "".join(f"{u}\t{i}\t{97 + u * i}\n" for u, i in rows))
    table.write_ipc(folder / "t.feather")
    with zipfile.ZipFile(folder / "t.zip", "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("t.csv", table.write_csv())
    dated = "".join(f'{u},{i},{1 + (u + i) % 5},"2005-04-02 23:53:47"\n' for u, i in rows)
    (folder / "rating.csv").write_text("userId,movieId,rating,timestamp\n" + dated)
    (folder / "t.csv.gz").write_bytes(gzip.compress((folder / "t.csv").read_bytes()))
    matrix = scipy.sparse.csr_matrix((np.ones(len(rows)), ([u for u, _ in rows], [i for _, i in rows])))
    scipy.sparse.save_npz(folder / "m.npz", matrix)
    dat = "".join(f"{u}::{i}::{1 + (u + i) % 5}::978300760\n" for u, i in rows).encode()
    movies = "".join(f"{i}::Film {i} (1990)::Drama\n" for i in range(1, 41)).encode()
    with zipfile.ZipFile(folder / "ml-1m.zip", "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("ml-1m/ratings.dat", dat)
        z.writestr("ml-1m/movies.dat", movies)
    with tarfile.open(folder / "ml-1m.tar", "w") as t:
        for name, content in (("ml-1m/movies.dat", movies), ("ml-1m/ratings.dat", dat)):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            t.addfile(info, io.BytesIO(content))


def targets(folder: Path) -> dict[str, tuple[Path, Callable, Callable]]:
    """Reader -> (a sound file or folder, how it is changed, how it is read)."""
    rated = {"rating": "rating", "min_rating": 3}
    million = DATASETS["ml-1m"]

    def archive(path: Path) -> None:
        movielens.read(million, path, watched(million))

    def accounted(path: Path, **options: Any) -> None:
        """Read, and hold the account of the rows against itself."""
        reading = mv.read_interactions(path, **options).reading
        assert reading.rows == reading.events + sum(reading.dropped.values()), str(reading)

    def kaggle(path: Path) -> None:
        movielens.read(DATASETS["ml-20m"], path, watched(DATASETS["ml-20m"]))

    return {
        "split": (folder / "split.safetensors", signed, mv.StrongSplit.load),
        "model": (folder / "model.safetensors", signed, mv.load_model),
        "checkpoint": (folder / "checkpoint.safetensors", in_place, lambda p: load_arrays(p, "checkpoint")),
        "csv": (folder / "t.csv", in_place, lambda p: accounted(p, **rated)),
        "tsv": (folder / "t.tsv", in_place, lambda p: accounted(p, **rated)),
        "quoted.csv": (folder / "quoted.csv", in_place, lambda p: accounted(p, **rated)),
        "jsonl": (folder / "t.jsonl", in_place, lambda p: accounted(p, **rated)),
        "json": (folder / "list.json", in_place, lambda p: accounted(p, **rated)),
        "adjacency": (folder / "train.txt", in_place, lambda p: accounted(p, user=0, item=1)),
        "inter": (folder / "t.inter", in_place, lambda p: accounted(p, time="timestamp")),
        "csv.zip": (folder / "t.zip", inside, lambda p: accounted(p, **rated)),
        "kaggle": (folder / "rating.csv", in_place, kaggle),
        "csv.gz": (folder / "t.csv.gz", inside, accounted),
        "parquet": (folder / "t.parquet", in_place, lambda p: accounted(p, **rated)),
        "feather": (folder / "t.feather", in_place, lambda p: accounted(p, **rated)),
        "npz": (folder / "m.npz", inside, mv.read_interactions),
        "zip": (folder / "ml-1m.zip", inside, archive),
        "tar": (folder / "ml-1m.tar", in_place, archive),
        "run": (folder / "run", run_folder, read_run),
        "toml": (folder / "small.toml", in_place, lambda p: presets.load("default", p)),
        **structured.targets(folder),
        "structured toml": (folder / "small.toml", structured.settings, lambda p: presets.load("default", p)),
        "structured run": (folder / "run", structured.notes_of, read_run),
        "structured study": (folder / "study", structured.notes_of, lambda p: read_study(p, folder / "other")),
    }


def cases(target: tuple[Path, Callable, Callable], seed: str, folder: Path, first: int, report: Path) -> None:
    """A batch in a child: writes the number of the case at hand, then the counts, to `report`."""
    sound, change, read = target
    count = {"read": 0, "refused": 0}
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY + (32 << 30), MEMORY + (32 << 30)))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    faulthandler.register(signal.SIGALRM, file=2, chain=True)  # where it hangs
    for number in range(first, first + BATCH):
        report.write_text(json.dumps({"case": number, **count}))
        path = make(sound, change, f"{seed}-{number}", folder)
        signal.alarm(HANG)
        try:
            read(path)
            count["read"] += 1
        except InputError as e:
            if "\n" in str(e) or not str(e):
                raise AssertionError(f"not one sentence: {e}") from e
            count["refused"] += 1
        signal.alarm(0)
    report.write_text(json.dumps({"case": None, **count}))


def make(sound: Path, change: Callable, seed: str, folder: Path) -> Path:
    """The case of that seed; the same again whenever it is asked for."""
    path = folder / sound.name
    if sound.is_dir():
        shutil.copytree(sound, path, dirs_exist_ok=True)
    else:
        path.write_bytes(sound.read_bytes())
    change(path, random.Random(seed))
    return path


def fuzz(
    name: str,
    target: tuple[Path, Callable, Callable],
    seconds: float,
    seed: int,
    keep: Path,
    most: float = float("inf"),
) -> dict[str, object]:
    """Batches until the time is up or enough are done; one that ends badly is a finding, the next goes on after it."""
    total, findings, first, started = {"read": 0, "refused": 0}, {}, 0, time.monotonic()
    stalled: set[int] = set()

    def kept(case: int, bad: Path, trace: Path, of: str = "") -> None:
        """The case as the child left it, and what the child said."""
        keep.mkdir(parents=True, exist_ok=True)
        if bad.is_file():
            (keep / f"{name}-{case}{of}{bad.suffix}").write_bytes(bad.read_bytes())
        (keep / f"{name}-{case}{of}.trace").write_text(trace.read_text(errors="replace"))

    with tempfile.TemporaryDirectory() as scratch:
        report, trace, bad = Path(scratch, "report"), Path(scratch, "trace"), Path(scratch, target[0].name)
        while time.monotonic() - started < seconds and first < most:
            trace.write_text("")
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    os.dup2(os.open(trace, os.O_WRONLY | os.O_APPEND), 2)
                    cases(target, f"{name}-{seed}", Path(scratch), first, report)
                    status = 0
                except BaseException:  # a finding of whatever kind
                    traceback.print_exc()
                finally:
                    os._exit(status)
            _, status = os.waitpid(pid, 0)
            said = json.loads(report.read_text())
            total = {k: total[k] + said[k] for k in total}
            if status == 0:
                first += BATCH
                continue
            first = case = said["case"]
            if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM and case not in stalled:
                stalled.add(case)
                kept(case, bad, trace, " stalled")
                continue
            stalled.discard(case)
            first = case + 1
            last = (trace.read_text(errors="replace").strip().splitlines() or ["died"])[-1][:200]
            ended = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "exception"
            key = f"{ended}: {re.sub(r'[0-9]+', '#', last)[:80]}"  # one kind, one finding
            if key not in findings:
                kept(case, bad, trace)
            findings[key] = findings.get(key, 0) + 1
    return {"reader": name, "seconds": round(time.monotonic() - started), "cases": sum(total.values()), **total,
            "stalled": len(stalled), "findings": findings}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600, help="for each reader")
    parser.add_argument("--cases", type=float, default=float("inf"), help="stop earlier, after so many")
    parser.add_argument("--readers", default="")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("runs/fuzz"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        readers = targets(Path(folder))
        if unknown := {name for name in options.readers.split(",") if name} - set(readers):
            parser.error(f"no reader is called {', '.join(sorted(unknown))}; there are {', '.join(readers)}")
        if os.fork() == 0:
            prepare(Path(folder), not options.readers or "study" in options.readers)
            os._exit(0)
        assert os.wait()[1] == 0
        bad = False
        for name in options.readers.split(",") if options.readers else readers:
            result = fuzz(name, readers[name], options.seconds, options.seed, options.keep, options.cases)
            bad |= bool(result["findings"])
            print(json.dumps(result), flush=True)
    sys.exit(bad)


if __name__ == "__main__":
    main()
