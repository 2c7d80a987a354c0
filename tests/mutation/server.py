"""Runs tests on mutants by forking: everything is imported and collected once, a child takes one mutant each.

Nothing on disk is changed. An error inside a function is planted by giving the imported function the mutant's code
object; one outside (a constant of the module, a default, a class body) by importing the package afresh in the child,
with the mutant's source in the place of the module's.
"""

import ast
import gc
import importlib.abc
import importlib.util
import json
import os
import re
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import _lru_cache_wrapper, cache
from itertools import accumulate
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest

from tests.mutation.operators import Mutant
from tests.mutation.rooms import EVERYWHERE, ROOT

OPTIONS = ["-q", "-n0", "-x", "-p", "no:cacheprovider", "-p", "no:nbval", "--disable-warnings", "-o", "addopts="]
MEMORY = 10 << 30
# CPU time counts, so that a busy machine kills no mutant; the clock on the wall is for those that wait for ever.
CLOCKS = ((signal.SIGPROF, signal.ITIMER_PROF, 1), (signal.SIGALRM, signal.ITIMER_REAL, 20))
Key = tuple[str, int]


@dataclass
class Profile:
    """What one test needs: seconds, and the functions it runs, as (file, first line)."""

    seconds: float
    touched: set[Key]


def fork(work: Callable[[], Any], seconds: float) -> tuple[str, Any]:
    """Run `work` in a child of so many CPU seconds: ("done", its result), ("timeout", None) or ("crash", None)."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        status = 1
        try:
            quiet = os.open(os.devnull, os.O_RDWR)
            for fd in (0, 1, 2):
                os.dup2(quiet, fd)
            for number, timer, limit in CLOCKS:
                signal.signal(number, signal.SIG_DFL)
                signal.setitimer(timer, limit * seconds)
            _, hard = resource.getrlimit(resource.RLIMIT_AS)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, hard))
            with os.fdopen(write, "w", encoding="utf-8") as pipe:
                json.dump(work(), pipe)
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as pipe:
        text = pipe.read()
    _, code = os.waitpid(pid, 0)
    if os.WIFSIGNALED(code) and os.WTERMSIG(code) in (signal.SIGALRM, signal.SIGPROF):
        return "timeout", None
    return ("done", json.loads(text)) if code == 0 and text else ("crash", None)


class Collected:
    """A pytest plugin that hands the collected tests over instead of running them."""

    def __init__(self, work: Callable[[Sequence[pytest.Item]], None]) -> None:
        self.work = work

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.work(session.items)
        return True


class Outcome:
    """A pytest plugin that notes the first test that fails."""

    def __init__(self) -> None:
        self.failed = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and not self.failed:
            self.failed = f"collection of {report.nodeid}"


class Trace:
    """A pytest plugin: the functions of the package that each test runs, and those of the fixtures it asks for."""

    def __init__(self) -> None:
        self.by_fixture: dict[str, set[Key]] = {}
        self.seen: set[Key] = set()
        self.package = str(ROOT / "minivae") + os.sep

    def __call__(self, frame: Any, event: str, arg: Any) -> None:
        code = frame.f_code
        if code.co_filename.startswith(self.package):
            self.seen.add((code.co_filename, code.co_firstlineno))

    @pytest.hookimpl(hookwrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Iterator[None]:
        before, self.seen = self.seen, set()
        yield
        self.by_fixture.setdefault(fixturedef.argname, set()).update(self.seen)
        self.seen |= before


def run_items(items: Sequence[pytest.Item]) -> str:
    """Run collected tests in turn; the first that fails, or ""."""
    if not items:
        return ""
    outcome = Outcome()
    items[0].config.pluginmanager.register(outcome)
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if outcome.failed:
            return outcome.failed
    return ""


def profile(items: Sequence[pytest.Item]) -> dict[str, Any]:
    """Seconds and touched functions of every test that passes, as JSON."""
    trace, outcome, found = Trace(), Outcome(), {}
    manager = items[0].config.pluginmanager
    manager.register(trace)
    manager.register(outcome)
    for item, following in zip(items, [*items[1:], None], strict=True):
        trace.seen, outcome.failed, start = set(), "", time.process_time()
        sys.settrace(trace)
        threading.settrace(trace)  # of threads that the test starts
        try:
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        finally:
            sys.settrace(None)
            threading.settrace(None)
        if not outcome.failed:
            seen = trace.seen.union(*(trace.by_fixture.get(f, set()) for f in getattr(item, "fixturenames", ())))
            found[item.nodeid] = [time.process_time() - start, sorted(seen)]
    return found


def functions(tree: ast.Module) -> list[tuple[int, int, int]]:
    """First line (decorators count), first line of the body and last line of every function."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        (min([n.lineno, *(d.lineno for d in n.decorator_list)]), n.body[0].lineno, n.end_lineno or 0)
        for n in ast.walk(tree)
        if isinstance(n, kinds)
    ]


