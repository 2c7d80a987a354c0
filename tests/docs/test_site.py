"""The parts of the site: links that lead nowhere are found, formulas become MathML or are refused."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "docs"), str(ROOT / "docs" / "_ext")]

from site_parts import chapters, links  # noqa: E402


def site(folder: Path, **pages: str) -> Path:
    """A folder of HTML pages."""
    for name, body in pages.items():
        (folder / f"{name}.html").write_text(f"<html><body>{body}</body></html>", encoding="utf-8")
    return folder


def test_links_between_pages_and_places_are_found(tmp_path):
    a = '<a href="b.html#here">b</a> <a href="#top">top</a><p id="top">'
    whole = site(tmp_path, a=a, b='<p id="here"><a href="a.html">')
    assert links.faults(whole) == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('<a href="c.html">', "links to c.html, which is not there"),
        ('<a href="a.html#nowhere">', "has no such place"),
        ('<img src="missing.png">', "which is not there"),
        ('<script src="https://example.org/x.js"></script>', "from elsewhere"),
        ('<link rel="stylesheet" href="//example.org/x.css">', "from elsewhere"),
    ],
)
def test_what_is_not_there_or_comes_from_elsewhere_is_said(tmp_path, body, said):
    assert said in "\n".join(links.faults(site(tmp_path, a=body)))


def test_links_of_chapters_become_links_of_the_site():
    text = "see [05](05_local_collaboration.ipynb#here), [words](GLOSSARY.md#elbo), [how](INSTRUCTORS.md)"
    assert (
        chapters.links(text)
        == 'see [05](05_local_collaboration.ipynb#here), <a href="glossary.html#elbo">words</a>, [how](teaching.md)'
    )


def test_every_formula_of_the_course_becomes_mathml():
    mathml = pytest.importorskip("mathml", reason="the extra `docs` is not installed")
    made = mathml.mathml(r"\lVert g_u - g_v\rVert \le \mathcal{L}\, W_1(q_u, q_v)", "inline")
    assert made.startswith("<math ")
    assert "alttext=" in made


def test_an_unknown_command_is_refused():
    """Broken twin of a formula: one letter too many."""
    mathml = pytest.importorskip("mathml", reason="the extra `docs` is not installed")
    from sphinx.errors import ExtensionError

    with pytest.raises(ExtensionError, match="unknown to the converter"):
        mathml.mathml(r"\lambdaa + 1", "inline")
