"""What a study may say: one rule for every word of a report, and broken twins that the rules reject."""

import shlex
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minivae.cli import command_lines, flags
from minivae.ranking import Difference
from minivae.study import runner
from minivae.study.run import conclusions
from minivae.study.run.conclusions import better, effect, of_search, of_training, remedy
from minivae.study.run.records import Comparison, Doubt
from minivae.study.run.results import every_pair
from minivae.training import TrainConfig

DONE = TrainConfig(epochs=100, anneal_steps=1000, beta=0.2, anchor_steps=0, anchor=1.0, patience=15)


def ran(best=40, epochs=55, updates_an_epoch=60, n=3):
    log = [{"epoch": k, "updates": k * updates_an_epoch} for k in range(1, epochs + 1)]
    return [SimpleNamespace(metrics=SimpleNamespace(best_epoch=best, epochs=epochs), log=log) for _ in range(n)]


def words(runs, training):
    return [d.what for d in of_training("m", runs, training)]


@pytest.mark.parametrize(
    ("runs", "training", "expected"),
    [
        (ran(), DONE, []),
        (ran(n=2), DONE, ["2 seeds"]),
        (ran(n=1), DONE, ["1 seed"]),
        (ran(best=55), DONE, ["best epoch is the last"]),
        ([*ran(n=2), *ran(best=55, n=1)], DONE, ["best epoch is the last"]),
        (ran(best=54), DONE, []),
        (ran(updates_an_epoch=18), DONE, ["annealing unfinished"]),  # 990 updates of 1,000
        (ran(updates_an_epoch=20, epochs=50), DONE, []),  # 1,000 of 1,000
        (ran(updates_an_epoch=18), replace(DONE, beta=0.0), []),
        (ran(updates_an_epoch=18), replace(DONE, beta=0.0, anchor_steps=991), ["annealing unfinished"]),
        (ran(updates_an_epoch=18), replace(DONE, beta=0.0, anchor_steps=991, anchor=0.0), []),
        (ran(n=1), None, []),  # a baseline
    ],
)
def test_what_stands_against_a_conclusion(runs, training, expected):
    assert words(runs, training) == expected


def test_the_flags_that_are_advised_remove_the_doubt():
    """Run again as advised, with the same number of updates an epoch: nothing stands against a conclusion."""
    for runs in (ran(n=1), ran(best=55), ran(best=20, epochs=35, updates_an_epoch=18)):
        found = of_training("m", runs, DONE)
        assert found
        changes = {k: max(d.flags.get(k, 0) for d in found) for d in found for k in d.flags}
        epochs = changes.get("epochs", 55)
        per_epoch = runs[0].log[0]["updates"]
        again = ran(best=epochs - 1, epochs=epochs, updates_an_epoch=per_epoch, n=changes.get("seeds", 3))
        assert words(again, replace(DONE, **{k: v for k, v in changes.items() if k != "seeds"})) == []


@pytest.mark.parametrize(
    ("trials", "doubted"),
    [
        ({"a": 16, "b": 0}, "b"),
        ({"a": 0, "b": 16}, "a"),
        ({"a": 16, "b": 16}, None),
        ({"a": 16, "b": 9}, None),  # a space of nine points, gone through whole
        ({"a": 0, "b": 0}, None),
        ({"a": 16, "b": None}, None),  # nothing to search
    ],
)
def test_a_search_for_one_of_two_models_is_unequal(trials, doubted):
    assert [d.model for d in of_search("a", "b", trials)] == ([doubted] if doubted else [])


numbers = st.floats(-1, 1)


@given(low=numbers, width=st.floats(0, 1), doubts=st.lists(st.sampled_from(["1 seed", "unequal search"]), max_size=2))
def test_only_an_interval_beside_0_without_doubts_names_a_winner(low, width, doubts):
    """For every interval: the sign is that of both ends, a doubt takes the word away, and 0 inside takes it first.

    A rule that looked at the middle of the interval would name a winner where one end lies beyond 0.
    """
    high = low + width
    d = row(low, high, *(Doubt("x", w, "…", {}) for w in doubts))
    said, word = better(d), effect(d, doubts)
    if low <= 0 <= high:
        assert said == word == "cannot be told apart"
    elif doubts:
        assert word == "not decided"
        assert said == f"not decided: {', '.join(dict.fromkeys(doubts))}"
    else:
        assert said == f"{'a' if low > 0 else 'b'} is better"
        assert word == ("helps" if low > 0 else "hurts")


