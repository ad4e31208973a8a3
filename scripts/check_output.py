"""Check a built book against its sources: every page, every executed cell, every output.

The notebooks that were executed lie in ``_build/jupyter_execute``, the pages in
``_build/html``.  For every chapter of ``_toc.yml``:

- the page exists and shows no traceback, and every image it names is there;
- the executed notebook has the code cells of the source, each with an execution count and none
  with an error (unless tagged ``raises-exception``);
- a cell that must show something (a captioned figure, a final bare expression, a ``print`` at
  top level, a slider) has an output of that kind;
- the page shows as many outputs, and as many figures, as the executed notebook holds.
"""

from __future__ import annotations

import ast
import html.parser
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import jupytext
import nbformat
from sphinx_external_toc.parsing import parse_toc_yaml

__all__ = ["check_book", "expected_output", "pages_of"]

HIDDEN_TAGS = {"remove-output", "remove_output", "remove-cell", "remove_cell"}


def pages_of(root: Path) -> list[str]:
    """Return the pages named in the table of contents, without suffix."""
    return list(parse_toc_yaml(root / "_toc.yml"))


class Page(html.parser.HTMLParser):
    """What a built page holds, as far as the check is concerned."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.images: list[str] = []
        self.n_outputs = self.n_tracebacks = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        classes = attributes.get("class", "").split()
        self.ids.add(attributes.get("id", ""))
        if tag == "img":
            self.images.append(attributes.get("src", ""))
        self.n_outputs += "cell_output" in classes
        self.n_tracebacks += "traceback" in classes


def called_name(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    function = node.func
    return getattr(function, "attr", None) or getattr(function, "id", "")


def expected_output(source: str, metadata: dict) -> str | None:
    """Return the kind of output a cell must have: "figure", "html" (a slider), "any", or None."""
    if "figure" in metadata.get("mystnb", {}):
        return "figure"
    plain = re.sub(r"^(\s*)[%!].*$", r"\1pass", source, flags=re.MULTILINE)
    body = ast.parse(plain).body
    if not body:
        return None
    if any(called_name(getattr(s, "value", None)) in {"print", "display"} for s in body):
        return "any"
    last = body[-1]
    if not isinstance(last, ast.Expr) or source.rstrip().endswith(";"):
        return None
    if called_name(last.value) == "frame_slider":
        return "html"
    silent = (ast.Call, ast.Await, ast.Constant)  # a call may return None
    return None if isinstance(last.value, silent) else "any"


def mime_types(cell: nbformat.NotebookNode) -> set[str]:
    """Return the kinds of output of an executed cell; values glued for later do not count."""
    kinds: set[str] = set()
    for output in cell.outputs:
        kinds |= set(output.get("data", {})) or {output.output_type}
    return {kind for kind in kinds if not kind.startswith("application/papermill.record")}


def has_output(expected: str, kinds: set[str]) -> bool:
    if expected == "figure":
        return any(kind.startswith("image/") for kind in kinds)
    return "text/html" in kinds if expected == "html" else bool(kinds)


def check_cells(page: str, source: Path, executed: Path) -> tuple[list[str], int]:
    """Compare an executed notebook with its source; also count the outputs a page should show."""
    wanted = [c for c in jupytext.read(source).cells if c.cell_type == "code"]
    if not executed.exists():
        return ([f"{page}: was not executed"] if wanted else []), 0
    cells = [c for c in nbformat.read(executed, as_version=4).cells if c.cell_type == "code"]
    if [c.source.strip() for c in cells] != [c.source.strip() for c in wanted]:
        return [f"{page}: the executed cells are not those of the source"], 0
    problems, n_shown = [], 0
    for number, (cell, original) in enumerate(zip(cells, wanted, strict=True), start=1):
        where = f"{page}, code cell {number}"
        tags = set(original.metadata.get("tags", []))
        kinds = mime_types(cell)
        if cell.source.strip() and cell.execution_count is None and "skip-execution" not in tags:
            problems.append(f"{where}: was not executed")
        if "error" in kinds and "raises-exception" not in tags:
            problems.append(f"{where}: raised an error")
        expected = expected_output(cell.source, original.metadata)
        if expected and "skip-execution" not in tags and not has_output(expected, kinds):
            found = ", ".join(sorted(kinds)) or "none"
            problems.append(f"{where}: should have an output ({expected}), has {found}")
        if kinds and not tags & HIDDEN_TAGS:
            n_shown += 1
    return problems, n_shown


def check_page(root: Path, page: str) -> list[str]:
    """Return what is missing from one built page."""
    built = root / "_build" / "html" / f"{page}.html"
    if not built.is_file():
        return [f"{page}: there is no page {built}"]
    source = root / f"{page}.md"
    shown = Page(built.read_text())
    problems = [f"{page}: shows {shown.n_tracebacks} tracebacks"] if shown.n_tracebacks else []
    for image in shown.images:
        path = unquote(urlsplit(image).path)
        if not urlsplit(image).scheme and not (built.parent / path).is_file():
            problems.append(f"{page}: image {image} is not there")
    text = source.read_text()
    if "{code-cell}" not in text:
        return problems
    executed = root / "_build" / "jupyter_execute" / f"{page}.ipynb"
    of_cells, n_outputs = check_cells(page, source, executed)
    problems += of_cells
    if shown.n_outputs != n_outputs:
        problems.append(f"{page}: shows {shown.n_outputs} of {n_outputs} outputs")
    figures = [
        cell.metadata["mystnb"]["figure"].get("name")
        for cell in jupytext.read(source).cells
        if "figure" in cell.metadata.get("mystnb", {})
    ]
    for name in filter(None, figures):
        anchor = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        if anchor not in shown.ids:
            problems.append(f"{page}: figure {name} is not there")
    return problems


def check_book(root: Path) -> list[str]:
    """Return everything that is missing from the built book, an empty list if nothing is."""
    problems = [] if (root / "_build/html/index.html").is_file() else ["there is no index.html"]
    for page in pages_of(root):
        problems += check_page(root, page)
    return problems
