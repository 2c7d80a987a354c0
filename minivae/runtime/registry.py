"""Names for what others may add: models, priors, masks, anchor losses, metrics.

A part is added by a decorator, ``@register("name")``, or named where it lies, ``"package.module:Class"``. Names that a
package registers are known wherever it is imported; the command line imports the packages that ask for it by an entry
point of the group ``minivae`` and those that the variable MINIVAE_PLUGINS names (separated by commas).
"""

import importlib
import inspect
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from minivae.errors import InputError

T = TypeVar("T")
PLUGINS = "MINIVAE_PLUGINS"


class Registry(Generic[T]):
    """Parts of one kind by their names, in the order in which they came.

    Parameters
    ----------
    what : str
        How messages call a part, for instance "mask".
    parts : dict, optional
        Those of the package itself.
    arguments : sequence of str, optional
        What every part is called with; None: that differs from part to part.
    """

    def __init__(self, what: str, parts: dict[str, T] | None = None, arguments: Sequence[str] | None = None) -> None:
        self.what = what
        self._arguments = arguments
        self._parts = dict(parts or {})
        self._own = frozenset(self._parts)

    def register(self, name: str) -> Callable[[T], T]:
        """A decorator that adds a part under `name`; the same module may add it anew, as a notebook's cell does.

        Raises
        ------
        InputError
            If the name is no word, or belongs to a part of minivae or of another module, or if the part cannot be
            called as parts of this kind are.
        """
        if not (isinstance(name, str) and name.replace("-", "_").replace("+", "_").isidentifier()):
            raise InputError(f"{self.what}={name!r} is no possible name; use letters, digits and _, - or +")

        def add(part: T) -> T:
            old = self._parts.get(name)
            if name in self._own or (old is not None and module_of(old) != module_of(part)):
                raise InputError(f"{self.what}={name!r} is there already; choose another name")
            self._parts[name] = self._callable(name, part)
            return part

        return add

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def added(self) -> list[str]:
        """The names that are not minivae's own."""
        load_plugins()
        return [name for name in self._parts if name not in self._own]

    def is_own(self, name: str) -> bool:
        """Whether it is the name of a part of minivae itself."""
        return name in self._own

    def find(self, name: object, imports: bool = True) -> T:
        """The part of that name.

        Parameters
        ----------
        name : str
            A registered name, or "package.module:Name".
        imports : bool, default True
            Whether that module may be imported. A file that came from elsewhere must not choose what code runs: there
            the module has to be loaded already.

        Raises
        ------
        InputError
            If there is none; the message lists the names.
        """
        if isinstance(name, str):
            if name not in self._own:
                load_plugins()
            if name in self._parts:
                return self._parts[name]
            if ":" in name:
                return self._named(name, imports)
        raise InputError(
            f"{self.what}={name!r} is unknown; choose one of {', '.join(self._parts)}, or name your own as "
            "package.module:Name"
        )

    def _named(self, name: str, imports: bool) -> T:
        module = name.partition(":")[0]
        if module not in sys.modules and not imports:
            raise InputError(
                f"{self.what} {name!r} lies in a module that is not loaded, and a file must not choose what code runs; "
                f"import {module} first (at the shell: {PLUGINS}={module})"
            )
        return self._callable(name, imported(self.what, name))

    def _callable(self, name: str, part: T) -> T:
        """The part; `InputError` if it cannot be called, or not with the arguments that parts of this kind get."""
        if not callable(part):
            raise InputError(f"{self.what}={name!r} is {part!r}, which cannot be called; give a function or a class")
        if self._arguments is not None and (why := misfit(part, *self._arguments)):
            called = f"fn({', '.join(self._arguments)})"
            raise InputError(f"{self.what}={name!r} is called as {called}, which {part!r} does not take ({why})")
        return part

    def name_of(self, part: T) -> str | None:
        """The name under which `find` gives this very part, in other programs too; None if there is none.

        A class of the program that runs, a script or a notebook, is found there alone: its module is called __main__.
        """
        for name, known in self._parts.items():
            if known is part:
                return name
        module, qualified = module_of(part), getattr(part, "__qualname__", "")
        if module == "__main__":
            return None
        return f"{module}:{qualified}" if getattr(sys.modules.get(module), qualified, None) is part else None


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


@cache
def load_plugins() -> None:
    """Import what asks to be imported, once.

    Raises
    ------
    InputError
        If a module cannot be imported.
    """
    for point in entry_points(group="minivae"):
        load_module(point.module, f"{point.module}, which {point.name} of the group minivae names,")
    for module in filter(None, (m.strip() for m in os.environ.get(PLUGINS, "").split(","))):
        load_module(module, f"{PLUGINS} names {module!r}, which")
