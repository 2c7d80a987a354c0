"""What the theme leaves out for readers with a screen reader or without a mouse."""

import re
from pathlib import Path

MENDED = {
    # the arrows that unfold a part of the contents have no name
    r'<summary><span class="toctree-toggle" role="presentation">': (
        '<summary aria-label="Unfold this part of the contents"><span class="toctree-toggle" role="presentation">'
    ),
    # the name of the site and the search stand in no landmark
    r'<div id="pst-primary-sidebar" class="': '<div id="pst-primary-sidebar" role="region" aria-label="Site" class="',
    # a heading of a column that says nothing is none
    r'<th class="(head[^"]*)">(?:<p></p>)?</th>': r'<td class="\1"></td>',
    # a table that is wider than the window scrolls by keys too
    r'<table class="(table|docutils|dataframe)': r'<table tabindex="0" class="\1',
}


def mend(html: Path) -> None:
    """All pages of the built site."""
    for page in html.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for wrong, right in MENDED.items():
            text = re.sub(wrong, right, text)
        page.write_text(text, encoding="utf-8")