def home(line: int, tree: ast.Module) -> int | None:
    """First line of the outermost function whose body holds the line; None outside of every body."""
    around = [first for first, body, last in functions(tree) if body <= line <= last]
    return min(around) if around else None


def concerned(path: Path, line: int, tree: ast.Module, profiles: dict[str, Profile], budget: float) -> list[str]:
    """Tests that run the function around a line; outside of functions, that run or name anything of the file, else all.

    The quickest come first; those that would bring the sum above `budget` seconds are left out.
    """
    first = home(line, tree)
    last = max((end for start, _, end in functions(tree) if start == first), default=0)
    names = [
        (p.seconds, name)
        for name, p in profiles.items()
        if any(f == str(path) and (first is None or first <= at <= last) for f, at in p.touched)
        or (first is None and (name.startswith(EVERYWHERE) or path.stem in _words(name.partition("::")[0])))
    ]
    if first is None and not names:  # a file of records alone runs no function
        names = [(p.seconds, name) for name, p in profiles.items()]
    spent = list(accumulate(seconds for seconds, _ in sorted(names)))
    return [name for (_, name), sum_ in zip(sorted(names), spent, strict=True) if sum_ <= budget]


@cache
def _words(file: str) -> frozenset[str]:
    """The names in a test file."""
    path = ROOT / file
    return frozenset(re.findall(r"\w+", path.read_text(encoding="utf-8"))) if path.is_file() else frozenset()


def plant(path: Path, tree: ast.Module) -> int:
    """Give every living function of a file the code of the mutant; the number of functions that changed."""
    fresh: dict[tuple[str, int], CodeType] = {}

    def gather(code: CodeType) -> None:
        for const in code.co_consts:
            if isinstance(const, CodeType):
                fresh[const.co_qualname, const.co_firstlineno] = const
                gather(const)

    gather(compile(tree, str(path), "exec", dont_inherit=True))
    changed = 0
    for f in [o for o in gc.get_objects() if type(o) is FunctionType]:
        old = f.__code__
        new = fresh.get((old.co_qualname, old.co_firstlineno)) if old.co_filename == str(path) else None
        if new is not None and new != old and len(new.co_freevars) == len(old.co_freevars):
            f.__code__ = new
            changed += 1
    if changed:
        _forget()
    return changed


def _forget() -> None:
    """Empty the caches of the package's functions: what they hold was made without the mutant."""
    package = str(ROOT / "minivae") + os.sep
    for f in [o for o in gc.get_objects() if type(o) is _lru_cache_wrapper]:
        if getattr(getattr(f.__wrapped__, "__code__", None), "co_filename", "").startswith(package):
            f.cache_clear()


class Replaced(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from a syntax tree instead of its file."""

    def __init__(self, path: Path, tree: ast.Module) -> None:
        self.path, self.tree = path, tree
        self.name = ".".join(path.relative_to(ROOT).with_suffix("").parts)

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        return importlib.util.spec_from_loader(fullname, self, origin=str(self.path)) if fullname == self.name else None

    def create_module(self, spec: Any) -> None:
        return None

    def exec_module(self, module: Any) -> None:
        module.__file__ = str(self.path)
        exec(compile(self.tree, str(self.path), "exec", dont_inherit=True), module.__dict__)


def afresh(path: Path, tree: ast.Module, names: Sequence[str]) -> str:
    """Run tests in a child that has imported nothing of the package, with the mutant in the module's place."""
    sys.meta_path.insert(0, Replaced(path, tree))
    outcome = Outcome()
    code = pytest.main([*OPTIONS, *names], plugins=[outcome])
    return outcome.failed or ("" if code == 0 else f"pytest ended with {int(code)}")


def judge(path: Path, source: ast.Module, mutant: Mutant, items: dict[str, pytest.Item], names: list[str]) -> Any:
    """In a child of the collected process: plant, run, and say which test noticed; None: it must be imported."""
    if home(mutant.line, source) is None or not plant(path, mutant.build()):
        return None
    return run_items([items[n] for n in names])
