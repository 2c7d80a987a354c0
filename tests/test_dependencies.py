"""Every module that the package imports comes with Python or is declared in pyproject.toml."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def declared(extra=()):
    """Names of the distributions that pyproject.toml asks for, with those of some extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *(d for name in extra for d in project["optional-dependencies"][name])]
    return {re.match(r"[\w.-]+", d)[0].lower().replace("_", "-") for d in asked}


def imported(source):
    """Top names of what a source imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {a.name.partition(".")[0] for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"minivae"}


def undeclared(names, known):
    """Those that no declared distribution brings."""
    homes = packages_distributions()
    return sorted(n for n in names if not {h.lower().replace("_", "-") for h in homes.get(n, [n])} & known)


@pytest.mark.parametrize("folder", ["minivae", "data_scripts"])
def test_every_import_is_declared(folder):
    names = set().union(*(imported(p.read_text(encoding="utf-8")) for p in (ROOT / folder).rglob("*.py")))
    extras = ("ials", "course")
    missing = undeclared(names, declared(extras) | {"minivae"})
    assert not [m for m in missing if not (ROOT / folder / f"{m}.py").exists()]


def test_the_check_sees_an_undeclared_import():
    assert undeclared(imported("def f():\n    import pandas.core\n    from numpy import ones\n"), declared()) == [
        "pandas"
    ]
