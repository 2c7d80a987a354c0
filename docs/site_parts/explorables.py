"""The explorables as pages of the site: each stands in a frame, as the self-contained page that the package makes."""

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

{links}

```{{toctree}}
:hidden:

{names}
```
"""


def write(target: Path) -> None:
    """A page for each, and their list."""
    target.mkdir(parents=True)
    names = explorables.names()
    titles = {name: explorables.title(name) for name in names}
    for name, title in titles.items():
        # Inside the page, so that it may size its frame and take its theme also where files are opened from disk.
        page = escape(explorables.page(name))
        (target / f"{name}.md").write_text(FRAME.format(title=title, name=name, page=page), encoding="utf-8")
    links = "\n".join(f"* [{title}]({name}.md)" for name, title in titles.items())
    (target / "index.md").write_text(LIST.format(links=links, names="\n".join(names)), encoding="utf-8")


def embed(html: Path) -> None:
    """Each once more as a page of its own, to be opened alone."""
    for name in explorables.names():
        (html / "explorables" / f"{name}.page.html").write_text(explorables.page(name), encoding="utf-8")
