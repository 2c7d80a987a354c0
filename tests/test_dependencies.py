"""Every module that the package imports comes with Python or is declared in pyproject.toml."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

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


# ------------------------------------------------------------------------------------------------------ locked versions


def locked(text):
    """Name -> versions of a lock, each with the marker that it is for and its hashes."""
    found = {}
    for entry in re.split(r"\n(?=\S)", text):
        if re.match(r"[\w.-]+==", entry):
            first, *hashes = [line.strip().removesuffix("\\").strip() for line in entry.splitlines() if line.strip()]
            asked = Requirement(first)
            found.setdefault(asked.name, []).append((asked, [h for h in hashes if h.startswith("--hash=sha256:")]))
    return found


def unlocked(lock, asked):
    """Requirements without a locked version in their bounds for a computer like this one, or without its hashes."""
    bad = []
    for requirement in asked:
        here = [
            (pin, hashes)
            for pin, hashes in lock.get(requirement.name.lower().replace("_", "-"), [])
            if pin.marker is None or pin.marker.evaluate(default_environment())
        ]
        versions = [next(iter(pin.specifier)).version for pin, hashes in here if hashes]
        if len(versions) != 1 or not requirement.specifier.contains(versions[0]):
            bad.append(str(requirement))
    return bad


@pytest.mark.parametrize(("lock", "extras"), [("ci", ("test", "docs")), ("course", ("lab", "course", "ials"))])
def test_every_dependency_is_locked_within_its_bounds(lock, extras):
    """All but torch, which is installed first, from its own index."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *(d for e in extras for d in project["optional-dependencies"][e])]
    asked = [Requirement(d) for d in asked]
    asked = [r for r in asked if r.name not in ("torch", "minivae")]
    text = (ROOT / f"requirements/{lock}.txt").read_text(encoding="utf-8")
    assert unlocked(locked(text), asked) == []
    assert "torch" not in locked(text)


def test_a_lock_that_is_too_old_or_has_no_hash_is_noticed():
    lock = locked("numpy==1.20 \\\n    --hash=sha256:00\nscipy==1.15\nrich==14.0 \\\n    --hash=sha256:00\n")
    asked = [Requirement(r) for r in ("numpy>=1.26", "scipy>=1.12", "rich>=13.7", "pandas")]
    assert unlocked(lock, asked) == ["numpy>=1.26", "scipy>=1.12", "pandas"]
