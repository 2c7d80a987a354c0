"""What every self-check must do: written once, tested for each.

Each module of this folder gives two tables of a chapter, and its collector adds the class `TestContract` made of them:

    RIGHT = [(check, answer)]               for each check an answer found in another way, named like the exercise
    MISTAKES = [(check, mistake, message)]  wrong answers that learners give, and a pattern of what they are told

What they are told stands word for word in `golden`, see `sentences.py`.
A module without its tables is an error, not a module without tests.
"""

import re
import sys

import pytest
import torch

from tests.checks.sentences import golden, told

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


def said(check, answer, seed):
    """What the check says of a wrong answer; it must not take it for right."""
    with pytest.raises(AssertionError) as caught:
        check(answer, seed)
    return str(caught.value)


def contract(right, mistakes, module):
    """The class of tests that the two tables of a module stand for."""
    each_answer = pytest.mark.parametrize(("check", "answer"), right, ids=[check.__name__ for check, _ in right])

    class TestContract:
        @each_answer
        def test_what_is_right_passes(self, check, answer, capsys):
            for seed in (None, *range(20)):
                check(answer, seed)
                assert capsys.readouterr().out == f"{answer.__name__}: right\n", f"seed {seed}"

        @each_answer
        def test_what_is_a_little_off_is_wrong(self, check, answer):
            for seed in range(20):
                assert re.search(r"entry .* expected", said(check, lambda *inputs: answer(*inputs) * 1.001, seed)), seed

        @each_answer
        def test_what_is_wrong_is_described(self, check, answer):
            for name, (spoil, message) in SPOILS.items():
                wrong = said(check, lambda *inputs, spoil=spoil: spoil(torch.as_tensor(answer(*inputs))), 0)
                assert re.search(message, wrong), f"{name}: {wrong}"

        @pytest.mark.parametrize(
            ("check", "mistake", "message"), mistakes, ids=[f"{check.__name__}: {said}" for check, _, said in mistakes]
        )
        def test_common_mistakes_are_called_by_their_name(self, check, mistake, message):
            for seed in range(5):
                wrong = said(check, mistake, seed)
                assert re.search(message, wrong), f"seed {seed}: {wrong}"

        def test_what_is_said_of_a_mistake_is_word_for_word_what_was_read_and_found_right(self):
            assert told(mistakes) == golden(module).read_text(encoding="utf-8")

        def test_no_check_of_the_chapter_is_left_out(self):
            chapter = {name for check, _ in right for name in vars(sys.modules[check.__module__])}
            checks = sorted(name for name in chapter if name.startswith("check_"))
            assert sorted(check.__name__ for check, _ in right) == checks
            assert sorted({check.__name__ for check, _, _ in mistakes}) == checks

        @each_answer
        def test_what_it_asks_stands_in_its_documentation(self, check, answer):
            asked, _, rest = check.__doc__.partition("\n\nParameters\n")
            assert re.match(r"Chapter \d\d.*``fn\(", asked)
            assert "AssertionError\n    With what is wrong." in rest

    return TestContract


class Chapter(pytest.Module):
    """A module of tables: what it tests itself, and the contract."""

    def collect(self):
        missing = [table for table in ("RIGHT", "MISTAKES") if not getattr(self.obj, table, None)]
        if missing:
            raise self.CollectError(f"{self.path.name} has no {' and no '.join(missing)}: see conftest.py beside it")
        self.obj.TestContract = contract(self.obj.RIGHT, self.obj.MISTAKES, self.obj.__name__)
        return super().collect()


def pytest_pycollect_makemodule(module_path, parent):
    return Chapter.from_parent(parent, path=module_path)
