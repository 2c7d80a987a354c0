"""Small files that ask for more memory than there is, and files beside which code lies."""

import bz2
import gzip
import io
import lzma
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import minivae as mv
from minivae.cli.main import main
from minivae.errors import InputError
from minivae.runtime import limits

ROOT = Path(__file__).parents[2]
ROWS = b"user,item\n" + b"1,2\n" * 5_000_000  # 20 MB


@pytest.fixture
def little(monkeypatch):
    """A machine with 40 MB."""
    monkeypatch.setenv(limits.VARIABLE, "40M")


def zipped(content):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("t.csv", content)
    return out.getvalue()


PACKED = {"t.csv.gz": gzip.compress, "t.csv.bz2": bz2.compress, "t.csv.xz": lzma.compress, "t.zip": zipped}


@pytest.mark.parametrize("name", [*PACKED, "t.csv"])
def test_a_text_that_does_not_fit_is_refused(little, tmp_path, name):
    (tmp_path / name).write_bytes(PACKED.get(name, bytes)(ROWS))
    with pytest.raises(InputError, match=r"too large for this machine.*--max-memory"):
        mv.read_interactions(tmp_path / name)


@pytest.mark.parametrize("name", PACKED)
def test_what_unpacks_to_far_more_than_a_table_can_is_refused(monkeypatch, tmp_path, name):
    """On any machine; the twin is the same text of an honest table."""
    monkeypatch.setattr(limits, "LEAST", 1 << 20)
    (tmp_path / name).write_bytes(PACKED[name](ROWS))
    with pytest.raises(InputError, match="as no ordinary table does"):
        mv.read_interactions(tmp_path / name)
    rng = np.random.default_rng(0)
    pairs = np.unique(rng.integers(0, 3000, (200_000, 2)), axis=0)
    honest = b"user,item\n" + b"".join(b"%d,%d\n" % (u, i) for u, i in pairs)
    (tmp_path / name).write_bytes(PACKED[name](honest))
    assert len(mv.read_interactions(tmp_path / name).user) == len(pairs)


def test_runs_of_equal_values_in_parquet_are_counted_first(little, tmp_path):
    zeros = pl.select(pl.repeat(0, 5_000_000).alias("user"), pl.repeat(0, 5_000_000).alias("item"))
    zeros.write_parquet(tmp_path / "t.parquet")
    assert (tmp_path / "t.parquet").stat().st_size < 1_000_000
    with pytest.raises(InputError, match="too large for this machine"):
        mv.read_interactions(tmp_path / "t.parquet")


def matrix(path, **parts):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in parts.items():
            out = io.BytesIO()
            np.save(out, value)
            archive.writestr(f"{name}.npy", out.getvalue())


@pytest.mark.parametrize("shape", [(10**9, 10**9), (1, 10**9), (10**9, 1)])
def test_a_matrix_of_giant_shape_is_refused(little, tmp_path, shape):
    parts = {
        "format": np.array(b"dia"),
        "shape": np.array(shape),
        "data": np.zeros((1, 1)),
        "offsets": np.zeros(1, "i4"),
    }
    matrix(tmp_path / "m.npz", **parts)
    with pytest.raises(InputError, match="too large for this machine"):
        mv.read_interactions(tmp_path / "m.npz")


def test_a_matrix_that_unpacks_to_too_much_is_refused(little, tmp_path):
    parts = {"format": np.array(b"csr"), "shape": np.array((2, 2)), "indptr": np.zeros(3, "i4")}
    matrix(tmp_path / "m.npz", **parts, indices=np.zeros(10**7, "i4"), data=np.zeros(10**7, "i1"))
    with pytest.raises(InputError, match="too large for this machine"):
        mv.read_interactions(tmp_path / "m.npz")


def test_the_command_line_sets_the_limit(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(limits.VARIABLE, "1T")
    (tmp_path / "t.csv").write_bytes(ROWS)
    argv = ["study", "--data", str(tmp_path / "t.csv"), "--models", "popularity", "--max-memory"]
    assert main([*argv, "40M", "--dry-run"]) == 2
    assert "too large for this machine" in capsys.readouterr().err
    assert main([*argv, "lots", "--dry-run"]) == 2
    assert "is not possible" in capsys.readouterr().err


def test_sizes_as_people_write_them():
    for text, size in [("7", 7), ("1k", 1000), ("2.5 MB", 2_500_000), ("4g", 4 * 10**9)]:
        assert limits.parse_size(text) == size


def test_sizes_that_are_none():
    for text in ["", "0", "-1", "nan", "1e9", "4 GiB", "1" * 40, "٣"]:
        with pytest.raises(InputError, match="is not possible"):
            limits.parse_size(text)


@pytest.mark.parametrize(
    ("name", "start"), [("polars.py", "module"), ("polars/__init__.py", "script"), ("resource.py", "script")]
)
def test_code_beside_a_table_is_not_run(tmp_path, name, start):
    folder = tmp_path / "download"
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    pl.DataFrame({"user": [1, 1, 2], "item": [1, 2, 1]}).write_parquet(folder / "t.parquet")
    script = "import sys; sys.path.pop(0); from minivae.cli.main import program; sys.exit(program())"
    how = ["-m", "minivae"] if start == "module" else ["-c", script]
    argv = [sys.executable, *how, "study", "--data", "t.parquet", "--models", "popularity", "--dry-run"]
    done = subprocess.run(argv, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "ran").exists()


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no devices here")
@pytest.mark.parametrize(
    "argv", [["study", "--data"], ["data", "info"], ["evaluate", "--model"], ["study", "--settings"]]
)
def test_what_never_ends_is_refused_at_once(argv, capsys):
    assert main([*argv, "/dev/zero"]) == 2
    assert capsys.readouterr().err.startswith("error: /dev/zero")
