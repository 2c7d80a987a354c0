"""Results are frozen records: every kind of them comes back from JSON as it was, and stored results still fit."""

import functools
import importlib
import json
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import inspect

import minivae.cli  # the rooms with records are imported
from minivae.data.catalogue import DATASETS
from minivae.explain.records import FarResults, LdsResults, RemovalResults
from minivae.options import METRICS
from minivae.runtime.records import Record, write_result
from minivae.study.draws.anchor_law import LawRow
from minivae.study.draws.records import Combined, StudyRead
from minivae.study.observations.prototype import Observations
from minivae.study.run.records import Level, Metrics
from minivae.study.search.records import SearchResults

STORED = Path(__file__).parents[2] / "chapters" / "results"
WORDS = st.text("abc é–", min_size=1, max_size=3)


def records(kind: type[Record] = Record) -> Iterator[type[Record]]:
    for below in kind.__subclasses__():
        if below.__module__.startswith("minivae."):
            yield below
            yield from records(below)


KINDS = sorted(
    {kind for kind in records() if kind.__struct_fields__}, key=lambda kind: f"{kind.__module__}.{kind.__name__}"
)


@functools.cache
def any_of(kind: type[Record]) -> st.SearchStrategy:
    """Any record of a kind."""
    return values(inspect.type_info(kind))


def values(t: inspect.Type) -> st.SearchStrategy:
    """Any value of a type, as msgspec describes it."""
    match t:
        case inspect.StructType() | inspect.DataclassType():
            needed = {f.name: values(f.type) for f in t.fields if f.required}
            more = {f.name: values(f.type) for f in t.fields if not f.required}
            return st.fixed_dictionaries(needed, optional=more).map(lambda of: t.cls(**of))
        case inspect.DictType(value_type=inspect.StructType(cls=kind)) if kind is Level:
            share = st.floats(0, 1)  # of each metric that every run has
            level = st.builds(Level, share, share, st.none() | share)
            return st.fixed_dictionaries(dict.fromkeys(METRICS, level))
        case inspect.DictType():
            return st.dictionaries(values(t.key_type), values(t.value_type), max_size=2)
        case inspect.VarTupleType():
            return st.lists(values(t.item_type), max_size=2).map(tuple)
        case inspect.ListType() | inspect.CollectionType():
            return st.lists(values(t.item_type), max_size=2)
        case inspect.TupleType():
            return st.tuples(*map(values, t.item_types))
        case inspect.UnionType():
            return st.one_of([values(of) for of in t.types])
        case inspect.LiteralType():
            return st.sampled_from(t.values)
        case inspect.IntType():
            return st.integers(0, 1 << 50)
        case inspect.FloatType():
            return st.floats(0, t.le, allow_nan=False, allow_infinity=False)
        case inspect.StrType():
            return WORDS
        case inspect.BoolType():
            return st.booleans()
        case inspect.NoneType():
            return st.none()
        case inspect.AnyType():
            return WORDS
        case inspect.Metadata():
            return values(t.type)
    raise NotImplementedError(t)


def test_there_are_records_of_every_kind_of_result():
    assert {"Study", "Metrics", "RunNote", "Combined", "SearchResults", "LawRow", "Description"} <= {
        kind.__name__ for kind in KINDS
    }


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=10)  # of each kind; what a record holds is drawn within it too
@given(data=st.data())
def test_a_record_comes_back_from_json_as_it_was(kind, data):
    value = data.draw(any_of(kind))
    written = json.dumps(value.as_dict())
    again = kind.from_dict(json.loads(written))
    assert again == value
    assert json.dumps(again.as_dict()) == written  # the same keys in the same order
    assert kind.from_dict({**json.loads(written), "a key of a newer version": 1}) == value
    with pytest.raises(AttributeError):
        setattr(value, kind.__struct_fields__[0], None)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=10)  # of each kind; what a record holds is drawn within it too
@given(data=st.data())
def test_what_is_missing_or_of_another_type_is_refused(kind, data):
    written = json.loads(json.dumps(data.draw(any_of(kind)).as_dict()))
    required = [f.encode_name for f in inspect.type_info(kind).fields if f.required]
    for key in required:
        with pytest.raises(ValueError, match="missing required field"):
            kind.from_dict({k: v for k, v in written.items() if k != key})
    with pytest.raises(ValueError, match=r"Expected|missing"):
        kind.from_dict(written | {next(iter(written)): {"neither": ["here", {}]}})


