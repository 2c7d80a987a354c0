"""The table of `minivae.theory`: every public function stands in one row, and what the rows say is there."""

import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType

from minivae import theory

ROOT = Path(__file__).resolve().parents[2]


def table(text):
    """Rows (file, statement, chapter, functions, tests) of a simple table; further lines of a row begin with blanks."""
    lines = text.splitlines()
    top, _, bottom = (k for k, line in enumerate(lines) if re.fullmatch(r"=[= ]+", line))
    ends = [m.end() for m in re.finditer("=+", lines[top])]
    starts = [0, *(end + 2 for end in ends[:-1])]
    rows = []
    for line in lines[top + 3 : bottom]:
        cells = [line[a:b].strip() for a, b in zip(starts, ends, strict=True)]
        if cells[0]:
            rows.append(cells)
        else:
            rows[-1] = [" ".join([a, b]).strip() for a, b in zip(rows[-1], cells, strict=True)]
    return rows


def called(row):
    """Name as after ``mv.theory.`` -> function of a row; the row must name functions that are there."""
    module, _, names = row[3].rpartition(":")
    names = [f"{module}.{n}".removeprefix(".") for n in names.split()]
    found = {}
    for name in names:
        value = theory
        for part in name.split("."):
            value = getattr(value, part)
        assert inspect.isfunction(value), name
        found[name] = value
    return found


def public():
    """Name -> function, of everything that `minivae.theory` and its public modules offer."""
    found = {}
    for name in theory.__all__:
        value = getattr(theory, name)
        if not isinstance(value, ModuleType):
            found[name] = value
            continue
        own = [n for n, v in vars(value).items() if getattr(v, "__module__", "") == value.__name__ and n[0] != "_"]
        found |= {f"{name}.{n}": getattr(value, n) for n in getattr(value, "__all__", own)}
    return {name: f for name, f in found.items() if inspect.isfunction(f)}


def not_in_one_row(rows):
    """Public functions that stand in no row or in several."""
    stated = [id(f) for row in rows for f in called(row).values()]
    return [name for name, f in public().items() if stated.count(id(f)) != 1]


ROWS = table(theory.__doc__)


def test_every_public_function_stands_in_one_row():
    assert len({row[0] for row in ROWS}) == len(ROWS) > 25
    assert not_in_one_row(ROWS) == []


def test_the_check_sees_what_is_missing_and_what_is_there_twice():
    """Broken twins."""
    assert not_in_one_row(ROWS[:-1]) == ["wrap"]
    assert not_in_one_row([*ROWS, ROWS[-1]]) == ["wrap"]


def test_every_row_is_true():
    for row in ROWS:
        file, _, chapter, _, tests = row
        module = importlib.import_module(f"minivae.theory.{file.replace('/', '.')}")
        functions = called(row)
        assert {f.__module__ for f in functions.values()} == {module.__name__}, file
        words = re.compile(rf"\b({'|'.join(name.rpartition('.')[2] for name in functions)}|theory\.{file})\b")
        using = [p.name for p in sorted((ROOT / "chapters").glob("[0-9]*.py")) if words.search(p.read_text("utf-8"))]
        assert not using if chapter == "–" else any(p.startswith(f"{chapter}_") for p in using), f"{file}: {using}"
        checks = (ROOT / "tests" / "theory" / f"test_{tests}.py").read_text("utf-8")
        assert words.search(checks), f"{file}: not in test_{tests}.py"
        assert re.search(r"raises\(AssertionError\)|\btwin\b|planted", checks), f"no broken twin in test_{tests}.py"
