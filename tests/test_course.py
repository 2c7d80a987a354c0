"""The course travels: notebooks and results from the repository or the wheel, blank or solved, to any folder."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import minivae as mv
from minivae.cli.main import main
from minivae.course import material
from minivae.course.notebooks import blank, copy_course

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "chapters").glob("[0-9]*.ipynb"))


def code(path):
    return [c for c in json.loads(path.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]


def text(cell):
    return cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])


def test_blank_copies_differ_from_the_chapters_in_tasks_and_outputs_only(tmp_path):
    copies = copy_course(tmp_path / "mine")
    assert [c.name for c in copies] == [s.name for s in SOURCES]
    for source, mine in zip(SOURCES, copies, strict=True):
        for solved, empty in zip(code(source), code(mine), strict=True):
            graded = solved["metadata"].get("nbgrader", {})
            assert (text(solved) != text(empty)) == graded.get("solution", False)
            assert empty["outputs"] == []
            assert empty["execution_count"] is None
        assert "SOLUTION" not in mine.read_text(encoding="utf-8")


def test_blank_copies_keep_hints_and_lose_the_find_of_a_fault(tmp_path):
    for source, mine in zip(SOURCES, copy_course(tmp_path / "mine"), strict=True):
        solved, empty = source.read_text(encoding="utf-8"), mine.read_text(encoding="utf-8")
        assert empty.count("<summary>Hint</summary>") == solved.count("<summary>Hint</summary>")
        hidden = solved.count("<summary>Solution</summary>")
        assert empty.count("(Its solution is in the solved copy") == hidden
        assert "<summary>Solution</summary>" not in empty
        assert "then it prints" not in empty


def test_the_command_copies_solved_notebooks_and_results(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["course", "--out", "solved", "--solutions"]) == 0
    assert f"{len(SOURCES)} notebooks in solved" in capsys.readouterr().out
    for source in SOURCES:
        assert Path("solved", source.name).read_bytes() == source.read_bytes()
    assert {p.name for p in Path("solved/results").iterdir()} == {p.name for p in (ROOT / "chapters/results").iterdir()}
    assert Path("solved/GLOSSARY.md").exists()


def test_work_of_a_reader_is_never_written_over(tmp_path, capsys):
    (tmp_path / SOURCES[3].name).write_text("my work", encoding="utf-8")
    assert main(["course", "--out", str(tmp_path)]) == 2
    assert "your own work" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == [SOURCES[3].name]  # nothing half-copied
    assert (tmp_path / SOURCES[3].name).read_text(encoding="utf-8") == "my work"


def test_stored_results_are_found_from_any_folder_and_wrong_names_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for source in SOURCES:
        for name in re.findall(
            r'mv\.course\.stored\("([^"]+)"\)', source.read_text(encoding="utf-8").replace('\\"', '"')
        ):
            assert mv.course.stored(name)
    for wrong in ("nothing.json", "../build.py", "costs.md/.."):
        with pytest.raises(mv.InputError, match="there is no stored result"):
            mv.course.stored(wrong)
    monkeypatch.setattr(material, "PLACES", (tmp_path,))
    with pytest.raises(mv.InputError, match="has no chapters"):
        mv.course.folder()


def test_no_chapter_opens_a_file_beside_it():
    for source in SOURCES:
        for cell in code(source):
            assert not re.search(r"""["'](\.\./|chapters|results/)|mv\.__file__""", text(cell)), text(cell)[:80]


def test_a_cell_without_solution_keeps_its_source():
    cell = {"cell_type": "code", "metadata": {"jupyter": {}}, "source": ["a = 1\n", "b"], "outputs": [1]}
    page = {"cell_type": "markdown", "metadata": {}, "source": "text"}
    notebook = {"cells": [cell, page], "metadata": {"measured": {}}}
    made = blank(notebook)
    assert [c["source"] for c in made["cells"]] == ["a = 1\nb", "text"]
    assert notebook["cells"][0]["outputs"] == [1]  # the argument is left alone


def test_the_wheel_carries_the_course(tmp_path):
    source = tmp_path / "source"  # a copy: a build leaves folders behind
    for name in ("minivae", "chapters"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, source / name)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", str(tmp_path)]
    done = subprocess.run([*build, str(source)], capture_output=True, text=True)
    if "No module named 'setuptools'" in done.stderr + done.stdout or "BackendUnavailable" in done.stderr:
        pytest.skip("setuptools is not installed here")
    assert done.returncode == 0, done.stderr[-2000:]
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        inside = {n.removeprefix("minivae/course/material/") for n in wheel.namelist() if "/course/material/" in n}
        wheel.extractall(tmp_path / "site")
    assert {s.name for s in SOURCES} <= inside
    assert {f"results/{p.name}" for p in (ROOT / "chapters/results").iterdir()} <= inside
    script = """
import sys, pathlib
sys.path.insert(0, "site")
from minivae import course
print(len(course.copy_course(pathlib.Path("mine"))), course.folder())
"""
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith(f"{len(SOURCES)} ")
    assert "material" in done.stdout
