"""Build the site: one folder of static files that opens from disk and from any web server, without a network.

    python docs/build.py              docs/_build/html, warnings are errors
    python docs/build.py --out DIR    elsewhere

The pages of `docs/`, the chapters with their stored outputs (nothing is run), the explorables, and a reference page for
each public name are put together in a folder of their own and handed to Sphinx. Afterwards every link and image of
every page is looked up: what is not there ends the build, and so does anything that a page would fetch from elsewhere.
"""

import argparse
import shutil
import sys
import tomllib
from pathlib import Path

from sphinx.cmd.build import build_main

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path[:0] = [str(ROOT), str(DOCS)]

from site_parts import accessible, chapters, explorables, lighten, links, reference  # noqa: E402


def stage(source: Path, repository: str) -> None:
    """Everything that Sphinx reads, in one new folder."""
    shutil.rmtree(source, ignore_errors=True)  # ours: made by the line below, under docs/_build or --out
    keep_out = shutil.ignore_patterns("_build", "__pycache__", "site_parts", "build.py")
    shutil.copytree(DOCS, source, ignore=keep_out)
    chapters.write(ROOT / "chapters", source / "course", repository)
    explorables.write(source / "explorables")
    reference.write(source / "reference")
    shutil.copy(ROOT / "CHANGELOG.md", source / "changelog.md")


def main() -> int:
    """Build, then look up every link."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=DOCS / "_build")
    out = parser.parse_args().out.resolve()
    public = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["minivae"]
    stage(out / "source", public["repository"])
    options = ["-q", "-E", "-W", "--keep-going", "-b", "html", "-D", f"html_baseurl={public['site']}"]
    status = build_main([*options, "-d", str(out / "doctrees"), str(out / "source"), str(out / "html")])
    if status:
        return status
    explorables.embed(out / "html")
    lighten.lighten(out / "html")
    accessible.mend(out / "html")
    faults = links.faults(out / "html")
    print(*faults, sep="\n", file=sys.stderr)
    print(f"{len(list((out / 'html').rglob('*.html')))} pages in {out / 'html'}; open index.html")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
