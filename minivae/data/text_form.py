"""The one form of a text that people type and files hold."""

import unicodedata


def canonical(text: str) -> str:
    """Composed Unicode (NFC), no spaces around: "é" is one character, however it was typed.

    >>> canonical(" Cafe\u0301 ") == "Café"
    True
    """
    return unicodedata.normalize("NFC", text.strip())
