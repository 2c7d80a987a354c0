"""No row vanishes: rows of the file = events + dropped, for generated files of every format."""

import bz2
import gzip
import io
import json
import lzma
import zipfile
from unittest.mock import patch

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minivae.data import columnar
from minivae.data.read_interactions import read_interactions
from minivae.errors import InputError

text = st.text(st.sampled_from('ab"7 ,;:é'), min_size=1, max_size=4).map(str.strip).filter(bool)
rows = st.lists(st.tuples(text, text, st.integers(-1, 5)), min_size=1, max_size=25)


def doors(folder, table):
    """The table in every format that can hold it, as a file or in memory, by name."""
    csv, records = table.write_csv().encode(), table.to_dicts()
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("t.csv", csv)
    tabs = table.write_csv(separator="\t", quote_style="never", include_header=False)
    files = {
        "t.csv": csv,
        "quoted.csv": table.write_csv(quote_style="always").encode(),
        "crlf.csv": table.write_csv(line_terminator="\r\n").encode(),
        "mark.csv": b"\xef\xbb\xbf" + csv,
        "semicolon.csv": table.write_csv(separator=";").encode(),
        "t.tsv": f"user\titem\trating\n{tabs}".encode(),
        "t.inter": f"user:token\titem:token\trating:float\n{tabs}".encode(),
        "t.csv.gz": gzip.compress(csv),
        "two.csv.gz": gzip.compress(csv[:9]) + gzip.compress(csv[9:]),
        "t.csv.bz2": bz2.compress(csv),
        "t.csv.xz": lzma.compress(csv),
        "t.csv.zip": zipped.getvalue(),
        "t.jsonl": "".join(json.dumps(r) + "\n" for r in records).encode(),
        "t.jsonl.gz": gzip.compress("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records).encode()),
        "list.json": json.dumps(records).encode(),
    }
    if not any(":" in field for row in table.rows() for field in row[:2]):
        files["t.dat"] = f"user\titem\trating\n{tabs}".replace("\t", "::").encode()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    table.write_parquet(folder / "t.parquet")
    table.write_ipc(folder / "t.feather")
    pandas = pd.DataFrame({name: table[name].to_list() for name in table.columns}, index=range(7, 7 + table.height))
    frames = {
        "polars": table,
        "polars, lazy": table.lazy(),
        "polars, categories": table.with_columns(pl.col("item").cast(pl.Categorical)),
        "pandas": pandas,
        "pandas, categories": pandas.astype({"user": "category"}),
    }
    return {path.name: path for path in sorted(folder.iterdir())} | frames


def account(source, expected_rows, expected_low, name=""):
    """The reading of a table, held against what was written."""
    reading = read_interactions(source, rating="rating", min_rating=3).reading
    assert reading.rows == expected_rows, name
    assert reading.rows == reading.events + sum(reading.dropped.values()), name
    assert reading.dropped["rating below 3"] == expected_low, name
    return reading


@settings(max_examples=25, deadline=None)
@given(rows)
def test_rows_in_are_events_and_dropped(tmp_path_factory, written):
    table = pl.DataFrame([*written, ("u", "i", 5)], schema=["user", "item", "rating"], orient="row")
    low = int((table["rating"] < 3).sum())
    liked = {(u, i) for u, i, r in table.rows() if r >= 3}
    with patch.object(columnar, "check_in_child"):
        for name, source in doors(tmp_path_factory.mktemp("files"), table).items():
            reading = account(source, table.height, low, name)
            assert reading.dropped["repeated pair"] == table.height - low - reading.events, name
            assert reading.events == len(liked), name


@settings(max_examples=40, deadline=None)
@given(
    hnp.arrays(np.int8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=7), elements=st.integers(0, 5)),
    st.sampled_from(["csr", "csc", "coo", "bsr", "dia", "lil"]),
)
def test_entries_of_a_matrix(tmp_path_factory, dense, form):
    path = tmp_path_factory.mktemp("matrix") / "m.npz"
    matrix = sp.coo_matrix(dense)
    sources = [matrix.asformat(form)]
    if form != "lil":  # SciPy writes it to no file
        sp.save_npz(path, sources[0])
        sources.append(path)
    for source in sources:
        if not (dense >= 3).any():
            with pytest.raises(InputError, match=r"every entry is zero|none of the"):
                read_interactions(source, min_rating=3)
            continue
        reading = account(source, np.count_nonzero(dense), ((dense > 0) & (dense < 3)).sum(), form)
        assert reading.events == (dense >= 3).sum()


