"""The pages as text: self-contained, small, with all that an explorable has to have."""

import html
import re

import pytest

import minivae as mv
from minivae import explorables
from minivae.errors import InputError
from minivae.explorables import pages
from minivae.explorables.bundle import bundle
from minivae.plots.style import COLOURS, PALETTE

NAMES = explorables.names()


@pytest.mark.parametrize("name", NAMES)
def test_page_is_self_contained_and_small(name):
    page = explorables.page(name)
    assert len(page.encode()) < 40 * 1024
    addresses = set(re.findall(r"https?://[^\s\"'<)]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg"}  # a name, which nobody fetches
    assert not re.search(r"(?:src|href)\s*=|@import|url\((?!#)|\bfetch\(|^(?:import|export) ", page, re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
def test_page_has_its_parts(name):
    page = explorables.page(name)
    assert page.count("<h1>") == 1
    assert explorables.title(name).endswith("?")
    for part in ('class="question"', 'class="predict"', 'class="reply"', 'class="try"', 'class="theorem"', "<svg"):
        assert page.count(part) == 1, part
    assert re.search(r"chapter \d\d", page)
    assert page.count("data-reply=") >= 2
    assert not re.search(r"<!--|\{picture\}", page)


@pytest.mark.parametrize("name", NAMES)
def test_ids_are_unique(name):
    ids = re.findall(r'\bid="([^"]+)"', explorables.page(name))
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", NAMES)
def test_notebook_shows_page_and_picture(name):
    shown = mv.explorable(name)
    bundle = shown._repr_mimebundle_()
    source = re.search(r'srcdoc="([^"]*)"', shown._repr_html_())[1]
    assert html.unescape(source) == explorables.page(name)
    assert bundle["image/svg+xml"].startswith("<svg")
    assert "<style>" in bundle["image/svg+xml"]
    assert bundle["text/plain"] == explorables.title(name)


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(InputError, match="masked-distance"):
        mv.explorable("masks")


def test_one_palette_for_matplotlib_and_browser():
    css = pages._read("kit/picture.css")
    assert {k: v.lower() for k, v in PALETTE.items()} == dict(
        re.findall(r"--(\w+): (#[0-9a-f]{6});", css.split("--paper")[0])
    )
    assert tuple(PALETTE.values()) == COLOURS
    assert "#0072b2" not in pages._read("kit/page.css")  # pages name colours, they define none


def test_bundle_keeps_modules_apart_and_runs_each_once():
    files = {
        "a/main.js": 'import { x } from "./one.js";\nimport * as two from "../b/two.js";\nexport const y = x;\n',
        "a/one.js": 'import * as two from "../b/two.js";\nconst hidden = 1;\nexport const x = hidden + two.x;\n',
        "b/two.js": "const hidden = 2;\nexport const x = hidden;\n",
    }
    script = bundle("a/main.js", files.__getitem__)
    assert script.count("const hidden = 2;") == 1
    assert script.index("const hidden = 2;") < script.index("const hidden = 1;") < script.index("const y")
    assert script.endswith("\nm2;")
