"""TeX as MathML, made while the site is built: no script, nothing to fetch, text that can be selected."""

import re
from html import escape
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.errors import ExtensionError

# TeX that the converter does not know, in words that it does.
SAME = {r"\lVert": r"\|", r"\rVert": r"\|", r"\tfrac": r"\frac", r"\dfrac": r"\frac"}
SAME |= dict.fromkeys((r"\bigl", r"\bigr", r"\Bigl", r"\Bigr", r"\big", r"\Big"), "")


def mathml(tex: str, display: str) -> str:
    """One formula; `display` is inline or block."""
    known = tex
    for old, new in SAME.items():
        known = re.sub(re.escape(old) + r"(?![A-Za-z])", lambda _, new=new: f"{new} ", known)
    try:
        made = convert(known, display=display)
    except Exception as e:
        raise ExtensionError(f"this formula cannot be turned into MathML: {tex!r} ({e})") from e
    if re.search(r"<m[io]>\\[A-Za-z]+</m[io]>", made):
        raise ExtensionError(f"a command of this formula is unknown to the converter: {tex!r}")
    return made.replace("<math ", f'<math alttext="{escape(tex, quote=True)}" ', 1)


def visit_math(self: Any, node: nodes.math) -> None:
    """A formula within a line."""
    self.body.append(f'<span class="formula">{mathml(node.astext(), "inline")}</span>')
    raise nodes.SkipNode


def visit_math_block(self: Any, node: nodes.math_block) -> None:
    """A formula on a line of its own; wide ones scroll within it."""
    self.body.append(f'<div class="formula">{mathml(node.astext(), "block")}</div>\n')
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", inline_renderers=(visit_math, None), block_renderers=(visit_math_block, None))
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
