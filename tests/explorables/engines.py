"""Where the arithmetic of an explorable is run: Node, or a real browser."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from minivae.explorables import pages
from minivae.explorables.bundle import bundle

SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
)


def browser_path() -> str | None:
    """The Chromium of the system, or the one that the variable CHROMIUM names."""
    asked = os.environ.get("CHROMIUM")
    return asked or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def why_no_browser() -> str | None:
    """None if a browser can be driven, else what is missing."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "playwright is not installed: pip install playwright"
    return None if browser_path() else "no Chromium on this machine: apt-get install chromium"


@contextmanager
def browser() -> Iterator[Any]:
    """A Chromium without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=browser_path(), args=list(SWITCHES))
        try:
            yield chromium
        finally:
            chromium.close()


def math_script(name: str, replace: tuple[str, str] | None = None) -> str:
    """A script whose value is the exports of an explorable's `math.js`; `replace` plants an error in it.

    The text that is to be replaced has to be there once, or nothing would be tested.
    """

    def read(path: str) -> str:
        text = pages._read(path)
        if replace and path == f"{name}/math.js":
            assert text.count(replace[0]) == 1, f"{replace[0]!r} occurs {text.count(replace[0])} times in {path}"
            text = text.replace(*replace)
        return text

    return bundle(f"{name}/math.js", read)


def in_node(script: str, cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """`compute` of the settings of every case, in Node: those values that the case has."""
    program = (
        f"const compute = eval({json.dumps(script)}).compute; const cases = JSON.parse(require('fs').readFileSync(0));"
    )
    program += f"{ANSWERS} process.stdout.write(JSON.stringify(answers));"
    done = subprocess.run(
        ["node", "-e", program], input=_asked(cases), capture_output=True, text=True, check=True, timeout=60
    )
    return numbers(json.loads(done.stdout))


def in_browser(tab: Any, script: str, cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same in a tab."""
    program = f"([script, text]) => {{ const compute = eval(script).compute; const cases = JSON.parse(text); {ANSWERS}"
    return numbers(tab.evaluate(program + " return answers; }", [script, _asked(cases)]))


def _asked(cases: list[dict[str, Any]]) -> str:
    return json.dumps([{"settings": case["settings"], "keys": list(case["values"])} for case in cases])


# JSON has no infinity and no NaN, so these travel as words.
ANSWERS = """
const plain = (k, v) => (typeof v === 'number' && !Number.isFinite(v) ? String(v) : v);
const answers = cases.map(({ settings, keys }) => {
    const kept = Object.entries(compute(settings)).filter(([key]) => keys.includes(key));
    return JSON.parse(JSON.stringify(Object.fromEntries(kept), plain));
});
"""


def numbers(value: Any) -> Any:
    """Words back to infinity and NaN, in nested lists and tables."""
    if isinstance(value, dict):
        return {k: numbers(v) for k, v in value.items()}
    if isinstance(value, list):
        return [numbers(v) for v in value]
    return float(value.replace("Infinity", "inf")) if value in ("NaN", "Infinity", "-Infinity") else value
