"""From raw files to the final table, unattended: planted ratings in the exact format of a large data set.

    python tests/speed/dry_run.py ml-20m --work dry --scale 0.02
    python tests/speed/dry_run.py netflix --work dry --scale 1        # the full shape

Three steps: the raw archive (ml-20m.zip with ratings.csv, nf_prize_dataset.tar.gz with mv_*.txt, train_triplets.txt in
a zip), `minivae data prepare`, `minivae study` with the preset of that data. What preparation must find is counted from
the planted ratings beside it. A run that was killed is continued by the same command: a step that has ended is not done
again, and the study goes on from its checkpoint. Printed and kept in WORK/NAME: the time, memory and disk of every step
and the study's table. The users are made up: the figures of the table say nothing about the real data.

With a scale below 1 there are as many users as it says, and the root of it as many items; of the songs three times
as it says, or the filter of 200 listeners would leave none. Interactions per user stay those of the original.
"""

import argparse
import io
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import torch
from preparation import WRITERS

import minivae as mv
from minivae.cli.main import main as minivae
from minivae.data.catalogue import DATASETS
from minivae.data.population_law import SHAPES
from minivae.runtime.memory import peak
from minivae.runtime.storage import write_json, write_text

ARCHIVES = {"ml-20m": "ml-20m.zip", "netflix": "nf_prize_dataset.tar.gz", "msd": "train_triplets.txt.zip"}
LOW = {"ml-20m": 1.0, "netflix": 0.77, "msd": 0.44}  # ratings that preparation drops, per one that it keeps
RARE_USERS, RARE_SONGS = 0.78, 8.3  # of MSD: users and songs that the filter drops, per one that it keeps
PIECE = 2_000_000
MODELS = "popularity,ease,multvae-clean,multvae,multvae+anchor"


def sizes(name: str, scale: float) -> tuple[int, int, int]:
    """Users, items and events after the filter."""
    users, items, events = SHAPES[name]
    items = items * (min(1.0, 3 * scale) if name == "msd" else scale**0.5)
    return int(users * scale), int(items), int(events * scale)


def ratings(name: str, scale: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[int, int]]:
    """User, item and value of every raw rating in the order of the original, and how many users and items there are."""
    n_users, n_items, n_events = sizes(name, scale)
    data = mv.planted(n_users=n_users, n_items=n_items, n_events=n_events)
    rng = np.random.default_rng(1)
    n_low = int(n_events * LOW[name])
    user, item = data.user[rng.integers(n_events, size=n_low)], rng.integers(n_items, size=n_low)
    if name == "msd":
        common, (n_users, n_items) = n_items, (int(n_users * (1 + RARE_USERS)), int(n_items * (1 + RARE_SONGS)))
        user, item = rng.integers(n_users, size=n_low), rng.integers(common, n_items, size=n_low)
    user, item = (np.concatenate([a, b]).astype(np.int64) for a, b in ((data.user, user), (data.item, item)))
    key, first = np.unique(item * n_users + user if name == "netflix" else user * n_items + item, return_index=True)
    liked = first < n_events  # where a pair stands twice, the planted one comes first
    user, item = user[first], item[first]
    if name == "msd":
        return user, item, rng.geometric(0.35, len(key)), (n_users, n_items)
    values = {"ml-20m": (rng.integers(8, 11, len(key)) / 2, rng.integers(1, 8, len(key)) / 2)}
    values["netflix"] = rng.integers(4, 6, len(key)), rng.integers(1, 4, len(key))
    return user, item, np.where(liked, *values[name]), (n_users, n_items)


def after_filter(name: str, user: np.ndarray, item: np.ndarray, value: np.ndarray) -> dict[str, int]:
    """What preparation must find: ratings high enough, items with enough users, then users with enough items."""
    protocol = DATASETS[name].protocol
    found = {"ratings": len(user)}
    if protocol.min_rating:
        user, item = (a[value >= protocol.min_rating] for a in (user, item))
    common = np.bincount(item)[item] >= protocol.min_item
    user, item = user[common], item[common]
    active = np.bincount(user)[user] >= protocol.min_user
    user, item = user[active], item[active]
    return found | {"events": len(user), "users": len(np.unique(user)), "items": len(np.unique(item))}


