"""JSON files that are read again: each with a checksum of its content, and compared with a schema before use."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, TypeVar, overload

import msgspec

from minivae.errors import InputError
from minivae.runtime.storage import write_json

Json = dict[str, Any]
"""A JSON object on its way from or to a file, of any content."""
Seen = TypeVar("Seen", bound="Record")
CHECKSUM = "sha256"
LARGEST_RECORD = 1 << 28  # bytes; the largest that minivae writes has some megabytes


class Record(msgspec.Struct, frozen=True):
    """A frozen dataclass whose fields are the keys of a JSON object, in order.

    A key that is no name of Python is given by ``field(name=…)``. What is read is compared with the types of the
    fields; other keys are left aside, so that a file of a newer minivae can be read.

    >>> class Level(Record, frozen=True):
    ...     mean: float
    ...     se: float = msgspec.field(name="standard error")
    >>> Level(0.5, 0.1).as_dict()
    {'mean': 0.5, 'standard error': 0.1}
    >>> Level.from_dict({"mean": 0.5, "standard error": 0.1, "more": 1})
    Level(mean=0.5, se=0.1)
    """

    def as_dict(self) -> Json:
        """For JSON."""
        return msgspec.to_builtins(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """The record with these values; `ValueError` (of msgspec) if one is missing or of another type."""
        return msgspec.convert(value, cls)


class MeanInterval(Record, frozen=True):
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float


def checksum(value: Mapping[str, Any]) -> str:
    """sha256 of a JSON object without its own checksum; the order of the keys does not matter."""
    content = {k: v for k, v in value.items() if k != CHECKSUM}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_record(path: Path, value: Mapping[str, Any] | Record) -> None:
    """Write a JSON object with its checksum, whole or not at all."""
    text = json.dumps(value, allow_nan=False, default=msgspec.to_builtins)
    content = json.loads(text)  # keys become the strings that a reader will see
    write_json(path, content | {CHECKSUM: checksum(content)})


def write_result(path: Path, command: str, value: Record, events: str | None = None) -> None:
    """Write a result as JSON for other programs: the command that made it, the fingerprint of its data, then itself."""
    of = {} if events is None else {"events": events}
    write_json(path, {"command": command, **of, **value.as_dict()})


@overload
def read_record(path: Path) -> Json: ...


@overload
def read_record(path: Path, kind: type[Seen]) -> Seen: ...


def read_record(path: Path, kind: type[Record] | None = None) -> Record | Json:
    """Read what `write_record` wrote, without the checksum.

    Parameters
    ----------
    path : Path
        The file.
    kind : type of Record, optional
        What the content must be; without it any object is given back as it is.

    Raises
    ------
    InputError
        If the file is missing, no JSON object, changed since it was written, or holds something else.
    """
    try:
        if path.exists() and not path.is_file():  # a device or a pipe may have no end
            raise ValueError("it is not a file")
        if path.stat().st_size > LARGEST_RECORD:
            raise ValueError(f"it has {path.stat().st_size:,} bytes")
        value = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise InputError(f"{path} cannot be read ({e}); it is missing or damaged: restore it, or run it again") from e
    if not isinstance(value, dict):
        raise InputError(f"{path} holds no JSON object; it is damaged or another file")
    if CHECKSUM not in value:
        raise InputError(f"{path} has no checksum: an older minivae or another program wrote it; run it again")
    if value[CHECKSUM] != checksum(value):
        raise InputError(
            f"{path} has been changed since minivae wrote it: its content does not match the checksum in it; "
            "restore it or run it again in another folder"
        )
    del value[CHECKSUM]
    return value if kind is None else conform(value, kind, path)


def conform(value: Json, kind: type[Seen], path: Path) -> Seen:
    """The content of `path` as a record; `InputError` if it is none of that kind."""
    try:
        return kind.from_dict(value)
    except (msgspec.ValidationError, RecursionError) as e:
        raise InputError(f"{path} does not hold what minivae writes there ({e}); run it again") from e


def flat(value: Mapping[str, Any], prefix: str = "") -> Json:
    """Nested mappings as one with dotted keys.

    >>> flat({"a": 1, "b": {"c": 2}})
    {'a': 1, 'b.c': 2}
    """
    result = {}
    for k, v in value.items():
        result |= flat(v, f"{prefix}{k}.") if isinstance(v, Mapping) else {f"{prefix}{k}": v}
    return result


def differing(
    theirs: Mapping[str, Any], ours: Mapping[str, Any], defaults: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """Where two descriptions of a run differ: dotted key -> both values, None where there is none.

    A key that one of them lacks has its default: a run from before a setting existed ran with what is now its default.

    >>> differing({"lr": 0.1}, {"lr": 0.1, "smooth": 0.0}, {"smooth": 0.0})
    {}
    >>> differing({"lr": 0.1}, {"lr": 0.1, "smooth": 0.5}, {"smooth": 0.0})
    {'smooth': (0.0, 0.5)}
    >>> differing({"epochs": True}, {"epochs": 1}, {})  # in Python they are equal
    {'epochs': (True, 1)}
    """
    a, b = (flat(defaults) | flat(value) for value in (theirs, ours))
    pairs = {k: (a.get(k), b.get(k)) for k in sorted(a.keys() | b.keys())}
    return {k: (x, y) for k, (x, y) in pairs.items() if x != y or isinstance(x, bool) != isinstance(y, bool)}


def parse_json(text: str) -> Any:
    """Standard JSON: no NaN or infinity, no nesting without end.

    Raises
    ------
    ValueError
        If the text is something else.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as e:
        raise ValueError("it is nested too deeply") from e


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
