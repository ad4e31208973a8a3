"""Open every built page in headless Chromium, as a reader would, with nothing else to reach."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import threading
from pathlib import Path

import pytest

HTML = Path(__file__).parents[2] / "_build" / "html"
WIDTHS = {"desktop": 1280, "phone": 390}
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PAGES = sorted(
    path.relative_to(HTML).as_posix()
    for path in HTML.rglob("*.html")
    if "_static" not in path.parts and "_sources" not in path.parts
)

pytestmark = pytest.mark.book


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Say nothing: the tests look at what the browser saw."""


@pytest.fixture(scope="module")
def site():
    """Serve the built book on localhost."""
    if not (HTML / "index.html").is_file():
        pytest.fail("the book is not built: run `make book` first")
    handler = functools.partial(QuietHandler, directory=str(HTML))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser():
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        message = "Chromium was not found (Debian package `chromium`); the pages are not checked"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()


class Visit:
    """One page in one window, with everything that went wrong while it loaded."""

    def __init__(self, browser, site: str, path: str, width: int) -> None:
        self.problems: list[str] = []
        self.context = browser.new_context(viewport={"width": width, "height": 900})
        self.page = self.context.new_page()
        self.page.on("console", self.on_console)
        self.page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        self.page.on("response", self.on_response)
        self.page.on("requestfailed", self.on_failure)
        self.page.route("**/*", functools.partial(self.on_request, site))
        self.page.goto(f"{site}/{path}", wait_until="load")
        self.page.wait_for_load_state("networkidle")

    def __enter__(self):
        return self

    def __exit__(self, *exception: object) -> None:
        self.context.close()

    def on_console(self, message) -> None:
        if message.type == "error":
            self.problems.append(f"console: {message.text}")

    def on_response(self, response) -> None:
        if response.status >= 400:
            self.problems.append(f"{response.status}: {response.url}")

    def on_failure(self, request) -> None:
        self.problems.append(f"failed: {request.url}")

    def on_request(self, site: str, route) -> None:
        if route.request.url.startswith((site, "data:", "blob:")):
            route.continue_()
        else:
            self.problems.append(f"request to the outside: {route.request.url}")
            route.abort()


def test_the_book_has_pages():
    assert "index.html" in PAGES
    assert len(PAGES) > 3


def images_without_text(page) -> list[str]:
    """Return the pictures of a page that tell a listener nothing but the name of their file."""
    texts = page.locator("article img").evaluate_all(
        "images => images.map(image => [image.src.slice(0, 80), image.alt])"
    )
    return [src for src, text in texts if not text or text.endswith((".png", ".svg", ".jpg"))]


@pytest.mark.parametrize("window", WIDTHS)
@pytest.mark.parametrize("path", PAGES)
def test_page_opens_without_errors(browser, site, path, window):
    with Visit(browser, site, path, WIDTHS[window]) as visit:
        page = visit.page
        if page.locator(".math").count():
            page.wait_for_selector("mjx-container", state="attached")
            assert page.locator("mjx-merror").count() == 0, "an equation that MathJax cannot read"
        assert visit.problems == []
        assert images_without_text(page) == []
        overflow = page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert overflow <= 0, f"the page is {overflow} px wider than its window"


def slider_pages() -> list[str]:
    return [path for path in PAGES if "jupyter.widget-view" in (HTML / path).read_text()]


def test_every_chapter_with_a_slider_is_driven():
    named = [path for path in PAGES if "frame_slider" in (HTML / path).read_text()]
    chapters = {path for path in named if path.startswith("book/")} - {"book/api-book-tools.html"}
    assert chapters <= set(slider_pages())


def visible_frames(page) -> list[str]:
    """Return the pictures of the frames that a reader sees now."""
    return page.locator(".mfvae-frame img").evaluate_all(
        "images => images.filter(image => image.offsetParent !== null).map(image => image.src)"
    )


@pytest.mark.parametrize("window", WIDTHS)
@pytest.mark.parametrize("path", slider_pages())
def test_slider_changes_the_visible_frame(browser, site, path, window):
    with Visit(browser, site, path, WIDTHS[window]) as visit:
        page = visit.page
        page.wait_for_selector(".mfvae-frame img", state="attached")
        sliders = page.locator(".mfvae-frames .noUi-handle")
        assert sliders.count() == page.locator(".mfvae-frames").count() > 0
        for i in range(sliders.count()):
            before = visible_frames(page)
            assert len(before) == sliders.count(), "one visible frame for every slider"
            handle = sliders.nth(i)
            handle.scroll_into_view_if_needed()
            box = handle.bounding_box()
            track = page.locator(".mfvae-frames .noUi-target").nth(i).bounding_box()
            x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
            middle = track["x"] + track["width"] / 2
            page.mouse.move(x, y)
            page.mouse.down()
            page.mouse.move(track["x"] + track["width"] * (0.1 if x > middle else 0.9), y, steps=8)
            page.mouse.up()
            page.wait_for_timeout(100)
            after = visible_frames(page)
            changed = [a != b for a, b in zip(before, after, strict=True)]
            assert changed == [j == i for j in range(len(changed))], (
                "only this slider's frame moves"
            )
        assert visit.problems == []


def player_pages() -> list[str]:
    return [path for path in PAGES if 'class="mfvae-player"' in (HTML / path).read_text()]


@pytest.mark.parametrize("window", WIDTHS)
@pytest.mark.parametrize("path", player_pages())
def test_animation_plays_and_pauses(browser, site, path, window):
    with Visit(browser, site, path, WIDTHS[window]) as visit:
        players = visit.page.locator(".mfvae-player")
        for i in range(players.count()):
            player = players.nth(i)
            image, button = player.locator("img"), player.locator("button")
            bar = player.locator("input")
            assert len(player.evaluate("element => element.outerHTML")) < 2 * 2**20
            first = image.get_attribute("src")
            visit.page.wait_for_timeout(500)
            assert image.get_attribute("src") == first, "it starts at rest"
            button.click()
            visit.page.wait_for_function(
                "([image, first]) => image.src !== first", arg=[image.element_handle(), first]
            )
            assert button.inner_text() == "Pause"
            button.click()
            assert button.inner_text() == "Play"
            bar.fill(bar.get_attribute("max"))
            last = image.get_attribute("src")
            visit.page.wait_for_timeout(500)
            assert image.get_attribute("src") == last != first
            assert image.get_attribute("alt")
        assert visit.problems == []
