"""What the theme leaves out for readers with a screen reader or without a mouse."""

import re
from collections.abc import Callable
from pathlib import Path

MENDED: dict[str, str | Callable[[re.Match[str]], str]] = {
    # the arrows that unfold a part of the contents have no name
    r'<summary><span class="toctree-toggle" role="presentation">': (
        '<summary aria-label="Unfold this part of the contents"><span class="toctree-toggle" role="presentation">'
    ),
    # the name of the site and the search stand in no landmark
    r'<div id="pst-primary-sidebar" class="': '<div id="pst-primary-sidebar" role="region" aria-label="Site" class="',
    # a heading of a column that says nothing is none
    r'<th class="(head[^"]*)">(?:<p></p>)?</th>': r'<td class="\1"></td>',
    # the parameters of a signature that takes several lines are no list of definitions: they have no terms
    r"(<span class=\"sig-paren\">\(</span>\s*)<dl>(.*?)</dl>(\s*<span class=\"sig-paren\">\))": (
        lambda found: found[1] + re.sub("<(/?)dd>", r"<\1div>", f'<div class="sig-lines">{found[2]}</div>') + found[3]
    ),
    # a figure that is wider than the window scrolls, for its words would be too small
    r"(?<=\n)(<img alt=[^>]*/>)": r'<div class="figure-scroll">\1</div>',
}


def mend(html: Path) -> None:
    """All pages of the built site."""
    for page in html.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for wrong, right in MENDED.items():
            text = re.sub(wrong, right, text, flags=re.DOTALL)
        page.write_text(text, encoding="utf-8")
