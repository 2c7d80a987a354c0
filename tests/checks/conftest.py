"""What every self-check must do: written once, tested for each.

Each module of this folder gives two tables of a chapter, and its collector adds the class `TestContract` made of them:

    RIGHT = [(check, answer)]               for each check an answer found in another way, named like the exercise
    MISTAKES = [(check, mistake, message)]  wrong answers that learners give, and a pattern of what they are told

A module without its tables is an error, not a module without tests.
"""

import sys

import pytest
import torch

SPOILS = {
    "nothing": (lambda t: None, "returned nothing"),
    "words": (lambda t: "no", "returned a str, expected numbers of shape"),
    "a dict": (lambda t: {"answer": t}, "returned a dict, expected numbers of shape"),
    "one short": (lambda t: torch.atleast_1d(t)[:-1], "has shape"),
    "array or number": (lambda t: t.flatten()[0] if t.ndim else t[None], "has shape"),  # the one for the other
    "twice": (lambda t: t.expand(2, *t.shape), "has shape"),
    "off by two": (lambda t: t + 2, "entry .* expected"),
    "nan": (lambda t: t + float("nan"), "is nan, expected"),
}


def contract(right, mistakes):
    """The class of tests that two tables stand for."""
    each_answer = pytest.mark.parametrize(("check", "answer"), right, ids=[check.__name__ for check, _ in right])

    class TestContract:
        @each_answer
        @pytest.mark.parametrize("seed", [None, *range(20)])
        def test_what_is_right_passes(self, check, answer, seed, capsys):
            check(answer, seed)
            assert capsys.readouterr().out == f"{answer.__name__}: right\n"

        @each_answer
        @pytest.mark.parametrize("seed", range(20))
        def test_what_is_a_little_off_is_wrong(self, check, answer, seed):
            with pytest.raises(AssertionError, match=r"entry .* expected"):
                check(lambda *inputs: answer(*inputs) * 1.001, seed)

        @each_answer
        @pytest.mark.parametrize(("spoil", "message"), SPOILS.values(), ids=SPOILS)
        def test_what_is_wrong_is_described(self, check, answer, spoil, message):
            with pytest.raises(AssertionError, match=message):
                check(lambda *inputs: spoil(torch.as_tensor(answer(*inputs))), seed=0)

        @pytest.mark.parametrize(
            ("check", "mistake", "message"), mistakes, ids=[f"{check.__name__}: {said}" for check, _, said in mistakes]
        )
        @pytest.mark.parametrize("seed", range(5))
        def test_common_mistakes_are_called_by_their_name(self, check, mistake, message, seed):
            with pytest.raises(AssertionError, match=message):
                check(mistake, seed)

        def test_no_check_of_the_chapter_is_left_out(self):
            chapter = {name for check, _ in right for name in vars(sys.modules[check.__module__])}
            checks = sorted(name for name in chapter if name.startswith("check_"))
            assert sorted(check.__name__ for check, _ in right) == checks
            assert sorted({check.__name__ for check, _, _ in mistakes}) == checks

    return TestContract


class Chapter(pytest.Module):
    """A module of tables: what it tests itself, and the contract."""

    def collect(self):
        missing = [table for table in ("RIGHT", "MISTAKES") if not getattr(self.obj, table, None)]
        if missing:
            raise self.CollectError(f"{self.path.name} has no {' and no '.join(missing)}: see conftest.py beside it")
        self.obj.TestContract = contract(self.obj.RIGHT, self.obj.MISTAKES)
        return super().collect()


def pytest_pycollect_makemodule(module_path, parent):
    return Chapter.from_parent(parent, path=module_path)
