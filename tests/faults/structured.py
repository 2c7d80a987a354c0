"""Files whose structure is wrong, as people and programs make them, and what an independent reading says of them.

A case is a sound table or note to which a few things are done: a ragged row, a stray quotation mark, a byte order mark
or a zero byte where none belongs, another encoding far down, a second header, a truncated packing, a column of lists, a
note whose checksum is right and whose content is not. `tests/faults/fuzz.py` reads it; what is read must agree with the
reading of Python's own `csv`, `json`, `gzip` and `zipfile`: every line, every row, every pair.
"""

import bz2
import csv
import gzip
import io
import json
import lzma
import random
import re
import tomllib
import unicodedata
import zipfile
from collections.abc import Callable
from copy import deepcopy
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import polars as pl
import scipy.sparse

from minivae.data import columnar
from minivae.data.interactions import Interactions
from minivae.data.read_interactions import read_interactions
from minivae.errors import InputError
from minivae.runtime.records import read_record, write_record

ODD = [
    *("", " ", "nan", "NULL", "None", "N/A", "inf", "-1", "0", "007", "7.0", "7.5", "1e3", "1_000", "0x10", "+5"),
    *("9" * 25, "9007199254740993", "١٢", "Ⅷ", "\u200e7", "\x7f", "\x93"),
    *("１２", "é", "e\u0301", "\u200bx", "\u00a07", "\u2028", "a\x0bb", "a\x1cb", "a\x85b", "\ufeff", "☃", "x" * 600),
    *('a"b', '"', '""', '"a"', 'a\\"b', "a,b", "a;b", "a\tb", "a::b", "a|b", "#a", "=1+1", "True", "user", "item"),
    *("\udc80", "4,5", "2005-04-02", "[1, 2]", "{}", "a b", "-", "a'b"),
]  # fmt: skip
SURROGATE = re.compile("[\ud800-\udfff]")


def table(rng: random.Random) -> list[list[str]]:
    """A header and rows of user, item, rating, and sometimes more columns."""
    of_words = rng.random() < 0.5
    rows = []
    for _ in range(rng.choice((1, 2, 5, 20, 60))):
        user, item = rng.randrange(12), rng.randrange(15)
        rows.append([f"u{user}" if of_words else str(user), f"m{item}", str(rng.randrange(1, 6))])
    header = ["user", "item", "rating"]
    for name in rng.sample(("title", "time", "x"), rng.choice((0, 0, 1, 2))):
        header.append(name)
        for row in rows:
            row.append({"title": "A film", "time": "978300760", "x": "1"}[name])
    order = list(range(len(header)))
    if rng.random() < 0.3:
        rng.shuffle(order)
    return [[row[k] for k in order] for row in [header, *rows]]


def change_fields(rows: list[list[str]], rng: random.Random) -> None:
    """One change of the table itself, in place."""
    at = rng.randrange(len(rows))
    row = rows[at]
    what = rng.randrange(12)
    if what == 0 and row:
        del row[rng.randrange(len(row))]
    elif what == 1:
        row.insert(rng.randrange(len(row) + 1), rng.choice(ODD))
    elif what in (2, 3, 4) and row:
        row[rng.randrange(len(row))] = rng.choice(ODD)
    elif what == 5:
        rows.insert(rng.randrange(len(rows) + 1), list(rows[0]))
    elif what == 6:
        k, text = rng.randrange(len(rows[0]) or 1), rng.choice(ODD)
        for other in rows[1:]:
            if k < len(other):
                other[k] = text if rng.random() < 0.5 else other[k]
    elif what == 7 and rows[0]:
        rows[0][rng.randrange(len(rows[0]))] = rng.choice(rows[0])
    elif what == 8:
        for k, other in enumerate(rows):
            other.insert(0, "" if k == 0 else str(k - 1))  # the index of pandas
    elif what == 9:
        for other in rows[rng.randrange(2) :]:
            other.append("")
    elif what == 10:
        rows.append(rng.choice((["Total", "", "60"], ["(60 rows affected)"], ["", "", ""], ["# end"])))
    else:
        rows[at : at + 1] = [[], row] if rng.random() < 0.5 else []
        if not rows:
            rows.append(["user", "item", "rating"])


