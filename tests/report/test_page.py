"""The page of a report in headless Chromium, at two widths, light and dark, with no network."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mfvae

pytestmark = pytest.mark.book
AXE = Path(__file__).parents[1] / "book" / "axe" / "axe.min.js"


DARK_NOTEBOOK = """<!DOCTYPE html><title>A dark notebook</title><style>
html, body { background: #111; color: #eee }
html[data-theme] body article :is(h1, h2, p, li, td, th, strong, pre, figcaption) { color: #eee }
html[data-theme] body article :is(tr:nth-child(even), pre) { background: #222 }
html[data-theme] body article img { background: #fff; filter: brightness(0.8) }
</style><body><article>REPORT</article></body>"""

# Smallest contrast between a text and the paper that it stands on.
CONTRAST = """() => {
  const light = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(Number).map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = (element) => {
    const colour = getComputedStyle(element).backgroundColor;
    return colour === "rgba(0, 0, 0, 0)" ? paper(element.parentElement) : colour;
  };
  const text = (node) => node.nodeType === 3 && node.textContent.trim();
  const shown = [...document.querySelectorAll(".mfvae *")]
    .filter((element) => [...element.childNodes].some(text));
  return Math.min(...shown.map((element) => {
    const pair = [light(getComputedStyle(element).color), light(paper(element))];
    return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
  }));
}"""


@pytest.fixture(scope="module")
def report() -> mfvae.Report:
    rng = np.random.default_rng(0)
    logits = 1.4 * rng.standard_normal((1500, 1)) * rng.choice([-1.0, 1.0], 24)
    x = (rng.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(np.uint8)
    x[:, 3] = 0  # a warning on the page
    return mfvae.report(x, ordered=False, quick=True, progress=False)


@pytest.fixture
def browser() -> Iterator[Any]:
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        pytest.skip("Chromium was not found")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_page_in_a_browser(report, browser, tmp_path: Path, width: int, scheme: str) -> None:
    report.to_html(tmp_path / "report.html")
    problems: list[str] = []
    size = {"width": width, "height": 900}
    page = browser.new_context(viewport=size, color_scheme=scheme, offline=True).new_page()
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("requestfailed", lambda request: problems.append(request.url[:80]))
    page.goto((tmp_path / "report.html").as_uri(), wait_until="load")
    shown = page.locator("img").evaluate_all("i => i.map(x => [x.naturalWidth, x.alt.length])")
    assert len(shown) == 7
    assert all(pixels > 300 and text > 20 for pixels, text in shown)
    assert page.locator("h1").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    paper = page.evaluate("getComputedStyle(document.querySelector('.mfvae')).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    assert page.evaluate(CONTRAST) > 4.5
    page.add_script_tag(content=AXE.read_text())
    found = page.evaluate("axe.run().then(r => r.violations.map(v => [v.impact, v.id]))")
    assert not [v for v in found if v[0] in ("critical", "serious")], found
    assert problems == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_in_a_dark_notebook_are_the_reports_own(report, browser, scheme: str) -> None:
    page = browser.new_context(color_scheme=scheme, offline=True).new_page()
    shown = report._repr_html_()
    page.set_content(DARK_NOTEBOOK.replace("REPORT", shown))
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert page.evaluate(CONTRAST) > 4.5
    image = "getComputedStyle(document.querySelector('.mfvae img'))"
    paper = page.evaluate("getComputedStyle(document.querySelector('.mfvae')).backgroundColor")
    assert page.evaluate(f"[{image}.backgroundColor, {image}.filter]") == [paper, "none"]
    # Negative control: with no rule that insists, the theme writes light on light.
    page.set_content(DARK_NOTEBOOK.replace("REPORT", shown.replace("!important", "")))
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert (page.evaluate(CONTRAST) < 4.5) == (scheme == "light")
