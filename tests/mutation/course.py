"""Plants errors in the chapters and counts how many are noticed: `python -m tests.mutation.course [NN …]`.

An error in a sentence is noticed if the sentence stands in `tests/test_chapter_claims.py`, beside its measurement. An
error in a cell is noticed if a cell of the chapter fails when the chapter is run with it.
"""

import argparse
import os
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tests.test_chapter_claims import CHAPTERS, RETRACTED, SAID, as_prose, plain

LISTED = Path(__file__).with_name("course.toml")
RUN = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("build", sys.argv[1])
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)
build.run(build.read_source(sys.stdin.read()), 1)
"""


@dataclass(frozen=True)
class Planted:
    """One error: the chapter's number, a piece of its source and what takes its place."""

    chapter: str
    old: str
    new: str

    @property
    def source(self) -> Path:
        (path,) = CHAPTERS.glob(f"{self.chapter}_*.py")
        return path

    def _right(self) -> str:
        """The source without the error; its words must stand there once."""
        source = self.source.read_text(encoding="utf-8")
        if source.count(self.old) != 1:
            raise SystemExit(
                f"{self.old!r} stands {source.count(self.old)} times in {self.source.name}, not once: "
                f"bring its words in {LISTED.name} up to date"
            )
        return source

    @property
    def text(self) -> str:
        """The source with the error."""
        return self._right().replace(self.old, self.new)

    @property
    def in_prose(self) -> bool:
        source = self._right()
        start = source.rfind("\n", 0, source.index(self.old)) + 1
        return source.startswith("# ", start)


def planted() -> list[Planted]:
    return [Planted(**m) for m in tomllib.loads(LISTED.read_text(encoding="utf-8"))["mutant"]]


def missing(number: str, text: str) -> list[str]:
    """Sentences that a chapter no longer says, and words that it must not say."""
    prose = as_prose(text)
    return [s for s in SAID[number] if plain(s) not in prose] + [words for words in RETRACTED if words in prose]


def fails(planted: Planted, seconds: int = 900) -> bool:
    """Whether a cell of the chapter fails when it is run with the error."""
    command = [sys.executable, "-c", RUN, str(CHAPTERS / "build.py")]
    done = subprocess.run(
        command, input=planted.text, text=True, capture_output=True, timeout=seconds, env=os.environ, check=False
    )
    return done.returncode != 0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation.course", description=__doc__)
    parser.add_argument("chapters", nargs="*", help="numbers; all if none is given")
    chosen = parser.parse_args().chapters
    work = [m for m in planted() if not chosen or m.chapter in chosen]
    noticed = 0
    for m in work:
        found = bool(missing(m.chapter, m.text)) if m.in_prose else fails(m)
        noticed += found
        print(m.chapter, "noticed " if found else "SURVIVED", repr(m.new[:90]), flush=True)
    print(f"{noticed} of {len(work)} noticed")


if __name__ == "__main__":
    main()