def text_of(rows: list[list[str]], separator: str, quoting: str, rng: random.Random) -> str:
    """The table as text; some of it quoted, in a right or a wrong way."""
    wrong = rng.random() < 0.15

    def field(text: str) -> str:
        if quoting == "never":
            return text
        needed = any(c in text for c in f'{separator}"\n\r')
        if quoting == "always" or (needed and not wrong) or (quoting == "mixed" and rng.random() < 0.3):
            return '"' + (text if wrong else text.replace('"', '""')) + '"'
        return text

    return "".join(separator.join(map(field, row)) + "\n" for row in rows)


def change_bytes(text: str, rng: random.Random) -> bytes:
    """One change of the text as a whole: marks, line ends, encodings, pieces."""
    raw = SURROGATE.sub("?", text).encode()
    lines = raw.split(b"\n")
    at = rng.randrange(len(lines))
    what = rng.randrange(16)
    if what == 0:
        lines[at] = b"\xef\xbb\xbf" + lines[at]
    elif what == 1:
        lines[at] += b"\r"
    elif what == 2:
        lines = [line + b"\r" if rng.random() < 0.9 else line for line in lines]
    elif what == 3:
        return raw.replace(b"\n", b"\r")
    elif what == 4:
        lines[at] = lines[at][: len(lines[at]) // 2] + rng.choice(
            (b"\0", b"\r", b"\x1a", b"\xe9", b"\x93", b"\xff\xfe")
        )
    elif what == 5:
        place = rng.randrange(len(lines[at]) + 1)
        lines[at] = lines[at][:place] + b'"' + lines[at][place:]
    elif what == 6:
        lines.insert(
            at, rng.choice((b"", b" ", b"\t", b"# made by hand", b"% x", b"sep=;", b"sep=,", b"---", b",,", b'""'))
        )
    elif what == 7:
        lines[at] = lines[at].replace(b",", b";", 1) if rng.random() < 0.5 else lines[at].replace(b",", b" , ")
    elif what == 8 and at + 1 < len(lines):
        lines[at : at + 2] = [lines[at] + lines[at + 1]]
    elif what == 9:
        return raw[: rng.randrange(len(raw) + 1)]
    elif what == 10:
        return raw + (raw if rng.random() < 0.5 else b"\xef\xbb\xbf" + raw)
    elif what == 11:
        return SURROGATE.sub("?", text).encode(rng.choice(("utf-16", "utf-16-le", "utf-8-sig", "utf-32")))
    elif what == 12:
        return raw.rstrip(b"\n") + rng.choice((b"", b"\n\n\n", b" ", b"\x1a", b"\n \n"))
    elif what == 13 and len(lines) > 2:
        del lines[0]
    elif what == 14:
        return b"\n" * rng.randrange(1, 3) + raw
    else:
        cut = rng.randrange(len(lines[at]) + 1)
        lines[at : at + 1] = [lines[at][:cut], lines[at][cut:]]
    return b"\n".join(lines)


def delimited(path: Path, rng: random.Random) -> None:
    """A table of another structure in the place of the file; the name of the file says the form."""
    form = FORMS[path.name]
    rows = table(rng)
    for _ in range(rng.choice((0, 1, 1, 2))):
        change_fields(rows, rng)
    if form == ("\t", "typed"):
        rows[0] = [f"{name}{rng.choice((':token', ':token', ':float'))}" for name in rows[0]]
    text = text_of(rows, form[0], form[1], rng)
    if form[0] == ",":
        text = rng.choice(("", "", "", "", "sep=,\n", "# a comment\n")) + text
    path.write_bytes(change_bytes(text, rng) if rng.random() < 0.6 else SURROGATE.sub("?", text).encode())


FORMS = {
    "plain.csv": (",", "mixed"),
    "always.csv": (",", "always"),
    "semicolon.csv": (";", "mixed"),
    "names.tsv": ("\t", "never"),
    "typed.inter": ("\t", "typed"),
    "colons.dat": ("::", "never"),
}


