"""Print the built book as one PDF, ``_build/mfvae.pdf``, with headless Chromium.

The pages are joined in the browser, so that links lead from one chapter to another inside the PDF
and no second program is needed.  ``python scripts/make_pdf.py [PAGE ...]`` prints some pages.
"""

from __future__ import annotations

import functools
import http.server
import re
import shutil
import sys
import threading
from pathlib import Path

from check_output import pages_of
from playwright.sync_api import Page, sync_playwright

__all__ = ["join_pages", "print_book"]

# Joins the articles of all pages into the one that is open.  Names of places get the page's own
# name before them, for every chapter has a summary; pictures and formulas do not wait to be seen.
JOIN = """async pages => {
  const home = document.querySelector(".bd-article"), here = new URL(".", location.href).href;
  const named = url => {
    const name = url.pathname.split("/").at(-1);
    const page = pages.find(page => page.split("/").at(-1) + ".html" === name);
    return page && `#${page.replace("/", "-")}${url.hash.replace("#", "--")}`;
  };
  const articles = [];
  for (const page of pages) {
    const address = new URL(`../${page}.html`, here).href;
    const text = await (await fetch(address)).text();
    const article = new DOMParser().parseFromString(text, "text/html").querySelector(".bd-article");
    for (const element of article.querySelectorAll("script, .headerlink, .copybtn, button"))
      element.remove();
    for (const link of article.querySelectorAll("a[href]")) {
      const target = new URL(link.getAttribute("href"), address);
      if (target.origin !== location.origin) continue;
      if (named(target)) link.setAttribute("href", named(target));
      else link.removeAttribute("href");
    }
    for (const element of article.querySelectorAll("[id]"))
      element.id = `${page.replace("/", "-")}--${element.id}`;
    for (const picture of article.querySelectorAll("img")) {
      picture.src = new URL(picture.getAttribute("src"), address).href;
      picture.loading = "eager";
    }
    for (const fold of article.querySelectorAll("details:not(.above-input, .provenance)"))
      fold.open = true;
    for (const fold of article.querySelectorAll(".dropdown")) fold.classList.remove("dropdown");
    article.id = page.replace("/", "-");
    article.style.breakBefore = articles.length ? "page" : "auto";
    articles.push(article);
  }
  home.replaceWith(...articles);
  for (const script of document.querySelectorAll("script[src*='mathjax']")) script.remove();
}"""

SET_FORMULAS = """async () => {
  if (!document.querySelector(".math")) return;
  await MathJax.startup.promise;
  MathJax.typesetClear();
  for (const article of document.querySelectorAll(".bd-article"))
    await MathJax.typesetPromise([article]);
  await Promise.all([...document.images].map(image => image.decode().catch(() => null)));
}"""


class Handler(http.server.SimpleHTTPRequestHandler):
    """Pages as they lie in their folder; with MathJax that does not wait for what is in view."""

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def join_pages(page: Page, site: str, pages: list[str]) -> None:
    """Open the first page and put the text of all pages into it, formulas set, light, for paper.

    Args:
        page: A page of Chromium, which is left in the medium "print".
        site: Address of the built book.
        pages: Pages in order, as in ``_toc.yml``.
    """

    def at_once(route) -> None:
        text = route.fetch().text()
        route.fulfill(body=re.sub(r'"ui/lazy", ', "", text), content_type="text/html")

    page.route(re.compile(r"\.html$"), at_once)
    page.goto(f"{site}/{pages[0]}.html", wait_until="networkidle")
    page.emulate_media(media="print")
    page.evaluate("document.documentElement.dataset.theme = 'light'")
    page.evaluate(JOIN, pages)
    page.evaluate(SET_FORMULAS)


def print_book(page: Page, site: str, pages: list[str], target: Path) -> None:
    """Print pages of the built book as one PDF on A4 paper, with numbers of pages and outline."""
    join_pages(page, site, pages)
    number = (
        '<div style="font-size: 8px; width: 100%; text-align: center" class="pageNumber"></div>'
    )
    page.pdf(
        path=target,
        format="A4",
        margin=dict.fromkeys(("top", "bottom", "left", "right"), "15mm"),
        display_header_footer=True,
        header_template="<div></div>",
        footer_template=number,
        print_background=True,
        tagged=True,
        outline=True,
    )


def main() -> None:
    root = Path(__file__).resolve().parent.parent
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        sys.exit("Chromium was not found (Debian package `chromium`)")
    handler = functools.partial(Handler, directory=str(root / "_build" / "html"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    site = f"http://127.0.0.1:{server.server_address[1]}"
    target = root / "_build" / "mfvae.pdf"
    flags = ["--headless", "--no-sandbox", "--disable-gpu"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=flags)
        page = browser.new_page(viewport={"width": 718, "height": 1000})
        page.set_default_timeout(600_000)
        print_book(page, site, sys.argv[1:] or pages_of(root), target)
        browser.close()
    print(f"{target.stat().st_size / 1e6:.1f} MB: {target}")


if __name__ == "__main__":
    main()
