"""The strong split against the row-by-row oracle, its traps, and the file it is saved in."""

import re
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from liang_reference import TRAPS, prepare

from minivae.cli.main import main
from minivae.data.given import given_split
from minivae.data.interactions import Interactions
from minivae.data.newcomers import new_users
from minivae.data.read_interactions import read_interactions
from minivae.data.splits import FoldIn, StrongSplit
from minivae.data.strong_split import strong_split
from minivae.data.temporal import leave_last_out, time_split
from minivae.errors import InputError
from minivae.runtime.storage import load_arrays, save_arrays


def events(seed=0, users=60, items=40, n=900):
    """Rows (user, item, rating) with uneven users and items, users not in order, ids of differing numbers of digits."""
    rng = np.random.default_rng(seed)
    user = rng.permutation(np.arange(80, 80 + users))[np.minimum(rng.geometric(0.06, n), users) - 1]
    item = 3 * np.minimum(rng.geometric(0.08, n), items) + 1
    return list(dict.fromkeys(zip(user.tolist(), item.tolist(), [5] * n, strict=True)))


def interactions(rows, **kwargs):
    return Interactions.from_labels([u for u, _, _ in rows], [i for _, i, _ in rows], **kwargs)


def check_split(split, files):
    """`split` holds exactly what the files of the oracle say."""
    assert split.item_labels.astype(str).tolist() == files["unique_sid.txt"]
    n_train = split.train.shape[0]
    parts = {
        "train.csv": (split.train, 0),
        "validation_tr.csv": (split.validation.history, n_train),
        "validation_te.csv": (split.validation.heldout, n_train),
        "test_tr.csv": (split.test.history, n_train + split.validation.n_users),
        "test_te.csv": (split.test.heldout, n_train + split.validation.n_users),
    }
    for name, (matrix, first) in parts.items():
        expected = np.zeros(matrix.shape)
        for line in files[name][1:]:
            uid, sid = map(int, line.split(","))
            assert sid < matrix.shape[1]
            expected[uid - first, sid] = 1
        np.testing.assert_array_equal(matrix.toarray(), expected, err_msg=name)
        assert matrix.dtype == np.float32
        assert matrix.indices.dtype == np.int32
        assert matrix.has_sorted_indices


ARGUMENTS = {"n_heldout": 12, "min_user": 6, "min_item": 12}


def test_equals_the_row_by_row_oracle():
    rows = events()
    check_split(strong_split(interactions(rows), **ARGUMENTS), prepare(rows, **ARGUMENTS))


@pytest.mark.parametrize("trap", TRAPS)
def test_every_known_mistake_is_seen(trap):
    rows = events()
    arguments = ARGUMENTS if trap != "short users held out" else ARGUMENTS | {"min_user": 2, "min_item": 0}
    split = strong_split(interactions(rows), **arguments)
    check_split(split, prepare(rows, **arguments))
    with pytest.raises(AssertionError):
        check_split(split, prepare(rows, **arguments, trap=trap))


