"""How every built page looks: weight, accessibility, on a phone, on a desk, on paper."""

from __future__ import annotations

from pathlib import Path

import pytest

HTML = Path(__file__).parents[2] / "_build" / "html"
PAGES = sorted(
    path.relative_to(HTML).as_posix()
    for path in HTML.rglob("*.html")
    if path.relative_to(HTML).parts[0][0] != "_"
)
HEAVIEST = 3_000_000
"""Bytes of everything a page asks for, uncompressed; the search loads an index besides."""
AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text()
PAPER = 718
"""Width of the text on A4 paper, pixels, at the margins that the browser gives it."""
SHEET = 1000
"""Height of the text on A4 paper, pixels."""

RUN_AXE = """only => axe.run(document, {
  resultTypes: ["violations"],
  ...(only ? {runOnly: only} : {rules: {"label-content-name-mismatch": {enabled: true}}})
}).then(found => found.violations
  .filter(rule => ["critical", "serious"].includes(rule.impact))
  .map(rule => `${rule.id}: ${rule.nodes.map(node => node.html.slice(0, 160)).join(" | ")}`))"""
COLOURS = ["color-contrast", "link-in-text-block"]
"""The rules that the dark theme may break where the light one does not."""

# Elements that reach out of the window, with nothing around them that scrolls.
OUT_OF_REACH = """() => {
  const scrolls = e => ["auto", "scroll"].includes(getComputedStyle(e).overflowX);
  const found = [];
  for (const e of document.querySelectorAll(".bd-article *")) {
    if (e.getBoundingClientRect().right <= innerWidth + 1 || !e.getClientRects().length) continue;
    if (e.closest("mjx-assistive-mml, .visually-hidden, svg")) continue;
    let box = e;
    while (box && !scrolls(box)) box = box.parentElement;
    if (!box) found.push(e.outerHTML.slice(0, 120));
  }
  return found;
}"""

# Equations are laid out anew on a narrower screen, in their own time.
STILL_OUT_OF_REACH = f"""async () => {{
  const found = {OUT_OF_REACH};
  for (let tries = 0; tries < 50 && found().length; tries++)
    await new Promise(done => setTimeout(done, 100));
  return found();
}}"""

# Words of letters that stand on two lines though one line has room for them.
BROKEN_WORDS = """() => {
  const text = document.querySelector(".bd-article") ?? document.querySelector("main");
  const walker = document.createTreeWalker(text, 4);
  const range = document.createRange(), found = [];
  while (walker.nextNode()) {
    const node = walker.currentNode, around = node.parentElement;
    if (around.closest("pre, code, script, style, mjx-container, .math, .sig, svg")) continue;
    for (const word of node.data.matchAll(/[\\p{L}\\p{N}]{2,}/gu)) {
      range.setStart(node, word.index);
      range.setEnd(node, word.index + word[0].length);
      const lines = new Set([...range.getClientRects()].map(r => Math.round(r.top / 8)));
      if (lines.size > 1) found.push(`${word[0]} in ${around.outerHTML.slice(0, 80)}`);
    }
  }
  return found;
}"""

# Boxes whose content is wider than they are: a reader sees them clipped until he scrolls.
CLIPPED = """() => [...document.querySelectorAll(
    ".bd-article :is(pre, table, figure, div.math, .too-wide, div.cell_output, dl, p)")]
  .filter(e => e.getClientRects().length && e.scrollWidth > e.clientWidth + 2
    && getComputedStyle(e).display !== "inline")
  .map(e => `${e.scrollWidth - e.clientWidth} px: ${e.innerText.slice(0, 120)}`)"""

PARTED = """sheet => [...document.querySelectorAll(".bd-article figure")]
  .filter(e => e.querySelector("figcaption") && (getComputedStyle(e).breakInside !== "avoid"
    || e.getBoundingClientRect().height > sheet))
  .map(e => e.id)"""

# Pictures drawn wider or higher than they are.
DISTORTED = """() => [...document.querySelectorAll(".bd-article img")].filter(e => {
    const [drawn, own] = [e.clientWidth / e.clientHeight, e.naturalWidth / e.naturalHeight];
    return e.naturalWidth && e.clientHeight && Math.abs(drawn / own - 1) > 0.02;
  }).map(e => `${e.clientWidth} x ${e.clientHeight}: ${e.src}`)"""

SMALL_TEXT = """() => [...document.querySelectorAll(".bd-article *")].filter(e =>
    e.getClientRects().length && [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())
    && !e.closest("mjx-container, svg, script, style")
    && parseFloat(getComputedStyle(e).fontSize) < 8)
  .map(e => e.outerHTML.slice(0, 80))"""

# No formula waits but in what is folded.
ALL_SET = """() => [...document.querySelectorAll(".bd-article mjx-lazy")]
  .every(e => e.closest(".toggle-hidden, details:not([open])") || !e.checkVisibility())"""

pytestmark = pytest.mark.book


