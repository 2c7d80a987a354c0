"""Shapes of files that people have: read with every row, or refused with a sentence that says where and what to do."""

import bz2
import gzip
import io
import json
import lzma
import re
import zipfile

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import example, given
from hypothesis import strategies as st

from minivae.data.delimited import first_ragged, skeleton_of
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


def written(method, **options):
    file = io.BytesIO()
    getattr(TABLE, method)(file, **options)
    return file.getvalue()


def lines(separator, header=None, end="\n"):
    rows = [*([header] if header else []), *([str(u), i] for u, i in PAIRS)]
    return "".join(separator.join(row) + end for row in rows)


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
    "cp1252, told": ("t.csv", CSV.replace("c", "é").encode("cp1252"), {"encoding": "cp1252"}),
    "Latin-1, told": ("t.csv", CSV.replace("c", "é").encode("latin-1"), {"encoding": "latin-1"}),
    "UTF-16, told": ("t.csv", CSV.encode("utf-16"), {"encoding": "utf-16"}),
    "Parquet": ("t.parquet", written("write_parquet"), {}),
    "Parquet by its first bytes": ("t.bin", written("write_parquet"), {}),
    "Feather": ("t.feather", written("write_ipc"), {}),
}
REFUSED = {  # … and what the sentence must say
    "a comma in a title": (
        "t.csv",
        "user,title,item\n1,A,5\n1,B, Inc.,6\n",
        {},
        "line 3 has 4 fields but line 1 has 3",
    ),
    "a short row": ("t.csv", CSV + "9\n", {}, "line 7 has 1 fields"),
    "a long and a short row": ("t.csv", "user,item\n1,2,3\n1\n", {}, "line 2 has 3 fields"),
    "a comment at the end": ("t.csv", CSV + "# the end\n", {}, "line 7 has 1 fields"),
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
    "a number of users before lists": (
        "t.txt",
        "3\n0 1 2\n1 5 6 7\n2 4 8\n",
        {"user": 0, "item": 1},
        "line 1 holds 3, which looks like the number of users: remove it",
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


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("shape", READ)
def test_read_with_every_row(tmp_path, shape):
    name, content, arguments = READ[shape]
    arguments = dict(arguments)
    n = arguments.pop("n", len(PAIRS))
    data = read_interactions(write(tmp_path, name, content), **arguments)
    assert data.n_events == n == data.reading.rows
    assert data.reading.rows == data.reading.events + sum(data.reading.dropped.values())
    if n == len(PAIRS):
        got = [
            (int(u), i.replace("é", "c").replace("NA", "c"))
            for u, i in zip(data.user_labels[data.user], data.item_labels[data.item], strict=True)
        ]
        assert got == PAIRS


@pytest.mark.parametrize("shape", REFUSED)
def test_refused_with_place_and_remedy(tmp_path, shape):
    name, content, arguments, sentence = REFUSED[shape]
    path = write(tmp_path, name, content)
    with pytest.raises(InputError, match=re.escape(sentence)) as caught:
        read_interactions(path, **arguments)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 420


@given(k=st.integers(1, 4), others=st.lists(st.lists(st.sampled_from(["a", "bc", '"']), max_size=5), max_size=5))
@example(k=1, others=[["a", "a"]])  # no line is empty, and yet not every line is one field
@example(k=1, others=[[], ["a", "a"]])
def test_the_first_ragged_line_is_the_first_of_another_length(k, others):
    rows = [["a"] * k, *others]
    raw = "".join(",".join(row) + "\n" for row in rows).encode()
    expected = next((at for at, row in enumerate(rows) if max(len(row), k > 1) != k), None)
    assert first_ragged(raw, skeleton_of(raw, ","), ",", k) == expected


def test_advice_speaks_to_shell_or_python(tmp_path):
    path = write(tmp_path, "t.csv", "u1,a\nu2,b\n")
    with pytest.raises(InputError, match="say header=True or header=False"):
        read_interactions(path, 0, 1)
    with at_shell(), pytest.raises(InputError, match="say --header or --no-header"):
        read_interactions(path, 0, 1)
    with at_shell(), pytest.raises(InputError, match="--encoding latin-1"):
        read_interactions(write(tmp_path, "t.csv", CSV.replace("c", "é").encode("latin-1")))


def test_rows_of_a_joined_file_keep_their_line_numbers(tmp_path):
    path = write(tmp_path, "t.csv", "user,item\n1,a\nuser,item\n2,b\n3,nan\n")
    with pytest.raises(InputError, match=re.escape("'nan' (line 5)")):
        read_interactions(path)


@pytest.mark.parametrize("make", [lambda t: t, pl.DataFrame.lazy, lambda t: pd.DataFrame(t.to_dict(as_series=False))])
def test_data_frames(make):
    data = read_interactions(make(TABLE), user="user", item="item", name="mine")
    assert (data.n_events, data.name) == (5, "mine")
    assert str(data.reading).startswith("read 5 rows → 5 events, 3 users, 3 items; dropped nothing")
    with pytest.raises(InputError, match="the data frame has no column 'movie'"):
        read_interactions(make(TABLE), item="movie")


@pytest.mark.parametrize(
    ("thing", "sentence"),
    [
        ({"user": [1], "item": [2]}, "a dict is no table"),
        ([(1, 2)], "Interactions.from_labels"),
        (None, "a NoneType is no table"),
        ("https://example.org/t.csv", "is an address; fetch the file first"),
    ],
)
def test_what_is_no_table_is_said(thing, sentence):
    with pytest.raises(InputError, match=sentence):
        read_interactions(thing)


def test_a_matrix_in_memory_is_read_as_its_file(tmp_path):
    m = sp.coo_matrix(([100, 100, 100, 0, 1], ([0, 0, 0, 1, 2], [1, 1, 1, 0, 2])), shape=(3, 3), dtype=np.int8)
    sp.save_npz(tmp_path / "m.npz", m)
    for door in (m, tmp_path / "m.npz"):
        data = read_interactions(door, min_rating=200)  # in 8 bits 300 would be 44
        assert data.user_labels.tolist() == [0]
        assert data.item_labels.tolist() == [1]
        assert dict(data.reading.other_lines) == {"repeated entries, summed": 2, "entries of zero": 1}
    with pytest.raises(InputError, match="the matrix holds no interaction"):
        read_interactions(sp.csr_matrix((2, 2)))


def test_lines_inside_quoted_fields_are_counted(tmp_path):
    path = write(tmp_path, "t.csv", 'user,text,item\n1,"so,\nso,\nso",a\n2,x,b\n')
    assert read_interactions(path).reading.other_lines["lines inside quoted fields"] == 2


def test_a_line_of_totals_is_named(tmp_path):
    path = write(tmp_path, "t.csv", "user,item\n" + "".join(f"{u},{u % 7}\n" for u in range(150)) + "Total,150\n")
    assert "1 of 151 users is no number, such as 'Total', so all user labels are text" in str(
        read_interactions(path).reading
    )


def test_one_word_among_few_numbers_is_named(tmp_path):
    path = write(tmp_path, "t.csv", "user,item\nguest,a\n1,a\n2,b\n3,a\n4,b\n")
    assert "1 of 5 users is no number, such as 'guest'" in str(read_interactions(path).reading)


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_frames_that_are_grids_are_refused(tmp_path, missing):
    grid = pl.DataFrame({f"i{k}": [5.0, 3.0, missing, 1.0] for k in range(5)})
    named = grid.insert_column(0, pl.Series("user", ["ann", "bob", "cat", "dan"]))
    named.write_parquet(tmp_path / "t.parquet")
    frames = [named, named.to_dict(as_series=False), named.drop("user").to_dict(as_series=False)]
    doors = [frames[0], *map(pd.DataFrame, frames[1:]), tmp_path / "t.parquet"]
    for door in doors:
        with pytest.raises(InputError, match="looks like a grid of users and items"):
            read_interactions(door, user=0, item=1)


def test_a_user_called_minus_one_is_named(tmp_path):
    path = write(tmp_path, "t.csv", "user,item\n1,a\n-1,b\n")
    assert "one user is called -1; if that stands for a missing user, remove its rows" in str(
        read_interactions(path).reading
    )


@pytest.mark.parametrize("make", [lambda t: t, lambda t: pd.DataFrame(t.to_dict(as_series=False))])
def test_a_frame_without_rows_is_refused(make):
    with pytest.raises(InputError, match="the data frame has no rows"):
        read_interactions(make(TABLE.head(0).with_columns(r=pl.lit(1.0))), rating="r", min_rating=3)


@pytest.mark.parametrize("make", [lambda t: t, lambda t: pd.DataFrame(t.to_dict(as_series=False))])
def test_cells_that_are_lists_are_refused(make):
    with pytest.raises(InputError, match="labels must be integers or text"):
        read_interactions(make(pl.DataFrame({"user": [1, 2], "item": [[1, 2], [3]]})))


def test_titles_of_a_second_file(tmp_path):
    path = write(tmp_path, "t.csv", CSV)
    titles = write(tmp_path, "titles.csv", 'item,title\na,"Alien, the first"\nb,Brazil\n')
    data = read_interactions(path, title_file=titles)
    assert data.item_titles.tolist() == ["Alien, the first", "Brazil", "c"]
    assert "titles of 2 of 3 items" in str(data.reading)
    bare = write(tmp_path, "movies.dat", "a::Alien\nb::Brazil\nc::Casablanca\n")
    assert read_interactions(path, title_file=bare).item_titles.tolist() == ["Alien", "Brazil", "Casablanca"]


@pytest.mark.parametrize(
    ("when", "seconds"),
    [
        (["5", "7.5"], [5.0, 7.5]),
        (["1970-01-01 00:00:10", "1970-01-02 00:00:00"], [10.0, 86400.0]),
        (["1970-01-02", "1970-01-01"], [86400.0, 0.0]),
        (["1970-01-01T00:00:10Z", "1970-01-01T00:01:00Z"], [10.0, 60.0]),
    ],
)
def test_times(tmp_path, when, seconds):
    path = write(tmp_path, "t.csv", "user,item,at\n" + "".join(f"1,{k},{t}\n" for k, t in enumerate(when)))
    assert read_interactions(path, time="at").time.tolist() == seconds
    frame = pd.DataFrame({"user": [1, 1], "item": [0, 1], "at": pd.to_datetime(np.array(seconds), unit="s")})
    assert read_interactions(frame, time="at").time.tolist() == seconds
    for zoned in (frame["at"].dt.tz_localize("UTC"), frame["at"].dt.to_pydatetime().astype(object)):
        assert read_interactions(frame.assign(at=zoned), time="at").time.tolist() == seconds
    frame.loc[1, "at"] = pd.NaT
    with pytest.raises(InputError, match="column 'at', row 2 is empty"):
        read_interactions(frame, time="at")


def test_a_time_that_is_none_is_named(tmp_path):
    path = write(tmp_path, "t.csv", "user,item,at\n1,2,1970-01-01\n1,3,soon\n")
    with pytest.raises(InputError, match=re.escape("line 3: 'soon' is no time")):
        read_interactions(path, time="at")


def test_negative_entries_of_a_matrix_are_no_likes(tmp_path):
    sp.save_npz(tmp_path / "m.npz", sp.csr_matrix([[1.0, -1.0], [0.0, 2.0]]))
    with pytest.raises(InputError, match="no sign of liking"):
        read_interactions(tmp_path / "m.npz")
    with pytest.raises(InputError, match="no sign of liking"):
        read_interactions(tmp_path / "m.npz", min_rating=-5)
    assert read_interactions(tmp_path / "m.npz", min_rating=1).n_events == 2


def test_a_damaged_zip_is_refused(tmp_path):
    """Found by tests/faults/fuzz.py: a directory that points before the file makes zipfile seek there."""
    sound = zipped(t__csv=CSV)
    for at in range(len(sound)):
        path = write(tmp_path, "t.zip", sound[:at] + bytes([sound[at] ^ 0x80]) + sound[at + 1 :])
        try:
            read_interactions(path)
        except InputError as e:
            assert str(path) in str(e)  # noqa: PT017 (some changes do no harm)
