"""A report in Markdown as one HTML page that loads nothing: contents, sortable tables, figures inside."""

import base64
import hashlib
import html
import re
from collections.abc import Collection, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

from minivae.study.output.figures import DPI

STYLE = """
:root { color-scheme: light dark; --ink: #222; --paper: #fff; --soft: #f4f4f4; --line: #ddd; --link: #0060a0;
  --best: #e3f1e9; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e4e4; --paper: #17191c; --soft: #24272b; --line: #3c4046;
  --link: #7cc0f0; --best: #1d3a2c; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: var(--ink);
  background: var(--paper); }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 2.2rem; }
a { color: var(--link); }
nav ul { columns: 18rem; padding-left: 1.2rem; }
.wide { display: block; overflow-x: auto; margin: 1rem 0; }
td:last-child:not(:first-child), td:not([style*=right]):not(:first-child) { white-space: normal; min-width: 7rem; }
table { border-collapse: collapse; font-size: .85rem; }
th, td { padding: .3rem .5rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
@media (max-width: 40rem) { th:first-child, td:first-child { white-space: normal; } }
thead th { border-bottom: 2px solid var(--ink); }
th button { font: inherit; color: inherit; background: none; border: 0; padding: 0; cursor: pointer; }
th[aria-sort=ascending] button::after { content: " ▲"; } th[aria-sort=descending] button::after { content: " ▼"; }
tr.best { background: var(--best); font-weight: 600; }
.wide img { width: 100%; min-width: calc(.75 * var(--size)); max-width: calc(1.15 * var(--size)); background: #fff;
  border-radius: .3rem; }
@media (prefers-color-scheme: dark) { .wide img { filter: brightness(.85); } }
code { background: var(--soft); padding: .1rem .3rem; overflow-wrap: anywhere; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
@media print {
  :root { color-scheme: light; --ink: #000; --paper: #fff; --soft: #fff; --line: #ddd; --link: #0060a0; --best: #eee; }
  nav { display: none; } body { max-width: none; margin: 0; }
  .wide { overflow: visible; } .wide img { min-width: 0; filter: none; }
  table { font-size: .6rem; } th, td { padding: .2rem .3rem; }
  .wide, figure, tr { break-inside: avoid; } h2, h3 { break-after: avoid; } }
"""
SCRIPT = """
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  if (!body || body.rows.length < 2) continue;
  const number = text => parseFloat(text.replace("−", "-").replace(/,/g, "").replace(/^([+-]?)\\./, "$10."));
  heads.forEach((head, k) => {
    if (!head.textContent) return;
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") === "descending";
      heads.forEach(h => h.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      [...body.rows].forEach((row, n, rows) => row.cells[0].textContent ||= rows[n - 1]?.cells[0].textContent ?? "");
      const key = row => row.cells[k].textContent, sign = up ? 1 : -1;
      const numeric = [...body.rows].some(row => !isNaN(number(key(row))));
      const order = (a, b) => numeric
        ? (isNaN(number(a)) ? -Infinity : number(a)) - (isNaN(number(b)) ? -Infinity : number(b)) || 0
        : a.localeCompare(b);
      body.append(...[...body.rows].sort((a, b) => sign * order(key(a), key(b))));
    });
  });
}
"""
_HASH = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
CONTENT_POLICY = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{_HASH}'"
KINDS = {".svg": "image/svg+xml", ".png": "image/png"}


def to_html(
    text: str, folder: Path, figures: Collection[str], models: Collection[str] = (), best: Collection[str] = ()
) -> str:
    """One HTML page that loads nothing from anywhere.

    Parameters
    ----------
    text : str
        The report in Markdown.
    folder : Path
        Where its figures are.
    figures : Collection[str]
        Their names: no other image becomes part of the page. Where NAME.svg is beside NAME.png, it is taken.
    models : Collection[str], default ()
        Names of models: rows that begin with one link to its settings, the list item that begins with it, and the item
        links back to the first of these rows.
    best : Collection[str], default ()
        First cells of the rows that are marked.
    """
    page = partial(_Page, folder=folder, figures=figures, models=models, best=best)
    parser = MarkdownIt("commonmark", {"html": False}, renderer_cls=page).enable("table")
    tokens = parser.parse(text)
    body = _with_contents(parser.renderer.render(tokens, parser.options, {}), tokens)
    title = html.escape(text.splitlines()[0].lstrip("# "))
    head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{CONTENT_POLICY}">'
    head = f'{head}<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>'
    head = f"<head>{head}<style>{STYLE}</style></head>"
    script = f"<script>{SCRIPT}</script>"
    return f'<!doctype html>\n<html lang="en">\n{head}\n<body>\n<main>\n{body}</main>\n{script}</body>\n</html>\n'


