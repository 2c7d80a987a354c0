"""Which user stands where in a fold, against a few users written down by hand."""

import numpy as np
import pytest
import scipy.sparse as sp

from minivae.data.splits import FoldIn, StrongSplit
from minivae.data.strong_split import draw_heldout
from minivae.errors import InputError
from minivae.study.run.folds import Population, folds

SEED = 4
ITEMS = [f"i{k}" for k in range(9)]
USERS = {  # label -> items, those of training users first, then of validation and of test users
    "ann": [0, 1, 2, 3, 4],
    "bob": [0, 2, 4, 6, 7],
    "cid": [1, 3, 5, 6, 7, 8],
    "dan": [0, 1],
    "eve": [2, 3, 4, 5, 6],
    "fay": [0, 5, 6, 7, 8],
    "gus": [1, 2, 4, 5, 8],
    "hal": [0, 3, 4, 6, 8],
    "ida": [0, 1, 2, 3, 4, 5, 6, 7, 8],
}
WHERE = {"train": ["ann", "bob", "cid", "dan"], "validation": ["eve", "fay"], "test": ["gus", "hal", "ida"]}


def matrix(rows):
    x = np.zeros((len(rows), len(ITEMS)))
    for k, items in enumerate(rows):
        x[k, items] = 1
    return sp.csr_matrix(x)


def made(unnamed=(), titles=True, where=WHERE):
    """The split of these users, the first item of a user of validation and test held out; some parts unnamed."""
    labels = {part: None if part in unnamed else np.array(of) for part, of in where.items()}
    parts = {}
    for part in ("validation", "test"):
        of = [USERS[u] for u in where[part]]
        parts[part] = FoldIn(matrix([x[1:] for x in of]), matrix([x[:1] for x in of]), labels[part])
    return StrongSplit(
        matrix([USERS[u] for u in where["train"]]),
        parts["validation"],
        parts["test"],
        np.array(ITEMS),
        np.array([f"Title of {i}" for i in ITEMS]) if titles else None,
        labels["train"],
        "by hand",
    )


def heldout_by_hand():
    """label -> items that are held out, drawn user by user."""
    events = [(k, item) for k, items in enumerate(USERS.values()) for item in items]
    drawn = draw_heldout(np.array([k for k, _ in events]), SEED)
    held = {u: set() for u in USERS}
    for at in drawn:
        user, item = events[at]
        held[list(USERS)[user]].add(item)
    return held


def as_items(x, labels, item_labels):
    """label -> items of its row."""
    return {str(u): {ITEMS.index(i) for i in item_labels[x[k].indices]} for k, u in enumerate(labels)}


def test_the_held_out_items_are_those_of_the_user_and_few_items_hold_none_out():
    everyone = Population.of(made(), SEED)
    held = heldout_by_hand()
    assert everyone.labels.tolist() == list(USERS)
    names = np.array(ITEMS)
    assert as_items(everyone.x, everyone.labels, names) == {u: set(of) for u, of in USERS.items()}
    assert as_items(everyone.heldout, everyone.labels, names) == held
    assert {u: len(of) for u, of in held.items()} == {u: 1 if u != "dan" else 0 for u in USERS}
    assert everyone.heldout.nnz == 8  # no zeros are kept
    assert everyone.x.nnz == sum(map(len, USERS.values()))  # the users themselves are not changed
    assert everyone.x.dtype == everyone.heldout.dtype == np.float32
    some = everyone.fold_in(np.array([7, 2]), np.array([8, 3, 6]))
    assert some.user_labels.tolist() == ["hal", "cid"]
    for k, user in enumerate(("hal", "cid")):
        row = [float(item in held[user]) for item in (8, 3, 6)]
        assert some.heldout[k].toarray().ravel().tolist() == row
        assert some.history[k].toarray().ravel().tolist() == [
            float(item in USERS[user] and item not in held[user]) for item in (8, 3, 6)
        ]


