"""Labels on disk: any text and any whole numbers come back, and arrays that are no labels do not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minivae.data.labels import integers, pack_labels, unpack_labels

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)


@given(st.lists(TEXT, max_size=8))
def test_text_comes_back(labels):
    arrays = pack_labels("k", np.array(labels, dtype=str))
    assert set(arrays) == {"k.utf8", "k.offsets"}
    assert arrays["k.utf8"].tobytes() == "".join(labels).encode()
    assert arrays["k.offsets"].tolist() == [len("".join(labels[:n]).encode()) for n in range(len(labels) + 1)]
    found = unpack_labels(arrays, "k")
    assert found.tolist() == labels
    assert found.dtype.kind == "U"


@given(st.lists(st.integers(0, 2**31 - 1), min_size=1), st.sampled_from([np.int32, np.int64, np.uint32]))
def test_whole_numbers_come_back(labels, kind):
    arrays = pack_labels("k", np.array(labels, kind))
    assert set(arrays) == {"k"}
    found = unpack_labels(arrays, "k")
    assert found.tolist() == labels
    assert found.dtype == np.int64


def test_where_there_are_none_there_are_none():
    assert unpack_labels({"other": np.arange(3)}, "k") is None


@pytest.mark.parametrize("offsets", [[0, 2, 1, 4], [1, 2, 4], [0, 2, 3], [0, 2, 5], []])
def test_offsets_that_do_not_cut_the_text_are_refused(offsets):
    arrays = {"k.utf8": np.frombuffer(b"abcd", np.uint8), "k.offsets": np.array(offsets, np.int64)}
    with pytest.raises(ValueError, match=r"k\.offsets do not cut the text into labels"):
        unpack_labels(arrays, "k")
    arrays["k.offsets"] = np.array([0, 1, 1, 4])
    assert unpack_labels(arrays, "k").tolist() == ["a", "", "bcd"]


@pytest.mark.parametrize(
    "wrong", [np.ones((2, 2), int), np.array(3), np.ones(3), np.array([True]), np.ones(2, np.uint8), np.array(["1"])]
)
def test_what_is_no_list_of_integers_is_refused(wrong):
    with pytest.raises(TypeError, match="k must be a list of integers, not"):
        integers({"k": wrong}, "k")
    assert integers({"k": np.arange(3, dtype=np.int32)}, "k").tolist() == [0, 1, 2]
