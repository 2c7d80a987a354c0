"""Where the chapters and the results that they read are."""

import json
from pathlib import Path
from typing import Any

from minivae.errors import InputError

PLACES = (
    Path(__file__).resolve().parent / "material",  # in the wheel
    Path(__file__).resolve().parents[2] / "chapters",  # in the repository
)


def folder() -> Path:
    """The folder with the notebooks, the glossary and ``results/``.

    Raises
    ------
    InputError
        If this installation has no course.
    """
    for place in PLACES:
        if (place / "results").is_dir():
            return place
    raise InputError("this installation of minivae has no chapters; install it from the repository or from its wheel")


def stored(name: str) -> Any:
    """A stored result of a long run, by its file name in ``results/``, parsed.

    Parameters
    ----------
    name : str
        A JSON file, for instance ``"benchmark-ml-1m.json"``.

    Raises
    ------
    InputError
        If there is no such result.

    Examples
    --------
    >>> stored("theory-planted-observations.json")["data"]
    'planted'
    """
    results = folder() / "results"
    path = results / name
    if path.parent != results or not path.is_file():
        known = ", ".join(sorted(p.name for p in results.glob("*.json")))
        raise InputError(f"there is no stored result {name!r}; there are {known}")
    return json.loads(path.read_text(encoding="utf-8"))
