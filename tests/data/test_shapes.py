"""Shapes of files that people have: read with every row, or refused with a sentence that says where and what to do."""

import bz2
import lzma
import re
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from minivae.data.content import TAKEN, streams
from minivae.data.delimited import first_ragged, skeleton_of
from minivae.data.read_interactions import read_interactions
from minivae.errors import InputError, at_shell
from tests.data.shapes import CSV, PAIRS, READ, REFUSED, TABLE, page, write, zipped

PAGE = Path(__file__).parents[2] / "docs/guides/file-shapes.md"


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


@pytest.mark.parametrize(
    ("make", "columns", "sentence"),
    [
        (lambda: sp.coo_array(np.ones((2, 2, 2))), {}, "the matrix has 3 axes; give two, users and items"),
        (lambda: sp.coo_array(np.ones(3)), {}, "the matrix has 1 axes"),
        (lambda: TABLE.lazy().select("film"), {}, "the data frame cannot be made: "),
        (lambda: pl.scan_csv("nope.csv"), {}, "the data frame cannot be made: No such file"),
        (lambda: pl.scan_parquet("nope.parquet"), {}, "the data frame cannot be made: No such file"),
        (lambda: TABLE.lazy().with_columns(pl.col("item").cast(pl.Int8)), {}, "the data frame cannot be made: "),
        (lambda: pd.DataFrame({1: [1], 0: [2]}), {"user": 0, "item": 1}, "called 0 at position 1, so user=0 may mean"),
    ],
)
def test_what_could_be_no_table_or_two_is_refused(make, columns, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)):
        read_interactions(make(), **columns)


def test_columns_of_a_frame_may_be_called_by_numbers():
    frame = pd.DataFrame({1: [7], 0: [8]})
    assert read_interactions(frame, user="0", item="1").user_labels.tolist() == [8]
    assert read_interactions(pd.DataFrame([[7, 8]]), user=0, item=1).user_labels.tolist() == [7]


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


@pytest.mark.parametrize(
    ("users", "sentence"),
    [
        (
            ["Ann", "ann", "bob"],
            "1 user label differs from another only in capitals or in zeros in front, such as 'Ann'",
        ),
        (["01", "1", "+1", "2"], "2 user labels differ from another only in capitals or in zeros in front"),
        (["\u201c1\u201d", "\u201c2\u201d"], "all user labels stand between quotation marks"),
        (["'1'", "'2'"], "all user labels stand between quotation marks"),
        (["'1'", "2"], ""),
        (["Ann", "Bob", "0", "00"], "1 user label differs"),
    ],
)
def test_labels_that_may_not_be_meant_are_named(tmp_path, users, sentence):
    path = write(tmp_path, "t.csv", "user,item\n" + "".join(f"{u},a\n" for u in users))
    data = read_interactions(path)
    assert sorted(data.user_labels.tolist()) == sorted(users)
    assert sentence in str(data.reading)
    assert bool(sentence) == any("user label" in note for note in data.reading.notes)


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
        (["1970-01-01T02:00:10+02:00", "1969-12-31 20:31:00.5-0330"], [10.0, 60.5]),
        (["1970-01-01 00:00:10.25", "1970-01-01 00:00:10.750"], [10.25, 10.75]),
        (["1970-01-01 00:00:10 UTC", "1970-01-01 00:01:00.5 UTC"], [10.0, 60.5]),
        (["1970-01-01T00:00:10Z", "1970-01-01T05:31:00+05:30"], [10.0, 60.0]),
        (["1970-01-01Z", "1970-01-02Z"], [0.0, 86400.0]),
        (["19700101Z", "19700102"], [0.0, 86400.0]),
        (["1970/01/01", "1970/01/02Z"], [0.0, 86400.0]),
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


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)), min_size=1, max_size=6))
def test_a_moment_is_the_same_in_text_and_in_a_frame_to_the_microsecond(tmp_path, moments):
    """Two events within a second have an order, which is that of the split."""
    n = len(moments)
    frame = pl.DataFrame({"user": [1] * n, "item": range(n), "at": moments})
    expected = read_interactions(frame, time="at").time.tolist()
    for text in (
        [m.isoformat(" ", "microseconds") for m in moments],
        [m.isoformat(timespec="microseconds") + "Z" for m in moments],
        [f"{m + timedelta(hours=2):%Y-%m-%dT%H:%M:%S,%f}+02:00" for m in moments],
    ):
        assert read_interactions(frame.with_columns(at=pl.Series(text)), time="at").time.tolist() == expected


@pytest.mark.parametrize("text", ["soon", "1970-01-02.5", "1970-01-02 03:04.5", "1970-01-01 10:00:00 UTCx"])
def test_a_time_that_is_none_is_named(tmp_path, text):
    path = write(tmp_path, "t.csv", f"user,item,at\n1,2,1970-01-01\n1,3,{text}\n")
    with pytest.raises(InputError, match=re.escape(f"line 3: '{text}' is no time")):
        read_interactions(path, time="at")


@pytest.mark.parametrize("text", ["2005-04-02 23:53:47.\u0665", "2005-04-02 23:53:47 +\u0660\u0662:00", "2005-04-02ZZ"])
def test_a_time_in_other_digits_is_refused(tmp_path, text):
    path = write(tmp_path, "t.csv", f"user,item,at\n1,2,{text}\n")
    with pytest.raises(InputError, match=re.escape(f"line 2: '{text}' is no time")):
        read_interactions(path, time="at")


