"""What the reference adds to a docstring: its formula, rendered, and the chapters of the course that use the name."""

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import nbformat


@cache
def formulas() -> dict[str, str]:
    """Public name -> TeX."""
    return tomllib.loads((Path(__file__).parents[1] / "formulas.toml").read_text(encoding="utf-8"))


@cache
def code(course: Path) -> dict[str, str]:
    """Chapter -> its code."""
    books = {p.stem: nbformat.read(p, as_version=4) for p in sorted(course.glob("[0-9][0-9]*_*.ipynb"))}
    return {name: "\n".join(c.source for c in book.cells if c.cell_type == "code") for name, book in books.items()}


def chapters(course: Path, name: str) -> list[str]:
    """The chapters whose code has the name as a word."""
    return [chapter for chapter, text in code(course).items() if re.search(rf"\b{name}\b", text)]


def add(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Called by autodoc with the lines of a docstring, which are changed in place."""
    if what not in ("function", "class"):
        return
    own = name.rpartition(".")[2]
    used = chapters(Path(app.srcdir) / "course", own)
    if used:
        links = ", ".join(f":doc:`{c.partition('_')[0]} </course/{c}>`" for c in used)
        lines += ["", f"In the course: chapter{'s' if len(used) > 1 else ''} {links}.", ""]
    if own in formulas():
        start = next(k for k, line in enumerate(lines) if line.strip())  # numpydoc leaves empty lines before the first
        end = next((k for k in range(start, len(lines)) if not lines[k].strip()), len(lines))
        lines[end:end] = ["", ".. math::", "", f"   {formulas()[own]}", ""]


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx; numpydoc changes the lines first."""
    app.connect("autodoc-process-docstring", add, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
