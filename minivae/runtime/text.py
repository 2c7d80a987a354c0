"""Text of strangers (names, titles, paths), shown and never interpreted: one escape for each place where it lands.

The name of a data set or an item must not control the terminal, load an image in a report, or compute in a table.
"""

import re
import unicodedata
from typing import Any

from rich.console import Console
from rich.text import Text

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}  # control, format, surrogate, private use, ends of lines
_JOINERS = "\u200c\u200d"  # part of words in Persian and of emoji
_MARKDOWN = re.compile(r"[\\`*<&|]|(?<![^\W_])_|_(?![^\W_])|\](?=[(\[:])|!(?=\[)")
_BLOCK = re.compile(r"\s*(?:[#>+=~-]|\d{1,9}[.)])")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def visible(text: object) -> str:
    """On one line, control characters as escapes: nothing that a terminal acts on, or that turns text around.

    >>> visible("Film\\x1b[2J 7")
    'Film\\\\x1b[2J 7'
    """
    return "".join(_escaped(c) if unicodedata.category(c) in _HIDDEN and c not in _JOINERS else c for c in str(text))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def markdown(text: object, paragraph: bool = False) -> str:
    """Words in Markdown that stay these words: no image, link, code, emphasis, HTML or cell of a table.

    Parameters
    ----------
    text : object
        The words.
    paragraph : bool, default False
        Whether they stand at the start of a line, where some characters begin a heading or a list.

    Examples
    --------
    >>> markdown("![x](https://example.org/x.png) a_b|c")
    '\\\\![x\\\\](https://example.org/x.png) a_b\\\\|c'
    """
    escaped = _MARKDOWN.sub(r"\\\g<0>", visible(text))
    if paragraph and (start := _BLOCK.match(escaped)):
        escaped = f"{escaped[: start.end() - 1].lstrip()}\\{escaped[start.end() - 1 :]}"
    return escaped.lstrip() if paragraph else escaped


def code(text: object) -> str:
    """A code span of Markdown with exactly this text.

    >>> code("a`b")
    '``a`b``'
    """
    shown = visible(text) or " "
    fence = "`" * (1 + max(map(len, re.findall(r"`+", shown)), default=0))
    return f"{fence} {shown} {fence}" if shown[0] in "` " or shown[-1] in "` " else f"{fence}{shown}{fence}"


def prose(text: object) -> str:
    """A paragraph of words in which only `code` in backticks keeps its meaning."""
    parts = re.split(r"`([^`]*)`", visible(text))
    return "".join(code(part) if k % 2 else markdown(part, paragraph=k == 0) for k, part in enumerate(parts))


def csv_cell(text: object) -> str:
    """A cell that a spreadsheet takes for text or for a number, never for a formula.

    >>> csv_cell("=1+1"), csv_cell("-0.5")
    ("'=1+1", '-0.5')
    """
    cell = visible(text)
    if not cell.lstrip().startswith(_FORMULA):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


class PlainConsole(Console):
    """A console that shows strings as they are: no markup, no emoji codes, control characters visible."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Rich's text of a string."""
        lines = "\n".join(map(visible, text.split("\n")))
        options |= {"markup": False, "emoji": False}
        return super().render_str(lines, **options)