def packed(path: Path, rng: random.Random) -> None:
    """A table in a packing, whole or broken: cut, joined, lengthened, one bit changed, another file inside."""
    inner = path.with_name("plain.csv")
    delimited(inner, rng) if rng.random() < 0.4 else inner.write_text("".join(",".join(r) + "\n" for r in table(rng)))
    raw = inner.read_bytes()
    if path.suffix == ".zip":
        names = rng.choice(
            (["t.csv"], ["t.csv"], ["a/t.csv", "a/"], ["t.csv", "README"], ["t.csv", "u.csv"], ["t"], [])
        )
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as z:
            for name in names:
                z.writestr(name, b"" if name.endswith("/") else raw)
        data = file.getvalue()
    else:
        pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}[path.suffix]
        half = len(raw) // 2
        data = rng.choice((lambda: pack(raw), lambda: pack(raw[:half]) + pack(raw[half:]), lambda: pack(pack(raw))))()
    what = rng.randrange(6)
    if what == 0:
        data = data[: rng.randrange(len(data) + 1)]
    elif what == 1:
        data += rng.choice((b"\0" * 9, b"x", data[:12]))
    elif what == 2 and data:
        at = rng.randrange(len(data))
        data = data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
    elif what == 3:
        data = raw
    path.write_bytes(data)


VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1.0, 1.5, 2**53 + 1, 2**63, 10**30, 1e300, "", "x", "7", "nan", [], [1], [[1]], {}),
    *({"a": 1}, "é", "e\u0301", "\ud800", "a\nb", "\0", "x" * 600),
]  # fmt: skip


def records(path: Path, rng: random.Random) -> None:
    """JSON lines or a list, with keys lost, doubled or nested and values of other kinds."""
    header, *rows = table(rng)
    objects: list[Any] = [dict(zip(header, row, strict=True)) for row in rows]
    for o in objects:
        o["rating"] = int(o["rating"])
    for _ in range(rng.choice((0, 1, 1, 2))):
        k = rng.randrange(len(objects))
        what = rng.randrange(6)
        if not isinstance(objects[k], dict):
            continue
        key = rng.choice(sorted(objects[k]) or ["user"])
        if what == 0:
            objects[k].pop(key, None)
        elif what in (1, 2):
            objects[k][key] = deepcopy(rng.choice(VALUES))
        elif what == 3:
            value = deepcopy(rng.choice(VALUES))
            for o in objects:
                if isinstance(o, dict):
                    o[key] = value if rng.random() < 0.5 else o.get(key)
        elif what == 4:
            objects[k] = deepcopy(rng.choice(VALUES))
        else:
            objects[k] = {"row": objects[k]}
    texts = [json.dumps(o, ensure_ascii=rng.random() < 0.5) for o in objects]
    what = rng.randrange(9)
    if what == 0:
        k = rng.randrange(len(texts))
        texts[k] = texts[k].replace('"item"', '"user"', 1) if rng.random() < 0.5 else texts[k].replace(":", ": NaN", 1)
    elif what == 1:
        texts = [re.sub(r'"', "'", t) for t in texts]
    elif what == 2 and len(texts) > 1:
        texts[:2] = [texts[0] + " " + texts[1]]
    if path.name == "list.json":
        text = "[" + ",\n".join(texts) + ("]" if rng.random() < 0.9 else rng.choice((",]", "", "]]", "] x"))) + "\n"
    elif what == 3:
        text = "\n".join(json.dumps(o, indent=1) for o in objects) + "\n"
    elif what == 4:
        text = json.dumps({name: [o.get(name) if isinstance(o, dict) else None for o in objects] for name in header})
    else:
        text = "\n".join(texts) + "\n"
    path.write_bytes(change_bytes(text, rng) if rng.random() < 0.3 else SURROGATE.sub("?", text).encode())


