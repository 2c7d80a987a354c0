"""Lines between the rows of a table that may be comments: left out or read if that is said, else asked."""

from pathlib import Path

import numpy as np

from minivae.data.layout import Layout
from minivae.errors import InputError, option


def without_comments(raw: bytes, quoted: bool, skipped: int) -> tuple[bytes, np.ndarray]:
    """The text without the lines after its first that begin with # or %, and the numbers of those that are left.

    A line inside a quoted field belongs to its row, however it begins.
    """
    lines, kept, inside = raw.removesuffix(b"\n").split(b"\n"), [], False
    for k, line in enumerate(lines):
        if k and not inside and line.startswith((b"#", b"%")):
            continue
        kept.append(k)
        inside ^= quoted and line.count(b'"') % 2 == 1
    return b"\n".join(lines[k] for k in kept) + b"\n", np.array(kept, np.int64) + 1 + skipped


def comment(path: Path, line: int, text: str) -> InputError:
    """The sentence for a line between rows that may be a comment or a row."""
    return InputError(
        f"{path}, line {line:,} looks like a comment: {text!r}; say {option('comments', True)} to leave out all lines "
        f"that begin with # or %, or {option('comments', False)} if they are rows"
    )


def refuse_comment(path: Path, raw: bytes, layout: Layout) -> None:
    """A line between rows that begins as comments do; of a file whose every line is a row."""
    for mark in (b"#", b"%"):
        if mark in raw and (at := raw.find(b"\n" + mark + b" ")) >= 0:
            text = raw[at + 1 : at + 61].partition(b"\n")[0].decode(errors="replace")
            raise comment(path, layout.line(raw.count(b"\n", 0, at + 1)), text)
