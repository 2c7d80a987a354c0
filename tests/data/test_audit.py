"""What is said of a split before its numbers are believed: splits made by hand, at every limit."""

import numpy as np
import pytest
import scipy.sparse as sp

from minivae.data import audit
from minivae.data.audit import leakage, moment, popularity_is_perfect, protocol_in_words, shared_users, warnings
from minivae.data.splits import FoldIn, StrongSplit

STRONG = {"n_heldout": 2, "seed": 1, "min_user": 5, "min_item": 0}


def matrix(rows, items=6):
    return sp.csr_matrix(np.array([[i in row for i in range(items)] for row in rows], float).reshape(len(rows), items))


def part(history, heldout, labels=None):
    return FoldIn(matrix(history), matrix(heldout), None if labels is None else np.array(labels))


def split_of(train, validation, test, labels=None, **more):
    return StrongSplit(
        matrix(train), validation, test, np.arange(6), train_labels=None if labels is None else np.array(labels), **more
    )


def test_findings_of_a_split_by_hand():
    """Nobody trained with item 5; of the test users one was trained on, one has no history, one nothing held out."""
    validation = part([{0}, {1, 2}], [{1}, {5}], ["x", "y"])
    test = part([{0}, set(), set(), {3}], [{5, 1}, {2}, set(), {4, 0}], ["a", "z", "w", "v"])
    split = split_of([{0, 1}, {2, 3}, {4}], validation, test, ["a", "b", "c"], protocol=STRONG)
    found = [(r.part, r.question, r.number, r.of, r.leak) for r in leakage(split)]
    questions = (
        "users who are training users",
        "held-out events that are in the history too",
        "held-out events of items that no training user has",
        "users with held-out items and no history",
    )
    of_validation = [(0, 2, False), (0, 2, False), (1, 2, False), (0, 2, False)]
    of_test = [(1, 4, True), (0, 5, False), (1, 5, False), (1, 4, False)]
    assert found == [
        *(("validation", q, *row) for q, row in zip(questions, of_validation, strict=True)),
        *(("test", q, *row) for q, row in zip(questions, of_test, strict=True)),
    ]
    assert "leak in the test part: 1 of 4 users who are training users" in warnings(split)


def test_a_user_who_is_known_is_a_leak_only_where_users_should_be_new():
    test = part([{0}, {1}], [{1}, {2}], ["a", "z"])
    for protocol, leak in ((STRONG, True), ({"rule": "given"}, False), ({}, False)):
        rows = leakage(split_of([{0}, {1}], test, test, ["a", "b"], protocol=protocol))
        assert [r.leak for r in rows] == [leak, False, False, False] * 2
    new = part([{0}, {1}], [{1}, {2}], ["y", "z"])
    assert not any(r.leak for r in leakage(split_of([{0}, {1}], new, new, ["a", "b"], protocol=STRONG)))


def test_events_before_the_training_are_a_leak_if_there_are_any():
    test = part([{0}, {1}], [{1}, {2}])
    protocol = {"rule": "given", "validation_before_train": 0, "test_before_train": 2}
    rows = [r for r in leakage(split_of([{0}, {1}], test, test, protocol=protocol)) if "before" in r.question]
    question = "held-out events before the user's last training event"
    assert [(r.part, r.question, r.number, r.of, r.leak) for r in rows] == [
        ("validation", question, 0, 2, False),
        ("test", question, 2, 2, True),
    ]


def test_users_without_labels_cannot_be_recognised():
    named, nameless = part([{0}], [{1}], ["1"]), part([{0}], [{1}])
    assert shared_users(split_of([{0}], named, named, [1]), named) == 1  # a number and its text are one user
    assert shared_users(split_of([{0}], named, named, [2]), named) == 0
    assert shared_users(split_of([{0}], named, named), named) is None
    split = split_of([{0}], nameless, nameless, [1])
    assert shared_users(split, nameless) is None
    (first, *_) = leakage(split)
    assert (first.number, first.leak) == (None, False)


