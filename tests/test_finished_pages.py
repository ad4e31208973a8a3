"""What is done to a page after Sphinx wrote it: styles, scripts, names, numbers, addresses."""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import pytest
from PIL import Image
from pybtex.database import parse_string

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import book_extension
import finish_pages
import page_steps

PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n one").decode()


def cell(code: str, output: str) -> str:
    bar = (
        '<summary aria-label="Toggle hidden content">\n'
        '<p class="collapsed admonition-title">Show code cell source</p>\n'
        '<p class="expanded admonition-title">Hide code cell source</p>\n</summary>'
    )
    return (
        f'<div class="cell tag_hide-input"><details>{bar}<pre>{code}</pre></details>{output}</div>'
    )


@pytest.mark.parametrize(
    ("code", "output", "name"),
    [
        ("x", '<span class="caption-number">Figure 5.1 </span>', "Code of Figure 5.1"),
        ("def <b>draw</b>(n):\n    pass\nclass A: pass", "", "Code: draw, A"),
        ('print("nats a word: d")', "<pre>3</pre>", "Code: nats a word"),
        ("print(x)", "<pre>3</pre>", "Code of the numbers below"),
        ("x = 1", "", "Code: preparation"),
    ],
)
def test_bar_names_what_it_hides(code: str, output: str, name: str) -> None:
    text = page_steps.name_bars("book/a.html", cell(code, output) + cell("y", ""))
    assert f'<p class="admonition-title">{name}</p></summary>' in text
    assert "Show code cell source" not in text


def test_provenance_is_folded_and_results_are_not() -> None:
    before = '<div class="output stream"><div class="highlight"><pre><span></span>'
    after = "</pre></div>\n</div>"
    lines = "gap 1.0\n8 models of 64 sites, 146 s\nmfvae 0.1.0 (b8fd6e9), AMD EPYC\n"
    text = page_steps.fold_provenance("a", before + lines + after)
    shown, _, folded = text.partition("<details")
    assert "gap 1.0" in shown
    assert "8 models of 64 sites, 146 s; mfvae 0.1.0 (b8fd6e9)" in folded
    plain = before + "gap 0.1.0\n" + after
    assert page_steps.fold_provenance("a", plain) == plain


def test_long_output_is_folded_with_a_link_to_its_data() -> None:
    before = '<div class="output stream"><div class="highlight"><pre><span></span>'
    start = '<div class="cell docutils"><pre>rows = load_results(&quot;gap&quot;)</pre>'
    page = '<a href="https://e.org/blob/main/LICENSE">' + start + before + "{}</pre></div>\n</div>"
    short, long = page.format("T gap\n" + 19 * "1 2\n"), page.format("T  gap\n" + 20 * "1 2\n")
    assert page_steps.fold_long_output("a", short) == short
    folded = page_steps.fold_long_output("a", long)
    assert '<details class="long-output"><summary>21 lines: T gap</summary>' in folded
    assert 'href="https://e.org/blob/main/mfvae/data/results/gap.json">gap.json</a>' in folded


def test_drawing_says_how_large_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.svg").write_text('<svg x="y" width="518.4pt" height="180pt" viewBox="">')
    (tmp_path / "b.svg").write_text('<svg viewBox="0 0 1 1">')
    step = page_steps.sized_pictures(tmp_path)
    text = step("a", '<img src="../_images/a.svg" /><img src="../_images/b.svg" />')
    assert '<img width="691" height="240" loading="lazy" src="../_images/a.svg" />' in text
    assert '<img src="../_images/b.svg" />' in text


def test_tables_and_sliders_are_numbered_by_chapter() -> None:
    table = '<table class="results" id="t"><caption>Gap.</caption>'
    slider = (
        '<div class="mfvae-frames" id="f"><input aria-valuetext="T = 1">\n'
        '<img src="x" alt="density: T = 1" style=""></div>'
    )
    page = f'<h1><span class="section-number">7. </span>A</h1>{table}{slider}{table}'
    text = page_steps.caption_sliders("a", page_steps.number_tables("a", page))
    assert text.count("Table 7.1 ") == text.count("Table 7.2 ") == 1
    assert "Slider 7.1 </span>density.</p></div>" in text


def test_frames_are_moved_beside_the_page(tmp_path: Path) -> None:
    source = f"data:image/png;base64,{PIXEL}"
    page = f'<div class="mfvae-frames"><img src="{source}"><script>["{source}"]</script></div>'
    text = page_steps.separate_frames(tmp_path / "_images")("book/a.html", page)
    (written,) = (tmp_path / "_images").iterdir()
    assert written.read_bytes() == base64.b64decode(PIXEL)
    assert text.count(f"../_images/{written.name}") == 2
    assert "base64" not in text


