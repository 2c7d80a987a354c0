"""Every example of a docstring is run, and every public name of `minivae` and of its theory has one."""

import doctest
import importlib
import inspect
import pkgutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import minivae

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "docs"))
from site_parts import reference

MODULES = [info.name for info in pkgutil.walk_packages(minivae.__path__, "minivae.") if "__main__" not in info.name]
THEORY = ["minivae.theory", *(f"minivae.theory.{name}" for name in reference.ROOMS["theory"])]
NEEDS = {"minivae.models.ials": "implicit"}


def examples(module: str) -> list[doctest.DocTest]:
    """The examples of what is defined in a module."""
    return [t for t in doctest.DocTestFinder().find(importlib.import_module(module)) if t.examples]


def failures(test: doctest.DocTest) -> str:
    """What a run of the examples says, "" if all give what stands there."""
    said: list[str] = []
    doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    return "".join(said)


@pytest.fixture
def own_parts_forgotten():
    """What an example registers is gone afterwards."""
    from minivae.anchors import ANCHOR_LOSSES
    from minivae.masks import MASKS
    from minivae.metrics import KINDS
    from minivae.models.priors.choice import PRIORS
    from minivae.models.registry import MODELS

    registries: list[Any] = [ANCHOR_LOSSES, MASKS, KINDS, PRIORS, MODELS]
    before = [dict(r._parts) for r in registries]
    yield
    for registry, parts in zip(registries, before, strict=True):
        registry._parts = parts


@pytest.mark.parametrize("module", MODULES)
def test_examples_give_what_they_say(module, own_parts_forgotten):
    if module in NEEDS and find_spec(NEEDS[module]) is None:
        pytest.skip(f"{NEEDS[module]} is not installed")
    said = [failures(test) for test in examples(module)]
    assert not any(said), "".join(said)


def test_a_wrong_example_is_seen():
    """Broken twin."""
    wrong = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "twin", None, None)
    assert "Expected:\n    3\nGot:\n    2" in failures(wrong)


@pytest.mark.parametrize("module", ["minivae", *THEORY])
def test_every_public_name_has_an_example(module):
    found = importlib.import_module(module)
    without = [name for name in reference.members(module) if ">>>" not in (inspect.getdoc(getattr(found, name)) or "")]
    assert not without, f"without an example: {', '.join(without)}"


def test_the_reference_knows_every_module_of_the_theory():
    """What `minivae.theory` gives as a module has a page of its own."""
    import minivae.theory

    modules = {name for name in minivae.theory.__all__ if inspect.ismodule(getattr(minivae.theory, name))}
    assert modules == set(reference.ROOMS["theory"])
