"""What is changed in the text of a built page: names of folded code, labels, pictures, search.

Every function takes a page's name and its HTML and returns the new HTML; ``STEPS`` lists them in
order.  They change what Jupyter Book and its theme write the same way on every page.
"""

from __future__ import annotations

import base64
import hashlib
import html
import itertools
import json
import re
import struct
import unicodedata
from collections.abc import Callable
from pathlib import Path

__all__ = ["STEPS", "patched_search", "separate_frames", "sized_pictures"]

BAR = re.compile(
    r'<summary aria-label="Toggle hidden content">\s*'
    r'<p class="collapsed admonition-title">Show code cell source</p>\s*'
    r'<p class="expanded admonition-title">Hide code cell source</p>\s*</summary>'
)
OUTPUT = re.compile(
    r'<div class="output stream[^>]*><div class="highlight"><pre><span></span>(.*?)</pre></div>'
    r"\n</div>",
    re.DOTALL,
)
VERSION = re.compile(r"\b0\.\d+\.\d+ \([0-9a-f]{7}")
COUNTED = re.compile(r"^\d+ (?:fits|models|networks|trainings)\b")
LOADED = re.compile(r"""load_results\(["'](\w+)["']""")
RESULTS = "mfvae/data/results"
LONGEST = 20
"""Printed lines that a page shows; longer blocks are folded."""
CSS_DPI = 110  # a figure of 7.2 inches is 792 pixels wide in a page, whatever its resolution