def test_picture_of_twice_the_pixels_keeps_its_size(tmp_path: Path) -> None:
    for name, dpi in (("one", 110), ("two", 220)):
        picture = Image.new("RGB", (round(7.2 * dpi), 2 * dpi))
        picture.save(tmp_path / f"{name}.png", dpi=(dpi, dpi))
    step = page_steps.sized_pictures(tmp_path)
    for name in ("one", "two"):
        text = step("a", f'<img alt="b" src="../_images/{name}.png" />')
        assert 'class="wide" width="792" height="220" loading="lazy" alt="b"' in text


def test_names_of_the_index_may_break() -> None:
    table = '<table style="width: 100%" class="indextable"><a href="a.b_c">all_configurations</a>'
    text = page_steps.break_names("genindex.html", table)
    assert text.endswith('<a href="a.b_c">all_<wbr>configurations</a>')
    assert page_steps.break_names("search.html", table) == table


def test_search_says_formulas_as_text() -> None:
    script = "htmlToText: {\n    if (anchor) {\n      const anchorContent = 1"
    patched = page_steps.patched_search(script)
    assert "plainFormula(formula.textContent)" in patched
    assert '"beta": "β"' in patched
    assert page_steps.patched_search(patched) == patched


CSS = """
.used, .unused > p { color: red }
.never { background: url("a}b.png") }
@media print { .unused { x: y } a.used:not(.unused) { x: z } }
@font-face { font-family: "Font Awesome"; src: url(x) }
.sm\\:used { x: y }
#here[data-x=".never"] { x: y }
"""


def test_style_sheet_keeps_what_can_match() -> None:
    kept = finish_pages.pruned(CSS, {"used", "here"})
    assert kept.splitlines() == [
        ".used{color:red}",
        "@media print{a.used:not(.unused){x:z}}",
        '#here[data-x=".never"]{x:y}',
    ]


def test_icons_are_cut_from_the_set() -> None:
    library = 'x={"bars":[448,512,["nav"],"f0c9","M0 96C"],moon:[9,8,[],"f1",["M1","M2"]]}'
    rules = finish_pages.icon_rules({"bars", "moon", "missing"}, library)
    assert ".fa-bars{--icon:" in rules
    assert "viewBox='0 0 448 512'" in rules
    assert "d='M2'" in rules
    assert "missing" not in rules


def test_front_page_is_moved_with_its_addresses() -> None:
    moved = {
        'data-content_root="../"': 'data-content_root="./"',
        'href="../_static/a.css?v=1"': 'href="_static/a.css?v=1"',
        'href="b.html#c"': 'href="book/b.html#c"',
        'href="#d"': 'href="#d"',
        'href="https://e.org/f"': 'href="https://e.org/f"',
        'src="../_images/g.png"': 'src="_images/g.png"',
        'script.src = "../_static/h.js?v=2";': 'script.src = "_static/h.js?v=2";',
    }
    page = finish_pages.moved_page("\n".join(moved), "book/intro.html", "index.html")
    assert page.splitlines() == list(moved.values())


def test_page_loads_one_style_sheet_and_no_script_before_its_text() -> None:
    page = """
    <link rel="stylesheet" type="text/css" href="../_static/a.css" />
    <link href="../_static/b.css" rel="stylesheet" />
    <script src="../_static/documentation_options.js"></script>
    <script defer src="../_static/scripts/fontawesome.js"></script>
    <script src="../_static/copybutton.js"></script>
    <script src="../_static/doctools.js"></script>
    <script defer="defer" src="../_static/mathjax/startup.js?v=1"></script>
    <script>kernelName = 'python3'</script>
    <span class="math">x</span>"""
    text = finish_pages.light_head(page, "../", "_static/pages.css?v=1", "options = {}")
    assert "<script>options = {}</script>" in text, "no request before the text"
    assert text.count("stylesheet") == 1
    assert "fontawesome" not in text
    assert "copybutton" not in text, "nothing to copy on this page"
    assert "kernelName" not in text
    assert '<script defer src="../_static/doctools.js">' in text
    assert 'script.src = "../_static/mathjax/startup.js?v=1"' in text
    assert "[...MathJax.loader.load" in text, "all parts of MathJax are asked for together"
    assert "startup.js" not in finish_pages.light_head(page.replace('class="math"', ""), "../", "x")


def test_labels_of_references_hold_letters_and_not_tex() -> None:
    text = r"""
    @article{a, author={Hyv{\"a}rinen, Aapo}, title={A}, year={1999}}
    @book{b, author={de Gennes, Pierre-Gilles and Prost, Jacques}, title={B}, year={1993}}
    @article{c, author={Tka{\v c}ik, G and Marre, O and Amodei, D}, title={C}, year={2014}}"""
    entries = parse_string(text, "bibtex").entries.values()
    labels = list(book_extension.LabelStyle().format_labels(entries))
    assert labels == ["Hyvärinen, 1999", "de Gennes and Prost, 1993", "Tkačik et al., 2014"]
