"""Events from tables of every format, and every way in which a table can be wrong."""

import gzip
import re
import zipfile

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from minivae.data.codes import binary_csr, order_of_appearance, rank
from minivae.data.interactions import Interactions, first_of_pairs
from minivae.data.read_interactions import read_interactions
from minivae.errors import InputError


def check_events(data, rows):
    """`data` holds the distinct pairs of `rows` in their order, users sorted, items by first appearance."""
    pairs = list(dict.fromkeys(rows))
    got = list(zip(data.user_labels[data.user].tolist(), data.item_labels[data.item].tolist(), strict=True))
    assert got == pairs
    assert data.user_labels.tolist() == sorted({u for u, _ in pairs})
    assert data.item_labels.tolist() == list(dict.fromkeys(i for _, i in pairs))
    dense = np.zeros((data.n_users, data.n_items))
    for u, i in pairs:
        dense[data.user_labels.tolist().index(u), data.item_labels.tolist().index(i)] = 1
    np.testing.assert_array_equal(data.matrix.toarray(), dense)
    assert (data.user.dtype, data.item.dtype, data.matrix.dtype) == (np.int32, np.int32, np.float32)


labels = st.one_of(
    st.lists(st.tuples(st.integers(-(10**17), 10**17), st.integers(0, 30)), min_size=1, max_size=40),
    st.lists(
        st.tuples(st.sampled_from(["ann", "Bob", "007", "7", 'a"b', "x,y", "é☃", "a;b"]), st.sampled_from("abcde")),
        min_size=1,
        max_size=40,
    ),
)


@given(labels)
def test_labels_and_order_are_kept(rows):
    rows = [*rows, rows[0]]
    check_events(Interactions.from_labels(*zip(*rows, strict=True)), rows)


@settings(max_examples=12)
@given(rows=labels, ratings=st.lists(st.sampled_from([1.0, 2.5, 4.0, 5.0]), min_size=1))
def test_every_format_gives_the_same_events(tmp_path_factory, rows, ratings):
    folder = tmp_path_factory.mktemp("tables")
    ratings = (ratings * 50)[: len(rows)]
    ratings[0] = 4.0
    user, item = zip(*rows, strict=True)
    table = pl.DataFrame({"when": range(len(rows)), "item": item, "user": user, "rating": ratings})
    table.write_csv(folder / "t.csv")
    table.write_csv(folder / "t.tsv", separator="\t", quote_style="never")
    table.write_parquet(folder / "t.parquet")
    (folder / "t.csv.gz").write_bytes(gzip.compress((folder / "t.csv").read_bytes()))
    (folder / "crlf.csv").write_bytes(table.write_csv(line_terminator="\r\n").encode())
    (folder / "bom.csv").write_bytes(b"\xef\xbb\xbf" + table.write_csv().encode() + b"\n\n")
    table.with_columns(pl.col("user").cast(pl.String).cast(pl.Categorical)).write_parquet(folder / "c.pq")
    kept = [row for row, r in zip(rows, ratings, strict=True) if r >= 4]
    for path in sorted(folder.iterdir()):
        check_events(read_interactions(path, rating="rating", min_rating=4), kept)
        check_events(read_interactions(path, 2, 1, 3, 4), kept)
        check_events(read_interactions(path, "user", -3), rows)


def test_the_check_itself_rejects_a_wrong_order():
    rows = [("b", 2), ("a", 1), ("b", 1)]
    data = Interactions.from_labels(*zip(*rows, strict=True))
    check_events(data, rows)
    backwards = Interactions(data.user[::-1], data.item[::-1], data.user_labels, data.item_labels)
    relabelled = Interactions(data.user, data.item, data.user_labels, data.item_labels[::-1])
    for broken in (backwards, relabelled):
        with pytest.raises(AssertionError):
            check_events(broken, rows)