def plain(text: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", text))


def what_it_hides(code: str, shown: str) -> str:
    """Return a name for folded code from what it shows, or from what it defines."""
    caption = re.search(r'<span class="caption-number">(.*?) ?</span>', shown)
    if caption:
        return f"Code of {plain(caption[1]).strip()}"
    defined = re.findall(r"^(?:def|class) (\w+)", code, re.MULTILINE)
    if defined:
        return "Code: " + ", ".join(defined[:3]) + (", …" if len(defined) > 3 else "")
    title = re.search(r'print\(\s*f?"([^"{}\\]{8,60}?)(?:[:,(]|")', code)
    if "<table" in shown or "<pre" in shown:
        return f"Code: {title[1].strip()}" if title else "Code of the numbers below"
    comment = re.match(r"# (.{5,70})$", code, re.MULTILINE)
    return f"Code: {comment[1].rstrip('.')}" if comment else "Code: preparation"


def name_bars(name: str, text: str) -> str:
    """Let every bar of folded code name what it hides."""
    if not BAR.search(text):
        return text
    pieces, position = [], 0
    for match in BAR.finditer(text):
        end = text.find('<div class="cell ', match.end())
        cell = text[match.end() : end if end > 0 else match.end() + 200_000]
        code, _, rest = cell.partition("</details>")
        hidden = html.escape(what_it_hides(plain(code).strip(), rest), quote=False)
        pieces += [text[position : match.start()]]
        pieces += [f'<summary><p class="admonition-title">{hidden}</p></summary>']
        position = match.end()
    return "".join(pieces) + text[position:]


def number_tables(name: str, text: str) -> str:
    """Number the tables of `mfvae.plots.table` by chapter, as Sphinx numbers figures."""
    chapter = re.search(r'<h1><span class="section-number">(\d+)\.', text)
    count = itertools.count(1)

    def numbered(match: re.Match) -> str:
        number = f"{chapter[1]}.{next(count)}" if chapter else f"{next(count)}"
        return f'{match[1]}<span class="caption-number">Table {number} </span>'

    return re.sub(r'(<table class="results"[^>]*><caption>)', numbered, text)


def caption_sliders(name: str, text: str) -> str:
    """Give every slider a number and, as a caption, what its pictures show."""
    chapter = re.search(r'<h1><span class="section-number">(\d+)\.', text)
    count = itertools.count(1)

    def captioned(match: re.Match) -> str:
        number = f"{chapter[1]}.{next(count)}" if chapter else f"{next(count)}"
        shown = match["alt"].removesuffix(f": {match['label']}")
        caption = f'<span class="caption-number">Slider {number} </span>{shown}.'
        return f'{match[0]}<p class="slider-caption">{caption}</p>'

    slider = re.compile(
        r'<div class="mfvae-frames"(?:(?!<img ).)*?aria-valuetext="(?P<label>[^"]*)".*?'
        r'<img src="[^"]*" alt="(?P<alt>[^"]*)"[^>]*>',
        re.DOTALL,
    )
    return slider.sub(captioned, text)


def fold_provenance(name: str, text: str) -> str:
    """Fold the lines that say by which code and on which machine numbers were computed."""

    def fold(match: re.Match) -> str:
        lines = match[1].rstrip("\n").split("\n")
        start = next((i for i, line in enumerate(lines) if VERSION.search(plain(line))), None)
        if start is None:
            return match[0]
        while start and COUNTED.match(lines[start - 1]):
            start -= 1
        shown = "\n".join(lines[:start])
        kept = match[0].replace(match[1], shown + "\n") if shown.strip() else ""
        how = re.sub(r"\n(?=mfvae|\d+ |Intel|AMD)", "; ", "\n".join(lines[start:]))
        summary = "<summary>How this was computed</summary>"
        return f'{kept}<details class="provenance">{summary}<p>{how}</p></details>'

    return OUTPUT.sub(fold, text) if VERSION.search(text) else text


def fold_long_output(name: str, text: str) -> str:
    """Fold printed lines beyond ``LONGEST``, with links to the kept results of the page."""
    blob = re.search(r'href="([^"]+)/LICENSE"', text)

    def fold(match: re.Match) -> str:
        lines = plain(match[1]).strip("\n").split("\n")
        if len(lines) <= LONGEST:
            return match[0]
        loaded = dict.fromkeys(LOADED.findall(plain(text[: match.start()]))) if blob else ()
        links = [f'<a href="{blob[1]}/{RESULTS}/{x}.json">{x}.json</a>' for x in loaded]
        data = f"<p>Kept results read so far: {', '.join(links)}.</p>" if links else ""
        summary = (
            f"<summary>{len(lines)} lines: {html.escape(' '.join(lines[0].split()))}</summary>"
        )
        return f'<details class="long-output">{summary}{match[0]}{data}</details>'

    return OUTPUT.sub(fold, text)


def name_controls(name: str, text: str) -> str:
    """Give the theme's controls the names that are written on them, and hide ornaments."""
    text = re.sub(r'(<(?:i|span) class="fa[^"]*"(?! aria-hidden))', r'\1 aria-hidden="true"', text)
    text = re.sub(r'(<button class="btn search-button-field[^>]*?) aria-label="[^"]*"', r"\1", text)
    text = re.sub(r'(<img alt=")\w+ logo(" src="[^"]*logo_)', r"\1\2", text)
    text = re.sub(
        r'(<a class="[^"]*internal"[^>]*>)([^<]*)(</a><details[^>]*>)<summary>',
        r'\1\2\3<summary aria-label="Pages below: \2">',
        text,
    )
    text = text.replace('<div role="list" class="citation-list">', '<div class="citation-list">')
    return re.sub(r'(<button onclick="toggleFullScreen\(\)")', r'\1 aria-label="Full screen"', text)


def enlarge_on_click(name: str, text: str) -> str:
    """Let a click on a picture of a figure open the picture alone, at its full size."""
    figure = re.compile(r'(<figure\b[^>]*>\s*)(<img\b[^>]*\bsrc="([^"]+)"[^>]*/>)')
    return figure.sub(r'\1<a class="enlarge" href="\3" title="Enlarge">\2</a>', text)


def break_names(name: str, text: str) -> str:
    """Let the names of the index break after their dots and underscores."""
    if not name.startswith("genindex"):
        return text
    head, mark, rest = text.partition('<table style="width: 100%" class="indextable')
    return (
        head
        + mark
        + re.sub(
            r">([^<>]+)<", lambda m: ">" + re.sub(r"(?<=[._])(?=\w)", "<wbr>", m[1]) + "<", rest
        )
    )


STEPS: tuple[Callable[[str, str], str], ...] = (
    number_tables,
    caption_sliders,
    name_bars,
    fold_provenance,
    fold_long_output,
    name_controls,
    enlarge_on_click,
    break_names,
)


def width_of_png(path: Path) -> tuple[int, int] | None:
    """Return width and height in pixels of the page: size in inches times ``CSS_DPI``."""
    data = path.read_bytes()
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        return None
    width, height = struct.unpack(">II", data[16:24])
    mark = data.find(b"pHYs", 0, 4096)
    dots = struct.unpack(">I", data[mark + 4 : mark + 8])[0] * 0.0254 if mark > 0 else CSS_DPI
    return round(width * CSS_DPI / dots), round(height * CSS_DPI / dots)


def width_of_svg(path: Path) -> tuple[int, int] | None:
    """Return width and height in pixels of a drawing that states them in points."""
    found = re.search(r'<svg\b[^>]*? width="([\d.]+)pt" height="([\d.]+)pt"', path.read_text())
    return (round(float(found[1]) * 4 / 3), round(float(found[2]) * 4 / 3)) if found else None


def sized_pictures(images: Path) -> Callable[[str, str], str]:
    """Return a step that writes the size of every picture, so that no text jumps when it comes.

    All wait for the style sheet, with which they would share the line.
    """
    sizes = {path.name: width_of_png(path) for path in images.glob("*.png")}
    sizes |= {path.name: width_of_svg(path) for path in images.glob("*.svg")}

    def size(match: re.Match) -> str:
        found = sizes.get(match[2].rsplit("/", 1)[-1])
        if not found or " width=" in match[0]:
            return match[0]
        wide = ' class="wide"' if found[0] > 560 and match[2].endswith(".png") else ""
        return f'<img{wide} width="{found[0]}" height="{found[1]}" loading="lazy"{match[1]}'

    def step(name: str, text: str) -> str:
        return re.sub(r'<img((?: alt="[^"]*")? src="([^"]+)")', size, text)

    return step


DATA_PICTURE = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=]+)")


