"""Files from strangers: nothing in them is run, and what does not fit is refused with one sentence."""

import ast
import json
import os
import string
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minivae as mv
from minivae import InputError, StrongSplit, read_interactions
from minivae.models import save_model
from minivae.runtime.storage import load_arrays, save_arrays

ROOT = Path(__file__).parents[2]
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
NAMES = {"load_pickle", "read_pickle", "to_pickle"}
OF_TORCH = {"torch.load", "torch.save", "torch.jit.load", "torch.hub.load"}
OF_PROCESSES = {
    "broadcast_object_list",
    "all_gather_object",
    "gather_object",
    "scatter_object_list",
    "send_object_list",
}


def unsafe(source):
    """Places where a program could run what a file, or another process, says: line numbers."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names = set()
        if isinstance(node, ast.Import):
            names = {alias.name.split(".")[0] for alias in node.names} & MODULES
        elif isinstance(node, ast.ImportFrom):
            names = {(node.module or "").split(".")[0]} & MODULES | {a.name for a in node.names} & NAMES
        elif isinstance(node, ast.Attribute):
            names = {ast.unparse(node)} & OF_TORCH or {node.attr} & (NAMES | OF_PROCESSES)
        elif isinstance(node, ast.keyword):
            safe = isinstance(node.value, ast.Constant) and node.value.value is False
            names = {node.arg} & {"allow_pickle"} if not safe else set()
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            names = {node.func.id} & {"eval", "exec"}
        if names:
            found.append(getattr(node, "lineno", 0))
    return found


def sources():
    folders = ("minivae", "data_scripts", "chapters")
    return [path for folder in folders for path in (ROOT / folder).rglob("*.py")]


# Grading runs what a student has handed in: that is its purpose, in a process of its own for each call.
RUNS_SUBMISSIONS = {ROOT / "minivae" / "course" / "grading.py"}
RUNS_CHAPTERS = {
    ROOT / "chapters" / "investigations" / "chapter.py"
}  # cells of the chapters beside it, which are programs themselves


def test_nothing_is_ever_unpickled():
    assert len(sources()) > 50
    found = {p: lines for p in sources() if (lines := unsafe(p.read_text(encoding="utf-8")))}
    assert set(found) == RUNS_SUBMISSIONS | RUNS_CHAPTERS, found


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import load",
        "m = torch.load(path)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=trusting)",
        "pd.read_pickle(path)",
        "dist.broadcast_object_list(x)",
        "eval(text)",
    ],
)
def test_the_check_finds_what_it_looks_for(line):
    assert unsafe(line)
    assert not unsafe("np.load(path, allow_pickle=False)\nmodel.eval()\nmv.load_model(path)")


# a file with a sound checksum and unsound content


def assert_read_or_refused(read, path):
    """Returns what was read, or None; anything but one sentence is an error."""
    said = "one sentence"
    try:
        return read(path)
    except InputError as e:
        said = str(e)
    assert 0 < len(said) < 2000
    assert "\n" not in said
    return None


@pytest.fixture(scope="module")
def split_parts(tmp_path_factory):
    path = tmp_path_factory.mktemp("split") / "split.safetensors"
    mv.strong_split(mv.planted(n_users=60, n_items=30, n_events=600), n_heldout=10).save(path)
    return load_arrays(path, "split")


@pytest.fixture(scope="module")
def model_parts(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(mv.MultVAE(30, 8, 4), path)
    return load_arrays(path, "model")


DTYPES = (np.float64, np.float32, np.int64, np.int32, np.int16, np.int8, np.uint8, np.bool_)
EXTREME = (-1, -(2**31), -(2**63), 2**31 - 1, 2**31, 2**62, 10**6, 30, 0, 1)


@st.composite
def changes(draw, arrays):
    """One array of a file replaced: other numbers, another kind or shape, cut, left out, or anything at all."""
    name = draw(st.sampled_from(sorted(arrays)))
    a = np.array(arrays[name])
    kind = draw(st.sampled_from(["value", "dtype", "shape", "cut", "missing", "noise", "twice"]))
    if kind == "value" and a.size:
        value = draw(st.sampled_from(EXTREME))
        at = draw(st.integers(0, a.size - 1))
        with np.errstate(invalid="ignore", over="ignore"):
            a.reshape(-1)[at] = np.array(value).astype(a.dtype)
    elif kind == "dtype":
        with np.errstate(invalid="ignore", over="ignore"):
            a = a.astype(draw(st.sampled_from(DTYPES)))
    elif kind == "shape":
        a = a.reshape(draw(st.sampled_from([(1, -1), (-1, 1), (1, 1, -1)]))) if a.size else np.zeros((0, 3), a.dtype)
    elif kind == "cut":
        a = a[: draw(st.integers(0, max(0, len(a) - 1)))]
    elif kind == "noise":
        a = draw(hnp.arrays(draw(st.sampled_from(DTYPES)), hnp.array_shapes(min_dims=0, max_dims=3, max_side=6)))
    elif kind == "twice":
        a = np.concatenate([a, a])
    return {k: v for k, v in arrays.items() if k != name} | ({} if kind == "missing" else {name: a})


def assert_sound(split):
    """A split that is accepted can be used: its indices are in range, its parts fit."""
    for m in (split.train, split.validation.history, split.validation.heldout, split.test.history, split.test.heldout):
        m.check_format()
        assert m.shape[1] == split.n_items == len(split.item_labels)
        assert m.indptr[0] == 0
        assert (np.diff(m.indptr) >= 0).all()
        assert m.indptr[-1] == len(m.indices)
        assert not len(m.indices) or (m.indices.min() >= 0 and m.indices.max() < split.n_items)


@settings(max_examples=300)
@given(choice=st.data())
def test_a_split_with_odd_arrays_is_read_or_refused(split_parts, tmp_path_factory, choice):
    arrays, meta = split_parts
    path = tmp_path_factory.getbasetemp() / "odd-split.safetensors"
    kind = {k: v for k, v in meta.items() if k != "kind"}
    save_arrays(path, "split", choice.draw(changes(arrays)), kind)
    split = assert_read_or_refused(StrongSplit.load, path)
    if split is not None:
        assert_sound(split)


@settings(max_examples=150)
@given(choice=st.data())
def test_a_model_with_odd_arrays_is_read_or_refused(model_parts, tmp_path_factory, choice):
    arrays, meta = model_parts
    path = tmp_path_factory.getbasetemp() / "odd-model.safetensors"
    kind = {k: v for k, v in meta.items() if k != "kind"}
    save_arrays(path, "model", choice.draw(changes(arrays)), kind)
    model = assert_read_or_refused(mv.load_model, path)
    if model is not None:
        assert {k: tuple(v.shape) for k, v in model.state_dict().items()} == {k: v.shape for k, v in arrays.items()}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(key=st.sampled_from(["class", "sizes", "normalize"]), value=JSON | st.text(max_size=20), raw=st.booleans())
def test_a_model_with_odd_metadata_is_read_or_refused(model_parts, tmp_path_factory, key, value, raw):
    arrays, meta = model_parts
    assume("\0" not in str(value))
    text = str(value) if raw else json.dumps(value)
    assume(text.isascii() or text.encode("utf-8", "ignore").decode() == text)
    path = tmp_path_factory.getbasetemp() / "odd-meta.safetensors"
    save_arrays(path, "model", arrays, {k: v for k, v in meta.items() if k != "kind"} | {key: text})
    assert_read_or_refused(mv.load_model, path)


@pytest.mark.parametrize("sizes", [{"hidden": 10**12}, {"latent": -1}, {"n_items": 10**15}, {"hidden": 1e3}])
def test_a_model_that_claims_giant_sizes_is_refused_before_it_is_made(model_parts, tmp_path, sizes):
    arrays, meta = model_parts
    claimed = json.loads(meta["sizes"]) | sizes
    save_arrays(
        tmp_path / "m", "model", arrays, {"class": "MultVAE", "normalize": "true", "sizes": json.dumps(claimed)}
    )
    with pytest.raises(InputError, match="do not fit"):
        mv.load_model(tmp_path / "m")


# tables


FIELDS = st.one_of(
    st.text(st.sampled_from(string.printable + "\0\"'\u200b\ufeff\U0001f600é"), max_size=12),
    st.sampled_from(["", '"', '""', '"a', "\0", "1", "-1", "1e999", "nan", "9" * 40, "x" * 10**6, '"' + "y\n" * 10**5]),
)


@settings(max_examples=150)
@given(
    rows=st.lists(st.lists(FIELDS, min_size=1, max_size=4), max_size=5),
    ending=st.sampled_from([".csv", ".tsv", ".dat"]),
)
def test_any_table_is_read_or_refused(tmp_path_factory, rows, ending):
    separator = {".csv": ",", ".tsv": "\t", ".dat": "::"}[ending]
    path = tmp_path_factory.getbasetemp() / f"any{ending}"
    path.write_text("\n".join(["user" + separator + "item", *map(separator.join, rows)]), encoding="utf-8", newline="")
    data = assert_read_or_refused(read_interactions, path)
    if data is not None:
        assert data.n_events > 0
        assert all(len(str(label)) <= 500 for label in data.item_labels.tolist())


@pytest.mark.parametrize("kind", ["csr", "csc", "bsr"])
def test_a_matrix_with_false_pointers_is_refused(tmp_path, kind):
    """scipy itself takes the first of them, and then writes outside of its arrays."""
    for indptr in [[0, 1, -1], [0, 2, 1], [1, 1, 2], [0, 1, 2, 2], [0, 1], [-3, 0, 2], [0, 2**31, 2]]:
        data = np.ones((2, 1, 1)) if kind == "bsr" else np.ones(2)
        np.savez(tmp_path / "m.npz", format=kind, data=data, indices=[0, 1], indptr=indptr, shape=[2, 2])
        with pytest.raises(InputError, match="no scipy sparse matrix"):
            read_interactions(tmp_path / "m.npz")


def test_a_few_cases_of_every_reader(tmp_path):
    """tests/faults/fuzz.py, which says how to make it long."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    readers = (
        "split,model,csv,tsv,csv.gz,parquet,npz,zip,tar,toml,run,structured plain.csv,structured npz,structured study"
    )
    script = [sys.executable, ROOT / "tests/faults/fuzz.py", "--cases", "200", "--readers", readers, "--keep", tmp_path]
    done = subprocess.run(script, env=environment, capture_output=True, text=True, timeout=900)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [r["findings"] for r in results] == [{}] * len(readers.split(",")), done.stdout
    assert all(r["read"] and r["refused"] for r in results)


def test_a_few_odd_values_of_every_kind():
    """tests/faults/breaking.py, which without --cases tries them all."""
    script = [sys.executable, "-m", "tests.faults.breaking", "--cases", "6"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    done = subprocess.run(script, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    last = next(line for line in done.stdout.splitlines() if line.startswith("| all |"))
    tried, accepted, refused = (int(n) for n in last.split("|")[2:5])
    assert tried == 24
    assert accepted
    assert refused
