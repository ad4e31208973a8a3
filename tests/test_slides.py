"""The slides show the figures and captions of the built pages, and load what the book loads."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import make_slides

ROOT = Path(__file__).parents[1]
FRONT = """<article><h1>Title<a class="headerlink" href="#title">#</a></h1>
<div class="pitch"><p>What it is.</p></div>
<table><tr><td><a href="one.html#one">One</a></td><td>Why <b>one</b>?</td></tr></table>
<section id="summary"><h2>Summary</h2><ul><li>The end.</li></ul></section></article>"""
FIGURE = """<figure id="fig-{0}"><a href="../_images/{0}.png">
<img src="../_images/{0}.png" alt="{0}"></a>{1}</figure>"""
CAPTION = """<figcaption><p>Figure {0}, <span class="math">\\(m\\)</span>, <a href="#s">here</a>,
<a href="two.html#t">there</a><a class="headerlink" href="#x">#</a></p></figcaption>"""


@pytest.fixture
def deck(tmp_path: Path) -> str:
    folder = tmp_path / "_build" / "html" / "book"
    folder.mkdir(parents=True)
    figures = [FIGURE.format(name, CAPTION.format(name)) for name in ("a", "two-point", "b")]
    bare = FIGURE.format("bare", "")
    pages = {
        "intro": FRONT,
        "one": '<article><h1><span class="section-number">1. </span>One</h1><pre>1</pre>'
        f'{"".join(figures)}{bare}<section id="summary"><ul><li>So.</li></ul></section></article>',
        "two": "<article><h1>Glossary</h1>" + FIGURE.format("z", CAPTION) + "</article>",
    }
    for name, text in pages.items():
        (folder / f"{name}.html").write_text(f"<p>menu</p>{text}<p>foot</p>")
    toc = "format: jb-book\nroot: book/intro\nchapters:\n- file: book/one\n- file: book/two\n"
    (tmp_path / "_toc.yml").write_text(toc)
    assert make_slides.write_slides(tmp_path) == 3
    return (tmp_path / "_build" / "html" / "slides.html").read_text()


def test_slides_are_figures_with_their_captions(deck: str) -> None:
    shown = re.findall(r'data-src="_images/([\w-]+)\.png"', deck)
    assert shown == ["two-point", "a", "b"], "the chosen one first; none without a caption"
    assert deck.count("<figcaption>") == 3
    assert deck.count('<p class="question">Why <b>one</b>?</p>') == 1
    assert "<h1>Title</h1><p>What it is.</p>" in deck
    assert "<h2>1. One</h2><ul><li>So.</li></ul>" in deck
    assert "<h2>Summary</h2><ul><li>The end.</li></ul>" in deck
    assert r'<span class="math">\(m\)</span>' in deck


def test_links_lead_from_the_deck_to_the_pages(deck: str) -> None:
    assert deck.count('href="book/one.html#s"') == 3
    assert deck.count('href="book/two.html#t"') == 3
    assert "headerlink" not in deck


def test_deck_loads_what_is_vendored(deck: str) -> None:
    assets = re.findall(r'(?:src|href)(?:=|: )"(_static/[^"]+)"', deck)
    assert len(assets) == 4
    for asset in assets:
        assert (ROOT / "book" / asset).is_file()
    assert "http" not in deck


def test_figures_of_the_upper_row_are_in_the_book() -> None:
    text = "".join(path.read_text() for path in (ROOT / "book").glob("*.md"))
    for name in make_slides.SHOWN_FIRST:
        assert f"name: {name.replace('fig-', 'fig:', 1)}\n" in text, name