@pytest.mark.parametrize("sign", ["%", "#"])
@pytest.mark.parametrize("asked", [{"item": "item"}, {"item": 1}])
def test_a_sign_before_the_first_name_may_be_part_of_it(tmp_path, sign, asked):
    path = write(tmp_path, "t.csv", f"{sign}id,item\n1,a\n2,b\n")
    for user in (f"{sign}id", "id"):
        assert read_interactions(path, user=user, **asked).user_labels.tolist() == [1, 2]


@pytest.mark.parametrize("name", ["t.csv.bz2", "t.csv.xz"])
def test_a_packed_file_is_read_to_its_last_byte(tmp_path, name):
    """Joined files are one table; the libraries pass over a second part that is damaged at its start."""
    pack = bz2.compress if name.endswith("bz2") else lzma.compress
    one, two = pack(b"user,item\n1,a\n"), pack(b"2,b\n")
    assert read_interactions(write(tmp_path, name, one + two)).n_events == 2
    for damaged in (b"x" + two[1:], two[:-3], two[:20], b"more"):
        with pytest.raises(InputError, match="cannot be read as a table"):
            read_interactions(write(tmp_path, name, one + damaged))


@pytest.mark.parametrize(
    ("pack", "decompressor"), [(bz2.compress, bz2.BZ2Decompressor), (lzma.compress, lzma.LZMADecompressor)]
)
def test_of_many_packed_parts_none_is_handed_the_rest_of_the_file(pack, decompressor):
    """Each part copies what is left behind it: of some megabytes in small parts that took minutes."""
    handed = []

    class Counting:
        def __init__(self):
            self.real = decompressor()

        def decompress(self, data, most):
            handed.append(len(data))
            return self.real.decompress(data, most)

        def __getattr__(self, name):
            return getattr(self.real, name)

    n = 3000
    packed = pack(b"1,a\n") + pack(b"") * n + pack(b"2,b\n")
    assert b"".join(streams(packed, Counting)) == b"1,a\n2,b\n"
    assert len(packed) <= sum(handed) <= len(packed) + TAKEN * n < len(packed) * n // 2


def test_zeros_after_a_packed_table_are_no_part_of_it(tmp_path):
    assert read_interactions(write(tmp_path, "t.csv.xz", lzma.compress(CSV.encode()) + bytes(8))).n_events == 5


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("user", None, "user is None; give a column by its name"),
        ("user", False, "user is False"),
        ("item", 1.0, "item is 1.0"),
        ("time", b"at", "time is b'at'"),
        ("header", "no", "header is 'no'; give True or False"),
        ("comments", 1, "comments is 1"),
        ("separator", 5, "separator is 5; give a text"),
        ("encoding", 8, "encoding is 8"),
        ("encoding", "a\0b", "is unknown"),
        ("min_rating", True, "min_rating must be a finite number"),
    ],
)
def test_an_option_of_another_type_is_not_taken_for_something_else(tmp_path, option, value, sentence):
    path = write(tmp_path, "t.csv", "user,item,at\n1,2,1970-01-01\n1,3,1970-01-02\n")
    with pytest.raises(InputError, match=re.escape(sentence)):
        read_interactions(path, **{option: value})


def test_negative_entries_of_a_matrix_are_no_likes(tmp_path):
    sp.save_npz(tmp_path / "m.npz", sp.csr_matrix([[1.0, -1.0], [0.0, 2.0]]))
    with pytest.raises(InputError, match="no sign of liking"):
        read_interactions(tmp_path / "m.npz")
    with pytest.raises(InputError, match="no sign of liking"):
        read_interactions(tmp_path / "m.npz", min_rating=-5)
    assert read_interactions(tmp_path / "m.npz", min_rating=1).n_events == 2


@pytest.mark.parametrize(
    ("stated", "events"),
    [
        ("3 1", None),  # as many users as lines, and no item above the number of items
        ("3 1 3", None),  # and as many pairs
        ("3 0", 4),  # no data has no item: user 3 has item 0
        ("4 1", 4),  # four users, of whom three are there
        ("3 1 4", 5),
        ("3 2 1", 5),
    ],
)
def test_numbers_above_lists_are_those_of_the_lists_below(tmp_path, stated, events):
    path = write(tmp_path, "t.txt", f"{stated}\n0 0\n1 0\n2 0\n")
    if events is None:
        with pytest.raises(InputError, match=f"line 1 holds {stated.replace(' ', ' and ')}, which look like"):
            read_interactions(path, adjacency=True)
    else:
        assert read_interactions(path, adjacency=True).n_events == events


def test_a_damaged_zip_is_refused(tmp_path):
    """Found by tests/faults/fuzz.py: a directory that points before the file makes zipfile seek there."""
    sound = zipped(t__csv=CSV)
    for at in range(len(sound)):
        path = write(tmp_path, "t.zip", sound[:at] + bytes([sound[at] ^ 0x80]) + sound[at + 1 :])
        try:
            read_interactions(path)
        except InputError as e:
            assert str(path) in str(e)  # noqa: PT017 (some changes do no harm)


def test_the_page_of_the_guide_is_what_the_readers_say():
    assert PAGE.read_text(encoding="utf-8") == page()
    assert len(READ) + len(REFUSED) >= 25
