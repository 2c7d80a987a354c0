"""The form of a file of settings: what each part must be, before anything runs."""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import msgspec

from minivae.errors import InputError

LARGEST_FILE = 1 << 20  # bytes; those of the package have some thousand
Scalar = str | int | float | bool
Toml = dict[str, Any]
"""A table as it was read: of any content until `check_layer` has seen it."""


@dataclass(frozen=True)
class Section:
    """A question, and the comparisons that answer it.

    Attributes
    ----------
    title, text : str
        For the report.
    pairs : tuple[tuple[str, str], ...]
        (a, b) for the differences a − b, in order.
    axis : str
        The setting in which the models differ, "" if that is no single number.
    """

    title: str
    text: str
    pairs: tuple[tuple[str, str], ...]
    axis: str = ""

    @property
    def names(self) -> list[str]:
        """All models in it, the references first."""
        return list(dict.fromkeys([*(b for _, b in self.pairs), *(a for a, _ in self.pairs)]))


class SectionTable(msgspec.Struct, forbid_unknown_fields=True):
    """One of [[sections]]."""

    title: str
    text: str = ""
    steps: list[str] = []
    models: list[str] = []
    against: str = ""
    axis: Annotated[str, msgspec.Meta(pattern=r"^\w*$")] = ""  # it names a figure


class ModelTable(msgspec.Struct):
    """One of [models.NAME], as far as it is the same for all classes."""

    kind: str = msgspec.field(name="class", default="")
    like: str = ""
    search: Toml = {}


class Layer(msgspec.Struct, forbid_unknown_fields=True):
    """A whole file."""

    title: str = ""
    data: str = ""
    over_data: bool = False
    select: Annotated[list[str], msgspec.Meta(min_length=1)] = []
    train: dict[str, Scalar] = {}
    models: dict[str, ModelTable] = {}
    sections: list[SectionTable] = []
    search: Toml = {}
    origin: dict[str, Scalar | dict[str, int]] = {}


def read_toml(path: Path) -> Toml:
    """A file of settings.

    Raises
    ------
    InputError
        If it is missing, empty, no file of text, too large, no TOML, or nested too deeply.
    """
    try:
        size = path.stat().st_size if path.is_file() else None
        if size is not None and size > LARGEST_FILE:
            raise OSError(f"it has more than {LARGEST_FILE:,} bytes")
        if size is None and path.exists():
            raise OSError("it is not a file")
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as e:
        raise InputError(f"{path} cannot be read ({e}); give a TOML file of settings") from e
    except RecursionError as e:
        raise InputError(f"{path} is nested too deeply; settings are numbers, words and lists of them") from e
    except ValueError as e:  # TOMLDecodeError is one, and an integer of thousands of digits
        raise InputError(f"{path} is no TOML: {e}") from e
    if not found:
        raise InputError(f"{path} holds no setting, or comments only; write one, or leave the file out")
    return found


def check_layer(layer: Mapping[str, Any], where: str) -> None:
    """Raise `InputError` if a part of a file is of another type, or a number in it is not finite."""
    models = layer.get("models")
    for name, table in models.items() if isinstance(models, Mapping) else ():
        if not isinstance(table, Mapping):
            raise InputError(f"{where}: model {name} is {table!r}; expected a table of its settings")
    try:
        msgspec.convert(layer, Layer)
    except (msgspec.ValidationError, RecursionError) as e:
        raise InputError(f"{where}: {e}") from e
    for name, value in layer.get("origin", {}).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{where}: {name} of [origin] is {value}, not a finite number")


def check_argument(kind: type, name: str, value: Any) -> None:
    """Raise `InputError` if a constructor takes no such value: another type, not finite, or beyond 32 bits."""
    hint = get_type_hints(kind.__init__).get(name, Any)  # a class of others may have no annotations
    try:
        msgspec.convert(value, hint)
    except (msgspec.ValidationError, RecursionError) as e:
        raise InputError(f"{name}={value!r} is not possible for {kind.__name__} ({e})") from e
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{name}={value!r} is not possible for {kind.__name__}; it must be finite")
    if isinstance(value, int) and not 0 <= value < 1 << 31:
        raise InputError(f"{name}={str(value)[:40]} is not possible for {kind.__name__}; it must be 0 to 2**31 - 1")
