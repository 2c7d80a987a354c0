"""The built site in a real browser: no errors, no request to elsewhere, nothing wider than the window, search finds."""

import inspect
import os
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Protocol

import pytest

from minivae.study.output.page import to_html

ROOT = Path(__file__).resolve().parents[2]
BROWSER = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]

pytest.importorskip("myst_nb", reason="the extra `docs` is not installed")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on this machine")


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    """The site, built as its readers build it."""
    out = tmp_path_factory.mktemp("site")
    subprocess.run([sys.executable, "docs/build.py", "--out", str(out)], cwd=ROOT, check=True)
    return out / "html"


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as p:
        running = p.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield running
        running.close()


def faults(browser, pages, width, scheme="light"):
    """What is wrong with pages at a width: errors, requests to elsewhere, content wider than the window."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, found, here = context.new_page(), [], ""
    page.on("console", lambda m: found.append(f"{here}: {m.text}") if m.type == "error" else None)
    page.on("pageerror", lambda e: found.append(f"{here}: {e}"))
    page.on("request", lambda r: found.append(f"{here} asks for {r.url}") if r.url.startswith("http") else None)
    for path in pages:
        here = path.name
        page.goto(path.as_uri())
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            found.append(f"{here} is {wide} px wide in a window of {width}")
    context.close()
    return found


def pages_of(html):
    return sorted(p for p in html.rglob("*.html") if "_static" not in p.parts and not p.name.startswith("genindex"))


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "light"), (1280, "dark")])
def test_every_page_opens_whole(html, browser, width, scheme):
    pages = pages_of(html)
    assert len(pages) > 50
    assert faults(browser, pages, width, scheme) == []


def test_a_wide_page_and_a_request_are_found(tmp_path, browser):
    """Broken twins."""
    page = tmp_path / "twin.html"
    page.write_text('<p style="width: 900px">wide</p><img src="http://127.0.0.1:9/x.png">', encoding="utf-8")
    said = "\n".join(faults(browser, [page], 390))
    assert "px wide" in said
    assert "asks for http" in said


def test_search_finds_the_sharing_radius(html, browser):
    page = browser.new_page()
    page.goto((html / "search.html").as_uri() + "?q=sharing+radius")
    page.wait_for_selector("#search-results li a", timeout=20_000)
    page.wait_for_function("document.querySelectorAll('#search-results li a').length > 3", timeout=20_000)
    found = page.locator("#search-results li a").all_inner_texts()
    assert any("When does a step on one user help another" in title for title in found), found
    page.close()


def test_search_is_reached_from_the_first_page(html, browser):
    page = browser.new_page()
    page.goto((html / "index.html").as_uri())
    page.keyboard.press("Control+k")
    page.keyboard.type("sharing radius")
    page.keyboard.press("Enter")
    page.wait_for_selector("#search-results li a", timeout=20_000)
    assert "search.html?q=sharing+radius" in page.url
    page.close()


def test_the_first_page_is_small_and_says_on_one_screen_what_to_do(html, browser):
    sys.path[:0] = [str(ROOT / "docs")]
    from measure import measure

    cost = measure(browser, html)
    assert cost["bytes"] < 300_000
    assert cost["requests outside"] == 0
    assert cost["shift"] < 0.1
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto((html / "index.html").as_uri())
    for part in ("article h1", "article p a[href*='arxiv']", "article figure img", "article .highlight-sh"):
        box = page.locator(part).first.bounding_box()
        assert box["y"] + box["height"] <= 900, f"{part} ends below the first screen"
    page.close()


ICONS = """() => [...document.querySelectorAll("[class*='fa-']")].map((e) => {
    const style = getComputedStyle(e, "::before");
    return [style.fontFamily + " " + style.fontWeight, style.content.charAt(1)];
}).filter(([, letter]) => letter >= "\ue000" && letter <= "\uf8ff")"""


def without_glyph(html, seen):
    """Icons of pages that the fonts of the site do not have."""
    from fontTools.ttLib import TTFont

    folder = html / "_static" / "vendor" / "fontawesome" / "webfonts"
    has = {name: TTFont(folder / f"fa-{name}.woff2").getBestCmap() for name in ("solid-900", "regular-400")}
    return {
        (font, hex(ord(icon)))
        for font, icon in seen
        if ord(icon) not in has["solid-900" if "900" in font else "regular-400"]
    }


def test_every_icon_of_a_page_is_in_the_font(html, browser):
    page, seen = browser.new_page(), set()
    for path in pages_of(html)[::4]:
        page.goto(path.as_uri())
        seen |= {tuple(icon) for icon in page.evaluate(ICONS)}
    page.close()
    assert len(seen) >= 5
    assert without_glyph(html, seen) == set()
    assert without_glyph(html, {("900", "\uf1fe")}), "broken twin: an icon that no page shows"


def test_a_chapter_leads_to_its_explorables(html):
    text = (html / "course" / "04_sharing_radius.html").read_text(encoding="utf-8")
    links = re.findall(r'href="../explorables/([\w-]+).html"><span[^>]*>Move it in this browser', text)
    assert links == ["sharing-disc", "sharing-plane"]


def test_a_solution_unfolds_by_keyboard(html, browser):
    page = browser.new_page()
    page.goto((html / "course" / "04_sharing_radius.html").as_uri())
    folded = page.locator("details", has=page.locator("summary", has_text="Solution")).first
    inside = folded.locator("p, pre").first
    assert not inside.is_visible()
    folded.locator("summary").first.press("Enter")
    assert inside.is_visible()
    page.close()


def test_figures_of_chapters_say_what_is_read_from_them(html):
    text = (html / "course" / "04_sharing_radius.html").read_text(encoding="utf-8")
    alts = re.findall(r'<img alt="([^"]*)"', text)
    assert len(alts) >= 8
    assert not [alt for alt in alts if "_images" in alt or len(alt) < 20]
    assert sum(len(alt) > 80 for alt in alts) >= 3


def test_a_figure_on_a_phone_keeps_its_letters_and_scrolls(html, browser):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto((html / "course" / "04_sharing_radius.html").as_uri())
    widths = page.evaluate(
        "[...document.querySelectorAll('.figure-scroll img')].map((i) => [i.clientWidth, i.naturalWidth])"
    )
    assert len(widths) >= 6
    assert all(width >= min(natural, 570) for width, natural in widths)
    page.close()


def test_formulas_are_mathml_with_their_tex(html):
    text = (html / "course" / "04_sharing_radius.html").read_text(encoding="utf-8")
    assert text.count("<math ") > 30
    assert "alttext=" in text


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_axe_finds_nothing(html, browser, width, scheme):
    """One page of each kind; in a narrow window what scrolls has to be reached by keys."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    # A colour on its way from the light to the dark one is a colour that nobody reads. What reduced motion does not
    # stop (the theme's skip link, its sidebars) is waited for; what has no end is not.
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900}, reduced_motion="reduce")
    found = []
    kinds = (
        "index",
        "search",
        "course/index",
        "course/04_sharing_radius",
        "guides/results",
        "reference/minivae.theory.masking",
        "reference/minivae.theory.locality",
    )
    for kind in (*kinds, "explorables/beta", "findings"):
        page.goto((html / f"{kind}.html").as_uri())
        page.evaluate(
            "Promise.allSettled(document.getAnimations()"
            ".filter((each) => Number.isFinite(each.effect.getComputedTiming().endTime))"
            ".map((each) => each.finished)).then(() => null)"
        )
        violations = axe.Axe().run(page).response["violations"]
        found += [(kind, fault["id"], fault["nodes"][0]["html"]) for fault in violations]
    page.close()
    assert found == []


