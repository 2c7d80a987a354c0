"""How many threads the surroundings may ask for, and which words of a command are places."""

import pytest

from minivae.errors import InputError
from minivae.runtime.portable import place
from minivae.runtime.surroundings import check_surroundings


def test_a_number_for_each_level_of_nesting_is_for_openmp_alone(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2,1")
    check_surroundings()
    monkeypatch.setenv("MKL_NUM_THREADS", "2,1")
    with pytest.raises(InputError, match="MKL_NUM_THREADS=2,1 is no number of threads"):
        check_surroundings()


def test_a_word_is_a_place_only_if_something_is_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").touch()
    assert place("there", tmp_path / "runs") == "../there"
    assert place("nothing", tmp_path / "runs") == "nothing"
    assert place("", tmp_path / "runs") == ""