def test_the_middle_of_an_interval_decides_nothing():
    assert better(row(-0.01, 0.05)) == "cannot be told apart"
    assert effect(Difference(-0.02, 0.02, -0.05, 0.01)) == "cannot be told apart"


def row(low, high, *doubts, difference=None):
    middle = (low + high) / 2 if difference is None else difference
    return Comparison("a", "b", "ndcg@100", middle, 0.0, low, high, 100, doubts)


def test_rows_that_are_decided_or_tied_ask_for_nothing():
    seeds = Doubt("a", "1 seed", "…", {"seeds": 3})
    longer = Doubt("b", "last", "…", {"epochs": 40})
    search = Doubt("b", "unequal search", "…", {}, search=True)
    assert remedy([row(0.1, 0.2), row(-0.1, 0.2, seeds)]) == ({}, [])
    assert remedy([row(0.1, 0.2, seeds), row(-0.2, -0.1, longer)]) == ({"seeds": 3, "epochs": 40}, [])
    more = Doubt("a", "last", "…", {"epochs": 30})
    assert remedy([row(0.1, 0.2, longer), row(0.1, 0.2, more)]) == ({"epochs": 40}, [])
    assert remedy([row(0.1, 0.2, search)]) == ({}, ["a", "b"])


def parsed(line):
    from minivae.cli.main import parse

    program, *argv = shlex.split(line)
    assert program == "minivae"
    return parse(argv)


def test_the_command_that_would_decide_is_one_that_runs():
    options = flags.Study(data="my data.csv", user="who", min_rating=4.0, models="ease,multvae+anchor", resume=True)
    out = Path("runs/s")
    more = parsed(command_lines.deciding(options, out, {"seeds": 3}, ()))
    assert (more.seeds, more.out, more.resume, more.data, more.user) == (3, out, True, "my data.csv", "who")
    assert (more.min_rating, more.models) == (4.0, "ease,multvae+anchor")
    longer = parsed(command_lines.deciding(options, out, {"seeds": 3, "epochs": 200}, ()))
    assert (longer.epochs, longer.out, longer.resume) == (200, Path("runs/s-longer"), False)
    first, second = command_lines.deciding(options, out, {}, ("a", "b")).split(" && ")
    tune, study = parsed(first), parsed(second)
    assert (tune.models, tune.data, tune.user, tune.out) == ("a,b", "my data.csv", "who", Path("runs/s-search"))
    assert study.settings == Path("runs/s-search/best.toml")
    assert parsed(runner.command_of({"models": "ease", "seeds": 1, "epochs": None}, {"seeds": 3})).seeds == 3


def test_every_pair_comes_once_with_the_simpler_model_second():
    names = ["m+anchor", "ease", "m", "popularity"]
    pairs = every_pair(names)
    assert {frozenset(p) for p in pairs} == {frozenset((a, b)) for a in names for b in names if a != b}
    assert len(pairs) == 6
    assert ("m+anchor", "m") in pairs
    assert all(b != "m+anchor" for _, b in pairs)
    assert all(("ease" not in (a, b)) or b == "ease" or (a, b) == ("ease", "popularity") for a, b in pairs)


def test_the_ends_of_the_interval_decide_who_is_better_and_not_its_middle():
    """Whatever the difference says, both ends have to lie on one side."""
    assert better(row(-0.02, -0.01, difference=0.5)) == "b is better"
    assert better(row(0.01, 0.02, difference=-0.5)) == "a is better"
    for low, high in ((0.0, 0.02), (-0.02, 0.0), (-0.01, 0.02)):
        assert better(row(low, high, difference=0.5)) == conclusions.TIED
