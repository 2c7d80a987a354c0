"""One rule for labels, whatever file or object they come from.

A label is what a person would write: text in Unicode's composed form (NFC), without spaces around it. If every label of
a column reads as a whole number ("12" or "12.0", not "012") and fits 64 bits, the labels are integers, so that they
sort as numbers; otherwise all are text, sorted by code point. A column of numbers with fractions is refused: those are
no labels, and whole numbers above 2⁵³ that were floats once have lost digits.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal

import numpy as np
import polars as pl

from minivae.data.codes import lookup, rank
from minivae.data.text_form import EDGES, INTEGER, NUMBER
from minivae.errors import InputError

LONGEST_LABEL = 500
EXACT = 2**53  # below it every whole number is a float of its own
FLOATS = {"Float16": (2**11, 3), "Float32": (2**24, 7), "Float64": (EXACT, 16)}  # that limit, and digits kept
NARROW = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32)
NATIVE = {"rating": (bool, np.bool_), "time": (date, datetime)}  # what columns of objects may hold beside numbers
MISSING = ("", "nan", "null", "none", "<na>", "nat", "\\n", "n/a", "#n/a", "#ref!", "#value!", "#name?", "#div/0!")
AMONG_NUMBERS = ("na", "-", "--", "?", "unknown", "missing")  # no label where all others are numbers
EXCEL = r"^-?[0-9](\.[0-9]+)?E\+[0-9]+$"
SEVERAL = r"^[0-9]+([ ,;|]+[0-9]+)*$"
LABELS = "labels must be integers or text"
WANTED = {"rating": "ratings must be numbers", "time": "times must be numbers or dates", "title": "titles must be text"}
Where = Callable[[int], str]  # row, counted from 0 -> how a message names it


def by_row(row: int) -> str:
    """Rows counted from 1."""
    return f"row {row + 1}"


def as_series(values: object, role: str = "") -> pl.Series:
    """A column of numbers or text from what Python has: lists, arrays of any kind, columns of pandas and polars.

    Raises
    ------
    InputError
        If an entry is no number and no text.
    """
    if isinstance(values, pl.Series):
        if values.dtype == pl.Object:
            return from_objects(values.to_list(), role)
        return values
    if hasattr(values, "isna") and hasattr(values, "array"):  # a column of pandas
        missing = np.asarray(values.isna())  # pyright: ignore[reportAttributeAccessIssue]
        if str(getattr(values, "dtype", "")).startswith("datetime64"):
            return pl.Series(np.asarray(values, "datetime64[us]")).set(pl.Series(missing), None)
        array = np.asarray(values)
        if array.dtype.kind == "f" and missing.any():
            return pl.Series(array, nan_to_null=True)
        values = [None if gone else v for gone, v in zip(missing, array, strict=True)] if missing.any() else array
    if isinstance(values, np.ndarray):
        if values.ndim != 1:
            raise InputError(f"the {role or 'column'} must be one-dimensional, not of shape {values.shape}")
        if values.dtype.kind == "M":
            return pl.Series(values.astype("M8[us]"))
        if values.dtype.kind == "m":
            raise InputError(f"the {f'{role} column'.strip()} holds {values.dtype}; {WANTED.get(role, LABELS)}")
        if values.dtype == np.float16 and role in ("user", "item"):  # polars may make it wider
            finite = pl.Series(np.where(np.isfinite(values), values, 0).astype(np.float64))
            refuse_lost_digits(finite, role, by_row, *FLOATS["Float16"])
        return from_objects(values.tolist(), role) if values.dtype.kind in "OSUT" else pl.Series(values)
    if isinstance(values, str | bytes | set | frozenset | Mapping) or not isinstance(values, Iterable):
        raise InputError(f"the {role or 'column'} is a {type(values).__name__}; give a list, one entry for each event")
    return from_objects(values, role)


def from_objects(values: Iterable[object], role: str = "") -> pl.Series:
    """Numbers and text in any mixture: all of one kind stay that, a mixture becomes text.

    Raises
    ------
    InputError
        If an entry is no number and no text.
    """
    values = list(values)
    kinds = {type(v) for v in values} - {type(None)}
    if kinds == {int} and all(v is None or -(2**63) <= v < 2**63 for v in values):  # pyright: ignore
        return pl.Series(values, dtype=pl.Int64)
    if kinds == {float}:
        return pl.Series(values, dtype=pl.Float64, nan_to_null=False)
    if role in ("rating", "time") and len(kinds) == 1 and next(iter(kinds)) in NATIVE[role]:
        return pl.Series(values)
    text = [as_text(v, k, role) for k, v in enumerate(values)]
    try:
        return pl.Series(text, dtype=pl.String)
    except UnicodeEncodeError:
        row = next(k for k, t in enumerate(text) if t is not None and not encodable(t))
        raise InputError(f"{by_row(row)}: {ascii(text[row])[:60]} holds half a character; write it again") from None


def encodable(text: str) -> bool:
    """Whether it is whole characters: a surrogate alone, as JSON may write it, is none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def as_text(value: object, row: int, role: str) -> str | None:
    """One entry as text; None if it is missing."""
    if value is None or isinstance(value, str):
        return value
    wanted = WANTED.get(role, LABELS)
    if isinstance(value, bool | np.bool_):
        raise InputError(f"{by_row(row)}: {value!r} is no {role or 'label'}; {wanted}")
    if isinstance(value, float | np.floating) and np.isinf(value):
        raise InputError(f"{by_row(row)}: {value} is no {role or 'label'}; {wanted}")
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, np.timedelta64):
        return None if value != value else str(value.item() if isinstance(value, np.generic) else value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise InputError(f"{by_row(row)}: {value[:40]!r} is not UTF-8; {wanted}") from None
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, Decimal):
        return None if value.is_nan() else f"{value:f}"
    raise InputError(f"{by_row(row)}: {str(value)[:40]!r} is a {type(value).__name__}; {wanted}")


