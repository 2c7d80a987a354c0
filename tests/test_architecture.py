"""The rooms of the package: imports point down only, and no module stands in a circle."""

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "minivae"
# What a room may import stands before it. The rooms of a user (`cli`) come last, what everything stands on first.
ORDER = (
    *("version", "errors", "options", "runtime", "data"),
    *("batches", "masks", "anchors", "output_layer", "objective", "models", "theory"),
    *("metrics", "ranking", "recommendation", "config", "update", "training"),
    *("online", "checks", "plots", "preparation", "explorables", "explain", "study", "course", "cli"),
)
STORY = (
    "batches",
    "masks",
    "output_layer",
    "objective",
    "anchors",
    "config",
    "update",
    "training",
    "metrics",
    "ranking",
    "recommendation",
)
ROOT_FILES = {"__init__", "__main__", "version", "errors", "options", *STORY}

LONGEST = 300
# Files with more lines, and why each stays whole.
LONG: dict[str, str] = {}


def modules(package: Path = PACKAGE) -> dict[str, Path]:
    """Dotted name -> file of every module."""
    names = {p: ".".join(p.relative_to(package.parent).with_suffix("").parts) for p in package.rglob("*.py")}
    return {name.removesuffix(".__init__"): path for path, name in names.items()}


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def imports(source: str, known: set[str]) -> set[str]:
    """Modules of the package that a source imports when it runs; those for type checkers alone are left out."""
    tree = ast.parse(source)
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{a.name}" for a in node.names} & known
            found |= inner or {node.module}
    return found & known


def graph() -> dict[str, set[str]]:
    known = modules()
    return {name: imports(path.read_text(encoding="utf-8"), set(known)) - {name} for name, path in known.items()}


def upward(arrows: dict[str, set[str]]) -> list[str]:
    """Imports against the order, as sentences."""
    level = {name: k for k, name in enumerate(ORDER)}
    return [
        f"{a} imports {b}, which stands above it"
        for a, targets in sorted(arrows.items())
        for b in sorted(targets)
        if room(a) in level and room(b) in level and level[room(b)] > level[room(a)]
    ]


def test_every_room_has_its_place_in_the_order():
    rooms = {room(name) for name in modules()} - {"", "__main__"}
    assert rooms <= set(ORDER), f"rooms without a place in ORDER: {sorted(rooms - set(ORDER))}"


def test_the_root_holds_the_story_and_nothing_else():
    assert {p.stem for p in PACKAGE.glob("*.py")} <= ROOT_FILES


def test_imports_point_down_only():
    assert not (found := upward(graph())), "\n".join(found)


def test_no_module_stands_in_a_circle():
    try:
        tuple(TopologicalSorter(graph()).static_order())
    except CycleError as e:
        pytest.fail("imports in a circle: " + " → ".join(e.args[1]))


def test_the_check_sees_an_import_upward():
    """Broken twin: a data room that imports training inside a function; for types alone it may."""
    known = {"minivae.data.splits", "minivae.training", "minivae"}
    twin = "def f():\n    from minivae.training import fit\n"
    assert upward({"minivae.data.splits": imports(twin, known)})
    typed = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from minivae.training import fit\n"
    assert not upward({"minivae.data.splits": imports(typed, known)})


def misfits(lengths: dict[str, int], exceptions: dict[str, str]) -> list[str]:
    """Long files that are not excepted, and exceptions that are no longer long."""
    long = {name for name, lines in lengths.items() if lines > LONGEST}
    return [f"{name} has more than {LONGEST} lines" for name in sorted(long - set(exceptions))] + [
        f"{name} is excepted but not longer than {LONGEST} lines" for name in sorted(set(exceptions) - long)
    ]


def test_files_are_short_and_the_long_ones_have_a_reason():
    root = PACKAGE.parent
    sources = [p for room in ("minivae", "data_scripts", "docs") for p in (root / room).rglob("*.py")]
    lengths = {p.relative_to(root).as_posix(): p.read_text(encoding="utf-8").count("\n") for p in sources}
    assert not (found := misfits(lengths, LONG)), "\n".join(found)


def test_the_check_sees_a_long_file_and_an_exception_that_is_none():
    assert misfits({"a.py": 301, "b.py": 300}, {}) == ["a.py has more than 300 lines"]
    assert misfits({"a.py": 300}, {"a.py": "once long"}) == ["a.py is excepted but not longer than 300 lines"]
    assert misfits({}, {"gone.py": "moved"})
    assert not misfits({"a.py": 301, "b.py": 300}, {"a.py": "one concept"})


def test_documents_name_only_files_that_exist():
    root = PACKAGE.parent
    for page in [root / "README.md", *root.glob("chapters/*.md"), *root.glob("docs/**/*.md"), *root.glob("*.md")]:
        for path in re.findall(
            r"`((?:minivae|tests|data_scripts|chapters)/[\w/.-]+\.(?:py|toml|md|csv|ipynb))`",
            page.read_text(encoding="utf-8"),
        ):
            assert "NN_" in path or (root / path).exists(), f"{page.name} names {path}, which is not there"


def test_no_two_test_files_have_one_name():
    names = sorted(p.name for p in (PACKAGE.parent / "tests").rglob("test_*.py"))
    assert len(names) == len(set(names))  # pytest imports them by it
