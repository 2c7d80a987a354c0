"""Shapes of files that people have: what is read of them, or with which sentence they are refused.

    python -m tests.data.shapes > docs/guides/file-shapes.md

The tests read each of them (`test_shapes.py`), and the page is made of the same list.
"""

import bz2
import gzip
import io
import json
import lzma
import os
import re
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import scipy.sparse as sp

from minivae.data.interactions import Interactions
from minivae.data.read_interactions import read_interactions
from minivae.errors import InputError, at_shell

PAIRS = [(1, "a"), (1, "b"), (2, "a"), (3, "c"), (3, "a")]
CSV = "user,item\n" + "".join(f"{u},{i}\n" for u, i in PAIRS)
TABLE = pl.DataFrame(PAIRS, schema=["user", "item"], orient="row")


def zipped(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as z:
        for name, text in members.items():
            z.writestr(name.replace("__", "."), text)
    return file.getvalue()


def lines(separator, header=None, end="\n"):
    rows = [*([header] if header else []), *([str(u), i] for u, i in PAIRS)]
    return "".join(separator.join(row) + end for row in rows)


def matrix():
    file = io.BytesIO()
    sp.save_npz(file, sp.csr_matrix([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]))
    return file.getvalue()


JSON = "".join(json.dumps({"user": u, "item": i, "text": "x, y"}) + "\n" for u, i in PAIRS)
READ = {  # name of the file, content, arguments
    "CSV": ("t.csv", CSV, {}),
    "CSV, no header, positions": ("t.csv", lines(","), {"user": 0, "item": 1}),
    "CSV, text alone, told that there is no header": (
        "t.csv",
        lines(","),
        {"user": 0, "item": 1, "header": False},
    ),
    "CSV, a byte order mark": ("t.csv", b"\xef\xbb\xbf" + CSV.encode(), {}),
    "CSV, CRLF": ("t.csv", CSV.replace("\n", "\r\n"), {}),
    "CSV, CRLF and LF mixed": ("t.csv", CSV.replace("\n", "\r\n", 2), {}),
    "CSV, CR alone, as old Macs": ("t.csv", CSV.replace("\n", "\r"), {}),
    "CSV, every field in quotes": ("t.csv", re.sub(r"[^,\n]+", r'"\g<0>"', CSV), {}),
    "CSV, a quoted field over two lines": (
        "t.csv",
        'user,text,item\n1,"so,\nso",a\n1,x,b\n2,x,a\n3,"say ""hi""",c\n3,y,a\n',
        {},
    ),
    "CSV, a mark of inches in a field": ("t.csv", 'user,t,item\n1,7" single,a\n1,x,b\n2,x,a\n3,x,c\n3,x,a\n', {}),
    "CSV, blank lines at the end": ("t.csv", CSV + "\n\n\n", {}),
    "CSV, no line feed at the end": ("t.csv", CSV.rstrip(), {}),
    "CSV, header repeated by joining files": ("t.csv", CSV[:18] + "user,item\n" + CSV[18:], {}),
    "CSV after Excel's sep= line": ("t.csv", "sep=;\n" + lines(";", ["user", "item"]), {}),
    "CSV after comments": ("t.csv", "# made by X, on Monday, in May\n# and so on\n" + CSV, {}),
    "CSV, its header behind a per cent sign": ("t.csv", "% " + CSV, {}),
    "CSV after blank lines": ("t.csv", "\n\n" + CSV, {}),
    "CSV with a heading in a quoted field": (
        "t.csv",
        'user,t,item\n1,"so\n# so",a\n1,x,b\n2,x,a\n3,x,c\n3,y,a\n',
        {},
    ),
    "bars, two of them": ("t.txt", lines("||", ["user", "item"]), {}),
    "Hive, separated by the character 1": ("t.txt", lines("\x01", ["user", "item"]), {}),
    "CSV in a zip of a Mac": ("t.zip", zipped(t__csv=CSV, **{"._t__csv": b"x"}), {}),
    "semicolons": ("t.csv", lines(";", ["user", "item"]), {}),
    "bars": ("t.txt", lines("|", ["user", "item"]), {}),
    "TSV": ("t.tsv", lines("\t", ["user", "item"]), {}),
    "TSV, names with quotation marks": (
        "t.tsv",
        'u1\tm1\t"Heroes\n' * 1 + 'u2\tm2\tb\nu3\tm1\t"Awaken, My Love!\n',
        {"user": 0, "item": 1, "header": False, "n": 3},
    ),
    "MovieLens, two colons": ("ratings.dat", lines("::"), {"user": 0, "item": 1}),
    "KONECT, blanks and per cent": (
        "out.x",
        "% bip unweighted\n% 5 3 3\n1 4\n1 5\n2 4\n",
        {"user": 0, "item": 1, "n": 3},
    ),
    "adjacency text": ("train.txt", "0 5 6 7\n1 5\n2 6 7 \n", {"user": 0, "item": 1, "n": 6}),
    "rows that begin with the largest labels": (
        "t.txt",
        "3 4\n3 1\n2 2\n2 3\n1 4\n1 1\n",
        {"user": 0, "item": 1, "n": 6},
    ),
    "labels with characters of no width around": ("t.csv", CSV.replace("1,", "\u200b1,").replace(",c", ",\ufeffc"), {}),
    "a header with a character of no width": ("t.csv", "\u200b" + CSV, {}),
    "NA among words": ("t.csv", CSV.replace("c", "NA"), {}),
    "adjacency text, the first user alone": ("train.txt", "0\n1 5 6\n2 6 7 \n", {"user": 0, "item": 1, "n": 4}),
    "five columns of numbers by position": (
        "t.csv",
        "33,1,5,1,7\n33,2,4,2,7\n55,1,3,3,7\n",
        {"user": 0, "item": 1, "header": False, "n": 3},
    ),
    "adjacency text, told": ("train.txt", "0 5 6\n1 5 7\n", {"adjacency": True, "n": 4}),
    "RecBole": ("t.inter", lines("\t", ["user_id:token", "item_id:token"]), {}),
    "JSON lines": ("t.jsonl", JSON, {}),
    "JSON lines, gzip": ("t.json.gz", gzip.compress(JSON.encode()), {}),
    "JSON list": ("t.json", json.dumps([{"user": u, "item": i} for u, i in PAIRS]), {}),
    "CSV, gzip": ("t.csv.gz", gzip.compress(CSV.encode()), {}),
    "CSV, bzip2": ("t.csv.bz2", bz2.compress(CSV.encode()), {}),
    "CSV, xz": ("t.csv.xz", lzma.compress(CSV.encode()), {}),
    "CSV in a zip": ("t.zip", zipped(t__csv=CSV, README=b"x"), {}),
    "files with byte order marks joined": (
        "t.csv",
        ("\ufeff" + CSV[:18] + "\ufeffuser,item\n" + CSV[18:]).encode(),
        {},
    ),
    "two byte order marks": ("t.csv", ("\ufeff\ufeff" + CSV).encode(), {}),
    "CSV, blanks before quotation marks": ("t.csv", re.sub(r",([a-z]+)", r', "\1"', CSV), {}),
    "TSV, every label in quotation marks": ("t.tsv", 'user\titem\n1\t"a"\n1\t"b"\n2\t"a"\n3\t"c"\n3\t"a"\n', {}),
    "JSON list after blanks": ("t.json", "\t\n " + json.dumps([{"user": u, "item": i} for u, i in PAIRS]), {}),
    "JSON list in a .txt": ("t.txt", json.dumps([{"user": u, "item": i} for u, i in PAIRS]), {}),
    "JSON, true and false as ratings": (
        "t.jsonl",
        JSON.replace("}", ', "liked": true}'),
        {"rating": "liked", "min_rating": 1},
    ),
    "CSV, True and False as ratings": (
        "t.csv",
        "user,item,liked\n" + "".join(f"{u},{i},True\n" for u, i in PAIRS),
        {"rating": "liked", "min_rating": 1},
    ),
    "semicolons and decimal commas": (
        "t.csv",
        "user;item;rating\n" + "".join(f"{u};{i};4,5\n" for u, i in PAIRS),
        {"rating": "rating", "min_rating": 4.5},
    ),
    "adjacency text with tabs, told": ("t.txt", "0\t5\t6\n1\t5\n", {"adjacency": True, "n": 3}),
    "adjacency text with tabs": ("t.txt", "0\t5\t6\t7\t8\n1\t5\t6\n", {"user": 0, "item": 1, "n": 6}),
    "adjacency text with commas, told": ("t.txt", "0,5,6\n1,5\n", {"adjacency": True, "n": 3}),
    "a number of users, or one without items, above lists": (
        "train.txt",
        "3\n0 1 2\n1 5 6 7\n2 4 8\n",
        {"user": 0, "item": 1, "n": 7},
    ),
    "labels like comments, told": ("t.csv", CSV + "# hash,a\n", {"comments": False, "n": 6}),
    "comments between rows, told": ("t.csv", CSV + "# later,\n#4,b\n4,a\n", {"comments": True, "n": 6}),
    "a short table of numbers by position": (
        "t.csv",
        "".join(f"{u},{i},{(u + i) % 3},0,{u}\n" for u in range(4) for i in range(4)),
        {"user": 0, "item": 1, "header": False, "n": 16},
    ),
    "cp1252, told": ("t.csv", CSV.replace("c", "é").encode("cp1252"), {"encoding": "cp1252"}),
    "Latin-1, told": ("t.csv", CSV.replace("c", "é").encode("latin-1"), {"encoding": "latin-1"}),
    "UTF-16, told": ("t.csv", CSV.encode("utf-16"), {"encoding": "utf-16"}),
    "Parquet": ("t.parquet", pl.DataFrame.write_parquet, {}),
    "Parquet by its first bytes": ("t.bin", pl.DataFrame.write_parquet, {}),
    "Feather": ("t.feather", pl.DataFrame.write_ipc, {}),
    "a sparse matrix of SciPy": ("m.npz", matrix(), {"n": 3}),
}
REFUSED = {  # … and what the sentence must say
    "a comma in a title": (
        "t.csv",
        "user,title,item\n1,A,5\n1,B, Inc.,6\n",
        {},
        "line 3 has 4 fields but line 1 has 3",
    ),
    "a short row": ("t.csv", CSV + "9\n", {}, "line 7 has 1 field but line 1 has 2"),
    "a long and a short row": ("t.csv", "user,item\n1,2,3\n1\n", {}, "line 2 has 3 fields"),
    "a comment at the end": (
        "t.csv",
        CSV + "# the end\n",
        {},
        "line 7 looks like a comment: '# the end'; say comments=True to",
    ),
    "a comment between rows": ("t.csv", CSV + "# more, later\n4,a\n", {}, "or comments=False if they are rows"),
    "a comment among quoted lines": (
        "t.csv",
        'user,t,item\n1,"so,\nso",a\n# more, and,more\n2,x,b\n',
        {},
        "line 4 looks like a comment",
    ),
    "True and False as users": ("t.csv", "user,item\nTrue,a\nFalse,b\n", {}, "line 3: 'False' is no label"),
    "another separator": ("t.txt", CSV.replace(",", "^"), {}, "is separator '^'?"),
    "packed twice": ("t.csv.gz", gzip.compress(gzip.compress(CSV.encode())), {}, "is packed twice; unpack it once"),
    "UTF-16 without its mark": ("t.csv", CSV.encode("utf-16-le"), {}, "or say encoding='utf-16-le'"),
    "JSON, lists of items": (
        "t.jsonl",
        '{"user": 1, "item": ["a", "b"]}\n{"user": 2, "item": ["b"]}\n',
        {},
        "not a number or text; write one object a line, one for each user and item",
    ),
    "JSON, objects over several lines": (
        "t.json",
        '{\n"user": 1,\n"item": "a"\n}\n',
        {},
        "write each object on one line",
    ),
    "a quotation mark that opens alone": ("t.csv", 'user,t,item\n1,"x,2\n1,y,3\n2,z,3\n', {}, "line 2"),
    "a quotation mark that swallows a row": (
        "t.csv",
        'user,t,item\n1,x,2\n1,"y,2\n1,z,2\n1,w",3\n',
        {},
        "line 3: a quotation mark opens a field that holds the row '1,z,2'",
    ),
    "a quotation mark that swallows the one row of a user": (
        "t.csv",
        'user,item,t\n1,a,x\n1,b,"y\n2,a,z\n3,c,w"\n',
        {},
        "line 3: a quotation mark opens a field that holds the row '2,a,z'",
    ),
    "a key twice in an object": (
        "t.jsonl",
        '{"user": 1, "item": 2, "item": 3}\n',
        {},
        "the key 'item' stands in it twice",
    ),
    "half a character": ("t.jsonl", '{"user": 1, "item": "\\ud800"}\n', {}, "holds half a character"),
    "one object for the whole table": (
        "t.json",
        '{"user": {"0": 1}, "item": {"0": 2}}',
        {},
        "one object for the whole",
    ),
    "a user with two lines, or a row cut short": (
        "t.txt",
        "0 5 3\n0 6\n1 5 4\n",
        {"user": 0, "item": 1},
        "several lines of user 0: say adjacency=True",
    ),
    "a number of items in place of a user": (
        "t.txt",
        "2 5 6\n1 5\n3 5 6 7\n",
        {"adjacency": True},
        "begins with the number of its items",
    ),
    "numbers of users and items before lists": (
        "t.txt",
        "3 9\n0 1 2\n1 5 6 7\n2 4 8\n",
        {"user": 0, "item": 1},
        "line 1 holds 3 and 9, which look like the numbers of users and items: remove it",
    ),
    "numbers of users, items and pairs before lists": (
        "t.txt",
        "3 9 7\n0 1 2\n1 5 6 7\n2 4 8\n",
        {"adjacency": True},
        "line 1 holds 3 and 9 and 7",
    ),
    "numbers of users and items before rows": (
        "t.txt",
        "3 4\n1 1\n1 4\n2 2\n3 4\n",
        {"user": 0, "item": 1},
        "line 1 holds 3 and 4, which look like the numbers of users and items",
    ),
    "numbers of users, items and rows before rows": (
        "t.csv",
        "3,4,4\n1,1,5\n1,4,2\n2,2,3\n3,4,1\n",
        {"user": 0, "item": 1, "header": False},
        "line 1 holds 3 and 4 and 4",
    ),
    "lists, the first of them empty": (
        "t.txt",
        "0\n1\t5\n",
        {"user": 0, "item": 1, "separator": "\t"},
        "if each line is a user and its items, say adjacency=True",
    ),
    "a grid": (
        "t.csv",
        "user,i1,i2,i3,i4\nann,5,,3,\nbob,,4,1,2\ncat,1,,,5\n",
        {"user": 0, "item": 1},
        "looks like a grid of users and items, 5 columns of numbers with another user in each row",
    ),
    "a grid without labels": (
        "t.csv",
        "0,1,1,0,1\n1,0,0,1,1\n1,1,0,0,0\n",
        {"user": 0, "item": 1, "header": False},
        "looks like a grid of users and items, 5 columns of numbers with no labels",
    ),
    "a second header": (
        "t.csv",
        "user,item\nint,id\n1,5\n2,6\n3,7\n4,8\n",
        {},
        "line 2 looks like a second header: 'int' and 'id' stand above numbers alone; remove that row",
    ),
    "items with weights": (
        "t.txt",
        "0 18:1 28:1 3:1 4:1\n1 18:1 2:1 5:1 6:1\n",
        {"user": 0, "item": 1},
        "fields such as '18:1' are items with weights",
    ),
    "lists of words, equally long": (
        "t.txt",
        "0 i1 i2 i3 i4\n1 i2 i3 i5 i6\n",
        {"user": 0, "item": 1},
        "has 5 fields on every line: say adjacency=True",
    ),
    "items with weights, few": (
        "t.txt",
        "1 3:1 7:1\n0 2:1 3:1\n",
        {"user": 0, "item": 1},
        "fields such as '3:1' are items with weights, as LibSVM writes them",
    ),
    "lists as Python writes them": (
        "t.csv",
        'user,item\n1,"[1, 2]"\n2,"[3]"\n',
        {},
        "line 2: item '[1, 2]' looks like several values in one field",
    ),
    "lists between bars": ("t.csv", "user,item\n1,1|2|3\n2,3|4\n", {}, "line 2: item '1|2|3' looks like several"),
    "thousands separators": ("t.csv", 'user,item\n"1,000",a\n900,b\n', {}, "line 2: user '1,000' looks like several"),
    "numbers shortened by Excel": ("t.csv", "user,item\n1.23457E+12,a\n", {}, "a long number as Excel shows it"),
    "NA of R among numbers": ("t.csv", "user,item\n1,a\nNA,b\n", {}, "line 3: user 'NA' stands among numbers"),
    "\\N of MySQL": ("t.tsv", "user\titem\n1\ta\n\\N\tb\n", {}, "(line 3) is empty or says that it is missing"),
    "an error of Excel": ("t.csv", CSV + "4,#N/A\n", {}, "(line 7) is empty or says that it is missing"),
    "a table of Markdown": ("t.md", "| user | item |\n|---|---|\n| 1 | a |\n", {}, "line 2 is a rule drawn"),
    "a table of psql": (
        "t.txt",
        " user | item \n------+------\n    1 | a\n",
        {},
        "line 2 is a rule drawn between header and rows",
    ),
    "names in capitals": ("t.csv", CSV.replace("user", "USER"), {}, "did you mean 'USER'?"),
    "a file of R": ("t.rda", b"RDX3\nX\n" + bytes(60), {}, "a file of R; write the table there with write.csv"),
    "packed with 7-Zip": ("t.7z", b"7z\xbc\xaf\x27\x1c" + bytes(60), {}, "packed with 7-Zip; unpack it first"),
    "a label that cannot be seen": ("t.csv", CSV + "4,\u200b\n", {}, "(line 7) is empty"),
    "a control character of Windows in a label": ("t.csv", CSV + "4,a\x93b\n", {}, "contains control characters"),
    "a line separator of Unicode in a label": ("t.csv", CSV + "4,a\u2028b\n", {}, "contains control characters"),
    "adjacency text of words": ("t.txt", "u0 a b c\nu1 a\n", {"user": 0, "item": 1}, "or adjacency=True"),
    "text of Windows": ("t.csv", CSV + "4,\u201ca\u201d\n", {"encoding": "ascii"}, "is not ascii"),
    "text of Windows, not told": ("t.csv", (CSV + "4,\u201ca\u201d\n").encode("cp1252"), {}, "say encoding='cp1252'"),
    "text of Windows, called Latin-1": (
        "t.csv",
        (CSV + "4,\u201ca\u201d\n").encode("cp1252"),
        {"encoding": "latin-1"},
        "line 7: byte 0x93 is a control character in Latin-1; say encoding='cp1252'",
    ),
    "no header and names": ("t.csv", lines(","), {}, "if line 1 is a row, say header=False and user=0 item=1"),
    "another separator than told": ("t.csv", CSV, {"separator": ";"}, "is separator ','?"),
    "a threshold that every rating reaches": (
        "t.csv",
        "user,item,r\n1,2,1\n1,3,0\n",
        {"rating": "r", "min_rating": 0},
        "every row would be a like",
    ),
    "a position before the first": ("t.csv", CSV, {"user": "-1"}, "has no column '-1'"),
    "an array of NumPy": ("t.npy", b"\x93NUMPY\x01\0" + b"\0" * 80, {}, "an array of NumPy"),
    "an empty zip": ("t.zip", zipped(), {}, "an empty zip archive"),
    "text after a quoted field": ("t.csv", 'user,item\n"1"x,2\n', {}, "line 2"),
    "a zero byte": ("t.csv", CSV + "4,a\0\n", {}, "line 7 holds a zero byte"),
    "a lone carriage return": ("t.csv", CSV + "4,a\r5,b\n", {}, "line 7 holds a carriage return"),
    "Latin-1 far down": ("t.csv", (CSV + "4,é\n").encode("latin-1"), {}, "line 7: byte 0xe9 is not UTF-8"),
    "UTF-16": ("t.csv", CSV.encode("utf-16"), {}, "say encoding='utf-16'"),
    "another encoding than told": ("t.csv", CSV + "4,é\n", {"encoding": "ascii"}, "line 7: byte 0xc3 is not ascii"),
    "an unknown encoding": ("t.csv", CSV, {"encoding": "latin-l"}, "is unknown"),
    "text alone, positions": ("t.csv", "u1,a\nu2,b\n", {"user": 0, "item": 1}, "say header=True or header=False"),
    "numbers that may be columns or items": (
        "t.txt",
        "1 2 3 4 5\n2 3 4 5 6\n",
        {"user": 0, "item": 1},
        "say adjacency=True",
    ),
    "dicts of Python, as Steam's": ("t.json", "{'user': 1, 'item': u'a'}\n", {}, "is a dict of Python"),
    "JSON cut short": ("t.jsonl", JSON + '{"user": 1, "it', {}, "line 6"),
    "JSON in layers": ("t.jsonl", '{"user": {"id": 1}, "item": 2}\n', {}, "line 1: 'user' is {\"id\": 1}"),
    "JSON without a key": ("t.jsonl", JSON + '{"user": 1}\n', {}, "line 6 is empty"),
    "a spreadsheet": ("t.xlsx", zipped(**{"[Content_Types]__xml": "x"}), {}, "a spreadsheet; save it as CSV"),
    "an old spreadsheet": ("t.xls", b"\xd0\xcf\x11\xe0" + b"\0" * 99, {}, "a spreadsheet of Excel"),
    "two tables in a zip": ("t.zip", zipped(a__csv=CSV, b__csv=CSV), {}, "unpack it and give the one table"),
    "a pickle": ("t.pkl", b"\x80\x04\x95rest", {}, "a pickle, which could run code"),
    "a web page": ("t.csv", "<!DOCTYPE html><html>404", {}, "a web page"),
    "MatrixMarket": ("t.mtx", "%%MatrixMarket matrix\n3 3 1\n1 1 1\n", {}, "scipy.io.mmread"),
    "zeros among the ratings": ("t.csv", "user,item,r\n1,2,1\n1,3,0\n", {"rating": "r"}, "give min_rating=1"),
    "negative ratings": ("t.csv", "user,item,r\n1,2,5\n1,3,-1\n", {"rating": "r"}, "line 3: a rating of -1"),
    "fractions as labels": ("t.csv", "user,item\n1.5,2\n", {}, "line 2: '1.5' is no label"),
    "digits lost in a float": ("t.csv", "user,item\n1.2345678901234568e+18,2\n", {}, "stored as a float"),
}


LONGEST = 70  # of what is shown of a file
PAGE = """# Shapes of files

What `minivae study --data FILE` and `mv.read_interactions(FILE)` make of {n} small files. `⏎` ends a line, `⇥` is a
tabulator. A file that could be read in two ways, or not without loss, is refused, with a sentence that says where and
what to do. The tests read each of these files (`tests/data/test_shapes.py`), and
`python -m tests.data.shapes` makes this page of the same list.

## Read

Every row of these files is an event; the last column is what the command says about it.

| shape | file | content | flags | said |
| --- | --- | --- | --- | --- |
{read}

## Refused

| shape | file | content | flags | sentence |
| --- | --- | --- | --- | --- |
{refused}
"""


Content = str | bytes | Callable[[pl.DataFrame, Path], object]
"""Of a file; a function writes `TABLE`, later: it starts threads, which those who import this must not have."""


def write(folder: Path, name: str, content: Content) -> Path:
    """The file."""
    path = folder / name
    if callable(content):
        content(TABLE, path)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(name: str, content: Content, arguments: dict) -> Interactions:
    """The file, read in an empty folder by its bare name; arguments but `n` as of `read_interactions`."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            path = write(Path(), name, content)
            with at_shell():
                return read_interactions(path, **{k: v for k, v in arguments.items() if k != "n"})
        finally:
            os.chdir(before)


def cell(text: str, marked: bool = False) -> str:
    """Text in a table of Markdown, as code if it is `marked`."""
    text = text.replace("\n", "⏎").replace("\t", "⇥").replace("\r", "␍")
    if marked:
        return f"`{text.replace('|', chr(92) + '|').replace('`', chr(39))}`" if text else ""
    return re.sub(r"([\\`*_{}\[\]<>|$])", r"\\\1", text)


def content_of(content: Content) -> str:
    """The beginning of a file, if it is text."""
    if callable(content):
        return ""
    try:
        text = content if isinstance(content, str) else content.decode()
    except UnicodeDecodeError:
        return ""
    if not text.replace("\n", "").replace("\t", "").replace("\r", "").isprintable():
        return ""
    return cell(text if len(text) <= LONGEST else text[: LONGEST - 1] + "…", marked=True)


def flags(arguments: dict) -> str:
    """Arguments of Python as flags of the shell."""
    said = []
    for name, value in arguments.items():
        if name != "n":
            word = name.replace("_", "-")
            said.append(f"--{word}" if value is True else f"--no-{word}" if value is False else f"--{word} {value}")
    return cell(" ".join(said), marked=True)


def page() -> str:
    """The page of the guide."""
    rows = {"read": [], "refused": []}
    for shape, (name, content, arguments) in READ.items():
        said = str(read(name, content, arguments).reading)
        rows["read"].append([cell(shape), cell(name, True), content_of(content), flags(arguments), cell(said)])
    for shape, (name, content, arguments, _) in REFUSED.items():
        try:
            read(name, content, arguments)
        except InputError as e:
            said = cell(str(e))
            rows["refused"].append([cell(shape), cell(name, True), content_of(content), flags(arguments), said])
    tables = {k: "\n".join("| " + " | ".join(row) + " |" for row in of) for k, of in rows.items()}
    return PAGE.format(n=len(READ) + len(REFUSED), **tables)


if __name__ == "__main__":
    print(page(), end="")
