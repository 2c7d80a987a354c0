"""The wheel carries the course: chapters/ becomes minivae/course/material/. All other settings: pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

CHAPTERS = Path(__file__).resolve().parent / "chapters"
PATTERNS = ("*.ipynb", "*.md", "results/*", "figures/*")


class BuildWithCourse(build_py):
    """Copies the chapters beside the built package; an editable installation finds them in the repository."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for path in (p for pattern in PATTERNS for p in sorted(CHAPTERS.glob(pattern))):
            target = Path(self.build_lib, "minivae", "course", "material", path.relative_to(CHAPTERS))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


setup(cmdclass={"build_py": BuildWithCourse})
