"""Plants single errors in the package and counts how many the tests notice: `python -m tests.mutation ROOM …`."""

import argparse
import ast
import json
import os
import random
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.mutation import server
from tests.mutation.operators import Mutant, mutants
from tests.mutation.report import summary
from tests.mutation.rooms import ROOMS, ROOT, Room

HEAVY = ("torch", "scipy.stats", "scipy.optimize", "polars", "matplotlib.pyplot", "hypothesis", "ot", "rich", "msgspec")
HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("rooms", nargs="+", help=f"{', '.join(ROOMS)}, or a source file; 'planted': the kept list")
    parser.add_argument("--limit", type=int, default=30, help="mutants drawn from each file (0: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--only", default="", help="words that the errors must have: of one kind, 'exchanged'")
    parser.add_argument("--seconds", type=float, default=20, help="of tests for one mutant; its time-out is twice that")
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "minivae-mutation")
    parser.add_argument("--tests", nargs="+", help="globs from the root: these test files alone, not those of the room")
    parser.add_argument("--quick", action="store_true", help="without the tests that are marked slow")
    parser.add_argument("--again", action="store_true", help="only those that survived before, with today's tests")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    os.chdir(ROOT)
    for name in HEAVY:
        __import__(name)
    sys.modules["torch"].set_num_threads(1)
    for name in chosen.rooms:
        for path, of in _files(name):
            room = Room(of.sources, tuple(chosen.tests)) if chosen.tests else of
            log = chosen.out / f"{name.replace('/', '.')}.jsonl"
            work = _planted(path) if name == "planted" else _drawn(path, chosen.limit, chosen.seed, chosen.only)
            _file(path, room, work, log, chosen.seconds, chosen.again, ["-m", "not slow"] if chosen.quick else [])
        print(summary(chosen.out / f"{name.replace('/', '.')}.jsonl"))


def _files(name: str) -> list[tuple[Path, Room]]:
    """Source files with the tests that concern them."""
    if name in ROOMS:
        return [(p, ROOMS[name]) for p in ROOMS[name].files()]
    listed = (
        sorted({ROOT / m["file"] for m in tomllib.loads((HERE / "planted.toml").read_text(encoding="utf-8"))["mutant"]})
        if name == "planted"
        else [ROOT / name]
    )
    for path in listed:
        if not any(path in room.files() for room in ROOMS.values()):
            raise SystemExit(f"{path.relative_to(ROOT)} is in no room; rooms are {', '.join(ROOMS)}, see rooms.py")
    return [(p, next(r for r in ROOMS.values() if p in r.files())) for p in listed]


def _drawn(path: Path, limit: int, seed: int, only: str) -> list[Mutant]:
    every = [m for m in mutants(path.read_text(encoding="utf-8")) if only in m.what]
    if not limit or len(every) <= limit:
        return every
    drawn = random.Random(f"{seed} {path.relative_to(ROOT).as_posix()}").sample(range(len(every)), limit)
    return [every[k] for k in sorted(drawn)]


def _planted(path: Path) -> list[Mutant]:
    """Errors of the kept list: a piece of text that occurs once, and what takes its place."""
    source = path.read_text(encoding="utf-8")
    found = []
    for m in tomllib.loads((HERE / "planted.toml").read_text(encoding="utf-8"))["mutant"]:
        if ROOT / m["file"] != path:
            continue
        if source.count(m["old"]) != 1:
            raise SystemExit(
                f"planted.toml: {m['old']!r} stands {source.count(m['old'])} times in {m['file']}, not once"
            )
        changed = source.replace(m["old"], m["new"])
        if changed.count("\n") != source.count("\n"):
            raise SystemExit(f"planted.toml: {m['old']!r} in {m['file']} must keep its number of lines")
        line = source[: source.index(m["old"])].count("\n") + 1
        found.append(Mutant(line, f"{m['old']} → {m['new']}", partial(ast.parse, changed)))
    return found


