"""The book as one PDF: what is printed is whole, and links lead inside it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
sys.path.insert(0, str(Path(__file__).parent))

from make_pdf import print_book
from test_looks import CLIPPED, PAPER, PARTED, SHEET

pytestmark = pytest.mark.book
JOINED = ["book/intro", "book/conditional-independence", "book/rate-gap"]


def test_pages_are_joined_and_printed(browser, site, tmp_path):
    page = browser.new_page(viewport={"width": PAPER, "height": SHEET})
    print_book(page, site, JOINED, tmp_path / "book.pdf")
    assert page.locator("h1:visible").count() == len(JOINED)
    assert page.locator("mjx-merror").count() == 0
    assert page.evaluate("document.querySelectorAll('.math:not(:has(mjx-container))').length") == 0
    assert page.evaluate(CLIPPED) == []
    assert page.evaluate(PARTED, SHEET) == []
    assert page.evaluate("[...document.images].filter(i => !i.naturalWidth).length") == 0
    lost = """[...document.querySelectorAll('.bd-article a[href^="#"]')]
      .map(a => a.getAttribute("href"))
      .filter(name => !document.getElementById(decodeURIComponent(name.slice(1))))"""
    assert page.evaluate(lost) == []
    assert page.locator('.bd-article a[href^="#book-rate-gap"]').count() > 0, (
        "the map leads to the chapter"
    )
    page.close()

    pdf = (tmp_path / "book.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert pdf.rstrip().endswith(b"%%EOF")
    assert b"127.0.0.1" not in pdf, "no link to the server that printed it"
    assert len(re.findall(rb"/Type /Page\b", pdf)) >= 20
