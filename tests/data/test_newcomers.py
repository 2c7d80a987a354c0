"""A trained model on users of another table: items matched by label, held out by the rule of the split."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

import minivae as mv
from minivae.cli import main
from minivae.data.interactions import Interactions
from minivae.data.newcomers import new_users
from minivae.data.strong_split import strong_split
from minivae.errors import InputError


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    user, item = rng.integers(0, 120, 2600), rng.zipf(1.4, 2600) % 45
    return Interactions.from_labels([f"u{u}" for u in user], [f"i{i}" for i in item])


@pytest.fixture(scope="module")
def split(data):
    return strong_split(data, n_heldout=15)


def of_users(data, labels):
    """The events of some users, in the order of the file."""
    chosen = np.isin(data.user_labels, labels)[data.user]
    return data.user_labels[data.user[chosen]], data.item_labels[data.item[chosen]]


def rows(fold_in):
    """Label of a user -> history and held-out items."""
    both = zip(fold_in.user_labels.tolist(), fold_in.history, fold_in.heldout, strict=True)
    return {u: (sorted(h.indices.tolist()), sorted(o.indices.tolist())) for u, h, o in both}


def test_the_test_users_as_a_table_are_the_test_users_of_the_split(data, split):
    found = new_users(Interactions.from_labels(*of_users(data, split.test.user_labels)), split)
    assert rows(found.fold_in) == rows(split.test)
    assert found.trained_on == 0


def test_another_seed_or_order_is_another_draw(data, split):
    """Broken twins: what does not follow the rule is seen by the comparison above."""
    user, item = of_users(data, split.test.user_labels)
    for broken in (
        new_users(Interactions.from_labels(user, item), split, seed=1),
        new_users(Interactions.from_labels(user[::-1], item[::-1]), split),
    ):
        assert rows(broken.fold_in) != rows(split.test)


def test_unknown_items_and_known_users_are_counted(split):
    known, strange = split.item_labels[:6].tolist(), ["new 1", "new 2"]
    user = ["a"] * 8 + [str(split.train_labels[0])] * 6 + ["short"] * 2 + ["strange"] * 7
    item = [*known, *strange, *known, *known[:2], *known[:4], *strange, "new 3"]
    found = new_users(Interactions.from_labels(user, item), split)
    assert np.asarray(found.fold_in.user_labels).tolist() == sorted(["a", str(split.train_labels[0]), "strange"])
    assert found.filters == {
        "table": (4, 9, 23),
        "without users of fewer than 5 items": (3, 9, 21),
        "without items that the model does not know": (3, 6, 16),
    }
    assert (found.trained_on, found.without_heldout) == (1, 1)
    assert found.matrix.nnz == 16
    steps = "; ".join(f"{k}: {u} users, {i} items, {e} events" for k, (u, i, e) in found.filters.items())
    doubts = (
        "1 users have fewer than 5 known items, so nothing is held out of them",
        "warning: 1 of 3 users were trained on; the model may have seen what is held out",
    )
    assert str(found).splitlines() == [f"left after each step: {steps}", *doubts]
    for known in (0, None):
        assert str(replace(found, trained_on=known)).splitlines() == [f"left after each step: {steps}", doubts[0]]
    assert str(replace(found, without_heldout=0)).splitlines()[1:] == [doubts[1]]
    nameless = replace(split, train_labels=None)
    assert new_users(Interactions.from_labels(user, item), nameless).trained_on is None
    assert new_users(Interactions.from_labels(user, item), split, min_user=7).fold_in.n_users == 2


def test_numbers_and_text_meet():
    table = pl.DataFrame({"user": np.repeat(np.arange(60), 8), "item": np.tile(np.arange(480) % 24, 1)})
    split = strong_split(mv.read_interactions(table), n_heldout=5)
    frame = pl.DataFrame({"user": ["x"] * 6, "item": [str(i) for i in split.item_labels[:6]]})
    assert new_users(mv.read_interactions(frame), split).fold_in.history.nnz == 5


def test_a_table_that_does_not_fit_is_refused(split):
    with pytest.raises(
        InputError,
        match=r"knows none of the 5 items of the table, such as 'q0'; its items are called i.*; choose the column",
    ):
        new_users(Interactions.from_labels(["a"] * 5, [f"q{k}" for k in range(5)]), split)
    with pytest.raises(InputError, match="none of 1 users has at least 5 items; lower min_user"):
        new_users(Interactions.from_labels(["a"], ["i1"]), split)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    table = pl.DataFrame({"user": data.user_labels[data.user], "item": data.item_labels[data.item]})
    table.write_csv(folder / "all.csv")
    words = ["--data", str(folder / "all.csv"), "--heldout", "15", "--epochs", "1", "--device", "cpu"]
    assert main(["study", *words, "--models", "ease,multvae", "--out", str(folder / "study")]) == 0
    return folder / "study" / "runs"


@pytest.mark.slow
def test_the_same_numbers_at_the_shell(data, split, run, tmp_path, capsys):
    user, item = of_users(data, split.test.user_labels)
    pl.DataFrame({"who": user, "what": item}).write_csv(tmp_path / "t.csv")
    words = ["evaluate", "--model", str(run / "ease-seed0"), "--device", "cpu", "--json-file"]
    assert main([*words, str(tmp_path / "split.json")]) == 0
    table = ["--data", str(tmp_path / "t.csv"), "--user", "who", "--item", "what"]
    assert main([*words, str(tmp_path / "table.json"), *table]) == 0
    seen = capsys.readouterr()
    assert "without items that the model does not know" in seen.err
    one, other = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("split", "table"))
    assert other["trained on"] == 0
    for metric, of in one["metrics"].items():
        np.testing.assert_allclose([other["metrics"][metric][k] for k in ("mean", "se")], [of["mean"], of["se"]])


@pytest.mark.slow
def test_the_report_card_on_other_users(data, run, tmp_path):
    pl.DataFrame({"user": data.user_labels[data.user], "item": data.item_labels[data.item]}).write_csv(
        tmp_path / "t.csv"
    )
    words = ["theory", "--model", str(run / "multvae-seed0"), "--users", "40", "--data", str(tmp_path / "t.csv")]
    assert main([*words, "--out", str(tmp_path / "card")]) == 0
    assert json.loads((tmp_path / "card" / "theory.json").read_text())["data"] == "../t.csv"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--data", "T", "--heldout", "3"], "--heldout cannot go with a table of other users"),
        (["--data", "T", "--min-user", "99"], "lower --min-user"),
        (["--user", "x"], "--user cannot go with"),
        (["--data", "T", "--item", "x"], "has no column 'x'"),
    ],
)
def test_bad_words_are_one_sentence(words, sentence, run, tmp_path, capsys):
    (tmp_path / "t.csv").write_text("user,item\n" + "".join(f"{u},i{i}\n" for u in range(4) for i in range(6)))
    words = [str(tmp_path / "t.csv") if w == "T" else w for w in words]
    assert main(["evaluate", "--model", str(run / "ease-seed0"), *words]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_none_can_be_is_refused(seed):
    data = mv.planted(n_users=60, n_items=40, n_events=900)
    split = mv.strong_split(data, n_heldout=10)
    with pytest.raises(InputError, match=r"seed must lie in 0\.\.2\*\*32 - 1"):
        mv.new_users(data, split, seed)
    with pytest.raises(InputError, match=r"seed must lie in 0\.\.2\*\*32 - 1"):
        mv.given_split(data, data, seed=seed)


def test_fewer_items_than_none_are_refused_by_every_way_to_split(data, split):
    timed = replace(data, time=np.arange(float(data.n_events)))
    ways = [
        lambda: new_users(data, split, min_user=-1),
        lambda: mv.time_split(timed, min_user=-1),
        lambda: mv.time_split(timed, min_item=-1),
        lambda: mv.leave_last_out(timed, min_user=-1),
        lambda: mv.leave_last_out(timed, min_item=-1),
        lambda: strong_split(data, n_heldout=15, min_user=-1),
    ]
    for way in ways:
        with pytest.raises(InputError, match=r"^min_(user|item)(=-1 is not possible| .* not -1$)"):
            way()