@pytest.mark.parametrize(
    ("time", "said"),
    [
        (10**8 - 1, "99999999"),
        (10**8, "100000000 (1973-03-03 09:46:40 UTC, if these are seconds since 1970)"),
        (10**10 - 1, "9999999999 (2286-11-20 17:46:39 UTC, if these are seconds since 1970)"),
        (10**10, "10000000000"),
        (1.5e9 + 0.25, "1500000000.25 (2017-07-14 02:40:00 UTC, if these are seconds since 1970)"),
        (-3.5, "-3.5"),
    ],
)
def test_a_moment_is_a_date_where_it_may_count_seconds(time, said):
    assert moment(time) == said


def test_protocols_in_words():
    test = part([{0}, {1}], [{1}, {2}], ["y", "z"])
    train = [{0}, {1}]
    strong = split_of(train, test, test, ["a", "b"], protocol=STRONG)
    assert protocol_in_words(strong) == (
        "Strong generalization after Liang et al. (2018): test users are new; a fifth of their items is held out."
    )
    known = split_of(train, test, test, ["y", "b"], protocol=STRONG)
    unknown = "The split was given by the user; how it was made is not known."
    assert protocol_in_words(known) == f"{unknown} 1 of 2 test users are training users (weak generalization)."
    assert protocol_in_words(split_of(train, test, test, ["a", "b"])) == unknown
    fold = {"folds": 5, "fold": 2, "seed": 7}
    assert protocol_in_words(split_of(train, test, test, ["a", "b"], protocol=fold)) == (
        "Fold 2 of 5 of the users: test users are new, and each is tested in one fold; a fifth of their items is held "
        "out."
    )
    rows = leakage(split_of(train, test, test, ["y", "b"], protocol=fold))
    assert [r.part for r in rows if r.leak] == ["validation", "test"]
    time = split_of(train, test, test, protocol={"rule": "time", "train_until": 5.0, "validation_until": 7.0})
    assert protocol_in_words(time) == (
        "Global cut in time: trained on what came before 5, validated on what came before 7, tested on the rest; the "
        "users are the training users, their items before the cut are the input."
    )
    assert protocol_in_words(split_of(train, test, test, protocol={"rule": "last"})) == (
        "Leave the last out: each user's last item is for test, the one before for validation; the users are the "
        "training users."
    )


def users(n, n_test, **more):
    """n training users of whom the k-th has one or two of five items, and test users who have an unpopular one."""
    train = [{0} if k % 2 else {0, 1 + k % 3} for k in range(n)]
    test = part([{5}] * n_test, [{4}] * n_test)
    return split_of(train, test, test, **({"protocol": STRONG} | more))


@pytest.mark.parametrize(
    ("n", "n_test", "protocol", "doubted"),
    [
        (49, 3, STRONG, True),
        (50, 50, STRONG, False),
        (50, 51, STRONG, True),
        (50, 51, {"rule": "given"}, False),  # the test users are training users
        (49, 3, {"rule": "given"}, True),
    ],
)
def test_too_few_training_users(n, n_test, protocol, doubted):
    said = [w for w in warnings(users(n, n_test, protocol=protocol)) if w.startswith("only")]
    assert len(said) == doubted
    if doubted:
        assert said[0].startswith(f"only {n} training users for {n_test} test users")


