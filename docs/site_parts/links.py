"""Every link, anchor and image of the built pages, looked up; nothing may be fetched from elsewhere."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADS = {("img", "src"), ("script", "src"), ("link", "href"), ("iframe", "src"), ("source", "src"), ("video", "src")}
NO_LOAD = {"canonical", "alternate", "author", "search", "index", "next", "prev"}


class Page(HTMLParser):
    """The ids of a page, what it loads and what it links to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called by the parser for each tag."""
        found = {k: v for k, v in attrs if v is not None}
        self.ids |= {found[k] for k in ("id", "name") if k in found}
        for key, value in found.items():
            if (tag, key) in LOADS and not (tag == "link" and set(found.get("rel", "").split()) & NO_LOAD):
                self.loads.append(value)
            elif (tag, key) == ("a", "href"):
                self.links.append(value)


def faults(html: Path) -> list[str]:
    """Sentences about links that lead nowhere and about what would come from a network."""
    files = (p for p in html.rglob("*.html") if "_static" not in p.parts)
    pages = {p: Page(p.read_text(encoding="utf-8")) for p in files}
    found = []
    for path, page in pages.items():
        where = path.relative_to(html)
        found += [f"{where} loads {u} from elsewhere" for u in page.loads if u.startswith(("http:", "https:", "//"))]
        for link in [*page.links, *page.loads]:
            parts = urlsplit(link)
            if parts.scheme or link.startswith("//"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                found.append(f"{where} links to {link}, which is not there")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
                found.append(f"{where} links to {link}, but that page has no such place")
    return sorted(set(found))
