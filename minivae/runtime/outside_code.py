"""The code of others: how it is imported, whether it can be called, and what its errors say in one line."""

import importlib
import inspect
import sysconfig
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from minivae.errors import InputError


def imported(what: str, name: str) -> Any:
    """The object that "package.module:name" names; `what` says in the sentence of an `InputError` what it is."""
    module, _, attribute = name.partition(":")
    loaded = load_module(module, f"{what} {name!r}")
    try:
        return getattr(loaded, attribute)
    except AttributeError as e:
        raise InputError(f"{what} {name!r} cannot be imported ({e}); is the name right?") from e


def load_module(name: str, subject: str) -> ModuleType:
    """The module of that name, as `import` gives it; `subject` begins the sentence of an `InputError`."""
    try:
        return import_module(name)
    except ImportError as e:
        raise InputError(f"{subject} cannot be imported ({e}); is it installed or on PYTHONPATH?") from e
    except (TypeError, ValueError) as e:
        if not place_of(e):
            raise InputError(f"{subject} cannot be imported: {name!r} is no name of a module, as in import NAME") from e
        raise InputError(f"{subject} cannot be imported: {told(e)}; mend it there") from e
    except (Exception, SystemExit) as e:  # whatever a module of others does
        raise InputError(f"{subject} cannot be imported: {told(e)}; mend it there") from e


def told(e: BaseException) -> str:
    """An error of the code of others, in one line: its kind, its words, and where it arose."""
    return f"{words_of(e)}{place_of(e)}"


def words_of(e: BaseException) -> str:
    """The kind of an error and its words, in one line."""
    said = " ".join(str((e.msg or "") if isinstance(e, SyntaxError) else e).split())
    return f"{type(e).__name__}{f': {said}' if said else ''}"


def place_of(e: BaseException) -> str:
    """The file and line of an error, the innermost outside Python's import; "" if there is none."""
    import_itself = Path(importlib.__file__).parent
    inner = [p for p in _places(e) if p[0] != Path(__file__) and not p[0].is_relative_to(import_itself)]
    return " ({}, line {})".format(*inner[-1]) if inner else ""


def place_among_others(e: BaseException) -> str:
    """The file and line of an error that arose in code that is neither minivae's nor installed; "" if it did not."""
    python = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    known = [Path(__file__).parents[1], *map(Path, python)]
    inner = [
        (file, line)
        for file, line in _places(e)
        if not ({"site-packages", "dist-packages"} & set(file.parts) or any(file.is_relative_to(k) for k in known))
    ]
    return "{}, line {}".format(*inner[-1]) if inner else ""


def _places(e: BaseException) -> list[tuple[Path, int]]:
    """The files and lines that an error came through, the innermost last; an error of syntax began in its own."""
    places = [(f.filename, f.lineno) for f in traceback.extract_tb(e.__traceback__)]
    if isinstance(e, SyntaxError):
        places.append((e.filename or "", e.lineno))
    return [(Path(file), line) for file, line in places if file and line and not file.startswith("<")]


def misfit(part: Callable[..., Any], *arguments: object) -> str:
    """Why a class or function of others cannot be called with these arguments; "" if it can, or does not say."""
    try:
        inspect.signature(part).bind(*arguments)
    except TypeError as e:
        return str(e)
    except ValueError:  # of a function in C
        pass
    return ""


def module_of(part: Any) -> str:
    """Name of the module in which a class or function was defined."""
    return getattr(part, "__module__", "")