def test_numbers_sort_as_numbers_and_codes_with_zeros_stay_text(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("user,item\n10,007\n9,7\n010,07\n")
    assert read_interactions(table).item_labels.tolist() == ["007", "7", "07"]
    assert read_interactions(table).user_labels.tolist() == ["010", "10", "9"]
    table.write_text("user,item\n10, 8 \n9,7\n-3,-0\n99999999999999999999,7\n")
    data = read_interactions(table)
    assert data.item_labels.tolist() == ["8", "7", "-0"]
    assert data.user_labels.tolist() == ["-3", "10", "9", "99999999999999999999"]
    table.write_text("user,item\n10,8\n9,7\n-3,7\n")
    assert read_interactions(table).user_labels.tolist() == [-3, 9, 10]


def test_quoted_fields_titles_and_name(tmp_path):
    table = tmp_path / "my films.v2.csv"
    table.write_text('user,item,title\n1,5,"Monsters, Inc. (2001)"\n1,6,"""Crocodile""\nDundee"\n2,5,other\n2,7,\n')
    data = read_interactions(table, title="title")
    assert data.item_titles.tolist() == ["Monsters, Inc. (2001)", '"Crocodile"\nDundee', "7"]
    assert data.name == "my films"
    assert "2 users, 3 items, 4 events" in repr(data)


def test_movielens_1m_style(tmp_path):
    path = tmp_path / "ratings.dat"
    path.write_text("1::1193::5::978300760\n1::661::3::978302109\n2::1193::4::978298413\n")
    data = read_interactions(path, 0, 1, 2, 4)
    check_events(data, [(1, 1193), (2, 1193)])


def test_threshold_comes_before_merging(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("user,item,rating\n1,a,2\n1,b,5\n1,a,4\n")
    check_events(read_interactions(path, rating="rating", min_rating=4), [(1, "b"), (1, "a")])
    check_events(read_interactions(path, rating="rating"), [(1, "a"), (1, "b")])


def test_is_line_1_a_header(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("u1\ts1\t3\nu2\ts1\t1\n")
    assert read_interactions(path, 0, 1, 2).n_events == 2
    assert read_interactions(path, "0", "1", "2").n_events == 2
    assert read_interactions(path, 0, 1).n_events == 2  # a number below a number: line 1 is a row
    path.write_text("who\twhat\thow often\nu2\ts1\t1\n")
    assert read_interactions(path, 0, 1).n_events == 1  # a number below a word: line 1 names the columns
    path.write_text("0\t1\t2\nu2\ts1\t1\n")
    with pytest.raises(InputError, match="cannot tell whether line 1"):
        read_interactions(path, 0, 1)  # as pandas names columns that have no names
    path.write_text("u1\ts1\tx\nu2\ts1\ty\n")
    with pytest.raises(InputError, match="cannot tell whether line 1"):
        read_interactions(path, 0, 1)
    assert read_interactions(path, 0, 1, header=False).n_events == 2
    assert read_interactions(path, 0, 1, header=True).n_events == 1
    path.write_text("user\titem\n1\t2\n")
    check_events(read_interactions(path, 0, 1), [(1, 2)])
    path.write_text("3\t2\n1\t2\n")
    check_events(read_interactions(path, 0, 1), [(3, 2), (1, 2)])


def test_sparse_matrix(tmp_path):
    dense = np.array([[0, 5, 1], [0, 0, 0], [4, 0, 0]])
    for make in (sp.csr_matrix, sp.coo_array, sp.csc_matrix):
        sp.save_npz(tmp_path / "m.npz", make(dense))
        check_events(read_interactions(tmp_path / "m.npz"), [(0, 1), (0, 2), (2, 0)])
        check_events(read_interactions(tmp_path / "m.npz", min_rating=4), [(0, 1), (2, 0)])


@given(st.lists(st.integers(0, 8), max_size=30))
def test_order_of_appearance(codes):
    assert order_of_appearance(np.array(codes, int), 9).tolist() == list(dict.fromkeys(codes))


BAD_TEXT = {
    "empty file": (b"", {}, "is empty"),
    "only a header": (b"user,item\n", {}, "no rows"),
    "web page": (b"\n<!DOCTYPE html><html>404</html>", {}, "web page"),
    "a zip": (b"PK\x03\x04rest", {}, "not plain UTF-8"),
    "zero byte": (b"user,item\n1,a\x00b\n", {}, "not plain UTF-8"),
    "zero byte far away": (b"user,item\n" + b"1,2\n" * 400_000 + b"3,\x00\n", {}, "not plain UTF-8"),
    "utf-16": ("user,item\n1,2\n".encode("utf-16"), {}, "not plain UTF-8"),
    "latin-1": ("user,item\n1,é\n".encode("latin-1"), {}, "UTF-8"),
    "latin-1 far away": (b"user,item\n" + b"1,2\n" * 400_000 + b"3,\xe9\n", {}, "line 400,002: byte 0xe9 is not UTF-8"),
    "no such column": (b"user,movie\n1,2\n", {}, "no column 'item' among its 2: 'user', 'movie'"),
    "near miss": (b"user,items\n1,2\n", {}, "did you mean 'items'"),
    "no such position": (b"1,2\n", {"user": 0, "item": 7}, "no column 7"),
    "column twice": (b"user,item,item\n1,2,3\n", {}, "2 columns called 'item'"),
    "one column for both": (b"user,item\n1,2\n", {"item": "user"}, "cannot be both"),
    "missing label": (b"user,item\n1,2\n,3\n4,5\n", {}, "column 'user', line 3 is empty"),
    "short row": (b"user,item,rating\n1,2,3\n1,2\n", {"rating": "rating"}, "line 3 has 2 fields but line 1 has 3"),
    "long row": (b"user,item\n1,2\n1,2,3\n", {}, "line 3 has 3 fields but line 1 has 2"),
    "blank row inside": (b"user,item\n1,2\n\n3,4\n", {}, "line 3 is empty"),
    "label NaN": (b"user,item\n1,2\nNaN,3\n", {}, "says that it is missing"),
    "empty quoted label": (b'user,item\n1,2\n"",3\n', {}, "empty"),
    "label of blanks": (b"user,item\n1,2\n  ,3\n", {}, "empty"),
    "giant label": (b"user,item\n1," + b"x" * 600 + b"\n", {}, "longer than 500"),
    "giant field": (b"user,item\n1," + b"x" * (1 << 22) + b"\n", {}, "longer than 500"),
    "giant first line": (b"x" * (1 << 21), {}, "first line of over"),
    "open quote": (b'user,item\n1,"2\n3,4\n', {}, "never closed"),
    "no line 2": (b"user,item\n\n1,2\n", {}, "line 2 is empty"),
    "rating in words": (
        b"user,item,rating\n1,2,5\n1,3,good\n",
        {"rating": "rating"},
        "line 3: 'good' is no finite number",
    ),
    "rating NaN": (b"user,item,rating\n1,2,nan\n", {"rating": "rating"}, "'nan' is no finite number"),
    "rating infinite": (b"user,item,rating\n1,2,inf\n", {"rating": "rating"}, "'inf' is no finite number"),
    "thousands": (b'user,item,rating\n1,2,"3,500"\n', {"rating": "rating"}, "'3,500' is no finite number"),
    "nothing left": (b"user,item,rating\n1,2,3\n", {"rating": "rating", "min_rating": 4}, "none of the 1 ratings"),
    "threshold without column": (b"user,item\n1,2\n", {"min_rating": 4}, "give rating"),
    "threshold NaN": (b"user,item\n1,2\n", {"min_rating": np.nan, "rating": 0}, "finite"),
    "threshold in words": (b"user,item\n1,2\n", {"min_rating": "4", "rating": 0}, "must be a finite number, not '4'"),
    "threshold in a list": (b"user,item\n1,2\n", {"min_rating": [4], "rating": 0}, "must be a finite number, not [4]"),
    "long separator": (b"user,item\n1,2\n", {"separator": "--"}, "one character"),
}


@pytest.mark.parametrize("case", BAD_TEXT)
def test_bad_text_is_refused_in_one_sentence(tmp_path, case):
    content, arguments, sentence = BAD_TEXT[case]
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(sentence)) as caught:
        read_interactions(path, **arguments)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    if "threshold" not in case and "separator" not in case:
        assert str(path) in message


def test_missing_file_folder_and_false_parquet(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_interactions(tmp_path / "t.csv")
    with pytest.raises(InputError, match="is a folder"):
        read_interactions(tmp_path)
    (tmp_path / "t.parquet").write_text("user,item\n1,2\n")
    with pytest.raises(InputError, match=r"cannot be read as a table: .*; fetch or write it again"):
        read_interactions(tmp_path / "t.parquet")
    for rows in (b"1,2\n" * 9, b"1,2\n3,4\n" * 200_000):
        (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"user,item\n" + rows)[:-12])
        with pytest.raises(InputError, match=r"t\.csv\.gz cannot be read as a table"):
            read_interactions(tmp_path / "t.csv.gz")


def test_brackets_in_a_file_name_are_no_pattern(tmp_path):
    (tmp_path / "t[1].csv").write_text("user,item\n1,2\n")
    pl.DataFrame({"user": [1], "item": [2]}).write_parquet(tmp_path / "t[1].parquet")
    for path in tmp_path.iterdir():
        check_events(read_interactions(path), [(1, 2)])


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"user": [1.5, 2.0], "item": [1, 2]}, "row 1: 1.5 is no label"),
        ({"user": [True, False], "item": [1, 2]}, "labels must be"),
        ({"user": [[1], [2]], "item": [1, 2]}, "labels must be"),
        ({"user": [1, None], "item": [1, 2]}, "row 2 is empty"),
        ({"user": [1, 2], "item": [1, 2], "rating": [4.0, float("nan")]}, "row 2: 'nan' is no finite number"),
        ({"user": [1, 2], "item": [1, 2], "rating": [[4.0], [5.0]]}, "it must hold numbers"),
        ({"user": ["a\x00b", "c"], "item": [1, 2]}, "control characters"),
    ],
)
def test_bad_parquet(tmp_path, columns, sentence):
    pl.DataFrame(columns).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(InputError, match=re.escape(sentence)):
        read_interactions(tmp_path / "t.parquet", rating="rating" if "rating" in columns else None)