def test_the_check_sees_a_row_that_vanishes(tmp_path):
    """Broken twin: what polars alone makes of a name that begins with a quotation mark."""
    path = tmp_path / "t.tsv"
    path.write_text('user\titem\trating\n1\t"a\t5\n2\tb\t5\n3\tc"\t5\n')
    account(path, 3, 0, path.name)
    lost = pl.read_csv(path, separator="\t", infer_schema=False)
    assert lost.height < 3


@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from('ab12,"\n\t;: '), max_size=60))
def test_any_text_is_accounted_for_or_refused(tmp_path_factory, body):
    """Physical lines are rows or other lines, unless a quoted field goes over several of them."""
    path = tmp_path_factory.mktemp("any") / "t.txt"
    path.write_text("user,item\n" + body, encoding="utf-8")
    try:
        reading = read_interactions(path).reading
    except InputError as e:
        assert "\n" not in str(e)  # noqa: PT017 (only some examples raise)
        return
    assert reading.rows == reading.events + sum(reading.dropped.values())
    if '"' not in body:
        whole = ("user,item\n" + body).split("\n")
        lines = len(whole) - (whole[-1] == "")
        assert lines == reading.rows + sum(reading.other_lines.values())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 9), max_size=6), min_size=1, max_size=12))
def test_adjacency_text(tmp_path_factory, items):
    path = tmp_path_factory.mktemp("adjacency") / "train.txt"
    path.write_text("".join(f"{u} {' '.join(map(str, of))}\n" for u, of in enumerate(items)))
    pairs = {(u, i) for u, of in enumerate(items) for i in of}
    if not pairs:
        with pytest.raises(InputError, match="no rows"):
            read_interactions(path, adjacency=True)
        return
    data = read_interactions(path, adjacency=True)
    assert data.reading.rows == sum(map(len, items))
    assert data.n_events == len(pairs)
    assert data.reading.other_lines["users without items"] == sum(not of for of in items)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["row", "quoted", "# a", "#b,c", '% "d, e', "#"]), min_size=1, max_size=14),
    st.booleans(),
    st.sampled_from(["\n", "\r\n"]),
)
def test_comments_between_rows_are_left_out_and_counted(tmp_path_factory, kinds, header, end):
    """The rows are those of the file without them; every line keeps its number."""
    path = tmp_path_factory.mktemp("comments") / "t.csv"
    lines = ["user,item,title"] if header else []
    rows, at = [("u", "i")], [len(lines) + 1]
    lines.append("u,i,t")
    for k, kind in enumerate(kinds):
        if kind in ("row", "quoted"):
            rows.append((f"u{k}", f"i{k}"))
            at.append(len(lines) + 1)
            lines += [f"u{k},i{k},t"] if kind == "row" else [f'u{k},i{k},"a', '# no comment"']
        else:
            lines.append(kind)
    columns = {} if header else {"user": 0, "item": 1, "header": False}
    path.write_bytes(end.join([*lines, ""]).encode())
    data = read_interactions(path, comments=True, **columns)
    assert data.reading is not None
    assert [(data.user_labels[u], data.item_labels[i]) for u, i in zip(data.user, data.item, strict=True)] == rows
    assert data.reading.other_lines["comment lines"] == sum(kind[0] in "#%" for kind in kinds)
    place = lines[at[-1] - 1]
    path.write_bytes(end.join([*lines[: at[-1] - 1], "," + place.partition(",")[2], *lines[at[-1] :], ""]).encode())
    with pytest.raises(InputError, match=rf"line {at[-1]}\b.*|no rows"):
        read_interactions(path, comments=True, **columns)
