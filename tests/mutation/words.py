"""Words of reports and verdicts that can be exchanged for their opposites."""

import re
from collections.abc import Iterator

PAIRS = (
    *(("above", "below"), ("more", "less"), ("higher", "lower"), ("highest", "lowest"), ("larger", "smaller")),
    *(("largest", "smallest"), ("best", "worst"), ("better", "worse"), ("first", "last"), ("most", "least")),
    *(("before", "after"), ("with", "without"), ("ahead", "behind"), ("yes", "no"), ("same", "other")),
    *(("training", "test"), ("users", "items"), ("mean", "median"), ("cannot", "can")),
)
OPPOSITE = {a: b for pair in PAIRS for a, b in (pair, pair[::-1])} | {"not": ""}


def falsified(text: str) -> Iterator[tuple[str, str]]:
    """A sentence, or a piece of one, with one of its words replaced by the opposite: what was done, and the new text.

    A text without a space is a key, and left alone, unless it is a verdict by itself.

    Examples
    --------
    >>> list(falsified("not above 0"))
    [("'not above 0', at 0: not → nothing", ' above 0'), ("'not above 0', at 4: above → below", 'not below 0')]
    """
    if " " not in text and text not in ("yes", "no"):
        return
    for word in re.finditer(r"[a-z]+", text):
        if (new := OPPOSITE.get(word[0])) is not None:
            start, end = word.span()
            around = text[max(start - 20, 0) : end + 20]
            yield f"{around!r}, at {start}: {word[0]} → {new or 'nothing'}", text[:start] + new + text[end:]