def test_bad_npz(tmp_path):
    path = tmp_path / "m.npz"
    path.write_bytes(b"user,item\n1,2\n")
    with pytest.raises(InputError, match="no scipy sparse matrix"):
        read_interactions(path)
    np.savez(path, indices=np.arange(3))
    with pytest.raises(InputError, match="no scipy sparse matrix"):
        read_interactions(path)
    np.savez(path, format="csr", data=np.array([object()]), indices=[0], indptr=[0, 1], shape=[1, 1])
    with pytest.raises(InputError, match="no scipy sparse matrix"):  # a pickled object is never loaded
        read_interactions(path)
    np.savez(path, format="csr", data=np.ones(2), indices=[0, 99], indptr=[0, 2], shape=[1, 5])
    with pytest.raises(InputError, match="no scipy sparse matrix"):
        read_interactions(path)
    sp.save_npz(path, sp.csr_matrix([[1.0, np.nan]]))
    with pytest.raises(InputError, match=r"entry \(0, 1\) is nan"):
        read_interactions(path)
    sp.save_npz(path, sp.csr_matrix((3, 3)))
    with pytest.raises(InputError, match="no interaction"):
        read_interactions(path)
    sp.save_npz(path, sp.csr_matrix([[1j]]))
    with pytest.raises(InputError, match="real numbers"):
        read_interactions(path)
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("data.npy", b"\x93NUMPY\x01\x00nonsense")
    with pytest.raises(InputError, match="no scipy sparse matrix"):
        read_interactions(path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"user": np.array([0, 2])}, "0..1"),
        ({"item": np.array([0, -1])}, "0..0"),
        ({"user": np.array([0.0, 1.0])}, "integers"),
        ({"user": np.array([0, 1, 1])}, "equally long"),
        ({"user_labels": np.array(["b", "a"])}, "sorted"),
        ({"item_titles": np.array(["x", "y"])}, "item_titles"),
        (
            {"time": np.array([1, 2], "m8[ns]")},
            "time must hold one finite number for each of the 2 events, not timedelta",
        ),
        ({"time": ["2020-01-01", "2020-01-02"]}, "time must hold one finite number for each of the 2 events ("),
    ],
)
def test_constructor_refuses_what_does_not_fit(change, sentence):
    arrays = {
        "user": np.array([0, 1]),
        "item": np.array([0, 0]),
        "user_labels": np.array(["a", "b"]),
        "item_labels": np.array([7]),
    }
    Interactions(**arrays)
    with pytest.raises(InputError, match=re.escape(sentence)):
        Interactions(**(arrays | change))


