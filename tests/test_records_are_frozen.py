"""What a function has returned, nobody changes afterwards: every record of the package is frozen."""

import dataclasses
import importlib
import inspect
import pkgutil

import msgspec

import minivae


def records():
    for info in pkgutil.walk_packages(minivae.__path__, "minivae."):
        if not info.name.endswith("__main__"):
            for name, value in vars(importlib.import_module(info.name)).items():
                if inspect.isclass(value) and value.__module__ == info.name:
                    yield f"{info.name}.{name}", value


def thawed(value):
    """Whether a class is a record that may be changed; None if it is none."""
    if dataclasses.is_dataclass(value):
        return not value.__dataclass_params__.frozen
    if issubclass(value, msgspec.Struct) and value is not msgspec.Struct:
        return not value.__struct_config__.frozen
    return None


FILLED = {  # on the way: counters, what is shown, the state of a run, tables that are read from TOML
    *("minivae.data.splits.Counts", "minivae.preparation.verify.Verification", "minivae.preparation.download.Note"),
    *("minivae.runtime.checkpoint_schema.Position", "minivae.runtime.memory.Peak", "minivae.runtime.progress.Board"),
    *("minivae.runtime.progress._Display", "minivae.update.Trainer"),
    *(f"minivae.study.run.settings.{table}" for table in ("Layer", "ModelTable", "SectionTable")),
}


def test_records_are_frozen():
    found = {name: thawed(value) for name, value in records()}
    assert sum(t is False for t in found.values()) > 100
    assert {name for name, t in found.items() if t} == FILLED


def test_a_record_that_may_be_changed_is_seen():
    @dataclasses.dataclass
    class Open:
        x: int

    class Also(msgspec.Struct):
        x: int

    @dataclasses.dataclass(frozen=True)
    class Shut:
        x: int

    assert [thawed(c) for c in (Open, Also, Shut, int)] == [True, True, False, None]


BY_IDENTITY = {  # two tables of the same content are two tables; arrays have no one answer to ==
    *(f"minivae.data.{name}" for name in ("interactions.Interactions", "newcomers.NewUsers", "population.Planted")),
    *(f"minivae.data.{name}" for name in ("population.Truth", "population_draws.PlantedItems", "reading.Rows")),
    *(f"minivae.data.{name}" for name in ("splits.FoldIn", "splits.StrongSplit", "strong_split.Assignment")),
    *(f"minivae.online.{name}" for name in ("clicks.Outcome", "people.Audience", "people.Shelf")),
    *("minivae.online.rehearsal.Rehearsal", "minivae.preparation.netflix.Movies", "minivae.preparation.rows.Raw"),
}


def test_which_records_are_compared_by_identity():
    classes = {name: value for name, value in records() if dataclasses.is_dataclass(value)}
    assert {name for name, value in classes.items() if not value.__dataclass_params__.eq} == BY_IDENTITY
