"""JSON: one object a line (.jsonl, .ndjson, .json), or one list of objects."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from minivae.data.columns import Columns, found_columns
from minivae.data.labelling import from_objects
from minivae.data.reading import Rows
from minivae.errors import InputError

SEARCHED = 1000  # objects whose keys are looked through first
TO_JSON = "import ast, json, sys; [print(json.dumps(ast.literal_eval(line))) for line in sys.stdin]"


def read_records(path: Path, raw: bytes, columns: Columns) -> Rows:
    """The chosen keys of every object; a key that an object lacks is missing there.

    Raises
    ------
    InputError
        If a line is no JSON object, with a way to convert lines of Python; or no object has such a key.
    """
    blank = 0
    if raw.lstrip()[:1] == b"[":
        records, lines, unit = whole_list(path, raw), None, "row"
    else:
        lines, unit, records = [], "line", []
        for number, line in enumerate(raw.split(b"\n"), 1):
            if line.strip():
                records.append(parsed(path, number, line))
                lines.append(number)
            else:
                blank += 1
        blank -= raw.endswith(b"\n")
    keys = list(dict.fromkeys(key for record in records[:SEARCHED] for key in record))
    if not set(columns.values()) <= set(keys):
        keys = list(dict.fromkeys(key for record in records for key in record))
    found = found_columns(path, columns, keys, by_position=False)
    where = Rows(pl.DataFrame(), None if lines is None else np.array(lines), 1, unit).where
    table = {
        role: column(path, [r.get(keys[at]) for r in records], keys[at], role, where) for role, at in found.items()
    }
    numbers = None if lines is None else np.array(lines, np.int64)
    return Rows(pl.DataFrame(table), numbers, 1, unit, {"blank lines": blank})


def whole_list(path: Path, raw: bytes) -> list[dict[str, Any]]:
    """A file that is one list of objects."""
    try:
        records = json.loads(raw, object_pairs_hook=once)
    except (ValueError, RecursionError) as e:
        raise InputError(f"{path} begins like JSON and is none: {e}; write one object a line") from None
    if not records or not all(isinstance(r, dict) for r in records):
        raise InputError(f"{path} is JSON but no list of objects; write one object a line, one for each interaction")
    return records


def parsed(path: Path, number: int, line: bytes) -> dict[str, Any]:
    """One line as an object."""
    try:
        record = json.loads(line, object_pairs_hook=once)
    except (ValueError, RecursionError) as e:
        text = line[:60].decode(errors="replace")
        if line.lstrip()[:2] in (b"{'", b"{u"):
            raise InputError(
                f"{path}, line {number:,}: {text!r} is a dict of Python, not JSON; convert the file with "
                f"python -c '{TO_JSON}' < OLD > NEW.jsonl"
            ) from None
        advice = "mend or remove it"
        if number == 1 and text.strip() == "{":
            advice = "write each object on one line, for instance with jq -c . OLD > NEW.jsonl"
        raise InputError(f"{path}, line {number:,}: {text!r} is no JSON object ({e}); {advice}") from None
    if not isinstance(record, dict):
        raise InputError(f"{path}, line {number:,} is JSON but no object; write one object a line")
    return record


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object each of whose keys stands in it once; Python would keep the last of two."""
    record = dict(pairs)
    if len(record) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(k for k in keys if keys.count(k) > 1)!r} stands in it twice")
    return record


def column(path: Path, values: list[Any], key: str, role: str, where: Any) -> pl.Series:
    """The values of one key; true and false as 1 and 0 where they rate something."""
    nested = (list, dict) if role == "rating" else (list, dict, bool)
    for row, value in enumerate(values):
        if isinstance(value, nested):
            advice = ""
            if isinstance(value, list | dict):
                alone = "; one object for the whole table? Write" if len(values) == 1 else "; write"
                advice = f"{alone} one object a line, one for each user and item"
            raise InputError(f"{path}, {where(row)}: {key!r} is {json.dumps(value)[:40]}, not a number or text{advice}")
    if role == "rating" and any(isinstance(v, bool) for v in values):
        values = [int(v) if isinstance(v, bool) else v for v in values]
    try:
        return from_objects(values, role)
    except InputError as e:
        raise InputError(f"{path}: {e}") from None
