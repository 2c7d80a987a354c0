"""Build a deck of slides for every chapter: folders of static files that need no network.

    python chapters/deck.py --out decks       then open decks/html/index.html; S opens the speaker notes

The slides are Markdown, `slides/NN_slug.md`. A figure is named after its section, `figures/04-4.5.png`, and is the one
that the chapter's notebook stores; the second of a section is `figures/04-4.5-2.png`. Nothing is run.
"""

import argparse
import base64
import json
import re
import shutil
import sys
from pathlib import Path

from sphinx.cmd.build import build_main

FOLDER = Path(__file__).resolve().parent
SLIDES = FOLDER / "slides"
EXTENSIONS = FOLDER.parent / "docs" / "_ext"  # formulas as MathML, as on the site
SECTION = re.compile(r"^## (\d+[a-z]?\.\d+) ", re.MULTILINE)


def figures(notebook: Path) -> dict[str, bytes]:
    """The stored figures of a chapter, named by its number, their section, and their place in it."""
    found: dict[str, bytes] = {}
    number = notebook.name.partition("_")[0]
    section, place = "", 0
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        for heading in SECTION.findall("".join(cell["source"])) if cell["cell_type"] == "markdown" else ():
            section, place = heading, 0
        for image in (o["data"]["image/png"] for o in cell.get("outputs", ()) if "image/png" in o.get("data", {})):
            place += 1
            suffix = "" if place == 1 else f"-{place}"
            found[f"{number}-{section}{suffix}.png"] = base64.b64decode("".join(image))
    return found


def stage(source: Path) -> None:
    """Everything that Sphinx reads, in one new folder."""
    shutil.copytree(SLIDES, source, ignore=shutil.ignore_patterns("__pycache__"))
    (source / "figures").mkdir()
    for notebook in sorted(FOLDER.glob("[0-9][0-9]*_*.ipynb")):
        for name, image in figures(notebook).items():
            (source / "figures" / name).write_bytes(image)


def main(arguments: list[str] | None = None) -> int:
    """Stage the slides and call Sphinx; a figure that is not there is an error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder that does not exist yet")
    out = parser.parse_args(arguments).out.resolve()
    if out.exists():
        raise SystemExit(f"{out} exists; choose another folder")
    sys.path.insert(0, str(EXTENSIONS))
    stage(out / "source")
    status = build_main(["-q", "-W", "--keep-going", "-b", "revealjs", str(out / "source"), str(out / "html")])
    if not status:
        print(f"{len(list(SLIDES.glob('[0-9]*.md')))} decks; open {out / 'html' / 'index.html'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