def links(path: Path, rng: random.Random) -> None:
    """`user item item …`, with counts, sizes, weights, empty and doubled lines, and other separators."""
    separator = rng.choice((" ", " ", " ", "\t", ","))
    lists = [
        [str(u), *(str(rng.randrange(30)) for _ in range(rng.choice((0, 1, 2, 3, 5, 9))))]
        for u in range(rng.choice((1, 3, 12)))
    ]
    for _ in range(rng.choice((0, 1, 1, 2))):
        k, what = rng.randrange(len(lists)), rng.randrange(8)
        if what == 0:
            lists.insert(0, [str(len(lists)), "30"])
        elif what == 1:
            lists = [[str(len(line) - 1), *line[1:]] for line in lists]
        elif what == 2:
            lists.insert(k, list(lists[k]))
        elif what == 3:
            lists[k].insert(rng.randrange(len(lists[k]) + 1), rng.choice(ODD))
        elif what == 4:
            lists.insert(k, [])
        elif what == 5:
            lists = [[line[0], *(f"{i}:1" for i in line[1:])] for line in lists if line]
        elif what == 6:
            lists = [[*line, "-1"] for line in lists]
        else:
            lists.insert(0, rng.choice((["user", "items"], ["#", "made"], ["user_id", "item_id"])))
        lists = lists or [["0", "1"]]
    text = "".join(separator.join(line) + rng.choice(("", "", "", " ")) + "\n" for line in lists)
    path.write_bytes(change_bytes(text, rng) if rng.random() < 0.4 else SURROGATE.sub("?", text).encode())


def odd_series(name: str, values: list[int], rng: random.Random) -> pl.Series:
    """The same whole numbers, small and not negative, in a type of polars; some missing, some types that hold none."""
    n = len(values)
    kind = rng.choice(KINDS)
    if kind in ("Date", "Datetime", "Duration"):
        s = pl.Series(name, values, pl.Int64).cast(getattr(pl, kind))
    elif kind in ("List", "Array", "Struct", "Object"):
        s = {
            "List": lambda: pl.Series(name, [[v] for v in values]),
            "Array": lambda: pl.Series(name, [[v, v] for v in values], pl.Array(pl.Int64, 2)),
            "Struct": lambda: pl.Series(name, [{"a": v} for v in values]),
            "Object": lambda: pl.Series(name, [frozenset({v}) for v in values], pl.Object),
        }[kind]()
    elif kind == "Boolean":
        s = pl.Series(name, [v % 2 == 0 for v in values])
    elif kind == "Binary":
        s = pl.Series(name, [str(v).encode() for v in values])
    elif kind == "Null":
        s = pl.Series(name, [None] * n)
    elif kind == "Decimal":
        s = pl.Series(name, [Decimal(v) for v in values])
    elif kind in ("String", "Categorical"):
        s = pl.Series(name, [f"{v}" for v in values])
        s = s.cast(pl.Categorical) if kind == "Categorical" else s
    elif kind == "Enum":
        s = pl.Series(name, [f"{v}" for v in values])
        s = s.cast(pl.Enum(s.unique().sort()))
    else:
        s = pl.Series(name, values).cast(getattr(pl, kind))
    if kind != "Object" and rng.random() < 0.2:
        gone = pl.Series([rng.random() < 0.2 for _ in range(n)], dtype=pl.Boolean)
        s = pl.select(pl.when(~gone).then(s).alias(name)).to_series()
    if s.dtype.is_float() and rng.random() < 0.3 and n:
        s[rng.randrange(n)] = rng.choice((float("nan"), float("inf"), 1.5, 2.0**60, -0.0, 1e300))
    return s


KINDS = [
    *("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float32", "Float64", "Decimal"),
    *("String", "Categorical", "Enum", "Binary", "Boolean", "Null", "Date", "Datetime", "Duration"),
    *("List", "Array", "Struct", "Object"),
]


def frame(rng: random.Random) -> pl.DataFrame:
    """A table whose columns have odd types, in odd orders, with other columns between."""
    n = rng.choice((0, 1, 1, 3, 30))
    values = {
        "user": [rng.randrange(9) for _ in range(n)],
        "item": [rng.randrange(9) for _ in range(n)],
        "rating": [rng.randrange(6) for _ in range(n)],
    }
    plain = rng.sample(sorted(values), rng.choice((1, 2, 2, 3)))
    columns = [pl.Series(k, v) if k in plain else odd_series(k, v, rng) for k, v in values.items()]
    if rng.random() < 0.3:
        columns.append(odd_series("x", values["user"], rng))
    if rng.random() < 0.1:
        columns.pop(rng.randrange(len(columns)))
    rng.shuffle(columns)
    return pl.DataFrame(columns)


