"""The notebooks made from the chapters: complete, readable in Jupyter, and executable."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import jupytext
import nbformat
import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    path.stem
    for path in (ROOT / "book").glob("*.md")
    if "{code-cell}" in path.read_text()
    and f"book/{path.stem}\n" in (ROOT / "_toc.yml").read_text()
)
CHAPTER = """---
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

(ch:x)=
# A chapter

See {eq}`eq:one`, {cite}`kingma2014` and {ref}`the glossary <ch:glossary>`.

```{math}
:label: eq:one
a = b
```

```{note}
Mind the gap.
```

```{exercise-start} One and one
:label: ex-one
```
Add them.
```{exercise-end}
```

```{solution-start} ex-one
:class: dropdown
```

It is two:

```{code-cell} ipython3
secret = 1 + 1
```

```{solution-end}
```

```{solution} ex-two
Another secret.
```

After.

```{code-cell} ipython3
---
mystnb:
  figure:
    name: fig:x
    caption: The caption, see {cite}`kingma2014`.
---
after = 3
```
"""


@pytest.fixture(autouse=True)
def scripts_on_path(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))


@pytest.fixture
def chapter(tmp_path):
    from make_notebooks import read_chapter

    (tmp_path / "chapter.md").write_text(CHAPTER)
    return read_chapter(tmp_path / "chapter.md")


def text_of(notebook, kind: str | None = None) -> str:
    return "\n".join(c.source for c in notebook.cells if kind in (None, c.cell_type))


def test_student_version_has_no_solution_and_a_cell_to_work_in(chapter):
    from make_notebooks import for_jupyter, without_solutions

    student = for_jupyter(without_solutions(chapter))
    nbformat.validate(student)
    assert "secret" not in text_of(student)
    assert text_of(student, "code").count("# Your solution") == 1
    assert "Add them." in text_of(student)
    assert "after = 3" in text_of(student, "code")


def test_instructor_version_has_every_code_cell_of_the_chapter(chapter):
    from make_notebooks import for_jupyter

    instructor = for_jupyter(chapter)
    nbformat.validate(instructor)
    source = jupytext.reads(CHAPTER, fmt="md:myst")
    codes = [c.source for c in source.cells if c.cell_type == "code"]
    assert [c.source for c in instructor.cells if c.cell_type == "code"] == codes
    assert "Another secret." in text_of(instructor)


def test_solution_that_is_never_closed_is_an_error(chapter):
    from make_notebooks import without_solutions

    chapter.cells = [c for c in chapter.cells if "solution-end" not in c.source]
    with pytest.raises(ValueError, match="never closed"):
        without_solutions(chapter)


def test_markdown_is_what_jupyter_can_show(chapter):
    from make_notebooks import for_jupyter

    text = text_of(for_jupyter(chapter), "markdown")
    assert "{" + "eq}" not in text
    assert "```{" not in text
    assert "(ch:x)=" not in text
    assert "See (one), [Kingma and Welling 2014] and [the glossary](https://" in text
    assert "/book/glossary.html)." in text
    assert "$$\na = b \\tag{one}\n$$" in text
    assert "> **Note**\n>\n> Mind the gap." in text
    assert "#### Exercise: One and one" in text
    assert "*Figure 1.* The caption, see [Kingma and Welling 2014]." in text
    assert "## References\n\n- Kingma and Welling (2014). Auto-encoding" in text


@pytest.mark.parametrize("page", PAGES)
def test_chapters_convert_without_leftover_directives(page):
    from make_notebooks import for_jupyter, read_chapter, without_solutions

    for transform in (without_solutions, lambda notebook: notebook):
        text = text_of(
            for_jupyter(transform(read_chapter(ROOT / "book" / f"{page}.md"))), "markdown"
        )
        leftovers = [line for line in text.splitlines() if line.startswith(("```{", ":::"))]
        assert leftovers == []


# ------------------------------------------------------------------ anywhere


@pytest.fixture(scope="session")
def installed(tmp_path_factory) -> Path:
    """A folder with the package as its wheel installs it, made from the files of a checkout."""
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "mfvae", source / "mfvae", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = f"from setuptools.build_meta import build_wheel; print(build_wheel({str(site)!r}))"
    command = [sys.executable, "-c", build]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=True)
    with zipfile.ZipFile(site / done.stdout.split()[-1]) as wheel:
        wheel.extractall(site)
    return site


def execute_in_an_empty_folder(page, version, site, folder, monkeypatch) -> None:
    """Run a notebook as on a bare machine: the installed package, no repository around."""
    from execute_chapters import execute_notebook
    from make_notebooks import for_jupyter, read_chapter, without_solutions

    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.delenv("MPLBACKEND", raising=False)
    notebook = read_chapter(ROOT / "book" / f"{page}.md")
    notebook = for_jupyter(without_solutions(notebook) if version == "student" else notebook)
    where = nbformat.v4.new_code_cell("import mfvae; print(mfvae.__file__)")
    notebook.cells.append(where)
    done = execute_notebook(notebook, cwd=str(folder), timeout=600, allow_errors=False)
    assert done.err is None, done.exc_string
    codes = [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]
    assert all(c.execution_count for c in codes)
    assert Path(where.outputs[0].text.strip()).is_relative_to(site)


@pytest.mark.parametrize("page", ["elbo"])
def test_notebook_executes_anywhere(page, installed, monkeypatch, tmp_path):
    execute_in_an_empty_folder(page, "student", installed, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("version", ["student", "instructor"])
@pytest.mark.parametrize("page", PAGES)
def test_every_notebook_executes_anywhere(page, version, installed, monkeypatch, tmp_path):
    """Both versions of every chapter run from top to bottom, with the cache of `make book`."""
    monkeypatch.setenv("MFVAE_CACHE", str(ROOT / ".cache" / "mfvae"))
    execute_in_an_empty_folder(page, version, installed, tmp_path, monkeypatch)