@settings(max_examples=60, deadline=None)
@given(
    pairs=st.lists(st.tuples(st.integers(-3, 12), st.integers(0, 9)), min_size=1, max_size=90),
    text=st.booleans(),
    n_heldout=st.integers(1, 3),
    min_user=st.integers(0, 6),
    min_item=st.integers(0, 4),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_events_any_filters(pairs, text, n_heldout, min_user, min_item, seed):
    rows = [(f"u{u}" if text else u, f"i{i}" if text else i, 1) for u, i in pairs]
    arguments = {"n_heldout": n_heldout, "min_user": min_user, "min_item": min_item, "seed": seed}
    try:
        split = strong_split(interactions(rows), **arguments)
    except InputError as e:
        assert "too few" in str(e)  # noqa: PT017 (only some examples raise)
        return
    check_split(split, prepare(rows, **arguments))


def test_labels_lead_back_to_the_events():
    rows = events()
    titles = {str(i): f"Film {i}" for _, i, _ in rows}
    split = strong_split(interactions(rows, titles=titles), n_heldout=5)
    of_user = {}
    for u, i, _ in rows:
        of_user.setdefault(u, set()).add(i)
    for k, label in enumerate(split.train_labels.tolist()):
        assert set(split.item_labels[split.train[k].indices].tolist()) == of_user[label]
    known = set(split.item_labels.tolist())
    for part in (split.validation, split.test):
        for k, label in enumerate(part.user_labels.tolist()):
            both = part.history[k] + part.heldout[k]
            assert both.data.max(initial=1) == 1  # history and held-out items are disjoint
            assert set(split.item_labels[both.indices].tolist()) == of_user[label] & known
    assert split.item_titles.tolist() == [f"Film {i}" for i in split.item_labels]
    groups = [split.train_labels, split.validation.user_labels, split.test.user_labels]
    assert len(set(np.concatenate(groups).tolist())) == split.n_users == sum(map(len, groups))


@pytest.mark.parametrize("min_item", [0, 1, 2, 12])
def test_the_filters_count_what_each_step_leaves(min_item):
    """Users, items and events after every step, from the rows themselves."""
    rows = {(u, i) for u, i, _ in events()}
    split = strong_split(interactions(events()), n_heldout=9, min_user=6, min_item=min_item)

    def sizes(rows):
        return len({u for u, _ in rows}), len({i for _, i in rows}), len(rows)

    expected = {"data": sizes(rows)}
    users_of = {i: sum(j == i for _, j in rows) for _, i in rows}
    if min_item > 1:
        rows = {(u, i) for u, i in rows if users_of[i] >= min_item}
        expected[f"without items of fewer than {min_item} users"] = sizes(rows)
    items_of = {u: sum(v == u for v, _ in rows) for u, _ in rows}
    rows = {(u, i) for u, i in rows if items_of[u] >= 6}
    expected["without users of fewer than 6 items"] = sizes(rows)
    known = set(split.item_labels.tolist())
    n_users = len({u for u, _ in rows})
    rows = {(u, i) for u, i in rows if i in known}
    expected["without items that no training user has"] = (n_users, len(known), len(rows))
    assert dict(split.filters) == expected
    parts = (split.train, *(m for p in (split.validation, split.test) for m in (p.history, p.heldout)))
    assert sum(m.nnz for m in parts) == len(rows)
    assert split.protocol == {"n_heldout": 9, "seed": 98765, "min_user": 6, "min_item": min_item}


@pytest.mark.parametrize(("users", "heldout"), [(3, 1), (19, 1), (20, 2), (39, 3), (9_999, 999), (10_010, 1000)])
def test_a_tenth_of_the_users_is_held_out_if_nothing_is_said(users, heldout):
    """At least one and at most a thousand, of those that the filters leave: one user has a single item."""
    user = np.append(np.repeat(np.arange(users), 2), users)
    item = np.append(np.tile([0, 1], users), 0)
    split = strong_split(Interactions.from_labels(user, item), n_heldout=None, min_user=2)
    assert split.validation.n_users == split.test.n_users == split.protocol["n_heldout"] == heldout
    assert split.train.shape[0] == users - 2 * heldout


def test_too_few_users_says_how_many_fit():
    rows = [(u, i, 1) for u in range(7) for i in range(6)]
    with pytest.raises(InputError, match=r"7 of 7 users.*at most 3$"):
        strong_split(interactions(rows), n_heldout=4)
    assert strong_split(interactions(rows), n_heldout=3).train.shape == (1, 6)


@pytest.mark.parametrize(
    ("argument", "value"), [("n_heldout", 0), ("seed", -1), ("seed", 2**32), ("min_user", -1), ("min_item", -1)]
)
def test_arguments_out_of_range(argument, value):
    with pytest.raises(InputError, match=argument):
        strong_split(interactions(events()), **{argument: value})


@pytest.fixture
def split():
    rows = [(f"Zoë {u}", f"item {i}", r) for u, i, r in events()]
    return strong_split(interactions(rows, titles={"item 4": "Amélie, the “film”"}, name="näme"), n_heldout=5)


def assert_same(a, b):
    for key, matrix in a._matrices().items():
        other = b._matrices()[key]
        assert matrix.shape == other.shape
        assert (matrix != other).nnz == 0
        assert matrix.indices.dtype == other.indices.dtype == np.int32
        assert matrix.indptr.dtype == other.indptr.dtype == np.int32
    for key, labels in a._labels().items():
        np.testing.assert_array_equal(labels, b._labels()[key])
    assert (a.name, dict(a.protocol), dict(a.filters)) == (b.name, dict(b.protocol), dict(b.filters))


def test_saved_and_loaded_is_the_same(split, tmp_path):
    split.save(tmp_path / "s.safetensors")
    assert_same(split, StrongSplit.load(tmp_path / "s.safetensors"))


def test_integer_labels_and_none_survive(tmp_path):
    part = FoldIn(np.eye(3), 1 - np.eye(3))
    bare = StrongSplit(sp.csr_matrix(np.eye(3)), part, part, np.array([9, 8, 7]))
    bare.save(tmp_path / "s.safetensors")
    loaded = StrongSplit.load(tmp_path / "s.safetensors")
    assert_same(bare, loaded)
    assert loaded.item_labels.dtype == np.int64
    assert loaded.train_labels is None


def test_a_damaged_file_is_refused_wherever_it_is_damaged(split, tmp_path):
    path = tmp_path / "s.safetensors"
    split.save(path)
    whole = path.read_bytes()
    for at in np.linspace(0, len(whole) - 1, 40).astype(int):
        broken = bytearray(whole)
        broken[at] ^= 0x11
        path.write_bytes(broken)
        with pytest.raises(InputError):
            StrongSplit.load(path)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError):
        StrongSplit.load(path)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="not a file"):
        StrongSplit.load(tmp_path / "missing.safetensors")
    save_arrays(tmp_path / "m.safetensors", "model", {"a": np.ones(2)}, {})
    with pytest.raises(InputError, match="a model"):
        StrongSplit.load(tmp_path / "m.safetensors")


