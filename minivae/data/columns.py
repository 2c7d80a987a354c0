"""Which column plays which role, and what its values must be."""

import difflib
from collections.abc import Mapping
from numbers import Integral
from pathlib import Path

import polars as pl

from minivae.data.labelling import Where
from minivae.data.text_form import canonical
from minivae.errors import InputError, option

Columns = Mapping[str, str | int]  # role -> name or position
UTC = r"(:[0-9]{2}(?:[.,][0-9]+)?|^[0-9/-]+)(?:Z| UTC)$"  # after a time of the day, or after a date alone
ZONE = r"(:[0-9]{2})([.,][0-9]+)? ?([+-][0-9]{2}(?::?[0-9]{2})?)$"  # after a time of the day
FRACTION = r"(:[0-9]{2}:[0-9]{2})[.,]([0-9]+)"  # of a second
RECBOLE = {"user": "user_id", "item": "item_id"}  # what these columns are called in its files


def chosen_columns(user: str | int, item: str | int, **others: str | int | None) -> Columns:
    """Role -> column, without the roles that no column has.

    Raises
    ------
    InputError
        If a column is given neither by its name nor by its position.
    """
    chosen: dict[str, str | int] = {}
    for role, column in {"user": user, "item": item, **others}.items():
        if column is None and role in others:
            continue
        if isinstance(column, bool) or not isinstance(column, str | Integral):
            raise InputError(f"{option(role)} is {column!r}; give a column by its name or by its position from 0")
        chosen[role] = column if isinstance(column, str) else int(column)
    return chosen


def found_columns(where: Path | str, columns: Columns, names: list[str], by_position: bool = False) -> dict[str, int]:
    """Role -> position of its column among `names`.

    Raises
    ------
    InputError
        If a column is not there, or stands there twice, or plays two roles.
    """
    found = {role: locate(column, names, where, by_position) for role, column in columns.items()}
    for role, at in found.items():
        twin = next((r for r, n in found.items() if n == at and r != role), None)
        if twin:
            raise InputError(f"{where}: column {names[at]!r} cannot be both {role} and {twin}; choose two columns")
    return found


def locate(column: str | int, names: list[str], where: Path | str, by_position: bool = False) -> int:
    """The position of `column`."""
    stripped = [canonical(str(name)) for name in names]
    if isinstance(column, str) and not by_position:
        column = canonical(column)
        if column not in stripped and RECBOLE.get(column) in stripped:
            column = RECBOLE[column]
        if stripped.count(column) > 1:
            raise InputError(
                f"{where} has {stripped.count(column)} columns called {column!r}; choose one by its position"
            )
        if column in stripped:
            return stripped.index(column)
    try:
        if isinstance(column, str) and not column.isdecimal():
            raise ValueError
        return range(len(names))[int(column)]
    except (ValueError, IndexError):
        folded = {name.casefold(): name for name in reversed(stripped)}
        near = difflib.get_close_matches(str(column).casefold(), folded, 1) if isinstance(column, str) else []
        hint = f"; did you mean {folded[near[0]]!r}?" if near else ""
        shown = ", ".join(map(repr, stripped[:20])) + (", …" if len(names) > 20 else "")
        raise InputError(f"{where} has no column {column!r} among its {len(names)}: {shown}{hint}") from None


def as_number(values: pl.Series, name: str, where: Where) -> pl.Series:
    """Finite float64, nothing missing."""
    refuse_missing(values, name, where)
    if values.dtype == pl.String:
        values = values.str.strip_chars()
        if values.cast(pl.Float64, strict=False).null_count():
            values = as_plain_numbers(values)
    elif not values.dtype.is_numeric() and values.dtype != pl.Boolean:
        raise InputError(f"{name} holds {values.dtype}; it must hold numbers")
    number = values.cast(pl.Float64, strict=False)
    odd = (~number.is_finite().fill_null(False)).arg_true()
    if len(odd):
        shown = str(values[int(odd[0])])[:40]
        raise InputError(f"{name}, {where(int(odd[0]))}: {shown!r} is no finite number; correct or remove that row")
    return number


