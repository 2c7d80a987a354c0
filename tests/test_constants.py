"""Numbers that are taken where nothing is said: those of `defaults.txt`, or those that a docstring gives.

They are constants of modules and defaults of functions; stored results and chapters were made with them.
`python -m tests.test_constants` writes the file anew; read the difference before it is committed. The commands are left
out: their flags say their defaults themselves. So is how much is worked on at a time: no number depends on it.
"""

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import minivae
from tests.test_docstrings import public

LISTED = Path(__file__).with_name("defaults.txt")
LEFT_OUT = re.compile(r"minivae\.(cli|preparation|explorables|plots|runtime|course|errors)\b")
SIZES = re.compile(r"BLOCK|CHUNK_CELLS|ROWS|PIECE|CELLS|BYTES")


def are_numbers(value: Any) -> bool:
    if isinstance(value, tuple):
        return bool(value) and all(v is None or are_numbers(v) for v in value)
    return isinstance(value, int | float) and not isinstance(value, bool)


def constants() -> Iterator[str]:
    """Numbers in capitals that a module defines."""
    for info in pkgutil.walk_packages(minivae.__path__, "minivae."):
        if LEFT_OUT.match(info.name) or info.name.endswith("__main__"):
            continue
        module = importlib.import_module(info.name)
        for node in ast.parse(Path(module.__file__ or "").read_text(encoding="utf-8")).body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            for name in (n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name) and n.id.isupper()):
                value = getattr(module, name)
                if are_numbers(value) and not SIZES.search(name):
                    yield f"{info.name}.{name} = {value!r}\n"


def unsaid() -> Iterator[str]:
    """Numbers in signatures that no docstring gives."""
    for name, value in public():
        if LEFT_OUT.match(name):
            continue
        for p in inspect.signature(value).parameters.values():
            said = re.search(rf"^\s*[\w, ]*\b{p.name}\b[\w, ]* : .*, default ", value.__doc__ or "", re.MULTILINE)
            if are_numbers(p.default) and not said:
                yield f"{name} {p.name} = {p.default!r}\n"


def test_numbers_that_are_not_given_are_those_of_the_list():
    assert sorted({*constants(), *unsaid()}) == LISTED.read_text(encoding="utf-8").splitlines(keepends=True)


if __name__ == "__main__":
    LISTED.write_text("".join(sorted({*constants(), *unsaid()})), encoding="utf-8")
