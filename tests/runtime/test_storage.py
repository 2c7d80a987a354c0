"""Files: whole or not at all, and no damage goes unnoticed."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from minivae import InputError
from minivae.runtime.storage import digest, load_arrays, save_arrays, write_json, write_text, write_whole

ARRAYS = {
    "counts": np.arange(6, dtype=np.int32).reshape(2, 3),
    "scalar": np.array(2.5, dtype=np.float32),
    "empty": np.zeros((0, 4), dtype=np.int64),
    "flags": np.array([True, False]),
}


def test_round_trip_keeps_names_dtypes_shapes_and_bits(tmp_path):
    arrays = ARRAYS | {"strided": np.arange(12.0).reshape(3, 4).T, "nan": np.array([np.nan, -0.0])}
    save_arrays(tmp_path / "a", "thing", arrays, {"note": "größer"})
    back, meta = load_arrays(tmp_path / "a", "thing")
    assert back.keys() == arrays.keys()
    assert meta == {"kind": "thing", "note": "größer"}
    for name, a in arrays.items():
        assert (back[name].dtype, back[name].shape) == (a.dtype, a.shape)
        assert back[name].tobytes() == a.tobytes()


def check_every_flip_is_refused(load, path, masks):
    content = path.read_bytes()
    bad = path.with_name("bad")
    accepted = []
    for at in range(len(content)):
        for mask in masks:
            bad.write_bytes(content[:at] + bytes([content[at] ^ mask]) + content[at + 1 :])
            try:
                load(bad)
                accepted.append((at, mask))
            except InputError:
                pass
    assert not accepted


def test_every_flipped_byte_is_refused(tmp_path):
    save_arrays(tmp_path / "a", "thing", ARRAYS, {"note": "x"})
    check_every_flip_is_refused(lambda p: load_arrays(p, "thing"), tmp_path / "a", (0x01, 0x10, 0x20, 0x29, 0x80, 0xFF))

    def without_checksum(path):
        """Broken twin: what safetensors itself notices."""
        try:
            load_file(path)
        except (SafetensorError, TypeError, ValueError, KeyError) as e:
            raise InputError("damaged") from e

    with pytest.raises(AssertionError):
        check_every_flip_is_refused(without_checksum, tmp_path / "a", (0x01,))


def test_every_truncation_is_refused(tmp_path):
    save_arrays(tmp_path / "a", "thing", ARRAYS, {})
    content = (tmp_path / "a").read_bytes()
    for n in range(len(content)):
        (tmp_path / "bad").write_bytes(content[:n])
        with pytest.raises(InputError):
            load_arrays(tmp_path / "bad", "thing")
    (tmp_path / "bad").write_bytes(content + b"\0")
    with pytest.raises(InputError):
        load_arrays(tmp_path / "bad", "thing")


def test_what_is_no_such_file_is_said(tmp_path):
    save_arrays(tmp_path / "a", "thing", ARRAYS, {})
    with pytest.raises(InputError, match="is a thing, but a model was expected"):
        load_arrays(tmp_path / "a", "model")
    with pytest.raises(InputError, match="is not a file; expected a thing"):
        load_arrays(tmp_path / "b", "thing")
    with pytest.raises(InputError, match="is not a file"):
        load_arrays(tmp_path, "thing")
    save_file({"a": np.ones(1)}, tmp_path / "foreign")
    with pytest.raises(InputError, match="is no file of minivae, but a thing was expected"):
        load_arrays(tmp_path / "foreign", "thing")


def check_digest(digest):
    base = {"a": np.zeros(4, np.int32), "b": np.ones(2)}
    different = [
        (base, {}),
        (base, {"k": "v"}),
        (base, {"k": "w"}),
        (base, {"kv": ""}),
        (base, {"k": "v|l=w"}),
        (base, {"k": "v", "l": "w"}),
        ({"a": base["a"]}, {}),
        (base | {"a": np.zeros(4, np.float32)}, {}),  # the same bytes
        (base | {"a": np.zeros((2, 2), np.int32)}, {}),
        (base | {"a": np.zeros((4, 1), np.int32)}, {}),
        (base | {"a": np.array([0, 0, 0, 1], np.int32)}, {}),
        ({"a": base["b"], "b": base["a"]}, {}),
        ({"A": base["a"], "b": base["b"]}, {}),
        ({"a": np.zeros((), np.int32)}, {}),
        ({"a": np.zeros((1,), np.int32)}, {}),
        ({"a": np.zeros((0,), np.int32)}, {}),
        ({}, {}),
    ]
    assert len({digest(*d) for d in different}) == len(different)
    swapped = dict(reversed(base.items()))
    assert digest(swapped, {"l": "w", "k": "v"}) == digest(base, {"k": "v", "l": "w"})
    assert digest({"a": np.arange(6).reshape(2, 3).T}, {}) == digest({"a": np.arange(6).reshape(2, 3).T.copy()}, {})


def test_digest_sees_names_dtypes_shapes_bytes_and_metadata():
    check_digest(digest)
    for twin in (
        lambda arrays, meta: digest({k: np.ascontiguousarray(a).reshape(-1) for k, a in arrays.items()}, meta),
        lambda arrays, meta: digest({k: np.frombuffer(a.tobytes(), np.uint8) for k, a in arrays.items()}, meta),
        lambda arrays, meta: digest({str(i): a for i, a in enumerate(arrays.values())}, meta),
        lambda arrays, meta: digest(arrays, {}),
    ):
        with pytest.raises(AssertionError):
            check_digest(twin)


@given(st.lists(hnp.arrays(np.uint8, st.integers(0, 20)), min_size=1, max_size=4), st.data())
def test_digest_sees_any_changed_byte(parts, data):
    arrays = {str(i): a for i, a in enumerate(parts)}
    before = digest(arrays, {})
    name = data.draw(st.sampled_from(sorted(arrays)))
    if len(arrays[name]):
        changed = arrays[name].copy()
        changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
        assert digest(arrays | {name: changed}, {}) != before


def no_space(path):
    """A writer on a full disk: half of the file arrives, then the system says ENOSPC."""
    path.write_bytes(b"half of it")
    Path("/dev/full").write_bytes(b"x")


def interrupted(path):
    path.write_bytes(b"half of it")
    raise KeyboardInterrupt


def check_nothing_is_left(write_whole, folder, write, error):
    target = folder / "result.json"
    target.write_text("what was there before")
    with pytest.raises(error):
        write_whole(target, write)
    assert [p.name for p in folder.iterdir()] == ["result.json"]
    assert target.read_text() == "what was there before"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_failed_write_leaves_what_was_there(tmp_path):
    check_nothing_is_left(write_whole, tmp_path, no_space, InputError)
    check_nothing_is_left(write_whole, tmp_path, interrupted, KeyboardInterrupt)

    def in_place(path, write):
        """Broken twin: writes where the result belongs."""
        try:
            write(path)
        except OSError as e:
            raise InputError(str(e)) from e

    with pytest.raises(AssertionError):
        check_nothing_is_left(in_place, tmp_path, no_space, InputError)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match=r"cannot write .*result.json: No space left on device; choose another folder"):
        write_whole(tmp_path / "result.json", no_space)
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "x.json", tmp_path / "file" / "sub" / "x.json", tmp_path / "folder"):
        with pytest.raises(InputError, match="cannot write"):
            write_text(path, "x")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]
    assert list((tmp_path / "folder").iterdir()) == []


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match=r"cannot write .*Permission denied"):
        write_text(tmp_path / "x", "x")


def test_writes_make_folders_and_replace(tmp_path):
    target = tmp_path / "a" / "b" / "x.json"
    write_json(target, {"mean": 0.5, "name": "größer"})
    write_json(target, {"mean": 0.25})
    assert json.loads(target.read_text()) == {"mean": 0.25}
    assert [p.name for p in target.parent.iterdir()] == ["x.json"]
    with pytest.raises(ValueError, match="JSON"):
        write_json(target, {"mean": float("nan")})
    assert json.loads(target.read_text()) == {"mean": 0.25}


def test_equal_content_is_equal_bytes(tmp_path):
    """safetensors orders metadata at random; eight writes would agree by chance with probability (1/120)^7."""
    arrays, meta = {"b": np.arange(3), "a": np.ones((2, 2), np.float32)}, {k: "ä\n\x01" + k for k in "wxyz"}
    for i in range(8):
        save_arrays(tmp_path / str(i), "thing", arrays, dict(sorted(meta.items(), reverse=i % 2 == 0)))
    assert len({(tmp_path / str(i)).read_bytes() for i in range(8)}) == 1
    assert load_arrays(tmp_path / "0", "thing")[1] == {"kind": "thing", **meta}


@pytest.mark.parametrize("mapped", [False, True])
def test_mapped_or_read_the_arrays_are_the_same(tmp_path, mapped):
    arrays = {
        "f8": np.linspace(0, 1, 5),
        "f4": np.eye(3, dtype=np.float32),
        "i8": np.arange(7),
        "i4": np.arange(4, dtype=np.int32).reshape(2, 2),
        "u1": np.frombuffer(b"abc", np.uint8),
        "bool": np.array([True, False, True]),
        "empty": np.empty((0, 3), np.int32),
        "scalar": np.float32(2.5),
    }
    save_arrays(tmp_path / "a", "thing", arrays, {})
    read, _ = load_arrays(tmp_path / "a", "thing", mapped)
    assert read.keys() == arrays.keys()
    for name, a in arrays.items():
        assert read[name].dtype == a.dtype
        np.testing.assert_array_equal(read[name], a)


def test_writing_to_a_mapped_array_leaves_the_file_alone(tmp_path):
    save_arrays(tmp_path / "a", "thing", {"x": np.zeros(5)}, {})
    read, _ = load_arrays(tmp_path / "a", "thing", mapped=True)
    read["x"][:] = 1
    assert load_arrays(tmp_path / "a", "thing")[0]["x"].tolist() == [0] * 5


def test_a_mapped_file_costs_no_copy(tmp_path):
    """The views share one buffer, that of the file; a read file has one buffer an array."""
    save_arrays(tmp_path / "a", "thing", {"x": np.zeros(5), "y": np.ones(5)}, {})

    def root(a):
        while isinstance(a.base, np.ndarray):
            a = a.base
        return a

    mapped, _ = load_arrays(tmp_path / "a", "thing", mapped=True)
    assert root(mapped["x"]) is root(mapped["y"])
    read, _ = load_arrays(tmp_path / "a", "thing")
    assert root(read["x"]) is not root(read["y"])