@pytest.fixture
def opened(browser, site):
    """Open a page, with every byte it asks for counted; mathematics is set before it returns."""
    contexts = []

    def open_page(path: str, width: int = 1440):
        context = browser.new_context(viewport={"width": width, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.weight = 0
        page.on("response", lambda response: sizes.append(response))
        sizes: list = []
        page.goto(f"{site}/{path}", wait_until="load")
        page.wait_for_load_state("networkidle")
        if page.locator(".math").count():  # formulas are set as they come into view: all of them
            page.wait_for_function("window.MathJax?.startup?.promise")
            page.evaluate("MathJax.startup.promise.then(() => null)")
            height = page.evaluate("document.documentElement.scrollHeight")
            page.set_viewport_size({"width": width, "height": min(height + 2000, 60_000)})
            page.wait_for_function(ALL_SET)
            page.set_viewport_size({"width": width, "height": 900})
            assert page.locator("mjx-merror").count() == 0, "an equation that MathJax cannot read"
        page.weight = sum(int(r.headers.get("content-length", 0)) for r in sizes)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("path", PAGES)
def test_page_is_light_accessible_whole_on_desk_phone_and_paper(opened, path):
    page = opened(path)
    assert page.weight > 50_000, "nothing was counted"
    assert page.weight <= HEAVIEST or path == "search.html", f"{page.weight:,} bytes"
    assert page.evaluate(CLIPPED) == []
    assert page.evaluate(DISTORTED) == []

    page.evaluate(AXE)
    wrong = {"light": page.evaluate(RUN_AXE)}
    page.add_style_tag(content="* { transition: none !important }")  # colours at their end
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    wrong["dark"] = page.evaluate(RUN_AXE, COLOURS)
    assert wrong == {"light": [], "dark": []}

    page.emulate_media(media="print")
    page.set_viewport_size({"width": PAPER, "height": SHEET})
    assert page.evaluate(PARTED, SHEET) == []
    assert page.evaluate(CLIPPED) == []
    page.emulate_media(media="screen")

    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate(STILL_OUT_OF_REACH) == []
    assert page.evaluate(BROKEN_WORDS) == []
    assert page.evaluate(SMALL_TEXT) == []
    assert page.evaluate(DISTORTED) == []


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_first_screen_answers_a_newcomer(opened, width, height):
    page = opened("index.html", width)
    page.set_viewport_size({"width": width, "height": height})
    for part in (".pitch", ".start", ".start + figure img", ".facts"):
        box = page.locator(f".bd-article {part}").bounding_box()
        assert box["height"] > 20
        assert box["y"] + box["height"] <= height, f"{part} is below the first screen"
    text = page.locator(".pitch").inner_text() + page.locator(".facts").inner_text()
    answers = {
        "what is it": "A book you can run, and its Python package",
        "is it for me": "Physicists and machine learners",
        "how long": "hours in all",
        "how do I run it": "make book",
        "on my data": "mfvae report my_words.npy --output",
        "what do I need": "Python 3.11",
        "who": "The mfvae authors",
        "how to cite": "how to cite",
        "licence": "BSD-3-Clause",
        "where is the code": "Code",
    }
    assert [question for question, answer in answers.items() if answer not in text] == []
    links = page.locator(".bd-article .facts a").evaluate_all("a => a.map(a => a.innerText)")
    paths = ["Thirty minutes", "I have data", "eight lessons", "for neuroscientists"]
    assert links == [*paths, "Code", "how to cite", "BSD-3-Clause"]
    # Letters of the figure are 12 points where it has its own size.
    picture = page.locator(".start + figure img")
    scale = picture.evaluate("e => e.clientWidth / e.naturalWidth")
    assert 16 * scale >= 8, "letters of the figure are too small"


def test_planted_faults_are_seen(opened):
    page = opened("index.html")
    page.evaluate(AXE)
    page.evaluate("""() => {
      document.querySelector(".bd-article").insertAdjacentHTML("afterbegin",
        '<pre style="width: 9em">' + "x".repeat(200) + '</pre><input>'
        + '<figure id="parted" style="break-inside: auto"><figcaption>a</figcaption></figure>'
        + '<p style="width: 2em; overflow-wrap: anywhere">recording</p>'
        + '<p style="width: 900px; font-size: 7px">wide</p>');
      document.querySelector(".start + figure img").style = "height: 99px; max-height: 99px";
    }""")
    assert any("200 px" in found or "px: xxx" in found for found in page.evaluate(CLIPPED))
    assert any(found.startswith("label") for found in page.evaluate(RUN_AXE))
    page.emulate_media(media="print")
    assert page.evaluate(PARTED, SHEET) == ["parted"]
    page.emulate_media(media="screen")
    page.set_viewport_size({"width": 390, "height": 844})
    assert any("recording" in found for found in page.evaluate(BROKEN_WORDS))
    assert any("900px" in found for found in page.evaluate(OUT_OF_REACH))
    assert any("7px" in found for found in page.evaluate(SMALL_TEXT))
    assert any("x 99: " in found for found in page.evaluate(DISTORTED))