def factorize(labels: pl.Series, role: str, where: Where = by_row) -> tuple[np.ndarray, np.ndarray]:
    """Codes (E,) int32 into the sorted distinct labels, and those labels: int64 or str.

    Parameters
    ----------
    labels : Series
        (E,) one label per event.
    role : str
        "user" or "item", for messages.
    where : callable, default `by_row`
        How a message names a row.

    Raises
    ------
    InputError
        If a label is missing, empty, too long, or no label.
    """
    labels = plain(labels, role, where)
    if labels.null_count():
        row = int(labels.is_null().arg_true()[0])
        raise InputError(f"{where(row)} has no {role}; fill it in or remove the row")
    if labels.dtype != pl.String:
        return rank(labels.to_numpy())
    distinct = labels.unique().sort()
    codes = labels.cast(pl.Enum(distinct)).to_physical().to_numpy().astype(np.int32)
    place, canonical = rule(distinct, role, lambda code: where(int(np.flatnonzero(codes == code)[0])))
    return codes if place is None else lookup(place, codes), canonical


def plain(labels: pl.Series, role: str, where: Where) -> pl.Series:
    """A column as 64-bit integers or text; whole floats become integers."""
    kind = labels.dtype
    if kind in (pl.Categorical, pl.Enum):
        return labels.cast(pl.String)
    if kind == pl.String or kind in NARROW:
        return labels
    if kind == pl.Null:
        return labels.cast(pl.String)
    if kind.is_integer():
        fits = labels.len() == 0 or (labels.max() < 2**63 and labels.min() >= -(2**63))  # pyright: ignore
        return labels.cast(pl.Int64 if fits else pl.String)
    if kind.is_decimal():
        return labels.cast(pl.String)
    if not labels.dtype.is_float():
        if kind == pl.Binary:
            return from_objects(labels.to_list(), role)
        raise InputError(f"the {role} column holds {kind}; {LABELS}")
    labels = labels.fill_nan(None)
    whole = labels.cast(pl.Int64, strict=False)
    odd = ((whole.cast(pl.Float64) != labels) | (whole.is_null() & labels.is_not_null())).arg_true()
    if len(odd):
        raise InputError(f"{where(int(odd[0]))}: {labels[int(odd[0])]} is no label; {role}s must be integers or text")
    refuse_lost_digits(whole, role, where, *FLOATS[str(kind)])
    return whole


def refuse_lost_digits(numbers: pl.Series, role: str, where: Where, limit: int, digits: int) -> None:
    """Floats from 2⁵³ on, 2²⁴ of 32 bits and 2¹¹ of 16, stand for several whole numbers each."""
    large = (numbers.abs() >= limit).arg_true()
    if len(large):
        raise InputError(
            f"{where(int(large[0]))}: {role} {numbers[int(large[0])]:.0f} was stored as a float, which keeps {digits} "
            "digits; store these labels as integers or text"
        )


