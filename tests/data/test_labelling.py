"""One rule for labels: a table gives the same labels, order and split through every door."""

import json
from decimal import Decimal
from unittest.mock import patch

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minivae.data import columnar
from minivae.data.interactions import Interactions
from minivae.data.read_interactions import read_interactions
from minivae.data.strong_split import strong_split
from minivae.errors import InputError

words = st.sampled_from(
    ["ann", "Bob", "007", "7", "12", "x y", "é", "e\u0301", "ß", "12.0", "-3", "+3", "1e3", "a;b", "☃"]
)
whole = st.integers(-(2**63), 2**63 - 1) | st.integers(-20, 20)
larger = st.integers(2**63, 2**64 - 1) | st.integers(0, 9)
floats = st.integers(1 - 2**53, 2**53 - 1).map(float) | st.integers(-9, 9).map(float)
column = st.one_of(*(st.lists(kind, min_size=1, max_size=30) for kind in (words, whole, larger, floats)))


def doors(folder, user, item):
    """The same table through every door: name -> Interactions, or the kind of error."""
    kinds = {"user": user, "item": item}
    series = {k: pl.Series(v, dtype=pl.UInt64) if max_of(v) >= 2**63 else pl.Series(v) for k, v in kinds.items()}
    table = pl.DataFrame(series)
    table.write_csv(folder / "t.csv")
    table.write_csv(folder / "t.tsv", separator="\t")
    table.write_parquet(folder / "t.parquet")
    table.write_ipc(folder / "t.feather")
    rows = [json.dumps({"user": u, "item": i}) for u, i in zip(user, item, strict=True)]
    (folder / "t.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    pairs = [(str(u), str(i)) for u, i in table.rows()]
    for name, first, separator in (("t.dat", "user::item", "::"), ("t.inter", "user_id:token\titem_id:token", "\t")):
        text = "\n".join([first, *(separator.join(pair) for pair in pairs)]) + "\n"
        (folder / name).write_text(text, encoding="utf-8")
    frame = pd.DataFrame({k: np.array(v, np.uint64) if max_of(v) >= 2**63 else v for k, v in kinds.items()})
    category = frame.astype("category")
    mixed = frame.astype(object)
    ways = {p.name: lambda p=p: read_interactions(p) for p in folder.iterdir()}
    ways |= {
        "polars": lambda: read_interactions(table),
        "pandas": lambda: read_interactions(frame),
        "categories": lambda: read_interactions(category),
        "objects": lambda: read_interactions(mixed),
        "lists": lambda: Interactions.from_labels(user, item),
        "object arrays": lambda: Interactions.from_labels(np.array(user, object), np.array(item, object)),
        "strings": lambda: Interactions.from_labels([str(u) for u in user], [str(i) for i in item]),
        "safetensors": lambda: saved(Interactions.from_labels(user, item), folder / "t.safetensors"),
    }
    with patch.object(columnar, "check_in_child"):  # a process per file and example would take minutes
        return {name: outcome(way) for name, way in ways.items()}


def saved(data, path):
    """What a file of the package's own gives back."""
    data.save(path)
    return Interactions.load(path)


def max_of(values):
    return max((v for v in values if isinstance(v, int)), default=0)


def outcome(way):
    """What a door gives, in a form that can be compared."""
    try:
        data = way()
    except InputError:
        return "refused"
    return (
        data.user_labels.dtype.kind,
        data.user_labels.tolist(),
        data.item_labels.dtype.kind,
        data.item_labels.tolist(),
        data.user.tolist(),
        data.item.tolist(),
    )


@settings(max_examples=40, deadline=None)
@given(column, column)
@example([1.0, 10.0, 2.0], ["a", "b", "c"])
@example([2**63 - 1, 2**63 - 2, 5], [1, 2, 3])
@example([2**64 - 1, 5, 7], [1, 2, 3])
@example(["e\u0301", "é", " é "], [1, 2, 3])
@example(["007", "7", "7.0"], [1, 2, 3])
@example(["7", "7.0", "8"], [1, 2, 3])
def test_every_door_gives_the_same_labels_and_order(tmp_path_factory, user, item):
    n = min(len(user), len(item))
    found = doors(tmp_path_factory.mktemp("doors"), user[:n], item[:n])
    assert len(set(map(str, found.values()))) == 1, found


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=40))
def test_a_matrix_is_the_table_of_its_entries(tmp_path_factory, pairs):
    """Rows of a matrix have no order but their own, so the table is sorted; what has no entry is no label."""
    folder = tmp_path_factory.mktemp("matrix")
    user, item = map(list, zip(*sorted(set(pairs)), strict=True))
    matrix = sp.csr_matrix((np.ones(len(user)), (user, item)))
    found = doors(folder, user, item)
    for form in ("csr", "csc", "coo"):
        sp.save_npz(folder / f"{form}.npz", matrix.asformat(form))
        found[form] = outcome(lambda form=form: read_interactions(folder / f"{form}.npz"))
        found[f"{form} in memory"] = outcome(lambda form=form: read_interactions(matrix.asformat(form)))
    assert len(set(map(str, found.values()))) == 1, found


def test_the_check_sees_a_matrix_of_other_items(tmp_path):
    """Broken twin: the transposed matrix."""
    found = doors(tmp_path, [0, 0, 1], [1, 2, 2])
    sp.save_npz(tmp_path / "m.npz", sp.csr_matrix([[0, 1, 1], [0, 0, 1]]).T)
    found["twin"] = outcome(lambda: read_interactions(tmp_path / "m.npz"))
    assert len(set(map(str, found.values()))) == 2


