"""Grading of submitted notebooks: the checks are the course's own, and no line of a submission runs beside them.

Of a submission only the answer cells are read. The check, its inputs and its verdict live in this process. Each call of
a student's function happens in a fork of it, which sends back numbers and nothing else. So a submission that
reassigns ``mv.checks.check_…``, or anything else, changes its own fork only.
"""

import contextlib
import io
import json
import os
import re
import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import minivae as mv
from minivae.course.material import folder
from minivae.errors import InputError

CALL = re.compile(r"^mv\.checks\.(check_\w+)\((\w+)\)$")
ALLOWED_SECONDS = 60.0


@dataclass(frozen=True)
class Grade:
    """The result of one task.

    Attributes
    ----------
    task : str
        The function's name.
    points, of : int
        Given, and possible.
    message : str
        What the check said.
    """

    task: str
    points: int
    of: int
    message: str


def grade(submission: Path, seed: int | None = None, allowed_seconds: float = ALLOWED_SECONDS) -> list[Grade]:
    """Grade a submitted chapter.

    Parameters
    ----------
    submission : Path
        A notebook with the file name of the chapter, for instance ``04_sharing_radius.ipynb``.
    seed : int, optional
        Of the inputs; fresh by default.
    allowed_seconds : float, optional
        For each call of a function.

    Raises
    ------
    InputError
        If the file is no notebook of the course, or the system cannot fork.
    """
    if not hasattr(os, "fork"):
        raise InputError("grading needs a system that can fork, Linux or macOS")
    answers = {name: source for name, source, meta in _graded(submission) if meta.get("solution")}
    trusted = folder() / submission.name
    if not trusted.is_file():
        raise InputError(f"{submission.name} is not the name of a chapter; keep the names of the notebooks")
    torch.set_num_threads(1)  # a fork has none of the other threads
    grades = []
    for name, source, meta in _graded(trusted):
        if not meta.get("grade"):
            continue
        found = CALL.match(source.strip())
        if found is None:
            raise InputError(f"the check {name} of {trusted} is not one call of mv.checks")
        answer = answers.get(name.removesuffix("-check"), "")
        ran = _verdict(getattr(mv.checks, found[1]), found[2], answer, seed, allowed_seconds)
        grades.append(Grade(found[2], meta["points"] if ran == "right" else 0, meta["points"], ran))
    return grades


def _graded(path: Path) -> list[tuple[str, str, dict[str, Any]]]:
    """(grade_id, source, nbgrader's metadata) of every cell that has some."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        marked = [(c["source"], c["metadata"]["nbgrader"]) for c in cells if "nbgrader" in c.get("metadata", {})]
        return [(m["grade_id"], s if isinstance(s, str) else "".join(s), m) for s, m in marked]
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise InputError(f"{path} is not a notebook that can be graded: {type(e).__name__}: {e}") from e


def _verdict(check: Callable[..., None], name: str, source: str, seed: int | None, allowed: float) -> str:
    """What the check says of the function `name` that `source` defines."""

    def far_away(*inputs: Any) -> Any:
        return _call_in_fork(source, name, inputs, allowed)

    far_away.__name__ = name
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            check(far_away, seed)
    except Exception as e:  # of the check or of the function: all are reported, none is the grader's
        return f"{type(e).__name__}: {e}" if not isinstance(e, AssertionError) else str(e)
    return "right"


def _call_in_fork(source: str, name: str, inputs: tuple[Any, ...], allowed: float) -> Any:
    """The function's value, computed in a child process, which can send numbers only."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receive)
        _answer(source, name, inputs, send)
    os.close(send)
    try:
        text = _read(receive, time.monotonic() + allowed)
    finally:
        os.close(receive)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    try:
        value, error = torch.load(io.BytesIO(text), weights_only=True)
    except Exception as e:
        raise RuntimeError(f"{name} ended without an answer") from e
    if error:
        raise RuntimeError(error)
    return value


def _answer(source: str, name: str, inputs: tuple[Any, ...], send: int) -> None:
    """In the child: run the submission, write the answer, end."""
    held = io.BytesIO()
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        space: dict[str, Any] = {"torch": torch, "np": np, "mv": mv}
        exec(source, space)
        value = space[name](*inputs)
        torch.save((value, ""), held)
    except BaseException as e:
        held = io.BytesIO()
        torch.save((None, f"{type(e).__name__}: {str(e)[:300]}"), held)
    finally:
        with open(send, "wb") as pipe:
            pipe.write(held.getvalue())
        os._exit(0)


def _read(pipe: int, until: float) -> bytes:
    """All that comes through the pipe before the time is up."""
    parts = []
    while select.select([pipe], [], [], max(0.0, until - time.monotonic()))[0]:
        part = os.read(pipe, 1 << 16)
        if not part:
            return b"".join(parts)
        parts.append(part)
    raise TimeoutError("took too long")
