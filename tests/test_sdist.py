"""The sdist carries every file of the repository, so that its tests run where it is unpacked."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALWAYS = {"pyproject.toml", "setup.py", "README.md", "LICENSE", "MANIFEST.in"}  # taken by setuptools unasked


def tracked():
    """The files of the repository, relative to its root."""
    done = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True)
    if done.returncode or not (ROOT / ".git").exists():
        pytest.skip("no checkout of git")
    return [name for name in done.stdout.split("\0") if name and (ROOT / name).exists()]


def left_out(names, manifest):
    """Those that neither the manifest nor setuptools takes; of its commands `graft` and `include` of whole names."""
    asked = [line.split() for line in manifest.splitlines() if line]
    grafts = {"minivae"} | {folder for command, *folders in asked if command == "graft" for folder in folders}
    single = ALWAYS | {name for command, *names in asked if command == "include" for name in names}
    return [n for n in names if n not in single and not grafts & {str(p) for p in Path(n).parents}]


def test_every_tracked_file_is_in_the_manifest():
    assert left_out(tracked(), (ROOT / "MANIFEST.in").read_text(encoding="utf-8")) == []


def test_the_check_sees_a_folder_left_out():
    assert left_out(["tests/data/test_x.py", "minivae/a.py", "CHANGELOG.md"], "graft chapters\n") == [
        "tests/data/test_x.py",
        "CHANGELOG.md",
    ]
