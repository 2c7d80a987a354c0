"""The lecturers' decks: built from a clean folder, one a chapter, nothing overflows, numbers are the chapter's own."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = ROOT / "chapters"
NOTEBOOKS = sorted(CHAPTERS.glob("[0-9][0-9]*_*.ipynb"))
BROWSER = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
DECIMAL = re.compile(r"(?<![\w.])\d*\.\d+")
WIDTH, HEIGHT = 1280, 720
BEYOND = """([width, height]) => {
    const slide = Reveal.getCurrentSlide();
    const boxes = [...slide.querySelectorAll(':scope > :not(aside)')].map((e) => e.getBoundingClientRect());
    return slide.scrollWidth > width || slide.scrollHeight > height
        || boxes.some((b) => b.right > width + 1 || b.bottom > height + 1);
}"""

pytest.importorskip("sphinx_revealjs", reason="the extra `docs` is not installed")


def build(out: Path, chapters: Path = CHAPTERS) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(chapters / "deck.py"), "--out", str(out)]
    return subprocess.run(command, capture_output=True, text=True, cwd=out.parent)


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    """The decks, built as a lecturer builds them."""
    out = tmp_path_factory.mktemp("lecturer") / "decks"
    done = build(out)
    assert done.returncode == 0, done.stderr
    assert f"{len(NOTEBOOKS)} decks" in done.stdout
    return out / "html"


def slides(deck: Path) -> list[str]:
    """The slides of a deck, from its source."""
    return re.split(r"^#{1,2} ", deck.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]


def decimals(text: str) -> set[str]:
    return {number.lstrip("0").rstrip(".") for number in DECIMAL.findall(text.replace("−", "-"))}


def shown(notebook: Path) -> str:
    """Everything that a reader of a chapter sees."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    outputs = [o for c in cells for o in c.get("outputs", ())]
    texts = [c["source"] for c in cells] + [o.get("text", "") for o in outputs]
    return "\n".join("".join(t) for t in texts)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.stem)
def test_every_chapter_has_a_deck_with_notes_and_its_own_numbers(notebook):
    deck = slides(CHAPTERS / "slides" / f"{notebook.stem}.md")
    assert 8 <= len(deck) <= 14
    assert all(slide.count(":::{revealjs-notes}\n") == 1 for slide in deck)
    text = shown(notebook)
    assert f"# {deck[0].splitlines()[0]}" in text  # the same title
    assert decimals("\n".join(deck)) - decimals(text) == set()


def test_a_number_that_the_chapter_does_not_show_is_found():
    """Broken twin: one digit wrong."""
    assert decimals("sd 0.45, and .5860") - decimals("sd .45 and .586") == {".5860"}


def test_a_deck_asks_for_nothing_from_elsewhere(html):
    for page in html.glob("*.html"):
        links = re.findall(r'(?:src|href)="([^"#?]+)', page.read_text(encoding="utf-8"))
        assert not [link for link in links if link.startswith(("http", "//"))]
        assert [link for link in links if not (html / link).exists()] == []


def test_a_figure_that_is_not_there_ends_the_build_and_a_folder_that_is_there_too(tmp_path):
    copy = tmp_path / "course" / "chapters"
    shutil.copytree(CHAPTERS, copy, ignore=shutil.ignore_patterns("__pycache__", "results"))
    shutil.copytree(ROOT / "docs" / "_ext", tmp_path / "course" / "docs" / "_ext")
    deck = copy / "slides" / "04_sharing_radius.md"
    deck.write_text(deck.read_text(encoding="utf-8").replace("04-4.5.png", "04-4.55.png"), encoding="utf-8")
    done = build(tmp_path / "decks", copy)
    assert done.returncode != 0
    assert "04-4.55.png" in done.stderr
    again = build(tmp_path / "decks", copy)
    assert "exists; choose another folder" in again.stderr


@pytest.fixture(scope="module")
def page():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if BROWSER is None:
        pytest.skip("there is no Chromium on this machine")
    with sync_api.sync_playwright() as p:
        running = p.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield running.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        running.close()


def overflowing(page, deck: Path) -> list[int]:
    """The slides of a deck whose content does not fit."""
    page.goto(deck.as_uri())
    page.wait_for_function("window.Reveal && Reveal.isReady()")
    found = []
    for k in range(1, page.evaluate("Reveal.getTotalSlides()") + 1):
        if page.evaluate(BEYOND, [WIDTH, HEIGHT]):
            found.append(k)
        page.evaluate("Reveal.next()")
    return found


def test_no_slide_overflows(html, page):
    asked = []
    page.on("request", lambda r: asked.append(r.url) if r.url.startswith("http") else None)
    assert {deck.stem: overflowing(page, deck) for deck in html.glob("[0-9]*.html")} == {n.stem: [] for n in NOTEBOOKS}
    assert asked == []


@pytest.mark.parametrize("too_much", ["<p>A line.</p>" * 20, "<p style='white-space: nowrap'>" + "wide " * 90 + "</p>"])
def test_a_slide_with_too_much_is_found(html, page, too_much):
    """Broken twins: one too high, one too wide."""
    deck = html / "00_quickstart.html"
    broken = html / "broken.html"
    head, second = deck.read_text(encoding="utf-8").split("<h2>", 1)
    broken.write_text(f"{head}{too_much}<h2>{second}", encoding="utf-8")
    assert overflowing(page, broken) == [2]
    broken.unlink()
