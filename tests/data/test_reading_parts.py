"""Small parts of the readers by hand: line numbers after comments, times, sizes above rows, packed streams."""

import bz2
import itertools

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp

from minivae.data import columnar
from minivae.data.columns import as_dates, as_time, minutes_east
from minivae.data.comments import without_comments
from minivae.data.content import streams
from minivae.data.delimited import every_line_is_a_row
from minivae.data.interactions import first_of_pairs
from minivae.data.labelling import by_row
from minivae.data.layout import Layout
from minivae.data.read_interactions import read_interactions
from minivae.errors import InputError


def read(tmp_path, text, **arguments):
    path = tmp_path / "t.txt"
    path.write_text(text, encoding="utf-8")
    return read_interactions(path, **arguments)


# ---------------------------------------------------------------------------------------------------------- lines


@pytest.mark.parametrize("skipped", [0, 5])
def test_lines_that_are_left_keep_their_numbers(skipped):
    """The first line is never a comment; inside a field over two lines nothing is one."""
    text = b'#a,b\n# x\n1,2\n%\n3,"4\n# 5"\n6,7\n'
    left, numbers = without_comments(text, quoted=True, skipped=skipped)
    assert left == b'#a,b\n1,2\n3,"4\n# 5"\n6,7\n'
    assert (numbers - skipped).tolist() == [1, 3, 5, 6, 7]
    left, numbers = without_comments(text, quoted=False, skipped=skipped)
    assert left == b'#a,b\n1,2\n3,"4\n6,7\n'
    assert (numbers - skipped).tolist() == [1, 3, 5, 7]


@pytest.mark.parametrize(("end", "blank"), [("", 0), ("\n", 0), ("\n\n", 1), ("\n\n\n", 2)])
def test_blank_lines_after_lists_are_counted(tmp_path, end, blank):
    data = read(tmp_path, "0 5 6\n1 5\n2" + end, adjacency=True)
    assert data.n_events == 3
    dropped = {"blank lines at the end": blank, "users without items": 1}
    assert {k: v for k, v in data.reading.other_lines.items() if v} == {k: v for k, v in dropped.items() if v}


@pytest.mark.parametrize(
    ("text", "is_a_row"),
    [
        ('1,"a, b"\n2,c\n', True),
        ("1,a\n2,c", True),
        ('1,"a ""b"""\n2,\n', True),
        ("1,a\n\n2,c\n", False),
        ("1,a\n2\n", False),
        ("1,a\n2,c,d\n", False),
        ('1,"a\n2,c\n', False),
        ('1,a"b\n2,c\n', False),
        ('1,"a"b\n2,c\n', False),
    ],
)
def test_whether_every_line_is_a_row_by_itself(text, is_a_row):
    assert every_line_is_a_row(text.encode(), Layout(",", True, ["0", "1"], False, 0)) is is_a_row


@pytest.mark.parametrize(
    ("first", "rows", "rows_read"),
    [
        ("4 4", "0 0\n1 1\n2 2\n3 3\n", None),  # counted from 0: the largest are 3
        ("4 4", "1 1\n2 2\n3 3\n4 4\n", None),  # counted from 1
        ("4 4 4", "1 1\n2 2\n3 3\n4 4\n", None),
        ("4 4 5", "1 1\n2 2\n3 3\n4 4\n", 5),  # another number of rows
        ("4 4", "1 1\n2 2\n3 3\n5 4\n", 5),  # a user above the number of users
        ("4 4", "1 1\n2 2\n3 3\n4 5\n", 5),
        ("6 4", "1 1\n2 2\n3 3\n4 4\n", 5),  # users who are not there
        ("4 6", "1 1\n2 2\n3 3\n4 4\n", 5),
        ("4 4", "2 1\n2 2\n3 3\n4 4\n", 5),  # the first user is another
    ],
)
def test_numbers_above_rows_are_those_of_the_rows_below(tmp_path, first, rows, rows_read):
    text = f"{first}\n" + "".join(f"{row} 9\n" if first.count(" ") == 2 else f"{row}\n" for row in rows.splitlines())
    if rows_read is None:
        with pytest.raises(InputError, match=f"line 1 holds {first.replace(' ', ' and ')}, which look like"):
            read(tmp_path, text, user=0, item=1, header=False, adjacency=False)
    else:
        assert read(tmp_path, text, user=0, item=1, header=False, adjacency=False).reading.rows == rows_read


