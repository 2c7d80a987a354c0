"""The one form of a text that people type and files hold."""

import re
import unicodedata

AROUND = "[\\s\u200b\ufeff]+"  # spaces, those of no width too
EDGES = f"^{AROUND}|{AROUND}$"


def canonical(text: str) -> str:
    """Composed Unicode (NFC), no spaces around: "é" is one character, however it was typed.

    >>> canonical(" Cafe\u0301 ") == "Café"
    True
    >>> canonical("\u200bx ")
    'x'
    """
    return unicodedata.normalize("NFC", re.sub(EDGES, "", text.strip()))
