"""Large libraries are loaded where they are needed, not by every import: whoever trains waits for no table or plot."""

import subprocess
import sys

import pytest

LARGE = ("torch", "polars", "matplotlib", "ot", "pandas", "jupytext")


def loaded(code):
    """Which of the large libraries a fresh Python holds after some lines."""
    code = f"{code}\nimport sys\nprint(*(name for name in {LARGE} if name in sys.modules))"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "needed"),
    [
        ("import minivae", set()),
        ("import minivae as mv\nmv.read_interactions", {"polars"}),
        ("import minivae as mv\nmv.StrongSplit, mv.FoldIn", set()),
        ("import minivae as mv\nmv.fit, mv.evaluate, mv.recommend, mv.load_model, mv.EASE", {"torch"}),
        (
            "import minivae as mv\nmv.theory.masking.masked_distance(3, 2, 0.5)\nmv.theory.distances.w2_gaussian",
            {"torch"},
        ),
    ],
)
def test_an_import_loads_only_what_it_needs(code, needed):
    assert loaded(code) == needed


@pytest.mark.slow
def test_a_distance_of_samples_loads_its_solver():
    """The twin: POT is loaded by what uses it."""
    code = "import minivae as mv\nmv.theory.distances.w1_empirical([[0.0]], [[1.0]])"
    assert "ot" in loaded(code)
