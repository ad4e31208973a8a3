"""Write an hour's slides, ``slides.html``, from the figures and captions of the built book.

From left to right one slide a chapter: title, question and a figure, three minutes each; below it
the other figures and the summary.  The deck is reveal.js, which lies beside the pages as MathJax
does: it needs no network.  ``make slides``, and every ``make book``, writes it anew.
"""

from __future__ import annotations

import html
import posixpath
import re
from pathlib import Path

from bs4 import BeautifulSoup, Tag
from check_output import pages_of

__all__ = ["write_slides"]

SHOWN_FIRST = {
    "fig-curie-weiss-prior",
    "fig-two-point",
    "fig-capacity-theorem",
    "fig-rate-gap-plane",
    "fig-conditional-tc",
    "fig-hopfield-load",
    "fig-retina-latents",
    "fig-own-ladders",
    "fig-retina-held-out",
    "fig-beta-vae-latent",
}
"""The figure of the upper row; elsewhere it is the first of its chapter."""

DECK = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8" />
<meta name="viewport" content="width=device-width, initial-scale=1" />
<title>{title}: slides</title>
<link rel="icon" href="_static/logo.svg" />
<link rel="stylesheet" href="_static/reveal/reveal.css" />
<style>
body {{ background: #fff; color: #222; font-family: system-ui, sans-serif; }}
.reveal .slides {{ text-align: left; }}
.reveal h1 {{ font-size: 64px; margin: 0 0 24px; }}
.reveal h2 {{ font-size: 36px; margin: 0 0 8px; }}
.reveal p, .reveal li {{ font-size: 24px; line-height: 1.4; margin: 0 0 12px; }}
.reveal li, .reveal li p {{ font-size: 20px; }}
.reveal .question {{ color: #0b5394; }}
.reveal .slide-number {{ left: 8px; right: auto; background: none; }}
.reveal figure img {{ display: block; width: 100%; height: 400px; object-fit: contain; }}
.reveal figure {{ margin: 0; }}
.reveal figcaption {{ font-size: 16px; line-height: 1.35; margin-top: 10px; }}
.reveal a {{ color: #1259c4; }} .reveal .slide-number a {{ color: #444; }}
</style>
<script>
window.MathJax = {{
  loader: {{load: ["core", "input/tex", "output/chtml", "a11y/assistive-mml"]}},
  chtml: {{matchFontHeight: false}},
  startup: {{pageReady: () => MathJax.startup.defaultPageReady().then(() => Reveal.layout())}}
}};
addEventListener("DOMContentLoaded", () => Reveal.initialize(
  {{hash: true, slideNumber: "c/t", width: 1100, height: 720, transition: "none"}}
).then(() => document.head.append(Object.assign(document.createElement("script"),
  {{src: "_static/mathjax/startup.js"}}))));
</script>
<script defer src="_static/reveal/reveal.js"></script>
</head>
<body>
<main class="reveal"><div class="slides">
{slides}
</div></main>
</body>
</html>
"""


def article_of(path: Path) -> Tag:
    """Return the text of a page without its code and printed lines, which take long to parse."""
    text = path.read_text()
    text = text[text.index("<article") : text.index("</article>")]
    return BeautifulSoup(re.sub(r"<pre>.*?</pre>", "", text, flags=re.DOTALL), "html.parser")


def plain(tag: Tag, page: str) -> str:
    """Return the inside of an element with addresses as seen from the deck, without signs."""
    for sign in tag.select(".headerlink, .section-number"):
        sign.decompose()
    for link in tag.select("a[href]"):
        if not re.match(r"[a-z]+:", link["href"]):
            path, mark, rest = link["href"].partition("#")
            path = posixpath.join(
                posixpath.dirname(page), path or f"{posixpath.basename(page)}.html"
            )
            link["href"] = posixpath.normpath(path) + mark + rest
    return tag.decode_contents().strip()


def figure_slide(figure: Tag, page: str, title: str, question: str) -> str:
    """Return a slide that shows a figure with its caption."""
    source = posixpath.normpath(posixpath.join(posixpath.dirname(page), figure.img["src"]))
    picture = f'<img data-src="{source}" alt="{html.escape(figure.img["alt"])}" />'
    caption = f"<figcaption>{plain(figure.figcaption.p, page)}</figcaption>"
    return f"<section><h2>{title}</h2>{question}<figure>{picture}{caption}</figure></section>"


def chapter_slides(article: Tag, page: str, question: str) -> list[str]:
    """Return the slides of a chapter, the one of the upper row first."""
    title = f"{article.select_one('h1 .section-number').get_text().strip()} "
    title += plain(article.h1, page)
    figures = [f for f in article.select("figure[id]") if f.img and f.figcaption]
    figures.sort(key=lambda figure: figure["id"] not in SHOWN_FIRST)  # the others in order
    asked = [f'<p class="question">{question}</p>'] + [""] * len(figures)
    slides = [figure_slide(f, page, title, asked[k]) for k, f in enumerate(figures)]
    if summary := article.select_one("section#summary > ul"):
        slides.append(f"<section><h2>{title}</h2><ul>{plain(summary, page)}</ul></section>")
    return slides


def write_slides(root: Path) -> int:
    """Write ``_build/html/slides.html``; return how many slides the upper row has.

    Args:
        root: Folder of the book, whose pages are built.
    """
    output = root / "_build" / "html"
    articles = {page: article_of(output / f"{page}.html") for page in pages_of(root)}
    first, front = next(iter(articles.items()))
    asked = {}  # the map of the front page has a question for every chapter
    for link in front.select("td a[href]"):
        page = posixpath.join(posixpath.dirname(first), link["href"].split(".html")[0])
        asked[posixpath.normpath(page)] = plain(link.find_parent("tr").select("td")[-1], first)
    title = plain(front.h1, first)
    opening = front.select_one(".pitch") or front.p
    row = [[f"<section><h1>{title}</h1>{plain(opening, first)}</section>"]]
    for page, article in articles.items():
        if article.select_one("h1 .section-number"):
            row.append(chapter_slides(article, page, asked.get(page, "")))
    if closing := front.select_one("section#summary > ul"):
        row.append([f"<section><h2>Summary</h2><ul>{plain(closing, first)}</ul></section>"])
    row = ["\n".join(slides) for slides in row if slides]
    slides = "\n".join(f"<section>{column}</section>" for column in row)
    (output / "slides.html").write_text(DECK.format(title=title, slides=slides))
    return len(row)


if __name__ == "__main__":
    root = Path(__file__).resolve().parent.parent
    print(f"{write_slides(root)} slides from left to right: {root / '_build/html/slides.html'}")