@given(st.lists(st.integers(-130, 130), min_size=1), st.sampled_from([1, 10**6, 10**15]), st.booleans())
def test_rank_of_integers_narrow_and_wide(values, scale, narrow):
    array = np.array(values, np.int8 if narrow and max(map(abs, values)) < 128 else np.int64)
    array = array if array.dtype == np.int8 else array * scale
    codes, distinct = rank(array)
    assert distinct.tolist() == sorted(set(array.tolist()))
    assert distinct[codes].tolist() == array.tolist()
    assert (codes.dtype, distinct.dtype) == (np.int32, np.int64)
    for kind in (np.uint8, np.int32, np.uint64):
        if values and min(values) >= 0:
            codes, distinct = rank(np.array(values, kind))
            assert distinct[codes].tolist() == values


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4)), min_size=1, max_size=25), st.booleans())
def test_first_of_pairs(pairs, ordered):
    pairs = sorted(pairs) if ordered else pairs
    user, item = np.array(pairs, np.int32).T
    first = first_of_pairs(user, item, 5)
    expected = [pair not in pairs[:k] for k, pair in enumerate(pairs)]
    assert (first is None) == all(expected)
    assert first is None or first.tolist() == expected


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4)), max_size=25), st.sampled_from([5, 2**31 - 1]))
def test_binary_csr(pairs, n_columns):
    """In one word and in two, with repetitions, with rows that are empty."""
    row, column = np.array(pairs, np.int32).reshape(-1, 2).T
    m = binary_csr(row, column, (7, n_columns))
    m.check_format()
    assert (m.dtype, m.indices.dtype, m.indptr.dtype) == (np.float32, np.int32, np.int32)
    got = [(r, c) for r in range(7) for c in m.indices[m.indptr[r] : m.indptr[r + 1]].tolist()]
    assert got == sorted(set(pairs))
    assert (m.data == 1).all()


def test_a_parquet_file_that_kills_its_library(tmp_path):
    """Found by tests/faults/fuzz.py: without this byte, polars 2.1 asks for 2 · 10¹⁸ bytes and aborts the process."""
    rng = np.random.default_rng(0)
    rows = sorted({(int(u), int(i)) for u, i in zip(rng.integers(1, 30, 400), rng.integers(1, 40, 400), strict=True)})
    table = pl.DataFrame({"user": [u for u, _ in rows], "item": [f"m{i}" for _, i in rows]})
    table = table.with_columns(rating=pl.Series(rng.integers(1, 6, len(rows)).astype(float)))
    table.write_parquet(tmp_path / "t.parquet")
    assert read_interactions(tmp_path / "t.parquet", user="user", item="item", rating="rating").n_events == len(rows)
    content = (tmp_path / "t.parquet").read_bytes()
    (tmp_path / "t.parquet").write_bytes(content[:425] + content[426:])
    with pytest.raises(InputError, match=r"cannot be read as a table: .*; fetch or write it again"):
        read_interactions(tmp_path / "t.parquet", user="user", item="item", rating="rating")