def test_each_part_tests_the_next_validates_and_the_others_train_in_their_order():
    held = heldout_by_hand()
    parts = [[list(USERS)[u] for u in of] for of in np.array_split(np.random.RandomState(SEED).permutation(9), 4)]
    found = folds(made(), 4, seed=SEED)
    assert len(found) == 4
    trains = [parts[2] + parts[3], parts[0] + parts[3], parts[0] + parts[1], parts[1] + parts[2]]
    for j, (fold, trained) in enumerate(zip(found, trains, strict=True)):
        known = sorted(set().union(*(USERS[u] for u in trained)))
        assert fold.item_labels.tolist() == [ITEMS[i] for i in known]
        assert fold.item_titles.tolist() == [f"Title of {ITEMS[i]}" for i in known]
        assert fold.train_labels.tolist() == trained
        assert fold.test.user_labels.tolist() == parts[j]
        assert fold.validation.user_labels.tolist() == [*parts, parts[0]][j + 1]
        assert as_items(fold.train, trained, fold.item_labels) == {u: set(USERS[u]) for u in trained}
        for of in (fold.validation, fold.test):
            users = of.user_labels.tolist()
            assert as_items(of.heldout, users, fold.item_labels) == {u: held[u] & set(known) for u in users}
            expected = {u: (set(USERS[u]) - held[u]) & set(known) for u in users}
            assert as_items(of.history, users, fold.item_labels) == expected
        assert fold.name == "by hand"
        assert fold.protocol == {"folds": 4, "fold": j + 1, "seed": SEED}


def test_an_item_of_no_training_user_is_not_in_the_fold():
    """A split of whose items the last is had by "ida" alone leaves it out where she does not train."""
    rare = {u: [i for i in of if i != 8 or u == "ida"] for u, of in USERS.items()}
    x = matrix([rare[u] for u in USERS])
    split = StrongSplit(
        x[:5], FoldIn(x[5:7], 0 * x[5:7], np.array(["fay", "gus"])), FoldIn(x[7:], 0 * x[7:], np.array(["hal", "ida"])),
        np.array(ITEMS), None, np.array(["ann", "bob", "cid", "dan", "eve"]),
    )  # fmt: skip
    for fold in folds(split, 3, seed=SEED):
        assert ("i8" in fold.item_labels.tolist()) == ("ida" in fold.train_labels.tolist())
        assert fold.item_titles is None


@pytest.mark.parametrize("unnamed", [("train",), ("validation",), ("test",), ("train", "validation", "test")])
def test_users_of_whom_some_have_no_label_are_numbered(unnamed):
    everyone = Population.of(made(unnamed=unnamed), SEED)
    assert everyone.labels.tolist() == [str(k) for k in range(9)]


def test_the_fewest_folds_and_users_are_allowed_and_no_fewer():
    few = {"train": ["ann", "bob"], "validation": ["eve", "fay"], "test": ["gus", "hal"]}
    assert [len(fold.test.user_labels) for fold in folds(made(where=few), 3)] == [2, 2, 2]
    fewer = few | {"test": ["gus"]}
    with pytest.raises(InputError, match=r"^5 users are too few for 3 folds of at least 2; give fewer folds$"):
        folds(made(where=fewer), 3)
    with pytest.raises(InputError, match=r"^folds=2 is not possible; it must be a whole number, at least 3$"):
        folds(made(), 2)
    with pytest.raises(InputError, match=r"^folds=0 is not possible; it must be a whole number, at least 3$"):
        folds(made(), 0)


def test_the_seed_that_is_not_given_is_the_one_written_down():
    assert [f.protocol["seed"] for f in folds(made(), 3)] == [98765] * 3
    assert [f.test.user_labels.tolist() for f in folds(made(), 3)] == [
        f.test.user_labels.tolist() for f in folds(made(), 3, seed=98765)
    ]