@pytest.mark.parametrize("n", range(5))
def test_the_first_of_every_pair_by_enumeration(n):
    """All sequences of up to four events of two users and two items."""
    pairs = list(itertools.product((0, 1), (0, 1)))
    for events in itertools.product(pairs, repeat=n):
        user, item = (np.array([e[k] for e in events], np.int32) for k in (0, 1))
        first = [e not in events[:k] for k, e in enumerate(events)]
        found = first_of_pairs(user, item, 2)
        assert all(first) if found is None else found.tolist() == first
        assert found is None or not all(first)


# ---------------------------------------------------------------------------------------------------------- times


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01 00:00:00.5", 0.5),
        ("1970-01-01 00:00:00.1234567", 0.123456),  # what is beyond the microsecond is left out
        ("1970-01-01 00:00:00.000001999", 0.000001),
        ("1970-01-01T00:01:00,25Z", 60.25),
        ("1970-01-01 02:00:00+02:00", 0),
        ("1970-01-01 02:00:00 -0130", 12600),
        ("1970/01/02 00:00:01", 86401),
        ("1970/01/02", 86400),
        ("19700103", 172800),
        ("1970-01-01 00:01", 60),
    ],
)
def test_a_moment_in_seconds(text, seconds):
    found = as_dates(pl.Series([text]), "time", by_row).dt.epoch("us").to_list()
    assert found == [round(seconds * 1e6)]


def test_times_are_numbers_where_all_are():
    assert as_time(pl.Series([" 12 ", "1e3", "-4.5"]), "at", by_row).to_list() == [12, 1000, -4.5]
    assert as_time(pl.Series(["1970", "1980"]), "at", by_row).to_list() == [1970, 1980]
    assert minutes_east(pl.Series(["2020-01-01 00:00 +05:45", "2020-01-01 00:00 -0959"])).to_list() == [345, -599]
    for values, row, text in (
        (["1970-01-01", "x"], 2, "'x' is no time like the others; correct or remove"),
        (["x", "1970-01-01"], 1, "'x' is no"),
    ):
        with pytest.raises(InputError, match=f"row {row}: {text}"):
            as_time(pl.Series(values), "at", by_row)


# -------------------------------------------------------------------------------------------------- packed and sparse


@pytest.mark.parametrize("zeros", [0, 1, 2, 3, 8])
def test_zeros_between_streams_are_no_part_of_either(zeros):
    packed = bz2.compress(b"1,a\n") + bytes(zeros) + bz2.compress(b"2,b\n") + bytes(zeros)
    assert b"".join(streams(packed, bz2.BZ2Decompressor)) == b"1,a\n2,b\n"


def test_why_a_file_is_no_matrix(tmp_path, monkeypatch):
    path = tmp_path / "m.npz"
    path.write_bytes(b"x")
    with pytest.raises(InputError, match=r"is no scipy sparse matrix \(File is not a zip file\); write it with"):
        read_interactions(path)
    sp.save_npz(path, sp.csr_matrix(np.eye(2)))
    for error, why in ((ValueError("two\n lines"), "two lines"), (EOFError(), "EOFError")):

        def fail(*_, error=error):
            raise error

        monkeypatch.setattr(columnar.scipy.sparse, "load_npz", fail)
        with pytest.raises(InputError, match=rf"is no scipy sparse matrix \({why}\); write it with"):
            read_interactions(path)


def test_entries_of_a_matrix_are_summed_and_zeros_left_out_and_counted():
    """Five entries: two at (0, 1) with sum 3, one zero, two that cancel."""
    m = sp.coo_matrix(([1.0, 2.0, 0.0, 4.0, -4.0], ([0, 0, 1, 1, 1], [1, 1, 0, 2, 2])), shape=(2, 3))
    rows = columnar.entries(m, "m")
    assert rows.table.rows() == [(0, 1, 3.0)]
    assert rows.other_lines == {"repeated entries, summed": 2, "entries of zero": 2}
    with pytest.raises(InputError, match=r"m: entry \(1, 2\) is inf, no finite number"):
        columnar.entries(sp.csr_matrix(([1.0, np.inf], ([0, 1], [1, 2])), shape=(2, 3)), "m")
    with pytest.raises(InputError, match="m holds complex128; ratings must be real numbers"):
        columnar.entries(sp.csr_matrix(np.eye(2) * 1j), "m")
