"""What learners are told of their mistakes, word for word; each mistake is made on purpose by a test.

`python -m tests.checks.sentences` writes the files anew; read the difference before it is committed.
"""

import importlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path

HERE = Path(__file__).parent
FOLDER = HERE / "golden"


def told(mistakes: Sequence[tuple[Callable, Callable, str]]) -> str:
    """A line for every mistake; numbers of an entry are left out."""
    lines = []
    for check, mistake, _ in mistakes:
        try:
            check(mistake, 0)
            said = "right"
        except AssertionError as e:
            said = re.sub(r"is \S+, expected \S+", "is …, expected …", str(e))
        lines.append(f"* {check.__name__}: {said}\n")
    return "".join(lines)


def golden(module: str) -> Path:
    """The file of a module of tests."""
    return FOLDER / f"{module.rpartition('.')[2].removeprefix('test_').removesuffix('_checks')}.md"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for path in sorted(HERE.glob("test_*_checks.py")):
        tables = importlib.import_module(f"tests.checks.{path.stem}")
        golden(path.stem).write_text(told(tables.MISTAKES), encoding="utf-8")
