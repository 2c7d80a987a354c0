"""Which tests concern which sources: a room's files, and the tests that run them within the process."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EVERYWHERE = tuple(f"tests/test_{name}.py" for name in ("records_are_frozen", "record_keys", "constants", "docstrings"))
"""Tests of all sources at once: they concern what stands outside of functions, whatever the file."""


@dataclass(frozen=True)
class Room:
    """Sources and the tests that should notice an error in them, as globs from the root."""

    sources: tuple[str, ...]
    tests: tuple[str, ...]

    def files(self) -> list[Path]:
        return _found(self.sources)

    def suite(self) -> list[Path]:
        return _found((*self.tests, *EVERYWHERE))


THEORY = ("tests/theory/test_*.py", "tests/checks/test_*.py", "tests/test_anchor*.py")
ROOMS = {
    "theory": Room(("minivae/theory/*.py",), THEORY),
    "numerics": Room(("minivae/theory/numerics/*.py",), THEORY),
    "card": Room(
        ("minivae/theory/card/*.py",),
        ("tests/theory/test_card*.py", "tests/theory/test_companions.py", "tests/theory/test_report.py"),
    ),
    "core": Room(
        tuple(
            f"minivae/{name}.py"
            for name in (
                *("output_layer", "objective", "anchors", "ranking", "metrics", "batches", "masks", "config"),
                "recommendation",
            )
        ),
        tuple(
            f"tests/{name}.py"
            for name in (
                *("test_objective", "test_objective_edges", "test_anchors", "test_anchor_direction", "test_ranking"),
                "test_batches",
                *(
                    "test_recommendation",
                    "test_core_numbers",
                    "test_config",
                    "test_keep_by_popularity",
                    "test_own_parts",
                ),
                *("models/test_models", "models/test_priors", "theory/test_anchoring", "runtime/test_streams"),
                *("data/test_splits",),
            )
        ),
    ),
    "models": Room(("minivae/models/*.py",), ("tests/models/test_*.py", "tests/test_own_parts.py")),
    "streams": Room(("minivae/runtime/streams.py",), ("tests/runtime/test_streams.py", "tests/test_batches.py")),
    "training": Room(
        ("minivae/training.py", "minivae/update.py", "minivae/runtime/checkpoint*.py"),
        (
            *("tests/test_training.py", "tests/test_training_parts.py", "tests/test_core_numbers.py"),
            *("tests/runtime/test_storage.py", "tests/runtime/test_checkpoint.py"),
            *("tests/models/test_multdae.py", "tests/models/test_recvae.py"),
        ),
    ),
    "splits": Room(
        ("minivae/data/splits.py", "minivae/data/strong_split.py", "minivae/data/labels.py"),
        ("tests/data/test_splits.py", "tests/data/test_shapes.py"),
    ),
    "data": Room(("minivae/data/*.py",), ("tests/data/test_*.py", "tests/test_recommendation.py")),
    "checks": Room(("minivae/checks/*.py",), ("tests/checks/test_*.py",)),
    "online": Room(("minivae/online/*.py",), ("tests/online/test_*.py", "tests/checks/test_online*.py")),
    "study": Room(
        (
            "minivae/study/*.py",
            "minivae/study/output/*.py",
            "minivae/study/observations/*.py",
            "minivae/study/draws/*.py",
            "minivae/study/run/*.py",
            "minivae/study/search/*.py",
        ),
        ("tests/study/test_*.py",),
    ),
    "explain": Room(("minivae/explain/*.py",), ("tests/explain/test_*.py", "tests/cli/test_explain.py")),
    "runtime": Room(("minivae/runtime/*.py",), ("tests/runtime/test_*.py", "tests/test_training_parts.py")),
    "plots": Room(
        ("minivae/plots/*.py",),
        (
            *("tests/test_course_figures.py", "tests/study/test_figures.py", "tests/theory/test_card_figures.py"),
            "tests/explain/test_explain_figures.py",
        ),
    ),
}


def _found(globs: tuple[str, ...]) -> list[Path]:
    return sorted({p for g in globs for p in ROOT.glob(g) if p.name != "__init__.py"})
