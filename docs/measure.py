"""What the first page of the built site costs its reader, in Chromium with its processor slowed down four times.

    python docs/measure.py [docs/_build/html]

Prints bytes and requests of the first page (text compressed by gzip, as static hosts send it), requests that leave the
folder, the time until it is interactive (the later of its end of loading and of its last task of more than 50 ms), and
how much its layout shifts.
"""

import gzip
import os
import shutil
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Response, sync_playwright

SLOWER = 4
QUIET = 3000  # milliseconds after the load in which a late task would be seen
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
OBSERVE = """() => { globalThis.last = 0; globalThis.shift = 0;
new PerformanceObserver((l) => l.getEntries().forEach((e) => (last = Math.max(last, e.startTime + e.duration))))
    .observe({ type: "longtask", buffered: true });
new PerformanceObserver((l) => l.getEntries().forEach((e) => (shift += e.hadRecentInput ? 0 : e.value)))
    .observe({ type: "layout-shift", buffered: true }); }"""
READ = """() => { const loaded = performance.getEntriesByType("navigation")[0].loadEventEnd;
return { interactive: Math.max(last, loaded) / 1000, shift }; }"""


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder without a line for each request."""

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


def sent(response: Response) -> int:
    """Bytes of a body on its way: text after gzip, fonts and pictures as they are."""
    body = response.body()
    text = response.headers.get("content-type", "").startswith("text/") or ".js" in response.url
    return len(gzip.compress(body, 6)) if text else len(body)


def measure(chromium: Browser, html: Path, page: str = "index.html") -> dict[str, float]:
    """Figures of one page of a folder of HTML, read from a local server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(html)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    here, sizes, outside = f"http://127.0.0.1:{server.server_port}/", [], []
    tab = chromium.new_page(viewport={"width": 1280, "height": 900})
    try:
        tab.context.new_cdp_session(tab).send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
        tab.add_init_script(f"({OBSERVE})()")
        tab.on("request", lambda r: None if r.url.startswith((here, "data:")) else outside.append(r.url))
        tab.on("response", lambda r: sizes.append((r.url, sent(r) if r.ok else 0)))
        tab.goto(here + page, wait_until="load")
        tab.wait_for_timeout(QUIET)
        seen = tab.evaluate(READ)
    finally:
        tab.close()
        server.shutdown()
    largest = sorted(sizes, key=lambda s: -s[1])[:6]
    print(*(f"{size:10,} {url.removeprefix(here)}" for url, size in largest), sep="\n")
    total = sum(size for _, size in sizes)
    return {"bytes": total, "requests": len(sizes), "requests outside": len(outside), **seen}


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "_build" / "html"
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=path, args=FLAGS)
        for name, value in measure(browser, folder).items():
            print(f"{name:18} {value:,.3f}" if isinstance(value, float) else f"{name:18} {value:,}")
        browser.close()