def test_a_split_and_its_parts_say_their_sizes(split):
    n, part = split.train.shape[0], split.test
    assert repr(split) == (
        f"StrongSplit('näme', {n:,} + 5 + 5 training, validation and test users, {split.n_items:,} items, "
        f"{split.train.nnz:,} training events)"
    )
    events = f"{part.history.nnz:,} + {part.heldout.nnz:,} events"
    assert repr(part) == f"FoldIn(5 users, {split.n_items:,} items, history and held out {events})"
    assert split.n_users == n + 10


@pytest.mark.parametrize(
    "change",
    [
        *("indices out of range", "indptr falls", "negative end", "missing part", "labels short", "no labels"),
        "bad json",
    ],
)
def test_a_file_with_a_valid_checksum_and_wrong_content_is_refused(split, tmp_path, change):
    path = tmp_path / "s.safetensors"
    split.save(path)
    arrays, meta = load_arrays(path, "split")
    meta = {k: v for k, v in meta.items() if k != "kind"}
    if change == "indices out of range":
        arrays["train.indices"] = arrays["train.indices"] + np.int32(1000)
    elif change == "indptr falls":
        arrays["train.indptr"] = arrays["train.indptr"][::-1]
    elif change == "negative end":  # which scipy does not look at
        arrays["train.indptr"] = np.append(arrays["train.indptr"][:-1], -1)
    elif change == "missing part":
        del arrays["test.heldout.indices"]
    elif change == "no labels":  # an item must have one
        arrays = {name: a for name, a in arrays.items() if not name.startswith("item_labels")}
    elif change == "labels short":
        arrays["item_labels.offsets"] = arrays["item_labels.offsets"][:-1]
    else:
        meta["counts"] = "{"
    save_arrays(path, "split", arrays, meta)
    with pytest.raises(InputError, match=r"do not fit|split"):
        StrongSplit.load(path)


def test_fold_in_takes_any_matrix_and_refuses_what_makes_no_sense():
    part = FoldIn(sp.coo_matrix(([2.0, 3.0, 0.0], ([0, 0, 1], [1, 1, 0])), (2, 3)), np.zeros((2, 3)))
    assert part.history.toarray().tolist() == [[0, 1, 0], [0, 0, 0]]
    assert part.history.nnz == 1
    with pytest.raises(InputError, match="same shape"):
        FoldIn(np.eye(2), np.eye(3))
    with pytest.raises(InputError, match="NaN"):
        FoldIn(np.full((2, 2), np.nan), np.eye(2))
    with pytest.raises(InputError, match="user_labels"):
        FoldIn(np.eye(2), 1 - np.eye(2), np.array([1, 2, 3]))


def test_a_matrix_in_the_place_of_interactions_is_told_how_to_become_them():
    x = sp.csr_matrix((np.random.default_rng(0).random((40, 12)) < 0.5).astype(float))
    data = read_interactions(x)
    np.testing.assert_array_equal(np.sort(data.matrix.toarray().sum(0)), np.sort(np.asarray(x.sum(0)).ravel()))
    split = strong_split(data, n_heldout=5)
    good, other = Interactions.from_labels([1, 2], ["a", "b"]), "a csr_matrix; minivae.read_interactions"
    for name, call in {
        "strong_split": lambda: strong_split(x),
        "strong_split ": lambda: strong_split(x, n_heldout=None),
        "time_split": lambda: time_split(x),
        "leave_last_out": lambda: leave_last_out(x),
        "given_split": lambda: given_split(good, x),
        "given_split ": lambda: given_split(x, good),
        "given_split  ": lambda: given_split(good, good, x),
        "new_users": lambda: new_users(x, split),
    }.items():
        with pytest.raises(InputError, match=rf"^{name.strip()} needs Interactions, and this is {other}"):
            call()
    with pytest.raises(InputError, match="this is a StrongSplit"):
        strong_split(split)


