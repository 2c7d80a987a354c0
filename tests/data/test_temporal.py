"""Splits by time against event-by-event loops, own files, and the audit."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from minivae.cli import main
from minivae.data.audit import leakage, protocol_in_words, warnings
from minivae.data.given import given_split
from minivae.data.interactions import Interactions
from minivae.data.population import planted
from minivae.data.splits import FoldIn, StrongSplit
from minivae.data.strong_split import strong_split
from minivae.data.temporal import leave_last_out, time_split
from minivae.errors import InputError

events = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 7), st.integers(0, 30)),
    min_size=20,
    max_size=90,
    unique_by=lambda e: e[:2],
)


def data_of(rows):
    return Interactions.from_labels(
        [r[0] for r in rows], [r[1] for r in rows], time=np.array([r[2] for r in rows], float)
    )


def held(split, part):
    """(user, item) pairs of the history and of what is held out, by labels."""
    found = []
    for m in (part.history, part.heldout):
        m = m.tocoo()
        found.append(set(zip(part.user_labels[m.row].tolist(), split.item_labels[m.col].tolist(), strict=True)))
    return found


def last_out_by_loops(rows):
    """Train, validation and test pairs of each user, event by event."""
    train, validation, test = set(), set(), set()
    for user in {r[0] for r in rows}:
        own = sorted(((t, k, i) for k, (u, i, t) in enumerate(rows) if u == user))
        if len(own) >= 3:
            test.add((user, own[-1][2]))
            validation.add((user, own[-2][2]))
            train |= {(user, i) for _, _, i in own[:-2]}
    known = {i for _, i in train}
    return train, {p for p in validation if p[1] in known}, {p for p in test if p[1] in known}


@settings(max_examples=60, deadline=None)
@given(events)
def test_leave_last_out_equals_the_loops(rows):
    train, validation, test = last_out_by_loops(rows)
    try:
        split = leave_last_out(data_of(rows), min_user=3)
    except InputError:
        assert len({u for u, _ in validation}) < 2 or len({u for u, _ in test}) < 2
        return
    m = split.train.tocoo()
    assert set(zip(split.train_labels[m.row].tolist(), split.item_labels[m.col].tolist(), strict=True)) == train
    assert held(split, split.validation)[1] == validation
    history, heldout = held(split, split.test)
    assert heldout == test
    assert history == {p for p in train | validation if p[0] in {u for u, _ in test}}


@settings(max_examples=60, deadline=None)
@given(events)
def test_time_split_never_trains_on_the_future(rows):
    when = {(u, i): t for u, i, t in rows}
    try:
        split = time_split(data_of(rows), train=0.6, validation=0.2, min_user=1)
    except InputError:
        return
    first, second = split.protocol["train_until"], split.protocol["validation_until"]
    m = split.train.tocoo()
    train = set(zip(split.train_labels[m.row].tolist(), split.item_labels[m.col].tolist(), strict=True))
    assert train == {p for p, t in when.items() if t < first}
    assert all(first <= when[p] < second for p in held(split, split.validation)[1])
    assert all(when[p] >= second for p in held(split, split.test)[1])
    assert all(when[p] < second for p in held(split, split.test)[0])
    assert not any(r.leak for r in leakage(split))


def test_times_are_needed_and_shares_make_sense():
    with pytest.raises(InputError, match="column of times: give time"):
        time_split(Interactions.from_labels([1, 2], [1, 2]))
    for train, validation in ((0.9, 0.1), (0.5, 0.5), (0, 0.5), (-0.1, 0.5), (0.5, 0), (0.5, -0.1), (1, 0.5), (0.1, 1)):
        with pytest.raises(InputError, match="must be positive and sum to below 1"):
            time_split(data_of([(1, 1, 1)]), train=train, validation=validation)
    with pytest.raises(InputError, match="no user has 5 items"):
        leave_last_out(data_of([(1, 1, 1), (2, 1, 1)]))


def test_a_protocol_has_the_filters_that_were_taken():
    """A user needs three items, one for each part, whatever is asked for; the shares are of all events."""
    rows = [(u, (i + u) % 7, 10 * i + u) for u in range(6) for i in range(7)]
    for asked, taken in ((0, 3), (3, 3), (5, 5)):
        protocol = leave_last_out(data_of(rows), min_user=asked, min_item=2).protocol
        assert protocol == {"rule": "last", "min_user": taken, "min_item": 2}
    moments = sorted(t for *_, t in rows)
    for shares, (train, validation) in (({}, (0.8, 0.1)), ({"train": 0.5, "validation": 0.25}, (0.5, 0.25))):
        protocol = time_split(data_of(rows), **shares).protocol
        assert protocol == {
            "rule": "time",
            "train_until": moments[int(train * 42)],
            "validation_until": moments[int((train + validation) * 42)],
            "min_user": 5,
            "min_item": 0,
        }


def test_one_moment_cannot_be_cut():
    data = Interactions.from_labels([u for u in range(9) for _ in range(6)], list(range(6)) * 9, time=np.ones(54))
    with pytest.raises(InputError, match=r"too few moments.*split='users'"):
        time_split(data)


def test_own_files_are_a_weak_split_and_said_to_be_given():
    rng = np.random.default_rng(0)
    pairs = sorted({(int(u), int(i)) for u, i in zip(rng.integers(0, 40, 900), rng.integers(0, 30, 900), strict=True)})
    cut = rng.random(len(pairs)) < 0.7
    train = Interactions.from_labels(*zip(*[p for p, c in zip(pairs, cut, strict=True) if c], strict=True))
    future = [*(p for p, c in zip(pairs, cut, strict=True) if not c), (999, 3), (5, 777)]
    test = Interactions.from_labels(*zip(*future, strict=True))
    split = given_split(train, test)
    known = set(zip(train.user_labels[train.user].tolist(), train.item_labels[train.item].tolist(), strict=True))
    history, heldout = held(split, split.test)
    assert heldout == set(future[:-2])
    assert history == {p for p in known if p[0] in {u for u, _ in heldout}}
    assert held(split, split.validation)[1] <= known
    m = split.train.tocoo()
    trained = set(zip(split.train_labels[m.row].tolist(), split.item_labels[m.col].tolist(), strict=True))
    assert trained == known - held(split, split.validation)[1]
    assert "given by the user" in protocol_in_words(split)
    assert "weak generalization" in protocol_in_words(split)
    assert split.filters["test file"][2] - 2 == split.test.heldout.nnz


@pytest.mark.parametrize(
    ("test", "said"),
    [
        (
            [("u1", "a"), ("u2", "b"), ("u3", "c")],
            "0 users of the training file have test events that are not training",
        ),
        ([("x1", "a"), ("x2", "b")], "0 users of the training file have test events of which the training file knows"),
        ([("u1", "z"), ("u2", "z")], "0 users of the training file have test events of which the training file knows"),
        ([("u1", "b"), ("u2", "z")], "1 user of the training file has test events of which the training file knows"),
    ],
)
def test_a_test_file_that_leaves_nobody_says_why(test, said):
    train = Interactions.from_labels(["u1", "u1", "u2", "u2", "u3", "u3"], [*"aebeca"])
    other = Interactions.from_labels(["u1", "u2"], ["c", "c"])
    with pytest.raises(InputError, match=said):
        given_split(train, Interactions.from_labels(*zip(*test, strict=True)), other)


def test_the_protocol_is_stated_only_where_it_is_known():
    strong = strong_split(planted(n_users=200, n_items=40, n_events=2400), n_heldout=20)
    assert "test users are new" in protocol_in_words(strong)
    part = FoldIn(np.eye(3), np.roll(np.eye(3), 1, 1))
    assert "given by the user" in protocol_in_words(StrongSplit(np.eye(3), part, part, np.arange(3)))
    twice = strong.test.user_labels[[0]].repeat(strong.train.shape[0])
    shared = replace(strong, train_labels=twice)
    assert "test users are new" not in protocol_in_words(shared)
    assert any(r.leak for r in leakage(shared))


def test_doubts_are_named():
    fine = strong_split(planted(n_users=400, n_items=60, n_events=6000), n_heldout=40)
    assert warnings(fine) == []
    few = strong_split(planted(n_users=400, n_items=60, n_events=6000), n_heldout=199)
    assert any("only 2 training users for 199 test users: hold out fewer" in w for w in warnings(few))
    pairs = [(u, i) for u in range(20) for i in range(u % 3, u % 3 + 6)]
    train = Interactions.from_labels(*zip(*pairs, strict=True))
    own = given_split(train, Interactions.from_labels(*zip(*((u, (i + 1) % 9) for u, i in pairs), strict=True)))
    assert any(w.endswith("test users") and "only 20 training users" in w for w in warnings(own))
    last = leave_last_out(data_of([(u, i, i) for u, i in pairs]), min_user=3)
    assert any("only 20 training users" in w and w.endswith("test users") for w in warnings(last))
    short = leave_last_out(data_of([*((u, i, i) for u, i in pairs), (99, 0, 0), (99, 1, 1)]), min_user=3)
    assert any("only 20 training users" in w and w.endswith("lower min_user") for w in warnings(short))
    rows = [(u, i) for u in range(200) for i in range(10)]
    everything = strong_split(Interactions.from_labels(*zip(*rows, strict=True)), n_heldout=20)
    said = " ".join(warnings(everything))
    assert "every test user has every item" in said
    assert "equally many training users" in said
    train = sp.csr_matrix(np.tile([1.0, 1, 1, 0, 0], (60, 1)) + np.eye(60, 5) * [0, 0, 0, 1, 1])
    part = FoldIn(np.tile([1.0, 0, 0, 0, 0], (5, 1)), np.tile([0.0, 1, 1, 0, 0], (5, 1)))
    assert any("popularity alone is perfect" in w for w in warnings(StrongSplit(train, part, part, np.arange(5))))


def test_what_each_filter_took_adds_up():
    rng = np.random.default_rng(3)
    data = Interactions.from_labels(rng.integers(0, 300, 1500), rng.integers(0, 60, 1500))
    split = strong_split(data, n_heldout=None, min_user=6, min_item=15)
    steps = list(split.filters.values())
    assert steps[0] == (data.n_users, data.n_items, data.n_events)
    assert all(a >= b for earlier, later in pairwise(steps) for a, b in zip(earlier, later, strict=True))
    parts = (split.validation, split.test)
    assert steps[-1][2] == split.train.nnz + sum(p.history.nnz + p.heldout.nnz for p in parts)
    assert steps[-1][:2] == (split.n_users, split.n_items)
    counts = np.bincount(data.item, minlength=data.n_items)
    assert steps[1][1:] == ((counts >= 15).sum(), counts[counts >= 15].sum())
    assert split.protocol["n_heldout"] == steps[2][0] // 10


def test_the_moments_of_a_cut_are_said_in_full_and_as_dates(tmp_path):
    """Of dates in the file, and of counts that are no seconds; the report offers no other draw of users."""
    rng = np.random.default_rng(0)
    rows = [(u, i) for u in range(40) for i in rng.choice(30, 9, replace=False)]
    days = [f"2020-{1 + k % 12:02d}-{1 + k % 28:02d}" for k in rng.permutation(len(rows))]
    text = "user,item,when\n" + "".join(f"{u},{i},{d}\n" for (u, i), d in zip(rows, days, strict=True))
    (tmp_path / "t.csv").write_text(text)
    out = tmp_path / "s"
    columns = ["--train", str(tmp_path / "t.csv"), "--time", "when", "--split", "time", "--models", "ease,popularity"]
    assert main(["study", *columns, "--out", str(out)]) == 0
    report = (out / "report.md").read_text(encoding="utf-8")
    until = StrongSplit.load(out / "split.safetensors").protocol["train_until"]
    assert f"before {until:.0f} (2020-" in report
    assert "e+0" not in report
    assert "for this split and these seeds" in report
    assert "--split-seeds" not in report


def test_last_items_at_the_same_time_are_counted_and_said(tmp_path, capsys):
    """By loops: a user's two latest events have the same time. With days in place of seconds that is most of them."""
    rng = np.random.default_rng(0)
    user, item = np.repeat(np.arange(30), 6), np.concatenate([rng.permutation(20)[:6] for _ in range(30)])
    for moments in (np.arange(180.0), rng.integers(0, 3, 180).astype(float)):
        latest = [sorted(moments[user == u])[-3:] for u in range(30)]
        split = leave_last_out(Interactions.from_labels(user, item, time=moments))
        for name, tied, said in (
            ("tied", sum(b == c for _, b, c in latest), "two items come last at the same time; the order of the file"),
            ("tied_validation", sum(a == b for a, b, _ in latest), "the item for validation has the same time as"),
        ):
            assert split.protocol.get(name, 0) == tied
            said = f"or {tied} of 30 users {said}"
            assert (said in protocol_in_words(split)) == (said in " ".join(warnings(split))) == (tied > 0)


def test_a_tie_before_the_last_item_is_said():
    """The order of the file decides between validation and training, though each user's last item is known."""
    user, when = np.repeat(np.arange(9), 4), np.tile([1.0, 2.0, 2.0, 3.0], 9)
    splits = [
        leave_last_out(Interactions.from_labels(user, (user + np.tile(order, 9)) % 9, time=when), min_user=4)
        for order in ([0, 1, 2, 3], [0, 2, 1, 3])
    ]
    first, second = (held(split, split.validation)[1] for split in splits)
    assert first.isdisjoint(second)
    for split in splits:
        assert split.protocol == {"rule": "last", "min_user": 4, "min_item": 0, "tied_validation": 9}
        assert "For 9 of 9 users the item for validation has the same time as the one before" in protocol_in_words(
            split
        )
