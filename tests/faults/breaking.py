"""Every flag, setting, variable and note with values that nobody meant: a sentence, or the work is done.

    nice -n 10 python -m tests.faults.breaking                      everything
    python -m tests.faults.breaking --kinds settings,notes --cases 50 --seed 3

Each case is a command line in a child process with limits on memory, file size and time. It ends in one of these ways:
accepted (status 0), refused (status 2 and one line that begins with `error:`), refused by the parser of flags, a
traceback, a crash (a signal), a hang, or silently wrong: accepted although the value cannot be meant, such as a word
where a number belongs. Prints a table, and the cases of the last four kinds; the status is 0 if there are none.
"""

import argparse
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

import minivae as mv
from minivae.cli.commands import COMMANDS as LOADED  # here, once, and not in every child
from minivae.cli.main import main as command_line
from tests.faults.values import environment, flags, notes, settings

SECONDS, WALL, MEMORY, FILE = 60, 300, 4 << 30, 1 << 28  # what is written to counts as memory, not what is mapped
BAD = ("traceback", "crash", "hang", "silently wrong")
ENDINGS = ("accepted", "refused", "refused by the parser", *BAD)
KINDS = ("flags", "settings", "variables", "notes")
FAST = ["--epochs", "1", "--device", "cpu", "--precision", "fp32"]


@dataclass(frozen=True)
class Case:
    """One command with one odd value.

    Attributes
    ----------
    name : str
        The flag, key or variable, and its value.
    argv : list[str]
        The command.
    refuse : bool
        Whether success would be wrong.
    variables : dict[str, str]
        Of the environment.
    prepare : Callable[[], object], optional
        Run in the child, in a folder of its own, before the command.
    program : bool
        Whether the command needs a python of its own: for what is read when it starts.
    """

    name: str
    argv: list[str]
    refuse: bool = False
    variables: dict[str, str] = field(default_factory=dict)
    prepare: Callable[[], object] = lambda: None
    program: bool = False


