"""The parts of the site: links that lead nowhere are found, formulas become MathML or are refused."""

import inspect
import sys
from importlib import import_module
from pathlib import Path

import pytest
from nbformat import v4

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "docs"), str(ROOT / "docs" / "_ext")]

from site_parts import chapters, links, reference  # noqa: E402


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
        ('<a href="#nowhere">', "has no such place"),
        ('<img src="missing.png">', "which is not there"),
        ('<script src="https://example.org/x.js"></script>', "from elsewhere"),
        ('<link rel="stylesheet" href="//example.org/x.css">', "from elsewhere"),
    ],
)
def test_what_is_not_there_or_comes_from_elsewhere_is_said(tmp_path, body, said):
    assert said in "\n".join(links.faults(site(tmp_path, a=body)))


def test_links_of_chapters_become_links_of_the_site():
    text = "see [05](05_local_collaboration.ipynb#here), [5b](05b_gap.ipynb), [words](GLOSSARY.md#elbo)"
    assert (
        chapters.links(text)
        == 'see [05](05_local_collaboration.ipynb#here), [5b](05b_gap.ipynb), <a href="glossary.html#elbo">words</a>'
    )
    assert chapters.links("[how](INSTRUCTORS.md)") == "[how](teaching.md)"


def test_answers_for_lecturers_are_named_and_not_linked():
    assert chapters.links("see [the key](lecturer/key.md).") == "see the key (`chapters/lecturer/key.md`)."


def test_chapters_lead_to_colab_and_binder_once_there_is_a_repository():
    path = ROOT / "chapters" / "07_masking.ipynb"
    assert "colab" not in chapters.notebook(path)
    shown = chapters.notebook(path, "someone/minivae")
    assert "https://colab.research.google.com/github/someone/minivae/blob/main/chapters/07_masking.ipynb" in shown
    assert "https://mybinder.org/v2/gh/someone/minivae/main?filepath=chapters%2F07_masking.ipynb" in shown


def test_a_figure_says_its_section_and_what_is_read_from_it():
    texts = ["# 4. T", "## 4.1 Where?", "", "**Reading.** Two fall, [one](x.md) is **far**. B. C. D.\n\nMore."]
    cells = [v4.new_markdown_cell(t) if t else v4.new_code_cell("plot()") for t in texts]
    assert chapters.alternative(cells, 2) == "Figure of section 4.1 Where? Two fall, one is far. B. C."
    assert chapters.alternative(cells[:3], 2) == "Figure of section 4.1 Where?"
    assert chapters.alternative([v4.new_code_cell('mv.explorable("beta")')], 0) == "What does β tax?"


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


THEORY = [f"minivae.theory.{name}" for name in reference.ROOMS["theory"]]
NO_FORMULA = {"directions", "toy_users"}  # draws


def test_every_function_of_the_theory_has_its_formula():
    statements = pytest.importorskip("statements", reason="the extra `docs` is not installed")
    names = {(m, n): getattr(import_module(m), n) for m in (*THEORY, "minivae") for n in reference.members(m)}
    functions = {n for (m, n), value in names.items() if m in THEORY and inspect.isfunction(value)}
    assert functions - set(statements.formulas()) == NO_FORMULA
    assert set(statements.formulas()) <= {n for _, n in names}, "a formula of a name that is not public"


def test_every_page_of_the_theory_says_what_it_is_about():
    assert set(reference.STATEMENTS) == set(reference.ROOMS["theory"])
    for module in reference.ROOMS["theory"]:
        chapter = reference.STATEMENTS[module][2]
        assert not chapter or (ROOT / "chapters" / f"{chapter}.py").is_file()
        assert ("taught in" in reference.lead(module)) == bool(chapter)
        assert chapter in reference.lead(module)
    assert sum(bool(chapter) for _, _, chapter in reference.STATEMENTS.values()) > 10
