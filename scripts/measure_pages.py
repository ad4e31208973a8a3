"""Measure every built page on a slow line: 4 Mbit/s, 20 ms, a processor four times slower.

Prints, page by page, the time to the first paint, to the mathematics in view, to a slider that
moves (ms), and the bytes on the wire.  Times say as much about this machine as about the page:
measure on an idle one.  ``python scripts/measure_pages.py [FOLDER] [PAGE ...]``
"""

from __future__ import annotations

import functools
import http.server
import shutil
import sys
import threading
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

SLOW_LINE = {
    "offline": False,
    "latency": 20,
    "downloadThroughput": 500_000,
    "uploadThroughput": 500_000,
}
WATCH = """
window.seen = {};
new PerformanceObserver(list => {
  for (const entry of list.getEntries())
    if (entry.name === "first-contentful-paint") window.seen.paint = entry.startTime;
}).observe({type: "paint", buffered: true});
document.addEventListener("DOMContentLoaded", () => {
  if (document.querySelector(".mfvae-frames input")) window.seen.slider = performance.now();
  const wait = setInterval(() => {
    if (!window.MathJax?.startup?.promise) return;
    clearInterval(wait);
    MathJax.startup.promise.then(() => { window.seen.mathematics = performance.now(); });
  }, 20);
});
"""


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def measure(browser: Browser, address: str) -> dict[str, float]:
    """Return milliseconds to paint, mathematics and slider, and bytes, of one fresh visit."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.emulateNetworkConditions", SLOW_LINE)
    session.send("Emulation.setCPUThrottlingRate", {"rate": 4})
    sizes: list[float] = []
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page.add_init_script(WATCH)
    page.goto(address, wait_until="load", timeout=90_000)
    page.wait_for_load_state("networkidle", timeout=90_000)
    if page.locator(".math").count():
        page.wait_for_function("window.seen.mathematics", timeout=60_000)
    seen = page.evaluate("window.seen")
    context.close()
    return {**seen, "bytes": sum(sizes)}


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "_build/html")
    pages = sys.argv[2:] or sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*.html")
        if not path.relative_to(folder).parts[0].startswith("_")
    )
    handler = functools.partial(Handler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"{'page':36} {'paint':>6} {'maths':>6} {'slider':>6} {'MB':>6}")
    with sync_playwright() as playwright:
        executable = shutil.which("chromium") or shutil.which("chromium-browser")
        flags = ["--headless", "--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=executable, args=flags)
        for name in pages:
            seen = measure(browser, f"http://127.0.0.1:{server.server_address[1]}/{name}")
            times = [
                f"{seen[k]:6.0f}" if k in seen else "     –"
                for k in ("paint", "mathematics", "slider")
            ]
            print(f"{name:36} {' '.join(times)} {seen['bytes'] / 1e6:6.2f}", flush=True)
        browser.close()


if __name__ == "__main__":
    main()
