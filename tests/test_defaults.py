"""Numbers that are taken where nothing is said: those of `defaults.txt`, or those that a docstring gives.

Stored results and chapters were made with them. `python -m tests.test_defaults` writes the file anew; read the
difference before it is committed. The commands are left out: their flags say their defaults themselves.
"""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from tests.test_docstrings import public

LISTED = Path(__file__).with_name("defaults.txt")
LEFT_OUT = re.compile(r"minivae\.(cli|preparation|explorables|plots|runtime|course|errors)\.")


def unsaid() -> Iterator[str]:
    """Numbers in signatures that no docstring gives."""
    for name, value in public():
        if LEFT_OUT.match(name):
            continue
        for p in inspect.signature(value).parameters.values():
            if not isinstance(p.default, int | float) or isinstance(p.default, bool):
                continue
            if not re.search(rf"^\s*[\w, ]*\b{p.name}\b[\w, ]* : .*, default ", value.__doc__ or "", re.MULTILINE):
                yield f"{name} {p.name} = {p.default!r}\n"


def test_numbers_that_are_not_given_are_those_of_the_list():
    assert sorted(set(unsaid())) == LISTED.read_text(encoding="utf-8").splitlines(keepends=True)


if __name__ == "__main__":
    LISTED.write_text("".join(sorted(set(unsaid()))), encoding="utf-8")