def test_a_run_without_one_of_the_metrics_is_refused():
    value = Metrics(
        model="m",
        seed=0,
        validation={m: Level(0.5, 0.1) for m in METRICS},
        epochs=1,
        best_epoch=1,
        seconds=1.0,
        parameters=1,
        peak_memory=msgspec.convert({}, Metrics.__annotations__["peak_memory"]),
        files={},
        recommended={},
    ).as_dict()
    assert Metrics.from_dict(value).test is None
    for m in METRICS:
        with pytest.raises(ValueError, match=f"there is no {m}"):
            Metrics.from_dict(value | {"test": {k: v for k, v in value["validation"].items() if k != m}})


def test_stored_results_of_any_version_can_be_read():
    studies = [json.loads(p.read_text("utf-8")) for p in sorted(STORED.glob("*.json"))]
    studies = [v for v in studies if "preset" in v and "summary" in v]
    assert len(studies) > 5
    for value in studies:
        read = StudyRead.from_dict(value)
        assert {row["model"] for row in value["summary"]} == {run.model for run in read.runs}
        assert read.preset.models.keys() >= {run.model for run in read.runs}


@pytest.mark.parametrize(
    ("name", "kind", "rows"),
    [
        ("benchmark-ml-1m-folds.json", Combined, lambda v: [v]),
        ("anchor-law-planted.json", LawRow, lambda v: v["rows"]),
    ],
)
def test_stored_results_are_written_with_the_same_bytes(name, kind, rows):
    found = rows(json.loads((STORED / name).read_text("utf-8")))
    assert found
    for of in found:
        assert json.dumps(kind.from_dict(of).as_dict()) == json.dumps(of)


@pytest.mark.parametrize(
    ("name", "kind"),
    [(f"lds-{data}.json", LdsResults) for data in ("planted", "debian", "ml-1m")]
    + [("far-planted.json", FarResults), ("far-ml-1m.json", FarResults), ("removal-debian.json", RemovalResults)],
)
def test_stored_retrainings_are_written_with_the_same_bytes(name, kind, tmp_path):
    stored = (STORED / name).read_bytes()
    value = json.loads(stored)
    write_result(tmp_path / name, value["command"], kind.from_dict(value), value.get("events"))
    assert (tmp_path / name).read_bytes() == stored


@pytest.mark.parametrize("data", ["planted", "planted-small"])
def test_stored_observations_have_the_same_keys_and_values(data):
    """Not the same bytes: a whole number among numbers is read as one of them."""
    stored = json.loads((STORED / f"theory-{data}-observations.json").read_text("utf-8"))
    for of_the_file in ("command", "events"):
        stored.pop(of_the_file, None)
    again = Observations.from_dict(stored).as_dict()
    assert again == stored
    assert list(again) == list(stored)


def test_a_search_has_a_score_for_every_trial():
    """Without validation metrics a trial diverged, and is never the best."""
    trials = [{"trial": 0, "settings": {}, "diverged": "NaN"}, {"trial": 1, "settings": {}, "validation": {}}]
    of = {"class": "EASE", "space": {"l2": [1, 2]}, "epochs limit": None, "chosen": 0, "settings": {}}
    of |= {"all settings": {}, "own first": True, "at an end": [], "trials": trials[:1]}
    data = {"name": "d", "sha256": "s", "items": 1, "users": {}, "protocol": {}}
    search = {"method": "grid", "budget": 1, "seed": 0, "seeds": 1, "metric": "ndcg@100"}
    value = {"data": data, "preset": "p", "search": search, "options": {}, "models": {"ease": of}}
    assert SearchResults.from_dict(value).models["ease"].best.score == float("-inf")


def borrowed_defaults(kind: type) -> list[str]:
    """Fields of a dataclass whose default is a description of a field by another library, and so no value."""
    return [f.name for f in fields(kind) if type(f.default).__module__.partition(".")[0] == "msgspec"]


def test_no_dataclass_takes_the_fields_of_records():
    names = [m.name for m in pkgutil.walk_packages(minivae.__path__, "minivae.") if "__main__" not in m.name]
    kinds = {kind for name in names for kind in vars(importlib.import_module(name)).values() if isinstance(kind, type)}
    kinds = {kind for kind in kinds if is_dataclass(kind) and kind.__module__.startswith("minivae.")}
    assert len(kinds) > 20
    assert {kind.__name__: found for kind in kinds if (found := borrowed_defaults(kind))} == {}
    for dataset in DATASETS.values():  # of which only some state checksums
        assert all(isinstance(of, Mapping) for of in (dataset.archive, dataset.members, dataset.counts, dataset.files))


def test_the_check_sees_a_field_of_another_library():
    @dataclass
    class Wrong:
        archive: dict = msgspec.field(default_factory=dict)  # noqa: RUF009

    assert borrowed_defaults(Wrong) == ["archive"]
