"""The course as pages: the stored notebooks, with solutions folded and links that lead to pages of the site."""

import re
from collections.abc import Sequence
from pathlib import Path

import nbformat

from minivae import explorables

EXPLORABLE = re.compile(r'mv\.explorable\("([\w-]+)"\)')
PAGES = {"README.md": "index.md", "GLOSSARY.md": "glossary.md", "INSTRUCTORS.md": "teaching.md"}


def links(text: str) -> str:
    """Links between notebooks and pages as the site has them."""
    text = re.sub(r"\]\((?:\.\./chapters/|chapters/)?(\d\d\w+)\.ipynb(#[^)]*)?\)", r"](\1.ipynb\2)", text)
    text = re.sub(r"\[([^\]]*)\]\(GLOSSARY\.md#([\w-]+)\)", r'<a href="glossary.html#\2">\1</a>', text)  # a table's row
    for old, new in PAGES.items():
        text = text.replace(f"]({old}", f"]({new}")
    text = re.sub(r"\[([^\]]*)\]\((lecturer/[^)]+)\)", r"\1 (`chapters/\2`)", text)  # answers stay off the site
    text = re.sub(r"\]\(results/([^)]+)\)", r"](results/\1)", text)
    text = re.sub(r"```mermaid\n.*?```\n*", "", text, flags=re.DOTALL)  # the table of chapters says what each needs
    return text.replace("](../README.md)", "](../index.md)")


def plain(text: str) -> str:
    """Markdown as one line of words: no marks, no addresses."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return " ".join(re.sub(r"\*\*|[`$]|(?<!\w)\*|\*(?!\w)", "", text).split())


def alternative(cells: Sequence[nbformat.NotebookNode], at: int) -> str:
    """What a figure shows, for those who do not see it: its section, and what the lesson reads from it.

    An explorable has its question instead.
    """
    if shown := EXPLORABLE.fullmatch(cells[at].source):
        return explorables.title(shown[1])
    texts = [c.source if c.cell_type == "markdown" else "" for c in cells]
    heads = re.findall(r"^##+ (.+)$", "\n".join(texts[: at + 1]), re.MULTILINE)
    section = re.sub(r"([^.?!])$", r"\1.", f"Figure of section {plain(heads[-1])}") if heads else "Figure."
    after = next((t for t in texts[at + 1 :] if t), "")
    if not after.startswith("**Reading"):
        return section
    said = re.split(r"(?<=[.!?]) ", plain(after.partition("\n\n")[0]).removeprefix("Reading. "))
    return f"{section} {' '.join(said[:3])}"


def elsewhere(repository: str, name: str) -> str:
    """Where a chapter can be run without installing anything; nothing as long as no repository is public."""
    if not repository:
        return ""
    colab = f"https://colab.research.google.com/github/{repository}/blob/main/chapters/{name}"
    binder = f"https://mybinder.org/v2/gh/{repository}/main?filepath=chapters%2F{name}"
    return f"\n\n[Open in Colab]({colab}) · [Open in Binder]({binder})"


def notebook(path: Path, repository: str = "") -> str:
    """One chapter: cells with solutions are folded, those that only prepare are hidden behind a line."""
    book = nbformat.read(path, as_version=4)
    book.cells[0].source += elsewhere(repository, path.name)
    cells = []
    for at, cell in enumerate(book.cells):
        cells.append(cell)
        if cell.cell_type == "markdown":
            cell.source = links(cell.source)
            continue
        if any("image/png" in o.get("data", {}) or "image/svg+xml" in o.get("data", {}) for o in cell.outputs):
            cell.metadata["mystnb"] = {"image": {"alt": alternative(book.cells, at)}}
        tags = set(cell.metadata.get("tags", []))
        folded = cell.metadata.get("jupyter", {}).get("source_hidden")
        if folded or "### BEGIN SOLUTION" in cell.source:
            tags.add("hide-input")
        cell.metadata["tags"] = sorted(tags)
        if shown := EXPLORABLE.fullmatch(cell.source):
            cells.append(nbformat.v4.new_markdown_cell(f"[Move it in this browser](../explorables/{shown[1]}.md)"))
    book.cells = cells
    return nbformat.writes(book)


def write(chapters: Path, target: Path, repository: str = "") -> None:
    """All pages of the course into `target`."""
    target.mkdir(parents=True)
    books = sorted(chapters.glob("[0-9][0-9]*_*.ipynb"))
    for path in books:
        (target / path.name).write_text(notebook(path, repository), encoding="utf-8")
    for old, new in PAGES.items():
        text = links((chapters / old).read_text(encoding="utf-8"))
        if new == "index.md":
            listed = "\n".join(["```{toctree}", ":hidden:", "", *(p.stem for p in books), "glossary", "```"])
            text = f"{text}\n\n{listed}\n"
        elif new == "teaching.md":
            text = f"---\norphan: true\n---\n\n{text}"
        (target / new).write_text(text, encoding="utf-8")
    for picture in (chapters / "figures").glob("*.png"):
        (target / "figures").mkdir(exist_ok=True)
        (target / "figures" / picture.name).write_bytes(picture.read_bytes())