def test_what_a_user_has_cannot_be_held_out():
    history = np.array([[1, 1, 0, 0], [0, 1, 0, 0]])
    with pytest.raises(InputError, match="2 of 4 held-out events are in the history too; what a user has is never"):
        FoldIn(history, np.array([[1, 0, 1, 0], [0, 1, 0, 1]]))
    assert FoldIn(history, np.array([[0, 0, 1, 0], [1, 0, 0, 1]])).heldout.nnz == 3


@given(st.integers(0, 10**6))
@settings(max_examples=15)
def test_no_split_holds_out_what_it_shows(seed):
    """Every event may be repeated and all times may be equal."""
    rng = np.random.default_rng(seed)
    user, item = rng.integers(0, 20, 400), rng.integers(0, 15, 400)
    data = Interactions.from_labels(user, item, time=rng.integers(0, 30, 400).astype(float))
    splits = strong_split(data, n_heldout=3), time_split(data, 0.6, 0.2, min_user=1), leave_last_out(data)
    for split in splits:
        for part in (split.validation, split.test):
            assert part.heldout.nnz
            assert not (part.history.toarray().astype(bool) & part.heldout.toarray().astype(bool)).any()


@pytest.mark.parametrize("argument", [{"n_heldout": 1.5}, {"seed": "1"}, {"min_user": None}, {"min_item": 2.0}])
def test_arguments_must_be_whole_numbers(argument):
    with pytest.raises(InputError, match=f"{next(iter(argument))} must be a whole number"):
        strong_split(Interactions.from_labels([1, 2, 3], [1, 2, 3]), **argument)


def test_advice_for_too_few_users_can_be_followed():
    """Lowering a filter helps only where it took users."""
    pairs = [(u, i) for u in range(4) for i in range(5)]
    for users, n_heldout, said in (
        (2, 1, "3 users are the fewest of which one can be trained on"),
        (4, 2, "hold out at most 1"),
    ):
        data = Interactions.from_labels(*zip(*pairs[: 5 * users], strict=True))
        with pytest.raises(InputError, match=f"; {said}$"):
            strong_split(data, n_heldout=n_heldout)
    short = Interactions.from_labels(*zip(*pairs, (9, 0), strict=True))
    with pytest.raises(InputError, match=r"; hold out at most 1 or lower min_user or min_item$"):
        strong_split(short, n_heldout=2, min_item=2)


@pytest.mark.parametrize(
    ("protocol", "sentence"),
    [
        ({"rule": "time"}, "says nothing of the moments of the cut"),
        ({"rule": "time", "train_until": "x", "validation_until": 2.0}, "train_until of its protocol is 'x'"),
        ({"rule": "last", "tied": "many"}, "tied of its protocol is 'many', not a number"),
        ({"seed": float("inf")}, "seed of its protocol is inf"),
        ({"fold": "x"}, "fold of its protocol is 'x'"),
    ],
)
def test_a_protocol_that_cannot_be_read_is_refused(split, tmp_path, protocol, sentence):
    path = tmp_path / "s.safetensors"
    replace(split, protocol=protocol).save(path)
    with pytest.raises(InputError, match=re.escape(sentence)):
        StrongSplit.load(path)
    replace(split, protocol={"made by": "me", "rule": "own"}).save(path)
    assert StrongSplit.load(path).protocol == {"made by": "me", "rule": "own"}


def test_two_items_of_one_label_are_refused(split):
    with pytest.raises(InputError, match="two items have the same label"):
        replace(split, item_labels=np.zeros(split.n_items, int))


@pytest.mark.parametrize("users", [0, 3])
def test_a_split_without_training_events_is_said_before_anything_runs(split, tmp_path, capsys, users):
    empty = sp.csr_matrix((users, split.n_items), dtype=np.float32)
    replace(split, train=empty, train_labels=None).save(tmp_path / "s.safetensors")
    for argv in (["data", "info"], ["study", "--models", "popularity", "--out", str(tmp_path / "o"), "--data"]):
        assert main([*argv, str(tmp_path / "s.safetensors")]) == 2
        assert "holds no training events, so there is nothing to learn from" in capsys.readouterr().err
