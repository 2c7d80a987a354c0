"""What a table says about labels: nothing is lost in silence where it says two things."""

import numpy as np
import pytest

from minivae.data.lookup import features_of, groups_of
from minivae.data.read_interactions import read_interactions
from minivae.errors import InputError

EVENTS = "user,item\n1,1\n2,1\n2,2\n1,3\n3,3\n"


def write(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "text", "titles"),
    [
        ("t.tsv", '1\t"Heroes"\n2\tA "quoted" B\n3\tC\n', ['"Heroes"', 'A "quoted" B', "C"]),
        ("t.dat", '1::"Heroes" (1977)::x\n2::B::x\n3::"C"::x\n', ['"Heroes" (1977)', "B", '"C"']),
        ("t.tsv", '1\t"A"\n2\t"B"\n3\t"C"\n', ["A", "B", "C"]),
        ("t.csv", 'item,title\n1,"A,\nB"\n2,B\n3,C\n', ["A,\nB", "B", "C"]),
        ("t.csv", "1,300\n2,1408\n3,9\n4,2012\n", ["300", "1408", "9"]),
        ("t.csv", "item;title\n1.0;A\n2.0;B\n3.0;C\n", ["A", "B", "C"]),
    ],
)
def test_files_of_titles(tmp_path, name, text, titles):
    data = read_interactions(write(tmp_path, "e.csv", EVENTS), title_file=write(tmp_path, name, text))
    assert data.item_titles is not None
    assert data.item_titles.tolist() == titles


def test_several_titles_of_an_item_are_said(tmp_path):
    events = write(tmp_path, "e.csv", EVENTS)
    titles = write(tmp_path, "t.csv", "item,title\n1,A\n2,B\n2,\n2,B\n3,C\n1,D\n")
    data = read_interactions(events, title_file=titles)
    assert data.item_titles is not None
    assert data.item_titles.tolist() == ["A", "B", "C"]
    assert f"1 item has several titles, such as '1' (line 2 of {titles} says 'A', line 7 'D')" in str(data.reading)
    inside = write(tmp_path, "i.csv", "user,item,r,title\n1,1,1,A\n1,1,5,B\n2,1,5,C\n1,2,5,D\n2,2,5,E\n")
    read = read_interactions(inside, title="title", rating="r", min_rating=3)
    assert read.item_titles is not None
    assert read.item_titles.tolist() == ["B", "D"]
    assert "2 items have several titles, such as '1' (line 3 says 'B', line 4 'C')" in str(read.reading)


def test_a_whole_number_is_the_same_label_in_both_tables(tmp_path):
    """However each of them wrote it, and whether or not words stand beside it."""
    for events, expected in (
        ("user,item\n1,1\n2,2.0\n2,10.0\n", ["A", "B", "C"]),
        ("user,item\n1,1.0\n2,2\n2,10\n", ["A", "B", "C"]),
        ("user,item\n1,1.0\n2,2.0\n2,x\n2,10\n", ["A", "B", "W", "C"]),
    ):
        for titles in (
            "item,title\n1.0,A\n2.0,B\n10.0,C\nx,W\n07,Z\n",
            "item,title\n1,A\n2,B\n10,C\nx,W\n",
            "item,title\n1.0,A\n2,B\n1e1,C\nx,W\n",
        ):
            data = read_interactions(write(tmp_path, "e.csv", events), title_file=write(tmp_path, "t.csv", titles))
            assert np.asarray(data.item_titles).tolist() == expected
            assert data.reading is not None
            assert "titles of" not in str(data.reading)
    known = write(tmp_path, "g.csv", "user,group\n1.0,a\nx,b\n1,c\n2.0,d\n")
    assert groups_of(known, np.array(["1", "1.0", "2", "x", "01"])).tolist() == ["c", "a", "d", "b", "not given"]


def test_groups_of_users(tmp_path):
    labels = np.array(["1", "2", "3"])
    for text in ("user,group\n1,a\n2,b\n", "u;g;x\n2.0;b;1\n1.0;a;1\n2.0;b;2\n3.0;;2\n", "\ufeffu\tg\n1\ta\n2\tb\n"):
        assert groups_of(write(tmp_path, "g.csv", text), labels).tolist() == ["a", "b", "not given"]
    twice = write(tmp_path, "g.csv", "user,group\n1,a\n2,b\n3,b\n2,c\n")
    with pytest.raises(InputError, match="gives user '2' two groups: line 3 'b' and line 5 'c'; keep one of the rows"):
        groups_of(twice, labels)
    with pytest.raises(InputError, match="line 3 has 1 field "):
        groups_of(write(tmp_path, "g.csv", "user,group\n1,a\n2\n"), labels)
    with pytest.raises(InputError, match=r"none of the users in .* is a training user; name them as the data does: "):
        groups_of(write(tmp_path, "g.csv", "user,group\n7,a\n"), labels)
    with pytest.raises(InputError, match="line 3: user 'NA' stands among numbers"):
        groups_of(write(tmp_path, "g.csv", "user,group\n7,a\nNA,b\n"), labels)


def test_features_of_items(tmp_path):
    labels = np.array(["1", "2", "3"])
    got = features_of(write(tmp_path, "f.csv", "item,genres\n1,A|B\n3,B\n1,A|B\n"), labels)
    assert got.tolist() == [[1, 1], [0, 0], [0, 1]]
    with pytest.raises(InputError, match=r"gives item '1' two lists of features: line 2 'A\|B' and line 4 'A'"):
        features_of(write(tmp_path, "f.csv", "item,genres\n1,A|B\n3,B\n1,A\n"), labels)