REPORT = """# A report

## Conclusion

`a` is better than `b`.

## Numbers

|  | nDCG@100 |
| --- | ---: |
| a | .5 |
| b | .4 |

## Settings

* a (EASE): λ 100
"""


def test_axe_finds_nothing_in_a_report_whose_tables_sort_by_keys(browser, tmp_path):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    path = tmp_path / "report.html"
    path.write_text(to_html(REPORT, tmp_path, (), ["a", "b"], ["a"]), encoding="utf-8")
    page = browser.new_page()
    page.goto(path.as_uri())
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert [(f["id"], f["nodes"][0]["html"]) for f in axe.Axe().run(page).response["violations"]] == []
    page.locator("th button").press("Enter")
    page.locator("th button").press("Enter")
    assert page.locator("tbody tr td:first-child").all_inner_texts() == ["b", "a"]
    page.close()


ENTRIES = """() => [...document.querySelectorAll('dl.py.function, dl.py.class')].map((dl) => {
    const heads = [...dl.querySelectorAll(':scope > dt')], body = dl.querySelector(':scope > dd');
    return { name: heads.find((dt) => dt.id).id, signature: heads.map((dt) => dt.textContent).join(' '),
        example: !!body.querySelector('.doctest'), formula: !!body.querySelector('div.formula math'),
        chapters: [...body.querySelectorAll('a[href*="course/"]')].length }; })"""


def test_reference_has_signature_types_formula_and_example(html, browser):
    """Each public name of `minivae` and its theory; the page leads to the chapter and to the paper."""
    sys.path[:0] = [str(ROOT / "docs"), str(ROOT / "docs" / "_ext")]
    from site_parts import reference
    from statements import formulas

    page = browser.new_page()
    for module in ("minivae", *(f"minivae.theory.{name}" for name in reference.ROOMS["theory"])):
        page.goto((html / "reference" / f"{module}.html").as_uri())
        entries = {e["name"]: e for e in page.evaluate(ENTRIES)}
        assert set(entries) == {f"{module}.{name}" for name in reference.members(module)}
        for name, entry in entries.items():
            own = name.rpartition(".")[2]
            assert entry["example"], f"{name} has no example"
            assert entry["formula"] == (own in formulas()), f"{name} has no rendered formula"
            value = getattr(import_module(module), own)
            no_fields = inspect.isclass(value) and (issubclass(value, Exception) or Protocol in value.__bases__)
            if not no_fields and inspect.signature(value).parameters:
                assert ": " in entry["signature"], f"{name} shows no types"
        if module != "minivae":
            chapter = reference.STATEMENTS[module.rpartition(".")[2]][2]
            if chapter:
                assert page.locator(f"article p a[href$='{chapter}.html']").count() >= 1
            stated = reference.STATEMENTS[module.rpartition(".")[2]][1]
            assert (page.locator(f"article p a[href='{reference.PAPER}']").count() == 1) == stated
    page.close()
