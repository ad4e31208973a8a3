"""Turn the chapters into notebooks, for students (exercises without solutions) and instructors.

The chapters are the only source: what this writes is never committed.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import jupytext
import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell
from notebook_links import bibliography, figure_numbers, with_links
from plain_markdown import plain_markdown

__all__ = ["read_chapter", "write_published_notebooks", "without_solutions"]

FENCE = r"^(?P<fence>`{3,}|:{3,})"
GATE = re.compile(
    FENCE + r"\{(?P<name>(?:exercise|solution)-(?:start|end))\}[^\n]*\n(.*?)^(?P=fence)[ ]*$",
    re.MULTILINE | re.DOTALL,
)
SOLUTION = re.compile(
    FENCE + r"\{solution\}[^\n]*\n.*?^(?P=fence)[ ]*$\n?", re.MULTILINE | re.DOTALL
)
COLAB_SETUP = """# Only needed where the package is not installed, as on Colab.
import importlib.util

if importlib.util.find_spec("mfvae") is None:
    %pip install -q "mfvae @ git+{repository}"
"""


def read_chapter(path: Path) -> nbformat.NotebookNode:
    """Return a chapter as a notebook, with one markdown cell for every gate of an exercise."""
    notebook = jupytext.read(path)
    cells = []
    for cell in notebook.cells:
        if cell.cell_type != "markdown":
            cells.append(cell)
            continue
        position = 0
        for gate in GATE.finditer(cell.source):
            cells.append(new_markdown_cell(cell.source[position : gate.start()].strip()))
            cells.append(new_markdown_cell(gate.group(0).strip()))
            position = gate.end()
        cells.append(new_markdown_cell(cell.source[position:].strip()))
    notebook.cells = [c for c in cells if c.cell_type != "markdown" or c.source]
    return with_stable_ids(notebook)


def with_stable_ids(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata.pop("jupytext", None)
    return notebook


def gate_of(cell: nbformat.NotebookNode) -> str | None:
    match = GATE.match(cell.source) if cell.cell_type == "markdown" else None
    return match["name"] if match else None


def tags_of(cell: nbformat.NotebookNode) -> list[str]:
    return list(cell.metadata.get("tags", ()))


def without_solutions(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return the student version: a solution goes, or is an empty cell if there is no skeleton."""
    cells, inside, skeleton = [], False, False
    for cell in notebook.cells:
        gate = gate_of(cell)
        skeleton = gate != "exercise-start" and (skeleton or "skeleton" in tags_of(cell))
        if gate == "solution-start":
            inside = True
            if not skeleton:
                cells.append(new_code_cell("# Your solution\n"))
        elif gate == "solution-end":
            inside = False
        elif not inside:
            if cell.cell_type == "markdown":
                cell = new_markdown_cell(SOLUTION.sub("", cell.source))
            cells.append(cell)
    if inside:
        raise ValueError("a solution is opened with solution-start and never closed")
    return with_stable_ids(nbformat.v4.new_notebook(cells=cells, metadata=notebook.metadata))


def for_jupyter(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Replace MyST by plain Markdown, number the captions of figures, and add the references."""
    cells, texts, figures = [], [], figure_numbers(notebook.cells)

    def plain(text: str) -> str:
        texts.append(text)
        return plain_markdown(with_links(text, figures))

    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell = new_markdown_cell(plain(cell.source))
        if "skip-execution" in tags_of(cell):  # a page has no kernel, they have
            cell.metadata["tags"] = [t for t in cell.metadata["tags"] if t != "skip-execution"]
        if "remove-cell" in tags_of(cell):  # the checks of exercises: folded, as a page hides them
            cell.metadata["jupyter"] = {"source_hidden": True}
        cells.append(cell)
        figure = cell.metadata.get("mystnb", {}).get("figure", {})
        if caption := figure.get("caption"):
            number = figures[figure.get("name", "")]
            cells.append(new_markdown_cell(f"*Figure {number}.* {plain(caption.strip())}"))
    if references := bibliography(texts):
        cells.append(new_markdown_cell(references))
    return with_stable_ids(nbformat.v4.new_notebook(cells=cells, metadata=notebook.metadata))


def chapters_with_code(root: Path, pages: list[str]) -> list[Path]:
    paths = [root / f"{page}.md" for page in pages]
    return [path for path in paths if "{code-cell}" in path.read_text()]


def write_published_notebooks(root: Path, pages: list[str], folder: Path) -> None:
    """Write the student notebooks that are published beside the HTML and opened by Colab."""
    repository = re.search(r"^  url: (\S+)$", (root / "_config.yml").read_text(), re.MULTILINE)
    folder.mkdir(parents=True, exist_ok=True)
    for path in chapters_with_code(root, pages):
        notebook = for_jupyter(without_solutions(read_chapter(path)))
        if repository:
            setup = COLAB_SETUP.format(repository=repository[1])
            notebook.cells.insert(0, new_code_cell(setup))
        nbformat.write(with_stable_ids(notebook), folder / f"{path.stem}.ipynb")


def main() -> int:
    from check_output import pages_of

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent)
    root = parser.parse_args().root.resolve()
    target = root / "notebooks"
    versions = {"student": without_solutions, "instructor": lambda notebook: notebook}
    for version, transform in versions.items():
        (target / version).mkdir(parents=True, exist_ok=True)
        for path in chapters_with_code(root, pages_of(root)):
            notebook = for_jupyter(transform(read_chapter(path)))
            nbformat.write(notebook, target / version / f"{path.stem}.ipynb")
    print(f"notebooks: {target / 'student'} and {target / 'instructor'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
