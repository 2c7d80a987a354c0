"""Old names of modules that moved when the package got its rooms: they lead to the new ones, with a warning.

One object each: ``minivae.storage`` is ``minivae.runtime.storage``, not a second copy with classes of its own.
"""

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType

NEW_ROOMS = {
    "data": ("interactions", "tables", "codes", "splits", "population", "catalogue"),
    "runtime": ("streams", "storage", "checkpoint", "distributed", "interruption"),
    "cli": ("flags", "commands"),
}
MOVED = {f"minivae.{name}": f"minivae.{room}.{name}" for room, names in NEW_ROOMS.items() for name in names}
MOVED["minivae.study.lookup"] = "minivae.data.lookup"


class Moved(MetaPathFinder, Loader):
    """Finds the modules of `MOVED` under their old names."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """A spec for an old name, None for every other."""
        return spec_from_loader(fullname, self) if fullname in MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module under its new name."""
        warnings.warn(f"{spec.name} is now {MOVED[spec.name]}", DeprecationWarning, stacklevel=2)
        return import_module(MOVED[spec.name])

    def exec_module(self, module: ModuleType) -> None:
        """It has run already: put its own spec back and let the old name point to it."""
        old = module.__spec__.name if module.__spec__ is not None else ""
        if old in MOVED:
            module.__spec__ = spec_from_loader(MOVED[old], module.__loader__)
            sys.modules[old] = sys.modules[MOVED[old]]


def install() -> None:
    """Once, last in line: real modules come first."""
    if not any(isinstance(finder, Moved) for finder in sys.meta_path):
        sys.meta_path.append(Moved())