def columns_of(path: Path, rng: random.Random) -> None:
    """A Parquet or Feather file of such a table, in several groups of rows, cut or lengthened now and then."""
    t = frame(rng)
    t = t.select([c for c in t.columns if t[c].dtype != pl.Object])
    if path.suffix == ".parquet":
        packing = rng.choice(("zstd", "snappy", "gzip", "uncompressed"))
        t.write_parquet(path, row_group_size=rng.choice((None, 1, 7)), compression=packing)
    else:
        t.write_ipc(path, compression=rng.choice(("uncompressed", "lz4", "zstd")))
    if rng.random() < 0.1:
        raw = path.read_bytes()
        path.write_bytes(raw[: rng.randrange(len(raw))] if rng.random() < 0.5 else raw + b"x" * rng.choice((1, 8, 100)))
    path.with_suffix(".expected").write_text(json.dumps(plain_rows(t)))


def plain_rows(t: pl.DataFrame) -> list[list[str]] | None:
    """User, item and rating of each row as text; None where a column is lost."""
    if not {"user", "item", "rating"} <= set(t.columns):
        return None
    return [
        [v.decode() if isinstance(v, bytes) else str(v) for v in row]
        for row in t.select("user", "item", "rating").rows()
    ]


def matrix(path: Path, rng: random.Random) -> None:
    """A sparse matrix in every format of SciPy, with zeros, repeated and odd entries, and arrays lost or false."""
    shape = (rng.choice((1, 4, 30)), rng.choice((1, 5, 40)))
    n = rng.choice((0, 1, 5, 60))
    kind = rng.choice(("f8", "f4", "i8", "i1", "u1", "?", "c16"))
    data = np.array([rng.randrange(5) for _ in range(n)], kind)
    at = [rng.randrange(shape[0]) for _ in range(n)], [rng.randrange(shape[1]) for _ in range(n)]
    m: Any = scipy.sparse.coo_matrix((data, at), shape)
    if n and kind[0] == "f" and rng.random() < 0.3:
        m.data[0] = rng.choice((np.nan, np.inf, -1, 0.5))
    m = m.asformat(rng.choice(("csr", "csc", "coo", "bsr", "dia")))
    if rng.random() < 0.3:
        m = scipy.sparse.coo_array(m)
    scipy.sparse.save_npz(path, m)
    if rng.random() < 0.5:
        with np.load(path) as old:
            arrays = dict(old)
        key = rng.choice(sorted(arrays))
        a = arrays[key]
        what = rng.randrange(6)
        if what == 0:
            del arrays[key]
        elif what == 1:
            arrays[key] = (
                a.astype(rng.choice(("f8", "i8", "i4", "u8", "?", "S8"))) if a.dtype.kind != "S" else np.array(b"csr")
            )
        elif what == 2 and a.size:
            arrays[key] = a.copy().reshape(a.shape)
            if a.dtype.kind in "iu" and a.ndim:
                value = np.array(rng.choice((-1, 0, 1, 2, 2**31 - 1)))
                arrays[key].reshape(-1)[rng.randrange(a.size)] = value.astype(a.dtype)
        elif what == 3 and a.ndim:
            arrays[key] = a[:-1] if rng.random() < 0.5 else np.concatenate([a, a])
        elif what == 4:
            arrays["extra"] = np.arange(3)
        else:
            arrays[key] = a[None]
        np.savez(path, **arrays)