def test_the_check_sees_a_door_with_another_rule(tmp_path):
    """Broken twin: one door keeps "1.0" as text, as CSV did before there was one rule."""
    found = doors(tmp_path, [1.0, 10.0, 2.0], ["a", "b", "c"])
    found["strings"] = ("U", ["1.0", "10.0", "2.0"], *found["strings"][2:])
    assert len(set(map(str, found.values()))) == 2


def test_the_same_table_gives_the_same_split(tmp_path):
    rng = np.random.default_rng(0)
    user, item = rng.integers(0, 60, 900), rng.integers(0, 40, 900)
    table = pl.DataFrame({"user": user.astype(float), "item": item})
    table.write_csv(tmp_path / "t.csv")
    table.write_parquet(tmp_path / "t.parquet")
    saved(read_interactions(table), tmp_path / "t.safetensors")
    ways = [read_interactions(d) for d in (tmp_path / "t.csv", tmp_path / "t.parquet", table)]
    splits = [strong_split(data, n_heldout=10) for data in (*ways, Interactions.load(tmp_path / "t.safetensors"))]
    for other in splits[1:]:
        assert other.test.user_labels.tolist() == splits[0].test.user_labels.tolist()
        assert (other.test.heldout != splits[0].test.heldout).nnz == 0


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["10", "9", "-3"], [-3, 9, 10]),
        (["10.0", "9.00", "9"], [9, 10]),
        ([10.0, 9, "8"], [8, 9, 10]),
        (["010", "10", "9"], ["010", "10", "9"]),
        ([" b ", "b", "\u00a0a"], ["a", "b"]),
        (["e\u0301", "é"], ["é"]),
        (["1e3", "2"], [2, 1000]),
        ([2**63, 5], ["5", str(2**63)]),
        ([2**63 - 1, 5], [5, 2**63 - 1]),
        ([np.int64(4), np.float32(5), "6"], [4, 5, 6]),
        ([b"x", "y"], ["x", "y"]),
        (pd.Series([1, 2, 10], dtype="Int64"), [1, 2, 10]),
        ([Decimal("1.00"), Decimal(2)], [1, 2]),
        (pl.Series([Decimal(2**53 + 1), Decimal(2**53)]), [2**53, 2**53 + 1]),
        (pl.Series([1.0, 2.0], dtype=pl.Float32), [1, 2]),
        (pd.Series(["b", "a"], dtype="string"), ["a", "b"]),
        (pl.Series(["b", "a"], dtype=pl.Categorical), ["a", "b"]),
        (pl.Series([2, 10]).cast(pl.Int128), [2, 10]),
        (np.array([2**11 - 1, 2], np.float16), [2, 2047]),
    ],
)
def test_the_rule_by_examples(labels, expected):
    assert Interactions.from_labels(labels, [1] * len(labels)).user_labels.tolist() == expected


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ([1.5, 2.0], "row 1: 1.5 is no label"),
        (["1.5", "2"], "row 1: '1.5' is no label"),
        ([1, None], "row 2 has no user"),
        ([1.0, float("nan")], "row 2 has no user"),
        (pd.Series([1, None], dtype="Int64"), "row 2 has no user"),
        ([True, False], "labels must be integers or text"),
        ([1, float("inf")], "row 2: inf is no user"),
        ([[1], [2]], "labels must be integers or text"),
        ([float(2**53 + 2), 1.0], "stored as a float"),
        (["9007199254740994.0", "1"], "stored as a float"),
        (np.array([2**24, 1], np.float32), "keeps 7 digits"),
        (np.array([2**11, 1], np.float16), "keeps 3 digits"),
        (np.array([1, 2, np.nan], np.float16), "row 3 has no user"),
        (np.array([1, 2, np.inf], np.float16), "row 3: inf is no label"),
        (np.array([2.0**53, 1]), "9007199254740992 was stored as a float, which keeps 16 digits"),
        (["9007199254740992.0", "1"], "stored as a float"),
        *((np.array([1, 2], f"m8[{unit}]"), "labels must be integers or text") for unit in ("s", "us", "ns", "Y")),
        (list(np.array([1, 2], "m8[ns]")), "row 1: '1 nanoseconds' is a timedelta64; labels must be"),
        (pd.Series(np.array([1, 2], "m8[ns]")), "the user column holds timedelta64"),
        (pd.Series(np.array([1, "NaT"], "m8[ns]")), "is a timedelta64; labels must be"),
        (np.array(["2020", "2021"], "M8[Y]"), "labels must be"),
        ("ab", "the user is a str; give a list, one entry for each event"),
        ({"a", "b"}, "the user is a set"),
        ({1: "a", 2: "b"}, "the user is a dict"),
        (["a", ""], "is empty"),
        (["a", "b\tc"], "control characters"),
        (np.ones((2, 2)), "one-dimensional"),
        (np.array(["2020-01-01"], "M8[D]"), "labels must be"),
    ],
)
def test_no_labels(labels, sentence):
    with pytest.raises(InputError, match=sentence):
        Interactions.from_labels(labels, list(range(len(labels))))


def test_a_file_of_the_package_keeps_times_and_titles(tmp_path):
    time = np.array([3.5, 1e9, -7.0])
    data = Interactions.from_labels([1, 1, 2], ["a", "b", "a"], {"a": "A"}, "mine", time)
    again = saved(data, tmp_path / "t.safetensors")
    assert again.time is not None
    assert again.item_titles is not None
    assert (again.time.tolist(), again.item_titles.tolist(), again.name) == (time.tolist(), ["A", "b"], "mine")