def as_plain_numbers(text: pl.Series) -> pl.Series:
    """Words for yes and no as 1 and 0, decimal commas as points, where a whole column has them."""
    words = text.str.to_lowercase()
    if words.is_in(["true", "false"]).all():
        return (words == "true").cast(pl.String).replace({"true": "1", "false": "0"})
    if text.str.contains(r"^[+-]?[0-9]+(,[0-9]{1,2})?$").all() and text.str.contains(",", literal=True).any():
        return text.str.replace(",", ".", literal=True)
    return text


def as_time(values: pl.Series, name: str, where: Where) -> pl.Series:
    """Seconds as float64: numbers as they are, dates since 1970."""
    refuse_missing(values, name, where)
    if values.dtype in (pl.Categorical, pl.Enum):
        values = values.cast(pl.String)
    if values.dtype == pl.String:
        values = values.str.strip_chars()
        number = values.cast(pl.Float64, strict=False)
        if number.null_count() == 0:
            return as_number(number, name, where)
        values = as_dates(values, name, where)
    if values.dtype in (pl.Date, pl.Datetime):
        return values.cast(pl.Datetime("us")).dt.epoch("us") / 1e6
    return as_number(values, name, where)


def as_dates(values: pl.Series, name: str, where: Where) -> pl.Series:
    """Dates in the order year, month, day; with a time of the day or without, to the microsecond; in universal time, as
    zones are said."""
    east = minutes_east(values)
    plain = values.str.replace(UTC, "$1").str.replace(ZONE, "$1$2")
    digits = plain.str.extract(FRACTION, 2).fill_null("")
    micro = digits.str.slice(0, 6).str.pad_end(6, "0").cast(pl.Int64)
    plain = plain.str.replace(FRACTION, "$1").str.replace("T", " ", literal=True)
    for form in ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d", "%Y%m%d"):
        whole = plain + ":00" if form == "%Y-%m-%d %H:%M" else plain
        form = form + ":%S" if form == "%Y-%m-%d %H:%M" else form
        dates = whole.str.to_datetime(form, strict=False, time_unit="us")
        if dates.null_count() == 0:
            return dates + (micro - east * 60_000_000).cast(pl.Duration("us"))
        if dates.null_count() < len(dates):
            row = int(dates.is_null().arg_true()[0])
            raise InputError(
                f"{name}, {where(row)}: {values[row][:40]!r} is no time like the others; correct or remove that row"
            )
    raise InputError(
        f"{name}, {where(0)}: {values[0][:40]!r} is no time; give seconds, or dates such as 2005-04-02 23:53:47"
    )


def as_title(values: pl.Series) -> pl.Series:
    """Titles as composed Unicode text, without spaces around them."""
    text = values.cast(pl.String).str.strip_chars()
    return text if (text.str.len_bytes() == text.str.len_chars()).all() else text.str.normalize("NFC")


def refuse_missing(values: pl.Series, name: str, where: Where) -> None:
    """A field that must not be empty."""
    missing = values.is_null()
    if missing.any():
        raise InputError(f"{name}, {where(int(missing.arg_true()[0]))} is empty; fill it in or remove the row")


def minutes_east(times: pl.Series) -> pl.Series:
    """By how much each time is ahead of universal time, where it says so.

    >>> minutes_east(pl.Series(["2020-01-02T22:00:00+02:00", "2020-01-02 22:00 -0030", "22:00:00-05"])).to_list()
    [120, -30, -300]
    """
    of_four = times.str.extract(ZONE, 3).str.replace(r"^([+-][0-9]{2})$", "${1}00")
    said = of_four.str.replace_all("[+:]", "").cast(pl.Int64, strict=False).fill_null(0)
    return said.sign() * (said.abs() // 100 * 60 + said.abs() % 100)
