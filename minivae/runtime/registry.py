"""Names for what others may add: models, priors, masks, anchor losses, metrics.

A part is added by a decorator, ``@register("name")``, or named where it lies, ``"package.module:Class"``. Names that a
package registers are known wherever it is imported; the command line imports the packages that ask for it by an entry
point of the group ``minivae`` and those that the variable MINIVAE_PLUGINS names (separated by commas).
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from minivae.errors import InputError
from minivae.runtime.outside_code import imported, load_module, misfit, module_of

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