def change_tree(tree: Any, rng: random.Random) -> Any:
    """One value somewhere in a note replaced, lost, renamed or put one level deeper."""
    if isinstance(tree, dict) and tree and rng.random() < 0.85:
        key = rng.choice(sorted(tree))
        what = rng.random()
        if what < 0.1:
            return {k: v for k, v in tree.items() if k != key}
        if what < 0.15:
            return tree | {rng.choice(("x", key + "x", "../x", "")): tree[key]}
        return tree | {key: change_tree(tree[key], rng)}
    if isinstance(tree, list) and tree and rng.random() < 0.7:
        at = rng.randrange(len(tree))
        what = rng.random()
        if what < 0.2:
            return tree[:at] + tree[at + 1 :]
        return [*tree[:at], change_tree(tree[at], rng), *tree[at + 1 :]]
    return rng.choice(
        [*VALUES[:21], tree, [tree], {"x": tree}, str(tree), -tree if isinstance(tree, int | float) else tree]
    )


def note(path: Path, rng: random.Random) -> None:
    """A JSON note of which a value is another, with its checksum right again."""
    value = read_record(path)
    for _ in range(rng.choice((1, 1, 2))):
        value = change_tree(value, rng)
    write_record(path, value if isinstance(value, dict) else {"x": value})


def notes_of(path: Path, rng: random.Random) -> None:
    """One of the notes of a folder."""
    note(rng.choice(sorted(p for p in path.rglob("*.json"))), rng)


def settings(path: Path, rng: random.Random) -> None:
    """A settings file of which a value is another."""
    tree = tomllib.loads(path.read_text())
    for _ in range(rng.choice((1, 1, 2))):
        tree = change_tree(tree, rng)
    path.write_text(toml(tree if isinstance(tree, dict) else {"x": tree}))


def toml(tree: dict[str, Any]) -> str:
    """TOML of nested tables, the inner ones inline."""
    return "".join(f"{json.dumps(k)} = {inline(v)}\n" for k, v in tree.items())


def inline(value: Any) -> str:
    """One value of TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {inline(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    if value is None:
        return "nan"
    return json.dumps(SURROGATE.sub("?", value)) if isinstance(value, str) else str(value).lower()


def canonical(labels: list[str]) -> list[str]:
    """What labels are, by the rule that the guide states; written again, without the package's own functions."""
    labels = [
        unicodedata.normalize("NFC", re.sub(r"^[\s\u200b\ufeff]+|[\s\u200b\ufeff]+$", "", label)) for label in labels
    ]
    whole = [
        re.fullmatch(r"0|-?[1-9][0-9]*|-?(0|[1-9][0-9]*)(\.[0-9]+([eE][+-]?[0-9]+)?|[eE][+-]?[0-9]+)", x)
        for x in labels
    ]
    if all(whole):
        numbers = [Decimal(x) for x in labels]
        if all(x == int(x) and -(2**63) <= x < 2**63 for x in numbers):
            return [str(int(x)) for x in numbers]
    return labels


class Undecided(Exception):
    """The independent reading makes no claim."""


def unpacked(path: Path) -> bytes:
    """The bytes behind a packing, by Python's own modules."""
    raw = path.read_bytes()
    if raw.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(raw)) as z:
            names = [n for n in z.namelist() if n.endswith((".csv", ".txt", ".tsv"))]
            return z.read(names[0])
    for magic, module in ((b"\x1f\x8b", gzip), (b"BZh", bz2), (b"\xfd7zXZ", lzma)):
        if raw.startswith(magic):
            return module.decompress(raw)
    return raw


def plain_text(path: Path) -> str:
    """UTF-8 with line feeds."""
    text = re.sub("(^|[\n\r])\ufeff+", r"\1", unpacked(path).decode())
    return text.replace("\r\n", "\n") if "\n" in text else text.replace("\r", "\n")


def pairs_of(rows: list[tuple[str, str, str]], least: float = 3) -> set[tuple[str, str]]:
    """The pairs that are rated well enough."""
    try:
        kept = [(u, i) for u, i, r in rows if float(r) >= least]
    except ValueError:
        raise Undecided from None
    if not kept:
        return set()
    return set(zip(*(canonical(list(labels)) for labels in zip(*kept, strict=True)), strict=True))


def is_comment(line: str) -> bool:
    """Whether a line before the table is none of it: the names of columns may begin with a mark too."""
    return line.startswith(("#", "%")) and not {"user", "item"} & set(re.split(r"\W+", line))


