"""Speed and memory of data preparation at full size, against the usual pandas way and the floor of reading the archive.

    python tests/speed/preparation.py --work /tmp/preparation [--only ml-20m] [--scale 0.01]

Generates raw archives of the size and shape of the originals (their users and items, about as many ratings; power-law
popularity, log-normal activity), prepares each in a process of its own, and prints wall time, processor time and peak
memory as a table and JSON. For the size of ML-20M all that a user runs is measured (checksums of archive and files, the
six files, the matrices), and in the same run the usual pandas way to the same files, which must be the same bytes, and
to the matrices. Needs up to 4 GB of disk under --work, which it removes again.
"""

import argparse
import hashlib
import io
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import scipy.sparse
from peak import peak_bytes

from minivae.data.catalogue import DATASETS
from minivae.preparation.export import fingerprint

ROOT = Path(__file__).resolve().parents[2]
SHAPES = {  # users, items, ratings of the originals
    "ml-20m": (138_493, 26_744, 20_000_263),
    "netflix": (480_189, 17_770, 100_480_507),
    "msd": (1_019_318, 384_546, 48_373_586),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the generated archives")
    parser.add_argument("--only", choices=SHAPES, action="append", help="data sets to measure; all if not given")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="share of the ratings; users and items shrink by its root"
    )
    parser.add_argument("--repeat", type=int, default=3, help="rounds; the medians count")
    parser.add_argument("--keep", action="store_true", help="leave the generated archives for another run")
    parser.add_argument("--generate-only", action="store_true", help="make the archives and stop")
    parser.add_argument("--json", type=Path, help="where to write the results")
    parser.add_argument("--pandas", nargs=3, metavar=("ARCHIVE", "OUT", "HELDOUT"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.pandas:
        return pandas_way(Path(args.pandas[0]), Path(args.pandas[1]), int(args.pandas[2]))
    results = []
    for name in args.only or SHAPES:
        archive = generate(name, args.work, args.scale)
        if not args.generate_only:
            results.append(measure(name, archive, args.work, args.scale, args.repeat))
            print("\n".join(f"{k:32} {v}" for k, v in results[-1].items()), flush=True)
        if not args.keep and not args.generate_only:
            archive.unlink()
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


def measure(name: str, archive: Path, work: Path, scale: float, repeat: int) -> dict:
    """Medians over `repeat` rounds; in each: the floor, ours, and for ml-20m the pandas way, one after the other."""
    heldout = max(1, int({"ml-20m": 10_000, "netflix": 40_000, "msd": 50_000}[name] * scale**0.5))
    out, csv, rival, known = work / "out", work / "ours", work / "pandas", work / "known.json"
    script = {"ml-20m": ["movielens.py", "ml-20m"], "netflix": ["netflix.py"], "msd": ["msd.py"]}[name]
    options = ["--from-file", str(archive), "--out", str(out), "--heldout", str(heldout)]
    ours = [sys.executable, str(ROOT / "data_scripts" / script[0]), *script[1:], *options, "--no-verify"]
    commands = {"minivae": ours}
    if name == "ml-20m":
        options += ["--export-csv", str(csv)]
        pandas = [sys.executable, __file__, "--work", str(work), "--pandas", str(archive), str(rival), str(heldout)]
        timed([*ours, "--export-csv", str(csv)])
        known.write_text(json.dumps(what_is_known(archive, csv, heldout)))
        verified = [sys.executable, str(ROOT / "tests" / "speed" / "prepare_verified.py"), str(known)]
        commands = {"minivae": [*verified, script[1], *options], "pandas": pandas}
    rounds: dict[str, list] = {"floor": [], **{way: [] for way in commands}}
    for _ in range(repeat):
        wall, cpu = time.perf_counter(), time.process_time()
        only_read(archive)
        rounds["floor"].append((time.perf_counter() - wall, time.process_time() - cpu, 0.0, ""))
        for way, command in commands.items():
            for folder in (out, csv) if way == "minivae" else (rival,):
                shutil.rmtree(folder, ignore_errors=True)
            rounds[way].append(timed(command))
        if "pandas" in rounds:
            wall, cpu, peak, printed = rounds["pandas"][-1]
            matrices = json.loads(printed)
            rounds.setdefault("pandas, six files only", []).append((wall - matrices[0], cpu - matrices[1], peak, ""))
    result: dict = {"data": name, "scale": scale, "archive bytes": archive.stat().st_size, "cpus": os.cpu_count()}
    for way, runs in rounds.items():
        wall, cpu, peak, printed = zip(*runs, strict=True)
        if way == "minivae":
            counts = re.findall(r"│ (ratings|events|users|items) .*│ ([\d,]+) .*│", printed[0])
            result |= dict(counts)
        result |= {f"{way}: wall, s": statistics.median(wall), f"{way}: processor, s": statistics.median(cpu)}
        result |= {f"{way}: wall of each run, s": [round(w, 2) for w in wall], f"{way}: peak, GB": max(peak)}
    del result["floor: peak, GB"]
    if name == "ml-20m":
        for way in ("pandas", "pandas, six files only"):
            for k in ("wall", "processor"):
                result[f"times faster than {way}: {k}"] = result[f"{way}: {k}, s"] / result[f"minivae: {k}, s"]
        files = sorted(p.name for p in rival.iterdir())
        same = all((rival / f).read_bytes() == (csv / f).read_bytes() for f in files)
        result["six files, same bytes"] = same and len(files) == 6
    for folder in (out, csv, rival):
        shutil.rmtree(folder, ignore_errors=True)
    known.unlink(missing_ok=True)
    return {k: round(v, 2) if isinstance(v, float) else v for k, v in result.items()}


def what_is_known(archive: Path, files: Path, heldout: int) -> dict:
    """Of a generated archive, what the catalogue knows of ML-20M; whether it is right, the pandas way will show."""
    contents = {path.name: path.read_bytes() for path in files.iterdir()}
    lines = {name: content.count(b"\n") for name, content in contents.items()}
    expected = DATASETS["ml-20m"].files
    return {
        "n_heldout": heldout,
        "archive": {"sha256": hashlib.sha256(archive.read_bytes()).hexdigest()},
        "counts": {
            "vocabulary": lines["unique_sid.txt"],
            "held-out events, validation": lines["validation_te.csv"] - 1,
            "held-out events, test": lines["test_te.csv"] - 1,
        },
        "files": {name: fingerprint(contents[name], expected[name].partition(":")[0]) for name in expected},
    }


def timed(command: list[str]) -> tuple[float, float, float, str]:
    """Wall seconds, processor seconds and peak resident GB of a command, and what it printed."""
    start = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package is compiled once, by its first run
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
    printed = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    peak = peak_bytes(usage) / 1e9
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, peak, printed


def only_read(archive: Path) -> None:
    """The floor: unpack every byte and look at none."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as z:
            for member in z.infolist():
                with z.open(member) as f:
                    while f.read(1 << 25):
                        pass
    else:
        with tarfile.open(archive, "r|gz") as t:
            for member in t:
                f = t.extractfile(member)
                while f and f.read(1 << 25):
                    pass


def pandas_way(archive: Path, out: Path, heldout: int) -> None:
    """The steps of the published notebook in its order and with its idioms, written for today's pandas.

    Ends with its last step before training, the matrices read from the six files, and prints what that took.
    """
    out.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive) as z, z.open("ml-20m/ratings.csv") as f:
        raw = pd.read_csv(f)
    raw = raw[raw["rating"] > 3.5]

    def count(column: str) -> pd.Series:
        return raw[[column]].groupby(column).size()

    activity = count("userId")
    raw = raw[raw["userId"].isin(activity.index[activity >= 5])]
    activity, popularity = count("userId"), count("movieId")
    print(f"{len(raw)} events, {activity.size} users, {popularity.size} items", file=sys.stderr)

    users = activity.index
    rng = np.random.RandomState(98765)
    users = users[rng.permutation(users.size)]
    train_users, validation_users, test_users = np.split(users, [users.size - 2 * heldout, users.size - heldout])
    train = raw.loc[raw["userId"].isin(train_users)]
    items = pd.unique(train["movieId"])
    item_number = {item: k for k, item in enumerate(items)}
    user_number = {user: k for k, user in enumerate(users)}
    (out / "unique_sid.txt").write_text("".join(f"{item}\n" for item in items))

    def fold_in(plays: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        histories, targets = [], []
        rng = np.random.RandomState(98765)
        for _, rows in plays.groupby("userId"):
            n = len(rows)
            if n >= 5:
                chosen = np.zeros(n, dtype=bool)
                chosen[rng.choice(n, size=int(0.2 * n), replace=False)] = True
                histories.append(rows[np.logical_not(chosen)])
                targets.append(rows[chosen])
            else:
                histories.append(rows)
        return pd.concat(histories), pd.concat(targets)

    def save(rows: pd.DataFrame, name: str) -> None:
        uid = list(map(lambda user: user_number[user], rows["userId"]))
        sid = list(map(lambda item: item_number[item], rows["movieId"]))
        pd.DataFrame({"uid": uid, "sid": sid}).to_csv(out / name, index=False)

    save(train, "train.csv")
    for name, group in (("validation", validation_users), ("test", test_users)):
        plays = raw.loc[raw["userId"].isin(group)]
        plays = plays.loc[plays["movieId"].isin(items)]
        history, targets = fold_in(plays)
        save(history, f"{name}_tr.csv")
        save(targets, f"{name}_te.csv")
    wall, cpu = time.perf_counter(), time.process_time()

    def load(name: str, first: int, last: int) -> scipy.sparse.csr_matrix:
        table = pd.read_csv(out / name)
        rows, columns = table["uid"] - first, table["sid"]
        shape = (last - first, items.size)
        return scipy.sparse.csr_matrix((np.ones_like(rows), (rows, columns)), dtype="float64", shape=shape)

    load("train.csv", 0, train_users.size)
    for name, first in (("validation", train_users.size), ("test", train_users.size + heldout)):
        for part in ("tr", "te"):
            load(f"{name}_{part}.csv", first, first + heldout)
    print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]))


def generate(name: str, work: Path, scale: float) -> Path:
    """A raw archive like the original in size and shape; one that is there already is taken."""
    ending = "nf_prize_dataset.tar.gz" if name == "netflix" else f"{name}.zip"
    archive = work / f"{scale:g}-{ending}"
    if archive.exists():
        return archive
    work.mkdir(parents=True, exist_ok=True)
    users, items = (max(50, int(n * scale**0.5)) for n in SHAPES[name][:2])
    ratings = int(SHAPES[name][2] * scale)
    part, rng = archive.with_name(archive.name + ".part"), np.random.default_rng(0)
    if name == "netflix":
        pairs = draw_pairs(rng, popularity(rng, items), rng.lognormal(0, 1.2, users), ratings)
    else:
        pairs = draw_pairs(rng, rng.lognormal(0, 1.2, users), popularity(rng, items), ratings)
    rated = ((row, column, rate(name, rng, row.size)) for row, column in pairs)
    WRITERS[name](part, rated, users, items, rng)
    part.replace(archive)
    return archive


def rate(name: str, rng: np.random.Generator, n: int) -> np.ndarray:
    """Ratings, or plays, as often as in the original."""
    if name == "ml-20m":
        share = [0.01, 0.03, 0.02, 0.07, 0.04, 0.22, 0.11, 0.28, 0.08, 0.14]
        return rng.choice(np.arange(1, 11) / 2, n, p=share)
    return rng.choice(5, n, p=[0.05, 0.1, 0.29, 0.33, 0.23]) + 1 if name == "netflix" else rng.geometric(0.35, n)


def draw_pairs(
    rng: np.random.Generator, rows: np.ndarray, columns: np.ndarray, pairs: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """About `pairs` distinct (row, column), rows ascending, in pieces of about a million; arguments are weights."""
    share = np.maximum(1, pairs * rows / rows.sum()).clip(max=0.5 * columns.size)
    tries = (share * pairs / share.sum() * 1.12).astype(np.int64) + 1  # some are drawn twice
    pool = np.repeat(np.arange(columns.size), np.maximum(1, 4_000_000 * columns / columns.sum()).astype(np.int64))
    pieces = np.searchsorted(np.cumsum(tries), np.arange(1_000_000, tries.sum(), 1_000_000))
    for piece in np.split(np.arange(rows.size), np.unique(pieces)):
        row = np.repeat(piece, tries[piece])
        key = np.unique(row * columns.size + pool[rng.integers(0, pool.size, row.size)])
        yield key // columns.size, key % columns.size


def popularity(rng: np.random.Generator, items: int) -> np.ndarray:
    return rng.permutation((np.arange(items) + 0.01 * items) ** -1.1)


Rated = Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]  # rows, columns and values, piece after piece


def write_movielens(path: Path, rated: Rated, users: int, items: int, rng: np.random.Generator) -> None:
    """ml-20m/ratings.csv and movies.csv in a zip, from (user, movie, rating), users ascending."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as z:
        with z.open("ml-20m/ratings.csv", "w", force_zip64=True) as f:
            f.write(b"userId,movieId,rating,timestamp\n")
            for user, item, rating in rated:
                rows = {
                    "userId": user + 1,
                    "movieId": 5 * item + 1,
                    "rating": rating,
                    "timestamp": rng.integers(800_000_000, 1_400_000_000, user.size),
                }
                f.write(pl.DataFrame(rows).write_csv(include_header=False).encode())
        with z.open("ml-20m/movies.csv", "w") as f:
            f.write(b"movieId,title,genres\n")
            f.write("".join(f'{5 * i + 1},"Movie, The {i} (1999)",Drama\n' for i in range(items)).encode())


def write_netflix(path: Path, rated: Rated, users: int, items: int, rng: np.random.Generator) -> None:
    """movie_titles.txt and training_set.tar of mv_*.txt, in a tar.gz, from (movie, user, rating), movies ascending.

    The ratings of a movie stand in one piece.
    """
    inner = path.with_name("training_set.tar")
    days = pl.Series([f"2005-09-{day:02d}" for day in range(1, 29)])
    with tarfile.open(inner, "w") as t:
        for movie, user, rating in rated:
            rows = {
                "user": 5 * user + 6,
                "rating": rating,
                "date": days[rng.integers(0, 28, user.size)],
            }
            table = pl.DataFrame(rows)
            first = np.flatnonzero(np.diff(movie, prepend=-1))
            for a, b in zip(first, [*first[1:], movie.size], strict=True):
                m = movie[a] + 1
                add(t, f"training_set/mv_{m:07d}.txt", f"{m}:\n{table[a:b].write_csv(include_header=False)}".encode())
    titles = "".join(f"{m + 1},1999,Movie, The {m}\n" for m in range(items)).encode("latin-1")
    with tarfile.open(path, "w:gz", compresslevel=1) as t:
        add(t, "download/movie_titles.txt", titles)
        t.add(inner, "download/training_set.tar")
    inner.unlink()


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def write_msd(path: Path, rated: Rated, users: int, items: int, rng: np.random.Generator) -> None:
    """train_triplets.txt in a zip, from (user, song, plays).

    Users are of 40 hexadecimal digits, in no order, songs of 18 characters.
    """
    digits = rng.bytes(20 * users).hex()
    user_name = pl.Series([digits[40 * k : 40 * k + 40] for k in range(users)])
    song_name = pl.Series(
        [f"SO{v:012X}{k % 65536:04X}" for k, v in enumerate(rng.integers(0, 1 << 48, items).tolist())]
    )
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as z,
        z.open("train_triplets.txt", "w", force_zip64=True) as f,
    ):
        for user, song, plays in rated:
            rows = {"user": user_name[user], "song": song_name[song], "plays": plays}
            f.write(pl.DataFrame(rows).write_csv(include_header=False, separator="\t").encode())


WRITERS = {"ml-20m": write_movielens, "netflix": write_netflix, "msd": write_msd}


if __name__ == "__main__":
    main()
