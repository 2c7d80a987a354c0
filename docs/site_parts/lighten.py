"""What the theme loads on every page and no page needs is left out, so that the first page is small."""

import logging
import re
from pathlib import Path

from fontTools import subset

DRAWN_ICONS = re.compile(
    r'<script[^>]*src="[^"]*scripts/fontawesome\.js[^"]*"></script>|<link[^>]*scripts/fontawesome\.js[^>]*/>'
)
SEARCH = re.compile(
    r'\s*<script[^>]*src="[^"]*(?:searchtools|language_data|english-stemmer|base-stemmer|searchindex)\.js[^"]*"></script>'
)
ICON = re.compile(r"\bfa-[a-z0-9-]+\b")
NAMED = re.compile(r'((?:\.fa-[a-z0-9-]+,?)+)\{--fa:"\\([0-9a-f]+)"\}')
SHOWN_BY_STYLES = re.compile(r"[\ue000-\uf8ff]|(?<=content:\"\\)[ef][0-9a-f]{3}(?=\")")


def lighten(html: Path) -> None:
    """Of the built site: no script that draws icons, the search on the page of the search only, fonts of used icons.

    The theme has a script of 1.5 MB that draws the icons which its font already shows, loads the index of the search
    on each page, and a font of 1,400 icons of which a dozen are seen.
    """
    used: set[str] = set()
    for page in html.rglob("*.html"):
        text = DRAWN_ICONS.sub("", page.read_text(encoding="utf-8"))
        if page.name != "search.html":
            text = SEARCH.sub("", text)
        used |= set(ICON.findall(text))
        page.write_text(text, encoding="utf-8")
    static = html / "_static"
    (static / "scripts" / "fontawesome.js").unlink(missing_ok=True)
    for script in (*static.glob("*.js"), *(static / "scripts").glob("*.js")):
        used |= set(ICON.findall(script.read_text(encoding="utf-8")))
    logging.getLogger("fontTools").setLevel(logging.WARNING)
    letters = icons(used, [p.read_text(encoding="utf-8") for p in static.rglob("*.css")])
    for font in (static / "vendor" / "fontawesome" / "webfonts").glob("*.woff2"):
        keep(font, letters)


def icons(used: set[str], styles: list[str]) -> set[int]:
    """Code points of the icons that pages name by a class or style sheets write themselves."""
    letters: set[int] = set()
    for style in styles:
        for names, code in NAMED.findall(style):
            if used & set(ICON.findall(names)):
                letters.add(int(code, 16))
        letters |= {ord(c) if len(c) == 1 else int(c, 16) for c in SHOWN_BY_STYLES.findall(style)}
    return letters


def keep(font: Path, letters: set[int]) -> None:
    """The font with these letters only."""
    options = subset.Options(flavor="woff2", layout_features=[], notdef_outline=True, ignore_missing_unicodes=True)
    whole = subset.load_font(str(font), options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=letters)
    subsetter.subset(whole)
    subset.save_font(whole, str(font), options)
