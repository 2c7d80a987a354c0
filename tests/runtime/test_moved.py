"""Old module names lead to the same objects as the new ones, and say so."""

import subprocess
import sys

import pytest

from minivae.runtime.moved import MOVED

CODE = """
import importlib, sys, warnings
warnings.simplefilter("ignore")
old, new = sys.argv[1:]
a = importlib.import_module(old)
b = importlib.import_module(new)
assert a is b and a.__name__ == new and b.__spec__.name == new, (a, b)
"""

WARNED = """
import importlib, sys, warnings
for old in sys.argv[1:]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        importlib.import_module(old)
    assert any("is now" in str(w.message) for w in caught), old
"""


@pytest.mark.parametrize("first", [True, False])
def test_old_and_new_name_are_one_module(first):
    code = CODE if first else CODE.replace("a = ", "b0 = importlib.import_module(new)\na = ")
    for old in ("minivae.storage", "minivae.flags"):
        subprocess.run([sys.executable, "-c", code, old, MOVED[old]], check=True)


def test_every_old_name_is_found_with_a_warning():
    subprocess.run([sys.executable, "-c", WARNED, *MOVED], check=True)


def test_what_never_was_is_still_not_found():
    with pytest.raises(ModuleNotFoundError):
        __import__("minivae.storages")