class _Page(RendererHTML):
    """How the parts of a report become HTML, each method a kind of token; arguments as of `to_html`."""

    def __init__(
        self,
        parser: MarkdownIt,
        *,
        folder: Path,
        figures: Collection[str],
        models: Collection[str],
        best: Collection[str],
    ) -> None:
        super().__init__(parser)
        self.folder, self.figures, self.models, self.best = folder, figures, models, best
        self._seen: set[str] = set()  # models of which a row was met

    def render(self, tokens: Sequence[Token], options: Any, env: Any) -> str:
        """As of every renderer; wide tables can be moved, and an empty head of a column is none."""
        return (
            super()
            .render(tokens, options, env)
            .replace("<table>", '<div class="wide"><table>')
            .replace("</table>", "</table></div>")
            .replace("<th></th>", "<td></td>")
        )

    def image(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        name, alt = str(tokens[idx].attrs["src"]), html.escape(tokens[idx].content)
        if name not in self.figures:
            return alt
        path = self.folder / name
        path = path.with_suffix(".svg") if path.with_suffix(".svg").is_file() else path
        content = path.read_bytes()
        source = f"data:{KINDS[path.suffix]};base64,{base64.b64encode(content).decode()}"
        size = f"--size: {_width(content):.0f}px"
        return f'<span class="wide"><img src="{source}" alt="{alt}" style="{size}" /></span>'

    def tr_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        first = _words(tokens[idx + 2])
        marked = ' class="best"' if first in self.best else ""
        if first not in self.models or first in self._seen:
            return f"<tr{marked}>\n"
        self._seen.add(first)
        return f'<tr{marked} id="{_anchor("row", first)}">\n'

    def td_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        name = _words(tokens[idx + 1])
        start = self.renderToken(tokens, idx, options, env)
        linked = tokens[idx - 1].type == "tr_open" and name in self.models
        return f'{start}<a href="#{_anchor("model", name)}">' if linked else start

    def td_close(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        linked = tokens[idx - 3].type == "tr_open" and _words(tokens[idx - 1]) in self.models
        return ("</a>" if linked else "") + "</td>\n"

    def list_item_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        name, described, _ = _words(tokens[idx + 2]).partition(" (")
        if not described or name not in self.models:
            return "<li>"
        back = (
            f'<a href="#{_anchor("row", name)}" aria-label="first row of {html.escape(name)}">↑</a> '
            if name in self._seen
            else ""
        )
        return f'<li id="{_anchor("model", name)}">{back}'

    def heading_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        tag = tokens[idx].tag
        return f'<{tag} id="{_anchor("part", _words(tokens[idx + 1]))}">'


def _with_contents(body: str, tokens: Sequence[Token]) -> str:
    """The page with links to its parts behind the first, the conclusion; as it is if there are few."""
    titles = [_words(after) for token, after in pairwise(tokens) if token.type == "heading_open" and token.tag == "h2"]
    if len(titles) <= 2:
        return body
    links = "".join(f'<li><a href="#{_anchor("part", t)}">{html.escape(t)}</a></li>' for t in titles)
    second = body.find("<h2", body.find("<h2") + 1)
    return f'{body[:second]}<nav aria-label="Contents"><ul>{links}</ul></nav>\n{body[second:]}'


def _width(picture: bytes) -> float:
    """Width in pixels of a browser at which a figure has the letters that it was drawn with, 96 to the inch."""
    if found := re.search(rb'<svg[^>]*?\swidth="([\d.]+)pt"', picture):
        return float(found[1]) / 72 * 96
    return int.from_bytes(picture[16:20], "big") / DPI * 96  # the header of a PNG


def _words(token: Token) -> str:
    """The text of an inline token, without marks."""
    return "".join(child.content for child in token.children or ())


def _anchor(kind: str, name: str) -> str:
    """An id that any name gives, each another one."""
    return f"{kind}-" + re.sub(r"[^a-z0-9]", lambda m: f"-{ord(m[0]):x}" if m[0] != " " else "_", name.lower())
