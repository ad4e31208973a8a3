"""Open every built page in headless Chromium, as a reader would, with nothing else to reach."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from urllib.parse import urljoin

import pytest

HTML = Path(__file__).parents[2] / "_build" / "html"
WIDTHS = {"desktop": 1280, "phone": 390}
PAGES = sorted(
    path.relative_to(HTML).as_posix()
    for path in HTML.rglob("*.html")
    if "_static" not in path.parts and "_sources" not in path.parts
)

pytestmark = pytest.mark.book


class Visit:
    """One page in one window, with everything that went wrong while it loaded."""

    def __init__(self, browser, site: str, path: str, width: int) -> None:
        self.problems: list[str] = []
        size = {"width": width, "height": 900}
        self.context = browser.new_context(viewport=size, has_touch=width < 500)
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


def frame_pages() -> list[str]:
    return [path for path in PAGES if 'class="mfvae-frames"' in (HTML / path).read_text()]


def test_every_chapter_with_frames_is_driven():
    named = [path for path in PAGES if "frame_slider" in (HTML / path).read_text()]
    chapters = {path for path in named if path.startswith("book/")} - {"book/api-book-tools.html"}
    assert chapters == set(frame_pages())


def test_no_page_loads_a_widget_library():
    for path in PAGES:
        text = (HTML / path).read_text()
        assert "jupyter.widget" not in text
        assert "embed-amd" not in text


def frames_of(player) -> list[tuple[str, str, str]]:
    """Return picture, text and label of every frame of a bar, as its script has them."""
    script = player.locator("script").text_content()
    frames = json.loads(re.search(r"const frames = (.*), interval = ", script)[1])
    return [tuple(frame) for frame in frames]


def shown_frame(player) -> tuple[str, str, str]:
    """Return picture, text and label that a bar shows now, all three at one moment."""
    source, text, label, spoken = player.evaluate("""player => {
      const [image, bar] = [player.querySelector("img"), player.querySelector("input")];
      const label = player.querySelector("output").textContent;
      return [image.getAttribute("src"), image.alt, label, bar.getAttribute("aria-valuetext")];
    }""")
    assert spoken == label
    return source, text, label


def wait_for_picture(player, source: str, *, other: bool = False) -> None:
    """Wait until a bar shows a picture, or another than this."""
    test = f"image.getAttribute('src') {'!==' if other else '==='} source"
    image = player.locator("img").element_handle()
    player.page.wait_for_function(f"([image, source]) => {test}", arg=[image, source])


@pytest.mark.parametrize("window", WIDTHS)
@pytest.mark.parametrize("path", frame_pages())
def test_frames_move_by_mouse_touch_and_keyboard(browser, site, path, window):
    with Visit(browser, site, path, WIDTHS[window]) as visit:
        bars = visit.page.locator(".mfvae-frames")
        for i in range(bars.count()):
            bar, frames = bars.nth(i).locator("input"), frames_of(bars.nth(i))
            assert len(bars.nth(i).evaluate("element => element.outerHTML")) < 2 * 2**20
            others = [bars.nth(j).locator("img") for j in range(bars.count()) if j != i]
            before = [other.get_attribute("src") for other in others]
            bar.scroll_into_view_if_needed()
            for place, frame in ((0.02, frames[0]), (0.98, frames[-1])):
                size = bar.bounding_box()
                where = {"x": place * size["width"], "y": size["height"] / 2}
                (bar.tap if window == "phone" else bar.click)(position=where)
                wait_for_picture(bars.nth(i), frame[0])
                assert shown_frame(bars.nth(i)) == frame
            bar.press("ArrowLeft")
            wait_for_picture(bars.nth(i), frames[-2][0])
            assert shown_frame(bars.nth(i)) == frames[-2]
            assert [other.get_attribute("src") for other in others] == before, "only this one moves"
        assert visit.problems == []


@pytest.mark.parametrize("path", frame_pages())
def test_first_frame_is_there_without_scripts(browser, site, path):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site}/{path}")
    images = page.locator(".mfvae-frames img")
    assert images.count() > 0
    for i in range(images.count()):
        images.nth(i).scroll_into_view_if_needed()
        assert images.nth(i).bounding_box()["height"] > 50
        address = images.nth(i).get_attribute("src")
        assert page.request.get(urljoin(page.url, address)).ok, "the picture itself is there"
        assert images.nth(i).get_attribute("alt")
    context.close()


@pytest.mark.parametrize("window", WIDTHS)
@pytest.mark.parametrize("path", frame_pages())
def test_animation_plays_and_pauses(browser, site, path, window):
    with Visit(browser, site, path, WIDTHS[window]) as visit:
        players = visit.page.locator(".mfvae-frames:has(button:not([hidden]))")
        for i in range(players.count()):
            player = players.nth(i)
            button, bar = player.locator("button"), player.locator("input")
            frames = frames_of(player)
            visit.page.wait_for_timeout(500)
            assert shown_frame(player) == frames[0], "it starts at rest"
            button.click()
            wait_for_picture(player, frames[0][0], other=True)
            assert button.inner_text() == "Pause"
            assert shown_frame(player) in frames
            button.click()
            assert button.inner_text() == "Play"
            bar.fill(bar.get_attribute("max"))
            wait_for_picture(player, frames[-1][0])
            visit.page.wait_for_timeout(500)
            assert shown_frame(player) == frames[-1]
        assert visit.problems == []


@pytest.mark.parametrize("path", frame_pages())
def test_label_waits_for_its_picture(browser, site, path):
    with Visit(browser, site, path, WIDTHS["desktop"]) as visit:
        player = visit.page.locator(".mfvae-frames").first
        bar, frames = player.locator("input"), frames_of(player)
        shown = shown_frame(player)
        assert shown in frames[:-2]
        on_the_way = []
        visit.page.route("**/frame-*.png", lambda route: on_the_way.append(route))
        for _ in range(2):  # a line so slow that no picture comes
            bar.fill(bar.get_attribute("max"))
            bar.press("ArrowLeft")
        visit.page.wait_for_timeout(300)
        assert shown_frame(player) == shown
        for route in on_the_way:
            route.continue_()
        wait_for_picture(player, frames[-2][0])
        assert shown_frame(player) == frames[-2]
        assert len(on_the_way) <= len(frames)
        assert visit.problems == []


def test_slides_move_by_keyboard_and_fit(browser, site):
    with Visit(browser, site, "slides.html", 1280) as visit:
        page = visit.page
        page.wait_for_function("window.Reveal?.isReady()")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowDown")
        assert page.evaluate("[Reveal.getIndices().h, Reveal.getIndices().v]") == [1, 1]
        page.wait_for_function("Reveal.getCurrentSlide().querySelector('img').naturalWidth > 0")
        tall = page.evaluate("""[...document.querySelectorAll(".slides > section")].flatMap(
          (column, h) => [...column.children].map((slide, v) => {
            Reveal.slide(h, v);
            return [h, v, slide.scrollHeight];
          })).filter(([h, v, height]) => height > Reveal.getConfig().height)""")
        assert tall == [], "slides higher than the screen"
        assert visit.problems == []