def attempt(case: Case, folder: Path) -> tuple[str, str]:
    """How the case ended, and what it said last."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    said = folder.with_suffix(".said")
    pid = os.fork()
    if pid == 0:
        _child(case, folder, said)
    status = _wait(pid)
    text = said.read_text(encoding="utf-8", errors="replace")
    return _ending(case, status, text), (text.strip().splitlines() or [""])[-1][:160]


def _child(case: Case, folder: Path, said: Path) -> None:
    status = 70
    try:
        os.setsid()
        os.chdir(folder)
        for fd, to in ((0, os.devnull), (1, os.devnull), (2, said)):
            os.dup2(os.open(to, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), fd)
        for what, limit in (("CPU", SECONDS), ("DATA", MEMORY), ("FSIZE", FILE)):
            resource.setrlimit(getattr(resource, f"RLIMIT_{what}"), (limit, limit))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        case.prepare()
        if case.program:
            environment = {**os.environ, **case.variables}
            status = subprocess.run([sys.executable, "-m", "minivae", *case.argv], env=environment).returncode
            if status < 0:
                os.kill(os.getpid(), -status)
        else:
            os.environ.update(case.variables)
            status = command_line(case.argv)
    except SystemExit as e:
        status = 3 if e.code else 0
    except BaseException:  # a finding of whatever kind
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _wait(pid: int) -> int | None:
    """The status of the child; None if it had to be ended with all that it started."""
    until = time.monotonic() + WALL
    while time.monotonic() < until:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def _ending(case: Case, status: int | None, text: str) -> str:
    if status is None or status == -signal.SIGXCPU:
        return "hang"
    if status < 0:
        return "crash"
    if "Traceback (most recent call last)" in text:
        return "traceback"
    if status == 0:
        return "silently wrong" if case.refuse else "accepted"
    lines = text.strip("\n").splitlines()
    if status == 3 or (case.program and lines and not lines[-1].startswith("error: ")):
        return "refused by the parser"
    sentences = [line for line in lines if line.startswith("error: ")]
    return "refused" if status == 2 and sentences == lines[-1:] else "traceback"


def prepare(folder: Path) -> None:
    """A split, a table, a run and two studies, all sound, in a child: polars does not survive a fork after its use."""
    if os.fork():
        if os.wait()[1]:
            raise SystemExit("the sound files could not be made")
        return
    status = 1
    try:
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        _make()
        status = 0
    finally:
        os._exit(status)


def _make() -> None:
    data = mv.planted(n_users=300, n_items=120, n_events=6000)
    split = mv.strong_split(data, n_heldout=50)
    split.save(Path("tiny.safetensors"))
    rows = [f"u{u},{i},{1 + (u + i) % 5},{97 + u * i},Film {i}\n" for u, i in zip(data.user, data.item, strict=True)]
    Path("tiny.csv").write_text("user,item,rating,time,title\n" + "".join(rows), encoding="utf-8")
    Path("labels.txt").write_text("1\n2\n", encoding="utf-8")
    features = "".join(f"{i},g{i % 4}|h{i % 7}\n" for i in range(120))
    Path("features.csv").write_text(f"item,features\n{features}", encoding="utf-8")
    Path("groups.csv").write_text("user,group\n" + "".join(f"{u},g{u % 2}\n" for u in range(300)), encoding="utf-8")
    dat = "".join(f"{u}::{i}::{1 + (u + i) % 5}::978300760\n" for u, i in zip(data.user, data.item, strict=True))
    Path("ml-1m").mkdir()
    Path("ml-1m/ratings.dat").write_text(dat, encoding="latin-1")
    Path("ml-1m/movies.dat").write_text("".join(f"{i}::Film {i} (1990)::Drama\n" for i in range(120)), "latin-1")
    Path("small.toml").write_text("[models.multvae]\nhidden = 16\nlatent = 4\n", encoding="utf-8")
    models = ["--models", "popularity,multvae", "--settings", "small.toml"]
    for seed in ("1", "2"):
        mv.strong_split(data, n_heldout=50, seed=int(seed)).save(Path(f"draw-{seed}.safetensors"))
        argv = ["study", "--data", f"draw-{seed}.safetensors", *models, *FAST, "--out", f"study-{seed}"]
        assert command_line(argv) == 0
    assert command_line(["train", "--data", "tiny.safetensors", *FAST, "--batch-size", "50", "--out", "run"]) == 0


def cases(made: Path) -> dict[str, list[Case]]:
    return {
        "flags": [Case(*of) for of in flags(made)],
        "settings": [Case(name, argv, refuse, {}, write) for name, argv, refuse, write in settings(made)],
        "variables": [
            Case(name, argv, refuse, variables, program=own) for name, argv, refuse, variables, own in environment(made)
        ],
        "notes": [Case(name, argv, refuse, {}, change) for name, argv, refuse, change in notes(made)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.breaking", description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--cases", type=int, help="so many of each kind, drawn at random; all of them if not given")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    options = parser.parse_args()
    if unknown := set(options.kinds.split(",")) - set(KINDS):
        parser.error(f"no kind is called {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    assert LOADED
    torch.set_num_threads(1)
    bad, total, started = [], Counter(), time.monotonic()
    print(f"| kind | tried | {' | '.join(ENDINGS)} |\n|---|---:|{'---:|' * len(ENDINGS)}")
    with tempfile.TemporaryDirectory() as name:
        made = Path(name).resolve() / "made"
        made.mkdir()
        prepare(made)
        every = cases(made)
        for kind in options.kinds.split(","):
            work = every[kind]
            if options.cases is not None and options.cases < len(work):
                work = random.Random(options.seed).sample(work, options.cases)
            count = Counter()
            for case in work:
                if count.total() and count.total() % 100 == 0:  # lines, for a bar's thread and forks do not go together
                    print(f"{kind}: {count.total():,} of {len(work):,}", file=sys.stderr, flush=True)
                ending, said = attempt(case, Path(name) / "here")
                count[ending] += 1
                if ending in BAD:
                    bad.append(f"{ending}: {kind}: {case.name!a}: {said!a}")
                    print(bad[-1], file=sys.stderr, flush=True)
            _row(kind, count)
            total += count
    _row("all", total)
    print("", *bad, f"{time.monotonic() - started:.0f} seconds", sep="\n")
    sys.exit(bool(bad))


def _row(kind: str, count: Counter) -> None:
    print(f"| {kind} | {count.total()} | {' | '.join(str(count[e]) for e in ENDINGS)} |", flush=True)


if __name__ == "__main__":
    main()
