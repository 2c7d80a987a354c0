"""Each chapter holds one planted fault: it prints the wrong number that the text states, and mended the right one."""

import contextlib
import io
import re
from pathlib import Path

import jupytext
import pytest

SOURCES = sorted((Path(__file__).resolve().parent.parent / "chapters").glob("[0-9]*.py"))
MENDED = re.compile(r"Write `([^`]+)`, not `([^`]+)`; then it prints `([^`]+)`")


def cells(source):
    return jupytext.reads(source.read_text(encoding="utf-8"), fmt="py:percent").cells


def fault(source):
    """(what is said before, the faulty cell, hint and solution) of a chapter."""
    before, cell, after = (c for c in cells(source) if "fault" in c.metadata.get("tags", []))
    assert [c.cell_type for c in (before, cell, after)] == ["markdown", "code", "markdown"]
    return before.source, cell.source, after.source


def printed(setup, code):
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        space = {}
        exec(setup, space)
        exec(code, space)
    return said.getvalue().strip()


def has_fault(source):
    return any("fault" in c.metadata.get("tags", []) for c in cells(source))


def test_every_chapter_has_a_fault():
    assert [s.stem for s in SOURCES if not has_fault(s)] == []


@pytest.mark.parametrize("source", [s for s in SOURCES if has_fault(s)], ids=lambda s: s.stem)
def test_the_fault_prints_what_is_said_and_mended_what_is_right(source):
    before, code, after = fault(source)
    setup = "\n".join(c.source for c in cells(source) if "setup" in c.metadata.get("tags", []))
    right, wrong, value = MENDED.search(" ".join(after.split())).groups()
    assert code.count(wrong) == 1, "the fault is not one place"
    assert "<summary>Hint</summary>" in after
    faulty = printed(setup, code)
    assert f"`{faulty}`" in " ".join(before.split())
    assert printed(setup, code.replace(wrong, right)) == value != faulty