def rule(distinct: pl.Series, role: str, where: Where) -> tuple[np.ndarray | None, np.ndarray]:
    """The canonical labels of distinct strings, sorted, and the place of each string among them.

    Parameters
    ----------
    distinct : Series
        (n,) distinct strings, sorted.
    where : callable
        How a message names the first row with the k-th of them.

    Returns
    -------
    place : (n,) int32, or None
        None if every string is canonical as it stands.
    labels : ndarray
        int64 or str, sorted.
    """
    text = distinct.str.strip_chars()
    if text.str.len_bytes().sum() != text.str.len_chars().sum():
        text = text.str.replace_all(EDGES, "").str.normalize("NFC")
    check(text, role, where)
    refuse_lists(text, role, where)
    if text.str.to_lowercase().is_in(["true", "false"]).all():
        raise InputError(
            f"{where(0)}: {text[0]!r} is no label; a column of True and False is not that of {role}s: choose another"
        )
    number = text.str.contains(NUMBER)
    if not number.all() and number.any() and text.filter(~number).str.to_lowercase().is_in(AMONG_NUMBERS).all():
        k = int((~number).arg_true()[0])
        raise InputError(
            f"{where(k)}: {role} {text[k]!r} stands among numbers; correct or remove the rows that say so, or put a "
            "letter before each number"
        )
    if number.all():
        numbers = as_integers(text, role, where)
        if numbers is not None:
            return rank(numbers)
    if (text == distinct).all():
        return None, distinct.to_numpy().astype(str)
    canonical = text.unique().sort()
    place = text.cast(pl.Enum(canonical)).to_physical().to_numpy().astype(np.int32)
    return place, canonical.to_numpy().astype(str)


def refuse_lists(text: pl.Series, role: str, where: Where) -> None:
    """Labels that hold several values each, or numbers that a spreadsheet has shortened."""
    short = text.str.contains(EXCEL)
    if short.any():
        k = int(short.arg_true()[0])
        raise InputError(
            f"{where(k)}: {role} {text[k]} is a long number as Excel shows it, most digits lost; give the column the "
            "format of text there and save the file again"
        )
    listed = text.str.contains(r"^\[.*\]$|^\{.*\}$|^\(.*,.*\)$").all() and text.str.contains("[, ]").any()
    if not listed and text.str.contains(SEVERAL).all():
        pieces = text.str.count_matches("[ ,;|]+")
        listed = pieces.max() != pieces.min()
    if listed:
        k = int(text.str.len_chars().arg_max() or 0)
        raise InputError(
            f"{where(k)}: {role} {text[k][:40]!r} looks like several values in one field; write one row for each {role}"
        )


def as_integers(text: pl.Series, role: str, where: Where) -> np.ndarray | None:
    """Strings that all read as numbers, as int64; None if they are whole and one exceeds 64 bits."""
    written_whole = text.str.contains(INTEGER)
    if written_whole.all():
        numbers = text.cast(pl.Int64, strict=False)
        return None if numbers.null_count() else numbers.to_numpy()
    floats = text.cast(pl.Float64)
    odd = (~(floats.is_finite() & (floats == floats.floor())) & ~written_whole).arg_true()
    if len(odd):
        k = int(odd[0])
        raise InputError(
            f"{where(k)}: {text[k]!r} is no label; a column of numbers must hold whole ones; is this the column of "
            f"{role}s? If it is, put a letter before each"
        )
    inexact = (~written_whole & (floats.abs() >= EXACT)).arg_true()
    if len(inexact):
        k = int(inexact[0])
        raise InputError(
            f"{where(k)}: {role} {text[k]} was stored as a float, which keeps 16 digits only; store these labels as "
            "integers or text"
        )
    numbers = text.cast(pl.Int64, strict=False)
    if (numbers.is_null() & written_whole).any():
        return None
    mixed = pl.when(written_whole).then(numbers).otherwise(floats.cast(pl.Int64, strict=False))
    return pl.select(mixed).to_series().to_numpy()


def check(text: pl.Series, role: str, where: Where) -> None:
    """Refuse what cannot be a label: nothing, the words for nothing, control characters, a whole text."""
    faults = {
        "is empty or says that it is missing": text.str.to_lowercase().is_in(MISSING),
        "contains control characters": text.str.contains(r"[\x00-\x1f\x7f-\x9f\u{2028}\u{2029}]"),
        f"is longer than {LONGEST_LABEL} characters": text.str.len_chars() > LONGEST_LABEL,
    }
    for fault, found in faults.items():
        if found.any():
            k = int(found.arg_true()[0])
            raise InputError(f"the {role} label {text[k][:40]!r} ({where(k)}) {fault}")