def _file(
    path: Path, room: Room, work: list[Mutant], log: Path, seconds: float, again: bool, options: Sequence[str] = ()
) -> None:
    """All mutants of one file, in a child process that has imported and collected everything once."""
    relative = path.relative_to(ROOT).as_posix()
    done = _done(log)
    open_ = {"afresh", "survived"} if again else {"afresh"}  # "afresh": a run was ended before this one's turn came
    work = [m for m in work if done.get((relative, m.line, m.what), {"result": "afresh"})["result"] in open_]
    if not work:
        return
    source = ast.parse(path.read_text(encoding="utf-8"))
    cache = log.parent / "profiles"
    cache.mkdir(exist_ok=True)

    def collected(tests: Sequence[pytest.Item]) -> None:
        items = {i.nodeid: i for i in tests}
        profiles = _profiles(tests, cache)
        for mutant in work:
            names = server.concerned(path, mutant.line, source, profiles, seconds)
            if not names:  # pytest without names would run everything, until its time is up
                _note(log, relative, mutant, "survived", "", names)
                continue
            kind, value = server.fork(
                lambda m=mutant, n=names: server.judge(path, source, m, items, n), 2 * seconds + 10
            )
            if kind == "done" and value is None:
                _note(log, relative, mutant, "afresh", "", names)
            else:
                _note(log, relative, mutant, _result(kind, value), value or "", names)

    def session() -> None:
        os.environ["MINIVAE_MUTATION"] = "1"
        pytest.main([*server.OPTIONS, *options, *map(str, room.suite())], plugins=[server.Collected(collected)])

    kind, _ = server.fork(session, 36_000)
    if kind != "done":
        raise SystemExit(f"the tests of {relative} could not be collected; run them with pytest first")
    waiting = _done(log)
    for mutant in work:
        row = waiting.get((relative, mutant.line, mutant.what))
        if row and row["result"] == "afresh":
            names = row["tests"]
            anew = partial(server.afresh, path, mutant.build(), names)
            kind, value = server.fork(anew, 2 * seconds + 10)
            _note(log, relative, mutant, _result(kind, value), value or "", names)


def _result(kind: str, value: Any) -> str:
    return kind if kind != "done" else "killed" if value else "survived"


def _profiles(tests: Sequence[pytest.Item], cache: Path) -> dict[str, server.Profile]:
    """What each test touches, measured once for each version of its file and kept."""
    found: dict[str, server.Profile] = {}
    by_file: dict[Path, list[pytest.Item]] = {}
    for item in tests:
        by_file.setdefault(item.path, []).append(item)
    for path, items in by_file.items():
        which = f"{path.relative_to(ROOT).as_posix().replace('/', '.')}.{path.stat().st_mtime_ns}.{len(items)}"
        kept = cache / f"{which}.json"
        if not kept.exists():
            _, value = server.fork(lambda items=items: server.profile(items), 1200)
            if value is None:
                print(f"{path.name} does not run to its end here and is left out", file=sys.stderr)
                value = {}
            kept.write_text(json.dumps(value), encoding="utf-8")
        value = json.loads(kept.read_text(encoding="utf-8"))
        found |= {n: server.Profile(s, {(f, k) for f, k in touched}) for n, (s, touched) in value.items()}
    return found


def _note(log: Path, file: str, mutant: Mutant, result: str, by: str, names: list[str]) -> None:
    row = {"file": file, "line": mutant.line, "what": mutant.what, "result": result, "by": by}
    row |= {"tests": names} if result == "afresh" else {"tests": len(names)}
    with log.open("a", encoding="utf-8") as out:
        out.write(json.dumps(row, ensure_ascii=False) + "\n")


def _done(log: Path) -> dict[tuple[str, int, str], dict[str, Any]]:
    """The last result of every mutant."""
    if not log.exists():
        return {}
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return {(r["file"], r["line"], r["what"]): r for r in rows}


if __name__ == "__main__":
    main()
