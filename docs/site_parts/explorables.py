"""The explorables as pages of the site: each stands in a frame, as the self-contained page that the package makes."""

import re
from html import escape
from pathlib import Path

from minivae import explorables

FRAME = """# {title}

```{{raw}} html
<iframe class="explorable" srcdoc="{page}" title="{title}" loading="lazy"></iframe>
<p><a href="{name}.page.html">Open it alone</a></p>
```

Arrow keys move a handle that has the focus. In a notebook: `mv.explorable("{name}")`.
"""
LIST = """# Explorables

A theorem with a parameter, moved by hand. Each asks one question: make the prediction first, then move.

::::{{grid}} 1 1 2 2
:gutter: 3

{cards}
::::

```{{toctree}}
:hidden:

{names}
```
"""
CARD = """:::{{grid-item-card}} {title}
:link: {name}
:link-type: doc
:img-bottom: {name}.svg
:img-alt: The picture of this page, as it is at the start.
{chapter}
:::
"""


def write(target: Path) -> None:
    """A page for each, and their list."""
    target.mkdir(parents=True)
    names = explorables.names()
    titles = {name: explorables.title(name) for name in names}
    for name, title in titles.items():
        # Inside the page, so that it may size its frame and take its theme also where files are opened from disk.
        page = escape(explorables.page(name))
        (target / f"{name}.svg").write_text(explorables.picture(name), encoding="utf-8")
        (target / f"{name}.md").write_text(FRAME.format(title=title, name=name, page=page), encoding="utf-8")
    cards = "".join(CARD.format(name=n, title=title, chapter=chapter(n)) for n, title in titles.items())
    (target / "index.md").write_text(LIST.format(cards=cards, names="\n".join(names)), encoding="utf-8")


def chapter(name: str) -> str:
    """Where the course has it, as its page says."""
    found = re.search(r"chapter (\w+)\)", explorables.page(name))
    assert found is not None, f"the page of {name} names no chapter"
    return f"Chapter {found[1]}"


def embed(html: Path) -> None:
    """Each once more as a page of its own, to be opened alone."""
    for name in explorables.names():
        (html / "explorables" / f"{name}.page.html").write_text(explorables.page(name), encoding="utf-8")
