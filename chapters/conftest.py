"""Chapters are tested against this checkout, each kernel with one thread and in a folder that is not the chapters'."""

import os
import tempfile
from pathlib import Path

from nbval import plugin

root = str(Path(__file__).resolve().parent.parent)
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["PYTHONPATH"] = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH")) if p)
foreign = tempfile.TemporaryDirectory(prefix="learner-")


class ForeignKernel(plugin.RunningKernel):
    """A learner's copy of a notebook lies anywhere, so a chapter may not count on the files beside it."""

    def __init__(self, *arguments: object, cwd: str, **more: object) -> None:
        super().__init__(*arguments, cwd=foreign.name, **more)


plugin.RunningKernel = ForeignKernel