def make_raw(name: str, scale: float, archive: Path) -> dict[str, int]:
    """Write the archive; returns what preparation must find in it."""
    user, item, value, (n_users, n_items) = ratings(name, scale)
    rows, columns = (item, user) if name == "netflix" else (user, item)

    def pieces() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Whole rows, about `PIECE` ratings at a time."""
        begins = np.flatnonzero(np.diff(rows, prepend=-1))
        cuts = begins[np.unique(np.searchsorted(begins, np.arange(PIECE, len(rows), PIECE)).clip(max=len(begins) - 1))]
        for part in zip(*(np.split(a, cuts) for a in (rows, columns, value)), strict=True):
            if len(part[0]):
                yield part

    unfinished = archive.with_name(archive.name + ".part")
    WRITERS[name](unfinished, pieces(), n_users, n_items, np.random.default_rng(2))
    unfinished.replace(archive)
    return after_filter(name, user, item, value)


def command(*argv: str) -> str:
    """Run `minivae` in this process; returns what it printed, and ends with its status if that is not 0."""
    said = io.StringIO()
    with redirect_stdout(said):
        status = minivae(argv)
    sys.stdout.write(said.getvalue())
    if status:
        sys.exit(status)
    return said.getvalue()


def prepare(name: str, folder: Path, heldout: int, wanted: dict[str, int]) -> dict[str, int]:
    """The split, whose counts must be those that were planted."""
    archive = folder / ARCHIVES[name]
    argv = ["data", "prepare", name, "--from-file", str(archive), "--out", str(folder), "--heldout", str(heldout)]
    printed = re.findall(r"│ (ratings|events|users|items) .*│ ([\d,]+) +│", command(*argv, "--no-verify"))
    got = {step: int(n.replace(",", "")) for step, n in printed}
    if got != wanted:
        sys.exit(f"preparation found {got} where {wanted} were planted")
    return got


def study(name: str, folder: Path, models: str, epochs: int) -> dict[str, object]:
    """The study, continued if it had begun."""
    out = folder / "study"
    argv = ["study", "--data", str(folder / f"{name}.safetensors"), "--preset", name, "--models", models]
    argv += ["--epochs", str(epochs), "--device", "cpu", "--out", str(out)]
    command(*argv, *(["--resume"] if (out / "study.json").is_file() else []))
    rows = json.loads((out / "results.json").read_text(encoding="utf-8"))["summary"]
    return {row["model"]: {m: of["mean"] for m, of in row["metrics"].items()} for row in rows}


def measured(work: Callable[[], dict[str, object]]) -> dict[str, object]:
    """What a step found, and what it took."""
    wall, processor = time.perf_counter(), time.process_time()
    with peak(torch.device("cpu")) as memory:
        found = work()
    cost = {"wall seconds": time.perf_counter() - wall, "processor seconds": time.process_time() - processor}
    return {"found": found, **cost, "peak GB": (memory.process or 0) / 1e9}


def size(path: Path) -> int:
    """Bytes of a file, or of all that is in a folder."""
    return sum(p.stat().st_size for p in (path.rglob("*") if path.is_dir() else [path]) if p.is_file())


def markdown(value: dict) -> str:
    """The report."""
    found = value["steps"]["prepare"]["found"]
    counts = ", ".join(f"{n:,} {what}" for what, n in found.items())
    lines = [f"# Dry run of {value['data']}, scale {value['scale']:g}", "", f"Planted users, so no accuracy. {counts}."]
    lines += ["", "| step | processor, s | wall, s | peak memory, GB | disk, MB |", "|---|---:|---:|---:|---:|"]
    for step, of in value["steps"].items():
        times = f"{of['processor seconds']:.1f} | {of['wall seconds']:.1f} | {of['peak GB']:.2f}"
        lines.append(f"| {step} | {times} | {of['bytes'] / 1e6:.1f} |")
    table = value["steps"]["study"]["found"]
    metrics = list(next(iter(table.values())))
    lines += ["", f"Test users, {value['epochs']} epochs:", "", "| model | " + " | ".join(metrics) + " |"]
    lines += ["|---|" + "---:|" * len(metrics)]
    lines += [f"| {model} | " + " | ".join(f"{of[m]:.4f}" for m in metrics) + " |" for model, of in table.items()]
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=list(ARCHIVES))
    parser.add_argument("--work", type=Path, required=True, help="folder for everything; what is done there is kept")
    parser.add_argument("--scale", type=float, default=0.02, help="share of the users; 1 is the full shape")
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--epochs", type=int, default=2)
    options = parser.parse_args()
    if not 0 < options.scale <= 1:
        parser.error("--scale must be above 0 and at most 1")
    folder = options.work / options.name
    folder.mkdir(parents=True, exist_ok=True)
    asked = {"data": options.name, "scale": options.scale, "models": options.models, "epochs": options.epochs}
    note = folder / "dry_run.json"
    value = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else {**asked, "steps": {}}
    if {k: value[k] for k in asked} != asked:
        parser.error(f"{note} is of other arguments; choose another --work")
    write_json(note, value)
    heldout = max(20, int(DATASETS[options.name].protocol.n_heldout * options.scale))
    archive, split = folder / ARCHIVES[options.name], folder / f"{options.name}.safetensors"

    def step(what: str, product: Path, work: Callable[[], dict[str, object]]) -> dict[str, object]:
        if what not in value["steps"] or not product.exists():
            print(f"{options.name}: {what} …", file=sys.stderr)
            value["steps"][what] = measured(work) | {"bytes": size(product)}
            write_json(note, value)
        return value["steps"][what]["found"]

    wanted = step("raw", archive, lambda: make_raw(options.name, options.scale, archive))
    step("prepare", split, lambda: prepare(options.name, folder, heldout, wanted))
    step("study", folder / "study", lambda: study(options.name, folder, options.models, options.epochs))
    write_text(folder / "dry_run.md", markdown(value))
    print(markdown(value))
    print(f"report: {folder}/study/report.html, {folder}/dry_run.md")


if __name__ == "__main__":
    main()