def separate_frames(images: Path) -> Callable[[str, str], str]:
    """Return a step that takes the frames of sliders out of the page, each into a file.

    In a notebook a slider is one piece of HTML; in a page of 1.4 MB the text would wait for them.
    """

    def step(name: str, text: str) -> str:
        def separate(match: re.Match) -> str:
            picture = base64.b64decode(match[1])
            file = f"frame-{hashlib.sha256(picture).hexdigest()[:16]}.png"
            images.mkdir(exist_ok=True)
            (images / file).write_bytes(picture)
            return f"{'../' * name.count('/')}_images/{file}"

        return DATA_PICTURE.sub(separate, text) if 'class="mfvae-frames"' in text else text

    return step


PLAIN_FORMULA = r"""
const GLYPHS = GLYPHS_HERE;
// Snippets of the search show formulas as text: without commands of TeX.
const plainFormula = (tex) => tex
  .replace(/\\[()[\]]|\\(?:begin|end|label)\{[^}]*\}|[$&]/g, "")
  .replace(/\\(?:left|right|mathrm|mathbf|boldsymbol|text|operatorname)\b/g, "")
  .replace(/\\frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}/g, "$1/$2")
  .replace(/\\([a-zA-Z]+)/g, (_, name) => GLYPHS[name] ?? name)
  .replace(/\\[,;:!\\ ]/g, " ").replace(/[{}]/g, "");
"""
LETTERS = (
    "alpha beta gamma delta epsilon zeta eta theta kappa lamda mu nu xi pi rho sigma tau phi chi "
    "psi omega"
)
GLYPHS = {
    **{n: unicodedata.lookup(f"GREEK SMALL LETTER {n}") for n in LETTERS.split()},
    **{n.title(): unicodedata.lookup(f"GREEK CAPITAL LETTER {n}") for n in LETTERS.split()},
    **dict(varphi="φ", varepsilon="ε", Lambda="Λ", sum="∑", prod="∏", int="∫"),
    **dict(mid="|", le="≤", ge="≥", times="×", cdot="·", dots="…", approx="≈", to="→", infty="∞"),
    **dict(langle="⟨", rangle="⟩", partial="∂", sqrt="√", bar="", hat="", tilde="", quad=" "),
    "in": "∈",
    "lambda": "λ",
}


def patched_search(script: str) -> str:
    """Return Sphinx's ``searchtools.js`` with snippets that hold no TeX."""
    mark = "    if (anchor) {\n      const anchorContent"
    if mark not in script or "plainFormula" in script:
        return script
    plainly = (
        '    for (const formula of htmlElement.querySelectorAll(".math"))\n'
        "      formula.textContent = plainFormula(formula.textContent);\n"
    )
    glyphs = json.dumps(GLYPHS, ensure_ascii=False)
    return PLAIN_FORMULA.replace("GLYPHS_HERE", glyphs) + script.replace(mark, plainly + mark)
