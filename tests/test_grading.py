"""Grading with trusted checks: right, wrong, empty and cheating submissions."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

import minivae as mv
from minivae.course import blank
from minivae.course.grading import grade

ROOT = Path(__file__).resolve().parent.parent
CHAPTER = ROOT / "chapters" / "04_sharing_radius.ipynb"

CHEATS = {
    "reassigns the checks": "import minivae as mv\nfor n in dir(mv.checks):\n    setattr(mv.checks, n, print)\n",
    "reassigns what the checks use": "import torch\ntorch.allclose = lambda *a, **k: True\nprint = None\n",
    "ends the process": "import os\nos._exit(0)\n",
    "prints the verdict": "print('gradient_distance: right')\n",
    "kills with an object": "class Sly:\n    def __eq__(self, other): return True\n",
}


def submission(folder, change, name=CHAPTER.name):
    notebook = json.loads(CHAPTER.read_text(encoding="utf-8"))
    notebook = change(notebook) or notebook
    path = folder / name
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return path


def answers(notebook):
    """The answer cells of the tasks with points."""
    marked = [c for c in notebook["cells"] if c["metadata"].get("nbgrader", {}).get("solution")]
    return [c for c in marked if "mine" not in c["metadata"].get("tags", [])]


def put(source):
    def change(notebook):
        for cell in answers(notebook):
            cell["source"] = source
            for name in ("gradient_distance", "content_mismatch", "batch_transfer"):
                cell["source"] += f"\ndef {name}(*inputs):\n    return 0\n"

    return change


def points(grades):
    return [(g.points, g.of) for g in grades]


def test_solutions_get_all_points_and_stubs_none(tmp_path):
    assert points(grade(submission(tmp_path, lambda n: None))) == [(2, 2), (4, 4), (4, 4)]
    empty = grade(submission(tmp_path, blank))
    assert points(empty) == [(0, 2), (0, 4), (0, 4)]
    assert all("NotImplementedError" in g.message for g in empty)


@pytest.mark.parametrize("cheat", CHEATS.values(), ids=CHEATS)
def test_a_submission_that_cheats_gets_nothing(tmp_path, cheat):
    before = {name: getattr(mv.checks, name) for name in mv.checks.__all__}
    assert points(grade(submission(tmp_path, put(cheat)))) == [(0, 2), (0, 4), (0, 4)]
    assert before == {name: getattr(mv.checks, name) for name in mv.checks.__all__}


def test_the_check_cell_of_a_submission_does_not_count(tmp_path):
    def change(notebook):
        put("")(notebook)
        for cell in notebook["cells"]:
            if cell["metadata"].get("nbgrader", {}).get("grade"):
                cell["source"] = "print('right')"
                cell["metadata"]["nbgrader"]["points"] = 100

    assert points(grade(submission(tmp_path, change))) == [(0, 2), (0, 4), (0, 4)]


def test_one_wrong_answer_costs_its_own_points_only(tmp_path):
    def change(notebook):
        answers(notebook)[1]["source"] = "def content_mismatch(pi, h, x):\n    return x @ x.T"

    grades = grade(submission(tmp_path, change), seed=0)
    assert points(grades) == [(2, 2), (0, 4), (4, 4)]
    assert "content_mismatch" in grades[1].message


def test_what_a_check_watches_is_watched_in_the_process_of_the_answer(tmp_path):
    """Task 2.2 asks for an answer from lists: a dense target is refused where it is made."""
    lines = [
        "rows = torch.repeat_interleave(torch.arange(len(logits)), offsets.diff())",
        "x = torch.zeros_like(logits)",
    ]
    lines += ["x[rows, items] = 1", "return -(x * logits.log_softmax(1)).sum(1)"]
    body = "\n    ".join(lines)
    chapter = ROOT / "chapters" / "02_multinomial_vae.ipynb"
    notebook = json.loads(chapter.read_text(encoding="utf-8"))
    lists = next(c for c in answers(notebook) if c["metadata"]["nbgrader"]["grade_id"] == "nll-of-lists")
    lists["source"] = f"def nll_of_lists(logits, items, offsets):\n    {body}"
    (tmp_path / chapter.name).write_text(json.dumps(notebook), encoding="utf-8")
    grades = {g.task: g for g in grade(tmp_path / chapter.name, seed=0)}
    assert {name: g.points for name, g in grades.items()} == {
        "kl_to_prior": 2,
        "nll_of_lists": 0,
        "importance_bound": 4,
    }
    assert "makes a dense target" in grades["nll_of_lists"].message


def test_an_endless_loop_ends(tmp_path):
    def change(notebook):
        for cell in answers(notebook):
            cell["source"] = "while True:\n    pass"

    grades = grade(submission(tmp_path, change), allowed_seconds=0.2)
    assert points(grades) == [(0, 2), (0, 4), (0, 4)]
    assert all("took too long" in g.message for g in grades)


def test_what_is_no_chapter_is_refused(tmp_path):
    with pytest.raises(mv.InputError, match="not the name of a chapter"):
        grade(submission(tmp_path, lambda n: None, "homework.ipynb"))
    (tmp_path / CHAPTER.name).write_text("{", encoding="utf-8")
    with pytest.raises(mv.InputError, match="not a notebook that can be graded"):
        grade(tmp_path / CHAPTER.name)


def test_the_script_grades_in_a_process_of_its_own(tmp_path):
    for who, change in (("ann", lambda n: None), ("ben", put(CHEATS["reassigns the checks"]))):
        (tmp_path / who).mkdir()
        submission(tmp_path / who, change)
    paths = [f"{who}/{CHAPTER.name}" for who in ("ann", "ben")]
    command = [sys.executable, str(ROOT / "chapters" / "grade.py"), *paths]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert [int(row["points"]) for row in rows] == [2, 4, 4, 0, 0, 0]
    assert {row["notebook"] for row in rows} == set(paths)


@pytest.mark.parametrize("chapter", sorted((ROOT / "chapters").glob("[01]*.ipynb")), ids=lambda p: p.stem)
def test_the_solutions_of_every_chapter_get_all_points(chapter):
    grades = grade(chapter)
    assert [g.message for g in grades] == ["right"] * len(grades)
    assert sum(g.points for g in grades) == (0 if chapter.name.startswith("00") else 10)
