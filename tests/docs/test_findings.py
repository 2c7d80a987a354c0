"""Every interval of the findings stands in a stored result, as it is written there."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NUMBER = r"[+−-]?\d*\.\d+"
INTERVAL = re.compile(rf"({NUMBER}) \[({NUMBER}), ({NUMBER})\]")


def stored(found: Any) -> list[tuple[float, float, float]]:
    """All estimates with the ends of their intervals, wherever they stand in a result."""
    if isinstance(found, list):
        return [row for part in found for row in stored(part)]
    if not isinstance(found, dict):
        return []
    centres = [found[key] for key in ("lds", "mean", "difference") if isinstance(found.get(key), float)]
    here = [(centre, found["low"], found["high"]) for centre in centres if "low" in found and "high" in found]
    return here + [row for part in found.values() for row in stored(part)]


def written(text: str) -> list[tuple[str, ...]]:
    return [match.groups() for match in INTERVAL.finditer(" ".join(text.replace("**", "").split()))]


def rounds_to(value: float, digits: str) -> bool:
    """Without the sign: a loss is written without it, and its interval from the smaller end."""
    decimals = len(digits.partition(".")[2])
    return abs(abs(value) - float(digits.strip("+−-"))) <= 0.5001 * 10**-decimals


def unknown(text: str) -> list[tuple[str, ...]]:
    """Intervals of a text that no stored result has."""
    results = [
        row
        for path in (ROOT / "chapters/results").glob("*.json")
        for row in stored(json.loads(path.read_text("utf-8")))
    ]
    return [
        said
        for said in written(text)
        if not any(
            all(map(rounds_to, ends, said))
            for centre, low, high in results
            for ends in ((centre, low, high), (centre, high, low))
        )
    ]


@pytest.mark.parametrize(("page", "at_least"), [("findings.md", 100), ("guides/anchor-draws.md", 90)])
def test_every_interval_of_a_page_is_a_stored_one(page, at_least):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    assert len(written(text)) > at_least
    assert unknown(text) == []


def test_a_digit_that_is_changed_is_noticed():
    text = (ROOT / "docs/findings.md").read_text(encoding="utf-8")
    assert unknown(text.replace(".301** [.268, .323]", ".301** [.269, .323]")) == [(".301", ".269", ".323")]


def test_far_but_related_users_end_as_rivals_on_both_data_sets():
    """Findings 5 and 6: nearer than strangers after one epoch, farther at the end, with masks and without."""
    for data in ("planted", "ml-1m"):
        of = json.loads((ROOT / f"chapters/results/far-{data}.json").read_text("utf-8"))["variants"]
        assert all(of[name]["epoch 1"]["low"] > 0 for name in ("clean", "masked"))
        assert all(line["end"]["high"] < 0 for line in of.values())
    assert of["masked"]["epoch 3"]["low"] > 0 > of["masked"]["epoch 8"]["high"]
    clean, masked, anchored = (of[name]["end"] for name in ("clean", "masked", "masked + PIA"))
    assert clean["high"] < masked["low"]
    assert 0.75 < masked["difference"] / clean["difference"] < 0.85
    assert masked["low"] < anchored["high"]
    assert anchored["low"] < masked["high"]