@pytest.mark.parametrize(
    ("protocol", "filters", "advice"),
    [
        (STRONG, {}, ": hold out fewer (n_heldout) or lower min_user"),
        (STRONG | {"n_heldout": 1}, {}, ": lower min_user"),
        (STRONG, {"data": (60, 6, 90), "kept": (50, 6, 80)}, ": hold out fewer (n_heldout) or lower min_user"),
        (
            STRONG,
            {"data": (60, 6, 90), "items": (60, 5, 85), "kept": (50, 5, 80)},
            ": hold out fewer (n_heldout) or lower min_user",
        ),
        (STRONG, {"data": (50, 6, 90), "kept": (50, 6, 80)}, ": hold out fewer (n_heldout)"),  # nobody was left out
        ({"rule": "given"}, {}, ""),
        ({"rule": "last", "min_user": 3}, {"data": (60, 6, 90), "kept": (50, 6, 80)}, ": lower min_user"),
    ],
)
def test_advice_for_too_few_training_users_can_be_followed(protocol, filters, advice):
    (said,) = [w for w in warnings(users(20, 3, protocol=protocol, filters=filters)) if w.startswith("only")]
    assert said == f"only 20 training users for 3 test users{advice}"


def test_one_test_user_gives_no_error_of_a_mean():
    train = [{0, 1 + k % 3} for k in range(60)]
    for heldout, said in (([{4}, set()], "1 test user has"), ([set(), set()], "0 test user has")):
        test = part([{5}, {5}], heldout)
        expected = f"{said} held-out items: no mean over users, no error of it"
        assert expected in warnings(split_of(train, test, test, protocol=STRONG))
    test = part([{5}, {5}], [{4}, {4}])
    assert not [w for w in warnings(split_of(train, test, test, protocol=STRONG)) if "no mean" in w]


def test_a_user_who_has_everything_is_ranked_perfectly_by_any_order():
    train = [{0, 1 + k % 3} for k in range(60)]
    every = part([{0, 1, 2}, {3, 4, 5}], [{3, 4, 5}, {0, 1, 2}])
    said = "every test user has every item: any order of the items is perfect; keep only the likes"
    assert said in warnings(split_of(train, every, every, protocol=STRONG))
    nearly = part([{0, 1, 2}, {3, 4}], [{3, 4, 5}, {0, 1, 2}])
    assert said not in warnings(split_of(train, nearly, nearly, protocol=STRONG))


def test_popularity_alone_is_perfect_if_nothing_popular_is_left_over():
    """Item k has 6 − k training users."""
    train = [set(range(n)) for n in range(1, 7)]

    def perfect(*users):
        of = part([u[0] for u in users], [u[1] for u in users])
        return popularity_is_perfect(split_of(train, of, of))

    assert perfect(({0}, {1, 2}), ({1}, {0}))
    assert not perfect(({0}, {1, 3}))  # item 2 is more popular than 3
    assert not perfect(({0}, {1, 2}), ({1}, {2}))
    assert perfect(({0}, {1}), ({5}, set()))  # who has nothing held out is not asked
    assert not perfect(({5}, set()))
    even = part([{0}], [{1}])
    assert not popularity_is_perfect(split_of([{0, 1, 2}] * 3, even, even))  # a tie is no order
    test = part([{0}] * 2, [{1, 2}] * 2)
    many = [*train * 10]
    assert "ranking by popularity alone is perfect: models cannot be compared on these data" in warnings(
        split_of(many, test, test, protocol=STRONG)
    )


def test_popularity_is_probed_on_the_first_users_alone(monkeypatch):
    train = [set(range(n)) for n in range(1, 7)]
    users = part([{0}, {0}, {0}], [{1}, {1}, {5}])
    split = split_of(train, users, users)
    assert audit.PROBED == 200
    assert not popularity_is_perfect(split)
    monkeypatch.setattr(audit, "PROBED", 2)
    assert popularity_is_perfect(split)


def test_items_that_all_have_as_many_users():
    said = "all items have equally many training users: popularity ties everywhere"
    test = part([{5}, {5}], [{4}, {4}])
    even = [{k % 6} for k in range(60)]
    assert said in warnings(split_of(even, test, test, protocol=STRONG))
    assert said not in warnings(split_of([*even, {0}], test, test, protocol=STRONG))
    one = FoldIn(np.zeros((2, 1)), np.ones((2, 1)))
    assert said not in warnings(StrongSplit(np.ones((60, 1)), one, one, np.arange(1)))
