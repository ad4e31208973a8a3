"""The page of a report in headless Chromium, at two widths, light and dark, with no network."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import mfvae

pytestmark = pytest.mark.book
AXE = os.environ.get("MFVAE_AXE")  # axe-core's axe.min.js, where it is at hand


@pytest.fixture(scope="module")
def page_path(tmp_path_factory) -> Path:
    rng = np.random.default_rng(0)
    logits = 1.4 * rng.standard_normal((1500, 1)) * rng.choice([-1.0, 1.0], 24)
    x = (rng.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(np.uint8)
    x[:, 3] = 0  # a warning on the page
    path = tmp_path_factory.mktemp("page") / "report.html"
    mfvae.report(x, ordered=False, quick=True, progress=False).to_html(path)
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_page_in_a_browser(page_path: Path, width: int, scheme: str) -> None:
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        pytest.skip("Chromium was not found")
    sync_api = pytest.importorskip("playwright.sync_api")
    problems: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        size = {"width": width, "height": 900}
        page = browser.new_context(viewport=size, color_scheme=scheme, offline=True).new_page()
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("requestfailed", lambda request: problems.append(request.url[:80]))
        page.goto(page_path.as_uri(), wait_until="load")
        shown = page.locator("img").evaluate_all("i => i.map(x => [x.naturalWidth, x.alt.length])")
        assert len(shown) == 7
        assert all(pixels > 300 and text > 20 for pixels, text in shown)
        assert page.locator("h1").count() == 1
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        paper = page.evaluate("getComputedStyle(document.querySelector('.mfvae')).backgroundColor")
        assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
        if AXE:
            page.add_script_tag(content=Path(AXE).read_text())
            found = page.evaluate("axe.run().then(r => r.violations.map(v => [v.impact, v.id]))")
            assert not [v for v in found if v[0] in ("critical", "serious")], found
        browser.close()
    assert problems == []