def delimited_rows(text: str, separator: str) -> list[tuple[str, str, str]]:
    """User, item, rating of each row after the header, headers repeated left out, by Python's `csv`."""
    lines = text.split("\n")
    while lines and (not lines[0] or is_comment(lines[0]) or re.fullmatch(r'"?sep=.*', lines[0])):
        if stated := re.fullmatch(r'"?sep=(.*?)"?', lines[0]):
            separator = stated[1].strip() or separator
        del lines[0]
    if separator in ",;":
        rows = list(csv.reader(io.StringIO("\n".join(lines)), delimiter=separator, skipinitialspace=True))
    else:
        rows = [line.split(separator) for line in lines]
    header = [name.strip().partition(":")[0] for name in rows[0]]
    at = [header.index(name) for name in ("user", "item", "rating")]
    if len(set(at)) < 3 or any(header.count(name) > 1 for name in ("user", "item", "rating")):
        raise AssertionError("a column that stands there twice was chosen")
    u, i, r = at
    chosen = [(row[u], row[i], row[r]) for row in rows[1:] if row and any(row)]
    return [c for c in chosen if [f.strip().partition(":")[0] for f in c] != ["user", "item", "rating"]]


def labelled(data: Interactions) -> set[tuple[str, str]]:
    """The pairs of a reading."""
    return {(str(data.user_labels[u]), str(data.item_labels[i])) for u, i in zip(data.user, data.item, strict=True)}


def agree(got: set[tuple[str, str]], expected: set[tuple[str, str]]) -> None:
    """Both readings found the same pairs."""
    assert got == expected, f"pairs only here {sorted(got - expected)[:3]}, only there {sorted(expected - got)[:3]}"


def counted(data: Interactions) -> Any:
    """The reading, its sums checked."""
    reading = data.reading
    assert reading is not None
    assert reading.rows == reading.events + sum(reading.dropped.values()), str(reading)
    assert reading.events == data.n_events == len(labelled(data)), str(reading)
    return reading


RATED: dict[str, Any] = {"rating": "rating", "min_rating": 3}


def read_delimited(path: Path) -> None:
    """Every physical line is a row or another line, every pair is the one that `csv` finds."""
    data = read_interactions(path, **RATED)
    reading, text = counted(data), plain_text(path)
    lines = text.count("\n") + (not text.endswith("\n"))
    assert lines == reading.rows + sum(reading.other_lines.values()), f"{lines} lines; {reading}"
    suffix = path.suffix
    separator = {".tsv": "\t", ".inter": "\t", ".dat": "::"}.get(suffix, ";" if "semi" in path.name else ",")
    if suffix in (".tsv", ".inter", ".dat") and '"' in text:  # a column between quotation marks loses them
        return
    rows = delimited_rows(text, separator)
    assert len(rows) == reading.rows, f"{len(rows)} rows by csv; {reading}"
    try:
        agree(labelled(data), pairs_of(rows))
    except Undecided:
        return


def read_records(path: Path) -> None:
    """Every object is a row, every pair is the one that `json` finds."""
    data = read_interactions(path, **RATED)
    reading, text = counted(data), plain_text(path)
    listed = text.lstrip("\ufeff \n\t\r").startswith("[")
    objects = json.loads(text) if listed else [json.loads(x) for x in text.split("\n") if x.strip()]
    assert reading.rows == len(objects), str(reading)
    agree(labelled(data), pairs_of([tuple(said(o[k]) for k in ("user", "item", "rating")) for o in objects]))  # pyright: ignore


def said(value: Any) -> str:
    """A value of JSON as a label."""
    return str(int(value)) if isinstance(value, bool) else str(value)


