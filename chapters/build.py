"""Rebuild the course from its sources, the NN_slug.py files of this folder.

    python chapters/build.py                    run every chapter, measure it, write its header and its notebook
    python chapters/build.py 04                 only this one
    python chapters/build.py --student DIR      and write the student versions, without solutions, to a new folder
    python chapters/build.py --student DIR --no-run
    python chapters/build.py --release DIR      the sources of an nbgrader course, with solutions, to a new folder

Each chapter runs in a fresh kernel. What was measured is written into its header and into the notebook's metadata.
"""

import argparse
import base64
import io
import json
import os
import re
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent
sys.path.insert(0, str(ROOT))  # this checkout, installed or not

from minivae.course import blank
from minivae.errors import InputError
from minivae.runtime.storage import write_text

RUNS = re.compile(r"\*\*runs\*\* [^·\n]+ ·")
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
SHARP = """
import matplotlib
matplotlib.rcParams["figure.dpi"] = 240
"""
INVESTIGATION = (
    "**Your investigation**, graded by hand: the prediction, what you did (cells below), table or figure with intervals, "
    "where the claim fails, how to run it again."
)
WIDTH = 1240  # pixels across of a stored figure: enough for a projector, small enough for the web viewer
MEASURE = """
import json, sys, time
try:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    others = resource.getrusage(resource.RUSAGE_CHILDREN)
    others = others.ru_utime + others.ru_stime
except ImportError:  # Windows
    import psutil
    peak = psutil.Process().memory_info().peak_wset
    others = 0.0
print(json.dumps([time.process_time() + others, peak]))
"""


def sources() -> list[Path]:
    """The chapters' sources, in order."""
    return sorted(FOLDER.glob("[0-9][0-9]*_*.py"))


def number_of(chapter: Path) -> str:
    """The number in a file name: "04", or "05b" of a chapter that came between two others."""
    return chapter.name.partition("_")[0]


def read_source(text: str) -> NotebookNode:
    """The notebook of a source, without outputs; the same text gives the same notebook."""
    notebook = jupytext.reads(text, fmt="py:percent")
    notebook.metadata = NotebookNode(kernelspec=KERNEL)
    for k, cell in enumerate(notebook.cells):
        cell.id = f"cell-{k:02d}"
        cell.metadata.pop("lines_to_next_cell", None)  # about the source's blank lines
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def run(notebook: NotebookNode, threads: int) -> dict[str, float]:
    """Execute in place; seconds, CPU seconds and gigabytes, kernel and imports included."""
    modules = [str(ROOT), *(folder for folder in sys.path[1:] if folder not in ("", os.getcwd()))]
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "IPYTHON"))}
    env |= {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(modules)}
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(FOLDER)}})
    probe = nbformat.v4.new_code_cell(MEASURE)
    notebook.cells.append(probe)
    started = time.perf_counter()
    with client.setup_kernel(env=env):
        client.kc.execute(SHARP, store_history=False)
        for k, cell in enumerate(notebook.cells[:-1]):
            client.execute_cell(cell, k)
        seconds = time.perf_counter() - started
        client.execute_cell(probe, len(notebook.cells) - 1)
    notebook.cells.pop()
    cpu, peak = json.loads(probe.outputs[0].text)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = joined(cell.outputs)
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                data["image/png"] = stored_figure(data["image/png"])
            if "image/svg+xml" in data:  # an explorable: its page lives in the package and comes when the cell is run
                data.pop("text/html", None)
    return {"seconds": round(seconds), "cpu_seconds": round(cpu), "gigabytes": round(peak / 1e9, 1), "threads": threads}


def joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Printed text that came in several pieces, by the chance of timing, as one."""
    whole: list[NotebookNode] = []
    for output in outputs:
        if whole and output.output_type == "stream" and whole[-1].get("name") == output.name:
            whole[-1].text += output.text
        else:
            whole.append(output)
    return whole


def stored_figure(png: str) -> str:
    """A figure as it is kept, base64: of a projector's width, in 96 colours of its own, pale bands among them."""
    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    image = image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS)
    small = image.quantize(96, method=Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
    held = io.BytesIO()
    small.save(held, format="PNG", optimize=True)
    return base64.b64encode(held.getvalue()).decode() + "\n"


def header(measured: dict[str, float]) -> str:
    """The part of a chapter's header that is measured."""
    cores = "1 core" if measured["threads"] == 1 else f"{measured['threads']} cores"
    return (
        f"**runs** {measured['cpu_seconds']} CPU seconds ({measured['seconds']} s when it was built), "
        f"{measured['gigabytes']} GB on {cores} ·"
    )


def build(source: Path, threads: int) -> dict[str, float]:
    """Run one chapter and write its header and its notebook."""
    text = source.read_text(encoding="utf-8")
    if len(RUNS.findall(text)) != 1:
        raise SystemExit(f"{source.name}: the header must hold '**runs** … ·' once")
    executed = read_source(text)
    measured = run(executed, threads)
    text = RUNS.sub(header(measured), text)
    notebook = read_source(text)
    for cell, done in zip(notebook.cells, executed.cells, strict=True):
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = done.outputs, done.execution_count
    notebook.metadata["measured"] = measured
    write_text(source, text)
    write(notebook, source.with_suffix(".ipynb"))
    note_run_time(number_of(source), measured)
    return measured


def note_run_time(number: str, measured: dict[str, float]) -> None:
    """Write the run time into the chapter's row of the syllabus."""
    page = FOLDER / "README.md"
    text = page.read_text(encoding="utf-8")
    row = re.compile(rf"^(\| {number} \|(?:[^|]*\|){{4}}) \d+ s \|", re.MULTILINE)
    write_text(page, row.sub(rf"\1 {measured['cpu_seconds']} s |", text))


def write_students(folder: Path) -> list[Path]:
    """All student versions, into a folder that does not hold one of them yet."""
    targets = {source: folder / source.with_suffix(".ipynb").name for source in sources()}
    there = [target for target in targets.values() if target.exists()]
    if there:
        raise SystemExit(f"{there[0]} exists and may hold somebody's work; choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for source, target in targets.items():
        write(blank(read_source(source.read_text(encoding="utf-8"))), target)
    return list(targets.values())


def write_release(folder: Path) -> list[Path]:
    """The chapters with their solutions as nbgrader wants them: one assignment a folder, under source/."""
    targets = {s: folder / "source" / s.stem / s.with_suffix(".ipynb").name for s in sources()}
    if folder.exists() and any(folder.iterdir()):
        raise SystemExit(f"{folder} is not empty; choose another folder")
    for source, target in targets.items():
        notebook = read_source(source.read_text(encoding="utf-8"))
        for cell in notebook.cells:
            cell.metadata.pop("jupyter", None)  # a lecturer wants the solutions in view
        notebook.cells = with_investigation(notebook.cells)
        target.parent.mkdir(parents=True)
        write(notebook, target)
    return list(targets.values())


def with_investigation(cells: list[NotebookNode]) -> list[NotebookNode]:
    """The cells, and behind the check of the ★★★ task one that nbgrader gives to a person: 10 points, by the rubric."""
    for k, cell in enumerate(cells):
        check = cell.metadata.get("nbgrader", {})
        if check.get("grade") and any("**★★★" in c.source for c in cells[max(0, k - 2) : k]):
            task = check["grade_id"].removesuffix("-check")
            by_hand = check | {"grade_id": f"{task}-investigation", "points": 10, "locked": False, "solution": True}
            answer = nbformat.v4.new_markdown_cell(
                INVESTIGATION, id=f"{cell.id}-by-hand", metadata={"nbgrader": by_hand}
            )
            return [*cells[: k + 1], answer, *cells[k + 1 :]]
    return cells


def write(notebook: NotebookNode, path: Path) -> None:
    nbformat.validate(notebook)
    write_text(path, nbformat.writes(notebook) + "\n")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chapters", nargs="*", help="numbers, for instance 00 04; all if none is given")
    parser.add_argument("--student", type=Path, metavar="DIR", help="where the student versions go")
    parser.add_argument("--release", type=Path, metavar="DIR", help="where an nbgrader course goes")
    parser.add_argument("--no-run", action="store_true", help="leave the notebooks as they are")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    chosen = [s for s in sources() if not options.chapters or number_of(s) in options.chapters]
    if len(chosen) < len(set(options.chapters)) or not chosen:
        parser.error(f"no such chapter; there are {', '.join(map(number_of, sources()))}")
    if options.student:
        for path in write_students(options.student):
            print(path)
    if options.release:
        for path in write_release(options.release):
            print(path)
    for source in chosen if not options.no_run else ():
        measured = build(source, options.threads)
        print(f"{source.with_suffix('.ipynb').name}: {header(measured).removesuffix(' ·')}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except InputError as e:
        sys.exit(f"error: {e}")
