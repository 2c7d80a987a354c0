"""Copies of the course: blank notebooks to work in, or solved ones to look at."""

import copy
import json
import re
import shutil
from pathlib import Path
from typing import Any

from minivae.course.material import folder
from minivae.errors import InputError
from minivae.runtime.storage import write_text

SOLUTION = re.compile(r"^( *)### BEGIN SOLUTION\n.*?^ *### END SOLUTION *$", re.DOTALL | re.MULTILINE)
STUB = r"\1# YOUR CODE HERE\n\1raise NotImplementedError()"
UNFOLDED = re.compile(r"<details><summary>Solution</summary>.*?</details>", re.DOTALL)
ELSEWHERE = "(Its solution is in the solved copy: `minivae course --out solved --solutions`.)"
FOLDED = ("jupyter",)  # cell metadata that folds a solution away


def blank(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook without solutions and without outputs: a prediction comes before its answer.

    Parameters
    ----------
    notebook : dict
        In the format of nbformat 4, as parsed JSON or as a ``nbformat.NotebookNode``; it is left as it is.

    Examples
    --------
    >>> cell = {"cell_type": "code", "metadata": {}, "outputs": [1], "execution_count": 1, "source":
    ...         "def f():\\n    ### BEGIN SOLUTION\\n    return 1\\n    ### END SOLUTION"}
    >>> print(blank({"cells": [cell], "metadata": {}})["cells"][0]["source"])
    def f():
        # YOUR CODE HERE
        raise NotImplementedError()
    """
    notebook = copy.deepcopy(notebook)
    for cell in notebook["cells"]:
        source = cell["source"]
        text = source if isinstance(source, str) else "".join(source)
        cell["source"] = UNFOLDED.sub(ELSEWHERE, SOLUTION.sub(STUB, text))
        if SOLUTION.search(text):
            for key in FOLDED:
                cell["metadata"].pop(key, None)
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    notebook["metadata"].pop("measured", None)
    return notebook


def copy_course(out: Path, solutions: bool = False) -> list[Path]:
    """Copy notebooks, glossary and results into a folder; a file that exists is never written over.

    Parameters
    ----------
    out : Path
        The folder; made if it is missing.
    solutions : bool, optional
        With solutions and outputs, as the course is published; blank otherwise.

    Returns
    -------
    list of Path
        The notebooks, in order.

    Raises
    ------
    InputError
        If one of the files exists in `out`.
    """
    source = folder()
    notebooks = sorted(source.glob("[0-9][0-9]*_*.ipynb"))
    pages, results = sorted(source.glob("*.md")), sorted((source / "results").iterdir())
    targets = [out / path.relative_to(source) for path in (*notebooks, *pages, *results)]
    there = next((path for path in targets if path.exists()), None)
    if there is not None:
        raise InputError(f"{there} exists and may hold your own work; choose another folder with --out")
    (out / "results").mkdir(parents=True, exist_ok=True)
    for path in (*pages, *results):
        shutil.copyfile(path, out / path.relative_to(source))
    for path in notebooks:
        text = path.read_text(encoding="utf-8")
        if not solutions:
            text = json.dumps(blank(json.loads(text)), ensure_ascii=False, indent=1) + "\n"
        write_text(out / path.name, text)
    return targets[: len(notebooks)]