def read_links(path: Path) -> None:
    """Every number after the first of a line is a row; or each line of a table is one."""
    data = read_interactions(path, 0, 1)
    reading, text = counted(data), plain_text(path)
    readings = []
    for separator in (" +", "\t", ","):
        lines = [re.split(separator, x.strip(" ") if separator == " +" else x) for x in text.split("\n") if x.strip()]
        readings.append([(line[0], i, "5") for line in lines for i in line[1:] if i])
        header = reading.other_lines.get("header", 0) + reading.other_lines.get("comment lines", 0)
        rows = [line for line in lines[header:] if len(line) > 1 and not (header and line[:2] == lines[0][:2])]
        readings.append([(line[0], line[1], "5") for line in rows])
        if all(line[1].startswith('"') for line in rows):  # a column between quotation marks
            readings.append([(line[0], line[1].strip('"'), "5") for line in rows])
    assert any(reading.rows == len(r) and labelled(data) == pairs_of(r) for r in readings), f"no such: {reading}"


def read_columns(path: Path) -> None:
    """Rows and pairs are those that were written."""
    with patch.object(columnar, "check_in_child"):
        data = read_interactions(path, **RATED)
    same_as(data, json.loads(path.with_suffix(".expected").read_text()))


def same_as(data: Interactions, rows: list[list[str]] | None) -> None:
    """The reading of rows that are known."""
    reading = counted(data)
    assert rows is not None, "a column that is not there"
    assert reading.rows == len(rows), str(reading)
    assert not any("None" in row or row[2] in ("nan", "inf") for row in rows), "a missing value was read"
    rows = [[*row[:2], {"True": "1", "False": "0"}.get(row[2], row[2])] for row in rows]
    expected = pairs_of([(u, i, r) for u, i, r in rows])
    assert not any({"nan", "inf", "1.5"} & set(pair) for pair in expected), "an odd label was read"
    agree(labelled(data), expected)


def read_frames(path: Path) -> None:
    """The frame that the file's bytes seed, by polars and by pandas."""
    rng = random.Random(path.read_bytes())
    t = frame(rng)
    rows = plain_rows(t)
    outcomes = []
    for door in (lambda: t, lambda: pd.DataFrame({c: t[c].to_list() for c in t.columns})):
        try:
            same_as(read_interactions(door(), **RATED), rows)
            outcomes.append("read")
        except InputError as e:
            outcomes.append(str(e))
    assert not any("\n" in said for said in outcomes), outcomes
    if outcomes[0] != "read":
        raise InputError(outcomes[0])


def any_seed(path: Path, rng: random.Random) -> None:
    """Some bytes, from which `read_frames` makes its table."""
    path.write_bytes(rng.randbytes(8))


def read_matrix(path: Path) -> None:
    """The entries that are not zero, by NumPy."""
    data = read_interactions(path)
    reading = counted(data)
    m = scipy.sparse.load_npz(path)
    dense = m.toarray().astype(float)
    assert reading.rows == np.count_nonzero(dense), str(reading)
    agree(labelled(data), {(str(u), str(i)) for u, i in zip(*np.nonzero(dense), strict=True)})


Target = tuple[Path, Callable[[Path, random.Random], None], Callable[[Path], object]]


def targets(folder: Path) -> dict[str, Target]:
    """Reader -> (a sound file, how another structure is made of it, how it is read and compared)."""
    names = [*FORMS, "t.csv.gz", "t.csv.bz2", "t.csv.xz", "t.csv.zip", "t.jsonl", "list.json", "train.txt"]
    for name in [*names, "t.parquet", "t.feather", "m.npz", "frame"]:
        (folder / f"structured-{name}").mkdir()
        (folder / f"structured-{name}" / name).write_text("user,item,rating\n1,2,5\n")
    at = {name: folder / f"structured-{name}" / name for name in [*names, "t.parquet", "t.feather", "m.npz", "frame"]}
    return {
        **{f"structured {name}": (at[name], delimited, read_delimited) for name in FORMS},
        **{f"structured t.csv.{p}": (at[f"t.csv.{p}"], packed, read_delimited) for p in ("gz", "bz2", "xz", "zip")},
        **{f"structured {name}": (at[name], records, read_records) for name in ("t.jsonl", "list.json")},
        "structured adjacency": (at["train.txt"], links, read_links),
        "structured parquet": (at["t.parquet"], columns_of, read_columns),
        "structured feather": (at["t.feather"], columns_of, read_columns),
        "structured npz": (at["m.npz"], matrix, read_matrix),
        "structured frame": (at["frame"], any_seed, read_frames),
    }
