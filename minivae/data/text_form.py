"""The one form of a text that people type and files hold."""

import re
import unicodedata
from collections.abc import Mapping
from decimal import Decimal

AROUND = "[\\s\u200b\ufeff]+"  # spaces, those of no width too
EDGES = f"^{AROUND}|{AROUND}$"
INTEGER = r"^(0|-?[1-9][0-9]*)$"
NUMBER = r"^(0|-?[1-9][0-9]*|-?(0|[1-9][0-9]*)(\.[0-9]+([eE][+-]?[0-9]+)?|[eE][+-]?[0-9]+))$"


def canonical(text: str) -> str:
    """Composed Unicode (NFC), no spaces around: "é" is one character, however it was typed.

    >>> canonical(" Cafe\u0301 ") == "Café"
    True
    >>> canonical("\u200bx ")
    'x'
    """
    return unicodedata.normalize("NFC", re.sub(EDGES, "", text.strip()))


def whole(text: str) -> str:
    """A whole number without the point that another program gave it; other text as it is.

    >>> whole("10.0"), whole("1e1"), whole("010.0"), whole("1.5")
    ('10', '10', '010.0', '1.5')
    """
    if not re.match(NUMBER, text) or re.match(INTEGER, text):
        return text
    number = Decimal(text)
    fits = number.adjusted() < 19 and number == number.to_integral_value()
    return str(int(number)) if fits else text


def said_of(label: str, texts: Mapping[str, str]) -> str:
    """What a mapping says of a label; two tables may write the same whole number in two ways; "" if it says nothing.

    >>> said_of("10.0", {"10": "ten"}), said_of("11", {"10": "ten"})
    ('ten', '')
    """
    return texts.get(label) or texts.get(whole(label)) or ""
